"""What is looked at: a network, its weights and images, and what was measured of them, kept."""

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import get_args, get_type_hints

import numpy as np
import torch
from torch import Tensor, nn

from mnist_helpers.analysis.disturbance import DISTURBANCES, disturb
from mnist_helpers.analysis.embedding import neighbour_map, principal, replayed
from mnist_helpers.checkpoint import require_fit
from mnist_helpers.config import InputError
from mnist_helpers.data import IMAGE_SIZE
from mnist_helpers.digits import pad_ink, prepare
from mnist_helpers.explorer.scene import Box
from mnist_helpers.explorer.selection import ImageFilter, Selection
from mnist_helpers.metrics import Predictions
from mnist_helpers.network import activations
from mnist_helpers.network.ablation import Ablation
from mnist_helpers.network.activations import ActivationStats
from mnist_helpers.network.arithmetic import Arithmetic, explain
from mnist_helpers.network.attribution import attributions
from mnist_helpers.network.tracing import SOFTMAX, Network, as_maps
from mnist_helpers.snapshots import Snapshots

CHOICES = {
    name: get_args(get_type_hints(Selection)[name])
    for name in ("read", "compare", "quantity", "limits", "projection", "padding", "stride")
}
TOGETHER = 64  # channels, for which exciting images are made at once
# results that are kept of those that take most memory: statistics of 10,000 images take 400 MB
LARGE = {"stats": 2, "maximized": 8}
TIE = 1e-3  # of the largest value: what differs by less may be in another order elsewhere
FEW = 1000  # images, for the gradient of the loss and the points of a replay


def kept(most: int) -> Callable[[Callable], cached_property]:
    """Makes a method keep its latest results, `most` of them, as long as its object lives."""

    def keeping(method: Callable) -> cached_property:
        return cached_property(lambda self: lru_cache(most)(partial(method, self)))

    return keeping


class Unmeasured(Exception):  # noqa: N818 - nothing is wrong
    """Something slow has to be measured first; `job` yields the fraction done and keeps it."""

    def __init__(self, text: str, job: Generator[float]) -> None:
        super().__init__(text)
        self.job = job


