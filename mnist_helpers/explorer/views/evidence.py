"""What speaks for an answer: images that excite a channel, pixels, and channels that are missed."""

from collections.abc import Sequence

import numpy as np

from mnist_helpers.config import InputError
from mnist_helpers.explorer.look import Look
from mnist_helpers.explorer.scene import Bars, Column, Row, Scene, Text, number
from mnist_helpers.explorer.views.parts import (
    PIXEL,
    SMALL,
    class_bars,
    frame,
    grid,
    input_picture,
    picture,
    probability_bars,
    said_filter,
    value_box,
)
from mnist_helpers.network.tracing import IMAGE

TOP = 8  # images that are shown
COUNTS = (0, 10, 100, 1_000, 10_000)  # that the axis names


def answer(look: Look) -> Scene:
    """An image and the probability of each class."""
    label = [int(look.subject.labels[look.at.image])] if look.labelled else []
    title = "probability of each digit; orange: the label" if label else "probability"
    bars = probability_bars(look, label, title)
    image = picture(look.image, 196, title=look.name.lower())
    return Scene(Row([image, bars]), f"{look.title}.")


def top_images(look: Look) -> Scene:
    """The images that excite a channel most, one made for it, and its mean over each class."""
    at, labels = look.at, look.subject.labels
    among = look.chosen if at.target is None else look.chosen & (labels == at.target)
    best = look.stats.top_images(at.channel, TOP, among).tolist()
    if not best:
        count = f"none of the {int(look.chosen.sum()):,} images"
        raise InputError(f"{count} is of class {at.target}; choose another class.")
    start = int(look.stats.max[:, at.channel].argmax())  # gradient ascent began there
    made = look.subject.maximized(at.layer, at.weights, at.channel)
    columns = [top_image(look, image) for image in best]
    columns.append(excited(look, start, made, title="gradient ascent", notes=[f"from {start}"]))
    means = look.subject.class_means(at.layer, at.weights)[:, at.channel]
    names = ", ".join(map(str, best[:4]))
    where = "images" if at.target is None else f"images of class {at.target}"
    only = "" if look.chosen.all() else f" Only {said_filter(look.subject, at.filter)}."
    caption = (
        f"{at.layer}, channel {at.channel}: strongest in {where} {names}. {driving(means)}{only}"
    )
    bars = class_bars(
        look,
        ".2g",
        {"mean": means},
        axes=("True digit", "Mean activation"),
        emphasis=[] if at.target is None else [at.target],
        title="mean activation by class",
    )
    return Scene(Column([Row(columns), bars]), caption)


def top_image(look: Look, image: int) -> Column:
    """One of the images that excite the channel most."""
    value = number(look.stats.max[image, look.at.channel].item(), ".2f")
    title = f"{value}, a {look.subject.labels[image]}"
    values = look.subject.images[image].numpy()
    return excited(look, image, values, title, notes=[f"image {image}"], select={"image": image})


def excited(look: Look, image: int, values: np.ndarray, title: str, **mark: object) -> Column:
    """An image (C, H, W) with what the largest value sees of it framed, and that enlarged."""
    place = look.stats.argmax[image, look.at.channel].item()
    box = look.seen(*divmod(place, look.values.shape[2]))
    top, left, bottom, right = box or (0, 0, *values.shape[1:])
    whole = picture(values, SMALL, title=title, frames=frame(box), **mark)
    return Column([whole, picture(values[:, top:bottom, left:right], SMALL, select={})])


def driving(means: np.ndarray) -> str:
    """Which classes a channel answers to most, if it answers to any."""
    order = np.nan_to_num(means, nan=-np.inf).argsort()[::-1][:3]
    drivers = [str(digit) for digit in order if means[digit] > 0]
    if not drivers:
        return "Its mean is above zero for no class."
    return f"Its mean is highest for {', '.join(drivers)}."


def attribution(look: Look) -> Scene:
    """What speaks for a class, by four methods, with one network's weights or two."""
    target = int(look.probs.argmax()) if look.at.target is None else look.at.target
    rows = [attribution_row(look, target, name) for name in look.compared]
    scale = "each map from −1 (blue, against it) to 1 (red, for it)"
    signs = "saliency and Grad-CAM have no sign"
    return Scene(Column(rows), f"{look.title}. What counts for class {target}: {scale}; {signs}.")


