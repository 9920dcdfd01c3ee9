// A pad: ink under pointer, pen or finger, moved, scaled and turned, sent to the host as bytes.

const SHEET = 280; // sides of the pad, in pixels
const INK = 140; // sides of what is sent
const MOST_UNDONE = 40;
const FAINT = 20; // contrast in 255 below which a picture shows nothing
const PAD_KEYS = {
  ArrowLeft: (pad) => change(pad, { x: -10 }),
  ArrowRight: (pad) => change(pad, { x: 10 }),
  ArrowUp: (pad) => change(pad, { y: -10 }),
  ArrowDown: (pad) => change(pad, { y: 10 }),
  "+": (pad) => change(pad, { scale: 1.1 }),
  "-": (pad) => change(pad, { scale: 1 / 1.1 }),
  "[": (pad) => change(pad, { turn: -10 }),
  "]": (pad) => change(pad, { turn: 10 }),
  z: (pad) => undo(pad),
  Delete: (pad) => clear(pad),
};
const PAD_LABEL = "Pad: draw with the pointer. Arrow keys move what is drawn, + and − scale it, \
[ and ] turn it, z takes back, Delete clears.";

/** Draws the pad; what is on it stays, unless the host shows other ink. */
function drawPad(view, mark) {
  view.pad ??= layPad(view);
  view.pad.example = mark.example;
  if (mark.ink === view.pad.sent || view.context.busy()) return;
  view.pad.sent = mark.ink;
  view.pad.pen.clearRect(0, 0, SHEET, SHEET);
  if (mark.ink) layInk(view.pad, inkBytes(mark.ink), INK);
}

/** A pad in a mark's body: its sheet and, below, what can be done with it. */
function layPad(view) {
  const canvas = focusable(Object.assign(make("canvas", "sheet-of-pad"), { width: SHEET, height: SHEET }));
  Object.assign(canvas, { tabIndex: 0, role: "application", ariaLabel: PAD_LABEL, title: PAD_LABEL });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const pad = { canvas, pen, before: [], sent: null, width: 18, isMoving: false, context: view.context };
  pad.field = view.mark.edit;
  bindPad(pad);
  const buttons = {
    Undo: () => undo(pad),
    Clear: () => clear(pad),
    "Lay image": () => layExample(pad),
    Smaller: () => change(pad, { scale: 1 / 1.1 }),
    Larger: () => change(pad, { scale: 1.1 }),
    "Turn left": () => change(pad, { turn: -10 }),
    "Turn right": () => change(pad, { turn: 10 }),
    "Save PNG": () => savePicture(pad),
  };
  const rows = Object.entries(buttons).map(([name, call]) => padButton(name, call));
  const bar = make("div", "pad-bar", ...rows.slice(0, 3), moveButton(pad), ...rows.slice(3), loadButton(pad));
  view.body.replaceChildren(canvas, make("div", "pad-bar", widthSlider(pad)), bar);
  return pad;
}

/** A small button. */
function padButton(name, call) {
  return Object.assign(focusable(make("button", "small", name)), { onclick: call });
}

/** A button that lets the pointer move what is drawn instead of drawing. */
function moveButton(pad) {
  const button = padButton("Move", () => {
    pad.isMoving = !pad.isMoving;
    button.ariaPressed = String(pad.isMoving);
    pad.canvas.classList.toggle("moves", pad.isMoving);
  });
  button.ariaPressed = "false";
  return button;
}

/** A slider for the width of the line. */
function widthSlider(pad) {
  const input = focusable(Object.assign(make("input"), { type: "range", min: 4, max: 40, value: pad.width }));
  input.ariaLabel = "Width of the line";
  input.oninput = () => (pad.width = Number(input.value));
  input.addEventListener("keydown", (event) => event.stopPropagation());
  return make("label", "", "Width ", input);
}

/** A button that asks for a picture. */
function loadButton(pad) {
  const input = focusable(Object.assign(make("input", "hidden"), { type: "file", accept: "image/*", tabIndex: -1 }));
  input.ariaLabel = "Picture of a digit";
  input.onchange = () => loadPicture(pad, input.files[0]).then(() => (input.value = ""));
  return make("span", "", padButton("Load picture", () => input.click()), input);
}

/** Lets pointers draw or move, keys change, and pasted or dropped pictures come in. */
function bindPad(pad) {
  const { canvas, pen } = pad;
  let last = null;
  const place = ({ clientX, clientY }) => {
    const box = canvas.getBoundingClientRect();
    return { x: ((clientX - box.left) / box.width) * SHEET, y: ((clientY - box.top) / box.height) * SHEET };
  };
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    keep(pad);
    last = place(event);
    if (!pad.isMoving) dot(pad, last);
  };
  canvas.onpointermove = (event) => {
    if (!last) return;
    const points = event.getCoalescedEvents?.() ?? [];
    for (const each of points.length ? points : [event]) {
      const next = place(each);
      if (pad.isMoving) shift(pad, { x: next.x - last.x, y: next.y - last.y });
      else line(pad, last, next);
      last = next;
    }
    sendInk(pad);
  };
  canvas.onpointerup = canvas.onpointercancel = () => {
    if (last) sendInk(pad);
    last = null;
  };
  canvas.addEventListener("keydown", (event) => {
    const act = event.ctrlKey || event.metaKey || event.altKey ? null : PAD_KEYS[event.key];
    if (!act) return;
    act(pad);
    event.preventDefault();
    event.stopPropagation();
  });
  const take = (event, { files }) => {
    if (!files.length) return;
    event.preventDefault();
    event.stopPropagation();
    loadPicture(pad, files[0]);
  };
  canvas.addEventListener("paste", (event) => take(event, event.clipboardData));
  canvas.ondragover = (event) => event.preventDefault();
  canvas.ondrop = (event) => take(event, event.dataTransfer);
  Object.assign(pen, { lineCap: "round", lineJoin: "round" });
}

