// Tables, whose numbers may be edited; items with a roving tab stop.

const DRAG = 6; // pixels to a tenth, in a number that is dragged
const MOST_WEIGHT = 100;
const NO_NUMBER = "Write a number, with a point, from −100 to 100.";

/** Items with a roving tab stop: cells or bars. */
function bindItems(view, items, columns) {
  view.items = items;
  view.here = () => placeOf(items.indexOf(document.activeElement), columns);
  view.locate = (_, { target }) => {
    const isHit = (item) => item.contains(target) && !item.classList.contains("empty");
    return placeOf(items.findIndex(isHit), columns);
  };
  view.move = (_, key) => items[step(key, view.here().index, items.length, columns)].focus();
  if (!selects(view.mark)) return;
  const rove = (to) => items.forEach((item, i) => (item.tabIndex = (i === to) - 1));
  items.forEach((item, i) => focusable(item, { onfocus: () => rove(i) }));
  rove(0);
}

/** The place of a cell or bar; none for an index below zero. */
function placeOf(index, columns) {
  if (index < 0) return null;
  return { index, row: Math.floor(index / columns), column: index % columns, width: columns };
}

/** Numbers in a table whose cells are tinted, red above zero and blue below. */
function drawTable(view, mark) {
  view.values = decode(mark.values);
  if (differs(view.body, [mark.values.shape, mark.rows, mark.columns, selects(mark), mark.edit])) {
    layTable(view, mark);
  }
  view.table.ariaLabel = mark.title;
  const shades = mark.shades ? decode(mark.shades) : view.values;
  const top = largestSize(shades) || 1;
  mark.texts.flat().forEach((text, i) => {
    const cell = view.items[i];
    if (mark.edit) showNumber(cell, view.values[i], view.context);
    else write(cell, text);
    cell.classList.toggle("empty", text === "" || text === "·");
    cell.classList.toggle("framed", i === mark.framed_cell);
    cell.style = `--share: ${(shades[i] / top).toFixed(3)}`;
    if (selects(mark)) cell.ariaSelected = i === mark.framed_cell;
  });
}

/** Lays out an empty table with its heads. */
function layTable(view, mark) {
  const [height, width] = mark.values.shape;
  const head = (text, scope) => give(make("th", "", text), { scope });
  const table = make("table");
  if (mark.columns.length) {
    const line = table.insertRow();
    if (mark.rows.length) line.append(make("td", "corner"));
    line.append(...mark.columns.map((text) => head(text, "col")));
  }
  for (let row = 0; row < height; row++) {
    const line = table.insertRow();
    if (mark.rows.length) line.append(head(mark.rows[row], "row"));
    for (let column = 0; column < width; column++) line.insertCell();
  }
  if (selects(mark)) table.role = "grid";
  view.table = table;
  view.body.replaceChildren(table);
  view.describe = describeTable;
  bindItems(view, [...table.querySelectorAll("td:not(.corner)")], width);
  if (!mark.edit) return;
  view.items.forEach((cell, i) => makeEditable(view, cell, placeOf(i, width)));
  view.body.append(give(make("div", "tip error", NO_NUMBER), { role: "alert" })); // CSS shows it
}

/** Puts a number into a cell: to type, to step with the arrow keys, to drag up or to the right. */
function makeEditable(view, cell, { row, column }) {
  const ariaLabel = `${view.mark.title}, row ${row}, column ${column}`;
  const input = focusable(make("input"), { ariaLabel, title: "Type a number, drag it, or use arrow keys." });
  const select = () => {
    const isNumber = Math.abs(numberIn(cell)) <= MOST_WEIGHT; // nothing typed is none
    input.setCustomValidity(isNumber ? "" : NO_NUMBER);
    if (view.table.querySelector(":invalid")) return;
    view.context.pick({ [view.mark.edit]: view.items.map(numberIn) });
  };
  const add = (tenths) => {
    const value = (numberIn(cell) || 0) + tenths / 10;
    const inside = Math.max(-MOST_WEIGHT, Math.min(MOST_WEIGHT, value));
    input.value = numberText(inside, 4);
    select();
  };
  let dragged = 0; // pixels to the right and up that are no tenth yet
  input.onpointerdown = ({ pointerId }) => input.setPointerCapture(pointerId);
  input.onpointermove = ({ pointerId, movementX, movementY }) => {
    if (!input.hasPointerCapture(pointerId)) return;
    dragged += movementX - movementY;
    const tenths = Math.trunc(dragged / DRAG);
    dragged -= tenths * DRAG;
    if (tenths) add(tenths);
  };
  input.oninput = select;
  input.onkeydown = (event) => {
    event.stopPropagation();
    if (event.key === "ArrowUp") add(1);
    if (event.key === "ArrowDown") add(-1);
  };
  cell.replaceChildren(input);
}

/** The number in a cell that can be edited, with either minus; nothing typed is none. */
function numberIn({ firstChild: input }) {
  return Number(input.value.replace("−", "-") || NaN);
}

/** Writes a number into its cell, unless it stands there already, or the reader is ahead. */
function showNumber(cell, value, context) {
  const input = cell.firstChild;
  if (Math.abs(numberIn(cell) - value) < 1e-5) return;
  if ((input.value && context.busy()) || input.matches(":focus:invalid")) return;
  input.value = numberText(value, 4);
  input.setCustomValidity("");
}

/** The name and the value of a cell. */
function describeTable({ mark, values }, { index, row, column }) {
  const value = values[index];
  if (isNaN(value)) return ""; // or undefined
  const images = value === 1 ? "image" : "images";
  if (mark.counts) return `${mark.rows[row]} read as ${mark.columns[column]}: ${value} ${images}`;
  const names = [
    mark.title,
    mark.rows[row] ?? (mark.values.shape[0] > 1 ? `row ${row}` : ""),
    mark.columns[column] ?? `column ${column}`,
  ];
  const isExact = Number.isFinite(value) && !mark.percent;
  const text = isExact ? numberText(value, digitsOf(values)) : mark.texts[row][column];
  return `${dotted(names)}: ${text}`;
}
