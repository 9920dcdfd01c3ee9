// Pictures on a pad: from files to ink, and back.

const PICTURE_BYTES = 100_000_000; // at most, as in digits.py
const PICTURE_PIXELS = 64_000_000;
const FAINT = 20; // contrast in 255 below which a picture shows nothing

/** How many pixels a picture's file unpacks to, by its header; an error if it is none. */
async function pixelsOf(file) {
  const image = new Image();
  const src = URL.createObjectURL(file);
  const loaded = new Promise((onload, onerror) => Object.assign(image, { onload, onerror, src }));
  await loaded.finally(() => URL.revokeObjectURL(src));
  return image.naturalWidth * image.naturalHeight;
}

/** Lays a picture on the pad as ink, which a kernel finds as it does for `predict`. */
async function loadPicture(pad, file) {
  const name = oneLine(file.name);
  const { complain } = pad.context;
  let picture;
  try {
    if (file.size > PICTURE_BYTES || (await pixelsOf(file)) > PICTURE_PIXELS) {
      return complain(`${name} is larger than 100 MB or 64 million pixels; give a smaller one.`);
    }
    picture = await createImageBitmap(file);
  } catch {
    return complain(`${name} can't be read as a picture; give a PNG or JPEG file.`);
  }
  const { hasKernel, pick } = pad.context;
  const scale = (hasKernel ? 500 : SHEET) / Math.max(picture.width, picture.height);
  const pen = newPen(Math.ceil(scale * picture.width), Math.ceil(scale * picture.height));
  const { canvas } = pen;
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  if (hasKernel) return pick({ picture: canvas.toDataURL() });
  const image = pen.getImageData(0, 0, canvas.width, canvas.height);
  if (!toInk(image)) return complain(`${name} shows no digit: it is nearly all one colour.`);
  pen.putImageData(image, 0, 0);
  change(pad, [pictureItem(canvas)]);
}

/**
 * Turns pixels into black ink of more or less opacity; false where there is no contrast. Ink is what
 * stands out most, dark or light, in one of the colours or, where these say nothing, the opacity.
 */
function toInk({ data, width, height }) {
  const rim = Math.floor(Math.min(width, height) / 25); // may be the edge of a scan
  const depths = range(width * height).map((i) => {
    const row = Math.floor(i / width);
    return Math.min(row, height - 1 - row, i % width, width - 1 - (i % width));
  });
  const opacity = Float32Array.from(depths, (_, i) => data[4 * i + 3]);
  const onWhite = (channel) =>
    opacity.map((value, i) => 255 + (value * (data[4 * i + channel] - 255)) / 255);
  const contrasts = [opacity, ...range(3).map(onWhite)].flatMap((values) => {
    const border = values.filter((_, i) => depths[i] === rim).sort();
    const ground = border[border.length >> 1];
    return [values.map((value) => value - ground), values.map((value) => ground - value)];
  });
  const sizes = contrasts.map((values) => largestOf(values.filter((_, i) => depths[i] >= rim)));
  const shown = largestOf(sizes.slice(2));
  const most = shown < FAINT ? sizes[0] : shown;
  contrasts[sizes.lastIndexOf(most)].forEach((value, i) => {
    const isEdge = depths[i] < rim && value > most;
    data.set([0, 0, 0, isEdge ? 0 : (255 * value) / most], 4 * i);
  });
  return most >= FAINT;
}

/** Offers what is drawn as a file, dark on white. */
function savePicture({ canvas }) {
  const pen = newPen(SHEET);
  pen.fillStyle = "white";
  pen.fillRect(0, 0, SHEET, SHEET);
  pen.drawImage(canvas, 0, 0);
  giveFile(pen.canvas.toDataURL("image/png"), "digit.png");
}

/** Gives the reader a file of a name. */
function giveFile(href, download) {
  Object.assign(make("a"), { href, download }).click();
}
