"""What speaks for an answer: images that excite a channel, pixels, and channels that are missed."""

import numpy as np

from mnist_helpers.config import InputError
from mnist_helpers.explorer.look import Look
from mnist_helpers.explorer.scene import INDEX, Bars, Column, Row, Scene, Text, number
from mnist_helpers.explorer.views.parts import (
    FRACTIONS,
    SMALL,
    channel_names,
    class_bars,
    filter_text,
    frames_of,
    grid,
    picture,
    probability_bars,
)
from mnist_helpers.metrics import Predictions

TOP = 8  # images that are shown
FEW_LAYERS = 3  # whose rankings are shown one below the other
COUNTS = (-100, -10, 0, 10, 100, 1_000, 10_000)  # that the axis names
HINT = "Click a bar below to set that channel to zero, in this view only"


def answer(look: Look) -> Scene:
    """An image and the probability of each class."""
    names = [*look.subject.digits]
    title = "probability"
    if look.labelled:
        names[look.subject.labels[look.image]] += " ✓"
        title = f"probability of each {look.noun}; ✓: the label"
    bars = probability_bars(look, title=title, ticks=names)
    image = picture(look.pixels, 196, title=look.name.lower())
    return Scene(Row(image, bars), f"{look.title}.")


def top_images(look: Look) -> Scene:
    """The images that excite a channel most, one made for it, and its mean over each class.

    None is made for a class: gradient ascent asks for none.
    """
    subject = look.subject
    images = look.images
    means = subject.class_means(look.layer, look.weights)[:, look.channel]
    subset = ""
    strongest = int(np.nanargmax(means))
    digit = strongest
    if look.target is not None:
        digit = look.target
        name = subject.digits[digit]
        images = images[(subject.labels[images] == digit).numpy()]
        subset = f" of class {name}"
        if not len(images):
            raise InputError(f"No image that fits is of class {name}; choose another class.")
    images = look.stats.top_images(look.channel, TOP, images).tolist()
    columns = [top_image(look, image) for image in images]
    if look.target is None:  # of any class
        start = int(look.stats.max[:, look.channel].argmax())  # gradient ascent began there
        ascent = subject.maximized(look.layer, look.weights, look.channel)
        columns.append(
            excited(look, start, ascent, title="gradient ascent", notes=[f"from image {start}"])
        )
    names = ", ".join(map(str, images[:4]))
    caption = (
        f"{look.titles[look.layer]}, channel {look.channel}: strongest in images {names}{subset}, "
        f"by the value above each. Looked at: {filter_text(look)}. "
        f"Its mean is highest for {subject.digits[strongest]}."
    )
    bars = [class_mean_bars(look, means), excited_channels(look, digit)]
    return Scene(Column(Row(*columns, together=True), Row(*bars, together=True)), caption)


def class_mean_bars(look: Look, means: np.ndarray) -> Bars:
    """The mean activation of a channel over each class, (classes,)."""
    low = min(0, np.nanmin(means))
    high = max(0, np.nanmax(means)) or low == 0  # 1 where all are 0
    return class_bars(
        look,
        "#.2g",
        {"mean": means},
        axis={"0": 0.0},
        limits=(float(low), float(high)),
        axes=(f"True {look.noun}", "Mean activation"),
        emphasis=[digit for digit in range(len(means)) if digit == look.target],
        title="mean activation by class",
        select={"target": INDEX},
    )


def excited_channels(look: Look, digit: int) -> Bars:
    """The channels whose mean over a class is highest above their mean over all classes."""
    means = look.subject.class_means(look.layer, look.weights)  # (classes, C)
    excess = means[digit] - np.nanmean(means, axis=0)
    channels = np.argsort(-excess, kind="stable")[:TOP].tolist()
    heights = excess[channels].clip(0)
    top = float(heights.max()) or 1.0
    return class_bars(
        look,
        "#.2g",
        {"mean above the average of all classes": heights},
        limits=(0.0, top),
        axis={"0": 0.0},
        axes=(f"Channel of {look.titles[look.layer]}", "Above mean of all"),
        emphasis=[place for place, channel in enumerate(channels) if channel == look.channel],
        title=f"channels that class {look.subject.digits[digit]} excites most",
        select={"channel": channels},
        ticks=[str(channel) for channel in channels],
    )


def top_image(look: Look, image: int) -> Column:
    """One of the images that excite the channel most."""
    title = (
        f"{number(look.stats.max[image, look.channel].item(), '.2f')}, "
        f"label {look.subject.digits[look.subject.labels[image]]}"
    )
    return excited(
        look,
        image,
        look.subject.images[image].numpy(),
        title=title,
        notes=[f"image {image}"],
        framed=image == look.image,
        select={"image": image},
    )


def excited(look: Look, image: int, values: np.ndarray, **fields: object) -> Column:
    """An image (C, H, W) with what the largest value sees of it framed, and that enlarged."""
    place = look.stats.argmax[image, look.channel].item()
    box = look.seen(*divmod(place, look.values.shape[2]))
    if box is None or box == (0, 0, *values.shape[1:]):
        return Column(picture(values, SMALL, **fields))
    whole = picture(values, SMALL, frames=frames_of(box), **fields)
    top, left, bottom, right = box
    window = picture(values[:, top:bottom, left:right], SMALL)
    return Column(whole, window)


