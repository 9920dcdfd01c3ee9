"""The explorer in real JupyterLab in headless Chromium, moved as a reader would move it."""

import json
import platform
import re
import shutil

import browser as lab
import matplotlib
import nbformat
import numpy as np
import page as pages
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import TimeoutError

from mnist_helpers import load_checkpoint, make_model
from mnist_helpers.config import NOTEBOOKS_DIR
from mnist_helpers.explorer import Selection, Subject
from mnist_helpers.explorer.scene import Maps, Table
from mnist_helpers.explorer.views import VIEWS, draw

NOTEBOOK = "conv_visualization.ipynb"
ALWAYS = [name for name in VIEWS if name != "training"]  # whatever a subject has
LONG = ["top_images", "attribution", "confusion", "ablation", "neighbours"]  # ask all images first
AT_ONCE = [view for view in ALWAYS if view not in LONG]
ARRAY_TYPES = {"RdBu_r": "signed", "viridis": "unsigned", "gray_r": "ink"}
pytestmark = pages.needs_chromium
COUNT = 2000  # test images in the small notebook
# As in conv_visualization, of fewer images. A caption rounds numbers that may depend on how many
# threads add them up: here and there they are as many. Beside it an explorer whose every answer
# takes a second, on any machine.
CELLS = [
    f"""import time

import torch
from mnist_helpers import DATA_DIR, load_checkpoint, make_model
from mnist_helpers.data import load_idx_part
from mnist_helpers.explorer import Subject, explore

torch.set_num_threads({torch.get_num_threads()})""",
    f"""test_set = load_idx_part(DATA_DIR, "test")
images, labels = test_set[:{COUNT}]
others = {{"random": make_model(0).state_dict()}}
subject = Subject(load_checkpoint()[0], images, labels, others=others)""",
    "explore(subject)",
    """slow = load_checkpoint()[0]
_ = slow.fc2.register_forward_pre_hook(lambda module, inputs: time.sleep(1))
explore(slow, images[:100], labels[:100], views=("ablation",))""",
]
OPACITY = "element => getComputedStyle(element).opacity"
# from now on, so that nothing is missed while the test itself has to wait for the processor
WATCH_DIMMED = f"""element => {{
    window.wasDimmed = false;
    const watch = () => {{
        window.wasDimmed ||= ({OPACITY})(element) === "0.35";
        if (!window.wasDimmed) requestAnimationFrame(watch);
    }};
    watch();
}}"""
MEASURE = "Measure every channel"
# where each tab, and each control of the first two groups, stands in the explorer
PLACES = """root => [...root.querySelectorAll(
    ".mnist-tabs button, .mnist-controls > :not(:nth-child(3)) " +
    ":is(button, input, select, .noUi-base)")].map(e => {
    const { left, top, width } = e.getBoundingClientRect();
    const { x, y } = root.getBoundingClientRect();
    const label = e.closest(".widget-inline-hbox")?.querySelector(".widget-label")?.innerText;
    return [`${e.tagName} ${label} ${e.title}`, left - x, top - y, width].map(
        (part) => typeof part === "number" ? Math.round(part) : part);
})"""
# texts that are wider than their place, and controls that lie over the next one
CUT = """root => [...root.querySelectorAll(
    ".mnist-tabs button, .mnist-fold, .mnist-controls :is(select, .widget-label, .widget-readout)")]
    .filter(e => e.checkVisibility()).filter(e => {
        const text = document.createElement("canvas").getContext("2d");
        text.font = getComputedStyle(e).font;
        const chosen = e.selectedOptions?.[0].text ?? "";
        const width = chosen && text.measureText(chosen).width + 20; // with its arrow
        return Math.max(width, e.scrollWidth) > e.clientWidth + 1;
    }).map(e => e.innerText)"""
TITLES = """([root, titles]) => JSON.stringify(titles) === JSON.stringify(
    [...root.querySelectorAll(".scene figcaption")].map((e) => e.innerText).filter(Boolean))"""
WIDER = (
    """parts => parts.filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.innerText)"""
)
SMALLEST_TEXT = """root => Math.min(...[...root.querySelectorAll('*')]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
    .map(e => parseFloat(getComputedStyle(e).fontSize)))"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def address(root, tmp_path_factory):
    """Where JupyterLab serves what lies in `root`: at first a small notebook."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata = json.loads((NOTEBOOKS_DIR / NOTEBOOK).read_text("utf-8"))["metadata"]
    path = tmp_path_factory.mktemp("given") / "small.ipynb"
    nbformat.write(notebook, path)
    with lab.jupyter_lab(root, path) as address:
        yield address


@pytest.fixture(scope="module")
def page(browser, address):
    """The small notebook after Run All."""
    page = lab.open_notebook(browser, address, "small.ipynb", scale=1)
    lab.run_all(page)
    return page


