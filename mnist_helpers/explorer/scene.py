"""What a view shows, as data: marks in rows and columns, and the same in one sentence."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

# in `select`: the place that was clicked; PLACE is row · width + column
INDEX = "@index"
PLACE = "@place"
ROW = "@row"
COLUMN = "@column"
MOST_MAPS = 256  # of one kind, that are sent at once
MOST_VALUES = 330_000  # of a scene, about
MOST_BYTES = 90_000  # of a scene's numbers in full precision; larger ones travel in half
HIGHEST = 65_504  # that it can hold
Texts = Sequence[str]
Box = tuple[int, int, int, int]  # top, left, bottom, right; the last two are excluded


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Anything that is drawn.

    `select` is the part of the selection that a click on it chooses: each value is a constant, one
    of INDEX, PLACE, ROW and COLUMN, or a list with an entry for each index. Where it `follows`,
    pointing at a place is enough.
    """

    title: str = ""
    notes: Texts = ()
    select: Mapping[str, object] = field(default_factory=dict)
    framed: bool = False
    follows: bool = False


@dataclass(frozen=True, kw_only=True)
class Maps(Mark):
    """Small pictures on one colour scale, or each on its own, laid out `columns` to a row.

    `values` are (N, H, W), where nan is left blank, or (N, H, W, 3) in [0, 1] for colours.
    `limits` are the ends of the colour scale, one pair for all or one for each map. `zoom` is the
    side of a value in pixels, `labels` stand at each map, `heads` over each column and beside each
    row of the grid, and `frames` holds the framed maps: a box in them, or None for the whole. The
    page is sent every `step`-th row and column, as many as can be drawn.
    """

    values: np.ndarray
    limits: Sequence[tuple[float, float]]
    palette: str = "unsigned"  # or signed, or ink
    zoom: float = 1.0
    columns: int = 8
    labels: Texts = ()
    heads: tuple[Texts, Texts] = ((), ())
    axes: tuple[str, str] = ("", "")  # what the columns and the rows of the grid are
    frames: Mapping[int, Box | None] = field(default_factory=dict)
    colour_bar: bool = False
    unit: str = "channel"  # what an index counts
    first: int = 0  # number of the first row and column
    step: int = 1


@dataclass(frozen=True)
class Table(Mark):
    """Numbers (H, W) in tinted cells; nan is left blank.

    `edit` names a field of the selection that is these numbers; then they can be changed. `counts`
    are written whole; `shades` (H, W) tint the cells where it is not the numbers themselves;
    `framed_cell` is row · W + column.
    """

    values: np.ndarray
    rows: Texts = ()
    columns: Texts = ()
    framed_cell: int | None = None
    percent: bool = False
    edit: str = ""
    counts: bool = False
    shades: np.ndarray | None = None

    @cached_property
    def texts(self) -> list[list[str]]:
        """What stands in the cells: four digits of the largest value, two to four decimals."""
        top = np.abs(self.values[np.isfinite(self.values)]).max(initial=1e-9)
        digits = int(np.clip(3 - np.floor(np.log10(top)), 2, 4))
        spec = f".{digits}f"
        if self.counts:
            spec = ",.0f"
        if self.percent:
            spec = ".1%"
        texts = [number(value, spec) for value in self.values.ravel().tolist()]
        if self.counts:
            texts = ["·" if text == "0" else text for text in texts]
        return np.array(texts, object).reshape(self.values.shape).tolist()


@dataclass(frozen=True, kw_only=True)
class Bars(Mark):
    """A bar for each tick and series, as high as its value between the `limits`.

    `axis` maps what is written at the vertical axis to its height, `numbers` stand over the ticks'
    bars, and `emphasis` are the ticks that stand out. `axes` names the two axes.
    """

    ticks: Texts
    series: Mapping[str, np.ndarray]
    limits: tuple[float, float] = (0.0, 1.0)
    axis: Mapping[str, float]
    axes: tuple[str, str]
    numbers: Texts = ()
    emphasis: Sequence[int] = ()


class Lines(Bars):
    """A line for each series, on a logarithmic axis; the only tick in `emphasis` has the cursor."""


