"""A digit of the reader's own: how it is prepared, and what the network makes of it."""

import torch

from mnist_helpers.data import IMAGE_SIZE, MEAN, STD
from mnist_helpers.digits import pad_ink, prepare
from mnist_helpers.explorer.look import Look
from mnist_helpers.explorer.scene import Column, Pad, Row, Scene, Text
from mnist_helpers.explorer.views.answers import alike
from mnist_helpers.explorer.views.layers import layer_step
from mnist_helpers.explorer.views.parts import PIXEL, SMALL, picture, probability_bars

INVITATION = "Draw a digit on the pad, or use the chosen image."
UNFIT = "A drawing needs a network that reads grey images of 28 × 28 pixels."


def drawing(look: Look) -> Scene:
    """A pad, beside it the answer and the steps that make its ink an image of MNIST's form."""
    if look.pixels.shape != (1, IMAGE_SIZE, IMAGE_SIZE):
        return Scene(Text(UNFIT, size="strong"), UNFIT)
    subject = look.subject
    example = subject.images[look.image][0].numpy() * STD + MEAN
    pad = Pad(title="pad", ink=look.drawing, example=example)
    if look.drawing is None:
        # laid out as below, for the page keeps what stays in its place: the pad, amid a stroke
        empty = Column(Row(pad, Text(INVITATION, size="strong")), Row())
        return Scene(empty, f"{INVITATION} Chosen: image {look.image}.")
    prepared = prepare(pad_ink(look.drawing))
    height, width = prepared.fitted.shape
    steps = {
        "1. cropped": prepared.cropped[::2, ::2],  # half as fine
        f"2. fitted: {height} × {width}": prepared.fitted,
        "3. centred by mass": prepared.centred,
    }
    pictures = []
    for title, values in steps.items():
        side = SMALL * values.shape[1] // max(values.shape)
        pictures.append(picture(values[None], side, title=title))
    pictures.append(picture(look.pixels, SMALL, title="4. normalised", select=PIXEL))
    bars = probability_bars(look, title=look.title)
    # the own weights tell what is alike, whatever weights answer
    hidden = subject.maps(look.image_or_ink, subject.own)[subject.hidden]
    features = torch.from_numpy(hidden.reshape(1, -1))
    first = Row(pad, Column(bars, Row(*pictures)))
    return Scene(Column(first, Row(passed(look), alike(look, features))), f"{look.title}.")


def passed(look: Look) -> Row:
    """What the poolings, and the layers behind the last of them, make of it."""
    layers = look.subject.layers
    names = [name for name, layer in layers.items() if layer.op == "MaxPool2d"]
    if names:
        order = list(layers)
        behind = order[order.index(names[-1]) + 1 :]
        names += [name for name in behind if layers[name].op != "Flatten"]
    return Row(*[layer_step(look, name) for name in names])