@pytest.fixture(scope="module")
def whole_page(browser, address, root):
    """The collection's own notebook after Run All."""
    lab.place_copy(NOTEBOOKS_DIR / NOTEBOOK, root)
    page = lab.open_notebook(browser, address, NOTEBOOK, scale=1)
    lab.run_all(page)
    return page


@pytest.fixture(scope="module")
def subject(splits):
    """The same as in the small notebook, in this process."""
    random = {"random": make_model(0).state_dict()}
    return Subject(load_checkpoint()[0], *splits.test[:COUNT], others=random)


def marks(item):
    """The marks of a scene, in order."""
    if hasattr(item, "items"):
        return [mark for part in item.items for mark in marks(part)]
    return [item]


class Desk:
    """The first explorer on the page, what it should show, and where it begins."""

    def __init__(self, page, subject, **first):
        self.page = page
        self.subject = subject
        self.root = page.locator(lab.EXPLORER).first
        self.first = first

    def open(self, view):
        title = VIEWS[view].title
        self.root.get_by_role("tab", name=title, exact=True).click()
        self.root.get_by_role("tab", name=title, exact=True, selected=True).wait_for()
        self.root.locator(f".scene[data-view={view}]").wait_for(state="attached")

    def slider(self, name):
        return self.root.get_by_role("slider", name=name, exact=True)

    def press(self, name, *keys):
        self.slider(name).focus()
        # Notebook 7 takes arrow keys before they arrive, but for an element with this mark
        assert self.slider(name).get_attribute("data-lm-suppress-shortcuts") == "true"
        for key in keys:
            self.page.keyboard.press(key)

    def choose(self, name, option):
        self.root.get_by_role("combobox", name=name, exact=True).select_option(option)

    def stands(self, name, value, values):
        """Waits for a slider that has other steps now; they come after the picture."""
        place = f'[aria-valuetext^="{value:g}"][aria-valuemax^="{len(values) - 1}"]'
        self.slider(name).and_(self.page.locator(place)).wait_for()

    def number(self):
        name = re.compile("^(Image|Or image)$")  # beside a drawing the other
        return self.root.get_by_role("spinbutton", name=name)

    def mark(self, title):
        exactly = re.compile(f"^{re.escape(title)}$")
        caption = self.page.locator("figcaption", has_text=exactly)
        return self.root.locator(".scene .mark").filter(has=caption)

    def start(self):
        """Goes back to where it began."""
        self.open("pipeline")
        self.root.get_by_role("button", name="Back to start").click()
        self.says(draw(self.subject, Selection(**self.first)).caption)

    def says(self, text):
        found = f"{lab.EXPLORER} .caption"
        wanted = "([found, text]) => document.querySelector(found).innerText === text"
        try:
            self.page.wait_for_function(wanted, arg=[found, text])
        except TimeoutError as late:  # what it says instead, and where the keys went
            focus = self.page.evaluate("document.activeElement.outerHTML.slice(0, 300)")
            late.add_note(f"{self.root.inner_text()}\n{focus}")
            raise

    def shows(self, **selection):
        """Waits for the caption of this selection; then compares every text and every map."""
        scene = draw(self.subject, Selection(**selection))
        self.says(scene.caption)
        expected = [mark for mark in marks(scene.content) if mark.title]
        titles = [mark.title for mark in expected]
        # two scenes may have one caption
        self.page.wait_for_function(TITLES, arg=[self.root.element_handle(), titles])
        for table in (mark for mark in expected if isinstance(mark, Table)):
            if table.edit:
                continue  # the numbers stand in inputs
            cells = self.mark(table.title).locator("td:not(.corner)").all_inner_texts()
            assert cells == [text for row in table.texts for text in row]
        for maps in (mark for mark in expected if isinstance(mark, Maps) and mark.labels):
            canvases = self.mark(maps.title).locator(".grid canvas")
            assert canvases.count() == len(maps.values)
            for index in (0, len(maps.values) // 2, len(maps.values) - 1):
                assert_drawn(canvases.nth(index), maps, index)


def assert_drawn(canvas, maps, index):
    """The pixels of one map are its values in matplotlib's colours."""
    low, high = maps.limits[index if len(maps.limits) > 1 else 0]
    name = next(name for name, kind in ARRAY_TYPES.items() if kind == maps.palette)
    levels = np.clip((maps.values[index] - low) / (high - low), 0, 1)
    wanted = matplotlib.colormaps[name](levels, bytes=True)[..., :3].astype(int)
    found = pages.pixels(canvas)[..., :3]
    assert np.abs(found - wanted).max() <= 6


@pytest.fixture
def desk(page, subject):
    """The explorer at its beginning."""
    desk = Desk(page, subject)
    desk.start()
    return desk


def assert_all_ran(page, explorers):
    """Nothing complained, and so many explorers stand in place of their stills."""
    stderr = "[data-mime-type='application/vnd.jupyter.stderr']"
    assert page.locator(stderr).count() == 0
    assert page.errors == []
    assert page.locator(lab.EXPLORER).count() == explorers
    child = ".jp-OutputArea-child"
    stills = page.locator(f"{child}:has(img):has(+ {child} {lab.EXPLORER})")
    assert stills.count() == explorers
    assert not any(still.is_visible() for still in stills.all())


def test_every_cell_ran_and_living_explorers_hide_their_stills(page, desk):
    assert_all_ran(page, 2)


def test_what_is_drawn_is_read_and_goes_through_the_layers(page, desk):
    desk.open("drawing")
    desk.says("Draw a digit on the pad, or use the chosen image. Chosen: image 0.")
    box = desk.root.locator(".sheet-of-pad").bounding_box()
    page.mouse.move(box["x"] + 140, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 130, box["y"] + 240, steps=8)
    page.mouse.up()
    caption = page.locator(f"{lab.EXPLORER} .caption").first
    caption.filter(has_text="Your drawing, read as 1 with").wait_for()
    desk.open("feature_maps")
    caption.filter(has_text="16 × 28 × 28").wait_for()
    assert caption.inner_text().startswith("Your drawing, read as 1 with")
    desk.open("drawing")
    ink = "c => c.getContext('2d').getImageData(135, 135, 1, 1).data[3]"
    assert desk.root.locator(".sheet-of-pad").evaluate(ink) > 200  # it is still there
    desk.root.get_by_label("Width of the line").fill("30")
    desk.open("feature_maps")
    assert desk.root.get_by_role("spinbutton", name="Or image").input_value() == "0"
    desk.number().fill("3")
    desk.number().press("Enter")
    caption.filter(has_text="Image 3").wait_for()
    number = desk.root.get_by_role("spinbutton", name="Image", exact=True)
    assert number.input_value() == "3"
    desk.open("drawing")
    desk.says("Draw a digit on the pad, or use the chosen image. Chosen: image 3.")
    assert desk.root.get_by_label("Width of the line").input_value() == "30"
    desk.root.get_by_role("button", name="Back to your drawing").click()
    caption.filter(has_text="Your drawing, read as 1 with").wait_for()
    desk.open("feature_maps")
    desk.number().fill("3")  # the number that it has
    desk.number().press("Enter")
    caption.filter(has_text="Image 3").wait_for()
    desk.open("drawing")
    desk.root.get_by_role("button", name="Back to your drawing").click()
    caption.filter(has_text="Your drawing, read as 1 with").wait_for()
    desk.root.locator(".sheet-of-pad").press("z")  # the only stroke
    desk.says("Draw a digit on the pad, or use the chosen image. Chosen: image 3.")
    desk.root.locator(".sheet-of-pad").press("y")
    caption.filter(has_text="Your drawing, read as 1 with").wait_for()
    desk.root.get_by_role("button", name="Back to start").click()
    desk.says("Draw a digit on the pad, or use the chosen image. Chosen: image 0.")
    desk.open("pipeline")


@pytest.mark.parametrize("views", [AT_ONCE, pytest.param(LONG, marks=pytest.mark.slow)])
def test_every_view_shows_what_the_package_computes(desk, views):
    for view in views:
        desk.open(view)
        desk.shows(view=view)


def test_sliders_by_key(desk):
    desk.press("Image", "ArrowRight", "ArrowRight")
    desk.shows(image=2)
    desk.press("Layer", "ArrowRight")
    desk.shows(image=2, layer="relu1")
    desk.press("Channel", "Home", "ArrowRight", "ArrowRight", "ArrowRight")
    desk.shows(image=2, layer="relu1", channel=3)
    assert desk.slider("Layer").get_attribute("aria-valuetext") == "relu1"
    desk.open("feature_maps")
    desk.press("Row", "Home")
    desk.press("Column", "End")
    desk.shows(view="feature_maps", image=2, layer="relu1", channel=3, row=0, column=27)
    for name, is_editable in {"Layer": "false", "Row": "true"}.items():
        text = desk.root.get_by_role("textbox", name=f"{name}, as text", exact=True)
        assert text.get_attribute("contenteditable") == is_editable


def test_a_slider_by_mouse_and_a_trail_lead_to_a_layer(desk):
    slider = desk.slider("Layer")
    track = slider.locator("xpath=ancestor::*[contains(@class, 'noUi-base')]")
    width = track.bounding_box()["width"]
    track.click(position={"x": width - 1, "y": 2}, force=True)
    desk.shows(layer="softmax")
    slider.hover()
    desk.page.mouse.down()
    track.hover(position={"x": 4 / 11 * width, "y": 2}, force=True)
    desk.page.mouse.up()
    desk.shows(layer="conv2")
    desk.open("arithmetic")
    desk.root.get_by_role("button", name="relu2", exact=True).click()
    desk.shows(view="arithmetic", layer="relu2")


def test_play_walks_over_the_images_and_stops(desk):
    play = desk.root.get_by_role("button", name="Play", exact=True).first
    play.click()
    desk.page.wait_for_function(
        "handle => handle.ariaValueNow >= 2", arg=desk.slider("Image").element_handle()
    )
    desk.root.get_by_role("button", name="Pause", exact=True).first.click()
    desk.page.wait_for_timeout(1200)
    image = int(desk.number().input_value())
    desk.page.wait_for_timeout(1200)
    desk.shows(image=image)
    desk.root.get_by_role("button", name="Back to the first").first.click()
    desk.shows()


def test_choices(desk):
    desk.open("feature_maps")
    desk.choose("Compare", "difference")
    desk.shows(view="feature_maps", compare="difference")
    desk.choose("Colours", "no outliers")
    desk.shows(view="feature_maps", compare="difference", limits="robust")
    before = desk.subject.look(Selection())
    place = {axis: getattr(before, axis) for axis in ("channel", "row", "column")}
    desk.choose("Weights", "random")  # at the same place
    at = {"limits": "robust", "weights": "random", **place}
    desk.shows(view="feature_maps", compare="difference", **at)
    desk.open("kernels")
    desk.choose("Show", "change")
    desk.shows(view="kernels", quantity="change", **at)
    box = desk.root.get_by_role("combobox", name="Weights", exact=True).locator("..")
    assert box.get_attribute("title") == "Which network answers?"


def test_filters_index_and_an_empty_filter(desk, subject):
    desk.choose("Answers", "wrong")
    first = int((~subject.predictions.correct).nonzero()[0])
    desk.shows(image=first, read="wrong")
    wrong = int((~subject.predictions.correct).sum())
    assert float(desk.slider("Image").get_attribute("aria-valuemax")) == wrong - 1
    desk.choose("Label", "0")
    desk.says("No image matches: digit 0, wrong answers.")
    index = desk.number()
    index.click()
    desk.page.keyboard.type("600")  # typed over; hidden by the filter, which goes away
    index.press("Enter")
    desk.shows(image=600)
    alert = desk.root.get_by_role("alert")
    assert alert.inner_text() == "The filter hid image 600: now all images are shown."
    desk.root.get_by_role("button", name="Previous image").click()
    desk.shows(image=599)


def test_clicks_lead_from_the_pipeline_to_the_numbers_and_back(desk, subject):
    seven = desk.mark("softmax").locator("td").nth(7)
    seven.click()
    desk.shows(layer="softmax", channel=7)
    desk.mark("conv2").get_by_role("button", name="conv2").click()
    desk.shows(layer="conv2", channel=7)
    desk.open("arithmetic")
    at = {"layer": "conv2", "channel": 7}
    desk.shows(view="arithmetic", **at)
    desk.mark("sums by input channel").locator("td").nth(11).click()
    desk.shows(view="arithmetic", input_channel=11, **at)
    look = subject.look(Selection(**at))
    desk.mark("patch").locator("td").nth(4).click()  # the middle of a 3 × 3 patch
    place = {"layer": "pool1", "channel": 11, "row": look.row, "column": look.column}
    desk.shows(view="arithmetic", input_channel=11, **place)


def test_keys_reach_what_clicks_do(desk):
    desk.open("feature_maps")
    grid = desk.root.locator(".scene .mark", has_text="conv1").locator(".grid").first
    grid.focus()
    desk.page.keyboard.press("Home")
    for key in ("ArrowDown", "ArrowRight", "Enter"):
        desk.page.keyboard.press(key)
    desk.root.locator(".caption", has_text="Framed: conv1, channel 9,").wait_for()
    read_out = desk.root.locator(".readout").inner_text()
    assert "channel 9" in read_out


def test_a_kernel_of_ones_own(desk):
    """Typed, dragged, stepped by key, taken from a preset and from the network; padding, stride."""
    desk.open("convolve")
    desk.root.get_by_role("button", name="blur", exact=True).click()
    desk.shows(view="convolve", kernel=(0.1,) * 9)
    cell = desk.root.get_by_role("textbox", name="kernel, row 1, column 1", exact=True)
    cell.fill("-1.5")
    kernel = [0.1] * 4 + [-1.5] + [0.1] * 4
    desk.shows(view="convolve", kernel=kernel)
    cell.press("ArrowUp")
    kernel[4] = -1.4
    desk.shows(view="convolve", kernel=kernel)
    box = cell.bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    desk.page.mouse.move(*middle)
    desk.page.mouse.down()
    desk.page.mouse.move(middle[0] + 60, middle[1], steps=5)  # a tenth for each 6 pixels
    desk.page.mouse.up()
    kernel[4] = -0.4
    desk.shows(view="convolve", kernel=kernel)
    own = desk.mark("kernels of conv1")
    own.locator("canvas").nth(3).click()
    learned = desk.subject.network.weights["conv1.weight"][3].ravel().tolist()
    kernel = [round(weight, 4) for weight in learned]
    desk.shows(view="convolve", kernel=kernel)
    desk.choose("Stride", "2")
    desk.choose("Padding", "0")
    desk.shows(view="convolve", kernel=kernel, stride=2, padding=0)
    canvas = desk.mark("map").locator("canvas").first
    canvas.hover(position={"x": 3.5 * 7, "y": 5.5 * 7})
    at = {"layer": "image", "channel": 0, "row": 5, "column": 3}
    desk.shows(view="convolve", kernel=kernel, stride=2, padding=0, **at)


@pytest.mark.slow
def test_a_top_image_leads_to_that_image(desk, subject):
    desk.open("top_images")
    scene = draw(subject, Selection(view="top_images"))
    desk.says(scene.caption)
    first = next(mark for mark in marks(scene.content) if "image" in mark.select)
    desk.mark(first.title).locator("canvas").first.click()
    desk.open("pipeline")
    desk.shows(image=first.select["image"])


@pytest.mark.slow
def test_what_is_slow_is_shown_when_it_is_measured(desk):
    desk.open("top_images")
    desk.says(draw(desk.subject, Selection(view="top_images")).caption)
    desk.press("Layer", "End", "ArrowLeft", "ArrowLeft", "ArrowLeft")  # fc1: 64 images to make
    desk.shows(view="top_images", layer="fc1")
    desk.press("Channel", "Home")
    desk.shows(view="top_images", layer="fc1", channel=0)


def test_slow_work_tells_its_progress_and_can_be_stopped(page, desk):
    """48 channels, each a second at least: it is not done when Stop is pressed."""
    slow = page.locator(lab.EXPLORER).nth(1)
    measure = slow.get_by_role("button", name=MEASURE)
    stop = slow.get_by_role("button", name="Stop")
    tops = [slow.locator(part).bounding_box()["y"] for part in (".mnist-tabs", ".scene")]
    for _ in range(2):  # it goes on after a stop
        measure.click()
        stop.wait_for()
        slow.get_by_text("Ablating the channels of conv1 one by one").wait_for()
        page.wait_for_function(
            "root => root.querySelector('.progress-bar').clientWidth > 0", arg=slow.element_handle()
        )
        assert slow.locator(".scene .bars").first.evaluate(OPACITY) == "0.35"
        tabs, scene = (slow.locator(part).bounding_box() for part in (".mnist-tabs", ".scene"))
        assert scene["y"] - tabs["y"] == tops[1] - tops[0]  # nothing is pushed down
        assert tabs["y"] + tabs["height"] < stop.bounding_box()["y"] < scene["y"]
        stop.click()
        stop.wait_for(state="hidden")
        assert slow.locator(".scene").evaluate("e => e === document.activeElement")
        assert slow.locator(".scene .bars").first.evaluate(OPACITY) == "1"
        slow.get_by_text("Stopped. When you ask again, it goes on").wait_for()
    desk.press("Image", "ArrowRight")  # the kernel has time again
    desk.shows(image=1)


def test_a_channel_is_ablated_and_put_back_by_click(desk):
    desk.open("ablation")
    bar = desk.root.locator(".scene .mark.bars:has-text('Channel of conv1') .group").nth(3)
    bar.click()
    desk.says(draw(desk.subject, Selection(view="ablation", ablated=(("conv1", 3),))).caption)
    desk.root.get_by_role("button", name="All channels on").click()
    desk.says(draw(desk.subject, Selection(view="ablation")).caption)


@pytest.mark.parametrize(
    ("views", "count"), [(AT_ONCE, 28), pytest.param(ALWAYS, 30, marks=pytest.mark.slow)]
)
def test_controls_keep_their_places_and_none_is_cut(desk, views, count):
    """What chooses image and place; in view after view, where there is room for two columns."""
    places = {}
    for view in views:
        desk.open(view)
        desk.says(draw(desk.subject, Selection(view=view)).caption)
        for name, *place in desk.root.evaluate(PLACES):
            assert places.setdefault(name, place) == place, (view, name)
        assert desk.root.evaluate(CUT) == [], view
    assert len(places) == count


def test_narrow_they_fold_into_a_line_that_opens(desk):
    desk.open("feature_maps")
    layer = "conv1"
    for width, after in ((700, "relu1"), (375, "pool1")):
        fold = desk.root.get_by_role("button", name=f"Image 0 · {layer} · channel")
        desk.root.evaluate("(root, width) => (root.style.maxWidth = `${width}px`)", width)
        fold.wait_for()
        assert not desk.slider("Layer").is_visible()
        top = desk.root.bounding_box()["y"]
        assert desk.root.locator(".scene").bounding_box()["y"] - top < 290
        fold.click()
        assert fold.get_attribute("aria-expanded") == "true"
        assert desk.root.evaluate(CUT) == []
        desk.press("Layer", "ArrowRight")
        layer = after
        desk.says(draw(desk.subject, Selection(view="feature_maps", layer=layer)).caption)
        fold = desk.root.get_by_role("button", name=f"Image 0 · {layer} · channel")
        fold.click()
        assert fold.get_attribute("aria-expanded") == "false"
    desk.root.evaluate("root => (root.style.maxWidth = '')")


def test_a_tab_brings_all_others_and_names_the_panel(page):
    one = page.locator(lab.EXPLORER).nth(1)
    assert one.get_by_role("tab").all_inner_texts() == ["Ablation", "More views"]
    one.get_by_role("tabpanel", name="Ablation").wait_for()
    one.get_by_role("tab", name="Ablation").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    one.get_by_role("tab", name="Convolve").wait_for()
    assert one.get_by_role("tab").count() == len(ALWAYS)
    assert page.evaluate("document.activeElement.innerText") == "Ablation"
    one.locator(".scene[data-view=ablation] .bars").first.evaluate(WATCH_DIMMED)
    one.get_by_role("tab", name="Confusion").click()  # it takes a second: dimmed at once
    page.wait_for_function("window.wasDimmed")
    one.locator(".scene[data-view=confusion] .table").wait_for()
    assert one.locator(".scene .table").evaluate(OPACITY) == "1"
    one.get_by_role("tab", name="Ablation").click()
    one.locator(".scene[data-view=ablation]").wait_for()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1400, 900])
