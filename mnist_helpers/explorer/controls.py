"""The controls of an explorer: ipywidgets for the fields of its selection, in line with it."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import numpy as np
from ipywidgets import (
    BoundedIntText,
    Button,
    Dropdown,
    HBox,
    IntSlider,
    Play,
    SelectionSlider,
    ToggleButton,
    VBox,
    Widget,
    dlink,
)
from traitlets import CInt

from mnist_helpers.digits import picture_ink
from mnist_helpers.explorer.look import Look, amount_text
from mnist_helpers.explorer.selection import EVERY, Selection
from mnist_helpers.explorer.subject import Subject
from mnist_helpers.explorer.views import VIEWS, shown


class Slider(IntSlider):
    """A slider whose value isn't sent back to the page: a message less until the picture."""

    value = CInt().tag(sync=True, echo_update=False)


ANY = "any"  # in a list: the field is left open
# by group, in the order in which they stand: the name of a control, and the question behind it
GROUPS = (
    {
        "image": "Image: Which image, by its number in the data set?",
        "position": "Image: Which of the images that fit the choices below?",
        "digit": "Label: Only images with this label?",
        "read": "Answers: All images, or only those that are read correctly, or wrongly?",
        "predicted": "Read as: Only images that are read as this class?",
        "tenth": "Confidence: Only images that are read with this confidence?",
        "disturbance": "Disturb: What is done to the image first?",
        "amount": "Amount: How much of it?",
    },
    {
        "layer": "Layer: Which step of the network?",
        "channel": "Channel: Which of the layer's maps?",
        "row": "Row: Which row of the map, from the top?",
        "column": "Column: Which column of the map, from the left?",
        "input_channel": "Input channel: Which of the maps that the layer reads?",
    },
    {
        "weights": "Weights: Which network answers?",
        "moment": "Moment: After how many epochs of training?",
        "run": "Run: Which training run?",
        "speed": "Speed: How fast does it play?",
        "compare": "Compare: These weights alone, beside others, or the difference?",
        "target": "Class: For which class?",
        "quantity": "Show: The weights, or how they differ from the other ones?",
        "limits": "Colours: One scale for the layer, with or without outliers, or for each map?",
        "projection": "Arrange: How are many numbers reduced to two?",
        "padding": "Padding: How many zeros around the image?",
        "stride": "Stride: How many pixels from one place to the next?",
    },
)
QUESTIONS = dict(text.split(": ") for group in GROUPS for text in group.values())
NUMBERS = ("position", "channel", "row", "column", "input_channel")
STEPS = ("layer", "amount", "moment")
MOST_STEPS = 24  # layers of a slider; a longer list is searched by the letters of a name
PLAIN = {  # what stands in a list where the values themselves don't tell it
    "compare": ("nothing", "side by side", "difference"),
    "limits": ("no outliers", "by layer", "by map"),
    "tenth": [f"{10 * tenth}–{10 * tenth + 10} %" for tenth in range(10)],
}
CLASSES = ("digit", "predicted", "target")
LEFT_OPEN = (*CLASSES, "tenth")
SPEEDS = {"normal": 500, "slow": 1000, "fast": 200}  # ms from one to the next
MAKERS = {  # of what is no list
    "image": BoundedIntText,
    "speed": partial(Dropdown, options=SPEEDS),
    **dict.fromkeys(NUMBERS, Slider),
    **dict.fromkeys(STEPS, partial(SelectionSlider, options=["", ""], _dom_classes=["mnist-list"])),
}
PLAYED = {"play": ("position", "value"), "play_moments": ("moment", "index")}
NO_FIELDS = (*PLAYED, "speed")
Traits = dict[str, object]


