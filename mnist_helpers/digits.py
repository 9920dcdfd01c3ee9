"""Any picture of a digit, prepared as MNIST's were."""

import base64
import io
from functools import partial
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
FAINT = 20  # contrast in 255 below which a picture shows nothing
NOISE = 7  # times its noise: the same
RIM = 25  # a 25th of the shorter side, all around, may be the edge of a scan
SMOOTH = 250  # for each 250 pixels of the longer side one more is averaged to each side
QUIET = 5  # deviation in 255 that most of an even border has
GRID = 50  # sides of the grid on which what varies slowly is found
ROUNDS = 10
OUTLYING = 10  # deviation in 255 from which a value of the grid counts less
LEAST = 0.3  # of the highest contrast: what is surely ink
SPECK = 0.02  # of the largest part's area
GAP = 0.4  # of the tallest part's height: what may lie between the parts of a digit
WIDEST = 1.6  # times its height: the width of a digit
SHEET = 0.78  # of its box is filled by a sheet of paper; a digit, however bold, fills 0.7
ANGLES = np.radians(np.arange(0, 180, 5))
DIRECTIONS = np.stack([np.cos(ANGLES), np.sin(ANGLES)])


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
    left, top, right, bottom = Image.fromarray(ink > FAINTEST * ink.max()).getbbox()
    cropped = ink[top:bottom, left:right]
    scale = BOX / max(cropped.shape)
    height, width = (max(1, int(side * scale + 0.5)) for side in cropped.shape)
    resized = Image.fromarray(cropped).resize((width, height), Image.Resampling.BOX)
    fitted = np.asarray(resized) / np.max(resized)
    centred = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.float32)
    moments = (np.indices(fitted.shape) * fitted).sum(axis=(1, 2))
    # where it begins, so that its mass is centred below and right of the middle
    corner = np.ceil(IMAGE_SIZE / 2 - 0.5 - moments / fitted.sum(dtype=float))
    top, left = corner.clip(0, np.subtract(IMAGE_SIZE, fitted.shape)).astype(int)
    centred[top : top + height, left : left + width] = fitted
    return Prepared(cropped, fitted, centred)


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
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
        ink = find_ink(np.asarray(picture.convert("RGBA")))
    if ink is None:
        raise InputError("The picture shows no digit: it is nearly all one colour.")
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
    pixels, longest = _decoded(path)
    ink = find_ink(pixels)
    if ink is None:
        raise InputError(
            f"{path} shows no digit: it is nearly all one colour; give a picture with dark ink on "
            "a light ground, or the reverse."
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


def find_ink(pixels: np.ndarray) -> np.ndarray | None:
    """The ink in `pixels` (H, W, 4), in [0, 1], and nothing else; None where there is none.

    It may be dark on light or light on dark, in the channel that shows it best; of a sheet on a
    desk it is that on the sheet. explorer/page/pictures.js does much the same without a kernel.
    """
    from scipy import ndimage

    ink = _find_contrast(pixels)
    if ink is None:
        return None
    step = max(ink.shape) // 100 + 1
    points = np.argwhere(ink[::step, ::step] > LEAST)
    extents = np.ptp(points @ DIRECTIONS, axis=0) + 1
    box = (extents * np.roll(extents, 18)).min()  # the smallest, however it is turned
    if extents.min() > max(BOX, extents.max() / 2) and len(points) > SHEET * box:
        sheet = ndimage.binary_erosion(ndimage.binary_fill_holes(ink > LEAST), iterations=step)
        nearest = ndimage.distance_transform_edt(~sheet, None, False, True)  # paper to each place
        ink = _find_contrast(pixels[tuple(nearest)])
    return ink


def _find_contrast(pixels: np.ndarray) -> np.ndarray | None:
    """What stands out in `pixels`, as `find_ink` has it: ink, or a sheet on a desk."""
    from scipy import ndimage

    opacity = pixels[..., 3:] / 255
    values = 255 + opacity * (pixels[..., :3] - 255.0)  # on white
    if np.ptp(values, axis=(0, 1)).max() < FAINT:
        values = 255 * opacity  # such as white ink on nothing
    side = max(pixels.shape)
    rim = min(pixels.shape[:2]) // RIM
    inner = np.s_[rim : -rim or None]  # without the edge of a scan
    smooth = side // SMOOTH * 2 + 1
    values = ndimage.uniform_filter(values, (smooth, smooth, 1), mode="nearest")
    contrast = values - _ground(values, values[inner, inner])
    contrast = np.concatenate([contrast, -contrast], axis=2)
    height = contrast[inner, inner].max(axis=(0, 1))
    best = (height - contrast[inner, inner].std(axis=(0, 1))).argmax()  # lines on the paper add
    ink = contrast[..., best]
    noise = np.quantile(np.abs(ink), 0.25) / 0.3186  # sigma, if it is normal
    if height[best] < max(FAINT, NOISE * noise):
        return None
    ink = (ink / height[best]).clip(0, 1)
    is_ink = ink > LEAST
    labels, count = ndimage.label(is_ink, np.ones((3, 3)))
    areas = np.bincount(labels[inner, inner].ravel(), minlength=count + 1)
    areas[0] = 0
    inside = areas.copy()
    inside[_border(labels)] = 0
    if 2 * inside.max() >= areas.max():
        areas = inside  # what touches the border is no digit, unless there is no other
    is_digit = (areas >= SPECK * areas.max())[labels]
    near = ndimage.maximum_filter(is_digit, max(1, side // 20) * 2 + 1)
    return np.where(is_digit | near & ~is_ink, ink, 0).astype(np.float32)


def _border(values: np.ndarray) -> np.ndarray:
    """The outermost of values (H, W, ...), (N, ...)."""
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


def _ground(values: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """What `values` (H, W, C) would be without ink: the border's median, or what varies slowly.

    That is found on a coarse grid by local means in which outliers count little (Cauchy's
    weights), again and again of what is left.
    """
    from scipy import ndimage

    border = _border(inner)
    middle = np.median(border, axis=0)
    if (np.abs(border - middle) <= QUIET).mean() >= 0.6:
        return middle
    step = -(-max(values.shape) // GRID)
    coarse = values[::step, ::step]
    size = max(coarse.shape) // 6 * 2 + 1
    blur = partial(ndimage.uniform_filter, size=(size, size, 1), mode="nearest")
    ground = middle
    for _ in range(ROUNDS):
        rest = coarse - ground
        weights = 1 / (OUTLYING**2 + rest**2)
        ground = ground + blur(rest * weights) / blur(weights)
        ground = ground.clip(coarse.min(), coarse.max())
    return ndimage.zoom(ground, np.divide(values.shape, ground.shape), order=1)


def split_ink(ink: np.ndarray) -> list[np.ndarray]:
    """The ink (H, W) of each digit, line by line and from left to right."""
    from scipy import ndimage

    digits = _join_parts(ink > LEAST)
    # what is fainter belongs to the nearest digit
    nearest = ndimage.distance_transform_edt(digits == 0, None, False, True)
    owners = digits[tuple(nearest)]
    boxes = dict(enumerate(ndimage.find_objects(digits), start=1))
    lines = []
    for digit in sorted(filter(boxes.get, boxes), key=lambda digit: boxes[digit][1].start):
        rows = boxes[digit][0]
        for line in lines:
            before = boxes[line[-1]][0]
            shared = min(rows.stop, before.stop) - max(rows.start, before.start)
            if 4 * shared > rows.stop - rows.start:
                line.append(digit)
                break
        else:
            lines.append([digit])
    lines.sort(key=lambda line: boxes[line[0]][0].start)
    return [np.where(owners == digit, ink, 0) for line in lines for digit in line]


def _join_parts(is_ink: np.ndarray) -> np.ndarray:
    """The number of the digit that each pixel (H, W) of ink belongs to; 0: there is no ink.

    A digit is what hangs together. A part of less than half the tallest's height belongs to the
    nearest, such as the bar of a 5, as does one that stands above another, across a small gap.
    """
    from scipy import ndimage

    parts = ndimage.label(is_ink, np.ones((3, 3)))[0]
    heights = np.array([rows.stop - rows.start for rows, _ in ndimage.find_objects(parts)])
    digits = parts.copy()
    for part in heights.argsort()[:-1]:
        own = digits == digits[parts == part + 1][0]
        distances = ndimage.distance_transform_edt(~own)
        distances[own | ~is_ink] = np.inf
        nearest = digits.flat[distances.argmin()]
        columns = own.any(axis=0)
        other_columns = (digits == nearest).any(axis=0)
        shared = (columns & other_columns).sum()
        is_above = 2 * shared > min(columns.sum(), other_columns.sum())
        is_near = distances.min() < GAP * heights.max()
        if 2 * own.any(axis=1).sum() < heights.max() or (is_above and is_near):
            digits[own] = nearest
    return digits
