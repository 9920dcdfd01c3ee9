"""A scene on paper, by matplotlib: for saved notebooks, GitHub and files."""

import base64
import io
import math
import textwrap
from collections.abc import Sequence
from functools import singledispatch
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.offsetbox import (
    DrawingArea,
    HPacker,
    OffsetBox,
    OffsetImage,
    TextArea,
    VPacker,
)
from matplotlib.patches import Rectangle
from matplotlib.text import Text as Letters

from mnist_helpers.digits import PAD, pad_ink
from mnist_helpers.explorer.scene import (
    Bars,
    Box,
    Column,
    Item,
    Maps,
    Mark,
    Pad,
    Row,
    Scatter,
    Scene,
    Table,
    Text,
    number,
)
from mnist_helpers.files import write_files
from mnist_helpers.plots import BLUE, INK, ORANGE

PALETTES = {"ink": INK, "signed": "RdBu_r", "unsigned": "viridis"}
DPI = 100
POINT = 72 / DPI  # offset boxes measure in points, scenes in pixels
CHART = 76  # height of bars, in points
BLACK, ACCENT = "#222222", "#AD4600"  # of texts; ORANGE is too pale for them
MARGIN, PAPER = 8, 1000  # pixels: around the scene, and its width before a row wraps
COLOURS = (BLUE, ORANGE)  # of the series of bars
LETTERS = matplotlib.colormaps["tab10"].colors  # of classes, which their letters tell as well


class Still:
    """A scene as a picture with its caption."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    @property
    def figure(self) -> Figure:
        """The scene at its natural size, the caption below."""
        fig = Figure(dpi=DPI)
        FigureCanvasAgg(fig)
        caption = words(textwrap.fill(self.scene.caption, 130), 8)
        whole = packed(VPacker, [box(self.scene.content, fig), caption], 10)
        fig.add_artist(whole)
        extent = whole.get_bbox(fig.canvas.get_renderer()).padded(MARGIN)
        fig.set_size_inches(extent.size / DPI)
        whole.set_offset((-extent.x0, -extent.y0))
        return fig

    def png(self) -> bytes:
        """The picture's bytes."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png")
        return buffer.getvalue()

    def save(self, path: Path) -> None:
        """Writes the picture."""
        write_files({Path(path): self.png()})

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict[str, str], dict[str, object]]:
        data = {"image/png": base64.b64encode(self.png()).decode(), "text/plain": repr(self)}
        return data, {"image/png": {"alt": self.scene.caption}}

    def __repr__(self) -> str:
        return textwrap.fill(self.scene.caption, 80)


def words(text: str, size: float = 7, colour: str = BLACK, **style: object) -> TextArea:
    """A text of one or more lines."""
    return TextArea(text, textprops={"size": size, "color": colour, "parse_math": False} | style)


def packed(packer: type, parts: Sequence[OffsetBox], gap: float, **style: object) -> OffsetBox:
    """Parts beside or below one another."""
    return packer(children=list(parts), pad=0, sep=gap, **style)


def box(item: Item, fig: Figure) -> OffsetBox:
    """What is drawn of an item, at its natural size."""
    if isinstance(item, Row):
        return wrapped([box(each, fig) for each in item.items], fig)
    if isinstance(item, Column):
        return packed(VPacker, [box(each, fig) for each in item.items], 10)
    parts = [drawn(item)]
    if item.title:
        colour = ACCENT if item.framed else BLACK
        parts.insert(0, words(item.title, 8, colour, weight="bold"))
    if item.notes:
        parts.append(words("\n".join(item.notes)))
    return packed(VPacker, parts, 3)


def wrapped(parts: Sequence[OffsetBox], fig: Figure) -> OffsetBox:
    """Parts side by side, in as many lines as the width of the paper asks for."""
    lines: list[list[OffsetBox]] = [[]]
    width = 0.0
    for part in parts:
        part.set_figure(fig)  # which knows how wide letters are
        own_width = part.get_bbox(fig.canvas.get_renderer()).width
        width += own_width
        if width > PAPER and lines[-1]:
            lines.append([])
            width = own_width
        lines[-1].append(part)
    rows = [packed(HPacker, line, 10, align="top") for line in lines]
    return packed(VPacker, rows, 14)


