"""Pictures of many small maps, fast enough to follow a slider: numpy in, a Picture out, no figure."""

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

TOP_LEVEL = 254  # levels 0..254 carry data
GAP = 255  # and this one is the white between maps
SIGNED, UNSIGNED, INK = (
    "RdBu_r",
    "viridis",
    "gray_r",
)  # colour maps that colour-blind readers can tell apart
# from the palette of Okabe and Ito, "Color Universal Design", 2008
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"
BLACK, PALE = "#222222", "#E6E6E6"
Selected = dict[
    str, int | str
]  # what a place in a picture stands for: stage, channel, row, column, ...


def limits(maps: np.ndarray, *, each: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the colour scale of `maps` (C, H, W): centred on zero if any value is negative, else from 0.

    Returns:
        The lowest and the highest value, broadcastable to `maps`: one for all, or with `each` one for each map.
    """
    top = np.abs(maps).max(axis=(1, 2) if each else None, keepdims=True, initial=0)
    top = np.where(top > 0, top, 1)
    return (-top if (maps < 0).any() else 0 * top), top


def quantise(maps: np.ndarray, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """Turns `maps` into uint8 levels, `low` and less into 0, `high` and more into 254."""
    return np.rint((maps - low) / (high - low) * TOP_LEVEL).clip(0, TOP_LEVEL).astype(np.uint8)


def montage(levels: np.ndarray, columns: int, zoom: int = 1) -> np.ndarray:
    """Lays `levels` (C, H, W), uint8, out as one grid, `columns` maps to a row, one white pixel between them.

    Args:
        zoom: the width and height of a value, in pixels.
    """
    levels = levels.repeat(zoom, axis=1).repeat(zoom, axis=2)
    count, height, width = levels.shape
    rows = -(-count // columns)
    grid = np.full((rows * columns, height + 1, width + 1), GAP, np.uint8)
    grid[:count, :height, :width] = levels
    grid = grid.reshape(rows, columns, height + 1, width + 1).swapaxes(1, 2)
    return grid.reshape(rows * (height + 1), columns * (width + 1))[:-1, :-1]


def columns_for(count: int) -> int:
    """How many maps to lay in a row: all of ten or fewer, else a power of two that makes the grid wider than high."""
    return count if count <= 10 else 2 ** math.ceil(math.log2(2 * count) / 2)


@cache
def colours(colormap: str) -> np.ndarray:
    """What the levels look like: (256, 3) uint8, the last one white."""
    data = matplotlib.colormaps[colormap](np.linspace(0, 1, TOP_LEVEL + 1), bytes=True)[:, :3]
    return np.vstack([data, [[255, 255, 255]]]).astype(np.uint8)


@dataclass(frozen=True)
class Panel:
    """A grid of maps in a picture, for finding what lies where; all in pixels of the picture but `count`, `columns`."""

    left: int
    top: int
    height: int
    width: int
    columns: int
    count: int
    zoom: int
    meaning: Callable[[int, int, int], Selected]  # of map, row and column

    def corner(self, index: int) -> tuple[int, int]:
        """Left and top of a map."""
        row, column = divmod(index, self.columns)
        return self.left + column * (self.width + 1), self.top + row * (self.height + 1)

    def at(self, x: int, y: int) -> Selected | None:
        """What lies at a pixel of the picture, a gap being part of the map before it; None beside the maps."""
        (column, dx), (row, dy) = (
            divmod(x - self.left, self.width + 1),
            divmod(y - self.top, self.height + 1),
        )
        index = row * self.columns + column
        if not (0 <= column < self.columns and 0 <= index < self.count):
            return None
        return self.meaning(
            index, min(dy, self.height - 1) // self.zoom, min(dx, self.width - 1) // self.zoom
        )


@dataclass(frozen=True)
class Label:
    """One line of text at a pixel of a picture; `anchor` as in Pillow: l, m or r, then a (ascender), m, s or d."""

    x: float
    y: float
    text: str
    size: int = 12
    colour: str = BLACK
    anchor: str = "la"
    bold: bool = False


@dataclass(frozen=True)
class Picture:
    """What a view shows, with its caption; notebooks show it as PNG, and compare the caption.

    `scale` is how many pixels of the screen a pixel of the image takes, `cursor` where the selection lies in it,
    `step` how far the arrow keys go, and `labels` the texts to write over the enlarged image.
    """

    image: Image.Image
    caption: str
    scale: int = 1
    panels: tuple[Panel, ...] = ()
    cursor: tuple[int, int] = (0, 0)
    step: tuple[int, int] = (1, 1)
    labels: tuple[Label, ...] = ()

    def at(self, x: int, y: int) -> Selected:
        """What lies at a pixel of the image; empty where nothing does."""
        return next((found for panel in self.panels if (found := panel.at(x, y)) is not None), {})

    def data_url(self) -> str:
        """The image for a page: lossless WebP takes half PNG's time, and a page shows a data URL before a blob."""
        buffer = io.BytesIO()
        self.image.save(buffer, "webp", lossless=True, quality=0, method=0)
        return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    def saying(self, first: str) -> "Picture":
        """The same picture, its caption begun with `first`."""
        return replace(self, caption=f"{first}. {self.caption}")

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        large = ImageOps.scale(self.image, self.scale, Image.Resampling.NEAREST)
        for label in self.labels:
            _write(large, replace(label, x=label.x * self.scale, y=label.y * self.scale))
        large.save(buffer, "png")
        return buffer.getvalue()

    def __repr__(self) -> str:
        return self.caption


@lru_cache(maxsize=4096)
def _written(text: str, size: int, bold: bool, anchor: str) -> tuple[Image.Image, int, int]:
    """A line of text as a mask, and where its corner lies from the anchor; the same are written again and again."""
    name = f"fonts/ttf/DejaVuSans{'-Bold' * bold}.ttf"  # comes with matplotlib
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / name, size)
    left, top, right, bottom = font.getbbox(text, anchor=anchor)
    mask = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(mask).text((-left, -top), text, 255, font, anchor)
    return mask, left, top


