// The page's scenes: a look at a selection in, marks in rows and columns out, as Python's views do it.

const SOFTMAX = "softmax";
const ROBUST = 0.99; // of the values lie inside a robust colour scale
const SMALL = 84; // sides of a picture, in pixels
const LARGE = 140;
const DIGIT_NAMES = [..."0123456789"];
const VALUE = { channel: "@index", row: "@row", column: "@column" };

const row = (...items) => ({ kind: "row", together: false, items });
const column = (...items) => ({ kind: "column", items });
const markOf = (kind, fields) => ({ kind, ...LAB.marks[kind], ...fields }); // the rest by default
const text = (words, size, fields) => markOf("text", { ...fields, text: words, size });
const array = (data, ...shape) => ({ data: new Float32Array(data), shape });
const isVector = ([, height, width]) => height * width === 1;
const sumOf = (values) => values.reduce((a, b) => a + b, 0);
const indexOfLargest = (values) => values.indexOf(largestOf(values));

/** A number as text, with a true minus and without a negative zero; nothing for nan. */
function number(value, digits = 3) {
  if (isNaN(value)) return "";
  const rounded = Number(value.toFixed(digits)) + 0; // -0 + 0 is 0
  return rounded.toFixed(digits).replace("-", "−");
}

const percent = (share) => `${number(100 * share, 1)}%`;

/** The ends of the robust colour scale of maps; zero in its middle if some are below. */
function colourLimits({ data }) {
  const sizes = data.map(Math.abs).sort();
  const end = sizes[Math.ceil((sizes.length - 1) * ROBUST)] || sizes.at(-1) || 1;
  return [[data.some((value) => value < 0) ? -end : 0, end]];
}

/** Maps, each `side` pixels wide. */
function grid(values, side, limits, fields) {
  const palette = limits[0][0] < 0 ? "signed" : "unsigned";
  const zoom = side / values.shape[2];
  return markOf("maps", { values, limits, palette, zoom, ...fields });
}

/** Levels of grey from the lowest to the highest. */
function pictureOf(values, side, fields) {
  const limits = [[Math.min(...values.data), Math.max(...values.data)]];
  return grid(values, side, limits, { palette: "ink", ...fields });
}

/** An image; a click on a pixel selects it. */
function picture(image, side, fields) {
  return pictureOf(array(image, 1, 28, 28), side, { select: { layer: "image", ...VALUE, channel: 0 }, ...fields });
}

/** The image, with what the selected value sees of it framed. */
function inputPicture({ at, image }, side) {
  const [rows, columns] = LAYERS[at.layer].receptive_field;
  const [top, bottom] = rows[at.row];
  const [left, right] = columns[at.column];
  return picture(image, side, { title: "image", frames: { 0: [top, left, bottom, right] } });
}

/** Maps of a layer; a vector as one map of all its values. */
function layerMaps(layer, values, side, fields) {
  const limits = colourLimits(values);
  if (!isVector(values.shape)) {
    return grid(values, side, limits, { select: { layer, ...VALUE }, ...fields });
  }
  const square = inRows(values.data, gridColumns(values.shape[0]));
  const select = { layer, channel: "@place" };
  const places = array(square.data, 1, ...square.shape);
  const wide = Math.max(Math.min(side, 112), 4 * square.shape[1]);
  return grid(places, wide, limits, { ...fields, select, unit: "channels" });
}

/** One map of a layer on the scale of all, a box framed; of a vector all, one value framed. */
function singleMap({ maps }, layer, channel, box, side) {
  const values = maps(layer);
  const title = `${layer} · ${channel}`;
  if (isVector(values.shape)) {
    const frames = { 0: vectorBox(channel, values.shape[0]) };
    return layerMaps(layer, values, side, { title, frames });
  }
  const { data, shape: [, height, width] } = values;
  const start = channel * height * width;
  const map = array(data.subarray(start, start + height * width), 1, height, width);
  const select = { layer, ...VALUE, channel };
  return grid(map, side, colourLimits(values), { title, frames: { 0: box }, select, colour_bar: side === LARGE });
}

/** Where the value of a channel stands in the one map of a vector. */
function vectorBox(channel, count) {
  const columns = gridColumns(count);
  return boxAt(Math.floor(channel / columns), channel % columns);
}

