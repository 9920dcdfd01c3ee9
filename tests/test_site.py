"""The site without a kernel: its lab against Python and PyTorch, in Chromium, without a network."""

import base64
import dataclasses
import io
import json
import re
import zipfile
from urllib.parse import quote_plus, unquote, urlsplit

import numpy as np
import page as pages
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from networks import drawn, drawn_cross
from PIL import Image, ImageDraw
from safetensors.torch import save

from mnist_helpers import load_checkpoint, make_model
from mnist_helpers.commands.cli import main
from mnist_helpers.config import NOTEBOOKS_DIR
from mnist_helpers.digits import pad_ink, prepare
from mnist_helpers.explorer import Selection, Subject
from mnist_helpers.explorer.scene import INDEX, Column, Row, Scene, Text, encoded
from mnist_helpers.explorer.views import draw, header
from mnist_helpers.explorer.views.drawing import INVITATION
from mnist_helpers.explorer.views.parts import probability_bars
from mnist_helpers.foreign.readers import find_source, read_pictures
from mnist_helpers.runs.snapshots import load_snapshots, moments
from mnist_helpers.site.build import RUN

pytestmark = pages.needs_chromium
IMAGES = [0, 2, 8, 11, 18, 33, 41, 62, 77, 99]
NUMBER = re.compile(r"[−-]?\d+(?:\.\d+)?")
SIZE = {"width": 1280, "height": 720}  # of a page, if nothing else is said
PHONE = {"viewport": {"width": 375, "height": 812}, "has_touch": True, "is_mobile": True}
IN_THE_LAB = {  # where the stills of a page lead that the lab shows, too
    "analysis": [],
    "conv_visualization": ["#layer=conv2"],
    "convolution_by_hand": ["#layer=conv2&channel=21&row=4&column=5", "#layer=pool1&channel=8"],
    "draw_digit": [""],
    "training_replay": [],
}
GO = "fields => go({ ...START, ...fields })"
STATE = """fields => {
    show({ ...START, ...fields });
    const numbers = [];
    const plain = (_, value) => {
        if (!(value?.data instanceof Float32Array)) return value;
        const { buffer, byteOffset, byteLength } = value.data;
        numbers.push(new Uint8Array(buffer, byteOffset, byteLength).toBase64());
        return { array: numbers.length - 1, shape: value.shape };
    };
    return { shown: JSON.stringify(host.state.scenes, plain), numbers };
}"""
LOGITS = """([text, weights]) => {
    const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
    const numbers = new Float32Array(bytes.buffer);
    const images = Array.from({ length: numbers.length / 784 }, (_, i) =>
        numbers.subarray(784 * i, 784 * (i + 1)));
    return images.map(image => [...forward(image, networks.get(weights)).fc2]);
}"""
WEIGHTS = """moment => Object.entries(networks.get(moment)).map(([name, values]) =>
    [name, new Uint8Array(values.buffer).toBase64()])"""
SMALL_TARGETS = """() => [...document.querySelectorAll(
        "main :is(button, select, input, summary, [tabindex], .group[role=option])")]
    .filter(element => element.checkVisibility() && !element.matches("pre"))
    .map(element => [element, element.getBoundingClientRect()])
    .filter(([, box]) => box.width < 44 || box.height < 44)
    .map(([element, box]) => `${element.outerHTML.slice(0, 90)} ${box.width} x ${box.height}`)"""
DROP = """([text, name]) => {
    const data = new DataTransfer();
    const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
    data.items.add(new File([bytes], name));
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    main(["site", "--out", str(out)])
    return out


@pytest.fixture(scope="module")
def run():
    """The weights at each moment of the quick run, by name."""
    snapshots = load_snapshots(RUN)
    return dict(zip(moments("quick", snapshots.epochs), snapshots.weights, strict=True))


@pytest.fixture(scope="module")
def subject(splits, run):
    images, labels = (part[:100] for part in splits.test.tensors)
    return Subject(load_checkpoint()[0], images, labels, others=run)


def open_page(browser, folder, address, **options):
    """A page of the site, offline; `errors` holds what it complains of or asks the network for."""
    page = pages.new_page(browser, offline=True, **options)
    own = (folder.as_uri(), "data:image/", "blob:")
    page.on("console", lambda message: page.errors.append(message.text))
    page.on("request", lambda asked: asked.url.startswith(own) or page.errors.append(asked.url))
    page.goto(f"{folder.as_uri()}/{address}")
    if address.startswith("lab"):
        page.locator(".caption").wait_for()
    return page


@pytest.fixture
def opened(browser, folder):
    """Opens a page of its own for a test; whatever it complains of or asks for fails the test."""
    opened = []

    def open_one(*address, **options):
        opened.append(open_page(browser, folder, *address, **options))
        return opened[-1]

    yield open_one
    for page in opened:
        page.close()
        assert page.errors == []


@pytest.fixture(scope="module")
def shared_lab(browser, folder):
    page = open_page(browser, folder, "lab.html")
    yield page
    page.close()


@pytest.fixture
def lab(shared_lab):
    """The lab as it is when it was opened, but for what no test changes: its networks."""
    shared_lab.errors.clear()
    shared_lab.set_viewport_size(SIZE)
    shared_lab.evaluate("() => { go(START); scrollTo(0, 0); }")
    yield shared_lab
    assert shared_lab.errors == []


def alike(a, b, path=""):
    """Where two scenes in JSON differ; numbers may by 1e-4, or a unit in their last digit."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [each for key in a for each in alike(a[key], b[key], f"{path}.{key}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        pairs = enumerate(zip(a, b, strict=True))
        return [each for i, pair in pairs for each in alike(*pair, f"{path}[{i}]")]
    if isinstance(a, float) or isinstance(b, float):
        return [] if abs(a - b) <= 1e-4 else [f"{path}: {a} {b}"]
    if isinstance(a, str) and isinstance(b, str) and a != b:
        texts = zip(NUMBER.findall(a), NUMBER.findall(b), strict=True)
        near = all(last_digits(*pair) for pair in texts)
        return [] if near and NUMBER.sub("#", a) == NUMBER.sub("#", b) else [f"{path}: {a!r} {b!r}"]
    return [] if a == b and type(a) is type(b) else [f"{path}: {a!r} {b!r}"]


