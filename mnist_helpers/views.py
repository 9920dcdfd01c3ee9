"""The views into a network as pictures: arrays in, a Picture out."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mnist_helpers.features import SOFTMAX, Arithmetic, Stage
from mnist_helpers.pictures import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    SIGNED,
    UNSIGNED,
    Panel,
    Picture,
    Selected,
    Sheet,
    colours,
    columns_for,
    limits,
    quantise,
)

CELL = (42, 22)  # of a table of numbers, in pixels
WIDEST = 840  # of a picture on the screen, in pixels
PREVIEW = 140  # of a map above the numbers


def _ramp(low: np.ndarray) -> str:
    return SIGNED if low.min() < 0 else UNSIGNED


def draw_pipeline(
    stages: Sequence[Stage], maps: Mapping[str, np.ndarray], image: np.ndarray, selected: str
) -> Picture:
    """Draws an image (C, H, W) and what every stage makes of it, {name: (C, H, W)}, to scale.

    Each stage has a colour scale of its own; vectors are drawn as squares of one size. Shown at twice its size.
    """
    zoom = max(1, 28 // image.shape[2])
    columns, tops = [("image", image, 1, zoom)], {}
    for stage in stages:
        if stage.kind != "Flatten":  # the values of the stage before once more
            count, _, width = maps[stage.name].shape
            flat = width == 1
            columns.append(
                (
                    stage.name,
                    maps[stage.name],
                    -(-count // (16 if flat else 8)),
                    4 if flat else zoom,
                )
            )
    sizes = [
        (n * (part.shape[2] * z + 1), -(-len(part) // n) * (part.shape[1] * z + 1))
        for _, part, n, z in columns
    ]
    widths, tallest = [max(width, 31) for width, _ in sizes], max(height for _, height in sizes)
    sheet = Sheet(sum(widths) + 5 * len(widths) + 14, tallest + 42)
    panels, left = [], 4
    facts = {stage.name: stage for stage in stages}
    for (name, part, across, z), (width, height), room in zip(columns, sizes, widths, strict=True):
        at, middle = (left + (room - width) // 2, 2 + (tallest - height) // 2), left + room / 2
        if name == "image":
            sheet.digit(at, image, zoom)
            lines = ["×".join(map(str, image.shape))]
        else:
            low, high = limits(part)
            answers = facts[name].shape == stages[-1].shape  # a value for each class
            select = _selects(name, answers)
            panels.append(sheet.maps(at, quantise(part, low, high), _ramp(low), across, z, select))
            for i in range(len(part) if across == 1 and answers else 0):
                said = (
                    f"{i}  {part[i, 0, 0]:.0%}"
                    if name == SOFTMAX and part[i, 0, 0] >= 0.01
                    else str(i)
                )
                sheet.text(at[0] + width + 1, panels[-1].corner(i)[1] + z / 2, said, 9, anchor="lm")
            stage = facts[name]
            sees = (
                "sees all"
                if stage.sees is None
                else f"sees {stage.sees.size[0]} × {stage.sees.size[1]}"
            )
            weights = f"{stage.parameters:,}" if stage.parameters else "0"
            lines = ["×".join(map(str, stage.shape)), f"{weights} param.", sees]
            tops[name] = at
        sheet.text(
            middle, tallest + 5, name, 12, ORANGE if name == selected else BLACK, "ma", bold=True
        )
        for i, line in enumerate(lines):
            sheet.text(middle, tallest + 14 + 8 * i, line, 10, anchor="ma")
        if name == selected:
            sheet.box(at[0], at[1], at[0] + width - 1, at[1] + height - 1, width=1)
        left += room + 5
    opened = f"; open: {selected} ({facts[selected].kind})" if selected in facts else ""
    caption = f"The way of one image through {len(stages)} stages{opened}."
    return sheet.picture(caption, 2, panels, cursor=tops.get(selected, (0, 0)), step=(36, 8))


def _selects(stage: str, classes: bool) -> Callable[[int, int, int], Selected]:
    def select(channel: int, row: int, column: int) -> Selected:
        found = {"stage": stage, "channel": channel, "row": row, "column": column}
        return found | {"target": channel} if classes else found

    return select


def draw_kernels(
    weights: np.ndarray, channel: int, *, each: bool = False, what: str = "weights"
) -> Picture:
    """Draws kernels (out, in, height, width): a column an output channel, a row an input channel; `channel` is framed.

    A single input channel is laid out as a block.
    """
    outs, ins, height, width = weights.shape
    tiles = weights.swapaxes(0, 1).reshape(-1, height, width)  # row by row
    low, high = limits(tiles, each=each)
    across, zoom = (
        (columns_for(outs), max(1, 12 // width)) if ins == 1 else (outs, max(1, 6 // width))
    )
    rows = -(-len(tiles) // across)
    grid, tall = across * (width * zoom + 1) + 5, rows * (height * zoom + 1) + 5
    enlarged = max(1, min(8, (WIDEST - 60) // grid))
    sheet = Sheet(grid + 6 + -(-45 // enlarged), tall)
    levels = quantise(tiles, np.minimum(low, -high), high)  # signed by nature
    panel = sheet.maps(
        (3, 3), levels, SIGNED, across, zoom, lambda i, row, column: {"channel": i % outs}
    )
    left, top = panel.corner(channel)
    bottom = top + panel.height if ins == 1 else top + rows * (panel.height + 1) - 1
    sheet.box(left, top, left + panel.width, bottom, width=1)
    scale = "each on its own scale"
    if not each:
        scale = f"from {-high.item():.3g} (blue) to {high.item():.3g} (red)"
        sheet.scale((grid + 1, 3), min(tall - 6, 30), SIGNED, (-high.item(), high.item()))
    caption = f"{outs} × {ins} kernels of {height} × {width}, {what}, {scale}; framed: output channel {channel}."
    step = (panel.width + 1, panel.height + 1)
    return sheet.picture(caption, enlarged, [panel], cursor=(left + 1, top + 1), step=step)


def draw_feature_maps(
    image: np.ndarray,
    sides: Mapping[str, np.ndarray],
    low: np.ndarray,
    high: np.ndarray,
    channel: int,
    row: int = 0,
    column: int = 0,
) -> Picture:
    """Draws an image and beside it, on one scale, the maps (C, H, W) of each of `sides`; `channel` is framed."""
    count, height, width = next(iter(sides.values())).shape
    zoom, across, several = max(1, 12 // width), columns_for(count), len(sides) > 1
    across = max(1, across // 2) if several else across
    first, wide, bar = image.shape[2] + 8, across * (width * zoom + 1) + 4, image.shape[1] * 2 // 3
    enlarged = max(1, min(4, WIDEST // (first + wide * len(sides))))
    top = 2 + several * -(-20 // enlarged)  # below the headings
    tallest = max(-(-count // across) * (height * zoom + 1), image.shape[1] + bar + 6)
    sheet = Sheet(first + wide * len(sides), top + tallest + 2)
    sheet.digit((2, top), image)
    panels = []
    for i, (name, part) in enumerate(sides.items()):
        at = (first + i * wide, top)
        panels.append(sheet.maps(at, quantise(part, low, high), _ramp(low), across, zoom, _places))
        sheet.mark(panels[-1], channel, width=1)
        if several:
            sheet.text(at[0], 1, name, 12, bold=True)
    scale = "each on its own scale"
    if low.size == 1:
        ends = low.item(), high.item()
        scale = f"colours from {ends[0]:.3g} to {ends[1]:.3g}"
        sheet.scale((2, top + image.shape[1] + 6), bar, _ramp(low), ends)
    cursor = tuple(
        at + zoom * n for at, n in zip(panels[0].corner(channel), (column, row), strict=True)
    )
    names = f" Left to right: {', '.join(sides)}." if several else ""
    caption = f"{count} × {height} × {width}, {scale}; framed: channel {channel}.{names}"
    return sheet.picture(caption, enlarged, panels, cursor=cursor, step=(zoom, zoom))


def _places(channel: int, row: int, column: int) -> Selected:
    return {"channel": channel, "row": row, "column": column}


def _tint(values: np.ndarray, top: float) -> np.ndarray:
    """Light colours (H, W, 3) for the cells of a table: blue below zero, red above, up to `top`."""
    levels = quantise(np.nan_to_num(values, neginf=0), -top, top)
    return (colours(SIGNED)[levels].astype(int) + 3 * 255) // 4


def _in_rows(values: np.ndarray, across: int = 16) -> np.ndarray:
    """Values (N,) as a table of at most `across` columns; what the last row lacks is nan."""
    across = min(len(values), across)
    return np.pad(values, (0, -len(values) % across), constant_values=np.nan).reshape(-1, across)


def _table(
    sheet: Sheet,
    at: tuple[int, int],
    values: np.ndarray,
    title: str,
    meaning: Callable[..., Selected] = lambda *place: {},
) -> Panel:
    """Writes numbers (H, W) in coloured cells under a title; nan is left blank, padding of a pooling has no value."""
    wide, tall = CELL
    sheet.text(at[0], at[1] - 18, title, 11, bold=True)
    top = np.abs(values[np.isfinite(values)]).max(initial=1e-9)
    digits = int(
        np.clip(1 - np.floor(np.log10(top)), 2, 4)
    )  # two of the largest value, as far as there is room
    for ((row, column), value), tint in zip(
        np.ndenumerate(values), _tint(values, top).reshape(-1, 3), strict=True
    ):
        x, y = at[0] + column * wide, at[1] + row * tall
        if not np.isnan(value):
            sheet.pen.rectangle((x, y, x + wide - 2, y + tall - 2), fill=tuple(tint))
            text = "none" if np.isinf(value) else f"{round(float(value), digits) + 0.0:.{digits}f}"
            sheet.text(x + wide / 2 - 1, y + tall / 2 - 1, text, 10, anchor="mm")
    return Panel(*at, tall - 1, wide - 1, values.shape[1], values.size, tall, meaning)


def _preview(
    sheet: Sheet,
    left: int,
    title: str,
    maps: np.ndarray,
    index: int,
    box: tuple[int, int, int, int] | None,
) -> Panel:
    """Draws one of `maps` (C, H, W) with a box framed in it, or all values of a vector with one of them framed."""
    sheet.text(left, 4, title, 11, bold=True)
    low, high = limits(maps)
    if maps.shape[1:] == (1, 1):
        across = int(np.ceil(len(maps) ** 0.5))
        levels, zoom = quantise(maps, low, high), max(1, PREVIEW // across - 1)
        panel = sheet.maps(
            (left, 24), levels, _ramp(low), across, zoom, lambda i, row, column: {"channel": i}
        )
        sheet.mark(panel, index)
    else:
        zoom, levels = (
            max(1, PREVIEW // max(maps.shape[1:])),
            quantise(maps[index][None], low, high),
        )
        panel = sheet.maps(
            (left, 24),
            levels,
            _ramp(low),
            1,
            zoom,
            lambda i, row, column: {"row": row, "column": column},
        )
        sheet.mark(panel, 0, box)
    return panel


def draw_arithmetic(
    stage: Stage,
    sums: Arithmetic,
    place: tuple[int, int, int],
    source: int,
    parts: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> Picture:
    """Draws how a value comes about, as numbers.

    Args:
        place: channel, row and column of the value.
        source: the input channel whose patch, kernel and products are shown.
        parts: the image, and all maps of the stage before and of this one, each (C, H, W); what the value sees is
            framed in the first two, and the value in the third.
    """
    (channel, row, column), patch, top = place, sums.patch[source], PREVIEW + 62
    patch = _in_rows(patch[0]) if sums.rule == "softmax" else patch
    below = top + max(len(patch), 2) * CELL[1] + 32  # the sums by input channel
    bottom = below - 32 if sums.kernel is None else below + -(-len(sums.patch) // 16) * CELL[1] + 32
    sheet = Sheet(max(WIDEST, 90 + 3 * (patch.shape[1] * CELL[0] + 34)), bottom)
    panels = [_places_of(sheet, stage, place, sums.first + source, parts)]
    if sums.kernel is None:
        _table(sheet, (6, top), patch, "reads")
        rule = RULES.get(sums.rule, "{rule} makes it {value:.4f}")
        said = rule.format(rule=sums.rule, value=sums.value, first=patch.flat[0], channel=channel)
        sheet.text(22 + patch.shape[1] * CELL[0], top + 3, said, 12, bold=True)
    else:
        panels.append(_sums_of(sheet, sums, source, top, below))
        said = f"sum of all products {sums.partial_sums.sum():.4f} + bias {sums.bias:.4f} = {sums.value:.4f}"
        said += f"; ReLU makes it {max(sums.value, 0):.4f}" if sums.rectified else ""
        sheet.text(6, bottom - 24, said, 12, bold=True)
    made, vector = panels[0], parts[2].shape[1:] == (1, 1)
    corner = made.corner(channel if vector else 0)
    cursor = (corner[0] + column * made.zoom, corner[1] + row * made.zoom)
    caption = f"{stage.name}, channel {channel}, row {row}, column {column}: {said}."
    return sheet.picture(caption, 1, panels, cursor=cursor, step=(made.zoom + vector,) * 2)


def _places_of(
    sheet: Sheet,
    stage: Stage,
    place: tuple[int, int, int],
    reads: int,
    parts: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> Panel:
    """Draws image, map before and map, what is seen framed in each; returns the panel of the last."""
    channel, row, column = place
    sheet.text(6, 4, "image", 11, bold=True)
    picture = sheet.digit((6, 24), parts[0], max(1, PREVIEW // max(parts[0].shape[1:])))
    sheet.mark(picture, 0, stage.sees and stage.sees.box(row, column))
    lefts = [6 + i * (PREVIEW + 40) for i in range(1, 4)]
    window = stage.reads and stage.reads.box(row, column)
    _preview(sheet, lefts[0], f"{stage.before}, channel {reads}", parts[1], reads, window)
    here = (row, column, row + 1, column + 1)
    sheet.text(lefts[2], 24, f"row {row}, column {column}", 12)
    value = parts[2][channel, row, column]
    sheet.text(lefts[2], 44, f"{stage.name} = {value:.4f}", 13, ORANGE, bold=True)
    return _preview(sheet, lefts[1], f"{stage.name}, channel {channel}", parts[2], channel, here)


def _sums_of(sheet: Sheet, sums: Arithmetic, source: int, top: int, below: int) -> Panel:
    """Writes patch × kernel = products of an input channel, and below it the sums of all; returns their panel."""
    patch, kernel, left = sums.patch[source], sums.kernel[source], 6
    for sign, values, title in (
        ("", patch, "patch"),
        ("×", kernel, "kernel"),
        ("=", patch * kernel, "products"),
    ):
        sheet.text(left - 24, top, sign, 16)
        _table(sheet, (left, top), values, title)
        left += 34 + patch.shape[1] * CELL[0]
    sheet.text(left - 24, top + 3, f"sum {sums.partial_sums[source]:.4g}", 12, bold=True)
    panel = _table(
        sheet,
        (6, below),
        _in_rows(sums.partial_sums),
        "sums by input channel",
        lambda i, row, column: {"source": i},
    )
    sheet.mark(panel, source)
    return panel


RULES = {
    "max": "the largest is {value:.4f}",
    "mean": "the mean is {value:.4f}",
    "relu": "max(0, {first:.4f}) = {value:.4f}",
    "softmax": "exp of logit {channel}, divided by the sum of all = {value:.4f}",
}


def draw_excitation(
    images: np.ndarray,
    titles: Sequence[str],
    boxes: Sequence[tuple[int, int, int, int] | None],
    means: np.ndarray,
    chosen: int,
    caption: str,
) -> Picture:
    """Draws images (K, C, H, W) under their titles with what was seen framed, and below it cut out and enlarged.

    Args:
        boxes: top, left, bottom, right of each; None for all of it.
        means: (classes,), the mean activation by class, of which that of `chosen` stands out.
    """
    size, room = 84, 93
    sheet = Sheet(6 + room * len(images), 2 * room + 172)
    for i, (image, title, box) in enumerate(zip(images, titles, boxes, strict=True)):
        left, zoom = 6 + i * room, max(1, size // image.shape[2])
        sheet.text(left, 4, title, 10)
        panel = sheet.digit((left, 22), image, zoom)
        sheet.mark(panel, 0, box)
        top, side, bottom, right = box or (0, 0, *image.shape[1:])
        margin = ((0, 0), *((max(bottom - top, right - side),) * 2,) * 2)
        padded = np.pad(
            image, margin, mode="constant", constant_values=image.min()
        )  # what lies beyond the frame
        cut = padded[
            :,
            top + margin[1][0] : bottom + margin[1][0],
            side + margin[2][0] : right + margin[2][0],
        ]
        sheet.outline(sheet.digit((left, 22 + room), cut, max(1, size // max(cut.shape[1:]))))
    top = 2 * room + 46
    sheet.text(6, top - 22, "mean activation by class", 11, bold=True)
    low, high = min(0.0, float(np.nanmin(means))), max(1e-6, float(np.nanmax(means)))
    box, ends = (48, top, 48 + 40 * len(means), top + 96), (f"{low:.2f}", f"{high:.2f}")
    fills = [ORANGE if i == chosen else BLUE for i in range(len(means))]
    sheet.bars(box, [means], high, range(len(means)), [fills], low, ends=ends)
    return sheet.picture(caption)


def draw_attributions(
    image: np.ndarray, rows: Mapping[str, Mapping[str, np.ndarray]], caption: str
) -> Picture:
    """Draws an image (C, H, W) and for each of `rows`, networks, what each method found, (H, W) in [-1, 1]."""
    zoom = max(1, 140 // image.shape[2])
    wide, tall = image.shape[2] * zoom + 16, image.shape[1] * zoom + 16
    sheet = Sheet(wide * (1 + len(next(iter(rows.values())))) + 4, 28 + (tall + 22) * len(rows))
    for i, (name, found) in enumerate(rows.items()):
        top = 46 + i * (tall + 22)
        sheet.text(4, top - 18, name, 11, bold=True)
        sheet.digit((4, top), image, zoom)
        for j, (method, values) in enumerate(found.items(), 1):
            sheet.text(4 + j * wide, top - 18, method, 11)
            sheet.outline(
                sheet.maps((4 + j * wide, top), quantise(values[None], -1, 1), SIGNED, zoom=zoom)
            )
    sheet.text(
        4,
        6,
        "red speaks for the class, blue against it, white is nothing; each map from -1 to 1",
        11,
    )
    return sheet.picture(caption)


def draw_ablation(
    probs: tuple[np.ndarray, np.ndarray],
    accuracies: tuple[np.ndarray, np.ndarray],
    rankings: Mapping[str, Sequence[float]],
    off: Mapping[str, Sequence[int]],
    caption: str,
) -> Picture:
    """Draws what is lost with channels switched off.

    Args:
        probs: of one image, (classes,), with all channels and without those.
        accuracies: by class, (classes,), with all channels and without those.
        rankings: how many images each channel of a convolution carries; nan where it was not measured.
        off: the channels that are off, by convolution.
    """
    classes = range(len(probs[0]))
    sheet = Sheet(WIDEST, 190 + 120 * len(rankings))
    floor = max(0.0, np.floor(20 * min(np.nanmin(part) for part in accuracies) - 0.2) / 20)
    charts = (("probability for this image", probs, 0.0), ("accuracy by class", accuracies, floor))
    for i, (title, parts, low) in enumerate(charts):
        left = 6 + i * (WIDEST // 2)
        sheet.text(left, 4, title, 11, bold=True)
        box, ends = (left + 36, 30, left + WIDEST // 2 - 20, 130), (f"{low:.0%}", "100%")
        sheet.bars(box, parts, 1.0, classes, low=low, ends=ends)
    sheet.text(6, 152, "all channels on", 11, BLUE, bold=True)
    sheet.text(130, 152, "some switched off", 11, ORANGE, bold=True)
    panels = []
    for i, (name, lost) in enumerate(rankings.items()):
        top, room = 220 + 120 * i, max(3, min(25, (WIDEST - 12) // len(lost)))
        sheet.text(
            6, top - 32, f"{name}: images lost without one channel (logarithmic)", 11, bold=True
        )
        fills = [ORANGE if c in off.get(name, ()) else GREY for c in range(len(lost))]
        values = np.sign(lost) * np.log10(1 + np.abs(lost))
        most, least = (max(1.0, np.nan_to_num(sign * values).max()) for sign in (1, -1))
        box = (6, top, 6 + room * len(lost), top + 66)
        sheet.bars(
            box,
            [values],
            most,
            range(len(lost)),
            [fills],
            -least if (values < 0).any() else 0.0,
            numbers=lost,
        )
        panels.append(Panel(6, top - 12, 96, room - 1, len(lost), len(lost), 96, _switches(name)))
    return sheet.picture(caption, 1, panels, cursor=panels[0].corner(0), step=(room, 120))


def _switches(name: str) -> Callable[[int, int, int], Selected]:
    return lambda channel, row, column: {"switch": (name, channel)}
