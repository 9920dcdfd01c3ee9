// The explorer: tabs, controls, the open view and what is said of it, around a host's state.

const HINT = `Click or press Enter to select; arrow keys move between maps, \
Shift + arrow keys between values.`;

// A server holds a short message back until the page has acknowledged the one before, which the page
// puts off for 40 ms unless it sends something itself (Nagle's algorithm). So it does, while it waits.
const NUDGE = 8; // ms to the first, each later one waits twice as long

/**
 * Shows a host's explorer in `el` and gives the function that takes it away.
 *
 * The host is a kernel (an anywidget model) or a network in the page; it has get, on, off and send.
 */
function mount(host, el) {
  const parts = makeParts();
  const said = { complaint: "", notice: "", pointed: null, focused: null };
  let sent = host.get("state").serial;
  let waiting = null;
  let nudging = null;

  const busy = () => sent > host.get("state").serial || waiting !== null;
  const flush = () => {
    if (!waiting || sent > host.get("state").serial) return;
    sent = Math.max(sent, host.get("state").serial) + 1;
    host.send({ select: waiting, serial: sent });
    waiting = null;
    nudge(sent, NUDGE);
  };
  const nudge = (serial, delay) => {
    nudging = setTimeout(() => {
      if (host.get("state").serial >= serial) return;
      host.send({});
      nudge(serial, 2 * delay);
    }, delay);
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
    select,
    busy,
    pick: select,
    complain: say("complaint"),
    point: at("pointed"),
    focus: at("focused"),
  };
  const show = () => {
    const state = host.get("state");
    el.classList.toggle("dark", isDark());
    if (differs(parts.tabs, [state.tabs, state.view])) drawTabs(parts.tabs, state, select);
    const { header, trail, scene } = scenesOf(state);
    drawItems(parts.header, [header], context);
    drawItems(parts.trail, trail.items, context);
    drawControls(parts.controls, state.controls, context);
    drawItems(parts.scene, [scene.content], context);
    parts.scene.ariaLabel = scene.caption;
    write(parts.caption, scene.caption);
    speak();
  };
  const answer = () => {
    flush();
    show();
  };
  const progress = () => drawProgress(parts.progress, host.get("progress"), host);

  parts.reset.onclick = () => select({ reset: true });
  parts.copy.onclick = async () => say("notice")(await copy(host.get("state").call, parts.foot));
  el.classList.add("mnist-explorer");
  el.replaceChildren(...parts.all);
  const unwatch = watchTheme(show);
  const showStill = hideStill(el);
  host.on("change:state", answer);
  host.on("change:progress", progress);
  show();
  progress();
  return () => {
    host.off?.("change:state", answer);
    host.off?.("change:progress", progress);
    parts.controls.querySelectorAll(".control").forEach((control) => control.stop?.());
    clearTimeout(nudging);
    unwatch();
    showStill();
  };
}

/** The empty parts of an explorer, from top to bottom. */
function makeParts() {
  const button = (text) => focusable(make("button", "small", text));
  const parts = {
    tabs: Object.assign(make("div", "tabs"), { role: "tablist", ariaLabel: "Views" }),
    header: make("div", "header"),
    controls: make("div", "controls"),
    trail: Object.assign(make("div", "trail"), { role: "group", ariaLabel: "Layers" }),
    progress: make("div", "progress"),
    scene: Object.assign(make("div", "scene"), { role: "group" }),
    readout: Object.assign(make("div", "readout"), { role: "status", ariaLive: "polite" }),
    caption: make("p", "caption"),
    reset: button("Back to start"),
    copy: button("Copy call"),
  };
  parts.foot = make("div", "foot", parts.caption, parts.reset, parts.copy);
  const top = make("div", "top", parts.header, parts.controls);
  const { tabs, progress, trail, scene, readout, foot } = parts;
  parts.all = [tabs, top, progress, trail, scene, readout, foot];
  return parts;
}

/** Draws the tabs; arrow keys move between them, Enter and a click open one. */
function drawTabs(bar, { tabs, view }, select) {
  const hasFocus = bar.contains(document.activeElement);
  const buttons = tabs.map(([name, title]) => {
    const button = focusable(make("button", "tab", title));
    const isOpen = name === view;
    Object.assign(button, { role: "tab", ariaSelected: isOpen, tabIndex: isOpen ? 0 : -1 });
    button.onclick = () => select({ view: name });
    return button;
  });
  bar.onkeydown = (event) => {
    if (!MOVES.includes(event.key)) return;
    const index = buttons.indexOf(document.activeElement);
    buttons[step(event.key, index, buttons.length, 1)].focus();
    event.preventDefault();
    event.stopPropagation();
  };
  bar.replaceChildren(...buttons);
  if (hasFocus) buttons.find((button) => button.tabIndex === 0)?.focus();
}

/** Shows how far a long computation is, with a way to stop it. */
function drawProgress(box, progress, host) {
  box.hidden = !progress;
  if (!progress) return box.replaceChildren();
  if (!box.firstChild) {
    const stop = focusable(make("button", "small", "Stop"));
    stop.onclick = () => host.send({ stop: true });
    box.replaceChildren(make("span"), make("progress"), stop);
  }
  const [text, meter] = box.children;
  write(text, progress.text);
  meter.ariaLabel = progress.text;
  meter.value = progress.fraction;
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
  let still = null;
  let frame = requestAnimationFrame(function look() {
    if (!el.isConnected) return void (frame = requestAnimationFrame(look));
    const before = el.closest(".jp-OutputArea-child")?.previousElementSibling;
    still = before?.querySelector("img") ? before : null;
    if (still) still.style.display = "none";
  });
  return () => {
    cancelAnimationFrame(frame);
    if (still) still.style.display = "";
  };
}
