// The page of an explorer: the open view and what is said of it, around a host's state.

const HINT = `Click or press Enter to select; arrow keys move between maps, \
Shift + arrow keys between values.`;

// A server holds a short message back until the page has acknowledged the one before, which the page
// puts off for 40 ms unless it sends something itself (Nagle's algorithm). So it does, while it waits.
const NUDGE = 8; // ms to the first, each later one waits twice as long
const LAST_NUDGE = 300;
const PLAY = { "fa-play": "Play", "fa-pause": "Pause", "fa-stop": "Back to the first" };

/**
 * Shows a host's scenes in `el` and gives the function that takes them away.
 *
 * The host is a kernel (an anywidget model) or a network in the page; it has get, on, off and send.
 * In a notebook `el` lies in the explorer's box, below its tabs and controls.
 */
function mount(host, el) {
  const parts = makeParts();
  const said = { complaint: "", notice: "", pointed: null, focused: null };
  let sent = host.get("state").serial;
  let waiting = null;
  let nudging = null;
  let box = null;

  const busy = () => sent > host.get("state").serial || waiting !== null;
  const flush = () => {
    if (!waiting || sent > host.get("state").serial) return;
    sent = Math.max(sent, host.get("state").serial) + 1;
    host.send({ select: waiting, serial: sent });
    waiting = null;
    nudge(NUDGE);
  };
  const nudge = (delay) => {
    clearTimeout(nudging);
    const state = host.get("state");
    const again = () => {
      if (host.get("state") !== state || delay > LAST_NUDGE) return;
      host.send({});
      nudge(2 * delay);
    };
    nudging = setTimeout(again, delay);
  };
  const select = (part) => {
    waiting = { ...waiting, ...part };
    flush();
  };
  const speak = () => {
    const at = said.pointed ?? said.focused;
    const place = at && at.view.element.isConnected ? at.view.describe(at.view, at.place) : "";
    const error = said.complaint || host.get("state").error;
    parts.readout.classList.toggle("error", Boolean(error));
    write(parts.readout, error || said.notice || place || HINT);
  };
  const say = (name) => (value) => {
    said[name] = value;
    speak();
  };
  const at = (name) => (view, place) => {
    said.notice = "";
    said.pointed = null; // the last that moved, pointer or focus, is told
    say(name)(place && view.describe ? { view, place } : null);
  };
  const context = {
    busy,
    pick: select,
    complain: say("complaint"),
    point: at("pointed"),
    focus: at("focused"),
  };
  const show = () => {
    const state = host.get("state");
    (box ?? el).classList.toggle("dark", isDark());
    const { header, trail, scene } = scenesOf(state);
    drawItems(parts.header, [header], context);
    drawItems(parts.trail, trail.items, context);
    drawItems(parts.scene, [scene.content], context);
    parts.scene.dataset.view = state.view;
    parts.scene.ariaLabel = scene.caption;
    write(parts.caption, scene.caption);
    speak();
  };
  const answer = () => {
    flush();
    show();
  };

  parts.reset.onclick = () => select({ reset: true });
  parts.copy.onclick = async () => say("notice")(await copy(host.get("state").call, parts.foot));
  el.replaceChildren(...parts.all);
  const unwatch = watchTheme(show);
  let leave = () => {};
  const unattach = whenAttached(el, () => {
    box = el.closest(".mnist-explorer");
    if (!box) el.classList.add("mnist-explorer");
    const showStill = hideStill(el);
    const forget = box && box !== el ? attend(box, el, () => nudge(NUDGE)) : () => {};
    leave = () => {
      forget();
      showStill();
    };
    show();
  });
  host.on("change:state", answer);
  show();
  return () => {
    host.off?.("change:state", answer);
    clearTimeout(nudging);
    unattach();
    unwatch();
    leave();
  };
}

/** Calls `then` as soon as an element is in the page; gives the function that ends the waiting. */
function whenAttached(el, then) {
  let frame = null;
  const look = () => {
    if (el.isConnected) return then();
    frame = requestAnimationFrame(look);
  };
  look();
  return () => cancelAnimationFrame(frame);
}

/**
 * Attends to the ipywidgets in an explorer's box: gives them what they lack for keys and screen
 * readers, and calls `moved` when one is moved. Gives the function that ends it.
 */
