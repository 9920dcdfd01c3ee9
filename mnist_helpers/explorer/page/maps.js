// Maps: grids of canvases, in the colours of a palette.

const SPLIT_AT_MOST = 160; // maps with a canvas each; more, or maps without labels, share one

/** Maps on canvases: the grid is a list box with one option, the caret, that moves. */
function drawMaps(view, mark) {
  view.values = decode(mark.values);
  const { values, columns, zoom, labels, heads, axes, colour_bar } = mark;
  view.isOfValues = Object.values(mark.select).some((name) => ["@row", "@place"].includes(name));
  if (differs(view.body, [values.shape, columns, zoom, labels.length, heads, axes, colour_bar])) {
    layMaps(view, mark);
  }
  if (!view.layout.joined) {
    // each cell is as wide as its map, or as a word of its label
    const words = labels.flatMap((label) => label.split(" "));
    const side = Math.max(view.layout.width * zoom, widest(words));
    view.grid.style.setProperty("--side", `${Math.ceil(side)}px`);
    labels.forEach((label, i) => write(view.grid.children[i].firstChild, label));
  }
  view.grid.ariaLabel = mark.title || mark.unit;
  view.sheets.forEach((sheet, i) => paintSheet(view, sheet.firstChild, i));
  view.grid.querySelectorAll(".frame").forEach((frame) => frame.remove());
  for (const index in mark.frames) putBox(view, make("div", "frame"), index, mark.frames[index]);
  if (colour_bar) drawColourBar(view, mark);
  putCaret(view, view.caret);
}

/** Lays out the canvases of maps, their labels, heads and axis names. */
function layMaps(view, mark) {
  const [count, height, width] = mark.values.shape;
  const joined = !mark.labels.length || mark.heads[0].length > 0 || count > SPLIT_AT_MOST;
  const columns = Math.min(mark.columns, count);
  const gap = joined && height * width > 1 ? 1 : 0;
  view.layout = { count, height, width, joined, columns, gap };
  view.caret = wholeMap(view, Math.min(view.caret?.index ?? 0, count - 1));
  view.caretBox = make("div", "caret");
  view.hoverBox = make("div", "hover");
  const across = joined ? columns : 1;
  const down = joined ? Math.ceil(count / columns) : 1;
  const size = { width: across * (width + gap) - gap, height: down * (height + gap) - gap };
  const sheets = range(joined ? 1 : count).map(() => {
    return make("div", "sheet", give(make("canvas"), size));
  });
  const cells = joined ? sheets : sheets.map((sheet) => make("div", "map", make("span", "label"), sheet));
  const grid = listBox(make("div", joined ? "grid joined" : "grid", ...cells), view.caretBox);
  grid.style = `--columns: ${columns}; --across: ${size.width}; --down: ${size.height}; --zoom: ${mark.zoom}`;
  const heads = mark.heads.map((texts) => texts.map((text) => make("span", "", text)));
  const parts = [
    make("div", "heads over", ...heads[0]),
    make("div", "heads beside", ...heads[1]),
    make("div", "axis across", mark.axes[0]),
    make("div", "axis down", mark.axes[1]),
  ].filter((part) => part.textContent);
  if (mark.colour_bar) parts.push(make("div", "bar", make("canvas"), make("div", "ends")));
  view.body.replaceChildren(grid, ...parts);
  give(view, {
    sheets,
    grid,
    items: [grid],
    describe: describeMaps,
    here: () => ({ ...view.caret, width }),
    locate: locateInMaps,
    settle: (_, place) => {
      putCaret(view, place);
      view.context.focus(view, place); // which tells it
    },
    move: moveInMaps,
  });
  grid.onpointerleave = () => view.hoverBox.remove();
}

/** Left and top of a map in its canvas. */
function origin({ height, width, joined, columns, gap }, index) {
  if (!joined) return [0, 0];
  return [(index % columns) * (width + gap), Math.floor(index / columns) * (height + gap)];
}

/** Colours one canvas at once, for a call takes longer than a small map: all maps, or the i-th. */
function paintSheet(view, canvas, i) {
  const { mark, layout } = view;
  const { width, height } = layout;
  const pixelsOf = mark.values.shape.length === 4 ? pixelsOfColours : pixelsOfLevels;
  const end = layout.joined ? layout.count : i + 1;
  const sheet = new Uint32Array(canvas.width * canvas.height);
  for (let index = i; index < end; index++) {
    const pixels = pixelsOf(numbersIn(view, index), mark, index);
    const [left, top] = origin(layout, index);
    for (let row = 0; row < height; row++) {
      sheet.set(pixels.subarray(row * width, (row + 1) * width), (top + row) * canvas.width + left);
    }
  }
  paint(canvas, sheet);
}

/** The numbers of a map: one for each of its places, or three. */
function numbersIn({ values, mark }, index) {
  const size = values.length / mark.values.shape[0];
  return values.subarray(index * size, (index + 1) * size);
}

/** The pixels of a map's numbers on the palette; nan has none. */
function pixelsOfLevels(numbers, { palette, limits }, index) {
  const colours = PALETTES[palette];
  const [low, high] = limits[index] ?? limits[0];
  const scale = high > low ? 254 / (high - low) : 0;
  const pixels = new Uint32Array(numbers.length);
  numbers.forEach((value, i) => {
    const level = Math.round((value - low) * scale);
    pixels[i] = colours[Math.max(0, Math.min(254, level))]; // of nan undefined, so 0
  });
  return pixels;
}

/** The same of numbers that are themselves red, green and blue in [0, 1]. */
function pixelsOfColours(numbers) {
  const bytes = new Uint8ClampedArray((numbers.length / 3) * 4).fill(255); // the fourth of each pixel is its opacity
  numbers.forEach((value, i) => (bytes[i + Math.trunc(i / 3)] = 255 * value));
  return new Uint32Array(bytes.buffer);
}

