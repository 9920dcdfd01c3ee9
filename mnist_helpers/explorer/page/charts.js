// Tables, bars and points.

const DRAG = 6; // pixels to a tenth, in a number that is dragged
const MOST_WEIGHT = 100;
const SCATTER_EDGE = 10; // the margin of a scatter, in pixels

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
  const rove = (to) => items.forEach((item, i) => (item.tabIndex = i === to ? 0 : -1));
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
  view.table.ariaLabel = mark.title || "numbers";
  const shades = mark.shades ? decode(mark.shades) : view.values;
  const top = Math.max(1e-9, largestSize(shades));
  mark.texts.flat().forEach((text, i) => {
    const cell = view.items[i];
    const share = Number.isFinite(shades[i]) ? Math.abs(shades[i]) / top : 0;
    if (mark.edit) showNumber(cell, view.values[i], view.context);
    else write(cell, text);
    cell.classList.toggle("empty", text === "" || text === "·");
    cell.classList.toggle("below", shades[i] < 0);
    cell.classList.toggle("framed", i === mark.framed_cell);
    cell.style.setProperty("--share", share.toFixed(3));
    if (selects(mark)) cell.ariaSelected = i === mark.framed_cell;
  });
}

/** Lays out an empty table with its heads. */
function layTable(view, mark) {
  const [height, width] = mark.values.shape;
  const head = (text, scope) => Object.assign(make("th", "", text), { scope });
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
  if (mark.edit) view.items.forEach((cell, i) => makeEditable(view, cell, placeOf(i, width)));
}

/** Puts a number into a cell: to type, to step with the arrow keys, to drag up or to the right. */
function makeEditable(view, cell, { row, column }) {
  const input = focusable(make("input"), { type: "number", step: 0.1 });
  input.ariaLabel = `${view.mark.title}, row ${row}, column ${column}`;
  const isNumber = (value) => Math.abs(value) <= MOST_WEIGHT; // nothing typed is none
  const select = () => {
    const numbers = view.items.map((item) => item.firstChild.valueAsNumber);
    if (!numbers.every(isNumber)) return;
    view.context.complain("");
    view.context.pick({ [view.mark.edit]: numbers });
  };
  let from = null;
  input.onpointerdown = ({ clientX, clientY, pointerId }) => {
    input.setPointerCapture(pointerId);
    from = { place: clientX - clientY, value: input.valueAsNumber || 0 };
  };
  input.onpointermove = ({ clientX, clientY }) => {
    if (!from) return;
    const steps = Math.round((clientX - clientY - from.place) / DRAG);
    const value = Math.max(-MOST_WEIGHT, Math.min(MOST_WEIGHT, from.value + steps / 10));
    if (steps === 0 || value === input.valueAsNumber) return;
    input.value = Number(value.toFixed(4));
    select();
  };
  input.onlostpointercapture = () => (from = null);
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
  if (isSame || (input.dataset.shown && context.busy())) return;
  input.value = Number(value.toPrecision(4));
  input.dataset.shown = true;
}

/** The name and the value of a cell. */
function describeTable({ mark, values }, { index, row, column }) {
  const value = values[index];
  if (value === undefined || Number.isNaN(value)) return "";
  const rowName = mark.rows[row] ?? (mark.values.shape[0] > 1 ? `row ${row}` : "");
  const names = [mark.title, rowName, mark.columns[column] ?? `column ${column}`];
  const isExact = Number.isFinite(value) && !mark.percent;
  const text = isExact ? numberText(value, digitsOf(values)) : mark.texts[row][column];
  return `${names.filter(Boolean).join(" · ")}: ${text}`;
}

/** A bar for each tick and series. */
function drawBars(view, mark) {
  const names = Object.keys(mark.series);
  view.series = Object.values(mark.series).map(decode);
  if (differs(view.body, [mark.ticks, names, mark.axes, selects(mark)])) layBars(view, mark, names);
  const tickWidth = Math.max(28, widest([...mark.numbers, ...mark.ticks]) + 4);
  view.plot.style.width = `${mark.ticks.length * tickWidth}px`;
  const [low, high] = mark.limits;
  const share = (value) => (100 * (Math.min(high, Math.max(low, value)) - low)) / (high - low);
  const zero = share(0);
  view.plot.style.setProperty("--zero", `${zero}%`);
  drawScale(view.scale, mark.axis, share);
  view.items.forEach((group, i) => {
    const shares = view.series.map((values) => (Number.isNaN(values[i]) ? zero : share(values[i])));
    const isEmphasised = mark.emphasis.includes(i);
    group.classList.toggle("emphasised", isEmphasised);
    group.querySelectorAll("b").forEach((bar, k) => {
      bar.style.bottom = `${Math.min(shares[k], zero)}%`;
      bar.style.height = `${Math.abs(shares[k] - zero)}%`;
    });
    const number = group.querySelector(".number");
    write(number, mark.numbers[i] ?? "");
    number.style.bottom = `${Math.max(zero, ...shares)}%`;
    if (!selects(mark)) return;
    group.ariaLabel = describeBars(view, { index: i });
    group.ariaSelected = isEmphasised;
  });
}

