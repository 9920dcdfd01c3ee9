"""What the layers of a network hold: the way of an image, the kernels, the feature maps."""

import math
from dataclasses import replace

import numpy as np

from mnist_helpers.explorer.look import Look
from mnist_helpers.explorer.scene import INDEX, Column, Item, Maps, Row, Scene, Table
from mnist_helpers.explorer.views.parts import (
    SMALL,
    Limits,
    channel_names,
    colour_limits,
    grid,
    grid_columns,
    input_picture,
    is_vector,
    layer_maps,
    limits_text,
    selected_value,
    single_map,
    value_box,
    value_frames,
)
from mnist_helpers.network.tracing import IMAGE, SOFTMAX

MOST_KERNELS = 2048  # that are drawn at once
SMALLEST = 6  # side of a map in the pipeline, in pixels


def pipeline(look: Look) -> Scene:
    """One image on its way through all layers, each on its own robust colour scale."""
    opened = single_map(look, look.layer, look.channel, value_box(look), SMALL)
    steps = [
        layer_step(look, name)
        for name, layer in look.subject.layers.items()
        if name != IMAGE and layer.op.lower() != "flatten"  # which holds the same values again
    ]
    start = Column(input_picture(look, SMALL), opened)
    return Scene(
        Row(start, *steps, together=True),
        f"{look.title}. Open: {selected_value(look)}. Red is above zero, blue below; in layers "
        "without negative values, violet is zero and yellow is most. Each layer has its own "
        "scale, up to the 99th percentile.",
    )


def layer_step(look: Look, name: str) -> Item:
    """What a layer makes of the image, with the facts about it below."""
    layer = look.subject.layers[name]
    values = look.maps[name]
    framed = name == look.layer
    notes = [" × ".join(f"{size:,}" for size in layer.shape), f"sees {layer.sees}"]
    if layer.parameters:
        notes.append(f"{layer.parameters:,} parameters")
    if len(layer.inputs) > 1:
        notes.append(f"of {' and '.join(look.titles[before] for before in layer.inputs)}")
    if layer.shape == (look.subject.classes,):
        return class_table(look, name, notes=notes, framed=framed)
    frames = {}
    if framed:
        frames = value_frames(look)
    zoom = 42 / look.pixels.shape[2]  # the same for all
    return layer_maps(
        name,
        values,
        max(SMALLEST, zoom * values.shape[2]),
        colour_limits(values, "robust"),
        title=layer.title,
        notes=notes,
        framed=framed,
        frames=frames,
        columns=math.ceil(len(values) / 8),
    )


def class_table(look: Look, layer: str, **fields: object) -> Table:
    """One value for each class, the chosen one framed."""
    values = look.maps[layer].reshape(-1, 1)
    framed_cell = None
    if layer == look.layer:
        framed_cell = look.channel
    return Table(
        values,
        title=look.titles[layer],
        rows=look.subject.digits,
        framed_cell=framed_cell,
        percent=layer == SOFTMAX,
        select={"layer": layer, "channel": INDEX},
        **fields,
    )


def kernels(look: Look) -> Scene:
    """The kernels of a layer: those of one output channel large, beside them all."""
    name = look.layer
    weights = look.subject.kernels(look.quantity, look.weights)[name]
    outs, ins, height, width = weights.shape
    limits = colour_limits(weights.reshape(-1, height, width), look.limits)
    limits = [(-high, high) for _, high in limits]  # signed by nature
    marks = [large_kernels(look, name, weights, limits)]
    quantity = f"{look.weights} weights"
    if look.quantity == "change":
        quantity = f"change from {look.subject.other(look.weights)} to {look.weights}"
    sizes = f"{outs} × {ins} kernels of {height} × {width}"
    if ins == 1 and name not in look.subject.network.convolutions:
        sizes = f"{outs} × {height * width:,} weights, in rows of {width}"
    caption = (
        f"{look.titles[name]}: {sizes}, {quantity}, "
        f"{limits_text(limits, look.limits)}. Output channel {look.channel} is chosen."
    )
    if outs * ins > MOST_KERNELS:
        caption += " Those of the others are too many to be drawn beside them."
    elif ins > 1:
        marks.append(all_kernels(look, name, weights, limits))
    return Scene(Row(*marks), caption)