def last_digits(a, b):
    """Whether two written numbers differ by at most a unit in the last digit."""
    unit = 10.0 ** -len(a.partition(".")[2])
    values = [float(each.replace("−", "-")) for each in (a, b)]
    return abs(values[0] - values[1]) < 1.5 * unit and "." in a and len(a) == len(b)


def reading(subject, at):
    """What the lab shows on top: Python's drawing view, or its answer to the chosen image."""
    look = subject.look(at)
    drawing = draw(subject, dataclasses.replace(at, view="drawing")).content.items[0]
    pad = drawing.items[0]
    if at.drawing is None:
        answer = draw(subject, dataclasses.replace(at, view="answer")).content
        image, bars = answer.items
        chosen = Row(image, opening(bars))
        return Row(pad, Column(Text(text=INVITATION, size="strong"), chosen))
    steps = drawing.items[1].items[1]
    bars = probability_bars(look, title=look.title)
    return Row(pad, Column(opening(bars), steps))


def opening(bars):
    """Bars of which a click opens the arithmetic of a probability: the lab has no chosen class."""
    return dataclasses.replace(bars, select={"layer": "softmax", "channel": INDEX})


def expected(subject, at):
    """What the lab's page draws, made of the scenes of Python's explorer."""
    arithmetic = draw(subject, at)
    pipeline = draw(subject, dataclasses.replace(at, view="pipeline")).content
    content = Column(reading(subject, at), pipeline, arithmetic.content)
    look = subject.look(at)
    head = Row(*header(look).items[:2])  # a button would lead to a view that the lab lacks
    scene = Scene(content, arithmetic.caption)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnist_helpers.explorer.scene.MOST_BYTES", 10**9)  # in full precision
        text, numbers = encoded({"header": head, "trail": Row(), "scene": scene})
    return json.loads(text), [np.frombuffer(each, np.float32) for each in numbers]


def layers_of(subject):
    """The layers of the lab: flatten would show the values of pool2 once more."""
    return [name for name in subject.layers if name != "flatten"]


def selections(layers, inks, weights):
    """Ten images or drawings with other coordinates and weights; every layer; sums below zero."""
    for i, image in enumerate(IMAGES):
        for k in range(4):
            chosen = {"image": image, "layer": layers[(5 * i + 3 * k) % len(layers)]}
            if i % 3 == 1:
                chosen["channel"] = i % 2
            if i % 3 == 2:
                chosen["input_channel"] = i
            if (i + k) % 4 == 0:
                chosen["drawing"] = inks[i]
            if k % 2 == 0:
                chosen["weights"] = weights[(2 * i + k) % len(weights)]
            yield chosen
    for layer in layers:
        yield {"layer": layer, "image": 5}
    yield {"layer": "conv2", "row": 0, "column": 13}
    for channel in range(4):  # some below zero
        yield {"layer": "conv2", "channel": channel, "row": 7, "column": 1}
    yield {}


@pytest.mark.parametrize(("every", "count"), [(4, 15), pytest.param(1, 57, marks=pytest.mark.slow)])
def test_scenes_are_those_of_python(lab, subject, run, every, count):
    start = lab.evaluate("START")
    plain = vars(Selection(layer=subject.look(Selection()).layer))  # the one that it fills in
    assert start == {name: plain[name] for name in start}
    inks = [drawn(image) for image in subject.images[50:60]]
    looks = list(selections(layers_of(subject), inks, list(run)))[::every]
    assert len(looks) == count
    looks += [{"drawing": drawn_cross()}, {"drawing": drawn_cross(), "weights": list(run)[-1]}]
    for fields in looks:
        at = Selection(view="arithmetic", **fields)
        scenes, numbers = expected(subject, at)
        state = lab.evaluate(STATE, fields)
        assert alike(scenes, json.loads(state["shown"])) == [], fields
        assert len(state["numbers"]) == len(numbers)
        for text, values in zip(state["numbers"], numbers, strict=True):
            found = np.frombuffer(base64.b64decode(text), np.float32)
            np.testing.assert_allclose(found, values, rtol=0, atol=1e-4)
        own_cross = fields == {"drawing": drawn_cross()}  # to which alone the card's limit applies
        assert ("no digit that it knows, nearest to" in state["shown"]) == own_cross


