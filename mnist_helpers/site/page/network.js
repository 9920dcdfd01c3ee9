// The network in the page: one forward pass that keeps what every layer puts out, and its weights.

const LAYERS = LAB.layers; // each with the shape of its maps: a vector's are 1 × 1
const SHAPES = LAB.shapes; // of the weights, by name

/** A function that keeps its last answer until it is asked for another. */
function keeping(make) {
  let asked = [];
  let answer;
  return (...given) => {
    if (given.some((value, i) => value !== asked[i])) answer = make(...given);
    asked = given;
    return answer;
  };
}

/** The bytes that stand in an element of the page, deflated and in base64. */
function bytesOf(id) {
  const packed = Uint8Array.fromBase64(document.getElementById(id).textContent);
  const inflating = new DecompressionStream("deflate");
  return new Response(new Blob([packed]).stream().pipeThrough(inflating)).arrayBuffer();
}

/** What every layer makes of an image, by name. */
function forward(image, weights) {
  const outputs = { image };
  for (const layer of Object.values(LAYERS)) {
    outputs[layer.name] = OPS[layer.op](outputs[layer.before], layer, weights);
  }
  return outputs;
}

/** A function of a map, a row and a column that gives the value there among `maps`; zeros outside. */
function readerOf(maps, [, height, width]) {
  return (map, row, column) => (row < 0 || column < 0 ? 0 : maps[(map * height + row) * width + column]);
}

/** What the windows of a layer read: of each map, by place in a window, a number for each window. */
function windowsOf(maps, { name, before }) {
  const [[rows, columns]] = LAB.reads[name];
  const { shape } = LAYERS[before];
  const read = readerOf(maps, shape);
  const places = rows[0].flatMap((_, i) => columns[0].map((_, j) => [i, j]));
  return range(shape[0]).map((map) => {
    return places.map(([i, j]) => rows.flatMap((row) => columns.map((column) => read(map, row[i], column[j]))));
  });
}

/** A convolution; plain loops, for a callback a product takes ten times as long. */
function convolve(maps, layer, weights) {
  const kernels = weights[`${layer.name}.weight`];
  const windows = windowsOf(maps, layer).flat();
  const outputs = new Float32Array(sizeOf(layer.shape));
  weights[`${layer.name}.bias`].forEach((bias, out) => {
    const sums = windows[0].map(() => bias);
    for (const [place, numbers] of windows.entries()) {
      const weight = kernels[out * windows.length + place];
      for (let i = 0; i < sums.length; i++) sums[i] += weight * numbers[i];
    }
    outputs.set(sums, out * sums.length);
  });
  return outputs;
}

/** The largest number of each window. */
function pool(maps, layer) {
  const largest = (places) => places[0].map((_, i) => Math.max(...places.map((numbers) => numbers[i])));
  return Float32Array.from(windowsOf(maps, layer).flatMap(largest));
}

/** A linear layer. */
function connect(values, { name }, weights) {
  const matrix = weights[`${name}.weight`];
  return weights[`${name}.bias`].map((bias, out) => {
    const start = out * values.length;
    let sum = bias;
    for (let i = 0; i < values.length; i++) sum += matrix[start + i] * values[i];
    return sum;
  });
}

/** Probabilities of logits. */
function softmax(logits) {
  const top = largestOf(logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - top));
  const total = sumOf(powers);
  return Float32Array.from(powers, (power) => power / total);
}

const OPS = {
  Input: (image) => image,
  Conv2d: convolve,
  ReLU: (maps) => maps.map((value) => Math.max(0, value)),
  MaxPool2d: pool,
  Linear: connect,
  Softmax: softmax,
};

/** Fills in the weights at every moment of the run, added up in 32 bits as Python does it. */
function addChanges(changes, networks) {
  let at = 0;
  for (const [name, steps] of Object.entries(LAB.steps)) {
    const values = new Float32Array(sizeOf(SHAPES[name]));
    for (const [i, moment] of LAB.moments.entries()) {
      for (let k = 0; k < values.length; k++) {
        values[k] += Math.fround(changes[at] * steps[i]);
        at++;
      }
      networks.get(moment)[name] = values.slice();
    }
  }
}

/** Weights by name of a .safetensors file of the network's form; an Error says what is wrong. */
function readSafetensors(buffer) {
  const { header, start } = readHeader(buffer);
  const isUnknown = (name) => name !== "__metadata__" && !Object.hasOwn(SHAPES, name);
  const unknown = Object.keys(header).find(isUnknown);
  if (unknown !== undefined) throw new Error(`it holds ${unknown}, which this network doesn't have`);
  const weights = {};
  for (const [name, shape] of Object.entries(SHAPES)) {
    weights[name] = readTensor(buffer, start, name, header[name], shape);
  }
  const places = Object.keys(SHAPES).flatMap((name) => header[name].data_offsets);
  // where one tensor ends the next begins, so every bound is there twice
  const bounds = [0, ...places, buffer.byteLength - start].sort((a, b) => a - b);
  const isPacked = bounds.every((bound, i) => bound === bounds[i ^ 1]);
  if (!isPacked) throw new Error("its numbers overlap, or it holds extra data");
  return weights;
}

/** The header of a .safetensors file, and where the numbers begin. */
function readHeader(buffer) {
  try {
    const start = 8 + Number(new DataView(buffer).getBigUint64(0, true));
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const header = JSON.parse(decoder.decode(buffer.slice(8, start)));
    return { header: Object(header), start };
  } catch {
    throw new Error("it is not a .safetensors file, or is incomplete");
  }
}

/** One tensor of a file as 32-bit numbers, where type, shape and place are as they must be. */
function readTensor(buffer, start, name, entry, shape) {
  if (!entry) throw new Error(`it lacks ${name}`);
  const { dtype, shape: found, data_offsets: place } = entry;
  const text = (sizes) => [].concat(sizes).join(" × ");
  const isSame = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  if (dtype !== "F32") throw new Error(`${name} holds ${dtype}, but must hold F32`);
  if (!isSame(found, shape)) throw new Error(`${name} is ${text(found)}, but must be ${text(shape)}`);
  const size = 4 * sizeOf(shape);
  const from = place?.[0];
  const isThere = isSame(place, [from, from + size]) && start + from + size <= buffer.byteLength;
  if (!isThere) throw new Error(`the numbers of ${name} are cut off`);
  const numbers = new Float32Array(buffer.slice(start + from, start + from + size));
  const isTame = numbers.every((value) => Math.abs(value) <= 1e6); // as in Python: the sums stay finite
  if (!isTame) throw new Error(`${name} has numbers that are not finite, or too large`);
  return numbers;
}
