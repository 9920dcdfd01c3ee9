"""How one value of a layer comes about."""

from collections.abc import Callable
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
        return {
            "patch": patch,
            "layer": name,
            "rows": np.maximum(rows, PADDING),
            "columns": np.maximum(columns, PADDING),
            "source": source,
        }


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
    shape = place.maps(place.layer.name).shape
    maps = place.maps(name)
    if maps.size != np.prod(shape):
        return _nothing(place)
    index = np.ravel_multi_index((place.channel, place.row, place.column), shape)
    source, row, column = (int(i) for i in np.unravel_index(index, maps.shape))
    return {
        "rule": rule,
        "patch": maps[source, row, column].reshape(1, 1, 1),
        "layer": name,
        "rows": np.array([row]),
        "columns": np.array([column]),
        "source": source,
    }


def _copy(place: Place) -> dict[str, object]:
    return _same_value(place, "copy")


def _relu(place: Place) -> dict[str, object]:
    return _same_value(place, "relu")


def _convolution(place: Place) -> dict[str, object]:
    module = place.network.module(place.layer.name)
    kernel, bias = place.weight("weight")[place.channel], place.weight("bias")
    group = place.channel // (module.out_channels // module.groups)
    return {
        "rule": "sum",
        "kernel": kernel.numpy(),
        "bias": 0.0 if bias is None else bias[place.channel].item(),
        **place.patch(group * len(kernel), len(kernel)),
    }


def _linear(place: Place) -> dict[str, object]:
    """Of a flattening, the maps before it."""
    name = place.layer.inputs[0]
    before = place.network.layers[name]
    if RULES.get(before.op) is _copy and len(before.shape) == 1 and place.network.reads[name]:
        name = before.inputs[0]
    maps = place.maps(name)
    kernel, bias = place.weight("weight")[place.channel], place.weight("bias")
    return {
        "rule": "sum",
        "kernel": kernel.numpy().reshape(maps.shape),
        "bias": 0.0 if bias is None else bias[place.channel].item(),
        "patch": maps,
        "layer": name,
        "rows": np.arange(maps.shape[1]),
        "columns": np.arange(maps.shape[2]),
    }


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
    name = layers[index].name
    return {
        "rule": "copy",
        "patch": place.maps(name)[source, place.row, place.column].reshape(1, 1, 1),
        "layer": name,
        "rows": np.array([place.row]),
        "columns": np.array([place.column]),
        "source": source,
    }


def _softmax(place: Place) -> dict[str, object]:
    """Of vectors only."""
    name = place.layer.inputs[0]
    here = np.zeros(1, int)
    return {
        "rule": "softmax",
        "patch": place.maps(name),
        "layer": name,
        "rows": here,
        "columns": here,
    }


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
    "ReLU": _relu,
    "Dropout": _copy,
    "Dropout2d": _copy,
    "Identity": _copy,
    "Flatten": _copy,
    "flatten": _copy,
    "view": _copy,
    "reshape": _copy,
    "add": _add,
    "cat": _concatenation,
    "Softmax": _softmax,
}
