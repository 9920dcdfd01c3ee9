"""How one value of a layer comes about, in numbers."""

import numpy as np

from mnist_helpers.explorer.look import Look
from mnist_helpers.explorer.scene import Column, Item, Row, Scene, Table, Text, number
from mnist_helpers.explorer.views.parts import (
    LARGE,
    in_rows,
    input_picture,
    selected_value,
    single_map,
    value_box,
)
from mnist_helpers.network.arithmetic import Arithmetic

RULES = {
    "max": "the largest is {value}",
    "mean": "the mean is {value}",
    "relu": "max(0, {first}) = {value}",
    "copy": "taken over as it is: {value}",
    "add": "the sum is {value}",
    "softmax": "exp of logit {channel}, divided by the sum of all, is {value}",
    "": "it reads {first} at this place and puts out {value}",
}


def arithmetic(look: Look) -> Scene:
    """One value: what it reads, what that is multiplied with, and what the products add up to."""
    sums = look.explained
    source = input_channel(look, sums)
    said = sentence(look, sums)
    strong = Text(text=said, size="strong")
    shown = ""
    if sums.kernel is not None:
        patch, kernel = sums.patch[source], sums.kernel[source]
        steps = products(patch, kernel, patch_select(sums, source))
        rows = [steps, partial_sums(sums, source), strong]
        shown = f" The numbers are those of input channel {sums.source + source}."
    else:
        rows = [Row([*reads(sums, source), strong])]
    caption = f"{look.title}. {selected_value(look)}: {said}.{shown}"
    return Scene(Column([places(look, sums, source), *rows]), caption)


def input_channel(look: Look, sums: Arithmetic) -> int:
    """The selected one of the channels that are read, or the one that adds the most."""
    if look.at.input_channel is not None:
        return min(look.at.input_channel, len(sums.patch) - 1)
    return 0 if sums.kernel is None else int(np.abs(sums.partial_sums).argmax())


def sentence(look: Look, sums: Arithmetic) -> str:
    """The rule that makes the value, with its numbers."""
    value = number(sums.value)
    if sums.kernel is None:
        if not sums.patch.size:
            return f"{look.subject.layers[look.at.layer].op} puts out {value}"
        first = number(sums.patch.flat[0].item())
        return RULES[sums.rule].format(value=value, first=first, channel=look.at.channel)
    total = number(sums.partial_sums.sum().item())
    said = f"sum of all products {total} + bias {number(sums.bias)} = {value}"
    return f"{said}; ReLU makes it {number(max(sums.value, 0.0))}" if sums.rectified else said


def places(look: Look, sums: Arithmetic, source: int) -> Row:
    """The image, what the layer reads and what it puts out, with the frames of this value."""
    at = look.at
    made = single_map(look, at.layer, at.channel, value_box(look), LARGE)
    place = f"row {at.row}, column {at.column}" if look.values.shape[1:] != (1, 1) else "value"
    value = Text(text=number(sums.value), size="large", title=place)
    if not sums.patch.size:
        return Row([input_picture(look, LARGE), made, value])
    rows, columns = sums.rows[sums.rows >= 0], sums.columns[sums.columns >= 0]
    box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    window = tuple(int(side) for side in box)
    read = single_map(look, sums.layer, sums.source + source, window, LARGE)
    return Row([input_picture(look, LARGE), read, made, value])


def reads(sums: Arithmetic, source: int) -> list[Item]:
    """What a value without a kernel reads."""
    if not sums.patch.size:
        return []
    if sums.rule in ("add", "softmax"):  # one value of each input, or of each class
        return [Table(values=in_rows(sums.patch.ravel()), title="reads")]
    patch, select = sums.patch[source], patch_select(sums, source)
    winner = int(np.nanargmax(patch)) if sums.rule == "max" else None
    return [Table(values=patch, title="reads", select=select, frame=winner)]


def patch_select(sums: Arithmetic, source: int) -> dict[str, object]:
    """A click on a cell of a patch goes to that value in the layer that is read."""
    rows, columns = np.meshgrid(sums.rows, sums.columns, indexing="ij")
    place = {"row": rows.clip(0).ravel().tolist(), "column": columns.clip(0).ravel().tolist()}
    return {"layer": sums.layer, "channel": sums.source + source} | place


def products(
    patch: np.ndarray, kernel: np.ndarray, select: dict[str, object], edit: str = ""
) -> Row:
    """Patch times kernel, both (height, width), and the sum; `edit`: the kernel can be changed."""
    times, equals = (Text(text=sign, size="large") for sign in "×=")
    read = Table(values=patch, title="patch", select=select)
    weights = Table(values=kernel, title="kernel", select={} if edit else select, edit=edit)
    made = Table(values=patch * kernel, title="products", select=select)
    total = Text(text=f"sum {number(np.nansum(made.values))}", size="strong")
    return Row([read, times, weights, equals, made, total])


def partial_sums(sums: Arithmetic, source: int) -> Table:
    """The sum of the products of each input channel."""
    channels = range(sums.source, sums.source + len(sums.patch))
    rows = in_rows(sums.partial_sums)
    starts = range(sums.source, channels.stop, rows.shape[1])
    return Table(
        values=rows,
        title="sums by input channel",
        rows=[f"from {start}" for start in starts],
        frame=source,
        select={"input_channel": list(range(len(sums.patch)))},
    )
