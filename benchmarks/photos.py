"""Reads generated photos of digits, as people take them: `python benchmarks/photos.py [part]`.

Writes photos.json beside this file: the share read right of each kind, by `predict` and, under the
names that begin with "pad:", on the pad of a notebook. Digits of the test file (or
of `val`, on which constants are chosen) are drawn by lot from one seed, laid somewhere on a sheet,
and photographed badly in one way each. Read right is a photo that shows one digit, and that digit.
"""

import base64
import collections
import io
import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from tqdm import tqdm

from mnist_helpers import InputError, load_checkpoint, load_splits
from mnist_helpers.data import MEAN, STD
from mnist_helpers.digits import load_digits, pad_ink, picture_ink, prepare

SEED = 2028
EACH = 20  # photos of each kind, strength and polarity
SHEET = 400  # sides of a sheet, in pixels
PAPER, PEN = 235, 25
LINES = (150, 185, 225)  # the blue of ruled paper


def sheet(cover: np.ndarray, paper: object = PAPER, pen: object = PEN) -> np.ndarray:
    """A sheet (H, W, 3) of a colour, with ink of another where `cover` (H, W) is 1."""
    paper = np.broadcast_to(np.asarray(paper, float), 3)
    pen = np.broadcast_to(np.asarray(pen, float), 3)
    return paper + cover[..., None] * (pen - paper)