class Controls(VBox):
    """All controls, of which those of the open view are shown, in groups.

    Attributes:
        fields: the control of each field of a selection by its name. `position` is that of the
            image among those that the filter lets through, `image` its number; `moment` and `run`
            choose the weights where there are runs; `play` and `play_moments` walk
            them, at a `speed`.
        fold: opens the controls where a page has little width, and tells where one is.
    """

    def __init__(self, layers: int) -> None:
        super().__init__([HBox() for _ in GROUPS])
        self.add_class("mnist-controls")
        self.fold = ToggleButton(tooltip="Opens and closes the controls")
        self.fold.add_class("mnist-fold")
        self.fields = {}
        for group in GROUPS:
            for name, text in group.items():
                description, tooltip = text.split(": ")
                make = MAKERS.get(name, Dropdown)
                if name == "layer" and layers > MOST_STEPS:
                    make = Dropdown
                self.fields[name] = make(description=description, tooltip=tooltip)
        for name, (walked, trait) in PLAYED.items():
            self.fields[name] = Play()
            dlink((self.fields["speed"], "value"), (self.fields[name], "interval"))
            dlink((self.fields[name], "value"), (self.fields[walked], trait))
        back = Button(icon="chevron-left")
        back.on_click(lambda _: self.step(-1))
        on = Button(icon="chevron-right")
        on.on_click(lambda _: self.step(1))
        images = [self.fields["image"], back, on, self.fields["position"], self.fields["play"]]
        self.shown = dict(self.fields, image=HBox(images))
        self.shown["moment"] = HBox([self.fields["moment"], self.fields["play_moments"]])

    def step(self, offset: int) -> None:
        """Goes to an image before or after this one."""
        self.fields["position"].value += offset

    def show(self, look: Look) -> None:
        """Brings all in line with a selection, and shows those of its view."""
        # what a link brings from a view of other layers is the last of these up to it
        self.fields["layer"].equals = lambda layer, other: (
            layer == replace(look, layer=other).last_upto(look.layers)
        )
        for name, traits in settings(look).items():
            set_changed(self.fields[name], traits)
        names = {*VIEWS[look.view].fields}
        if len(look.subject.networks) == 1:
            names -= {"weights", "compare", "quantity"}
        where = look.name
        if "layer" in names:
            where += f" · {look.titles[look.layer]} · channel {look.channel}"
        self.fold.description = where
        if "image" in names:
            names.update(("digit", "read"))
        if {"image", "target"} & names:  # no filter is out of sight
            names.update(name for name in EVERY if getattr(look, name) != EVERY[name])
        if look.subject.runs and "weights" in names:
            names.remove("weights")
            names.update(("moment", "run", "speed"))
        for box, group in zip(self.children, GROUPS, strict=True):
            box.children = [self.shown[name] for name in group if name in names]


def set_changed(widget: Widget, traits: Traits) -> None:
    """Gives a widget values that are other than those it has.

    One message after the other: a slider on the page whose value lay outside its range for a
    moment would send another value back.
    """
    names = list(traits)
    if "max" in traits and traits["max"] < widget.max:
        names.reverse()
    for name in names:
        if getattr(widget, name) != traits[name]:
            if name == "options" and len(traits[name]) < len(widget.options):
                widget.index = 0  # of a slider over named steps as well
            setattr(widget, name, traits[name])


def settings(look: Look) -> dict[str, Traits]:
    """What each control is set to, and what it can be set to, at a selection."""
    subject = look.subject
    places = look.places
    images = look.images
    position = slider_traits(len(images), int(np.searchsorted(images, look.image)))
    description = "Image"
    if look.drawing:
        description = "Or image"  # which a drawing hides
    names = [amount_text(look.disturbance, amount) for amount in places["amount"]]
    traits = {
        "position": position,
        "play": position,
        "image": {
            "max": len(subject.images) - 1,
            "value": look.image,
            "description": description,
        },
        "layer": step_traits(map(look.titles.get, look.layers), look.layers, look.layer),
        "amount": step_traits(names, places["amount"], look.amount),
    }
    for name in ("channel", "row", "column"):
        traits[name] = slider_traits(len(places[name]), getattr(look, name))
    if "input_channel" in VIEWS[look.view].fields:
        traits["input_channel"] = slider_traits(len(look.explained.patch), look.read_channel)
        traits["input_channel"]["disabled"] |= look.explained.kernel is None  # all count alike
    if subject.runs:
        # the moments of a run, and the runs, each at the nearest moment
        moments = list(subject.moments[subject.run_of(look.weights)])
        epochs = [moment.rpartition(", ")[2] for moment in moments]  # the run is told beside it
        runs = tuple((run, subject.nearest(run, look.weights)) for run in subject.runs)
        traits["moment"] = step_traits(epochs, moments, look.weights)
        traits["play_moments"] = {"max": len(moments) - 1, "value": moments.index(look.weights)}
        traits["run"] = {"options": runs, "value": look.weights}
    for name in subject.known:
        if name not in ("image", "pointed", "layer", "input_channel"):
            traits[name] = list_traits(look, name)
    return traits