def test_what_is_copied_is_the_address(opened):
    page = opened("lab.html#layer=conv2&channel=5")
    page.evaluate("navigator.clipboard.writeText = () => Promise.reject(); 0")
    with page.expect_event("dialog") as asked:
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Copy").click()
    assert asked.value.default_value == page.url
    assert page.url.endswith("lab.html#layer=conv2&channel=5")


def text_of(images):
    return base64.b64encode(images.numpy().tobytes()).decode()


def same_logits(page, model, images, moment=None):
    """What a model answers to images, which the lab answers with the weights of a moment."""
    with torch.inference_mode():
        logits = model(images)
    found = torch.tensor(page.evaluate(LOGITS, [text_of(images), moment]))
    assert (found - logits).abs().max() <= 1e-4
    assert torch.equal(found.argmax(1), logits.argmax(1))
    return logits


@pytest.mark.parametrize("count", [100, pytest.param(500, marks=pytest.mark.slow)])
def test_logits_are_those_of_pytorch(lab, splits, count):
    same_logits(lab, load_checkpoint()[0], splits.test.tensors[0][-count:])


def test_the_weights_of_every_moment_are_those_of_the_run_bit_for_bit(lab, run):
    assert lab.evaluate("LAB.moments") == list(run)
    for moment, weights in run.items():
        found = dict(lab.evaluate(WEIGHTS, moment))
        wanted = {name: text_of(values) for name, values in weights.items()}
        assert found == wanted, moment


def test_the_answers_at_a_moment_are_those_of_pytorch(lab, splits, run):
    model, images = make_model(0).eval(), splits.test.tensors[0][:100:3]
    names = list(run)
    for moment in (names[0], names[1], names[9], names[-1]):
        model.load_state_dict(run[moment])
        logits = same_logits(lab, model, images, moment)
        for i in (0, 6, 33):
            lab.evaluate(GO, {"image": 3 * i, "weights": moment})
            share = logits[i].softmax(0).max()
            told = f", read as {logits[i].argmax()} with {share:.1%}."
            assert told in lab.locator(".caption").inner_text()


def test_the_slider_goes_through_the_run_and_ends_with_the_published_weights(lab, run):
    names, page = list(run), lab
    page.evaluate(GO, {"image": 3, "layer": "conv2"})
    slider = page.get_by_role("slider", name="Network")
    answer, reader = page.locator(".top .text").first, page.locator("#reader")
    published = answer.inner_text()
    assert slider.input_value() == str(len(names))
    assert reader.inner_text() == "published weights"

    def is_at(moment, said):
        place = f"#image=3&layer=conv2{moment and '&weights='}{quote_plus(moment)}"
        page.wait_for_function("hash => location.hash === hash", arg=place)
        assert reader.inner_text() == said
        assert slider.get_attribute("aria-valuetext") == said

    slider.focus()
    page.keyboard.press("Home")
    is_at(names[0], "quick run, epoch 0")
    assert answer.inner_text() != published
    page.keyboard.press("ArrowRight")
    is_at(names[1], f"quick run, epoch {names[1].split()[-1]}")
    page.keyboard.press("End")
    is_at("", "published weights")
    assert answer.inner_text() == published
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 7, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=3)
    assert reader.inner_text().startswith("quick run, epoch 0.")  # while it is dragged
    assert "weights" not in page.evaluate("location.hash")
    page.mouse.up()
    is_at(names[11], f"quick run, epoch {names[11].split()[-1]}")
    page.get_by_role("button", name="Back to start").click()
    page.wait_for_function("location.hash === ''")
    assert reader.inner_text() == "published weights"
    assert slider.input_value() == str(len(names))


