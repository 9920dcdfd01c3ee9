"""The views: functions of a `Look` that may raise `Unmeasured`, each with the fields it shows."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from mnist_helpers.explorer.look import Look, require
from mnist_helpers.explorer.scene import Row, Scene, Text
from mnist_helpers.explorer.selection import EVERY, Selection
from mnist_helpers.explorer.subject import Subject
from mnist_helpers.explorer.views.answers import confusion, neighbours
from mnist_helpers.explorer.views.arithmetic import arithmetic
from mnist_helpers.explorer.views.convolve import convolve
from mnist_helpers.explorer.views.drawing import drawing
from mnist_helpers.explorer.views.evidence import ablation, answer, attribution, top_images
from mnist_helpers.explorer.views.layers import feature_maps, kernels, pipeline
from mnist_helpers.explorer.views.parts import filter_text, picture
from mnist_helpers.explorer.views.training import training

AROUND = 11  # layers before and after the selected one, in the trail


class View(NamedTuple):
    """A view: its tab, the question it answers, its function, the fields of the selection it shows.

    The fields make the controls, and more: with "image" or "target" a view is not drawn where the
    filter lets nothing through, without "weights", "drawing" or "disturbance" `shown` takes these
    away, and "layer" brings the trail.
    """

    title: str
    question: str
    draw: Callable[[Look], Scene]
    fields: tuple[str, ...]


IMAGE = ("image", "drawing", "weights")
DISTURBED = (*IMAGE, "disturbance", "amount")
PLACE = (*DISTURBED, "layer", "channel", "row", "column")
VIEWS = {
    "pipeline": View("Pipeline", "How does an image become an answer?", pipeline, PLACE),
    "kernels": View(
        "Kernels",
        "What does a convolution look for?",
        kernels,
        ("layer", "channel", "quantity", "limits", "weights"),
    ),
    "feature_maps": View(
        "Feature maps",
        "What does a layer make of the image?",
        feature_maps,
        (*PLACE, "limits", "compare"),
    ),
    "arithmetic": View(
        "Arithmetic", "How is one value computed?", arithmetic, (*PLACE, "input_channel")
    ),
    "top_images": View(
        "Top images",
        "Which images excite this channel, and which channels does a class excite?",
        top_images,
        ("layer", "channel", "target", "weights"),
    ),
    "attribution": View(
        "Attribution",
        "Which pixels speak for a class?",
        attribution,
        (*DISTURBED, "target", "compare"),
    ),
    "ablation": View("Ablation", "What is lost without a channel?", ablation, IMAGE),
    "answer": View("Answer", "How sure is the network?", answer, DISTURBED),
    "confusion": View(
        "Confusion", "What is mistaken for what?", confusion, ("image", "predicted", "tenth")
    ),
    "neighbours": View(
        "Neighbours", "Which images look alike to the network?", neighbours, ("image", "projection")
    ),
    "drawing": View("Draw", "What is your own digit read as?", drawing, ("drawing", "weights")),
    "convolve": View(
        "Convolve",
        "What does a kernel of your own make of the image?",
        convolve,
        (*IMAGE, "padding", "stride"),
    ),
    "training": View(
        "Training",
        "How did the network become what it is?",
        training,
        ("weights", "layer", "image"),
    ),
}


def require_view(name: str, views: Iterable[str] = VIEWS) -> None:
    """Raises an InputError where there is no such view."""
    require({"view": name}, {"view": list(views)})


def shown(selection: Selection) -> Selection:
    """A selection without what its view would not show: weights, a drawing, a disturbance."""
    for name in ("weights", "drawing", "disturbance", "amount"):
        if name not in VIEWS[selection.view].fields:
            selection = replace(selection, **{name: getattr(Selection, name)})
    return selection


def views_of(subject: Subject) -> dict[str, View]:
    """The views of a subject: that of training only where it has runs."""
    views = dict(VIEWS)
    if not subject.runs:
        del views["training"]
    return views


def draw(subject: Subject, selection: Selection) -> Scene:
    """What the open view shows of a selection.

    Raises:
        InputError: there is no such view of the subject, or nothing to show of that class.
        Unmeasured: something slow is to be measured first, where the subject defers that.
    """
    require_view(selection.view, views_of(subject))
    view = VIEWS[selection.view]
    look = subject.look(shown(selection))
    needs_image = {"image", "target"} & {*view.fields} and view.draw is not confusion
    if needs_image and not len(look.images):
        return Scene(Text("All images", select=EVERY), f"No image matches: {filter_text(look)}.")
    scene = view.draw(look)
    caption = scene.caption
    if selection.weights not in (None, look.weights):
        caption += f" This view always shows the weights {look.weights}."
    if selection.drawing != look.drawing:
        caption += f" Your drawing has no place here: image {look.image} is shown."
    return replace(scene, caption=caption)


def header(look: Look) -> Row:
    """The image, small, and the answer, large; nothing where the filter lets nothing through."""
    if look.view == "drawing" and look.drawing is None:
        return Row(Text("–", size="large", notes=["The pad is empty."]))
    if not len(look.images):
        return Row()
    answer = look.subject.digits[look.answer]
    if look.is_strange:
        answer = "no digit"
    text = Text(answer, size="large", notes=[look.title])
    return Row(picture(look.pixels, 42, unit="image"), text, *why(look))


def why(look: Look) -> list[Text]:
    """Of a misread image, a button: what speaks for its label, or there again for the answer."""
    label = look.answer
    if look.labelled:
        label = int(look.subject.labels[look.image])
    if label == look.answer:
        return []
    text = f"Why not {look.subject.digits[label]}?"
    if look.view == "attribution" and look.target == label:
        text = f"Why {look.subject.digits[look.answer]}?"
        label = None
    select = {"view": "attribution", "target": label, "image": look.image, "weights": look.weights}
    return [Text(text, select=select)]  # of what is shown here, whatever is chosen elsewhere


def trail(look: Look) -> Row:
    """The way from the image to the answer: a button for its ends, and for each layer near by."""
    if "layer" not in VIEWS[look.view].fields:
        return Row()
    names = look.layers
    place = names.index(look.layer)
    steps = [Text("You are here:")]
    for index, name in enumerate(names):
        if index in (0, len(names) - 1) or abs(index - place) <= AROUND:
            steps.append(Text(look.titles[name], select={"layer": name}, framed=name == look.layer))
        elif steps[-1].select:
            steps.append(Text("…"))
    return Row(*steps)
