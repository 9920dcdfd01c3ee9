"""Selection, subject, controls, widget: what can be moved, what is kept, what the page gets."""

import asyncio
import base64
import gc
import io
import json
import math
import weakref
from threading import Thread, current_thread
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import some_slow
from ipywidgets import (
    BoundedIntText,
    Box,
    Button,
    Dropdown,
    IntSlider,
    SelectionSlider,
    Widget,
    link,
)
from ipywidgets.widgets.widget import _instances
from networks import COLOUR, build, drawn, hooked, images_of
from PIL import Image, ImageDraw
from torch import nn

from mnist_helpers import InputError, make_model
from mnist_helpers.analysis.disturbance import disturb
from mnist_helpers.explorer import Explorer, Selection, Subject, cells, explore, still
from mnist_helpers.explorer.controls import Slider
from mnist_helpers.explorer.inputs import checked_images
from mnist_helpers.explorer.look import largest
from mnist_helpers.explorer.scene import number
from mnist_helpers.explorer.selection import ImageFilter
from mnist_helpers.explorer.views import VIEWS, draw
from mnist_helpers.runs.snapshots import Snapshots, moments

ALWAYS = [name for name in VIEWS if name != "training"]  # whatever a subject has
OLD = make_model(1).state_dict()


@pytest.fixture(scope="module")
def subject(few):
    return Subject(make_model(0), *few.test.tensors, others={"other": OLD})


@pytest.fixture
def explorer(subject):
    return Explorer(subject, Selection())


