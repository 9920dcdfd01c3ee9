"""Training once more: the errors of the runs, and their networks at one of the moments."""

from dataclasses import replace

import numpy as np

from mnist_helpers.explorer.look import Look
from mnist_helpers.explorer.scene import INDEX, Column, Lines, Maps, Row, Scatter, Scene, Text
from mnist_helpers.explorer.views.answers import matrix
from mnist_helpers.explorer.views.parts import colour_limits, grid, limits_text

MOST = 32  # kernels that are drawn
SHARES = (1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # that the axis names
FEW = 500  # points: more would hide each other


def training(look: Look) -> Scene:
    """The runs over time, and their networks at the chosen moment."""
    subject = look.subject
    answers, _ = subject.replay
    networks = []
    shares = []
    for run in subject.runs:
        name = subject.nearest(run, look.weights)
        networks.append(network(replace(look, weights=name)))
        shares.append(f"{100 * answers[name].correct.sum() // len(subject.images)}% at {name}")
    read = f"Read correctly of {len(subject.images):,} images: {'; '.join(shares)}"
    return Scene(Column(curves(look), Row(*networks)), f"{look.title} at {look.weights}. {read}.")


def network(look: Look) -> Column:
    """One network: where images lie to it, its mistakes, its kernels."""
    subject = look.subject
    answers = subject.replay[0][look.weights]
    run = subject.run_of(look.weights)
    button = Text("Best epoch", select={"weights": subject.best(run)})
    cells = (answers.labels * subject.classes + answers.preds).numpy()
    # back from the chosen image: of the images of a cell the next one is written last, and stays
    order = np.roll(np.arange(len(cells)), -look.image - 1)[::-1]
    nexts = np.full(subject.classes**2, look.image)
    nexts[cells[order]] = order
    mistakes = matrix(look, answers, cells[look.image].item(), nexts.tolist())
    heading = Row(Text(look.weights, size="strong"), button)
    return Column(heading, Row(cloud(look), mistakes), kernels(look))


def curves(look: Look) -> Lines:
    """The error over the moments of a run, and at the nearest ones of the other.

    The moments stand evenly, for at first each is about √2 times as far as the one before.
    """
    subject = look.subject
    answers, _ = subject.replay
    count = len(subject.images)
    epochs = subject.moments[subject.run_of(look.weights)]
    errors = {}
    for run in subject.runs:
        moments = [answers[subject.nearest(run, name)] for name in epochs]
        errors[run] = np.array([1 - moment.accuracy for moment in moments])
    lowest = max(np.min(list(errors.values())), 0.5 / count)  # none may be wrong
    names = list(epochs)
    return Lines(
        title=f"error on {count:,} images, logarithmic",
        ticks=[f"{round(epoch, 3):.3g}".removeprefix("0") or "0" for epoch in epochs.values()],
        series=errors,
        limits=(0.8 * lowest, 1.0),
        axis={f"{100 * share:g}%": share for share in SHARES if share >= lowest},
        axes=("Epoch", "Error"),
        emphasis=[names.index(look.weights)],
        select={"weights": names},
    )


def kernels(look: Look) -> Maps:
    """Kernels of the chosen layer, on one colour scale for all moments of all runs."""
    subject = look.subject
    name = look.layer
    every = [subject.kernels("weights", weights)[name][:MOST] for weights in subject.networks]
    means = np.mean(every, axis=2)  # (moments, out, height, width)
    limits = colour_limits(means)
    own = means[list(subject.networks).index(look.weights)]
    title = f"{len(own)} kernels of {look.titles[name]}"
    if every[0].shape[1] > 1:
        title += ", mean over inputs"
    return grid(
        own,
        21,
        limits,
        title=f"{title}, {limits_text(limits, 'layer')}",
        columns=16,
        select={"layer": name, "channel": INDEX},
    )


def cloud(look: Look) -> Scatter:
    """Where the first images lie, on the axes of the run's last moment."""
    subject = look.subject
    points = subject.replay[1][look.weights][:FEW]
    framed_point = None
    if look.image < len(points):
        framed_point = look.image
    return Scatter(
        points=points,
        classes=subject.labels[: len(points)].tolist(),
        names=subject.digits,
        framed_point=framed_point,
        side=160,
        select={"image": INDEX},
        title=f"{look.titles[subject.hidden]} of {len(points):,} images, by PCA",
        notes=["Across: PCA 1, up: PCA 2."],
    )
