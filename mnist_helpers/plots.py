"""Figures: arrays or records in, Axes or a bare Figure out; pyplot shows and holds none."""

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from mnist_helpers.data import BACKGROUND, MEAN, STD

if TYPE_CHECKING:
    from mnist_helpers.analysis.calibration import Bins

# told apart by colour-blind readers, too (Okabe and Ito, "Color Universal Design", 2008)
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREY = "#999999"
GROUND = "#F5F5F2"  # of figures: edges of white sheets show, and it does not glare on dark pages
COLOURS = (BLUE, ORANGE)
PARTS = {"train": ORANGE, "val": BLUE, "test": GREY}  # of a data set, in every figure
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
    """Draws `images` (N, 1, 28, 28) in rows of `columns`, dark on light, each under its title."""
    rows = max(1, math.ceil(len(images) / columns))
    fig = make_figure(8, 1.3 * rows)
    panels = fig.subplots(rows, columns, squeeze=False).ravel()
    for ax in panels:
        ax.axis("off")
    for ax, image, title in zip(panels, np.asarray(images), titles, strict=False):
        ax.imshow(image[0], cmap=INK)
        ax.set_title(str(title), fontsize=9, parse_math=False)
    return fig


def finished(ax: Axes, **properties: object) -> Axes:
    """A chart in the look of all: its legend above it, a faint grid behind, `properties` set."""
    ax.set(axisbelow=True, **properties)
    if not ax.texts:  # a line must not run through numbers
        ax.grid(alpha=0.3)
    _, labels = ax.get_legend_handles_labels()
    if labels:
        legend = ax.legend(ncols=3, columnspacing=1, handlelength=1.5, frameon=False)
        legend.set(loc="lower center", bbox_to_anchor=(0.5, 1))
    return ax


def plot_history(history: dict[str, Sequence[float]]) -> Figure:
    """Draws loss and accuracy of training and validation by epoch, with the best epoch marked.

    Args:
        history: of a card: train_loss, val_loss, train_accuracy, val_accuracy and learning_rate,
            epoch by epoch.
    """
    fig = make_figure(10, 3.2)
    panels = fig.subplots(1, 3)
    epochs = range(1, len(history["val_loss"]) + 1)
    best = np.argmin(history["val_loss"])
    for ax, measure in zip(panels, ("loss", "accuracy"), strict=False):
        for part, line in (("train", "s-"), ("val", "o-")):
            values = history[f"{part}_{measure}"]
            ax.plot(epochs, values, line, color=PARTS[part], markersize=4, label=part)
        ax.axvline(epochs[best], color=GREY, linestyle=":", label=f"best epoch ({epochs[best]})")
        finished(ax, ylabel=measure.capitalize())
    panels[1].yaxis.set_major_formatter("{x:.1%}")
    panels[2].plot(epochs, history["learning_rate"], "o-", color=GREY, markersize=4)
    finished(panels[2], ylabel="Learning rate", ylim=(0, None))
    for ax in panels:
        ax.set_xlabel("Epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    loss = history["val_loss"][best]
    accuracy = history["val_accuracy"][best]
    title = f"Validation loss {loss:.4f}, accuracy {accuracy:.2%}"
    fig.suptitle(f"{title} at the best epoch", fontsize=11)
    return fig


def plot_steps(
    losses: Sequence[float],
    val_losses: dict[int, float],
    epoch_steps: int,
    kernels: np.ndarray,
) -> Figure:
    """Draws the loss of each step and the validation losses by step, beside the kernels.

    Args:
        losses: of the batches, the first step's first; a mean over 20 is drawn over them.
        val_losses: by the number of the step after which they were measured.
        epoch_steps: steps to an epoch.
        kernels: (N, 1, height, width), of the first convolution.
    """
    fig = make_figure(8, 2.9)
    ax, beside = fig.subplots(1, 2, width_ratios=(2, 1))
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
    finished(ax, xlabel="Epoch", ylabel="Loss")
    side = math.ceil(math.sqrt(len(kernels)))
    lacking = side**2 - len(kernels)
    tiles = np.pad(kernels[:, 0], ((0, lacking), (0, 1), (0, 1)), constant_values=np.nan)
    square = np.block([list(row) for row in np.split(tiles, side)])[:-1, :-1]
    end = np.abs(kernels).max()
    beside.imshow(square, cmap=SIGNED, vmin=-end, vmax=end)
    beside.set_title(f"Kernels of conv1, from −{end:.2g} to {end:.2g}", fontsize=9)
    beside.axis("off")
    return fig


def plot_lr_find(rates: Sequence[float], losses: Sequence[float], rate: float) -> Axes:
    """Draws the loss of each batch against its learning rate, and the rate that was chosen."""
    ax = make_figure(8, 2.6).subplots()
    ax.semilogx(rates, losses, color=PARTS["train"])
    ax.axvline(rate, color="black", linestyle=":", label=f"chosen: {rate:g}")
    return finished(ax, xlabel="Learning rate", ylabel="Loss")


def plot_reliability(bins: "Bins", ax: Axes) -> Axes:
    """Draws how often the answers of each confidence are right, and how many there are of them.

    Args:
        bins: what `calibration.reliability` gives.
    """
    size = len(bins.counts)
    (filled,) = bins.counts.nonzero()
    counts = bins.counts[filled]
    shares = bins.right[filled] / counts
    bars = ax.bar(filled / size, shares, 1 / size, align="edge", color=BLUE, edgecolor="white")
    bars.set_label("right answers in the bin")
    ax.bar_label(bars, [f"{count:,}" for count in counts], fontsize=8)
    ax.plot([0, 1], [0, 1], ":", color=ORANGE, label="as right as it claims")
    ax.xaxis.set_major_formatter("{x:.0%}")
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.set(xlim=(0, 1), ylim=(0, 1.12))  # the numbers stand over the bars
    return finished(ax, xlabel="Confidence", ylabel="Share that is right")


def plot_risk(coverage: np.ndarray, risk: np.ndarray) -> Axes:
    """Draws which share of the answers given is wrong, by the share of images answered, (N,)."""
    ax = make_figure(8, 2.6).subplots()
    ax.plot(coverage, risk, color=BLUE)
    ax.xaxis.set_major_formatter("{x:.1%}")
    ax.yaxis.set_major_formatter("{x:.1%}")
    label = "Share of images answered, the surest first"
    ax.set(xlim=(0.9, 1), ylim=(0, None))
    return finished(ax, xlabel=label, ylabel="Share that is wrong")


def plot_resistance(
    title: str,
    amounts: Sequence[float],
    accuracies: Sequence[float],
    images: np.ndarray,
    fig: Figure,
) -> None:
    """Draws accuracy by the amount of a disturbance, and below each an image (N, 1, 28, 28)."""
    chart, below = fig.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    places = range(len(amounts))
    chart.plot(places, accuracies, "o-", color=BLUE, markersize=4)
    chart.yaxis.set_major_formatter("{x:.0%}")
    finished(chart, title=title, ylabel="Accuracy", ylim=(0, 1.05))
    strip = np.hstack(np.asarray(images)[:, 0])
    extent = (-0.5, len(amounts) - 0.5, 0, 1)
    white = (1 - MEAN) / STD
    below.imshow(strip, cmap=INK, vmin=BACKGROUND, vmax=white, extent=extent, aspect="auto")
    below.set(
        xticks=places[::2],
        xticklabels=[f"{amount:g}".replace("-", "−") for amount in amounts[::2]],
        yticks=[],
    )
    below.spines[:].set_visible(False)
