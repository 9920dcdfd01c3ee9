"""The views: pure functions of a subject and a selection, each with the fields that it shows."""

from collections.abc import Callable
from typing import NamedTuple

from mnist_helpers.explorer.scene import Scene, Text
from mnist_helpers.explorer.selection import Selection
from mnist_helpers.explorer.subject import Look, Subject, require
from mnist_helpers.explorer.views.arithmetic import arithmetic
from mnist_helpers.explorer.views.convolve import convolve
from mnist_helpers.explorer.views.evidence import ablation, answer, attribution, top_images
from mnist_helpers.explorer.views.layers import feature_maps, kernels, pipeline


class View(NamedTuple):
    """A view: the title of its tab, its function, and the fields of the selection it shows."""

    title: str
    draw: Callable[[Look], Scene]
    fields: tuple[str, ...]


PLACE = ("layer", "channel", "row", "column")
VIEWS = {
    "pipeline": View("Pipeline", pipeline, ("image", *PLACE, "weights")),
    "kernels": View("Kernels", kernels, ("layer", "channel", "quantity", "limits", "weights")),
    "feature_maps": View(
        "Feature maps", feature_maps, ("image", *PLACE, "limits", "compare", "weights")
    ),
    "arithmetic": View("Arithmetic", arithmetic, ("image", *PLACE, "input_channel", "weights")),
    "top_images": View("Top images", top_images, ("layer", "channel", "target", "weights")),
    "attribution": View("Attribution", attribution, ("image", "target", "compare", "weights")),
    "ablation": View("Ablation", ablation, ("image", "weights")),
    "answer": View("Answer", answer, ("image", "weights")),
    "convolve": View("Convolve", convolve, ("image", "padding", "stride", "weights")),
}
READ = {"all": "", "right": " that is read rightly", "wrong": " that is read wrongly"}


def draw(subject: Subject, selection: Selection) -> Scene:
    """What the open view shows of a selection.

    Raises:
        InputError: there is no such view, or nothing to show of that class.
        Unmeasured: something slow is to be measured first, where the subject defers that.
    """
    require({"view": selection.view}, {"view": list(VIEWS)})
    view = VIEWS[selection.view]
    if "image" in view.fields and not len(subject.chosen(selection.digit, selection.read)):
        digit = "any digit" if selection.digit is None else f"digit {selection.digit}"
        said = f"There is no image of {digit}{READ[selection.read]}; choose another filter."
        return Scene(Text(text=said, size="strong"), said)
    return view.draw(subject.look(selection))
