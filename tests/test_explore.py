"""Every control's every value, for each view, without a browser; and on another kind of network."""

import numpy as np
import pytest
import torch
from test_features import colour_images, make_skipping
from torch import nn

from mnist_helpers import InputError, make_model
from mnist_helpers.config import WIDGET_ERROR
from mnist_helpers.explore import (
    SELECTION,
    browse_predictions,
    explore,
    explore_ablation,
    explore_arithmetic,
    explore_attribution,
    explore_excitation,
    explore_feature_maps,
    explore_kernels,
    explore_pipeline,
)
from mnist_helpers.features import as_maps
from mnist_helpers.inspector import COLOURINGS, COMPARISONS, SCALES, VIEWS, Inspector
from mnist_helpers.metrics import evaluate
from mnist_helpers.pictures import colours

STAGES = ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "fc1", "relu3", "fc2", "softmax"]


@pytest.fixture(scope="module")
def inspector(few):
    return Inspector(make_model(0), *few.test.tensors, make_model(1))


def drawn(picture, panel: int = 0, index: int = 0) -> np.ndarray:
    """The colours of one map of a picture, one for each value."""
    panel = picture.panels[panel]
    left, top = panel.corner(index)
    pixels = np.asarray(picture.image)[top : top + panel.height, left : left + panel.width]
    return pixels[:: panel.zoom, :: panel.zoom].astype(int)


def expected(values: np.ndarray, top: float, *, signed: bool) -> np.ndarray:
    """The colours of values on a scale to `top`, by the definition of the scale."""
    levels = values / top * 127 + 127 if signed else values / top * 254
    return colours("RdBu_r" if signed else "viridis")[
        np.rint(levels).clip(0, 254).astype(int)
    ].astype(int)


class TestFeatureMaps:
    @pytest.mark.parametrize("scale", SCALES)
    def test_every_stage_shows_the_networks_own_numbers(self, inspector, scale):
        explorer = explore_feature_maps(inspector)
        explorer.controls["scale"].value = scale
        explorer.controls["image"].value = 3
        assert list(explorer.controls["stage"].options) == STAGES
        everything = inspector.network.maps(inspector.images)
        for stage in STAGES:
            explorer.controls["stage"].value = stage
            every = everything[stage]
            own = as_maps(every[3])
            vector = own.shape[2] == 1
            of = (
                own[2] if scale == "map" and not vector else every if scale == "all images" else own
            )
            shown = drawn(explorer.pictures[0], index=2)
            signed = bool(
                (np.asarray(every) < 0).any() if scale == "all images" else (own < 0).any()
            )
            assert (
                np.abs(shown - expected(own[2], np.abs(np.asarray(of)).max(), signed=signed)).max()
                <= 6
            ), stage
            assert (
                f"{stage}. {own.shape[0]} × {own.shape[1]} × {own.shape[2]}"
                in explorer.caption.value
            )

    def test_every_image_every_channel(self, inspector):
        explorer = explore_feature_maps(inspector)
        seen = set()
        for image in range(0, 300, 17):
            explorer.controls["image"].value = image
            seen.add(explorer.views[0].url)
            assert f"Image {image}, a {inspector.labels[image]}, read as" in explorer.caption.value
        assert len(seen) == len(range(0, 300, 17))
        for channel in range(16):
            explorer.controls["channel"].value = channel
            assert f"framed: channel {channel}." in explorer.caption.value

    def test_two_networks_and_their_difference_on_one_scale(self, inspector):
        explorer = explore_feature_maps(inspector)
        maps = [
            as_maps(network.maps(inspector.images[:1])["relu2"][0])
            for network in inspector.networks
        ]
        top = max(each.max() for each in maps)
        explorer.controls["stage"].value = "relu2"
        for compare, parts in zip(
            COMPARISONS, (maps[:1], maps, [*maps, maps[0] - maps[1]]), strict=True
        ):
            explorer.controls["compare"].value = compare
            assert len(explorer.pictures[0].panels) == len(parts)
            for i, part in enumerate(parts):
                scale = maps[0].max() if compare == "alone" else top
                shown = drawn(explorer.pictures[0], i, 7)
                assert (
                    np.abs(shown - expected(part[7], scale, signed=compare == "difference")).max()
                    <= 6
                )

    def test_going_to_a_smaller_stage_keeps_the_selection_inside(self, inspector):
        explorer = explore_feature_maps(inspector)
        for name, value in (("channel", 15), ("row", 27), ("column", 26)):
            explorer.controls[name].value = value
        explorer.controls["stage"].value = "pool2"
        assert [explorer.controls[name].value for name in ("channel", "row", "column")] == [
            15,
            6,
            6,
        ]
        explorer.controls["stage"].value = "fc2"
        assert [explorer.controls[name].value for name in ("channel", "row", "column")] == [9, 0, 0]
        assert explorer.controls["row"].disabled