@singledispatch
def drawn(mark: Mark) -> OffsetBox:
    """A mark without its title and notes."""
    raise TypeError(type(mark).__name__)


@drawn.register
def drawn_maps(mark: Maps) -> OffsetBox:
    """Maps in rows, each under its label, and the colour bar beside them."""
    tiles = [tile(mark, index) for index in range(len(mark.values))]
    for index, label in enumerate(mark.labels):
        colour = ACCENT if index in mark.frames else BLACK
        above = words(label.replace(", ", ",\n"), colour=colour)
        tiles[index] = packed(VPacker, [above, tiles[index]], 1)
    starts = range(0, len(tiles), mark.columns)
    rows = [packed(HPacker, tiles[start : start + mark.columns], 2) for start in starts]
    parts = [packed(VPacker, rows, 2)]
    if any(mark.axes):
        across, down = mark.axes
        parts = [packed(VPacker, [*parts, words(f"columns: {across}, rows: {down}")], 3)]
    if mark.colour_bar:
        parts.append(colour_bar(mark))
    return packed(HPacker, parts, 6, align="top")


def tile(mark: Maps, index: int) -> OffsetImage:
    """One map in its colours, enlarged, with its frame."""
    pixels, whole = coloured(mark, index), math.ceil(mark.zoom)
    pixels = pixels.repeat(whole, axis=0).repeat(whole, axis=1)
    if index in mark.frames:
        height, width = mark.values.shape[1:3]
        framed(pixels, mark.frames[index] or (0, 0, height, width), whole)
    return OffsetImage(pixels, zoom=POINT * mark.zoom / whole, interpolation="nearest")


def coloured(mark: Maps, index: int) -> np.ndarray:
    """The colours of one map, (H, W, 4) in [0, 1]; nan is transparent."""
    values = mark.values[index]
    if values.ndim == 3:
        return np.dstack([values, np.ones(values.shape[:2])])
    low, high = mark.limits[index if len(mark.limits) > 1 else 0]
    scale = Normalize(low, high if high > low else low + 1)
    return matplotlib.colormaps[PALETTES[mark.palette]](scale(np.ma.masked_invalid(values)))


def framed(pixels: np.ndarray, place: Box, zoom: int) -> None:
    """Draws the edge of a box into an enlarged map, two pixels wide."""
    top, left, bottom, right = (side * zoom for side in place)
    colour = matplotlib.colors.to_rgba(ORANGE)
    for edge in (slice(top, top + 2), slice(bottom - 2, bottom)):
        pixels[edge, left:right] = colour
    for edge in (slice(left, left + 2), slice(right - 2, right)):
        pixels[top:bottom, edge] = colour


def colour_bar(mark: Maps) -> OffsetBox:
    """The colours of the scale between the texts of its ends."""
    low, high = mark.limits[0]
    levels = np.linspace(high, low, 64).reshape(1, 64, 1).repeat(8, axis=2)
    strip = tile(Maps(values=levels, limits=mark.limits, palette=mark.palette), 0)
    return packed(VPacker, [words(number(high, ".3g")), strip, words(number(low, ".3g"))], 2)


@drawn.register
def drawn_table(mark: Table) -> OffsetBox:
    """Numbers in tinted cells, under and beside their heads."""
    width = max(len(text) for row in [*mark.texts, mark.columns] for text in row)
    heads = [words(f"{name:>{width}}", 8, family="monospace") for name in mark.columns]
    rows = [packed(HPacker, heads, 6)] if heads else []
    for row, texts in enumerate(mark.texts):
        name = [words(mark.rows[row])] if mark.rows else []
        cells = [cell(mark, row, column, f"{text:>{width}}") for column, text in enumerate(texts)]
        rows.append(packed(HPacker, [*name, *cells], 6))
    return packed(VPacker, rows, 6, align="right")


def cell(mark: Table, row: int, column: int, text: str) -> TextArea:
    """A number on its tint: blue below zero, red above."""
    shades = mark.values if mark.shades is None else mark.shades
    value = np.nan_to_num(shades[row, column], neginf=0)
    top = np.abs(shades[np.isfinite(shades)]).max(initial=1e-9)
    tint = matplotlib.colormaps["RdBu_r"](0.5 + value / top / 2, alpha=0.35)
    framed = mark.frame == row * mark.values.shape[1] + column
    edge = ORANGE if framed else "none"
    ground = {"facecolor": tint if text.strip() else "none", "edgecolor": edge, "pad": 2}
    return words(text, 8, family="monospace", bbox=ground)


