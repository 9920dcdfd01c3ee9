"""plots.py: what is drawn, read back from the axes."""

import io

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.colors import to_rgb
from PIL import Image

from mnist_helpers.analysis.calibration import reliability
from mnist_helpers.plots import (
    BLUE,
    GREY,
    ORANGE,
    figure_png,
    make_figure,
    plot_class_counts,
    plot_class_report,
    plot_history,
    plot_images,
    plot_lr_find,
    plot_prediction,
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


def test_class_counts_are_shares():
    ax = plot_class_counts({"train": np.arange(10), "test": np.full(10, 5)})
    train, test = ax.containers
    assert [bar.get_height() for bar in train] == pytest.approx(np.arange(10) / 45)
    assert [bar.get_height() for bar in test] == pytest.approx([0.1] * 10)
    for digit, (left, right) in enumerate(zip(train, test, strict=True)):
        assert left.get_x() == pytest.approx(digit - left.get_width())  # side by side
        assert right.get_x() == pytest.approx(digit)
    assert train[0].get_facecolor()[:3] != test[0].get_facecolor()[:3]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("True digit", "Share of images")
    assert [text.get_text() for text in ax.get_legend().texts] == ["train (45)", "test (50)"]
    assert ax.get_ylim()[1] > 0.2  # no bar is cut off


def test_history_marks_the_best_epoch():
    losses = (0.9, 0.5, 0.6)
    history = {"train_loss": [1.0] * 3, "val_loss": losses}
    history |= {"train_accuracy": [0.7] * 3, "val_accuracy": [0.8] * 3}
    fig = plot_history(history)
    loss, accuracy = fig.axes
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


def test_the_learning_rate_is_drawn_where_it_is_known():
    curves = {"train_loss": [1, 1], "val_loss": [1, 1], "learning_rate": [0.01, 0.001]}
    fig = plot_history(curves | {"train_accuracy": [1, 1], "val_accuracy": [1, 1]})
    ax = fig.axes[2]
    assert ax.lines[0].get_xydata().tolist() == [[1, 0.01], [2, 0.001]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Epoch", "Learning rate")
    assert [float(tick).is_integer() for tick in ax.get_xticks()] == [True] * len(ax.get_xticks())


def test_lr_find_is_logarithmic_and_marks_the_choice():
    ax = plot_lr_find([1e-3, 1e-2, 1e-1], [2.0, 1.0, 5.0], rate=0.01)
    curve, mark = ax.lines
    assert curve.get_xdata().tolist() == [1e-3, 1e-2, 1e-1]
    assert curve.get_ydata().tolist() == [2.0, 1.0, 5.0]
    assert (mark.get_xdata()[0], ax.get_xscale()) == (0.01, "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Learning rate", "Loss")
    assert ax.get_legend().texts[0].get_text() == "chosen: 0.01"


def test_class_report():
    scores = np.linspace(0.9, 0.99, 10)
    ax = plot_class_report({"precision": scores, "recall": scores[::-1], "F1": scores})
    assert ax.lines[1].get_ydata() == pytest.approx(scores[::-1])
    assert ax.lines[1].get_xdata() == pytest.approx(np.arange(10))
    assert ax.lines[0].get_xdata().max() < 9 < ax.lines[2].get_xdata().max()  # side by side
    assert len({line.get_marker() for line in ax.lines}) == 3
    assert 0.8 < ax.get_ylim()[0] < 0.9
    assert ax.get_ylim()[1] > 0.99
    names = [text.get_text() for text in ax.get_legend().texts]
    assert names == ["precision", "recall", "F1"]


class TestPrediction:
    PROBS = np.array([0.1, 0.2, 0.6, 0.09872, 0, 0, 0, 0.00128, 0, 0])

    @pytest.fixture
    def fig(self, few):
        return plot_prediction(few.test.tensors[0][0], self.PROBS, label=1)

    def test_a_bar_and_a_number_for_every_digit(self, fig, few):
        image, ax = fig.axes
        assert np.array_equal(image.images[0].get_array(), few.test.tensors[0][0, 0])
        assert [bar.get_width() for bar in ax.patches] == pytest.approx(self.PROBS)
        centres = [bar.get_y() + bar.get_height() / 2 for bar in ax.patches]
        assert centres == pytest.approx(range(10))
        numbers = [text.get_text() for text in ax.texts]
        assert numbers[:4] == ["10 %", "20 %", "60 %", "9.872 %"]
        assert numbers[4:] == ["0 %", "0 %", "0 %", "0.128 %", "0 %", "0 %"]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("Probability", "Predicted digit")

    def test_the_legend_says_which_colour_is_true_and_which_predicted(self, fig):
        ax = fig.axes[1]
        colours = [bar.get_facecolor()[:3] for bar in ax.patches]
        assert colours[:4] == [to_rgb(c) for c in (GREY, BLUE, ORANGE, GREY)]
        legend = ax.get_legend()
        meaning = {
            text.get_text(): handle.get_facecolor()[:3]
            for text, handle in zip(legend.texts, legend.legend_handles, strict=True)
        }
        assert meaning == {"true digit": to_rgb(BLUE), "predicted digit": to_rgb(ORANGE)}
        assert fig.get_suptitle() == "true 1, predicted 2"

    def test_a_right_prediction_is_blue(self, few):
        ax = plot_prediction(few.test.tensors[0][0], self.PROBS, label=2).axes[1]
        assert ax.patches[2].get_facecolor()[:3] == to_rgb(BLUE)
        assert [text.get_text() for text in ax.get_legend().texts] == ["true digit"]

    def test_the_numbers_stay_inside_the_figure(self, few):
        fig = plot_prediction(few.test.tensors[0][0], np.eye(10)[7], label=7, title="sure")
        fig.draw_without_rendering()
        ends = [text.get_window_extent().x1 for text in fig.axes[1].texts]
        assert max(ends) < fig.bbox.x1
        assert fig.get_suptitle() == "sure"


def test_a_figure_is_encoded_at_100_pixels_to_the_inch_and_never_enters_pyplot():
    fig = make_figure(4, 2)
    fig.text(0, 0, "x", color="black")
    with matplotlib.rc_context({"savefig.dpi": 50}):
        assert Image.open(io.BytesIO(figure_png(fig))).size == (400, 200)
    assert pyplot.get_fignums() == []


def test_reliability_compares_confidence_with_what_is_right():
    confidence = torch.tensor([0.05, 0.06, 0.34, 0.35, 0.35, 0.36, 0.95])
    correct = torch.tensor([True, False, True, True, True, False, True])
    ax = plot_reliability(reliability(confidence, correct, 10))
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
    ax = plot_reliability(reliability(confidence, correct, 4))
    assert [text.get_text() for text in ax.texts] == ["2", "2", "2", "1"]
    assert [bar.get_height() for bar in ax.containers[0]] == [0.5, 1, 0.5, 1]


def test_a_legend_lies_over_no_line_and_a_line_through_no_number():
    curves = {"train_loss": [1, 2], "val_loss": [1, 2], "learning_rate": [1, 2]}
    history = plot_history(curves | {"train_accuracy": [1, 1], "val_accuracy": [1, 1]})
    bars = plot_reliability(reliability(torch.tensor([0.5]), torch.tensor([True]), 15))
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
    counts = plot_class_counts({"train": np.ones(10), "val": np.ones(10)})
    curves = {"train_loss": [1], "val_loss": [1], "train_accuracy": [1], "val_accuracy": [1]}
    lines = plot_history(curves).axes[0].lines
    _, smooth, val = plot_steps([1.0] * 30, {1: 1.0}, 10, np.ones((4, 1, 3, 3))).axes[0].lines
    for bars, line, step in zip(counts.containers, lines, (smooth, val), strict=False):
        assert to_rgb(line.get_color()) == bars[0].get_facecolor()[:3] == to_rgb(step.get_color())
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
    fig = plot_resistance("shift (pixels)", [-2.0, 0.0, 2.0], [0.4, 1.0, 0.5], images)
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
    assert [text.get_text() for text in below.get_xticklabels()] == ["-2", "2"]
    assert chart.get_xlim() == below.get_xlim()


def test_names_of_classes_stand_at_the_axes():
    names = ["Trouser", *"bcdefghij"]
    scores = plot_class_report({"recall": np.linspace(0.9, 1, 10)}, names)
    assert [label.get_text() for label in scores.get_xticklabels()] == names


def test_names_of_classes_stand_in_shares_and_predictions():
    names = ["Trouser", *"bcdefghij"]
    shares = plot_class_counts({"train": np.ones(10), "val": np.ones(10)}, names)
    assert [label.get_text() for label in shares.get_xticklabels()] == names
    probs = np.full(10, 0.1)
    fig = plot_prediction(np.zeros((1, 28, 28)), probs, 1, names=names)
    assert [label.get_text() for label in fig.axes[1].get_yticklabels()] == names
    assert fig.get_suptitle() == "true b, predicted Trouser"
