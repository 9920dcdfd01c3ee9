// What the network reads: the pad, a drawing's preparation, or the chosen image, and the answer.

const [MEAN, STD] = LAB.scale; // of all training pixels

const normalised = (ink) => ink.map((value) => (value - MEAN) / STD);
const inkOf = (image) => image.map((value) => value * STD + MEAN);

/** The steps of a drawing's preparation, the last of them normalised. */
const preparedOf = keeping((ink) => {
  const values = Float32Array.from(Uint8Array.fromBase64(ink), (byte) => byte / 255);
  const steps = prepareInk({ height: INK, width: INK, values }, 28);
  steps.image = normalised(steps.image);
  return steps;
});

/** The pad, and beside it what is read and the answer to it; the pad stays in its place. */
function readingRow(look) {
  const { at, image, name, probs, title } = look;
  const pad = markOf("pad", { title: "pad", ink: at.drawing, example: array(inkOf(IMAGES[at.image]), 28, 28) });
  if (at.drawing !== null) {
    const bars = probabilityBars(probs, { title });
    return row(pad, column(bars, preparationRow(look)));
  }
  const label = LAB.labels[at.image];
  const bars = probabilityBars(probs, {
    title: "probability of each digit; ✓: the label",
    ticks: DIGIT_NAMES.with(label, `${label} ✓`),
  });
  const chosen = row(picture(image, 196, { title: name.toLowerCase(), select: {} }), bars);
  return row(pad, column(text("Draw a digit on the pad, or use the chosen image.", "strong"), chosen));
}

/** The steps from the pad to what the network reads. */
function preparationRow({ at, image }) {
  const { cropped, fitted, centred } = preparedOf(at.drawing);
  // half as fine
  const valueAt = (row, column) => cropped.values[2 * row * cropped.width + 2 * column];
  const grids = {
    "1. cropped": makeGrid(Math.ceil(cropped.height / 2), Math.ceil(cropped.width / 2), valueAt),
    [`2. fitted: ${fitted.height} × ${fitted.width}`]: fitted,
    "3. centred by mass": centred,
  };
  const pictures = Object.entries(grids).map(([title, { height, width, values }]) => {
    const side = Math.floor((SMALL * width) / Math.max(height, width));
    return pictureOf(array(values, 1, height, width), side, { title });
  });
  return row(...pictures, picture(image, SMALL, { title: "4. normalised" }));
}
