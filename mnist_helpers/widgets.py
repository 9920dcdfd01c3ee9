"""Explorers: controls around a drawing function. No `interact` and no `Output`, which can hang papermill."""

import base64
import html
import time
from collections.abc import Callable
from functools import lru_cache

import ipywidgets
import numpy as np
import torch
from ipywidgets import HTML, Checkbox, Dropdown, HBox, IntSlider, Layout, SelectionSlider
from torch import Tensor, nn

from mnist_helpers.config import WIDGET_ERROR
from mnist_helpers.features import as_maps, kernels, make_extractor, stage_names
from mnist_helpers.metrics import NUM_CLASSES, Predictions
from mnist_helpers.pictures import GAP, INK, SIGNED, UNSIGNED, columns_for, limits, montage, png, quantise, side_by_side
from mnist_helpers.plots import figure_png, plot_history, plot_prediction
from mnist_helpers.training import EpochRecord

Draw = Callable[..., tuple[list[bytes], str]]
WIDE = Layout(width="480px")
SHARP = "mnist-helpers-sharp"
STYLE = f"<style>.{SHARP} {{ image-rendering: pixelated; }} .{WIDGET_ERROR} {{ color: #b00020; }}</style>"


class Explorer(ipywidgets.VBox):
    """Pictures and a caption that follow their controls; a still of both where no widget can run (GitHub, nbval).

    Args:
        controls: widgets with a `value`, by the name of the argument of `draw` that takes it.
        draw: returns the PNGs and the caption for those values.
        widths: of the pictures, in pixels; smaller ones are enlarged without blur.
    """

    def __init__(self, controls: dict[str, ipywidgets.Widget], draw: Draw, widths: list[int]) -> None:
        self.controls, self.draw, self.widths = controls, draw, widths
        self.pictures = [ipywidgets.Image(format="png", layout=Layout(width=f"{width}px")) for width in widths]
        for picture in self.pictures:
            picture.add_class(SHARP)
        self.caption = HTML()
        row = HBox(self.pictures, layout=Layout(align_items="flex-start", grid_gap="16px"))
        super().__init__([HTML(STYLE), *controls.values(), self.caption, row], layout=Layout(align_items="flex-start"))
        for control in controls.values():
            control.observe(self.update, "value")
        self.update()

    def update(self, change: object = None) -> None:
        """Draws anew. An error is raised, and shown in the caption, since Jupyter hides those of callbacks."""
        try:
            contents, text = self.draw(**{name: control.value for name, control in self.controls.items()})
        except Exception as error:
            message = html.escape(f"{type(error).__name__}: {error}")
            self.caption.value = f'<b class="{WIDGET_ERROR}">{message}</b>'
            raise
        for picture, content in zip(self.pictures, contents, strict=True):
            picture.value = content
        self.caption.value = html.escape(text)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={control.value!r}" for name, control in self.controls.items())
        return f"{type(self).__name__}({settings})\n{html.unescape(self.caption.value)}"

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, object]:
        still = side_by_side([picture.value for picture in self.pictures], self.widths)
        bundle = {"image/png": base64.b64encode(still).decode(), "text/plain": repr(self)}
        return (super()._repr_mimebundle_(**kwargs) or {}) | bundle


class LiveCurves(ipywidgets.VBox):
    """The curves of a training run that is under way: give its methods to `train` as `on_epoch` and `on_step`.

    Args:
        steps: how many the run will take at most, for the time left.
    """

    def __init__(self, steps: int) -> None:
        self.steps, self.done, self.history, self.began = steps, 0, [], time.perf_counter()
        self.shown = self.began
        self.status = HTML("Training has not begun.")
        self.picture = ipywidgets.Image(format="png", layout=Layout(width="800px", display="none"))
        super().__init__([self.status, self.picture])

    def on_step(self) -> None:
        """Counts a step; twice a second it tells how much is left."""
        now = time.perf_counter()
        if self.done == 0:
            self.began = now
        self.done += 1
        if now - self.shown > 0.5 or self.done == self.steps:
            self.shown = now
            left = (now - self.began) / self.done * (self.steps - self.done)
            self.status.value = f"Step {self.done:,} of {self.steps:,}, {left:.0f} s left"

    def on_epoch(self, record: EpochRecord) -> None:
        """Draws the curves up to this epoch."""
        self.history.append(record)
        self.picture.value = figure_png(plot_history(self.history))
        self.picture.layout.display = None

    def __repr__(self) -> str:
        return "The curves grow here while the network trains."