def data_url(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def send(explorer, **part):
    explorer.receive({"select": part, "serial": explorer.serial + 1})


def shown_controls(explorer):
    """The names of the controls that are shown, in order."""
    names = {control: name for name, control in explorer.controls.items()}
    return [names[control] for control in leaves(explorer.panel) if control in names]


def leaves(box):
    """The widgets in boxes, in order."""
    if not isinstance(box, Box):
        return [box]
    return [leaf for child in box.children for leaf in leaves(child)]


def steps(control):
    """The values to which a control can be moved: of a slider over numbers three of them."""
    if control.disabled:
        return [control.value]
    if isinstance(control, IntSlider | BoundedIntText):
        return sorted({control.min, control.max // 2, control.max})
    return [value for _, value in control.options]


def shown(explorer):
    """The scenes that the page gets."""
    return json.loads(explorer.page.state["shown"])


def marks(item, kind):
    """All marks of a kind in a part of a scene."""
    parts = [mark for each in item.get("items", []) for mark in marks(each, kind)]
    return parts + [item] * (item["kind"] == kind)


def decoded(explorer, array):
    data, count = explorer.page.state["numbers"][array["array"]], math.prod(array["shape"])
    precision = {2: "float16", 4: "float32"}[len(data) // count]
    return np.frombuffer(data, precision).reshape(array["shape"])


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (-1.5, ".2f", "−1.50"),
        (-0.001, ".2f", "0.00"),
        (2.0, ".2f", "2.00"),
        (float("nan"), ".2f", ""),
        (0.5, ".1%", "50.0%"),
    ],
)
def test_numbers_have_a_true_minus_and_no_negative_zero(value, spec, text):
    assert number(value, spec) == text


class TestSelection:
    def test_ablated_channels_may_come_in_any_list_and_order(self):
        at = Selection(ablated=[["conv2", 1], ["conv1", 3]])
        assert at == Selection(ablated=(("conv1", 3), ("conv2", 1)))

    def test_its_text_is_the_call_that_brings_one_back(self, subject):
        fields = {"view": "ablation", "image": 3, "ablated": (("conv1", 3),), "rank": True}
        model, images, labels = subject.network.model, subject.images, subject.labels
        explorer = explore(model, images, labels, **fields)
        names = {"explore": explore, "model": model, "images": images, "labels": labels}
        assert repr(explorer).startswith("explore(model, images, labels, view='ablation', ")
        again = eval(repr(explorer), names)
        assert again.selection == Selection(**fields)
        assert repr(explore(model, images, labels)) == "explore(model, images, labels)"
        of_subject = explore(subject, weights="other", image=3)
        assert repr(of_subject) == "explore(subject, image=3, weights='other')"
        assert eval(repr(of_subject), names | {"subject": subject}).subject is subject

    def test_a_field_that_is_none_is_refused(self, subject):
        with pytest.raises(InputError, match="a selection has no stage; it has digit, predicted"):
            still(subject, stage="conv1")


class TestSubject:
    @pytest.mark.parametrize(
        "names", ["a,b,c,d", '["a", "b", "c", "d"]', "['a', 'b', 'c', 'd']", ("a", "b", "c", "d")]
    )
    def test_names_of_classes_may_be_one_text(self, names):
        assert Subject(build("skipping"), COLOUR, class_names=names).digits == ["a", "b", "c", "d"]
        for wrong in ("a,b,c", "[a, b, c, d", "[1, 2]"):
            with pytest.raises(InputError, match="names, but there are 4 classes"):
                Subject(build("skipping"), COLOUR, class_names=wrong)

    def test_images_that_look_unnormalised_are_named_and_no_others(self, splits, caplog):
        normalised = splits.test.tensors[0][:50]
        pixels = normalised * 0.3081 + 0.1307
        rgb = pixels.expand(-1, 3, -1, -1) - torch.tensor([0.485, 0.456, 0.406])[:, None, None]
        disturbed = disturb(None, normalised, "contrast", 0.04)
        for images in (normalised, normalised[:1], rgb / 0.225, 2 * pixels - 1, disturbed):
            checked_images(images)
        assert caplog.messages == []
        checked_images(disturbed, make_model())
        sentence = "the images aren't normalised as usual; was the model trained on such ones?"
        # as they are, in bytes, by a half, as ImageNet's, and mean and deviation exchanged
        for mean, std in ((0, 1), (0, 1 / 255), (0.5, 0.5), (0.485, 0.229), (0.3081, 0.1307)):
            Subject(make_model(), (pixels.clamp(0) - mean) / std)
            assert caplog.messages == [sentence]
            caplog.clear()
        checked_images(pixels.clamp(0))  # for whichever model
        assert caplog.messages == [sentence]

    def test_the_model_stays_in_its_mode(self, few):
        model = make_model().train()
        explorer = explore(model, *few.test.tensors, view="answer")
        send(explorer, view="ablation", ablate=["conv1", 3])
        assert all(module.training for module in model.modules())

    def test_filters(self, subject):
        preds = subject.network.model(subject.images).argmax(1)
        right = preds == subject.labels
        for digit in (None, 4):
            for read, mask in (("all", right | True), ("right", right), ("wrong", ~right)):
                among = mask if digit is None else mask & (subject.labels == digit)
                wanted = among.nonzero().flatten().tolist()
                assert subject.image_numbers(ImageFilter(digit=digit, read=read)).tolist() == wanted

    def test_without_labels_the_models_answers_stand_for_them(self, subject):
        bare = Subject(subject.network.model, subject.images[:20])
        assert torch.equal(bare.labels, bare.network.model(bare.images).argmax(1))
        assert "Image 3, read as" in draw(bare, Selection(image=3)).caption

    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"image": 300}, "image is 300, but must be from 0 to 299"),
            ({"image": -1}, "image is -1, but must be"),
            ({"image": "7"}, "image is '7', but must be"),
            ({"layer": "conv9"}, "layer is 'conv9', but must be one of: image, conv1"),
            ({"layer": "conv2", "channel": 32}, "channel is 32, but must be from 0 to 31"),
            ({"layer": "pool2", "row": 7}, "row is 7, but must be from 0 to 6"),
            ({"column": 28}, "column is 28, but must be from 0 to 27"),
            ({"channel": "a"}, "channel is 'a', but must be from 0 to 15"),
            ({"input_channel": -5}, "input_channel is -5, but must be from 0 to"),
            ({"target": 10}, "target is 10, but must be from 0 to 9"),
            ({"digit": 10}, "digit is 10"),
            ({"weights": "best"}, "weights is 'best', but must be one of: given, other"),
            ({"read": "badly"}, "read is 'badly', but must be one of: all, right, wrong"),
            ({"limits": "mine"}, "limits is 'mine'"),
            ({"view": "stars"}, "view is 'stars', but must be one of: pipeline"),
            ({"image": None}, "image is None, but must be from 0 to 299"),
            ({"read": None}, "read is None, but must be one of: all, right, wrong"),
            ({"ablated": (("conv1", None),)}, "ablated conv1 is None"),
            ({"ablated": 5}, "ablated is 5, but must be pairs of a convolution and a channel"),
            ({"ablated": ("conv1", 3)}, r"ablated is \('conv1', 3\), but must be pairs"),
            ({"ablated": (("fc1", 3),)}, "ablated is 'fc1', but must be one of: conv1, conv2"),
            ({"ablated": (("conv1", 16),)}, "ablated conv1 is 16, but must be from 0 to 15"),
            ({"kernel": 5}, "kernel is 5, but must be nine numbers from -100 to 100"),
            ({"kernel": [1] * 8}, "kernel is .*, but must be nine numbers"),
            ({"kernel": [1] * 10}, "kernel is .*, but must be nine numbers"),
            ({"kernel": [100.1] * 9}, "kernel is .*, but must be nine numbers"),
            ({"kernel": [float("nan")] * 9}, "kernel is .*, but must be nine numbers"),
            ({"kernel": "abcdefghi"}, "kernel is 'abcdefghi', but must be nine numbers"),
            ({"padding": 2}, "padding is 2, but must be one of: 0, 1"),
            ({"disturbance": "rain"}, "disturbance is 'rain', but must be one of: none, "),
            ({"disturbance": "blur", "amount": 7.0}, "amount is 7.0, but must be one of: "),
            ({"stride": 0}, "stride is 0, but must be one of: 1, 2"),
        ],
    )
    def test_what_does_not_exist_is_refused(self, subject, fields, complaint):
        with pytest.raises(InputError, match=complaint):
            still(subject, **fields)

    def test_nothing_to_compare_with(self, few):
        alone = Subject(make_model(0), *few.test.tensors)
        for fields in ({"compare": "beside"}, {"quantity": "change"}):
            with pytest.raises(InputError, match="there is nothing to compare with; give others"):
                still(alone, **fields)
        assert "quantity" not in shown_controls(explore(alone, view="kernels"))

    def test_chosen_weights_stay_through_every_move(self, explorer):
        explorer.controls["weights"].value = "other"
        explorer.controls["channel"].value = 3
        explorer.controls["layer"].value = "conv2"
        send(explorer, image=2)
        send(explorer, view="feature_maps")
        send(explorer, digit=4)
        assert explorer.selection.weights == "other"
        assert explorer.controls["weights"].value == "other"

    def test_a_network_may_have_the_name_of_what_is_left_open(self, few):
        explorer = explore(Subject(make_model(0), *few.test.tensors, others={"any": OLD}))
        explorer.controls["weights"].value = "any"
        assert explorer.selection.weights == "any"
        assert explorer.page.state["error"] == ""

    @pytest.mark.parametrize(
        ("images", "labels", "complaint"),
        [
            ([1, 2], None, r"images must be a tensor of decimals \(N, C, H, W\), .* not a list"),
            (torch.zeros(3, 28, 28), None, r"not \(3, 28, 28\) of torch.float32"),
            (torch.zeros(3, 1, 28, 28, dtype=torch.uint8), None, "of torch.uint8"),
            (torch.zeros(0, 1, 28, 28), None, r"not \(0, 1, 28, 28\)"),
            (torch.full((2, 1, 28, 28), torch.nan), None, "some values of the images are not"),
            (torch.zeros(3, 1, 28, 28), torch.zeros(2, dtype=torch.long), "labels must be 3 whole"),
            (
                torch.zeros(3, 1, 28, 28),
                torch.zeros(3),
                "labels must be 3 whole numbers from 0 to 9, not",
            ),
            (torch.zeros(1, 1, 28, 28), ["seven"], r"from 0 to 9, not \['seven"),
            (torch.zeros(2, 1, 28, 28), torch.tensor([1, 10]), "from 0 to 9, not from 1 to 10"),
            (torch.zeros(2, 3, 28, 28), None, "SimpleCNN doesn't take an image"),
        ],
    )
    def test_images_and_labels_that_will_not_do(self, images, labels, complaint):
        with pytest.raises(InputError, match=complaint):
            Subject(make_model(0), images, labels)

    @pytest.mark.parametrize(
        ("others", "complaint"),
        [
            ({"old": 5}, "The state_dict 'old' is no state_dict .*, but a int; give a state_dict"),
            ({"old": {"conv1.weight": 5}}, "'old' is no state_dict .*, but a dict"),
            ({"given": OLD}, "others uses the name 'given', the model's own"),
            (
                {"old": {name: OLD[name] for name in OLD if name != "conv2.bias"}},
                r"'old' is not SimpleCNN's: conv2.bias is missing among its tensors, "
                r"but must be \(32,\)",
            ),
            (
                {"old": OLD | {"conv2.bias": torch.zeros(3)}},
                r"'old' is not SimpleCNN's: conv2.bias is \(3,\), but must be \(32,\)",
            ),
            (
                {"old": OLD | {"conv3.bias": torch.zeros(3)}},
                r"'old' is not SimpleCNN's: conv3.bias is \(3,\), but must be absent",
            ),
        ],
    )
    def test_others_that_will_not_do(self, few, others, complaint):
        with pytest.raises(InputError, match=complaint):
            Subject(make_model(0), *few.test.tensors, others=others)

    def test_what_is_no_model(self, few):
        with pytest.raises(InputError, match=r"model must be a torch\.nn\.Module, not a str"):
            Subject("model", *few.test.tensors)

    def test_answers_without_channels_are_kept(self, subject):
        channels = (("conv2", 1),)
        assert subject.without(channels, "given") is subject.without(channels, "given")

    def test_of_many_answers_only_the_latest_are_kept(self, few):
        subject = Subject(make_model(0), *few.test.tensors)
        first = subject.maps(0, "given")
        assert subject.maps(0, "given") is first
        for image in range(1, 65):
            subject.maps(image, "given")
        assert subject.maps(0, "given") is not first

    def test_a_job_is_done_once_and_goes_on_where_it_stopped(self, few):
        subject = Subject(make_model(0), *few.test.tensors)
        done = []

        def job():
            for step in range(4):
                done.append(step)
                yield step / 4
            return "result"

        subject.jobs.defers = True
        with pytest.raises(Exception, match="Counting") as slow:
            subject.jobs.result("Counting", ("count",), job)
        assert [next(slow.value.job), next(slow.value.job)] == [0, 0.25]
        subject.jobs.defers = False
        assert subject.jobs.result("Counting", ("count",), job) == "result"
        assert subject.jobs.result("Counting", ("count",), job) == "result"
        assert done == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ([[0, 2.0, 1], [2.00001, 2, 0]], (0, 1)),  # a tie but for rounding: the first
        ([[0, 2.0, 1], [2.01, 2, 0]], (1, 0)),
        ([[-3, -2.0, -4], [-1.99999, -5, -2]], (0, 1)),
        ([[0, 0, 0], [0, 0, 0]], (0, 0)),
    ],
)
def test_the_largest_is_the_first_of_those_that_rounding_may_swap(values, place):
    assert largest(np.array([values]), (None, None, None)) == (0, *place)


