"""The explorer's page in real Chromium: what each mark draws, says and selects."""

import dataclasses
import io
import itertools

import matplotlib.image
import numpy as np
import page as pages
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from networks import drawn
from page import pixels
from torch.nn.functional import one_hot

from mnist_helpers import load_checkpoint, make_model
from mnist_helpers.config import NOTEBOOKS_DIR
from mnist_helpers.explorer import Selection, Subject
from mnist_helpers.explorer.paper import LETTERS
from mnist_helpers.explorer.scene import (
    COLUMN,
    INDEX,
    PLACE,
    ROW,
    Bars,
    Column,
    Lines,
    Maps,
    Pad,
    Row,
    Scatter,
    Scene,
    Table,
    Text,
)
from mnist_helpers.explorer.views import draw, header, trail
from mnist_helpers.metrics import Predictions
from mnist_helpers.runs.snapshots import load_snapshots

pytestmark = pages.needs_chromium

SIZE = {"width": 1070, "height": 800}
EVERYWHERE = {"channel": INDEX, "row": ROW, "column": COLUMN, "place": PLACE, "layer": "conv2"}
# in percent of the map's canvas: left, top, width, height
PLACE_OF = """box => {
    const [inner, outer] = [box, box.parentNode.firstChild].map((e) => e.getBoundingClientRect());
    const parts = [(inner.left - outer.left) / outer.width, (inner.top - outer.top) / outer.height];
    return [...parts, inner.width / outer.width, inner.height / outer.height].map((p) => 100 * p);
}"""
# of the marks of a scene, by title
BOXES = """scene => Object.fromEntries([...scene.querySelectorAll(".mark")].map((mark) =>
    [mark.querySelector("figcaption").innerText, mark.getBoundingClientRect().toJSON()]))"""


@pytest.fixture(scope="module")
def shared_page(browser):
    page = pages.new_page(browser, viewport=SIZE)
    yield page
    page.close()


@pytest.fixture
def page(shared_page):
    """The page that all tests use in turn; each mounts an explorer of its own on it."""
    if shared_page.viewport_size != SIZE:
        shared_page.set_viewport_size(SIZE)
    shared_page.mouse.move(SIZE["width"] - 1, SIZE["height"] - 1)
    shared_page.errors.clear()
    yield shared_page
    assert shared_page.errors == []


def open_page(page, content, *, dark=False, offset=0, **parts):
    """Mounts the explorer with this scene; gives the element of its scene."""
    pages.mount(page, pages.make_state(content, offset=offset, **parts), dark=dark)
    return page.locator(".scene")


def make_maps(count=4, height=3, width=5, seed=0, **fields):
    """Maps of random values from −1 to 1."""
    values = np.random.default_rng(seed).uniform(-1, 1, (count, height, width))
    plain = {"limits": [(-1.0, 1.0)], "palette": "signed", "zoom": 10, "columns": 2}
    return Maps(**(plain | {"values": values.astype(np.float32)} | fields))


def make_bars(**fields):
    """Three bars between −1 and 3."""
    series = {"change": np.array([3.0, -1.0, 1.0], dtype=np.float32)}
    plain = {"ticks": ["a", "b", "c"], "series": series, "limits": (-1.0, 3.0)}
    return Bars(**({"axis": {}, "axes": ("", "")} | plain | fields))


def expected_pixels(values, limits, colour_map):
    """The same by matplotlib: 255 colours from end to end, nan without colour."""
    low, high = limits
    levels = np.rint(254 * np.clip((values - low) / (high - low), 0, 1))
    colours = matplotlib.colormaps[colour_map](np.nan_to_num(levels) / 254, bytes=True)
    colours[np.isnan(values)] = 0
    return colours


def read_out(page):
    """What is told: at the pointer, or else in the line above the picture."""
    return page.locator(".tip").inner_text() or page.locator(".readout").inner_text()


def selections(page):
    return [message["select"] for message in pages.sent(page)]


def hover(element, x, y):
    """Points at a place given in fractions of an element."""
    box = element.bounding_box()
    element.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])


