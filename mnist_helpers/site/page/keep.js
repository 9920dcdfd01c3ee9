// Kept drawings: images behind those of the page, saved and opened as one zip archive of PNGs.

const FIRST = LAB.labels.length; // the number of the first that is kept
// how a file in an archive that doesn't pack begins, its entry in the directory, and the end
const FILE = "PK\x03\x04\x14\0\0\0\0\0\0\0!\0";
const ENTRY = "PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0!\0";
const END = "PK\x05\x06\0\0\0\0";
// the name of a drawing and, not packed, its content
const DRAWING = RegExp("\\b(\\d)/[^/]+[.]png.{0,99}?(.PNG.*?IEND.{4})", "dgs");

/** Keeps images of digits after all others, and says how they are read. */
function keepImages(images, digits) {
  IMAGES.push(...images);
  LAB.labels.push(...digits);
  document.getElementById("save").disabled = false;
  show(host.selection);
  write(said, aboutKept());
}

/** How many of the kept digits some weights read as they are meant. */
function rightBy(weights) {
  return IMAGES.slice(FIRST).filter((image, i) => {
    return indexOfLargest(forward(image, weights).softmax) === LAB.labels[FIRST + i];
  }).length;
}

/** How many of the kept digits are read correctly, by the published weights, too, where others took their place. */
function aboutKept() {
  const weights = networks.get(null);
  const others = weights === published ? "" : `, ${rightBy(published)} by published weights`;
  return `Read correctly of the digits that you keep: ${rightBy(weights)} of ${IMAGES.length - FIRST}${others}.`;
}

/** Gives the reader an archive of all that was kept: my-digits/7/100.png and so on. */
async function saveDrawings() {
  const { canvas } = newPen(28);
  let files = new Blob();
  let entries = new Blob();
  for (let i = FIRST; i < IMAGES.length; i++) {
    paint(canvas, Uint32Array.from(inkOf(IMAGES[i]), (value) => 0xff000000 + 0x10101 * Math.round(255 * value)));
    const content = new Blob([Uint8Array.fromBase64(canvas.toDataURL().slice(22))]);
    const packed = content.stream().pipeThrough(new CompressionStream("gzip"));
    const end = (await new Response(packed).arrayBuffer()).slice(-8); // a check sum and the size
    const name = `my-digits/${LAB.labels[i]}/${i}.png`;
    const about = [end, Uint32Array.of(content.size, name.length)];
    // ten zeros: there is nothing to say of a file
    entries = new Blob([entries, ENTRY, ...about, "\0\0\0\0\0\0\0\0\0\0", Uint32Array.of(files.size), name]);
    files = new Blob([files, FILE, ...about, name, content]);
  }
  const count = IMAGES.length - FIRST;
  const counts = [Uint16Array.of(count, count), Uint32Array.of(entries.size, files.size), "\0\0"];
  const href = URL.createObjectURL(new Blob([files, entries, END, ...counts]));
  give(make("a"), { href, download: "my-digits.zip" }).click();
}

/** Keeps the drawings in an archive that doesn't pack, each in a folder of its digit, but for those that are kept already. */
async function takeDrawings(archive) {
  const images = [];
  const digits = [];
  const pen = newPen(28);
  const letters = new TextDecoder("latin1").decode(archive); // one a byte
  const files = [...letters.matchAll(DRAWING)];
  if (!files.length) throw new Error("it holds no PNG, not packed, in a folder 0 to 9");
  for (const { 1: name, indices } of files) {
    const content = new Blob([archive.slice(...indices[2])]);
    pen.drawImage(await createImageBitmap(content), 0, 0, 28, 28);
    const { data } = pen.getImageData(0, 0, 28, 28);
    const image = normalised(Float32Array.from(range(784), (i) => data[4 * i] / 255));
    const digit = Number(name);
    const isKept = IMAGES.some((kept, i) => i >= FIRST && LAB.labels[i] === digit && `${kept}` === `${image}`);
    if (isKept) continue;
    images.push(image);
    digits.push(digit);
  }
  keepImages(images, digits);
}