class TestControls:
    @pytest.mark.parametrize("view", some_slow(ALWAYS))
    def test_every_control_moves_what_it_says(self, explorer, view):
        explorer.tabs.value = view
        assert explorer.selection.view == view
        for name in shown_controls(explorer):
            if name == "play":
                continue
            control = explorer.controls[name]
            for value in [*steps(control), steps(control)[0]]:
                if value == control.value:
                    continue
                control.value = value
                field = "image" if name == "position" else name
                wanted = None if value == "any" else value
                assert getattr(explorer.selection, field) == wanted
                assert control.value == value
                assert explorer.page.state["error"] == ""

    def test_kinds_labels_and_options(self, explorer):
        kinds = {
            "position": Slider, "channel": Slider, "row": Slider, "column": Slider,
            "input_channel": Slider, "layer": SelectionSlider, "amount": SelectionSlider,
            "image": BoundedIntText, "digit": Dropdown, "weights": Dropdown, "limits": Dropdown,
        }  # fmt: skip
        assert {name: type(explorer.controls[name]) for name in kinds} == kinds
        assert issubclass(Slider, IntSlider)
        labels = {name: explorer.controls[name].description for name in kinds}
        assert labels["limits"] == "Colours"
        assert labels["layer"] == "Layer"
        assert explorer.controls["compare"].options[1] == ("side by side", "beside")
        assert explorer.controls["layer"].tooltip == "Which step of the network?"
        assert all(explorer.controls[name].tooltip.endswith("?") for name in kinds)
        questions = dict(zip(ALWAYS, explorer.tabs.tooltips, strict=True))
        question = "Which images excite this channel, and which channels does a class excite?"
        assert questions["top_images"] == question
        layers = [name for name, _ in explorer.controls["layer"].options]
        assert layers == list(explorer.subject.layers)
        classes = [("any", "any"), *((str(digit), digit) for digit in range(10))]
        assert list(explorer.controls["target"].options) == classes
        send(explorer, view="attribution")  # which shows the answer's class
        classes[0] = ("the answer", "any")
        assert list(explorer.controls["target"].options) == classes
        assert explorer.controls["target"].value == "any"
        tenths = [name for name, _ in explorer.controls["tenth"].options]
        assert tenths[:3] == ["any", "0–10 %", "10–20 %"]
        assert (explorer.controls["image"].min, explorer.controls["image"].max) == (0, 299)
        assert explorer.controls["play"].max == explorer.controls["position"].max == 299

    def test_python_moves_them_also_where_they_are_not_shown(self, explorer):
        explorer.selection = Selection(view="answer", layer="conv2", channel=7, digit=4, image=4)
        values = {name: explorer.controls[name].value for name in ("layer", "channel", "digit")}
        assert values == {"layer": "conv2", "channel": 7, "digit": 4}
        assert explorer.tabs.value == "answer"

    def test_a_link_of_ones_own_and_two_that_do_not_disturb_each_other(self, explorer, subject):
        other = Explorer(subject, Selection(view="kernels"))
        explorer.controls["layer"].value = "fc1"
        assert other.selection == Selection(view="kernels")
        link((explorer.controls["layer"], "value"), (other.controls["layer"], "value"))
        explorer.controls["layer"].value = "conv2"
        assert other.selection == Selection(view="kernels", layer="conv2")
        explorer.controls["layer"].value = "pool1"  # which has no kernels: conv1 is before it
        assert (explorer.selection.layer, other.selection.layer) == ("pool1", "conv1")
        assert other.controls["layer"].value == "conv1"
        other.controls["layer"].value = "fc2"
        assert explorer.selection.layer == "fc2"

    def test_the_input_channel_shown_is_the_one_that_adds_most(self, explorer, subject):
        send(explorer, view="arithmetic", layer="conv2", channel=5, row=4, column=6)
        model = subject.network.model
        read = hooked(model, subject.images[:1])["pool1"][0][0, :, 3:6, 5:8]
        sums = (read * model.conv2.weight[5]).sum(dim=(1, 2))
        assert explorer.controls["input_channel"].value == sums.abs().argmax() != 0
        assert explorer.selection.input_channel is None
        explorer.controls["input_channel"].value = 3
        assert explorer.selection.input_channel == 3
        send(explorer, layer="image")
        assert explorer.controls["input_channel"].value == 0

    def test_play_moves_the_image_and_starts_where_it_is(self, explorer):
        send(explorer, view="feature_maps", digit=7)
        sevens = (explorer.subject.labels == 7).nonzero().flatten().tolist()
        explorer.controls["play"].value = 2
        assert explorer.selection.image == sevens[2]
        assert explorer.controls["position"].value == 2
        explorer.controls["position"].value = 4
        assert explorer.controls["play"].value == 4

    def test_what_the_page_sends_comes_not_back_to_it_but_corrected(self, explorer, monkeypatch):
        slider = explorer.controls["position"]
        sent = []
        monkeypatch.setattr(slider, "_send", lambda message, **_: sent.append(message))
        for value in (3, 1000):
            data = {"method": "update", "state": {"value": value}}
            slider._handle_msg({"content": {"data": data}, "buffers": []})
        assert explorer.selection.image == 299
        assert [(each["method"], each["state"]) for each in sent] == [("update", {"value": 299})]

    def test_a_class_stays_chosen_until_another_is(self, explorer):
        explorer.tabs.value = "attribution"
        assert explorer.controls["target"].value == "any"
        explorer.controls["target"].value = 4
        for view in ("top_images", "pipeline", "attribution"):
            explorer.tabs.value = view
            assert explorer.selection.target == 4
        explorer.controls["weights"].value = "other"
        send(explorer, layer="relu2")
        explorer.controls["image"].value = 5
        assert explorer.selection.target == explorer.controls["target"].value == 4
        assert "counts for class 4" in explorer.scene.caption

    @pytest.mark.parametrize(
        ("layer", "shown_layer", "channel", "shown_channel"),
        [
            ("relu1", "conv1", 12, 12),
            ("flatten", "conv2", 1500, 31),
            ("relu3", "fc1", 100, 100),
            ("fc2", "fc2", 9, 9),
            ("softmax", "fc2", 3, 3),
            ("image", "conv1", 0, 0),
        ],
    )
    def test_of_kernels_the_controls_say_what_is_shown(
        self, explorer, layer, shown_layer, channel, shown_channel
    ):
        send(explorer, layer=layer, channel=channel)
        send(explorer, view="kernels")
        slider = explorer.controls["layer"]
        names = ["conv1", "conv2", "fc1", "fc2"]
        assert slider.options == tuple(zip(names, names, strict=True))
        assert slider.value == shown_layer
        assert explorer.controls["channel"].value == shown_channel
        caption = explorer.scene.caption
        assert caption.startswith(f"{shown_layer}: ")
        assert f"Output channel {shown_channel} is chosen." in caption
        send(explorer, view="feature_maps")  # where it is another step again
        assert slider.value == layer
        assert len(slider.options) == 12

    def test_a_picture_becomes_a_drawing_or_a_sentence(self, explorer):
        sheet = Image.new("L", (300, 200), 90)
        ImageDraw.Draw(sheet).rectangle([140, 30, 159, 169], fill=200)
        explorer.receive({"select": {"picture": data_url(sheet)}, "serial": 1})
        ink = np.frombuffer(base64.b64decode(explorer.selection.drawing), np.uint8)
        rows, columns = np.nonzero(ink.reshape(140, 140) > 128)
        assert (rows.min(), rows.max()) == pytest.approx((14, 125), abs=1)
        assert (columns.min(), columns.max()) == pytest.approx((62, 77), abs=1)
        before = explorer.selection
        blank = data_url(Image.new("L", (300, 200), 90))
        with pytest.raises(InputError, match="The picture shows no digit"):
            explorer.receive({"select": {"picture": blank}, "serial": 2})
        assert explorer.page.state["error"].startswith("The picture shows no digit")
        assert explorer.selection == before

    def test_what_comes_in_another_thread_waits_until_a_scene_is_shown_and_is_not_lost(
        self, explorer, monkeypatch
    ):
        """As JupyterLab brings them: the messages of each widget in a thread of its own."""
        amount = explorer.controls["amount"]
        data = {"method": "update", "state": {"index": 8}}
        message = {"content": {"data": data}, "buffers": []}
        moved = Thread(target=amount.comm.handle_msg, args=(message,))
        senders = []

        def send_and_wait(data, **_):
            senders.append(current_thread())
            if len(senders) == 1:  # more follow, of this thread, that bring it to 15 degrees
                moved.start()
                moved.join(0.2)

        monkeypatch.setattr(amount.comm, "send", send_and_wait)
        send(explorer, disturbance="rotation")
        moved.join()
        assert senders.index(moved) > senders.index(current_thread())
        assert current_thread() not in senders[senders.index(moved) :]
        assert explorer.selection.amount == amount.value == 60

    def test_a_tab_set_in_another_thread_while_a_scene_is_shown_is_not_lost(
        self, explorer, monkeypatch
    ):
        tab = Thread(target=setattr, args=(explorer.tabs, "value", "answer"))
        show = explorer.panel.show

        def show_slowly(look):
            monkeypatch.undo()
            tab.start()
            tab.join(0.2)  # it waits for this one
            show(look)

        monkeypatch.setattr(explorer.panel, "show", show_slowly)
        send(explorer, reset=True)
        tab.join()
        assert explorer.selection.view == explorer.page.state["view"] == "answer"

    def test_a_layout_of_ones_own_stays(self, explorer):
        explorer.controls["layer"].layout.width = "400px"
        layer = explorer.controls["layer"]
        for view in ("kernels", "answer", "arithmetic"):
            send(explorer, view=view, layer="conv2")
        assert explorer.controls["layer"] is layer
        assert layer.layout.width == "400px"

    def test_ranges_follow_the_layer_and_what_is_kept_lies_inside(self, explorer):
        send(explorer, layer="conv1", channel=15, row=27, column=26)
        send(explorer, layer="pool2")
        places = [explorer.controls[name] for name in ("channel", "row", "column")]
        assert [control.max for control in places] == [31, 6, 6]
        assert [control.value for control in places] == [15, 6, 6]
        send(explorer, layer="fc2")
        assert [control.disabled for control in places] == [False, True, True]
        assert places[0].value == 9
        send(explorer, layer="conv1")
        assert [control.value for control in places] == [9, 0, 0]

    @pytest.mark.parametrize(
        ("layers", "order"),
        [(("conv1", "relu2"), ["max", "value"]), (("relu2", "conv1"), ["value", "max"])],
    )
    def test_no_value_ever_lies_outside_its_range(self, explorer, layers, order):
        """The page would send such a value back, as near as it may be."""
        before, after = layers
        send(explorer, layer=before)
        channel = explorer.controls["channel"]
        seen = []
        channel.observe(lambda change: seen.append((change.name, change.new)), ["max", "value"])
        send(explorer, layer=after)
        largest_channel = explorer.subject.look(explorer.selection).channel
        assert [name for name, _ in seen] == order
        assert dict(seen)["value"] == largest_channel

    def test_play_walks_the_same_range(self, explorer):
        send(explorer, read="wrong")
        send(explorer, image=explorer.subject.image_numbers(ImageFilter(read="wrong"))[-1])
        play = explorer.controls["play"]
        position = explorer.controls["position"]
        assert (play.value, play.max) == (position.value, position.max)
        assert play.value == play.max > 0

    def test_other_weights_are_shown_at_the_same_place(self, explorer, subject):
        send(explorer, view="feature_maps")
        place = ("channel", "row", "column")
        before = [getattr(subject.look(explorer.selection), axis) for axis in place]
        explorer.controls["weights"].value = "other"
        assert [getattr(explorer.selection, axis) for axis in place] == before
        own = subject.look(Selection(weights="other"))  # whose largest value is elsewhere
        assert [getattr(own, axis) for axis in place] != before

    def test_another_image_is_not_pointed_at_and_another_disturbance_shows_at_once(
        self, explorer, subject
    ):
        send(explorer, view="neighbours", pointed=5)
        assert explorer.selection.pointed == 5
        send(explorer, image=3)
        assert (explorer.selection.image, explorer.selection.pointed) == (3, None)
        amount = explorer.controls["amount"]
        send(explorer, view="pipeline")
        assert amount.disabled
        send(explorer, disturbance="noise")
        send(explorer, amount=0.4)
        assert (amount.value, amount.label, amount.index) == (0.4, "0.4 of ink", 4)
        send(explorer, disturbance="scale")
        assert explorer.selection.amount is None
        assert amount.value == 1.3  # 1 would change nothing
        place = ("channel", "row", "column")
        before, after = (
            [getattr(subject.look(Selection(image=3, disturbance=name)), axis) for axis in place]
            for name in ("none", "scale")
        )
        assert after == before  # the same value is looked at
        send(explorer, amount=1.6)
        places = []
        count = "_options_labels"
        amount.observe(lambda change: places.append((amount.index, len(change.new))), count)
        send(explorer, reset=True)
        assert places == [(0, 2)]  # a handle beyond its range would be sent back from its end
        assert (amount.index, amount.disabled) == (0, True)

    def test_only_the_open_views_controls_are_there(self, explorer):
        send(explorer, view="attribution")
        images = ["image", "position", "play", "digit", "read"]
        disturbance = ["disturbance", "amount"]
        wanted = [*images, *disturbance, "weights", "compare", "target"]
        assert shown_controls(explorer) == wanted
        lonely = Explorer(
            Subject(make_model(0), explorer.subject.images), Selection(view="attribution")
        )
        assert shown_controls(lonely) == [*images, *disturbance, "target"]
        send(explorer, view="kernels")
        fields = ["layer", "channel", "weights", "quantity", "limits"]
        assert shown_controls(explorer) == fields
        send(explorer, view="drawing")
        assert shown_controls(explorer) == ["weights"]  # the pad alone chooses what is read

    def test_their_order_is_the_same_in_every_view(self, explorer):
        order = list(explorer.controls)
        names = [name for name in order if name not in ("position", "play", "play_moments")]
        for view in ALWAYS:
            send(explorer, view=view)
            shown_names = [name for name in shown_controls(explorer) if name in names]
            assert shown_names == [name for name in names if name in shown_names]

    def test_folded_they_tell_where_one_is(self, explorer):
        send(explorer, image=7, layer="conv2", channel=5)
        assert explorer.panel.fold.description == "Image 7 · conv2 · channel 5"
        send(explorer, view="answer")
        assert explorer.panel.fold.description == "Image 7"

    def test_buttons_lead_to_the_images_beside_this_one_and_away_from_a_drawing(self, explorer):
        fours = (explorer.subject.labels == 4).nonzero().flatten().tolist()
        back, on = [leaf for leaf in leaves(explorer.panel) if isinstance(leaf, Button)]
        assert (back.icon, on.icon) == ("chevron-left", "chevron-right")
        send(explorer, digit=4, drawing=drawn(explorer.subject.images[0]))
        for button, image in ((on, fours[1]), (on, fours[2]), (back, fours[1])):
            button.click()
            assert (explorer.selection.image, explorer.selection.drawing) == (image, None)

    @pytest.mark.parametrize("names", [("digit", "predicted"), ("tenth",), ("image",)])
    def test_a_click_that_chooses_images_puts_the_drawing_aside(self, explorer, names):
        answers = explorer.subject.predictions
        of_image = {"digit": answers.labels[1], "predicted": answers.preds[1], "image": 1}
        of_image["tenth"] = int(10 * answers.confidence[1])
        part = {name: int(of_image[name]) for name in names}
        ink = drawn(explorer.subject.images[0])
        send(explorer, drawing=ink)
        send(explorer, layer="conv2", channel=3, target=7, pointed=2)  # chooses none
        assert explorer.selection.drawing == ink
        send(explorer, view="confusion")
        send(explorer, **part)
        send(explorer, view="feature_maps")
        assert explorer.selection.drawing is None
        assert explorer.scene.caption.startswith(f"Image {explorer.selection.image}, ")

    def test_a_filter_goes_to_its_first_image_and_a_hidden_image_takes_it_away(self, explorer):
        labels = explorer.subject.labels
        explorer.controls["digit"].value = 4
        fours = (labels == 4).nonzero().flatten().tolist()
        assert explorer.selection.image == fours[0]
        position = explorer.controls["position"]
        assert position.max == explorer.controls["play"].max == len(fours) - 1
        position.value = 2
        assert explorer.selection.image == explorer.controls["image"].value == fours[2]
        other = int((labels != 4).nonzero()[0])
        explorer.controls["image"].value = other
        assert (explorer.selection.image, explorer.selection.digit) == (other, None)
        notice = f"The filter hid image {other}: now all images are shown."
        assert explorer.page.state["notice"] == notice
        assert explorer.page.state["error"] == ""
        assert position.value == other
        assert explorer.controls["digit"].value == "any"

    def test_a_filter_that_lets_nothing_through_leaves_the_slider_off(self, explorer):
        right = int(explorer.subject.predictions.correct.nonzero()[0])
        label = int(explorer.subject.labels[right])
        wrong = (label + 1) % 10
        send(explorer, view="confusion", digit=label, predicted=wrong, tenth=0, read="right")
        assert explorer.controls["position"].disabled
        assert shown(explorer)["header"]["items"] == []
        assert "0 of 300 images" in explorer.scene.caption
        at = explorer.selection
        explorer.controls["position"].value = 1  # as a link of one's own may do
        assert explorer.selection == at
        explorer.controls["image"].value = 7
        assert explorer.selection == Selection(view="confusion", image=7)

    @pytest.mark.parametrize("view", ALWAYS)
    def test_a_trail_leads_from_the_image_to_the_answer(self, explorer, view):
        send(explorer, view=view, layer="conv2")
        names = [name for name, _ in explorer.subject.network.model.named_children()]
        way = ["image", *names, "softmax"]
        if view in ("kernels", "training"):
            way = ["conv1", "conv2", "fc1", "fc2"]
        buttons = [
            mark
            for mark in shown(explorer)["trail"].get("items", [])
            if mark["select"] == {"layer": mark["text"]}
        ]
        others = ("attribution", "ablation", "answer", "convolve", "confusion", "neighbours")
        others += ("drawing",)
        has_layers = view not in others
        assert [mark["text"] for mark in buttons] == (way if has_layers else [])
        assert [mark["text"] for mark in buttons if mark["framed"]] == ["conv2"] * has_layers

    @pytest.mark.parametrize(
        ("layer", "near"),
        [
            (14, ["image", "…", *range(3, 26), "…", "softmax"]),
            (11, ["image", *range(23), "…", "softmax"]),
            (29, ["image", "…", *range(18, 31), "softmax"]),
        ],
    )
    def test_of_a_long_way_the_trail_shows_its_ends_and_what_is_near(self, layer, near):
        model = nn.Sequential(*[nn.Conv2d(1, 1, 1) for _ in range(30)], nn.Flatten())
        explorer = explore(model, images_of(2, 1, 2, 2), layer=str(layer))
        here, *steps = shown(explorer)["trail"]["items"]
        assert here["text"] == "You are here:"
        kinds = {"30": "Flatten", **{str(place): "Conv2d" for place in range(30)}}
        names = [str(name) for name in near]
        texts = [f"{name} {kinds[name]}" if name in kinds else name for name in names]
        assert [mark["text"] for mark in steps] == texts
        for name, mark in zip(names, steps, strict=True):
            assert mark["select"] == ({} if name == "…" else {"layer": name})

    def test_channels_are_ablated_and_put_back(self, explorer):
        send(explorer, view="ablation")
        send(explorer, ablate=["conv2", 4])
        send(explorer, ablate=["conv1", 3])
        assert explorer.selection.ablated == (("conv1", 3), ("conv2", 4))
        send(explorer, ablate=["conv2", 4])
        assert explorer.selection.ablated == (("conv1", 3),)
        send(explorer, ablate=None)
        assert explorer.selection.ablated == ()

    def test_back_to_the_start_stays_in_the_view(self, explorer):
        send(explorer, view="arithmetic", image=7, layer="conv2", channel=3)
        send(explorer, reset=True)
        assert explorer.selection == Selection(view="arithmetic")
        other = explore(explorer.subject, view="kernels", layer="conv2")
        send(other, view="answer", image=7, layer="fc1")
        send(other, reset=True)
        assert other.selection == Selection(view="answer", layer="conv2")

    def test_an_active_filter_is_never_out_of_sight(self, explorer):
        names = {"predicted": "Read as", "tenth": "Confidence"}
        for at in ({}, {"digit": 4, "predicted": 9}, {"tenth": 8}):
            send(explorer, view="pipeline", digit=None, predicted=None, tenth=None)
            send(explorer, **at)
            texts = {
                control.description
                for box in explorer.panel.children
                for control in box.children
                if hasattr(control, "description")
            }
            assert {name for name in names if names[name] in texts} == names.keys() & at.keys()

    def test_top_images_shows_the_filters_that_act_there(self, explorer):
        send(explorer, view="top_images")
        assert not {"image", "digit", "read"} & {*shown_controls(explorer)}
        send(explorer, digit=4)
        assert {"digit", "read"} & {*shown_controls(explorer)} == {"digit"}
        send(explorer, digit=None, read="right")
        assert {"digit", "read"} & {*shown_controls(explorer)} == {"read"}
        explorer.controls["read"].value = "all"  # the way out
        assert not {"digit", "read"} & {*shown_controls(explorer)}
        send(explorer, view="kernels", digit=4)  # which shows no images
        assert "digit" not in shown_controls(explorer)

    def test_beside_a_drawing_the_number_is_that_of_an_image_instead(self, explorer):
        control = explorer.controls["image"]
        assert control.description == "Image"
        send(explorer, view="pipeline", drawing=drawn(explorer.subject.images[0]))
        assert control.description == "Or image"
        send(explorer, view="neighbours")  # a drawing has no place there
        assert control.description == "Image"
        send(explorer, view="pipeline", image=3)
        assert control.description == "Image"


