// Ink on its way into the form of the training images, as mnist_helpers/digits.py does it.

const FAINTEST = 0.1; // of the darkest ink: what still belongs to the digit
const FITTED = 20; // sides of the box that a digit fills

/** A grid of the numbers that a function gives for each row and column. */
function makeGrid(height, width, valueAt) {
  const numberAt = (_, i) => valueAt(Math.floor(i / width), i % width);
  return { height, width, values: Float32Array.from({ length: height * width }, numberAt) };
}

/** The steps from ink, a grid in [0, 1], to an image of `side` pixels with paper at 0, ink at 1. */
function prepareInk(ink, side) {
  const cropped = crop(ink);
  const scale = FITTED / Math.max(cropped.height, cropped.width);
  const scaled = (length) => Math.max(1, Math.round(length * scale));
  const fitted = shrink(cropped, scaled(cropped.height), scaled(cropped.width));
  const most = largestOf(fitted.values);
  fitted.values = fitted.values.map((value) => value / most);
  const centred = centre(fitted, side);
  const image = centred.values.map((value) => Math.round(255 * value) / 255);
  return { cropped, fitted, centred, image };
}

/** The part of a grid that holds ink. */
function crop({ width, values }) {
  const box = boxOfInk(values, width, FAINTEST * largestOf(values));
  const valueAt = (row, column) => values[(box.top + row) * width + box.left + column];
  return makeGrid(box.height, box.width, valueAt);
}

/** For each of `count` places those of `size` that it averages (Pillow's box filter). */
function spans(size, count) {
  const scale = size / count;
  const support = Math.max(scale, 1) / 2;
  return range(count).map((place) => {
    const middle = (place + 0.5) * scale;
    const first = Math.max(0, Math.floor(middle - support + 0.5));
    const end = Math.min(size, Math.floor(middle + support + 0.5));
    // rounded as Pillow does
    return range(end - first, first).filter((at) => (at - middle + 0.5) / (2 * support) <= 0.5);
  });
}

/** A smaller grid, each of its numbers the mean of those that it covers. */
function shrink(grid, height, width) {
  const rows = spans(grid.height, height);
  const columns = spans(grid.width, width);
  return makeGrid(height, width, (row, column) => {
    const covered = rows[row].flatMap((line) => columns[column].map((at) => grid.values[line * grid.width + at]));
    return sumOf(covered) / covered.length;
  });
}

/** Places a grid in a larger one: its mass centred below and right of the middle. */
function centre({ height, width, values }, side) {
  const mass = sumOf(values);
  // in double precision
  const middle = (placeOf) => values.reduce((sum, value, i) => sum + value * (placeOf(i) + 0.5), 0) / mass;
  const corner = (size, place) => Math.max(0, Math.min(side - size, Math.ceil(side / 2 - place)));
  const top = corner(height, middle((i) => Math.floor(i / width)));
  const left = corner(width, middle((i) => i % width));
  const centred = makeGrid(side, side, () => 0);
  values.forEach((value, i) => {
    const row = top + Math.floor(i / width);
    centred.values[row * side + left + (i % width)] = value;
  });
  return centred;
}
