"""The controls of a view, made from the fields of the selection that it shows, as data."""

from dataclasses import asdict, replace

from mnist_helpers.explorer.selection import Selection
from mnist_helpers.explorer.subject import CHOICES, Look, Subject
from mnist_helpers.explorer.views import VIEWS

Control = dict[str, object]
LABELS = {"input_channel": "Input channel", "target": "Class", "limits": "Colours"}


def controls(subject: Subject, selection: Selection) -> list[Control]:
    """The controls of the open view with their values and ranges."""
    look = subject.look(selection)
    made: list[Control] = []
    for field in VIEWS[selection.view].fields:
        if field == "image":
            made += image_controls(subject, selection)
        elif field in CHOICES:
            made += [choice(field, getattr(selection, field), CHOICES[field])]
        elif field == "weights":
            made += [choice(field, look.at.weights, list(subject.weights))]
        elif field == "target":
            made += [classes(subject, selection, "target", "any")]
        else:
            made += [place(look, field)]
    needless = {"weights", "compare"} if len(subject.weights) == 1 else set()
    return [control for control in made if control["name"] not in needless]


def choice(name: str, value: object, options: list[object]) -> Control:
    """A list to choose from."""
    pairs = [[str(option), option] for option in options]
    return {"name": name, "kind": "choice", "label": label(name), "value": value, "options": pairs}


def classes(subject: Subject, selection: Selection, name: str, none: str) -> Control:
    """A list of the classes, or none of them."""
    control = choice(name, getattr(selection, name), list(range(subject.classes)))
    return control | {"options": [[none, None], *control["options"]]}


def slider(name: str, value: int, count: int, **more: object) -> Control:
    """A slider over `count` steps."""
    disabled = count < 2
    control = {"name": name, "kind": "range", "label": label(name), "value": value}
    return control | {"max": max(count - 1, 0), "disabled": disabled} | more


def image_controls(subject: Subject, selection: Selection) -> list[Control]:
    """A slider over the images that the filter lets through, the filter, and the image's number."""
    chosen = subject.chosen(selection.digit, selection.read).tolist()
    position = chosen.index(selection.image) if selection.image in chosen else 0
    last = len(subject.images) - 1
    return [
        slider("position", position, len(chosen), label="Image", playable=True, counted=True),
        {
            "name": "image",
            "kind": "number",
            "label": "Index",
            "value": selection.image,
            "max": last,
        },
        classes(subject, selection, "digit", "any"),
        choice("read", selection.read, CHOICES["read"]),
    ]


def place(look: Look, name: str) -> Control:
    """A slider over the layers, or over the channels, rows or columns of one."""
    if name == "layer":
        names = list(look.maps)
        return slider(name, names.index(look.at.layer), len(names), values=names, texts=names)
    sizes = dict(zip(("channel", "row", "column"), look.values.shape, strict=True))
    if name == "input_channel":
        sizes[name] = len(look.explained.patch)
    value = getattr(look.at, name) or 0
    return slider(name, min(value, sizes[name] - 1), sizes[name])


def label(name: str) -> str:
    """What a control is called."""
    return LABELS.get(name, name.capitalize())


def moved(subject: Subject, at: Selection, part: dict[str, object]) -> Selection:
    """The selection after a control or a click changed a part of it.

    Beside the fields, `part` may hold "position" (among the images that the filter lets through),
    "ablate" (a channel that is put to zero, or on again; None for all on) and "reset".
    """
    part = dict(part)
    if "reset" in part:
        return Selection(view=at.view)
    if "position" in part:
        part["image"] = int(subject.chosen(at.digit, at.read)[part.pop("position")])
    if "ablate" in part:
        pair = part.pop("ablate")
        part["ablated"] = tuple(sorted({*at.ablated} ^ {tuple(pair)})) if pair else ()
    fields = asdict(at) | part
    at = Selection(**{name: fields[name] for name in asdict(at)})
    if "layer" in part:  # what was chosen in another layer moves inside this one
        place = asdict(subject.look(at).at)
        chosen = [name for name in ("channel", "row", "column") if fields[name] is not None]
        at = replace(at, **{name: place[name] for name in chosen})
    chosen = subject.chosen(at.digit, at.read)
    if at.image in chosen:
        return at
    if "image" in part:  # one that the filter hides takes the filter away
        return replace(at, digit=None, read="all")
    return replace(at, image=int(chosen[0])) if len(chosen) else at