const gridColumns = (count) => (count <= 10 ? count : 2 ** Math.ceil(Math.log2(2 * count) / 2));

/** Values in rows; what the last row lacks is nan. */
function inRows(values, most = 16) {
  const columns = Math.min(values.length, most);
  const rows = Math.ceil(values.length / columns);
  return array(range(rows * columns).map((i) => values[i] ?? NaN), rows, columns);
}

/** Numbers in tinted cells, written with four digits of the largest value. */
function table(values, fields) {
  const [height, width] = values.shape;
  const top = Math.max(1e-9, largestSize(values.data));
  const digits = Math.max(2, Math.min(4, 3 - Math.floor(Math.log10(top))));
  const write = (value) => (fields.percent ? percent(value) : number(value, digits));
  const all = Array.from(values.data, write);
  const texts = range(height).map((i) => all.slice(i * width, (i + 1) * width));
  return markOf("table", { ...fields, values, texts });
}

/** One value for each class, the chosen one framed. */
function classTable({ at, maps }, layer, fields) {
  const { data } = maps(layer);
  const select = { layer, channel: "@index" };
  return table(array(data, data.length, 1), {
    rows: DIGIT_NAMES,
    percent: layer === SOFTMAX,
    framed_cell: fields.framed ? at.channel : null,
    select,
    ...fields,
  });
}

/** A bar for the probability of each digit. */
function probabilityBars(probs, fields) {
  return markOf("bars", {
    series: { probability: array(probs, 10) },
    numbers: Array.from(probs, percent),
    select: { layer: SOFTMAX, channel: "@index" },
    ...fields,
  });
}

const valueBox = ({ at }) => boxAt(at.row, at.column);

/** Where the selected value stands, and what it is. */
function selectedValue({ at, values, value }) {
  const place = isVector(values.shape) ? "" : `, row ${at.row}, column ${at.column}`;
  return `${at.layer}, channel ${at.channel}${place}: ${number(value)}`;
}

/** One image on its way through all layers, each on its own colour scale. */
function pipelineRow(look) {
  const { layer, channel } = look.at;
  const opened = singleMap(look, layer, channel, valueBox(look), SMALL);
  const [, ...layers] = Object.values(LAYERS);
  const steps = layers.map((layer) => layerStep(look, layer));
  return { ...row(column(inputPicture(look, SMALL), opened), ...steps), together: true };
}

/** What a layer makes of the image, with the facts about it below. */
function layerStep(look, { name, shape, notes }) {
  const { at } = look;
  const fields = { title: name, notes, framed: name === at.layer };
  if (shape[0] === DIGIT_NAMES.length) return classTable(look, name, fields);
  fields.columns = Math.ceil(shape[0] / 8);
  const frames = isVector(shape) ? { 0: vectorBox(at.channel, shape[0]) } : { [at.channel]: valueBox(look) };
  if (fields.framed) fields.frames = frames;
  return layerMaps(name, look.maps(name), (42 / 28) * shape[2], fields);
}

const RULES = {
  MaxPool2d: (value) => `the largest is ${value}`,
  ReLU: (value, first) => `max(0, ${first}) = ${value}`,
  Softmax: (value, _, { channel }) =>
    `exp of logit ${channel}, divided by the sum of all, is ${value}`,
};

/** Of the maps that a value reads, which channels, rows and columns; -1 lies outside. */
function placesRead({ name, op, before }, { channel, row, column }) {
  const places = LAYERS[before].shape.map((count) => range(count));
  if (op === "Linear" || op === "Softmax") return places;
  const [[rows, columns]] = LAB.reads[name];
  const channels = op === "Conv2d" ? places[0] : [channel];
  return [channels, rows[row], columns[column]];
}

/** What a value reads and, for a weighted sum, the kernel, the bias and each channel's sum. */
function explained({ at, maps, weights }) {
  const { name, shape, before } = LAYERS[at.layer];
  if (name === "image") return { patch: [] };
  const [channels, rows, columns] = placesRead(LAYERS[name], at);
  const read = readerOf(maps(before).data, LAYERS[before].shape);
  const patch = channels.map((map) => rows.flatMap((i) => columns.map((j) => read(map, i, j))));
  const place = { layer: before, first: channels[0], rows, columns, patch };
  const matrix = weights[`${name}.weight`];
  if (!matrix) return place;
  const area = rows.length * columns.length;
  const start = at.channel * (matrix.length / shape[0]);
  const kernel = channels.map((map) => matrix.subarray(start + map * area, start + (map + 1) * area));
  const products = patch.map((numbers, i) => numbers.map((value, k) => value * kernel[i][k]));
  return { ...place, kernel, products, sums: products.map(sumOf), bias: weights[`${name}.bias`][at.channel] };
}