class TestMaps:
    def test_maps_without_labels_share_a_canvas_with_a_gap(self, page):
        maps = make_maps(count=3)
        shown = pixels(open_page(page, maps).locator(".sheet canvas"))
        assert shown.shape == (7, 11, 4)
        for index, (top, left) in enumerate([(0, 0), (0, 6), (4, 0)]):
            expected = expected_pixels(maps.values[index], (-1, 1), "RdBu_r")
            np.testing.assert_array_equal(shown[top : top + 3, left : left + 5], expected)
        assert not shown[3].any()
        assert not shown[:, 5].any()
        assert not shown[4:, 6:].any()  # there is no fourth map

    @pytest.mark.parametrize("dark", [False, True])  # the same, as on paper
    @pytest.mark.parametrize(("palette", "colour_map"), pages.COLOUR_MAPS.items())
    def test_labelled_maps_have_a_canvas_each(self, page, palette, dark, colour_map):
        maps = make_maps(palette=palette, labels=["a", "b", "c", "d"])
        canvases = open_page(page, maps, dark=dark).locator(".map canvas")
        assert canvases.count() == 4
        for index in range(4):
            expected = expected_pixels(maps.values[index], (-1, 1), colour_map)
            np.testing.assert_array_equal(pixels(canvases.nth(index)), expected)

    @pytest.mark.parametrize("offset", [0, 3])
    @pytest.mark.parametrize("type_", [np.float32, np.float16])
    def test_nan_is_blank_and_ends_are_clipped_in_every_type(self, page, type_, offset):
        values = np.array([[[np.nan, -7, 0.25, 2, 9]]], dtype=type_)
        maps = make_maps(values=values, limits=[(0.0, 2.0)], palette="unsigned")
        shown = pixels(open_page(page, maps, offset=offset).locator(".sheet canvas"))
        expected = expected_pixels(values[0].astype(float), (0, 2), "viridis")
        np.testing.assert_array_equal(shown, expected)
        assert shown[0, 0, 3] == 0

    def test_each_map_may_have_limits_of_its_own(self, page):
        limits = [(-1.0, 1.0), (-2.0, 2.0), (0.0, 4.0), (-0.5, 0.5)]
        maps = make_maps(limits=limits)
        shown = pixels(open_page(page, maps).locator(".sheet canvas"))
        for index, (top, left) in enumerate([(0, 0), (0, 6), (4, 0), (4, 6)]):
            expected = expected_pixels(maps.values[index], limits[index], "RdBu_r")
            np.testing.assert_array_equal(shown[top : top + 3, left : left + 5], expected)

    def test_colours_are_shown_as_they_are(self, page):
        values = np.random.default_rng(0).random((2, 3, 4, 3)).astype(np.float32)
        shown = pixels(open_page(page, make_maps(values=values)).locator(".sheet canvas"))
        np.testing.assert_array_equal(shown[:, 5:, :3], np.rint(255 * values[1]))
        assert (shown[:, 5:, 3] == 255).all()

    def test_values_of_vectors_touch(self, page):
        maps = make_maps(count=6, height=1, width=1, columns=3)
        shown = pixels(open_page(page, maps).locator(".sheet canvas"))
        expected = expected_pixels(maps.values.reshape(2, 3), (-1, 1), "RdBu_r")
        np.testing.assert_array_equal(shown, expected)

    def test_zoom_is_the_side_of_a_value_on_the_page(self, page):
        scene = open_page(page, Row(make_maps(labels=list("abcd")), make_maps(zoom=4)))
        labelled = scene.locator(".map canvas").first.bounding_box()
        assert (labelled["width"], labelled["height"]) == (50, 30)
        joined = scene.locator(".joined canvas").bounding_box()
        assert (joined["width"], joined["height"]) == (4 * 11, 4 * 7)

    def test_frames_lie_on_their_maps_in_percent(self, page):
        frames = {1: (0, 1, 2, 5), 2: None}
        scene = open_page(page, Row(make_maps(frames=frames, labels=list("abcd"))))
        cells = scene.locator(".map")
        boxes = [cells.nth(i).locator(".frame") for i in range(4)]
        assert [box.count() for box in boxes] == [0, 1, 1, 0]
        assert boxes[1].evaluate(PLACE_OF) == pytest.approx([20, 0, 80, 200 / 3], abs=0.5)
        assert boxes[2].evaluate(PLACE_OF) == pytest.approx([0, 0, 100, 100], abs=0.5)
        pages.show(page, Row(make_maps(frames={0: None}, labels=list("abcd"))))
        assert [box.count() for box in boxes] == [1, 0, 0, 0]

    def test_a_framed_map_stands_out_with_its_label(self, page):
        frames = {1: (0, 1, 1, 2)}
        scene = open_page(page, make_maps(frames=frames, labels=list("abcd")))
        outlines, weights = (
            scene.locator(f".map {part}").evaluate_all(
                "(parts, name) => parts.map((part) => getComputedStyle(part)[name])", name
            )
            for part, name in (("canvas", "outlineStyle"), (".label", "fontWeight"))
        )
        assert outlines == ["none", "solid", "none", "none"]
        assert weights == ["400", "700", "400", "400"]

    def test_frames_on_a_shared_canvas_allow_for_the_gaps(self, page):
        scene = open_page(page, make_maps(frames={3: (1, 2, 3, 4)}))
        expected = [100 * 8 / 11, 100 * 5 / 7, 100 * 2 / 11, 100 * 2 / 7]
        assert scene.locator(".frame").evaluate(PLACE_OF) == pytest.approx(expected, abs=0.5)

    def test_labels_heads_axes_and_notes_are_written(self, page):
        heads = (["o0", "o1"], ["i0", "i1"])
        axes = ("output", "input")
        headed = make_maps(heads=heads, axes=axes, title="kernels", notes=["2 × 2", "36 param."])
        scene = open_page(page, Column(make_maps(labels=list("abcd")), headed))
        assert scene.locator(".label").all_inner_texts() == ["a", "b", "c", "d"]
        assert scene.locator(".heads.over span").all_inner_texts() == ["o0", "o1"]
        assert scene.locator(".heads.beside span").all_inner_texts() == ["i0", "i1"]
        assert scene.locator(".axis").all_inner_texts() == ["output", "input"]
        assert scene.locator("figcaption").nth(1).inner_text() == "kernels"
        assert scene.locator(".notes > div").all_inner_texts() == ["2 × 2", "36 param."]
        over = scene.locator(".heads.over span").nth(1).bounding_box()
        canvas = scene.locator(".joined canvas").bounding_box()
        middle = canvas["x"] + canvas["width"] * 8.5 / 11
        assert over["x"] + over["width"] / 2 == pytest.approx(middle, abs=4)

    def test_the_colour_bar_runs_from_its_largest_value_down(self, page):
        signed = make_maps(colour_bar=True, limits=[(-4.387, 4.387)])
        unsigned = make_maps(colour_bar=True, limits=[(0.0, 1234.5)], palette="unsigned")
        scene = open_page(page, Row(signed, unsigned))
        ends = scene.locator(".ends").all_inner_texts()
        assert [text.split() for text in ends] == [["4.39", "0", "−4.39"], ["1230", "0"]]
        ramp = np.linspace(1, 0, 255)[:, None]
        for index, colour_map in enumerate(["RdBu_r", "viridis"]):
            shown = pixels(scene.locator(".bar canvas").nth(index))
            np.testing.assert_array_equal(shown, expected_pixels(ramp, (0, 1), colour_map))

    def test_more_maps_than_canvases_are_good_for_share_one(self, page):
        maps = make_maps(count=170, columns=10, labels=[str(i) for i in range(170)])
        scene = open_page(page, maps)
        assert scene.locator("canvas").count() == 1
        hover(scene.locator("canvas"), 0.05, 0.01)
        assert read_out(page).startswith("channel 0 · row 0 · column 2: ")

    @pytest.mark.parametrize("labels", [[], list("abcd")])
    def test_a_click_selects_map_row_and_column(self, page, labels):
        scene = open_page(page, make_maps(select=EVERYWHERE, labels=labels))
        x, y = (25, 25) if labels else (85, 65)
        target = scene.locator("canvas").nth(3 if labels else 0)
        target.click(position={"x": x, "y": y})
        expected = {"channel": 3, "row": 2, "column": 2, "place": 12, "layer": "conv2"}
        assert selections(page) == [expected]

    def test_a_click_on_every_third_row_selects_that_row(self, page):
        select = {"row": ROW, "column": COLUMN}
        scene = open_page(page, make_maps(count=1, step=3, select=select))
        scene.locator("canvas").click(position={"x": 45, "y": 15})  # row 1, column 4 of those sent
        assert selections(page) == [{"row": 3, "column": 12}]

    def test_a_click_between_maps_and_without_select_sends_nothing_wrong(self, page):
        scene = open_page(page, Row(make_maps(), make_maps(count=3, select={"channel": INDEX})))
        scene.locator("canvas").nth(0).click()
        scene.locator("canvas").nth(1).click(position={"x": 105, "y": 65})  # no fourth map
        assert selections(page) == []

    def test_lists_say_what_each_map_selects(self, page):
        select = {"image": [582, 7, None, 9], "view": "pipeline"}
        scene = open_page(page, make_maps(select=select, labels=list("abcd")))
        for index in range(4):
            scene.locator(".map").nth(index).click()
        expected = [{"image": image, "view": "pipeline"} for image in (582, 7, None, 9)]
        sent = selections(page)  # the first is in flight, the others are merged
        assert sent == [expected[0]]
        pages.show(page, make_maps(select=select, labels=list("abcd")), serial=1)
        assert selections(page) == [expected[3]]

    def test_a_label_can_be_clicked(self, page):
        maps = make_maps(height=1, width=1, columns=1, labels=list("abcd"), select=EVERYWHERE)
        scene = open_page(page, maps)
        scene.locator(".label").nth(2).click()
        expected = {"channel": 2, "row": 0, "column": 0, "place": 0, "layer": "conv2"}
        assert selections(page) == [expected]

    def test_the_title_selects_the_constants_alone(self, page):
        scene = open_page(page, make_maps(select=EVERYWHERE | {"list": [1, 2, 3, 4]}, title="c"))
        scene.locator("figcaption button").click()
        assert selections(page) == [{"layer": "conv2"}]
        pages.show(page, make_maps(select={"row": ROW}, title="c"))
        assert scene.locator("figcaption button").count() == 0
        assert scene.locator("figcaption").inner_text() == "c"

    def test_a_framed_mark_stands_out(self, page):
        scene = open_page(page, Row(make_maps(title="a"), make_maps(title="b", framed=True)))
        styles = scene.locator("figure").evaluate_all(
            "figures => figures.map((figure) => getComputedStyle(figure).outlineStyle)"
        )
        assert styles == ["none", "solid"]

    def test_the_read_out_tells_the_value_under_the_pointer(self, page):
        maps = make_maps(count=32, height=14, width=14, columns=8, zoom=4, title="conv2")
        scene = open_page(page, maps)
        hover(scene.locator("canvas"), (5 * 15 + 5.5) / 119, (2 * 15 + 4.5) / 59)
        value = f"{maps.values[21, 4, 5]:.4g}".replace("-", "−")
        assert read_out(page) == f"conv2 · channel 21 · row 4 · column 5: {value}"
        tip = page.locator(".tip").bounding_box()
        pointer = scene.locator("canvas").bounding_box()
        x = pointer["x"] + (5 * 15 + 5.5) / 119 * pointer["width"]
        assert tip["x"] < x < tip["x"] + tip["width"]
        assert 5 < tip["y"] - pointer["y"] < pointer["height"]
        page.mouse.move(900, 700)
        assert not page.locator(".tip").is_visible()
        assert read_out(page) == ""
        pages.show(page, dataclasses.replace(maps, select=EVERYWHERE))
        assert read_out(page).startswith("Orange: what is chosen, and what it sees. Click")

    def test_of_a_vector_there_is_a_channel_and_no_row(self, page):
        values = np.arange(12.0).reshape(1, 3, 4)
        vector = make_maps(values=values, select={"layer": "fc1", "channel": PLACE}, title="fc1")
        scene = open_page(page, vector)
        hover(scene.locator("canvas"), 0.6, 0.5)  # row 1 of three, column 2 of four
        assert read_out(page) == "fc1 · channel 6: 6"

    def test_the_read_out_has_the_digits_of_the_type_and_a_true_minus(self, page):
        values = np.array([[[-1.23456, np.nan]]])
        scene = open_page(
            page, Row(make_maps(values=values), make_maps(values=values.astype(np.float16)))
        )
        for index, expected in enumerate(["−1.235", "−1.23"]):
            hover(scene.locator("canvas").nth(index), 0.2, 0.5)
            assert read_out(page) == f"row 0 · column 0: {expected}"
        hover(scene.locator("canvas").nth(0), 0.8, 0.5)
        assert read_out(page) == "row 0 · column 1: no value"

    def test_the_read_out_names_a_kernel_by_its_heads_and_an_image_by_its_label(self, page):
        heads = (["8", "9"], ["4", "5"])
        headed = make_maps(heads=heads, axes=("output channel", "input channel"))
        labelled = make_maps(labels=["582", "7", "1", "2"], unit="image")
        scene = open_page(page, Row(headed, labelled))
        hover(scene.locator(".joined canvas"), 0.99, 0.01)
        assert read_out(page).startswith("output channel 9 · input channel 4 · row 0 · column 4: ")
        hover(scene.locator(".map canvas").nth(0), 0.01, 0.01)
        assert read_out(page).startswith("image 582 · row 0 · column 0: ")
        chosen = dataclasses.replace(labelled, select={"image": [0, 40, 7, 9]})
        scene = open_page(page, chosen)  # where a click leads to an image, by its number, too
        for index, said in enumerate(["image 0 · 582", "image 40 · 7"]):
            hover(scene.locator(".map canvas").nth(index), 0.01, 0.01)
            assert read_out(page).startswith(f"{said} · row 0 · column 0: ")

    def test_what_is_pointed_at_is_followed_to_its_new_value(self, page):
        scene = open_page(page, make_maps(values=np.full((1, 2, 2), 0.5)))
        hover(scene.locator("canvas"), 0.2, 0.2)
        pages.show(page, make_maps(values=np.full((1, 2, 2), 0.25)))
        assert read_out(page) == "row 0 · column 0: 0.25"

    def test_arrows_move_between_maps_as_laid_out(self, page):
        maps = make_maps(count=5, columns=3, labels=list("abcde"), select=EVERYWHERE)
        scene = open_page(page, maps)
        scene.locator(".grid").focus()
        reached = []
        for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowUp", "End", "ArrowRight", "Home"):
            page.keyboard.press(key)
            page.keyboard.press("Enter")
            pages.show(page, maps, serial=10**6)
            reached += [part["channel"] for part in selections(page)]
        assert reached == [1, 4, 4, 1, 4, 4, 0]

    def test_arrows_follow_a_grid_that_wrapped(self, page):
        page.set_viewport_size({"width": 570, "height": 800})
        maps = make_maps(count=8, columns=8, zoom=30, labels=list("abcdefgh"), select=EVERYWHERE)
        scene = open_page(page, maps)
        scene.locator(".grid").focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        assert selections(page) == [{"channel": 3, "layer": "conv2"}]  # three of 150 px to a row

    def test_enter_on_a_whole_map_keeps_row_and_column(self, page):
        scene = open_page(page, make_maps(select=EVERYWHERE))
        scene.locator(".grid").focus()
        page.keyboard.press(" ")
        assert selections(page) == [{"channel": 0, "layer": "conv2"}]

    def test_shift_and_arrows_move_inside_a_map(self, page):
        maps = make_maps(select=EVERYWHERE, title="conv2", frames={1: (0, 1, 2, 2)})
        scene = open_page(page, maps)
        scene.locator(".grid").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowRight")  # from the frame's first value
        value = f"{maps.values[1, 0, 2]:.4g}".replace("-", "−")
        assert read_out(page) == f"conv2 · channel 1 · row 0 · column 2: {value}"
        page.keyboard.press("Shift+ArrowDown")
        page.keyboard.press("Shift+ArrowUp")
        page.keyboard.press("Shift+ArrowUp")
        page.keyboard.press("Shift+End")
        page.keyboard.press("Enter")
        expected = {"channel": 1, "row": 0, "column": 4, "place": 4, "layer": "conv2"}
        assert selections(page) == [expected]
        expected_place = [100 * 10 / 11, 0, 100 / 11, 100 / 7]
        assert scene.locator(".caret").evaluate(PLACE_OF) == pytest.approx(expected_place, abs=0.5)

    def test_arrows_move_inside_a_single_map(self, page):
        scene = open_page(page, make_maps(count=1, select={"row": ROW, "column": COLUMN}))
        scene.locator(".grid").focus()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
        assert selections(page) == [{"row": 1, "column": 1}]  # the middle is row 1, column 2

    def test_a_whole_map_under_focus_is_announced_with_its_range(self, page):
        maps = make_maps(title="conv2")
        scene = open_page(page, maps)
        scene.locator(".grid").focus()
        page.keyboard.press("ArrowRight")
        least, most = (f"{end(maps.values[1]):.4g}".replace("-", "−") for end in (np.min, np.max))
        assert read_out(page) == f"conv2 · channel 1: {least} to {most}"
        option = scene.get_by_role("option")
        assert option.get_attribute("aria-label") == read_out(page)
        assert option.get_attribute("aria-posinset") == "2"
        assert option.get_attribute("aria-setsize") == "4"
        active = "box => box.ariaActiveDescendantElement.getAttribute('aria-label')"
        assert scene.get_by_role("listbox", name="conv2", exact=True).evaluate(active) == read_out(
            page
        )
        pages.show(page, make_maps(unit="image"), serial=1)
        assert scene.get_by_role("listbox", name="image", exact=True).count() == 1

    def test_hover_and_focus_are_seen(self, page):
        scene = open_page(page, make_maps(select=EVERYWHERE))
        canvas = scene.locator("canvas")
        assert scene.locator(".hover").count() == 0
        hover(canvas, 0.99, 0.99)
        expected = [100 * 10 / 11, 100 * 6 / 7, 100 / 11, 100 / 7]
        assert scene.locator(".hover").evaluate(PLACE_OF) == pytest.approx(expected, abs=0.5)
        assert canvas.evaluate("canvas => getComputedStyle(canvas).cursor") == "pointer"
        assert scene.locator(".caret").evaluate("e => getComputedStyle(e).opacity") == "0"
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        scene.locator(".grid").focus()
        assert scene.locator(".caret").evaluate("e => getComputedStyle(e).opacity") == "1"


