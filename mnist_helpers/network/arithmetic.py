"""How one value of a layer comes about."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import nn

from mnist_helpers.network.receptive_field import PADDING
from mnist_helpers.network.tracing import Arrays, Layer, Network

Indices = Sequence[int]  # of channels, rows or columns


class Arithmetic(NamedTuple):
    """How one value of a layer comes about.

    Attributes:
        rule: sum or scale (patch · kernel + bias), max, mean, relu, copy, add, softmax, or ""
            where nothing more than input and output can be said.
        value: the result.
        patch: (channels, height, width), what it reads; nan is not counted.
        layer: the layer that the patch is read from; its own where nothing is read.
        rows: (height,), where in that layer's maps the patch lies; negative outside.
        columns: (width,), the same.
        kernel: of the patch's shape, what it is multiplied with.
        bias: what is added at the end.
        first_channel: the channel that the patch begins with.
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
    first_channel: int = 0
    rectified: bool = False

    @property
    def partial_sums(self) -> np.ndarray:
        """The products summed up for each channel of the patch, (channels,)."""
        return np.nansum(self.patch * self.kernel, axis=(1, 2))

    @property
    def holds(self) -> bool:
        """Whether the rule makes the value of the patch."""
        result = self.value
        if self.kernel is not None:
            result = self.partial_sums.sum() + self.bias
        elif self.rule in RESULTS:
            result = RESULTS[self.rule](self.patch)
        return bool(np.isclose(result, self.value, rtol=1e-3, atol=1e-4))


class Place(NamedTuple):
    """One value of a layer, and the numbers around it.

    `maps` are those of one image by layer, (C, H, W) each.
    """

    network: Network
    maps: Arrays
    layer: Layer
    channel: int
    row: int
    column: int

    @property
    def value(self) -> float:
        """The value itself."""
        return self.maps[self.layer.name][self.channel, self.row, self.column].item()

    @property
    def module(self) -> nn.Module | None:
        """The layer's, or one that does the same."""
        return self.network.modules[self.layer.name]

    def weight(self, name: str, absent: float = 0.0) -> np.ndarray:
        """A weight of the layer for the channel; `absent` where the layer has none of this name."""
        path = f"{self.network.nodes[self.layer.name].target}.{name}"
        weight = self.network.weights.get(path)
        if weight is None:
            return np.array(absent)
        return weight[self.channel].detach().cpu().numpy()

    def read(self, layer: str, channels: Indices, rows: Indices, columns: Indices) -> Arithmetic:
        """The arithmetic that reads values of another layer, by the rule of this one."""
        layers = self.network.layers
        users = self.network.users(self.layer.name)
        rows = np.array(rows)
        columns = np.array(columns)
        # at the end, where PADDING and BEYOND lead, stands nan
        maps = np.pad(self.maps[layer], ((0, 0), (0, 2), (0, 2)), constant_values=np.nan)
        return Arithmetic(
            rule=RULES.get(self.layer.op, ""),
            value=self.value,
            patch=maps[np.ix_(channels, rows, columns)],
            layer=layer,
            rows=rows,
            columns=columns,
            first_channel=int(channels[0]),
            rectified=any(layers[user].op == "ReLU" for user in users),
        )

    def window(self, channels: Indices) -> Arithmetic:
        """What the layer reads of some channels of its first input."""
        rows, columns = self.network.reads[self.layer.name][0]
        return self.read(self.layer.inputs[0], channels, rows[self.row], columns[self.column])


def explain(place: Place) -> Arithmetic:
    """How a value comes about; a rule that doesn't make this very value is not told."""
    name = place.layer.name
    if place.network.reads[name]:
        read = READERS.get(place.layer.op, _same_value)
        arithmetic = read(place)
        if arithmetic and arithmetic.holds:
            return arithmetic
    nothing = np.empty((0, 1, 1))
    nowhere = np.array([PADDING])
    return Arithmetic("", place.value, nothing, name, nowhere, nowhere)


