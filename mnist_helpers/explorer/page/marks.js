// Draws a scene: marks in rows and columns. CSS lays them out; elements stay from scene to scene.

const SPLIT_AT_MOST = 128; // maps with a canvas each; more, or maps without labels, share one
const DRAG = 6; // pixels to a tenth, in a number that is dragged
const MOST_WEIGHT = 100;
const SCATTER_EDGE = 10; // the margin of a scatter, in pixels
const MOVES = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];
const DIGITS = { float32: 4, float16: 3 }; // that are significant
const remembered = new WeakMap();
const colourTables = {};

/** An element with a class and children. */
function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...children);
  return element;
}

/** An element that takes the focus, and whose keys JupyterLab leaves alone. */
function focusable(element) {
  element.dataset.lmSuppressShortcuts = "true";
  return element;
}

/** Writes `text` into `element` where it is another. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A text that comes from anywhere, on one line and not for long. */
function oneLine(text) {
  return text.replace(/[\p{C}\p{Z}]/gu, " ").slice(0, 160);
}

/** About how many pixels the longest of some small texts takes. */
function widest(texts) {
  return 6.5 * Math.max(0, ...texts.map((text) => text.length));
}

/** Whether `value` is another than at the last call with `element`. */
function differs(element, value) {
  const text = JSON.stringify(value);
  if (remembered.get(element) === text) return false;
  remembered.set(element, text);
  return true;
}

/** The scenes in a state, their arrays as {shape, type, data} with the bytes. */
function scenesOf({ shown, numbers }) {
  const revive = (_, value) => {
    if (value?.array === undefined) return value;
    const data = numbers[value.array];
    const count = value.shape.reduce((a, b) => a * b, 1);
    return { ...value, data, type: data.byteLength < 4 * count ? "float16" : "float32" };
  };
  return JSON.parse(shown, revive);
}

/** The numbers of an array {shape, type, data}; a copy only where the bytes are not aligned. */
function decode({ type, data }) {
  const Numbers = type === "float16" ? Float16Array : Float32Array;
  const { buffer, byteOffset, byteLength } = data;
  const size = Numbers.BYTES_PER_ELEMENT;
  if (byteOffset % size === 0) return new Numbers(buffer, byteOffset, byteLength / size);
  return new Numbers(buffer.slice(byteOffset, byteOffset + byteLength));
}

/** A number as text with a true minus: whole ones in full, others with some significant digits. */
function numberText(value, digits) {
  const rounded = Number.isInteger(value) ? value : Number(value.toPrecision(digits));
  return String(rounded).replaceAll("-", "−");
}