@dataclass(frozen=True, kw_only=True)
class Scatter(Mark):
    """Points (N, 2) in [0, 1], each a letter for its class; `marked` ones bear a ring.

    `classes` (N,) are numbers into `names`, `framed_point` is the chosen one, and `hovers` names
    the field of the selection that is the point under the pointer; `side` is in pixels.
    """

    points: np.ndarray
    classes: Sequence[int]
    names: Texts
    marked: Sequence[int] = ()
    framed_point: int | None
    hovers: str = ""
    side: int

    @property
    def letters(self) -> list[str]:
        """What stands for each class: its digit, or a letter."""
        if all(len(name) == 1 and name.isalnum() for name in self.names):
            return list(self.names)
        return [chr(65 + place) for place in range(len(self.names))]


@dataclass(frozen=True, kw_only=True)
class Pad(Mark):
    """A sheet to draw on.

    `ink` is what is on it, as `digits.pad_ink` reads it; `example` (28, 28) in [0, 1] can be laid
    on it to begin with.
    """

    ink: str | None
    example: np.ndarray


@dataclass(frozen=True)
class Text(Mark):
    """A paragraph; with `select` a button."""

    text: str
    size: str = "normal"  # or strong, large, or hint: of what to click, strong, and not on paper


class Row:
    """Marks side by side; `together`: in one line where a page has the width for it, or less."""

    def __init__(self, *items: "Item", together: bool = False) -> None:
        self.items = items
        self.together = together


class Column:
    """Marks one below the other."""

    def __init__(self, *items: "Item") -> None:
        self.items = items


Item = Mark | Row | Column


@dataclass(frozen=True)
class Scene:
    """What a view shows, and the same in words."""

    content: Item
    caption: str


def number(value: float, spec: str = ".3f") -> str:
    """A number as text, with a true minus and without a negative zero; nothing for nan.

    A fourth decimal of what a network puts out is another one on the next processor.
    """
    if np.isnan(value):
        return ""
    return format(round(value, 9) + 0.0, f"z{spec}").replace("-", "−")


def thinned(box: Box | None, step: int) -> Box | None:
    """Where a box stands among every `step`-th row and column."""
    if box is None:
        return None
    top, left, bottom, right = box
    return top // step, left // step, -(-bottom // step), -(-right // step)


def sent(maps: Maps, share: float) -> dict[str, object]:
    """Fields of maps as they are sent: a page of them, every `step`-th row and column.

    The page is a `share` of all, that with the framed one; no more values than can be drawn, and of
    what is shared about one for each pixel.
    """
    count = len(maps.values)
    most = max(1, int(share * min(MOST_MAPS, count)))
    if maps.heads[0]:
        most = count
    start = min(maps.frames, default=0) // most * most
    page = slice(start, start + most)
    step = max(1, int(1 / maps.zoom))
    if share < 1:
        step = max(1, round(1 / maps.zoom))
    select = dict(maps.select)
    fields = {
        "values": maps.values[page, ::step, ::step],
        "zoom": maps.zoom * step,
        "step": step,
        "frames": {index - start: thinned(box, step) for index, box in maps.frames.items()},
        "select": select,
    }
    if most < count:
        indices = list(range(count))[page]
        for name, value in select.items():
            if value == INDEX:
                select[name] = indices
            elif isinstance(value, list):  # one for each map
                select[name] = value[page]
        fields["notes"] = [*maps.notes, f"{maps.unit}s {start} to {indices[-1]} of {count:,}"]
        fields["labels"] = maps.labels[page]
        fields["limits"] = maps.limits[page] or maps.limits
        if not maps.labels:
            fields["unit"] = f"{maps.unit} {start} +"
    return fields


def encoded(parts: dict[str, object], share: float = 1.0) -> tuple[str, list[bytes]]:
    """Scenes as JSON, and their arrays by number, of half precision above `MOST_BYTES`.

    Of what is larger still than `MOST_VALUES`, a `share` of the maps is sent.
    """
    arrays: list[np.ndarray] = []

    def plain(item: object) -> dict[str, object]:
        if isinstance(item, np.ndarray):
            arrays.append(item)
            return {"array": len(arrays) - 1, "shape": item.shape}
        values = dict(vars(item), kind=type(item).__name__.lower())
        if isinstance(item, Maps):
            values.update(sent(item, share))
        if isinstance(item, Table):
            values["texts"] = item.texts
        if isinstance(item, Scatter):
            values["letters"] = item.letters
        return values

    text = json.dumps(parts, default=plain)
    size = sum(array.size for array in arrays)
    if size > MOST_VALUES and share == 1.0:
        return encoded(parts, MOST_VALUES / size)
    precision = "float32"
    if 4 * size > MOST_BYTES and not any((abs(array) > HIGHEST).any() for array in arrays):
        precision = "float16"
    return text, [array.astype(precision).tobytes() for array in arrays]
