"""pictures.py, views.py and plots.py: what is drawn, read back from the picture or the axes."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from mnist_helpers.pictures import (
    GAP,
    Label,
    Picture,
    Sheet,
    colours,
    columns_for,
    limits,
    montage,
    quantise,
)
from mnist_helpers.plots import (
    BLUE,
    ORANGE,
    figure_picture,
    plot_class_counts,
    plot_class_report,
    plot_confidence,
    plot_confusion_matrix,
    plot_history,
    plot_images,
    plot_lr_find,
    plot_prediction,
)
from mnist_helpers.training import EpochRecord
from mnist_helpers.views import draw_feature_maps


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
        assert quantise(maps, *limits(maps, each=True)).tolist() == [
            [[0, 254]],
            [[0, 254]],
            [[0, 0]],
        ]

    def test_a_montage_holds_every_map_in_reading_order(self):
        levels = np.arange(6 * 13 * 14, dtype=np.uint16).reshape(6, 13, 14).astype(np.uint8) // 2
        grid = montage(levels, columns=4)
        assert grid.shape == (2 * 13 + 1, 4 * 14 + 3)
        assert np.array_equal(grid[14:, 15:29], levels[5])
        assert (grid[13] == GAP).all()
        assert (grid[14:, 29:] == GAP).all()  # the empty places

    def test_a_zoom_makes_squares(self):
        grid = montage(np.array([[[1, 2, 3]], [[4, 5, 6]]], np.uint8), columns=2, zoom=4)
        assert grid.shape == (4, 12 + 1 + 12)
        assert grid[3].tolist() == [1] * 4 + [2] * 4 + [3] * 4 + [GAP] + [4] * 4 + [5] * 4 + [6] * 4

    @pytest.mark.parametrize(("count", "columns"), [(1, 1), (10, 10), (16, 8), (32, 8), (128, 16)])
    def test_columns(self, count, columns):
        assert columns_for(count) == columns

    def test_levels_have_the_colours_of_the_map_and_gaps_are_white(self):
        expected = matplotlib.colormaps["RdBu_r"]([0.0, 0.5, 1.0], bytes=True)[:, :3]
        assert np.abs(colours("RdBu_r")[[0, 127, 254]].astype(int) - expected).max() <= 1
        assert colours("RdBu_r")[GAP].tolist() == [255, 255, 255]

    def test_a_place_in_a_grid_is_found_and_gaps_belong_to_the_map_before(self):
        sheet = Sheet(60, 40)
        panel = sheet.maps(
            (5, 3),
            np.zeros((5, 4, 3), np.uint8),
            "gray",
            3,
            2,
            lambda i, row, column: (i, row, column),
        )
        picture = Picture(sheet.image, "x", panels=(panel,))
        assert panel.corner(4) == (5 + 7, 3 + 9)
        assert picture.at(5 + 7 + 5, 3 + 9 + 7) == (4, 3, 2)  # the last value of map 4
        assert [picture.at(5 + 6, 3), picture.at(5, 3 + 8)] == [(0, 0, 2), (0, 3, 0)]
        assert [picture.at(4, 3), picture.at(5 + 14, 3 + 9), picture.at(5 + 21, 3)] == [
            {}
        ] * 3  # beside, none, beyond

    def test_a_picture_is_enlarged_by_squares_and_says_its_caption(self):
        image = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8))
        picture = Picture(image, "two.", scale=3).saying("one")
        large = decode(picture._repr_png_())
        assert large.shape == (3, 6, 3)
        assert (large[:, :3] == [255, 0, 0]).all()
        assert repr(picture) == "one. two."

    def test_labels_are_written_over_the_enlarged_picture(self):
        label = Label(10, 5, "conv1", 12, "#000000", "mm", bold=True)
        plain, written = (
            Picture(Sheet(20, 10).image, "x", 4, labels=each) for each in ((), (label,))
        )
        assert (decode(plain._repr_png_()) == 255).all()
        rows, columns = np.nonzero(decode(written._repr_png_())[..., 0] < 128)
        assert abs((rows.min() + rows.max()) / 2 - 20) <= 2  # the middle of 40 rows
        assert abs((columns.min() + columns.max()) / 2 - 40) <= 2
        assert np.asarray(written.image).min() == 255  # the page writes them itself

    def test_a_frame_lies_outside_of_what_it_frames(self):
        sheet = Sheet(20, 20)
        panel = sheet.maps((5, 5), np.zeros((1, 4, 4), np.uint8), "gray", zoom=2)
        sheet.mark(panel, 0, (1, 1, 3, 3), width=1)
        pixels = np.asarray(sheet.image)
        frame = np.all(pixels == np.rint(np.array(to_rgb(ORANGE)) * 255), axis=2)
        assert np.argwhere(frame).min(axis=0).tolist() == [
            6,
            6,
        ]  # one pixel before value 1, which begins at 7
        assert np.argwhere(frame).max(axis=0).tolist() == [11, 11]
        assert not frame[7:11, 7:11].any()

    def test_bars_end_where_their_values_are(self):
        sheet = Sheet(60, 120)
        sheet.bars((0, 10, 60, 110), [[1.0, 0.25, -0.25]], 1.0, "abc", low=-1.0)
        blue = np.all(np.asarray(sheet.image) == np.rint(np.array(to_rgb(BLUE)) * 255), axis=2)
        for centre, top, bottom in ((10, 10, 60), (30, 48, 60), (50, 60, 72)):
            rows = np.flatnonzero(blue[:, centre])
            assert (abs(rows.min() - top) <= 1, abs(rows.max() - bottom) <= 1) == (True, True)

    def test_a_colour_bar_has_the_colours_of_the_maps_and_says_its_ends(self):
        maps = np.array([[[-2.0, 0.0], [1.0, 2.0]]])
        picture = draw_feature_maps(np.zeros((1, 28, 28)), {"a": maps}, *limits(maps), 0)
        lower, upper = picture.labels
        assert (lower.text, upper.text) == ("-2", "2")
        pixels, (panel,) = np.asarray(picture.image), picture.panels
        shown = pixels[panel.top : panel.top + panel.height, panel.left : panel.left + panel.width]
        bar = pixels[int(upper.y) - 1 : int(lower.y) + 1, int(lower.x) - 3]
        assert bar[-1].tolist() == shown[0, 0].tolist()
        assert bar[0].tolist() == shown[-1, -1].tolist()
        assert (np.diff(bar[:, 0].astype(int)) != 0).sum() > 10  # from end to end

    def test_what_is_compared_stands_under_its_name(self):
        sides = {"trained": np.ones((4, 7, 7)), "random": np.zeros((4, 7, 7))}
        picture = draw_feature_maps(np.zeros((1, 28, 28)), sides, *limits(np.ones((4, 7, 7))), 0)
        names = {label.text: label.x for label in picture.labels if label.text in sides}
        assert names == dict(zip(sides, (panel.left for panel in picture.panels), strict=True))


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
        fig = plot_history(
            [EpochRecord(i, 1.0, 0.7, loss, 0.8, 0, 0) for i, loss in enumerate(losses, 1)]
        )
        loss, accuracy = fig.axes
        train, val, best = loss.lines
        assert val.get_ydata() == pytest.approx(losses)
        assert best.get_xdata()[0] == 2
        assert train.get_ydata() == pytest.approx([1.0] * 3)
        assert (loss.get_xlabel(), loss.get_ylabel(), accuracy.get_ylabel()) == (
            "Epoch",
            "Loss",
            "Accuracy",
        )
        assert "0.5000" in fig.get_suptitle()

    def test_lr_find_is_logarithmic_and_marks_the_choice(self):
        ax = plot_lr_find([1e-3, 1e-2, 1e-1], [2.0, 1.0, 5.0], chosen=0.01)
        curve, mark = ax.lines
        assert (curve.get_ydata().tolist(), mark.get_xdata()[0], ax.get_xscale()) == (
            [2.0, 1.0, 5.0],
            0.01,
            "log",
        )
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
        assert (bars[1].get_facecolor()[:3], bars[2].get_facecolor()[:3]) == (
            to_rgb(BLUE),
            to_rgb(ORANGE),
        )
        assert fig.get_suptitle() == "true 1, predicted 2"
        assert [text.get_text() for text in fig.axes[1].texts] == ["10%", "20%", "60%", "10%"]

    def test_nothing_enters_pyplot(self, few):
        from matplotlib import pyplot

        figure_picture(plot_images(few.test.tensors[0][:2], "ab"), "two digits")
        assert pyplot.get_fignums() == []