function attend(box, el, moved) {
  const [tabs] = box.getElementsByClassName("mnist-tabs");
  const name = () => {
    nameControls(box, el);
    if (tabs) nameTabs(tabs);
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
  const events = ["input", "change", "click", "keydown", "pointermove"];
  events.forEach((event) => box.addEventListener(event, outside, true));
  return () => {
    observer.disconnect();
    events.forEach((event) => box.removeEventListener(event, outside, true));
  };
}

/** Moves a slider to its end; noUiSlider itself would go to the end that it had at the start. */
function goToEnd(event) {
  const slider = event.target.closest(".slider").noUiSlider;
  slider.set(slider.options.range.max);
  event.preventDefault();
  event.stopPropagation();
}

/** Gives the handles of sliders and the buttons that play them their names. */
function nameControls(box, el) {
  for (const slider of box.querySelectorAll(".widget-slider")) {
    const label = slider.querySelector(".widget-label").textContent;
    const handle = slider.querySelector(".noUi-handle");
    const readout = slider.querySelector(".widget-readout");
    handle.ariaLabel = label;
    if (handle.ariaValueText !== readout.textContent) handle.ariaValueText = readout.textContent;
    Object.assign(readout, { role: "textbox", ariaLabel: `${label}, as text` });
  }
  for (const icon of box.querySelectorAll(".widget-play i")) {
    const name = Object.keys(PLAY).find((kind) => icon.classList.contains(kind));
    Object.assign(icon.parentElement, { ariaLabel: PLAY[name], title: PLAY[name] });
  }
  for (const part of box.querySelectorAll("button, input, select, [tabindex], [contenteditable]")) {
    if (!el.contains(part)) focusable(part);
  }
}

/** Makes a row of ToggleButtons tabs: one of them takes the focus, arrow keys move it. */
function nameTabs(row) {
  const buttons = [...row.querySelectorAll("button")];
  const [first] = buttons;
  if (!first) return;
  Object.assign(first.parentElement, { role: "tablist", ariaLabel: "Views" });
  for (const button of buttons) {
    const isOpen = button.classList.contains("mod-active");
    button.role = "tab";
    button.ariaSelected = String(isOpen);
    button.tabIndex = isOpen ? 0 : -1;
  }
  row.onkeydown = (event) => {
    if (!MOVES.includes(event.key)) return;
    const index = buttons.indexOf(document.activeElement);
    buttons[step(event.key, index, buttons.length, 1)].focus();
    event.preventDefault();
    event.stopPropagation();
  };
}

/** The empty parts of an explorer, from top to bottom. */
function makeParts() {
  const button = (text) => focusable(make("button", "small", text));
  const parts = {
    header: make("div", "header"),
    trail: Object.assign(make("div", "trail"), { role: "group", ariaLabel: "Layers" }),
    scene: Object.assign(make("div", "scene"), { role: "group" }),
    readout: Object.assign(make("div", "readout"), { role: "status", ariaLive: "polite" }),
    caption: make("p", "caption"),
    reset: button("Back to start"),
    copy: button("Copy call"),
  };
  parts.foot = make("div", "foot", parts.caption, parts.reset, parts.copy);
  const top = make("div", "top", parts.header, parts.trail);
  parts.all = [top, parts.scene, parts.readout, parts.foot];
  return parts;
}

/** Copies a text, or shows it ready to be copied; gives a sentence that says which. */
async function copy(text, foot) {
  try {
    await navigator.clipboard.writeText(text);
    return `Copied: ${text}`;
  } catch {
    foot.querySelector("input")?.remove();
    const input = focusable(Object.assign(make("input"), { readOnly: true, value: text }));
    input.ariaLabel = "The call";
    foot.append(input);
    input.select();
    return "Press Ctrl + C to copy the call.";
  }
}

/** Calls `show` when the theme changes; gives the function that ends it. */
function watchTheme(show) {
  const observer = new MutationObserver(show);
  observer.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", show);
  return () => {
    observer.disconnect();
    scheme.removeEventListener("change", show);
  };
}

/** Hides the picture shown before the widget; gives the function that brings it back. */
function hideStill(el) {
  const before = el.closest(".jp-OutputArea-child")?.previousElementSibling;
  const still = before?.querySelector("img") ? before : null;
  if (still) still.style.display = "none";
  return () => {
    if (still) still.style.display = "";
  };
}