def slider_traits(count: int, value: int | None) -> Traits:
    """What a slider over `count` numbers is set to."""
    last = max(count - 1, 1)  # the page can't draw one that has nowhere to go
    return {"max": last, "value": min(value or 0, last), "disabled": count < 2}


def step_traits(names: Iterable[str], values: Iterable, value: object) -> Traits:
    """What a slider over named steps is set to."""
    options = tuple(zip(names, values, strict=True))
    is_alone = len(options) == 1
    if is_alone:
        options *= 2
    return {"options": options, "value": value, "disabled": is_alone}


def list_traits(look: Look, name: str) -> Traits:
    """What a list of values is set to; those that may be left open begin with `ANY`."""
    subject = look.subject
    values = list(subject.known[name])
    names = PLAIN.get(name, map(str, values))
    if name in CLASSES:
        names = subject.digits
    options = list(zip(names, values, strict=True))
    if name in LEFT_OPEN:
        first = ANY
        if name == "target" and look.view == "attribution":
            first = "the answer"
        options.insert(0, (first, ANY))
    value = getattr(look, name)
    if value is None:
        value = ANY
    return {"options": tuple(options), "value": value}


def changes_of(subject: Subject, at: Selection, name: str, value: object) -> Traits:
    """The part of a selection that a control changes when it is moved."""
    if value == ANY and name in LEFT_OPEN:
        value = None
    if name == "position":
        images = subject.image_numbers(at.filter)
        if value >= len(images):  # by a link from elsewhere, where the filter lets nothing through
            return {}
        return {"image": int(images[value])}
    if name in ("weights", "moment", "run"):  # compared at the place that is on the screen
        place = subject.look(shown(at))
        return {
            "weights": value,
            "channel": place.channel,
            "row": place.row,
            "column": place.column,
        }
    return {name: value}


def selection_after(subject: Subject, at: Selection, changes: Traits) -> Selection:
    """The selection after a control or a click changed a part of it.

    Beside the fields, `changes` may hold "ablate": a channel that is put to zero, or on again; None
    for all on; or "picture": one to draw, as `picture_ink` takes it.
    """
    fields = dict(changes)
    if "picture" in fields:
        fields["drawing"] = picture_ink(fields.pop("picture"))
    if "ablate" in fields:
        pair = fields.pop("ablate")
        fields["ablated"] = ()
        if pair is not None:
            fields["ablated"] = tuple({*at.ablated} ^ {tuple(pair)})
    if {"image", *EVERY} & {*fields}:
        fields.update(pointed=None, drawing=None)
    if "disturbance" in fields:
        fields["amount"] = None
    after = replace(at, **fields)
    if "layer" in fields:  # what was chosen in another layer moves inside this one
        place = subject.look(after)
        for name in ("channel", "row", "column"):
            if getattr(after, name) is not None:
                after = replace(after, **{name: getattr(place, name)})
    images = subject.image_numbers(after.filter)
    if after.image in images:
        return after
    if "image" in fields:  # one that the filter hides takes the filter away
        return replace(after, **EVERY)
    if len(images):
        return replace(after, image=int(images[0]))
    return after
