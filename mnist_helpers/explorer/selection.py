"""The one selection that every view shows."""

from dataclasses import dataclass
from numbers import Integral
from typing import Literal

from mnist_helpers.config import InputError

MOST_WEIGHT = 100  # in a kernel of the user's own
Input = int | str  # the number of an image, or what is drawn, as `Selection.drawing`


@dataclass(frozen=True)
class ImageFilter:
    """Which images one looks at: those that agree with all that is not left open.

    What they are read as, and how surely, is the answer of the subject's first weights, whichever
    are chosen.
    """

    digit: int | None = None
    """Only images of this class."""
    predicted: int | None = None
    """Only images that are read as this class."""
    read: Literal["all", "right", "wrong"] = "all"
    """Only images that are read correctly, or wrongly."""
    tenth: int | None = None
    """Only images read with this tenth of confidence: 9 is above 90 %, up to 100 %."""


EVERY = vars(ImageFilter())  # nothing is left out


@dataclass(frozen=True)
class Selection(ImageFilter):
    """Where one looks: a view, an image, a value of what a network makes of it, a class.

    What is None is filled in later. `Subject.look` takes the first weights, the first convolution,
    the channel, row and column of the largest value, and an amount that shows; the input channel is
    that of the largest partial sum; the rest is left to the view.

    Raises:
        InputError: `ablated` is no list of pairs, `kernel` not nine numbers, or `drawing` no ink.
    """

    view: str = "pipeline"
    """Which view is open."""
    image: int = 0
    """Number of the image."""
    drawing: str | None = None
    """A drawn picture in its place: a byte for each of 140 × 140 pixels of ink, in base64."""
    layer: str | None = None
    """Name of the layer."""
    channel: int | None = None
    """Channel of the layer."""
    row: int | None = None
    """Row of the layer's map."""
    column: int | None = None
    """Column of the layer's map."""
    input_channel: int | None = None
    """Channel of what the layer reads, counted from the first of its group."""
    target: int | None = None
    """The class that is asked for."""
    weights: str | None = None
    """Name of the network's weights; the model's own by default."""
    compare: Literal["alone", "beside", "difference"] = "alone"
    """Whether other weights are shown as well."""
    quantity: Literal["weights", "change"] = "weights"
    """What is drawn of the kernels."""
    limits: Literal["robust", "layer", "each"] = "robust"
    """Ends of the colour scale: 99th percentile of the layer, of the whole layer, of each map."""
    ablated: tuple[tuple[str, int], ...] = ()
    """Pairs of a convolution and a channel of it that is put to zero."""
    rank: bool = False
    """Whether to measure what is lost without each channel."""
    disturbance: str = "none"
    """What is done to the image before the network reads it."""
    amount: float | None = None
    """How much of it."""
    projection: Literal["PCA", "t-SNE"] = "PCA"
    """How many dimensions become two."""
    pointed: int | None = None
    """The image under the pointer."""
    kernel: tuple[float, ...] | None = None
    """Your own kernel: nine numbers, row by row."""
    padding: Literal[0, 1] = 1
    """Zeros around the image under that kernel, in pixels."""
    stride: Literal[1, 2] = 1
    """Pixels from one place of that kernel to the next."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, Integral) and not isinstance(value, int):  # as argmax gives them
                object.__setattr__(self, name, int(value))
        try:
            pairs = sorted((layer, channel) for layer, channel in self.ablated)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"ablated is {self.ablated!r:.80}, but must be pairs of a convolution and a "
                "channel, such as [('conv1', 3)]."
            ) from error
        object.__setattr__(self, "ablated", tuple(pairs))
        if self.drawing is not None:
            from mnist_helpers.digits import pad_ink  # here, for it brings PyTorch

            pad_ink(self.drawing)
        if self.kernel is not None:
            try:
                numbers = tuple(map(float, self.kernel))
            except (TypeError, ValueError, OverflowError):
                numbers = ()
            if len(numbers) != 9 or not all(abs(weight) <= MOST_WEIGHT for weight in numbers):
                raise InputError(
                    f"kernel is {self.kernel!r:.60}, but must be nine numbers from -{MOST_WEIGHT} "
                    f"to {MOST_WEIGHT}, row by row."
                )
            object.__setattr__(self, "kernel", numbers)

    @property
    def image_or_ink(self) -> Input:
        """What is looked at: the drawing, or the number of the image."""
        return self.drawing or self.image

    @property
    def filter(self) -> ImageFilter:
        """Which images are looked at."""
        return ImageFilter(self.digit, self.predicted, self.read, self.tenth)

    def call(self, arguments: str) -> str:
        """The call that brings one back here, but for what is drawn, which would fill pages."""
        texts = [arguments]
        for name in FIELDS:
            value = getattr(self, name)
            if name != "drawing" and value != getattr(Selection, name):
                texts.append(f"{name}={value!r}")
        return f"explore({', '.join(texts)})"


FIELDS = list(vars(Selection()))


def selected(fields: dict[str, object]) -> Selection:
    """A selection of these fields.

    Raises:
        InputError: there is no such field.
    """
    for name in fields:
        if name not in FIELDS:
            raise InputError(f"a selection has no {name}; it has {', '.join(FIELDS)}.")
    return Selection(**fields)
