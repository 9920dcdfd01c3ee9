"""Which pixels a value sees: which rows and which columns.

That the two axes can be followed apart is the idea of Araujo, Norris and Sim, "Computing Receptive
Fields of Convolutional Neural Networks" (2019). They follow a size, a stride and a start; here
every position tells for itself what it sees, which is exact for adaptive pooling, ceil_mode, every
padding mode and sizes that don't divide.
"""

import math
from functools import partial
from typing import NamedTuple

import numpy as np
from torch import nn

PADDING = -1  # instead of an index
BEYOND = -2  # the same, for what isn't counted
PADDING_MODES = {  # options of numpy.pad
    "zeros": {"constant_values": PADDING},
    "reflect": {"mode": "reflect"},
    "replicate": {"mode": "edge"},
    "circular": {"mode": "wrap"},
}

# what layers read, by their op in lower case and without underscores
SPREADING = "add div mul sub truediv"
ELEMENTWISE = (
    "batchnorm1d batchnorm2d cat clamp clone contiguous dropout dropout1d dropout2d elu gelu "
    "hardsigmoid hardswish hardtanh identity leakyrelu mish neg prelu relu relu6 selu sigmoid "
    "silu softplus tanh"
)
NORMALISING = "groupnorm instancenorm2d layernorm"
GATHERING = "amax flatten linear logsoftmax mean reshape softmax sum view"

Shape = tuple[int, ...]
Reads = tuple[np.ndarray, np.ndarray]  # for rows and for columns: (output size, kernel size)


class Field(NamedTuple):
    """What the values of a map see of an image, or of another map.

    Attributes:
        rows: (height, seen height), bool: what a value in each row of the map sees.
        columns: (width, seen width), the same for columns.
    """

    rows: np.ndarray
    columns: np.ndarray

    @property
    def intervals(self) -> list[list[tuple[int, int]]]:
        """For each row, and for each column, the first and the last + 1 that it sees."""
        return [list(map(_ends, sees)) for sees in self]

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Top, left, bottom and right, the last two excluded, of what a value sees."""
        top, bottom = _ends(self.rows[row])
        left, right = _ends(self.columns[column])
        return top, left, bottom, right

    @property
    def extent(self) -> str:
        """The largest height and width that a value sees, in words."""
        if self.rows.all() and self.columns.all():
            return "all"
        rows, columns = self.intervals
        return f"{np.diff(rows).max()} × {np.diff(columns).max()}"

    def through(self, reads: Reads) -> "Field":
        """What values see that read values of this map."""
        sees = []
        for places, indices in zip(self, reads, strict=True):
            padded = np.pad(places, ((0, 2), (0, 0)))  # at the end, where -1 and -2 lead, nothing
            sees.append(padded[indices].any(axis=1))
        return Field(*sees)

    def join(self, other: "Field") -> "Field":
        """What is seen through either of two maps of one size."""
        return Field(self.rows | other.rows, self.columns | other.columns)


def map_shape(shape: Shape) -> tuple[int, int, int]:
    """The shape of a layer's output as maps: (C, 1, 1) of (C,), (1, A, B) of (A, B)."""
    if len(shape) < 2:
        return math.prod(shape), 1, 1
    if len(shape) == 2:
        return 1, *shape
    return *shape[:2], math.prod(shape[2:])


def own_places(shape: Shape) -> Field:
    """The field of the values of a layer (or image) of this shape that see themselves."""
    _, height, width = map_shape(shape)
    return Field(np.eye(height, dtype=bool), np.eye(width, dtype=bool))


def reads(op: str, module: nn.Module | None, shape: Shape, output_shape: Shape) -> Reads | None:
    """The rows and the columns of its input that a layer reads; None: not known.

    Returns:
        Indices into the input, or `PADDING`, or `BEYOND` for what isn't counted.
    """
    sizes = map_shape(shape)[1:]
    output_sizes = map_shape(output_shape)[1:]
    if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        return tuple(map(partial(_slide, module), (0, 1), sizes, output_sizes))
    name = op.lower().replace("_", "")
    own_shape = getattr(module, "normalized_shape", shape)
    if isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
        axis_reads = _divide
    elif name in ELEMENTWISE.split() and sizes == output_sizes:
        axis_reads = _stay
    elif name in NORMALISING.split() and module and own_shape == shape:
        axis_reads = _gather
    elif name in SPREADING.split() and len(shape) == len(output_shape) <= 3:
        axis_reads = _stay
    elif name in GATHERING.split() and 1 in (math.prod(sizes), math.prod(output_sizes)):
        axis_reads = _gather
    else:
        return None
    return tuple(map(axis_reads, sizes, output_sizes))


def _slide(module: nn.Module, axis: int, size: int, output_size: int) -> np.ndarray:
    """The windows of a convolution or pooling."""

    def option(name: str) -> int:
        return np.broadcast_to(getattr(module, name, 1), 2)[axis]  # AvgPool2d has no dilation

    stride = option("stride")
    dilation = option("dilation")
    span = dilation * (option("kernel_size") - 1)
    before = after = 0  # of "valid"
    if module.padding == "same":
        before = span // 2
        after = span - before
    elif module.padding != "valid":
        before = after = option("padding")
    mode = PADDING_MODES[getattr(module, "padding_mode", "zeros")]
    indices = np.pad(np.arange(size), (before, after), **mode)
    indices = np.pad(indices, (0, span + stride), constant_values=BEYOND)  # ceil_mode reads there
    starts = np.arange(output_size)[:, None] * stride
    return indices[starts + np.arange(0, span + 1, dilation)]


def _divide(size: int, output_size: int) -> np.ndarray:
    """The windows of adaptive pooling: equal shares of the input, which may overlap."""
    shares = np.arange(output_size + 1) * size
    starts = shares[:-1] // output_size
    ends = -(-shares[1:] // output_size)
    indices = starts[:, None] + np.arange((ends - starts).max())
    return np.where(indices < ends[:, None], indices, BEYOND)


def _stay(size: int, output_size: int) -> np.ndarray:
    """The same place, or the only one."""
    return np.minimum(np.arange(output_size), size - 1)[:, None]


def _gather(size: int, output_size: int) -> np.ndarray:
    """All places, for each."""
    return np.tile(np.arange(size), (output_size, 1))


def _ends(seen: np.ndarray) -> tuple[int, int]:
    """The first and the last + 1 of what is seen, (seen,) bool; zeros where that is nothing."""
    (places,) = seen.nonzero()
    if len(places) == 0:
        return 0, 0
    return places[0].item(), places[-1].item() + 1