class TestExplorer:
    def test_the_page_gets_the_scene_of_the_selection(self, explorer):
        send(explorer, view="feature_maps", image=4, layer="relu2", channel=3)
        state = explorer.page.state
        scene = draw(explorer.subject, explorer.selection)
        assert shown(explorer)["scene"]["caption"] == scene.caption
        image, maps = shown(explorer)["scene"]["content"]["items"]
        assert (image["kind"], maps["kind"], maps["title"]) == ("maps", "maps", "relu2")
        outputs = hooked(explorer.subject.network.model, explorer.subject.images[4:5])
        assert np.array_equal(decoded(explorer, maps["values"]), outputs["relu2"][0][0])
        assert "3" in maps["frames"]
        assert state["call"] == repr(explorer)
        assert (state["serial"], state["view"]) == (1, "feature_maps")
        titles = [(VIEWS[name].title, name) for name in ALWAYS]
        assert list(explorer.tabs.options) == titles
        probs = outputs["fc2"][0].softmax(1)[0]
        send(explorer, view="confusion", weights="other")  # which all its answers are not of
        _, answer, *_ = shown(explorer)["header"]["items"]  # and a button, where it is misread
        assert answer["text"] == str(probs.argmax().item())
        digit = probs.argmax()
        title = f"Image 4, label {explorer.subject.labels[4]}, read as {digit}"
        assert answer["notes"] == [f"{title} with {probs.max():.1%}"]

    @pytest.mark.parametrize("view", ALWAYS)
    def test_a_move_takes_at_most_100_kilobytes(self, explorer, view):
        ink = drawn(explorer.subject.images[0]) if view == "drawing" else None
        send(explorer, view=view, compare="difference", layer="conv1", drawing=ink)
        state = explorer.page.state
        assert sum(map(len, state["numbers"])) + len(state["shown"]) <= 100_000
        values = [each["values"] for each in marks(shown(explorer)["scene"]["content"], "maps")]
        kinds = {decoded(explorer, each).dtype.name for each in values}
        precision = "float16" if view in ("pipeline", "feature_maps") else "float32"
        assert kinds == (set() if view == "ablation" else {precision})  # which has no maps

    def test_a_nudge_changes_nothing_and_is_answered(self, explorer, monkeypatch):
        before = explorer.page.state
        answers = []
        monkeypatch.setattr(explorer.page, "send", answers.append)
        explorer.receive({"round": 3})
        assert answers == [{"round": 3}]
        assert explorer.page.state is before
        explorer.receive({"select": {"image": 1}})
        assert answers == [{"round": 3}]

    def test_half_precision_is_close(self, explorer):
        _, first, *_ = shown(explorer)["scene"]["content"]["items"]
        assert decoded(explorer, first["values"]).dtype == np.float16
        wanted = explorer.subject.maps(0, "given")["conv1"]
        assert decoded(explorer, first["values"]) == pytest.approx(wanted, abs=2e-3)

    def test_python_sets_and_reads_the_selection(self, explorer):
        explorer.selection = Selection(view="kernels", layer="conv2")
        assert shown(explorer)["scene"]["caption"].startswith("conv2: 32 × 16 kernels")
        with pytest.raises(InputError, match="layer is 'conv7'"):
            explorer.selection = Selection(layer="conv7")
        assert explorer.selection.layer == "conv2"

    def test_what_goes_wrong_is_shown_and_raised(self, explorer):
        with pytest.raises(InputError, match="image is 300"):
            send(explorer, image=300)
        assert "image is 300, but must be from 0 to 299." in explorer.page.state["error"]
        assert explorer.page.state["serial"] == 1  # it is answered all the same
        send(explorer, image=3)
        assert explorer.page.state["error"] == ""

    def test_a_class_without_images_is_said(self, few):
        images, labels = (tensor[:3] for tensor in few.test.tensors)
        absent = next(digit for digit in range(10) if digit not in labels)
        explorer = explore(make_model(0), images, labels, view="top_images")
        send(explorer, target=absent)
        said = f"No image that fits is of class {absent}; choose another class."
        assert shown(explorer)["scene"] == {  # and nowhere else
            "content": {"items": [], "together": False, "kind": "row"},
            "caption": said,
            "kind": "scene",
        }
        assert explorer.page.state["error"] == ""

    def test_new_tabs_and_the_open_one_come_in_one_message(self, subject, monkeypatch):
        """Between two the page would open the first, and move the keys' focus to it."""
        explorer = explore(subject, views=("ablation",))
        states = []
        monkeypatch.setattr(
            explorer.tabs.comm, "send", lambda data, **_: states.append(data["state"])
        )
        explorer.tabs.value = "more"
        (names,) = [state for state in states if "_options_labels" in state]
        place = [label for label, _ in explorer.tabs.options].index("Ablation")
        assert len(names["_options_labels"]) == len(explorer.tabs.options) > 2
        assert names["index"] == place

    def test_some_views_have_a_tab_and_the_rest_is_a_click_away(self, subject):
        explorer = explore(subject, views=("convolve", "answer"))
        assert explorer.selection == Selection(view="convolve")
        some = [("Convolve", "convolve"), ("Answer", "answer"), ("More views", "more")]
        assert list(explorer.tabs.options) == some
        assert len(explorer.tabs.tooltips) == 3
        explorer.tabs.value = "answer"
        assert (explorer.selection.view, explorer.page.state["title"]) == ("answer", "Answer")
        assert list(explorer.tabs.options) == some
        explorer.tabs.value = "more"
        every = [(VIEWS[name].title, name) for name in ALWAYS]
        assert list(explorer.tabs.options) == every
        assert explorer.tabs.value == explorer.selection.view == "answer"
        elsewhere = explore(subject, view="kernels", views=["answer"])
        assert list(elsewhere.tabs.options) == every
        with pytest.raises(InputError, match="view is 'stars', but must be one of: pipeline"):
            explore(subject, views=("answer", "stars"))

    def test_a_still_comes_with_it(self, explorer, capsys):
        from IPython.core.interactiveshell import InteractiveShell

        shell = InteractiveShell.instance()
        shown = []
        shell.display_pub.publish = lambda data, metadata=None, **more: shown.append(
            (data, metadata)
        )
        explorer._ipython_display_()
        (picture, metadata), (view, _) = shown
        assert metadata["image/png"]["alt"] == explorer.scene.caption
        assert "image/png" in picture
        assert "application/vnd.jupyter.widget-view+json" in view
        assert view["text/plain"] == repr(explorer)