class Subject:
    """A network and images, and everything that the views ask of them.

    Args:
        model: any network with convolutions that `torch.fx` can trace; put into evaluation mode.
        images: (N, C, H, W), as the model takes them.
        labels: (N,), the classes; without them the model's own answers stand for them.
        others: other weights of the same form by name, each a state_dict, to compare with.
        name: what to call the model's own weights.
        class_names: what to call the classes; by default their numbers.
        known_images: images and labels, among which those like an image are looked for, such as the
            training images; by default `images` and `labels`.
        runs: moments of one or two runs by the run's name. Each is then one of the networks, and
            the best of the first run stands in the place of the model's own weights.

    Raises:
        InputError: one of them doesn't fit.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor | None = None,
        others: Mapping[str, Mapping[str, Tensor]] | None = None,
        name: str = "trained",
        class_names: Sequence[str] | None = None,
        known_images: tuple[Tensor, Tensor] | None = None,
        runs: Mapping[str, Snapshots] | None = None,
    ) -> None:
        self.images = checked_images(images)
        self.network = Network(model, self.images)
        self.layers = self.network.layers
        self.classes = self.layers[SOFTMAX].shape[0]
        self.digits = checked_names(class_names, self.classes)
        self.known_images = known_images
        self.given = checked_labels(labels, len(self.images), self.classes)
        self.runs = dict(runs or {})
        self.moments = {run: moments(run, each) for run, each in self.runs.items()}
        if self.runs:
            others, name = weights_of(self.runs, others), self.best(next(iter(self.runs)))
            self.network = self.network.with_weights(others.pop(name))
        self.networks = {name: self.network}
        for other, weights in (others or {}).items():
            if other == name:
                raise InputError(f"others has {name!r}, the model's own; give it another name.")
            remedy = "give a state_dict of this model"
            require_fit(f"The state_dict {other!r}", weights, model, remedy)
            self.networks[other] = self.network.with_weights(weights)
        for name in (*self.digits, *self.networks):
            if not name.isprintable():
                raise InputError(f"the name {name!r} can't be shown on one line; give another.")
        classes = range(self.classes)
        self.known = {  # what the fields of a selection can be
            "image": range(len(self.images)),
            "layer": list(self.layers),
            "weights": list(self.networks),
            "digit": classes,
            "predicted": classes,
            "tenth": range(10),
            "target": classes,
            "disturbance": list(DISTURBANCES),
            "pointed": range(len(self.images)),
            "input_channel": range(max(layer.shape[0] for layer in self.layers.values())),
            **CHOICES,
        }
        self.defers = False
        self.results: dict[tuple, object] = {}
        self.jobs: dict[tuple, Generator[float]] = {}

    def image(self, source: int | str, disturbance: str = "none", amount: float = 0.0) -> Tensor:
        """An image, by its number or as it was drawn, (1, C, H, W), as it is or disturbed."""
        if isinstance(source, str):
            image = prepare(pad_ink(source)).image[None]
        else:
            image = self.images[source : source + 1]
        return disturb(self.network, image, disturbance, amount)

    @kept(64)
    def outputs(self, source: int | str, weights: str, *disturbed: object) -> dict[str, Tensor]:
        """What every layer puts out for an image: {name: (1, ...)}."""
        return self.networks[weights].outputs(self.image(source, *disturbed))

    @kept(64)
    def maps(self, source: int | str, weights: str, *disturbed: object) -> dict[str, np.ndarray]:
        """What every layer makes of an image: {name: (C, H, W)}."""
        outputs = self.outputs(source, weights, *disturbed)
        return {name: as_maps(output[0]) for name, output in outputs.items()}

    @kept(1)
    def ablation(self, weights: str) -> Ablation:
        """All images, ready to be read without some channels."""
        return Ablation(self.networks[weights], self.images, self.labels)

    @kept(64)
    def without(self, channels: tuple[tuple[str, int], ...], weights: str) -> Predictions:
        """The answers to all images with some channels of convolutions put to zero."""
        return self.ablation(weights).predictions(channels)

    def probs_without(
        self, channels: tuple[tuple[str, int], ...], weights: str, source: int | str
    ) -> np.ndarray:
        """The probabilities of an image with some channels put to zero, (classes,)."""
        if isinstance(source, int):
            return self.without(channels, weights).probs[source].numpy()
        drawn = Ablation(self.networks[weights], self.image(source), torch.zeros(1).long())
        return drawn.predictions(channels).probs[0].numpy()

    @kept(256)
    def attributions(
        self, source: int | str, target: int, weights: str, *disturbed: object
    ) -> dict[str, np.ndarray]:
        """What each method holds responsible for a class: {name: (H, W)}."""
        return attributions(self.networks[weights], self.image(source, *disturbed)[0], target)

    @kept(8)
    def kernels(self, quantity: str, weights: str) -> dict[str, np.ndarray]:
        """The kernels of every convolution, (out, in, height, width), their gradient or change."""
        network = self.networks[weights]
        found = activations.kernels(network)
        if quantity == "gradient":
            found = activations.kernel_gradients(network, self.images[:FEW], self.labels[:FEW])
        if quantity == "change":
            before = activations.kernels(self.networks[self.other(weights)])
            found = {name: kernel - before[name] for name, kernel in found.items()}
        return {name: kernel.numpy() for name, kernel in found.items()}

    @kept(64)
    def chosen(self, only: ImageFilter) -> np.ndarray:
        """The numbers of the images that a filter lets through, in order."""
        mask = torch.ones(len(self.images), dtype=torch.bool)
        if only.digit is not None:
            mask &= self.labels == only.digit
        if only.predicted is not None:
            mask &= self.predictions.preds == only.predicted
        if only.read != "all":
            mask &= self.predictions.correct == (only.read == "right")
        if only.tenth is not None:
            confidence = self.predictions.confidence
            mask &= (confidence > only.tenth / 10) & (confidence <= (only.tenth + 1) / 10)
        return mask.nonzero().flatten().numpy()

    @cached_property
    def hidden(self) -> str:
        """The linear layer before that of the logits, or else what that reads."""
        layers = self.layers.values()
        linear = [each.name for each in layers if each.parameters and len(each.shape) == 1]
        return linear[-2] if len(linear) > 1 else self.layers[self.network.answer].inputs[0]

    @cached_property
    def read(self) -> list[Tensor]:
        """What the hidden layer and the model put out for all images."""
        return self.network.features(self.images, self.hidden, self.network.answer)

    @property
    def features(self) -> Tensor:
        """What the hidden layer puts out for all images, (N, F)."""
        return self.read[0].flatten(1)

    @cached_property
    def known_features(self) -> Tensor:
        """The same for the known images."""
        if self.known_images is None:
            return self.features
        return self.network.features(self.known_images[0], self.hidden)[0].flatten(1)

    @cached_property
    def principal_points(self) -> np.ndarray:
        """The features along the two directions in which they differ most, (N, 2)."""
        return principal(self.features)

    def points(self, projection: str) -> np.ndarray:
        """The features in two dimensions, (N, 2)."""
        if projection == "PCA":
            return self.principal_points
        text = f"Arranging {len(self.images):,} images by t-SNE"
        return self.measured(text, ("t-SNE",), partial(neighbour_map, self.features))

    @property
    def logits(self) -> Tensor:
        """What the model answers to all images, (N, classes)."""
        return self.read[1]

    @cached_property
    def labels(self) -> Tensor:
        """The classes of the images, as given, or as read where none were."""
        return self.logits.argmax(dim=1) if self.given is None else self.given

    @cached_property
    def predictions(self) -> Predictions:
        """The model's answers to all images."""
        return Predictions(self.logits, self.labels)

    def measured(self, text: str, key: tuple, start: Callable[..., Generator]) -> object:
        """The result of a slow job, kept; where the subject defers, it is left to the caller.

        Raises:
            Unmeasured: it is still to be done.
        """
        if key not in self.results:
            job = self.jobs.setdefault(key, self._keep(key, start()))  # a stopped one goes on
            keep_latest(self.jobs, key, 2)
            if self.defers:
                raise Unmeasured(text, job)
            deque(job, maxlen=0)
        return self.results[key]

    def _keep(self, key: tuple, job: Generator) -> Generator[float]:
        try:
            self.results[key] = yield from job
            if key[0] in LARGE:
                keep_latest(self.results, key, LARGE[key[0]])
        finally:
            self.jobs.pop(key, None)

    def stats(self, weights: str) -> dict[str, ActivationStats]:
        """How every layer answers to all images."""
        text = f"Measuring {len(self.images):,} images"
        start = partial(activations.activation_stats, self.networks[weights], self.images)
        return self.measured(text, ("stats", weights), start)

    @kept(64)
    def class_means(self, layer: str, weights: str) -> np.ndarray:
        """The mean activation of every channel over the images of each class, (classes, C)."""
        return self.stats(weights)[layer].by_class(self.labels, self.classes).numpy()

    def maximized(self, layer: str, weights: str, channel: int) -> np.ndarray:
        """An image that excites a channel of a layer, (C, H, W), made with its neighbours'."""
        stats, (group, place) = self.stats(weights)[layer], divmod(channel, TOGETHER)
        start = partial(
            activations.maximize_activation,
            self.networks[weights],
            layer,
            self.images,
            stats,
            torch.arange(stats.max.shape[1]).split(TOGETHER)[group],
        )
        text = f"Making images that excite {layer}"
        return self.measured(text, ("maximized", layer, weights, group), start)[place].numpy()

    def ranking(self, layer: str, weights: str) -> Sequence[int]:
        """How many images are lost without each channel of a convolution alone."""
        text = f"Ablating the channels of {layer} one by one"
        start = partial(self.ablation(weights).ranking, layer)
        return self.measured(text, ("ranking", layer, weights), start)

    def best(self, run: str) -> str:
        """The moment of a run that ends its best epoch."""
        return list(self.moments[run])[self.runs[run].best]

    def run_of(self, weights: str) -> str:
        """The run to which a moment belongs."""
        return next(run for run, names in self.moments.items() if weights in names)

    def nearest(self, run: str, weights: str) -> str:
        """The moment of a run that is nearest in time to one of any run."""
        epoch, names = self.moments[self.run_of(weights)][weights], self.moments[run]
        return min(names, key=lambda name: abs(names[name] - epoch))

    @property
    def replay(self) -> tuple[dict[str, Predictions], dict[str, np.ndarray]]:
        """The answers of every moment to all images, and where it puts the first of them."""
        text = f"Reading {len(self.images):,} images at {len(self.networks)} moments of training"
        return self.measured(text, ("replay",), self._replay)

    def _replay(self) -> Generator[float, None, tuple]:
        answers, points = {}, {}
        for names in self.moments.values():
            features = []
            for name in names:
                network = self.networks[name]
                hidden, logits = network.features(self.images, self.hidden, network.answer)
                answers[name] = Predictions(logits, self.labels)
                features.append(hidden[:FEW].flatten(1))
                yield len(answers) / len(self.networks)
            points |= zip(names, replayed(features), strict=True)
        return answers, points

    def other(self, weights: str) -> str:
        """The weights to compare with: the first other ones, or the same where there are none."""
        return next((name for name in self.networks if name != weights), weights)

    def look(self, at: Selection) -> "Look":
        """The subject at a selection, with what that leaves open filled in."""
        at = replace(at, weights=at.weights or next(iter(self.networks)))
        at = replace(at, layer=at.layer or self.network.convolutions[0])
        if at.amount is None:
            at = replace(at, amount=DISTURBANCES[at.disturbance].nothing)
        maps = self.maps(at.source, at.weights, at.disturbance, at.amount)[at.layer]
        channel, row, column = largest(maps, (at.channel, at.row, at.column))
        return Look(self, replace(at, channel=channel, row=row, column=column))

    def check(self, at: Selection) -> None:
        """Refuses a selection that doesn't exist.

        Raises:
            InputError: it doesn't; the message names what there is.
        """
        require(vars(at), self.known)
        if at.drawing is not None and self.images.shape[1:] != (1, IMAGE_SIZE, IMAGE_SIZE):
            raise InputError("a drawing is for networks that read grey images of 28 × 28 pixels.")
        if len(self.networks) == 1 and (at.compare != "alone" or at.quantity == "change"):
            raise InputError("there is nothing to compare with; give others, such as a state_dict.")
        start = replace(at, channel=None, row=None, column=None, amount=None)
        require(vars(at), self.look(start).places)
        convolutions = self.network.convolutions
        for layer, channel in at.ablated:
            require({"ablated": layer}, {"ablated": convolutions})
            name = f"ablated {layer}"
            require({name: channel}, {name: range(self.layers[layer].shape[0])})


