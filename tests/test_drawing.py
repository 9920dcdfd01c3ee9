"""A drawing: how it is prepared, what the views make of it, and the pad in Chromium."""

import base64
import functools
import io

import numpy as np
import page as pages
import pytest
import torch
from conftest import grey, marks
from networks import build, drawn, drawn_cross, hooked, images_of, logits_without
from PIL import Image, ImageDraw
from torch import nn

from mnist_helpers import InputError, digits, load_checkpoint, make_model
from mnist_helpers.digits import load_digits, pad_ink, picture_ink, prepare
from mnist_helpers.explorer import Explorer, Selection, Subject, explore
from mnist_helpers.explorer.paper import Still
from mnist_helpers.explorer.scene import Bars, Column, Pad, Row, Table, Text
from mnist_helpers.explorer.views import draw, header


@pytest.fixture(scope="module")
def subject(few):
    known = tuple(part[:500] for part in few.train.tensors)
    return Subject(load_checkpoint()[0], *few.test.tensors, known_images=known)


def pixels(image: torch.Tensor) -> np.ndarray:
    """Its bytes as numbers that can be subtracted."""
    return grey(image).astype(int)


GIVE = """(pad, [bytes, way]) => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(bytes)], "one.png", {type: "image/png"}));
    const made = { dataTransfer: data, clipboardData: data, bubbles: true };
    pad.dispatchEvent(way === "drop" ? new DragEvent(way, made) : new ClipboardEvent(way, made));
}"""
BLANK = base64.b64encode(bytes(19_600)).decode()


def on_sheet(image: torch.Tensor, side: int, top: int, left: int) -> np.ndarray:
    """An image, `side` pixels high, somewhere on an empty sheet of 140 × 140, in [0, 1]."""
    sheet = Image.new("L", (140, 140))
    digit = Image.fromarray(grey(image))
    sheet.paste(digit.resize((side, side), Image.Resampling.BICUBIC), (left, top))
    return np.asarray(sheet, np.float32) / 255


def named(scene):
    return {mark.title: mark for mark in marks(scene.content)}


def test_all_layers_behind_the_last_pooling_are_shown(few):
    layers = (nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 2, 1))
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(2 * 14 * 14, 10)).eval()
    subject = Subject(model, few.test.tensors[0][:5])
    scene = draw(subject, Selection(view="drawing", drawing=drawn(few.test.tensors[0][0])))
    row = scene.content.items[-1].items[0]
    assert [mark.title for mark in marks(row)] == ["1 MaxPool2d", "2 Conv2d", "4 Linear", "softmax"]