def test_controls_and_picture_fit_the_screen(desk, width):
    """With JupyterLab's side bar, as it opens; a text under 10 pixels can't be read."""
    bar = "window.jupyterapp.commands.execute('application:toggle-left-area')"
    desk.page.evaluate(bar)
    desk.page.locator(".jp-FileBrowser").first.wait_for()
    desk.page.set_viewport_size({"width": width, "height": 1000})
    try:
        for view in ALWAYS:
            desk.open(view)
            desk.says(draw(desk.subject, Selection(view=view)).caption)
            inside = desk.root.evaluate("root => root.scrollWidth <= root.clientWidth + 1")
            assert inside, view
            assert desk.root.evaluate(SMALLEST_TEXT) >= 10, view
            if width == 1400:
                assert desk.root.bounding_box()["width"] == pytest.approx(953, abs=20)
                controls = desk.root.locator(".mnist-controls").bounding_box()
                assert desk.root.bounding_box()["height"] <= 700, view
                assert controls["height"] <= 120, view
        # three tables of 7 × 7, 128 sums, three times 32 maps
        whole = {"fc1": "arithmetic", "fc2": "arithmetic", "conv2": "feature_maps"}
        if width == 900:  # where controls are folded
            whole = {}
        for layer, view in whole.items():
            desk.open(view)
            desk.root.locator(".trail").get_by_role("button", name=layer, exact=True).click()
            compare = "alone"
            if view == "feature_maps":
                compare = "difference"
                desk.choose("Compare", compare)
            at = Selection(view=view, layer=layer, compare=compare)
            desk.says(draw(desk.subject, at).caption)
            assert desk.root.locator(".scene .table .body").evaluate_all(WIDER) == []
            assert desk.root.bounding_box()["height"] <= 700, (view, layer)
    finally:
        desk.page.set_viewport_size({"width": 1300, "height": 1200})
        desk.page.evaluate(bar)