def attribution(look: Look) -> Scene:
    """What speaks for a class, by four methods, with one network's weights or two."""
    target = look.target
    if target is None:
        target = look.answer
    name = look.subject.digits[target]
    caption = (
        f"{look.title}. What counts for class {name}: each map from −1 (blue, against it) to 1 "
        "(red, for it); saliency and Grad-CAM have no sign."
    )
    sides = {
        weights: look.subject.attributions(look.image_or_ink, target, weights, *look.disturbed)
        for weights in look.compared
    }
    width = 168
    if len(sides) > 1:
        width = 112
    rows = [attribution_row(look, f"{side}, class {name}", sides[side], width) for side in sides]
    if look.compare == "difference":
        first, second = sides.values()
        maps = {method: first[method] - second[method] for method in first}
        rows.append(attribution_row(look, f"difference, class {name}", maps, width, 2))
        caption += f" Difference: {' − '.join(look.compared)}, from −2 to 2."
    return Scene(Column(*rows), caption)


def attribution_row(
    look: Look, title: str, maps: dict[str, np.ndarray], width: int, end: int = 1
) -> Row:
    """The image and what each method marks, on one scale from −`end` to `end`."""
    marks = [picture(look.pixels, width, title=title)]
    for method, values in maps.items():
        has_bar = method == [*maps][-1]
        marks.append(grid(values[None], width, [(-end, end)], title=method, colour_bar=has_bar))
    return Row(*marks, together=True)


def ablation(look: Look) -> Scene:
    """What is lost with some channels put to zero."""
    subject = look.subject
    convolutions = subject.network.convolutions
    layers = []
    if len(convolutions) > FEW_LAYERS:
        layers = [Row(*[Text(look.titles[name], select={"layer": name}) for name in convolutions])]
        convolutions = [look.last_upto(convolutions)]
    if look.rank:
        for layer in convolutions:
            subject.lost_without_each(layer, look.weights)
    full_answers = subject.without((), look.weights)
    answers = subject.without(look.ablated, look.weights)
    probs = subject.probs_without(look.ablated, look.weights, look.image_or_ink)
    chances = paired(look, "Probability", "for this image", look.probs, probs)
    classes = paired(
        look, "Accuracy", "by class", by_class(look, full_answers), by_class(look, answers)
    )
    images = look.images
    facts = (
        f"Accuracy on {len(images):,} of {len(subject.images):,} images, "
        f"{filter_text(look)}: {answers.correct[images].double().mean():.2%}"
    )
    text = f"Nothing is ablated. {facts}"
    buttons = []
    if any(np.isnan(look.ranked(layer)).any() for layer in convolutions):
        buttons.append(Text("Measure every channel", select={"rank": True}))
    if look.ablated:
        reading = f"This image: {subject.digits[probs.argmax()]} with {probs.max():.1%}"
        channels = ", ".join(f"{look.titles[layer]} {channel}" for layer, channel in look.ablated)
        text = f"Ablated: {channels}. {reading}. {facts} instead of "
        text += f"{full_answers.correct[images].double().mean():.2%}"
        buttons.append(Text("All channels on", select={"ablate": None}))
    # the hint stays, so that nothing moves at the first click
    first = Row(chances, classes, Column(Text(HINT, size="hint"), Row(*buttons)), together=True)
    rankings = [ranking_bars(look, layer) for layer in convolutions]
    return Scene(Column(first, *layers, *rankings), f"{look.title}. {text}.")


def paired(look: Look, measure: str, scope: str, full: np.ndarray, ablated: np.ndarray) -> Bars:
    """Fractions by class with all channels, beside those without some."""
    return Bars(
        ticks=look.subject.digits,
        series={"all channels": full, "ablated": ablated},
        axis=FRACTIONS,
        axes=(look.noun.capitalize(), measure),
        title=f"{measure.lower()} {scope}",
    )


def by_class(look: Look, answers: Predictions) -> np.ndarray:
    """The accuracy of each class, (classes,); nan for those without images."""
    classes = look.subject.classes
    labels = look.subject.labels[look.images]
    correct = answers.correct[look.images].double()
    counts = labels.bincount(minlength=classes)
    return (labels.bincount(correct, classes) / counts).numpy()


def ranking_bars(look: Look, name: str) -> Bars:
    """How many images are lost without each channel of a convolution, on a logarithmic axis."""
    lost = look.ranked(name)
    low = np.nan_to_num(lost).min(initial=-10)
    high = len(look.subject.images)  # from the start, so that nothing moves once it is measured
    title = f"{look.titles[name]}: images lost without one channel"
    if np.isnan(lost).all():
        title += " (not measured)"
    return Bars(
        ticks=channel_names(len(lost)),
        series={"lost": log_height(lost)},
        limits=(log_height(low).item(), log_height(high).item()),
        axis={
            number(count, ",.0f"): log_height(count).item()
            for count in COUNTS
            if low <= count <= high
        },
        axes=(f"Channel of {look.titles[name]}", "Images lost"),
        numbers=[number(count, ",.0f") for count in lost.tolist()],
        emphasis=[channel for layer, channel in look.ablated if layer == name],
        title=title,
        select={"ablate": [[name, channel] for channel in range(len(lost))]},
    )


def log_height(counts: np.ndarray) -> np.ndarray:
    """Counts on a logarithmic axis that goes through zero: sign · log10(1 + |count|)."""
    return np.sign(counts) * np.log10(1 + np.abs(counts))