class TestTable:
    values = np.array([[0.5, -1.0], [np.nan, np.inf]])

    def test_cells_hold_the_texts(self, page):
        table = Table(values=self.values, rows=["r0", "r1"], columns=["c0", "c1"], framed_cell=1)
        scene = open_page(page, table)
        assert scene.locator("td:not(.corner)").all_inner_texts() == ["0.500", "−1.000", "", "inf"]
        assert scene.locator("th[scope=col]").all_inner_texts() == ["c0", "c1"]
        assert scene.locator("th[scope=row]").all_inner_texts() == ["r0", "r1"]
        assert scene.locator("td.framed").all_inner_texts() == ["−1.000"]

    def test_tints_tell_sign_and_size(self, page):
        scene = open_page(page, Table(values=np.array([[1.0, 0.5, 0.0, -1.0]])))
        script = """cells => cells.map((cell) => {
            const context = document.createElement("canvas").getContext("2d");
            context.fillStyle = getComputedStyle(cell).backgroundColor;
            context.fillRect(0, 0, 1, 1);
            return Array.from(context.getImageData(0, 0, 1, 1).data);
        })"""
        colours = np.array(scene.locator("td").evaluate_all(script), dtype=int)
        redness = colours[:, 0] - colours[:, 2]
        assert redness[0] > redness[1] + 10 > redness[2] + 20
        assert redness[2] == 0
        assert redness[3] < -40

    def test_a_click_selects_and_a_blank_cell_does_not(self, page):
        select = {"row": ROW, "column": COLUMN, "input_channel": INDEX, "name": list("abcd")}
        scene = open_page(page, Table(values=self.values, select=select))
        scene.locator("td").nth(2).click()
        scene.locator("td").nth(3).click()
        expected = {"row": 1, "column": 1, "input_channel": 3, "name": "d"}
        assert selections(page) == [expected]

    def test_one_tab_stop_and_arrows_inside(self, page):
        table = Table(values=np.arange(6.0).reshape(2, 3), select={"place": PLACE}, title="sums")
        scene = open_page(page, table)
        assert scene.locator("td[tabindex='0']").count() == 1
        scene.locator("td[tabindex='0']").focus()
        for key in ("ArrowRight", "ArrowDown"):
            page.keyboard.press(key)
        assert read_out(page) == "sums · row 1 · column 1: 4"
        page.keyboard.press("Enter")
        assert selections(page) == [{"place": 4}]
        pages.show(page, dataclasses.replace(table, values=-table.values), serial=1)
        assert page.evaluate("document.activeElement.textContent") == "−4.000"
        assert read_out(page) == "sums · row 1 · column 1: −4"
        assert scene.locator("td[tabindex='0']").count() == 1

    def test_a_count_of_none_is_no_button(self, page):
        counts = Table(values=np.array([[0.0, 2.0]]), counts=True, select={"cell": INDEX})
        cells = open_page(page, counts).locator("td")
        cells.nth(0).click()
        cells.nth(0).focus()
        page.keyboard.press("Enter")
        assert selections(page) == []
        cells.nth(1).click()
        assert selections(page) == [{"cell": 1}]

    def test_a_title_that_selects_is_no_tab_stop_beside_its_cells(self, page):
        select = {"layer": "fc2", "channel": INDEX}
        table = Table(values=np.ones((2, 1)), title="fc2", select=select)
        scene = open_page(page, Row(table, Text("All images", select={"digit": None})))
        scene.locator("figcaption").get_by_role("button", name="fc2").click()
        assert selections(page) == [{"layer": "fc2"}]
        stops = scene.locator("button, td").evaluate_all("all => all.map((one) => one.tabIndex)")
        assert stops == [-1, 0, -1, 0]

    def test_a_count_is_told_in_words(self, page):
        values = np.array([[980.0, 2.0], [5, 1032]])
        classes = {"rows": ["4", "9"], "columns": ["4", "9"], "title": "rows: true"}
        scene = open_page(page, Table(values=values, counts=True, **classes))
        scene.locator("td:not(.corner)").nth(2).hover()
        assert read_out(page) == "9 read as 4: 5 images"

    def test_without_select_it_is_no_tab_stop_but_is_read(self, page):
        values = np.array([[0.123456]])
        scene = open_page(page, Table(values=values, columns=["mean"], title="stats"))
        assert scene.locator("[tabindex]").count() == 0
        scene.locator("td").hover()
        assert read_out(page) == "stats · mean: 0.1235"
        pages.show(page, Table(values=values, columns=["mean"], title="stats", percent=True))
        assert read_out(page) == "stats · mean: 12.3%"
        half = Table(values=values.astype(np.float16), columns=["mean"], title="stats")
        pages.show(page, half)
        assert read_out(page) == "stats · mean: 0.123"


class TestEditableTable:
    KERNEL = Table(values=np.arange(9.0).reshape(3, 3) / 10, title="kernel", edit="kernel")

    def numbers(self, **changed):
        return [changed.get(f"at{i}", i / 10) for i in range(9)]

    def cell(self, page, row, column):
        name = f"kernel, row {row}, column {column}"
        return page.get_by_role("textbox", name=name, exact=True)

    def test_it_shows_its_numbers(self, page):
        open_page(page, self.KERNEL)
        values = page.locator("td input").evaluate_all("all => all.map((each) => each.value)")
        assert values == ["0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8"]

    @pytest.mark.parametrize("text", ["-2.5", "−2.5"])
    def test_a_number_is_typed_with_either_minus(self, page, text):
        open_page(page, self.KERNEL)
        self.cell(page, 1, 2).fill(text)
        assert selections(page) == [{"kernel": pytest.approx(self.numbers(at5=-2.5))}]
        assert "drag it" in self.cell(page, 1, 2).get_attribute("title")

    def test_arrow_keys_step_by_a_tenth(self, page):
        open_page(page, self.KERNEL)
        self.cell(page, 0, 1).press("ArrowUp")
        assert selections(page) == [{"kernel": pytest.approx(self.numbers(at1=0.2))}]
        self.cell(page, 2, 2).press("ArrowDown")
        now = self.numbers(at1=0.2, at8=0.7)
        pages.show(page, self.KERNEL, serial=1)
        assert selections(page) == [{"kernel": pytest.approx(now)}]

    def test_dragging_up_or_right_is_more(self, page):
        open_page(page, self.KERNEL)
        cases = {(0, -60): 1.0, (30, 0): 0.5, (0, 24): -0.4}
        for serial, ((dx, dy), expected) in enumerate(cases.items(), 1):
            box = self.cell(page, 0, 0).bounding_box()
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.move(x + dx, y + dy)
            page.mouse.up()
            sent = selections(page)[-1]
            assert sent == {"kernel": pytest.approx(self.numbers(at0=expected))}
            pages.show(page, self.KERNEL, serial=serial)

    def test_what_is_no_number_is_said_and_selects_nothing(self, page):
        open_page(page, Column(self.KERNEL, GO))
        said = "Write a number, with a point, from −100 to 100."
        error = page.get_by_role("alert").get_by_text(said)
        assert error.count() == 0
        for text in ("", "101", "abc", "1,5", "1/2", "3x"):
            self.cell(page, 0, 0).fill(text)
            self.cell(page, 0, 0).blur()
            box = error.bounding_box()
            last = self.cell(page, 2, 0).bounding_box()
            next_item = page.get_by_role("button", name="go").bounding_box()
            assert 0 <= box["y"] - last["y"] - last["height"] < 5  # no number is covered
            assert box["y"] + box["height"] <= next_item["y"]
            assert page.locator("td input:invalid").count() == 1
            assert selections(page) == []
        self.cell(page, 0, 0).fill("3")
        assert error.count() == page.locator("td input:invalid").count() == 0
        assert selections(page) == [{"kernel": pytest.approx(self.numbers(at0=3))}]

    def test_the_value_under_the_pointer_does_not_cover_an_error(self, page):
        open_page(page, self.KERNEL)
        self.cell(page, 2, 0).fill("abc")
        self.cell(page, 2, 0).blur()
        self.cell(page, 2, 0).hover()
        on_top = """([tip, error]) => {
            for (const one of [tip, error]) one.style.pointerEvents = "auto";
            const [a, b] = [tip, error].map((one) => one.getBoundingClientRect());
            const y = (Math.max(a.top, b.top) + Math.min(a.bottom, b.bottom)) / 2;
            return document.elementFromPoint(b.left + 40, y).className;
        }"""
        assert page.locator(".tip:not(.error)").is_visible()
        tips = [page.locator(one).element_handle() for one in (".tip:not(.error)", ".tip.error")]
        assert page.evaluate(on_top, tips) == "tip error"

    def test_an_answer_leaves_what_is_no_number_while_it_is_typed(self, page):
        open_page(page, self.KERNEL)
        cell = self.cell(page, 0, 0)
        cell.fill("25")
        cell.fill("250")
        assert selections(page) == [{"kernel": pytest.approx(self.numbers(at0=25))}]
        typed = self.KERNEL.values.copy()
        typed[0, 0] = 25
        answer = dataclasses.replace(self.KERNEL, values=typed)
        pages.show(page, answer, serial=1)
        assert cell.input_value() == "250"
        assert page.locator("td input:invalid").count() == 1
        self.cell(page, 1, 1).fill("2")
        assert selections(page) == []  # until every text is a number
        pages.show(page, answer, serial=1)
        assert cell.input_value() == "25"  # what is computed
        assert page.locator("td input:invalid").count() == 0

    def test_with_another_number_in_its_place_an_error_is_gone(self, page):
        open_page(page, self.KERNEL)
        self.cell(page, 0, 0).fill("101")
        self.cell(page, 0, 0).blur()
        error = page.get_by_role("alert").get_by_text("Write a number")
        assert error.count() == 1
        pages.show(page, dataclasses.replace(self.KERNEL, values=-self.KERNEL.values), serial=1)
        assert error.count() == 0

    def test_another_kernel_is_written_but_not_over_what_is_typed(self, page):
        open_page(page, self.KERNEL)
        self.cell(page, 0, 0).fill("0.123456")
        typed = self.KERNEL.values.copy()
        typed[0, 0] = 0.123456
        pages.show(page, dataclasses.replace(self.KERNEL, values=typed), serial=1)
        assert self.cell(page, 0, 0).input_value() == "0.123456"
        pages.show(page, dataclasses.replace(self.KERNEL, values=-typed), serial=1)
        assert self.cell(page, 0, 0).input_value() == "−0.1235"
        assert self.cell(page, 2, 2).input_value() == "−0.8"


