"""A subject at a selection: what a view is a function of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mnist_helpers.analysis.disturbance import DISTURBANCES
from mnist_helpers.config import InputError
from mnist_helpers.explorer.scene import Box, number
from mnist_helpers.explorer.selection import Selection
from mnist_helpers.network.activations import ActivationStats
from mnist_helpers.network.arithmetic import Arithmetic, Place, explain
from mnist_helpers.network.tracing import IMAGE, SOFTMAX

if TYPE_CHECKING:
    from mnist_helpers.explorer.subject import Subject

TIE = 1e-3  # of the largest value: what differs by less may be in another order elsewhere


@dataclass(frozen=True, kw_only=True)
class Look(Selection):
    """A subject at a selection that leaves nothing open: what a view is a function of."""

    subject: "Subject"

    @property
    def pixels(self) -> np.ndarray:
        """The image, (C, H, W)."""
        return self.maps[IMAGE]

    @property
    def disturbed(self) -> tuple[str, float]:
        """What is done to it, and how much of it."""
        return self.disturbance, self.amount

    @property
    def maps(self) -> dict[str, np.ndarray]:
        """What every layer makes of the image: {name: (C, H, W)}."""
        return self.subject.maps(self.image_or_ink, self.weights, *self.disturbed)

    @property
    def values(self) -> np.ndarray:
        """What the selected layer makes of it, (C, H, W)."""
        return self.maps[self.layer]

    @property
    def noun(self) -> str:
        """What a class is."""
        if self.subject.digits == list("0123456789"):
            return "digit"
        return "class"

    @cached_property
    def titles(self) -> dict[str, str]:
        """What to call each layer."""
        return {name: layer.title for name, layer in self.subject.layers.items()}

    @property
    def layers(self) -> list[str]:
        """The layers that the view can show: in those of kernels the ones that have some."""
        layers = self.subject.layers
        if self.view in ("kernels", "training"):
            layers = self.subject.kernels("weights", self.weights)
        return list(layers)

    def last_upto(self, names: Sequence[str]) -> str:
        """The last of some layers up to the selected one, or else the first of them."""
        order = list(self.subject.layers)
        before = order[: order.index(self.layer) + 1]
        return [names[0], *[name for name in names if name in before]][-1]

    @property
    def places(self) -> dict[str, Sequence]:
        """What channel, row and column can be, and the amount of what is done to the image."""
        channels, rows, columns = map(range, self.values.shape)
        amounts = DISTURBANCES[self.disturbance].amounts
        return {"channel": channels, "row": rows, "column": columns, "amount": amounts}

    @property
    def probs(self) -> np.ndarray:
        """The probability of each class, (classes,)."""
        return self.maps[SOFTMAX].ravel()

    @property
    def answer(self) -> int:
        """The likeliest class."""
        return int(self.probs.argmax())

    @property
    def stats(self) -> ActivationStats:
        """How the selected layer answers to all images."""
        return self.subject.stats(self.weights)[self.layer]

    @cached_property
    def explained(self) -> Arithmetic:
        """How the selected value comes about."""
        network = self.subject.networks[self.weights]
        layer = network.layers[self.layer]
        return explain(Place(network, self.maps, layer, self.channel, self.row, self.column))

    @property
    def read_channel(self) -> int:
        """Which of the channels that the value reads is chosen, or else adds the most to it."""
        sums = self.explained
        channel = self.input_channel
        if channel is None and sums.kernel is not None:
            channel = int(np.abs(sums.partial_sums).argmax())
        return max(0, min(channel or 0, len(sums.patch) - 1))

    @property
    def compared(self) -> list[str]:
        """The weights that are shown: one, or two."""
        if self.compare == "alone":
            return [self.weights]
        return [self.weights, self.subject.other(self.weights)]

    @property
    def title(self) -> str:
        """Which image it is and what the network reads in it."""
        label = ""
        if self.labelled:
            label = f", label {self.subject.digits[self.subject.labels[self.image]]}"
        if self.disturbance != "none":
            label += f", {self.disturbance} {amount_text(self.disturbance, self.amount)}"
        reads = "read as"
        if self.is_strange:
            reads = "no digit that it knows, nearest to"
        nearest = f"{self.subject.digits[self.answer]} with {self.probs.max():.1%}"
        return f"{self.name}{label}, {reads} {nearest}"

    @property
    def is_strange(self) -> bool:
        """Whether a drawing is no digit that the network knows, by the limit in its card."""
        limit = getattr(self.subject.network.model, "no_digit", 0)
        return (
            self.drawing is not None
            and self.weights == self.subject.own
            and self.probs.max() < limit
        )

    @property
    def images(self) -> np.ndarray:
        """The numbers of the images that the filter lets through, in order."""
        return self.subject.image_numbers(self.filter)

    @property
    def name(self) -> str:
        """What to call what is looked at."""
        if self.drawing is None:
            return f"Image {self.image}"
        return "Your drawing"

    @property
    def labelled(self) -> bool:
        """Whether a label was given."""
        return self.subject.given is not None and self.drawing is None

    def ranked(self, layer: str) -> np.ndarray:
        """How many images are lost without each channel; nan where it was not measured."""
        unknown = [np.nan] * self.subject.layers[layer].shape[0]
        key = ("ranking", layer, self.weights)
        return np.array(self.subject.jobs.results.get(key, unknown), dtype=float)

    def seen(self, row: int, column: int) -> Box | None:
        """What a value of the selected layer sees of the image; None where that isn't known."""
        field = self.subject.layers[self.layer].receptive_field
        return field and field.box(row, column)


def amount_text(disturbance: str, amount: float) -> str:
    """How much of a disturbance, with its unit."""
    return f"{number(amount, 'g')} {DISTURBANCES[disturbance].unit}".rstrip()


def largest(maps: np.ndarray, place: Sequence[int | None]) -> tuple[int, int, int]:
    """Where the largest of maps (C, H, W) is, among those at the coordinates that are given.

    The first of those that are as large but for rounding, which is each processor's own.
    """
    axes = []
    for coordinate, size in zip(place, maps.shape, strict=True):
        indices = range(size)
        if coordinate is not None:
            indices = [min(coordinate, size - 1)]
        axes.append(indices)
    values = maps[np.ix_(*axes)]
    ties = values >= values.max() - TIE * abs(values.max())
    offsets = np.unravel_index(ties.argmax(), values.shape)
    return tuple(indices[offset] for indices, offset in zip(axes, offsets, strict=True))


def require(values: Mapping[str, object], known: Mapping[str, Sequence[object]]) -> None:
    """Raises an InputError where a value is not among those that are known, or may be left open."""
    for name, choices in known.items():
        value = values[name]
        if value is None and getattr(Selection, name, 0) is None:
            continue  # left to the view
        is_plain = isinstance(value, type(choices[0]) | int) and not isinstance(value, bool)
        if is_plain and value in choices:
            continue
        rule = f"one of: {', '.join(map(str, choices))}"
        if isinstance(choices, range):
            rule = f"from 0 to {choices[-1]}"
        raise InputError(f"{name} is {value!r:.80}, but must be {rule}.")
