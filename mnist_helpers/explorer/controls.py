"""The controls of an explorer: ipywidgets for the fields of its selection, in line with it."""

from collections.abc import Iterable
from dataclasses import asdict, replace

import numpy as np
from ipywidgets import (
    BoundedIntText,
    Dropdown,
    GridBox,
    HBox,
    IntSlider,
    Layout,
    Play,
    SelectionSlider,
    VBox,
    Widget,
    dlink,
)
from traitlets import CInt

from mnist_helpers.explorer.look import Look
from mnist_helpers.explorer.selection import ImageFilter, Selection
from mnist_helpers.explorer.subject import Subject
from mnist_helpers.explorer.views import VIEWS

ANY = "any"  # in a list: the field is left open
HELP = {  # the name of a control, and the question behind it
    "position": "Image: Which of the images that the filter lets through?",
    "image": "Number: Which of all images, by its number in the file?",
    "digit": "Digit: Only images of this digit?",
    "read": "Read: All images, only those read rightly, or only those read wrongly?",
    "predicted": "Read as: Only images that are read as this digit?",
    "tenth": "Confidence: Only images that are read as surely as this?",
    "layer": "Layer: Which step of the network?",
    "channel": "Channel: Which of the layer's maps?",
    "row": "Row: Which line of the map, from the top?",
    "column": "Column: Which place of that line, from the left?",
    "input_channel": "Input channel: Which of the maps that the layer reads?",
    "target": "Class: What speaks for which digit?",
    "weights": "Weights: Which network answers?",
    "moment": "Moment: After how many epochs of training?",
    "run": "Run: Which training?",
    "speed": "Speed: How long does each stay?",
    "compare": "Compare: These weights alone, beside others, or the difference?",
    "quantity": "Quantity: The weights, their gradient, or their change?",
    "limits": "Colours: One scale for the layer, for all images, or for each map?",
    "disturbance": "Disturb: What is done to the image first?",
    "amount": "Amount: How much of it?",
    "projection": "Projection: How do many numbers become two?",
    "padding": "Padding: How many zeros around the image?",
    "stride": "Stride: How many pixels from one place to the next?",
}
NUMBERS = ("position", "channel", "row", "column", "input_channel")
STEPS = ("layer", "amount", "moment")
LISTS = (
    "digit", "read", "predicted", "tenth", "target", "weights", "run", "compare", "quantity",
    "limits", "disturbance", "projection", "padding", "stride",
)  # fmt: skip
CLASSES = ("digit", "predicted", "target")
LEFT_OPEN = (*CLASSES, "tenth")
IMAGES = ("position", "play", "image", "digit", "read")  # in a line, with those filters
FILTERS = ("predicted", "tenth")  # that the view has besides
SPEEDS = {"slow": 1000, "normal": 500, "fast": 200}  # ms from one to the next
PLAYED = {"play": ("position", "value"), "play_moments": ("moment", "index")}
NO_FIELDS = (*PLAYED, "speed")
Traits = dict[str, object]


class Slider(IntSlider):
    """A slider whose value isn't sent back to the page: a message less until the picture."""

    value = CInt().tag(sync=True, echo_update=False)


