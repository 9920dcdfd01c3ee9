"""Any picture of a digit, prepared as MNIST's were."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from mnist_helpers.config import InputError
from mnist_helpers.data import IMAGE_SIZE, normalise

BOX = 20  # MNIST's digits fill a box of 20×20, placed by their centre of mass in 28×28
FAINTEST = 0.1  # of the darkest ink: what still belongs to the digit


def load_digit(path: Path) -> Tensor:
    """Reads a PNG, JPEG or other picture of one digit as a normalised image (1, 28, 28).

    As in MNIST (LeCun et al., 1998): the ink is fitted into 20×20 with its proportions kept, then
    placed so that its centre of mass is the centre of 28×28. Ink may be dark on light or light on
    dark.

    Raises:
        InputError: the file can't be read as a picture, or there is nothing in it.
    """
    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGBA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path} can't be read as an image ({error}); give a PNG or JPEG file."
        ) from error
    on_white = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
    ink = _ink(np.asarray(on_white.convert("L"), dtype=np.float32), path)
    rows, columns = np.nonzero(ink > FAINTEST)
    digit = Image.fromarray(ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
    fitted = ImageOps.contain(digit, (BOX, BOX), Image.Resampling.LANCZOS)
    fitted = np.asarray(fitted).clip(0, 1)
    return normalise(torch.from_numpy(_centre(fitted)).mul(255).round().byte()[None])[0]


def _ink(grey: np.ndarray, path: Path) -> np.ndarray:
    """The contrast of `grey` (H, W) with its ground, the median of the border, in [0, 1]."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ground = np.median(border)
    contrast = (ground - grey if ground > 127 else grey - ground).clip(0)
    if contrast.max() < 20:
        raise InputError(
            f"{path} shows no digit: it is of nearly one colour; give a picture with dark or light "
            "ink on its ground."
        )
    return contrast / contrast.max()


def _centre(digit: np.ndarray) -> np.ndarray:
    """Places `digit`, at most 20×20, in 28×28: its mass centred below and right of the middle."""
    canvas = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.float32)
    corner = []
    for axis, size in enumerate(digit.shape):
        mass = digit.sum(axis=1 - axis)
        middle = (mass * (np.arange(size) + 0.5)).sum() / mass.sum()
        corner.append(int(np.clip(math.ceil(IMAGE_SIZE / 2 - middle), 0, IMAGE_SIZE - size)))
    canvas[corner[0] : corner[0] + digit.shape[0], corner[1] : corner[1] + digit.shape[1]] = digit
    return canvas