class TestKernels:
    @pytest.mark.parametrize("each", [False, True])
    def test_every_layer_colouring_and_channel(self, inspector, each):
        explorer = explore_kernels(inspector)
        explorer.controls["each"].value = each
        model, other = (network.model for network in inspector.networks)
        loss = torch.nn.functional.cross_entropy(model(inspector.images), inspector.labels)
        for layer in ("conv1", "conv2"):
            weight, origin = getattr(model, layer).weight, getattr(other, layer).weight
            (slope,) = torch.autograd.grad(loss, weight, retain_graph=True)
            parts = dict(zip(COLOURINGS, (weight, slope, weight - origin), strict=True))
            explorer.controls["stage"].value = layer
            for colouring, values in parts.items():
                explorer.controls["colouring"].value = colouring
                kernel = values[9, 0].detach().numpy()
                top = np.abs(kernel).max() if each else values.abs().max().item()
                shown = drawn(explorer.pictures[0], index=9)
                assert np.abs(shown - expected(kernel, top, signed=True)).max() <= 8
                assert colouring in explorer.caption.value
            for channel in range(len(weight)):
                explorer.controls["channel"].value = channel
                assert f"output channel {channel}." in explorer.caption.value

    def test_a_stage_without_kernels_shows_those_before_it(self, inspector):
        explorer = explore_kernels(inspector)
        shown = []
        for stage in STAGES:
            explorer.controls["stage"].value = stage
            shown.append(explorer.caption.value.split(".")[0])
        assert shown == ["conv1"] * 3 + ["conv2"] * 7


class TestArithmetic:
    def test_every_stage_and_every_input(self, inspector):
        explorer = explore_arithmetic(inspector)
        for stage in STAGES:
            explorer.controls["stage"].value = stage
            explorer.controls["channel"].value = 5
            value = as_maps(inspector.network.maps(inspector.images[:1])[stage][0])[5, 0, 0]
            assert f"{value:.4f}" in explorer.caption.value, stage
            sources = {"conv2": 16, "fc1": 32, "fc2": 128}.get(stage, 1)
            assert explorer.controls["source"].max == sources - 1
            for source in range(0, sources, 5):
                explorer.controls["source"].value = source
                assert f"{value:.4f}" in explorer.caption.value  # another input, the same value

    def test_every_row_and_column(self, inspector):
        explorer = explore_arithmetic(inspector)
        maps = as_maps(inspector.network.maps(inspector.images[:1])["conv1"][0])
        for row in range(28):
            explorer.controls["row"].value = row
            explorer.controls["column"].value = 27 - row
            assert f"row {row}, column {27 - row}: " in explorer.caption.value
            assert f"= {maps[0, row, 27 - row]:.4f}" in explorer.caption.value

    def test_a_click_on_the_map_and_on_a_sum(self, inspector):
        explorer = explore_arithmetic(inspector)
        explorer.controls["stage"].value = "conv2"
        made, sums = explorer.pictures[0].panels
        explorer.views[0].picked = [
            made.left + 6 * made.zoom + 1,
            made.top + 2 * made.zoom + 1,
            1,
            1,
        ]
        assert (explorer.controls["row"].value, explorer.controls["column"].value) == (2, 6)
        left, top = sums.corner(11)
        explorer.views[0].picked = [left + 3, top + 3, 1, 2]
        assert explorer.controls["source"].value == 11


