// Ink on its way into the form of the training images, as mnist_helpers/digits.py does it.

const FAINTEST = 0.1; // of the darkest ink: what still belongs to the digit
const FITTED = 20; // sides of the box that a digit fills

/** A grid of numbers. */
function gridOf(height, width, values = new Float32Array(height * width)) {
  return { height, width, values };
}

/** The steps from ink, a grid in [0, 1], to an image of `side` pixels with paper at 0, ink at 1. */
function prepareInk(ink, side) {
  const cropped = crop(ink);
  const scale = FITTED / Math.max(cropped.height, cropped.width);
  const [height, width] = [cropped.height, cropped.width].map((length) => Math.max(1, Math.floor(length * scale + 0.5)));
  const fitted = shrinkRows(shrinkColumns(cropped, width), height);
  const most = fitted.values.reduce((a, b) => Math.max(a, b), 0);
  fitted.values = fitted.values.map((value) => value / most);
  const centred = centre(fitted, side);
  return { cropped, fitted, centred, image: centred.values.map((value) => Math.round(255 * value) / 255) };
}

/** The part of a grid that holds ink. */
function crop({ width, values }) {
  const least = FAINTEST * values.reduce((a, b) => Math.max(a, b), 0);
  let [top, left, bottom, right] = [Infinity, Infinity, -1, -1];
  values.forEach((value, i) => {
    if (value <= least) return;
    const [row, column] = [Math.floor(i / width), i % width];
    [top, bottom] = [Math.min(top, row), Math.max(bottom, row)];
    [left, right] = [Math.min(left, column), Math.max(right, column)];
  });
  const part = gridOf(bottom - top + 1, right - left + 1);
  part.values.forEach((_, i) => {
    const [row, column] = [Math.floor(i / part.width), i % part.width];
    part.values[i] = values[(top + row) * width + left + column];
  });
  return part;
}

/** For each of `count` places the first and last of `size` that it averages (Pillow's box filter). */
function spans(size, count) {
  const scale = size / count;
  const support = Math.max(scale, 1) / 2;
  return Array.from({ length: count }, (_, place) => {
    const middle = (place + 0.5) * scale;
    const first = Math.max(0, Math.floor(middle - support + 0.5));
    const inside = (at) => {
      const distance = (at - middle + 0.5) / (2 * support);
      return distance > -0.5 && distance <= 0.5;
    };
    const all = Array.from({ length: Math.min(size, Math.floor(middle + support + 0.5)) - first }, (_, i) => first + i);
    return all.filter(inside);
  });
}

/** A grid with `count` columns, each the mean of those that it covers. */
function shrinkColumns({ height, width, values }, count) {
  const made = gridOf(height, count);
  spans(width, count).forEach((span, column) => {
    for (let row = 0; row < height; row++) {
      const sum = span.reduce((total, at) => total + values[row * width + at], 0);
      made.values[row * count + column] = sum / span.length;
    }
  });
  return made;
}

/** The same with rows. */
function shrinkRows({ width, height, values }, count) {
  const made = gridOf(count, width);
  spans(height, count).forEach((span, row) => {
    for (let column = 0; column < width; column++) {
      const sum = span.reduce((total, at) => total + values[at * width + column], 0);
      made.values[row * width + column] = sum / span.length;
    }
  });
  return made;
}

/** Places a grid in a larger one: its mass centred below and right of the middle. */
function centre({ height, width, values }, side) {
  const mass = values.reduce((a, b) => a + b, 0);
  const middle = (place) => values.reduce((sum, value, i) => sum + value * (place(i) + 0.5), 0) / mass;
  const corner = (size, place) => Math.max(0, Math.min(side - size, Math.ceil(side / 2 - middle(place))));
  const top = corner(height, (i) => Math.floor(i / width));
  const left = corner(width, (i) => i % width);
  const made = gridOf(side, side);
  values.forEach((value, i) => {
    made.values[(top + Math.floor(i / width)) * side + left + (i % width)] = value;
  });
  return made;
}
