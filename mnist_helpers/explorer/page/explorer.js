// The page of an explorer: the open view and what is said of it, around a host's state.

const HINT = `Click or press Enter to select; arrow keys move between maps, \
Shift + arrow keys between values.`;

// A server holds a short message back until the page has acknowledged the one before, which the page
// puts off for 40 ms unless it sends something itself (Nagle's algorithm). So it does, while it waits.
const NUDGE = 8; // ms to the first, each later one waits twice as long
const LAST_NUDGE = 300;
const PLAY = { "fa-play": "Play", "fa-pause": "Pause", "fa-stop": "Back to the first", "fa-retweet": "Loop" };

/**
 * Shows a host's scenes in `el` and gives the function that takes them away.
 *
 * The host is a kernel (an anywidget model) or a network in the page; it has get, on, off and send.
 * In a notebook `el` lies in the explorer's box, below its tabs and controls.
 */
function mount(host, el) {
  const parts = makeParts();
  const sender = makeSender(host);
  const leaving = new AbortController();
  const said = { complaint: "", notice: "", pointed: null, focused: null };
  const textAt = (at) => (at?.view.element.isConnected ? at.view.describe(at.view, at.place) : "");
  const tell = (changes) => {
    Object.assign(said, changes);
    const error = said.complaint || host.get("state").error;
    const hint = parts.scene.querySelector(".selects") ? HINT : "";
    parts.readout.classList.toggle("error", error !== "");
    write(parts.readout, error || said.notice || textAt(said.focused) || hint);
    write(parts.tip, textAt(said.pointed));
  };
  const context = {
    busy: sender.busy,
    pick: sender.select,
    complain: (complaint) => tell({ complaint }),
    point: (view, place, event) => {
      tell({ notice: "", pointed: place && { view, place } });
      const { left, top, width } = el.getBoundingClientRect();
      const share = `${(100 * (event.clientX - left)) / width}%`; // it stays inside the explorer
      const translate = `-${share} 20px`;
      Object.assign(parts.tip.style, { left: share, top: `${event.clientY - top}px`, translate });
    },
    focus: (view, place) => tell({ notice: "", pointed: null, focused: place && { view, place } }),
  };
  const show = () => {
    const state = host.get("state");
    const hadFocus = parts.scene.contains(document.activeElement);
    const { header, trail, scene } = scenesOf(state);
    drawItems(parts.header, [header], context);
    drawItems(parts.trail, trail.items, context);
    drawItems(parts.scene, [scene.content], context);
    parts.scene.dataset.view = state.view;
    parts.scene.ariaLabel = scene.caption;
    write(parts.caption, scene.caption);
    tell({});
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
  el.replaceChildren(parts.top, parts.readout, parts.scene, parts.foot, parts.tip);
  attach(el, sender.nudge, leaving.signal);
  host.on("change:state", answer);
  show();
  return () => {
    host.off("change:state", answer);
    sender.stop();
    leaving.abort();
    el.replaceChildren();
  };
}

/**
 * Sends a host what is selected, one message at a time: what comes in between is merged. What turns
 * a channel on or off, or leads back to the start, goes at once, for it counts each time.
 */
function makeSender(host) {
  let sent = host.get("state").serial;
  let waiting;
  let nudging;
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
    flush("ablate" in part || "reset" in part);
  };
  const nudge = (delay = NUDGE) => {
    clearTimeout(nudging);
    const state = host.get("state");
    nudging = setTimeout(() => {
      if (host.get("state") !== state || delay > LAST_NUDGE) return;
      host.send({});
      nudge(2 * delay);
    }, delay);
  };
  return { busy, flush, select, nudge, stop: () => clearTimeout(nudging) };
}

/** Attends to the explorer's box as soon as `el` is in it; without a box, `el` is one. */
function attach(el, moved, signal) {
  if (signal.aborted) return;
  if (!el.isConnected) {
    requestAnimationFrame(() => attach(el, moved, signal));
    return;
  }
  const box = el.closest(".mnist-explorer");
  if (box) attend(box, el, moved, signal);
  else el.classList.add("mnist-explorer");
}

/**
 * Attends to the ipywidgets in an explorer's box: gives them what they lack for keys and screen
 * readers, and calls `moved` when one is moved.
 */
function attend(box, el, moved, signal) {
  const name = () => {
    nameControls(box, el);
    box.querySelectorAll(".mnist-tabs").forEach(nameTabs);
  };
  const observer = new MutationObserver(name);
  const options = { childList: true, subtree: true, attributeFilter: ["class", "aria-valuetext"] };
  const outside = (event) => {
    if (el.contains(event.target)) return;
    if (event.type === "pointermove" && !event.buttons) return; // nothing is dragged
    if (event.key === "End" && event.target.role === "slider") goToEnd(event);
    moved();
  };
  for (const child of box.children) {
    if (!child.contains(el)) observer.observe(child, options);
  }
  name();
  for (const event of ["input", "change", "click", "keydown", "pointermove"]) {
    box.addEventListener(event, outside, { capture: true, signal });
  }
  signal.addEventListener("abort", () => observer.disconnect());
}

/** Moves a slider to its end; noUiSlider itself would go to the end that it had at the start. */
function goToEnd(event) {
  const slider = event.target.closest(".slider").noUiSlider;
  slider.set(slider.options.range.max);
  take(event);
}

/** Gives the handles of sliders and the buttons that play them their names. */
function nameControls(box, el) {
  for (const slider of box.querySelectorAll(".widget-slider")) {
    const label = slider.querySelector(".widget-label").textContent;
    const handle = slider.querySelector(".noUi-handle");
    const readout = slider.querySelector(".widget-readout");
    give(handle, { ariaLabel: label, ariaValueText: readout.textContent });
    give(readout, { role: "textbox", ariaLabel: `${label}, as text` });
  }
  for (const [kind, name] of Object.entries(PLAY)) {
    for (const icon of box.querySelectorAll(`.widget-play .${kind}`)) {
      give(icon.parentElement, { ariaLabel: name, title: name });
    }
  }
  for (const part of box.querySelectorAll("button, input, select, [tabindex], [contenteditable]")) {
    if (!el.contains(part)) focusable(part);
  }
}

/** Makes a row of ToggleButtons tabs: one of them takes the focus, arrow keys move it. */
function nameTabs(row) {
  const buttons = [...row.querySelectorAll("button")];
  give(row.lastElementChild, { role: "tablist", ariaLabel: "Views" });
  for (const button of buttons) {
    const isOpen = button.classList.contains("mod-active");
    give(button, { role: "tab", ariaSelected: `${isOpen}`, tabIndex: isOpen - 1 });
  }
  row.onkeydown = (event) => {
    if (!MOVES.includes(event.key)) return;
    const index = buttons.indexOf(document.activeElement);
    buttons[step(event.key, index, buttons.length, 1)].focus();
    take(event);
  };
}

/** The empty parts of an explorer. */
function makeParts() {
  const header = make("div", "header");
  const trail = Object.assign(make("div", "trail"), { role: "group", ariaLabel: "Layers" });
  const caption = make("p", "caption");
  const reset = smallButton("Back to start");
  const copy = smallButton("Copy");
  return {
    header,
    trail,
    caption,
    reset,
    copy,
    top: make("div", "top", header, trail),
    scene: Object.assign(make("div", "scene"), { role: "group", tabIndex: -1 }),
    tip: make("div", "tip"),
    readout: Object.assign(make("div", "readout"), { role: "status", ariaLive: "polite" }),
    foot: make("div", "foot", caption, reset, copy),
  };
}
