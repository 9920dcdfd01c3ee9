"""A scene on paper, by matplotlib: for saved notebooks, GitHub and files."""

import textwrap
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.offsetbox import (
    DrawingArea,
    HPacker,
    OffsetBox,
    OffsetImage,
    PaddedBox,
    TextArea,
    VPacker,
)  # fmt: skip
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from mnist_helpers.digits import PAD, pad_ink
from mnist_helpers.explorer.scene import (
    Bars,
    Box,
    Column,
    Item,
    Lines,
    Maps,
    Mark,
    Pad,
    Row,
    Scatter,
    Scene,
    Table,
    Text,
    number,
)  # fmt: skip
from mnist_helpers.files import write_files
from mnist_helpers.plots import COLOURS, GREY, GROUND, INK, ORANGE, SIGNED, figure_png, finished

PALETTES = {"ink": INK, "signed": SIGNED, "unsigned": "viridis"}
DPI = 100  # of figure_png
POINT = 72 / DPI  # offset boxes measure in points, scenes in pixels
CHART = 180  # height of a chart, in pixels
BLACK = "#222222"
ACCENT = "#AD4600"  # of texts; ORANGE is too pale for them
MARGIN = 8  # pixels around a scene
PAPER = 1000  # its width before a row wraps, in pixels
# of classes, which their letters tell as well: 4.5 : 1 on paper, apart for the colour-blind
LETTERS = [
    "#001eff", "#783c00", "#3c785a", "#d7195a", "#691e87",
    "#5a1e00", "#c800a5", "#4b3c4b", "#786900", "#002d3c",
]  # fmt: skip
FONTS = {"normal": (8, "normal"), "strong": (9, "bold"), "large": (15, "bold")}  # of texts


def words(text: str, size: float = 7, *, framed: bool = False, **style: object) -> TextArea:
    """A text of one or more lines, in another colour where what it names is framed."""
    style.setdefault("color", BLACK)
    if framed:
        style["color"] = ACCENT
    return TextArea(text, textprops=dict(style, size=size, parse_math=False))


def column(boxes: list[OffsetBox], gap: float, **style: object) -> OffsetBox:
    """Boxes one below the other."""
    return VPacker(children=boxes, sep=gap, **style)


def item_box(item: Item, fig: Figure) -> OffsetBox:
    """What is drawn of an item, at its natural size."""
    if isinstance(item, Row):
        return wrapped([item_box(child, fig) for child in item.items], fig)
    if isinstance(item, Column):
        return column([item_box(child, fig) for child in item.items], 10)
    boxes = [mark_box(item)]
    if item.title:
        boxes.insert(0, words(item.title, 8, framed=item.framed, weight="bold"))
    if item.notes:
        boxes.append(words("\n".join(item.notes)))
    return column(boxes, 3)


def wrapped(boxes: list[OffsetBox], fig: Figure) -> OffsetBox:
    """Boxes side by side, in as many lines as the width of the paper asks for."""
    lines = [[]]
    width = 0.0
    for box in boxes:
        box.set_figure(fig)  # which knows how wide letters are
        own_width = box.get_bbox(fig.canvas.get_renderer()).width
        width += own_width
        if width > PAPER and lines[-1]:
            lines.append([])
            width = own_width
        lines[-1].append(box)
    return column([HPacker(children=line, sep=10, align="top") for line in lines], 14)


@singledispatch
def mark_box(mark: Mark) -> OffsetBox:
    """A mark without its title and notes."""
    raise NotImplementedError


