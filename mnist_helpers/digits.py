"""Any picture of a digit, prepared as MNIST's were."""

import base64
import io
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from mnist_helpers.config import InputError
from mnist_helpers.data import IMAGE_SIZE, normalise
from mnist_helpers.files import decoding, read_file

BOX = 20  # MNIST's digits fill a box of 20×20, placed by their centre of mass in 28×28
FAINTEST = 0.1  # of the darkest ink: what still belongs to the digit
PAD = 140  # sides of a sheet to draw on, in pixels
SIDE = 1000  # pixels to which a larger picture is shrunk first
MOST_BYTES = 100_000_000  # of a picture's file
MOST_PIXELS = 64_000_000  # of what it unpacks to
REMEDY = "give a PNG or JPEG file of at most 64 million pixels"
TOPS = (1, 255, 65_535)  # what white can be in a picture of decimals or of 16 bits


class Prepared(NamedTuple):
    """A digit on its way into MNIST's form, as arrays in [0, 1] with ink at 1.

    Attributes:
        cropped: without the empty margin, (H, W).
        fitted: at most 20 × 20, its darkest ink at 1.
        centred: by its mass, (28, 28).
    """

    cropped: np.ndarray
    fitted: np.ndarray
    centred: np.ndarray

    @property
    def image(self) -> Tensor:
        """Normalised, (1, 28, 28)."""
        return normalise(torch.from_numpy(self.centred).mul(255).round().byte()[None])[0]


def prepare(ink: np.ndarray) -> Prepared:
    """Brings `ink` (H, W) in [0, 1] into MNIST's form (LeCun et al., 1998).

    It is fitted into 20 × 20 with its proportions kept, then placed so that its centre of mass is
    the centre of 28 × 28.
    """
    rows, columns = np.nonzero(ink > FAINTEST * ink.max())
    cropped = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = BOX / max(cropped.shape)
    height, width = (max(1, int(side * scale + 0.5)) for side in cropped.shape)
    resized = Image.fromarray(cropped).resize((width, height), Image.Resampling.BOX)
    fitted = np.asarray(resized) / np.max(resized)
    return Prepared(cropped, fitted, _centre(fitted))


def pad_ink(text: str) -> np.ndarray:
    """The ink (140, 140) in [0, 1] of a drawing: a byte for each pixel, in base64.

    Raises:
        InputError: it is no such text, or nothing is drawn.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        content = b""
    if len(content) != PAD**2:
        form = f"a byte for each of {PAD} × {PAD} pixels, in base64"
        raise InputError(f"drawing is {text!r:.20}, but must be {form}.")
    ink = np.frombuffer(content, np.uint8).reshape(PAD, PAD).astype(np.float32) / 255
    if ink.max() < FAINTEST:
        raise InputError("Nothing is drawn; draw a digit on the pad, or choose an image.")
    return ink


def load_digit(path: Path) -> Tensor:
    """Reads a PNG, JPEG or other picture of one digit as a normalised image (1, 28, 28).

    Ink may be dark on light or light on dark; `prepare` does the rest.

    Raises:
        InputError: the file can't be read as a picture, or there is nothing in it.
    """
    content = read_file(path, MOST_BYTES, REMEDY)
    with (
        decoding(path, "can't be read as an image", REMEDY),
        Image.open(io.BytesIO(content)) as picture,
    ):
        picture.draft(None, (SIDE, SIDE))  # a JPEG can be unpacked at a part of its size
        if math.prod(picture.size) > MOST_PIXELS:
            raise ValueError(f"it has {picture.width} × {picture.height} pixels")
        turn = picture.getexif().get(ExifTags.Base.Orientation)
        small = picture
        if picture.mode[0] in "FI":  # decimals or 16 bits, which Pillow would cut off at 255
            values = np.nan_to_num(np.asarray(picture, np.float32))
            top = next((top for top in TOPS if values.max() <= top), values.max())
            small = Image.fromarray((values.clip(0) * (255 / top)).astype(np.uint8))
        small = small.convert("RGBA")
        small.thumbnail((SIDE, SIDE))
        small.getexif()[ExifTags.Base.Orientation] = turn or 1
        upright = ImageOps.exif_transpose(small)
    on_white = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
    return prepare(_ink(np.asarray(on_white.convert("L"), dtype=np.float32), path)).image


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
    height, width = digit.shape
    top = _corner(digit.sum(axis=1))
    left = _corner(digit.sum(axis=0))
    canvas[top : top + height, left : left + width] = digit
    return canvas


def _corner(mass: np.ndarray) -> int:
    """Where a digit begins along one axis, by the sums of its ink across it."""
    middle = (mass * (np.arange(len(mass)) + 0.5)).sum() / mass.sum()
    return int(np.clip(math.ceil(IMAGE_SIZE / 2 - middle), 0, IMAGE_SIZE - len(mass)))
