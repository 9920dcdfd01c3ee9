"""Grids of small maps as pictures, fast enough to follow a slider: numpy in, PNG bytes out, no figure."""

import io
import itertools
import math
from functools import cache

import matplotlib
import numpy as np
from PIL import Image, ImageOps

TOP_LEVEL = 254  # levels 0..254 carry data
GAP = 255  # and this one is the white between maps
SIGNED, UNSIGNED, INK = "RdBu_r", "viridis", "gray_r"  # colour maps that colour-blind readers can tell apart


def limits(maps: np.ndarray, *, each: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the colour scale of `maps` (C, H, W): centred on zero if any value is negative, else from 0.

    Returns:
        The lowest and the highest value, broadcastable to `maps`: one for all, or with `each` one for each map.
    """
    top = np.abs(maps).max(axis=(1, 2) if each else None, keepdims=True, initial=0)
    top = np.where(top > 0, top, 1)
    return (-top if (maps < 0).any() else 0 * top), top


def quantise(maps: np.ndarray, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """Turns `maps` into uint8 levels, `low` and less into 0, `high` and more into 254."""
    return np.rint((maps - low) / (high - low) * TOP_LEVEL).clip(0, TOP_LEVEL).astype(np.uint8)


def montage(levels: np.ndarray, columns: int) -> np.ndarray:
    """Lays `levels` (C, H, W), uint8, out as one picture, `columns` maps to a row, one white pixel between them.

    Maps narrower than 12 pixels are enlarged by a whole number first: the gaps would look as wide as the maps.
    """
    zoom = zoom_for(levels.shape[2])
    levels = levels.repeat(zoom, axis=1).repeat(zoom, axis=2)
    count, height, width = levels.shape
    rows = -(-count // columns)
    grid = np.full((rows * columns, height + 1, width + 1), GAP, np.uint8)
    grid[:count, :height, :width] = levels
    grid = grid.reshape(rows, columns, height + 1, width + 1).swapaxes(1, 2)
    return grid.reshape(rows * (height + 1), columns * (width + 1))[:-1, :-1]


def zoom_for(width: int) -> int:
    """By how much `montage` enlarges a map that is `width` values wide."""
    return max(1, 12 // width)


def columns_for(count: int) -> int:
    """How many maps to lay in a row: all of ten or fewer, else a power of two that makes the grid wider than high."""
    return count if count <= 10 else 2 ** math.ceil(math.log2(2 * count) / 2)


@cache
def palette(colormap: str) -> bytes:
    """The 256 colours of `colormap` as a PNG palette, the last one white."""
    colours = matplotlib.colormaps[colormap](np.linspace(0, 1, TOP_LEVEL + 1), bytes=True)[:, :3]
    return colours.tobytes() + b"\xff\xff\xff"


def png(grid: np.ndarray, colormap: str) -> bytes:
    """Encodes levels (H, W), uint8, as a palette PNG of the same size."""
    picture = Image.fromarray(grid)
    picture.putpalette(palette(colormap))
    buffer = io.BytesIO()
    picture.save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def side_by_side(pictures: list[bytes], widths: list[int], space: int = 16) -> bytes:
    """Sets PNGs beside each other on white, each enlarged by a whole number to at most its width."""
    stills = [Image.open(io.BytesIO(content)).convert("RGB") for content in pictures]
    stills = [
        ImageOps.scale(still, max(1, width // still.width), Image.Resampling.NEAREST)
        for still, width in zip(stills, widths, strict=True)
    ]
    lefts = [0, *itertools.accumulate(still.width + space for still in stills)]
    sheet = Image.new("RGB", (lefts[-1] - space, max(still.height for still in stills)), "white")
    for still, left in zip(stills, lefts, strict=False):
        sheet.paste(still, (left, 0))
    buffer = io.BytesIO()
    sheet.save(buffer, "png")
    return buffer.getvalue()