def test_the_way_by_keyboard_alone(lab):
    page = lab
    page.locator("a").first.focus()
    focus = "document.activeElement.closest('.scene .mark')?.querySelector('figcaption').innerText"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(focus) == "conv2" and page.locator(":focus.grid").count():
            break
    assert page.locator(":focus.grid").count() == 1
    for key in ("Home", "ArrowRight", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.wait_for_function("location.hash === '#layer=conv2&channel=5'")
    page.locator(".caption", has_text="conv2, channel 5, row").wait_for()
    assert page.evaluate(focus) == "conv2"


def test_the_address_is_the_selection_and_back(opened, run):
    moment = list(run)[5]
    weights = f"weights={quote_plus(moment)}"
    page = opened(f"lab.html#channel=3&{weights}&layer=conv2&image=4&input_channel=2")
    caption, reader = page.locator(".caption"), page.locator("#reader")
    name = f"quick run, epoch {moment.split()[-1]}"
    assert reader.inner_text() == name
    assert page.locator("#moment").input_value() == "5"
    assert page.evaluate("host.selection.weights") == moment
    assert caption.inner_text().startswith("Image 4, label 4")
    assert "conv2, channel 3, row" in caption.inner_text()
    assert caption.inner_text().endswith("The numbers are those of input channel 2.")
    page.locator("#images canvas").nth(7).click()
    chosen = "layer=conv2&channel=3&input_channel=2"
    page.wait_for_function(f"location.hash === '#image=7&{chosen}&{weights}'")
    page.get_by_role("button", name="Back to start").click()
    page.wait_for_function("location.hash === ''")
    page.evaluate(f"location.hash = '#channel=21&layer=conv2&row=4&column=5&{weights}'")
    page.get_by_text("sum of all products", exact=False).first.wait_for()
    assert "conv2, channel 21, row 4, column 5" in caption.inner_text()
    for wrong, said in {
        "layer=conv9": "nothing has layer=conv9",
        "image=100": "nothing has image=100",
        "colour=red": "nothing has colour=red",
        "layer=conv2&channel=32": "nothing has channel=32",
        "input_channel=32": "nothing has input_channel=32",
        "constructor=1": "nothing has constructor=1",
        "view=kernels": "nothing has view=kernels",
        "drawing=AAAA": "nothing has drawing=AAAA",
        "weights=quick, epoch 3": "nothing has weights=quick, epoch 3",
        "weights=null": "nothing has weights=null",
        "weights=5": "nothing has weights=5",
    }.items():
        page.evaluate("hash => { location.hash = hash; }", wrong)
        sentence = f"This address leads nowhere: {said}. Image 0 is shown instead."
        page.locator("#said", has_text=sentence).wait_for()
        assert reader.inner_text() == name
        assert "conv2, channel 21, row 4, column 5" in caption.inner_text()
    page.locator("#moment").press("ArrowLeft")
    assert page.locator("#said").inner_text() == ""


def test_clicks_lead_from_an_answer_down_to_a_pixel(lab):
    page = lab
    page.evaluate(GO, {"image": 2})
    caption = page.locator(".caption")
    page.locator(".scene .bars .group").nth(8).click()
    page.wait_for_function("location.hash === '#image=2&layer=softmax&channel=8'")
    assert "exp of logit 8, divided by the sum of all" in caption.inner_text()
    page.get_by_role("grid", name="softmax").get_by_role("gridcell").nth(3).click()
    page.wait_for_function("location.hash === '#image=2&layer=softmax&channel=3'")
    page.locator(".scene figcaption").get_by_role("button", name="conv2", exact=True).first.click()
    page.locator(".scene .maps", has_text="pool1").first.locator("canvas").click()
    page.locator(".caption", has_text="pool1, channel").wait_for()
    last = page.locator(".scene > .column > .column")
    last.locator("td").nth(1).click()  # one of the four that the pooling reads
    page.locator(".caption", has_text="relu1, channel").wait_for()
    fields = page.evaluate("host.selection")
    assert fields["layer"] == "relu1"
    assert None not in (fields["channel"], fields["row"], fields["column"])
    last.locator(".maps canvas").first.click()
    page.locator(".caption", has_text="image, channel 0").wait_for()


def test_another_layer_takes_the_place_along_as_far_as_it_goes(lab):
    lab.evaluate(GO, {"layer": "conv1", "channel": 9, "row": 27, "column": 20})
    titles = lab.locator(".scene figcaption")
    titles.get_by_role("button", name="pool2", exact=True).first.click()
    lab.wait_for_function("location.hash === '#layer=pool2&channel=9&row=6&column=6'")
    titles.get_by_role("button", name="image", exact=True).first.click()
    lab.wait_for_function("location.hash === '#layer=image&channel=0&row=6&column=6'")


def weights_of(model):
    """The weights of a model as they can be saved."""
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items()}