class Controls(VBox):
    """All controls, of which those of the open view are shown.

    Attributes:
        fields: the control of each field of a selection by its name. `position` is that of the
            image among those that the filter lets through, `image` its number; `moment` and `run`
            choose the weights where there are runs; `play` and `play_moments` walk
            them, at a `speed`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.add_class("mnist-controls")
        self.fields = {"image": BoundedIntText()}
        for name in NUMBERS:
            self.fields[name] = Slider()
        for name in STEPS:
            self.fields[name] = SelectionSlider(options=["", ""])
        for name in LISTS:
            self.fields[name] = Dropdown()
        self.fields["speed"] = Dropdown(options=SPEEDS, value=500)
        for name, control in self.fields.items():
            texts = HELP[name].split(": ")
            control.description = texts[0]
            control.tooltip = texts[1]
            control.layout.width = "auto"
        self.fields["position"].readout = False  # the number stands beside it
        for name, (walked, trait) in PLAYED.items():
            self.fields[name] = Play()
            dlink((self.fields["speed"], "value"), (self.fields[name], "interval"))
            dlink((self.fields[name], "value"), (self.fields[walked], trait))
        self.images_line = self.line()
        self.moments_line = self.line("moment", "play_moments", "run", "speed")
        columns = "repeat(auto-fill, minmax(220px, 1fr))"
        self.grid = GridBox(layout=Layout(grid_template_columns=columns))

    def line(self, *names: str) -> HBox:
        """Controls side by side, whose slider takes the room that there is."""
        return HBox([self.fields[name] for name in names], layout=Layout(flex_flow="row wrap"))

    def show(self, look: Look) -> None:
        """Brings all in line with a selection, and shows those of its view."""
        for name, traits in settings(look).items():
            set_changed(self.fields[name], traits)
        view = VIEWS[look.view]
        others = {"image", "drawing", *FILTERS}  # the pad is the control of a drawing
        if look.subject.runs:
            others.add("weights")
        if len(look.subject.networks) == 1:
            others.update(("weights", "compare"))
        grid = [self.fields[name] for name in view.fields if name not in others]
        lines = []
        if "image" in view.fields:
            names = [*IMAGES, *(name for name in FILTERS if name in view.fields)]
            set_changed(self.images_line, {"children": tuple(self.fields[name] for name in names)})
            lines.append(self.images_line)
        if "weights" in view.fields and look.subject.runs:
            lines.append(self.moments_line)
        if grid:
            lines.append(self.grid)
        set_changed(self.grid, {"children": tuple(grid)})
        set_changed(self, {"children": tuple(lines)})


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
            setattr(widget, name, traits[name])


def settings(look: Look) -> dict[str, Traits]:
    """What each control is set to, and what it can be set to, at a selection."""
    subject = look.subject
    places = look.places
    images = subject.image_numbers(look.filter)
    position = slider_traits(len(images), int(np.searchsorted(images, look.image)))
    traits = {
        "position": position,
        "play": position,
        "image": {"max": len(subject.images) - 1, "value": look.image},
        "layer": step_traits(subject.layers, subject.layers, look.layer),
        "amount": step_traits(map(str, places["amount"]), places["amount"], look.amount),
    }
    for name in ("channel", "row", "column"):
        traits[name] = slider_traits(len(places[name]), getattr(look, name))
    if "input_channel" in VIEWS[look.view].fields:
        traits["input_channel"] = slider_traits(len(look.explained.patch), look.read_channel)
    if subject.runs:
        traits.update(moment_settings(subject, look.weights))
    for name in LISTS:
        if name != "run":
            traits[name] = list_traits(subject, name, getattr(look, name))
    return traits


def moment_settings(subject: Subject, weights: str) -> dict[str, Traits]:
    """The same of the moments of a run, and of the runs, each at the nearest moment."""
    moments = list(subject.moments[subject.run_of(weights)])
    epochs = [moment.rpartition(", ")[2] for moment in moments]  # the run is told beside it
    near = [subject.nearest(run, weights) for run in subject.runs]
    run = {"options": tuple(zip(subject.runs, near, strict=True)), "value": weights}
    return {
        "moment": step_traits(epochs, moments, weights),
        "play_moments": {"max": len(moments) - 1, "value": moments.index(weights)},
        "run": run,
    }


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


def list_traits(subject: Subject, name: str, value: object) -> Traits:
    """What a list of values is set to; those that may be left open begin with `ANY`."""
    values = list(subject.known[name])
    if name == "quantity" and len(subject.networks) == 1:
        values.remove("change")
    names = list(map(str, values))
    if name in CLASSES:
        names = subject.digits
    if name == "tenth":
        names = [f"{10 * tenth}–{10 * tenth + 10} %" for tenth in values]
    options = list(zip(names, values, strict=True))
    if name in LEFT_OPEN:
        options.insert(0, (ANY, ANY))
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
    if name in ("moment", "run"):
        return {"weights": value}
    return {name: value}


def selection_after(subject: Subject, at: Selection, changes: Traits) -> Selection:
    """The selection after a control or a click changed a part of it.

    Beside the fields, `changes` may hold "ablate" (a channel that is put to zero, or on again; None
    for all on) and "reset".
    """
    if "reset" in changes:
        return Selection(view=at.view)
    fields = dict(changes)
    if "ablate" in fields:
        pair = fields.pop("ablate")
        fields["ablated"] = ()
        if pair is not None:
            fields["ablated"] = tuple({*at.ablated} ^ {tuple(pair)})
    if "image" in fields:
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
        return replace(after, **asdict(ImageFilter()))
    if len(images):
        return replace(after, image=int(images[0]))
    return after
