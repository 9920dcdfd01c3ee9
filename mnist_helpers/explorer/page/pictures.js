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

/** A picture on white paper, as the pen that drew it. */
function onPaper(picture, width, height) {
  const pen = newPen(width, height);
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(picture, 0, 0, width, height);
  return pen;
}

/** Lays a picture on the pad as ink: its contrast with its ground, the median of its border. */
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
  const scale = SHEET / Math.max(picture.width, picture.height);
  const pen = onPaper(picture, Math.ceil(scale * picture.width), Math.ceil(scale * picture.height));
  const { canvas } = pen;
  const image = pen.getImageData(0, 0, canvas.width, canvas.height);
  if (!toInk(image)) return complain(`${name} shows no digit: it is of nearly one colour.`);
  pen.putImageData(image, 0, 0);
  change(pad, [pictureItem(canvas)]);
}

/** Turns colours into black ink of more or less opacity; false where there is no contrast. */
function toInk({ data, width, height }) {
  const grey = Float32Array.from({ length: width * height }, (_, i) =>
    0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2],
  );
  const isBorder = (_, i) => (i + 1) % width < 2 || i < width || i >= grey.length - width;
  const border = grey.filter(isBorder).sort();
  const ground = border[border.length >> 1];
  const contrast = grey.map((value) => Math.max(0, ground > 127 ? ground - value : value - ground));
  const most = largestOf(contrast);
  contrast.forEach((value, i) => data.set([0, 0, 0, (255 * value) / most], 4 * i));
  return most >= FAINT;
}

/** Offers what is drawn as a file, dark on white. */
function savePicture({ canvas }) {
  const href = onPaper(canvas, SHEET, SHEET).canvas.toDataURL("image/png");
  Object.assign(make("a"), { href, download: "digit.png" }).click();
}
