// The views over the network in the page: a look at a selection in, a scene out, as Python's are.

const [IMAGE, SOFTMAX] = ["image", "softmax"];
const [SMALL, LARGE] = [84, 140]; // sides of a picture, in pixels
const VALUE = { channel: "@index", row: "@row", column: "@column" };
const PIXEL = { layer: IMAGE, channel: 0, row: "@row", column: "@column" };
const MARK = { title: "", notes: [], select: {}, framed: false, follows: false };
const GRID = { columns: 8, labels: [], heads: [[], []], axes: ["", ""], frames: [] };
const CELLS = { rows: [], columns: [], frame: null, percent: false, edit: "", counts: false };

const DIGIT_NAMES = [..."0123456789"];

const range = (count, start = 0) => Array.from({ length: count }, (_, i) => start + i);
const row = (...items) => ({ kind: "row", items });
const column = (...items) => ({ kind: "column", items });
const text = (words, mark) => ({ kind: "text", ...MARK, size: "normal", ...mark, text: words });
const array = (data, ...shape) => ({ data: new Float32Array(data), shape });
const isVector = ([, height, width]) => height * width === 1;
const largestOf = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
const indexOfLargest = (values) => values.indexOf(largestOf(values));

/** A number as text, with a true minus and without a negative zero; nothing for nan. */
function number(value, digits = 3) {
  if (Number.isNaN(value)) return "";
  const written = value.toFixed(digits);
  return (Number(written) === 0 ? written.replace("-", "") : written).replace("-", "−");
}

const percent = (share, digits = 1) => `${number(100 * share, digits)}%`;

/** The ends of the colour scale of maps, one pair or a pair a map; zero in its middle if signed. */
function colourLimits({ data, shape }, how = "layer") {
  const size = how === "each" ? data.length / shape[0] : data.length;
  const isSigned = data.some((value) => value < 0);
  return range(data.length / size).map((i) => {
    const end = scaleEnd(data.subarray(i * size, (i + 1) * size).map(Math.abs), how);
    return [isSigned ? -end : 0, end];
  });
}

/** The upper end of a colour scale; 1 where everything is zero. */
function scaleEnd(sizes, how) {
  const sorted = how === "robust" ? sizes.toSorted() : [0];
  const place = 0.99 * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
  return low + (high - low) * (place % 1) || largestOf(sizes) || 1;
}

/** A colour scale in words. */
function saidLimits(limits, how) {
  if (how === "each") return "each map on its own scale";
  const short = (value) => String(Number(value.toPrecision(3))).replace("-", "−");
  const [low, high] = limits[0].map(short);
  return `colours from ${low} to ${high}${how === "robust" ? " (99th percentile)" : ""}`;
}

/** Maps, each `side` pixels wide, by default on one colour scale. */
function grid(values, side, limits = colourLimits(values), mark = {}) {
  const palette = limits[0][0] < 0 ? "signed" : "unsigned";
  const zoom = side / values.shape[2];
  const plain = { ...MARK, ...GRID, colour_bar: false, unit: "channel" };
  return { kind: "maps", ...plain, values, limits, palette, zoom, ...mark };
}

/** An image from its lowest to its highest value. */
function picture(image, side, mark) {
  const limits = [[-largestOf(image.map((value) => -value)), largestOf(image)]];
  return grid(array(image, 1, 28, 28), side, limits, { palette: "ink", select: PIXEL, ...mark });
}

/** The image, with what the selected value sees of it framed. */
function inputPicture({ at, image }, side) {
  const [rows, columns] = LAYERS[at.layer].receptive_field;
  const [[top, bottom], [left, right]] = [rows[at.row], columns[at.column]];
  return picture(image, side, { title: "image", frames: [[0, [top, left, bottom, right]]] });
}

/** Maps of a layer; a vector as one map of all its values. */
function layerMaps(layer, values, side, limits, mark) {
  if (!isVector(values.shape)) {
    return grid(values, side, limits, { select: { layer, ...VALUE }, ...mark });
  }
  const square = inRows(values.data, gridColumns(values.shape[0]));
  const select = { layer, channel: "@place" };
  const places = array(square.data, 1, ...square.shape);
  const wide = Math.max(Math.min(side, 112), 4 * square.shape[1]);
  return grid(places, wide, limits, { ...mark, select, labels: [], unit: "channels" });
}

