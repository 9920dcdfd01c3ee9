// The lab: a host for the page's scene whose network is in the page. The selection is in the address.

const PLACES = ["channel", "row", "column"];
const START = { image: 0, drawing: null, layer: null, channel: null, row: null, column: null, input_channel: null };
const TIE = 1e-3; // of the largest value: what differs by less counts as equal, as in Python
const MOST_BYTES = 10_000_000; // of a file with weights; the published ones are 0.8 MB
const ALL_PIXELS = Float32Array.from(bytesOf("pixels"), (level) => LAB.levels[level]);
const IMAGES = LAB.labels.map((_, i) => ALL_PIXELS.subarray(784 * i, 784 * (i + 1)));
let network = readSafetensors(PUBLISHED); // the weights by name
let outputs = new WeakMap(); // what every layer makes of an image

/** The image of a selection: the one place that says where it comes from. */
function imageOf({ drawing, image }) {
  return drawing ? preparedOf(drawing).image : IMAGES[image];
}

/** The logits of images, each 784 normalised numbers. */
function predict(images) {
  return images.map((image) => [...forward(image, network)[LAYERS[SOFTMAX].inputs[0]]]);
}

/** The network at a selection, with what that leaves open filled in. */
function lookAt(selection) {
  const layer = selection.layer ?? LAB.first;
  const image = imageOf(selection);
  if (!outputs.has(image)) outputs.set(image, forward(image, network));
  const maps = (name) => ({ data: outputs.get(image)[name], shape: LAYERS[name].shape });
  const values = maps(layer);
  const { value, ...place } = largestAt(values, selection);
  const at = { ...selection, layer, ...place };
  const probs = maps(SOFTMAX).data;
  const answer = `${indexOfLargest(probs)}`;
  const share = percent(largestOf(probs));
  const digit = LAB.labels[selection.image];
  let name = `Image ${selection.image}`;
  let title = `${name}, a ${digit}`;
  let label = `label ${digit}`;
  if (selection.drawing !== null) {
    name = "Your drawing";
    title = name;
    label = "no label";
  }
  title += `, read as ${answer} with ${share}`;
  return { at, image, maps, values, value, probs, name, title, answer, notes: [`${share}, ${label}`] };
}

/** The first of the largest values of maps, and its place, at the coordinates that are given. */
function largestAt({ data, shape }, given) {
  const [channels, rows, columns] = PLACES.map((name, i) =>
    given[name] === null ? range(shape[i]) : [Math.min(given[name], shape[i] - 1)],
  );
  const valueAt = (channel, row, column) => data[(channel * shape[1] + row) * shape[2] + column];
  const places = channels.flatMap((channel) =>
    rows.flatMap((row) =>
      columns.map((column) => ({ channel, row, column, value: valueAt(channel, row, column) })),
    ),
  );
  const top = largestOf(places.map(({ value }) => value));
  return places.find(({ value }) => value >= top - TIE * Math.abs(top));
}

/** The image, small, and the answer, large. */
function headerOf({ image, answer, notes }) {
  return row(picture(image, 42, { select: {} }), text(answer, { size: "large", notes }));
}

/** The way from the image to the answer: a button for each layer. */
function trailOf({ at }) {
  const step = (layer) => text(layer, { select: { layer }, framed: layer === at.layer });
  return row(text("You are here:"), ...Object.keys(LAYERS).map(step));
}

/** All that the page shows: what is read, its way through the network, and one value's arithmetic. */
function sceneOf(look) {
  const { content, caption } = arithmeticScene(look);
  return { kind: "scene", content: column(readingRow(look), pipelineRow(look), content), caption };
}

/** The selection after a click changed a part of it. */
function moved(at, { reset, ...part }) {
  if (reset) return START;
  const next = { ...at };
  for (const name of Object.keys(START)) if (name in part) next[name] = part[name];
  if ("image" in part) next.drawing = null;
  if ("layer" in part) {
    const place = lookAt(next).at; // what was chosen in another layer moves inside this one
    for (const name of PLACES) if (next[name] !== null) next[name] = place[name];
  }
  return next;
}

/** All that the page needs to draw. */
function stateOf(selection, serial = 0, error = "") {
  const look = lookAt(selection);
  const scenes = { header: headerOf(look), trail: trailOf(look), scene: sceneOf(look) };
  return { scenes, call: callOf(selection), error, serial };
}

/** The names of the fields that are not as at the start, but for a drawing: it would fill pages. */
function differing(selection) {
  const isOther = (name) => name !== "drawing" && selection[name] !== START[name];
  return Object.keys(START).filter(isOther);
}

/** The call of Python that leads to the arithmetic of a selection. */
function callOf(selection) {
  const write = (value) => (typeof value === "string" ? `'${value}'` : value);
  const fields = differing(selection).map((name) => `${name}=${write(selection[name])}`);
  return `explore(${["model", "images", "labels", "view='arithmetic'", ...fields].join(", ")})`;
}

/** The same fields as the address has them: layer=conv2&channel=5. */
function hashOf(selection) {
  return differing(selection).map((name) => `${name}=${selection[name]}`).join("&");
}

/** The selection of an address; an Error says what in it doesn't exist. */
function selectionOf(hash) {
  const texts = Object.fromEntries(new URLSearchParams(hash));
  const layer = Object.keys(LAYERS).find((name) => name === texts.layer) ?? LAB.first;
  const [channel, row, column] = LAYERS[layer].shape;
  const counts = { image: IMAGES.length, input_channel: 32, channel, row, column };
  const selection = { ...START };
  for (const [name, text] of Object.entries(texts)) {
    const known = name === "layer" ? [layer] : range(Object.hasOwn(counts, name) ? counts[name] : 0);
    const value = known.find((choice) => String(choice) === text);
    if (value === undefined) throw new Error(`there is no ${name.replaceAll("_", " ")} ${text}`);
    selection[name] = value;
  }
  return selection;
}

const host = {
  selection: START,
  get: () => host.state,
  on: (_, call) => (host.tell = call),
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
  const { image } = host.selection;
  if (!differs(box, [side, image, isDark()])) return;
  const pixels = array(ALL_PIXELS, IMAGES.length, 28, 28);
  const pictures = grid(pixels, side, [[LAB.levels[0], LAB.levels.at(-1)]], {
    labels: Object.keys(IMAGES),
    frames: [[image, null]],
    columns: 50,
    palette: "ink",
    unit: "test images",
    select: { image: "@index" },
  });
  const context = { pick: (part) => go(moved(host.selection, part)), point() {}, focus() {} };
  drawItems(box, [pictures], context);
}

/** Takes other weights from a file of the reader's; what is wrong with it is said. */
async function takeWeights(file) {
  let sentence = "is read: what you see now is its network.";
  try {
    if (file.size > MOST_BYTES) throw new Error("it is larger than 10 MB");
    const weights = readSafetensors(await file.arrayBuffer());
    if (!areTame(weights)) throw new Error("its numbers are too large to reckon with");
    network = weights;
    outputs = new WeakMap();
    go(host.selection);
  } catch (wrong) {
    const cause = wrong.constructor === Error ? wrong.message : "it can't be read"; // or a folder
    sentence = `was not taken: ${oneLine(cause)}. Nothing has changed.`;
  }
  write(document.getElementById("said"), `${oneLine(file.name)} ${sentence}`);
}

/** Puts everything on the page. */
function start() {
  goThere();
  mount(host, document.getElementById("explorer"));
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