def _write(image: Image.Image, label: Label) -> None:
    mask, left, top = _written(label.text, label.size, label.bold, label.anchor)
    image.paste(label.colour, (round(label.x) + left, round(label.y) + top), mask)


class Sheet:
    """A white page for maps, texts, boxes and bars; positions and sizes are pixels from the top left.

    Texts are kept apart, to be written over the enlarged image: as sharp as the screen allows.
    """

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), "white")
        self.pen = ImageDraw.Draw(self.image)
        self.labels: list[Label] = []

    def picture(
        self, caption: str, scale: int = 1, panels: Sequence[Panel] = (), **selection: object
    ) -> "Picture":
        """What was drawn; `selection` is the cursor and step of a `Picture`."""
        return Picture(
            self.image, caption, scale, tuple(panels), labels=tuple(self.labels), **selection
        )

    def maps(
        self,
        at: tuple[int, int],
        levels: np.ndarray,
        colormap: str,
        columns: int = 1,
        zoom: int = 1,
        meaning: Callable[[int, int, int], Selected] = lambda index, row, column: {},
    ) -> Panel:
        """Pastes `levels` (C, H, W) as a grid with its top left corner at `at`."""
        grid = Image.fromarray(montage(levels, columns, zoom))
        grid.putpalette(
            colours(colormap).tobytes()
        )  # Pillow looks colours up ten times as fast as numpy
        self.image.paste(grid, at)
        count, height, width = levels.shape
        return Panel(*at, height * zoom, width * zoom, columns, count, zoom, meaning)

    def digit(self, at: tuple[int, int], image: np.ndarray, zoom: int = 1) -> Panel:
        """Pastes an image (1, H, W) dark on light, or (3, H, W) in colour, from its lowest to its highest value."""
        levels = quantise(image, image.min(), max(image.max(), image.min() + 1e-6))
        if len(levels) == 3:
            pixels = levels.transpose(1, 2, 0).repeat(zoom, axis=0).repeat(zoom, axis=1)
            self.image.paste(Image.fromarray(pixels), at)
            return Panel(*at, *pixels.shape[:2], 1, 1, zoom, lambda index, row, column: {})
        return self.maps(at, levels[:1], INK, zoom=zoom)

    def outline(self, panel: Panel) -> None:
        """Draws a thin, pale line around a map whose background is that of the page."""
        left, top = panel.left, panel.top
        self.pen.rectangle(
            (left - 1, top - 1, left + panel.width, top + panel.height), outline=PALE
        )

    def scale(
        self, at: tuple[int, int], height: int, colormap: str, ends: tuple[float, float]
    ) -> None:
        """Draws a colour bar, 3 pixels wide, with the values of its lower and its upper end."""
        levels = (
            np.linspace(TOP_LEVEL, 0, height).astype(np.uint8).reshape(1, -1, 1).repeat(3, axis=2)
        )
        self.maps(at, levels, colormap)
        for end, y in zip(ends, (height - 1, 1), strict=True):
            self.text(at[0] + 4, at[1] + y, f"{end:.3g}", 10, anchor="lm")

    def text(self, x: float, y: float, text: str, *style: object, **more: object) -> None:
        """Writes one line; the rest is that of a `Label`."""
        self.labels.append(Label(x, y, text, *style, **more))

    def box(
        self, left: int, top: int, right: int, bottom: int, colour: str = ORANGE, width: int = 2
    ) -> None:
        """Frames the pixels from (left, top) to before (right, bottom), from outside."""
        self.pen.rectangle(
            (left - width, top - width, right + width - 1, bottom + width - 1),
            outline=colour,
            width=width,
        )

    def mark(
        self, panel: Panel, index: int, box: tuple[int, int, int, int] | None = None, width: int = 2
    ) -> None:
        """Frames a map of `panel`, or of it the values in a box (top, left, bottom, right), as far as there are any."""
        left, top = panel.corner(index)
        if box is None:
            self.box(left, top, left + panel.width, top + panel.height, width=width)
            return
        rows, columns = (
            (max(box[i], 0) * panel.zoom, min(box[i + 2] * panel.zoom, most))
            for i, most in ((0, panel.height), (1, panel.width))
        )
        self.box(left + columns[0], top + rows[0], left + columns[1], top + rows[1], width=width)

    def bars(
        self,
        box: tuple[int, int, int, int],
        series: Sequence[Sequence[float]],
        top: float,
        ticks: Sequence[object],
        colours: Sequence[str | Sequence[str]] = (BLUE, ORANGE),
        low: float = 0.0,
        numbers: Sequence[float] = (),
        ends: tuple[str, str] = ("", ""),
    ) -> None:
        """Draws bars in a box (left, top, right, bottom): a group for each tick, a bar in it for each of `series`.

        Args:
            top: the value at the upper end of the axis, and `low` that at the lower.
            colours: of each series, or of each of its bars.
            numbers: are written above the bars; those that are not a number, like bars that aren't, are left out.
            ends: are written left of the lower and the upper end of the axis.
        """
        left, upper, right, lower = box
        room, height = (right - left) / len(ticks), lower - upper
        wide = room * 0.8 / len(series)

        def level(value: float) -> float:
            return lower - (min(max(value, low), top) - low) / (top - low) * height

        for i, tick in enumerate(ticks):
            for j, (values, colour) in enumerate(zip(series, colours, strict=False)):
                if math.isnan(values[i]):
                    continue
                x, (y, base) = (
                    left + room * (i + 0.1) + wide * j,
                    (level(values[i]), level(max(low, 0.0))),
                )
                fill = colour if isinstance(colour, str) else colour[i]
                self.pen.rectangle((x, min(y, base), x + max(wide - 1, 0), max(y, base)), fill=fill)
                if numbers:
                    self.text(x + wide / 2, min(y, base) - 2, f"{numbers[i]:.0f}", 9, anchor="ms")
            self.text(left + room * (i + 0.5), lower + 4, str(tick), 10, anchor="ma")
        self.pen.line((left, level(max(low, 0.0)), right, level(max(low, 0.0))), fill=GREY)
        for end, y in zip(ends, (lower, upper), strict=True):
            self.text(left - 5, y, end, 10, anchor="rm")