def places(cover: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, from 0 to 1."""
    return np.meshgrid(*(np.linspace(0, 1, side) for side in cover.shape), indexing="ij")


def shaded(cover: np.ndarray, end: int) -> np.ndarray:
    """Light that falls from one side: 230 at the left, `end` at the right."""
    light = 230 + (end - 230) * places(cover)[1]
    return sheet(cover, 1, 0.1) * light[..., None]


def lit(cover: np.ndarray, row: float, column: float, least: float) -> np.ndarray:
    """Light that falls off from a place, as under a lens or a lamp, to `least` in the corner."""
    rows, columns = places(cover)
    distance = (rows - row) ** 2 + (columns - column) ** 2
    return sheet(cover) * (1 - (1 - least) * distance / distance.max())[..., None]


def shadowed(cover: np.ndarray, dark: float) -> np.ndarray:
    """A shadow whose edge, of a tenth of the sheet, falls across it."""
    rows, columns = places(cover)
    inside = np.clip((0.3 * rows + columns - 0.6) / 0.1, 0, 1)
    return sheet(cover) * (1 - (1 - dark) * inside)[..., None]


def framed(cover: np.ndarray, top: int, right: int, bottom: int, left: int) -> np.ndarray:
    """The dark edges of a scan, so many pixels wide."""
    inner = np.zeros_like(cover)
    height, width = cover.shape
    inner[top : height - bottom, left : width - right] = 1
    return sheet(cover) * inner[..., None]


def noisy(cover: np.ndarray, sigma: float, lot: np.random.Generator) -> np.ndarray:
    """Noise of a camera."""
    return sheet(cover) + lot.normal(0, sigma, (*cover.shape, 3))


def blurred(cover: np.ndarray, radius: float) -> np.ndarray:
    """Out of focus."""
    picture = Image.fromarray(sheet(cover).clip(0, 255).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), float)


def ruled(cover: np.ndarray, squared: bool) -> np.ndarray:
    """Blue lines every 40 pixels, 2 wide, over them the ink."""
    lines = np.zeros_like(cover, bool)
    lines[20::40] = lines[21::40] = True
    if squared:
        lines[:, 20::40] = lines[:, 21::40] = True
    ground = np.where(lines[..., None], LINES, float(PAPER))
    return ground + cover[..., None] * (PEN - ground)


def through(cover: np.ndarray, ink: int) -> np.ndarray:
    """Strokes on a transparent ground, (H, W, 4)."""
    return np.dstack([np.full((*cover.shape, 3), float(ink)), 255 * cover])


def phone(cover: np.ndarray, lot: np.random.Generator) -> np.ndarray:
    """Some of it all: light from a side, a lens, noise."""
    light = lit(cover, 0.4, 0.3, 0.5) / PAPER
    return 220 * light * sheet(cover, 1, 0.8) + lot.normal(0, 8, (*cover.shape, 3))


def on_desk(
    cover: np.ndarray, desk: object, angle: float, outside: int, lot: np.random.Generator
) -> np.ndarray:
    """A sheet, turned by some degrees, on a desk under a lamp; it may leave the photo."""
    sides = np.array([1.3, 1.9]) * SHEET
    photo = Image.fromarray(np.broadcast_to(desk, (*sides.astype(int), 3)).astype(np.uint8))
    paper = Image.fromarray(sheet(cover).astype(np.uint8)).convert("RGBA")
    paper = paper.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    left, top = (lot.integers(0, np.subtract(photo.size, paper.size) + 1)).tolist()
    if outside:
        left = -outside
    photo.paste(paper, (left, top), paper)
    light = lit(np.zeros(photo.size[::-1]), 0.3, 0.2, 0.6) / PAPER
    return np.asarray(photo, float) * light + lot.normal(0, 5, light.shape)


Kind = Callable[[np.ndarray, np.random.Generator], np.ndarray]
KINDS: dict[str, list[Kind]] = {  # strengths, which get the ink's cover and a lot
    "plain": [lambda cover, lot: sheet(cover)],
    "shaded": [
        lambda cover, lot: shaded(cover, 140),
        lambda cover, lot: shaded(cover, 90),
        lambda cover, lot: np.rot90(shaded(np.rot90(cover), 90), -1),
    ],
    "vignette": [
        lambda cover, lot: lit(cover, 0.5, 0.5, 0.6),
        lambda cover, lot: lit(cover, 0.5, 0.5, 0.35),
    ],
    "lamp": [
        lambda cover, lot: lit(cover, 0.1, 0.2, 0.5),
        lambda cover, lot: lit(cover, 0.9, 0.5, 0.3),
    ],
    "shadow": [lambda cover, lot: shadowed(cover, 0.75), lambda cover, lot: shadowed(cover, 0.5)],
    "grey paper": [
        lambda cover, lot: sheet(cover, 127, 20),
        lambda cover, lot: sheet(cover, 110, 20),
        lambda cover, lot: sheet(cover, 60, 10),
    ],
    "coloured paper": [
        lambda cover, lot: sheet(cover, (255, 0, 0), 0),
        lambda cover, lot: sheet(cover, (0, 255, 0), 0),
        lambda cover, lot: sheet(cover, (0, 0, 255), 0),
    ],
    "coloured ink": [
        lambda cover, lot: sheet(cover, PAPER, (30, 50, 200)),
        lambda cover, lot: sheet(cover, PAPER, (235, 220, 40)),
        lambda cover, lot: sheet(cover, (200, 60, 50), (40, 150, 60)),
    ],
    "transparent": [
        lambda cover, lot: through(cover, 255),
        lambda cover, lot: through(cover, 0),
    ],
    "frame": [
        lambda cover, lot: framed(cover, 6, 6, 6, 6),
        lambda cover, lot: framed(cover, 0, 12, 3, 0),
    ],
    "noise": [lambda cover, lot: noisy(cover, 10, lot), lambda cover, lot: noisy(cover, 30, lot)],
    "blur": [lambda cover, lot: blurred(cover, 3), lambda cover, lot: blurred(cover, 7)],
    "jpeg": [lambda cover, lot: sheet(cover), lambda cover, lot: lit(cover, 0.2, 0.2, 0.5)],
    "ruled": [lambda cover, lot: ruled(cover, False), lambda cover, lot: ruled(cover, True)],
    "small": [lambda cover, lot: sheet(cover), lambda cover, lot: shaded(cover, 140)],
    "phone": [phone],
    "desk": [
        lambda cover, lot: on_desk(cover, 35, 0, 0, lot),
        lambda cover, lot: on_desk(cover, (120, 80, 45), 8, 0, lot),
        lambda cover, lot: on_desk(cover, 110, -10, 20, lot),
    ],
}


def cover_of(image: torch.Tensor, kind: str, lot: np.random.Generator) -> np.ndarray:
    """A digit (28, 28) somewhere on a sheet: how much of each pixel is ink, (H, W) in [0, 1]."""
    size, side = SHEET, int(lot.integers(150, 300))
    if kind == "small":
        size, side = 1000, int(lot.integers(50, 90))
    pixels = (image * STD + MEAN).mul(255).round().clamp(0, 255).byte().numpy()
    digit = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    cover = Image.new("L", (size, size))
    left, top = lot.integers(15, size - side - 15, 2).tolist()
    cover.paste(digit, (left, top))
    return np.asarray(cover, float) / 255


def photos(part: str = "test") -> Iterator[tuple[str, int, bool, Image.Image, int]]:
    """All photos: kind, strength, whether in negative, the picture and its digit."""
    images, labels = getattr(load_splits(), part).tensors
    lot = np.random.default_rng(SEED)
    for kind, strengths in KINDS.items():
        for strength, photograph in enumerate(strengths):
            for negative in (False, True):
                if negative and kind in ("transparent", "frame", "desk"):
                    continue
                for number in lot.integers(0, len(labels), EACH).tolist():
                    cover = cover_of(images[number, 0], kind, lot)
                    pixels = photograph(cover, lot).round().clip(0, 255).astype(np.uint8)
                    if negative:
                        pixels = 255 - pixels
                    yield kind, strength, negative, Image.fromarray(pixels), int(labels[number])


def read(path: Path, model: torch.nn.Module) -> int | str:
    """The digit of a picture, or the sentence that refuses it."""
    try:
        digits = load_digits(path)
    except InputError as error:
        return str(error)
    if len(digits) > 1:
        return f"{len(digits)} digits"
    return int(model(digits[0].image[None]).argmax())


def read_on_pad(picture: Image.Image, model: torch.nn.Module) -> int | str:
    """The same of a picture that is loaded onto the pad: its page sends 500 pixels a side."""
    scale = 500 / max(picture.size)
    small = picture.resize([math.ceil(scale * side) for side in picture.size])
    file = io.BytesIO()
    small.save(file, "PNG")
    try:
        drawing = picture_ink(f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}")
    except InputError as error:
        return str(error)
    return int(model(prepare(pad_ink(drawing)).image[None]).argmax())


def main() -> None:
    """Reads them all, and writes and prints the shares by kind."""
    part = (sys.argv[1:] or ["test"])[0]
    model, _ = load_checkpoint()
    rights = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for kind, strength, negative, picture, digit in tqdm(photos(part)):
            path = Path(folder) / "photo.png"
            if kind in ("jpeg", "phone"):
                path = path.with_suffix(".jpg")
            picture.save(path, quality=25)
            right = read(path, model) == digit
            rights[kind].append(right)
            rights[f"{kind} {strength}{' negative' if negative else ''}"].append(right)
            rights[f"pad: {kind}"].append(read_on_pad(Image.open(path), model) == digit)
    every = [right for kind in KINDS for right in rights[kind]]
    on_pad = [right for kind in KINDS for right in rights[f"pad: {kind}"]]
    shares = {"photos": len(every), "all": round(float(np.mean(every)), 4)}
    shares["pad: all"] = round(float(np.mean(on_pad)), 4)
    for kind in rights:
        shares[kind] = round(float(np.mean(rights[kind])), 4)
    if part == "test":
        Path(__file__).with_suffix(".json").write_text(json.dumps(shares, indent=1) + "\n", "utf-8")
    for kind, share in shares.items():
        print(f"{kind:32} {share:.3f}")


if __name__ == "__main__":
    main()