def test_a_map_that_follows_selects_what_is_pointed_at(page):
    scene = open_page(page, make_maps(count=1, select={"row": ROW, "column": COLUMN}, follows=True))
    hover(scene.locator("canvas"), 0.5, 0.5)
    assert selections(page) == [{"row": 1, "column": 2}]
    hover(scene.locator("canvas"), 0.52, 0.52)  # the same place
    assert selections(page) == []
    still = make_maps(count=1, select={"row": ROW, "column": COLUMN})
    pages.show(page, still, serial=1)
    hover(scene.locator("canvas"), 0.1, 0.1)
    assert selections(page) == []


class TestBars:
    def heights(self, scene):
        return scene.locator(".bars-of b").evaluate_all(
            """bars => bars.map((bar) => {
                const [own, all] = [bar, bar.closest(".bars-of")].map(
                    (element) => element.getBoundingClientRect());
                return [(all.bottom - own.bottom) / all.height, own.height / all.height];
            })"""
        )

    def test_bars_stand_on_zero_as_high_as_their_values(self, page):
        scene = open_page(page, make_bars())
        expected = [[0.25, 0.75], [0, 0.25], [0.25, 0.25]]
        np.testing.assert_allclose(self.heights(scene), expected, atol=0.01)
        series = {"change": np.array([9.0, np.nan, 0.0])}
        pages.show(page, make_bars(series=series))
        np.testing.assert_allclose(
            self.heights(scene), [[0.25, 0.75], [0.25, 0], [0.25, 0]], atol=0.01
        )

    def test_the_smallest_bar_stands_on_its_axis_a_pixel_high(self, page):
        series = {"share": np.array([1.0, 0.001, 0.0])}
        scene = open_page(page, make_bars(series=series, limits=(0.0, 1.0)))
        script = "b => [b.getBoundingClientRect().height, getComputedStyle(b).bottom]"
        bars = [bar.evaluate(script) for bar in scene.locator(".bars-of b").all()]
        assert bars[1:] == [[1, "0px"], [0, "0px"]]
        axis = "e => getComputedStyle(e, '::before').translate"
        assert scene.locator(".bars-of").first.evaluate(axis) == "0px 100%"  # wholly below it

    def test_axes_ticks_and_numbers_stand_where_they_belong(self, page):
        axis = {"none": -1.0, "half": 1.0, "all": 3.0}
        bars = make_bars(axis=axis, axes=("digit", "share"), numbers=["3!", "", "1!"])
        scene = open_page(page, bars)
        assert scene.locator(".tick").all_inner_texts() == ["a", "b", "c"]
        assert scene.locator(".number").all_inner_texts() == ["3!", "", "1!"]
        assert sorted(scene.locator(".axis").all_inner_texts()) == ["digit", "share"]
        plot = scene.locator(".bars-of").first.bounding_box()
        for text, share in {"none": 0, "half": 0.5, "all": 1}.items():
            box = scene.locator(".scale span", has_text=text).bounding_box()
            middle = plot["y"] + plot["height"] * (1 - share)
            assert box["y"] + box["height"] / 2 == pytest.approx(middle, abs=1.5)
        number = scene.locator(".number").nth(2).bounding_box()
        assert number["y"] + number["height"] == pytest.approx(plot["y"] + 42, abs=1.5)

    def test_several_series_have_a_legend_and_a_pattern(self, page):
        series = {"before": np.array([1.0, 2, 3]), "after": np.array([3.0, 2, 1])}
        scene = open_page(page, make_bars(series=series))
        assert scene.locator(".legend span").all_inner_texts() == ["before", "after"]
        script = "bars => bars.map((bar) => getComputedStyle(bar).backgroundImage)"
        images = scene.locator(".group").first.locator("b").evaluate_all(script)
        assert images[0] == "none"
        assert "repeating-linear-gradient" in images[1]
        assert scene.locator(".legend b").evaluate_all(script) == images
        scene.locator(".group").nth(0).hover()
        assert read_out(page) == "a: before 1, after 3"
        pages.show(page, make_bars())
        assert not scene.locator(".legend").is_visible()

    def test_emphasis_is_told_by_shape_too(self, page):
        scene = open_page(page, make_bars(emphasis=[2]))
        content = "ticks => ticks.map((tick) => getComputedStyle(tick, '::before').content)"
        assert scene.locator(".tick").evaluate_all(content) == ["none", "none", '"▲"']
        weights = scene.locator(".tick").evaluate_all(
            "t => t.map((e) => getComputedStyle(e).fontWeight)"
        )
        assert weights == ["400", "400", "700"]

    def test_what_is_ablated_looks_as_in_the_legend_and_not_as_what_is_chosen(self, page):
        series = {"all": np.ones(3), "ablated": np.ones(3)}
        marks = Row(make_bars(emphasis=[2]), make_bars(series=series))
        looks = []
        for view in ("ablation", "answer"):
            scene = open_page(page, marks, view=view)
            script = "bars => bars.map((bar) => getComputedStyle(bar).background)"
            bar, legend = scene.locator(".emphasised b, .legend :nth-child(2) b").evaluate_all(
                script
            )
            looks.append(bar)
            assert (bar == legend) == (view == "ablation")
        assert "gradient" not in looks[1]

    def test_clicks_and_keys_select(self, page):
        bars = make_bars(select={"class": INDEX, "layer": "fc2"}, axes=("class", ""), title="sums")
        scene = open_page(page, bars)
        scene.locator(".group").nth(2).click()
        assert selections(page) == [{"class": 2, "layer": "fc2"}]
        pages.show(page, bars, serial=1)
        page.keyboard.press("ArrowLeft")  # the click has brought the focus there
        assert read_out(page) == "sums · class b: −1"
        page.keyboard.press("Enter")
        assert selections(page) == [{"class": 1, "layer": "fc2"}]
        assert scene.locator(".group[tabindex='0']").count() == 1

    @pytest.mark.parametrize("width", [1000, 375])
    def test_numbers_stand_above_bars_and_never_over_ticks(self, page, width):
        page.set_viewport_size({"width": width, "height": 700})
        for count in (10, 30):
            values = np.where(np.arange(count) % 3, 2.0, -1.0).astype(np.float32)
            bars = make_bars(
                ticks=[str(i) for i in range(count)],
                series={"lost": values},
                numbers=[f"{value:g}" for value in values],
                limits=(-2.0, 3.0),
                axis={"0": 0.0},
                emphasis=[],
            )
            scene = open_page(page, bars)
            groups = scene.locator(".group")
            for i in (6, 8):  # below zero, and above
                number = groups.nth(i).locator(".number")
                assert number.is_visible()
                box = number.bounding_box()
                bar = groups.nth(i).locator("b").bounding_box()
                assert box["y"] + box["height"] == pytest.approx(bar["y"], abs=1.5)
                assert bar["height"] == pytest.approx([16.8, 33.6][i == 8], abs=1.1)

    def test_numbers_are_read_in_place_of_logarithms(self, page):
        scene = open_page(page, make_bars(numbers=["93%", "", ""], title="p"))
        scene.locator(".group").nth(0).hover()
        assert read_out(page) == "p · a: 93%"


class TestLines:
    def lines(self, **fields):
        ticks = [".01", ".1", "1", "2"]
        values = {"slow": [1.0, 0.1, 0.01, 0.0], "fast": [0.5, 0.5, 0.05, 0.02]}
        series = {name: np.array(errors, np.float32) for name, errors in values.items()}
        moments = [f"slow, epoch {tick}" for tick in ticks]
        plain = {"ticks": ticks, "series": series, "limits": (0.01, 1.0), "title": "error"}
        plain |= {"axis": {"100%": 1.0, "10%": 0.1}, "axes": ("Epoch", "Error"), "emphasis": [1]}
        return Lines(**(plain | {"select": {"weights": moments}} | fields))

    def test_lines_go_through_points_at_logarithmic_heights(self, page):
        scene = open_page(page, self.lines())
        points = scene.locator("polyline").evaluate_all(
            "lines => lines.map((line) => [...line.points].map(({ x, y }) => [x, y]))"
        )
        heights = {"slow": [100, 50, 0, 0], "fast": [84.95, 84.95, 34.95, 15.05]}
        for line, wanted in zip(points, heights.values(), strict=True):
            assert line == [
                [place + 0.5, pytest.approx(100 - height, abs=0.01)]
                for place, height in enumerate(wanted)
            ]
        boxes = scene.locator(".group").evaluate_all(
            """groups => groups.map((group) => [...group.querySelectorAll("b")].map((bar) => {
                const all = bar.closest(".bars-of").getBoundingClientRect();
                return 100 * (all.bottom - bar.getBoundingClientRect().top) / all.height;
            }))"""
        )
        np.testing.assert_allclose(boxes, np.transpose(list(heights.values())), atol=1)
        picture = scene.locator("svg").bounding_box()
        area = scene.locator(".bars-of").first.bounding_box()
        plot = scene.locator(".plot").bounding_box()
        assert (picture["y"], picture["height"]) == (area["y"], area["height"])
        assert (picture["x"], picture["width"]) == (plot["x"], plot["width"])
        for text, height in {"100%": 1, "10%": 0.5}.items():
            box = scene.locator(".scale span").get_by_text(text, exact=True).bounding_box()
            middle = area["y"] + area["height"] * (1 - height)
            assert box["y"] + box["height"] / 2 == pytest.approx(middle, abs=1.5)
        series = {"slow": np.array([0.1, 0.1, 0.1, 0.1])}
        pages.show(page, self.lines(series=series))
        assert scene.locator("polyline").count() == 1

    @pytest.mark.parametrize("dark", [False, True])
    def test_runs_are_told_apart_by_form_and_colour_with_a_key(self, page, dark):
        scene = open_page(page, self.lines(), dark=dark)
        script = """lines => lines.map((line) => {
            const { stroke, strokeDasharray } = getComputedStyle(line);
            return [stroke, strokeDasharray];
        })"""
        (blue, solid), (orange, dashed) = scene.locator("polyline").evaluate_all(script)
        assert solid == "none"
        assert dashed != "none"
        keys = scene.locator(".legend b").evaluate_all(
            """keys => keys.map((key) => {
                const { borderBottomColor, borderBottomStyle } = getComputedStyle(key);
                return [borderBottomColor, borderBottomStyle];
            })"""
        )
        assert keys == [[blue, "solid"], [orange, "dashed"]]
        assert blue != orange
        assert scene.locator(".legend span").all_inner_texts() == ["slow", "fast"]
        radii = (
            scene.locator(".group")
            .first.locator("b")
            .evaluate_all(
                "bars => bars.map((bar) => getComputedStyle(bar, '::before').borderRadius)"
            )
        )
        assert radii[0] != radii[1] == "0px"

    def test_a_click_selects_the_moment(self, page):
        scene = open_page(page, self.lines())
        hover(scene.locator(".plot"), 0.6, 0.3)  # the third of four, far from its points
        assert read_out(page) == "error · Epoch 1: slow 0.01, fast 0.05"
        page.mouse.down()
        page.mouse.up()
        assert selections(page) == [{"weights": "slow, epoch 1"}]
        pages.show(page, self.lines(emphasis=[2]), serial=1)
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        assert selections(page) == [{"weights": "slow, epoch 2"}]

    def test_the_cursor_can_be_dragged(self, page):
        scene = open_page(page, self.lines())
        hover(scene.locator(".plot"), 0.4, 0.5)
        assert selections(page) == []
        page.mouse.down()
        for place, share in enumerate((0.6, 0.9)):
            hover(scene.locator(".plot"), share, 0.7)
            (moment,) = selections(page)
            assert moment == {"weights": ["slow, epoch 1", "slow, epoch 2"][place]}
        page.mouse.up()
        selections(page)  # the click that ends it
        hover(scene.locator(".plot"), 0.1, 0.5)
        assert selections(page) == []

    def test_nothing_else_is_dragged(self, page):
        scene = open_page(page, make_bars(select={"class": INDEX}))
        hover(scene.locator(".plot"), 0.2, 0.5)
        page.mouse.down()
        hover(scene.locator(".plot"), 0.5, 0.5)
        assert selections(page) == []
        page.mouse.up()

    def test_the_cursor_stands_at_its_moment(self, page):
        scene = open_page(page, self.lines())
        grounds = scene.locator(".bars-of").evaluate_all(
            "areas => areas.map((area) => getComputedStyle(area).backgroundImage)"
        )
        assert [ground != "none" for ground in grounds] == [False, True, False, False]
        assert scene.locator(".group[aria-selected=true]").inner_text().strip() == ".1"

    @pytest.mark.parametrize("dark", [False, True])
    def test_axe_finds_nothing(self, page, dark):
        open_page(page, self.lines(), dark=dark)
        results = Axe().run(page, ".mnist-explorer")
        assert results.violations_count == 0, results.generate_report()