class TestPreparation:
    def test_an_image_of_mnist_comes_back(self, few):
        exact = 0
        for image in few.test.tensors[0][:100]:
            again = prepare(pad_ink(drawn(image))).image
            exact += int(np.abs(pixels(again) - pixels(image)).max() <= 25)  # faint edges are cut
        assert exact >= 98

    def test_size_and_place_make_no_difference(self, few):
        model, _ = load_checkpoint()
        images, labels = (part[:100] for part in few.test.tensors)
        for side, top, left in ((60, 0, 80), (60, 80, 3), (100, 20, 40), (140, 0, 0)):
            ready = torch.stack([prepare(on_sheet(i, side, top, left)).image for i in images])
            assert (model(ready).argmax(1) == labels).sum() >= 97

    def test_each_step(self):
        ink = np.zeros((140, 140), np.float32)
        ink[30:90, 20:32] = 0.5  # 60 × 12, half as dark as can be
        steps = prepare(ink)
        assert steps.cropped.shape == (60, 12)
        assert steps.fitted.shape == (20, 4)
        assert np.allclose(steps.fitted, 1)
        rows, columns = np.nonzero(steps.centred)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 23, 12, 15)
        assert pixels(steps.image).max() == 255

    def test_ink_of_more_than_a_tenth_of_the_darkest_counts(self):
        ink = np.zeros((140, 140), np.float32)
        ink[30:90, 20:32] = 0.5
        ink[30:90, 32:40] = 0.06
        ink[30:90, 40:50] = 0.05
        assert prepare(ink).cropped.shape == (60, 20)

    @pytest.mark.parametrize(("dark", "light", "first"), [(0, 95, 8), (95, 0, 0)])
    def test_it_stays_in_the_image_where_its_mass_is_in_a_corner(self, dark, light, first):
        ink = np.zeros((100, 100), np.float32)
        ink[dark : dark + 5, dark : dark + 5] = 1
        ink[light : light + 5, light : light + 5] = 0.2
        rows, columns = np.nonzero(prepare(ink).centred)
        assert (rows.min(), rows.max()) == (first, first + 19)
        assert (columns.min(), columns.max()) == (first, first + 19)

    def test_a_line_of_one_pixel_is_no_trouble(self):
        ink = np.zeros((140, 140), np.float32)
        ink[70, 5:135] = 1
        assert prepare(ink).fitted.shape == (1, 20)

    def test_a_byte_of_the_text_is_a_pixel(self):
        sheet = np.arange(19_600) % 256
        ink = pad_ink(base64.b64encode(sheet.astype(np.uint8).tobytes()).decode())
        assert ink.dtype == np.float32
        assert np.allclose(ink, sheet.reshape(140, 140) / 255, rtol=1e-6)

    @pytest.mark.parametrize(
        "text", ["", "*", "AAAA", BLANK[:-4], "!" + BLANK, BLANK.encode() + b"=", 5]
    )
    def test_what_is_no_ink_is_refused(self, text):
        form = "a byte for each of 140 × 140 pixels, in base64"
        for call in (pad_ink, lambda text: Selection(drawing=text)):
            with pytest.raises(InputError) as caught:
                call(text)
            assert str(caught.value) == f"drawing is {text!r:.20}, but must be {form}."

    def test_an_empty_sheet_is_named(self):
        with pytest.raises(InputError) as caught:
            Selection(drawing=BLANK)
        advice = "draw a digit on the pad, or choose an image"
        assert str(caught.value) == f"Nothing is drawn; {advice}."