def test_a_cell_that_runs_again_frees_what_it_had_made(few, monkeypatch):
    parent = {"metadata": {}, "content": {"code": "explore(...)"}, "header": {"msg_id": "1"}}
    shell = SimpleNamespace(get_parent=lambda: parent, meta={})
    monkeypatch.setattr(cells, "get_ipython", lambda: shell)

    def run_cell(request, **metadata):
        parent["header"]["msg_id"] = request
        parent["metadata"] = metadata
        out.append(explore(make_model(), *few.test.tensors))  # as Out keeps it
        return weakref.ref(out[-1].subject)

    out = []
    subjects = [run_cell("1"), run_cell("1")]  # two in a cell
    before = len(_instances)
    subjects += [run_cell("2", cellId="other"), run_cell("3"), run_cell("4")]
    assert len(_instances) == before  # of two explorers, and whatever other tests have left
    parent["content"]["code"] = "another cell"
    subjects.append(run_cell("5"))
    del parent["content"]["code"]  # the message of a widget, in whose callback an explorer is made
    subjects.append(run_cell("6"))
    gc.collect()
    alive = [subject() is not None for subject in subjects]
    assert alive == [False, False, True, False, True, True, True]
    assert repr(out[0]) == "explore(model, images, labels)"


class TestSlowWork:
    """As in a kernel: an event loop runs while the page's messages come in."""

    @pytest.fixture
    def slow(self, few):
        return Explorer(Subject(make_model(0), *few.test.tensors), Selection())

    def test_it_tells_its_progress_and_shows_the_result(self, slow):
        seen = []

        async def work():
            heard = lambda change: seen.append((slow.task_text.value, change.new))  # noqa: E731
            slow.progress.observe(heard, "value")
            send(slow, view="top_images", layer="conv2")
            assert shown(slow)["scene"]["caption"] == "Measuring 300 images …"
            while shown(slow)["scene"]["caption"].endswith("…"):
                await asyncio.sleep(0.01)

        asyncio.run(work())
        texts = [text for text, _ in seen]
        assert texts[0] == "Top images: Measuring 300 images"
        assert texts[-1] == "Top images: Making images that excite conv2"
        fractions = [fraction for text, fraction in seen if text == texts[-1]]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1
        assert slow.waiting.layout.display == "none"
        assert shown(slow)["scene"]["caption"].startswith("conv2, channel")

    def test_where_the_arrangement_is_stopped_control_and_picture_agree(self, slow):
        async def work():
            send(slow, view="neighbours")
            while not slow.scene.caption.startswith("fc1 by PCA"):
                await asyncio.sleep(0)
            slow.controls["projection"].value = "t-SNE"
            while not slow.task_text.value.endswith(" images by t-SNE, in three rounds"):
                await asyncio.sleep(0)
            slow.waiting.children[-1].click()
            assert slow.controls["projection"].value == slow.selection.projection == "PCA"
            assert slow.scene.caption.startswith("fc1 by PCA")

        asyncio.run(work())

    def test_a_job_that_fails_says_why_and_ends(self, slow):
        def refuse(*arguments):
            yield 0.5
            raise ValueError("this network has no gradient")

        async def work():
            slow.subject.jobs.running[("ranking", "conv1", "given")] = refuse()
            send(slow, view="ablation", layer="conv1")
            send(slow, rank=True)
            with pytest.raises(ValueError, match="no gradient"):
                await slow.task

        asyncio.run(work())
        assert slow.page.state["error"] == "this network has no gradient"
        assert slow.waiting.layout.display == "none"

    def test_it_can_be_stopped_and_goes_on(self, slow):
        async def work():
            send(slow, view="ablation")
            send(slow, rank=True)
            while slow.progress.value < 0.3:
                await asyncio.sleep(0)
            assert slow.waiting.layout.display == "flex"
            slow.waiting.children[-1].click()
            assert slow.waiting.layout.display == "none"
            notice = "Stopped. When you ask again, it goes on from there."
            assert slow.page.state["notice"] == notice
            assert slow.page.state["error"] == ""
            assert not slow.selection.rank
            send(slow, image=2)  # another move does not begin it anew
            assert slow.waiting.layout.display == "none"
            slow.progress.value = 0
            send(slow, rank=True)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert slow.progress.value > 0.3
            while ("ranking", "conv2", "given") not in slow.subject.jobs.results:
                await asyncio.sleep(0)

        asyncio.run(work())
        assert not np.isnan(slow.subject.look(slow.selection).ranked("conv2")).any()

    def test_stopped_in_another_view_nothing_is_measured_at_once(self, slow):
        async def work():
            slow.selection = Selection(rank=True)  # as a ranking leaves it
            send(slow, view="top_images")
            await asyncio.sleep(0)
            slow.stop()
            await asyncio.sleep(0.01)
            assert slow.waiting.layout.display == "none"
            assert slow.subject.jobs.results == {}
            assert not slow.selection.rank
            scene = shown(slow)["scene"]
            assert scene["caption"] == "Stopped: Measuring 300 images."
            assert scene["content"]["text"] == "Go on"
            send(slow, **scene["content"]["select"])
            await asyncio.sleep(0)
            assert slow.waiting.layout.display == "flex"
            while ("stats", "given") not in slow.subject.jobs.results:
                await asyncio.sleep(0)

        asyncio.run(work())


