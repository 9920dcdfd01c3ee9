"""Which pixels a value sees, as exact intervals of rows and of columns.

That the two axes can be followed apart is the idea of Araujo, Norris and Sim, "Computing Receptive
Fields of Convolutional Neural Networks" (2019). They follow a size, a stride and a start; here
every position has an interval of its own, which is exact for adaptive pooling, ceil_mode, every
padding mode and sizes that don't divide.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import nn

PADDING = -1  # instead of an index
BEYOND = -2  # the same, for what isn't counted
PADDING_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}

# what layers read, by their op in lower case and without underscores
SPREADING = {"add", "div", "mul", "sub", "truediv"}
ELEMENTWISE = SPREADING | {
    "batchnorm1d", "batchnorm2d", "cat", "clamp", "clone", "contiguous", "dropout", "dropout1d",
    "dropout2d", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "identity", "leakyrelu",
    "mish", "neg", "prelu", "relu", "relu6", "selu", "sigmoid", "silu", "softplus", "tanh",
}  # fmt: skip
NORMALISING = {"batchnorm1d", "batchnorm2d", "groupnorm", "instancenorm2d", "layernorm"}
GATHERING = {
    "amax", "flatten", "linear", "logsoftmax", "mean", "reshape", "softmax", "sum", "view",
}  # fmt: skip

Reads = tuple[np.ndarray, np.ndarray]  # for rows and for columns: (output size, kernel size)
AxisReads = Callable[[nn.Module | None, int, int, int], np.ndarray]  # of module, axis, two sizes


class Field(NamedTuple):
    """What the values of a map see of an image, or of another map.

    Attributes:
        rows: (height, 2), the first and the last + 1 row that a value in each row of the map sees.
        columns: (width, 2), the same for columns.
        frame: height and width of what is seen.
    """

    rows: np.ndarray
    columns: np.ndarray
    frame: tuple[int, int]

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Top, left, bottom and right (the last two excluded), inside the frame."""
        top, bottom = self.rows[row].tolist()
        left, right = self.columns[column].tolist()
        return min(top, bottom), min(left, right), bottom, right

    @property
    def size(self) -> tuple[int, int]:
        """The largest height and the largest width that a value sees."""
        heights = self.rows[:, 1] - self.rows[:, 0]
        widths = self.columns[:, 1] - self.columns[:, 0]
        return int(heights.max()), int(widths.max())

    @property
    def whole(self) -> bool:
        """Whether every value sees the whole frame."""
        height, width = self.frame
        return bool((self.rows == (0, height)).all() and (self.columns == (0, width)).all())

    def through(self, reads: Reads) -> "Field":
        """What values see that read values of this map."""
        rows = _union(self.rows, reads[0])
        columns = _union(self.columns, reads[1])
        return Field(rows, columns, self.frame)

    def join(self, other: "Field") -> "Field":
        """The bounding boxes of what is seen through either of two maps of one size."""
        rows = _hull(self.rows, other.rows)
        columns = _hull(self.columns, other.columns)
        return Field(rows, columns, self.frame)


def map_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The shape of a layer's output as maps: (C, 1, 1) of (C,), (1, A, B) of (A, B)."""
    if len(shape) < 2:
        return math.prod(shape), 1, 1
    if len(shape) == 2:
        return 1, *shape
    return *shape[:2], math.prod(shape[2:])


def own_places(shape: tuple[int, ...]) -> Field:
    """The field of the values of a layer (or image) of this shape that see themselves."""
    _, height, width = map_shape(shape)
    return Field(_own_intervals(height), _own_intervals(width), (height, width))


def reads(
    op: str, module: nn.Module | None, shape: tuple[int, ...], output_shape: tuple[int, ...]
) -> Reads | None:
    """The rows and the columns of its input that a layer reads; None: not known.

    Returns:
        Indices into the input, or `PADDING`, or `BEYOND` for what isn't counted.
    """
    if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        axis_reads = _slide
    elif isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
        axis_reads = _divide
    else:
        axis_reads = _without_window(op, module, shape, output_shape)
    if axis_reads is None:
        return None
    _, height, width = map_shape(shape)
    _, output_height, output_width = map_shape(output_shape)
    rows = axis_reads(module, 0, height, output_height)
    columns = axis_reads(module, 1, width, output_width)
    return rows, columns


