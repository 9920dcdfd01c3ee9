"""A convolution by hand: a kernel of the reader's own, slid over the image."""

import numpy as np

from mnist_helpers.explorer.look import Look
from mnist_helpers.explorer.scene import Column, Item, Row, Scene, Text, number
from mnist_helpers.explorer.views.arithmetic import products
from mnist_helpers.explorer.views.parts import PIXEL, channel_names, grid, picture

PRESETS = {
    "vertical edges": (-1, 0, 1, -2, 0, 2, -1, 0, 1),
    "horizontal edges": (-1, -2, -1, 0, 0, 0, 1, 2, 1),
    "outline": (-1,) * 4 + (8,) + (-1,) * 4,
    "blur": (0.1,) * 9,
}
SIDE = 196  # of the image, in pixels


def convolve(look: Look) -> Scene:
    """The map that one kernel makes of the image's first channel, and one value of it in full."""
    pixels = look.pixels[0]
    kernel = np.reshape(look.kernel or PRESETS["vertical edges"], (3, 3))
    padded = np.pad(pixels, look.padding)
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape)
    patches = windows[:: look.stride, :: look.stride]
    output = (patches * kernel).sum(axis=(2, 3))
    height, width = output.shape
    row = min(look.row, height - 1)
    column = min(look.column, width - 1)
    top = row * look.stride
    left = column * look.stride
    zoom = SIDE / pixels.shape[1]  # the same for both
    image = picture(
        padded[None],
        zoom * padded.shape[1],
        title="image",
        first=-look.padding,
        frames={0: (top, left, top + 3, left + 3)},
    )
    result = grid(
        output[None],
        zoom * width,
        title="map",
        frames={0: (row, column, row + 1, column + 1)},
        select=PIXEL,
        follows=True,
        colour_bar=True,
    )
    steps = products(patches[row, column], kernel, {}, edit="kernel")
    presets = [Text(name, select={"kernel": [weights]}) for name, weights in PRESETS.items()]
    caption = (
        f"{look.name} with your own kernel, padding {look.padding}, stride {look.stride}: "
        f"{padded.shape[0]} × {padded.shape[1]} becomes {height} × {width}. "
        f"Framed: row {row}, column {column}: {number(output[row, column])}."
    )
    images = Row(image, result, learned(look))
    return Scene(Column(images, steps, Row(*presets)), caption)


def learned(look: Look) -> Item:
    """The first kernels of the network, to take over, where they are of 3 × 3."""
    name = look.subject.network.convolutions[0]
    weights = look.subject.kernels("weights", look.weights)[name][:, 0]
    if weights.shape[1:] != (3, 3):
        height, width = weights.shape[1:]
        return Text(
            f"The kernels of {look.titles[name]} are of {height} × {width}, yours of 3 × 3."
        )
    return grid(
        weights,
        40,
        columns=4,
        title=f"kernels of {look.titles[name]}",
        labels=channel_names(len(weights)),
        select={"kernel": weights.reshape(-1, 9).astype(float).round(4).tolist()},
    )