@pytest.mark.parametrize(
    ("theme", "views"),
    [
        ("Light", ["pipeline"]),
        pytest.param("Light", ALWAYS, marks=pytest.mark.slow),
        pytest.param("Dark", ALWAYS, marks=pytest.mark.slow),
    ],
)
def test_axe_finds_nothing(desk, theme, views):
    change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
    desk.page.evaluate(change, f"JupyterLab {theme}")
    light = str(theme == "Light").lower()
    desk.page.wait_for_selector(f"body[data-jp-theme-light={light}]", state="attached")
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
    desk.root.evaluate("root => root.id = 'checked'")
    for view in views:
        desk.open(view)
        desk.says(draw(desk.subject, Selection(view=view)).caption)
        results = Axe().run(desk.page, "#checked", rules)
        assert results.violations_count == 0, results.generate_report()
    desk.page.evaluate(change, "JupyterLab Light")


def test_from_a_cell_to_its_images_to_one_in_the_pipeline_by_mouse_and_by_key(desk, subject):
    desk.open("confusion")
    cells = desk.root.locator(".scene td:not(.corner)")
    desk.says(draw(subject, Selection(view="confusion")).caption)
    cells.nth(9 * 10 + 4).click()
    chosen = {"digit": 9, "predicted": 4}
    numbers = subject.image_numbers(Selection(**chosen).filter).tolist()
    at = Selection(view="confusion", image=numbers[0], **chosen)
    desk.shows(**vars(at))
    assert float(desk.slider("Image").get_attribute("aria-valuemax")) == len(numbers) - 1
    pictures = desk.root.locator(".scene .maps canvas")
    assert pictures.count() == len(numbers) == 3
    order = subject.predictions.losses[numbers].argsort(descending=True).tolist()
    pictures.nth(2).click()
    desk.shows(view="pipeline", image=numbers[order[2]], **chosen)
    assert desk.root.get_by_role("tab", name="Pipeline", selected=True).count() == 1
    desk.open("confusion")
    cells.nth(0).focus()
    for key in ["ArrowDown"] * 5 + ["ArrowRight"] * 3 + ["Enter"]:
        desk.page.keyboard.press(key)
    numbers = subject.image_numbers(Selection(digit=5, predicted=3).filter).tolist()
    desk.shows(view="confusion", digit=5, predicted=3, image=numbers[0])
    desk.root.locator(".scene .maps .grid").focus()
    desk.page.keyboard.press("Enter")
    order = subject.predictions.losses[numbers].argsort(descending=True).tolist()
    desk.shows(view="pipeline", digit=5, predicted=3, image=numbers[order[0]])
    assert desk.page.evaluate("document.activeElement.className") == "scene"  # for its grid is gone