def test_own_weights_are_read_or_refused_in_a_sentence(opened, subject, tmp_path):
    page = opened("lab.html#image=3")
    said, caption = page.locator("#said"), page.locator(".caption")
    before = caption.inner_text()
    model = make_model(1).eval()
    weights = weights_of(model)
    good = save(weights, metadata={"made": "here"})
    wrong = weights | {"fc2.weight": torch.zeros(9, 128)}
    more = weights | {"fc3.bias": torch.zeros(3)}
    less = {name: each for name, each in weights.items() if name != "conv1.bias"}
    length = int.from_bytes(good[:8], "little")
    head = good[: 8 + length].replace(b"F32", b"F16")
    lying = good[: 8 + length].replace(b"[0,", b"[4,")  # where the first numbers begin
    refused = {
        "shape": (save(wrong), "fc2.weight is 9 × 128, but must be 10 × 128"),
        "more": (save(more), "it holds fc3.bias, which this network doesn't have"),
        "less": (save(less), "it lacks conv1.bias"),
        "infinite": (save(weights | {"fc1.bias": torch.full((128,), torch.inf)}), "not finite"),
        "cut": (good[:-5], "are cut off"),
        "half": (head + good[8 + length :], "holds F16, but must hold F32"),
        "lying": (lying + good[8 + length :], "are cut off"),
        "headless": (good[:100], "or is incomplete"),
        "text": (b"\x10" + bytes(7) + b"this is no JSON at all", "not a .safetensors file"),
        "null": (b"\x04" + bytes(7) + b"null", "it lacks conv1.bias"),
        "number": (b"\x10" + bytes(7) + b'{"conv1.bias":1}', "conv1.bias holds undefined"),
    }
    for name, (content, sentence) in refused.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        page.locator("#file").set_input_files(path)
        page.get_by_text(f"{name}.safetensors was not taken").wait_for()
        assert sentence in said.inner_text()
        assert said.inner_text().endswith("Nothing has changed.")
        assert caption.inner_text() == before
    page.evaluate(DROP, [base64.b64encode(save(weights)).decode(), "whole"])
    page.get_by_text("whole was loaded").wait_for()
    logits = same_logits(page, model, subject.images)
    assert f"with {logits[3].softmax(0).max():.1%}" in caption.inner_text()
    reader = page.locator("#reader")
    assert reader.inner_text() == "your own weights"
    own = caption.inner_text()
    page.locator("#moment").press("ArrowLeft")
    assert reader.inner_text() == "quick run, epoch 2"
    assert caption.inner_text() != own
    page.locator("#moment").press("End")
    assert reader.inner_text() == "your own weights"
    assert caption.inner_text() == own


@pytest.mark.slow
@pytest.mark.parametrize("width", [1400, 375])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(opened, folder, subject, scheme, width):
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    page = opened("lab.html#layer=conv9", **options)
    looks = [{"layer": "fc1", "drawing": drawn(subject.images[3]), "weights": "quick, epoch 0"}]
    for fields in [None, *looks, {}, {"layer": "pool2"}]:
        if fields is not None:  # else the address leads nowhere
            page.evaluate(GO, fields)
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
    for name in ("index", "conv_visualization", "reliability"):
        page.goto(f"{folder.as_uri()}/{name}.html")
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()


@pytest.mark.slow
def test_on_a_telephone(opened, folder, subject):
    page = opened("lab.html", **PHONE)
    for layer in layers_of(subject):
        for drawing in (None, drawn(subject.images[3])):
            page.evaluate(GO, {"layer": layer, "drawing": drawing})
            assert page.evaluate("document.documentElement.scrollWidth") <= 375, layer
            assert page.evaluate(SMALL_TARGETS) == [], layer
    for path in sorted(folder.glob("*.html")):
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, path.name


def bounds(place):
    box = place.bounding_box()
    return box["y"], box["y"] + box["height"]


def test_a_telephone_shows_what_is_wrong_then_answer_pad_and_bars(opened, subject):
    page = opened("lab.html#layer=conv9", **PHONE)
    _, pad_end = bounds(page.locator(".sheet-of-pad"))
    places = [bounds(page.locator(selector)) for selector in ("#said", "#reader", ".top")]
    assert sorted(places) == places
    assert 0 < places[0][0] < places[-1][1] < pad_end < 812
    for drawing in (None, drawn(subject.images[3])):
        page.evaluate(GO, {"drawing": drawing})
        top, _ = bounds(page.locator(".scene .bars").first)
        assert 0 < top - bounds(page.locator(".sheet-of-pad"))[1] < 812 / 2
    steps = [bounds(page.get_by_text(name)) for name in ("1. cropped", "4. normalised")]
    assert top < steps[0][0] <= steps[1][0]


def test_words_of_the_start_page_stay_whole_on_a_telephone(opened):
    page = opened("index.html", **PHONE)
    for link in page.locator("td a").all():
        assert len(link.evaluate("link => [...link.getClientRects()]")) == 1


def test_every_link_leads_to_a_file(folder):
    names = {path.stem for path in NOTEBOOKS_DIR.glob("*.ipynb")}
    start = (folder / "index.html").read_text("utf-8")
    assert all(f'href="{name}.html"' in start for name in names - {"00_start_here"})
    assert start.count("<li><strong>") == 4  # the ways in
    for path in folder.glob("*.html"):
        text = path.read_text("utf-8")
        for link in re.findall(r'(?:href|src)="([^"]*)"', text):
            target = urlsplit(link)
            if target.scheme == "https":  # a source: followed, never fetched
                assert f'src="{link}"' not in text, (path.name, link)
            elif target.scheme != "data":
                assert target.scheme == "", (path.name, link)
                goal = folder / (unquote(target.path) or path.name)
                assert goal.is_file(), link
                is_place = target.fragment and goal.name != "lab.html"
                assert not is_place or f'id="{target.fragment}"' in goal.read_text("utf-8"), link
        assert path.name == "lab.html" or "<script" not in text


