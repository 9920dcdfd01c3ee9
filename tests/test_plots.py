"""plots.py: what is drawn, read back from the axes."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image

from mnist_helpers.plots import (
    BLUE,
    ORANGE,
    figure_png,
    finished,
    make_figure,
    plot_curves,
    plot_history,
    plot_images,
    plot_steps,
)


def test_images_are_drawn_dark_on_light_with_their_titles(few):
    images = few.test.tensors[0][:7]
    fig = plot_images(images, range(7), columns=5)
    drawn = [ax for ax in fig.axes if ax.images]
    assert [ax.get_title() for ax in drawn] == [str(i) for i in range(7)]
    for ax, image in zip(drawn, images, strict=True):
        assert np.array_equal(ax.images[0].get_array(), image[0])
    cmap = drawn[0].images[0].cmap
    assert (cmap(0.0)[:3], cmap(1.0)[:3]) == ((1, 1, 1), (0, 0, 0))
    assert [ax.get_subplotspec().num1 for ax in drawn] == list(range(7))
    assert {ax.images[0].get_clim() for ax in drawn} == {(images.min().item(), images.max().item())}
    assert not any(ax.axison for ax in fig.axes)


def test_history_marks_the_best_epoch():
    history = {
        "train_loss": [1.0, 1.0, 1.0],
        "val_loss": [0.9, 0.5, 0.6],
        "train_accuracy": [0.7, 0.7, 0.7],
        "val_accuracy": [0.8, 0.8, 0.8],
        "learning_rate": [0.01, 0.005, 0.001],
    }
    fig = plot_history(history)
    loss, accuracy, rate = fig.axes
    for ax, name in ((loss, "loss"), (accuracy, "accuracy")):
        train, val, best = ax.lines
        assert train.get_xdata().tolist() == [1, 2, 3]
        assert train.get_ydata() == pytest.approx(history[f"train_{name}"])
        assert val.get_ydata() == pytest.approx(history[f"val_{name}"])
        assert (train.get_label(), val.get_label()) == ("train", "val")
        assert best.get_xdata()[0] == 2
        assert ax.get_xlabel() == "Epoch"
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("Loss", "Accuracy")
    assert "0.5000, accuracy 80.00%" in fig.get_suptitle()
    assert rate.lines[0].get_xydata().tolist() == [[1, 0.01], [2, 0.005], [3, 0.001]]
    assert (rate.get_xlabel(), rate.get_ylabel()) == ("Epoch", "Learning rate")
    assert all(float(tick).is_integer() for tick in rate.get_xticks())


def test_curves_have_a_panel_each_under_their_title():
    places = [1e-3, 1e-2, 1e-1]
    curves = {"a": (places, [2.0, 1.0, 5]), "b": (places, [2.0, 1.0, 6])}
    fig = plot_curves(curves, columns=1, xscale="log", xlabel="Learning rate")
    for ax, title in zip(fig.axes, curves, strict=True):
        (line,) = ax.lines
        assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == curves[title]
        assert (ax.get_title(), ax.get_xlabel(), ax.get_xscale()) == (title, "Learning rate", "log")
    assert fig.axes[0].get_position().y0 > fig.axes[1].get_position().y1
    many = plot_curves({str(place): ([0], [0]) for place in range(4)})
    places = [ax.get_subplotspec().get_geometry()[:3] for ax in many.axes]
    assert places == [(2, 3, place) for place in range(4)]


def test_a_figure_is_encoded_at_100_pixels_to_the_inch_and_never_enters_pyplot():
    fig = make_figure(4, 2)
    fig.text(0, 0, "x", color="black")
    with matplotlib.rc_context({"savefig.dpi": 50}):
        assert Image.open(io.BytesIO(figure_png(fig))).size == (400, 200)
    assert pyplot.get_fignums() == []


def test_a_legend_lies_over_no_line_and_a_line_through_no_number():
    curves = {"train_loss": [1, 2], "val_loss": [1, 2], "learning_rate": [1, 2]}
    history = plot_history(curves | {"train_accuracy": [1, 1], "val_accuracy": [1, 1]})
    bars = make_figure(8, 3).subplots()
    bars.bar(["a"], [1], label="one")
    bars.text(0, 1, "a number")
    finished(bars)
    for fig in (history, bars.figure):
        fig.draw_without_rendering()
        for ax in fig.axes:
            legend = ax.get_legend()
            assert legend is None or legend.get_window_extent().y0 >= ax.bbox.y1
    loss, accuracy, _ = history.axes
    ends = [ax.get_legend().get_window_extent() for ax in (loss, accuracy)]
    assert ends[0].x1 < ends[1].x0
    assert not any(line.get_visible() for line in bars.get_xgridlines() + bars.get_ygridlines())
    assert all(line.get_visible() for line in loss.get_xgridlines() + loss.get_ygridlines())


def test_the_parts_of_the_data_have_one_colour_in_all_figures():
    names = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate")
    lines = plot_history({name: [1] for name in names}).axes[0].lines
    _, smooth, val = plot_steps([1.0] * 30, {1: 1.0}, 10).lines
    for colour, line, step in zip((ORANGE, BLUE), lines, (smooth, val), strict=False):
        assert line.get_color() == step.get_color() == colour
    assert lines[0].get_color() != lines[1].get_color()