def _same_value(place: Place) -> Arithmetic | None:
    """The value of the first input at the same place, if there are as many."""
    layer = place.layer.inputs[0]
    shape = place.maps[place.layer.name].shape
    before = place.maps[layer].shape
    if math.prod(before) != math.prod(shape):
        return None
    index = np.ravel_multi_index((place.channel, place.row, place.column), shape)
    channel, row, column = np.unravel_index(index, before)
    return place.read(layer, [channel], [row], [column])


def _pad(arithmetic: Arithmetic) -> None:
    """Lets the padding count as zeros."""
    arithmetic.patch[:, arithmetic.rows == PADDING] = 0
    arithmetic.patch[:, :, arithmetic.columns == PADDING] = 0


def _weighted(place: Place, arithmetic: Arithmetic) -> Arithmetic:
    """With the weights of the channel, one for each value that is read, and its bias."""
    kernel = place.weight("weight").reshape(arithmetic.patch.shape)
    return arithmetic._replace(kernel=kernel, bias=place.weight("bias").item())


def _convolution(place: Place) -> Arithmetic:
    """The channels of the group."""
    groups = place.module.groups
    count = place.module.in_channels // groups
    group = place.channel * groups // place.module.out_channels
    arithmetic = place.window(range(group * count, (group + 1) * count))
    _pad(arithmetic)
    return _weighted(place, arithmetic)


def _all(place: Place) -> Arithmetic:
    """All values of what is read; of a flattening, the maps before it."""
    name = place.network.read_by(place.layer.name)
    return place.read(name, *map(range, place.maps[name].shape))


def _batch_norm(place: Place) -> Arithmetic:
    """A factor and a summand for each channel, from the statistics of training."""
    deviation = np.sqrt(place.weight("running_var", 1.0) + place.module.eps)
    factor = place.weight("weight", 1.0) / deviation
    shift = place.weight("bias") - place.weight("running_mean") * factor
    return _same_value(place)._replace(kernel=np.full((1, 1, 1), factor), bias=shift.item())


def _own_window(place: Place) -> Arithmetic:
    """Of the same channel, zeros around the map counted where the layer counts them."""
    arithmetic = place.window([place.channel])
    if getattr(place.module, "count_include_pad", False):
        _pad(arithmetic)
    return arithmetic


def _terms(place: Place) -> Arithmetic | None:
    """The values of all inputs at the same place, one below the other."""
    terms = []
    for name in place.layer.inputs:
        maps = place.maps[name]
        if maps.shape != place.maps[place.layer.name].shape:
            return None
        terms.append(maps[place.channel, place.row, place.column])
    return _same_value(place)._replace(patch=np.array(terms).reshape(-1, 1, 1))


def _part(place: Place) -> Arithmetic | None:
    """The input that holds the channel."""
    channel = place.channel
    for name in place.layer.inputs:
        count = len(place.maps[name])
        if channel < count:
            return place.read(name, [channel], [place.row], [place.column])
        channel -= count
    return None


COPIES = "Dropout Dropout2d Identity Flatten flatten view reshape cat"
RULES = {  # by the op of a layer
    "Conv2d": "sum",
    "Linear": "sum",
    "BatchNorm1d": "scale",
    "BatchNorm2d": "scale",
    "MaxPool2d": "max",
    "AdaptiveMaxPool2d": "max",
    "AvgPool2d": "mean",
    "AdaptiveAvgPool2d": "mean",
    "mean": "mean",
    "ReLU": "relu",
    "add": "add",
    "Softmax": "softmax",
    **dict.fromkeys(COPIES.split(), "copy"),
}
READERS = {  # of all others: _same_value
    "Conv2d": _convolution,
    "Linear": lambda place: _weighted(place, _all(place)),
    "BatchNorm1d": _batch_norm,
    "BatchNorm2d": _batch_norm,
    "MaxPool2d": _own_window,
    "AdaptiveMaxPool2d": _own_window,
    "AvgPool2d": _own_window,
    "AdaptiveAvgPool2d": _own_window,
    "mean": _own_window,
    "cat": _part,
    "add": _terms,
    "Softmax": _all,
}
RESULTS = {
    "max": np.nanmax,
    "mean": np.nanmean,
    "relu": lambda patch: np.maximum(patch, 0).item(),
    "copy": np.sum,
    "add": np.sum,
}
