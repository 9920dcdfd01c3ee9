// The page of an explorer: the open view and what is said of it, around a host's state.

const HINT = `Orange: what is chosen, and what it sees. Click or Enter chooses. \
Arrow keys move, with Shift in a map.`;
const CHOSEN = ".maps.selects:not([data-view=drawing] *), .frame, .framed, .emphasised:not([data-view=ablation] *)";

// A server holds a short message back until the page has acknowledged the one before, which the page
// puts off for 40 ms unless it sends something itself (Nagle's algorithm). So it does, while it waits.
const NUDGE = 8; // ms to the first, each later one waits twice as long
const ICONS = {
  "fa-play": "Play",
  "fa-pause": "Pause",
  "fa-stop": "Back to the first",
  "fa-retweet": "Loop",
  "fa-chevron-left": "Previous image",
  "fa-chevron-right": "Next image",
};

/**
 * Shows a host's scenes in `el` and gives the function that takes them away.
 *
 * The host is a kernel (an anywidget model) or a network in the page; it has get, on, off and send.
 * In a notebook `el` lies in the explorer's box, below its tabs and controls.
 */
function mount(host, el) {
  const parts = makeParts();
  const sender = makeSender(host, el);
  const said = {}; // complaint, notice, and the places that are pointed at and focused
  const textAt = (at) => (at?.view.element.isConnected ? at.view.describe(at.view, at.place) : "");
  const tell = (changes) => {
    Object.assign(said, changes);
    const state = host.get("state");
    const error = said.complaint || state.error;
    const news = error || said.notice || state.notice;
    const hint = parts.scene.querySelector(CHOSEN) ? HINT : "";
    parts.readout.classList.toggle("error", error !== "");
    give(parts.readout, { role: news ? "alert" : null, textContent: news || textAt(said.focused) || hint });
    write(parts.tip, textAt(said.pointed));
  };
  const context = {
    busy: sender.busy,
    hasKernel: host.get("state").call,
    pick: sender.select,
    complain: (complaint) => tell({ complaint }),
    point: (view, place, event) => {
      tell({ notice: "", pointed: place && { view, place } });
      const { left, top, width } = el.getBoundingClientRect();
      const share = `${(100 * (event.clientX - left)) / width}%`; // it stays inside the explorer
      parts.tip.style = `left: ${share}; top: ${event.clientY - top}px; translate: -${share} 20px`;
    },
    focus: (view, place) => tell({ notice: "", pointed: null, focused: place && { view, place } }),
  };
  const show = () => {
    const state = host.get("state");
    const hadFocus = parts.scene.contains(document.activeElement);
    const { header, trail, scene } = scenesOf(state);
    drawItems(parts.top.firstChild, [header], context);
    drawItems(parts.top.lastChild, trail.items, context);
    drawItems(parts.scene, [scene.content], context);
    rove(parts.top.lastChild, parts.top.querySelector(".framed button"));
    if (parts.scene.dataset.view !== state.view) give(said, { pointed: null, focused: null });
    parts.scene.dataset.view = state.view;
    const title = parts.top.querySelector(".text > .notes:not(:empty)")?.textContent;
    const start = scene.caption.startsWith(`${title}.`) && title.length + 1;
    write(parts.caption.firstChild, scene.caption.slice(0, start)); // for those alone who hear the page
    write(parts.caption.lastChild, scene.caption.slice(start));
    tell({ complaint: "", notice: "" }); // something succeeded
    el.classList.remove("late");
    if (hadFocus && !parts.scene.contains(document.activeElement)) parts.scene.focus();
  };
  const answer = () => {
    sender.flush();
    show();
  };
  parts.reset.onclick = () => sender.select({ reset: true });
  parts.copy.onclick = async () => {
    const text = host.get("state").call ?? location.href;
    try {
      await navigator.clipboard.writeText(text);
      tell({ notice: `Copied: ${text}` });
    } catch {
      prompt("Ctrl + C copies it:", text);
    }
  };
  el.replaceChildren(...Object.values(parts));
  el.classList.add("mnist-page");
  attend(el, host, sender);
  host.on("change:state", answer);
  show();
  return () => {
    host.off("change:state", answer);
    sender.stop();
    el.replaceChildren();
  };
}

/**
 * Sends a host what is selected, one message at a time: what comes in between is merged. What turns
 * a channel on or off, leads back to the start, or keeps a drawing, goes at once: it counts each time.
 */
function makeSender(host, el) {
  let sent = host.get("state").serial;
  let waiting;
  let nudging;
  let round = 0; // of nudges: one for each thing that is moved
  const busy = () => sent > host.get("state").serial;
  const flush = (atOnce) => {
    if (!waiting || (!atOnce && busy())) return;
    sent += 1;
    host.send({ select: waiting, serial: sent });
    waiting = null;
    nudge();
  };
  const select = (part) => {
    waiting = { ...waiting, ...part };
    flush("ablate" in part || "reset" in part || "keep" in part);
  };
  const nudge = (delay = NUDGE) => {
    clearTimeout(nudging);
    if (delay === NUDGE) round += 1;
    const state = host.get("state");
    nudging = setTimeout(() => {
      if (host.get("state") !== state || delay > 32 * NUDGE) return;
      if (delay === 8 * NUDGE) el.classList.add("late");
      host.send({ round });
      nudge(2 * delay);
    }, delay);
  };
  const answered = (content) => {
    if (content.round === round) el.classList.remove("late"); // and nothing changes
  };
  return { busy, flush, select, nudge, answered, stop: () => clearTimeout(nudging) };
}

