"""How one value of a layer comes about."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from torch import Tensor

from mnist_helpers.network.receptive_field import PADDING
from mnist_helpers.network.tracing import Layer, Network, as_maps

Parts = dict[str, object]  # of an Arithmetic


class Arithmetic(NamedTuple):
    """How one value of a layer comes about.

    Attributes:
        rule: sum or scale (patch · kernel + bias), max, mean, relu, copy, add, softmax, or ""
            where nothing more than input and output can be said.
        value: the result.
        patch: (channels, height, width), what it reads; nan is not counted.
        layer: the layer that the patch is read from.
        rows: (height,), where in that layer's maps the patch lies; negative outside.
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

    @property
    def holds(self) -> bool:
        """Whether the rule makes the value of the patch."""
        if self.kernel is not None:
            result = self.partial_sums.sum() + self.bias
        else:
            result = RESULTS.get(self.rule, lambda patch: self.value)(self.patch)
        return bool(np.isclose(result, self.value, rtol=1e-3, atol=1e-4))


class Place(NamedTuple):
    """One value of a layer, and the numbers around it."""

    network: Network
    outputs: dict[str, Tensor]
    layer: Layer
    channel: int
    row: int
    column: int

    def maps(self, name: str) -> np.ndarray:
        """What a layer puts out, (C, H, W)."""
        return as_maps(self.outputs[name][0])

    def weight(self, name: str, absent: float = 0.0) -> np.ndarray:
        """A weight of the layer for the channel; `absent` where the layer has none of this name."""
        path = self.network.nodes[self.layer.name].target
        weight = self.network.weights.get(f"{path}.{name}")
        return np.array(absent) if weight is None else weight[self.channel].detach().cpu().numpy()

    def read(
        self, layer: str, channels: Sequence[int], rows: Sequence[int], columns: Sequence[int]
    ) -> Parts:
        """Values of another layer."""
        rows, columns = np.array(rows), np.array(columns)
        patch = self.maps(layer)[np.ix_(channels, np.maximum(rows, 0), np.maximum(columns, 0))]
        patch[:, rows < 0] = np.nan
        patch[:, :, columns < 0] = np.nan
        source = int(channels[0])
        return {"patch": patch, "layer": layer, "rows": rows, "columns": columns, "source": source}

    def window(self, channels: Sequence[int]) -> Parts:
        """What the layer reads of some channels of its first input."""
        rows, columns = self.network.reads[self.layer.name][0]
        return self.read(self.layer.inputs[0], channels, rows[self.row], columns[self.column])


def explain(
    network: Network,
    outputs: dict[str, Tensor],
    layer: str,
    channel: int,
    row: int = 0,
    column: int = 0,
) -> Arithmetic:
    """How `layer` comes to its value at (`channel`, `row`, `column`).

    A rule that doesn't make this very value is not told.

    Args:
        outputs: of one image, as `network.outputs` gives them.
    """
    place = Place(network, outputs, network.layers[layer], channel, row, column)
    value = place.maps(layer)[channel, row, column].item()
    if network.reads[layer]:
        rule, read = RULES.get(place.layer.op, ("", _same_value))
        parts = read(place)
        users = [network.layers[user].op for user in network.users(layer)]
        known = {"rule": rule, "value": value, "rectified": "ReLU" in users}
        if parts and (said := Arithmetic(**known | parts)).holds:
            return said
    nowhere = np.array([PADDING])
    before = next(iter(place.layer.inputs), layer)
    return Arithmetic("", value, np.empty((0, 1, 1), np.float32), before, nowhere, nowhere)


def _same_value(place: Place) -> Parts | None:
    """The value of the first input at the same place, if there are as many."""
    layer = place.layer.inputs[0]
    shape, before = place.maps(place.layer.name).shape, place.maps(layer).shape
    if np.prod(before) != np.prod(shape):
        return None
    index = np.ravel_multi_index((place.channel, place.row, place.column), shape)
    channel, row, column = np.unravel_index(index, before)
    return place.read(layer, [channel], [row], [column])