/** Draws a dot as wide as the pen. */
function dot({ pen, width }, { x, y }) {
  pen.beginPath();
  pen.arc(x, y, width / 2, 0, 2 * Math.PI);
  pen.fill();
}

/** Draws a line as wide as the pen. */
function line({ pen, width }, from, to) {
  pen.lineWidth = width;
  pen.beginPath();
  pen.moveTo(from.x, from.y);
  pen.lineTo(to.x, to.y);
  pen.stroke();
}

/** Keeps what is on the pad, to go back to. */
function keep({ pen, before }) {
  before.push(pen.getImageData(0, 0, SHEET, SHEET));
  if (before.length > MOST_UNDONE) before.shift();
}

/** Takes the last change back. */
function undo(pad) {
  const image = pad.before.pop();
  if (!image) return;
  pad.pen.putImageData(image, 0, 0);
  sendInk(pad);
}

/** Empties the pad. */
function clear(pad) {
  keep(pad);
  pad.pen.clearRect(0, 0, SHEET, SHEET);
  sendInk(pad);
}

/** Moves, scales and turns what is drawn, about the middle of the pad. */
function shift({ canvas, pen }, { x = 0, y = 0, scale = 1, turn = 0 }) {
  const copy = Object.assign(make("canvas"), { width: SHEET, height: SHEET });
  copy.getContext("2d").drawImage(canvas, 0, 0);
  pen.clearRect(0, 0, SHEET, SHEET);
  pen.save();
  pen.translate(SHEET / 2 + x, SHEET / 2 + y);
  pen.rotate((turn * Math.PI) / 180);
  pen.scale(scale, scale);
  pen.drawImage(copy, -SHEET / 2, -SHEET / 2);
  pen.restore();
}

/** The same as a change that can be taken back. */
function change(pad, how) {
  keep(pad);
  shift(pad, how);
  sendInk(pad);
}

/** Lays ink, bytes of a square picture, over the pad. */
function layInk({ pen }, bytes, side) {
  const copy = Object.assign(make("canvas"), { width: side, height: side });
  const image = new ImageData(side, side);
  bytes.forEach((value, i) => (image.data[4 * i + 3] = value));
  copy.getContext("2d").putImageData(image, 0, 0);
  pen.drawImage(copy, 0, 0, SHEET, SHEET);
}

/** Lays the chosen image on the pad, to be changed. */
function layExample(pad) {
  keep(pad);
  pad.pen.clearRect(0, 0, SHEET, SHEET);
  const ink = Array.from(decode(pad.example), (value) => Math.round(255 * value));
  layInk(pad, ink, pad.example.shape[1]);
  sendInk(pad);
}

/** Tells the host what is on the pad. */
function sendInk(pad) {
  const small = Object.assign(make("canvas"), { width: INK, height: INK });
  const pen = small.getContext("2d");
  pen.drawImage(pad.canvas, 0, 0, INK, INK);
  const { data } = pen.getImageData(0, 0, INK, INK);
  const bytes = Uint8Array.from({ length: INK * INK }, (_, i) => data[4 * i + 3]);
  pad.sent = bytes.some((value) => value > 25) ? btoa(String.fromCharCode(...bytes)) : null;
  pad.context.complain("");
  pad.context.pick({ [pad.field]: pad.sent });
}

/** The bytes of a base64 text. */
function inkBytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Lays a picture on the pad as ink: its contrast with its ground, the median of its border. */
async function loadPicture(pad, file) {
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    pad.context.complain(`${file.name} can't be read as a picture; give a PNG or JPEG file.`);
    return;
  }
  const scale = SHEET / Math.max(picture.width, picture.height);
  const [width, height] = [picture.width, picture.height].map((side) => Math.max(1, Math.round(side * scale)));
  const copy = Object.assign(make("canvas"), { width, height });
  const pen = copy.getContext("2d");
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(picture, 0, 0, width, height);
  const image = pen.getImageData(0, 0, width, height);
  if (!toInk(image)) {
    pad.context.complain(`${file.name} shows no digit: it is of nearly one colour.`);
    return;
  }
  pen.putImageData(image, 0, 0);
  keep(pad);
  pad.pen.clearRect(0, 0, SHEET, SHEET);
  pad.pen.drawImage(copy, (SHEET - width) / 2, (SHEET - height) / 2);
  sendInk(pad);
}

/** Turns colours into black ink of more or less opacity; false where there is no contrast. */
function toInk({ data, width, height }) {
  const grey = Float32Array.from({ length: width * height }, (_, i) => {
    return 0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2];
  });
  const isBorder = (_, i) => i % width === 0 || i % width === width - 1 || i < width || i >= grey.length - width;
  const border = grey.filter(isBorder).sort();
  const ground = border[border.length >> 1];
  const contrast = grey.map((value) => Math.max(0, ground > 127 ? ground - value : value - ground));
  const most = contrast.reduce((a, b) => Math.max(a, b), 0);
  contrast.forEach((value, i) => data.set([0, 0, 0, Math.round((255 * value) / (most || 1))], 4 * i));
  return most >= FAINT;
}

/** Offers what is drawn as a file, dark on white. */
function savePicture({ canvas }) {
  const copy = Object.assign(make("canvas"), { width: SHEET, height: SHEET });
  const pen = copy.getContext("2d");
  pen.fillStyle = "white";
  pen.fillRect(0, 0, SHEET, SHEET);
  pen.drawImage(canvas, 0, 0);
  const link = Object.assign(make("a"), { href: copy.toDataURL("image/png"), download: "digit.png" });
  link.click();
}

MARKS.pad = drawPad;
