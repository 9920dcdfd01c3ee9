"""The views into a network under sliders: each alone, or all seven driven by one selection."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import ipywidgets
import traitlets
from ipywidgets import (
    Checkbox,
    Dropdown,
    HBox,
    IntSlider,
    Layout,
    SelectionSlider,
    SelectMultiple,
    VBox,
)
from torch import Tensor, nn

from mnist_helpers.inspector import SCALES, VIEWS, Inspector
from mnist_helpers.metrics import Predictions
from mnist_helpers.pictures import Picture
from mnist_helpers.plots import figure_picture, plot_prediction
from mnist_helpers.widgets import WIDE, Controls, Explorer, ImagePicker


class ChannelSwitches(VBox):
    """Lists of the channels of every convolution; `value` holds those that are off, as pairs of stage and channel."""

    value = traitlets.Tuple()

    def __init__(self, inspector: Inspector) -> None:
        self.inspector = inspector
        self.lists = {
            name: SelectMultiple(
                options=range(inspector.stages[name].shape[0]),
                rows=4,
                description=f"{name} off",
                layout=WIDE,
            )
            for name in inspector.network.convolutions
        }
        done = len(inspector.ranked) == len(self.lists)
        self.measure = ipywidgets.Button(
            description="Measure every channel", disabled=done, layout=Layout(width="200px")
        )
        self.clear = ipywidgets.Button(description="All channels on", layout=Layout(width="200px"))
        self.progress = ipywidgets.IntProgress(
            0, 0, sum(len(box.options) for box in self.lists.values())
        )
        self.progress.layout.visibility = "hidden"
        super().__init__([*self.lists.values(), HBox([self.clear, self.measure, self.progress])])
        for box in self.lists.values():
            box.observe(self.gather, "value")
        self.clear.on_click(lambda button: self.switch(()))

    def gather(self, change: object = None) -> None:
        """Takes over what the lists say."""
        self.value = tuple(
            (name, channel) for name, box in self.lists.items() for channel in box.value
        )

    def switch(self, off: Iterable[tuple[str, int]]) -> None:
        """Brings the lists to a set of channels that are off."""
        for name, box in self.lists.items():
            box.value = sorted(channel for layer, channel in off if layer == name)

    def flip(self, channel: tuple[str, int]) -> None:
        """Switches one channel."""
        self.switch(set(self.value) ^ {channel})

    def step(self) -> None:
        """Counts a channel that was measured."""
        self.progress.layout.visibility = "visible"
        self.progress.value += 1

    def rank(self, button: object = None) -> None:
        """Measures what each channel carries, with a bar of progress."""
        for name in self.lists:
            self.inspector.rank(name, self.step)
        self.measure.disabled = True


def browse_predictions(images: Tensor, predictions: Predictions) -> Explorer:
    """Shows one of `images` (N, 1, 28, 28) at a time with its probabilities, beginning with the wrong ones."""
    picker = ImagePicker(
        predictions.labels, predictions.correct, "all" if predictions.correct.all() else "wrong"
    )

    def draw(image: int) -> list[Picture]:
        label, pred, prob = (
            each[image] for each in (predictions.labels, predictions.preds, predictions.confidence)
        )
        fig = plot_prediction(images[image], predictions.probs[image].numpy(), int(label))
        return [figure_picture(fig, f"Image {image}, a {label}, read as {pred} with {prob:.1%}.")]

    return Explorer({"image": picker}, draw)


def make_control(inspector: Inspector, name: str) -> ipywidgets.Widget:
    """The control of one part of the selection, or of one option of a view."""
    match name:
        case "image":
            return ImagePicker(inspector.labels, inspector.predictions.correct)
        case "stage":
            stages = [stage.name for stage in inspector.stages.values() if stage.kind != "Flatten"]
            return SelectionSlider(options=stages, description="Stage", layout=WIDE)
        case "channel" | "row" | "column" | "source":
            return IntSlider(
                0, 0, 0, description="Input" if name == "source" else name.capitalize(), layout=WIDE
            )
        case "target":
            classes = [("none", -1), *((str(c), c) for c in range(inspector.classes))]
            return Dropdown(options=classes, description="Class", layout=Layout(width="180px"))
        case "colouring":
            return Dropdown(options=inspector.colourings, description="Colour")
        case "each":
            return Checkbox(False, description="Each kernel on its own scale")
        case "scale":
            return Dropdown(options=SCALES, description="Scale for")
        case "compare":
            return Dropdown(options=inspector.comparisons, description="Reference")
        case _:
            return ChannelSwitches(inspector)


def fit_ranges(inspector: Inspector, controls: Controls) -> None:
    """Lets channel, row, column and source go as far as the stage has any."""
    if "stage" in controls:
        stage = controls["stage"].value
        sizes = (*inspector.stages[stage].shape, 1, 1)[:3]
        for name, size in zip(
            ("channel", "row", "column", "source"), (*sizes, inspector.sources(stage)), strict=True
        ):
            if name in controls:
                controls[name].max, controls[name].disabled = size - 1, size == 1


def make_view(inspector: Inspector, name: str, controls: Controls | None = None) -> Explorer:
    """One of `VIEWS` under its controls; those that are in `controls` are shared, and stand elsewhere."""
    _, *names = VIEWS[name]
    opens = name == "pipeline"  # shows the stage that is selected below it
    shared = controls or {}
    names = [*names, "channel", "row", "column", *({"target"} & set(shared))] if opens else names
    mine = {each: shared.get(each) or make_control(inspector, each) for each in names}

    def draw(**values: object) -> list[Picture]:
        if not opens:
            return [getattr(inspector, name)(**values)]
        values.pop("target", None)  # a click may choose it; nothing is drawn of it
        opened = inspector.feature_maps(**values)
        said = opened.caption.removeprefix(
            f"{inspector.title(values['image'])}. "
        )  # the pipeline says it
        return [inspector.pipeline(values["image"], values["stage"]), replace(opened, caption=said)]

    standing = [each for each in names if each not in shared]
    explorer = Explorer(
        mine, draw, lambda: fit_ranges(inspector, mine), standing, 1 + opens, active=not shared
    )
    if "off" in mine:
        mine["off"].measure.on_click(lambda button: (mine["off"].rank(), explorer.update()))
    return explorer


GRID = Layout(
    grid_template_columns="repeat(auto-fit, 490px)",
    width="100%",
    max_width="1000px",
    align_items="center",
)
SELECTION = ("image", "stage", "channel", "row", "column", "target")


class NetworkExplorer(VBox):
    """All views as tabs under one selection; only the open one is drawn."""

    def __init__(self, inspector: Inspector) -> None:
        self.controls = {name: make_control(inspector, name) for name in SELECTION}
        self.explorers = {name: make_view(inspector, name, self.controls) for name in VIEWS}
        self.tabs = ipywidgets.Tab(
            list(self.explorers.values()), titles=[title for title, *_ in VIEWS.values()]
        )
        self.tabs.add_class("mnist-helpers-tabs")
        places = ipywidgets.GridBox([self.controls[name] for name in SELECTION[1:]], layout=GRID)
        super().__init__([self.controls["image"], places, self.tabs])
        self.tabs.observe(self.turn, "selected_index")
        self.tabs.selected_index = 0
        self.turn()

    @property
    def shown(self) -> Explorer:
        """The view of the open tab."""
        return list(self.explorers.values())[self.tabs.selected_index or 0]

    def turn(self, change: object = None) -> None:
        """Draws the view of the open tab, and no other from now on; what it doesn't take can't be moved."""
        for explorer in self.explorers.values():
            explorer.active = explorer is self.shown
        for name in SELECTION[1:]:
            self.controls[name].disabled = name not in self.shown.controls
        self.shown.update()

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {', '.join(title for title, *_ in VIEWS.values())}\n{self.shown!r}"

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, object]:
        still = self.shown._repr_mimebundle_()["image/png"]
        return (super()._repr_mimebundle_(**kwargs) or {}) | {
            "image/png": still,
            "text/plain": repr(self),
        }


def explore(
    model: nn.Module | Inspector,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    reference: nn.Module | None = None,
) -> NetworkExplorer:
    """All views into `model` under one selection of image, stage, channel, pixel and class.

    Args:
        model: any network with convolutions that `torch.fx` can trace, put into evaluation mode; or an `Inspector`,
            which has the rest.
        images: (N, C, H, W), as the model takes them.
        labels: (N,); without them the model's own answers stand for them.
        reference: a network of the same form to compare with.

    Raises:
        InputError: one of them doesn't fit.
    """
    return NetworkExplorer(inspect(model, images, labels, reference))


def inspect(model: nn.Module | Inspector, *data: object) -> Inspector:
    """An inspector of `model`, or `model` itself if it is one."""
    return model if isinstance(model, Inspector) else Inspector(model, *data)


def _explore_one(name: str) -> Callable[..., Explorer]:
    def explore_one(
        model: nn.Module | Inspector,
        images: Tensor | None = None,
        labels: Tensor | None = None,
        reference: nn.Module | None = None,
    ) -> Explorer:
        return make_view(inspect(model, images, labels, reference), name)

    explore_one.__name__ = explore_one.__qualname__ = f"explore_{name}"
    explore_one.__doc__ = f"""The view \"{VIEWS[name][0]}\" alone, with its controls; the arguments are those of `explore`."""
    return explore_one


explore_pipeline = _explore_one("pipeline")
explore_kernels = _explore_one("kernels")
explore_feature_maps = _explore_one("feature_maps")
explore_arithmetic = _explore_one("arithmetic")
explore_excitation = _explore_one("excitation")
explore_attribution = _explore_one("attribution")
explore_ablation = _explore_one("ablation")
