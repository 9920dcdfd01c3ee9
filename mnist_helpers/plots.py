"""Figures: arrays or records in, Axes or a bare Figure out; pyplot shows and holds none."""

import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

# told apart by colour-blind readers, too (Okabe and Ito, "Color Universal Design", 2008)
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREY = "#999999"
GROUND = "#F5F5F2"  # of figures: edges of white sheets show, and it does not glare on dark pages
COLOURS = (BLUE, GREY)  # of two series
PARTS = {"train": ORANGE, "val": BLUE}  # of a data set, in every figure
INK = "gray_r"  # the colour map of images: dark on light
SIGNED = "RdBu_r"  # of weights and differences, centred on zero


def make_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` × `height` inches that lays its panels out without overlap."""
    return Figure(figsize=(width, height), layout="constrained", facecolor=GROUND)


def figure_png(fig: Figure) -> bytes:
    """Encodes a figure as PNG, 100 pixels to the inch."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def plot_images(images: np.ndarray, titles: Sequence[object], columns: int = 8) -> Figure:
    """Draws `images` (N, 1, 28, 28) in rows of `columns`, dark on light, each under its title.

    All are on one scale.
    """
    images = np.asarray(images)
    rows = math.ceil(len(images) / columns)
    fig = make_figure(8, 1.3 * rows)
    for place, (image, title) in enumerate(zip(images, titles, strict=False), start=1):
        ax = fig.add_subplot(rows, columns, place)
        ax.imshow(image[0], cmap=INK, vmin=images.min(), vmax=images.max())
        ax.set_title(str(title), fontsize=9, parse_math=False)
        ax.axis("off")
    return fig


def finished(ax: Axes, **properties: object) -> Axes:
    """A chart in the look of all: its legend above it, a faint grid behind, `properties` set."""
    ax.set(axisbelow=True, **properties)
    if not ax.texts:  # a line must not run through numbers
        ax.grid(alpha=0.3)
    _, labels = ax.get_legend_handles_labels()
    if labels:
        ax.legend(
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            ncols=3,
            columnspacing=1,
            handlelength=1.5,
            frameon=False,
        )
    return ax


def plot_history(history: dict[str, Sequence[float]]) -> Figure:
    """Draws loss and accuracy of training and validation by epoch, with the best epoch marked.

    Args:
        history: of a card: train_loss, val_loss, train_accuracy, val_accuracy and learning_rate,
            epoch by epoch.
    """
    fig = make_figure(10, 3.2)
    panels = fig.subplot_mosaic([["loss", "accuracy", "rate"]])
    best = np.argmin(history["val_loss"])
    epochs = np.arange(len(history["val_loss"])) + 1
    for name, values in history.items():
        part, measure = name.split("_")
        colour = PARTS.get(part, GREY)
        label = part.replace("learning", "rate")
        panels[measure].plot(epochs, values, "o-", color=colour, markersize=4, label=label)
    for measure, ax in panels.items():
        ax.axvline(epochs[best], color=GREY, linestyle=":", label=f"best epoch ({epochs[best]})")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        finished(ax, xlabel="Epoch", ylabel=measure.capitalize())
    panels["accuracy"].yaxis.set_major_formatter("{x:.1%}")
    panels["rate"].set(ylabel="Learning rate", ylim=(0, None))
    loss = history["val_loss"][best]
    accuracy = history["val_accuracy"][best]
    fig.suptitle(
        f"Validation loss {loss:.4f}, accuracy {accuracy:.2%} at the best epoch", fontsize=11
    )
    return fig


def plot_steps(losses: Sequence[float], val_losses: dict[int, float], epoch_steps: int) -> Axes:
    """Draws the loss of each step and the validation losses by step.

    Args:
        losses: of the batches, the first step's first; a mean over 20 is drawn over them.
        val_losses: by the number of the step after which they were measured.
        epoch_steps: steps to an epoch.
    """
    ax = make_figure(8, 2.9).subplots()
    epochs = np.arange(1, len(losses) + 1) / epoch_steps
    ax.plot(epochs, losses, color=PARTS["train"], alpha=0.25)
    width = min(20, len(losses))
    smooth = np.convolve(losses, np.full(width, 1 / width), "valid")
    ax.plot(epochs[width - 1 :], smooth, color=PARTS["train"], label="train, mean of 20 steps")
    steps = np.array(list(val_losses)) / epoch_steps
    ax.plot(steps, list(val_losses.values()), "o-", color=PARTS["val"], markersize=4, label="val")
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    return finished(ax, xlabel="Epoch", ylabel="Loss")


def plot_curves(
    curves: dict[str, tuple[Sequence[float], Sequence[float]]],
    columns: int = 3,
    **properties: object,
) -> Figure:
    """Draws each of `curves`, by its title, in a panel: places and heights, (N,) each."""
    rows = math.ceil(len(curves) / columns)
    fig = make_figure(9, 2.2 * rows)
    for place, (title, (places, heights)) in enumerate(curves.items(), start=1):
        ax = fig.add_subplot(rows, columns, place)
        ax.plot(places, heights, "o-", color=BLUE, markersize=3)
        finished(ax, title=title, **properties)
    return fig
