"""The moments of one or two runs: their names, their weights, and what they read."""

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from mnist_helpers.analysis.embedding import replayed
from mnist_helpers.config import InputError
from mnist_helpers.metrics import Predictions
from mnist_helpers.runs.snapshots import Snapshots

if TYPE_CHECKING:
    from mnist_helpers.explorer.subject import Subject

FEW = 1000  # images: for the points of a replay, and the gradient of kernels


def moments(run: str, epochs: Sequence[float]) -> dict[str, float]:
    """The names of a run's moments, each with its epoch."""
    digits = 4
    while len({round(epoch, digits) for epoch in epochs}) < len(epochs):
        digits += 1  # steps are small where batches are
    names = {}
    for epoch in epochs:
        text = f"{epoch:.{digits}f}".rstrip("0").rstrip(".")
        names[f"{run}, epoch {text}"] = epoch
    return names


def weights_of(runs: dict[str, Snapshots], others: object) -> dict[str, dict[str, Tensor]]:
    """The weights of all moments by name.

    Raises:
        InputError: there are too many runs, or others as well.
    """
    if others or len(runs) > 2:
        raise InputError("give one or two runs, and do not give others as well.")
    weights = {}
    for run, snapshots in runs.items():
        weights.update(zip(moments(run, snapshots.epochs), snapshots.weights, strict=True))
    return weights


def replay_job(subject: "Subject") -> Generator[float, None, tuple]:
    """Reads all images at every moment; yields the fraction done.

    Returns:
        The answers of every moment by its name, and where it puts the first `FEW` images.
    """
    answers = {}
    points = {}
    for moment_names in subject.moments.values():
        features = []
        for name in moment_names:
            network = subject.networks[name]
            hidden, logits = network.features(subject.images, subject.hidden, network.answer)
            answers[name] = Predictions(logits, subject.labels)
            features.append(hidden[:FEW].flatten(1))
            yield len(answers) / len(subject.networks)
        points.update(zip(moment_names, replayed(features), strict=True))
    return answers, points
