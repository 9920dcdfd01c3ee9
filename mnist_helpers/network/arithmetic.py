"""How one value of a layer comes about."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from torch import Tensor

from mnist_helpers.network.receptive_field import BEYOND, PADDING
from mnist_helpers.network.tracing import Layer, Network, as_maps


class Arithmetic(NamedTuple):
    """How one value of a layer comes about.

    Attributes:
        rule: sum or scale (patch · kernel + bias), max, mean, relu, copy, add, softmax, or ""
            where nothing more than input and output can be said.
        value: the result.
        patch: (channels, height, width), what it reads; nan is not counted.
        layer: the layer that the patch is read from.
        rows: (height,), where in that layer's maps the patch lies; -1 outside.
        columns: (width,), the same.
        kernel: of the patch's shape, what it is multiplied with.
        bias: what is added at the end.
        source: the channel that the patch begins with.
        rectified: whether a ReLU comes next.
    """

    rule: str
    value: float
    patch: np.ndarray
    layer: str
    rows: np.ndarray
    columns: np.ndarray
    kernel: np.ndarray | None = None
    bias: float = 0.0
    source: int = 0
    rectified: bool = False

    @property
    def partial_sums(self) -> np.ndarray:
        """The products summed up for each channel of the patch, (channels,)."""
        return np.nansum(self.patch * self.kernel, axis=(1, 2))


class Place(NamedTuple):
    """One value of a layer, and the numbers around it."""

    network: Network
    outputs: dict[str, Tensor]
    weights: dict[str, Tensor]
    layer: Layer
    channel: int
    row: int
    column: int

    def maps(self, name: str) -> np.ndarray:
        """What a layer puts out, (C, H, W)."""
        return as_maps(self.outputs[name][0])

    def weight(self, name: str) -> Tensor | None:
        """A weight of the layer's module; None: it has none of this name."""
        path = self.network.nodes[self.layer.name].target
        weight = self.weights.get(f"{path}.{name}")
        return None if weight is None else weight.detach().cpu()

    def patch(
        self, source: int, count: int = 1, padding: float = 0.0, beyond: float = np.nan
    ) -> dict[str, object]:
        """What is read of `count` channels of the first input, with what stands for no values."""
        name = self.layer.inputs[0]
        row_reads, column_reads = self.network.reads[self.layer.name][0]
        rows, columns = row_reads[self.row], column_reads[self.column]
        channels = self.maps(name)[source : source + count]
        patch = channels[:, np.maximum(rows, 0)][:, :, np.maximum(columns, 0)]
        for outside, number in ((PADDING, padding), (BEYOND, beyond)):
            patch[:, rows == outside] = number
            patch[:, :, columns == outside] = number
        rows, columns = np.maximum(rows, PADDING), np.maximum(columns, PADDING)
        found = {"patch": patch, "layer": name, "rows": rows, "columns": columns}
        return found | {"source": source}

    def value_of(self, name: str, source: int, row: int, column: int) -> dict[str, object]:
        """One value of a layer."""
        patch = self.maps(name)[source, row, column].reshape(1, 1, 1)
        rows, columns = np.array([int(row)]), np.array([int(column)])
        found = {"patch": patch, "layer": name, "rows": rows, "columns": columns}
        return found | {"source": int(source)}


def explain(
    network: Network,
    outputs: dict[str, Tensor],
    layer: str,
    channel: int,
    row: int = 0,
    column: int = 0,
    weights: dict[str, Tensor] | None = None,
) -> Arithmetic:
    """How `layer` comes to its value at (`channel`, `row`, `column`).

    Args:
        outputs: of one image, as `network.outputs` gives them.
        weights: those that made `outputs`; by default the model's own.
    """
    described = network.layers[layer]
    place = Place(network, outputs, weights or network.weights, described, channel, row, column)
    value = place.maps(layer)[channel, row, column].item()
    users = [network.layers[user] for user in network.users(layer)]
    rectified = any(user.op == "ReLU" for user in users)
    rule = RULES.get(described.op, _same_value)
    parts = rule(place) if network.reads[layer] else _nothing(place)
    return Arithmetic(value=value, rectified=rectified, **parts)


def _nothing(place: Place) -> dict[str, object]:
    """An empty patch."""
    nowhere = np.array([PADDING])
    name = next(iter(place.layer.inputs), place.layer.name)
    patch = np.empty((0, 1, 1), np.float32)
    return {"rule": "", "patch": patch, "layer": name, "rows": nowhere, "columns": nowhere}


def _same_value(place: Place, rule: str = "") -> dict[str, object]:
    """The value of the first input at the same place, if there are as many."""
    name = place.layer.inputs[0]
    shape, before = place.maps(place.layer.name).shape, place.maps(name).shape
    if np.prod(before) != np.prod(shape):
        return _nothing(place)
    index = np.ravel_multi_index((place.channel, place.row, place.column), shape)
    return {"rule": rule, **place.value_of(name, *np.unravel_index(index, before))}