/** Lays out the groups of bars, the axes and the legend. */
function layBars(view, mark, names) {
  const groups = mark.ticks.map((tick) => {
    const bars = names.map(() => make("i", "", make("b")));
    const area = make("div", "bars-of", ...bars, make("small", "number"));
    return make("div", "group", area, make("small", "tick", tick));
  });
  const [across, down] = mark.axes;
  const legend = names.map((name) => make("span", "", make("b"), name));
  view.plot = make("div", "plot", ...groups);
  view.scale = make("div", "scale");
  view.body.replaceChildren(view.scale, view.plot);
  if (down) view.body.append(make("div", "axis down", down));
  if (across) view.body.append(make("div", "axis across", across));
  if (names.length > 1) view.body.append(make("div", "legend", ...legend));
  view.element.classList.toggle("several", names.length > 1);
  view.describe = describeBars;
  view.plot.ariaLabel = mark.title || down || "bars";
  view.plot.role = selects(mark) ? "listbox" : "img";
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
  const texts = series.map((values) => valuesText(values.subarray(index, index + 1)));
  if (texts.length === 1) return `${name}: ${mark.numbers[index] || texts[0]}`;
  const named = Object.keys(mark.series).map((seriesName, i) => `${seriesName} ${texts[i]}`);
  return `${name}: ${named.join(", ")}`;
}

/** Letters at points on a canvas: a list box with one option, the caret, that moves. */
function drawScatter(view, mark) {
  view.values = decode(mark.points);
  if (differs(view.body, mark.names)) layScatter(view, mark);
  view.caret = Math.min(mark.framed_point ?? view.caret ?? 0, mark.classes.length - 1);
  view.items[0].ariaLabel = mark.title;
  const { canvas } = view;
  canvas.width = canvas.height = mark.side * devicePixelRatio;
  canvas.style.width = canvas.style.height = `${mark.side}px`;
  const pen = canvas.getContext("2d");
  pen.scale(devicePixelRatio, devicePixelRatio);
  pen.font = "9px sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  mark.classes.forEach((digit, i) => {
    pen.fillStyle = LETTERS[digit % LETTERS.length];
    pen.fillText(mark.letters[digit], ...pointAt(view, i));
  });
  mark.marked.forEach((i) => {
    pen.beginPath();
    pen.arc(...pointAt(view, i), 6, 0, 7);
    pen.stroke();
  });
  const [x, y] = pointAt(view, view.caret);
  Object.assign(view.caretBox.style, { left: `${x - 7}px`, top: `${y - 7}px` });
  view.caretBox.hidden = mark.framed_point === null;
  view.caretBox.ariaLabel = describeScatter(view, { index: view.caret });
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
  view.caretBox = make("div", "frame point");
  view.caretBox.ariaSelected = "true";
  const box = listBox(make("div", "sheet", view.canvas, view.caretBox), view.caretBox);
  const names = mark.names.map((name, i) => {
    const letter = make("b", "", mark.letters[i]);
    letter.style.color = LETTERS[i % LETTERS.length];
    return make("span", "", letter, name === mark.letters[i] ? "" : ` ${name}`);
  });
  view.body.replaceChildren(box, make("div", "names", ...names));
  view.items = [box];
  view.describe = describeScatter;
  view.here = () => ({ index: view.caret });
  view.locate = pointUnder;
  view.hover = ({ index }) => {
    if (view.mark.hovers) view.context.pick({ [view.mark.hovers]: imageOfPoint(view.mark, index) });
  };
  view.move = (_, key) => {
    view.caret = pointTowards(view, key);
    view.hover({ index: view.caret });
  };
}

/** The number of the image that a point is. */
function imageOfPoint({ select }, index) {
  return Object.values(resolve(select, { index }))[0];
}

/** The point of the least cost, if it is below `limit`; `cost` is a function of its place. */
function cheapest(view, cost, limit) {
  const costs = view.mark.classes.map((_, i) => cost(pointAt(view, i)));
  const least = costs.reduce((a, b) => Math.min(a, b));
  return least < limit ? costs.indexOf(least) : null;
}

/** The point nearest to the pointer, if it is near. */
function pointUnder(view, { clientX, clientY }) {
  const box = view.canvas.getBoundingClientRect();
  const distance = ([x, y]) => Math.hypot(box.left + x - clientX, box.top + y - clientY);
  const index = cheapest(view, distance, 8);
  return index === null ? null : { index };
}

/** The nearest point in the direction of an arrow key; Home and End lead to the first and last. */
function pointTowards(view, key) {
  if (key === "Home") return 0;
  if (key === "End") return view.mark.classes.length - 1;
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const [across, down] = ways[key];
  const here = pointAt(view, view.caret);
  const cost = ([x, y]) => {
    const along = (x - here[0]) * across + (y - here[1]) * down;
    const aside = Math.abs((x - here[0]) * down) + Math.abs((y - here[1]) * across);
    return along > 0.5 && along >= aside ? along + aside : Infinity;
  };
  return cheapest(view, cost, Infinity) ?? view.caret;
}

/** The image of a point and its class. */
function describeScatter({ mark }, { index }) {
  if (index >= mark.classes.length) return "";
  const wrong = mark.marked.includes(index) ? ", read wrongly" : "";
  return `image ${imageOfPoint(mark, index)}: ${mark.names[mark.classes[index]]}${wrong}`;
}
