"""All answers at once: what is taken for what, how surely, and which images lie near."""

import numpy as np
import torch
from torch import Tensor

from mnist_helpers.analysis.calibration import reliability
from mnist_helpers.explorer.look import Look
from mnist_helpers.explorer.scene import INDEX, Bars, Column, Item, Row, Scatter, Scene, Table, Text
from mnist_helpers.explorer.views.parts import grid, picture
from mnist_helpers.metrics import Predictions, confusion_matrix

GALLERY = 24  # images at most
NEAR = 8
EVERY = {"digit": None, "predicted": None, "read": "all", "tenth": None}


def confusion(look: Look) -> Scene:
    """What is taken for what, how sure the answers are, and the images that the filter leaves."""
    subject = look.subject
    chosen = subject.chosen(look.at.filter)
    order = subject.predictions.losses[chosen].argsort(descending=True, stable=True)
    images = chosen[order.numpy()][:GALLERY].tolist()
    said = f"{len(chosen):,} of {len(subject.images):,} images"
    more = f", the {GALLERY} with the largest loss" if len(chosen) > GALLERY else ""
    right = f"{subject.predictions.accuracy:.2%} of all are read rightly"
    pictures = grid(
        subject.images[images].mean(dim=1).numpy(),
        90,
        [(subject.images.min().item(), subject.images.max().item())],
        palette="ink",
        title=said + more,
        labels=[answered(look, image) for image in images],
        select={"image": images, "view": ["pipeline"] * len(images)},
        unit="image",
    )
    button = Text(text="All images", select=EVERY)
    charts = Row([cells(look), Column([by_confidence(look), button])])
    return Scene(Column([charts, pictures]), f"{said}{more}. {right}.")


def answered(look: Look, image: int) -> str:
    """An image's class, what it is read as, and how surely."""
    answers, names = look.subject.predictions, look.subject.digits
    true, read = names[answers.labels[image]], names[answers.preds[image]]
    said = true if answers.correct[image] else f"{true} as {read}"
    return f"{said}, {answers.confidence[image]:.0%}"


def matrix(look: Look, answers: Predictions, **mark: object) -> Table:
    """The confusion matrix of some answers."""
    counts, names = confusion_matrix(answers).numpy().astype(float), look.subject.digits
    mistakes = counts - np.diag(counts.diagonal())
    title = "images: rows true, columns as read"
    return Table(
        values=counts, counts=True, shades=mistakes, rows=names, columns=names, title=title, **mark
    )


def cells(look: Look) -> Table:
    """The model's confusion matrix; a click on a cell leaves its images."""
    at, classes = look.at, look.subject.classes
    true, read = np.indices((classes, classes)).reshape(2, -1).tolist()
    both = at.digit is not None and at.predicted is not None
    frame = at.digit * classes + at.predicted if both else None
    rest = {"read": ["all"] * len(true), "tenth": [None] * len(true)}
    select = {"digit": true, "predicted": read} | rest
    return matrix(look, look.subject.predictions, frame=frame, select=select)


def by_confidence(look: Look) -> Bars:
    """How often answers are right, and claim to be, by tenths of confidence."""
    answers = look.subject.predictions
    bins = reliability(answers.confidence, answers.correct, 10)
    claimed = np.histogram(answers.confidence, bins.edges, weights=answers.confidence)[0]
    count = np.where(bins.counts, bins.counts, np.nan)
    tenth = look.at.tenth
    return Bars(
        ticks=[f"{10 * (place + 1)}" for place in range(10)],
        series={"are right": bins.right / count, "claim to be": claimed / count},
        axis={"0%": 0.0, "100%": 1.0},
        axes=("Confidence up to %", ""),
        numbers=[f"{each:,}" if each else "" for each in bins.counts.tolist()],
        emphasis=[] if tenth is None else [tenth],
        title="how many are right; above: images",
        select={"tenth": INDEX},
    )


def neighbours(look: Look) -> Scene:
    """Where the images lie to the network, and the known images most like one of them."""
    at, subject = look.at, look.subject
    here = at.image if at.pointed is None else at.pointed
    points, chosen = subject.points(at.projection), subject.chosen(at.filter)
    low, high = points.min(axis=0), points.max(axis=0)
    everything = len(chosen) == len(points)
    answers = subject.predictions
    wrong = (~answers.correct[chosen]).nonzero().flatten().tolist()
    scatter = Scatter(
        points=(points[chosen] - low) / (high - low),
        classes=answers.labels[chosen].tolist(),
        names=subject.digits,
        marked=wrong,
        frame=chosen.tolist().index(here) if here in chosen else None,
        select={"image": INDEX if everything else chosen.tolist()},
        hovers="pointed",
        title=f"{subject.hidden} of {len(chosen):,} images, by {at.projection}",
        notes=["A ring: read wrongly."],
    )
    name = f"image {here}: {answered(look, here)}"
    image = picture(subject.images[here].numpy(), 112, title=name, select={})
    caption = f"{scatter.title}; {len(wrong)} read wrongly. Framed: {name}."
    near = alike(look, subject.features[here : here + 1], here)
    return Scene(Row([scatter, Column([image, near])]), caption)


def alike(look: Look, features: Tensor, here: int | None = None) -> Item:
    """The known images whose features are nearest to some (1, F), without image `here` itself."""
    subject = look.subject
    images, labels = subject.known_images or (subject.images, subject.labels)
    distances = torch.cdist(features, subject.known_features)[0]
    near = distances.argsort(stable=True)[: NEAR + 1].tolist()
    if subject.known_images is None:
        near = [each for each in near if each != here]
    near = near[:NEAR]
    return grid(
        images[near].mean(dim=1).numpy(),
        64,
        [(images.min().item(), images.max().item())],
        palette="ink",
        columns=4,
        title="most like it, by these features",
        labels=[subject.digits[labels[each]] for each in near],
        unit="image",
    )
