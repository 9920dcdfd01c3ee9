"""Grids of small maps as pictures, fast enough to follow a slider: numpy in, PNG bytes out, no figure."""

import io
import math
from functools import cache

import matplotlib
import numpy as np
from PIL import Image

LEVELS = 255  # grey values 0..254 carry data
GAP = 255  # the last one is the white between maps
SIGNED, UNSIGNED, INK = "RdBu_r", "viridis", "gray_r"  # colour maps that colour-blind readers can tell apart


def limits(maps: np.ndarray) -> tuple[float, float]:
    """The colour scale of `maps`: centred on zero where values are negative, else from 0 to the largest value."""
    top = float(np.abs(maps).max(initial=0)) or 1.0
    return (-top if maps.size and maps.min() < 0 else 0.0), top


def quantise(maps: np.ndarray, *, each: bool = False, signed: bool | None = None) -> np.ndarray:
    """Turns `maps` (C, H, W) into uint8 levels 0..254 on one scale, or each map on its own.

    Args:
        signed: whether the scale is centred on zero; by default it is where there are negative values.
    """
    signed = bool((maps < 0).any()) if signed is None else signed
    top = np.abs(maps).max(axis=(1, 2) if each else None, keepdims=True, initial=0)
    unit = np.divide(maps, top, out=np.zeros_like(maps, dtype=np.float32), where=top > 0)  # in [-1, 1]
    return np.rint((unit + 1) / 2 * (LEVELS - 1) if signed else unit.clip(0) * (LEVELS - 1)).astype(np.uint8)


def montage(levels: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
    """Lays `levels` (C, H, W), uint8, out in rows of `columns` maps with white gaps: (rows·(H+gap)-gap, columns·(W+gap)-gap)."""
    count, height, width = levels.shape
    rows = -(-count // columns)
    grid = np.full((rows * columns, height + gap, width + gap), GAP, np.uint8)
    grid[:count, :height, :width] = levels
    grid = grid.reshape(rows, columns, height + gap, width + gap).swapaxes(1, 2)
    return grid.reshape(rows * (height + gap), columns * (width + gap))[: -gap or None, : -gap or None]


def columns_for(count: int) -> int:
    """How many maps to lay in a row: all of ten or fewer, else a power of two that makes the grid wider than high."""
    return count if count <= 10 else 2 ** math.ceil(math.log2(2 * count) / 2)


@cache
def palette(colormap: str) -> bytes:
    """The 256 colours of `colormap` as a PNG palette, the last one white."""
    colours = matplotlib.colormaps[colormap](np.linspace(0, 1, LEVELS), bytes=True)[:, :3]
    return colours.tobytes() + b"\xff\xff\xff"


def png(grid: np.ndarray, colormap: str, zoom: int = 1) -> bytes:
    """Encodes a uint8 `grid` (H, W) as a palette PNG, each value a square of `zoom` pixels."""
    picture = Image.fromarray(grid.repeat(zoom, 0).repeat(zoom, 1))
    picture.putpalette(palette(colormap))
    buffer = io.BytesIO()
    picture.save(buffer, "png", compress_level=1)
    return buffer.getvalue()