/** One map of a layer on the scale of all, a box framed; of a vector all, one value framed. */
function singleMap({ maps }, layer, channel, box, side) {
  const values = maps(layer);
  const [limits, title] = [colourLimits(values), `${layer} · ${channel}`];
  if (isVector(values.shape)) {
    const frames = [[0, vectorBox(channel, values.shape[0])]];
    return layerMaps(layer, values, side, limits, { title, frames });
  }
  const select = { layer, ...VALUE, channel };
  const mark = { title, frames: [[0, box]], select };
  return layerMaps(layer, mapOf(values, channel), side, limits, mark);
}

/** One of several maps. */
function mapOf({ data, shape: [, height, width] }, channel) {
  const area = height * width;
  return array(data.subarray(channel * area, (channel + 1) * area), 1, height, width);
}

/** Where the value of a channel stands in the one map of a vector. */
function vectorBox(channel, count) {
  const columns = gridColumns(count);
  const [top, left] = [Math.floor(channel / columns), channel % columns];
  return [top, left, top + 1, left + 1];
}

const gridColumns = (count) => (count <= 10 ? count : 2 ** Math.ceil(Math.log2(2 * count) / 2));

/** Values in rows; what the last row lacks is nan. */
function inRows(values, most = 16) {
  const columns = Math.min(values.length, most);
  const rows = Math.ceil(values.length / columns);
  return array(range(rows * columns).map((i) => values[i] ?? NaN), rows, columns);
}

/** Numbers in tinted cells, written with four digits of the largest value. */
function table(values, mark) {
  const [height, width] = values.shape;
  const top = largestOf(values.data.map((value) => (Number.isNaN(value) ? 0 : Math.abs(value))));
  const digits = Math.max(2, Math.min(4, 3 - Math.floor(Math.log10(Math.max(top, 1e-9)))));
  const write = (value) => (mark.percent ? percent(value) : number(value, digits));
  const texts = range(height).map((i) =>
    Array.from(values.data.subarray(i * width, (i + 1) * width), write),
  );
  return { kind: "table", ...MARK, ...CELLS, shades: null, ...mark, values, texts };
}

/** One value for each class, the chosen class framed, or else the likeliest. */
function classTable({ at, maps }, layer, mark) {
  const { data } = maps(layer);
  const frame = at.target ?? indexOfLargest(data);
  const select = { layer, channel: "@index", target: "@index" };
  const named = { rows: DIGIT_NAMES, percent: layer === SOFTMAX };
  return table(array(data, data.length, 1), { ...named, frame, select, ...mark });
}

/** Bars for each class between two heights, their numbers written where there is one series. */
function classBars(series, digits, limits, mark) {
  const write = (value) => percent(value, digits);
  const axis = Object.fromEntries(limits.map((end) => [write(end), end]));
  const names = Object.keys(series);
  const numbers = names.length > 1 ? [] : Array.from(series[names[0]], write);
  const parts = names.map((name) => [name, array(series[name], DIGIT_NAMES.length)]);
  const plain = { ...MARK, ticks: DIGIT_NAMES, emphasis: [], select: { target: "@index" } };
  const made = { series: Object.fromEntries(parts), limits, axis, numbers };
  return { kind: "bars", ...plain, ...made, ...mark };
}

const valueBox = ({ at }) => [at.row, at.column, at.row + 1, at.column + 1];

/** The frame of that value among the maps of its layer. */
function valueFrames({ at, values }) {
  const { shape } = values;
  if (isVector(shape)) return [[0, vectorBox(at.channel, shape[0])]];
  return [[at.channel, valueBox({ at })]];
}

/** Where the selected value stands, and what it is. */
function selectedValue({ at, values, value }) {
  const place = isVector(values.shape) ? "" : `, row ${at.row}, column ${at.column}`;
  return `${at.layer}, channel ${at.channel}${place}: ${number(value)}`;
}

/** One image on its way through all layers, each on its own colour scale. */
function pipelineView(look) {
  const { layer, channel } = look.at;
  const opened = singleMap(look, layer, channel, valueBox(look), SMALL);
  const isStep = ({ name, op }) => name !== IMAGE && op !== "Flatten";
  const steps = Object.values(LAYERS).filter(isStep).map((each) => layerStep(look, each));
  const content = row(column(inputPicture(look, SMALL), opened), ...steps);
  return { content, caption: `${look.title}. Open: ${selectedValue(look)}.` };
}