/**
 * Attends to the explorer's box as soon as `el` is in it; without a box, `el` is one.
 *
 * It gives ipywidgets what they lack for keys and screen readers, nudges the server when one is
 * moved, and dims the scene until that of the open tab is here.
 */
function attend(el, host, sender) {
  if (!el.firstChild) return; // it was taken away
  if (!el.isConnected) return requestAnimationFrame(() => attend(el, host, sender));
  const box = el.closest(".mnist-explorer");
  if (!box) return el.classList.add("mnist-explorer");
  let focused;
  box.addEventListener("focusin", ({ target }) => (focused = focusable(target)));
  const name = () => {
    nameControls(box);
    for (const tab of box.querySelectorAll(".mnist-tabs .mod-active")) {
      nameTabs(tab, tab.parentElement);
      const isFree = [document.body, focused].includes(document.activeElement);
      if (isFree && focused?.checkVisibility() === false) tab.focus(); // others took its place
      give(el.querySelector(".scene"), { role: "tabpanel", ariaLabel: tab.textContent });
      if (tab.textContent !== host.get("state").title) el.classList.add("late");
    }
  };
  host.on("msg:custom", sender.answered);
  const observer = new MutationObserver(name);
  const outside = (event) => {
    const { key, target, type, buttons } = event;
    if (el.contains(target) || !el.firstChild) return;
    if (type === "pointermove" && !buttons) return; // nothing is dragged
    if (type === "click") {
      if (target.type === "number") target.select(); // what is typed takes its place
      if (target.textContent === "Stop") el.querySelector(".scene").focus(); // for it will be gone
    }
    if (key === "End" && target.role === "slider") {
      const { noUiSlider } = target.closest(".slider"); // it would go to the end that it had at the start
      noUiSlider.set(noUiSlider.options.range.max);
      take(event);
    }
    if (key === "Enter" && target.type === "number" && host.get("state").is_drawing) {
      sender.select({ image: Number(target.value) }); // the same number changes nothing else
    }
    sender.nudge();
  };
  for (const child of box.children) {
    if (!child.contains(el)) observer.observe(child, {
      childList: true,
      subtree: true,
      attributeFilter: ["class", "style", "aria-valuetext"],
    });
  }
  name();
  for (const event of ["input", "change", "click", "keydown", "pointermove"]) {
    box.addEventListener(event, outside, true);
  }
}

/** Gives the handles of sliders, buttons with an icon and what folds them all their names. */
function nameControls(box) {
  for (const slider of box.querySelectorAll(".widget-slider")) {
    const label = slider.querySelector(".widget-label").textContent;
    const readout = slider.querySelector(".widget-readout");
    const handle = slider.querySelector(".noUi-handle");
    give(handle, { ariaLabel: label, ariaValueText: readout.textContent });
    const ariaReadOnly = slider.matches(".mnist-list"); // where ipywidgets takes a text, and does nothing
    give(readout, { role: "textbox", ariaLabel: `${label}, as text`, ariaReadOnly });
    if (ariaReadOnly) readout.contentEditable = "false";
  }
  for (const control of box.querySelectorAll(".widget-inline-hbox:has(> .widget-label)")) {
    const { title, textContent } = control.firstChild;
    give(control, { title: title || QUESTIONS[textContent] });
  }
  for (const kind in ICONS) {
    for (const icon of box.querySelectorAll(`.${kind}`)) {
      give(icon.parentElement, { ariaLabel: ICONS[kind], title: ICONS[kind] });
    }
  }
  for (const fold of box.querySelectorAll(".mnist-fold")) {
    give(fold, { ariaExpanded: fold.matches(".mod-active") });
  }
}

/** Makes a row of ToggleButtons tabs, of which one is open. */
function nameTabs(open, row) {
  give(row, { role: "tablist", ariaLabel: "Views" });
  for (const tab of rove(row, open)) {
    give(tab, { role: "tab", ariaSelected: tab === open });
  }
}

/** Lets one of the buttons in a row take the focus, from which arrow keys move it. */
function rove(row, current) {
  const buttons = [...row.querySelectorAll("button")];
  for (const button of buttons) give(button, { tabIndex: (button === current) - 1 });
  row.onkeydown = (event) => {
    if (!MOVES.includes(event.key)) return;
    const visible = buttons.filter((button) => button.checkVisibility());
    visible[step(event.key, visible.indexOf(event.target), visible.length, 1)].focus();
    take(event);
  };
  return buttons;
}

/** The empty parts of an explorer in the order in which they are read; CSS moves the caption down. */
function makeParts() {
  const trail = give(make("div", "trail"), { role: "group", ariaLabel: "Layers" });
  return {
    caption: give(make("p", "caption", make("span"), ""), { ariaLive: "polite" }),
    readout: make("div", "readout"),
    top: make("div", "top", make("div", "header"), trail),
    scene: Object.assign(make("div", "scene"), { role: "group", tabIndex: -1 }), // said, or it takes no focus
    reset: give(smallButton("Back to start"), { title: "Image, place and settings as at first; this view stays open" }),
    copy: smallButton("Copy"),
    tip: make("div", "tip"),
  };
}
