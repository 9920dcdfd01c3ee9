"""The ink in a photo, whatever the light, and the digits that stand apart in it.

It is imported where a photo is read, for SciPy takes a while to start.
"""

from functools import partial

import numpy as np
from scipy import ndimage

FAINT = 20  # contrast in 255 below which a picture shows nothing
NOISE = 7  # times its noise: the same
RIM = 25  # a 25th of the shorter side, all around, may be the edge of a scan
SMOOTH = 250  # for each 250 pixels of the longer side one more is averaged to each side
QUIET = 5  # deviation in 255 that most of an even border has
GRID = 50  # sides of the grid on which what varies slowly is found
ROUNDS = 10
OUTLYING = 10  # deviation in 255 from which a value of the grid counts less
NARROW = 7  # a 7th of the longer side: what is less wide has no part in a ground with edges
STEP = 0.65  # of all contrast is what its edges make at most, or they are ink
LINES = 6  # ends of ink around the border: more are those of squared paper
FRAME = 0.65  # of the sheet's sides: what is larger may be a frame
LEAST = 0.3  # of the highest contrast: what is surely ink
SPECK = 0.02  # of the largest part's area
GAP = 0.4  # of the tallest part's height: what may lie between the parts of a digit
FEWEST = 20  # points across: what is smaller is no sheet
SHEET = 0.78  # of its box is filled by a sheet of paper; a digit, however bold, fills 0.7
ANGLES = np.radians(np.arange(0, 180, 5))
DIRECTIONS = np.stack([np.cos(ANGLES), np.sin(ANGLES)])


def find_ink(pixels: np.ndarray) -> np.ndarray | None:
    """The ink in `pixels` (H, W, 4), in [0, 1], and nothing else; None where there is none.

    It may be dark on light or light on dark, in the channel that shows it best; of a sheet on a
    desk it is that on the sheet. explorer/page/pictures.js does much the same without a kernel.
    """
    ink = _find_contrast(pixels)
    if ink is None:
        return None
    step = max(ink.shape) // 100 + 1
    points = np.argwhere(ink[::step, ::step] > LEAST)
    if not len(points):
        return ink  # a line thinner than a step
    extents = np.ptp(points @ DIRECTIONS, axis=0) + 1
    box = (extents * np.roll(extents, 18)).min()  # the smallest, however it is turned
    if extents.min() > max(FEWEST, extents.max() / 2) and len(points) > SHEET * box:
        sheet = ndimage.binary_erosion(ndimage.binary_fill_holes(ink > LEAST), iterations=step)
        nearest = ndimage.distance_transform_edt(~sheet, None, False, True)  # paper to each place
        ink = _find_contrast(pixels[tuple(nearest)])
    return ink


def _find_contrast(pixels: np.ndarray) -> np.ndarray | None:
    """What stands out in `pixels`, as `find_ink` has it: ink, or a sheet on a desk."""
    opacity = pixels[..., 3:] / 255
    values = 255 + opacity * (pixels[..., :3] - 255.0)  # on white
    if np.ptp(values, axis=(0, 1)).max() < FAINT:
        values = 255 * opacity  # such as white ink on nothing
    rim = min(pixels.shape[:2]) // RIM
    inner = np.s_[rim : -rim or None, rim : -rim or None]  # without the edge of a scan
    smooth = max(pixels.shape) // SMOOTH * 2 + 1
    values = ndimage.uniform_filter(values, (smooth, smooth, 1), mode="nearest")
    ink, is_sure = _find_parts(values - _ground(values, values[inner]), inner)
    if is_sure:
        return ink
    ground = _edged_ground(values)
    middle = np.s_[2 * rim : -2 * rim or None, 2 * rim : -2 * rim or None]
    steps, spans = (np.ptp(part[middle], axis=(0, 1)).max() for part in (ground, values))
    edged_ink, is_sure = _find_parts(values - ground, inner)
    # digits that fill a picture would themselves be its ground
    if is_sure and (edged_ink is None or steps <= STEP * spans):
        return edged_ink
    return ink


