"""Training once more: the moments of a run, and what the network was at one of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mnist_helpers.explorer.scene import INDEX, Bars, Column, Maps, Row, Scatter, Scene, Table, Text
from mnist_helpers.explorer.subject import FEW, Look
from mnist_helpers.explorer.views.answers import matrix
from mnist_helpers.explorer.views.parts import Limits, class_bars, colour_limits, grid, layer_maps
from mnist_helpers.metrics import Predictions, confusion_matrix

SIDE = 300  # of the points, in pixels


def training(look: Look) -> Scene:
    """Two runs over time, and both networks at the chosen moment."""
    subject, weights = look.subject, look.at.weights
    sides = {run: at_moment(look, subject.nearest(run, weights)) for run in compared_runs(look)}
    said = [f"{answers_at(side).accuracy:.1%} at {side.at.weights}" for side in sides.values()]
    limits = colour_limits(np.concatenate([side.values for side in sides.values()]))
    top = Row([Column([*curves(look), best_epochs(look)]), Column(by_digit(look, sides))])
    right = f"Read rightly of {len(subject.images):,} images: {'; '.join(said)}"
    caption = f"{look.title} at {weights}. {right}."
    networks = Row([network_at(side, limits) for side in sides.values()])
    return Scene(Column([top, networks]), caption)


def compared_runs(look: Look) -> Sequence[str]:
    """The run of the chosen moment and another, in their order."""
    runs, here = list(look.subject.runs), look.subject.run_of(look.at.weights)
    other = [run for run in runs if run != here][:1]
    return sorted([here, *other], key=runs.index)


def at_moment(look: Look, weights: str) -> Look:
    """The same look at other weights."""
    return replace(look, at=replace(look.at, weights=weights))


def answers_at(look: Look) -> Predictions:
    """The answers of the chosen moment to all images."""
    return look.subject.replay[0][look.at.weights]


def recall(answers: Predictions) -> np.ndarray:
    """The share of the images of each class that are read rightly; nan for those without any."""
    counts = confusion_matrix(answers)
    return (counts.diagonal() / counts.sum(dim=1)).numpy()


def by_digit(look: Look, sides: Mapping[str, Look]) -> list[Bars]:
    """The probabilities of the image, and how many of each digit are read rightly."""
    mark = {"limits": (0.0, 1.0), "axes": ("Digit", "")}
    label = [int(look.subject.labels[look.at.image])] if look.labelled else []
    chances = {run: side.probs for run, side in sides.items()}
    right = {run: recall(answers_at(side)) for run, side in sides.items()}
    return [
        class_bars(look, ".0%", chances, emphasis=label, title="probability, this image", **mark),
        class_bars(look, ".0%", right, title="accuracy by digit", **mark),
    ]


def best_epochs(look: Look) -> Row:
    """A button for each run that leads to the end of its best epoch."""
    best = {run: look.subject.best(run) for run in compared_runs(look)}
    return Row([Text(text=f"Best epoch of {run}", select={"weights": best[run]}) for run in best])


def curves(look: Look) -> list[Bars]:
    """Accuracy and loss over the moments; the loss up to that of guessing."""
    count, guessed = f"{len(look.subject.images):,} images", math.log(look.subject.classes)
    percent, nats = {"0%": 0.0, "100%": 1.0}, {"0": 0.0, f"{guessed:.2f}": guessed}
    title = f"loss of {count}, up to that of guessing"
    return [
        curve(look, lambda answers: answers.accuracy, percent, f"accuracy of {count}"),
        curve(look, lambda answers: answers.losses.mean().item(), nats, title),
    ]


def curve(
    look: Look, figure: Callable[[Predictions], float], axis: dict[str, float], title: str
) -> Bars:
    """A figure of all answers over the moments of the run, and at the nearest ones of another.

    The moments stand evenly, for each is about √2 times as far as the one before.
    """
    subject, here = look.subject, look.at.weights
    answers, moments = subject.replay[0], subject.moments[subject.run_of(here)]
    names = list(moments)
    series = {
        run: np.array([figure(answers[subject.nearest(run, name)]) for name in names])
        for run in compared_runs(look)
    }
    return Bars(
        ticks=[f"{round(epoch, 3):.3g}".removeprefix("0") or "0" for epoch in moments.values()],
        series=series,
        limits=(0.0, max(axis.values())),
        axis=axis,
        axes=("Epoch, each about √2 times the one before", ""),
        emphasis=[names.index(here)],
        select={"weights": names},
        title=title,
    )


def network_at(look: Look, limits: Limits) -> Column:
    """What the network is: kernels, maps of the image, what is read as what, where images lie."""
    at = look.at
    maps = layer_maps(
        at.layer,
        look.values,
        36,
        limits,
        title=f"{at.layer}, image {at.image}",
        select={"view": "feature_maps", "layer": at.layer, "channel": INDEX},
        colour_bar=True,
    )
    title = Text(text=at.weights, size="strong")
    return Column([title, first_kernels(look), maps, table(look), points(look)])


def first_kernels(look: Look) -> Maps:
    """The kernels of the first convolution, on one colour scale for all moments of all runs."""
    subject, name = look.subject, look.subject.network.convolutions[0]
    kernels = {
        weights: subject.kernels("weights", weights)[name].mean(axis=1)
        for weights in subject.networks
    }
    return grid(
        kernels[look.at.weights],
        36,
        colour_limits(np.concatenate(list(kernels.values()))),
        title=f"{name}: kernels",
        labels=[str(channel) for channel in range(subject.layers[name].shape[0])],
        select={"view": "kernels", "layer": name, "channel": INDEX},
        colour_bar=True,
    )


def table(look: Look) -> Table:
    """What is read as what; a click on a cell goes to the first of its images."""
    answers, classes = answers_at(look), look.subject.classes
    cells = (answers.labels * classes + answers.preds).tolist()
    images = [look.at.image] * classes**2
    for image in reversed(range(len(cells))):
        images[cells[image]] = image
    return matrix(look, answers, select={"image": images})


def points(look: Look) -> Scatter:
    """Where the first images lie, on the axes of the run's last moment."""
    subject, image = look.subject, look.at.image
    points = subject.replay[1][look.at.weights]
    return Scatter(
        points=points,
        classes=subject.labels[:FEW].tolist(),
        names=subject.digits,
        frame=image if image < len(points) else None,
        side=SIDE,
        select={"image": INDEX},
        title=f"{subject.hidden} of {len(points):,} images, by PCA of the last moment",
    )
