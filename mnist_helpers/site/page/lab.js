// The lab: a host for the explorer whose network is in the page. The selection is in the address.

const VIEWS = {
  pipeline: pipelineView,
  kernels: kernelsView,
  feature_maps: featureMapsView,
  arithmetic: arithmeticView,
  ablation: ablationView,
  answer: answerView,
  drawing: drawingView,
};
const PLACES = ["channel", "row", "column"];
const LIMITS = ["layer", "robust", "each"]; // those of all images the page doesn't have
const START = { view: "pipeline", image: 0, layer: null, channel: null, row: null, column: null };
Object.assign(START, { input_channel: null, target: null, limits: "layer", ablated: [], drawing: null });
const MOST_BYTES = 10_000_000; // of a file with weights; the published ones are 0.8 MB
const ALL_PIXELS = Float32Array.from(bytesOf("pixels"), (level) => LAB.levels[level]);
const IMAGES = LAB.labels.map((_, i) => ALL_PIXELS.subarray(784 * i, 784 * (i + 1)));
let network = { name: LAB.weights, weights: readSafetensors(PUBLISHED) };
let kept = new WeakMap(); // what every layer makes of an image

/** The image of a selection: the one place that says where it comes from. */
function imageOf(selection) {
  return selection.drawing ? preparedOf(selection.drawing).image : IMAGES[selection.image];
}

/** The logits of images, each 784 normalised numbers. */
function predict(images) {
  return images.map((image) => [...forward(image, network.weights)[LAYERS[SOFTMAX].inputs[0]]]);
}

/** The network at a selection, with what that leaves open filled in. */
function lookAt(selection) {
  const layer = selection.layer ?? CONVOLUTIONS[0];
  const [image, { weights }] = [imageOf(selection), network];
  if (!kept.has(image)) kept.set(image, forward(image, weights));
  const maps = (name) => ({ data: kept.get(image)[name], shape: LAYERS[name].shape });
  const found = largestAt(maps(layer), PLACES.map((name) => selection[name]));
  const at = { ...selection, layer, weights: network.name, ...found.at };
  const probs = maps(SOFTMAX).data;
  const [label, read] = [DIGIT_NAMES[LAB.labels[at.image]], DIGIT_NAMES[indexOfLargest(probs)]];
  const sure = percent(largestOf(probs));
  const isDrawn = at.drawing !== null;
  const name = isDrawn ? "Your drawing" : `Image ${at.image}`;
  const title = `${name}${isDrawn ? "" : `, a ${label}`}, read as ${read} with ${sure}`;
  const look = { at, image, weights, maps, probs, name, title, isDrawn, label, read, sure };
  return { ...look, values: maps(layer), value: found.value };
}

const TIE = 1e-3; // of the largest value: what differs by less counts as equal, as in Python

/** Where the first of the largest of maps is, and it, among those at the coordinates that are given. */
function largestAt({ data, shape: [channels, height, width] }, given) {
  const [all, rows, columns] = [channels, height, width].map((size, i) =>
    given[i] === null ? range(size) : [Math.min(given[i], size - 1)],
  );
  const places = all.flatMap((channel) =>
    rows.flatMap((row) => columns.map((column) => ({ channel, row, column }))),
  );
  const valueAt = ({ channel, row, column }) => data[(channel * height + row) * width + column];
  const top = largestOf(places.map(valueAt));
  const at = places.find((place) => valueAt(place) >= top - TIE * Math.abs(top));
  return { at, value: valueAt(at) };
}

/** The image, small, and the answer, large. */
function headerOf({ image, isDrawn, label, read, sure }) {
  const said = isDrawn ? "no label" : `label ${label}`;
  const answer = text(read, { size: "large", notes: [`${sure}, ${said}`] });
  return row(picture(image, 56, { select: {} }), answer);
}

/** The way from the image to the answer: a button for each layer. */
function trailOf({ at }) {
  const [, controls] = LAB.views[at.view];
  if (!controls.some(({ name }) => name === "layer")) return row();
  const step = (layer) => text(layer, { select: { layer }, framed: layer === at.layer });
  return row(text("You are here:"), ...Object.keys(LAYERS).map(step));
}