/** What a layer makes of the image, with the facts about it below. */
function layerStep(look, { name, shape, notes }) {
  const mark = { title: name, notes, framed: name === look.at.layer };
  if (shape[0] === DIGIT_NAMES.length) return classTable(look, name, mark);
  mark.columns = Math.ceil(shape[0] / 8);
  if (mark.framed) mark.frames = valueFrames(look);
  const values = look.maps(name);
  return layerMaps(name, values, (42 / 28) * shape[2], colourLimits(values), mark);
}

/** The kernels of a convolution: those of one output channel large, beside them all. */
function kernelsView({ at, weights }) {
  const passed = Object.keys(LAYERS).slice(0, Object.keys(LAYERS).indexOf(at.layer) + 1);
  const name = passed.findLast((each) => CONVOLUTIONS.includes(each)) ?? CONVOLUTIONS[0];
  const [outs, ins] = SHAPES[`${name}.weight`];
  const tiles = array(weights[`${name}.weight`], outs * ins, 3, 3);
  const limits = colourLimits(tiles, at.limits).map(([, high]) => [-high, high]);
  const channel = Math.min(at.channel, outs - 1);
  const first = channel * ins;
  const own = limits.length > 1 ? limits.slice(first, first + ins) : limits;
  const kernels = array(tiles.data.subarray(first * 9, (first + ins) * 9), ins, 3, 3);
  const parts =
    ins === 1
      ? [largeKernels(name, tiles, limits, channel, "channel", 8)]
      : [
          largeKernels(name, kernels, own, at.input_channel, "input_channel", 4),
          allKernels(name, tiles, limits, channel),
        ];
  const facts = `${outs} × ${ins} kernels of 3 × 3, ${at.weights} weights`;
  const scale = saidLimits(limits, at.limits);
  const caption = `${name}: ${facts}, ${scale}. Output channel ${channel} is chosen.`;
  return { content: row(...parts), caption };
}

/** Kernels large enough to read, each with the number of its channel. */
function largeKernels(name, kernels, limits, chosen, field, columns) {
  const [count] = kernels.shape;
  const unit = field.replace("_", " ");
  const frames = chosen === null ? [] : [[Math.min(chosen, count - 1), null]];
  const select = { layer: name, [field]: "@index" };
  const [title, labels] = [`${name}: a kernel for each ${unit}`, range(count).map(String)];
  const mark = { columns, title, labels, frames, select, colour_bar: limits.length === 1, unit };
  return grid(kernels, 66, limits, mark);
}

/** All kernels, small: a column an output channel, a row an input channel. */
function allKernels(name, { data }, limits, channel) {
  const [outs, ins] = SHAPES[`${name}.weight`];
  const places = range(outs * ins).map((i) => (i % outs) * ins + Math.floor(i / outs));
  const values = places.flatMap((place) => [...data.subarray(place * 9, place * 9 + 9)]);
  const outputs = places.map((_, i) => i % outs);
  const inputs = places.map((_, i) => Math.floor(i / outs));
  const scales = limits.length > 1 ? places.map((place) => limits[place]) : limits;
  return grid(array(values, places.length, 3, 3), 15, scales, {
    columns: outs,
    title: `${name}: all ${places.length} kernels`,
    heads: [range(outs).map(String), range(ins).map(String)],
    axes: ["output channel", "input channel"],
    frames: range(ins).map((input) => [input * outs + channel, null]),
    select: { layer: name, channel: outputs, input_channel: inputs },
    unit: "kernel",
  });
}

/** All channels of a layer on one colour scale, or each on its own. */
function featureMapsView(look) {
  const { at, values } = look;
  const limits = colourLimits(values, at.limits);
  const labels = range(values.shape[0]).map(String);
  const frames = valueFrames(look);
  const mark = { title: at.layer, labels, frames, colour_bar: at.limits !== "each" };
  const maps = layerMaps(at.layer, values, SMALL, limits, mark);
  const said = `${values.shape.join(" × ")}, ${saidLimits(limits, at.limits)}`;
  const caption = `${look.title}. ${said}. Framed: ${selectedValue(look)}.`;
  return { content: row(inputPicture(look, SMALL), maps), caption };
}

/** An image and the probability of each class. */
function answerView({ at, image, probs, name, title, isDrawn }) {
  const bars = classBars({ probability: probs }, 1, [0, 1], {
    axes: ["Predicted digit", "Probability"],
    emphasis: isDrawn ? [] : [LAB.labels[at.image]],
    title: isDrawn ? "probability" : "probability of each digit; orange: the label",
  });
  const content = row(picture(image, 196, { title: name.toLowerCase() }), bars);
  return { content, caption: `${title}.` };
}