def test_a_network_of_colour_images(capsys):
    images = images_of(12, 3, 15, 18)
    others = {"other": build("skipping", 9).state_dict()}
    explorer = explore(Subject(build("skipping"), images, others=others))
    for view in ALWAYS:
        send(explorer, view=view, layer="head", channel=5)
        assert explorer.page.state["error"] == ""
    assert explorer.controls["read"].value == "all"


@pytest.fixture(scope="module")
def runs(few):
    """A subject of two runs."""
    epochs = [0.0, 0.5, 1.0, 2.0]
    weights = [make_model(seed).state_dict() for seed in range(4)]
    slow = Snapshots(epochs, weights, {"val_loss": [0.4, 0.5]})
    fast = Snapshots(epochs[:3], weights[1:], {"val_loss": [0.5]})
    return Subject(make_model(0), *few.test.tensors, runs={"slow": slow, "fast": fast})


def test_moments_of_small_batches_have_names_of_their_own():
    epochs = [0.0, 1 / 13_750, 2 / 13_750, 1.0]
    assert moments("mine", epochs) == {
        "mine, epoch 0": 0.0,
        "mine, epoch 0.00007": 1 / 13_750,
        "mine, epoch 0.00015": 2 / 13_750,
        "mine, epoch 1": 1.0,
    }