/** The controls of the open view that the page knows, with their values and ranges. */
function controlsOf(look) {
  const counts = Object.fromEntries(PLACES.map((name, i) => [name, look.values.shape[i]]));
  if (look.at.view === "arithmetic") counts.input_channel = Math.max(explained(look).count, 1);
  const [, controls] = LAB.views[look.at.view];
  const isKnown = ({ name }) => name === "position" || name in START;
  return controls.filter(isKnown).map((control) => {
    const { name, kind, values } = control;
    if (name === "limits") control.options = LIMITS.map((each) => [each, each]);
    const field = name === "position" ? look.at.image : look.at[name];
    const value = values ? values.indexOf(field) : field;
    if (kind !== "range") return { ...control, value };
    const max = name in counts ? counts[name] - 1 : control.max;
    return { ...control, max, disabled: max === 0, value: Math.min(value ?? 0, max) };
  });
}

/** The selection after a control or a click changed a part of it. */
function moved(at, { position, ablate, reset, ...part }) {
  if (reset) return { ...START, view: at.view };
  if (position !== undefined) part.image = position;
  if (part.image !== undefined) part.drawing = null;
  if (ablate !== undefined) part.ablated = ablate ? toggled(at.ablated, ablate) : [];
  const next = { ...at };
  for (const name of Object.keys(at)) if (name in part) next[name] = part[name];
  if (!("layer" in part)) return next;
  const place = lookAt(next).at; // what was chosen in another layer moves inside this one
  const chosen = PLACES.filter((name) => next[name] !== null).map((name) => [name, place[name]]);
  return { ...next, ...Object.fromEntries(chosen) };
}

/** Pairs with one more, or without it where it is among them, in order. */
function toggled(pairs, pair) {
  const others = pairs.filter((each) => String(each) !== String(pair));
  const all = others.length < pairs.length ? others : [...pairs, pair];
  return all.toSorted(([a, i], [b, j]) => a.localeCompare(b) || i - j);
}

/** Scenes as JSON, and the bytes of the arrays in them, to which it refers by number. */
function encoded(parts) {
  const numbers = [];
  const plain = (_, value) => {
    if (!(value?.data instanceof Float32Array)) return value;
    const { buffer, byteOffset, byteLength } = value.data;
    const view = new DataView(buffer, byteOffset, byteLength);
    return { array: numbers.push(view) - 1, shape: value.shape };
  };
  return { shown: JSON.stringify(parts, plain), numbers };
}

/** All that the page needs to draw. */
function stateOf(selection, serial = 0, error = "") {
  const look = lookAt(selection);
  const scene = { kind: "scene", ...VIEWS[selection.view](look) };
  return {
    tabs: Object.keys(VIEWS).map((name) => [name, LAB.views[name][0]]),
    view: selection.view,
    controls: controlsOf(look),
    ...encoded({ header: headerOf(look), trail: trailOf(look), scene }),
    call: callOf(selection),
    error,
    serial,
  };
}

/** The call of Python that leads to a selection. */
function callOf(selection) {
  const write = (value) => {
    if (!Array.isArray(value)) return typeof value === "string" ? `'${value}'` : value;
    return `(${value.map(write).join(", ")}${value.length === 1 ? "," : ""})`;
  };
  const fields = differing(selection).map((name) => `${name}=${write(selection[name])}`);
  return `explore(${["model", "images", "labels", ...fields].join(", ")})`;
}

/** The names of the fields that are not as at the start, but for a drawing: it would fill pages. */
function differing(selection) {
  const isOther = (name) =>
    name !== "drawing" && String(selection[name]) !== String(START[name]);
  return Object.keys(START).filter(isOther);
}

/** The same fields as the address has them: layer=conv2&ablated=conv1.3+conv2.5. */
function hashOf(selection) {
  const write = (value) => [value].flat().map((pair) => [pair].flat().join(".")).join("+");
  return differing(selection).map((name) => `${name}=${write(selection[name])}`).join("&");
}

/** The selection of an address; an Error says what in it doesn't exist. */
function selectionOf(hash) {
  const selection = { ...START };
  const isLayer = ([name]) => name === "layer"; // it says which channels there are
  const fields = [...new URLSearchParams(hash)].toSorted((a, b) => isLayer(b) - isLayer(a));
  for (const [name, text] of fields) {
    const values = text.split(" ").map((each) => valueOf(name, each, selection.layer));
    selection[name] = name === "ablated" ? values.reduce(toggled, []) : values[0];
  }
  return selection;
}

