"""A training run, drawn in a notebook while it goes on."""

import contextlib
import math
import time
from collections.abc import Iterator

import ipywidgets
from ipywidgets import HTML, Image, Layout
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from mnist_helpers.config import Config, InputError
from mnist_helpers.data import Splits
from mnist_helpers.metrics import evaluate
from mnist_helpers.plots import figure_png, plot_steps

LOOKS = 5  # at the validation images, in each epoch
FEW = 1000  # of them, each time
WARM_UP = 20  # steps that are slower, and don't tell the time left


class LiveCurves(ipywidgets.VBox):
    """The losses of a run, its time left, and the first kernels as they take form.

    Give `on_step` to `train`, inside of `watch`. Afterwards `figure` has the curves of the run.

    Args:
        splits: the images of the run; the first 1,000 for validation are looked at five times an
            epoch.
        config: of the run.
    """

    def __init__(self, splits: Splits, config: Config) -> None:
        self.smoothing = config.label_smoothing
        self.some = TensorDataset(*(tensor[:FEW] for tensor in splits.val.tensors))
        self.epoch_steps = math.ceil(len(splits.train) / config.batch_size)
        self.steps = config.epochs * self.epoch_steps
        self.model: nn.Module | None = None
        self.losses: list[float] = []
        self.val_losses: dict[int, float] = {}
        self.started = self.updated = 0.0
        self.status = HTML("Training has not begun.")
        self.picture = Image(format="png", layout=Layout(width="800px", display="none"))
        super().__init__([self.status, self.picture])

    @contextlib.contextmanager
    def watch(self, model: nn.Module) -> Iterator[None]:
        """Shows a run of `model` from its first step on, and says how it ended.

        Raises:
            InputError: it was stopped before there was anything to keep.
        """
        self.model, self.losses, self.val_losses, self.updated = model, [], {}, 0.0
        began = time.perf_counter()
        try:
            yield
        except KeyboardInterrupt as stop:
            remedy = "nothing is kept; run the cell again to begin afresh"
            raise InputError(f"training was stopped in its first epoch, so {remedy}.") from stop
        finally:
            done, seconds = len(self.losses), time.perf_counter() - began
            ended = "Done" if done == self.steps else "Ended early"
            self.status.value = f"{ended}: {done:,} of {self.steps:,} steps in {seconds:.0f} s."
            self.picture.layout.display = "none"  # `figure` stays

    def on_step(self, loss: Tensor) -> None:
        """Keeps the loss of a step; draws now and then, and tells how much is left."""
        self.losses.append(loss.item())
        done, now = len(self.losses), time.perf_counter()
        if done <= WARM_UP:
            self.started = now
        if done % max(self.epoch_steps // LOOKS, 1) == 0:
            self.val_losses[done] = evaluate(self.model, self.some).loss(self.smoothing)
            self.picture.value = figure_png(self.figure)
            self.picture.layout.display = None
        if now - self.updated > 0.5:
            self.updated = now
            seconds = (now - self.started) / max(done - WARM_UP, 1) * (self.steps - done)
            left = f", {seconds:.0f} s left" if done > WARM_UP else ""
            self.status.value = f"Step {done:,} of {self.steps:,}{left}"

    @property
    def figure(self) -> Figure:
        """The losses of the run so far, and the first kernels as they are."""
        kernels = next(self.model.parameters()).detach().cpu().numpy()
        return plot_steps(self.losses, self.val_losses, self.epoch_steps, kernels)

    def __repr__(self) -> str:
        return "The curves grow here while the network trains."