/** What becomes of the image's probabilities with some channels put to zero. */
function ablationView(look) {
  const { at, image, weights, probs } = look;
  const outputs = forward(image, weights, at.ablated);
  const left = outputs[SOFTMAX];
  const any = at.ablated.length > 0;
  const low = Math.max(0, Math.floor(20 * Math.min(...probs, ...left) - 0.2) / 20);
  const mark = { axes: ["Digit", ""], title: "probability for this image" };
  const bars = () => classBars({ "all channels": probs, ablated: left }, 0, [low, 1], mark);
  const hint = "Nothing is ablated. Click a map to put that channel to zero";
  const chart = any ? bars() : text(hint, { size: "strong" });
  const names = at.ablated.map((pair) => pair.join(" ")).join(", ");
  const read = indexOfLargest(left);
  const answer = `This image: ${DIGIT_NAMES[read]} with ${percent(left[read])}`;
  const said = any ? `Ablated: ${names}. ${answer}` : hint;
  const buttons = any ? [text("All channels on", { select: { ablate: null } })] : [];
  const channels = CONVOLUTIONS.map((name) => channelMaps(name, outputs[name], at.ablated));
  const content = column(row(inputPicture(look, SMALL), chart), row(...buttons), ...channels);
  return { content, caption: `${look.title}. ${said}.` };
}

/** The maps of a convolution, of which a click puts one to zero, or on again. */
function channelMaps(name, data, ablated) {
  const values = array(data, ...LAYERS[name].shape);
  const channels = range(values.shape[0]);
  return grid(values, 56, colourLimits(values), {
    title: `${name}: a click puts a channel to zero`,
    labels: channels.map(String),
    frames: ablated.filter(([layer]) => layer === name).map(([, channel]) => [channel, null]),
    select: { ablate: channels.map((channel) => [name, channel]) },
  });
}

const around = (place, size) => range(3, place - 1).map((i) => (i < size ? i : -1));
const RULES = {
  MaxPool2d: (made) => `the largest is ${made}`,
  ReLU: (made, first) => `max(0, ${first}) = ${made}`,
  Flatten: (made) => `taken over as it is: ${made}`,
  Softmax: (made, _, { channel }) =>
    `exp of logit ${channel}, divided by the sum of all, is ${made}`,
};
// which layer a value reads, and of it which channels, rows and columns; -1 lies outside
const READS = {
  Conv2d({ row, column }, before) {
    const [ins, height, width] = before.shape;
    return [before, range(ins), around(row, height), around(column, width)];
  },
  Linear(at, before) {
    const maps = before.op === "Flatten" ? LAYERS[before.inputs[0]] : before;
    return [maps, ...maps.shape.map((size) => range(size))];
  },
  MaxPool2d: ({ channel, row, column }, before) =>
    [before, [channel], range(2, 2 * row), range(2, 2 * column)],
  ReLU: ({ channel, row, column }, before) => [before, [channel], [row], [column]],
  Flatten({ channel }, before) {
    const [, height, width] = before.shape;
    const [line, place] = [Math.floor(channel / width), channel % width];
    return [before, [Math.floor(line / height)], [line % height], [place]];
  },
  Softmax: (at, before) => [before, range(before.shape[0]), [0], [0]],
};

/** What a value reads and, for a weighted sum, the kernel, the bias and each channel's sum. */
function explained({ at, maps, weights }) {
  const { name, op, shape, inputs } = LAYERS[at.layer];
  if (!inputs.length) return { count: 0, patch: [] };
  const [{ name: layer }, channels, rows, columns] = READS[op](at, LAYERS[inputs[0]]);
  const { data, shape: [, height, width] } = maps(layer);
  const read = (each, i, j) => (i < 0 || j < 0 ? 0 : data[(each * height + i) * width + j]);
  const patch = channels.map((each) => rows.flatMap((i) => columns.map((j) => read(each, i, j))));
  const found = { layer, first: channels[0], count: channels.length, rows, columns, patch };
  const matrix = weights[`${name}.weight`];
  if (!matrix) return found;
  const [size, area] = [matrix.length / shape[0], rows.length * columns.length];
  const start = (each) => at.channel * size + each * area;
  const kernel = channels.map((each) => matrix.subarray(start(each), start(each) + area));
  const products = patch.map((numbers, i) => numbers.map((each, k) => each * kernel[i][k]));
  const sums = products.map((each) => each.reduce((a, b) => a + b, 0));
  return { ...found, kernel, products, sums, bias: weights[`${name}.bias`][at.channel] };
}