def test_the_scatter_follows_the_pointer_and_a_click_selects(desk, subject):
    desk.open("neighbours")
    desk.says(draw(subject, Selection(view="neighbours")).caption)
    scatter = marks(draw(subject, Selection(view="neighbours")).content)[0]
    box = desk.root.locator(".scatter canvas").bounding_box()
    alone = int(np.argmin(scatter.points[:, 0]))  # the one farthest to the left
    x, y = scatter.points[alone].tolist()
    place = box["x"] + 10 + 380 * x, box["y"] + 390 - 380 * y
    desk.page.mouse.move(*place)
    desk.shows(view="neighbours", pointed=alone)
    desk.page.mouse.click(*place)
    desk.shows(view="neighbours", image=alone)
    desk.open("pipeline")
    desk.shows(view="pipeline", image=alone)


def test_the_disturbance_slider_and_the_pipelines_answer(desk):
    desk.choose("Disturb", "rotation")
    desk.says(draw(desk.subject, Selection(disturbance="rotation")).caption)
    look = desk.subject.look(Selection(disturbance="rotation"))
    desk.stands("Amount", look.amount, look.places["amount"])
    desk.press("Amount", "End")
    desk.shows(disturbance="rotation", amount=60.0)
    desk.press("Amount", "ArrowLeft", "ArrowLeft")
    desk.shows(disturbance="rotation", amount=30.0)
    desk.choose("Disturb", "FGSM")
    desk.says(draw(desk.subject, Selection(disturbance="FGSM")).caption)
    look = desk.subject.look(Selection(disturbance="FGSM"))
    desk.stands("Amount", look.amount, look.places["amount"])
    desk.press("Amount", "Home", "ArrowRight", "ArrowRight")
    desk.shows(disturbance="FGSM", amount=0.05)


