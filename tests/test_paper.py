"""Scenes on paper: what each mark draws, read back from matplotlib's artists."""

import matplotlib
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib import pyplot
from matplotlib.colors import to_rgba
from matplotlib.offsetbox import OffsetImage, PaddedBox
from matplotlib.text import Text as Letters
from PIL import Image

from mnist_helpers.explorer.paper import LETTERS, Still, bar_chart
from mnist_helpers.explorer.scene import (
    Bars,
    Column,
    Lines,
    Maps,
    Row,
    Scatter,
    Scene,
    Table,
    Text,
)

ORANGE, BLUE, GREY = map(to_rgba, ("#D55E00", "#0072B2", "#999999"))
# what the eye makes of red, green and blue light: in full, without red cones, without green ones
# (Machado, Oliveira and Fernandes, 2009), and how far apart colours look (Ottosson's Oklab, 2020)
BLINDNESS = (
    np.eye(3),
    [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
)
CONES = (
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
)
OKLAB = (
    [0.2104542553, 0.793617785, -0.0040720468],
    [1.9779984951, -2.428592205, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.808675766],
)
VALUES = np.array([[[-2.0, 0.0, 1.0], [2.0, np.nan, -1.0]], [[0.5, 1.5, -0.5], [0.0, 0.0, 3.0]]])


def drawn(item, kind):
    """The artists of a kind in the still of a scene, in order."""
    return Still(Scene(item, "a sentence")).figure.findobj(kind)


def extents(fig, kind=OffsetImage):
    """Where the artists of a kind lie."""
    fig.canvas.draw()
    return [artist.get_window_extent(fig.canvas.get_renderer()) for artist in fig.findobj(kind)]


def words(artists):
    return [text.get_text() for text in artists]


def texts(item):
    return [word for word in words(drawn(item, Letters)) if word]


def faces(bars):
    return [bar.get_facecolor() for bar in bars]


def assert_apart(ax, *more):
    """No text of a chart lies over another."""
    ax.figure.draw_without_rendering()
    titles = [ax.xaxis.label, ax.yaxis.label, *ax.get_legend().texts]
    texts = [*ax.get_xticklabels(), *ax.get_yticklabels(), *more, *titles]
    boxes = [text.get_window_extent() for text in texts]
    for index, box in enumerate(boxes):
        assert box.count_overlaps(boxes[index + 1 :]) == 0
    return boxes


def counted(chart, *colours):
    """How many pixels of a chart on paper have each colour."""
    (picture,) = drawn(chart, OffsetImage)
    pixels = np.asarray(picture.get_data()) / 255
    return [np.isclose(pixels, colour, atol=0.01).all(axis=2).sum() for colour in colours]


def make_maps(**fields):
    return Maps(**{"values": VALUES, "limits": [(-2, 2)]} | fields)


def cells_of(table):
    """The cells of a drawn table."""
    return [text for text in drawn(table, Letters) if text.get_bbox_patch()]


def painted(maps):
    """The pixels of each map as it is drawn, with four more on each side."""
    fig = Still(Scene(maps, "a sentence")).figure
    boxes = [np.round(box.extents).astype(int) for box in extents(fig)]
    pixels = np.asarray(fig.canvas.buffer_rgba())[::-1] / 255  # from below, as boxes are
    return [pixels[y0 - 4 : y1 + 4, x0 - 4 : x1 + 4][::-1] for x0, y0, x1, y1 in boxes]


def orange(pixels):
    """The ends of what is orange: top, bottom, left, right, from the map's corner."""
    rows, columns = np.isclose(pixels, ORANGE, atol=0.1).all(axis=2).nonzero()
    return rows.min() - 4, rows.max() - 4, columns.min() - 4, columns.max() - 4


class TestMaps:
    @pytest.mark.parametrize(("palette", "name"), [("signed", "RdBu_r"), ("unsigned", "viridis")])
    def test_values_have_the_colours_of_the_scale(self, palette, name):
        maps = make_maps(palette=palette, zoom=5)
        for image, values in zip(drawn(maps, OffsetImage), VALUES, strict=True):
            wanted = matplotlib.colormaps[name]((values + 2) / 4)
            known = ~np.isnan(values)
            assert image.get_data()[known] == pytest.approx(wanted[known], abs=0.01)
            assert (image.get_data()[~known, 3] == 0).all()

    def test_each_map_may_have_limits_of_its_own(self):
        maps = Maps(values=VALUES[1:].repeat(2, 0), limits=[(0, 3), (0, 6)], zoom=4)
        ends = [image.get_data()[1, 2] for image in drawn(maps, OffsetImage)]
        colours = matplotlib.colormaps["viridis"]([1.0, 0.5])
        assert np.array(ends) == pytest.approx(colours, abs=0.01)

    def test_colours_are_shown_as_they_are(self):
        values = np.random.default_rng(0).random((1, 2, 2, 3))
        (image,) = drawn(Maps(values=values, limits=[(0, 1)], zoom=3), OffsetImage)
        assert image.get_data()[..., :3] == pytest.approx(values[0])

    def test_frames_lie_on_their_map_around_their_place(self):
        maps = make_maps(zoom=24, frames={1: (0, 1, 1, 2)})
        inside = [pixels[8:-8, 8:-8] for pixels in painted(maps)]  # without the edge of the map
        counts = [np.isclose(pixels, ORANGE).all(axis=2).sum() for pixels in inside]
        assert counts[0] == 0 < counts[1]
        (pixels,) = painted(make_maps(values=VALUES[:1], zoom=24, frames={0: (0, 1, 1, 2)}))
        assert orange(pixels) == (-2, 25, 22, 49)

    def test_a_value_is_framed_around_in_any_colour(self):
        values = np.full((1, 5, 5), 0.6)
        values[0, 2, 3] = 1.5  # red, in which an orange frame would not be seen
        maps = make_maps(values=values, palette="signed", zoom=8, frames={0: (2, 3, 3, 4)})
        (pixels,) = painted(maps)
        assert orange(pixels) == (14, 25, 22, 33)
        pixels = pixels[4:-4, 4:-4]
        red = matplotlib.colormaps["RdBu_r"]((1.5 + 2) / 4)
        inside = pixels[17:23, 25:31]
        assert inside == pytest.approx(np.broadcast_to(red, inside.shape), abs=0.01)
        white = (pixels > 0.99).all(axis=2)
        assert white[[13, 16, 23, 26], 24:32].all()
        assert white[16:24, [21, 24, 31, 34]].all()

    def test_a_value_at_the_edge_is_framed_across_it(self):
        maps = make_maps(values=np.zeros((1, 4, 4)), zoom=4, frames={0: (0, 3, 1, 4)})
        (pixels,) = painted(maps)
        assert orange(pixels) == (-2, 5, 10, 17)

    def test_maps_have_an_edge_that_is_orange_at_the_chosen_of_several(self):
        maps = make_maps(zoom=8, frames={1: None})
        plain, chosen = (box.patch for box in drawn(maps, PaddedBox))
        assert to_rgba(plain.get_edgecolor()) == GREY
        assert to_rgba(chosen.get_edgecolor()) == ORANGE
        assert chosen.get_linewidth() > plain.get_linewidth() > 0
        single = make_maps(values=VALUES[:1], zoom=8, frames={0: (0, 0, 2, 2)})
        (box,) = drawn(single, PaddedBox)
        assert to_rgba(box.patch.get_edgecolor()) == GREY

    def test_labels_axes_title_and_notes_are_written(self):
        maps = make_maps(labels=["a", "b"], axes=("out", "in"), title="conv", notes=["x"])
        assert texts(maps) == ["conv", "a", "b", "columns: out, rows: in", "x", "a sentence"]

    def test_heads_stand_over_their_column_and_beside_their_row(self):
        heads = (["a", "b"], ["c", "d"])
        maps = make_maps(values=VALUES.repeat(2, 0), zoom=10, columns=2, heads=heads)
        fig = Still(Scene(maps, "a sentence")).figure
        tiles = extents(fig)
        heads = {text.get_text().strip(): text.get_window_extent() for text in fig.findobj(Letters)}
        for head, tile in zip("ab", tiles, strict=False):
            assert tile.x0 < (heads[head].x0 + heads[head].x1) / 2 < tile.x1
            assert heads[head].y0 >= tile.y1
        for head, tile in zip("cd", tiles[::2], strict=True):
            assert tile.y0 - 2 <= heads[head].y0 < tile.y1
            assert heads[head].x1 <= tile.x0

    def test_of_many_heads_as_many_are_written_as_can_be_told_apart(self):
        heads = ([str(place) for place in range(32)], [])
        maps = make_maps(values=VALUES.repeat(16, 0), zoom=4, columns=32, heads=heads)
        assert texts(maps) == ["0", "4", "8", "12", "16", "20", "24", "28", "a sentence"]

    def test_the_label_of_a_framed_map_stands_out(self):
        maps = make_maps(labels=["a", "b"], frames={1: (0, 0, 1, 1)})
        labels = {text.get_text(): to_rgba(text.get_color()) for text in drawn(maps, Letters)}
        assert labels["b"] == to_rgba("#AD4600") != labels["a"]

    def test_the_colour_bar_runs_from_its_highest_end_down(self):
        maps = make_maps(palette="signed", colour_bar=True)
        bar = drawn(maps, OffsetImage)[-1].get_data()
        colours = matplotlib.colormaps["RdBu_r"]([1.0, 0.0])
        assert bar[[0, -1], 0] == pytest.approx(colours, abs=0.01)
        assert texts(maps)[:2] == ["2", "−2"]

    def test_rows_have_as_many_as_columns_says(self):
        maps = make_maps(values=VALUES.repeat(3, 0), zoom=4, columns=4)
        heights = {round(box.y0) for box in extents(Still(Scene(maps, "x")).figure)}
        assert len(heights) == 2


class TestTable:
    def test_cells_hold_the_numbers_with_their_heads(self):
        table = Table(
            values=np.array([[1.0, -2.5], [np.nan, -np.inf]]), rows=["a", "b"], columns=["p", "q"]
        )
        written = [word.strip() for word in texts(table) if word.strip()]
        assert written == ["p", "q", "a", "1.000", "−2.500", "b", "−inf", "a sentence"]

    def test_tints_tell_sign_and_size_and_the_frame_its_cell(self):
        table = Table(values=np.array([[2.0, -1.0]]), framed_cell=1)
        patches = [cell.get_bbox_patch() for cell in cells_of(table)]
        wanted = matplotlib.colormaps["RdBu_r"]([1.0, 0.25])[:, :3]
        assert np.array(faces(patches))[:, :3] == pytest.approx(wanted, abs=0.01)
        assert [patch.get_edgecolor() == ORANGE for patch in patches] == [False, True]


class TestBars:
    def bars(self, **fields):
        series = {"first": np.array([0.5, 1.0, np.nan])}
        plain = {"ticks": ["a", "b", "c"], "axis": {"low": 0, "high": 1}, "axes": ("", "")}
        return Bars(**plain | {"series": series} | fields)

    def heights(self, item):
        bars = bar_chart(item).patches
        return bars, np.array([bar.get_height() for bar in bars])

    def test_they_are_as_high_as_their_values(self):
        ax = bar_chart(self.bars(numbers=["5", "10", ""], axes=("across", "up")))
        assert [bar.get_height() for bar in ax.patches] == pytest.approx(
            [0.5, 1, np.nan], nan_ok=True
        )
        assert [bar.get_y() for bar in ax.patches] == [0, 0, 0]
        centres = [bar.get_x() + bar.get_width() / 2 for bar in ax.patches]
        assert centres == pytest.approx([0, 1, 2])
        assert words(ax.get_xticklabels()) == ["a", "b", "c"]
        assert ax.get_xticks().tolist() == [0, 1, 2]
        ends = {text.get_text(): text.get_position()[1] for text in ax.get_yticklabels()}
        assert ends == {"low": 0, "high": 1}
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("across", "up")
        numbers = {text.get_text(): text.get_position() for text in ax.texts}
        assert (numbers["5"], numbers["10"]) == ((0, 0.53), (1, 1.03))
        assert ax.get_legend() is None

    def test_negative_ones_hang_from_zero(self):
        series = {"first": np.array([-1.0, 1.0, 0.0])}
        bars, heights = self.heights(self.bars(series=series, limits=(-1, 1)))
        assert heights.tolist() == [-1, 1, 0]
        assert [bar.get_y() for bar in bars] == [0, 0, 0]

    def test_a_tick_without_a_bar_keeps_its_place(self):
        series = {"first": np.array([np.nan, 1.0, np.nan])}
        left, right = bar_chart(self.bars(series=series)).get_xlim()
        assert left < -0.5
        assert right > 2.5

    def test_they_end_at_the_limits(self):
        ax = bar_chart(self.bars(limits=(-1.0, 3.0)))
        assert ax.get_ylim() == pytest.approx((-1, 3.6))  # with room for numbers

    def test_series_and_emphasis_have_their_colours(self):
        series = {"first": np.ones(3), "second": np.ones(3) / 2}
        bars, heights = self.heights(self.bars(series=series))
        assert faces(bars) == [BLUE] * 3 + [GREY] * 3
        assert heights.tolist() == [1, 1, 1, 0.5, 0.5, 0.5]
        for left, right in zip(bars[:3], bars[3:], strict=True):
            assert left.get_x() + left.get_width() == pytest.approx(right.get_x())
        legend = bar_chart(self.bars(series=series)).get_legend()
        assert words(legend.texts) == ["first", "second"]
        assert faces(legend.legend_handles) == [BLUE, GREY]
        emphasised = bar_chart(self.bars(emphasis=[1]))
        assert faces(emphasised.patches) == [BLUE, ORANGE, BLUE]
        weights = [text.get_weight() for text in emphasised.get_xticklabels()]
        assert weights == ["normal", "bold", "normal"]
        emphasised, _ = self.heights(self.bars(series=series, emphasis=[1]))
        assert faces(emphasised) == [BLUE] * 3 + [GREY] * 3  # its own
        ablated = bar_chart(self.bars(emphasis=[1], select={"ablate": ["a", "b", "c"]}))
        assert faces(ablated.patches) == [BLUE, GREY, BLUE]
        legend = ablated.get_legend()
        assert words(legend.texts) == ["ablated"]
        assert faces(legend.legend_handles) == [GREY]

    @pytest.mark.parametrize("tick", ["a", "Ankle boot", "$\\frac{1}{0}$"])
    def test_no_text_lies_over_another_or_out_of_the_chart(self, tick):
        numbers = ["100.0%"] * 10
        series = {"first": np.ones(10), "second": np.zeros(10)}
        axes = ("Epoch, at first each about √2 times the one before", "Probability")
        axis = {"100%": 1.0}
        ax = bar_chart(
            self.bars(ticks=[tick] * 10, series=series, numbers=numbers, axes=axes, axis=axis)
        )
        for box in assert_apart(ax, *ax.texts):
            assert ax.figure.bbox.contains(box.x0, box.y0)
            assert ax.figure.bbox.contains(box.x1, box.y1)
        lowest = min(text.get_window_extent().y0 for text in ax.texts)
        assert lowest >= max(bar.get_window_extent().y1 for bar in ax.patches)
        assert not any(text.get_parse_math() for text in ax.get_xticklabels())

    def test_on_paper_they_are_the_chart(self):
        blue, orange = counted(self.bars(emphasis=[1]), BLUE, ORANGE)
        assert blue * 2 == pytest.approx(orange, rel=0.1)  # half as high
        assert orange > 1000


class TestLines:
    def lines(self, **fields):
        series = {"first": np.array([1.0, 0.1, 0.0]), "second": np.array([1.0, 0.5, 0.02])}
        plain = {"ticks": ["0", "1", "2"], "series": series, "limits": (0.01, 1.0)}
        plain |= {"axis": {"100%": 1.0, "10%": 0.1}, "axes": ("Epoch", "Error"), "emphasis": [1]}
        return Lines(**plain | fields)

    def test_they_go_through_their_values_on_a_logarithmic_axis(self):
        ax = bar_chart(self.lines())
        first, second, cursor = ax.lines
        assert first.get_ydata() == pytest.approx([1, 0.1, 0.01])  # zero lies at the edge
        assert second.get_ydata() == pytest.approx([1, 0.5, 0.02])
        assert first.get_xdata().tolist() == [0, 1, 2]
        assert list(cursor.get_xdata()) == [1, 1]
        assert ax.get_yscale() == "log"
        assert len(ax.patches) == 0
        ends = {text.get_text(): text.get_position()[1] for text in ax.get_yticklabels()}
        assert ends == {"100%": 1, "10%": 0.1}
        assert words(ax.get_xticklabels()) == ["0", "1", "2"]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("Epoch", "Error")
        assert ax.get_yticks(minor=True).tolist() == []

    def test_they_are_told_apart_by_colour_and_form(self):
        ax = bar_chart(self.lines())
        first, second, _ = ax.lines
        assert [to_rgba(line.get_color()) for line in (first, second)] == [BLUE, GREY]
        assert first.get_linestyle() != second.get_linestyle()
        assert first.get_marker() != second.get_marker()
        assert words(ax.get_legend().texts) == ["first", "second"]

    def test_no_text_lies_over_another(self):
        ticks = [f".{place:03}" for place in range(101, 123)]
        series = {"first": np.linspace(1, 0.01, 22)}
        axis = {"100%": 1.0, "30%": 0.3, "10%": 0.1, "3%": 0.03, "1%": 0.01}
        ax = bar_chart(self.lines(ticks=ticks, series=series, axis=axis))
        assert_apart(ax)

    def test_on_paper_they_are_the_chart(self):
        assert min(counted(self.lines(), BLUE, GREY)) > 100


class TestStill:
    def test_rows_lie_side_by_side_and_columns_below_one_another(self):
        maps = make_maps(values=VALUES[:1], zoom=10)
        for kind, axis, other in ((Row, "x0", "y0"), (Column, "y0", "x0")):
            first, second = extents(Still(Scene(kind(maps, maps), "x")).figure)
            assert getattr(first, axis) != getattr(second, axis)
            assert getattr(first, other) == pytest.approx(getattr(second, other))

    def test_a_row_that_is_too_long_wraps(self):
        one = make_maps(values=VALUES[:1], zoom=100)  # 300 pixels wide, 200 high
        fig = Still(Scene(Row(*[one] * 7), "x")).figure
        boxes = extents(fig)
        assert fig.bbox.width < 1020
        lefts, bottoms = (np.round([getattr(box, side) for box in boxes]) for side in ("x0", "y0"))
        assert list(lefts[:3]) == list(lefts[3:6]) == sorted(set(lefts))
        assert lefts[6] == lefts[0]
        assert [list(bottoms).count(line) for line in sorted(set(bottoms))] == [1, 3, 3]

    def test_the_picture_says_its_caption_and_buttons_are_left_out(self, tmp_path):
        button, hint = Text(text="Go", select={"image": 1}), Text(text="Click", size="hint")
        still = Still(Scene(Column(button, hint, Text(text="large", size="large")), "What it is."))
        written = set(words(still.figure.findobj(Letters)))
        assert written - {""} == {"large", "What it is."}
        data, metadata = DisplayFormatter().format(still)
        assert data["text/plain"] == metadata["image/png"]["alt"] == "What it is."
        path = tmp_path / "still.png"
        still.save(str(path))
        assert path.read_bytes() == data["image/png"]
        with Image.open(path) as picture:
            assert picture.width > 50

    def test_everything_drawn_lies_on_the_paper(self):
        maps = make_maps(zoom=10, labels=["a", "b"], colour_bar=True)
        some = Text(text="some words", size="strong")
        fig = Still(Scene(Row(maps, some), "What it is.")).figure
        for box in extents(fig) + extents(fig, Letters):
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= fig.bbox.x1 + 1
            assert box.y1 <= fig.bbox.y1 + 1

    def test_nothing_enters_pyplot(self):
        Still(Scene(make_maps(), "x")).png()
        assert pyplot.get_fignums() == []


class TestScatter:
    POINTS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]])

    def scatter(self, **fields):
        plain = {"points": self.POINTS, "classes": [0, 1, 1], "names": ["0", "1"]}
        return Scatter(**(plain | {"framed_point": None, "side": 460} | fields))

    def picture(self, **fields):
        (image,) = drawn(self.scatter(**fields), OffsetImage)
        return np.asarray(image.get_data())[..., :3].astype(float) / 255

    def around(self, picture, x, y, reach=6):
        """The pixels around a point; the axes go from −0.02 to 1.02, up."""
        size = len(picture)
        column, row = (round((value + 0.02) / 1.04 * size) for value in (x, 1 - y))
        return picture[max(row - reach, 0) : row + reach, max(column - reach, 0) : column + reach]

    def test_letters_have_the_colour_of_their_class(self):
        picture = self.picture()
        for (x, y), each in zip(self.POINTS, [0, 1, 1], strict=True):
            colour = np.array(to_rgba(LETTERS[each])[:3])
            assert np.abs(self.around(picture, x, y) - colour).sum(axis=2).min() < 0.3
        assert (self.around(picture, 0.5, 0.5) == 1).all()

    def test_its_side(self):
        assert self.picture().shape == (460, 460, 3)
        assert self.picture(side=300).shape == (300, 300, 3)

    def test_rings_and_the_frame(self):
        plain, picture = self.picture(), self.picture(marked=[1], framed_point=2)
        changed = np.abs(picture - plain).sum(axis=2) > 0.2
        assert not self.around(changed, 0, 0, 12).any()
        assert (self.around(picture, 1, 0, 12)[self.around(changed, 1, 0, 12)] < 0.9).any()
        framed = self.around(picture, 0.5, 1, 12)[self.around(changed, 0.5, 1, 12)]
        assert np.abs(framed - ORANGE[:3]).sum(axis=1).min() < 0.1

    @pytest.mark.parametrize(
        ("names", "key"), [(["0", "1"], ["0", "1"]), (["Coat", "Bag"], ["A  Coat", "B  Bag"])]
    )
    def test_a_key_of_the_colours(self, names, key):
        mark = self.scatter(names=names)
        written = [text for text in drawn(mark, Letters) if text.get_text()]
        assert words(written) == [*key, "a sentence"]
        assert [text.get_color() for text in written[:2]] == LETTERS[:2]

    def test_they_can_be_read_on_white_and_told_apart_by_the_colour_blind(self):
        ground = "#F5F5F2"  # of paper, darker than the white of the page
        encoded = np.array([to_rgba(colour)[:3] for colour in [*LETTERS, ground]])
        light = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
        luminance = light @ [0.2126, 0.7152, 0.0722] + 0.05
        assert (luminance[-1] / luminance[:-1]).min() >= 4.5  # WCAG 2.2
        distances = []
        for matrix in BLINDNESS:
            seen = np.cbrt((light[:-1] @ np.transpose(matrix)).clip(0, 1) @ np.transpose(CONES))
            seen = seen @ np.transpose(OKLAB)
            pairs = np.linalg.norm(seen[:, None] - seen, axis=2)
            distances.append(pairs[np.triu_indices(10, 1)].min())
        assert min(distances) > 0.07  # of matplotlib's tab10 two come as near as 0.007


def test_shades_tint_a_table_and_counts_are_whole():
    shades = np.array([[0.0, 1.0, 0.0]])
    table = Table(values=np.array([[1980.0, 1, 0]]), shades=shades, counts=True)
    cells = cells_of(table)
    assert [word.strip() for word in words(cells)] == ["1,980", "1", "·"]
    tints = faces(cell.get_bbox_patch() for cell in cells)
    wanted = matplotlib.colormaps["RdBu_r"]([0.5, 1.0])[:, :3]
    assert np.array(tints)[:2, :3] == pytest.approx(wanted)