@mark_box.register
def maps_box(mark: Maps) -> OffsetBox:
    """Maps in rows, each under its label, and the colour bar beside them."""
    tiles = [tile(mark, index) for index in range(len(mark.values))]
    for index, label in enumerate(mark.labels):
        text = words(label.replace(", ", ",\n"), framed=index in mark.frames)
        tiles[index] = column([text, tiles[index]], 1)
    over, beside = mark.heads
    for place in range(0, len(over), 1 + len(over) // 9):  # as many as can be told apart
        tiles[place] = column([words(over[place], 6), tiles[place]], 1, align="center")
    lines = []
    for start in range(0, len(tiles), mark.columns):
        line = tiles[start : start + mark.columns]
        if beside:
            line.insert(0, words(beside[len(lines)].rjust(3), 6, family="monospace"))
        lines.append(HPacker(children=line, sep=2, align="bottom"))
    grid = column(lines, 2)
    if any(mark.axes):
        across, down = mark.axes
        grid = column([grid, words(f"columns: {across}, rows: {down}")], 3)
    boxes = [grid]
    if mark.colour_bar:
        boxes.append(colour_bar(mark))
    return HPacker(children=boxes, sep=6, align="top")


def tile(mark: Maps, index: int) -> PaddedBox:
    """One map in its colours, enlarged, with its frame and an edge; nan is transparent."""
    low, high = mark.limits[min(index, len(mark.limits) - 1)]
    scale = ScalarMappable(Normalize(low, high), PALETTES[mark.palette])
    colours = scale.to_rgba(np.ma.masked_invalid(mark.values[index]))
    image = OffsetImage(colours, zoom=POINT * mark.zoom, interpolation="nearest")
    box = mark.frames.get(index)
    if box:
        image = HPacker(children=[image, frame(box, mark)], sep=0, align="top")
    edge = {"fill": False, "edgecolor": GREY, "linewidth": 0.3}
    if index in mark.frames and len(mark.values) > 1:
        edge.update(edgecolor=ORANGE, linewidth=1.5)
    return PaddedBox(image, 0, draw_frame=True, patch_attrs=edge)


def frame(box: Box, mark: Maps) -> DrawingArea:
    """A frame around a box, edged in white, where the map ends to whose right it is put."""
    sides = np.add(np.multiply(box, mark.zoom), (-1, -1, 1, 1))  # in pixels
    top, left, bottom, right = POINT * sides
    area = DrawingArea(0, 0)
    white = withStroke(linewidth=4 * POINT, foreground="white")
    style = {"fill": False, "edgecolor": ORANGE, "linewidth": 2 * POINT, "path_effects": [white]}
    width = POINT * mark.zoom * mark.values.shape[2]
    area.add_artist(Rectangle((left - width, -bottom), right - left, bottom - top, **style))
    return area


def colour_bar(mark: Maps) -> OffsetBox:
    """The colours of the scale between the texts of its ends."""
    low, high = mark.limits[0]
    levels = np.linspace(high, low, 64).reshape(1, 64, 1).repeat(8, axis=2)
    strip = tile(Maps(values=levels, limits=mark.limits, palette=mark.palette), 0)
    return column([words(number(high, ".3g")), strip, words(number(low, ".3g"))], 2)


@mark_box.register
def table_box(mark: Table) -> OffsetBox:
    """Numbers under and beside their heads, in cells tinted blue below zero and red above."""
    width = max(len(text) for texts in [*mark.texts, mark.columns] for text in texts)
    rows = []
    if mark.columns:
        heads = [words(name.rjust(width), 8, family="monospace") for name in mark.columns]
        rows.append(HPacker(children=heads, sep=6))
    shades = mark.shades
    if shades is None:
        shades = mark.values
    end = np.abs(shades[np.isfinite(shades)]).max(initial=1e-9)
    scale = ScalarMappable(Normalize(-end, end), SIGNED)
    colours = scale.to_rgba(np.ma.masked_invalid(shades), alpha=0.35)
    for row_index, texts in enumerate(mark.texts):
        cells = []
        if mark.rows:
            cells.append(words(mark.rows[row_index]))
        for column_index, text in enumerate(texts):
            ground = {"facecolor": colours[row_index, column_index], "edgecolor": "none", "pad": 2}
            if mark.framed_cell == row_index * len(texts) + column_index:
                ground["edgecolor"] = ORANGE
            cells.append(words(text.rjust(width), 8, family="monospace", bbox=ground))
        rows.append(HPacker(children=cells, sep=6))
    return column(rows, 6, align="right")


def chart_box(fig: Figure) -> OffsetImage:
    """A chart as a picture of its natural size."""
    fig.set_dpi(DPI)
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    return OffsetImage(np.asarray(canvas.buffer_rgba()), zoom=POINT, interpolation="nearest")


@mark_box.register
def bars_box(mark: Bars) -> OffsetBox:
    """Bars or lines as in every chart."""
    return chart_box(bar_chart(mark).figure)


@matplotlib.rc_context({"font.size": 7})
def bar_chart(mark: Bars) -> Axes:
    """Bars or lines over their ticks, in a figure in which no text is wider than its place."""
    letters = 1 + max(len(text) for text in [*mark.ticks, *mark.numbers])
    # 50 pixels stand beside the bars, a letter takes 6
    width = np.clip(50 + 6 * letters * len(mark.ticks), 430, 2**15)
    fig = Figure((width / DPI, CHART / DPI), layout="constrained", facecolor=GROUND)
    ax = fig.subplots()
    if isinstance(mark, Lines):
        draw_lines(mark, ax)
    else:
        draw_bars(mark, ax)
    ax.set_xticks(range(len(mark.ticks)), mark.ticks, parse_math=False)
    for place in mark.emphasis:
        ax.get_xticklabels()[place].set_weight("bold")
    ax.set_yticks(list(mark.axis.values()), list(mark.axis))
    ax.set_xlim(-0.6, len(mark.ticks) - 0.4)  # the first and the last may have no bar
    low, high = mark.limits
    room = 0.15 * (high - low)  # for the numbers over the bars
    tops = np.nan_to_num(list(mark.series.values())).max(axis=0).clip(0)
    for place, text in enumerate(mark.numbers):
        ax.text(place, tops[place] + room / 5, text, size=6, ha="center")
    xlabel, ylabel = mark.axes
    return finished(ax, xlabel=xlabel, ylabel=ylabel, ylim=(low, high + room))


def draw_bars(mark: Bars, ax: Axes) -> None:
    """Draws bars side by side; those of a single series stand out at the ticks that do."""
    series = ax.grouped_bar(mark.series, group_spacing=0.25, colors=COLOURS)
    first, *others = series.bar_containers
    if not others:
        first.set_label("")  # one needs no legend
        for place in mark.emphasis:
            first[place].set_facecolor(ORANGE)
            if "ablate" in mark.select:  # as in the charts beside it
                first[place].set_facecolor(GREY)
                first[mark.emphasis[0]].set_label("ablated")


def draw_lines(mark: Lines, ax: Axes) -> None:
    """Draws lines, which their form tells apart as well, and the cursor."""
    for name, form, colour in zip(mark.series, ("o-", "s--"), COLOURS, strict=False):
        values = np.clip(mark.series[name], *mark.limits)
        ax.plot(values, form, color=colour, markersize=4, label=name)
    for place in mark.emphasis:
        ax.axvline(place, color=BLACK)
    ax.set_yscale("log")
    ax.minorticks_off()


@mark_box.register
def scatter_box(mark: Scatter) -> OffsetBox:
    """Letters at their points, the marked in a ring, the chosen in a frame."""
    fig = Figure((mark.side / DPI, mark.side / DPI))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.axis("off")
    legend = []
    for place, name in enumerate(mark.names):
        points = mark.points[np.asarray(mark.classes) == place]
        letter = mark.letters[place]
        colour = LETTERS[place % len(LETTERS)]
        ax.scatter(*points.T, s=18, marker=f"${letter}$", color=colour, linewidths=0.2)
        text = letter
        if letter != name:
            text += f"  {name}"
        legend.append(words(text, color=colour))
    ax.scatter(*mark.points[list(mark.marked)].T, s=70, edgecolors="black", facecolors="none")
    if mark.framed_point is not None:
        point = mark.points[mark.framed_point]
        ax.scatter(*point, s=140, marker="s", edgecolors=ORANGE, lw=2, facecolors="none")
    return HPacker(children=[chart_box(fig), column(legend, 3)], sep=6, align="top")


@mark_box.register
def pad_box(mark: Pad) -> OffsetBox:
    """The ink on its sheet."""
    ink = np.zeros((PAD, PAD), np.float32)
    if mark.ink:
        ink = pad_ink(mark.ink)
    return maps_box(Maps(values=ink[None], limits=[(0, 1)], palette="ink", zoom=2))


@mark_box.register
def text_box(mark: Text) -> OffsetBox:
    """A text; a button, or what to click, is of no use on paper."""
    if mark.select or mark.size == "hint":
        return words("")
    size, weight = FONTS[mark.size]
    return words(textwrap.fill(mark.text, 100), size, weight=weight)


@dataclass
class Still:
    """A scene as a picture with its caption."""

    scene: Scene

    @property
    def figure(self) -> Figure:
        """The scene at its natural size, the caption below."""
        fig = Figure(dpi=DPI, facecolor=GROUND)
        FigureCanvasAgg(fig)
        caption = textwrap.fill(self.scene.caption, 130)
        whole = column([item_box(self.scene.content, fig), words(caption, 8)], 10)
        fig.add_artist(whole)
        extent = whole.get_bbox(fig.canvas.get_renderer()).padded(MARGIN)
        fig.set_size_inches(extent.size / DPI)
        whole.set_offset((-extent.x0, -extent.y0))
        return fig

    def png(self) -> bytes:
        """The picture's bytes."""
        return figure_png(self.figure)

    def save(self, path: Path) -> None:
        """Writes the picture."""
        write_files({Path(path): self.png()})

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        return self.png(), {"alt": self.scene.caption}

    def __repr__(self) -> str:
        return textwrap.fill(self.scene.caption, 80)
