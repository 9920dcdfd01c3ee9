"""The explorer in real JupyterLab in headless Chromium, moved as a reader would, each picture compared in full."""

import browser
import pytest

from mnist_helpers import load_checkpoint, make_model
from mnist_helpers.config import NOTEBOOKS_DIR
from mnist_helpers.inspector import Inspector

NOTEBOOK = "conv_visualization.ipynb"

pytestmark = pytest.mark.skipif(
    browser.CHROMIUM is None, reason="no Chromium here: apt-get install chromium"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The notebook after Run All."""
    with (
        browser.jupyter_lab(tmp_path_factory.mktemp("lab"), NOTEBOOKS_DIR / NOTEBOOK) as address,
        browser.notebook_page(address, NOTEBOOK) as page,
    ):
        yield page


@pytest.fixture(scope="module")
def inspector(splits):
    """The same as in the notebook, in this process."""
    made = Inspector(load_checkpoint()[0], *splits.test.tensors, make_model(0))
    for layer in made.network.convolutions:
        made.rank(layer)
    return made


class Desk:
    """The big explorer on the page: its sliders by name, its open tab and what that shows."""

    def __init__(self, page):
        self.page = page
        self.root = page.locator(browser.EXPLORER)

    def open(self, title):
        self.root.locator(".lm-TabBar-tabLabel", has_text=title).click()

    def slider(self, name):
        return self.root.locator(f".widget-slider:visible:has(.widget-label:text-is('{name}'))")

    def value(self, name):
        return self.slider(name).locator(".widget-readout").inner_text()

    def press(self, name, *keys):
        self.slider(name).locator(".noUi-handle").focus()
        for key in keys:
            self.page.keyboard.press(key)

    def drag(self, name, pixels):
        box = self.slider(name).locator(".noUi-handle").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + pixels, y, steps=5)
        self.page.mouse.up()

    def picture(self, number=0):
        return self.root.locator(".mnist-helpers-picture:visible").nth(number)

    def shows(self, *expected):
        """Waits until the open tab shows these pictures, byte for byte, with their texts and captions."""
        wanted = [
            [picture.data_url(), [label.text for label in picture.labels]] for picture in expected
        ]
        first, *rest = (picture.caption for picture in expected)
        caption = " ".join([first, *(text.split("%. ", 1)[-1] for text in rest)])
        script = """([wanted, caption, root]) => {
            const texts = [...document.querySelectorAll(root + ' .widget-html-content')];
            if (!texts.some(text => text.offsetParent && text.innerText === caption)) return false;
            const pictures = [...document.querySelectorAll(root + ' .mnist-helpers-picture')]
                .filter(picture => picture.offsetParent);
            const found = pictures.map(picture => [
                picture.querySelector('img').src,
                [...picture.querySelectorAll('.mnist-helpers-label')].map(text => text.textContent),
            ]);
            return JSON.stringify(found) === JSON.stringify(wanted);
        }"""
        self.page.wait_for_function(
            script, arg=[wanted, caption, browser.EXPLORER], timeout=120_000
        )

    def click(self, picture, x, y):
        """Clicks a pixel of the shown picture."""
        box = self.picture().locator("img").bounding_box()
        ratio = box["width"] / picture.image.width
        self.page.mouse.click(box["x"] + (x + 0.5) * ratio, box["y"] + (y + 0.5) * ratio)


@pytest.fixture
def desk(page):
    """The explorer with everything at its beginning."""
    desk = Desk(page)
    desk.open("Pipeline")
    for name in ("Position", "Stage", "Channel", "Row", "Column"):
        if desk.slider(name).get_attribute("disabled") is None:
            desk.press(name, "Home")
    return desk


def test_every_cell_ran_and_nothing_complained(page):
    assert not page.locator(
        ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']"
    ).count()
    assert not page.locator(".mnist-helpers-error").count()
    assert [error for error in page.errors if "favicon" not in error] == []


def test_every_picture_tells_a_screen_reader_what_it_shows(page):
    for picture in page.locator(".mnist-helpers-picture:visible").all():
        label = picture.get_attribute("aria-label")
        assert label.endswith(". Arrow keys move the selection, Enter picks it.")
        assert label.startswith(picture.locator("img").get_attribute("alt"))
        assert picture.get_attribute("tabindex") == "0"


def test_image_and_stage_by_keys_and_mouse(desk, inspector):
    desk.press("Position", "ArrowRight", "ArrowRight")
    desk.shows(inspector.pipeline(2, "conv1"), inspector.feature_maps(2, "conv1"))
    desk.press("Stage", "ArrowRight", "ArrowRight", "ArrowRight")
    assert desk.value("Stage") == "conv2"
    desk.shows(inspector.pipeline(2, "conv2"), inspector.feature_maps(2, "conv2"))
    desk.drag("Position", 60)
    image = int(desk.value("Position").replace(",", "")) - 1
    assert image > 2
    desk.shows(inspector.pipeline(image, "conv2"), inspector.feature_maps(image, "conv2"))
    desk.drag("Stage", -60)
    stage = desk.value("Stage")
    assert stage != "conv2"
    desk.shows(inspector.pipeline(image, stage), inspector.feature_maps(image, stage))


def test_channel_row_and_column_by_keys_and_mouse(desk, inspector):
    desk.open("Arithmetic")
    for name in ("Channel", "Row", "Column"):
        desk.press(name, "ArrowRight", "ArrowRight")
    desk.shows(inspector.arithmetic(0, "conv1", 2, 2, 2))
    for name in ("Channel", "Row", "Column"):
        desk.drag(name, 80)
    place = [int(desk.value(name)) for name in ("Channel", "Row", "Column")]
    assert all(number > 2 for number in place)
    desk.shows(inspector.arithmetic(0, "conv1", *place))


def test_the_input_channel_by_keys_and_mouse(desk, inspector):
    desk.press("Stage", *["ArrowRight"] * 3)
    desk.open("Arithmetic")
    desk.press("Input", "ArrowRight", "ArrowRight", "ArrowRight")
    desk.shows(inspector.arithmetic(0, "conv2", source=3))
    desk.drag("Input", 80)
    source = int(desk.value("Input"))
    assert source > 3
    desk.shows(inspector.arithmetic(0, "conv2", source=source))


def test_a_click_on_a_pixel_selects_it_in_every_view(desk, inspector):
    desk.press("Stage", *["ArrowRight"] * 3)
    desk.open("Arithmetic")
    desk.press("Input", "Home")
    before = inspector.arithmetic(0, "conv2")
    desk.shows(before)
    map_ = before.panels[0]
    desk.click(before, map_.left + 9 * map_.zoom + 2, map_.top + 4 * map_.zoom + 2)
    desk.shows(inspector.arithmetic(0, "conv2", 0, 4, 9))
    assert (desk.value("Row"), desk.value("Column")) == ("4", "9")
    assert desk.picture().locator(".mnist-helpers-caret").is_visible()
    desk.page.keyboard.press("ArrowDown")  # from the picture that was clicked
    desk.shows(inspector.arithmetic(0, "conv2", 0, 5, 9))
    desk.open("Feature maps")
    assert (
        not desk.picture().locator(".mnist-helpers-caret").is_visible()
    )  # only where the keyboard is
    maps = inspector.feature_maps(0, "conv2", 0, 5, 9)
    desk.shows(maps)
    left, top = maps.panels[0].corner(21)
    desk.click(maps, left + 3, top + 2)
    desk.shows(inspector.feature_maps(0, "conv2", 21, 2, 3))
    assert desk.value("Channel") == "21"
    desk.open("What excites it")
    desk.shows(inspector.excitation("conv2", 21))
    desk.open("Kernels")
    desk.shows(inspector.kernels("conv2", 21))


def test_a_click_in_the_pipeline_opens_the_stage(desk, inspector):
    pipeline = inspector.pipeline(0, "conv1")
    desk.shows(pipeline, inspector.feature_maps(0, "conv1"))
    pool2 = next(panel for panel in pipeline.panels if panel.count == 32 and panel.width == 7)
    desk.click(pipeline, *(at + 3 for at in pool2.corner(6)))
    desk.shows(inspector.pipeline(0, "pool2"), inspector.feature_maps(0, "pool2", 6, 3, 3))
    assert desk.value("Stage") == "pool2"


def test_a_channel_switched_off_by_click_and_by_list(desk, inspector):
    desk.open("Take it away")
    before = inspector.ablation(0)
    desk.shows(before)
    bar = before.panels[0].corner(5)
    desk.click(before, bar[0] + 4, bar[1] + 70)
    desk.shows(inspector.ablation(0, [("conv1", 5)]))
    desk.root.locator("select:visible").nth(-1).select_option(["9", "11"])
    desk.shows(inspector.ablation(0, [("conv1", 5), ("conv2", 9), ("conv2", 11)]))
    desk.root.locator("button:has-text('All channels on')").click()
    desk.shows(before)


def test_the_options_of_the_other_views(desk, inspector):
    desk.open("Kernels")
    desk.root.locator("select:visible", has_text="change").select_option("change")
    desk.root.locator("input[type=checkbox]:visible").click()
    desk.shows(inspector.kernels("conv1", 0, "change", each=True))
    desk.open("Feature maps")
    desk.root.locator("select:visible", has_text="difference").select_option("difference")
    desk.root.locator("select:visible", has_text="all images").select_option("map")
    desk.shows(inspector.feature_maps(0, "conv1", scale="map", compare="difference"))


def test_texts_stay_in_their_places_when_the_window_shrinks(desk):
    wide, shares = desk.page.viewport_size, []
    for width in (wide["width"], 800):
        desk.page.set_viewport_size(wide | {"width": width})
        desk.page.wait_for_timeout(500)
        picture = desk.picture().locator("img").bounding_box()
        text = desk.picture().locator(".mnist-helpers-label", has_text="softmax").bounding_box()
        shares.append((text["x"] + text["width"] / 2 - picture["x"]) / picture["width"])
    desk.page.set_viewport_size(wide)
    assert picture["width"] < 800
    assert shares[0] == pytest.approx(shares[1], abs=0.01)


def test_the_class_by_its_list_and_by_a_click(desk, inspector):
    desk.open("What it looks at")
    desk.root.locator("select:visible", has_text="none").select_option("3")
    desk.shows(inspector.attribution(0, 3))
    desk.open("What excites it")
    desk.shows(inspector.excitation("conv1", 0, 3))
    desk.open("Pipeline")
    drawn = inspector.pipeline(0, "conv1")
    desk.click(drawn, *drawn.panels[-1].corner(8))
    desk.shows(inspector.pipeline(0, "softmax"), inspector.feature_maps(0, "softmax", 8))
    desk.open("What it looks at")
    desk.shows(inspector.attribution(0, 8))
    desk.root.locator("select:visible", has_text="none").select_option("none")


def test_images_by_digit_right_or_wrong_and_index(desk, inspector):
    wrong = (~inspector.predictions.correct).nonzero().flatten().tolist()
    desk.root.locator("select:visible", has_text="wrong").select_option("wrong")
    desk.shows(inspector.pipeline(wrong[0], "conv1"), inspector.feature_maps(wrong[0], "conv1"))
    desk.press("Position", "ArrowRight")
    desk.shows(inspector.pipeline(wrong[1], "conv1"), inspector.feature_maps(wrong[1], "conv1"))
    desk.root.locator("select:visible", has_text="wrong").select_option("all")
    desk.root.locator("select:visible", has_text="any").select_option("5")
    fives = (inspector.labels == 5).nonzero().flatten().tolist()
    desk.press("Position", "Home", "ArrowRight")
    desk.shows(inspector.pipeline(fives[1], "conv1"), inspector.feature_maps(fives[1], "conv1"))
    index = desk.root.locator("input[type=number]:visible").first
    index.fill("4321")
    index.press("Enter")
    desk.shows(inspector.pipeline(4321, "conv1"), inspector.feature_maps(4321, "conv1"))
