// Bars, lines and points.

const SCATTER_EDGE = 10; // the margin of a scatter, in pixels

/** A bar for each tick and series; heights of lines are logarithmic. */
function drawBars(view, mark) {
  const names = Object.keys(mark.series);
  view.series = Object.values(mark.series).map(decode);
  if (differs(view.body, [mark.ticks, names, mark.axes, selects(mark)])) layBars(view, mark, names);
  const tickWidth = Math.max(28, widest([...mark.numbers, ...mark.ticks]) + 4);
  const scaled = mark.kind === "lines" ? Math.log : Number;
  const [low, high] = mark.limits.map(scaled);
  const share = (value) => 100 * Math.min(1, Math.max(0, (scaled(value) - low) / (high - low)));
  view.share = share;
  const zero = share(0);
  view.plot.style = `--zero: ${zero}%; width: ${mark.ticks.length * tickWidth}px`;
  const heights = Object.entries(mark.axis).map(([text, value]) => {
    return give(make("span", "", text), { style: `bottom: ${share(value)}%` });
  });
  view.scale.replaceChildren(...heights);
  view.items.forEach((group, i) => {
    const shares = view.series.map((values) => (isNaN(values[i]) ? zero : share(values[i])));
    const isEmphasised = mark.emphasis.includes(i);
    group.classList.toggle("emphasised", isEmphasised);
    group.querySelectorAll("b").forEach((bar, k) => (bar.style = `--share: ${shares[k]}%`));
    const number = group.querySelector(".number");
    write(number, mark.numbers[i] ?? "");
    number.style.bottom = `${Math.max(zero, ...shares)}%`; // below stands the tick
    if (!selects(mark)) return;
    group.ariaLabel = describeBars(view, { index: i });
    group.ariaSelected = isEmphasised;
  });
}

/** Lines through the ends of bars, which CSS makes points; the tick that stands out has a cursor. */
function drawLines(view, mark) {
  drawBars(view, mark);
  const lines = view.series.map((values) => {
    const points = Array.from(values, (value, i) => [i + 0.5, 100 - view.share(value)]);
    return `<polyline points="${points}"/>`;
  });
  view.plot.querySelector("svg")?.remove();
  view.plot.insertAdjacentHTML(
    "beforeend", // of numbers alone
    `<svg viewBox="0 0 ${mark.ticks.length} 100" preserveAspectRatio="none">${lines}</svg>`
  );
}

/** Lays out the groups of bars, the axes and the legend. */
function layBars(view, mark, names) {
  const groups = mark.ticks.map((tick) => {
    const bars = names.map(() => make("i", "", make("b")));
    const area = make("div", "bars-of", ...bars, make("small", "number"));
    return make("div", "group", area, make("small", "tick", tick));
  });
  const [across, down] = mark.axes;
  view.plot = make("div", "plot", ...groups);
  view.scale = make("div", "scale");
  view.body.replaceChildren(
    view.scale,
    view.plot,
    make("div", "axis down", down),
    make("div", "axis across", across),
    make("div", "legend", ...names.map((name) => make("span", "", make("b"), name)))
  );
  view.describe = describeBars;
  view.plot.ariaLabel = mark.title || down;
  view.plot.role = selects(mark) ? "listbox" : "img";
  if (selects(mark)) groups.forEach((group) => (group.role = "option"));
  bindItems(view, groups, 1);
}

/** The name of a tick and the values at it. */
function describeBars({ mark, series }, { index }) {
  if (index >= mark.ticks.length) return "";
  const tick = `${mark.axes[0]} ${mark.ticks[index]}`.trim();
  const name = dotted([mark.title, tick]);
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
  canvas.style.width = `${mark.side}px`;
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
  // CSS lays it out in percent, for the canvas may be drawn smaller
  view.caretBox.style = `--x: ${x}; --y: ${y}; --across: ${mark.side}; --down: ${mark.side}`;
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
    const letter = give(make("b", "", mark.letters[i]), { style: `color: ${LETTERS[i % LETTERS.length]}` });
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
  const least = Math.min(...costs);
  return least < limit ? costs.indexOf(least) : null;
}

/** The point nearest to the pointer, if it is near. */
function pointUnder(view, { target, offsetX, offsetY }) {
  if (target !== view.canvas) return null;
  const zoom = target.clientWidth / view.mark.side;
  const distance = ([x, y]) => Math.hypot(zoom * x - offsetX, zoom * y - offsetY);
  const index = cheapest(view, distance, 8);
  return index === null ? null : { index };
}

/** The nearest point in the direction of an arrow key. */
function pointTowards(view, key) {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const [across, down] = ways[key] ?? [0, 0]; // for Home and End
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