def explore_feature_maps(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    reference: nn.Module | None = None,
    names: tuple[str, str] = ("trained", "random"),
) -> Explorer:
    """Shows one of `images` (N, 1, 28, 28) and all channels of one stage of `model` for it.

    Args:
        labels: (N,), for the caption.
        reference: a network with the same stages, to stand to the right of `model` on the same colour scale.
        names: what to call the two.
    """
    extractors = [make_extractor(network) for network in (model, reference) if network is not None]

    @lru_cache(maxsize=256)
    def sides_of(image: int) -> list[dict[str, np.ndarray]]:
        return [{name: as_maps(out[0]) for name, out in find(images[image : image + 1]).items()} for find in extractors]

    def draw(stage: str, image: int, each: bool, beside: bool) -> tuple[list[bytes], str]:
        sides = [maps[stage] for maps in sides_of(image)[: 1 + beside]]
        count, height, width = sides[0].shape
        each = each and width > 1  # a map of one pixel has no scale of its own
        low, high = limits(np.concatenate(sides), each=each)
        levels = quantise(np.concatenate(sides), low, high)
        grids = [montage(side, columns_for(count)) for side in np.split(levels, len(sides))]
        bar = np.full((len(grids[0]), 3), GAP, np.uint8)
        wide = np.hstack([grids[0], *(part for grid in grids[1:] for part in (bar, grid))])
        span = "each on its own scale" if each else f"colours from {low.item():.2f} to {high.item():.2f}"
        text = f"Test image {image}, digit {labels[image]}. {stage}: {count} × {height} × {width}, {span}."
        if beside:
            text += f" Left: {names[0]}. Right: {names[1]}."
        ink = quantise(as_maps(images[image])[0], images[image].min().item(), images[image].max().item())
        return [png(ink, INK), png(wide, SIGNED if low.min() < 0 else UNSIGNED)], text

    controls = {
        "stage": SelectionSlider(options=[name for name in stage_names(model) if name != "flatten"], layout=WIDE),
        "image": IntSlider(0, 0, len(images) - 1, layout=WIDE),
        "each": Checkbox(False),
        "beside": Checkbox(False, disabled=reference is None),
    }
    descriptions = ("Stage", "Image", "Each map on its own scale", f"{names[1].capitalize()} network beside it")
    for control, description in zip(controls.values(), descriptions, strict=True):
        control.description = description
    return Explorer(controls, draw, [112, 720])


def explore_kernels(model: nn.Module) -> Explorer:
    """Shows the kernels of one convolution of `model` that read one input channel, one for each output channel."""
    weights = {name: weight.numpy() for name, weight in kernels(model).items()}
    layer = SelectionSlider(options=list(weights), description="Layer", layout=WIDE)
    channel = IntSlider(0, 0, 0, description="Input", layout=WIDE)

    def fit_channels(change: object = None) -> None:
        channel.max = weights[layer.value].shape[1] - 1

    def draw(layer: str, channel: int) -> tuple[list[bytes], str]:
        low, high = limits(weights[layer])  # one scale for the whole layer
        chosen = weights[layer][:, channel]  # (out, height, width)
        grid = montage(quantise(chosen, low[0], high[0]), columns_for(len(chosen)))
        text = f"{layer}: {len(chosen)} kernels that read input channel {channel} of {weights[layer].shape[1]},"
        return [png(grid, SIGNED)], f"{text} from {low.item():.2f} (blue) to {high.item():.2f} (red)."

    layer.observe(fit_channels, "value")
    fit_channels()
    return Explorer({"layer": layer, "channel": channel}, draw, [540])


def browse_predictions(images: Tensor, predictions: Predictions) -> Explorer:
    """Shows one of `images` (N, 1, 28, 28) at a time with its probabilities: the wrong ones, the right ones or all."""
    shown = Dropdown(options=["wrong", "right", "all"], description="Show")
    digit = Dropdown(options=[("any", None), *((str(i), i) for i in range(NUM_CLASSES))], description="True digit")
    position = IntSlider(1, 1, 1, description="Position", layout=WIDE)

    def choose(shown: str, digit: int | None) -> list[int]:
        everything = torch.ones_like(predictions.correct)
        chosen = {"wrong": ~predictions.correct, "right": predictions.correct, "all": everything}[shown]
        return (chosen if digit is None else chosen & (predictions.labels == digit)).nonzero().flatten().tolist()

    def fit_positions(change: object = None) -> None:
        position.max = max(len(choose(shown.value, digit.value)), 1)
        position.value = 1

    def draw(shown: str, digit: int | None, position: int) -> tuple[list[bytes], str]:
        indices = choose(shown, digit)
        if not indices:
            return [png(np.full((1, 2), GAP, np.uint8), INK)], "No image of this kind."
        index = indices[position - 1]
        label, pred, prob = (each[index] for each in (predictions.labels, predictions.preds, predictions.confidence))
        text = f"{position} of {len(indices):,}: test image {index}, digit {label}, read as {pred} with {prob:.1%}."
        return [figure_png(plot_prediction(images[index], predictions.probs[index].numpy(), int(label)))], text

    for control in (shown, digit):
        control.observe(fit_positions, "value")
    fit_positions()
    return Explorer({"shown": shown, "digit": digit, "position": position}, draw, [600])
