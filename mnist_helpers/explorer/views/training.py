"""Training once more: the moments of a run, and what the network was at one of them."""

import math
from dataclasses import replace

import numpy as np

from mnist_helpers.explorer.look import Look
from mnist_helpers.explorer.replay import FEW
from mnist_helpers.explorer.scene import INDEX, Bars, Column, Maps, Row, Scatter, Scene, Text
from mnist_helpers.explorer.views.answers import matrix
from mnist_helpers.explorer.views.parts import class_bars, colour_limits, grid, layer_maps
from mnist_helpers.metrics import class_report


def training(look: Look) -> Scene:
    """The runs over time, and their networks at the chosen moment."""
    subject, at = look.subject, look.at
    answers, points = subject.replay
    moments = {run: subject.nearest(run, at.weights) for run in subject.runs}
    chances = {run: answers[name].probs[at.image].numpy() for run, name in moments.items()}
    recall = {run: class_report(answers[name])["recall"].numpy() for run, name in moments.items()}
    percent = {"limits": (0.0, 1.0), "axes": ("Digit", "")}
    digits = [
        class_bars(look, ".0%", chances, title="probability, this image", **percent),
        class_bars(look, ".0%", recall, title="accuracy by digit", **percent),
    ]
    best = Text(text="Best epoch", select={"weights": subject.best(subject.run_of(at.weights))})
    sides = [replace(look, at=replace(at, weights=name)) for name in moments.values()]
    limits = colour_limits(np.concatenate([side.values for side in sides]))
    networks = [
        Column([
            Text(text=side.at.weights, size="strong"),
            first_kernels(side),
            layer_maps(at.layer, side.values, 36, limits, title=at.layer, colour_bar=True),
            matrix(look, answers[side.at.weights]),
            cloud(look, points[side.at.weights]),
        ])
        for side in sides
    ]  # fmt: skip
    said = "; ".join(f"{answers[name].accuracy:.0%} at {name}" for name in moments.values())
    caption = (
        f"{look.title} at {at.weights}. Read rightly of {len(subject.images):,} images: {said}."
    )
    top = Row([Column([*curves(look), best]), Column(digits)])
    return Scene(Column([top, Row(networks)]), caption)


def curves(look: Look) -> list[Bars]:
    """Accuracy and loss over the moments of a run, and at the nearest ones of the other.

    The moments stand evenly, for each is about √2 times as far as the one before. The losses go up
    to that of guessing.
    """
    subject, here = look.subject, look.at.weights
    answers, epochs = subject.replay[0], subject.moments[subject.run_of(here)]
    mark = {
        "ticks": [f"{round(epoch, 3):.3g}".removeprefix("0") or "0" for epoch in epochs.values()],
        "axes": ("Epoch, each about √2 times the one before", ""),
        "emphasis": [list(epochs).index(here)],
        "select": {"weights": list(epochs)},
    }
    rows = {run: [answers[subject.nearest(run, name)] for name in epochs] for run in subject.runs}
    right = {run: np.array([each.accuracy for each in row]) for run, row in rows.items()}
    losses = {run: np.array([each.losses.mean() for each in row]) for run, row in rows.items()}
    top, count = math.log(subject.classes), f"{len(subject.images):,} images"
    axis, title = {"0": 0.0, f"{top:.2f}": top}, f"loss of {count}, up to that of guessing"
    return [
        Bars(series=right, axis={"0%": 0.0, "100%": 1.0}, title=f"accuracy of {count}", **mark),
        Bars(series=losses, limits=(0.0, top), axis=axis, title=title, **mark),
    ]


def first_kernels(look: Look) -> Maps:
    """The kernels of the first convolution, on one colour scale for all moments of all runs."""
    subject, name = look.subject, look.subject.network.convolutions[0]
    every = {each: subject.kernels("weights", each)[name].mean(axis=1) for each in subject.networks}
    kernels, limits = every[look.at.weights], colour_limits(np.concatenate(list(every.values())))
    mark = {"labels": list(map(str, range(len(kernels)))), "colour_bar": True}
    select = {"layer": name, "channel": INDEX}
    return grid(kernels, 36, limits, title=f"{name}: kernels", select=select, **mark)


def cloud(look: Look, points: np.ndarray) -> Scatter:
    """Where the first images lie, on the axes of the run's last moment."""
    subject, image = look.subject, look.at.image
    return Scatter(
        points=points,
        classes=subject.labels[:FEW].tolist(),
        names=subject.digits,
        frame=image if image < len(points) else None,
        side=300,
        select={"image": INDEX},
        title=f"{subject.hidden} of {len(points):,} images, by PCA of the last moment",
    )