def test_two_moments_at_one_epoch_are_refused(few):
    weights = [make_model(seed).state_dict() for seed in range(3)]
    run = Snapshots([0.0, 1.0, 1.0], weights, {"val_loss": [1]})
    wanted = "^the run mine has two moments at one epoch; leave one of them out.$"
    with pytest.raises(InputError, match=wanted):
        Subject(make_model(), *few.test.tensors, runs={"mine": run})


def test_an_explorer_that_is_refused_listens_to_no_widgets(subject):
    with pytest.raises(InputError):
        explore(subject, image=100_000)
    assert Widget._widget_construction_callback is None


def test_a_run_may_have_a_comma_in_its_name(few):
    """Its moments are still its own."""
    weights = [make_model(seed).state_dict() for seed in (0, 1)]
    run = Snapshots([0.0, 1.0], weights, {"val_loss": [1]})
    subject = Subject(make_model(), *few.test.tensors, runs={"slow, 0.1": run, "fast, 1": run})
    assert subject.run_of("fast, 1, epoch 1") == "fast, 1"
    assert subject.nearest("slow, 0.1", "fast, 1, epoch 1") == "slow, 0.1, epoch 1"


class TestRuns:
    """Moments of training under a slider."""

    @pytest.fixture
    def explorer(self, runs):
        return Explorer(runs, Selection(view="training"))

    @pytest.mark.parametrize(
        "view", some_slow([name for name in VIEWS if "weights" in VIEWS[name].fields])
    )
    def test_a_slider_that_plays_over_the_moments_of_a_run(self, explorer, view):
        send(explorer, view=view)
        slider = explorer.controls["moment"]
        epochs = ["epoch 0", "epoch 0.5", "epoch 1", "epoch 2"]
        assert list(slider.options) == [(epoch, f"slow, {epoch}") for epoch in epochs]
        assert {"moment", "play_moments", "run"} <= {*shown_controls(explorer)}
        assert explorer.controls["play_moments"].max == 3
        assert slider.index == 2  # the best
        for _, value in slider.options:
            slider.value = value
            assert explorer.selection.weights == value
            assert slider.value == value
            assert explorer.page.state["error"] == ""
        assert explorer.controls["play_moments"].value == 3
        explorer.controls["play_moments"].value = 1
        assert explorer.selection.weights == "slow, epoch 0.5"

    def test_the_other_run_at_the_nearest_moment(self, explorer):
        explorer.controls["moment"].value = "slow, epoch 2"
        run = explorer.controls["run"]
        assert list(run.options) == [("slow", "slow, epoch 2"), ("fast", "fast, epoch 1")]
        assert run.label == "slow"
        run.value = "fast, epoch 1"
        assert explorer.selection.weights == "fast, epoch 1"
        assert len(explorer.controls["moment"].options) == 3

    def test_a_button_leads_to_the_best_epoch_of_its_run(self, explorer):
        send(explorer, weights="slow, epoch 0")
        texts = marks(shown(explorer)["scene"]["content"], "text")
        buttons = [mark["select"] for mark in texts if mark["text"] == "Best epoch"]
        for run, button in zip(("slow", "fast"), buttons, strict=True):
            send(explorer, **button)
            assert explorer.selection.weights == f"{run}, epoch 1"

    def test_the_speed_of_what_plays(self, explorer):
        assert "speed" in shown_controls(explorer)
        plays = [explorer.controls[name] for name in ("play", "play_moments")]
        for name, milliseconds in {"fast": 200, "slow": 1000, "normal": 500}.items():
            explorer.controls["speed"].label = name
            assert [play.interval for play in plays] == [milliseconds] * 2
        assert explorer.selection == Selection(view="training")
        assert all(play.show_repeat for play in plays)  # a button for a loop

    @pytest.mark.parametrize("layer", ["image", "conv1", "fc1"])
    def test_a_move_in_time_takes_at_most_100_kilobytes(self, explorer, layer):
        send(explorer, layer=layer, weights="slow, epoch 0.5")
        state = explorer.page.state
        assert state["view"] == explorer.tabs.options[-1][1] == "training"
        assert sum(map(len, state["numbers"])) + len(state["shown"]) <= 100_000

    def test_reading_all_moments_tells_its_progress_stops_and_goes_on(self, few, runs):
        subject = Subject(make_model(0), *few.test.tensors, runs=runs.runs)
        explorer, seen = Explorer(subject, Selection()), []

        async def work():
            explorer.progress.observe(lambda change: seen.append(change.new), "value")
            send(explorer, view="training")
            said = "Reading 300 images at 7 moments of training"
            assert shown(explorer)["scene"]["caption"] == f"{said} …"
            while explorer.progress.value < 0.4:
                await asyncio.sleep(0)
            assert explorer.task_text.value == f"Training: {said}"
            explorer.stop()
            assert explorer.waiting.layout.display == "none"
            send(explorer, weights="slow, epoch 0")  # it goes on where it was
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            while ("replay",) not in subject.jobs.results:
                await asyncio.sleep(0)
            await asyncio.sleep(0.01)

        asyncio.run(work())
        fractions = seen
        assert fractions == sorted(set(fractions))  # none was read twice
        assert fractions[-1] == 1
        assert "at slow, epoch 0; " in shown(explorer)["scene"]["caption"]

    def test_runs_that_will_not_do(self, few, runs):
        (snapshots, _), complaint = (
            runs.runs.values(),
            "give one or two runs, and do not give others",
        )
        with pytest.raises(InputError, match=complaint):
            Subject(make_model(0), *few.test.tensors, {"b": {}}, runs=runs.runs)
        with pytest.raises(InputError, match=complaint):
            Subject(make_model(0), *few.test.tensors, runs=dict.fromkeys("abc", snapshots))
        foreign = Snapshots([0.0, 1.0], [{"bias": torch.zeros(3)}] * 2, {"val_loss": [1]})
        with pytest.raises(InputError, match="'mine, epoch 0' is not SimpleCNN's"):
            Subject(make_model(0), *few.test.tensors, runs={"mine": foreign})


def test_a_number_of_numpy_is_a_place_as_well(splits):
    subject = Subject(make_model(), *(part[:20] for part in splits.test.tensors))
    at = Selection(image=np.argmax([0, 0, 1]), channel=np.int64(3), layer="conv1")
    subject.check(at)
    assert (type(at.image), at.image, at.channel) == (int, 2, 3)
