"""Figures: arrays or records in, Axes or a bare Figure out; pyplot shows and holds none."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image

from mnist_helpers.metrics import EpochRecord, best_record
from mnist_helpers.pictures import BLUE, GREY, INK, ORANGE, Picture

DIGITS = range(10)


def make_figure(width: float = 8.0, height: float = 3.0) -> Figure:
    """An empty figure of `width` × `height` inches that lays its panels out without overlap."""
    return Figure(figsize=(width, height), layout="constrained")


def figure_png(fig: Figure) -> bytes:
    """Encodes a figure as PNG, 100 pixels to the inch."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def figure_picture(fig: Figure, caption: str) -> Picture:
    """A figure as a picture, 100 pixels to the inch."""
    return Picture(Image.open(io.BytesIO(figure_png(fig))).convert("RGB"), caption)


def _axes(ax: Axes | None, width: float = 8.0, height: float = 3.0) -> Axes:
    return ax or make_figure(width, height).subplots()


def plot_images(
    images: np.ndarray, titles: Sequence[object], columns: int = 10, *, fig: Figure | None = None
) -> Figure:
    """Draws `images` (N, 1, 28, 28) in rows of `columns`, dark on light, each under its title."""
    rows = max(1, -(-len(images) // columns))
    fig = fig or make_figure(8, 1.15 * rows)
    panels = fig.subplots(rows, columns, squeeze=False).ravel()
    for ax in panels:
        ax.axis("off")
    for ax, image, title in zip(panels, np.asarray(images), titles, strict=False):
        ax.imshow(image[0], cmap=INK)
        ax.set_title(str(title), fontsize=9)
    return fig


def plot_class_counts(counts: dict[str, np.ndarray], *, ax: Axes | None = None) -> Axes:
    """Draws the share of each digit; `counts` maps the parts of a data set to (10,)."""
    ax = _axes(ax, 8, 2.6)
    width = 0.8 / len(counts)
    for i, ((part, count), colour) in enumerate(
        zip(counts.items(), (BLUE, ORANGE, GREY), strict=False)
    ):
        at = np.arange(10) + (i - (len(counts) - 1) / 2) * width
        shares = np.asarray(count) / np.asarray(count).sum()
        ax.bar(at, shares, width, label=f"{part} ({np.asarray(count).sum():,})", color=colour)
    ax.set(
        xlabel="True digit",
        ylabel="Share of images",
        xticks=DIGITS,
        yticks=(0, 0.05, 0.1),
        ylim=(0, 0.14),
    )
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend(ncols=3, frameon=False, loc="upper center")
    return ax


def plot_history(history: Sequence[EpochRecord], *, fig: Figure | None = None) -> Figure:
    """Draws loss and accuracy of training and validation by epoch, with the best epoch marked."""
    fig = fig or make_figure(8, 3.2)
    epochs = [record.epoch for record in history]
    best = best_record(list(history))
    for ax, measure, label in zip(
        fig.subplots(1, 2), ("loss", "accuracy"), ("Loss", "Accuracy"), strict=True
    ):
        for part, colour, marker in (("train", ORANGE, "s"), ("val", BLUE, "o")):
            values = [getattr(record, f"{part}_{measure}") for record in history]
            ax.plot(epochs, values, color=colour, marker=marker, markersize=4, label=part)
        ax.axvline(best.epoch, color=GREY, linestyle=":", label=f"best epoch ({best.epoch})")
        ax.set(xlabel="Epoch", ylabel=label)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.grid(alpha=0.3)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    ax.legend(frameon=False)
    fig.suptitle(
        f"Validation loss {best.val_loss:.4f}, accuracy {best.val_accuracy:.2%} at the best epoch",
        fontsize=11,
    )
    return fig


def plot_lr_find(
    rates: Sequence[float], losses: Sequence[float], chosen: float, *, ax: Axes | None = None
) -> Axes:
    """Draws the loss of each batch against its learning rate, and the rate that was chosen."""
    ax = _axes(ax, 8, 2.6)
    ax.semilogx(rates, losses, color=BLUE)
    ax.axvline(chosen, color=ORANGE, linestyle=":", label=f"chosen: {chosen:g}")
    ax.set(xlabel="Learning rate", ylabel="Loss")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return ax


def plot_confusion_matrix(matrix: np.ndarray, *, ax: Axes | None = None) -> Axes:
    """Draws counts (10, 10), rows true, columns predicted; the mistakes alone are shaded."""
    ax = _axes(ax, 6, 5.4)
    counts = np.asarray(matrix)
    mistakes = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    shades = ax.imshow(mistakes, cmap="Oranges", vmin=0, vmax=max(mistakes.max(), 1))
    for (row, column), count in np.ndenumerate(counts):
        dark = mistakes[row, column] > mistakes.max() / 2
        weight, colour = (
            ("bold", BLUE) if row == column else ("normal", "white" if dark else "black")
        )
        ax.text(
            column,
            row,
            count or "·",
            ha="center",
            va="center",
            color=colour,
            weight=weight,
            fontsize=9,
        )
    ax.set(xlabel="Predicted digit", ylabel="True digit", xticks=DIGITS, yticks=DIGITS)
    ax.figure.colorbar(shades, ax=ax, label="Images mistaken", shrink=0.8)
    return ax


def plot_class_report(report: dict[str, np.ndarray], *, ax: Axes | None = None) -> Axes:
    """Draws precision, recall and F1, each (10,), by digit, from just below the lowest."""
    ax = _axes(ax)
    for offset, (name, scores), colour, marker in zip(
        (-0.2, 0, 0.2), report.items(), (BLUE, ORANGE, GREY), "os^", strict=True
    ):
        ax.plot(np.arange(10) + offset, scores, marker, color=colour, label=name)
    lowest = min(float(min(scores)) for scores in report.values())
    room = max((1 - lowest) / 4, 1e-4)
    ax.set(xlabel="Digit", ylabel="Score", xticks=DIGITS, ylim=(lowest - room, 1 + room / 4))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=2))
    ax.grid(axis="y", alpha=0.3)
    ax.legend(ncols=3, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1))
    return ax


