"""The lab: one page with the network, its weights and some images, that needs no kernel."""

import base64
import json
from collections.abc import Sequence
from importlib.resources import files
from string import Template

import numpy as np
import safetensors.torch

from mnist_helpers.data import MEAN, STD
from mnist_helpers.explorer import Selection, Subject
from mnist_helpers.explorer.controls import controls
from mnist_helpers.explorer.views import VIEWS
from mnist_helpers.explorer.views.arithmetic import RULES
from mnist_helpers.explorer.views.layers import layer_step
from mnist_helpers.explorer.widget import PAGE as EXPLORER_PAGE
from mnist_helpers.explorer.widget import classic_script
from mnist_helpers.network.receptive_field import map_shape

PAGE = files("mnist_helpers.site").joinpath("page")
SCRIPTS = ("network.js", "views.js", "lab.js")
TABS = ("pipeline", "kernels", "feature_maps", "arithmetic", "ablation", "answer")
PLACE = ("view", "image", "layer", "channel", "row", "column", "input_channel")
FIELDS = (*PLACE, "target", "limits", "ablated")  # of the selection, that the page knows
ALL_IMAGES = "all images"  # limits that would need them all


def lab_page(subject: Subject, nav: str) -> str:
    """The page, around the model and the images of a subject."""
    weights = {name: each.contiguous() for name, each in subject.network.model.state_dict().items()}
    pixels = ((subject.images * STD + MEAN) * 255).round().byte()
    own = [PAGE.joinpath(name).read_text("utf-8") for name in SCRIPTS]
    styles = [EXPLORER_PAGE.joinpath("explorer.css"), PAGE.joinpath("site.css")]
    return Template(PAGE.joinpath("lab.html").read_text("utf-8")).substitute(
        nav=nav,
        style="\n".join(style.read_text("utf-8") for style in styles),
        weights=base64.b64encode(safetensors.torch.save(weights)).decode(),
        pixels=base64.b64encode(pixels.numpy().tobytes()).decode(),
        constants=json.dumps(constants(subject), default=plain).replace("</", "<\\/"),
        script="\n".join([classic_script(), *own]),
    )


def constants(subject: Subject) -> dict[str, object]:
    """What is the same for every selection, for the page's scripts."""
    look = subject.look(Selection())
    known = subject.known | {"view": TABS}
    known["limits"] = [each for each in known["limits"] if each != ALL_IMAGES]
    return {
        "start": {name: getattr(Selection(), name) for name in FIELDS},
        "known": {name: known[name] for name in FIELDS if name in known},
        "views": {name: tab(subject, name) for name in TABS},
        "layers": {
            name: {
                "name": name,
                "op": layer.op,
                "shape": map_shape(layer.shape),
                "inputs": layer.inputs,
                "field": layer.receptive_field,
                "notes": layer_step(look, name).notes,
            }
            for name, layer in subject.layers.items()
        },
        "shapes": {name: each.shape for name, each in subject.network.weights.items()},
        "answer": subject.network.answer,
        "weights": look.at.weights,
        "labels": subject.labels.tolist(),
        "digits": subject.digits,
        "rules": RULES,
        "mean": MEAN,
        "std": STD,
    }


def plain(numbers: Sequence[int] | np.ndarray) -> list:
    """A range or an array as JSON has it."""
    return np.asarray(numbers).tolist()


def tab(subject: Subject, name: str) -> dict[str, object]:
    """The title of a view and those of its controls that the page knows."""
    made = controls(subject, Selection(view=name))
    made = [control for control in made if control["name"] in ("position", *FIELDS)]
    for control in made:
        if control["name"] == "limits":
            control["options"] = [pair for pair in control["options"] if pair[1] != ALL_IMAGES]
    return {"title": VIEWS[name].title, "controls": made}
