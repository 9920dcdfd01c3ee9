// The lab: a host for the page's scene whose network is in the page. The selection is in the address.

const PLACES = ["channel", "row", "column"];
const START = { image: 0, drawing: null, layer: "conv1", channel: null, row: null, column: null, input_channel: null, weights: null };
const TIE = 1e-3; // of the largest value: what differs by less counts as equal, as in Python
const IMAGES = []; // those of the page, then what is kept
const MOMENTS = [...LAB.moments, null]; // of the run; and the page's own weights
const networks = new Map(MOMENTS.map((moment) => [moment, {}]));
const outputsOf = keeping(forward);
const slider = document.getElementById("moment");
const said = document.getElementById("said"); // what was wrong with an address or a file
const own = document.getElementById("own"); // whose weights stand at its end
let published; // the weights that stand there at first

/** The image of a selection: the one place that says where it comes from. */
function imageOf({ drawing, image }) {
  return drawing ? preparedOf(drawing).image : IMAGES[image];
}

/** The network at a selection, with what that leaves open filled in. */
function lookAt(selection) {
  const image = imageOf(selection);
  const weights = networks.get(selection.weights);
  const outputs = outputsOf(image, weights);
  const maps = (name) => ({ data: outputs[name], shape: LAYERS[name].shape });
  const values = maps(selection.layer);
  const { value, ...place } = largestAt(values, selection);
  const at = { ...selection, ...place };
  const probs = maps(SOFTMAX).data;
  const most = largestOf(probs);
  let answer = `${indexOfLargest(probs)}`;
  let reads = `read as ${answer}`;
  let name = `Image ${selection.image}`;
  let title = `${name}, label ${LAB.labels[selection.image]}`;
  if (selection.drawing !== null) {
    name = "Your drawing";
    title = name;
    if (selection.weights === null && most < LAB.limit) {
      reads = `no digit that it knows, nearest to ${answer}`;
      answer = "no digit";
    }
  }
  title += `, ${reads} with ${percent(most)}`;
  return { at, image, weights, maps, values, value, probs, name, title, answer };
}

/** The first of the largest values of maps, and its place, at the coordinates that are given. */
function largestAt({ data, shape }, given) {
  const [, height, width] = shape;
  const placeOf = (value, i) => ({
    channel: Math.floor(i / (height * width)),
    row: Math.floor(i / width) % height,
    column: i % width,
    value,
  });
  const isGiven = (place) =>
    PLACES.every((name, i) => given[name] === null || place[name] === Math.min(given[name], shape[i] - 1));
  const places = Array.from(data, placeOf).filter(isGiven);
  const top = largestOf(places.map(({ value }) => value));
  return places.find(({ value }) => value >= top - TIE * Math.abs(top));
}

/** The selection after a click changed a part of it. */
function moved(at, { reset, ...part }) {
  if (reset) return START;
  const next = { ...at, ...part };
  if ("image" in part) next.drawing = null;
  if ("layer" in part) {
    const place = lookAt(next).at; // what was chosen in another layer moves inside this one
    for (const name of PLACES) if (next[name] !== null) next[name] = place[name];
  }
  return next;
}

/** The address of a selection: layer=conv2&channel=5; a drawing would fill pages. */
function hashOf(selection) {
  const isOther = ([name, value]) => name !== "drawing" && value !== START[name];
  return `${new URLSearchParams(Object.entries(selection).filter(isOther))}`;
}

/** The selection of an address; an Error says what in it doesn't exist. */
function selectionOf(hash) {
  const texts = Object.fromEntries(new URLSearchParams(hash));
  const layer = Object.hasOwn(LAYERS, texts.layer) ? texts.layer : START.layer;
  const [channel, row, column] = LAYERS[layer].shape.map((count) => range(count));
  const known = {
    __proto__: null, // no other names
    image: range(IMAGES.length),
    layer: [layer],
    channel,
    row,
    column,
    input_channel: range(32),
    weights: LAB.moments,
  };
  const selection = { ...START };
  for (const [name, text] of Object.entries(texts)) {
    const value = known[name]?.find((choice) => String(choice) === text);
    if (value === undefined) throw new Error(`nothing has ${name}=${text}`);
    selection[name] = value;
  }
  return selection;
}

const host = {
  selection: START,
  get: () => host.state,
  on: (_, call) => (host.tell = call),
  send: ({ select, serial }) => {
    if (select) queueMicrotask(() => follow(select, serial));
  },
};