def attribution_row(look: Look, target: int, weights: str) -> Row:
    """The image and what each method marks, on one scale from −1 to 1."""
    found = look.subject.attributions(look.at.source, target, weights, *look.disturbed)
    mark = {"frames": frame(value_box(look) if look.at.layer == IMAGE else None), "select": PIXEL}
    maps = [
        grid(values[None], 168, [(-1, 1)], title=method, colour_bar=method == "Grad-CAM", **mark)
        for method, values in found.items()
    ]
    return Row([picture(look.image, 168, title=f"{weights}, class {target}", **mark), *maps])


def ablation(look: Look) -> Scene:
    """What is lost with some channels put to zero."""
    at, subject = look.at, look.subject
    convolutions = subject.network.convolutions
    for name in convolutions if at.rank else ():
        subject.ranking(name, at.weights)
    whole, left = (subject.without(ablated, at.weights) for ablated in ((), at.ablated))
    share = left.correct[look.chosen].double().mean()
    right = f"{said_images(look)}: {share:.2%}"
    hint = "Nothing is ablated. Click a bar to put that channel to zero"
    charts = [input_picture(look, SMALL), Text(text=hint, size="strong")]
    said = f"{hint}. {right}"
    if at.ablated:
        probs = [
            subject.probs_without(ablated, at.weights, at.source) for ablated in ((), at.ablated)
        ]
        before = whole.correct[look.chosen].double().mean()
        accuracies = [by_class(look, each.correct) for each in (whole, left)]
        charts = [
            paired(look, "probability for this image", probs),
            paired(look, "accuracy by class", accuracies),
        ]
        answer = f"This image: {probs[1].argmax()} with {probs[1].max():.1%}"
        said = f"Ablated: {named(at.ablated)}. {answer}. {right} instead of {before:.2%}"
    buttons = [Text(text="All channels on", select={"ablate": None})] if at.ablated else []
    if not at.rank:
        buttons.append(Text(text="Measure every channel", select={"rank": True}))
    rankings = [ranking(look, name) for name in convolutions]
    return Scene(Column([Row(charts), Row(buttons), *rankings]), f"{look.title}. {said}.")


def said_images(look: Look) -> str:
    """Which images are looked at, and how many."""
    count, everything = int(look.chosen.sum()), len(look.chosen)
    if count == everything:
        return f"All {count:,} images"
    only = said_filter(look.subject, look.at.filter)
    return f"The {count:,} of {everything:,} images of {only}"


def named(ablated: Sequence[tuple[str, int]]) -> str:
    """The ablated channels in words."""
    return ", ".join(f"{layer} {channel}" for layer, channel in ablated)


def paired(look: Look, title: str, parts: Sequence[np.ndarray]) -> Bars:
    """Fractions by class with all channels beside those without some, from below the lowest."""
    low = max(0.0, float(np.floor(20 * np.nanmin(parts) - 0.2) / 20))
    series = dict(zip(("all channels", "ablated"), parts, strict=True))
    return class_bars(look, ".0%", series, limits=(low, 1.0), axes=("Digit", ""), title=title)


def by_class(look: Look, correct: np.ndarray) -> np.ndarray:
    """The accuracy of each class, (classes,); nan for those without images."""
    labels, chosen = look.subject.labels, look.chosen
    counts = [
        labels[part].bincount(minlength=look.subject.classes) for part in (correct & chosen, chosen)
    ]
    right, every = counts
    return (right / every).numpy()


def ranking(look: Look, name: str) -> Bars:
    """How many images are lost without each channel of a convolution, on a logarithmic axis."""
    counts = {each: look.ranked(each) for each in look.subject.network.convolutions}
    lost = counts[name]
    measured = " (not measured)" if np.isnan(lost).all() else ""
    every = np.nan_to_num(np.concatenate(list(counts.values())))
    low, high = log_height(np.array([min(every.min(), 0), max(every.max(), 9)])).tolist()
    ticks = [count for count in COUNTS if count <= max(every.max(), 9)]
    return Bars(
        ticks=[str(channel) for channel in range(len(lost))],
        series={"lost": log_height(lost)},
        limits=(low, high),
        axis={f"{count:,}": log_height(count).item() for count in ticks},
        axes=(f"Channel of {name}", "Images lost"),
        numbers=[number(count, ".0f") for count in lost.tolist()],
        emphasis=[channel for layer, channel in look.at.ablated if layer == name],
        title=f"{name}: images lost without one channel{measured}",
        select={"ablate": [[name, channel] for channel in range(len(lost))]},
    )


def log_height(counts: np.ndarray) -> np.ndarray:
    """Counts on a logarithmic axis that goes through zero: sign · log10(1 + |count|)."""
    return np.sign(counts) * np.log10(1 + np.abs(counts))