@dataclass(frozen=True)
class Look:
    """A subject at a selection that leaves nothing open: what a view is a function of."""

    subject: Subject
    at: Selection

    @property
    def image(self) -> np.ndarray:
        """The image, (C, H, W)."""
        return self.subject.image(self.at.source, *self.disturbed)[0].numpy()

    @property
    def disturbed(self) -> tuple[str, float]:
        """What is done to it, and how much of it."""
        return self.at.disturbance, self.at.amount

    @property
    def maps(self) -> dict[str, np.ndarray]:
        """What every layer makes of the image: {name: (C, H, W)}."""
        return self.subject.maps(self.at.source, self.at.weights, *self.disturbed)

    @property
    def values(self) -> np.ndarray:
        """What the selected layer makes of it, (C, H, W)."""
        return self.maps[self.at.layer]

    @property
    def places(self) -> dict[str, Sequence]:
        """What channel, row and column can be, and the amount of what is done to the image."""
        sizes = map(range, self.values.shape)
        places = dict(zip(("channel", "row", "column"), sizes, strict=True))
        return places | {"amount": DISTURBANCES[self.at.disturbance].amounts}

    @property
    def probs(self) -> np.ndarray:
        """The probability of each class, (classes,)."""
        return self.maps[SOFTMAX].ravel()

    @property
    def stats(self) -> ActivationStats:
        """How the selected layer answers to all images."""
        return self.subject.stats(self.at.weights)[self.at.layer]

    @property
    def explained(self) -> Arithmetic:
        """How the selected value comes about."""
        at = self.at
        outputs = self.subject.outputs(at.source, at.weights, *self.disturbed)
        network = self.subject.networks[at.weights]
        return explain(network, outputs, at.layer, at.channel, at.row, at.column)

    @property
    def other(self) -> str:
        """The weights to compare with."""
        return self.subject.other(self.at.weights)

    @property
    def compared(self) -> list[str]:
        """The weights that are shown: one, or two."""
        return [self.at.weights] if self.at.compare == "alone" else [self.at.weights, self.other]

    @property
    def title(self) -> str:
        """Which image it is and what the network reads in it."""
        at, names = self.at, self.subject.digits
        label = f", a {names[self.subject.labels[at.image]]}" if self.labelled else ""
        if at.disturbance != "none":
            label += f", {at.disturbance} {at.amount:g} {DISTURBANCES[at.disturbance].unit}"
        confidence = f"{self.probs.max():.1%}"
        return f"{self.name}{label}, read as {names[self.probs.argmax()]} with {confidence}"

    @property
    def chosen(self) -> Tensor:
        """Which images the filter lets through, (N,) bool."""
        mask = torch.zeros(len(self.subject.images), dtype=torch.bool)
        mask[self.subject.chosen(self.at.filter)] = True
        return mask

    @property
    def name(self) -> str:
        """What to call what is looked at."""
        return f"Image {self.at.image}" if self.at.drawing is None else "Your drawing"

    @property
    def labelled(self) -> bool:
        """Whether a label was given."""
        return self.subject.given is not None and self.at.drawing is None

    def ranked(self, layer: str) -> np.ndarray:
        """How many images are lost without each channel; nan where it was not measured."""
        unknown = [np.nan] * self.subject.layers[layer].shape[0]
        lost = self.subject.results.get(("ranking", layer, self.at.weights), unknown)
        return np.array(lost, dtype=float)

    def seen(self, row: int, column: int) -> Box | None:
        """What a value of the selected layer sees of the image; None where that isn't known."""
        field = self.subject.layers[self.at.layer].receptive_field
        return field and field.box(row, column)