class TestOtherViews:
    def test_pipeline_every_stage(self, inspector):
        explorer = explore_pipeline(inspector)
        for stage in STAGES:
            explorer.controls["stage"].value = stage
            assert f"open: {stage} (" in explorer.caption.value
            assert explorer.views[1].url == inspector.feature_maps(0, stage).data_url()

    def test_pipeline_every_stage_by_click(self, inspector):
        explorer = explore_pipeline(inspector)
        for panel, stage in zip(explorer.pictures[0].panels, STAGES, strict=True):
            left, top = panel.corner(3)
            explorer.views[0].picked = [left, top, 1, explorer.views[0].picked[3] + 1]
            assert (explorer.controls["stage"].value, explorer.controls["channel"].value) == (
                stage,
                3,
            )

    def test_excitation_every_stage(self, inspector):
        explorer = explore_excitation(inspector)
        for stage in STAGES:
            explorer.controls["stage"].value = stage
            explorer.controls["channel"].value = explorer.controls["channel"].max
            channel = explorer.controls["channel"].value
            best = (
                inspector.network.maps(inspector.images)[stage].flatten(2).amax(-1)
                if len(inspector.stages[stage].shape) > 1
                else inspector.network.maps(inspector.images)[stage]
            )
            first = best[:, channel].argsort(descending=True, stable=True)[0]
            assert (
                f"{stage}, channel {channel}: strongest in images {first},"
                in explorer.caption.value
            )

    def test_excitation_every_class(self, inspector):
        explorer = explore_excitation(inspector)
        maps = inspector.network.maps(inspector.images)["conv2"].amax((2, 3))[:, 0]
        explorer.controls["stage"].value = "conv2"
        pictures = {explorer.views[0].url}
        for target in range(10):
            explorer.controls["target"].value = target
            there = (inspector.labels == target).nonzero().flatten()
            assert (
                f"strongest in images of class {target} {there[maps[there].argmax()]}"
                in explorer.caption.value
            )
            pictures.add(explorer.views[0].url)
        assert len(pictures) == 11

    def test_excitation_by_a_class_without_images_says_so(self, few):
        images, labels = (tensor[:5] for tensor in few.test.tensors)
        explorer = explore_excitation(make_model(0), images, labels)
        absent = next(c for c in range(10) if c not in labels)
        with pytest.raises(
            InputError, match=f"none of the 5 images is of class {absent}; choose another"
        ):
            explorer.controls["target"].value = absent
        assert WIDGET_ERROR in explorer.caption.value

    def test_attribution_every_class(self, inspector):
        explorer = explore_attribution(inspector)
        assert f"for class {inspector.predictions.preds[0]}." in explorer.caption.value
        pictures = set()
        for target in range(10):
            explorer.controls["target"].value = target
            assert f"for class {target}." in explorer.caption.value
            pictures.add(explorer.views[0].url)
        assert len(pictures) == 10

    def test_ablation_by_list_by_click_and_back(self, inspector):
        explorer = explore_ablation(inspector)
        off = explorer.controls["off"]
        before = explorer.views[0].url
        for layer, count in (("conv1", 16), ("conv2", 32)):
            for channel in range(0, count, 5):
                off.lists[layer].value = (channel,)
                wanted = inspector.silencer.predictions(frozenset({(layer, channel)}))
                assert f"Off: {layer} {channel}." in explorer.caption.value
                assert (
                    f"{wanted.accuracy:.2%} instead of {inspector.predictions.accuracy:.2%}"
                    in explorer.caption.value
                )
            off.lists[layer].value = ()
        assert explorer.views[0].url == before
        for number, wanted in ((1, (("conv2", 4),)), (2, ())):
            left, top = explorer.pictures[0].panels[1].corner(4)
            explorer.views[0].picked = [left + 1, top + 1, 1, number]
            assert off.value == wanted
        explorer.views[0].picked = [left + 1, top + 1, 0, 3]  # walked over, not pressed
        assert off.value == ()
        off.lists["conv1"].value = (1, 2)
        off.clear.click()
        assert off.value == ()

    def test_measuring_every_channel(self, few):
        images, labels = (tensor[:40] for tensor in few.test.tensors)
        explorer = explore_ablation(make_model(0), images, labels)
        before = explorer.views[0].url
        explorer.controls["off"].measure.click()
        assert explorer.controls["off"].progress.value == 48
        assert explorer.controls["off"].measure.disabled
        assert explorer.views[0].url != before