def plot_confidence(confidence: np.ndarray, correct: np.ndarray, *, ax: Axes | None = None) -> Axes:
    """Draws how many right and wrong answers have each confidence, (N,) in [0.1, 1]; log axis."""
    ax = _axes(ax)
    confidence, correct = np.asarray(confidence), np.asarray(correct)
    parts = [confidence[correct], confidence[~correct]]
    labels = [f"right ({len(parts[0]):,})", f"wrong ({len(parts[1]):,})"]
    ax.hist(parts, bins=np.linspace(0, 1, 21), color=[BLUE, ORANGE], label=labels, log=True)
    ax.set(xlabel="Confidence (probability of the predicted digit)", ylabel="Images", xlim=(0, 1))
    ax.legend(frameon=False, loc="upper left")
    return ax


def plot_prediction(
    image: np.ndarray, probs: np.ndarray, label: int, title: str = "", *, fig: Figure | None = None
) -> Figure:
    """Draws one image (1, 28, 28) beside its probabilities (10,): true blue, mistaken orange."""
    fig = fig or make_figure(6, 2.4)
    picture, bars = fig.subplots(1, 2, width_ratios=(1, 2))
    picture.imshow(np.asarray(image)[0], cmap=INK)
    picture.axis("off")
    predicted = int(np.argmax(probs))
    colours = [
        BLUE if digit == label else ORANGE if digit == predicted else GREY for digit in DIGITS
    ]
    for bar, prob in zip(bars.bar(DIGITS, probs, color=colours), probs, strict=True):
        if prob >= 0.01:
            bars.annotate(
                f"{prob:.0%}",
                (bar.get_x() + bar.get_width() / 2, prob),
                ha="center",
                va="bottom",
                fontsize=8,
            )
    bars.set(
        xlabel="Predicted digit",
        ylabel="Probability",
        xticks=DIGITS,
        ylim=(0, 1.12),
        yticks=(0, 0.5, 1),
    )
    bars.spines[["top", "right"]].set_visible(False)
    fig.suptitle(title or f"true {label}, predicted {predicted}", fontsize=11)
    return fig
