"""pictures.py and plots.py: what is drawn, read back from the picture or the axes."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from mnist_helpers.pictures import GAP, columns_for, limits, montage, png, quantise, side_by_side
from mnist_helpers.plots import (
    BLUE,
    ORANGE,
    figure_png,
    plot_class_counts,
    plot_class_report,
    plot_confidence,
    plot_confusion_matrix,
    plot_history,
    plot_images,
    plot_kernel_grid,
    plot_lr_find,
    plot_maps,
    plot_prediction,
)
from mnist_helpers.training import EpochRecord

MAPS = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)


def decode(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


class TestPictures:
    def test_signed_maps_are_centred_on_zero(self):
        maps = np.array([[[-1.0, 0.0, 4.0]]])
        assert quantise(maps, *limits(maps)).ravel().tolist() == [95, 127, 254]  # 254 (x + 4) / 8

    def test_unsigned_maps_begin_at_zero(self):
        maps = np.array([[[0.0, 1.0, 4.0]]])
        assert quantise(maps, *limits(maps)).ravel().tolist() == [0, 64, 254]

    def test_each_map_can_have_its_own_scale(self):
        maps = np.array([[[0.0, 1.0]], [[0.0, 10.0]], [[0.0, 0.0]]])
        assert quantise(maps, *limits(maps)).tolist() == [[[0, 25]], [[0, 254]], [[0, 0]]]
        assert quantise(maps, *limits(maps, each=True)).tolist() == [[[0, 254]], [[0, 254]], [[0, 0]]]

    def test_a_montage_holds_every_map_in_reading_order(self):
        levels = np.arange(6 * 13 * 14, dtype=np.uint16).reshape(6, 13, 14).astype(np.uint8) // 2
        grid = montage(levels, columns=4)
        assert grid.shape == (2 * 13 + 1, 4 * 14 + 3)
        assert np.array_equal(grid[14:, 15:29], levels[5])
        assert (grid[13] == GAP).all()
        assert (grid[14:, 29:] == GAP).all()  # the empty places

    def test_small_maps_are_enlarged(self):
        grid = montage(np.array([[[1, 2, 3]], [[4, 5, 6]]], np.uint8), columns=2)
        assert grid.shape == (4, 12 + 1 + 12)
        assert grid[3].tolist() == [1] * 4 + [2] * 4 + [3] * 4 + [GAP] + [4] * 4 + [5] * 4 + [6] * 4

    @pytest.mark.parametrize(("count", "columns"), [(1, 1), (10, 10), (16, 8), (32, 8), (128, 16)])
    def test_columns(self, count, columns):
        assert columns_for(count) == columns

    def test_a_png_has_the_colours_of_the_map_and_white_gaps(self):
        colours = decode(png(np.array([[0, 127, 254, GAP]], np.uint8), "RdBu_r"))[0]
        expected = matplotlib.colormaps["RdBu_r"]([0.0, 0.5, 1.0], bytes=True)[:, :3]
        assert np.abs(colours[:3].astype(int) - expected).max() <= 1
        assert colours[3].tolist() == [255, 255, 255]

    def test_side_by_side_enlarges_by_whole_numbers(self):
        small = png(np.array([[0, 254]], np.uint8), "gray")
        sheet = decode(side_by_side([small, small], [10, 5], space=3))
        assert sheet.shape == (5, 10 + 3 + 4, 3)
        assert (sheet[:5, :5] == 0).all()
        assert (sheet[:2, 13:15] == 0).all()
        assert (sheet[:, 10:13] == 255).all()


class TestPlots:
    def test_images_are_drawn_with_their_titles(self, few):
        images = few.test.tensors[0][:7]
        fig = plot_images(images, range(7), columns=5)
        drawn = [ax for ax in fig.axes if ax.images]
        assert [ax.get_title() for ax in drawn] == [str(i) for i in range(7)]
        assert np.array_equal(drawn[6].images[0].get_array(), images[6, 0])
        assert len(fig.axes) == 10

    def test_class_counts_are_shares(self):
        ax = plot_class_counts({"train": np.arange(10), "test": np.full(10, 5)})
        heights = [bar.get_height() for bar in ax.patches]
        assert heights[:10] == pytest.approx(np.arange(10) / 45)
        assert heights[10:] == pytest.approx([0.1] * 10)
        assert (ax.get_xlabel(), ax.get_legend().texts[1].get_text()) == ("True digit", "test (50)")

    def test_history_marks_the_best_epoch(self):
        losses = (0.9, 0.5, 0.6)
        fig = plot_history([EpochRecord(i, 1.0, 0.7, loss, 0.8, 0, 0) for i, loss in enumerate(losses, 1)])
        loss, accuracy = fig.axes
        train, val, best = loss.lines
        assert val.get_ydata() == pytest.approx(losses)
        assert best.get_xdata()[0] == 2
        assert train.get_ydata() == pytest.approx([1.0] * 3)
        assert (loss.get_xlabel(), loss.get_ylabel(), accuracy.get_ylabel()) == ("Epoch", "Loss", "Accuracy")
        assert "0.5000" in fig.get_suptitle()

    def test_lr_find_is_logarithmic_and_marks_the_choice(self):
        ax = plot_lr_find([1e-3, 1e-2, 1e-1], [2.0, 1.0, 5.0], chosen=0.01)
        curve, mark = ax.lines
        assert (curve.get_ydata().tolist(), mark.get_xdata()[0], ax.get_xscale()) == ([2.0, 1.0, 5.0], 0.01, "log")
        assert ax.get_xlabel() == "Learning rate"

    def test_confusion_matrix_shades_the_mistakes_and_writes_every_count(self):
        matrix = np.diag(np.full(10, 900))
        matrix[4, 9] = 8
        ax = plot_confusion_matrix(matrix)
        shades = ax.images[0].get_array()
        assert (shades[4, 9], shades[4, 4], shades.sum()) == (8, 0, 8)
        texts = {tuple(map(int, text.get_position())): text.get_text() for text in ax.texts}
        assert (texts[9, 4], texts[4, 9], texts[3, 3]) == ("8", "·", "900")
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("Predicted digit", "True digit")

    def test_class_report(self):
        scores = np.linspace(0.9, 0.99, 10)
        ax = plot_class_report({"precision": scores, "recall": scores[::-1], "F1": scores})
        assert ax.lines[1].get_ydata() == pytest.approx(scores[::-1])
        assert ax.get_ylim()[0] < 0.9
        assert ax.get_ylim()[1] > 0.99

    def test_confidence_counts_right_and_wrong(self):
        ax = plot_confidence(np.array([0.97, 0.98, 0.52]), np.array([True, True, False]))
        right, wrong = ([bar.get_height() for bar in bars] for bars in ax.containers)
        assert (right[19], sum(right), wrong[10], sum(wrong)) == (2, 2, 1, 1)

    def test_prediction_colours_true_and_predicted(self, few):
        probs = np.array([0.1, 0.2, 0.6, 0.1, 0, 0, 0, 0, 0, 0])
        fig = plot_prediction(few.test.tensors[0][0], probs, label=1)
        bars = fig.axes[1].patches
        assert [bar.get_height() for bar in bars] == pytest.approx(probs)
        assert (bars[1].get_facecolor()[:3], bars[2].get_facecolor()[:3]) == (to_rgb(BLUE), to_rgb(ORANGE))
        assert fig.get_suptitle() == "true 1, predicted 2"
        assert [text.get_text() for text in fig.axes[1].texts] == ["10%", "20%", "60%", "10%"]

    def test_maps_have_one_scale_or_their_own(self):
        one, own = plot_maps(MAPS, "m"), plot_maps(MAPS, "m", each=True)
        top = np.abs(MAPS).max()
        bar = one.figure.axes[1]
        assert [tick.get_text() for tick in bar.get_yticklabels()] == [f"{v:.2f}" for v in (-top, 0, top)]
        assert len(own.figure.axes) == 1
        for drawn, each in ((one, False), (own, True)):
            first = drawn.images[0].get_array()[:15:3, :12:3]
            assert np.abs(first - (MAPS[0] / np.abs(MAPS[0] if each else MAPS).max() * 127 + 127)).max() <= 0.51

    def test_kernel_grid_has_a_row_an_output_and_a_column_an_input(self):
        weights = np.random.default_rng(1).normal(size=(3, 5, 3, 3))
        ax = plot_kernel_grid(weights, "k")
        shown = ax.images[0].get_array()
        top = np.abs(weights).max()
        assert shown.shape == (3 * 13 - 1, 5 * 13 - 1)  # each weight is a square of 4 × 4
        expected = np.rint((weights[2, 4] + top) / (2 * top) * 254)
        assert np.array_equal(shown[26:, 52:][::4, ::4], expected)
        assert (len(ax.get_xticks()), len(ax.get_yticks())) == (5, 3)

    def test_nothing_enters_pyplot(self, few):
        from matplotlib import pyplot

        figure_png(plot_images(few.test.tensors[0][:2], "ab"))
        assert pyplot.get_fignums() == []