def large_kernels(look: Look, name: str, weights: np.ndarray, limits: Limits) -> Maps:
    """The kernels of the selected output channel, or of all if they read a single channel."""
    outs, ins = weights.shape[:2]
    channel = look.channel
    if ins == 1:
        kernels = weights[:, 0]  # (out, height, width)
        field = "channel"
        first = 0
        columns = grid_columns(outs)
    else:
        kernels = weights[channel]  # (in, height, width)
        field = "input_channel"
        groups = getattr(look.subject.network.modules[name], "groups", 1)  # a linear layer has none
        first = channel // (outs // groups) * ins
        columns = 4
        if ins > 16:
            columns = grid_columns(ins)
        if look.limits == "each":
            limits = limits[channel * ins :][:ins]
        channel = look.input_channel
    frames = {}
    if channel is not None:
        frames = {min(channel, len(kernels) - 1): None}
    unit = field.replace("_", " ")
    return grid(
        kernels,
        66,
        limits,
        columns=columns,
        title=f"{look.titles[name]}: a kernel for each {unit}",
        labels=channel_names(len(kernels), first),
        frames=frames,
        select={"layer": name, field: INDEX},
        colour_bar=len(limits) == 1,
        unit=unit,
    )


def all_kernels(look: Look, name: str, weights: np.ndarray, limits: Limits) -> Maps:
    """All kernels (out, in, height, width), small: a column an output channel, a row an input."""
    outs, ins = weights.shape[:2]
    inputs, outputs = np.indices((ins, outs)).reshape(2, -1)
    if len(limits) > 1:
        limits = [limits[place] for place in outputs * ins + inputs]
    return grid(
        weights[outputs, inputs],
        12,
        limits,
        columns=outs,
        title=f"{look.titles[name]}: all {outs * ins} kernels",
        heads=(channel_names(outs), channel_names(ins)),
        axes=("output channel", "input channel"),
        frames=dict.fromkeys(np.flatnonzero(outputs == look.channel).tolist()),
        select={"layer": name, "channel": outputs.tolist(), "input_channel": inputs.tolist()},
        unit="kernel",
    )


def feature_maps(look: Look) -> Scene:
    """All channels of a layer, with one network's weights or two, on one colour scale."""
    sides = {name: replace(look, weights=name).values for name in look.compared}
    axis = 0
    scaled = list(sides.values())  # on one colour scale
    if look.limits == "each":
        axis = 1  # a map shares its scale with its neighbour
        if is_vector(look.values):  # drawn as one map
            scaled = [values.reshape(1, -1, 1) for values in scaled]
    limits = colour_limits(np.concatenate(scaled, axis=axis), look.limits)
    if look.compare == "difference":
        sides["difference"] = np.subtract(*sides.values())
        limits = [(-high, high) for _, high in limits]
    width = 42  # 32 maps three times over are whole on one screen
    columns = 16 // len(sides)
    if look.compare == "alone":
        width = SMALL
        columns = grid_columns(len(look.values))
    marks = [input_picture(look, SMALL)]
    for name, values in sides.items():
        title = f"{look.titles[look.layer]}, {name}"
        if look.compare == "alone":
            title = look.titles[look.layer]
        marks.append(
            layer_maps(
                look.layer,
                values,
                width,
                limits,
                title=title,
                columns=columns,
                labels=channel_names(len(values)),
                frames=value_frames(look),
                colour_bar=look.limits != "each" and name == list(sides)[-1],
            )
        )
    shape = " × ".join(f"{size:,}" for size in look.values.shape)
    caption = f"{look.title}. {shape}, {limits_text(limits, look.limits)}."
    return Scene(Row(*marks), f"{caption} Framed: {selected_value(look)}.")
