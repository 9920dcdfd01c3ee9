"""A convolution by hand: a kernel of the reader's own, slid over the image."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mnist_helpers.explorer.look import Look
from mnist_helpers.explorer.scene import COLUMN, ROW, Column, Item, Row, Scene, Text, number
from mnist_helpers.explorer.views.arithmetic import products
from mnist_helpers.explorer.views.parts import colour_limits, grid
from mnist_helpers.network.activations import kernels
from mnist_helpers.network.tracing import IMAGE

PRESETS = {
    "vertical edges": (-1, 0, 1, -2, 0, 2, -1, 0, 1),
    "horizontal edges": (-1, -2, -1, 0, 0, 0, 1, 2, 1),
    "outline": (-1, -1, -1, -1, 8, -1, -1, -1, -1),
    "sharpen": (0, -1, 0, -1, 5, -1, 0, -1, 0),
    "blur": (0.1,) * 9,
    "nothing new": (0, 0, 0, 0, 1, 0, 0, 0, 0),
}
PLACE = {"layer": IMAGE, "channel": 0, "row": ROW, "column": COLUMN}
SIDE = 196  # of the image, in pixels


def convolve(look: Look) -> Scene:
    """The map that one kernel makes of the image's first channel, and one value of it in full."""
    at = look.at
    kernel = np.reshape(at.kernel or PRESETS["vertical edges"], (3, 3))
    padded = np.pad(look.image[0], at.padding)
    patches = sliding_window_view(padded, kernel.shape)[:: at.stride, :: at.stride]
    made = (patches * kernel).sum(axis=(2, 3))
    row, column = min(at.row, len(made) - 1), min(at.column, made.shape[1] - 1)
    top, left = row * at.stride, column * at.stride
    zoom = SIDE / look.image.shape[2]  # the same for both
    ends = [(look.image[0].min().item(), look.image[0].max().item())]
    window = {0: (top, left, top + 3, left + 3)}
    image = grid(
        padded[None], zoom * padded.shape[1], ends, palette="ink", title="image", frames=window
    )
    result = grid(
        made[None],
        zoom * made.shape[1],
        colour_limits(made[None]),
        title="map",
        frames={0: (row, column, row + 1, column + 1)},
        select=PLACE,
        follows=True,
        colour_bar=True,
    )
    steps = products(patches[row, column], kernel, {}, edit="kernel")
    sizes = f"{padded.shape[0]} × {padded.shape[1]} becomes {made.shape[0]} × {made.shape[1]}"
    options = f"padding {at.padding}, stride {at.stride}: {sizes}"
    value = f"row {row}, column {column}: {number(made[row, column])}"
    caption = f"{look.name} with a kernel of one's own, {options}. Framed: {value}."
    return Scene(Column([Row([image, result, learned(look)]), steps, presets()]), caption)


def presets() -> Row:
    """Kernels to begin with, a button each."""
    known = PRESETS.items()
    buttons = [Text(text=name, select={"kernel": [kernel]}) for name, kernel in known]
    return Row(buttons)


def learned(look: Look) -> Item:
    """The first kernels of the network, to take over, where they are of 3 × 3."""
    name = look.subject.network.convolutions[0]
    found = kernels(look.subject.networks[look.at.weights])[name][:, 0].numpy()
    if found.shape[1:] != (3, 3):
        return Row([])
    taken = found.reshape(-1, 9).astype(float).round(4).tolist()
    labels = [str(channel) for channel in range(len(found))]
    title = f"kernels of {name}"
    return grid(found, 40, columns=4, title=title, labels=labels, select={"kernel": taken})
