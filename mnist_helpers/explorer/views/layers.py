"""What the layers of a network hold: the way of an image, the kernels, the feature maps."""

import math

import numpy as np

from mnist_helpers.explorer.look import Look
from mnist_helpers.explorer.scene import INDEX, Column, Item, Maps, Row, Scene
from mnist_helpers.explorer.views.parts import (
    SMALL,
    Limits,
    class_table,
    colour_limits,
    grid,
    input_picture,
    layer_maps,
    said_limits,
    selected_value,
    single_map,
    value_box,
    value_frames,
)
from mnist_helpers.network.tracing import IMAGE

MOST_KERNELS = 2048  # that are drawn at once


def pipeline(look: Look) -> Scene:
    """One image on its way through all layers, each on its own colour scale."""
    opened = single_map(look, look.at.layer, look.at.channel, value_box(look), SMALL)
    start = Column([input_picture(look, SMALL), opened])
    steps = [layer_step(look, name) for name in look.maps if is_step(look, name)]
    return Scene(Row([start, *steps]), f"{look.title}. Open: {selected_value(look)}.")


def is_step(look: Look, name: str) -> bool:
    """Whether the pipeline draws a layer; a flattening holds the values before it once more."""
    return name != IMAGE and look.subject.layers[name].op.lower() != "flatten"


def layer_step(look: Look, name: str) -> Item:
    """What a layer makes of the image, with the facts about it below."""
    layer, values = look.subject.layers[name], look.maps[name]
    shape = " × ".join(map(str, layer.shape))
    weights = [f"{layer.parameters:,} parameters"] if layer.parameters else []
    notes = [shape, f"sees {seen_size(look, name)}", *weights]
    mark = {"title": name, "notes": notes, "framed": name == look.at.layer}
    if layer.shape == (look.subject.classes,):
        return class_table(look, name, **mark)
    zoom = 42 / look.image.shape[2]  # the same for all
    mark["columns"] = math.ceil(len(values) / 8)
    if name == look.at.layer:
        mark["frames"] = value_frames(look)
    return layer_maps(name, values, zoom * values.shape[2], colour_limits(values), **mark)


def seen_size(look: Look, name: str) -> str:
    """How much of the image a value of a layer sees."""
    field = look.subject.layers[name].receptive_field
    if field is None:
        return "what is unknown"
    return "all" if field.whole else "{} × {}".format(*field.size)


def kernels(look: Look) -> Scene:
    """The kernels of a convolution: those of one output channel large, beside them all."""
    at, name = look.at, convolution_at(look)
    weights = look.subject.kernels(at.quantity, at.weights)[name]
    outs, ins, height, width = weights.shape
    channel = min(at.channel, outs - 1)
    tiles = weights.reshape(-1, height, width)
    limits = [(-high, high) for _, high in colour_limits(tiles, at.limits)]  # signed by nature
    if ins == 1:
        parts = [large_kernels(name, tiles, limits, channel, "channel", 0)]
    else:
        own = limits[channel * ins :][:ins] if len(limits) > 1 else limits
        first = channel // (outs // look.subject.network.module(name).groups) * ins
        chosen = at.input_channel
        parts = [large_kernels(name, weights[channel], own, chosen, "input_channel", first)]
        if outs * ins <= MOST_KERNELS:
            parts.append(all_kernels(name, weights, limits, channel))
    what = {
        "weights": f"{at.weights} weights",
        "gradient": "gradient of the loss of the first 1,000 images",
        "change": f"change from {look.other} to {at.weights}",
    }
    shape = f"{outs} × {ins} kernels of {height} × {width}"
    scale = said_limits(limits, at.limits)
    caption = f"{name}: {shape}, {what[at.quantity]}, {scale}. Output channel {channel} is chosen."
    return Scene(Row(parts), caption)


def large_kernels(
    name: str, kernels: np.ndarray, limits: Limits, chosen: int | None, field: str, first: int
) -> Maps:
    """Kernels (N, height, width) large enough to read, each with the number of its channel."""
    unit = field.replace("_", " ")
    return grid(
        kernels,
        66,
        limits,
        columns=8 if field == "channel" else 4,
        title=f"{name}: a kernel for each {unit}",
        labels=[str(first + number) for number in range(len(kernels))],
        frames={} if chosen is None else {min(chosen, len(kernels) - 1): None},
        select={"layer": name, field: INDEX},
        colour_bar=len(limits) == 1,
        unit=unit,
    )


def all_kernels(name: str, weights: np.ndarray, limits: Limits, channel: int) -> Maps:
    """All kernels (out, in, height, width), small: a column an output channel, a row an input."""
    outs, ins = weights.shape[:2]
    outputs, inputs = np.tile(np.arange(outs), ins), np.repeat(np.arange(ins), outs)
    if len(limits) > 1:
        limits = [limits[place] for place in outputs * ins + inputs]
    return grid(
        weights[outputs, inputs],
        15,
        limits,
        columns=outs,
        title=f"{name}: all {len(outputs)} kernels",
        heads=(list(map(str, range(outs))), list(map(str, range(ins)))),
        axes=("output channel", "input channel"),
        frames=dict.fromkeys(np.flatnonzero(outputs == channel).tolist()),
        select={"layer": name, "channel": outputs.tolist(), "input_channel": inputs.tolist()},
        unit="kernel",
    )


def convolution_at(look: Look) -> str:
    """The last convolution up to the selected layer, or else the first."""
    names = list(look.maps)
    passed = names[: names.index(look.at.layer) + 1]
    convolutions = look.subject.network.convolutions
    return next((name for name in reversed(passed) if name in convolutions), convolutions[0])


def feature_maps(look: Look) -> Scene:
    """All channels of a layer, with one network's weights or two, on one colour scale."""
    at = look.at
    sides = {
        name: look.subject.maps(at.source, name, *look.disturbed)[at.layer]
        for name in look.compared
    }
    limits = feature_limits(look, list(sides.values()))
    if at.compare == "difference":
        sides["difference"] = np.subtract(*sides.values())
        limits = [(-high, high) for _, high in limits]
    count, height, width = look.values.shape
    alone = len(sides) == 1
    mark = {
        "columns": 8 if alone else 4,
        "labels": [str(channel) for channel in range(count)],
        "frames": value_frames(look),
    }
    last = list(sides)[-1]
    side = SMALL if alone else 56
    groups = []
    for name, values in sides.items():
        title = at.layer if alone else f"{at.layer}, {name}"
        mark |= {"title": title, "colour_bar": at.limits != "each" and name == last}
        groups.append(layer_maps(at.layer, values, side, limits, **mark))
    scale = said_limits(limits, at.limits)
    shape = f"{count} × {height} × {width}"
    caption = f"{look.title}. {shape}, {scale}. Framed: {selected_value(look)}."
    return Scene(Row([input_picture(look, SMALL), *groups]), caption)


def feature_limits(look: Look, sides: list[np.ndarray]) -> Limits:
    """The ends of the colour scale of feature maps, shared by the weights that are compared."""
    if look.at.limits == "all images":
        stats = look.stats
        return colour_limits(np.array([stats.max.max().item(), stats.min.min().item()]))
    beside = 1 if look.at.limits == "each" else 0  # a map shares its scale with its neighbour
    return colour_limits(np.concatenate(sides, axis=beside), look.at.limits)