class TestText:
    def test_sizes_and_button(self, page):
        items = [
            Text(text="plain"),
            Text(text="bold", size="strong"),
            Text(text="7", size="large"),
            Text(text="go", select={"image": 3}),
        ]
        scene = open_page(page, Row(*items))
        assert scene.locator(".text .body").all_inner_texts() == ["plain", "bold", "7", "go"]
        sizes = scene.locator(".text .body > *").evaluate_all(
            "texts => texts.map((text) => parseFloat(getComputedStyle(text).fontSize))"
        )
        assert sizes[2] > sizes[1] >= sizes[0] >= 10
        scene.get_by_role("button", name="go").focus()
        page.keyboard.press("Enter")
        assert selections(page) == [{"image": 3}]


AFTER = "element => getComputedStyle(element, '::after').content"
# what the letters of an element take
INK = """element => {
    const all = document.createRange();
    all.selectNodeContents(element);
    return all.getBoundingClientRect().toJSON();
}"""
GO = Text(text="go", select={"image": 3})


class TestWaiting:
    def test_numbers_that_come_while_an_answer_is_awaited_are_shown(self, page):
        open_page(page, Row(GO))
        page.get_by_role("button", name="go").click()
        kernel = Table(values=np.full((3, 3), 0.5), title="kernel", edit="kernel")
        pages.show(page, Row(GO, kernel))
        cells = page.locator(".scene input").evaluate_all("all => all.map((one) => one.value)")
        assert cells == ["0.5"] * 9

    def test_an_error_is_said_and_stands_out(self, page):
        open_page(page, Row(GO))
        page.get_by_role("button", name="go").click()
        pages.show(page, Row(GO), serial=1, error="Image 17 is no 7.")
        assert read_out(page) == "Image 17 is no 7."
        assert "error" in page.locator(".readout").get_attribute("class")