@pytest.mark.parametrize(
    "pattern", ["[il]*.html", pytest.param("*.html", marks=pytest.mark.slow)]
)  # the start, the lab and a notebook; all
def test_no_page_asks_the_network(opened, folder, pattern):
    page = opened("index.html")  # which fails where one asks for more than is there, or complains
    paths = sorted(folder.glob(pattern))
    assert len(paths) >= 3
    for path in paths:
        page.goto(path.as_uri())
        sizes = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
        assert all(sizes), path.name
        assert page.evaluate("[...document.images].every(i => i.closest('a').href === i.src)")
        bare = ("lab", "glossary", "metrics", "reliability", "00_start_here")
        assert len(sizes) > 0 or path.stem in bare
        assert page.locator("meta[content^=\"default-src 'none'\"]").count() == 1


def test_the_lab_can_send_nothing(browser, folder):
    page = pages.new_page(browser)
    page.route("https://elsewhere.test/**", lambda route: route.fulfill(body="here"))
    page.goto(f"{folder.as_uri()}/lab.html")
    asked = "fetch('https://elsewhere.test/').then(() => 'let', () => 'refused')"
    assert page.evaluate(asked) == "refused"
    page.close()


def keep_one(page, digit):
    """Draws a line down the pad's middle, and keeps it as a digit."""
    pad = page.locator(".sheet-of-pad")
    pad.press("Delete")
    for _ in range(8):
        pad.press("Shift+ArrowDown")
    page.locator(".caption", has_text="Your drawing").wait_for()
    pad.press(str(digit))
    page.locator("#said", has_text="that you keep").wait_for()


