"""Explorers: controls around functions that draw. No `interact` and no `Output`, which can hang papermill."""

import base64
import html
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path

import anywidget
import ipywidgets
import traitlets
from ipywidgets import HTML, BoundedIntText, Dropdown, IntSlider, Layout

from mnist_helpers.config import WIDGET_ERROR
from mnist_helpers.pictures import Picture
from mnist_helpers.plots import figure_png, plot_history
from mnist_helpers.training import EpochRecord

WIDE = Layout(width="480px")
Controls = dict[str, ipywidgets.Widget]


class PictureView(anywidget.AnyWidget):
    """A `Picture` on the page; `picked` says where it was clicked or walked to: x, y, pressed (0 or 1), a count."""

    _esm = Path(__file__).with_name("picture.js")
    _css = Path(__file__).with_name("picture.css")
    url = traitlets.Unicode().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    scale = traitlets.Int(1).tag(sync=True)
    cursor = traitlets.List([0, 0]).tag(sync=True)
    step = traitlets.List([1, 1]).tag(sync=True)
    labels = traitlets.List([]).tag(sync=True)
    picked = traitlets.List([0, 0, 0, 0]).tag(sync=True)

    def show(self, picture: Picture) -> None:
        """Puts a picture in the place of the one before, in one message."""
        with self.hold_sync():
            self.alt, self.scale = picture.caption, picture.scale
            self.cursor, self.step = list(picture.cursor), list(picture.step)
            self.labels = [list(vars(label).values()) for label in picture.labels]
            self.url = picture.data_url()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.alt!r})"


class Explorer(ipywidgets.VBox):
    """Pictures and a caption that follow their controls; a still of the first where no widget can run (GitHub, nbval).

    Args:
        controls: widgets with a `value`, by the name of the argument of `draw` that takes it, and of what a click in
            a picture selects.
        draw: returns the pictures for those values, `count` of them.
        fit: brings the ranges of the controls in line with their values.
        shown: the names of the controls that stand here, by default all; others may stand elsewhere.
        active: whether to draw; `update` begins once it is set.
    """

    def __init__(
        self,
        controls: Controls,
        draw: Callable[..., list[Picture]],
        fit: Callable[[], None] = lambda: None,
        shown: Iterable[str] | None = None,
        count: int = 1,
        active: bool = True,
    ) -> None:
        self.controls, self.draw, self.fit = controls, draw, fit
        self.busy, self.active, self.pictures = False, active, []
        self.views = [PictureView() for _ in range(count)]
        self.caption = HTML()
        standing = [controls[name] for name in (controls if shown is None else shown)]
        super().__init__(
            [*standing, self.caption, *self.views], layout=Layout(align_items="flex-start")
        )
        for control in controls.values():
            control.observe(self.update, "value")
        for number, view in enumerate(self.views):
            view.observe(
                lambda change, number=number: self.pick(number, *change["new"][:3]), "picked"
            )
        self.update()

    @contextmanager
    def settling(self) -> Iterable[None]:
        """While several controls change, nothing is drawn."""
        self.busy, before = True, self.busy
        try:
            yield
        finally:
            self.busy = before

    def update(self, change: object = None) -> None:
        """Draws anew. An error is raised, and shown in the caption, since Jupyter hides those of callbacks."""
        if self.busy or not self.active:
            return
        try:
            with self.settling():
                self.fit()
                self.pictures = self.draw(
                    **{name: control.value for name, control in self.controls.items()}
                )
        except Exception as error:
            message = html.escape(f"{type(error).__name__}: {error}")
            self.caption.value = f'<b class="{WIDGET_ERROR}">{message}</b>'
            raise
        for view, picture in zip(self.views, self.pictures, strict=True):
            view.show(picture)
        self.caption.value = html.escape(" ".join(picture.caption for picture in self.pictures))

    def pick(self, number: int, x: int, y: int, pressed: int) -> None:
        """Selects what lies at a place of a picture; Enter or a click also flips a switch there."""
        found = self.pictures[number].at(x, y)
        with self.settling():
            for name, value in found.items():
                if name == "switch" and pressed:
                    self.controls["off"].flip(value)
                elif name in self.controls:
                    self.controls[name].value = value
                    self.fit()
        self.update()
        if "switch" in found:
            self.views[number].cursor = [x, y]

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={control.value!r}" for name, control in self.controls.items())
        return f"{type(self).__name__}({settings})\n{html.unescape(self.caption.value)}"

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, object]:
        still = base64.b64encode(self.pictures[0]._repr_png_()).decode()
        return (super()._repr_mimebundle_(**kwargs) or {}) | {
            "image/png": still,
            "text/plain": repr(self),
        }


class ImagePicker(ipywidgets.VBox):
    """Picks one of N images: `value` is its index. By index, or by walking through those of a digit, right or wrong.

    Args:
        labels: (N,), whole numbers.
        correct: (N,), whether each is read rightly.
    """

    value = traitlets.Int(0)

    def __init__(self, labels: Iterable[int], correct: Iterable[bool], first: str = "all") -> None:
        self.labels, self.correct = list(map(int, labels)), list(map(bool, correct))
        classes = [("any", -1), *((str(c), c) for c in sorted(set(self.labels)))]
        self.digit = Dropdown(
            options=classes, description="True digit", layout=Layout(width="180px")
        )
        options = ["all", "right", "wrong"]
        self.shown = Dropdown(
            options=options, value=first, description="Read", layout=Layout(width="180px")
        )
        self.index = BoundedIntText(
            0, 0, len(self.labels) - 1, description="Index", layout=Layout(width="180px")
        )
        self.position = IntSlider(1, 1, 1, description="Position", layout=WIDE)
        row = ipywidgets.HBox([self.digit, self.shown, self.index])
        super().__init__([row, self.position])
        for control in (self.digit, self.shown):
            control.observe(self.choose, "value")
        self.position.observe(self.walk, "value")
        self.index.observe(lambda change: setattr(self, "value", self.index.value), "value")
        self.observe(self.follow, "value")
        self.choose()

    def choose(self, change: object = None) -> None:
        """Keeps the images that the two filters let through, and goes to the first if the present one is not among."""
        wanted = {"all": (True, False), "right": (True,), "wrong": (False,)}[self.shown.value]
        self.chosen = [
            i
            for i, (label, correct) in enumerate(zip(self.labels, self.correct, strict=True))
            if correct in wanted and self.digit.value in (-1, label)
        ]
        self.position.unobserve(self.walk, "value")  # a shorter slider may move by itself
        self.position.max = max(len(self.chosen), 1)
        self.position.observe(self.walk, "value")
        self.position.disabled = not self.chosen
        if self.chosen and self.value not in self.chosen:
            self.value = self.chosen[0]
        self.follow()

    def walk(self, change: object = None) -> None:
        """Goes where the slider stands."""
        if self.chosen:
            self.value = self.chosen[self.position.value - 1]

    def follow(self, change: object = None) -> None:
        """Brings slider and index to the present image; one that the filters hide takes them away."""
        if self.chosen and self.value not in self.chosen:
            self.digit.value, self.shown.value = -1, "all"
        self.index.value = self.value
        if self.chosen:
            self.position.value = self.chosen.index(self.value) + 1


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
