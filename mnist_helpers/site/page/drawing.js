// A drawing in the page, as Python's view of it: the pad, its preparation, and the answer.

const INVITATION = "Draw a digit on the pad, or lay the chosen image on it.";
const [STEP, NEAR] = [112, 8]; // side of a picture in pixels; how many images stand beside it
const drawn = { ink: null, steps: null }; // the last drawing, and what it became
let features = { weights: null, images: [] }; // what fc1 makes of the images of the page

/** The steps of a drawing's preparation, the last of them normalised; kept while it stays. */
function preparedOf(ink) {
  if (drawn.ink !== ink) {
    const values = Float32Array.from(inkBytes(ink), (level) => level / 255);
    const steps = prepareInk(gridOf(INK, INK, values), 28);
    steps.image = steps.image.map((value) => (value - LAB.mean) / LAB.std);
    Object.assign(drawn, { ink, steps });
  }
  return drawn.steps;
}

/** A pad, the steps that make its ink an image, and the answer to it. */
function drawingView(look) {
  const { at, probs } = look;
  const example = array(IMAGES[at.image].map((value) => value * LAB.std + LAB.mean), 28, 28);
  const pad = { kind: "pad", ...MARK, title: "pad", ink: at.drawing, example, edit: "drawing" };
  if (at.drawing === null) {
    const hint = text(INVITATION, { size: "strong" });
    const caption = `${INVITATION} Chosen: image ${at.image}.`;
    return { content: column(row(pad, hint), row()), caption };
  }
  const mark = { axes: ["Predicted digit", "Probability"], title: "probability" };
  const bars = classBars({ probability: probs }, 1, [0, 1], { ...mark, emphasis: [indexOfLargest(probs)] });
  const answer = column(preparation(look), row(bars, alike(look)));
  return { content: column(row(pad, answer), passed(look)), caption: `${look.title}.` };
}

/** The steps from the pad to what the network reads. */
function preparation({ at, image }) {
  const { cropped, fitted, centred } = preparedOf(at.drawing);
  const shown = {
    "1. cropped": thinned(cropped),
    [`2. fitted: ${fitted.height} × ${fitted.width}`]: fitted,
    "3. centred by mass": centred,
  };
  const pictures = Object.entries(shown).map(([title, { height, width, values }]) => {
    const limits = [[-largestOf(values.map((value) => -value)), largestOf(values)]];
    const side = Math.floor((STEP * width) / Math.max(height, width));
    return grid(array(values, 1, height, width), side, limits, { palette: "ink", title });
  });
  return row(...pictures, picture(image, STEP, { title: "4. normalised" }));
}

/** A grid with every second row and column. */
function thinned({ height, width, values }) {
  const part = gridOf(Math.ceil(height / 2), Math.ceil(width / 2));
  const from = (i) => 2 * Math.floor(i / part.width) * width + 2 * (i % part.width);
  part.values.forEach((_, i) => (part.values[i] = values[from(i)]));
  return part;
}

/** The images of the page whose fc1 is nearest to the drawing's. */
function alike({ maps, weights }) {
  if (features.weights !== weights) {
    features = { weights, images: IMAGES.map((image) => forward(image, weights)[LAB.hidden]) };
  }
  const own = maps(LAB.hidden).data;
  const far = features.images.map((each) => Math.hypot(...each.map((value, i) => value - own[i])));
  const near = range(IMAGES.length).toSorted((a, b) => far[a] - far[b]).slice(0, NEAR);
  const values = array(near.flatMap((i) => [...IMAGES[i]]), near.length, 28, 28);
  const labels = near.map((i) => DIGIT_NAMES[LAB.labels[i]]);
  const mark = { palette: "ink", columns: 4, labels, unit: "image" };
  const limits = [[LAB.levels[0], LAB.levels.at(-1)]];
  return grid(values, 64, limits, { ...mark, title: "most like it, by these features" });
}

/** What the poolings, and the layers behind the last of them, make of it. */
function passed(look) {
  const layers = Object.values(LAYERS);
  const isPooling = ({ op }) => op === "MaxPool2d";
  const behind = layers.slice(layers.findLastIndex(isPooling) + 2);
  const shown = [...layers.filter(isPooling), ...behind];
  return row(...shown.map((each) => layerStep(look, each)));
}