class TestExplorer:
    def test_what_was_wrong_on_the_page_goes_with_the_next_answer(self, page):
        open_page(page, Pad(ink=None, example=np.zeros((28, 28)), title="pad"))
        page.get_by_role("button", name="Keep as 7").click()
        error = page.locator(".readout.error")
        assert "Nothing is drawn" in error.inner_text()
        pages.show(page, make_maps(), serial=1)
        assert error.count() == 0

    def test_what_keys_do_on_maps_is_told_where_there_are_some(self, page):
        hint = "Orange: what is chosen, and what it sees. Click or Enter chooses. Arrow"
        bars = {"select": {"class": INDEX}}
        for mark, view, is_told in (
            (make_bars(**bars), "answer", False),
            (make_bars(**bars, emphasis=[1]), "top_images", True),
            (make_bars(**bars, emphasis=[1]), "ablation", False),  # which is no orange there
            (make_maps(select=EVERYWHERE), "kernels", True),
            (make_maps(select=EVERYWHERE), "drawing", False),  # the pad tells its own keys
            (make_maps(frames={1: None}, select={}), "kernels", True),
            (Table(values=np.ones((1, 2)), framed_cell=1), "confusion", True),
        ):
            open_page(page, mark, view=view)
            assert read_out(page).startswith(hint if is_told else "")
            assert bool(read_out(page)) == is_told
        title = page.get_by_role("button", name="Back to start").get_attribute("title")
        assert title.endswith("; this view stays open")

    def test_a_padded_image_counts_from_its_own_corner(self, page):
        scene = open_page(page, make_maps(count=1, first=-1, select=EVERYWHERE))
        hover(scene.locator(".sheet canvas"), 0.1, 0.9)
        assert "row 1 · column −1: " in read_out(page)

    def test_what_was_pointed_at_is_forgotten_in_another_view(self, page):
        scene = open_page(page, make_maps(select=EVERYWHERE), view="kernels")
        scene.locator(".sheet").first.focus()
        page.keyboard.press("ArrowRight")
        assert "row" in read_out(page)
        pages.show(page, make_bars(), serial=1, view="answer")
        assert not read_out(page)

    def test_one_selection_is_in_flight_and_the_rest_is_merged(self, page):
        layers = make_bars(select={"layer": INDEX}, title="layers")
        rows = make_bars(select={"row": INDEX}, title="rows")
        marks = Row(layers, rows)
        scene = open_page(page, marks, serial=5)
        for place in (2, 0, 5, 1):  # a layer, another, a row, a layer
            scene.locator(".group").nth(place).click()
        messages = page.evaluate("host.sent.filter(m => m.select)")
        assert messages == [{"select": {"layer": 2}, "serial": 6}]
        pages.show(page, marks, serial=6)
        messages = page.evaluate("host.sent.filter(m => m.select).slice(1)")
        assert messages == [{"select": {"layer": 1, "row": 2}, "serial": 7}]
        pages.show(page, marks, serial=7)
        assert page.evaluate("host.sent.filter(m => m.select).length") == 2

    def test_what_counts_each_time_is_neither_merged_nor_held_back(self, page):
        bars = make_bars(select={"ablate": [["conv1", place] for place in range(3)]})
        layers = make_bars(select={"layer": INDEX})
        scene = open_page(page, Row(bars, layers))
        for place in (0, 4, 1, 1):  # a channel, a layer, another channel twice
            scene.locator(".group").nth(place).click()
        page.get_by_role("button", name="Back to start").click()
        messages = page.evaluate("host.sent.filter(m => m.select)")
        assert messages == [
            {"select": {"ablate": ["conv1", 0]}, "serial": 1},
            {"select": {"layer": 1, "ablate": ["conv1", 1]}, "serial": 2},
            {"select": {"ablate": ["conv1", 1]}, "serial": 3},
            {"select": {"reset": True}, "serial": 4},
        ]

    def test_a_stale_answer_does_not_take_back_what_was_typed(self, page):
        kernel = Table(values=np.zeros((3, 3)), title="kernel", edit="kernel")
        open_page(page, kernel, serial=5)
        cell = page.locator(".scene input").first
        cell.fill("0.2")
        cell.fill("0.7")
        stale = kernel.values.copy()
        stale[0, 0] = 0.2
        pages.show(page, dataclasses.replace(kernel, values=stale), serial=6)
        assert cell.input_value() == "0.7"
        pages.show(page, kernel, serial=7)
        assert cell.input_value() == "0"

    def test_what_is_not_answered_soon_is_dimmed_until_an_answer(self, page):
        """In the explorer's box: a nudge is answered, too, where nothing has changed."""
        open_page(page, Column(GO, make_maps()))
        page.evaluate("""() => {
            window.cleanup();
            const here = document.querySelector("#here");
            here.classList.remove("mnist-explorer");
            here.parentElement.classList.add("mnist-explorer");
            window.cleanup = mount(host, here);
        }""")
        opacity = "wanted => getComputedStyle(document.querySelector('.maps')).opacity === wanted"
        page.get_by_role("button", name="go").click()
        page.wait_for_function(opacity, arg="0.35")
        assert page.locator(".readout").evaluate(AFTER) == '"Computing this view …"'
        pages.show(page, Column(GO, make_maps()), serial=1)
        page.wait_for_function(opacity, arg="1")
        page.get_by_role("button", name="go").click()
        page.wait_for_function(opacity, arg="0.35")
        nudges = "host.sent.map((message) => message.round).filter(Boolean)"
        answer = "host.listeners['msg:custom']({{ round: {} }})"
        page.evaluate(answer.format(f"{nudges}[0]"))  # to the first click
        page.evaluate("new Promise(requestAnimationFrame)")
        assert page.evaluate(opacity, "0.35")
        page.evaluate(answer.format(f"{nudges}.at(-1)"))
        page.wait_for_function(opacity, arg="1")

    def test_it_nudges_the_server_until_the_answer_is_there(self, page):
        open_page(page, GO)
        page.get_by_role("button", name="go").click()
        page.wait_for_function("host.sent.length >= 4")  # a slow page may see the fifth, too
        names = page.evaluate("host.sent.map((message) => Object.keys(message).join())")
        assert names[0] == "select,serial"
        assert set(names[1:]) == {"round"}
        pages.show(page, GO, serial=1)
        count = page.evaluate("host.sent.length")
        page.wait_for_timeout(300)
        assert page.evaluate("host.sent.length") == count
        page.get_by_role("button", name="go").click()
        page.evaluate("window.cleanup()")
        count = page.evaluate("host.sent.length")
        page.wait_for_timeout(300)
        assert page.evaluate("host.sent.length") == count

    def test_elements_and_focus_stay_from_scene_to_scene(self, page):
        marks = [make_maps(select=EVERYWHERE, title="a"), make_bars(), Text(text="x")]
        scene = open_page(page, Row(*marks, Column(Table(values=np.eye(2)))))
        count = scene.evaluate(
            "scene => { window.old = [...scene.querySelectorAll('*')]; return old.length; }"
        )
        assert count > 40
        scene.locator(".grid").focus()
        page.keyboard.press("Enter")
        marks = [make_maps(seed=1, select=EVERYWHERE, title="b"), make_bars(), Text(text="y")]
        pages.show(page, Row(*marks, Column(Table(values=2 * np.eye(2)))), serial=1)
        now = "[...document.querySelectorAll('.scene *')]"
        assert page.evaluate(f"{now}.every((element, i) => element === window.old[i])")
        assert page.evaluate("document.activeElement.role") == "listbox"
        shown = pixels(scene.locator("canvas"))[:3, :5]
        expected = expected_pixels(marks[0].values[0], (-1, 1), "RdBu_r")
        np.testing.assert_array_equal(shown, expected)

    def test_labels_and_axes_change_in_place(self, page):
        maps = make_maps(labels=["1.5, a 7", "b", "c", "d"], select=EVERYWHERE)
        bars = make_bars(select={"class": INDEX}, axis={"0": 0.0, "3": 3.0})
        scene = open_page(page, Row(maps, bars))
        scene.evaluate("scene => { window.old = [...scene.querySelectorAll('canvas, .group')]; }")
        changed = make_maps(labels=["x", "y", "z", "1.5, a 9"], select=EVERYWHERE)
        halved = {"axis": {"0": 0.0, "1.5": 1.5}, "limits": (-0.5, 1.5)}
        pages.show(page, Row(changed, make_bars(select={"class": INDEX}, **halved)))
        same = "[...document.querySelectorAll('canvas, .group')].every((e, i) => e === old[i])"
        assert page.evaluate(same)
        assert scene.locator(".label").all_inner_texts() == ["x", "y", "z", "1.5, a 9"]
        assert scene.locator(".scale span").all_inner_texts() == ["0", "1.5"]
        zero, top = (scene.locator(".scale span").nth(i).bounding_box()["y"] for i in (0, 1))
        assert zero - top == pytest.approx(84 * 1.5 / 2, abs=1)

    @pytest.mark.parametrize(
        ("before", "after", "selector"),
        [
            (make_maps(count=9, select=EVERYWHERE), make_maps(select=EVERYWHERE), ".grid"),
            (
                Table(values=np.eye(4), select={"row": ROW}),
                Table(values=np.eye(2), select={"row": ROW}),
                "td >> nth=-1",
            ),
            (
                make_bars(select={"class": INDEX}, axes=("a", "")),
                make_bars(select={"class": INDEX}, axes=("b", "")),
                ".group >> nth=-1",
            ),
        ],
    )
    def test_focus_stays_where_the_layout_changes(self, page, before, after, selector):
        scene = open_page(page, Row(before))
        scene.locator(selector).focus()
        page.keyboard.press("End")
        pages.show(page, Row(after))
        last = scene.locator(selector)
        assert last.evaluate("element => element === document.activeElement")
        page.keyboard.press("Enter")
        part = selections(page)[0]
        assert part.get("channel", part.get("row", part.get("class"))) in (1, 2, 3)

    def test_other_kinds_take_the_place_of_old_ones(self, page):
        scene = open_page(page, Row(make_maps(), make_bars(), make_maps(count=9)))
        pages.show(page, Row(make_maps(count=1, height=2), Text(text="only")))
        kinds = scene.locator("figure").evaluate_all("all => all.map((e) => e.dataset.kind)")
        assert kinds == ["maps", "text"]
        assert pixels(scene.locator("canvas")).shape == (2, 5, 4)

    def test_caption_header_and_start(self, page):
        scene = open_page(page, make_bars())
        assert page.locator(".caption").inner_text() == "What is seen, in one sentence."
        assert page.locator("[aria-live]").all_inner_texts() == ["What is seen, in one sentence."]
        # read before the scene, seen below it
        assert page.locator(".caption ~ .top ~ .scene").count() == scene.count() == 1
        below = scene.bounding_box()["y"] + scene.bounding_box()["height"]
        assert page.locator(".caption").bounding_box()["y"] >= below
        assert page.locator(".header").inner_text() == "7"
        page.get_by_role("button", name="Back to start").click()
        assert selections(page) == [{"reset": True}]

    def test_what_the_head_says_is_only_heard_in_the_caption(self, page):
        head = Row(make_maps(), Text(text="7", size="large", notes=["Image 0, read as 7"]))
        whole = "Image 0, read as 7. Open: conv1. Image 0, read as 7. Twice."
        open_page(page, make_bars(), header=head, scene=Scene(make_bars(), whole))
        caption = page.locator("[aria-live]")
        assert caption.inner_text() == whole
        seen = "e => [...e.childNodes].slice(-1)[0].data"
        assert caption.evaluate(seen) == " Open: conv1. Image 0, read as 7. Twice."
        assert caption.locator("span").bounding_box()["width"] == 0
        left = "e => { const all = document.createRange(); all.selectNode(e.lastChild); "
        left += "return all.getBoundingClientRect().left - e.getBoundingClientRect().left; }"
        assert -4 < caption.evaluate(left) < 4  # what is seen begins where the line does
        # whole where it is no sentence of its own
        for other in ("Another sentence.", "Image 0, read as 7 at epoch 2."):
            pages.show(page, make_bars(), header=head, scene=Scene(make_bars(), other))
            assert caption.evaluate(seen) == other

    def test_what_is_said_of_the_pad_stands_at_the_pad(self, page):
        for view, is_below in (("drawing", True), ("pipeline", False)):
            scene = open_page(page, make_bars(), view=view)
            heights = [e.bounding_box()["y"] for e in map(page.locator, (".top", ".readout"))]
            assert (heights[0] < heights[1]) == is_below
            assert scene.bounding_box()["y"] > max(heights)

    def test_a_trail_of_buttons(self, page):
        steps = [Text(text=name, select={"layer": name}, framed=name == "b") for name in "abc"]
        open_page(page, Text(text="x"), trail=Row(Text(text="Here:"), *steps))
        trail = page.locator(".trail")
        assert trail.locator("p, button").all_inner_texts() == ["Here:", "a", "b", "c"]
        weights = trail.locator("button").evaluate_all(
            "buttons => buttons.map((e) => getComputedStyle(e).webkitTextStrokeWidth)"
        )
        assert weights == ["0px", "0.4px", "0px"]
        trail.get_by_role("button", name="b").focus()
        stops = trail.locator("button").evaluate_all("all => all.map((one) => one.tabIndex)")
        assert stops == [-1, 0, -1]  # one stop, from which arrow keys lead on
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        assert pages.sent(page)[0]["select"] == {"layer": "c"}
        pages.show(page, Text(text="x"))
        assert not trail.is_visible()

    def test_copy_with_the_clipboard_and_where_that_is_out_of_reach(self, page):
        call = "explore(model, images, labels)"
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        open_page(page, make_bars())
        page.get_by_role("button", name="Copy").click()
        page.locator(".readout", has_text=f"Copied: {call}").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == call
        page.evaluate("navigator.clipboard.writeText = () => Promise.reject(); 0")
        with page.expect_event("dialog") as asked:
            page.once("dialog", lambda dialog: dialog.accept())
            page.get_by_role("button", name="Copy").click()
        assert asked.value.default_value == call
        page.context.clear_permissions()
        page.goto("about:blank")  # the next test gets another clipboard

    def test_the_still_gives_way_and_comes_back(self, page):
        open_page(page, make_bars())
        page.wait_for_selector("#still", state="hidden")
        page.evaluate("window.cleanup()")
        assert page.locator("#still").is_visible()
        assert page.evaluate("Object.keys(host.listeners)") == []

    def test_keys_that_are_used_stay_inside_and_shortcuts_are_kept_away(self, page):
        table = Table(values=np.eye(2), select={"row": ROW})
        items = [make_maps(select=EVERYWHERE, title="a"), table, make_bars(select={"class": INDEX})]
        open_page(page, Row(*items, Text(text="go", select={"a": 1})))
        page.evaluate(
            """() => {
                window.keys = [];
                document.body.addEventListener("keydown", (event) => keys.push(event.key));
            }"""
        )
        seen = 0
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement === document.body"):
                break
            seen += 1
            suppressed = "document.activeElement.dataset.lmSuppressShortcuts"
            assert page.evaluate(suppressed) == "true"
        # maps, table, bars, text, back, copy; the title "a" leads nowhere else than its map
        assert seen == 6
        page.evaluate("keys.length = 0")
        for selector in (".grid", "td[tabindex='0']", ".group"):
            page.locator(selector).first.focus()
            page.keyboard.press("ArrowRight")
        assert page.evaluate("keys") == []


def realistic():
    """Each kind of mark as the views use it."""
    rng = np.random.default_rng(0)
    maps = make_maps(
        count=32,
        height=14,
        width=14,
        columns=8,
        zoom=5,
        labels=[str(i) for i in range(32)],
        frames={21: None},
        colour_bar=True,
        title="conv2",
        select=EVERYWHERE,
        framed=True,
        notes=["32 × 14 × 14"],
    )
    heads = ([str(i) for i in range(32)], [str(i) for i in range(16)])
    kernels = make_maps(count=512, width=3, columns=32, zoom=5, heads=heads, axes=("out", "in"))
    table = Table(
        values=rng.normal(size=(2, 8)),
        select={"input_channel": INDEX},
        framed_cell=3,
        columns=[str(i) for i in range(8)],
        rows=["0 to 7", "8 to 15"],
        title="sums by input channel",
    )
    bars = Bars(
        ticks=[str(i) for i in range(32)],
        series={"before": rng.random(32), "after": rng.random(32)},
        axis={"0": 0.0, "100%": 1.0},
        axes=("channel", "share"),
        emphasis=[4],
        select={"channel": INDEX},
        title="change",
    )
    texts = [Text(text=f"{i} is a word of some length" * 3, size="strong") for i in range(2)]
    button = Text(text="Go to the image", select={"image": 1})
    return Column(Row(make_maps(count=1), maps), kernels, table, bars, *texts, button)