def moments(run: str, snapshots: Snapshots) -> dict[str, float]:
    """The names of a run's moments, each with its epoch."""
    return {f"{run}, epoch {round(epoch, 4):g}": epoch for epoch in snapshots.epochs}


def weights_of(runs: Mapping[str, Snapshots], others: object) -> dict[str, dict[str, Tensor]]:
    """The weights of all moments by name.

    Raises:
        InputError: there are too many runs, or others as well.
    """
    if others or len(runs) > 2:
        raise InputError("give one or two runs, and no others beside them.")
    made: dict[str, dict[str, Tensor]] = {}
    for run, snapshots in runs.items():
        made |= zip(moments(run, snapshots), snapshots.weights, strict=True)
    return made


def largest(maps: np.ndarray, place: Sequence[int | None]) -> tuple[int, int, int]:
    """Where the largest of maps (C, H, W) is, among those at the coordinates that are given.

    The first of those that are as large but for rounding, which is each processor's own.
    """
    given = [
        None if at is None else min(at, size - 1)
        for at, size in zip(place, maps.shape, strict=True)
    ]
    among = maps[tuple(slice(at, None if at is None else at + 1) for at in given)]
    ties = among >= among.max() - TIE * abs(among.max())
    found = np.unravel_index(ties.argmax(), among.shape)
    return tuple(int(free if at is None else at) for at, free in zip(given, found, strict=True))


