"""Makes 300 drawings as strokes, in many hands' habits: `python benchmarks/drawings.py`.

Writes drawings.json beside this file. Each digit has several forms (open and closed, with and
without bars and loops), and each drawing a size, a place, a slant, a width, a turn and an
unsteadiness of its own, drawn by lot from one seed. A stroke is a list of points x, y on a pad of
280 × 280, as a pointer would visit them.
"""

import itertools
import json
from pathlib import Path

import numpy as np

PAD = 280  # sides of the pad, in pixels
EACH = 30  # drawings of each digit
SEED = 2026

# strokes with a bar between: ~ smooth, - straight from point to point; x,y in percent, y down
FORMS = {
    0: [
        "~ 50,0 14,20 6,55 25,92 55,100 86,78 92,40 76,10 48,0",
        "~ 50,0 14,20 6,55 25,92 55,100 86,78 92,40 76,10 62,2",
        "~ 65,8 35,5 10,40 20,85 55,100 90,65 85,20 60,3 45,6",
    ],
    1: [
        "- 50,0 50,100",
        "- 25,25 55,0 55,100",
        "- 30,22 50,0 50,100 | - 22,100 80,100",
    ],
    2: [
        "~ 10,25 30,3 65,2 85,25 70,52 35,80 6,100 | - 6,100 95,100",
        "~ 8,22 40,0 82,14 78,45 40,80 10,97 8,85 25,83 55,95 95,95",
        "- 10,15 50,0 85,20 75,50 8,100 92,98",
    ],
    3: [
        "~ 12,12 45,0 80,15 72,40 40,48 | ~ 40,48 80,58 85,82 50,100 10,88",
        "- 12,3 82,3 45,40 | ~ 45,40 80,50 86,80 50,100 10,90",
        "~ 10,8 60,0 82,20 60,42 38,48 65,52 88,75 60,98 12,92",
    ],
    4: [
        "- 25,0 12,55 92,55 | - 72,10 68,100",
        "- 70,100 70,0 6,65 95,65",
        "~ 20,2 14,30 22,50 55,52 80,46 | - 80,2 76,100",
    ],
    5: [
        "- 85,2 25,4 18,45 | ~ 18,45 55,36 86,62 68,94 30,100 6,88",
        "~ 22,2 18,42 50,36 85,60 70,93 30,100 8,90 | - 22,2 88,0",
    ],
    6: [
        "~ 72,0 35,20 12,60 25,95 60,100 84,78 66,54 35,58 16,78",
        "~ 50,0 25,30 14,70 30,98 65,98 85,75 65,52 25,62",
    ],
    7: [
        "- 8,3 90,3 40,100",
        "- 8,5 88,2 45,100 | - 30,50 85,48",
        "~ 10,6 50,5 86,3 66,35 46,70 38,100",
    ],
    8: [
        "~ 75,15 50,0 22,18 40,42 70,60 78,85 48,100 20,84 34,58 66,36 76,14",
        "~ 50,0 22,12 26,38 50,47 74,36 76,10 50,0 | ~ 50,47 16,62 20,92 50,100 82,90 84,60 50,47",
    ],
    9: [
        "~ 80,20 50,0 20,20 35,48 68,42 82,14 | - 82,14 78,50 74,100",
        "~ 80,22 55,0 20,18 28,46 62,44 80,20 80,60 62,92 25,100",
        "~ 76,8 40,2 16,26 40,50 76,36 80,12 | - 80,8 80,100",
    ],
}


def read_form(text: str) -> list[tuple[str, np.ndarray]]:
    """The strokes of a form: how its points are joined, and the points (N, 2) in [0, 1]."""
    strokes = []
    for stroke in text.split(" | "):
        kind, *points = stroke.split()
        pairs = [[int(number) / 100 for number in point.split(",")] for point in points]
        strokes.append((kind, np.array(pairs)))
    return strokes


def smooth(points: np.ndarray) -> np.ndarray:
    """Points (N, 2) with others between them, on a curve of Catmull and Rom through them all."""
    padded = np.concatenate([points[:1], points, points[-1:]])
    time = np.linspace(0, 1, 5, endpoint=False)[:, None]
    parts = []
    for before, start, end, after in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        bend = 2 * before - 5 * start + 4 * end - after
        turn = -before + 3 * start - 3 * end + after
        parts.append(start + 0.5 * time * ((end - before) + time * (bend + time * turn)))
    return np.concatenate([*parts, points[-1:]])


def straight(points: np.ndarray) -> np.ndarray:
    """Points (N, 2) with others evenly between them."""
    time = np.linspace(0, 1, 5, endpoint=False)[:, None]
    parts = [start + time * (end - start) for start, end in itertools.pairwise(points)]
    return np.concatenate([*parts, points[-1:]])


def drawing(digit: int, lot: np.random.Generator) -> dict[str, object]:
    """One drawing by a hand of its own."""
    form = FORMS[digit][lot.integers(len(FORMS[digit]))]
    height = lot.uniform(45, 245)
    width = height * lot.uniform(0.4, 1.05) * (0.6 if digit == 1 else 1)
    slant, turn = lot.uniform(-0.45, 0.45), np.deg2rad(lot.uniform(-15, 15))
    pen = lot.uniform(4, 36) * min(1, height / 160)
    unsteady = lot.uniform(0, 0.05) * height
    return written(digit, read_form(form), (width, height), slant, turn, pen, unsteady, lot)


def written(
    digit: int,
    form: list[tuple[str, np.ndarray]],
    size: tuple[float, float],
    slant: float,
    turn: float,
    pen: float,
    unsteady: float,
    lot: np.random.Generator,
) -> dict[str, object]:
    """A drawing of a form, so wide and high, somewhere on the pad; `turn` is in radians."""
    shear = np.array([[1, 0], [-slant, 1]])
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    strokes = []
    for kind, points in form:
        points = points + lot.normal(0, 0.03, points.shape)
        path = smooth(points) if kind == "~" else straight(points)
        shake = lot.normal(0, unsteady, path.shape)
        shake = np.stack([np.convolve(axis, np.full(5, 1 / 5), "same") for axis in shake.T], axis=1)
        strokes.append(((path - 0.5) * size + shake) @ shear @ rotation)
    every = np.concatenate(strokes)
    low, high = every.min(0) - pen, every.max(0) + pen
    room = np.maximum(PAD - (high - low), 0)
    corner = lot.uniform(0, 1, 2) * room - low
    placed = [np.clip(stroke + corner, 2, PAD - 2).round(1).tolist() for stroke in strokes]
    return {"digit": digit, "pen": round(float(pen), 1), "strokes": placed}


def main() -> None:
    """Writes them all."""
    lot = np.random.default_rng(SEED)
    drawings = [drawing(digit, lot) for digit in range(10) for _ in range(EACH)]
    text = json.dumps(drawings, separators=(",", ":"))
    Path(__file__).with_suffix(".json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
