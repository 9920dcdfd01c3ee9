"""All answers at once: what is mistaken for what, how surely, and what looks alike."""

import numpy as np
import torch
from torch import Tensor

from mnist_helpers.explorer.look import Look
from mnist_helpers.explorer.scene import INDEX, Bars, Column, Maps, Row, Scatter, Scene, Table, Text
from mnist_helpers.explorer.selection import EVERY
from mnist_helpers.explorer.views.parts import FRACTIONS, filter_text, gallery, picture
from mnist_helpers.metrics import Predictions, confusion_matrix

GALLERY = 24  # images at most
MOST_CLASSES = 50  # in a table
NEAR = 8


def confusion(look: Look) -> Scene:
    """What is mistaken for what, how surely, and the images that the filter leaves."""
    subject = look.subject
    images = look.images
    order = subject.predictions.losses[images].argsort(descending=True, stable=True).numpy()
    title = f"{len(images):,} of {len(subject.images):,} images"
    if len(images) > GALLERY:
        title += f", the {GALLERY} with the largest loss"
    images = images[order[:GALLERY]].tolist()
    pictures = Text(f"No image matches: {filter_text(look)}.", size="strong")
    if images:
        select = {"image": images, "view": ["pipeline"] * len(images)}
        select["weights"] = [subject.own] * len(images)  # that give these answers
        pictures = gallery(
            subject.images,
            images,
            66,
            columns=12,
            title=title,
            labels=[answer_text(look, image) for image in images],
            frames={place: None for place, image in enumerate(images) if image == look.image},
            select=select,
            unit="image",
        )
    framed_cell = None
    if look.digit is not None and look.predicted is not None:
        framed_cell = look.digit * subject.classes + look.predicted
    cells = Text(f"{subject.classes:,} classes are too many for a table.", size="strong")
    if subject.classes <= MOST_CLASSES:
        cells = matrix(look, subject.predictions, framed_cell)
    beside = Column(by_confidence(look), Text("All images", select=EVERY))
    caption = f"{title}. {subject.predictions.accuracy:.2%} of all are read correctly."
    return Scene(Column(Row(cells, beside), pictures), caption)


def answer_text(look: Look, image: int) -> str:
    """An image's class, what it is read as, and how surely."""
    answers = look.subject.predictions
    names = look.subject.digits
    text = names[answers.labels[image]]
    if not answers.correct[image]:
        text += f" as {names[answers.preds[image]]}"
    return f"{text}, {answers.confidence[image]:.0%}"


def matrix(
    look: Look, answers: Predictions, framed_cell: int | None, nexts: list[int] | None = None
) -> Table:
    """The confusion matrix of some answers; only mistakes are tinted.

    A cell selects its images, and of `nexts` the one that is to be shown of them.
    """
    counts = confusion_matrix(answers).numpy().astype(float)
    labels, preds = np.indices(counts.shape).reshape(2, -1).tolist()
    count = len(labels)
    # lists also where all are equal: the title would select what is the same for all cells
    select = {"digit": labels, "predicted": preds, "read": ["all"] * count, "tenth": [None] * count}
    if nexts:
        select["image"] = nexts
    return Table(
        counts,
        counts=True,
        shades=counts - np.diag(counts.diagonal()),
        rows=look.subject.digits,
        columns=look.subject.digits,
        framed_cell=framed_cell,
        title="rows: true, columns: predicted",
        select=select,
    )


def by_confidence(look: Look) -> Bars:
    """How often answers are right, and how sure they are, by tenths of confidence."""
    answers = look.subject.predictions
    confidence = answers.confidence.numpy()
    place = np.searchsorted(np.arange(1, 10) / 10, confidence)  # each with its upper edge
    counts = np.bincount(place, minlength=10)
    filled = np.where(counts, counts, np.nan)
    right = np.bincount(place, answers.correct, 10)
    return Bars(
        ticks=[f"{percent}%" for percent in range(10, 101, 10)],
        series={
            "accuracy": right / filled,
            "mean confidence": np.bincount(place, confidence, 10) / filled,
        },
        axis=FRACTIONS,
        axes=("Confidence up to", "Share"),
        numbers=[f"{images:,}" for images in counts.tolist()],
        emphasis=[tenth for tenth in range(10) if tenth == look.tenth],
        title="accuracy by confidence; above: number of images",
        select={"tenth": INDEX},
    )


def neighbours(look: Look) -> Scene:
    """Where the images lie to the network, and the known images most like one of them."""
    from sklearn.preprocessing import minmax_scale

    subject = look.subject
    answers = subject.predictions
    points = minmax_scale(subject.points(look.projection))
    images = look.images.tolist()
    image = look.pointed
    if image not in images:
        image = look.image
    framed_point = None
    if image in images:
        framed_point = images.index(image)
    numbers = images
    if len(images) == len(points):
        numbers = INDEX
    wrong = (~answers.correct[images]).nonzero().flatten().tolist()
    scatter = Scatter(
        points=points[images],
        classes=answers.labels[images].tolist(),
        names=subject.digits,
        marked=wrong,
        framed_point=framed_point,
        select={"image": numbers},
        hovers="pointed",
        side=400,
        title=f"{look.titles[subject.hidden]} by {look.projection}: "
        f"{len(images):,} of {len(points):,} images",
        notes=[f"Across: {look.projection} 1, up: {look.projection} 2; ringed: read wrongly."],
    )
    name = f"image {image}: {answer_text(look, image)}"
    enlarged = picture(subject.images[image].numpy(), 112, title=name)
    nearest = alike(look, subject.features[image : image + 1], image)
    caption = f"{scatter.title}; {len(wrong)} read wrongly. Framed: {name}."
    return Scene(Row(scatter, Column(enlarged, nearest), together=True), caption)


def alike(look: Look, features: Tensor, itself: int | None = None) -> Maps:
    """The known images whose features are nearest to some (1, F), without the image `itself`."""
    subject = look.subject
    images, labels = subject.known_images or (subject.images, subject.labels)
    distances = torch.cdist(features, subject.known_features)
    if subject.known_images is None and itself is not None:
        distances[0, itself] = torch.inf
    places = distances.argsort(stable=True)[0, :NEAR].tolist()
    select = {}
    if subject.known_images is None:
        select["image"] = places
        if look.view == "drawing":  # where an image would leave an empty pad
            select["view"] = ["pipeline"] * len(places)
    return gallery(
        images,
        places,
        64,
        columns=4,
        title="most similar by these features",
        labels=[subject.digits[label] for label in labels[places]],
        select=select,
        unit="label",
    )