/** The value of a field that is written so. */
function valueOf(name, text, layer) {
  const sizes = LAYERS[layer ?? CONVOLUTIONS[0]].shape;
  const channels = (each) => range(LAYERS[each].shape[0]).map((channel) => [each, channel]);
  const values = {
    ...Object.fromEntries(PLACES.map((place, i) => [place, range(sizes[i])])),
    view: Object.keys(VIEWS),
    image: range(IMAGES.length),
    layer: Object.keys(LAYERS),
    input_channel: range(32),
    target: range(10),
    limits: LIMITS,
    ablated: CONVOLUTIONS.flatMap(channels),
  };
  const known = Object.hasOwn(values, name) ? values[name] : [];
  const value = known.find((each) => [each].flat().join(".") === text);
  if (value === undefined) throw new Error(`there is no ${name.replaceAll("_", " ")} ${text}`);
  return value;
}

const host = {
  selection: START,
  get: (name) => (name === "state" ? host.state : null),
  on: (event, call) => {
    if (event === "change:state") host.tell = call;
  },
  send: ({ select, serial }) => {
    if (select) queueMicrotask(() => go(moved(host.selection, select), serial));
  },
};

/** Shows a selection and writes it into the address, unless that was wrong. */
function go(selection, serial = host.state?.serial, error = "") {
  host.selection = selection;
  if (!error) history.replaceState(null, "", `#${hashOf(selection)}`);
  host.state = stateOf(selection, serial, error);
  host.tell?.();
  drawPicker();
}

/** Goes where the address leads; what doesn't exist is said, and nothing else changes. */
function goThere() {
  try {
    go(selectionOf(location.hash.slice(1)));
  } catch (wrong) {
    go(host.selection, undefined, `This address leads nowhere: ${oneLine(wrong.message)}.`);
  }
}

/** All images, small; a click on one chooses it, and the chosen one is framed. */
function drawPicker() {
  const box = document.getElementById("images");
  const side = matchMedia("(pointer: coarse), (max-width: 620px)").matches ? 44 : 28;
  const frames = [[host.selection.image, null]];
  if (differs(box, [side, isDark()])) {
    const labels = IMAGES.map((_, i) => String(i));
    const values = array(ALL_PIXELS, IMAGES.length, 28, 28);
    const limits = [[LAB.levels[0], LAB.levels.at(-1)]];
    const mark = { labels, frames, columns: 50, palette: "ink", unit: "test images" };
    const picture = grid(values, side, limits, { ...mark, select: { image: "@index" } });
    const context = { pick: (part) => go(moved(host.selection, part)), point() {}, focus() {} };
    drawItems(box, scenesOf(encoded([picture])), context);
    box.classList.toggle("dark", isDark());
  }
  const { view } = box.firstChild;
  view.mark.frames = frames;
  putBox(view, view.frames[0], host.selection.image, null);
  putCaret(view, view.caret);
}

/** Takes other weights from a file of the reader's; what is wrong with it is said. */
async function takeWeights(file) {
  let said = "is read: what you see now is its network.";
  try {
    if (file.size > MOST_BYTES) throw new Error("it is larger than 10 MB");
    const weights = readSafetensors(await file.arrayBuffer());
    if (!areTame(weights)) throw new Error("its numbers are too large to reckon with");
    network = { name: "own", weights };
    kept = new WeakMap();
    go(host.selection);
  } catch (wrong) {
    const cause = wrong.constructor === Error ? wrong.message : "it can't be read"; // or a folder
    said = `was not taken: ${oneLine(cause)}. Nothing has changed.`;
  }
  write(document.getElementById("said"), `${oneLine(file.name)} ${said}`);
}

/** Puts everything on the page. */
function start() {
  goThere();
  mountWithControls(host, document.getElementById("explorer"));
  addEventListener("hashchange", goThere);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawPicker);
  const input = document.getElementById("file");
  input.onchange = () => input.files.length && takeWeights(input.files[0]);
  document.ondragover = (event) => event.preventDefault();
  document.ondrop = (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) takeWeights(event.dataTransfer.files[0]);
  };
}

start();