def _padded(parts: Parts) -> Parts:
    """The padding counts as zeros."""
    patch = parts["patch"]
    patch[:, parts["rows"] == PADDING] = 0
    patch[:, :, parts["columns"] == PADDING] = 0
    return parts


def _multiplied(place: Place, parts: Parts) -> Parts:
    """The weights of the channel, for each value that is read, and its bias."""
    kernel = place.weight("weight").reshape(parts["patch"].shape)
    return parts | {"kernel": kernel, "bias": place.weight("bias").item()}


def _convolution(place: Place) -> Parts:
    module = place.network.module(place.layer.name)
    count = module.in_channels // module.groups
    group = place.channel // (module.out_channels // module.groups)
    channels = range(group * count, (group + 1) * count)
    return _multiplied(place, _padded(place.window(channels)))


def _linear(place: Place) -> Parts:
    """Of a flattening, the maps before it."""
    name = place.layer.inputs[0]
    before = place.network.layers[name]
    if before.op.lower() in FLATTENING and len(before.shape) == 1 and place.network.reads[name]:
        name = before.inputs[0]
    channels, rows, columns = map(range, place.maps(name).shape)
    return _multiplied(place, place.read(name, channels, rows, columns))


def _batch_norm(place: Place) -> Parts:
    """A factor and a summand for each channel, from the statistics of training."""
    parts, module = _same_value(place), place.network.module(place.layer.name)
    deviation = np.sqrt(place.weight("running_var", 1.0) + module.eps)
    factor = place.weight("weight", 1.0) / deviation
    shift = place.weight("bias") - place.weight("running_mean") * factor
    return parts | {"kernel": np.full((1, 1, 1), factor), "bias": shift.item()}


def _own_window(place: Place) -> Parts:
    return place.window([place.channel])


def _mean(place: Place) -> Parts:
    module, parts = place.network.module(place.layer.name), _own_window(place)
    if getattr(module, "count_include_pad", False):
        parts = _padded(parts)
    divisor = getattr(module, "divisor_override", None)
    if divisor:
        parts |= {"rule": "sum", "kernel": np.full_like(parts["patch"], 1 / divisor)}
    return parts


def _terms(place: Place) -> Parts | None:
    """The values of all inputs at the same place, one below the other."""
    at = place.channel, place.row, place.column
    maps = [place.maps(name) for name in place.layer.inputs]
    if {values.shape for values in maps} != {place.maps(place.layer.name).shape}:
        return None
    patch = np.array([values[at] for values in maps]).reshape(-1, 1, 1)
    return _same_value(place) | {"patch": patch}


def _part(place: Place) -> Parts | None:
    """The input that holds the channel."""
    channel = place.channel
    for name in place.layer.inputs:
        count = len(place.maps(name))
        if channel < count:
            return place.read(name, [channel], [place.row], [place.column])
        channel -= count
    return None


def _logits(place: Place) -> Parts:
    name = place.layer.inputs[0]
    return place.read(name, range(len(place.maps(name))), [0], [0])


FLATTENING = ("flatten", "view", "reshape")
COPYING = ("Dropout", "Dropout2d", "Identity", "Flatten", *FLATTENING)
RULES: dict[str, tuple[str, Callable[[Place], Parts | None]]] = {
    "Conv2d": ("sum", _convolution),
    "Linear": ("sum", _linear),
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d"), ("scale", _batch_norm)),
    **dict.fromkeys(("MaxPool2d", "AdaptiveMaxPool2d"), ("max", _own_window)),
    **dict.fromkeys(("AvgPool2d", "AdaptiveAvgPool2d", "mean"), ("mean", _mean)),
    "ReLU": ("relu", _same_value),
    **dict.fromkeys(COPYING, ("copy", _same_value)),
    "add": ("add", _terms),
    "cat": ("copy", _part),
    "Softmax": ("softmax", _logits),
}
RESULTS = {
    "max": np.nanmax,
    "mean": np.nanmean,
    "relu": partial(np.max, initial=0),
    "copy": np.sum,
    "add": np.sum,
}