class TestTogether:
    def test_one_selection_drives_the_open_view_and_only_that(self, inspector):
        big = explore(inspector)
        hidden = big.explorers["kernels"].views[0]
        big.controls["image"].value = 8
        big.controls["stage"].value = "conv2"
        big.controls["channel"].value = 30
        assert hidden.url == ""
        for index, name in enumerate(VIEWS):
            big.tabs.selected_index = index
            place = {"image": 8, "stage": "conv2", "channel": 30}
            wanted = getattr(inspector, name)(
                **{key: place[key] for key in VIEWS[name][1:] if key in place}
            )
            assert big.shown.views[0].url == wanted.data_url(), name
        assert repr(big).startswith("NetworkExplorer: Pipeline, Kernels, Feature maps, Arithmetic,")
        assert "image/png" in big._repr_mimebundle_()

    def test_only_what_the_open_view_takes_can_be_moved(self, inspector):
        big = explore(inspector)
        big.controls["stage"].value = "conv2"
        for index, (_, *arguments) in enumerate(VIEWS.values()):
            big.tabs.selected_index = index
            shown = (
                {"stage", "channel", "row", "column", "target"} if index == 0 else set(arguments)
            )
            live = {name for name in SELECTION[1:] if not big.controls[name].disabled}
            assert live == shown & set(SELECTION[1:])
        big.tabs.selected_index = 2
        big.controls["stage"].value = "fc1"  # a vector
        assert [big.controls[name].disabled for name in ("channel", "row", "column")] == [
            False,
            True,
            True,
        ]

    def test_a_click_on_a_class_chooses_it_for_all_views(self, inspector):
        big = explore(inspector)
        drawn = inspector.pipeline(0, "conv1")
        for stage in ("fc2", "softmax"):
            (panel,) = [panel for panel in drawn.panels if panel.meaning(0, 0, 0)["stage"] == stage]
            for target in range(10):
                big.shown.pick(0, *panel.corner(target), 1)
                assert (big.controls["target"].value, big.controls["stage"].value) == (
                    target,
                    stage,
                )
        big.tabs.selected_index = list(VIEWS).index("attribution")
        assert "What counts for class 9." in big.shown.caption.value
        big.tabs.selected_index = list(VIEWS).index("excitation")
        assert "images of class 9" in big.shown.caption.value

    def test_colour_images_and_three_convolutions(self):
        images = colour_images(12)
        big = explore(make_skipping(), images)
        for index in range(len(VIEWS)):
            big.tabs.selected_index = index
            for stage in big.controls["stage"].options:
                big.controls["stage"].value = stage
                big.controls["channel"].value = big.controls["channel"].max
            assert big.shown.views[0].url.startswith("data:image/webp;base64,")
            assert "mnist-helpers-error" not in big.shown.caption.value
        assert big.tabs.titles[6] == "Take it away"
        assert list(big.explorers["ablation"].controls["off"].lists) == ["stem", "wide", "head"]

    def test_without_a_reference_there_is_nothing_to_compare_with(self, few):
        explorer = explore_feature_maps(make_model(0), few.test.tensors[0])
        assert explorer.controls["compare"].options == ("alone",)
        assert "Image 0, read as" in explorer.caption.value  # no label is known

    @pytest.mark.parametrize(
        ("place", "message"),
        [
            ({"image": 300, "stage": "conv1"}, "image is 300, but must be from 0 to 299"),
            (
                {"image": 0, "stage": "conv9"},
                "there is no stage conv9; the network has conv1, relu1,",
            ),
            ({"image": 0, "stage": "fc2", "channel": 10}, "channel is 10, but must be from 0 to 9"),
            ({"image": 0, "stage": "pool2", "row": 7}, "row is 7, but must be from 0 to 6"),
        ],
    )
    def test_a_selection_that_does_not_exist(self, inspector, place, message):
        with pytest.raises(InputError, match=message):
            inspector.require(**place)