def assert_stills_return(page, count):
    """Saves the notebook, ends its kernel and opens it again: pictures stand in for explorers."""
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.on("dialog", lambda dialog: dialog.accept())
    page.evaluate("() => window.jupyterapp.commands.execute('kernelmenu:shutdown')")
    page.reload()
    # what JupyterLab says below each still
    page.wait_for_selector("text=model not found", state="attached")
    page.wait_for_function(
        "count => document.querySelectorAll('.jp-OutputArea-child img').length >= count", arg=count
    )
    assert page.locator(lab.EXPLORER).count() == 0
    for still in page.locator(".jp-OutputArea-child img").all():
        still.wait_for()  # until it is visible


@pytest.mark.slow
def test_a_still_stands_in_for_an_explorer_whose_kernel_is_gone(desk):
    assert_stills_return(desk.page, 2)


@pytest.mark.slow
def test_a_notebook_that_is_opened_stays_as_it_is(browser, address, root):
    """Nothing to save after a while, and no difference where one saves all the same."""
    name = "load_model.ipynb"
    given = json.loads((NOTEBOOKS_DIR / name).read_text("utf-8"))
    # that of the machine where it was saved; JupyterLab would write this one's into it
    given["metadata"]["language_info"]["version"] = platform.python_version()
    (root / name).write_text(json.dumps(given), "utf-8")
    page = lab.open_notebook(browser, address, name, scale=1)
    page.wait_for_timeout(4000)
    # a mark that JupyterLab sets on opening stays until the kernel has told its language
    page.locator(".jp-mod-dirty").first.wait_for(state="detached")
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.close()
    assert json.loads((root / name).read_text("utf-8")) == given


