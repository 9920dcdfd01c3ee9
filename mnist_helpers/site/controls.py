"""The lab's controls, made from the fields of the selection that a view shows, as data."""

from collections.abc import Sequence

from mnist_helpers.explorer.selection import Selection
from mnist_helpers.explorer.subject import Subject
from mnist_helpers.explorer.views import VIEWS

Control = dict[str, object]
LABELS = {
    "input_channel": "Input channel", "target": "Class", "limits": "Colours",
    "predicted": "Read as", "tenth": "Confidence", "disturbance": "Disturb",
}  # fmt: skip
SLIDERS = ("layer", "channel", "row", "column", "input_channel", "amount", "moment")
CLASSES = ("digit", "predicted", "target")
OPTIONAL = (*CLASSES, "tenth")  # may be any


def controls(subject: Subject, selection: Selection) -> list[Control]:
    """The controls of the open view with their values and ranges."""
    look = subject.look(selection)
    known = subject.known | look.places
    names = {name: subject.digits for name in CLASSES}
    names["tenth"] = [f"{10 * tenth}–{10 * tenth + 10} %" for tenth in range(10)]
    made: list[Control] = []
    for name in VIEWS[selection.view].fields:
        if name == "image":
            made += image_controls(subject, selection, names["digit"])
        elif name == "input_channel":
            made.append(control(name, look.at.input_channel, range(len(look.explained.patch))))
        elif name == "drawing":
            continue  # its mark is the control
        elif name == "weights" and subject.runs:
            made += moment_controls(subject, look.at.weights)
        elif name not in ("weights", "compare") or len(subject.networks) > 1:
            made.append(control(name, getattr(look.at, name), known[name], names.get(name)))
    return made


def control(
    name: str, value: object, known: Sequence, names: Sequence[str] | None = None
) -> Control:
    """A slider over what is known, or a list to choose from, by its `names`."""
    label = LABELS.get(name, name.capitalize())
    made = {"name": name, "label": label, "value": value, "kind": "choice"}
    if name not in SLIDERS:
        nothing = [["any", None]] if name in OPTIONAL else []
        texts = names or list(map(str, known))
        return made | {"options": nothing + [list(pair) for pair in zip(texts, known, strict=True)]}
    if not isinstance(known, range):  # steps with names
        texts = [str(each) for each in known]
        made |= {"values": known, "texts": texts, "value": known.index(value)}
    return made | sliding(made["value"], len(known))


def sliding(value: int | None, count: int) -> Control:
    """What makes a slider over `count` steps of a control."""
    last = max(count - 1, 0)
    return {"kind": "range", "max": last, "disabled": not last, "value": min(value or 0, last)}


def image_controls(subject: Subject, selection: Selection, names: Sequence[str]) -> list[Control]:
    """A slider over the images that the filter lets through, the image's number, and the filter."""
    at, known = selection, subject.known
    chosen = subject.chosen(at.filter).tolist()
    position = chosen.index(at.image) if at.image in chosen else 0
    slider = {"name": "position", "label": "Image", "playable": True, "counted": True}
    number = {"name": "image", "label": "Index", "kind": "number", "value": at.image}
    return [
        slider | sliding(position, len(chosen)),
        number | {"max": known["image"][-1]},
        control("digit", at.digit, known["digit"], names),
        control("read", at.read, known["read"]),
    ]


def moment_controls(subject: Subject, weights: str) -> list[Control]:
    """A slider over the moments of a run, and a list of the runs, each at the nearest moment."""
    near = [subject.nearest(run, weights) for run in subject.runs]
    moments = list(subject.moments[subject.run_of(weights)])
    name = {"name": "weights"}
    texts = [moment.rpartition(", ")[2] for moment in moments]  # the run is told beside it
    return [
        control("moment", weights, moments) | name | {"playable": True, "texts": texts},
        control("run", weights, near, list(subject.runs)) | name,
    ]