class TestView:
    def test_steps_answer_and_neighbours(self, subject, few):
        image = few.test.tensors[0][4]
        scene = draw(subject, Selection(view="drawing", drawing=drawn(image)))
        found = named(scene)
        ready = prepare(pad_ink(drawn(image)))
        model = subject.network.model
        outputs = hooked(model, ready.image[None])
        probs = outputs["fc2"][0].softmax(1)[0]
        features = outputs["fc1"][0]
        known = hooked(model, subject.known_images[0])["fc1"][0]
        assert isinstance(found["pad"], Pad)
        assert found["pad"].ink == drawn(image)
        np.testing.assert_allclose(found["3. centred by mass"].values[0], ready.centred)
        np.testing.assert_allclose(found["4. normalised"].values[0], ready.image[0], atol=1e-6)
        bars = next(mark for mark in found.values() if isinstance(mark, Bars))
        assert bars.series["probability"] == pytest.approx(probs.numpy(), abs=1e-5)
        assert not bars.emphasis  # orange is what is chosen, not what is answered
        near = (known - features).pow(2).sum(1).argsort()[:8]
        labels = [str(label) for label in subject.known_images[1][near].tolist()]
        assert found["most similar by these features"].labels == labels
        assert scene.caption == f"Your drawing, read as {probs.argmax()} with {probs.max():.1%}."
        assert found["pool1"].values.shape == (16, 14, 14)
        assert isinstance(found["softmax"], Table)

    def test_whatever_weights_answer_the_models_own_tell_what_is_alike(self, few):
        images, labels = (part[:100] for part in few.test.tensors)
        others = {"other": make_model(1).state_dict()}
        subject = Subject(load_checkpoint()[0], images, labels, others=others)
        ink = drawn(images[4])
        found = [
            named(draw(subject, Selection(view="drawing", drawing=ink, weights=weights)))
            for weights in subject.networks
        ]
        near = [marks["most similar by these features"].labels for marks in found]
        assert near[0] == near[1]
        click = found[0]["most similar by these features"].select
        assert click["image"][0] == 4  # its own image
        assert [str(label) for label in labels[click["image"]].tolist()] == near[0]
        assert click["view"] == ["pipeline"] * 8  # for here a pad without ink would be left
        bars = [mark for marks in found for mark in marks.values() if isinstance(mark, Bars)]
        assert bars[0].series["probability"] != pytest.approx(bars[1].series["probability"])

    def test_above_an_empty_pad_stands_no_answer(self, few):
        subject = Subject(make_model(), few.test.tensors[0][:20])
        (text,) = header(subject.look(Selection(view="drawing"))).items
        assert (text.text, text.notes) == ("–", ["The pad is empty."])

    def test_what_is_no_digit_that_it_knows_is_said(self, few):
        captions = []
        answers = []
        for limit in (0.6481, 0.0):
            model, _ = load_checkpoint()
            assert model.no_digit == 0.6481  # as its card says
            model.no_digit = limit
            subject = Subject(model, few.test.tensors[0][:20])
            at = Selection(view="drawing", drawing=drawn_cross())
            answers.append(header(subject.look(at)).items[1].text)
            captions.append(draw(subject, at).caption)
        sure = captions[1].partition("read as ")[2]
        assert captions[0] == f"Your drawing, no digit that it knows, nearest to {sure}"
        assert answers == ["no digit", sure[0]]

    def test_an_empty_pad_invites(self, subject):
        scene = draw(subject, Selection(view="drawing", image=3))
        assert "Draw a digit on the pad" in scene.caption
        example = (named(scene)["pad"].example * 255).round()
        assert np.array_equal(example, grey(subject.images[3]))

    def test_the_pad_stays_in_its_place(self, subject, few):
        ink = drawn(few.test.tensors[0][4])
        for drawing in (None, ink):
            content = draw(subject, Selection(view="drawing", drawing=drawing)).content
            assert [type(content), type(content.items[0])] == [Column, Row]
            assert isinstance(content.items[0].items[0], Pad)

    def test_all_views_of_an_image_show_the_drawing(self, subject, few):
        image = few.test.tensors[0][7]
        ready = prepare(pad_ink(drawn(image))).image
        maps = hooked(subject.network.model, ready[None])["conv1"][0][0]
        at = {"drawing": drawn(image), "layer": "conv1"}
        found = named(draw(subject, Selection(view="feature_maps", **at)))
        np.testing.assert_allclose(found["conv1"].values, maps, atol=1e-4)
        for view in ("pipeline", "arithmetic", "attribution", "answer"):
            assert draw(subject, Selection(view=view, **at)).caption.startswith("Your drawing, ")
        for view in ("confusion", "neighbours"):
            same = draw(subject, Selection(view=view)).caption
            note = " Your drawing has no place here: image 0 is shown."
            assert draw(subject, Selection(view=view, **at)).caption == same + note

    def test_a_channel_is_taken_from_the_drawing(self, subject, few):
        image = few.test.tensors[0][7]
        ready = prepare(pad_ink(drawn(image))).image[None]
        probs = logits_without(load_checkpoint()[0], ready, ("conv1", 3)).softmax(1)[0].numpy()
        at = Selection(view="ablation", drawing=drawn(image), ablated=(("conv1", 3),))
        bars = named(draw(subject, at))["probability for this image"]
        assert bars.series["ablated"] == pytest.approx(probs, abs=1e-5)

    def test_an_image_takes_its_place_again(self, subject, few):
        explorer = Explorer(subject, Selection(view="pipeline"))
        ink = drawn(few.test.tensors[0][7])
        explorer.receive({"select": {"drawing": ink}, "serial": 1})
        assert explorer.scene.caption.startswith("Your drawing, ")
        assert ink not in repr(explorer)
        explorer.controls["position"].value = 5
        assert explorer.scene.caption.startswith("Image 5, label ")

    def test_a_network_of_colour_images_takes_none(self):
        explorer = explore(build("skipping"), images_of(4, 3, 15, 18), view="drawing")
        assert "needs a network that reads grey images" in explorer.scene.caption
        with pytest.raises(InputError, match="a drawing is for networks that read grey images"):
            explorer.selection = Selection(drawing=drawn(torch.rand(1, 28, 28)))


@pytest.fixture(scope="module")
def shared_page(browser):
    size = {"width": 700, "height": 700}
    page = pages.new_page(browser, viewport=size, has_touch=True)
    yield page
    page.close()