/** One value: what it reads, what that is multiplied with, and what the products add up to. */
function arithmeticView(look) {
  const found = explained(look);
  const sizes = found.sums?.map(Math.abs) ?? [1];
  const likeliest = indexOfLargest(sizes);
  const source = Math.min(look.at.input_channel ?? likeliest, Math.max(found.count - 1, 0));
  const said = sentence(look, found);
  const strong = text(said, { size: "strong" });
  const rows = found.sums
    ? [productsRow(found, source), sumsTable(found.sums, source), strong]
    : [row(...readTables(look, found), strong)];
  const shown = found.sums ? ` The numbers are those of input channel ${source}.` : "";
  const caption = `${look.title}. ${selectedValue(look)}: ${said}.${shown}`;
  return { content: column(placesRow(look, found, source), ...rows), caption };
}

/** The rule that makes the value, with its numbers. */
function sentence({ at, value }, { patch, sums, bias }) {
  const { op, name } = LAYERS[at.layer];
  if (!patch.length) return `${op} puts out ${number(value)}`;
  if (!sums) return RULES[op](number(value), number(patch[0][0]), at);
  const total = number(sums.reduce((a, b) => a + b));
  const said = `sum of all products ${total} + bias ${number(bias)} = ${number(value)}`;
  const isNext = ({ op: next, inputs }) => next === "ReLU" && inputs.includes(name);
  if (!Object.values(LAYERS).some(isNext)) return said;
  return `${said}; ReLU makes it ${number(Math.max(value, 0))}`;
}

/** The image, what the layer reads and what it puts out, with the frames of this value. */
function placesRow(look, found, source) {
  const { at, values, value } = look;
  const made = singleMap(look, at.layer, at.channel, valueBox(look), LARGE);
  const title = isVector(values.shape) ? "value" : `row ${at.row}, column ${at.column}`;
  const large = text(number(value), { size: "large", title });
  if (!found.count) return row(inputPicture(look, LARGE), made, large);
  const [rows, columns] = [found.rows, found.columns].map((all) => all.filter((i) => i >= 0));
  const box = [rows[0], columns[0], rows.at(-1) + 1, columns.at(-1) + 1];
  const read = singleMap(look, found.layer, found.first + source, box, LARGE);
  return row(inputPicture(look, LARGE), read, made, large);
}

/** What a value without a kernel reads. */
function readTables({ at }, found) {
  const { op } = LAYERS[at.layer];
  if (!found.count) return [];
  if (op === "Softmax") return [table(inRows(found.patch.flat()), { title: "reads" })];
  const [patch] = found.patch;
  const frame = op === "MaxPool2d" ? indexOfLargest(patch) : null;
  return [patchTable(found, patch, 0, { title: "reads", frame })];
}

/** Numbers at the places of a patch; a click on one goes to it in the layer that is read. */
function patchTable({ layer, first, rows, columns }, numbers, source, mark) {
  const select = {
    layer,
    channel: first + source,
    row: rows.flatMap((i) => columns.map(() => Math.max(i, 0))),
    column: rows.flatMap(() => columns.map((i) => Math.max(i, 0))),
  };
  return table(array(numbers, rows.length, columns.length), { select, ...mark });
}

/** Patch times kernel, and the sum. */
function productsRow(found, source) {
  const [times, equals] = [..."×="].map((sign) => text(sign, { size: "large" }));
  const numbers = { patch: found.patch, kernel: found.kernel, products: found.products };
  const [patch, kernel, products] = Object.entries(numbers).map(([title, all]) =>
    patchTable(found, all[source], source, { title }),
  );
  const total = text(`sum ${number(found.sums[source])}`, { size: "strong" });
  return row(patch, times, kernel, equals, products, total);
}

/** The sum of the products of each input channel. */
function sumsTable(sums, frame) {
  const values = inRows(sums);
  const rows = range(values.shape[0]).map((i) => `from ${i * values.shape[1]}`);
  const select = { input_channel: range(sums.length) };
  return table(values, { title: "sums by input channel", rows, frame, select });
}