def _without_window(
    op: str, module: nn.Module | None, shape: tuple[int, ...], output_shape: tuple[int, ...]
) -> AxisReads | None:
    """What tells the reads of a layer that slides no window along its input."""
    name = op.lower().replace("_", "")
    size = map_shape(shape)[1:]
    output_size = map_shape(output_shape)[1:]
    if len(shape) == len(output_shape):
        own_statistics = getattr(module, "track_running_stats", True)
        if name in ELEMENTWISE and size == output_size and own_statistics:
            return _stay
        if name in SPREADING and len(shape) <= 3:
            return _stay
        if name in NORMALISING and module and getattr(module, "normalized_shape", shape) == shape:
            return _gather
    if name in GATHERING and 1 in (math.prod(size), math.prod(output_size)):
        return _gather
    return None


def _slide(module: nn.Module, axis: int, size: int, output_size: int) -> np.ndarray:
    """The windows of a convolution or pooling."""
    kernel_size = np.broadcast_to(module.kernel_size, 2)[axis]
    stride = np.broadcast_to(module.stride, 2)[axis]
    dilation = np.broadcast_to(getattr(module, "dilation", 1), 2)[axis]
    span = dilation * (kernel_size - 1)
    if module.padding == "same":
        before = span // 2
        after = span - before
    elif module.padding == "valid":
        before = after = 0
    else:
        before = after = np.broadcast_to(module.padding, 2)[axis]
    indices = np.arange(size)
    mode = PADDING_MODES.get(getattr(module, "padding_mode", "zeros"))
    if mode:
        indices = np.pad(indices, (before, after), mode)
    else:
        indices = np.pad(indices, (before, after), constant_values=PADDING)
    indices = np.pad(indices, (0, span + stride), constant_values=BEYOND)  # ceil_mode reads there
    starts = np.arange(output_size)[:, None] * stride
    return indices[starts + np.arange(0, span + 1, dilation)]


def _divide(_: nn.Module, axis: int, size: int, output_size: int) -> np.ndarray:
    """The windows of adaptive pooling: equal shares of the input, which may overlap."""
    shares = np.arange(output_size + 1) * size
    starts = shares[:-1] // output_size
    ends = -(-shares[1:] // output_size)
    indices = starts[:, None] + np.arange((ends - starts).max())
    return np.where(indices < ends[:, None], indices, BEYOND)


def _stay(_: nn.Module | None, axis: int, size: int, output_size: int) -> np.ndarray:
    """The same place, or the only one."""
    return np.minimum(np.arange(output_size), size - 1)[:, None]


def _gather(_: nn.Module | None, axis: int, size: int, output_size: int) -> np.ndarray:
    """All places, for each."""
    return np.tile(np.arange(size), (output_size, 1))


def _union(intervals: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """For each row of `indices` (n, k), the interval (n, 2) that holds those of its indices."""
    read = intervals[np.maximum(indices, 0)]  # (n, k, 2)
    outside = indices < 0
    first = np.where(outside, np.iinfo(int).max, read[..., 0]).min(axis=1)
    last = np.where(outside, 0, read[..., 1]).max(axis=1)
    return np.stack((first, last), axis=1)


def _hull(intervals: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The intervals (n, 2) that hold two each."""
    first = np.minimum(intervals[:, 0], others[:, 0])
    last = np.maximum(intervals[:, 1], others[:, 1])
    return np.stack((first, last), axis=1)


def _own_intervals(count: int) -> np.ndarray:
    """The interval of each place alone, (count, 2)."""
    places = np.arange(count)
    return np.stack((places, places + 1), axis=1)