def require(values: Mapping[str, object], known: Mapping[str, Sequence[object]]) -> None:
    """Raises an InputError where a value is not among those that are known, or may be left open."""
    for name, choices in known.items():
        value = values[name]
        if value is None and getattr(Selection, name, 0) is None:
            continue  # left to the view
        is_decimal = isinstance(value, float) and not isinstance(choices[0], float)
        plain = isinstance(value, int | float | str) and not isinstance(value, bool)
        if not plain or is_decimal or value not in choices:
            there = f"one of: {', '.join(map(str, choices))}"
            there = f"from 0 to {choices[-1]}" if isinstance(choices, range) else there
            raise InputError(f"{name} is {value!r:.80}, but must be {there}.")


def keep_latest(found: dict[tuple, object], key: tuple, most: int) -> None:
    """Forgets all but the `most` latest of the kind of `key`, its first part."""
    alike = [each for each in found if each[0] == key[0]]
    for each in alike[:-most]:
        del found[each]


def checked_names(names: Sequence[str] | None, classes: int) -> list[str]:
    """The names of the classes, where there is one for each; by default their numbers."""
    names = [str(digit) for digit in range(classes)] if names is None else list(map(str, names))
    different = {name.strip(" ") for name in names} - {""}
    if not len(names) == len(different) == classes:
        said = f"class_names has {len(names)} names, but there are {classes} classes"
        raise InputError(f"{said}; give a different one for each.")
    return names


def checked_images(images: Tensor | np.ndarray) -> Tensor:
    """Images as a tensor, where they are such as a model can take."""
    wanted = "images must be a tensor of decimals (N, C, H, W), as the model takes them"
    if not isinstance(images, Tensor | np.ndarray):
        raise InputError(f"{wanted}, not a {type(images).__name__}.")
    images = torch.as_tensor(images)
    if images.ndim != 4 or not len(images) or not images.is_floating_point():
        raise InputError(f"{wanted}, not {tuple(images.shape)} of {images.dtype}.")
    if not images.isfinite().all():
        raise InputError("some values of the images are not finite; give images of numbers only.")
    return images


def checked_labels(labels: Tensor | None, count: int, classes: int) -> Tensor | None:
    """Labels as a tensor, where there are some and they fit."""
    if labels is None:
        return None
    try:
        labels = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"labels must be {count} whole numbers, not {labels!r:.40}.") from error
    if labels.shape != (count,) or labels.is_floating_point():
        form = f"{tuple(labels.shape)} of {labels.dtype}"
        raise InputError(f"labels must be {count} whole numbers, not {form}.")
    if labels.min() < 0 or labels.max() >= classes:
        ends = f"{labels.min()} to {labels.max()}"
        raise InputError(f"labels go from {ends}, but must be from 0 to {classes - 1}.")
    return labels