const boxAt = (row, column) => [row, column, row + 1, column + 1];

/** Puts an element around a map, or around a box in it, which CSS lays out in percent of the canvas. */
function putBox({ layout, sheets }, element, index, box) {
  const sheet = sheets[layout.joined ? 0 : index];
  const [x, y] = origin(layout, index);
  const [top, left, bottom, right] = box ?? [0, 0, layout.height, layout.width];
  if (element.parentNode !== sheet) sheet.append(element);
  element.style = `--x: ${x + left}; --y: ${y + top}; --width: ${right - left}; --height: ${bottom - top}`;
}

/** Moves the caret to a map, or to a value in it, and names it for screen readers. */
function putCaret(view, caret) {
  const { index, row, column } = caret;
  view.caret = caret;
  putBox(view, view.caretBox, index, row === undefined ? null : boxAt(row, column));
  give(view.caretBox, {
    ariaLabel: describeMaps(view, caret),
    ariaSetSize: view.layout.count,
    ariaPosInSet: index + 1,
    ariaSelected: index in view.mark.frames,
  });
}

/** The map and the value under the pointer. */
function locateInMaps(view, { target, offsetX, offsetY }) {
  const cell = target.closest(".map, .sheet");
  const i = view.sheets.findIndex((sheet) => cell?.contains(sheet));
  if (i < 0) return null;
  const { count, height, width, columns, gap } = view.layout;
  if (target.localName !== "canvas") return { ...wholeMap(view, i), width }; // on the label
  const pixel = (offset, shown, size) => Math.min(Math.trunc((offset / shown) * size), size - 1);
  const x = pixel(offsetX, target.clientWidth, target.width);
  const y = pixel(offsetY, target.clientHeight, target.height);
  const index = i + Math.floor(y / (height + gap)) * columns + Math.floor(x / (width + gap));
  if (index >= count) return null;
  const row = Math.min(y % (height + gap), height - 1);
  const column = Math.min(x % (width + gap), width - 1);
  if (selects(view.mark)) putBox(view, view.hoverBox, index, view.isOfValues ? boxAt(row, column) : null);
  return { index, row, column, width };
}

/** Moves the caret from map to map; with Shift, or where there is one map, from value to value. */
function moveInMaps(view, key, shift) {
  const { count, height, width, joined, columns } = view.layout;
  const { index } = view.caret;
  const isInside = height * width > 1 && (shift || count === 1);
  const tops = view.sheets.map((sheet) => sheet.parentNode.offsetTop); // a grid may have wrapped
  const across = joined ? columns : tops.filter((top) => top === tops[0]).length;
  if (!isInside) return putCaret(view, wholeMap(view, step(key, index, count, across)));
  const [top, left] = view.mark.frames[index] ?? [(height - 1) >> 1, (width - 1) >> 1];
  let { row = top, column = left } = view.caret; // from what is framed, or the middle
  if (key === "ArrowUp" || key === "ArrowDown") row = step(key, row, height, 1);
  else column = step(key, column, width, width);
  putCaret(view, { index, row, column });
}

/** The place of a whole map; a map of one value has a row and a column, too. */
function wholeMap({ layout }, index) {
  return layout.height * layout.width === 1 ? { index, row: 0, column: 0 } : { index };
}

/** The name of a place in maps and its value, or the range of a whole map. */
function describeMaps(view, { index, row, column }) {
  const { mark, layout } = view;
  const { count, height, width, columns } = layout;
  if (index >= count || row >= height || column >= width) return "";
  const [over, beside] = mark.heads;
  const names = [mark.title];
  if (over.length) names.push(
    `${mark.axes[0]} ${over[index % columns]}`,
    `${mark.axes[1]} ${beside[Math.floor(index / columns)]}`
  );
  const label = mark.labels[index];
  const image = mark.select.image?.[index];
  if (image >= 0) names.push(`image ${image}`, label);
  else if (names.length === 1 && count > 1) names.push(`${mark.unit} ${label ?? index}`);
  const depth = mark.values.shape[3] ?? 1;
  const isVector = mark.select.channel === "@place";
  let numbers = numbersIn(view, index);
  if (row !== undefined && numbers.length > depth) {
    const start = depth * (row * width + column);
    numbers = numbers.subarray(start, start + depth);
    const named = (place) => numberText(mark.step * place + mark.first);
    if (isVector) names.push(`channel ${row * width + column}`);
    else names.push(`row ${named(row)}`, `column ${named(column)}`);
  }
  return `${dotted(names)}: ${valuesText(numbers, depth)}`;
}

/** One value or colour as text, or the range of many; nan is no value. */
function valuesText(values, depth = 1) {
  const numbers = [...values].filter((value) => value === value);
  const text = (value) => numberText(value, digitsOf(values));
  if (!numbers.length) return "no value";
  if (values.length === depth) return numbers.map(text).join(", ");
  // too many to be arguments of one call
  return `${text(numbers.reduce((a, b) => Math.min(a, b)))} to ${text(largestOf(numbers))}`;
}

/** The colour bar of maps on one scale, its largest value on top. */
function drawColourBar({ body }, { palette, limits }) {
  const [canvas, ends] = body.querySelector(".bar").children;
  const [low, high] = limits[0];
  const colours = PALETTES[palette];
  canvas.width = 1;
  canvas.height = colours.length;
  paint(canvas, Uint32Array.from(colours.toReversed()));
  const shown = low < 0 ? [high, 0, low] : [high, low];
  ends.replaceChildren(...shown.map((value) => make("span", "", numberText(value, 3))));
}