/** One value: what it reads, what that is multiplied with, and what the products add up to. */
function arithmeticScene(look) {
  const place = explained(look);
  const { patch, sums } = place;
  const likeliest = sums ? indexOfLargest(sums.map(Math.abs)) : 0;
  const source = Math.min(look.at.input_channel ?? likeliest, patch.length - 1);
  const rule = sentence(look, place);
  const strong = text(rule, "strong");
  const places = placesRow(look, place, source);
  const caption = `${look.title}. ${selectedValue(look)}: ${rule}.`;
  if (!sums) return { content: column(places, row(...readTables(look, place), strong)), caption };
  return {
    content: column(places, productsRow(place, source), sumsTable(sums, source), strong),
    caption: `${caption} The numbers are those of input channel ${source}.`,
  };
}

/** The rule that makes the value, with its numbers. */
function sentence({ at, value }, { patch, sums, bias }) {
  const { op, name } = LAYERS[at.layer];
  if (!patch.length) return `${op} gives ${number(value)}`;
  if (!sums) return RULES[op](number(value), number(patch[0][0]), at);
  const rule = `sum of all products ${number(sumOf(sums))} + bias ${number(bias)} = ${number(value)} (rounded)`;
  const next = Object.values(LAYERS).find((layer) => layer.before === name);
  if (next?.op !== "ReLU") return rule;
  return `${rule}; ReLU makes it ${number(Math.max(value, 0))}`;
}

/** The image, what the layer reads and what it puts out, with the frames of this value. */
function placesRow(look, { layer, first, rows, columns, patch }, source) {
  const { at, value } = look;
  const map = singleMap(look, at.layer, at.channel, valueBox(look), LARGE);
  const large = text(number(value), "large", { title: "value" });
  const image = inputPicture(look, LARGE);
  if (!patch.length) return row(image, map, large);
  const inside = (i) => i >= 0;
  const bottom = rows.findLast(inside) + 1;
  const right = columns.findLast(inside) + 1;
  const box = [rows.find(inside), columns.find(inside), bottom, right];
  const read = singleMap(look, layer, first + source, box, LARGE);
  if (LAYERS[at.layer].op === "Softmax") read.frames = {}; // all count
  return row(image, read, map, large);
}

/** What a value without a kernel reads. */
function readTables({ at }, place) {
  const { op } = LAYERS[at.layer];
  const [patch] = place.patch;
  if (!patch) return [];
  if (op === "Softmax") {
    return [table(inRows(place.patch.flat()), { title: "input", columns: DIGIT_NAMES })];
  }
  return [patchTable(place, patch, 0, { title: "input" })];
}

/** Numbers at the places of a patch; a click on one goes to it in the layer that is read. */
function patchTable({ layer, first, rows, columns }, numbers, source, fields) {
  const select = {
    layer,
    channel: first + source,
    row: rows.flatMap((i) => columns.map(() => Math.max(i, 0))),
    column: rows.flatMap(() => columns.map((i) => Math.max(i, 0))),
  };
  return table(array(numbers, rows.length, columns.length), { select, ...fields });
}

/** Patch times kernel, and the sum. */
function productsRow(place, source) {
  const tableOf = (title) => patchTable(place, place[title][source], source, { title });
  const sign = (letter) => text(letter, "large");
  const notes = [`sum ${number(place.sums[source])}`];
  return row(tableOf("patch"), sign("×"), tableOf("kernel"), row(sign("="), { ...tableOf("products"), notes }));
}

/** The sum of the products of each input channel. */
function sumsTable(sums, framed_cell) {
  const values = inRows(sums);
  const rows = range(values.shape[0]).map((i) => `from ${i * values.shape[1]}`);
  const select = { input_channel: range(sums.length) };
  return table(values, { title: "sums by input channel", rows, framed_cell, select });
}