def _sum(place: Place, parts: dict[str, object]) -> dict[str, object]:
    """The products of a patch and the weights of the channel, and its bias."""
    kernel, bias = place.weight("weight")[place.channel], place.weight("bias")
    kernel = kernel.numpy().reshape(parts["patch"].shape)
    bias = 0.0 if bias is None else bias[place.channel].item()
    return {"rule": "sum", "kernel": kernel, "bias": bias, **parts}


def _convolution(place: Place) -> dict[str, object]:
    module = place.network.module(place.layer.name)
    count = module.in_channels // module.groups
    group = place.channel // (module.out_channels // module.groups)
    return _sum(place, place.patch(group * count, count))


def _linear(place: Place) -> dict[str, object]:
    """Of a flattening, the maps before it."""
    name = place.layer.inputs[0]
    before = place.network.layers[name]
    if before.op.lower() in FLATTENING and len(before.shape) == 1 and place.network.reads[name]:
        name = before.inputs[0]
    maps = place.maps(name)
    rows, columns = np.arange(maps.shape[1]), np.arange(maps.shape[2])
    return _sum(place, {"patch": maps, "layer": name, "rows": rows, "columns": columns})


def _batch_norm(place: Place) -> dict[str, object]:
    """A factor and a summand for each channel, from the statistics of training."""
    module, channel = place.network.module(place.layer.name), place.channel
    mean, variance = place.weight("running_mean"), place.weight("running_var")
    if mean is None:
        return _nothing(place)
    gamma, beta = place.weight("weight"), place.weight("bias")
    factor = (variance[channel] + module.eps).rsqrt()
    factor = factor if gamma is None else factor * gamma[channel]
    shift = 0.0 if beta is None else beta[channel]
    kernel = factor.reshape(1, 1, 1).numpy()
    bias = float(shift - mean[channel] * factor)
    return _same_value(place, "scale") | {"kernel": kernel, "bias": bias}


def _max(place: Place) -> dict[str, object]:
    return {"rule": "max", **place.patch(place.channel, padding=-np.inf, beyond=-np.inf)}


def _mean(place: Place) -> dict[str, object]:
    module = place.network.module(place.layer.name)
    divisor = getattr(module, "divisor_override", None)
    if divisor:
        parts = place.patch(place.channel, beyond=0.0)
        return {"rule": "sum", "kernel": np.full_like(parts["patch"], 1 / divisor), **parts}
    padding = 0.0 if getattr(module, "count_include_pad", False) else np.nan
    return {"rule": "mean", **place.patch(place.channel, padding=padding)}


def _mean_function(place: Place) -> dict[str, object]:
    """The mean of each map, if that is what it is."""
    node = place.network.nodes[place.layer.name]
    axes = node.kwargs.get("dim", (*node.args, None)[1])
    before = place.network.layers[place.layer.inputs[0]]
    if len(before.shape) != 3 or {axis % 4 for axis in axes or ()} != {2, 3}:
        return _nothing(place)
    return _mean(place)


def _add(place: Place) -> dict[str, object]:
    """The values of all inputs at the same place."""
    network, layer = place.network, place.layer
    node = network.nodes[layer.name]
    terms = tuple(network.nodes[name] for name in layer.inputs)
    shapes = {network.layers[name].shape for name in layer.inputs}
    if node.args != terms or node.kwargs or shapes != {layer.shape}:
        return _same_value(place) if shapes == {layer.shape} else _nothing(place)
    at = place.channel, place.row, place.column
    patch = np.array([place.maps(name)[at] for name in layer.inputs])
    return _same_value(place, "add") | {"patch": patch.reshape(-1, 1, 1)}


def _concatenation(place: Place) -> dict[str, object]:
    """The input that holds the channel."""
    layers = [place.network.layers[name] for name in place.layer.inputs]
    channels = [len(place.maps(layer.name)) for layer in layers]
    if sum(channels) != len(place.maps(place.layer.name)):
        return _nothing(place)
    ends = np.cumsum(channels)
    index = int(np.searchsorted(ends, place.channel, side="right"))
    source = place.channel - int(ends[index]) + channels[index]
    return {
        "rule": "copy",
        **place.value_of(layers[index].name, source, place.row, place.column),
    }


def _softmax(place: Place) -> dict[str, object]:
    """Of vectors only."""
    name = place.layer.inputs[0]
    return place.value_of(name, 0, 0, 0) | {"rule": "softmax", "patch": place.maps(name)}


_copy = partial(_same_value, rule="copy")
FLATTENING = ("flatten", "view", "reshape")
RULES: dict[str, Callable[[Place], dict[str, object]]] = {
    "Conv2d": _convolution,
    "Linear": _linear,
    "BatchNorm1d": _batch_norm,
    "BatchNorm2d": _batch_norm,
    "MaxPool2d": _max,
    "AdaptiveMaxPool2d": _max,
    "AvgPool2d": _mean,
    "AdaptiveAvgPool2d": _mean,
    "mean": _mean_function,
    "ReLU": partial(_same_value, rule="relu"),
    **dict.fromkeys(("Dropout", "Dropout2d", "Identity", "Flatten", *FLATTENING), _copy),
    "add": _add,
    "cat": _concatenation,
    "Softmax": _softmax,
}