class TestKept:
    @pytest.fixture
    def explorer(self, subject, tmp_path, monkeypatch):
        monkeypatch.setattr(digits.keep, "__defaults__", (tmp_path / "my-digits",))
        return explore(subject, view="drawing")

    def test_the_prepared_image_is_kept_where_the_page_asks_for_it(self, explorer, few, tmp_path):
        text = drawn(few.test.tensors[0][0])
        explorer.receive({"select": {"drawing": text, "keep": 7}, "serial": 3})
        kept = tmp_path / "my-digits" / "7" / "0001.png"
        assert explorer.selection.drawing == text
        state = explorer.page.state
        assert state["notice"] == "Kept as my-digits/7/0001.png."
        assert (state["error"], state["serial"]) == ("", 3)
        with Image.open(kept) as picture:
            expected = prepare(pad_ink(text)).centred * 255
            np.testing.assert_allclose(np.asarray(picture), expected, atol=0.51)
        explorer.selection = Selection(view="drawing", image=2)
        assert not explorer.page.state.get("notice")

    def test_what_can_not_be_kept_is_said(self, explorer, tmp_path):
        with pytest.raises(InputError):
            explorer.receive({"select": {"drawing": BLANK, "keep": 7}, "serial": 3})
        assert "Nothing is drawn" in explorer.page.state["error"]
        assert not (tmp_path / "my-digits").exists()