def test_what_is_kept_follows_the_images_and_goes_through_an_archive(opened, tmp_path):
    page = opened("lab.html")
    pictures = page.locator("#images .group")
    save_button = page.get_by_role("button", name="Save your digits")
    assert save_button.is_disabled()  # nothing is kept
    keep_one(page, 1)
    assert save_button.is_enabled()
    keep_one(page, 3)  # which it isn't
    said = "Read correctly of the digits that you keep: 1 of 2."
    assert page.locator("#said").inner_text() == said
    page.evaluate(GO, {"image": 101})
    assert "Image 101, label 3, read as 1 with" in page.locator(".caption").inner_text()
    labels = page.locator("#images .label").all_inner_texts()
    assert labels == [*map(str, range(100)), "kept 1", "kept 3"]
    shown = page.evaluate("[...IMAGES.at(-1)]")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save your digits").click()
    assert download.value.suggested_filename == "my-digits.zip"
    download.value.save_as(tmp_path / "kept.zip")
    with zipfile.ZipFile(tmp_path / "kept.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["my-digits/1/100.png", "my-digits/3/101.png"]
        archive.extractall(tmp_path)
    read, labels = read_pictures(find_source(tmp_path / "my-digits"), "train")
    assert labels.tolist() == [1, 3]
    ink = np.reshape(shown, (28, 28)) * 0.3081 + 0.1307
    assert np.abs(read[1] - 255 * ink).max() < 0.51
    page.locator("#said").evaluate("said => { said.textContent = '' }")
    page.locator("#file").set_input_files(tmp_path / "kept.zip")
    page.locator("#said", has_text=said).wait_for()
    assert page.evaluate("LAB.labels.length") == len(page.evaluate("IMAGES")) == 102  # as before
    other = opened("lab.html")
    other.locator("#file").set_input_files(tmp_path / "kept.zip")
    other.locator("#said", has_text=said).wait_for()
    again = other.evaluate("[LAB.labels.slice(100), [...IMAGES.at(-1)]]")
    assert again[0] == [1, 3]
    assert np.abs(np.subtract(again[1], shown)).max() < 0.01
    assert pictures.count() == other.locator("#images .group").count()
    # other pixels of the same digit, and another digit of the same pixels
    other.evaluate("() => { IMAGES[100] = IMAGES[0]; LAB.labels[101] = 8; }")
    (tmp_path / "kept.zip").rename(tmp_path / "again.zip")
    other.locator("#file").set_input_files(tmp_path / "again.zip")
    other.locator("#said", has_text="of 4.").wait_for()
    assert other.evaluate("LAB.labels.slice(100)") == [1, 8, 1, 3]


def pack(path, *names, kind=zipfile.ZIP_STORED):
    """An archive of folders and grey pictures of these names."""
    picture = io.BytesIO()
    Image.new("L", (28, 28), 90).save(picture, "PNG")
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name in names:
            archive.writestr(name, picture.getvalue() if "." in name else "")
    return path


def test_what_was_wrong_with_a_picture_goes_with_the_next_success(opened, tmp_path):
    """Whether an image is chosen, an archive or weights are loaded, or another picture."""
    page = opened("lab.html")
    pack(tmp_path / "a.zip", "my-digits/7/1.png")
    (tmp_path / "mine.safetensors").write_bytes(save(weights_of(load_checkpoint()[0])))
    picture = Image.new("L", (280, 280), 255)
    ImageDraw.Draw(picture).rectangle([130, 40, 149, 239], fill=0)
    picture.save(tmp_path / "one.png")
    load = page.get_by_label("Picture of a digit").set_input_files
    successes = (
        lambda: page.locator("#images canvas").nth(3).click(),
        lambda: page.locator("#file").set_input_files(tmp_path / "a.zip"),
        lambda: page.locator("#file").set_input_files(tmp_path / "mine.safetensors"),
        lambda: load(tmp_path / "one.png"),
    )
    for i, succeed in enumerate(successes):
        (tmp_path / f"bad{i}.png").write_text("no picture")
        load(tmp_path / f"bad{i}.png")
        page.locator(".readout.error", has_text=f"bad{i}.png can't be read").wait_for()
        succeed()
        page.locator(".readout:not(.error)").wait_for()
        assert "can't be read" not in page.locator(".readout").inner_text()
    page.locator(".caption", has_text="Your drawing, read as 1 with").wait_for()


def test_no_image_is_framed_while_a_drawing_is_shown(opened):
    page = opened("lab.html")
    frames = page.locator("#images .frame")
    assert frames.count() == 1
    keep_one(page, 1)
    assert frames.count() == 0
    page.locator("#images canvas").nth(0).click()
    assert page.locator("#images .map").nth(0).locator(".frame").count() == frames.count() == 1


@pytest.mark.parametrize("options", [{"viewport": {"width": 1280, "height": 500}}, PHONE])
def test_that_nothing_is_drawn_is_in_sight_of_the_pad(opened, tmp_path, options):
    page = opened("lab.html", **options)
    page.locator("#file").set_input_files(pack(tmp_path / "a.zip", "my-digits/7/1.png"))
    page.locator("#said", has_text="that you keep").wait_for()
    page.locator(".sheet-of-pad").evaluate("pad => pad.scrollIntoView(false)")
    page.get_by_role("button", name="Keep as 1").click()
    page.locator(".readout", has_text="Nothing is drawn").wait_for()
    page.locator(".sheet-of-pad").evaluate("pad => scrollBy(0, pad.getBoundingClientRect().top)")
    on_top = page.locator(".readout").evaluate(
        """readout => {
            const { left, top, height } = readout.getBoundingClientRect();
            const edges = [top + 2, top + height - 2];
            return edges.map((y) => document.elementFromPoint(left + 20, y) === readout);
        }"""
    )
    assert on_top == [True, True]


def test_other_archives_are_read_or_refused_in_a_sentence(opened, tmp_path):
    page = opened("lab.html")
    said = page.locator("#said")
    names = ("my-digits/", "my-digits/7/", "my-digits/7/a.png", "10/0001.png", "7.png")
    pack(tmp_path / "packed.zip", *names, kind=zipfile.ZIP_DEFLATED)
    (tmp_path / "empty.zip").write_bytes(b"")
    page.locator("#file").set_input_files(pack(tmp_path / "whole.zip", *names))
    said.get_by_text("Read correctly of the digits that you keep: 0 of 1.").wait_for()
    assert page.evaluate("LAB.labels.slice(100)") == [7]
    for name in ("packed", "empty"):
        page.locator("#file").set_input_files(tmp_path / f"{name}.zip")
        said.get_by_text(f"{name}.zip was not taken: it holds no PNG, not packed, in").wait_for()
    assert page.evaluate("LAB.labels.slice(100)") == [7]


@pytest.mark.parametrize(("limit", "answer"), [("0.999", "no digit"), (None, "1")])
def test_own_weights_bring_their_limit(opened, tmp_path, limit, answer):
    page = opened("lab.html")
    about = {"no_digit": limit} if limit else None
    content = save(weights_of(load_checkpoint()[0]), metadata=about)
    (tmp_path / "mine.safetensors").write_bytes(content)
    page.locator("#file").set_input_files(tmp_path / "mine.safetensors")
    page.get_by_text("mine.safetensors was loaded").wait_for()
    keep_one(page, 1)
    assert page.locator(".header .large").inner_text() == answer


def test_what_is_kept_is_read_by_own_weights_beside_the_published_ones(opened, tmp_path):
    page = opened("lab.html")
    keep_one(page, 1)
    page.locator(".sheet-of-pad").press("1")
    keep_one(page, 3)
    model = load_checkpoint()[0]
    model.fc2.bias.data[3] += 1000  # whatever they see
    (tmp_path / "threes.safetensors").write_bytes(save(weights_of(model)))
    page.locator("#file").set_input_files(tmp_path / "threes.safetensors")
    said = "Read correctly of the digits that you keep: 1 of 3, 2 by published weights."
    page.locator("#said", has_text=f"at the end of the slider. {said}").wait_for()
    page.locator(".sheet-of-pad").press("3")
    said = "Read correctly of the digits that you keep: 2 of 4, 2 by published weights."
    page.locator("#said").get_by_text(said, exact=True).wait_for()


def test_a_picture_that_is_dropped_anywhere_goes_on_the_pad(opened):
    page = opened("lab.html")
    dropped = """text => {
        const data = new DataTransfer();
        const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        data.items.add(new File([bytes], "one.png", { type: "image/png" }));
        const about = { dataTransfer: data, bubbles: true, cancelable: true };
        const event = new DragEvent("drop", about);
        document.querySelector("h1").dispatchEvent(event);
        return event.defaultPrevented;
    }"""
    picture = Image.new("L", (280, 280), 255)
    ImageDraw.Draw(picture).rectangle([130, 40, 149, 239], fill=0)
    content = io.BytesIO()
    picture.save(content, "PNG")
    assert page.evaluate(dropped, base64.b64encode(content.getvalue()).decode())
    page.locator(".caption", has_text="Your drawing, read as 1 with").wait_for()
    assert page.locator("#said").inner_text() == ""
    assert page.evaluate(dropped, "TUlO")
    told = "one.png can't be read as a picture; give a PNG or JPEG file."
    page.locator(".readout", has_text=told).wait_for()


@pytest.mark.parametrize(("name", "places"), IN_THE_LAB.items())
def test_stills_lead_to_the_same_in_the_lab(opened, name, places):
    page = opened(f"{name}.html")
    links = page.locator("p.widget a")
    assert [link.get_attribute("href") for link in links.all()] == [f"lab.html{p}" for p in places]
    assert page.locator("p.widget", has_text="In JupyterLab an explorer stands here").count() >= 1
    assert page.locator(".output pre", has_text="explore(").count() == 0
    for i, place in enumerate(places):
        if "channel" in place:  # the still is of the arithmetic
            shown = links.nth(i).evaluate("a => a.closest('.output').querySelector('img').alt")
            links.nth(i).click()
            assert page.locator(".caption").inner_text() == shown
            page.go_back()


def test_a_notebook_page_has_title_contents_and_the_notebook(opened, folder):
    notebook = NOTEBOOKS_DIR / "analysis.ipynb"
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    lines = [line for each in cells if each["cell_type"] == "markdown" for line in each["source"]]
    titles = [line[3:].strip() for line in lines if line.startswith("## ")]
    page = opened("analysis.html", **PHONE)
    assert page.title() == f"{lines[0][2:].strip()} · MNIST, opened"
    assert page.locator(".pages [aria-current=page]").all_inner_texts() == ["Analysis"]
    links = page.locator(".contents a")
    assert not links.first.is_visible()
    page.set_viewport_size({"width": 1400, "height": 900})
    assert links.all_inner_texts() == titles
    assert len(titles) > 5
    links.nth(3).click()
    assert page.locator("h2:target").inner_text().removesuffix("¶") == titles[3]
    link = page.get_by_role("link", name="analysis.ipynb").get_attribute("href")
    assert (folder / link).read_bytes() == notebook.read_bytes()
    for name, title in {"index": "MNIST, opened", "glossary": "Glossary · MNIST, opened"}.items():
        page.goto(f"{folder.as_uri()}/{name}.html")
        assert page.title() == title
        assert page.locator(".contents").count() == 0


def test_sizes(folder):
    assert (folder / "lab.html").stat().st_size <= 4_000_000


def test_a_drawing_is_prepared_and_read_in_the_page(opened):
    page = opened("lab.html")  # with an empty pad
    page.set_viewport_size({"width": 1000, "height": 1200})
    page.locator(".scene", has_text="Draw a digit on the pad").wait_for()
    pad = page.locator(".sheet-of-pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 40)
    page.mouse.down()
    for x, y in [(150, 40), (140, 90), (190, 100), (190, 150), (140, 150)]:  # a small 5
        page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
    page.mouse.up()
    page.locator(".caption", has_text="Your drawing, read as 5 with").wait_for()
    ink = pad_ink(page.evaluate("host.selection.drawing"))
    image = prepare(ink).image
    probs = load_checkpoint()[0](image[None]).softmax(1)[0]
    bars = page.locator(".scene .bars .group").nth(5).get_attribute("aria-label")
    assert float(bars.rpartition(" ")[2].rstrip("%")) / 100 == pytest.approx(
        probs[5].item(), abs=0.01
    )
    assert page.evaluate("location.hash") == ""
    page.locator(".scene figcaption").get_by_role("button", name="fc2", exact=True).first.click()
    page.locator(".caption", has_text="Your drawing, read as 5 with").wait_for()
    page.wait_for_function("location.hash === '#layer=fc2'")
    page.locator("#images canvas").nth(3).click()
    page.locator(".caption", has_text="Image 3, label 0").wait_for()


def test_the_page_prepares_ink_as_python_does(lab):
    drawings, most = np.random.default_rng(0), 0
    for _ in range(12):
        ink = np.zeros((140, 140), np.uint8)
        top, left = drawings.integers(0, 90, 2)
        height, width = drawings.integers(2, 50, 2)
        ink[top : top + height, left : left + width] = drawings.integers(1, 256, (height, width))
        text = base64.b64encode(ink.tobytes()).decode()
        found = np.array(lab.evaluate("ink => [...preparedOf(ink).image]", text))
        wanted = prepare(pad_ink(text)).image.flatten().numpy()
        most = max(most, np.abs(found - wanted).max() * 0.3081 * 255)
    assert most <= 1.001  # a level of grey, by rounding