/** Shows what is read, its way through the network, and one value's arithmetic; gives the look at the selection. */
function show(selection, serial = host.state?.serial) {
  const look = lookAt(selection);
  const answer = text(look.answer, "large", { notes: [look.title] });
  const header = row(picture(look.image, 42, { select: {}, unit: "image" }), answer);
  const { content, caption } = arithmeticScene(look);
  const scene = { kind: "scene", content: column(readingRow(look), pipelineRow(look), content), caption };
  host.selection = selection;
  host.state = { scenes: { header, trail: row(), scene }, error: "", serial };
  write(said, "");
  host.tell?.();
  drawPicker();
  drawSlider();
  return look;
}

/** Goes where a click leads, and keeps what is drawn where it asks for that. */
function follow({ keep, ...select }, serial) {
  go(moved(host.selection, select), serial);
  if (keep !== undefined) keepImages([imageOf(host.selection)], [keep]);
}

/** Shows a selection and writes it into the address. */
function go(selection, serial) {
  show(selection, serial);
  history.replaceState(null, "", `#${hashOf(selection)}`);
}

/** Goes where the address leads; what doesn't exist is said, and nothing else changes. */
function goThere() {
  try {
    go(selectionOf(location.hash.slice(1)));
  } catch (wrong) {
    const { name } = show(host.selection);
    write(said, `This address leads nowhere: ${oneLine(wrong.message)}. ${name} is shown instead.`);
  }
}

/** All images, small; a click on one chooses it, and the chosen one is framed, unless a drawing is read in its place. */
function drawPicker() {
  const box = document.getElementById("images");
  const { image, drawing } = host.selection;
  const frames = drawing ? {} : { [image]: null };
  if (!differs(box, [frames, IMAGES.length])) return;
  const pixels = IMAGES.flatMap((values) => [...values]);
  const pictures = grid(array(pixels, IMAGES.length, 28, 28), 28, [[LAB.levels[0], LAB.levels.at(-1)]], {
    labels: LAB.labels.map((digit, i) => (i < FIRST ? `${i}` : `kept ${digit}`)),
    frames,
    columns: 50,
    palette: "ink",
    unit: "images",
    select: { image: "@index" },
  });
  const context = { pick: (part) => go(moved(host.selection, part)), point() {}, focus() {} };
  drawItems(box, [pictures], context);
}

/** The slider at the moment whose weights read, and their name beside it. */
function drawSlider() {
  const { weights } = host.selection;
  const name = weights?.replace(",", " run,") ?? `${own.textContent} weights`;
  give(slider, { max: LAB.moments.length, value: MOMENTS.indexOf(weights), ariaValueText: name });
  write(document.getElementById("reader"), name);
}

/** Takes weights or drawings from the first of the reader's files; what is wrong with it is said. */
async function takeFile([file]) {
  if (!file) return;
  let sentence = "was loaded: its network is now at the end of the slider.";
  try {
    const content = await file.arrayBuffer();
    if (file.name.endsWith(".zip")) return await takeDrawings(content);
    networks.set(null, readSafetensors(content));
    LAB.limit = Number(readHeader(content).header.__metadata__?.no_digit ?? 0);
    write(own, "your own");
    go({ ...host.selection, weights: null });
    if (IMAGES.length > FIRST) sentence += ` ${aboutKept()}`;
  } catch (wrong) {
    const cause = wrong.constructor === Error ? wrong.message : "it can't be read"; // or a folder
    sentence = `was not taken: ${oneLine(cause)}. Nothing has changed.`;
  }
  write(said, `${oneLine(file.name)} ${sentence}`);
}

/** Puts everything on the page. */
async function start() {
  const pixels = Float32Array.from(new Uint8Array(await bytesOf("pixels")), (level) => LAB.levels[level]);
  LAB.labels.forEach((_, i) => IMAGES.push(pixels.subarray(784 * i, 784 * (i + 1))));
  addChanges(new Int16Array(await bytesOf("changes")), networks);
  published = readSafetensors(await bytesOf("weights"));
  networks.set(null, published);
  goThere();
  mount(host, document.getElementById("explorer"));
  addEventListener("hashchange", goThere);
  slider.oninput = () => show({ ...host.selection, weights: MOMENTS[slider.value] });
  slider.onchange = () => go(host.selection); // at rest: browsers allow few addresses a second
  document.getElementById("file").onchange = ({ target }) => takeFile(target.files);
  document.getElementById("save").onclick = saveDrawings;
  document.ondragover = (event) => event.preventDefault();
  document.ondrop = (event) => {
    event.preventDefault();
    const { files } = event.dataTransfer;
    if (files[0]?.type.startsWith("image/")) document.querySelector(".sheet-of-pad").ondrop(event);
    else takeFile(files);
  };
}

start();