@pytest.mark.slow
class TestFilm:
    """The collection's film where JupyterLab at 1400 pixels with its side bar leaves it 953."""

    @pytest.fixture(scope="class")
    @classmethod
    def film(cls, browser, address, root):
        shutil.copytree(NOTEBOOKS_DIR / "snapshots", root / "snapshots")
        lab.place_copy(NOTEBOOKS_DIR / "training_replay.ipynb", root)
        page = lab.open_notebook(browser, address, "training_replay.ipynb")
        lab.run_all(page)
        film = page.locator(lab.EXPLORER)
        film.locator(".scene[data-view=training] .lines").wait_for()
        beside = page.viewport_size["width"] - round(film.bounding_box()["width"])
        page.set_viewport_size({"width": beside + 953, "height": 900})
        page.wait_for_function(
            "found => document.querySelector(found).clientWidth === 953", arg=lab.EXPLORER
        )
        return film

    def stands(self, film, epoch, tick):
        """Waits for the slider, the cursor and the heading to be at an epoch."""
        slider = film.get_by_role("slider", name="Moment", exact=True)
        slider.and_(film.page.locator(f'[aria-valuetext="epoch {epoch}"]')).wait_for()
        film.get_by_text(f"quick, epoch {epoch}", exact=True).wait_for()
        chosen = film.locator(".lines [aria-selected=true]")
        assert chosen.inner_text().strip() == tick

    def press_end(self, film):
        film.get_by_role("slider", name="Moment", exact=True).focus()
        film.page.keyboard.press("End")
        self.stands(film, "2", "2")

    def press(self, film, name):
        film.get_by_role("button", name=name, exact=True).last.click()  # beside the moment

    def test_it_fits_with_its_controls(self, film):
        assert film.bounding_box()["height"] <= 700

    def test_a_link_at_the_top_leads_to_it(self, film):
        page = film.page
        link = page.locator(".jp-MarkdownOutput a", has_text="the film")
        link.scroll_into_view_if_needed()
        assert film.bounding_box()["y"] > 900
        link.click()
        page.wait_for_function(
            """found => {
                const { top, bottom } = document.querySelector(found).getBoundingClientRect();
                return top > 0 && top < 450;
            }""",
            arg=lab.EXPLORER,
        )

    def test_a_click_and_a_drag_in_the_chart_choose_the_moment(self, film):
        plot = film.locator(".lines .plot")
        plot.scroll_into_view_if_needed()
        left, top, width, _ = plot.bounding_box().values()
        film.page.mouse.click(left + 9.5 / 22 * width, top + 30)
        self.stands(film, "0.0535", ".053")
        film.page.mouse.down()
        film.page.mouse.move(left + 14.5 / 22 * width, top + 60, steps=5)
        self.stands(film, "0.2977", ".298")
        film.page.mouse.up()

    def test_play_begins_anew_at_the_end_and_goes_round_in_a_loop(self, film):
        film.get_by_role("combobox", name="Speed", exact=True).select_option("fast")
        self.press_end(film)
        self.press(film, "Play")
        self.runs_from_the_start(film)
        self.press(film, "Pause")
        self.press_end(film)
        film.page.keyboard.press("ArrowLeft")
        self.stands(film, "1.6837", "1.68")
        self.press(film, "Loop")
        self.press(film, "Play")
        self.runs_from_the_start(film)
        self.press(film, "Pause")

    def runs_from_the_start(self, film):
        """Waits until the film, which stood in its last moments, is in its first ones."""
        slider = film.get_by_role("slider", name="Moment", exact=True).element_handle()
        film.page.wait_for_function(
            "({ ariaValueNow }) => ariaValueNow >= 1 && ariaValueNow < 15", arg=slider
        )


@pytest.mark.slow
class TestWholeNotebook:
    def test_every_cell_ran_and_living_explorers_hide_their_stills(self, whole_page):
        assert_all_ran(whole_page, 1)

    def test_every_view_shows_what_the_package_computes(self, whole_page, splits):
        random = {"random": make_model(0).state_dict()}
        subject = Subject(load_checkpoint()[0], *splits.test.tensors, others=random)
        for layer in subject.network.convolutions:  # as the notebook does
            subject.lost_without_each(layer, "trained")
        desk = Desk(whole_page, subject, layer="conv2")  # where the notebook's begins
        desk.start()
        for view in ALWAYS:
            desk.open(view)
            desk.shows(view=view, layer="conv2")

    def test_stills_stand_in_for_explorers_whose_kernel_is_gone(self, whole_page):
        assert_stills_return(whole_page, 8)  # one for each picture and each explorer