/** Whether the page is dark: by JupyterLab's theme, or else by the browser's. */
function isDark() {
  const light = document.body.dataset.jpThemeLight;
  return light ? light === "false" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** The 255 colours of a palette as pixels. */
function colourTable(palette) {
  const theme = isDark() ? "dark" : "light";
  const pixel = ([red, green, blue]) => (255 << 24) | (blue << 16) | (green << 8) | red;
  colourTables[palette + theme] ??= Uint32Array.from(PALETTES[palette][theme], pixel);
  return colourTables[palette + theme];
}

/** What a click at `place` selects, without what the place doesn't tell, such as a row. */
function resolve(select, place) {
  const { index, row, column, width } = place;
  const position = row === undefined ? undefined : row * width + column;
  const named = { "@index": index, "@row": row, "@column": column, "@place": position };
  const parts = Object.entries(select).map(([name, value]) => {
    if (Array.isArray(value)) return [name, value[index]];
    return [name, value in named ? named[value] : value];
  });
  return Object.fromEntries(parts.filter(([, value]) => value !== undefined));
}

/** Whether a click on the mark selects anything. */
function selects(mark) {
  return Object.keys(mark.select).length > 0;
}

/** The parts of `select` that are the same at every place: what the title selects. */
function constants(select) {
  const isConstant = (value) => !Array.isArray(value) && !String(value).startsWith("@");
  return Object.fromEntries(Object.entries(select).filter(([, value]) => isConstant(value)));
}

/** The index that a key leads to, among `count` in rows of `columns`. */
function step(key, index, count, columns) {
  const offsets = [-1, 1, -columns, columns, -index, count - 1 - index];
  const next = index + offsets[MOVES.indexOf(key)];
  return next >= 0 && next < count ? next : index;
}

/** Draws `item` into `element`, or into a new one where the kind differs; gives the element. */
function draw(element, item, context) {
  const fits = element && element.dataset.kind === item.kind;
  const drawn = fits ? element : create(item.kind, context);
  if (item.items) drawItems(drawn, item.items, context);
  else drawMark(drawn.view, item);
  return drawn;
}

/** Draws the items of a row or column into its children. */
function drawItems(parent, items, context) {
  items.forEach((item, i) => {
    const old = parent.children[i];
    const drawn = draw(old, item, context);
    if (!old) parent.append(drawn);
    else if (old !== drawn) old.replaceWith(drawn);
  });
  while (parent.children.length > items.length) parent.lastChild.remove();
}

/** A new element for a kind of item; that of a mark has a `view`: its parts and its mark. */
function create(kind, context) {
  if (kind === "row" || kind === "column") {
    const box = make("div", kind);
    box.dataset.kind = kind;
    return box;
  }
  const [title, body, notes] = [make("figcaption"), make("div", "body"), make("div", "notes")];
  const element = make("figure", `mark ${kind}`, title, body, notes);
  element.dataset.kind = kind;
  const view = { element, title, body, notes, context, draw: MARKS[kind], items: [] };
  element.view = view;
  body.onclick = (event) => {
    const place = view.locate?.(event);
    if (place) view.settle?.(place);
    pickAt(view, place);
  };
  body.onpointermove = (event) => {
    const place = view.locate?.(event);
    context.point(view, place);
    if (!place || !differs(element, place)) return;
    if (view.mark.follows) pickAt(view, place);
    view.hover?.(place);
  };
  body.onpointerleave = () => context.point(null);
  body.addEventListener("focusin", () => context.focus(view, view.here?.()));
  body.addEventListener("focusout", () => context.focus(null));
  body.onkeydown = (event) => press(view, event);
  return element;
}

/** Selects what the mark says of a place, if anything. */
function pickAt(view, place) {
  const part = place ? resolve(view.mark.select, place) : {};
  if (Object.keys(part).length > 0) view.context.pick(part);
}

/** Answers a key: arrows move, Enter and Space select. */
function press(view, event) {
  const chosen = event.key === "Enter" || event.key === " ";
  if (!view.here?.() || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!chosen && !MOVES.includes(event.key)) return;
  event.preventDefault();
  event.stopPropagation();
  if (chosen) return pickAt(view, view.here());
  view.move(event.key, event.shiftKey);
  view.context.focus(view, view.here());
}

/** Draws a mark: title, body and notes. */
function drawMark(view, mark) {
  view.mark = mark;
  view.element.classList.toggle("framed", mark.framed);
  view.element.classList.toggle("selects", selects(mark));
  if (differs(view.title, [mark.title, mark.select])) drawTitle(view, mark);
  if (differs(view.notes, mark.notes)) {
    view.notes.replaceChildren(...mark.notes.map((note) => make("div", "", note)));
  }
  const focused = view.items.indexOf(document.activeElement);
  view.draw(view, mark);
  if (focused >= 0) view.items[Math.min(focused, view.items.length - 1)].focus();
}

/** The title; a button where a click on it selects something. */
function drawTitle(view, { title, select, kind }) {
  const part = constants(select);
  const isButton = title && kind !== "text" && Object.keys(part).length > 0;
  const button = view.title.querySelector("button") ?? focusable(make("button"));
  write(button, title);
  button.onclick = () => view.context.pick(part);
  if (!isButton) view.title.replaceChildren(title);
  else if (!button.isConnected) view.title.replaceChildren(button);
}

/** Maps on canvases: the grid is a list box with one option, the caret, that moves. */
function drawMaps(view, mark) {
  view.values = decode(mark.values);
  const { values, columns, zoom, labels, heads, axes, colour_bar: bar } = mark;
  if (differs(view.body, [values.shape, columns, zoom, labels.length, heads, axes, bar])) {
    layMaps(view, mark);
  }
  if (!view.layout.joined && differs(view.grid, labels)) writeLabels(view, mark);
  view.grid.ariaLabel = [mark.title, mark.unit].filter(Boolean).join(", ");
  view.sheets.forEach((sheet, i) => paintSheet(view, sheet.firstChild, i));
  const wanted = mark.frames.length;
  while (view.frames.length > wanted) view.frames.pop().remove();
  while (view.frames.length < wanted) view.frames.push(make("div", "frame"));
  mark.frames.forEach(([index, box], i) => putBox(view, view.frames[i], index, box));
  if (bar) drawColourBar(view, mark);
  putCaret(view, view.caret);
}

/** Lays out the canvases of maps, their labels, heads and axis names. */
function layMaps(view, mark) {
  const [count, height, width] = mark.values.shape;
  const hasHeads = mark.heads.some((texts) => texts.length);
  const joined = !mark.labels.length || hasHeads || count > SPLIT_AT_MOST;
  const columns = Math.min(mark.columns, count);
  const gap = joined && height * width > 1 ? 1 : 0;
  view.layout = { count, height, width, joined, columns, gap };
  view.frames = [];
  view.caret = wholeMap(view, Math.min(view.caret?.index ?? 0, count - 1));
  view.caretBox = Object.assign(make("div", "caret"), { role: "option", id: newId() });
  view.hoverBox = make("div", "hover");
  view.sheets = (joined ? [0] : mark.labels).map(() => make("div", "sheet", make("canvas")));
  const rows = Math.ceil(count / columns);
  const cells = view.sheets.map((sheet) => {
    const canvas = sheet.firstChild;
    canvas.width = joined ? columns * (width + gap) - gap : width;
    canvas.height = joined ? rows * (height + gap) - gap : height;
    canvas.style.width = `${canvas.width * mark.zoom}px`;
    return joined ? sheet : make("div", "map", make("span", "label"), sheet);
  });
  const grid = focusable(make("div", joined ? "grid joined" : "grid", ...cells));
  Object.assign(grid, { role: "listbox", tabIndex: 0 });
  grid.setAttribute("aria-activedescendant", view.caretBox.id);
  grid.style.setProperty("--columns", columns);
  [view.grid, view.items] = [grid, [grid]];
  const [over, beside] = mark.heads.map((texts) => texts.map((text) => make("span", "", text)));
  const parts = [
    make("div", "heads over", ...over),
    make("div", "heads beside", ...beside),
    make("div", "axis across", mark.axes[0]),
    make("div", "axis down", mark.axes[1]),
  ].filter((part) => part.textContent);
  if (mark.colour_bar) parts.push(make("div", "bar", make("canvas"), make("div", "ends")));
  view.body.replaceChildren(grid, ...parts);
  bindMaps(view);
}

/** Writes the labels, and gives each cell the width of its map, or of a word of its label. */
function writeLabels({ grid, layout }, { labels, zoom }) {
  const beside = layout.height * layout.width === 1 && layout.columns === 1;
  const text = widest(beside ? labels : labels.flatMap((label) => label.split(" ")));
  const side = beside ? layout.width * zoom + text + 6 : Math.max(layout.width * zoom, text);
  grid.classList.toggle("labelled-beside", beside);
  grid.style.setProperty("--side", `${Math.ceil(side)}px`);
  labels.forEach((label, i) => write(grid.children[i].firstChild, label));
}

/** Left and top of a map in its canvas. */
function origin({ height, width, joined, columns, gap }, index) {
  if (!joined) return [0, 0];
  return [(index % columns) * (width + gap), Math.floor(index / columns) * (height + gap)];
}

/** Colours the pixels of one canvas: of all maps, or of the i-th. */
function paintSheet({ mark, values, layout }, canvas, i) {
  const { count, height, width, joined } = layout;
  const image = new ImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  const colour = mark.values.shape.length === 4 ? pixelOfColours : pixelOfLevel;
  const last = joined ? count : i + 1;
  for (let index = i; index < last; index++) {
    const [left, top] = origin(layout, index);
    const pixel = colour(mark, values, index);
    for (let row = 0; row < height; row++) {
      const from = (index * height + row) * width;
      const to = (top + row) * canvas.width + left;
      for (let column = 0; column < width; column++) pixels[to + column] = pixel(from + column);
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Gives the function from a position in `values` to its pixel on the palette; nan has none. */
function pixelOfLevel(mark, values, index) {
  const table = colourTable(mark.palette);
  const [low, high] = mark.limits[index] ?? mark.limits[0];
  const scale = high > low ? 254 / (high - low) : 0;
  const start = scale === 0 && mark.palette === "signed" ? 127 : 0;
  return (at) => {
    const value = values[at];
    if (value !== value) return 0;
    return table[Math.max(0, Math.min(254, Math.round(start + (value - low) * scale)))];
  };
}

/** The same for values that are themselves red, green and blue in [0, 1]. */
function pixelOfColours(mark, values) {
  const byte = (value) => Math.max(0, Math.min(255, Math.round(255 * value)));
  return (at) => {
    const [red, green, blue] = values.subarray(3 * at, 3 * at + 3);
    if (red !== red) return 0;
    return (255 << 24) | (byte(blue) << 16) | (byte(green) << 8) | byte(red);
  };
}

/** The part of a box that lies in a map. */
function clip([top, left, bottom, right], height, width) {
  const inside = (value, most) => Math.max(0, Math.min(value, most));
  return [inside(top, height), inside(left, width), inside(bottom, height), inside(right, width)];
}

/** Puts a box around a map, or around an area of it, in percent of its canvas. */
function putBox({ layout, sheets }, box, index, area) {
  const { height, width, joined } = layout;
  const sheet = sheets[joined ? 0 : index];
  const canvas = sheet.firstChild;
  const [x, y] = origin(layout, index);
  const [top, left, bottom, right] = clip(area ?? [0, 0, height, width], height, width);
  if (box.parentNode !== sheet) sheet.append(box);
  box.style.left = `${(100 * (x + left)) / canvas.width}%`;
  box.style.top = `${(100 * (y + top)) / canvas.height}%`;
  box.style.width = `${(100 * (right - left)) / canvas.width}%`;
  box.style.height = `${(100 * (bottom - top)) / canvas.height}%`;
}

/** Moves the caret to a map, or to a value in it, and names it for screen readers. */
function putCaret(view, caret) {
  const { index, row, column } = caret;
  const isValue = row !== undefined && view.layout.height * view.layout.width > 1;
  view.caret = caret;
  putBox(view, view.caretBox, index, isValue ? [row, column, row + 1, column + 1] : null);
  view.caretBox.ariaLabel = describeMaps(view, caret);
  view.caretBox.ariaSetSize = view.layout.count;
  view.caretBox.ariaPosInSet = index + 1;
  view.caretBox.ariaSelected = view.mark.frames.some(([framed]) => framed === index);
}

/** Tells the view where pointer and caret are in maps, and how the caret moves. */
function bindMaps(view) {
  view.describe = describeMaps;
  view.here = () => ({ ...view.caret, width: view.layout.width });
  view.settle = (place) => {
    putCaret(view, place);
    view.context.focus(view, place);
  };
  view.locate = (event) => locateInMaps(view, event);
  view.move = (key, shift) => moveInMaps(view, key, shift);
  view.grid.onfocus = () => {
    if (view.layout.count === 1 && view.caret.row === undefined) {
      putCaret(view, { index: 0, ...middle(view, 0) });
    }
  };
  view.grid.onpointerleave = () => view.hoverBox.remove();
}

/** The map and the value under the pointer. */
function locateInMaps(view, { target, clientX, clientY }) {
  const cell = target.closest(".map, .sheet");
  const i = view.sheets.findIndex((sheet) => cell?.contains(sheet));
  if (i < 0) return null;
  const { count, height, width, joined, columns, gap } = view.layout;
  const canvas = view.sheets[i].firstChild;
  const box = canvas.getBoundingClientRect();
  const x = Math.floor(((clientX - box.left) / box.width) * canvas.width);
  const y = Math.floor(((clientY - box.top) / box.height) * canvas.height);
  const [line, across] = [Math.floor(y / (height + gap)), Math.floor(x / (width + gap))];
  const index = joined ? line * columns + across : i;
  const isInside = x >= 0 && x < canvas.width && y >= 0 && y < canvas.height;
  if (!joined && !isInside) return { ...wholeMap(view, i), width }; // on the label
  if (!isInside || index >= count) return null;
  const row = Math.min(y % (height + gap), height - 1);
  const column = Math.min(x % (width + gap), width - 1);
  const chosen = Object.values(view.mark.select);
  const isValue = ["@row", "@column", "@place"].some((name) => chosen.includes(name));
  const area = isValue ? [row, column, row + 1, column + 1] : null;
  if (selects(view.mark)) putBox(view, view.hoverBox, index, area);
  return { index, row, column, width };
}

/** Moves the caret from map to map; with Shift, or where there is one map, from value to value. */
function moveInMaps(view, key, shift) {
  const { count, height, width } = view.layout;
  const { index } = view.caret;
  const isInside = height * width > 1 && (shift || count === 1);
  if (!isInside) return putCaret(view, wholeMap(view, step(key, index, count, columnsShown(view))));
  const from = view.caret.row === undefined ? middle(view, index) : view.caret;
  const isVertical = key === "ArrowUp" || key === "ArrowDown";
  const row = isVertical ? step(key, from.row, height, 1) : from.row;
  const column = isVertical ? from.column : step(key, from.column, width, width);
  putCaret(view, { index, row, column });
}

/** The place of a whole map; a map of one value has a row and a column, too. */
function wholeMap({ layout }, index) {
  return layout.height * layout.width === 1 ? { index, row: 0, column: 0 } : { index };
}

/** How many maps stand side by side, for a grid may have wrapped. */
function columnsShown({ layout, sheets }) {
  if (layout.joined) return layout.columns;
  const tops = sheets.map((sheet) => sheet.parentNode.offsetTop);
  return tops.filter((top) => top === tops[0]).length;
}

/** The middle of a map's framed box, or of the map. */
function middle({ mark, layout }, index) {
  const { height, width } = layout;
  const [, framed] = mark.frames.find(([each]) => each === index) ?? [];
  const [top, left, bottom, right] = clip(framed ?? [0, 0, height, width], height, width);
  return { row: Math.floor((top + bottom - 1) / 2), column: Math.floor((left + right - 1) / 2) };
}

/** The name of a place in maps and its value, or the range of a whole map. */
function describeMaps({ mark, values, layout }, { index, row, column }) {
  const { count, height, width, columns } = layout;
  if (index >= count || row >= height || column >= width) return "";
  const depth = mark.values.shape[3] ?? 1;
  const [over, beside] = mark.heads;
  const names = [mark.title];
  if (over.length) names.push(`${mark.axes[0]} ${over[index % columns]}`);
  if (beside.length) names.push(`${mark.axes[1]} ${beside[Math.floor(index / columns)]}`);
  if (names.length === 1 && count > 1) names.push(`${mark.unit} ${mark.labels[index] ?? index}`);
  let first = index * height * width;
  let last = first + height * width;
  if (row !== undefined) {
    first += row * width + column;
    last = first + 1;
    if (height * width > 1) names.push(`row ${row}`, `column ${column}`);
  }
  const text = valuesText(values.subarray(depth * first, depth * last), mark.values.type, depth);
  return `${names.filter(Boolean).join(" · ")}: ${text}`;
}

/** One value or colour as text, or the range of many; nan is no value. */
function valuesText(shown, type, depth) {
  const numbers = Array.from(shown).filter((value) => !Number.isNaN(value));
  const text = (value) => numberText(value, DIGITS[type]);
  if (numbers.length === 0) return "no value";
  if (shown.length === depth) return numbers.map(text).join(", ");
  return `${text(Math.min(...numbers))} to ${text(Math.max(...numbers))}`;
}

/** The colour bar of maps on one scale, its largest value on top. */
function drawColourBar({ body }, { palette, limits }) {
  const [canvas, ends] = body.querySelector(".bar").children;
  const [low, high] = limits[0];
  const colours = colourTable(palette);
  if (!differs(canvas, [palette, isDark(), low, high])) return;
  [canvas.width, canvas.height] = [1, colours.length];
  const image = new ImageData(1, colours.length);
  new Uint32Array(image.data.buffer).set(colours.toReversed());
  canvas.getContext("2d").putImageData(image, 0, 0);
  const shown = palette === "signed" ? [high, (low + high) / 2, low] : [high, low];
  ends.replaceChildren(...shown.map((value) => make("span", "", numberText(value, 3))));
}

/** Items with a roving tab stop: cells or bars. */
function bindItems(view, items, columns) {
  view.items = items;
  view.here = () => {
    const index = view.items.indexOf(document.activeElement);
    return index < 0 ? null : placeOf(index, columns);
  };
  view.locate = ({ target }) => {
    const index = view.items.findIndex((item) => item.contains(target));
    return index < 0 || items[index].classList.contains("empty") ? null : placeOf(index, columns);
  };
  view.move = (key) => {
    const index = step(key, view.here().index, view.items.length, columns);
    view.items[index].focus();
  };
  if (!selects(view.mark)) return;
  const rove = (to) => items.forEach((item, i) => (item.tabIndex = i === to ? 0 : -1));
  items.forEach((item, i) => (focusable(item).onfocus = () => rove(i)));
  rove(0);
}

/** The place of a cell or bar. */
function placeOf(index, columns) {
  return { index, row: Math.floor(index / columns), column: index % columns, width: columns };
}

/** Numbers in a table whose cells are tinted, red above zero and blue below. */
function drawTable(view, mark) {
  view.values = decode(mark.values);
  if (differs(view.body, [mark.values.shape, mark.rows, mark.columns, selects(mark), mark.edit])) {
    layTable(view, mark);
  }
  view.table.ariaLabel = mark.title || "numbers";
  const shades = mark.shades ? decode(mark.shades) : view.values;
  const finite = shades.map(Math.abs).filter(Number.isFinite);
  const top = finite.reduce((a, b) => Math.max(a, b), 1e-9);
  mark.texts.flat().forEach((text, i) => {
    const [cell, value] = [view.items[i], shades[i]];
    const share = Number.isFinite(value) ? Math.abs(value) / top : 0;
    if (mark.edit) showNumber(cell, view.values[i], view.context);
    else write(cell, text);
    cell.classList.toggle("empty", text === "");
    cell.classList.toggle("below", value < 0);
    cell.classList.toggle("framed", i === mark.frame);
    cell.style.setProperty("--share", share.toFixed(3));
    if (selects(mark)) cell.ariaSelected = i === mark.frame;
  });
}

/** Lays out an empty table with its heads. */
function layTable(view, mark) {
  const [height, width] = mark.values.shape;
  const head = (text, scope) => Object.assign(make("th", "", text), { scope });
  const lines = Array.from({ length: height }, (_, row) => {
    const line = make("tr");
    if (mark.rows.length) line.append(head(mark.rows[row], "row"));
    line.append(...Array.from({ length: width }, () => make("td")));
    return line;
  });
  if (mark.columns.length) {
    const corner = mark.rows.length ? [make("td", "corner")] : [];
    lines.unshift(make("tr", "", ...corner, ...mark.columns.map((text) => head(text, "col"))));
  }
  view.table = make("table", "", make("tbody", "", ...lines));
  if (selects(mark)) view.table.role = "grid";
  view.body.replaceChildren(view.table);
  view.describe = describeTable;
  bindItems(view, [...view.table.querySelectorAll("td:not(.corner)")], width);
  if (mark.edit) view.items.forEach((cell, i) => makeEditable(view, cell, placeOf(i, width)));
}

/** Puts a number into a cell: to type, to step with the arrow keys, to drag up or to the right. */
function makeEditable(view, cell, { row, column }) {
  const input = focusable(Object.assign(make("input"), { type: "number", step: 0.1 }));
  input.ariaLabel = `${view.mark.title}, row ${row}, column ${column}`;
  const isNumber = (value) => Math.abs(value) <= MOST_WEIGHT; // nothing typed is none
  const select = () => {
    const numbers = view.items.map((each) => each.firstChild.valueAsNumber);
    if (!numbers.every(isNumber)) return;
    view.context.complain("");
    view.context.pick({ [view.mark.edit]: numbers });
  };
  let from = null;
  input.onpointerdown = ({ clientX, clientY, pointerId }) => {
    input.setPointerCapture(pointerId);
    from = { x: clientX, y: clientY, value: input.valueAsNumber || 0 };
  };
  input.onpointermove = ({ clientX, clientY, buttons }) => {
    if (!buttons || !from) return;
    const steps = Math.round((clientX - from.x + from.y - clientY) / DRAG);
    const value = Math.max(-MOST_WEIGHT, Math.min(MOST_WEIGHT, from.value + steps / 10));
    if (steps === 0 || value === input.valueAsNumber) return;
    input.value = Number(value.toFixed(4));
    select();
  };
  input.onpointerup = () => (from = null);
  input.oninput = select;
  input.onchange = () => {
    if (isNumber(input.valueAsNumber)) return;
    view.context.complain(`Each number of a ${view.mark.title} is from −100 to 100.`);
  };
  input.onkeydown = (event) => event.stopPropagation();
  cell.replaceChildren(input);
}

/** Writes a number into its cell, unless it stands there already, or the reader is ahead. */
function showNumber({ firstChild: input }, value, context) {
  const isSame = Math.abs(input.valueAsNumber - value) < 1e-5;
  if (!isSame && !context.busy()) input.value = Number(value.toPrecision(DIGITS.float32));
}

/** The name and the value of a cell. */
function describeTable({ mark, values }, { index, row, column }) {
  const value = values[index];
  if (value === undefined || Number.isNaN(value)) return "";
  const rowName = mark.rows[row] ?? (mark.values.shape[0] > 1 ? `row ${row}` : "");
  const names = [mark.title, rowName, mark.columns[column] ?? `column ${column}`];
  const isExact = Number.isFinite(value) && !mark.percent;
  const text = isExact ? numberText(value, DIGITS[mark.values.type]) : mark.texts[row][column];
  return `${names.filter(Boolean).join(" · ")}: ${text}`;
}

/** A bar for each tick and series. */
function drawBars(view, mark) {
  const series = Object.entries(mark.series).map(([name, array]) => [name, decode(array)]);
  view.series = Object.fromEntries(series);
  const names = series.map(([name]) => name);
  if (differs(view.body, [mark.ticks, names, mark.axes, selects(mark)])) layBars(view, mark, names);
  const tickWidth = Math.max(28, widest([...mark.numbers, ...mark.ticks]) + 4);
  view.plot.style.width = `${mark.ticks.length * tickWidth}px`;
  const [low, high] = mark.limits;
  const share = (value) => (100 * (Math.min(high, Math.max(low, value)) - low)) / (high - low);
  const zero = share(0);
  view.plot.style.setProperty("--zero", `${zero}%`);
  if (differs(view.scale, [mark.axis, mark.limits])) drawScale(view.scale, mark.axis, share);
  view.items.forEach((group, i) => {
    const shares = series.map(([, values]) => (Number.isNaN(values[i]) ? zero : share(values[i])));
    group.classList.toggle("emphasised", mark.emphasis.includes(i));
    group.querySelectorAll("b").forEach((bar, k) => {
      bar.style.bottom = `${Math.min(shares[k], zero)}%`;
      bar.style.height = `${Math.abs(shares[k] - zero)}%`;
    });
    const number = group.querySelector(".number");
    write(number, mark.numbers[i] ?? "");
    number.style.bottom = `${Math.max(zero, ...shares)}%`;
    if (!selects(mark)) return;
    group.ariaLabel = describeBars(view, { index: i });
    group.ariaSelected = mark.emphasis.includes(i);
  });
}

/** Lays out the groups of bars, the axes and the legend. */
function layBars(view, mark, names) {
  const groups = mark.ticks.map((tick) => {
    const bars = names.map(() => make("i", "", make("b")));
    const area = make("div", "bars-of", ...bars, make("small", "number"));
    return make("div", "group", area, make("small", "tick", tick));
  });
  const plot = make("div", "plot", ...groups);
  const scale = make("div", "scale");
  const parts = [scale, plot];
  if (mark.axes[1]) parts.push(make("div", "axis down", mark.axes[1]));
  if (mark.axes[0]) parts.push(make("div", "axis across", mark.axes[0]));
  if (names.length > 1) {
    parts.push(make("div", "legend", ...names.map((name) => make("span", "", make("b"), name))));
  }
  view.element.classList.toggle("several", names.length > 1);
  view.body.replaceChildren(...parts);
  view.describe = describeBars;
  [view.plot, view.scale] = [plot, scale];
  const name = mark.title || mark.axes[1] || "bars";
  Object.assign(plot, { role: selects(mark) ? "listbox" : "img", ariaLabel: name });
  if (selects(mark)) groups.forEach((group) => (group.role = "option"));
  bindItems(view, groups, 1);
}

/** Writes the texts of the vertical axis at their heights. */
function drawScale(scale, axis, share) {
  const texts = Object.entries(axis).map(([text, value]) => {
    const element = make("span", "", text);
    element.style.bottom = `${share(value)}%`;
    return element;
  });
  scale.style.setProperty("--wide", `${widest(Object.keys(axis)) + 8}px`);
  scale.replaceChildren(...texts);
}

/** The name of a tick and the values at it. */
function describeBars({ mark, series }, { index }) {
  if (index >= mark.ticks.length) return "";
  const tick = `${mark.axes[0]} ${mark.ticks[index]}`.trim();
  const name = [mark.title, tick].filter(Boolean).join(" · ");
  const texts = Object.entries(series).map(([each, values]) => {
    const text = valuesText(values.subarray(index, index + 1), mark.series[each].type, 1);
    return [each, text];
  });
  if (texts.length > 1) return `${name}: ${texts.map((pair) => pair.join(" ")).join(", ")}`;
  return `${name}: ${mark.numbers[index] || texts[0][1]}`;
}

/** Letters at points on a canvas: a list box with one option, the caret, that moves. */
function drawScatter(view, mark) {
  view.values = decode(mark.points);
  if (differs(view.body, mark.names)) layScatter(view, mark);
  view.caret = Math.min(mark.frame ?? view.caret ?? 0, mark.classes.length - 1);
  view.items[0].ariaLabel = mark.title;
  const { canvas } = view;
  canvas.width = canvas.height = mark.side * devicePixelRatio;
  canvas.style.width = canvas.style.height = `${mark.side}px`;
  const pen = canvas.getContext("2d");
  pen.scale(devicePixelRatio, devicePixelRatio);
  Object.assign(pen, { font: "9px sans-serif", textAlign: "center", textBaseline: "middle" });
  mark.classes.forEach((each, i) => {
    pen.fillStyle = LETTERS[each % LETTERS.length];
    pen.fillText(mark.letters[each], ...pointAt(view, i));
  });
  pen.strokeStyle = isDark() ? "#fff" : "#000";
  mark.marked.forEach((i) => {
    pen.beginPath();
    pen.arc(...pointAt(view, i), 6, 0, 7);
    pen.stroke();
  });
  const [x, y] = pointAt(view, view.caret);
  Object.assign(view.caretBox.style, { left: `${x - 7}px`, top: `${y - 7}px` });
  view.caretBox.hidden = mark.frame === null;
  view.caretBox.ariaLabel = describeScatter(view, { index: view.caret });
  view.caretBox.ariaSelected = "true";
}

/** Where the i-th point lies on the canvas, in pixels; up is more. */
function pointAt({ values, mark }, i) {
  const across = mark.side - 2 * SCATTER_EDGE;
  const top = mark.side - SCATTER_EDGE;
  return [SCATTER_EDGE + across * values[2 * i], top - across * values[2 * i + 1]];
}

/** Lays out the canvas and the legend of points. */
function layScatter(view, mark) {
  view.canvas = make("canvas");
  view.caretBox = Object.assign(make("div", "frame point"), { role: "option", id: newId() });
  const box = focusable(make("div", "sheet", view.canvas, view.caretBox));
  Object.assign(box, { role: "listbox", tabIndex: 0 });
  box.setAttribute("aria-activedescendant", view.caretBox.id);
  const names = mark.names.map((name, i) => {
    const letter = make("b", "", mark.letters[i]);
    letter.style.color = LETTERS[i % LETTERS.length];
    return make("span", "", letter, name === mark.letters[i] ? "" : ` ${name}`);
  });
  view.body.replaceChildren(box, make("div", "names", ...names));
  view.items = [box];
  view.describe = describeScatter;
  view.here = () => ({ index: view.caret });
  view.locate = (event) => pointUnder(view, event);
  view.hover = ({ index }) => {
    const [image] = Object.values(resolve(view.mark.select, { index }));
    if (view.mark.hovers) view.context.pick({ [view.mark.hovers]: image });
  };
  view.move = (key) => {
    view.caret = pointTowards(view, key);
    view.hover({ index: view.caret });
  };
}

/** The point nearest to the pointer, if it is near. */
function pointUnder(view, { clientX, clientY }) {
  const box = view.canvas.getBoundingClientRect();
  const far = (i) => {
    const [x, y] = pointAt(view, i);
    return Math.hypot(box.left + x - clientX, box.top + y - clientY);
  };
  const index = view.mark.classes.reduce((best, _, i) => (far(i) < far(best) ? i : best), 0);
  return far(index) <= 8 ? { index } : null;
}

/** The nearest point in the direction of an arrow key; Home and End lead to the first and last. */
function pointTowards(view, key) {
  const last = view.mark.classes.length - 1;
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (!ways[key]) return key === "Home" ? 0 : last;
  const [x, y] = pointAt(view, view.caret);
  const [across, up] = ways[key];
  const cost = (i) => {
    const [right, down] = [pointAt(view, i)[0] - x, pointAt(view, i)[1] - y];
    const along = right * across + down * up;
    const aside = Math.abs(right * up) + Math.abs(down * across);
    return along > 0.5 && along >= aside ? along + aside : Infinity;
  };
  const best = view.mark.classes.reduce((a, _, i) => (cost(i) < cost(a) ? i : a), view.caret);
  return cost(best) < Infinity ? best : view.caret;
}

/** The image of a point and its class. */
function describeScatter({ mark }, { index }) {
  const wrong = mark.marked.includes(index) ? ", read wrongly" : "";
  const [image] = Object.values(resolve(mark.select, { index }));
  return `image ${image}: ${mark.names[mark.classes[index]]}${wrong}`;
}

/** A paragraph, or a button where a click selects something. */
function drawText(view, mark) {
  const tag = selects(mark) ? "button" : "p";
  if (differs(view.body, tag)) view.body.replaceChildren(focusable(make(tag)));
  const text = view.body.firstChild;
  text.className = mark.size;
  write(text, mark.text);
  text.onclick = () => selects(mark) && pickAt(view, { index: 0 });
}

const MARKS = { maps: drawMaps, table: drawTable, bars: drawBars, scatter: drawScatter, text: drawText };
let lastId = 0;

/** An id that no other element of the page has. */
function newId() {
  lastId += 1;
  return `mnist-explorer-${Date.now()}-${lastId}`;
}
