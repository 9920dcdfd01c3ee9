"""What several views are made of: images, maps and tables with their colour scales."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mnist_helpers.explorer.look import Look
from mnist_helpers.explorer.scene import COLUMN, INDEX, PLACE, ROW, Bars, Box, Maps, Table, number
from mnist_helpers.explorer.selection import ImageFilter
from mnist_helpers.explorer.subject import Subject
from mnist_helpers.network.tracing import IMAGE, SOFTMAX

VALUE = {"channel": INDEX, "row": ROW, "column": COLUMN}
PIXEL = {"layer": IMAGE, "channel": 0, "row": ROW, "column": COLUMN}
ROBUST = 99  # percentile
SMALL, LARGE = 84, 140  # sides of a picture, in pixels
Limits = Sequence[tuple[float, float]]


def colour_limits(values: np.ndarray, how: str = "layer") -> Limits:
    """The ends of the colour scale of maps (N, H, W): zero in its middle if any is negative.

    Args:
        how: "each" gives every map its own scale, "robust" ends at the 99th percentile.
    """
    parts = values if how == "each" else values[None]
    signed = values.min() < 0
    ends = [scale_end(np.abs(part), how) for part in parts]
    return [(-end if signed else 0.0, end) for end in ends]


def scale_end(sizes: np.ndarray, how: str) -> float:
    """The upper end of a colour scale; 1 where everything is zero."""
    robust = np.percentile(sizes, ROBUST) if how == "robust" else 0
    return float(robust or sizes.max() or 1)


def said_limits(limits: Limits, how: str) -> str:
    """A colour scale in words."""
    if how == "each":
        return "each map on its own scale"
    low, high = limits[0]
    percentile = " (99th percentile)" if how == "robust" else ""
    return f"colours from {number(low, '.3g')} to {number(high, '.3g')}{percentile}"


def grid(values: np.ndarray, side: int, limits: Limits | None = None, **mark: object) -> Maps:
    """Maps (N, H, W), each `side` pixels wide, by default on one colour scale."""
    limits = limits or colour_limits(values)
    palette = "signed" if limits[0][0] < 0 else "unsigned"
    zoom = side / values.shape[2]
    return Maps(**{"values": values, "limits": limits, "palette": palette, "zoom": zoom} | mark)


def picture(image: np.ndarray, side: int, **mark: object) -> Maps:
    """An image (C, H, W), grey or in its colours, from its lowest to its highest value."""
    low, high = image.min().item(), image.max().item()
    values = image[:1]
    if len(image) == 3:
        values = ((image - low) / (high - low or 1)).transpose(1, 2, 0)[None]
    return grid(values, side, [(low, high)], **{"palette": "ink", "select": PIXEL} | mark)


def input_picture(look: Look, side: int) -> Maps:
    """The image, with what the selected value sees of it framed."""
    return picture(
        look.image, side, title="image", frames=frame(look.seen(look.at.row, look.at.column))
    )


def frame(box: Box | None) -> dict[int, Box]:
    """The frame of a single map, where there is one."""
    return {0: box} if box else {}


def layer_maps(layer: str, values: np.ndarray, side: int, limits: Limits, **mark: object) -> Maps:
    """Maps (C, H, W) of a layer; a vector as one map of all its values."""
    select = {"layer": layer} | VALUE
    if values.shape[1:] != (1, 1):
        return grid(values, side, limits, **{"select": select} | mark)
    square = in_rows(values.ravel(), grid_columns(len(values)))[None]
    mark |= {"select": {"layer": layer, "channel": PLACE}, "labels": (), "unit": "channels"}
    return grid(square, max(min(side, 112), 4 * square.shape[2]), limits, **mark)


def single_map(look: Look, layer: str, channel: int, box: Box, side: int) -> Maps:
    """One map of a layer on the scale of all, a box framed; of a vector all, one value framed."""
    values = look.maps[layer]
    mark = {"title": f"{layer} · {channel}", "limits": colour_limits(values), "side": side}
    if values.shape[1:] == (1, 1):
        return layer_maps(layer, values, frames=frame(vector_box(channel, len(values))), **mark)
    select = {"layer": layer} | VALUE | {"channel": channel}
    return layer_maps(layer, values[channel][None], frames=frame(box), select=select, **mark)


def vector_box(channel: int, count: int) -> Box:
    """Where the value of a channel stands in the one map of a vector."""
    row, column = divmod(channel, grid_columns(count))
    return row, column, row + 1, column + 1


def grid_columns(count: int) -> int:
    """How many to lay in a row: all of ten or fewer, else a power of two, wider than high."""
    return count if count <= 10 else 2 ** math.ceil(math.log2(2 * count) / 2)


def in_rows(values: np.ndarray, columns: int = 16) -> np.ndarray:
    """Values (N,) in rows of at most `columns`; what the last row lacks is nan."""
    columns = min(len(values), columns)
    missing = -len(values) % columns
    return np.pad(values, (0, missing), constant_values=np.nan).reshape(-1, columns)


def class_table(look: Look, layer: str, **mark: object) -> Table:
    """One value for each class, the chosen class framed, or else the likeliest."""
    values, target = look.maps[layer].reshape(-1, 1), look.at.target
    return Table(
        values=values,
        rows=look.subject.digits,
        frame=int(values.argmax()) if target is None else target,
        percent=layer == SOFTMAX,
        select={"layer": layer, "channel": INDEX, "target": INDEX},
        **mark,
    )


def class_bars(look: Look, spec: str, series: Mapping[str, np.ndarray], **mark: object) -> Bars:
    """Bars for each class, from zero unless `limits` are given, their numbers written by `spec`."""
    values = list(series.values())
    ends = float(min(0, np.nanmin(values))), float(max(0, np.nanmax(values)) or 1)
    limits = mark.setdefault("limits", ends)
    axis = {number(end, spec): end for end in limits}
    numbers = [number(value, spec) for value in values[0].tolist()] if len(values) == 1 else ()
    select = {"target": INDEX}
    ticks = look.subject.digits
    return Bars(ticks=ticks, series=series, axis=axis, numbers=numbers, select=select, **mark)


def probability_bars(look: Look, emphasis: Sequence[int], title: str) -> Bars:
    """The probability of each class, from 0 to 1."""
    return class_bars(
        look,
        ".1%",
        {"probability": look.probs},
        limits=(0.0, 1.0),
        axes=("Predicted digit", "Probability"),
        emphasis=emphasis,
        title=title,
    )


def value_box(look: Look) -> Box:
    """The box around the value that is selected."""
    return look.at.row, look.at.column, look.at.row + 1, look.at.column + 1


def value_frames(look: Look) -> dict[int, Box]:
    """The frame of that value among the maps of its layer, as `layer_maps` draws them."""
    if look.values.shape[1:] == (1, 1):
        return frame(vector_box(look.at.channel, len(look.values)))
    return {look.at.channel: value_box(look)}


def selected_value(look: Look) -> str:
    """Where the selected value stands, and what it is."""
    at, values = look.at, look.values
    place = f"{at.layer}, channel {at.channel}"
    if values.shape[1:] != (1, 1):
        place += f", row {at.row}, column {at.column}"
    return f"{place}: {number(values[at.channel, at.row, at.column])}"


def said_filter(subject: Subject, only: ImageFilter) -> str:
    """A filter in words."""
    digit = "any digit" if only.digit is None else f"digit {subject.digits[only.digit]}"
    words = []
    if only.read != "all":
        words.append("read rightly" if only.read == "right" else "read wrongly")
    if only.predicted is not None:
        words.append(f"read as {subject.digits[only.predicted]}")
    if only.tenth is not None:
        words.append(f"read with {10 * only.tenth} to {10 * only.tenth + 10} % confidence")
    return f"{digit} that is {' and '.join(words)}" if words else digit
