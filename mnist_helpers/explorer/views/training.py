"""Training once more: the moments of a run, and what the network was at one of them."""

import math
from dataclasses import replace

import numpy as np

from mnist_helpers.explorer.look import Look
from mnist_helpers.explorer.scene import INDEX, Bars, Column, Maps, Row, Scatter, Scene, Text
from mnist_helpers.explorer.views.answers import matrix
from mnist_helpers.explorer.views.parts import (
    Limits,
    channel_names,
    class_bars,
    colour_limits,
    grid,
    layer_maps,
)
from mnist_helpers.metrics import class_report


def training(look: Look) -> Scene:
    """The runs over time, and their networks at the chosen moment."""
    subject = look.subject
    answers, _ = subject.replay
    probs = {}
    recalls = {}
    sides = []
    accuracies = []
    for run in subject.runs:
        name = subject.nearest(run, look.weights)
        probs[run] = answers[name].probs[look.image].numpy()
        recalls[run] = class_report(answers[name])["recall"].numpy()
        sides.append(replace(look, weights=name))
        accuracies.append(f"{answers[name].accuracy:.0%} at {name}")
    axes = ("Digit", "")
    digits = [
        class_bars(look, ".0%", probs, title="probability, this image", axes=axes),
        class_bars(look, ".0%", recalls, title="accuracy by digit", axes=axes),
    ]
    best = subject.best(subject.run_of(look.weights))
    button = Text(text="Best epoch", select={"weights": best})
    limits = colour_limits(np.concatenate([side.values for side in sides]))
    networks = [network(side, limits) for side in sides]
    charts = Row([Column([*curves(look), button]), Column(digits)])
    count = f"Read rightly of {len(subject.images):,} images"
    caption = f"{look.title} at {look.weights}. {count}: {'; '.join(accuracies)}."
    return Scene(Column([charts, Row(networks)]), caption)


def network(look: Look, limits: Limits) -> Column:
    """One network: its kernels, what it makes of the image, its mistakes, where images lie."""
    answers, points = look.subject.replay
    maps = layer_maps(look.layer, look.values, 36, limits, title=look.layer, colour_bar=True)
    return Column(
        [
            Text(text=look.weights, size="strong"),
            first_kernels(look),
            maps,
            matrix(look, answers[look.weights]),
            cloud(look, points[look.weights]),
        ]
    )


def curves(look: Look) -> list[Bars]:
    """Accuracy and loss over the moments of a run, and at the nearest ones of the other.

    The moments stand evenly, for at first each is about √2 times as far as the one before. The
    losses go up to that of guessing.
    """
    subject = look.subject
    answers, _ = subject.replay
    epochs = subject.moments[subject.run_of(look.weights)]
    accuracies = {}
    losses = {}
    for run in subject.runs:
        moments = [answers[subject.nearest(run, name)] for name in epochs]
        accuracies[run] = np.array([moment.accuracy for moment in moments])
        losses[run] = np.array([moment.losses.mean() for moment in moments])
    guessing = math.log(subject.classes)
    count = f"{len(subject.images):,} images"
    names = list(epochs)
    ticks = [f"{round(epoch, 3):.3g}".removeprefix("0") or "0" for epoch in epochs.values()]
    charts = [
        (f"accuracy of {count}", accuracies, {"0%": 0.0, "100%": 1.0}),
        (
            f"loss of {count}, up to that of guessing",
            losses,
            {"0": 0.0, f"{guessing:.2f}": guessing},
        ),
    ]
    return [
        Bars(
            title=title,
            ticks=ticks,
            series=series,
            limits=tuple(axis.values()),
            axis=axis,
            axes=("Epoch, at first each about √2 times the one before", ""),
            emphasis=[names.index(look.weights)],
            select={"weights": names},
        )
        for title, series, axis in charts
    ]


def first_kernels(look: Look) -> Maps:
    """The kernels of the first convolution, on one colour scale for all moments of all runs."""
    subject = look.subject
    name = subject.network.convolutions[0]
    kernels = {}
    for weights in subject.networks:
        kernels[weights] = subject.kernels("weights", weights)[name].mean(axis=1)
    own = kernels[look.weights]
    return grid(
        own,
        36,
        colour_limits(np.concatenate(list(kernels.values()))),
        title=f"{name}: kernels",
        labels=channel_names(len(own)),
        select={"layer": name, "channel": INDEX},
        colour_bar=True,
    )


def cloud(look: Look, points: np.ndarray) -> Scatter:
    """Where the first images lie, on the axes of the run's last moment."""
    subject = look.subject
    framed_point = None
    if look.image < len(points):
        framed_point = look.image
    return Scatter(
        points=points,
        classes=subject.labels[: len(points)].tolist(),
        names=subject.digits,
        framed_point=framed_point,
        side=300,
        select={"image": INDEX},
        title=f"{subject.hidden} of {len(points):,} images, by PCA of the last moment",
    )