def _find_parts(contrast: np.ndarray, inner: tuple[slice, slice]) -> tuple[np.ndarray | None, bool]:
    """The ink in `contrast` (H, W, 3), from the best channel, and whether there is no doubt."""
    contrast = np.concatenate([contrast, -contrast], axis=2)
    height = contrast[inner].max(axis=(0, 1))
    best = (height - contrast[inner].std(axis=(0, 1))).argmax()  # lines on the paper add
    ink = contrast[..., best]
    noise = np.quantile(np.abs(ink), 0.25) / 0.3186  # sigma, if it is normal
    if height[best] < max(FAINT, NOISE * noise):
        return None, height[best] < FAINT  # a scan's edge can hide ink, by its contrast
    ink = (ink / height[best]).clip(0, 1)
    is_ink = ink > LEAST
    for breadth in range(1, max(ink.shape) // RIM + 2, 2):
        # of squared or ruled paper what is broader than its lines
        is_ink = ndimage.binary_opening(is_ink, np.ones((breadth, breadth)))
        labels, areas, inside = _measure_parts(is_ink, inner)
        if 2 * inside.max() >= areas.max() or np.diff(_border(is_ink)).sum() <= LINES:
            break
    is_lined = np.diff(_border(is_ink)).sum() > 2 * LINES  # still: the squares are what is left
    if not areas.any() or (breadth > 1 and (is_lined or np.median(ink[is_ink]) < 0.5)):
        return None, False  # but for lines and a frame there is nothing, or a shade
    # what hangs on the border may be a shadow or another paper
    is_sure = areas[_border(labels)].max() <= SPECK * inside.max()
    if 2 * inside.max() >= areas.max():
        areas = inside  # what touches the border is no digit, unless there is no other
    is_digit = (areas >= SPECK * areas.max())[labels]
    near = ndimage.maximum_filter(is_digit, max(1, max(ink.shape) // 20) * 2 + 1)
    return np.where(is_digit | near & (ink <= LEAST), ink, 0).astype(np.float32), is_sure


def _measure_parts(is_ink: np.ndarray, inner: tuple[slice, slice]) -> tuple[np.ndarray, ...]:
    """The number of the part of each pixel, the parts' areas, and of those off the border.

    A frame, which is nearly as large as the sheet and has no part in its middle, counts nothing.
    """
    labels, count = ndimage.label(is_ink, np.ones((3, 3)))
    areas = np.bincount(labels[inner].ravel(), minlength=count + 1)
    areas[0] = 0
    for part, box in enumerate(ndimage.find_objects(labels), start=1):
        around = labels[box]
        height, width = around.shape
        middle = around[height // 10 : -height // 10, width // 10 : -width // 10]
        if min(np.divide(around.shape, labels.shape)) > FRAME and part not in middle:
            areas[part] = 0
    inside = areas.copy()
    inside[_border(labels)] = 0
    return labels, areas, inside


def _border(values: np.ndarray) -> np.ndarray:
    """The outermost of values (H, W, ...), (N, ...)."""
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


def _ground(values: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """What `values` (H, W, C) would be without ink: the border's median, or what varies slowly.

    That is found on a coarse grid by local means in which outliers count little (Cauchy's
    weights), again and again of what is left.
    """
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


def _edged_ground(values: np.ndarray) -> np.ndarray:
    """What `values` (H, W, 3) would be without narrow things, light or dark, its edges kept.

    Morphology does it (Serra, 1982): a square that fits nowhere into a stroke fits up to an edge.
    Ink leaves a plainer ground where it is removed than where its holes are filled.
    """
    size = max(values.shape) // NARROW * 2 + 1
    margins = [(size, size), (size, size), (0, 0)]
    wide = np.pad(values, margins, "edge")
    inner = np.s_[size:-size, size:-size]
    filters = ndimage.grey_opening, ndimage.grey_closing
    return min((narrow(wide, (size, size, 1))[inner] for narrow in filters), key=np.std)


def split_ink(ink: np.ndarray) -> list[np.ndarray]:
    """The ink (H, W) of each digit, line by line and from left to right."""
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
