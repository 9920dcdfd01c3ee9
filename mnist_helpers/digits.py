"""Any picture of a digit, prepared as MNIST's were."""

import base64
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from mnist_helpers.config import DRAWINGS_DIR, InputError
from mnist_helpers.data import IMAGE_SIZE, MEAN, STD, normalise
from mnist_helpers.files import decoding, file_kind, read_file, require_writable, write_files

BOX = 20  # MNIST's digits fill a box of 20×20, placed by their centre of mass in 28×28
FAINTEST = 0.1  # of the darkest ink: what still belongs to the digit
PAD = 140  # sides of a sheet to draw on, in pixels
SIDE = 500  # pixels to which a larger picture is shrunk first
MOST_BYTES = 100_000_000  # of a picture's file
MOST_PIXELS = 64_000_000  # of what it unpacks to
REMEDY = "give a PNG or JPEG file of at most 64 million pixels"
WIDEST = 1.6  # times its height: the width of a digit


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


class Digit(NamedTuple):
    """A digit found in a picture: `image` as `Prepared` has it, `box` left, top, right, bottom."""

    image: Tensor
    box: list[int]


def prepare(ink: np.ndarray) -> Prepared:
    """Brings `ink` (H, W) in [0, 1] into MNIST's form (LeCun et al., 1998).

    It is fitted into 20 × 20 with its proportions kept, then placed so that its centre of mass is
    the centre of 28 × 28.
    """
    box = Image.fromarray(ink > FAINTEST * ink.max()).getbbox()
    cropped = Image.fromarray(ink).crop(box)
    scale = BOX / max(cropped.size)
    width, height = (max(1, int(side * scale + 0.5)) for side in cropped.size)
    resized = cropped.resize((width, height), Image.Resampling.BOX)
    fitted = np.asarray(resized) / np.max(resized)
    centred = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.float32)
    moments = (np.indices(fitted.shape) * fitted).sum(axis=(1, 2))
    # where it begins, so that its mass is centred below and right of the middle
    corner = np.ceil(IMAGE_SIZE / 2 - 0.5 - moments / fitted.sum(dtype=float))
    top, left = corner.clip(0, np.subtract(IMAGE_SIZE, fitted.shape)).astype(int)
    centred[top : top + height, left : left + width] = fitted
    return Prepared(np.asarray(cropped), fitted, centred)


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
        raise InputError(
            f"drawing is {text!r:.20}, but must be a byte for each of {PAD} × {PAD} pixels, "
            "in base64."
        )
    ink = np.frombuffer(content, np.uint8).reshape(PAD, PAD).astype(np.float32) / 255
    if ink.max() < FAINTEST:
        raise InputError("Nothing is drawn; draw a digit on the pad, or choose an image.")
    return ink


def picture_ink(url: str) -> str:
    """What a picture (a data URL) shows, as a drawing that fills the pad: what `pad_ink` takes.

    Raises:
        InputError: there is nothing in it.
    """
    from mnist_helpers.foreign.ink import find_ink

    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
        ink = find_ink(np.asarray(picture.convert("RGBA")))
    if ink is None:
        raise InputError("The picture shows no digit: nothing written stands out in it.")
    digit = Image.fromarray((255 * ink).astype(np.uint8))
    digit = digit.crop(Image.fromarray(ink > FAINTEST).getbbox())
    # a tenth of the pad stays free on each side, to draw on
    sheet = ImageOps.expand(ImageOps.pad(digit, (PAD - 28, PAD - 28)), 14)
    return base64.b64encode(sheet.tobytes()).decode()


def load_digits(path: Path) -> list[Digit]:
    """Finds the digits in a PNG, JPEG or other picture, from left to right.

    Raises:
        InputError: the file can't be read as a picture, there is nothing in it, or digits touch.
    """
    from mnist_helpers.foreign.ink import LEAST, find_ink, split_ink

    pixels, longest = _decoded(path)
    ink = find_ink(pixels)
    if ink is None:
        raise InputError(
            f"{path} shows no digit: nothing written stands out in it; give a picture with dark "
            "ink on a light ground, or the reverse, and no lines as dark and broad as it."
        )
    digits = []
    for part in split_ink(ink):
        ends = np.array(Image.fromarray(part > LEAST).getbbox())
        left, top, right, bottom = (ends * longest / max(ink.shape)).round().astype(int).tolist()
        if right - left > WIDEST * (bottom - top):
            raise InputError(
                f"{path} shows something from {left} to {right} that is wider than a digit and "
                "can't be separated; leave room between digits."
            )
        digits.append(Digit(prepare(part).image, [left, top, right, bottom]))
    return digits


def keep(image: Tensor, digit: int, folder: Path = DRAWINGS_DIR) -> Path:
    """Writes an image (1, 28, 28) as the next PNG of its digit, such as 7/0001.png; its path.

    Folders of such pictures are a data set, as `readers` reads it.

    Raises:
        InputError: there is no such digit, or nothing can be written there.
    """
    if digit not in range(10):
        raise InputError(f"digit is {digit!r:.80}, but must be a whole number from 0 to 9.")
    beside = folder / str(digit)
    numbers = [int(path.stem) for path in beside.glob("[0-9]*.png") if path.stem.isdecimal()]
    path = beside / f"{max(numbers, default=0) + 1:04}.png"
    require_writable(path, "folder")
    content = io.BytesIO()
    greys = (image[0].numpy() * STD + MEAN) * 255
    Image.fromarray(greys.round().astype(np.uint8)).save(content, "PNG")
    write_files({path: content.getvalue()})
    return path


def _decoded(path: Path) -> tuple[np.ndarray, int]:
    """The pixels (H, W, 4) of a picture, upright and not too many; its longest side in the file."""
    content = read_file(path, MOST_BYTES, REMEDY)
    kind = file_kind(content)
    if kind:
        raise InputError(f"{path} is {kind}; save it as JPEG or PNG.")
    with (
        decoding(path, "can't be read as an image", REMEDY),
        Image.open(io.BytesIO(content)) as picture,
    ):
        longest = max(picture.size)
        picture.draft(None, (SIDE, SIDE))  # a JPEG can be unpacked at a part of its size
        if np.prod(picture.size) > MOST_PIXELS:
            raise ValueError(f"it has {picture.width} × {picture.height} pixels")
        ImageOps.exif_transpose(picture, in_place=True)
        small = picture
        if picture.mode[0] in "FI":  # decimals or 16 bits, which Pillow would cut off at 255
            values = np.nan_to_num(np.asarray(picture, np.float32))
            values = values.clip(0) / max(values.max(), 1e-9)
            small = Image.fromarray((255 * values).astype(np.uint8))
        small = small.convert("RGBA")
        small.getexif()  # an error where it is spoilt, and nobody knows how the picture lies
        small.thumbnail((SIDE, SIDE))
        return np.asarray(small), longest