@pytest.mark.parametrize("dark", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_axe_finds_nothing(page, dark):
    open_page(page, realistic(), dark=dark, error="That is no image.")
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    results = Axe().run(page, ".mnist-explorer", rules)
    assert results.response["passes"]
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize("width", [570, 1070])
def test_everything_fits_and_can_be_read(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    open_page(page, realistic())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    sizes = page.evaluate(
        """() => [...document.querySelectorAll('.mnist-explorer *')]
            .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
            .map((e) => parseFloat(getComputedStyle(e).fontSize))"""
    )
    assert len(sizes) > 100
    assert min(sizes) >= 10
    outside = page.evaluate(
        """width => [...document.querySelectorAll('.mnist-explorer *')].filter((element) => {
            const box = element.getBoundingClientRect();
            return box.right > width + 0.5 || box.left < 0;
        }).map((element) => element.className)""",
        width,
    )
    assert outside == []


class TestSideBySide:
    """Real scenes: JupyterLab at 1400 pixels with its side bar leaves an explorer 953."""

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, few):
        return Subject(load_checkpoint()[0], *few.test.tensors, known_images=few.train.tensors)

    def boxes(self, page, subject, *widths, **selection):
        """Where the marks stand, by title, on a page of each width."""
        scene = draw(subject, Selection(**selection))
        open_page(page, scene.content, view=selection["view"])
        for width in widths:
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") == width
            yield page.locator(".scene").evaluate(BOXES)

    def test_the_chain_of_layers_ends_beside_its_beginning(self, page, subject):
        for boxes in self.boxes(page, subject, 953, 700, view="pipeline"):
            chain = [box for title, box in boxes.items() if "·" not in title]  # no open map
            assert [*boxes][-2:] == ["fc2", "softmax"]
            assert len({box["y"] for box in chain}) == 1
            for left, right in itertools.pairwise(chain):
                assert left["right"] <= right["x"]

    def test_on_a_telephone_the_chain_goes_on_in_a_second_line(self, page, subject):
        (boxes,) = self.boxes(page, subject, 375, view="pipeline")
        chain = [box for title, box in boxes.items() if "·" not in title]
        lines = [list(line) for _, line in itertools.groupby(chain, key=lambda box: box["y"])]
        assert [len(line) for line in lines] == [6, 5]
        for line in lines:
            for left, right in itertools.pairwise(line):
                assert left["right"] <= right["x"]
        assert page.locator(".scene").bounding_box()["height"] < 600
        arrow = "e => getComputedStyle(e.querySelector('figcaption'), '::before').content"
        assert page.locator(".together > :nth-child(7)").evaluate(arrow) == '"→ "'

    @pytest.mark.parametrize("width", [953, 880, 870, 700, 560, 375])
    def test_no_note_of_the_chain_is_broken_or_lies_over_another(self, page, subject, width):
        (_,) = self.boxes(page, subject, width, view="pipeline")
        notes = page.locator(".together .notes div:visible")
        texts = notes.all_inner_texts()
        assert {"16 × 28 × 28", "sees 3 × 3", "128"} <= set(texts)
        assert ("200,832 parameters" in texts) == (width not in (870, 700, 375))
        boxes = [note.evaluate(INK) for note in notes.all()]
        assert all(box["height"] < 16 for box in boxes)
        for one, other in itertools.combinations(boxes, 2):
            is_beside = one["right"] <= other["left"] or other["right"] <= one["left"]
            assert is_beside or one["bottom"] <= other["top"] or other["bottom"] <= one["top"]

    def test_every_fourth_of_many_kernels_is_numbered(self, page, subject):
        (_,) = self.boxes(page, subject, 953, view="kernels", layer="conv2")
        over = page.locator(".heads.over span")
        assert over.count() == 32
        assert page.locator(".heads.over span:visible").all_inner_texts() == [
            str(channel) for channel in range(0, 32, 4)
        ]
        assert page.locator(".heads.beside span:visible").count() == 16

    def test_numbers_stand_beside_few_rows_of_kernels(self, page):
        axes = ("output channel", "input channel")  # higher than the three rows
        open_page(
            page, make_maps(count=6, columns=2, zoom=4, heads=(["0", "1"], [*"012"]), axes=axes)
        )
        maps = page.locator(".sheet").bounding_box()
        for place, number in enumerate(page.locator(".heads.beside span").all()):
            box = number.bounding_box()
            middle = maps["y"] + (place + 0.5) * maps["height"] / 3
            assert box["y"] + box["height"] / 2 == pytest.approx(middle, abs=1)

    @pytest.mark.parametrize("width", [880, 700, 375])
    @pytest.mark.parametrize(
        "at",
        [
            {"view": "confusion"},
            *({"view": "arithmetic", "layer": name} for name in ("conv2", "fc1")),
        ],
    )
    def test_tables_fit_a_telephone_and_a_narrow_notebook(self, page, subject, at, width):
        (_,) = self.boxes(page, subject, width, **at)
        tables = page.locator(".scene table").evaluate_all(
            "tables => tables.map((e) => [e.offsetWidth, e.closest('.body').clientWidth])"
        )
        assert tables
        assert all(own <= room for own, room in tables)  # nothing to scroll

    def test_attributions_on_one_scale_share_a_line(self, page, subject):
        for boxes in self.boxes(page, subject, 953, 700, view="attribution"):
            assert {"saliency", "Grad-CAM"} <= boxes.keys()
            assert len({box["y"] for box in boxes.values()}) == 1

    @pytest.mark.parametrize(("width", "columns"), [(953, 5), (700, 5), (375, 3)])
    @pytest.mark.parametrize("compare", ["alone", "difference"])
    def test_attributions_are_equal_and_one_below_the_other(
        self, page, few, compare, width, columns
    ):
        random = {"random": make_model(0).state_dict()}
        subject = Subject(load_checkpoint()[0], *few.test.tensors, others=random)
        (_,) = self.boxes(page, subject, width, view="attribution", compare=compare)
        pictures = [canvas.bounding_box() for canvas in page.locator(".sheet canvas").all()]
        assert len({round(box["width"]) for box in pictures}) == 1
        assert len({round(box["x"]) for box in pictures}) == columns
        last = page.locator(".mark:last-child").last
        bar = last.locator(".bar canvas").bounding_box()
        box = last.locator(".sheet canvas").bounding_box()
        assert bar["x"] - box["x"] - box["width"] < 12
        assert bar["width"] == 9
        assert (bar["y"], bar["height"]) == pytest.approx((box["y"], box["height"]), abs=1)

    def test_the_answer_and_its_steps_stand_beside_the_pad(self, page, subject, few):
        ink = drawn(few.test.tensors[0][0])
        title = subject.look(Selection(view="drawing", drawing=ink)).title
        for boxes in self.boxes(page, subject, 953, 700, 600, view="drawing", drawing=ink):
            pad = boxes.pop("pad")
            assert boxes[title]["y"] == pad["y"]
            beside = [title, *(name for name in boxes if name[:2] in ("1.", "2.", "3.", "4."))]
            assert len(beside) == 5
            for name in beside:
                assert boxes[name]["x"] >= pad["right"]
                assert boxes[name]["bottom"] < boxes["pool1"]["y"]
            assert boxes["pool1"]["y"] > pad["bottom"]

    def test_pad_answer_and_layers_fit_a_screen(self, page, subject, few):
        at = Selection(view="drawing", drawing=drawn(few.test.tensors[0][8]))
        content = draw(subject, at).content
        open_page(page, content, view="drawing", header=header(subject.look(at)))
        page.set_viewport_size({"width": 953, "height": 800})
        assert page.locator("#here").bounding_box()["height"] <= 630  # and 70 of tabs and weights

    @pytest.mark.parametrize("width", [953, 700, 375])
    def test_the_steps_of_a_drawing_stand_in_one_line(self, page, subject, few, width):
        at = {"view": "drawing", "drawing": drawn(few.test.tensors[0][8])}
        (boxes,) = self.boxes(page, subject, width, **at)
        steps = [box for title, box in boxes.items() if title[:2] in ("1.", "2.", "3.", "4.")]
        assert len(steps) == 4
        for left, right in itertools.pairwise(steps):
            assert left["right"] <= right["x"]

    def test_the_layers_stand_in_one_line_beside_the_header(self, page, subject):
        look = subject.look(Selection(layer="conv2"))
        content = draw(subject, Selection(layer="conv2")).content
        open_page(page, content, header=header(look), trail=trail(look))
        page.set_viewport_size({"width": 953, "height": 800})
        layers = [layer.bounding_box() for layer in page.locator(".trail > *").all()]
        assert len(layers) == 13
        assert len({box["y"] for box in layers}) == 1
        assert page.locator(".top").bounding_box()["height"] <= 52

    def test_no_bar_moves_under_the_pointer_that_ablates_the_first_channel(self, page, subject):
        for width in (953, 700, 375):
            (before,) = self.boxes(page, subject, width, view="ablation")
            at = {"view": "ablation", "ablated": (("conv1", 3),)}
            (after,) = self.boxes(page, subject, width, **at)
            titles = ["probability for this image", "accuracy by class"]
            rankings = ": images lost without one channel (not measured)"
            titles += [layer + rankings for layer in subject.network.convolutions]
            for title in titles:
                assert after[title] == before[title]

    @pytest.mark.parametrize("width", [953, 700])
    def test_no_chart_moves_under_the_pointer_that_chooses_a_channel(self, page, subject, width):
        places = set()
        for channel in (17, 5, 27):  # whose numbers are of other lengths
            at = {"view": "top_images", "layer": "conv2", "channel": channel, "target": 3}
            (boxes,) = self.boxes(page, subject, width, **at)
            for title in ("mean activation by class", "channels that class 3 excites most"):
                box = boxes[title]
                places.add((title, box["x"], box["y"], box["width"]))
        assert len(places) == 2


class TestManyParts:
    """What a network of real size has more of: on one screen, what is chosen in sight."""

    def test_a_long_trail_shows_both_ends_and_what_is_next_to_the_chosen_layer(self, page):
        names = [f"layer{i}.0.conv{i}" for i in range(30)]
        layers = [Text(name, select={"layer": name}, framed=name == names[15]) for name in names]
        open_page(page, Row(), trail=Row(Text("You are here:"), *layers))
        page.set_viewport_size({"width": 953, "height": 800})
        buttons = page.locator(".trail button").filter(visible=True)
        near = [names[0], *names[13:18], names[-1]]
        assert buttons.all_inner_texts() == near
        assert len({button.bounding_box()["y"] for button in buttons.all()}) == 1
        page.get_by_role("button", name=names[17]).focus()
        page.keyboard.press("ArrowRight")  # not to one that isn't shown
        assert page.evaluate("document.activeElement.textContent") == names[-1]

    @pytest.mark.parametrize("framed_cell", [0, 500])
    def test_the_framed_number_of_very_many_stays_in_sight(self, page, framed_cell):
        table = Table(np.ones((32, 16)), framed_cell=framed_cell, select={"channel": INDEX})
        open_page(page, table, view="arithmetic")
        body = page.locator(".table > .body")
        assert body.evaluate("e => e.scrollHeight > e.clientHeight")
        outer = body.bounding_box()
        inner = page.locator("td.framed").bounding_box()
        assert outer["height"] <= 180
        assert outer["y"] <= inner["y"] <= outer["y"] + outer["height"] - inner["height"]

    @pytest.mark.parametrize("width", [953, 375])
    def test_a_long_chain_scrolls_and_keeps_its_ends_and_the_framed_link(self, page, width):
        links = [make_maps(columns=2, title=f"layer{i}.conv") for i in range(40)]
        links[30] = dataclasses.replace(links[30], title="framed", framed=True)
        answer = Table(np.ones((10, 1)), title="softmax")
        start = Column(make_maps(count=1, title="image"))
        open_page(page, Row(start, *links, answer, together=True))
        page.set_viewport_size({"width": width, "height": 800})
        assert page.locator(".together").evaluate("e => e.scrollWidth > e.clientWidth")
        boxes = page.locator(".scene").evaluate(BOXES)
        assert 0 <= boxes["image"]["x"] < boxes["image"]["right"] <= boxes["framed"]["x"]
        assert boxes["framed"]["right"] <= boxes["softmax"]["x"]
        assert boxes["softmax"]["right"] <= width

    @pytest.mark.parametrize("count", [32, 64, 128, 160])
    def test_many_maps_fit_a_screen(self, page, count):
        labels = [str(i) for i in range(count)]
        maps = make_maps(count, height=28, width=28, columns=16, zoom=3, labels=labels)
        open_page(page, maps, view="feature_maps")
        page.set_viewport_size({"width": 953, "height": 800})
        assert page.locator(".scene").bounding_box()["height"] <= 440

    def test_between_dark_maps_there_is_a_gap_in_both_schemes(self, page):
        maps = make_maps(count=4, height=7, width=7, columns=2, zoom=4, palette="unsigned")
        gaps = {}
        for dark in (True, False):
            open_page(page, maps, dark=dark)
            shot = page.locator(".scene canvas").screenshot()
            gaps[dark] = matplotlib.image.imread(io.BytesIO(shot))[5, 30, :3].mean()
        assert gaps[True] == pytest.approx(140 / 255, abs=0.01)
        assert gaps[False] > 0.95


class TestFilm:
    """The training view of the real runs and images; what was read is drawn at random."""

    @pytest.fixture(scope="class")
    @classmethod
    def film(cls, splits):
        runs = {}
        for name in ("quick", "too_fast"):
            path = NOTEBOOKS_DIR / "snapshots" / f"{name}.npz"
            runs[name.replace("_", " ")] = load_snapshots(path)
        images, labels = splits.val[:1500]
        subject = Subject(make_model(), images, labels, runs=runs)
        generator = torch.Generator().manual_seed(0)
        answers, points = {}, {}
        for name in subject.networks:
            logits = 4 * one_hot(labels, 10) + torch.randn(1500, 10, generator=generator)
            answers[name] = Predictions(logits, labels)
            points[name] = torch.rand(1000, 2, generator=generator).numpy()
        subject.jobs.results["replay",] = answers, points
        return subject

    def boxes(self, page, film, width):
        """The film where JupyterLab leaves it so much width, and where its marks stand, by kind."""
        at = Selection(view="training", image=9, weights="too fast, epoch 0.0535")
        look = film.look(at)
        parts = {"header": header(look), "trail": trail(look), "view": "training"}
        page.set_viewport_size({"width": width, "height": 800})
        scene = draw(film, at)
        open_page(page, scene.content, scene=scene, **parts)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        kinds = ("lines", "scatter", "table", "maps")
        marks = {kind: page.locator(f".scene .{kind}.mark").all() for kind in kinds}
        return {kind: [mark.bounding_box() for mark in found] for kind, found in marks.items()}

    def test_the_film_stands_on_one_screen(self, page, film):
        boxes = self.boxes(page, film, 953)
        height = page.locator("#here").bounding_box()["height"]
        assert height <= 700 - 154  # below tabs in two lines and controls in three
        (lines,) = boxes.pop("lines")
        assert lines["width"] > 900
        for left, right in boxes.values():
            assert left["y"] == right["y"] >= lines["y"] + lines["height"]
            assert left["x"] + left["width"] <= 480 <= right["x"]
        for cloud, table in zip(boxes["scatter"], boxes["table"], strict=True):
            assert cloud["y"] == table["y"]
            assert cloud["x"] + cloud["width"] <= table["x"]

    @pytest.mark.parametrize(("width", "columns"), [(953, 2), (700, 2), (375, 1)])
    def test_it_can_be_read_at_any_width(self, page, film, width, columns):
        boxes = self.boxes(page, film, width)
        for kind in ("scatter", "table", "maps"):
            assert len({box["x"] for box in boxes[kind]}) == columns
        tables = page.locator(".scene table").evaluate_all(
            "tables => tables.map((e) => [e.offsetWidth, e.closest('.body').clientWidth])"
        )
        assert all(own <= room for own, room in tables)  # nothing to scroll
        texts = page.evaluate(
            """() => [...document.querySelectorAll(".mnist-explorer .scene *")].filter((e) =>
                [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())
                && getComputedStyle(e).visibility === "visible").map((e) => {
                const range = document.createRange();
                range.selectNodeContents(e);
                const { left, top, right, bottom } = range.getBoundingClientRect();
                return [e.textContent, parseFloat(getComputedStyle(e).fontSize),
                        [left, top, right, bottom]];
            })"""
        )
        assert len(texts) > 250
        assert min(size for _, size, _ in texts) >= 10
        for (one, _, a), (other, _, b) in itertools.combinations(texts, 2):
            across = min(a[2], b[2]) - max(a[0], b[0])
            down = min(a[3], b[3]) - max(a[1], b[1])
            assert across <= 0.5 or down <= 2, (one, other)  # the lines of letters are higher

    @pytest.mark.parametrize("dark", [False, True])
    def test_axe_finds_nothing(self, page, film, dark):
        scene = draw(film, Selection(view="training"))
        open_page(page, scene.content, view="training", dark=dark)
        rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
        results = Axe().run(page, ".mnist-explorer", rules)
        assert results.violations_count == 0, results.generate_report()


class TestScatter:
    POINTS = np.array([[0.1, 0.1], [0.9, 0.1], [0.5, 0.9], [0.5, 0.12]], dtype=np.float32)

    def scatter(self, **fields):
        plain = {"points": self.POINTS, "classes": [0, 1, 1, 2], "names": ["0", "1", "2"]}
        chosen = {"select": {"image": [7, 8, 30, 31]}, "hovers": "pointed", "title": "all"}
        return Scatter(**(plain | chosen | {"framed_point": None, "side": 460} | fields))

    def place(self, scene, i):
        """Where the i-th point lies on the page."""
        box = scene.locator("canvas").bounding_box()
        x, y = self.POINTS[i].tolist()
        return box["x"] + 10 + 440 * x, box["y"] + 450 - 440 * y

    def test_letters_stand_at_their_points_in_their_colours(self, page):
        scene = open_page(page, self.scatter(framed_point=2, marked=[1]))
        shown = pixels(scene.locator("canvas"))
        assert shown.shape == (460, 460, 4)
        for i, number in enumerate([0, 1, 1, 2]):
            x, y = (10 + 440 * self.POINTS[i, 0], 450 - 440 * self.POINTS[i, 1])
            patch = shown[round(y) - 5 : round(y) + 6, round(x) - 5 : round(x) + 6]
            drawn = patch[patch[..., 3] > 200][:, :3].astype(int)
            wanted = 255 * np.array(matplotlib.colors.to_rgb(LETTERS[number]))
            assert np.abs(drawn - wanted).sum(axis=1).min() < 60
        x, y = 10 + 440 * 0.9, 450 - 440 * 0.1
        assert shown[round(y), round(x) + 6, 3] > 100  # the ring of the marked one
        x, y = 10 + 440 * 0.1, 450 - 440 * 0.1
        assert shown[round(y), round(x) + 6, 3] == 0
        frame = scene.locator(".point").bounding_box()
        x, y = self.place(scene, 2)
        assert (frame["x"] + 7, frame["y"] + 7) == pytest.approx((x, y), abs=1.5)

    def test_a_smaller_one(self, page):
        canvas = open_page(page, self.scatter(framed_point=1, side=300)).locator("canvas")
        box, frame = canvas.bounding_box(), page.locator(".point").bounding_box()
        assert pixels(canvas).shape == (300, 300, 4)
        assert box["width"] == pytest.approx(300, abs=2.5)  # with its line
        place = (frame["x"] + 7 - box["x"], frame["y"] + 7 - box["y"])
        assert place == pytest.approx((10 + 280 * 0.9, 290 - 280 * 0.1), abs=1.5)

    @pytest.mark.parametrize("dark", [False, True])
    def test_rings_stand_out_from_the_white_ground(self, page, dark):
        shown = pixels(open_page(page, self.scatter(marked=[1]), dark=dark).locator("canvas"))
        x, y = 10 + 440 * 0.9, 450 - 440 * 0.1
        ring = shown[round(y) - 8 : round(y) + 9, round(x) + 4 : round(x) + 8]
        assert (ring[ring[..., 3] > 150][:, :3] == 0).all(axis=1).any()
        ground = "getComputedStyle(document.querySelector('canvas')).backgroundColor"
        assert page.evaluate(ground) == "rgb(255, 255, 255)"

    def test_what_was_pointed_at_is_not_told_of_fewer_points(self, page):
        open_page(page, self.scatter())
        page.mouse.move(*self.place(page.locator(".scene"), 2))
        assert read_out(page) == "image 30: 1"
        fewer = {"points": self.POINTS[:1], "classes": [0], "select": {"image": [7]}}
        pages.show(page, self.scatter(**fewer), serial=10**6)
        assert not page.locator(".tip").is_visible()

    def test_pointing_tells_and_a_click_selects(self, page):
        scene = open_page(page, self.scatter(marked=[2]))
        page.mouse.move(*self.place(scene, 2))
        assert selections(page) == [{"pointed": 30}]
        assert read_out(page) == "image 30: 1, read wrongly"
        page.mouse.click(*self.place(scene, 0))
        assert selections(page) == [{"pointed": 7}]
        pages.show(page, self.scatter(framed_point=0), serial=10**6)
        assert selections(page) == [{"image": 7}]
        x, y = self.place(scene, 0)
        page.mouse.move(x + 60, y - 60)  # nothing is near
        assert selections(page) == []

    def test_the_legend_is_no_point(self, page):
        scene = open_page(page, self.scatter())
        hover(scene.locator(".names b").first, 0.1, 0.1)
        assert selections(page) == []
        page.mouse.move(*self.place(scene, 0))
        assert selections(page) == [{"pointed": 7}]

    def test_drawn_smaller_it_is_pointed_at_where_it_is_seen(self, page):
        page.set_viewport_size({"width": 375, "height": 800})
        scene = open_page(page, self.scatter(framed_point=2))
        box = scene.locator("canvas").bounding_box()
        assert box["width"] < 360
        x = box["x"] + box["width"] * (10 + 440 * 0.5) / 460
        y = box["y"] + box["width"] * (450 - 440 * 0.9) / 460
        page.mouse.move(x, y)
        assert selections(page) == [{"pointed": 30}]
        frame = scene.locator(".point").bounding_box()
        assert (frame["x"] + 7, frame["y"] + 7) == pytest.approx((x, y), abs=2)

    def test_keys_go_from_point_to_point(self, page):
        scene = open_page(page, self.scatter(framed_point=0))
        scene.locator(".sheet").focus()
        keys = {"ArrowRight": 31, "ArrowUp": 30, "Home": 30, "ArrowDown": 31, "ArrowLeft": 7}
        for key, image in keys.items():
            page.keyboard.press(key)
            assert selections(page)[-1] == {"pointed": image}, key
        page.keyboard.press("Enter")
        assert selections(page) == [{"image": 7}]

    def test_names_of_several_letters_are_explained(self, page):
        scene = open_page(page, self.scatter(names=["Coat", "Bag", "Shirt"]))
        assert scene.locator(".names span").all_inner_texts() == ["A Coat", "B Bag", "C Shirt"]

    def test_axe_finds_nothing_in_it_and_in_numbers_to_type(self, page):
        open_page(page, Row(self.scatter(framed_point=1), TestEditableTable.KERNEL))
        assert Axe().run(page, "#here").violations_count == 0


def test_shades_tint_a_table_instead_of_its_numbers(page):
    values, shades = np.array([[980.0, 1, 0, 4]]), np.array([[0.0, 1, 0, 4]])
    scene = open_page(page, Table(values=values, shades=shades, counts=True, title="counts"))
    cells = scene.locator("td")
    assert cells.all_inner_texts() == ["980", "1", "·", "4"]
    shares = cells.evaluate_all("cells => cells.map((c) => c.style.getPropertyValue('--share'))")
    assert shares == ["0.000", "0.250", "0.000", "1.000"]
