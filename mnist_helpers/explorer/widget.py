"""The explorer in a notebook: tabs and controls of ipywidgets around a page that draws scenes."""

import asyncio
import dataclasses
import json
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from threading import RLock

import anywidget
import matplotlib
import numpy as np
import traitlets
from IPython.display import display
from ipywidgets import Button, FloatProgress, HBox, Label, ToggleButtons, VBox, Widget
from torch import Tensor, nn

from mnist_helpers.config import InputError
from mnist_helpers.digits import keep, pad_ink, prepare
from mnist_helpers.explorer.cells import close_former
from mnist_helpers.explorer.controls import (
    NO_FIELDS,
    QUESTIONS,
    Controls,
    changes_of,
    selection_after,
    set_changed,
)
from mnist_helpers.explorer.jobs import Unmeasured
from mnist_helpers.explorer.paper import LETTERS, PALETTES, Still
from mnist_helpers.explorer.scene import Row, Scene, Text, encoded
from mnist_helpers.explorer.selection import Selection, selected
from mnist_helpers.explorer.subject import Subject
from mnist_helpers.explorer.views import (
    VIEWS,
    View,
    draw,
    header,
    require_view,
    shown,
    trail,
    views_of,
)  # fmt: skip
from mnist_helpers.files import reason

PAGE = files("mnist_helpers.explorer").joinpath("page")
SCRIPTS = (
    "marks.js", "maps.js", "tables.js", "charts.js", "pad.js", "pictures.js", "explorer.js",
)  # fmt: skip
MORE = "more"  # a tab that brings all others


def classic_script() -> str:
    """The colour tables, then the page's own scripts."""
    levels = np.linspace(0, 1, 255)
    palettes = {}  # pixels of 32 bits: red comes first
    for name, palette in PALETTES.items():
        pixels = matplotlib.colormaps[palette](levels, bytes=True)
        palettes[name] = pixels.view("<u4").ravel().tolist()
    constants = f"const PALETTES = {json.dumps(palettes)}; const LETTERS = {json.dumps(LETTERS)};"
    constants += f"const QUESTIONS = {json.dumps(QUESTIONS)};"  # which lists don't bring along
    return "\n".join([constants, *(PAGE.joinpath(name).read_text("utf-8") for name in SCRIPTS)])


class Page(anywidget.AnyWidget):
    """Draws a scene, and sends what a click on it selects."""

    _esm = classic_script() + "\nexport default { render: ({ model, el }) => mount(model, el) };"
    _css = PAGE.joinpath("explorer.css").read_text("utf-8")
    state = traitlets.Dict().tag(sync=True)


