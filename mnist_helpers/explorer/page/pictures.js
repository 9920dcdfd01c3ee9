// Pictures on a pad: from files to ink.

const PICTURE = 500; // of the longer side: what is enough to find a digit
const PAPER = "#0080ff"; // under transparent pictures: no usual ink has this in every colour
const FAINT = 20; // contrast in 255 below which a picture shows nothing
const LEAST = 0.25; // of the strongest contrast: what is ink

/** Lays a picture on the pad as ink, which a kernel finds as it does for `predict`. */
async function loadPicture(pad, file) {
  const name = oneLine(file.name);
  const { complain, hasKernel, pick } = pad.context;
  if (file.size > 100_000_000) return complain(`${name} is larger than 100 MB; give a smaller one.`);
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    return complain(`${name} can't be read as a picture; give a PNG or JPEG file.`);
  }
  const scale = PICTURE / Math.max(picture.width, picture.height);
  const width = Math.ceil(scale * picture.width);
  const height = Math.ceil(scale * picture.height);
  const rim = hasKernel ? 0 : Math.floor(Math.min(width, height) / 25); // may be the edge of a scan
  const pen = newPen(width - 2 * rim, height - 2 * rim);
  if (!hasKernel) {
    pen.fillStyle = PAPER;
    pen.fillRect(0, 0, width, height);
    pen.filter = "blur(1px)"; // against noise
  }
  pen.drawImage(picture, -rim, -rim, width, height);
  if (hasKernel) return pick({ picture: pen.canvas.toDataURL() });
  const ink = inkCanvas(pen);
  if (!ink) return complain(`${name} shows no digit: nothing written stands out in it.`);
  change(pad, [pictureItem(ink)]);
}

/**
 * The part of a picture that holds ink, black and more or less opaque; null where there is none. Ink is what stands
 * out most from what is around it, dark or light, in red, green or blue.
 */
function inkCanvas(pen) {
  const { width, height } = pen.canvas;
  const image = pen.getImageData(0, 0, width, height);
  const contrasts = range(3).flatMap((colour) => {
    const values = Float32Array.from({ length: width * height }, (_, i) => image.data[4 * i + colour]);
    const lighter = groundOf(values, width).map((ground, i) => values[i] - ground);
    return [lighter, lighter.map((value) => -value)];
  });
  const sizes = contrasts.map(largestOf);
  const most = largestOf(sizes);
  if (most < FAINT) return null;
  const ink = contrasts[sizes.lastIndexOf(most)].map((value) => (value > LEAST * most ? value / most : 0));
  ink.forEach((share, i) => image.data.set([0, 0, 0, 255 * share], 4 * i));
  const box = boxOfInk(ink, width, 0);
  const margin = Math.ceil(Math.max(box.width, box.height) / 8); // a tenth of the pad, to draw on
  const cut = newPen(box.width + 2 * margin, box.height + 2 * margin);
  cut.putImageData(image, margin - box.left, margin - box.top);
  return cut.canvas;
}

/** The box around what is above `least` among values in rows of `width`. */
function boxOfInk(values, width, least) {
  const places = range(values.length).filter((i) => values[i] > least);
  const rows = places.map((i) => Math.floor(i / width));
  const columns = Float32Array.from(places, (i) => i % width).sort();
  const [top] = rows;
  const [left] = columns;
  return { top, left, height: rows.at(-1) + 1 - top, width: columns.at(-1) + 1 - left };
}

/** What a picture would be without ink: at each place the median of a third of the picture. */
function groundOf(values, width) {
  const step = 20;
  const medianAround = (row, column) => {
    const near = [];
    for (let y = Math.max(row - 80, 0); y <= row + 80; y += 5) {
      for (let x = Math.max(column - 80, 0); x <= Math.min(column + 80, width - 1); x += 5) {
        if (y * width + x < values.length) near.push(values[y * width + x]);
      }
    }
    return near.sort((a, b) => a - b)[near.length >> 1];
  };
  const medians = {};
  return values.map((_, i) => {
    const node = [Math.floor(i / width), i % width].map((place) => step * Math.round(place / step));
    return (medians[node] ??= medianAround(...node));
  });
}
