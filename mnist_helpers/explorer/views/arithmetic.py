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

SENTENCES = {  # by the rule of an `Arithmetic` without a kernel
    "max": "the largest is {value}",
    "mean": "the mean is {value}",
    "relu": "max(0, {first}) = {value}",
    "copy": "copied unchanged: {value}",
    "add": "the sum is {value}",
    "softmax": "exp of logit {channel}, divided by the sum of all, is {value}",
    "": "its input here is {first}, its output {value}",
}


def arithmetic(look: Look) -> Scene:
    """One value: what it reads, what that is multiplied with, and what the products add up to."""
    sums = look.explained
    rule = Text(sentence(look), size="strong")
    caption = f"{look.title}. {selected_value(look)}: {rule.text}."
    if sums.kernel is None:
        rows = [Row(*read_tables(look), rule)]
    else:
        channel = look.read_channel
        steps = products(sums.patch[channel], sums.kernel[channel], patch_select(look))
        rows = [steps, partial_sums(look), rule]
        caption += f" The numbers are those of input channel {sums.first_channel + channel}."
    return Scene(Column(framed_maps(look), *rows), caption)


def sentence(look: Look) -> str:
    """The rule that makes the value, with its numbers."""
    sums = look.explained
    value = number(sums.value)
    if not sums.patch.size:
        return f"{look.subject.layers[look.layer].op} gives {value}"
    if sums.kernel is None:
        first = number(sums.patch.flat[0].item())
        return SENTENCES[sums.rule].format(value=value, first=first, channel=look.channel)
    text = (
        f"sum of all products {number(sums.partial_sums.sum().item())} "
        f"+ bias {number(sums.bias)} = {value} (rounded)"
    )
    if sums.rectified:
        text += f"; ReLU makes it {number(max(sums.value, 0.0))}"
    return text


def framed_maps(look: Look) -> Row:
    """The image, what the layer reads and what it puts out, with the frames of this value."""
    sums = look.explained
    marks = [input_picture(look, LARGE)]
    if sums.patch.size:
        rows = sums.rows[sums.rows >= 0]
        columns = sums.columns[sums.columns >= 0]
        corners = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        window = tuple(map(int, corners))
        channel = sums.first_channel + look.read_channel
        if sums.rule == "softmax":
            window = None  # all count
        marks.append(single_map(look, sums.layer, channel, window, LARGE))
    marks.append(single_map(look, look.layer, look.channel, value_box(look), LARGE))
    marks.append(Text(number(sums.value), size="large", title="value"))
    return Row(*marks)


def read_tables(look: Look) -> list[Item]:
    """What a value without a kernel reads."""
    sums = look.explained
    if not sums.patch.size:
        return []
    if sums.rule in ("add", "softmax"):  # one value of each input, or of each class
        values = in_rows(sums.patch.ravel())
        names = [look.titles[name] for name in look.subject.layers[look.layer].inputs]
        if sums.rule == "softmax":
            names = look.subject.digits
        if len(values) > 1:
            names = ()
        return [Table(values, columns=names, title="input")]
    return [Table(sums.patch[look.read_channel], title="input", select=patch_select(look))]


def patch_select(look: Look) -> dict[str, object]:
    """A click on a cell of a patch goes to that value in the layer that is read."""
    sums = look.explained
    rows, columns = np.meshgrid(sums.rows.clip(0), sums.columns.clip(0), indexing="ij")
    return {
        "layer": sums.layer,
        "channel": sums.first_channel + look.read_channel,
        "row": rows.ravel().tolist(),
        "column": columns.ravel().tolist(),
    }


def products(
    patch: np.ndarray, kernel: np.ndarray, select: dict[str, object], edit: str = ""
) -> Row:
    """Patch times kernel, both (height, width), and the sum; `edit`: the kernel can be changed."""
    read = Table(patch, title="patch", select=select)
    weights = Table(kernel, title="kernel", select=select, edit=edit)
    values = patch * kernel
    notes = [f"sum {number(np.nansum(values))}"]
    terms = Table(values, title="products", notes=notes, select=select)
    # a line ends before the =
    return Row(read, Text("×", size="large"), weights, Row(Text("=", size="large"), terms))


def partial_sums(look: Look) -> Table:
    """The sum of the products of each input channel."""
    sums = look.explained
    count = len(sums.patch)
    values = in_rows(sums.partial_sums)
    starts = range(sums.first_channel, sums.first_channel + count, values.shape[1])
    return Table(
        values,
        title="sums by input channel",
        rows=[f"from {start}" for start in starts],
        framed_cell=look.read_channel,
        select={"input_channel": list(range(count))},
    )