class Explorer(VBox):
    """All views into a network under one `selection`, which can be read and set.

    Attributes:
        controls: the widgets that change it, by field, to link, restyle and lay out anew.
    """

    # One for all, which can be linked. JupyterLab brings messages of two widgets in two threads; a
    # slider that is moved while the other thread sets it would lose one of the two values.
    lock = RLock()
    selection = traitlets.Instance(Selection)
    serial = 0  # of the page's latest message
    task = None
    is_showing = False
    is_stopped = False

    def __init__(
        self,
        subject: Subject,
        selection: Selection,
        arguments: str = "subject",
        views: Sequence[str] = (),
    ) -> None:
        self.subject = subject
        self.arguments = arguments
        self.views = views
        self.start = selection
        self.parts = []
        Widget.on_widget_constructed(self.parts.append)
        try:
            self.tabs = ToggleButtons()
            self.tabs.add_class("mnist-tabs")
            self.panel = Controls(len(subject.layers))
            self.controls = self.panel.fields
            self.task_text = Label()
            self.progress = FloatProgress(max=1)
            stop = Button(description="Stop")
            stop.on_click(lambda button: self.stop())
            self.waiting = HBox([self.task_text, self.progress, stop])
            self.waiting.layout.display = "none"
            self.page = Page()
            boxes = [self.tabs, self.panel.fold, self.panel, self.waiting, self.page]
            super().__init__(boxes, selection=selection)
            self.add_class("mnist-explorer")
            self.page.on_msg(lambda page, content, buffers: self.receive(content))
            for name, control in {"view": self.tabs, **self.controls}.items():
                if name not in NO_FIELDS:
                    control.observe(partial(self.turn, name), "value")
        finally:
            Widget.on_widget_constructed(None)
        for widget in self.parts:
            widget.comm.handle_msg = partial(self.handle, widget.comm.handle_msg)
        close_former(self)

    def handle(self, receive: Callable[[dict], None], message: dict) -> None:
        """Lets a widget receive a message when what another thread shows is shown."""
        with self.lock:
            receive(message)

    def release(self) -> None:
        """Closes all widgets, and forgets the subject with what was measured of it."""
        self.stop()
        for widget in self.parts:
            widget.close()
        self.controls["layer"].equals = None  # which knows the subject, too
        self.subject = None

    @traitlets.validate("selection")
    def _check(self, proposal: traitlets.Bunch) -> Selection:
        require_view(proposal.value.view)
        self.subject.check(proposal.value)
        return proposal.value

    @traitlets.observe("selection")
    def show(self, change: object = None) -> None:
        """Draws the open view, and brings tabs and controls in line with it."""
        with self.lock:
            self.scene = self.drawn()
            look = self.subject.look(shown(self.selection))
            parts = {"header": header(look), "trail": trail(look), "scene": self.scene}
            text, numbers = encoded(parts)
            self.page.state = {  # first, for each message to the page takes its time
                "view": self.selection.view,
                "title": VIEWS[self.selection.view].title,
                "is_drawing": self.selection.drawing is not None,
                "shown": text,
                "numbers": numbers,
                "call": repr(self),
                "error": "",
                "serial": self.serial,
            }
            self.is_showing = True
            try:
                views = views_of(self.subject)
                if self.selection.view in self.views:  # those that were asked for
                    views = {name: VIEWS[name] for name in self.views}
                    views[MORE] = View("More views", "What else can be looked at?", draw, ())
                else:
                    self.views = ()
                with self.tabs.hold_sync():  # or the page would open the first for a moment
                    set_changed(
                        self.tabs,
                        {
                            "tooltips": [view.question for view in views.values()],
                            "options": tuple((view.title, name) for name, view in views.items()),
                            "value": self.selection.view,
                        },
                    )
                self.panel.show(look)
            finally:
                self.is_showing = False

    def drawn(self) -> Scene:
        """The scene of the open view; what is slow and may wait is begun, and drawn when done."""
        try:
            scene = draw(self.subject, self.selection)
            self.waiting.add_class("aside")  # a job goes on for another view
            return scene
        except Unmeasured as slow:
            if self.is_stopped:
                again = Text("Go on", select={"view": self.selection.view})
                return Scene(again, f"Stopped: {slow}.")
            self.waiting.remove_class("aside")
            if self.task:
                self.task.cancel()
            self.task = asyncio.ensure_future(self.work(slow))
            if self.page.state.get("view") == self.selection.view:
                return self.scene
            return Scene(Row(), f"{slow} …")
        except InputError as wrong:
            return Scene(Row(), str(wrong))

    def turn(self, name: str, change: traitlets.Bunch) -> None:
        """Selects what a control was moved to."""
        with self.lock:  # until what another thread shows is shown
            if name == "view" and change.new == MORE:
                self.views = ()
                self.show()
            elif not self.is_showing:
                self.receive({"select": changes_of(self.subject, self.selection, name, change.new)})

    def receive(self, content: dict[str, object]) -> None:
        """Changes a part of the selection, as a control or a click asks for it; or is a nudge."""
        try:
            if "select" not in content:
                self.page.send(content)  # answered behind all that came before
                return
            with self.lock:
                self.serial = int(content.get("serial", self.serial))
                before = self.selection
                changes = dict(content["select"])
                digit = changes.pop("keep", None)
                if "reset" in changes:
                    after = dataclasses.replace(self.start, view=before.view)
                else:
                    after = selection_after(self.subject, before, changes)
                with self.subject.jobs.deferring():  # what the filter asks for has been done
                    if after == before:
                        self.show()
                    self.selection = after
            if digit is not None:
                image = prepare(pad_ink(after.drawing)).image
                self.say(notice=f"Kept as {'/'.join(keep(image, digit).parts[-3:])}.")
            if [*content["select"]] == ["image"] and after.filter != before.filter:
                self.say(notice=f"The filter hid image {after.image}: now all images are shown.")
        except Exception as wrong:  # Jupyter shows nothing of what a callback raises
            self.say(reason(wrong))
            raise

    async def work(self, slow: Unmeasured) -> None:
        """Does a job in small steps, between which the kernel answers, and draws the view again."""
        self.task_text.value = f"{VIEWS[self.selection.view].title}: {slow}"
        self.waiting.layout.display = "flex"
        while True:
            try:
                with self.lock:  # a step at a time, in whichever thread
                    fraction = next(slow.job, None)
            except Exception as wrong:  # of a network that fits no method, or too little memory
                self.waiting.layout.display = "none"
                self.say(reason(wrong))
                raise
            if fraction is None:
                break
            self.progress.value = fraction
            await asyncio.sleep(0)
        self.waiting.layout.display = "none"
        with self.lock, self.subject.jobs.deferring():
            self.show()

    def stop(self) -> None:
        """Stops a job; it goes on from there when a view next asks for it."""
        if self.task:
            self.task.cancel()
        self.waiting.layout.display = "none"
        self.is_stopped = True
        with self.subject.jobs.deferring():
            self.selection = dataclasses.replace(self.selection, rank=False, projection="PCA")
            self.show()
        self.is_stopped = False
        self.say(notice="Stopped. When you ask again, it goes on from there.")

    def say(self, error: str = "", notice: str = "") -> None:
        """Tells on the page what is wrong, or else what was done, beside what it shows."""
        self.page.state = dict(self.page.state, error=error, notice=notice, serial=self.serial)

    def _ipython_display_(self) -> None:
        """Shows a still, and over it the widget, whose page hides the still while it lives."""
        display(Still(self.scene))
        display({**self._repr_mimebundle_(), "text/plain": repr(self)}, raw=True)

    def __repr__(self) -> str:
        return self.selection.call(self.arguments)


def explore(
    model: nn.Module | Subject,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    *,
    views: Sequence[str] = (),
    **selection: object,
) -> Explorer:
    """All views into `model` under one selection.

    Args:
        model: any network with convolutions that `torch.fx` can trace; or a whole `Subject`, which
            may have other weights, runs and names as well.
        images: (N, C, H, W), as the model takes them.
        labels: (N,); without them the model's own answers stand for them.
        views: names of those that have a tab; the first is open, the others are a click away.
        selection: where to begin: fields of `Selection`.

    Raises:
        InputError: one of them doesn't fit.
    """
    arguments = "subject"
    subject = model
    if not isinstance(model, Subject):
        arguments = "model, images, labels"
        subject = Subject(model, images, labels)
    for view in views:
        require_view(view)
        selection.setdefault("view", view)
    return Explorer(subject, selected(selection), arguments, views)


def still(
    model: nn.Module | Subject,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    **selection: object,
) -> Still:
    """One view of a selection as a picture with its caption; the arguments are `explore`'s."""
    subject = model
    if not isinstance(model, Subject):
        subject = Subject(model, images, labels)
    at = selected(selection)
    subject.check(at)
    return Still(draw(subject, at))
