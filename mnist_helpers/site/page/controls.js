// The lab's controls: each changes one part of the selection. Their elements stay while they are shown.

/** Shows a host's explorer in `el`, below tabs and controls; gives the function that takes it away. */
function mountWithControls(host, el) {
  const tabs = Object.assign(make("div", "tabs"), { role: "tablist", ariaLabel: "Views" });
  const bar = make("div", "controls");
  const body = make("div");
  el.classList.add("mnist-explorer");
  el.replaceChildren(tabs, bar, body);
  const unmount = mount(host, body, (state, context) => {
    if (differs(tabs, [state.tabs, state.view])) drawTabs(tabs, state, context.select);
    drawControls(bar, state.controls, context);
  });
  return () => {
    bar.querySelectorAll(".control").forEach((control) => control.stop?.());
    unmount();
  };
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

/** Draws the controls into `bar`; `context` has select(part), complain(sentence) and busy(). */
function drawControls(bar, controls, context) {
  const old = new Map([...bar.children].map((element) => [element.dataset.key, element]));
  controls.forEach((control, i) => {
    const key = `${control.kind} ${control.name}`;
    const element = old.get(key) ?? createControl(control, context);
    element.dataset.key = key;
    old.delete(key);
    if (bar.children[i] !== element) bar.insertBefore(element, bar.children[i] ?? null);
    element.show(control);
  });
  old.forEach((element) => {
    element.stop?.();
    element.remove();
  });
}

/** A control with its label; `show` brings it in line with the state. */
function createControl({ kind, name, label }, context) {
  const element = make("div", `control ${kind}`, make("span", "", label));
  const send = (value) => context.select({ [name]: value });
  let isNew = true; // and shows its value also where an answer is awaited
  const busy = () => !isNew && context.busy();
  const input = focusable(CONTROLS[kind](element, send, { ...context, busy }));
  element.append(input);
  const { show } = element;
  element.show = (control) => {
    input.ariaLabel = control.label;
    input.disabled = control.disabled ?? false;
    show(control);
    isNew = false;
  };
  input.addEventListener("keydown", (event) => event.stopPropagation());
  return element;
}

/** A slider whose steps may have values and texts of their own. */
function rangeControl(element, send, context) {
  const input = Object.assign(make("input"), { type: "range", min: 0 });
  const output = make("output");
  let control;
  const tell = () => {
    const count = `${Number(input.value) + 1} of ${control.max + 1}`;
    const plain = control.counted ? count : input.value;
    const text = String(control.texts?.[input.value] ?? plain);
    write(output, text);
    input.ariaValueText = text;
  };
  input.oninput = () => {
    tell();
    send(control.values ? control.values[input.value] : Number(input.value));
  };
  element.show = (next) => {
    control = next;
    input.max = control.max;
    if (!context.busy()) input.value = control.value;
    if (!output.isConnected) input.after(output);
    if (control.playable && !element.stop) input.before(playButton(element, input, context));
    tell();
  };
  return input;
}

/** A button that walks a slider two steps a second, to its end. */
function playButton(element, input, context) {
  const button = focusable(make("button", "play"));
  let timer = null;
  const show = () => {
    write(button, timer ? "❚❚" : "▶");
    button.ariaLabel = `${timer ? "Pause" : "Play"} ${input.ariaLabel}`;
  };
  element.stop = () => {
    clearInterval(timer);
    timer = null;
    show();
  };
  const walk = () => {
    if (input.value === input.max || input.disabled) return element.stop();
    if (context.busy()) return;
    input.stepUp();
    input.oninput();
  };
  button.onclick = () => {
    if (timer) return element.stop();
    timer = setInterval(walk, 500);
    show();
  };
  show();
  return button;
}

/** A list of named values, null among them. */
function choiceControl(element, send, context) {
  const input = make("select");
  let control;
  input.onchange = () => send(control.options[input.selectedIndex][1]);
  element.show = (next) => {
    control = next;
    if (differs(input, control.options)) {
      input.replaceChildren(...control.options.map(([label]) => new Option(label)));
    }
    const chosen = JSON.stringify(control.value);
    if (context.busy()) return;
    const values = control.options.map(([, value]) => JSON.stringify(value));
    input.selectedIndex = values.indexOf(chosen);
  };
  return input;
}

/** A box for a whole number; anything else selects nothing and is said. */
function numberControl(element, send, context) {
  const input = Object.assign(make("input"), { type: "number", min: 0, step: 1 });
  let control;
  input.onchange = () => {
    const isWhole = /^\d+$/.test(input.value) && Number(input.value) <= control.max;
    const most = control.max.toLocaleString("en");
    input.ariaInvalid = String(!isWhole);
    context.complain(isWhole ? "" : `${control.label} must be a whole number from 0 to ${most}.`);
    if (!isWhole) return;
    remembered.delete(input); // so that the answer is shown even where it is the old value
    send(Number(input.value));
  };
  element.show = (next) => {
    control = next;
    input.max = control.max;
    if (context.busy() || !differs(input, control.value)) return;
    input.value = control.value;
    input.ariaInvalid = "false";
    context.complain("");
  };
  return input;
}

const CONTROLS = { range: rangeControl, choice: choiceControl, number: numberControl };
