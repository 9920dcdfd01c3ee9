"""What the views show: each mark against values of plain torch, and what a click on it selects."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import marks
from networks import build, drawn, hooked, images_of, logits_without
from torch import nn

from mnist_helpers import InputError, load_checkpoint, make_model
from mnist_helpers.explorer import Selection, Subject
from mnist_helpers.explorer.controls import selection_after
from mnist_helpers.explorer.jobs import Unmeasured
from mnist_helpers.explorer.scene import Bars, Lines, Maps, Scatter, Table, Text, number
from mnist_helpers.explorer.views import VIEWS, draw, header, trail, views_of
from mnist_helpers.explorer.views.parts import class_bars
from mnist_helpers.runs.snapshots import Snapshots

COLOUR = images_of(40, 3, 15, 18)
DIGITS = torch.arange(40) % 4
ALWAYS = [name for name in VIEWS if name != "training"]  # whatever a subject has


# what networks.py asks of PyTorch on purpose


@pytest.fixture(scope="module")
def grey(few):
    return Subject(make_model(0), *few.test.tensors, others={"other": make_model(1).state_dict()})


@pytest.fixture(scope="module")
def colour():
    other = {"other": build("skipping", 9).state_dict()}
    return Subject(build("skipping"), COLOUR, DIGITS, others=other)


def outputs_of(model, images):
    """What every module puts out at its last use: {name: (N, ...)}."""
    return {name: uses[-1] for name, uses in hooked(model, images).items()}


def outputs_at(subject, image):
    """The same of one image of a subject."""
    return outputs_of(subject.network.model, subject.images[image : image + 1])


def of_kind(kind, every):
    return [mark for mark in every if isinstance(mark, kind)]


def show(subject, **selection):
    """The marks of a scene by title, and its caption."""
    scene = draw(subject, Selection(**selection))
    found = marks(scene.content)
    return {mark.title: mark for mark in found if mark.title}, scene.caption, found


def selected(mark, index=0, row=0, column=0):
    """What a click at a place of a mark selects."""
    width = mark.values.shape[2] if isinstance(mark, Maps) else 0
    names = {"@index": index, "@row": row, "@column": column, "@place": row * width + column}
    chosen = {}
    for name, value in mark.select.items():
        chosen[name] = value[index] if isinstance(value, list) else names.get(str(value), value)
    return chosen


def value_at(outputs, select, image=0):
    """The value of the layer that is selected."""
    maps = outputs[select["layer"]][image]
    place = (select["channel"], select.get("row"), select.get("column"))
    return maps[place[: maps.ndim]].item()


class TestPipeline:
    @pytest.mark.parametrize("name", ["grey", "colour"])
    def test_every_layer_with_its_values_and_what_a_click_selects(self, name, request):
        subject = request.getfixturevalue(name)
        model, images = subject.network.model, subject.images
        outputs = outputs_of(model, images[7:8])
        found, caption, _ = show(subject, image=7, layer="pool1" if name == "grey" else "pool")
        for layer in model._modules:
            output, mark = outputs[layer][0], found.get(layer)
            if layer in ("flatten", "act"):  # the same values again; used twice
                continue
            assert mark.notes[0] == " × ".join(map(str, output.shape))
            if output.numel() == subject.classes:
                assert mark.values.ravel() == pytest.approx(output.numpy(), abs=1e-5)
                assert selected(mark, 3) == {"layer": layer, "channel": 3}
                assert mark.framed_cell is None  # nothing is chosen in it
                chosen, _, _ = show(subject, image=7, layer=layer, channel=3)
                assert chosen[layer].framed_cell == 3
                continue
            drawn = mark.values[~np.isnan(mark.values)]
            assert drawn == pytest.approx(output.numpy().ravel(), abs=1e-5)
            top = np.percentile(output.abs(), 99, method="higher") or output.abs().max().item()
            low = -top if output.min() < 0 else 0
            assert mark.limits[0] == pytest.approx((low, top))
            assert mark.palette == ("signed" if low else "unsigned")
            if output.ndim == 3:
                click = selected(mark, 4, 1, 2)
                assert click == {"layer": layer, "channel": 4, "row": 1, "column": 2}
                assert value_at(outputs, click) == pytest.approx(mark.values[4, 1, 2])
            else:
                assert value_at(outputs, selected(mark, 0, 1, 5)) == pytest.approx(
                    mark.values[0, 1, 5]
                )
        probs = model(images[7:8]).softmax(1)[0].detach()
        assert found["softmax"].values.ravel() == pytest.approx(probs.numpy(), abs=1e-6)
        assert found["softmax"].percent
        label = subject.labels[7]
        assert caption.startswith(
            f"Image 7, label {label}, read as {probs.argmax()} with {probs.max():.1%}."
        )

    def test_the_selected_value_is_framed_in_its_map_and_in_the_image(self, grey):
        found, caption, _ = show(grey, image=3, layer="conv2", channel=9, row=5, column=8)
        assert found["conv2"].framed
        assert found["conv2"].frames == {9: (5, 8, 6, 9)}
        assert not found["conv1"].framed
        assert found["conv1"].frames == {}
        # a value of conv2 sees rows 2r - 3 to 2r + 4, by hand: 3 × 3, halved, 3 × 3
        assert found["image"].frames == {0: (7, 13, 15, 21)}
        opened = found["conv2 · 9"]
        outputs = outputs_at(grey, 3)
        assert opened.values[0] == pytest.approx(outputs["conv2"][0, 9].numpy(), abs=1e-5)
        assert opened.frames == {0: (5, 8, 6, 9)}
        assert selected(opened, 0, 2, 3) == {"layer": "conv2", "channel": 9, "row": 2, "column": 3}
        value = outputs["conv2"][0, 9, 5, 8].item()
        assert f"Open: conv2, channel 9, row 5, column 8: {number(value)}." in caption

    def test_left_open_the_largest_value_is_selected(self, grey):
        outputs = outputs_at(grey, 5)["conv1"][0].numpy()
        channel, row, column = np.unravel_index(outputs.argmax(), outputs.shape)
        _, caption, _ = show(grey, image=5)
        assert f"conv1, channel {channel}, row {row}, column {column}: " in caption
        row, column = np.unravel_index(outputs[2].argmax(), outputs[2].shape)
        _, caption, _ = show(grey, image=5, channel=2)
        assert f"conv1, channel 2, row {row}, column {column}: " in caption

    def test_facts_of_the_layers(self, grey):
        found, _, _ = show(grey)
        assert found["conv2"].notes == ["32 × 14 × 14", "sees 8 × 8", "4,640 parameters"]
        assert found["relu1"].notes == ["16 × 28 × 28", "sees 3 × 3"]
        assert found["fc1"].notes == ["128", "sees all", "200,832 parameters"]


class TestKernels:
    @pytest.mark.parametrize("quantity", ["weights", "change"])
    def test_the_chosen_ones_and_all(self, grey, quantity):
        model = grey.network.model
        weight, other = model.conv2.weight, make_model(1).conv2.weight
        values = {"weights": weight, "change": weight - other}[quantity]
        values = values.detach().numpy()
        selection = {"view": "kernels", "layer": "relu2", "channel": 11, "quantity": quantity}
        found, caption, _ = show(grey, limits="layer", **selection)
        large, small = (
            found["conv2: a kernel for each input channel"],
            found["conv2: all 512 kernels"],
        )
        assert large.values == pytest.approx(values[11], abs=1e-6)
        assert large.labels == [str(i) for i in range(16)]
        assert small.values[5 * 32 + 11] == pytest.approx(values[11, 5], abs=1e-6)
        assert set(small.frames) == {11 + 32 * row for row in range(16)}
        assert small.heads == ([str(i) for i in range(32)], [str(i) for i in range(16)])
        assert selected(small, 5 * 32 + 11) == {"layer": "conv2", "channel": 11, "input_channel": 5}
        assert selected(large, 6) == {"layer": "conv2", "input_channel": 6}
        words = {"weights": "given weights", "change": "change from other to given"}[quantity]
        assert f"3 × 3, {words}, colours" in caption
        top = np.abs(values).max()
        assert small.limits == [pytest.approx((-top, top), rel=1e-4)] == large.limits
        assert caption.startswith("conv2: 32 × 16 kernels of 3 × 3, ")
        assert caption.endswith("Output channel 11 is chosen.")

    def test_scales(self, grey):
        values = np.abs(grey.network.model.conv2.weight.detach().numpy())
        robust, _, _ = show(grey, view="kernels", layer="conv2")
        end = np.percentile(values, 99, method="higher")
        assert robust["conv2: all 512 kernels"].limits == [pytest.approx((-end, end))]
        each, _, _ = show(grey, view="kernels", layer="conv2", channel=4, limits="each")
        own = values[4].max(axis=(1, 2))
        assert [
            high for _, high in each["conv2: a kernel for each input channel"].limits
        ] == pytest.approx(own)
        assert each["conv2: all 512 kernels"].limits[3 * 32 + 4][1] == pytest.approx(own[3])

    def test_a_single_input_channel_is_shown_whole(self, grey):
        found, _, _ = show(grey, view="kernels", layer="pool1", channel=6)
        (kernels,) = found.values()
        assert np.array_equal(kernels.values, grey.network.model.conv1.weight.detach()[:, 0])
        assert kernels.frames == {6: None}
        assert selected(kernels, 9) == {"layer": "conv1", "channel": 9}

    def test_a_linear_layer_that_reads_maps_has_kernels_too(self, grey):
        values = grey.network.model.fc1.weight
        selection = {"view": "kernels", "channel": 77}
        found, caption, _ = show(grey, layer="fc1", **selection)
        (large,) = found.values()  # 4,096 are too many to be drawn at once
        wanted = values.detach()[77].reshape(32, 7, 7).numpy()
        assert large.values == pytest.approx(wanted, abs=1e-7)
        assert caption.startswith("fc1: 128 × 32 kernels of 7 × 7")

    def test_a_layer_that_reads_no_maps_has_its_weights_in_rows(self, grey):
        values = grey.network.model.fc2.weight.detach().numpy()
        found, caption, _ = show(grey, view="kernels", layer="softmax", channel=7)
        (mark,) = found.values()
        assert mark.values.shape == (10, 8, 16)
        assert np.array_equal(mark.values[7, 0], values[7, :16])
        assert np.array_equal(mark.values[4, 7], values[4, 112:])
        assert mark.frames == {7: None}
        assert selected(mark, 4) == {"layer": "fc2", "channel": 4}
        assert caption.startswith("fc2: 10 × 128 weights, in rows of 16, given weights, ")

    def test_a_group_is_labelled_with_the_channels_it_reads(self, colour):
        found, _, _ = show(colour, view="kernels", layer="wide", channel=6)
        large = found["wide: a kernel for each input channel"]
        assert large.labels == ["4", "5", "6", "7"]
        assert np.array_equal(large.values, colour.network.model.wide.weight.detach()[6])


class TestFeatureMaps:
    def test_alone_beside_and_the_difference(self, grey):
        mine, other = (
            outputs_of(m, grey.images[4:5])["relu2"][0] for m in (make_model(0), make_model(1))
        )
        selection = {"view": "feature_maps", "image": 4, "layer": "relu2", "channel": 3}
        selection["limits"] = "layer"
        found, caption, _ = show(grey, **selection)
        assert np.array_equal(found["relu2"].values, mine)
        assert found["relu2"].limits == [pytest.approx((0, mine.max().item()))]
        assert found["relu2"].labels == [str(i) for i in range(32)]
        assert "32 × 14 × 14, colours from 0 to" in caption
        top = max(mine.max(), other.max()).item()
        found, _, _ = show(grey, compare="beside", **selection)
        assert np.array_equal(found["relu2, other"].values, other)
        assert (
            found["relu2, other"].limits
            == found["relu2, given"].limits
            == [pytest.approx((0, top))]
        )
        assert found["relu2, other"].columns == 8
        found, _, _ = show(grey, compare="difference", **selection)
        # three times 32 maps, each under its number, fit 900 × 500 pixels
        side = 14 * found["relu2, difference"].zoom
        columns = found["relu2, difference"].columns
        assert 3 * columns * (side + 6) < 900
        assert -(-32 // columns) * (side + 18) < 500
        assert np.array_equal(found["relu2, difference"].values, mine - other)
        assert all(
            found[f"relu2, {n}"].limits == [pytest.approx((-top, top))]
            for n in ("given", "difference")
        )
        found, _, _ = show(grey, weights="other", **selection)
        assert np.array_equal(found["relu2"].values, other)

    def test_scales(self, grey):
        own = np.abs(outputs_at(grey, 4)["conv1"][0].numpy())
        selection = {"view": "feature_maps", "image": 4, "layer": "conv1"}
        found, caption, _ = show(grey, **selection)
        end = np.percentile(own, 99, method="higher")
        assert found["conv1"].limits == [pytest.approx((-end, end))]
        assert caption.count("(99th percentile)") == 1
        found, _, _ = show(grey, limits="each", **selection)
        assert [high for _, high in found["conv1"].limits] == pytest.approx(own.max(axis=(1, 2)))
        vector = selection | {"layer": "fc1"}
        found, _, _ = show(grey, limits="each", **vector)  # drawn as one map
        own = outputs_at(grey, 4)["fc1"].abs().max().item()
        assert found["fc1"].limits == [pytest.approx((-own, own))]

    @pytest.mark.parametrize(
        ("layer", "channel", "place"),
        [("flatten", 65, (1, 1)), ("fc1", 25, (1, 9)), ("fc2", 7, (0, 7))],
    )
    def test_the_value_of_a_vector_is_framed_where_it_stands(self, grey, layer, channel, place):
        for view in ("feature_maps", "pipeline") if layer == "fc1" else ("feature_maps",):
            found, caption, _ = show(grey, view=view, layer=layer, channel=channel)
            row, column = place  # of 64, 16 and 10 in a row
            assert found[layer].frames == {0: (row, column, row + 1, column + 1)}
            value = outputs_at(grey, 0)[layer].ravel()[channel].item()
            assert found[layer].values[0, row, column] == pytest.approx(value)
            assert f"{layer}, channel {channel}: {number(value)}." in caption

    def test_frames_and_clicks(self, colour):
        place = {"layer": "head", "channel": 4, "row": 1, "column": 2}
        found, _, _ = show(colour, view="feature_maps", image=2, **place)
        maps = found["head"]
        assert maps.frames == {4: (1, 2, 2, 3)}
        assert selected(maps, 4, 1, 2) == place
        assert maps.colour_bar
        shown = found["image"].values[0]
        image = COLOUR[2].numpy()
        wanted = (image - image.min()) / (image.max() - image.min())
        assert shown == pytest.approx(wanted.transpose(1, 2, 0))


class TestArithmetic:
    def test_a_convolution(self, grey):
        place = {"layer": "conv2", "channel": 21, "row": 4, "column": 6}
        outputs = outputs_at(grey, 0)
        found, caption, everything = show(grey, view="arithmetic", input_channel=3, **place)
        patch, kernel = (
            outputs["pool1"][0, 3, 3:6, 5:8],
            grey.network.model.conv2.weight[21, 3].detach(),
        )
        assert np.array_equal(found["patch"].values, patch)
        assert np.array_equal(found["kernel"].values, kernel)
        assert found["products"].values == pytest.approx((patch * kernel).numpy())
        assert found["products"].notes == [f"sum {number((patch * kernel).sum().item())}"]
        sums = F.conv2d(
            outputs["pool1"], grey.network.model.conv2.weight[21, :, None], padding=1, groups=16
        )
        sums = sums[0, :, 4, 6].detach().numpy()
        table = found["sums by input channel"]
        assert table.values.ravel() == pytest.approx(sums, abs=1e-5)
        assert table.framed_cell == 3
        assert selected(table, 9) == {"input_channel": 9}
        assert found["pool1 · 3"].frames == {0: (3, 5, 6, 8)}
        assert np.array_equal(found["pool1 · 3"].values[0], outputs["pool1"][0, 3])
        assert found["conv2 · 21"].frames == {0: (4, 6, 5, 7)}
        bars = {title for title, mark in found.items() if getattr(mark, "colour_bar", False)}
        assert bars == {"pool1 · 3", "conv2 · 21"}
        assert found["image"].frames == {0: (5, 9, 13, 17)}
        value, bias = outputs["conv2"][0, 21, 4, 6].item(), grey.network.model.conv2.bias[21].item()
        said = f"sum of all products {number(sums.sum())} + bias {number(bias)} = {number(value)} "
        said += f"(rounded); ReLU makes it {number(max(value, 0))}"
        assert said in [mark.text for mark in of_kind(Text, everything)]
        assert caption.endswith(
            f"{number(value)}: {said}. The numbers are those of input channel 3."
        )
        for index in range(9):
            click = selected(found["patch"], index)
            assert value_at(outputs, click) == patch.ravel()[index]

    def test_both_signs_of_a_rectified_value(self, grey):
        outputs = outputs_at(grey, 0)["conv1"][0].numpy()
        for index in (outputs.argmin(), outputs.argmax()):
            channel, row, column = (int(i) for i in np.unravel_index(index, outputs.shape))
            _, caption, _ = show(grey, view="arithmetic", channel=channel, row=row, column=column)
            value = max(outputs[channel, row, column].item(), 0.0)
            assert f"ReLU makes it {number(value)}." in caption

    def test_it_opens_on_the_input_channel_that_adds_most_of_either_sign(self, grey):
        outputs = outputs_at(grey, 0)
        signs = set()
        for channel in range(32):
            kernels = grey.network.model.conv2.weight.detach()[channel, :, None]
            sums = F.conv2d(outputs["pool1"], kernels, padding=1, groups=16)[0, :, 7, 7].numpy()
            place = {"layer": "conv2", "channel": channel, "row": 7, "column": 7}
            found, _, _ = show(grey, view="arithmetic", **place)
            largest = np.abs(sums).argmax()
            assert found["sums by input channel"].framed_cell == largest, channel
            signs.add(sums[largest] > 0)
        assert signs == {True, False}

    def test_a_group_names_the_channels_it_reads(self, colour):
        found, _, _ = show(
            colour, view="arithmetic", layer="wide", channel=6, row=3, column=9, input_channel=1
        )
        act = F.relu(colour.network.model.stem(COLOUR[:1])).detach()[0]
        assert np.array_equal(found["act · 5"].values[0], act[5])
        assert found["sums by input channel"].rows == ["from 4"]
        assert found["act · 5"].frames == {0: (1, 7, 6, 12)}
        for index in range(9):
            click = selected(found["patch"], index)
            assert click["channel"] == 5
            assert act[5, click["row"], click["column"]] == found["patch"].values.ravel()[index]

    @pytest.mark.parametrize(
        ("layer", "said"),
        [
            ("pool1", "the largest is {}"),
            ("relu1", "max(0, {}) = {}"),
            ("softmax", "exp of logit 2,"),
        ],
    )
    def test_rules_without_a_kernel(self, grey, layer, said):
        outputs = outputs_at(grey, 0)
        found, caption, _ = show(grey, view="arithmetic", layer=layer, channel=2, row=3, column=5)
        if layer == "softmax":
            assert found["input"].values.ravel() == pytest.approx(
                outputs["fc2"][0].numpy(), abs=1e-5
            )
            assert found["input"].columns == list("0123456789")
            assert found["fc2 · 0"].frames == {}  # all count
        elif layer == "pool1":
            assert np.array_equal(found["input"].values, outputs["relu1"][0, 2, 6:8, 10:12])
            said = said.format(number(outputs["pool1"][0, 2, 3, 5].item()))
        else:
            values = (outputs[name][0, 2, 3, 5].item() for name in ("conv1", "relu1"))
            said = said.format(*map(number, values))
        assert said in caption

    def test_a_linear_layer_reads_maps_and_a_sum_its_branches(self, grey, colour):
        found, _, _ = show(grey, view="arithmetic", layer="fc1", channel=17, input_channel=30)
        kernel = grey.network.model.fc1.weight[17].detach().reshape(32, 7, 7)[30]
        assert np.array_equal(found["kernel"].values, kernel)
        assert found["sums by input channel"].values.shape == (2, 16)
        found, caption, _ = show(colour, view="arithmetic", layer="add", channel=3, row=2, column=2)
        assert found["input"].values.size == 2
        assert found["input"].columns == list(colour.layers["add"].inputs)
        total = found["input"].values.sum()
        assert f"the sum is {number(total.item())}" in caption


class TestNames:
    @pytest.fixture(scope="class")
    @classmethod
    def sequential(cls):
        layers = (nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2704, 9), nn.Linear(9, 2))
        images = images_of(12, 1, 28, 28)
        names = ["cat", "dog"]
        return Subject(nn.Sequential(*layers), images, DIGITS[:12] // 2, class_names=names)

    @pytest.mark.parametrize("view", ALWAYS)
    def test_no_layer_is_a_mere_number(self, sequential, view):
        scene = draw(sequential, Selection(view=view, layer="0", channel=1, rank=True))
        texts = [scene.caption, *(mark.title for mark in marks(scene.content))]
        for mark in marks(scene.content):
            texts += [*getattr(mark, "axes", ()), getattr(mark, "text", "")]
        for text in texts:
            assert not re.search(r"(^|of )\d($|:| ·|,| \d)", text)

    def test_where_the_names_stand(self, sequential):
        found, caption, _ = show(sequential, view="kernels", layer="1")
        assert caption.startswith("0 Conv2d: 4 × 1 kernels of ")
        assert "0 Conv2d: a kernel for each channel" in found
        found, _, _ = show(sequential, layer="1", channel=2)
        assert {"0 Conv2d", "1 ReLU", "1 ReLU · 2", "3 Linear", "4 Linear"} <= set(found)
        assert found["4 Linear"].select["layer"] == "4"
        found, caption, _ = show(sequential, view="ablation", ablated=(("0", 3),))
        assert any(title.startswith("0 Conv2d: images lost without") for title in found)
        assert "Ablated: 0 Conv2d 3. " in caption
        found, caption, _ = show(sequential, view="neighbours")
        assert caption.startswith("3 Linear by PCA: 12 of 12 images; ")
        steps = trail(sequential.look(Selection(layer="0"))).items
        assert [step.text for step in steps[:3]] == ["You are here:", "image", "0 Conv2d"]
        assert steps[2].select == {"layer": "0"}

    def test_what_is_no_digit_is_a_class(self, sequential, grey):
        words = []
        for subject in (sequential, grey):
            found, _, _ = show(subject, view="answer")
            words += [mark.axes[0] for mark in of_kind(Bars, found.values())]
            found, _, _ = show(subject, view="ablation")
            words.append(found["accuracy by class"].axes[0])
            found, _, _ = show(subject, view="top_images")
            words.append(found["mean activation by class"].axes[0])
            words.append(show(subject, view="confusion", digit=1, predicted=0, tenth=0)[1])
        assert words == [
            *("Predicted class", "Class", "True class"),
            "0 of 12 images. " + words[3].partition(". ")[2],
            *("Predicted digit", "Digit", "True digit"),
            "0 of 300 images. " + words[7].partition(". ")[2],
        ]
        filtered = Selection(view="answer", digit=1, predicted=0, tenth=0)
        assert "class dog" in draw(sequential, filtered).caption
        assert "digit 1" in draw(grey, filtered).caption

    def test_weights_are_trained_where_a_card_tells(self, few):
        assert Subject(make_model(0), *few.test.tensors).own == "given"
        assert Subject(load_checkpoint()[0], *few.test.tensors).own == "trained"
        assert Subject(make_model(0), *few.test.tensors, name="mine").own == "mine"


class TestConvolve:
    KERNEL = (0.5, -1, 2, 0, 0.25, -3, 1, 1, -0.75)

    @pytest.mark.parametrize(("padding", "stride"), [(1, 1), (0, 1), (1, 2), (0, 2)])
    def test_the_map_is_the_convolution_with_that_kernel(self, grey, padding, stride):
        options = {"padding": padding, "stride": stride}
        at = {"image": 5, "kernel": self.KERNEL, "layer": "image", "row": 9, "column": 4}
        found, caption, _ = show(grey, view="convolve", **at, **options)
        kernel = torch.tensor(self.KERNEL).view(1, 1, 3, 3)
        made = F.conv2d(grey.images[5:6], kernel, **options)[0, 0].numpy()
        np.testing.assert_allclose(found["map"].values[0], made, atol=1e-5)
        side = 28 + 2 * padding
        assert f"{side} × {side} becomes {len(made)} × {len(made)}" in caption
        assert f"Framed: row 9, column 4: {number(made[9, 4].item())}." in caption
        top, left = 9 * stride, 4 * stride
        assert found["image"].frames == {0: (top, left, top + 3, left + 3)}
        assert found["image"].first == -padding  # row 0 is that of the image itself
        assert found["map"].frames == {0: (9, 4, 10, 5)}
        padded = F.pad(grey.images[5, 0], [padding] * 4).numpy()
        np.testing.assert_array_equal(found["image"].values[0], padded)
        patch = padded[top : top + 3, left : left + 3]
        np.testing.assert_array_equal(found["patch"].values, patch)
        np.testing.assert_allclose(found["products"].values.sum(), made[9, 4], atol=1e-5)
        zooms = {found[title].zoom for title in ("image", "map")}
        assert len(zooms) == 1  # to scale

    def test_the_kernel_can_be_changed_and_the_map_follows_the_pointer(self, grey):
        found, _, every = show(grey, view="convolve", kernel=self.KERNEL)
        assert found["kernel"].edit == "kernel"
        assert tuple(found["kernel"].values.ravel()) == self.KERNEL
        assert found["map"].follows
        place = {"layer": "image", "channel": 0, "row": 3, "column": 8}
        assert selected(found["map"], 0, 3, 8) == place
        buttons = {mark.text: mark.select for mark in of_kind(Text, every)}
        assert buttons["vertical edges"] == {"kernel": [(-1, 0, 1, -2, 0, 2, -1, 0, 1)]}
        assert buttons["horizontal edges"]["kernel"][0][:3] == (-1, -2, -1)

    def test_a_kernel_of_the_network_can_be_taken_over(self, grey):
        for weights in ("given", "other"):
            found, _, _ = show(grey, view="convolve", weights=weights)
            own = grey.networks[weights].weights["conv1.weight"].detach()[:, 0].numpy()
            np.testing.assert_array_equal(found["kernels of conv1"].values, own)
            taken = found["kernels of conv1"].select["kernel"][6]
            np.testing.assert_allclose(taken, own[6].ravel(), atol=5.1e-5)

    def test_a_place_outside_the_map_moves_inside(self, grey):
        at = {"layer": "image", "row": 27, "column": 27}
        _, caption, _ = show(grey, view="convolve", padding=0, stride=2, **at)
        assert "row 12, column 12" in caption

    def test_of_other_sizes_no_kernel_is_offered(self, colour):
        found, _, _ = show(colour, view="convolve", image=1)
        assert found["map"].values.shape == (1, 15, 18)
        first = next(m for m in colour.network.model.modules() if isinstance(m, torch.nn.Conv2d))
        offered = any(title.startswith("kernels of") for title in found)
        assert offered == (first.kernel_size == (3, 3))


class TestTopImages:
    def test_the_strongest_images_and_what_they_show(self, grey):
        maps = outputs_of(grey.network.model, grey.images)["relu2"][:, 5]
        best = maps.amax((1, 2)).sort(descending=True, stable=True).indices[:8].tolist()
        found, caption, everything = show(grey, view="top_images", layer="relu2", channel=5)
        shown = of_kind(Maps, everything)
        for place, image in enumerate(best):
            whole, cut = shown[2 * place], shown[2 * place + 1]
            strength, _, label = whole.title.partition(", label ")
            assert float(strength) == pytest.approx(maps[image].max().item(), abs=0.00501)
            assert label == str(grey.labels[image].item())
            assert np.array_equal(whole.values[0], grey.images[image, 0])
            assert selected(whole) == {"image": image}
            again = show(grey, view="top_images", layer="relu2", channel=5, image=image)[2]
            framed = [mark.title for mark in of_kind(Maps, again) if mark.framed]
            assert framed == [whole.title]
            row, column = divmod(maps[image].argmax().item(), 14)
            top, left = max(2 * row - 3, 0), max(2 * column - 3, 0)
            box = (top, left, min(2 * row + 5, 28), min(2 * column + 5, 28))
            assert whole.frames == {0: box}
            assert np.array_equal(
                cut.values[0], grey.images[image, 0, box[0] : box[2], box[1] : box[3]]
            )
        assert caption.startswith(
            f"relu2, channel 5: strongest in images {', '.join(map(str, best[:4]))}, by the value"
        )
        bars = found["mean activation by class"]
        means = [maps[grey.labels == digit].mean().item() for digit in range(10)]
        assert bars.series["mean"] == pytest.approx(means, abs=1e-5)
        assert caption.endswith(f"Its mean is highest for {np.argmax(means)}.")
        assert selected(bars, 4) == {"target": 4}

    def test_of_one_class_and_of_one_without_images(self, grey, few):
        maps = outputs_of(grey.network.model, grey.images)["relu2"][:, 5].amax((1, 2))
        found, caption, _ = show(grey, view="top_images", layer="relu2", channel=5, target=7)
        sevens = (grey.labels == 7).nonzero().flatten()
        assert f"images {sevens[maps[sevens].argmax()]}, " in caption
        assert " of class 7, by the value" in caption
        assert found["mean activation by class"].emphasis == [7]
        assert "gradient ascent" not in found  # which would be the same for each class
        assert "gradient ascent" in show(grey, view="top_images", layer="relu2", channel=5)[0]
        images, labels = (tensor[:3] for tensor in few.test.tensors)
        absent = next(digit for digit in range(10) if digit not in labels)
        with pytest.raises(InputError, match=f"No image that fits is of class {absent}; choose"):
            show(Subject(make_model(0), images, labels), view="top_images", target=absent)

    def test_only_among_those_that_the_filter_leaves(self, grey):
        model = grey.network.model
        maps = outputs_of(model, grey.images)["relu2"][:, 5].amax((1, 2))
        with torch.no_grad():
            right = (model(grey.images).argmax(1) == grey.labels).nonzero().flatten()
        _, caption, _ = show(grey, view="top_images", layer="relu2", channel=5, read="right")
        assert f"strongest in images {right[maps[right].argmax()]}" in caption
        assert "above each. Looked at: right answers. Its" in caption
        own = grey.labels[right].tolist()
        digit = max(set(own), key=own.count)  # the one that is read correctly most often
        for read in ("right", "wrong"):
            fits = torch.zeros(300, dtype=torch.bool).index_fill(0, right, True)
            among = ((grey.labels == digit) & (fits == (read == "right"))).nonzero().flatten()
            if not len(among):
                continue
            at = {"layer": "relu2", "channel": 5, "target": digit, "read": read}
            _, caption, _ = show(grey, view="top_images", **at)
            assert f"images {among[maps[among].argmax()]}" in caption
            assert f" of class {digit}, by" in caption

    @pytest.mark.parametrize("target", [0, None])
    def test_the_channels_that_a_class_excites_most(self, grey, target):
        means = outputs_of(grey.network.model, grey.images)["relu2"].mean((2, 3))
        by_class = torch.stack([means[grey.labels == digit].mean(0) for digit in range(10)])
        digit = target
        if target is None:
            digit = by_class[:, 5].argmax().item()
        excess = by_class[digit] - by_class.mean(0)
        order = excess.argsort(descending=True)[:8]
        at = {"view": "top_images", "layer": "relu2", "target": target}
        found, caption, _ = show(grey, channel=5, **at)
        bars = found[f"channels that class {digit} excites most"]
        assert f"Its mean is highest for {by_class[:, 5].argmax().item()}." in caption
        assert bars.ticks == list(map(str, order.tolist()))
        assert bars.axis == {"0": 0.0}
        (heights,) = bars.series.values()
        assert heights == pytest.approx(excess[order].clip(0).numpy(), abs=1e-5)
        assert selected(bars, 1) == {"channel": order[1]}
        if target == 0:
            chosen = show(grey, channel=order[2].item(), **at)[0][bars.title]
            assert chosen.emphasis == [2]

    def test_bars_of_means_below_zero_hang_from_the_axis(self, grey):
        means = outputs_of(grey.network.model, grey.images)["conv1"].mean((2, 3))
        by_class = torch.stack([means[grey.labels == digit].mean(0) for digit in range(10)])
        channel = int(by_class.amax(0).argmin())
        assert by_class[:, channel].max() < 0
        found, caption, _ = show(grey, view="top_images", channel=channel)
        assert caption.endswith(f"Its mean is highest for {by_class[:, channel].argmax()}.")
        lowest = by_class[:, channel].min().item()
        bars = found["mean activation by class"]
        assert bars.limits == pytest.approx((lowest, 0), abs=1e-6)
        assert bars.axis == {"0": 0.0}  # the numbers stand over the bars

    def test_numbers_over_bars_have_the_same_digits(self):
        look = SimpleNamespace(subject=SimpleNamespace(digits=["0", "1", "2", "3"]))
        means = np.array([0.04, 0.041, 12.3, -0.0012])
        bars = class_bars(look, "#.2g", {"mean": means}, axes=("", ""))
        assert bars.numbers == ["0.040", "0.041", "12", "−0.0012"]


class TestAttribution:
    def test_methods_class_and_scale(self, grey):
        image = grey.images[3:4].clone().requires_grad_()
        (slope,) = torch.autograd.grad(grey.network.model(image).log_softmax(1)[0, 6], image)
        found, caption, _ = show(grey, view="attribution", image=3, target=6)
        assert list(found) == [
            "given, class 6",
            "saliency",
            "Grad-CAM",
            "integrated gradients",
            "occlusion",
        ]
        wanted = (slope[0, 0].abs() / slope.abs().max()).numpy()
        assert found["saliency"].values[0] == pytest.approx(wanted, abs=1e-5)
        assert all(found[method].limits == [(-1, 1)] for method in list(found)[1:])
        assert not any(mark.select for mark in found.values())  # which would show in other views
        barred = [title for title, mark in found.items() if mark.colour_bar]
        assert barred == ["occlusion"]  # which has a sign, as the bar has
        assert "What counts for class 6" in caption
        likeliest = grey.network.model(grey.images[3:4]).argmax()
        assert f"What counts for class {likeliest}" in show(grey, view="attribution", image=3)[1]

    def test_other_weights_beside(self, grey):
        _, _, everything = show(grey, view="attribution", target=2, compare="beside")
        titles = [mark.title for mark in everything]
        assert titles[::5] == ["given, class 2", "other, class 2"]
        image = grey.images[:1].clone().requires_grad_()
        (slope,) = torch.autograd.grad(make_model(1)(image).log_softmax(1)[0, 2], image)
        wanted = (slope[0, 0].abs() / slope.abs().max()).numpy()
        assert everything[6].values[0] == pytest.approx(wanted, abs=1e-5)

    def test_the_difference_is_the_first_less_the_second(self, grey):
        _, caption, marks = show(grey, view="attribution", target=2, compare="difference")
        assert [mark.title for mark in marks][10] == "difference, class 2"
        for first, second, difference in zip(marks[1:5], marks[6:10], marks[11:], strict=True):
            assert np.array_equal(difference.values, first.values - second.values)
            assert difference.limits == [(-2, 2)]
        assert caption.endswith("Difference: given − other, from −2 to 2.")


class TestAblation:
    def test_what_is_lost(self, grey):
        whole = logits_without(make_model(0), grey.images)
        left = logits_without(make_model(0), grey.images, ("conv1", 3))
        found, caption, everything = show(grey, view="ablation", image=2, ablated=(("conv1", 3),))
        probs = found["probability for this image"]
        assert list(probs.series) == ["all channels", "ablated"]
        assert probs.series["all channels"] == pytest.approx(whole[2].softmax(0).numpy(), abs=1e-5)
        assert probs.series["ablated"] == pytest.approx(left[2].softmax(0).numpy(), abs=1e-5)
        right = [(logits.argmax(1) == grey.labels) for logits in (whole, left)]
        for name, correct in zip(("all channels", "ablated"), right, strict=True):
            wanted = [correct[grey.labels == digit].float().mean().item() for digit in range(10)]
            assert found["accuracy by class"].series[name] == pytest.approx(wanted)
        accuracies = [correct.float().mean() for correct in right]
        assert f"Ablated: conv1 3. This image: {left[2].argmax()}" in caption
        assert f"{accuracies[1]:.2%} instead of {accuracies[0]:.2%}." in caption
        bars = found["conv1: images lost without one channel (not measured)"]
        assert bars.emphasis == [3]
        assert selected(bars, 5) == {"ablate": ["conv1", 5]}
        assert found["conv2: images lost without one channel (not measured)"].emphasis == []
        assert {"ablate": None} in [mark.select for mark in of_kind(Text, everything)]

    def test_only_what_the_filter_leaves_is_counted(self, grey):
        before = logits_without(make_model(0), grey.images).argmax(1)
        after = logits_without(make_model(0), grey.images, ("conv1", 3)).argmax(1)
        chosen = (grey.labels == 7) & (before != 7)
        found, caption, _ = show(
            grey, view="ablation", ablated=(("conv1", 3),), digit=7, read="wrong", image=0
        )
        said = f"Accuracy on {chosen.sum()} of 300 images, digit 7, wrong answers: "
        assert f"{said}{(after[chosen] == 7).float().mean():.2%} instead of 0.00%." in caption
        shares = found["accuracy by class"].series["ablated"]
        assert shares[7] == pytest.approx((after[chosen] == 7).float().mean().item())
        assert np.isnan(np.delete(shares, 7)).all()

    def test_nothing_ablated_says_what_to_do(self, grey):
        found, caption, everything = show(grey, view="ablation")
        assert "Nothing is ablated. Accuracy on 300 of 300 images" in caption
        (hint,) = [mark.text for mark in everything if getattr(mark, "size", "") == "hint"]
        assert hint.startswith(
            "Click a bar below to set that channel to zero"
        )  # paper has no clicks
        for title in ("probability for this image", "accuracy by class"):
            whole, ablated = found[title].series.values()
            np.testing.assert_allclose(whole, ablated, atol=1e-6)
            assert found[title].limits == (0, 1)
            assert found[title].axis == {"0%": 0.0, "100%": 1.0}
            assert found[title].axes == ("Digit", title.split()[0].capitalize())
            assert not found[title].numbers  # of which bar?
            assert not found[title].select  # no other view's class
        assert {"rank": True} in [mark.select for mark in everything]

    def test_the_hint_and_its_button_stay_where_they_are_once_a_channel_is_ablated(self, grey):
        before = of_kind(Text, show(grey, view="ablation")[2])
        after = of_kind(Text, show(grey, view="ablation", ablated=(("conv1", 3),))[2])
        assert after[:-1] == before
        assert after[-1].select == {"ablate": None}

    def test_the_ranking_has_a_logarithmic_axis(self, few):
        images, labels = few.test.tensors
        subject = Subject(make_model(0), images[:60], labels[:60])
        found, _, everything = show(subject, view="ablation", rank=True)
        assert {"rank": True} not in [mark.select for mark in everything]
        bars = found["conv2: images lost without one channel"]
        lost = np.array([int(text.replace("−", "-")) for text in bars.numbers])
        assert bars.series["lost"] == pytest.approx(np.sign(lost) * np.log10(1 + abs(lost)))
        assert lost.min() < 0
        assert bars.axis == pytest.approx({"−10": -np.log10(11), "0": 0, "10": np.log10(11)})
        assert bars.limits == pytest.approx((-np.log10(11), np.log10(61)))  # all images lost
        assert bars.limits == found["conv1: images lost without one channel"].limits
        before = Subject(make_model(0), images[:60], labels[:60])
        found, _, _ = show(before, view="ablation")
        empty = found["conv2: images lost without one channel (not measured)"]
        assert np.isnan(empty.series["lost"]).all()
        assert (empty.axis, empty.limits) == (bars.axis, bars.limits)  # so that nothing jumps
        answers = [
            (logits_without(make_model(0), images[:60], *ablated).argmax(1) == labels[:60]).sum()
            for ablated in ([], [("conv2", 7)])
        ]
        assert lost[7] == answers[0] - answers[1]


def test_a_misread_image_leads_to_what_speaks_for_its_label_and_back(grey):
    answers = grey.network.model(grey.images).argmax(1)
    wrong = int((answers != grey.labels).nonzero()[0])
    label, answer = int(grey.labels[wrong]), int(answers[wrong])
    (link,) = header(grey.look(Selection(image=wrong))).items[2:]
    assert link.text == f"Why not {label}?"
    place = {"view": "attribution", "image": wrong, "weights": "given"}
    assert link.select == {**place, "target": label}
    ink = drawn(grey.images[0])  # aside in views that show the image, and no more of interest
    at = selection_after(grey, Selection(image=wrong, drawing=ink), link.select)
    assert at.drawing is None
    _, caption, _ = show(grey, view="attribution", image=wrong, target=at.target)
    assert f"What counts for class {label}: " in caption
    (link,) = header(grey.look(at)).items[2:]
    assert link.text == f"Why {answer}?"
    assert link.select == {**place, "target": None}
    others = (
        Selection(view="attribution", image=wrong, target=answer),
        Selection(view="top_images", image=wrong, target=label),
    )
    for at in others:
        assert header(grey.look(at)).items[2].text == f"Why not {label}?"
    right = int((answers == grey.labels).nonzero()[0])
    assert len(header(grey.look(Selection(image=right))).items) == 2
    unlabelled = Subject(make_model(0), grey.images, None, {"other": make_model(1).state_dict()})
    for image in range(20):  # no label is known
        look = unlabelled.look(Selection(image=image, weights="other"))
        assert len(header(look).items) == 2


def test_answer(grey):
    found, caption, _ = show(grey, view="answer", image=9)
    probs = grey.network.model(grey.images[9:10]).softmax(1)[0].detach()
    (bars,) = of_kind(Bars, found.values())
    assert bars.series["probability"] == pytest.approx(probs.numpy(), abs=1e-6)
    marked = [place for place, tick in enumerate(bars.ticks) if tick == f"{place} ✓"]
    assert marked == [grey.labels[9]]
    assert not bars.emphasis  # orange is what is chosen
    assert not bars.select
    assert bars.numbers == [f"{prob:.1%}" for prob in probs]
    assert np.array_equal(found["image 9"].values[0], grey.images[9, 0])
    assert (
        caption
        == f"Image 9, label {grey.labels[9]}, read as {probs.argmax()} with {probs.max():.1%}."
    )


@pytest.mark.parametrize(
    "view", ["pipeline", "feature_maps", "attribution", "answer", "top_images"]
)
def test_a_filter_without_images_says_so(grey, few, view):
    subject = Subject(make_model(0), few.test.tensors[0][:3], few.test.tensors[1][:3])
    absent = next(digit for digit in range(10) if digit not in subject.labels)
    scene = draw(subject, Selection(view=view, digit=absent, read="wrong"))
    assert scene.caption == f"No image matches: digit {absent}, wrong answers."
    assert scene.content.text == "All images"  # said once
    fields = {"view": view, "digit": absent, "read": "wrong"}
    assert Selection(**{**fields, **scene.content.select}) == Selection(view=view)
    assert header(subject.look(Selection(**fields))).items == ()


def test_many_maps_stand_in_more_columns():
    model = nn.Sequential(nn.Conv2d(1, 200, 3), nn.Conv2d(200, 4, 3), nn.Flatten())
    wide = Subject(model.append(nn.Linear(4 * 24 * 24, 10)), images_of(3, 1, 28, 28), DIGITS[:3])
    for view, layer in [("feature_maps", "0"), ("kernels", "0"), ("kernels", "1")]:
        _, _, found = show(wide, view=view, layer=layer)
        many = next(maps for maps in of_kind(Maps, found) if len(maps.values) == 200)
        assert many.columns == 32  # 7 rows, wider than high


@pytest.fixture(scope="module")
def branching():
    return Subject(build("branching"), COLOUR[:6])


SOME = [(view, 1 if "layer" in VIEWS[view].fields else 9) for view in ALWAYS]
SOME[ALWAYS.index("top_images")] = ("top_images", 5)  # it makes images, which takes its time


@pytest.mark.parametrize(
    ("view", "step"), [*SOME, *[pytest.param(view, 1, marks=pytest.mark.slow) for view in ALWAYS]]
)
def test_every_view_shows_every_layer_of_any_network(colour, branching, view, step):
    for subject in (colour, branching):
        for layer in list(subject.layers)[::step]:
            scene = draw(subject, Selection(view=view, layer=layer, image=1))
            assert scene.caption
            tables = of_kind(Table, marks(scene.content))
            assert all(len(table.texts) == len(table.values) for table in tables)


@pytest.fixture(scope="module")
def answers(grey):
    """Labels, what is read and how surely, by the model itself."""
    with torch.no_grad():
        probs = grey.network.model(grey.images).softmax(1)
    return grey.labels.numpy(), probs.argmax(1).numpy(), probs.amax(1).numpy()


class TestConfusion:
    def test_the_matrix_counts_and_its_cells_select_their_images(self, grey, answers):
        labels, read, _ = answers
        found, _, _ = show(grey, view="confusion")
        table = found["rows: true, columns: predicted"]
        wanted = np.zeros((10, 10))
        np.add.at(wanted, (labels, read), 1)
        np.testing.assert_array_equal(table.values, wanted)
        np.testing.assert_array_equal(table.shades, wanted * (1 - np.eye(10)))
        for cell in np.flatnonzero(wanted).tolist():
            click = selected(table, cell)
            assert click == {
                "digit": cell // 10,
                "predicted": cell % 10,
                "read": "all",
                "tenth": None,
            }
            after, caption, _ = show(grey, view="confusion", **click)
            assert after["rows: true, columns: predicted"].framed_cell == cell
            count = int(wanted.ravel()[cell])
            assert caption.startswith(f"{count:,} of {len(labels):,} images")
            numbers = grey.image_numbers(Selection(**click).filter)
            agrees = (labels == cell // 10) & (read == cell % 10)
            assert numbers.tolist() == np.flatnonzero(agrees).tolist()
            assert len(numbers) == count

    def test_the_gallery_shows_the_largest_losses_and_leads_into_the_network(self, grey, answers):
        labels, read, confidence = answers
        with torch.no_grad():
            losses = F.cross_entropy(grey.network.model(grey.images), grey.labels, reduction="none")
        _, _, found = show(grey, view="confusion")
        gallery = found[-1]
        order = losses.argsort(descending=True)[:24].tolist()
        clicks = [selected(gallery, place) for place in range(24)]
        # with the weights whose answers are shown, whatever others are chosen
        clicks_there = {"view": "pipeline", "weights": "given"}
        assert clicks == [{"image": image, **clicks_there} for image in order]
        _, _, found = show(grey, view="confusion", weights="other")
        assert selected(found[-1], 0)["weights"] == "given"
        np.testing.assert_allclose(gallery.values, grey.images[order, 0], atol=1e-6)
        for image, label in zip(order, gallery.labels, strict=True):
            said = f"{labels[image]}"
            if labels[image] != read[image]:
                said += f" as {read[image]}"
            assert label == f"{said}, {confidence[image]:.0%}"

    def test_bars_of_confidence(self, grey, answers):
        labels, read, confidence = answers
        found, _, _ = show(grey, view="confusion", tenth=1)
        bars = found["accuracy by confidence; above: number of images"]
        assert bars.emphasis == [1]
        assert bars.axes[0] == "Confidence up to"
        assert bars.ticks[:2] == ["10%", "20%"]
        assert bars.ticks[-1] == "100%"
        for tenth in range(10):
            inside = (confidence > tenth / 10) & (confidence <= (tenth + 1) / 10)
            assert selected(bars, tenth) == {"tenth": tenth}
            numbers = grey.image_numbers(Selection(tenth=tenth).filter)
            assert numbers.tolist() == np.flatnonzero(inside).tolist()
            assert bars.numbers[tenth] == str(inside.sum())
            if inside.any():
                right = (labels == read)[inside].mean()
                assert bars.series["accuracy"][tenth] == pytest.approx(right)
                mean = confidence[inside].mean()
                assert bars.series["mean confidence"][tenth] == pytest.approx(mean, abs=1e-6)

    def test_a_tenth_holds_its_upper_end(self, grey):
        subject = Subject(make_model(), grey.images[:20], grey.labels[:20])
        logits = torch.full((20, 10), -200.0)
        logits[:, :2] = 0  # two classes with 50 % each
        subject.hidden_and_logits = [torch.zeros(20, 1), logits]
        bars = show(subject, view="confusion")[0]["accuracy by confidence; above: number of images"]
        assert bars.numbers[4] == "20"
        assert len(subject.image_numbers(Selection(tenth=4).filter)) == 20

    def test_the_image_that_is_chosen_is_framed(self, grey):
        gallery = show(grey, view="confusion")[2][-1]
        image = selected(gallery, 5)["image"]
        assert gallery.frames == {}
        assert show(grey, view="confusion", image=image)[2][-1].frames == {5: None}

    @pytest.mark.parametrize("view", ["confusion", "neighbours"])
    def test_of_which_weights_it_is_stands_where_others_are_chosen(self, grey, view):
        caption = show(grey, view=view)[1]
        note = "This view always shows the weights given."
        assert show(grey, view=view, weights="other")[1] == f"{caption} {note}"
        assert show(grey, view=view, weights="given")[1] == caption
        assert "always" not in show(grey, view="answer", weights="other")[1]

    def test_an_empty_cell_says_so_below_matrix_and_bars(self, grey, answers):
        labels, read, _ = answers
        never = next(d for d in range(10) if not ((labels == 3) & (read == d)).any())
        _, caption, marks = show(grey, view="confusion", digit=3, predicted=never, tenth=9)
        said = f"digit 3, read as {never}, 90 to 100 % confidence"
        assert [type(mark) for mark in marks] == [Table, Bars, Text, Text]
        assert marks[0].framed_cell == 30 + never
        assert marks[-1].text == f"No image matches: {said}."
        assert caption.startswith("0 of 300 images. ")


class TestNeighbours:
    def test_points_are_principal_directions_of_the_hidden_layer(self, grey):
        features = outputs_of(grey.network.model, grey.images)["fc1"].double().numpy()
        centred = features - features.mean(axis=0)
        points = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
        found, _, marks = show(grey, view="neighbours", image=4)
        (scatter,) = of_kind(Scatter, marks)
        for axis in (0, 1):
            share = np.corrcoef(scatter.points[:, axis], points[:, axis])[0, 1]
            assert abs(share) == pytest.approx(1, abs=1e-4)
        assert scatter.points.min() == 0
        assert scatter.points.max() == 1
        assert scatter.classes == grey.labels.tolist()
        assert scatter.framed_point == 4
        wrong = grey.network.model(grey.images).argmax(1) != grey.labels
        assert scatter.marked == wrong.nonzero().flatten().tolist()
        assert scatter.notes == ["Across: PCA 1, up: PCA 2; ringed: read wrongly."]
        near = found["most similar by these features"]
        distances = np.linalg.norm(features - features[4], axis=1)
        nearest = distances.argsort()[1:9]
        np.testing.assert_allclose(near.values, grey.images[nearest, 0], atol=1e-6)
        assert near.labels == [str(label) for label in grey.labels[nearest].tolist()]
        assert [selected(near, place) for place in range(8)] == [
            {"image": image} for image in nearest.tolist()
        ]

    def test_a_filter_leaves_its_points_and_clicks_select_images(self, grey):
        sevens = (grey.labels == 7).nonzero().flatten().tolist()
        _, _, marks = show(grey, view="neighbours", digit=7, image=sevens[1], pointed=sevens[2])
        scatter = marks[0]
        assert scatter.select == {"image": sevens}
        everything = show(grey, view="neighbours")[2][0].points
        np.testing.assert_array_equal(scatter.points, everything[sevens])
        assert scatter.framed_point == 2
        assert set(scatter.classes) == {7}

    def test_where_the_filter_hides_what_was_pointed_at_the_image_is_framed(self, grey):
        sevens = (grey.labels == 7).nonzero().flatten().tolist()
        other = int((grey.labels != 7).nonzero()[0])
        _, caption, marks = show(grey, view="neighbours", digit=7, image=sevens[1], pointed=other)
        assert marks[0].framed_point == 1
        assert f"Framed: image {sevens[1]}: 7" in caption

    @pytest.mark.filterwarnings("ignore:invalid value")  # of no variance
    def test_a_few_images_are_shown_or_refused_in_a_sentence(self, grey):
        alike = Subject(make_model(0), grey.images[[0, 0, 0]])
        assert np.isfinite(show(alike, view="neighbours")[2][0].points).all()
        two = Subject(make_model(0), grey.images[:2])
        with pytest.raises(InputError, match="three images or more; give a Subject more"):
            show(two, view="neighbours")

    def test_known_images_are_looked_among(self, few, splits):
        images, labels = (part[:200] for part in splits.train.tensors)
        subject = Subject(make_model(0), *few.test.tensors, known_images=(images, labels))
        found, _, _ = show(subject, view="neighbours", image=3)
        model = subject.network.model
        own = outputs_of(model, subject.images[3:4])["fc1"]
        distances = (outputs_of(model, images)["fc1"] - own).norm(dim=1)
        nearest = distances.argsort()[:8]
        near = found["most similar by these features"]
        np.testing.assert_allclose(near.values, images[nearest, 0], atol=1e-6)
        assert near.labels == [str(label) for label in labels[nearest].tolist()]
        assert near.unit == "label"
        assert not near.select  # their numbers are those of another set

    def test_names_of_classes_stand_everywhere(self, few):
        names = ["Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"]
        subject = Subject(make_model(0), *few.test.tensors, class_names=names)
        found, caption, _ = show(subject, view="answer", image=2)
        (bars,) = of_kind(Bars, found.values())
        assert [tick.removesuffix(" ✓") for tick in bars.ticks] == names
        assert f"label {names[subject.labels[2]]}, read as" in caption
        _, _, marks = show(subject, view="neighbours")
        assert marks[0].letters == list("ABCDEFGHIJ")
        found, caption, everything = show(subject, view="top_images", layer="fc2", target=3)
        assert everything[0].title.endswith(", label Three")
        assert " of class Three, by the value above each" in caption
        assert "channels that class Three excites most" in found
        assert caption.partition("highest for ")[2].partition(",")[0].rstrip(".") in names
        found, caption, _ = show(subject, view="attribution", image=2, target=3)
        assert "What counts for class Three: " in caption
        assert "given, class Three" in found
        found, _, _ = show(subject, view="pipeline", image=2)
        assert found["fc2"].rows == found["softmax"].rows == names
        _, caption, _ = show(subject, view="ablation", ablated=[("conv1", 3)])
        assert caption.partition("This image: ")[2].partition(" with")[0] in names
        with pytest.raises(InputError, match="class_names has 2 names, but there are 10 classes"):
            Subject(make_model(0), *few.test.tensors, class_names=["a", "b"])
        for alike in (["a", *names[2:], "a"], [" ", *names[1:]]):
            with pytest.raises(InputError, match="; give a different one for each"):
                Subject(make_model(0), *few.test.tensors, class_names=alike)


class TestDisturbed:
    def test_the_network_reads_the_disturbed_image(self, grey):
        moved = torch.full_like(grey.images[5:6], grey.images.min())
        moved[..., 4:] = grey.images[5:6, ..., :-4]
        outputs = outputs_of(grey.network.model, moved)
        at = {"image": 5, "disturbance": "shift", "amount": 4.0}
        found, caption, _ = show(grey, view="feature_maps", layer="conv2", **at)
        np.testing.assert_allclose(found["conv2"].values, outputs["conv2"][0], atol=1e-3)
        assert "shift 4 pixels" in caption
        probs = grey.network.model(moved).softmax(1)[0].detach()
        found, _, marks = show(grey, view="answer", **at)
        (bars,) = of_kind(Bars, marks)
        np.testing.assert_allclose(bars.series["probability"], probs, atol=1e-4)
        np.testing.assert_allclose(marks[0].values[0], moved[0, 0], atol=1e-3)

    def test_views_of_all_images_show_the_image_as_it_is(self, grey):
        _, _, marks = show(grey, view="ablation", image=5, disturbance="noise", amount=0.8)
        probs = grey.network.model(grey.images[5:6]).softmax(1)[0].detach()
        np.testing.assert_allclose(marks[0].series["all channels"], probs, atol=1e-5)


EPOCHS = {"slow": [0.0, 0.25, 1.0, 2.0], "fast": [0.0, 0.9, 1.0]}
LOSSES = {"slow": [0.9, 0.5], "fast": [0.5]}
NAMES = {
    "slow": ["slow, epoch 0", "slow, epoch 0.25", "slow, epoch 1", "slow, epoch 2"],
    "fast": ["fast, epoch 0", "fast, epoch 0.9", "fast, epoch 1"],
}


LATER = ("fc1", "softmax")


@pytest.fixture(scope="module")
def weights():
    """Of each moment by name: random ones, drawn apart by larger and larger factors."""
    made = {}
    for seed, names in enumerate(NAMES.values()):
        model = make_model(seed).state_dict()
        for place, name in enumerate(names):
            factor = 1 + 0.3 * place + seed
            made[name] = {key: factor * value.roll(place, 0) for key, value in model.items()}
    return made


@pytest.fixture(scope="module")
def replay(few, weights):
    runs = {
        run: Snapshots(EPOCHS[run], [weights[name] for name in names], {"val_loss": LOSSES[run]})
        for run, names in NAMES.items()
    }
    return Subject(make_model(7), *few.test.tensors, runs=runs)


@pytest.fixture(scope="module")
def outputs(few, weights):
    """What a fresh network with the weights of each moment puts out for all images."""
    found, model = {}, make_model(8)
    for name, each in weights.items():
        model.load_state_dict(each)
        found[name] = outputs_of(model, few.test.tensors[0])
    return found


class TestTraining:
    def test_a_line_for_each_run_at_the_nearest_moments(self, replay, outputs):
        here = "slow, epoch 1"
        found, caption, _ = show(replay, view="training", weights=here)
        nearest = {
            "slow": NAMES["slow"],
            "fast": ["fast, epoch 0"] * 2 + ["fast, epoch 1"] * 2,
        }
        lines = found["error on 300 images, logarithmic"]
        assert isinstance(lines, Lines)
        wrong = {}
        for run, names in nearest.items():
            reads = [outputs[name]["fc2"].argmax(1) for name in names]
            wrong[run] = [int((read != replay.labels).sum()) for read in reads]
            assert lines.series[run] * 300 == pytest.approx(wrong[run], abs=1e-3)
        lowest = min(min(counts) for counts in wrong.values()) / 300
        low, high = lines.limits
        assert 0 < low < lowest  # no point lies on the edge
        assert high == 1
        for text, share in lines.axis.items():
            assert text == f"{100 * share:g}%"
            assert lowest <= share <= 1
        assert lines.axes == ("Epoch", "Error")
        assert lines.ticks == ["0", ".25", "1", "2"]
        assert lines.emphasis == [2]
        assert selected(lines, 1) == {"weights": "slow, epoch 0.25"}
        right = {run: 100 * (300 - wrong[run][2]) // 300 for run in nearest}
        said = f"{right['slow']}% at slow, epoch 1; {right['fast']}% at fast, epoch 1."
        assert caption.endswith(f"Read correctly of 300 images: {said}")

    def test_all_that_is_right_has_a_place_and_99_5_percent_are_not_all(self, few, weights):
        moment = Snapshots([1.0], [weights["slow, epoch 1"]], {"val_loss": [1]})
        images = few.test.tensors[0][:201]
        subject = Subject(make_model(0), images, runs={"mine": moment})
        found, caption, _ = show(subject, view="training")  # without labels all answers are right
        lines = found["error on 201 images, logarithmic"]
        assert lines.series["mine"].tolist() == [0]
        assert lines.limits[0] > 0
        assert "Read correctly of 201 images: 100% at mine" in caption
        labels = subject.labels.clone()
        labels[7] = (labels[7] + 1) % 10
        subject = Subject(make_model(0), images, labels, runs={"mine": moment})
        _, caption, _ = show(subject, view="training")
        assert "Read correctly of 201 images: 99% at mine" in caption

    def test_what_the_networks_are_at_the_chosen_moment(self, replay, outputs, weights):
        _, _, every = show(
            replay, view="training", weights="slow, epoch 0.25", layer="relu1", image=4
        )
        labels, image = replay.labels.numpy(), 4
        sides = {"slow": "slow, epoch 0.25", "fast": "fast, epoch 0"}
        kernels = of_kind(Maps, every)
        tables = of_kind(Table, every)
        clouds = of_kind(Scatter, every)
        top = max(each["conv1.weight"].abs().max().item() for each in weights.values())
        for place, (run, name) in enumerate(sides.items()):
            made = outputs[name]
            assert selected(kernels[place], 5) == {"layer": "conv1", "channel": 5}
            assert np.array_equal(kernels[place].values, weights[name]["conv1.weight"][:, 0])
            assert kernels[place].limits[0] == pytest.approx((-top, top))
            scale = f"colours from −{top:.3g} to {top:.3g}"
            assert kernels[place].title == f"16 kernels of conv1, {scale}"
            read = made["fc2"].argmax(1).numpy()
            counts = np.zeros((10, 10))
            np.add.at(counts, (labels, read), 1)
            np.testing.assert_array_equal(tables[place].values, counts)
            np.testing.assert_array_equal(tables[place].shades, counts * (1 - np.eye(10)))
            assert tables[place].framed_cell == 10 * labels[image] + read[image]
            last = outputs[NAMES[run][-1]]["fc1"].numpy()
            _, _, axes = np.linalg.svd(last - last.mean(0), full_matrices=False)
            ends, here = (
                (each - each.mean(0)) @ axes[:2].T for each in (last, made["fc1"].numpy())
            )
            low, high = ends.min(0), ends.max(0)
            points = ((here - low) / (high - low)).clip(0, 1)
            mirrored = ((here - high) / (low - high)).clip(0, 1)  # an axis has no direction
            for axis in (0, 1):
                given = clouds[place].points[:, axis]
                gaps = [np.abs(given - each[:, axis]).max() for each in (points, mirrored)]
                assert min(gaps) < 1e-3
            assert (clouds[place].framed_point, selected(clouds[place], 9)) == (4, {"image": 9})
        texts = [(mark.text, mark.select) for mark in of_kind(Text, every)]
        assert texts == [
            ("slow, epoch 0.25", {}),
            ("Best epoch", {"weights": "slow, epoch 2"}),
            ("fast, epoch 0", {}),
            ("Best epoch", {"weights": "fast, epoch 1"}),
        ]

    def test_kernels_of_the_chosen_layer_alone(self, replay, weights):
        _, _, every = show(replay, view="training", weights="fast, epoch 1", layer="pool2")
        _, kernels = of_kind(Maps, every)
        wanted = weights["fast, epoch 1"]["conv2.weight"].mean(dim=1)
        np.testing.assert_allclose(kernels.values, wanted, atol=1e-7)
        assert kernels.title.startswith("32 kernels of conv2, mean over inputs, colours from −")

    def test_a_cell_of_a_matrix_selects_as_in_confusion_and_leads_to_its_images(
        self, replay, outputs
    ):
        (confusion,) = of_kind(Table, show(replay, view="confusion")[2])
        at = Selection(view="training", weights="slow, epoch 0.25", image=4)
        labels = replay.labels.numpy()
        reads = [outputs[name]["fc2"].argmax(1).numpy() for name in (at.weights, "fast, epoch 0")]
        tables = of_kind(Table, marks(draw(replay, at).content))
        for place, read in enumerate(reads):
            select = dict(tables[place].select)
            images = select.pop("image")
            assert select == confusion.select
            for cell in range(100):
                inside = np.flatnonzero((labels == cell // 10) & (read == cell % 10)).tolist()
                later = [image for image in inside if image > at.image]
                assert images[cell] == [*later, *inside, at.image][0]
        cell = int(np.bincount(10 * labels + reads[0]).argmax())
        inside = np.flatnonzero(10 * labels + reads[0] == cell).tolist()
        walked = []
        for _ in inside:  # each click leads to the next of them, and the film goes on
            scene = draw(replay, at)
            table = of_kind(Table, marks(scene.content))[0]
            at = selection_after(replay, at, selected(table, cell))
            walked.append(at.image)
        assert sorted(walked) == inside
        assert "Read correctly of 300 images" in draw(replay, at).caption

    def test_a_frame_only_for_images_that_are_drawn(self, replay, monkeypatch):
        answers, points = replay.replay
        few = {name: each[:3] for name, each in points.items()}
        monkeypatch.setitem(replay.jobs.results, ("replay",), (answers, few))
        found, _, _ = show(replay, view="training", image=4)
        assert found["fc1 of 3 images, by PCA"].framed_point is None
        assert found["fc1 of 3 images, by PCA"].notes == ["Across: PCA 1, up: PCA 2."]

    def test_what_takes_much_memory_is_kept_of_the_latest_and_measured_again(self, replay):
        def kept(of, kind):
            return [key for key in of if key[0] == kind]

        names = list(replay.networks)
        once = replay.stats(names[0])["conv2"].max
        for name in names:
            replay.stats(name)
        assert kept(replay.jobs.results, "stats") == [("stats", name) for name in names[-2:]]
        assert torch.equal(replay.stats(names[0])["conv2"].max, once)
        replay.jobs.defers = True
        for name in names[1:]:
            with pytest.raises(Unmeasured):
                replay.lost_without_each("conv1", name)
        replay.jobs.defers = False
        rankings = [("ranking", "conv1", name) for name in names[-2:]]
        assert kept(replay.jobs.running, "ranking") == rankings
        assert len(replay.lost_without_each("conv1", names[-1])) == 16
        assert kept(replay.jobs.running, "ranking") == rankings[:1]

    def test_one_run_alone(self, few, weights):
        moment = Snapshots([1.0], [weights["slow, epoch 1"]], {"val_loss": [1]})
        alone = Subject(make_model(0), few.test.tensors[0][:20], runs={"mine": moment})
        found, _, every = show(alone, view="training")
        assert list(found["error on 20 images, logarithmic"].series) == ["mine"]
        assert len(of_kind(Table, every)) == 1

    def test_it_needs_runs(self, grey, replay):
        assert "training" not in views_of(grey)
        assert set(views_of(replay)) == set(VIEWS)
        with pytest.raises(InputError, match="view is 'training', but must be one of: pipeline"):
            show(grey, view="training")

    @pytest.mark.parametrize(
        "layer", ["conv1", *[pytest.param(name, marks=pytest.mark.slow) for name in LATER]]
    )
    @pytest.mark.parametrize("view", VIEWS)
    def test_every_view_shows_every_moment(self, replay, outputs, view, layer):
        scene = draw(replay, Selection(view=view, layer=layer, weights="fast, epoch 0.9"))
        assert scene.caption

    def test_the_best_moment_of_the_first_run_stands_for_the_model(self, replay, outputs):
        preds = outputs["slow, epoch 2"]["fc2"].argmax(1)
        assert torch.equal(replay.predictions.preds, preds)
        assert replay.look(Selection()).weights == "slow, epoch 2"
        assert [replay.best(run) for run in replay.runs] == ["slow, epoch 2", "fast, epoch 1"]
