"""A model under inspection: asks for the numbers of a view, keeps what is costly, and has them drawn."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from mnist_helpers.ablation import Ablation
from mnist_helpers.attribution import attributions
from mnist_helpers.config import InputError
from mnist_helpers.excitation import Response, ascend, respond
from mnist_helpers.features import SOFTMAX, Network, as_maps, kernels
from mnist_helpers.metrics import Predictions, evaluate
from mnist_helpers.pictures import Picture, limits
from mnist_helpers.views import (
    draw_ablation,
    draw_arithmetic,
    draw_attributions,
    draw_excitation,
    draw_feature_maps,
    draw_kernels,
    draw_pipeline,
)

COLOURINGS = ("weights", "gradient of the loss", "change")
SCALES = ("layer", "map", "all images")
COMPARISONS = ("alone", "beside", "difference")
VIEWS = {  # the methods of Inspector: the title of each, and its arguments
    "pipeline": ("Pipeline", "image", "stage"),
    "kernels": ("Kernels", "stage", "channel", "colouring", "each"),
    "feature_maps": (
        "Feature maps",
        "image",
        "stage",
        "channel",
        "row",
        "column",
        "scale",
        "compare",
    ),
    "arithmetic": ("Arithmetic", "image", "stage", "channel", "row", "column", "source"),
    "excitation": ("What excites it", "stage", "channel", "target"),
    "attribution": ("What it looks at", "image", "target"),
    "ablation": ("Take it away", "image", "off"),
}


class Inspector:
    """Every view into `model`, each a method that returns a `Picture`.

    Args:
        model: any network with convolutions that `torch.fx` can trace.
        images: (N, C, H, W), as the model takes them.
        labels: (N,); by default the model's own answers.
        reference: a network of the same form to compare with, such as the untrained one.
        names: what to call the two.

    Raises:
        InputError: here and in the methods, what is given doesn't fit, or what is asked for doesn't exist.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor | None = None,
        reference: nn.Module | None = None,
        names: tuple[str, str] = ("trained", "random"),
    ) -> None:
        images, labels = _checked(images, labels)
        self.images, self.given, self.names = images, labels, names
        self.networks = [Network(each, images) for each in (model, reference) if each is not None]
        self.network = self.networks[0]
        self.stages = self.network.stages
        self.classes = self.stages[SOFTMAX].shape[0]
        forms = [
            [(stage.name, stage.shape) for stage in network.stages.values()]
            for network in self.networks
        ]
        if forms[0] != forms[-1]:
            raise InputError(
                "the reference has other stages than the model; give a network of the same form."
            )
        if labels is not None and not (labels.min() >= 0 and labels.max() < self.classes):
            raise InputError(
                f"labels go from {labels.min()} to {labels.max()}, but must be below {self.classes}."
            )
        self.kept_maps = lru_cache(maxsize=32)(self._maps)
        self.made = lru_cache(maxsize=None)(self._made)
        self.attributed = lru_cache(maxsize=256)(self._attributed)
        self.ranked: dict[str, list[int]] = {}
        self.colourings = COLOURINGS[: 2 + (reference is not None)]
        self.comparisons = COMPARISONS if reference is not None else COMPARISONS[:1]

    def maps(self, image: int, network: int = 0) -> dict[str, np.ndarray]:
        """What every stage makes of an image, {name: (C, H, W)}, in the model or the reference; kept for a while."""
        return self.kept_maps(image, network)  # always both, for they are what it is found by

    def _maps(self, image: int, network: int) -> dict[str, np.ndarray]:
        found = self.networks[network].maps(self.images[image : image + 1])
        return {name: as_maps(out[0]) for name, out in found.items()}

    @cached_property
    def responses(self) -> dict[str, Response]:
        """The answers of all stages to all images, measured at the first call."""
        return respond(self.network, self.images)

    @cached_property
    def silencer(self) -> Ablation:
        """The network with channels to switch off, for all images."""
        return Ablation(self.network, self.images, self.labels)

    @cached_property
    def labels(self) -> Tensor:
        """The digits of the images, as given, or as read where none were."""
        blank = torch.zeros(len(self.images), dtype=torch.long)
        return (
            evaluate(self.network.model, TensorDataset(self.images, blank)).preds
            if self.given is None
            else self.given
        )

    @cached_property
    def predictions(self) -> Predictions:
        """What the network answers to all images."""
        return evaluate(self.network.model, TensorDataset(self.images, self.labels))

    @cached_property
    def weights(self) -> dict[str, dict[str, np.ndarray]]:
        """The kernels by colouring and convolution, (out, in, height, width) each."""
        model, few = self.network.model, slice(0, 1000)
        trainable = [p for p in model.parameters() if p.requires_grad]
        with torch.enable_grad():
            loss = F.cross_entropy(
                model(self.images[few].to(self.network.device)),
                self.labels[few].to(self.network.device),
            )
        slopes = dict(
            zip(trainable, torch.autograd.grad(loss, trainable, allow_unused=True), strict=True)
        )
        found = {
            "weights": kernels(model),
            "gradient of the loss": kernels(model, lambda w: slopes[w]),
        }
        if len(self.networks) > 1:
            others = kernels(self.networks[1].model)
            found["change"] = {
                name: weight - others[name] for name, weight in found["weights"].items()
            }
        return {
            name: {layer: each.numpy() for layer, each in layers.items()}
            for name, layers in found.items()
        }

    def title(self, image: int) -> str:
        """Which image it is and what the network reads in it."""
        probs = self.maps(image)[SOFTMAX].ravel()
        known = f", a {self.labels[image]}" if self.given is not None else ""
        return f"Image {image}{known}, read as {probs.argmax()} with {probs.max():.1%}"

    def require(
        self,
        image: int = 0,
        stage: str = "",
        channel: int = 0,
        row: int = 0,
        column: int = 0,
        target: int = -1,
    ) -> None:
        """Refuses a selection that doesn't exist.

        Raises:
            InputError: it doesn't; the message names what there is.
        """
        if stage and stage not in self.stages:
            raise InputError(
                f"there is no stage {stage}; the network has {', '.join(self.stages)}."
            )
        if target != -1:
            _require("class", target, range(self.classes))
        _require("image", image, range(len(self.images)))
        sizes = (*(self.stages[stage].shape if stage else ()), 1, 1, 1)[:3]
        for name, value, size in zip(
            ("channel", "row", "column"), (channel, row, column), sizes, strict=True
        ):
            _require(name, value, range(size), f" in {stage}")

    def sources(self, stage: str) -> int:
        """How many input channels are summed up for a value of `stage`."""
        module = self.network.module(stage) if stage in self.network.nodes else None
        if isinstance(module, nn.Conv2d):
            return module.in_channels // module.groups
        return len(self.maps(0)[self.stages[stage].before]) if isinstance(module, nn.Linear) else 1

    def pipeline(self, image: int = 0, stage: str = "") -> Picture:
        """One image through all stages; `stage` is framed."""
        self.require(image, stage)
        maps = self.maps(image)
        return draw_pipeline(
            list(self.stages.values()), maps, self.images[image].numpy(), stage
        ).saying(self.title(image))

    def kernels(
        self, stage: str = "", channel: int = 0, colouring: str = "weights", each: bool = False
    ) -> Picture:
        """The kernels of the last convolution up to `stage`, or else of the first, coloured by one of `COLOURINGS`."""
        self.require(stage=stage)
        _require("colouring", colouring, self.colourings)
        names = list(self.stages)
        passed = names[: names.index(stage) + 1] if stage else names[:0]
        layer = next(
            (name for name in reversed(passed) if name in self.network.convolutions),
            self.network.convolutions[0],
        )
        weights = self.weights[colouring][layer]
        what = f"{colouring} against {self.names[1]}" if colouring == "change" else colouring
        return draw_kernels(weights, min(channel, len(weights) - 1), each=each, what=what).saying(
            layer
        )

    def feature_maps(
        self,
        image: int = 0,
        stage: str = "",
        channel: int = 0,
        row: int = 0,
        column: int = 0,
        scale: str = "layer",
        compare: str = "alone",
    ) -> Picture:
        """All channels of `stage`, by default the first convolution, on one of `SCALES`, in one of `COMPARISONS`."""
        stage = stage or self.network.convolutions[0]
        self.require(image, stage, channel, row, column)
        _require("scale", scale, SCALES)
        _require("compare", compare, self.comparisons)
        found = [
            self.maps(image, network)[stage] for network in range(1 if compare == "alone" else 2)
        ]
        sides = dict(zip(self.names, found, strict=False))
        if scale == "all images":
            response = self.responses[stage]
            ends = (
                torch.stack([response.peaks.max(), response.lows.min()]).numpy().reshape(-1, 1, 1)
            )
        else:
            ends = np.concatenate(found)
        low, high = limits(ends, each=scale == "map" and found[0].shape[2] > 1)
        if low.size > 1 and len(found) > 1:  # one scale for a map and its neighbour
            low, high = (
                np.abs(part).reshape(2, -1, 1, 1).max(axis=0) * sign
                for part, sign in ((low, -1), (high, 1))
            )
        if compare == "difference":
            sides["difference"] = found[0] - found[1]
            low, high = -high, high
        picture = draw_feature_maps(
            self.images[image].numpy(), sides, low, high, channel, row, column
        )
        return picture.saying(f"{self.title(image)}. {stage}")

    def arithmetic(
        self,
        image: int = 0,
        stage: str = "",
        channel: int = 0,
        row: int = 0,
        column: int = 0,
        source: int = 0,
    ) -> Picture:
        """How `stage`, by default the last convolution, comes to one value; `source` is the input channel shown."""
        self.require(image, stage or self.network.convolutions[-1], channel, row, column)
        record = self.stages[stage or self.network.convolutions[-1]]
        sums = self.network.arithmetic(self.images[image], record.name, channel, row, column)
        source, maps = min(source, len(sums.patch) - 1), self.maps(image)
        before = self.images[image].numpy() if record.before == "image" else maps[record.before]
        parts = (self.images[image].numpy(), before, maps[record.name])
        return draw_arithmetic(record, sums, (channel, row, column), source, parts).saying(
            self.title(image)
        )

    def excitation(
        self, stage: str = "", channel: int = 0, target: int = -1, count: int = 8
    ) -> Picture:
        """The images, of all or of class `target`, that excite `channel` most, one made for it, and what drives it.

        Raises:
            InputError: no image is of that class.
        """
        self.require(0, stage or self.network.convolutions[-1], channel, target=target)
        record = self.stages[stage or self.network.convolutions[-1]]
        response, across = (
            self.responses[record.name],
            record.shape[-1] if len(record.shape) > 1 else 1,
        )
        among = (
            self.labels == target if target >= 0 else torch.ones(len(self.labels), dtype=torch.bool)
        )
        best = response.strongest(channel, count, among).tolist()
        if not best:
            raise InputError(
                f"none of the {len(self.labels)} images is of class {target}; choose another class."
            )
        shown = [
            *best,
            int(response.peaks[:, channel].argmax()),
        ]  # gradient ascent began at the last
        places = [divmod(response.places[i, channel].item(), across) for i in shown]
        boxes = [record.sees and record.sees.box(*place) for place in places]
        titles = [f"{response.peaks[i, channel]:.2f}, a {self.labels[i]}" for i in best] + [
            "gradient ascent"
        ]
        images = np.concatenate([self.images[best].numpy(), self.made(record.name)[channel][None]])
        means = response.by_class(self.labels, self.classes)[:, channel].numpy()
        driven = ", ".join(map(str, np.nan_to_num(means, nan=-np.inf).argsort()[::-1][:3]))
        where = f"images of class {target}" if target >= 0 else "images"
        first = ", ".join(map(str, best[:4]))
        caption = f"{record.name}, channel {channel}: strongest in {where} {first}; classes {driven} drive it most."
        return draw_excitation(images, titles, boxes, means, target, caption)

    def _made(self, stage: str) -> np.ndarray:
        return ascend(self.network, stage, self.images, self.responses[stage]).numpy()

    def _attributed(self, image: int, target: int) -> list[dict[str, np.ndarray]]:
        return [attributions(network, self.images[image], target) for network in self.networks]

    def attribution(self, image: int = 0, target: int = -1) -> Picture:
        """What speaks for class `target`, or for the likeliest if that is -1, in both networks."""
        self.require(image, target=target)
        target = int(self.maps(image)[SOFTMAX].argmax()) if target < 0 else target
        rows = dict(zip(self.names, self.attributed(image, target), strict=False))
        return draw_attributions(
            self.images[image].numpy(),
            rows,
            f"{self.title(image)}. What counts for class {target}.",
        )

    def rank(self, layer: str, on_step: Callable[[], object] = lambda: None) -> Sequence[int]:
        """How many images are lost without each channel of `layer` alone, measured at the first call."""
        if layer not in self.ranked:
            self.ranked[layer] = self.silencer.ranking(layer, on_step)
        return self.ranked[layer]

    def ablation(self, image: int = 0, off: Iterable[tuple[str, int]] = ()) -> Picture:
        """What is lost with the channels in `off` switched off: pairs of a convolution and a channel."""
        self.require(image)
        for layer, channel in off:
            _require("off", layer, self.network.convolutions)
            self.require(image, layer, channel)
        everything, left = self.silencer.predictions(), self.silencer.predictions(frozenset(off))
        every, *right = (
            torch.bincount(labels, minlength=self.classes)
            for labels in (self.labels, self.labels[everything.correct], self.labels[left.correct])
        )
        right = [(part / every).numpy() for part in right]  # nan for classes that don't occur
        silent = {
            name: sorted(c for n, c in off if n == name) for name in self.network.convolutions
        }
        named = "; ".join(
            f"{name} {', '.join(map(str, channels))}"
            for name, channels in silent.items()
            if channels
        )
        drop = np.subtract(*right)
        worst = ", ".join(
            f"{c} (−{100 * drop[c]:.1f} points)" for c in drop.argsort()[::-1][:3] if drop[c] > 0
        )
        caption = (
            f"{self.title(image)}. Off: {named or 'nothing'}. This image: {left.preds[image]} with "
            f"{left.confidence[image]:.1%}. All {len(self.labels):,} images: {left.accuracy:.2%} instead of "
            f"{everything.accuracy:.2%}; suffer most: {worst or 'none'}."
        )
        probs = (everything.probs[image].numpy(), left.probs[image].numpy())
        rankings = {
            name: self.ranked.get(name, [np.nan] * self.stages[name].shape[0]) for name in silent
        }
        return draw_ablation(probs, tuple(right), rankings, silent, caption)


def _require(name: str, value: object, known: Sequence[object], where: str = "") -> None:
    if value not in known:
        there = (
            f"from 0 to {known[-1]}" if isinstance(known, range) else f"one of: {', '.join(known)}"
        )
        raise InputError(f"{name} is {value}, but must be {there}{where}.")


def _checked(images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Images and labels as tensors, where they are such as a model can take."""
    wanted = "images must be a tensor of decimals (N, C, H, W), as the model takes them"
    if not isinstance(images, Tensor | np.ndarray):
        raise InputError(f"{wanted}, not a {type(images).__name__}.")
    images = torch.as_tensor(images)
    if images.ndim != 4 or not len(images) or not images.is_floating_point():
        raise InputError(f"{wanted}, not {tuple(images.shape)} of {images.dtype}.")
    if not images.isfinite().all():
        raise InputError("some values of the images are not finite; give images of numbers only.")
    labels = None if labels is None else torch.as_tensor(labels)
    if labels is not None and (labels.shape != images.shape[:1] or labels.is_floating_point()):
        raise InputError(
            f"labels must be {len(images)} whole numbers, not {tuple(labels.shape)} of {labels.dtype}."
        )
    return images, labels
