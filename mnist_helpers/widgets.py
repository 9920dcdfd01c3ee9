"""Explorers: controls around a drawing function. No `interact` and no `Output`, which can hang papermill."""

import base64
import html
import io
from collections.abc import Callable
from functools import lru_cache

import ipywidgets
import numpy as np
from ipywidgets import HTML, Checkbox, Dropdown, IntSlider, Layout, SelectionSlider, ToggleButtons
from PIL import Image
from torch import Tensor, nn

from mnist_helpers.config import WIDGET_ERROR
from mnist_helpers.features import kernels, make_extractor, stage_names
from mnist_helpers.metrics import NUM_CLASSES, Predictions
from mnist_helpers.pictures import GAP, INK, SIGNED, UNSIGNED, columns_for, limits, montage, png, quantise
from mnist_helpers.plots import figure_png, plot_prediction

WIDE = Layout(width="480px")
SHARP = "mnist-helpers-sharp"
STYLE = f"<style>.{SHARP} {{ image-rendering: pixelated; }} .{WIDGET_ERROR} {{ color: #b00020; }}</style>"


class Explorer(ipywidgets.VBox):
    """A picture and a caption that follow their controls; a still of both where no widget can run (GitHub, nbval).

    Args:
        controls: widgets with a `value`, by the name of the argument of `draw` that takes it.
        draw: returns the PNG and the caption for those values.
        width: of the picture, in pixels; smaller pictures are enlarged without blur.
    """

    def __init__(
        self, controls: dict[str, ipywidgets.Widget], draw: Callable[..., tuple[bytes, str]], width: int
    ) -> None:
        self.by_name, self.draw = controls, draw
        self.picture = ipywidgets.Image(format="png", layout=Layout(width=f"{width}px"))
        self.picture.add_class(SHARP)
        self.caption = HTML()
        super().__init__(
            [HTML(STYLE), *controls.values(), self.caption, self.picture], layout=Layout(align_items="flex-start")
        )
        for control in controls.values():
            control.observe(self.update, "value")
        self.update()

    def update(self, change: object = None) -> None:
        """Draws anew for the controls' values. An error is shown in the caption, since Jupyter hides a callback's, and raised."""
        try:
            self.picture.value, text = self.draw(**{name: control.value for name, control in self.by_name.items()})
        except Exception as error:
            self.caption.value = f'<b class="{WIDGET_ERROR}">{html.escape(f"{type(error).__name__}: {error}")}</b>'
            raise
        self.picture.tooltip = text
        self.caption.value = html.escape(text)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={control.value!r}" for name, control in self.by_name.items())
        return f"{type(self).__name__}({settings})\n{html.unescape(self.caption.value)}"

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, object]:
        bundle = super()._repr_mimebundle_(**kwargs) or {}
        still = Image.open(io.BytesIO(self.picture.value))
        zoom = max(1, int(self.picture.layout.width[:-2]) // still.width)
        buffer = io.BytesIO()
        still.resize((still.width * zoom, still.height * zoom), Image.Resampling.NEAREST).save(buffer, "png")
        return bundle | {"image/png": base64.b64encode(buffer.getvalue()).decode(), "text/plain": repr(self)}


def explore_feature_maps(model: nn.Module, images: Tensor, reference: nn.Module | None = None) -> Explorer:
    """Shows all channels of one stage of `model` for one of `images` (N, 1, 28, 28), on one scale or each on its own.

    Args:
        reference: a second network of the same stages, random or earlier, to stand beside it on the same scale.
    """
    extractors = [make_extractor(network) for network in (model, reference) if network is not None]

    @lru_cache(maxsize=256)
    def maps_of(index: int) -> list[dict[str, np.ndarray]]:
        found = [extract(images[index : index + 1]) for extract in extractors]
        return [
            {name: maps[0].reshape(maps.shape[1], *maps.shape[2:] or (1, 1)).numpy() for name, maps in each.items()}
            for each in found
        ]

    def draw(stage: str, image: int, scale: str, beside: bool) -> tuple[bytes, str]:
        sides = [maps[stage] for maps in maps_of(image)][: 1 + beside]
        count, height, width = sides[0].shape
        each = scale == "per map" and width > 1
        both = np.concatenate(sides)
        signed = bool((both < 0).any())
        levels = quantise(both, each=each, signed=signed)
        grids = [montage(side, columns_for(count)) for side in np.split(levels, len(sides))]
        wide = np.hstack([grids[0]] + [np.pad(grid, ((0, 0), (3, 0)), constant_values=GAP) for grid in grids[1:]])
        low, high = limits(both)
        text = f"{stage}: {count} maps of {height} × {width}, {'each on its own scale' if each else f'{low:.2f} to {high:.2f}'}"
        return png(wide, SIGNED if signed else UNSIGNED), text + (
            "; left this network, right the reference" if beside else ""
        )

    names = [name for name in stage_names(model) if name != "flatten"]
    controls = {
        "stage": SelectionSlider(options=names, description="Stage", layout=WIDE),
        "image": IntSlider(0, 0, len(images) - 1, description="Image", layout=WIDE),
        "scale": ToggleButtons(options=["per layer", "per map"], description="Scale"),
        "beside": Checkbox(False, description="Reference beside it", disabled=reference is None),
    }
    return Explorer(controls, draw, width=720)


def explore_kernels(model: nn.Module) -> Explorer:
    """Shows the kernels of one convolution of `model` that read one input channel, a picture for each output channel."""
    weights = {name: weight.numpy() for name, weight in kernels(model).items()}
    layer = SelectionSlider(options=list(weights), description="Layer", layout=WIDE)
    channel = IntSlider(0, 0, 0, description="Input channel", layout=WIDE, style={"description_width": "initial"})

    def fit_channels(change: object = None) -> None:
        channel.max = weights[layer.value].shape[1] - 1

    def draw(layer: str, channel: int) -> tuple[bytes, str]:
        weight = weights[layer]
        chosen = weight[:, min(channel, weight.shape[1] - 1)]  # (out, height, width)
        top = limits(weight)[1]
        shown = quantise(np.concatenate([chosen, np.full_like(chosen[:1], top)]), signed=True)[
            :-1
        ]  # one scale for the layer
        text = f"{layer}: {len(chosen)} kernels on input channel {channel} of {weight.shape[1]}, {-top:.2f} (blue) to {top:.2f} (red)"
        return png(montage(shown, columns_for(len(shown))), SIGNED), text

    layer.observe(fit_channels, "value")
    fit_channels()
    return Explorer({"layer": layer, "channel": channel}, draw, width=540)


def browse_predictions(images: Tensor, predictions: Predictions) -> Explorer:
    """Shows one of `images` (N, 1, 28, 28) with its probabilities at a time: all of them, the right or the wrong ones, of any digit."""
    shown = ToggleButtons(options=["wrong", "right", "all"], description="Show")
    digit = Dropdown(options=[("any", None), *((str(i), i) for i in range(NUM_CLASSES))], description="True digit")
    position = IntSlider(0, 0, 0, description="Position", layout=WIDE)

    def chosen() -> np.ndarray:
        keep = {"all": predictions.labels >= 0, "right": predictions.correct, "wrong": ~predictions.correct}[
            shown.value
        ]
        return (keep if digit.value is None else keep & (predictions.labels == digit.value)).nonzero().flatten().numpy()

    def fit_positions(change: object = None) -> None:
        position.value, position.max = 0, max(len(chosen()) - 1, 0)

    def draw(shown: str, digit: int | None, position: int) -> tuple[bytes, str]:
        indices = chosen()
        if not len(indices):
            return png(np.full((1, 2), GAP, np.uint8), INK), "No image of this kind."
        index = int(indices[min(position, len(indices) - 1)])
        label, pred = int(predictions.labels[index]), int(predictions.preds[index])
        text = f"{position + 1} of {len(indices):,}: test image {index}, true {label}, predicted {pred} with {predictions.confidence[index]:.1%}"
        return figure_png(plot_prediction(images[index], predictions.probs[index].numpy(), label)), text

    for control in (shown, digit):
        control.observe(fit_positions, "value")
    fit_positions()
    return Explorer({"shown": shown, "digit": digit, "position": position}, draw, width=600)