@drawn.register
def drawn_bars(mark: Bars) -> OffsetBox:
    """Bars over their ticks, beside the texts of the axis; below, what axes and bars are."""
    groups = [bar_group(mark, place) for place in range(len(mark.ticks))]
    chart = packed(HPacker, [axis(mark), *groups], 2, align="bottom")
    below = [words(name) for name in mark.axes if name]
    if len(mark.series) > 1:
        names = zip(mark.series, COLOURS, strict=True)
        below += [words(f"■ {name}", colour=colour) for name, colour in names]
    return packed(VPacker, [chart, packed(HPacker, below, 12)], 3)


def bar_group(mark: Bars, place: int) -> OffsetBox:
    """The bars of one tick between their number and their tick."""
    width = max(7, min(28, 420 // len(mark.ticks)))
    area, thickness = DrawingArea(width, CHART), width / len(mark.series)
    emphasised = place in mark.emphasis
    for index, values in enumerate(mark.series.values()):
        base, top = height_of(0.0, mark), height_of(np.nan_to_num(values[place]), mark)
        corner = (index * thickness, min(base, top))
        colour = ORANGE if emphasised and len(mark.series) == 1 else COLOURS[index]
        area.add_artist(Rectangle(corner, thickness, abs(top - base), facecolor=colour))
    above = words(mark.numbers[place] if mark.numbers else "", 6)
    tick = words(mark.ticks[place], weight="bold" if emphasised else "normal")
    return packed(VPacker, [above, area, tick], 1, align="center")


def axis(mark: Bars) -> DrawingArea:
    """The texts of the vertical axis at their heights."""
    area = DrawingArea(34, CHART + 12)
    for text, value in mark.axis.items():
        height = 12 + height_of(value, mark)
        area.add_artist(Letters(32, height, text, size=7, ha="right", va="center"))
    return area


def height_of(value: float, mark: Bars) -> float:
    """How high a value stands in the chart, in points."""
    low, high = mark.limits
    return CHART * (min(max(value, low), high) - low) / (high - low)


@drawn.register
def drawn_scatter(mark: Scatter) -> OffsetBox:
    """Letters at their points, the marked in a ring, the chosen in a frame."""
    fig = Figure((mark.side / DPI, mark.side / DPI), dpi=DPI)
    canvas = FigureCanvasAgg(fig)
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.axis("off")
    classes, legend = np.asarray(mark.classes), []
    for place, (letter, name) in enumerate(zip(mark.letters, mark.names, strict=True)):
        points, colour = mark.points[classes == place], LETTERS[place % len(LETTERS)]
        ax.scatter(*points.T, s=18, marker=f"${letter}$", color=colour, linewidths=0.2)
        if letter != name:
            legend.append(words(f"{letter}  {name}", colour=colour))
    hollow = {"facecolors": "none"}
    ax.scatter(*mark.points[list(mark.marked)].T, s=70, edgecolors="black", **hollow)
    if mark.frame is not None:
        ax.scatter(*mark.points[mark.frame], s=140, marker="s", edgecolors=ORANGE, lw=2, **hollow)
    canvas.draw()
    parts = [OffsetImage(np.asarray(canvas.buffer_rgba()), zoom=POINT)]
    if legend:
        parts.append(packed(VPacker, legend, 3))
    return packed(HPacker, parts, 6, align="top")


@drawn.register
def drawn_pad(mark: Pad) -> OffsetBox:
    """The ink on its sheet."""
    ink = pad_ink(mark.ink) if mark.ink else np.zeros((PAD, PAD), np.float32)
    sheet = Maps(values=ink[None], limits=[(0, 1)], palette="ink", zoom=2, frames={0: None})
    return drawn(sheet)


@drawn.register
def drawn_text(mark: Text) -> OffsetBox:
    """A text; a button is of no use on paper."""
    size, weight = {"normal": (8, "normal"), "strong": (9, "bold"), "large": (15, "bold")}[
        mark.size
    ]
    text = "" if mark.select else textwrap.fill(mark.text, 100)
    return words(text, size, weight=weight)
