"""The curves of a training run, drawn in a notebook while it trains."""

import time

import ipywidgets
from ipywidgets import HTML, Image, Layout

from mnist_helpers.metrics import EpochRecord
from mnist_helpers.plots import figure_png, plot_history


class LiveCurves(ipywidgets.VBox):
    """The curves of a run that is under way: give its methods to `train` as on_epoch and on_step.

    Args:
        steps: how many the run will take at most, for the time left.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.steps_done = 0
        self.history: list[EpochRecord] = []
        self.started = self.updated = time.perf_counter()
        self.status = HTML("Training has not begun.")
        self.picture = Image(format="png", layout=Layout(width="800px", display="none"))
        super().__init__([self.status, self.picture])

    def on_step(self) -> None:
        """Counts a step; twice a second it tells how much is left."""
        now = time.perf_counter()
        if self.steps_done == 0:
            self.started = now
        self.steps_done += 1
        if now - self.updated > 0.5 or self.steps_done == self.steps:
            self.updated = now
            seconds_left = (now - self.started) / self.steps_done * (self.steps - self.steps_done)
            progress = f"Step {self.steps_done:,} of {self.steps:,}"
            self.status.value = f"{progress}, {seconds_left:.0f} s left"

    def on_epoch(self, record: EpochRecord) -> None:
        """Draws the curves up to this epoch."""
        self.history.append(record)
        self.picture.value = figure_png(plot_history(self.history))
        self.picture.layout.display = None

    def __repr__(self) -> str:
        return "The curves grow here while the network trains."
