"""What several views are made of: images, maps and tables with their colour scales."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from mnist_helpers.explorer.look import Look
from mnist_helpers.explorer.scene import COLUMN, INDEX, PLACE, ROW, Bars, Box, Maps, number
from mnist_helpers.network.tracing import IMAGE

ROBUST = 99  # percentile
SAMPLE = 15_000  # values that tell it
SMALL = 84  # side of a picture, in pixels
LARGE = 140
Limits = Sequence[tuple[float, float]]
FRACTIONS = {"0%": 0.0, "100%": 1.0}  # what an axis of them names


def value_select(layer: str, channel: int | str = INDEX) -> dict[str, object]:
    """A click on a map of a layer goes to that value."""
    return {"layer": layer, "channel": channel, "row": ROW, "column": COLUMN}


PIXEL = value_select(IMAGE, 0)


def channel_names(count: int, first: int = 0) -> list[str]:
    """The numbers of channels, as labels."""
    return [str(channel) for channel in range(first, first + count)]


def colour_limits(values: np.ndarray, how: str = "layer") -> Limits:
    """The ends of the colour scale of maps (N, H, W): zero in its middle if any is negative.

    Args:
        how: "each" gives every map its own scale, "robust" ends at the 99th percentile.
    """
    groups = values.reshape(1, -1)
    if how == "each":
        groups = values.reshape(len(values), -1)
    if how == "robust":
        groups = groups[:, :: groups.size // SAMPLE | 1]
    sizes = np.abs(groups)
    ends = sizes.max(axis=1)
    if how == "robust":
        rank = math.ceil(ROBUST / 100 * (sizes.size - 1))  # np.percentile takes seven times as long
        ends = np.partition(sizes, rank)[:, rank] or ends
    ends = np.where(ends, ends, 1).tolist()  # 1 where everything is zero
    if groups.min() < 0:
        return [(-end, end) for end in ends]
    return [(0.0, end) for end in ends]


def limits_text(limits: Limits, how: str) -> str:
    """A colour scale in words."""
    if how == "each":
        return "each map on its own scale"
    low, high = limits[0]
    text = f"colours from {number(low, '.3g')} to {number(high, '.3g')}"
    if how == "robust":
        text += " (99th percentile)"
    return text


def grid(
    values: np.ndarray,
    side: float,
    limits: Limits | None = None,
    palette: str = "unsigned",
    **fields: object,
) -> Maps:
    """Maps (N, H, W), each `side` pixels wide, by default on one colour scale."""
    limits = limits or colour_limits(values)
    if palette == "unsigned" and limits[0][0] < 0:
        palette = "signed"
    zoom = side / values.shape[2]
    return Maps(values=values, limits=limits, palette=palette, zoom=zoom, **fields)


def picture(image: np.ndarray, side: float, **fields: object) -> Maps:
    """An image (C, H, W), grey or in its colours, from its lowest to its highest value."""
    low = image.min().item()
    high = image.max().item()
    values = image[:1]
    if len(image) == 3:
        values = ((image - low) / (high - low or 1)).transpose(1, 2, 0)[None]
    return grid(values, side, [(low, high)], "ink", **fields)


def gallery(images: Tensor, places: Sequence[int], side: int, **fields: object) -> Maps:
    """Some of many images (N, C, H, W), in grey on the scale of all."""
    limits = [(images.min().item(), images.max().item())]
    return grid(images[places].mean(dim=1).numpy(), side, limits, "ink", **fields)


def input_picture(look: Look, side: int) -> Maps:
    """The image, with what the selected value sees of it framed."""
    box = look.seen(look.row, look.column)
    return picture(look.pixels, side, title="image", frames=frames_of(box), select=PIXEL)


def frames_of(box: Box | None) -> dict[int, Box]:
    """The frame of a single map, where there is one."""
    if box is None:
        return {}
    return {0: box}


def is_vector(values: np.ndarray) -> bool:
    """Whether maps (C, H, W) have one value each."""
    return values.shape[1:] == (1, 1)


def layer_maps(
    layer: str,
    values: np.ndarray,
    side: float,
    limits: Limits,
    labels: Sequence[str] = (),
    **fields: object,
) -> Maps:
    """Maps (C, H, W) of a layer; a vector as one map of all its values, without labels."""
    if not is_vector(values):
        return grid(values, side, limits, labels=labels, select=value_select(layer), **fields)
    square = in_rows(values.ravel(), grid_columns(len(values)))[None]
    side = max(min(side, 112), 4 * square.shape[2])
    select = {"layer": layer, "channel": PLACE}
    return grid(square, side, limits, select=select, unit="channels", **fields)


def single_map(look: Look, layer: str, channel: int, box: Box, side: int) -> Maps:
    """One map of a layer on the scale of all, a box framed; of a vector all, one value framed."""
    values = look.maps[layer]
    limits = colour_limits(values, "robust")
    title = f"{look.titles[layer]} · {channel}"
    if is_vector(values):
        frames = {}
        if box is not None:
            frames = {0: vector_box(channel, len(values))}
        return layer_maps(layer, values, side, limits, title=title, frames=frames)
    return grid(
        values[channel][None],
        side,
        limits,
        title=title,
        frames={0: box},
        select=value_select(layer, channel),
        colour_bar=side == LARGE,  # which has room for it
    )


def vector_box(channel: int, count: int) -> Box:
    """Where the value of a channel stands in the one map of a vector."""
    row, column = divmod(channel, grid_columns(count))
    return row, column, row + 1, column + 1


def grid_columns(count: int) -> int:
    """How many to lay in a row: all of ten or fewer, else a power of two, wider than high."""
    if count <= 10:
        return count
    return 2 ** math.ceil(math.log2(2 * count) / 2)


def in_rows(values: np.ndarray, columns: int = 16) -> np.ndarray:
    """Values (N,) in rows of at most `columns`; what the last row lacks is nan."""
    columns = min(len(values), columns)
    missing = -len(values) % columns
    return np.pad(values, (0, missing), constant_values=np.nan).reshape(-1, columns)


def class_bars(
    look: Look,
    spec: str,
    series: Mapping[str, np.ndarray],
    axis: Mapping[str, float] = FRACTIONS,
    **fields: object,
) -> Bars:
    """A bar for each class, with its number, written by `spec`, over it."""
    (values,) = series.values()
    fields.setdefault("ticks", look.subject.digits)
    return Bars(
        series=series,
        axis=axis,
        numbers=[number(value, spec).rstrip(".") for value in values.tolist()],
        **fields,
    )


def probability_bars(look: Look, **fields: object) -> Bars:
    """The probability of each class, from 0 to 1."""
    axes = (f"Predicted {look.noun}", "Probability")
    return class_bars(look, ".1%", {"probability": look.probs}, axes=axes, **fields)


def value_box(look: Look) -> Box:
    """The box around the value that is selected."""
    return look.row, look.column, look.row + 1, look.column + 1


def value_frames(look: Look) -> dict[int, Box]:
    """The frame of that value among the maps of its layer, as `layer_maps` draws them."""
    if is_vector(look.values):
        return {0: vector_box(look.channel, len(look.values))}
    return {look.channel: value_box(look)}


def selected_value(look: Look) -> str:
    """Where the selected value stands, and what it is."""
    place = f"{look.titles[look.layer]}, channel {look.channel}"
    if not is_vector(look.values):
        place += f", row {look.row}, column {look.column}"
    return f"{place}: {number(look.values[look.channel, look.row, look.column])}"


def filter_text(look: Look) -> str:
    """Which images are looked at, in words."""
    conditions = []
    if look.digit is not None:
        conditions.append(f"{look.noun} {look.subject.digits[look.digit]}")
    if look.read != "all":
        conditions.append(f"{look.read} answers")
    if look.predicted is not None:
        conditions.append(f"read as {look.subject.digits[look.predicted]}")
    if look.tenth is not None:
        conditions.append(f"{10 * look.tenth} to {10 * look.tenth + 10} % confidence")
    return ", ".join(conditions) or f"any {look.noun}"
