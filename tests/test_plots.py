"""plots.py: what is drawn, read back from the axes."""

import io

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from PIL import Image

from mnist_helpers.analysis.calibration import reliability
from mnist_helpers.plots import (
    BLUE,
    ORANGE,
    figure_png,
    make_figure,
    plot_history,
    plot_images,
    plot_lr_find,
    plot_reliability,
    plot_resistance,
    plot_risk,
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
    assert len(fig.axes) == 10
    assert not any(ax.axison for ax in fig.axes)


def test_history_marks_the_best_epoch():
    losses = (0.9, 0.5, 0.6)
    history = {"train_loss": [1.0] * 3, "val_loss": losses}
    history |= {"train_accuracy": [0.7] * 3, "val_accuracy": [0.8] * 3}
    fig = plot_history(history | {"learning_rate": [0.01, 0.005, 0.001]})
    loss, accuracy, rate = fig.axes
    for ax, train_values, val_values in (
        (loss, [1.0] * 3, losses),
        (accuracy, [0.7] * 3, [0.8] * 3),
    ):
        train, val, best = ax.lines
        assert train.get_xdata().tolist() == [1, 2, 3]
        assert train.get_ydata() == pytest.approx(train_values)
        assert val.get_ydata() == pytest.approx(val_values)
        assert (train.get_label(), val.get_label()) == ("train", "val")
        assert best.get_xdata()[0] == 2
        assert ax.get_xlabel() == "Epoch"
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("Loss", "Accuracy")
    assert "0.5000, accuracy 80.00%" in fig.get_suptitle()
    assert rate.lines[0].get_xydata().tolist() == [[1, 0.01], [2, 0.005], [3, 0.001]]
    assert (rate.get_xlabel(), rate.get_ylabel()) == ("Epoch", "Learning rate")
    assert all(float(tick).is_integer() for tick in rate.get_xticks())


def test_lr_find_is_logarithmic_and_marks_the_choice():
    ax = plot_lr_find([1e-3, 1e-2, 1e-1], [2.0, 1.0, 5.0], rate=0.01)
    curve, mark = ax.lines
    assert curve.get_xdata().tolist() == [1e-3, 1e-2, 1e-1]
    assert curve.get_ydata().tolist() == [2.0, 1.0, 5.0]
    assert (mark.get_xdata()[0], ax.get_xscale()) == (0.01, "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Learning rate", "Loss")
    assert ax.get_legend().texts[0].get_text() == "chosen: 0.01"


def test_a_figure_is_encoded_at_100_pixels_to_the_inch_and_never_enters_pyplot():
    fig = make_figure(4, 2)
    fig.text(0, 0, "x", color="black")
    with matplotlib.rc_context({"savefig.dpi": 50}):
        assert Image.open(io.BytesIO(figure_png(fig))).size == (400, 200)
    assert pyplot.get_fignums() == []


def test_reliability_compares_confidence_with_what_is_right():
    confidence = torch.tensor([0.05, 0.06, 0.34, 0.35, 0.35, 0.36, 0.95])
    correct = torch.tensor([True, False, True, True, True, False, True])
    ax = plot_reliability(reliability(confidence, correct, 10), make_figure(8, 3).subplots())
    bars = ax.containers[0]
    middles = [bar.get_x() + bar.get_width() / 2 for bar in bars]
    assert middles == pytest.approx([0.05, 0.35, 0.95])
    assert [bar.get_height() for bar in bars] == pytest.approx([0.5, 0.75, 1.0])
    assert [text.get_text() for text in ax.texts] == ["2", "4", "1"]
    (diagonal,) = ax.lines
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Confidence", "Share that is right")


def test_confidence_on_an_edge_is_in_the_bin_below_as_for_the_calibration_error():
    confidence = torch.tensor([0.0, 0.25, 0.26, 0.5, 0.75, 0.75, 1.0])
    correct = torch.tensor([True, False, True, True, True, False, True])
    ax = plot_reliability(reliability(confidence, correct, 4), make_figure(8, 3).subplots())
    assert [text.get_text() for text in ax.texts] == ["2", "2", "2", "1"]
    assert [bar.get_height() for bar in ax.containers[0]] == [0.5, 1, 0.5, 1]


def test_a_legend_lies_over_no_line_and_a_line_through_no_number():
    curves = {"train_loss": [1, 2], "val_loss": [1, 2], "learning_rate": [1, 2]}
    history = plot_history(curves | {"train_accuracy": [1, 1], "val_accuracy": [1, 1]})
    bins = reliability(torch.tensor([0.5]), torch.tensor([True]), 15)
    bars = plot_reliability(bins, make_figure(8, 3).subplots())
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
    _, smooth, val = plot_steps([1.0] * 30, {1: 1.0}, 10, np.ones((4, 1, 3, 3))).axes[0].lines
    for colour, line, step in zip((ORANGE, BLUE), lines, (smooth, val), strict=False):
        assert line.get_color() == step.get_color() == colour
    assert lines[0].get_color() != lines[1].get_color()


def test_risk_is_drawn_over_coverage():
    coverage, risk = np.array([0.25, 0.5, 1.0]), np.array([0.0, 0.0, 0.1])
    ax = plot_risk(coverage, risk)
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), np.column_stack([coverage, risk]))
    assert ax.get_xlim() == (0.9, 1)
    assert "wrong" in ax.get_ylabel()


def test_resistance_has_each_amounts_image_below_its_accuracy(few):
    images = few.test.tensors[0][:3]
    fig = make_figure(4, 3)
    plot_resistance("shift (pixels)", [-2.0, 0.0, 2.0], [0.4, 1.0, 0.5], images, fig)
    chart, below = fig.axes
    assert chart.get_title() == "shift (pixels)"
    (line,) = chart.lines
    np.testing.assert_array_equal(line.get_xydata(), [[0, 0.4], [1, 1.0], [2, 0.5]])
    (strip,) = below.images
    assert strip.get_array().shape == (28, 84)
    left, right, _, _ = strip.get_extent()
    for place in range(3):
        start = round((place - 0.5 - left) / (right - left) * 84)
        shown = strip.get_array()[:, start : start + 28]
        np.testing.assert_array_equal(shown, images[place, 0])
    assert [text.get_text() for text in below.get_xticklabels()] == ["−2", "2"]
    assert chart.get_xlim() == below.get_xlim()