@pages.needs_chromium
class TestPad:
    @pytest.fixture
    def page(self, shared_page):
        """A pad on a new document without a kernel."""
        shared_page.errors.clear()
        pages.mount(shared_page, pages.make_state(self.pad(), call=""))
        yield shared_page
        assert shared_page.errors == []

    def pad(self, ink=None):
        return Row(Pad(title="pad", ink=ink, example=np.eye(28)))

    def ink(self, page):
        """The ink that was sent last, (140, 140), when the host has answered everything."""
        while messages := pages.sent(page):
            text = messages[-1]["select"]["drawing"]
            pages.show(page, self.pad(text), serial=messages[-1]["serial"])
        return text and np.frombuffer(base64.b64decode(text), np.uint8).reshape(140, 140)

    def stroke(self, page, *points):
        box = page.locator(".sheet-of-pad").bounding_box()
        for number, (x, y) in enumerate(points):
            page.mouse.move(box["x"] + 1 + x, box["y"] + 1 + y)
            if number == 0:
                page.mouse.down()
        page.mouse.up()

    def click(self, page, name):
        page.get_by_role("button", name=name).click()

    def press(self, page, key, times=1):
        for _ in range(times):
            page.locator(".sheet-of-pad").press(key)

    def test_the_pointer_leaves_ink_as_wide_as_the_pen(self, page):
        page.get_by_label("Width of the line").fill("20")
        self.stroke(page, (40, 100), (140, 100), (240, 100))
        ink = self.ink(page)
        rows, columns = np.nonzero(ink > 128)
        assert (rows.min(), rows.max()) == pytest.approx((45, 54), abs=1)
        assert (columns.min(), columns.max()) == pytest.approx((15, 124), abs=1)
        assert ink[46:54, 20:120].min() == 255

    def test_undo_and_clear(self, page):
        self.stroke(page, (40, 40), (60, 60))
        one = self.ink(page)
        self.stroke(page, (200, 200), (220, 240))
        assert self.ink(page).sum() > one.sum()
        self.click(page, "Undo")
        np.testing.assert_array_equal(self.ink(page), one)
        self.click(page, "Clear")
        assert self.ink(page) is None
        self.press(page, "z")
        np.testing.assert_array_equal(self.ink(page), one)

    def test_a_drawing_that_was_given_comes_back_to_the_bit(self, page):
        given = np.random.default_rng(0).integers(0, 256, (140, 140), dtype=np.uint8)
        text = base64.b64encode(given.tobytes()).decode()
        pages.show(page, self.pad(text), serial=1)
        for change in ("Clear", "Larger", "Turn left"):
            self.click(page, change)
            assert not np.array_equal(self.ink(page), given)
            self.click(page, "Undo")
            np.testing.assert_array_equal(self.ink(page), given)
        self.stroke(page, (40, 40), (60, 60))
        assert self.ink(page)[25, 25] == 255
        self.click(page, "Undo")
        np.testing.assert_array_equal(self.ink(page), given)

    def test_keys_move_scale_and_turn(self, page):
        self.stroke(page, (100, 140), (180, 140))
        before = self.ink(page)
        self.click(page, "Move")
        self.press(page, "ArrowDown")
        np.testing.assert_array_equal(self.ink(page)[5:], before[:-5])  # 10 of 280 pixels
        self.press(page, "ArrowUp")
        wide = np.ptp(np.nonzero(before > 128)[1])
        self.press(page, "+")
        assert np.ptp(np.nonzero(self.ink(page) > 128)[1]) == pytest.approx(1.1 * wide, abs=2)
        for _ in range(3):
            self.press(page, "]")
        rows, columns = np.nonzero(self.ink(page) > 128)
        slope = np.polyfit(columns, rows, 1)[0]
        assert slope == pytest.approx(np.tan(np.deg2rad(30)), abs=0.1)  # clockwise

    def test_the_pointer_moves_what_is_drawn(self, page):
        self.stroke(page, (60, 60), (90, 60))
        before = self.ink(page)
        self.click(page, "Move")
        self.stroke(page, (10, 10), (50, 30))
        np.testing.assert_array_equal(self.ink(page)[10:, 20:], before[:-10, :-20])

    def test_what_left_the_sheet_comes_back_as_it_was(self, page):
        self.stroke(page, (30, 60), (90, 200), (250, 140))
        before = self.ink(page)
        self.click(page, "Move")
        for away, back in (("ArrowLeft", "ArrowRight"), ("ArrowDown", "ArrowUp")):
            self.press(page, away, 29)  # all of it: 290 of 280 pixels
            assert self.ink(page) is None
            self.press(page, back, 29)
            np.testing.assert_array_equal(self.ink(page), before)
        for away, back in (("+", "-"), ("]", "[")):
            self.press(page, away, 12)
            assert np.abs(self.ink(page) - before.astype(int)).max() > 200
            self.press(page, back, 12)
            assert np.abs(self.ink(page) - before.astype(int)).max() <= 3  # by rounding

    def test_what_was_dragged_off_the_sheet_comes_back_as_it_was(self, page):
        self.stroke(page, (30, 60), (90, 200), (250, 140))
        before = self.ink(page)
        self.click(page, "Move")
        self.stroke(page, (20, 140), (150, 140), (220, 140))
        assert 0 < (self.ink(page) > 128).sum() < 0.4 * (before > 128).sum()
        self.stroke(page, (220, 140), (20, 140))
        np.testing.assert_array_equal(self.ink(page), before)

    def test_all_changes_are_taken_back_one_by_one(self, page):
        self.click(page, "Use image")
        self.stroke(page, (60, 60), (90, 60))
        self.press(page, "]", 50)
        self.click(page, "Clear")
        sheets = []
        for _ in range(53):
            self.press(page, "z")
            sheets.append(self.ink(page))
        assert sheets.pop() is None  # as it began
        diagonal = np.diag(sheets.pop())
        assert diagonal[10:-10].min() > 120
        amount = [sheet.astype(int).sum() for sheet in sheets]
        assert min(amount) > diagonal.sum()
        turned = [np.abs(sheet - sheets[-1].astype(int)).sum() for sheet in sheets]
        assert turned[-1] == 0 < min(turned[-10:-1])
        self.press(page, "z")
        assert self.ink(page) is None

    def leave(self, page):
        """Shows another view and comes back, while an image is read."""
        pages.show(page, Row(Text(text="another view")), serial=10**6)
        assert page.locator(".sheet-of-pad").count() == 0
        pages.show(page, self.pad(), serial=10**6)

    def test_drawing_history_and_pen_outlast_an_image_and_another_view(self, page):
        page.get_by_label("Width of the line").fill("30")
        self.stroke(page, (40, 40), (60, 60))
        one = self.ink(page)
        self.stroke(page, (200, 200), (220, 240))
        two = self.ink(page)
        back = page.get_by_role("button", name="Back to your drawing")
        assert not back.is_visible()
        self.leave(page)
        back.click()
        np.testing.assert_array_equal(self.ink(page), two)
        assert not back.is_visible()
        self.leave(page)
        self.press(page, "z")  # takes the image back, not the stroke
        np.testing.assert_array_equal(self.ink(page), two)
        self.press(page, "z")
        np.testing.assert_array_equal(self.ink(page), one)
        assert page.get_by_label("Width of the line").input_value() == "30"
        self.press(page, "z")
        assert self.ink(page) is None
        self.leave(page)
        assert not back.is_visible()  # for nothing is drawn

    def test_a_stroke_goes_on_with_what_is_on_the_pad(self, page):
        self.stroke(page, (40, 40), (60, 60))
        self.ink(page)
        self.leave(page)
        self.stroke(page, (200, 200), (220, 240))
        ink = self.ink(page)
        assert min(ink[25, 25], ink[110, 105]) == 255

    def test_redo(self, page):
        sheets = [None]
        for x in (40, 140, 240):
            self.stroke(page, (x, 40), (x, 200))
            sheets.append(self.ink(page))
        for key, wanted in (("z", 2), ("z", 1), ("z", 0), ("y", 1), ("y", 2), ("y", 3), ("y", 3)):
            self.press(page, key)
            np.testing.assert_array_equal(self.ink(page), sheets[wanted])
        self.click(page, "Undo")
        self.click(page, "Clear")  # there is nothing to do again
        self.click(page, "Redo")
        assert self.ink(page) is None

    def test_the_eraser_takes_ink_away_as_wide_as_the_pen(self, page):
        page.get_by_label("Width of the line").fill("40")
        self.stroke(page, (40, 100), (240, 100))
        self.click(page, "Eraser")
        page.get_by_label("Width of the line").fill("20")
        self.stroke(page, (140, 20), (140, 260))
        rows, columns = np.nonzero(self.ink(page)[:, 30:110] < 128)
        gone = columns[rows == 50] + 30
        assert (gone.min(), gone.max()) == pytest.approx((65, 74), abs=1)
        self.click(page, "Pen")
        self.stroke(page, (140, 100))
        assert self.ink(page)[50, 70] == 255

    def test_one_tool_is_pressed(self, page):
        tools = {name: page.get_by_role("button", name=name) for name in ("Pen", "Eraser", "Move")}
        for chosen in ("Eraser", "Move", "Pen"):
            tools[chosen].click()
            pressed = [
                name for name in tools if tools[name].get_attribute("aria-pressed") == "true"
            ]
            assert pressed == [chosen]

    @pytest.mark.parametrize("width", [4, 40])
    def test_a_dot_is_as_wide_as_the_pen(self, page, width):
        page.get_by_label("Width of the line").fill(str(width))
        dot = page.locator("label:has([aria-label='Width of the line']) i").bounding_box()
        assert (dot["width"], dot["height"]) == (width, width)

    def test_keys_alone_draw(self, page):
        pad = page.locator(".sheet-of-pad")
        ring = page.locator(".pad-box > i")
        assert not ring.is_visible()  # before a key is pressed
        self.press(page, "ArrowUp", 5)
        self.press(page, "ArrowLeft", 3)
        assert pages.sent(page) == []  # the pen is only moved
        self.press(page, "Shift+ArrowDown", 8)
        assert ring.is_visible()
        place = ring.bounding_box()
        sheet = pad.bounding_box()
        middle = (place["x"] + 9 - sheet["x"], place["y"] + 9 - sheet["y"])
        assert middle == pytest.approx((110, 170), abs=0.5)
        rows, columns = np.nonzero(self.ink(page) > 128)
        assert (rows.min(), rows.max()) == pytest.approx((45 - 4.5, 85 + 4), abs=1)
        assert (columns.min(), columns.max()) == pytest.approx((55 - 4.5, 55 + 4), abs=1)

    @pytest.mark.parametrize("way", ["button", "key"])
    def test_a_drawing_is_kept_as_a_digit_as_often_as_asked(self, page, way):
        keep = page.get_by_role("button", name="Keep as 7", exact=True).click
        if way == "key":
            keep = functools.partial(page.locator(".sheet-of-pad").press, "7")
        keep()
        assert pages.sent(page) == []
        assert "Nothing is drawn" in page.locator(".readout").inner_text()
        self.stroke(page, (60, 60), (90, 60))
        text = base64.b64encode(self.ink(page)).decode()
        assert page.locator(".readout").inner_text() == ""
        keep()
        keep()  # before the host has answered
        messages = [message["select"] for message in pages.sent(page) if "select" in message]
        assert messages == [{"drawing": text, "keep": 7}] * 2

    def test_arrow_keys_go_through_the_digits_to_keep_as(self, page):
        digits = page.get_by_role("button", name="Keep as")
        assert digits.count() == 10
        reached = digits.evaluate_all("all => all.map(button => button.tabIndex)")
        assert reached == [0] + [-1] * 9
        digits.first.focus()
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.ariaLabel") == "Keep as 1"

    def test_a_notice_of_the_host_is_no_error(self, page):
        state = pages.make_state(self.pad(), call="") | {"notice": "Kept as 7/0001.png."}
        pages.mount(page, state)
        readout = page.locator(".readout")
        assert readout.inner_text() == "Kept as 7/0001.png."
        assert "error" not in readout.get_attribute("class")

    def test_keys_are_told_below_the_pad(self, page):
        assert (
            "arrows move the pen, Shift + arrows draw"
            in page.locator(".pad .notes").first.inner_text()
        )

    def test_a_touch_leaves_a_dot(self, page):
        box = page.locator(".sheet-of-pad").bounding_box()
        page.touchscreen.tap(box["x"] + 141, box["y"] + 71)
        rows, columns = np.nonzero(self.ink(page) > 128)
        assert (rows.mean(), columns.mean()) == pytest.approx((34.5, 69.5), abs=1)
        assert len(rows) == pytest.approx(np.pi * (18 / 2 / 2) ** 2, rel=0.15)

    def test_the_chosen_image_is_laid_on_it(self, page):
        self.click(page, "Use image")
        ink = self.ink(page).astype(int)
        assert np.diag(ink)[10:-10].min() > 120
        assert ink[100, 20] == 0

    @pytest.mark.parametrize(
        ("way", "ground", "pen"),
        [("file", 20, 230), ("file", 230, 20), ("drop", 230, 20), ("paste", 230, 20)],
    )
    def test_a_picture_becomes_ink(self, page, tmp_path, way, ground, pen):
        picture = Image.new("RGB", (420, 420), (ground,) * 3)
        ImageDraw.Draw(picture).rectangle([180, 60, 239, 359], fill=(pen,) * 3)
        path = tmp_path / "one.png"
        picture.save(path)
        if way == "file":
            page.get_by_label("Picture of a digit").set_input_files(path)
        else:
            page.locator(".sheet-of-pad").evaluate(GIVE, [list(path.read_bytes()), way])
        page.wait_for_function("() => host.sent.length")
        rows, columns = np.nonzero(self.ink(page) > 128)
        assert (rows.min(), rows.max()) == pytest.approx((14, 125), abs=1)  # as large as fits
        assert (columns.min(), columns.max()) == pytest.approx((58.8, 80.2), abs=1.5)

    @pytest.mark.parametrize(
        "kind",
        ["grey", "red", "white on nothing", "black on nothing", "frame", "shaded", "lamp", "noise"],
    )
    def test_a_picture_is_prepared_as_predict_does(self, page, tmp_path, few, kind):
        pen = Image.fromarray(grey(few.test.tensors[0][0])).resize((200, 200), 2)
        ink = np.asarray(pen, float)[..., None] / 255
        ground = {"grey": 100, "red": (255, 0, 0), "frame": 230}.get(kind, 255)
        sheet = np.full((280, 280, 3), float(1)) * ground
        sheet[40:240, 40:240] -= ink * (sheet[40:240, 40:240] - 20) * (kind != "white on nothing")
        rows, columns = np.indices((280, 280, 1))[:2] / 280
        if kind == "black on nothing":
            sheet *= 0
        if kind == "shaded":
            sheet *= 1 - 0.6 * columns
        if kind == "lamp":
            sheet *= 1 - 0.5 * (rows**2 + columns**2) / 2
        if kind == "noise":
            sheet = (sheet + np.random.default_rng(0).normal(0, 25, sheet.shape)).clip(0, 255)
        if kind == "frame":
            sheet = np.pad(sheet[6:-6, 6:-6], ((6, 6), (6, 6), (0, 0)))
        opacity = np.full((280, 280, 1), 255.0)
        if "nothing" in kind:
            opacity = np.pad(255 * ink, ((40, 40), (40, 40), (0, 0)))
        path = tmp_path / "seven.png"
        Image.fromarray(np.dstack([sheet, opacity]).round().astype(np.uint8)).save(path)
        page.get_by_label("Picture of a digit").set_input_files(path)
        page.wait_for_function("() => host.sent.length")
        drawn = prepare(self.ink(page).astype(np.float32) / 255).image
        (digit,) = load_digits(path)
        difference = np.abs(pixels(drawn) - pixels(digit.image))
        # where the ground is not even, the two find its edge up to a pixel of 28 elsewhere
        assert difference.mean() < (15 if kind in ("shaded", "lamp", "noise") else 4)
        assert load_checkpoint()[0](drawn[None]).argmax() == few.test.tensors[1][0]

    def test_a_kernel_gets_the_picture_and_finds_in_it_what_predict_does(self, page, tmp_path, few):
        pages.mount(page, pages.make_state(self.pad()))
        pen = Image.fromarray(grey(few.test.tensors[0][0])).resize((300, 300), 2)
        light = np.linspace(230, 140, 1000)  # from one side
        sheet = np.broadcast_to(light, (800, 1000)).copy()
        sheet[80:380, 600:900] *= 1 - 0.9 * np.asarray(pen) / 255
        Image.fromarray(sheet.astype(np.uint8)).save(tmp_path / "seven.png")
        page.get_by_label("Picture of a digit").set_input_files(tmp_path / "seven.png")
        page.wait_for_function("() => host.sent.length")
        (message,) = pages.sent(page)
        ink = picture_ink(message["select"]["picture"])
        drawing = np.frombuffer(base64.b64decode(ink), np.uint8).reshape(140, 140)
        rows, _ = np.nonzero(drawing > 25)  # of the highest contrast, a tenth
        assert (rows.min(), rows.max()) == pytest.approx((14, 125), abs=1)  # as large as fits
        drawn = prepare(pad_ink(ink)).image
        (digit,) = load_digits(tmp_path / "seven.png")
        assert np.abs(pixels(drawn) - pixels(digit.image)).mean() < 4
        assert load_checkpoint()[0](drawn[None]).argmax() == few.test.tensors[1][0]

    def test_what_is_no_picture_is_said(self, page, tmp_path):
        (tmp_path / "no.png").write_bytes(b"nothing")
        page.get_by_label("Picture of a digit").set_input_files(tmp_path / "no.png")
        page.get_by_text("no.png can't be read as a picture").wait_for()
        Image.new("L", (50, 50), 200).save(tmp_path / "blank.png")
        page.get_by_label("Picture of a digit").set_input_files(tmp_path / "blank.png")
        page.get_by_text("blank.png shows no digit").wait_for()
        assert pages.sent(page) == []
        picture = np.full((50, 50), 200, np.uint8)
        picture[10:40, 20:28] = 0
        Image.fromarray(picture).save(tmp_path / "good.png")
        page.get_by_label("Picture of a digit").set_input_files(tmp_path / "good.png")
        page.get_by_text("blank.png shows no digit").wait_for(state="hidden")

    def test_ink_of_the_host_is_shown(self, page):
        ink = np.zeros((140, 140), np.uint8)
        ink[20:40, 50:60] = 255
        pages.show(page, self.pad(base64.b64encode(ink.tobytes()).decode()))
        self.click(page, "Move")
        self.press(page, "ArrowRight")
        np.testing.assert_array_equal(self.ink(page)[22:38, 57:63] > 250, True)

    def test_what_is_drawn_stays_while_the_host_answers(self, page):
        self.stroke(page, (60, 60), (90, 60))
        first = pages.sent(page)[-1]
        self.stroke(page, (200, 200), (220, 200))  # before the answer to the first
        pages.show(page, self.pad(first["select"]["drawing"]), serial=first["serial"])
        self.click(page, "Move")
        self.press(page, "ArrowRight")  # sends what stands on the pad
        ink = self.ink(page)
        assert min(ink[30, 40], ink[100, 110]) == 255


def test_on_paper_the_pad_shows_its_ink(subject, few):
    ink = drawn(few.test.tensors[0][4])
    picture = Still(draw(subject, Selection(view="drawing", drawing=ink)))
    empty = Still(draw(subject, Selection(view="drawing")))
    dark = [
        (np.asarray(Image.open(path).convert("L"))[30:300, 15:280] < 60).sum()
        for path in map(saved, (picture, empty))
    ]
    assert dark[0] == pytest.approx((pad_ink(ink) > 0.76).sum() * 4, rel=0.15)
    assert dark[1] == 0


def saved(picture):
    """The picture's bytes as a file."""
    return io.BytesIO(picture.png())