class TestPredictions:
    def test_it_begins_with_the_wrong_ones(self, few):
        model = make_model(0)
        predictions = evaluate(model, few.test)
        explorer = browse_predictions(few.test.tensors[0], predictions)
        wrong = (~predictions.correct).nonzero().flatten().tolist()
        for position, image in enumerate(wrong[:20], 1):
            explorer.controls["image"].position.value = position
            said = f"Image {image}, a {predictions.labels[image]}, read as {predictions.preds[image]} with"
            assert explorer.caption.value.startswith(said)

    def test_nothing_wrong_at_all(self, few):
        from mnist_helpers.metrics import Predictions

        labels = few.test.tensors[1]
        perfect = Predictions(torch.nn.functional.one_hot(labels, 10) * 9.0, labels)
        assert browse_predictions(few.test.tensors[0], perfect).caption.value.startswith(
            "Image 0, a "
        )


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, images):
        return self.conv(images) if images.sum() > 0 else images


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, images):
        return self.conv(images), images


class TestBadInput:
    IMAGES = torch.zeros(3, 1, 28, 28)

    @pytest.mark.parametrize(
        ("model", "said"),
        [
            (Branching(), "torch.fx can't trace Branching .*; give a model whose path"),
            (nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), "Sequential has no nn.Conv2d; give"),
            (Pair(), "Pair must answer with one tensor of logits"),
            (
                nn.Sequential(nn.Conv2d(1, 10, 3)),
                "Sequential must answer with one tensor of logits",
            ),
            (
                nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()),
                r"doesn't take an image \(1, 28, 28\) of torch.float32",
            ),
        ],
    )
    def test_models(self, model, said):
        with pytest.raises(InputError, match=said) as caught:
            explore(model, self.IMAGES)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("images", "labels", "said"),
        [
            (None, None, r"images must be a tensor of decimals \(N, C, H, W\), .* not a NoneType"),
            (torch.zeros(28, 28), None, r"not \(28, 28\) of torch.float32"),
            (torch.zeros(0, 1, 28, 28), None, r"not \(0, 1, 28, 28\)"),
            (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), None, "of torch.uint8"),
            (torch.full((2, 1, 28, 28), torch.nan), None, "not finite"),
            (torch.zeros(2, 1, 32, 32), None, r"SimpleCNN doesn't take an image \(1, 32, 32\)"),
            (
                IMAGES,
                torch.zeros(2, dtype=torch.long),
                r"labels must be 3 whole numbers, not \(2,\)",
            ),
            (IMAGES, torch.zeros(3), "of torch.float32"),
            (IMAGES, torch.tensor([1, 2, 10]), "labels go from 1 to 10, but must be below 10"),
        ],
    )
    def test_data(self, images, labels, said):
        with pytest.raises(InputError, match=said):
            explore(make_model(0), images, labels)

    def test_numpy_will_do(self):
        assert (
            "image 0"
            in explore(make_model(0), self.IMAGES.numpy(), [1, 2, 3]).shown.caption.value.lower()
        )

    def test_a_reference_of_another_form(self):
        other = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 26 * 26, 10))
        with pytest.raises(InputError, match="the reference has other stages than the model"):
            Inspector(make_model(0), self.IMAGES, reference=other)

    @pytest.mark.parametrize(
        ("view", "selection", "said"),
        [
            ("pipeline", {"image": 3}, "image is 3, but must be from 0 to 2"),
            ("pipeline", {"stage": "nope"}, "there is no stage nope; the network has conv1, relu1"),
            ("kernels", {"colouring": "change"}, "one of: weights, gradient of the loss"),
            ("feature_maps", {"channel": 16}, "channel is 16, but must be from 0 to 15 in conv1"),
            (
                "feature_maps",
                {"scale": "x"},
                "scale is x, but must be one of: layer, map, all images",
            ),
            ("feature_maps", {"compare": "beside"}, "compare is beside, but must be one of: alone"),
            ("arithmetic", {"row": 14}, "row is 14, but must be from 0 to 13 in conv2"),
            ("excitation", {"target": 10}, "class is 10, but must be from 0 to 9"),
            ("attribution", {"target": -2}, "class is -2"),
            ("ablation", {"off": [("fc1", 0)]}, "off is fc1, but must be one of: conv1, conv2"),
            (
                "ablation",
                {"off": [("conv1", 16)]},
                "channel is 16, but must be from 0 to 15 in conv1",
            ),
        ],
    )
    def test_selections(self, view, selection, said):
        with pytest.raises(InputError, match=said):
            getattr(Inspector(make_model(0), self.IMAGES), view)(**selection)
