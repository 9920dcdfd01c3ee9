"""What is looked at: a network, its weights and images, and what was measured of them, kept."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
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
from mnist_helpers.explorer.inputs import checked_images, checked_labels, checked_names
from mnist_helpers.explorer.jobs import Jobs, cached
from mnist_helpers.explorer.look import Look, largest, require
from mnist_helpers.explorer.selection import ImageFilter, Input, Selection
from mnist_helpers.metrics import Predictions
from mnist_helpers.network import activations
from mnist_helpers.network.ablation import Ablation
from mnist_helpers.network.attribution import attributions
from mnist_helpers.network.tracing import IMAGE, Arrays, Network, as_maps
from mnist_helpers.runs.snapshots import Snapshots, moments, weights_of
from mnist_helpers.work import finished

CHOICES = {
    name: get_args(get_type_hints(Selection)[name])
    for name in ("read", "compare", "quantity", "limits", "projection", "padding", "stride")
}
Channels = tuple[tuple[str, int], ...]  # each of a layer, by its number
REMEDY = "give a state_dict of this model"
FEW = 1000  # images that a replay shows as points
TOGETHER = 64  # channels, for which exciting images are made at once


class Subject:
    """A network and images, and everything that the views ask of them.

    Args:
        model: any network with convolutions that `torch.fx` can trace; put into evaluation mode.
        images: (N, C, H, W), as the model takes them.
        labels: (N,), the classes; without them the model's own answers stand for them.
        others: other weights of the same form by name, each a state_dict, to compare with.
        name: what to call the model's own weights; those of `load_checkpoint` are "trained".
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
        name: str = "given",
        class_names: Sequence[str] | None = None,
        known_images: tuple[Tensor, Tensor] | None = None,
        runs: Mapping[str, Snapshots] | None = None,
    ) -> None:
        self.images = checked_images(images, model)
        self.network = Network(model, self.images)
        self.layers = self.network.layers
        self.classes = self.network.classes
        self.digits = checked_names(class_names, self.classes)
        self.given = checked_labels(labels, len(self.images), self.classes)
        self.known_images = known_images
        self.runs = dict(runs or {})
        self.moments = {run: moments(run, snapshots.epochs) for run, snapshots in self.runs.items()}
        if name == "given" and hasattr(model, "no_digit"):
            name = "trained"  # as its card tells
        if self.runs:
            others = weights_of(self.runs, others)
            name = self.best(next(iter(self.runs)))
            self.network = self.network.with_weights(others.pop(name))
        self.networks = {name: self.network}
        self.own = name
        for other, weights in (others or {}).items():
            if other in self.networks:
                raise InputError(f"others uses the name {other!r}, the model's own; give another.")
            require_fit(f"The state_dict {other!r}", weights, self.network.model, REMEDY)
            self.networks[other] = self.network.with_weights(weights)
        for text in (*self.digits, *self.networks):
            if not text.isprintable():
                raise InputError(f"the name {text!r} can't be shown on one line; give another.")
        self.jobs = Jobs()
        if self.network.is_large:
            self.jobs.at_once = ()

    @cached_property
    def known(self) -> dict[str, Sequence]:
        """What the fields of a selection can be, as far as it is the same at every layer."""
        classes = range(self.classes)
        images = range(len(self.images))
        channels = max(layer.shape[0] for layer in self.layers.values())
        return {
            "image": images,
            "pointed": images,
            "layer": list(self.layers),
            "input_channel": range(channels),
            "weights": list(self.networks),
            "digit": classes,
            "predicted": classes,
            "target": classes,
            "tenth": range(10),
            "disturbance": list(DISTURBANCES),
            **CHOICES,
        }

    def image(self, image_or_ink: Input, disturbance: str = "none", amount: float = 0.0) -> Tensor:
        """An image, by its number or as it was drawn, (1, C, H, W), as it is or disturbed."""
        if isinstance(image_or_ink, str):
            image = prepare(pad_ink(image_or_ink)).image[None]
        else:
            image = self.images[image_or_ink : image_or_ink + 1]
        return disturb(self.network, image, disturbance, amount)

    @cached(2)
    def maps(self, image_or_ink: Input, weights: str, *disturbed: object) -> Arrays:
        """What every layer makes of an image: {name: (C, H, W)}."""
        outputs = self.networks[weights].outputs(self.image(image_or_ink, *disturbed))
        return {name: as_maps(output[0]) for name, output in outputs.items()}

    @cached(1)
    def ablation(self, weights: str) -> Ablation:
        """All images, ready to be read without some channels."""
        return Ablation(self.networks[weights], self.images, self.labels)

    def without(self, channels: Channels, weights: str) -> Predictions:
        """The answers to all images with some channels of convolutions put to zero."""
        text = f"Reading {len(self.images):,} images"
        start = self.ablation(weights).predictions
        return self.jobs.result(text, ("without", channels, weights), start, channels)

    def probs_without(self, channels: Channels, weights: str, image_or_ink: Input) -> np.ndarray:
        """The probabilities of an image with some channels put to zero, (classes,)."""
        if isinstance(image_or_ink, int):
            return self.without(channels, weights).probs[image_or_ink].numpy()
        drawn = Ablation(self.networks[weights], self.image(image_or_ink), torch.zeros(1).long())
        return finished(drawn.predictions(channels)).probs[0].numpy()

    def attributions(
        self, image_or_ink: Input, target: int, weights: str, *disturbed: object
    ) -> Arrays:
        """What each method holds responsible for a class: {name: (H, W)}."""
        text = f"Asking what counts for class {self.digits[target]}"
        key = ("attributions", image_or_ink, target, weights, *disturbed)
        image = torch.from_numpy(self.maps(image_or_ink, weights, *disturbed)[IMAGE])
        return self.jobs.result(text, key, attributions, self.networks[weights], image, target)

    @cached(2)
    def kernels(self, quantity: str, weights: str) -> Arrays:
        """The kernels of every convolution, (out, in, height, width), or their change."""
        kernels = activations.kernels(self.networks[weights])
        if quantity == "change":
            before = activations.kernels(self.networks[self.other(weights)])
            kernels = {name: kernel - before[name] for name, kernel in kernels.items()}
        return kernels

    @cached(64)
    def image_numbers(self, only: ImageFilter) -> np.ndarray:
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
        """The last but one layer with weights that gives a vector, or else what the last reads."""
        layers = self.layers.values()
        linear = [layer.name for layer in layers if layer.parameters and len(layer.shape) == 1]
        if len(linear) > 1:
            return linear[-2]
        return self.layers[self.network.answer].inputs[0]

    @cached_property
    def hidden_and_logits(self) -> list[Tensor]:
        """What the hidden layer and the model put out for all images."""
        text = f"Reading {len(self.images):,} images"
        return self.jobs.result(
            text, ("read",), self.network.reading, self.images, self.hidden, self.network.answer
        )

    @property
    def features(self) -> Tensor:
        """What the hidden layer puts out for all images, (N, F)."""
        return self.hidden_and_logits[0].flatten(1)

    @cached_property
    def known_features(self) -> Tensor:
        """The same for the known images."""
        if self.known_images is None:
            return self.features
        return self.network.features(self.known_images[0], self.hidden)[0].flatten(1)

    @cached(2)
    def points(self, projection: str) -> np.ndarray:
        """The features in two dimensions, (N, 2)."""
        if len(self.images) < 3:
            raise InputError("two dimensions need three images or more; give a Subject more.")
        if projection == "PCA":
            return principal(self.features)
        text = f"Arranging {len(self.images):,} images by t-SNE, in three rounds"
        return self.jobs.result(text, ("t-SNE",), neighbour_map, self.features)

    @cached_property
    def labels(self) -> Tensor:
        """The classes of the images, as given, or as read where none were."""
        if self.given is None:
            return self.hidden_and_logits[1].argmax(dim=1)
        return self.given

    @cached_property
    def predictions(self) -> Predictions:
        """The model's answers to all images."""
        return Predictions(self.hidden_and_logits[1], self.labels)

    def stats(self, weights: str) -> dict[str, activations.ActivationStats]:
        """How every layer answers to all images."""
        text = f"Measuring {len(self.images):,} images"
        start = activations.activation_stats
        network = self.networks[weights]
        return self.jobs.result(text, ("stats", weights), start, network, self.images)

    @cached(64)
    def class_means(self, layer: str, weights: str) -> np.ndarray:
        """The mean activation of every channel over the images of each class, (classes, C)."""
        return self.stats(weights)[layer].by_class(self.labels, self.classes).numpy()

    def maximized(self, layer: str, weights: str, channel: int) -> np.ndarray:
        """An image that excites a channel of a layer, (C, H, W), made with its neighbours'."""
        stats = self.stats(weights)[layer]
        together = min(TOGETHER, self.network.batch_size)
        group, place = divmod(channel, together)
        channels = torch.arange(stats.max.shape[1]).split(together)[group]
        text = f"Making images that excite {self.layers[layer].title}"
        key = ("maximized", layer, weights, group)
        start = activations.maximize_activation
        images = self.jobs.result(
            text, key, start, self.networks[weights], layer, self.images, stats, channels
        )
        return images[place].numpy()

    def lost_without_each(self, layer: str, weights: str) -> Sequence[int]:
        """How many images are lost without each channel of a convolution alone."""
        text = f"Ablating the channels of {self.layers[layer].title} one by one"
        start = self.ablation(weights).lost_without_each
        return self.jobs.result(text, ("ranking", layer, weights), start, layer)

    def best(self, run: str) -> str:
        """The moment of a run that ends its best epoch."""
        return list(self.moments[run])[self.runs[run].best]

    def run_of(self, weights: str) -> str:
        """The run to which a moment belongs."""
        return weights.rpartition(", ")[0]

    def nearest(self, run: str, weights: str) -> str:
        """The moment of a run that is nearest in time to one of any run."""
        epoch = self.moments[self.run_of(weights)][weights]
        epochs = self.moments[run]
        return min(epochs, key=lambda name: abs(epochs[name] - epoch))

    @property
    def replay(self) -> tuple[dict[str, Predictions], Arrays]:
        """The answers of every moment to all images, and where it puts the first of them."""
        text = f"Reading {len(self.images):,} images at {len(self.networks)} moments of training"
        return self.jobs.result(text, ("replay",), self._read_moments)

    def _read_moments(self) -> Generator[float, None, tuple]:
        """What `replay` gives; yields the fraction done."""
        answers = {}
        points = {}
        for moment_names in self.moments.values():
            features = []
            for name in moment_names:
                network = self.networks[name]
                hidden, logits = network.features(self.images, self.hidden, network.answer)
                answers[name] = Predictions(logits, self.labels)
                features.append(hidden[:FEW].flatten(1))
                yield len(answers) / len(self.networks)
            points.update(zip(moment_names, replayed(features), strict=True))
        return answers, points

    def other(self, weights: str) -> str:
        """The weights to compare with: the first other ones, or the same where there are none."""
        return next((name for name in self.networks if name != weights), weights)

    def look(self, at: Selection) -> Look:
        """The subject at a selection, with what that leaves open filled in."""
        fields = dict(vars(at), subject=self, weights=at.weights or self.own)
        fields["layer"] = at.layer or self.network.convolutions[0]
        if at.amount is None:
            amounts = DISTURBANCES[at.disturbance].amounts
            fields["amount"] = amounts[2 * len(amounts) // 3]  # such as 30 degrees
        look = Look(**fields)
        look = replace(look, layer=look.last_upto(look.layers))
        undisturbed = replace(look, disturbance="none", amount=0.0)  # no place moves by it
        channel, row, column = largest(undisturbed.values, (at.channel, at.row, at.column))
        return replace(look, channel=channel, row=row, column=column)

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
        start = replace(at, view="pipeline", channel=None, row=None, column=None, amount=None)
        require(vars(at), self.look(start).places)
        for layer, channel in at.ablated:
            require({"ablated": layer}, {"ablated": self.network.convolutions})
            name = f"ablated {layer}"
            require({name: channel}, {name: range(self.layers[layer].shape[0])})
