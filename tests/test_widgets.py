"""Every control's values, driven without a browser."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from mnist_helpers import make_model
from mnist_helpers.config import WIDGET_ERROR
from mnist_helpers.features import as_maps, feature_maps
from mnist_helpers.metrics import Predictions, evaluate
from mnist_helpers.pictures import GAP
from mnist_helpers.training import EpochRecord
from mnist_helpers.widgets import Explorer, LiveCurves, browse_predictions, explore_feature_maps, explore_kernels


def levels(content: bytes) -> np.ndarray:
    """The palette indices of a PNG."""
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.fixture(scope="module")
def model():
    return make_model(0).eval()


@pytest.fixture
def maps_explorer(model, few):
    return explore_feature_maps(model, *few.test.tensors, reference=make_model(1).eval())


class TestFeatureMaps:
    @pytest.mark.parametrize("each", [False, True])
    def test_every_stage_shows_the_networks_own_numbers(self, maps_explorer, model, few, each):
        maps_explorer.controls["each"].value = each
        expected = feature_maps(model, few.test.tensors[0][3:4])
        maps_explorer.controls["image"].value = 3
        for stage in maps_explorer.controls["stage"].options:
            maps_explorer.controls["stage"].value = stage
            maps = as_maps(expected[stage][0])
            grid = levels(maps_explorer.pictures[1].value)
            height, width = maps.shape[1:]
            first, top = maps[0], np.abs(maps[0] if each and width > 1 else maps).max()
            shown = first / top * 127 + 127 if maps.min() < 0 else first / top * 254
            zoom = max(1, 12 // width)
            assert np.abs(grid[: height * zoom : zoom, : width * zoom : zoom] - shown).max() <= 0.51
            assert (grid != GAP).sum() == maps.size * zoom**2  # every value of every map is there
            assert f"{stage}: {len(maps)} × {height} × {width}" in maps_explorer.caption.value

    def test_every_image(self, maps_explorer, few):
        seen = set()
        for image in range(0, len(few.test), 17):
            maps_explorer.controls["image"].value = image
            seen.add(tuple(picture.value for picture in maps_explorer.pictures))
            assert f"Test image {image}, digit {few.test.tensors[1][image]}." in maps_explorer.caption.value
        assert len(seen) == len(range(0, len(few.test), 17))

    def test_the_reference_stands_beside_on_the_same_scale(self, maps_explorer, model, few):
        alone = levels(maps_explorer.pictures[1].value)
        maps_explorer.controls["beside"].value = True
        both = levels(maps_explorer.pictures[1].value)
        assert both.shape[1] == 2 * alone.shape[1] + 3
        sides = [as_maps(feature_maps(net, few.test.tensors[0][:1])["conv1"][0]) for net in (model, make_model(1))]
        top = max(np.abs(side).max() for side in sides)
        assert np.abs(both[:28, -28:] - (sides[1][7] / top * 127 + 127)).max() <= 0.51  # the last map of the first row
        assert "Left: trained. Right: random." in maps_explorer.caption.value

    def test_without_a_reference_the_switch_is_off(self, model, few):
        assert explore_feature_maps(model, *few.test.tensors).controls["beside"].disabled


class TestKernels:
    def test_every_layer_and_channel_on_the_layers_scale(self, model):
        explorer = explore_kernels(model)
        for layer, weight in (("conv1", model.conv1.weight), ("conv2", model.conv2.weight)):
            explorer.controls["layer"].value = layer
            assert explorer.controls["channel"].max == weight.shape[1] - 1
            top = weight.abs().max()
            for channel in range(weight.shape[1]):
                explorer.controls["channel"].value = channel
                expected = (weight[9, channel] / top * 127 + 127).detach().numpy()
                assert np.abs(levels(explorer.pictures[0].value)[13:25:4, 13:25:4] - expected).max() <= 0.51
                assert f"input channel {channel} of {weight.shape[1]}" in explorer.caption.value

    def test_going_back_to_a_layer_with_fewer_channels(self, model):
        explorer = explore_kernels(model)
        explorer.controls["layer"].value = "conv2"
        explorer.controls["channel"].value = 15
        explorer.controls["layer"].value = "conv1"
        assert explorer.controls["channel"].value == 0
        assert "conv1" in explorer.caption.value


class TestPredictions:
    @pytest.fixture
    def predictions(self, model, few):
        return evaluate(model, few.test)  # untrained: right and wrong ones of some digits

    def test_filters_and_positions(self, predictions, few):
        explorer = browse_predictions(few.test.tensors[0], predictions)
        right, labels = predictions.correct.numpy(), predictions.labels.numpy()
        kinds = {"wrong": ~right, "right": right, "all": np.full(len(right), True)}
        for kind, chosen in kinds.items():
            for digit in (None, *range(10)):
                explorer.controls["shown"].value = kind
                explorer.controls["digit"].value = digit
                indices = np.flatnonzero(chosen if digit is None else chosen & (labels == digit))
                assert explorer.controls["position"].value == 1
                if not len(indices):
                    assert explorer.caption.value == "No image of this kind."
                    continue
                assert explorer.controls["position"].max == len(indices)
                explorer.controls["position"].value = len(indices)
                assert f"test image {indices[-1]}, digit {labels[indices[-1]]}," in explorer.caption.value

    def test_another_position_another_picture(self, predictions, few):
        explorer = browse_predictions(few.test.tensors[0], predictions)
        first = explorer.pictures[0].value
        explorer.controls["position"].value = 2
        assert explorer.pictures[0].value != first

    def test_nothing_wrong_at_all(self, few):
        labels = few.test.tensors[1]
        perfect = Predictions(torch.nn.functional.one_hot(labels, 10) * 9.0, labels)
        assert browse_predictions(few.test.tensors[0], perfect).caption.value == "No image of this kind."


class TestLiveCurves:
    def test_they_grow_with_every_epoch(self):
        live = LiveCurves(4)
        seen = [live.picture.value]
        for epoch in (1, 2):
            for _ in range(2):
                live.on_step()
            live.on_epoch(EpochRecord(epoch, 1 / epoch, 0.5, 0.9, 0.6, 0.1, 1.0))
            seen.append(live.picture.value)
        assert len(set(seen)) == 3
        assert live.status.value == "Step 4 of 4, 0 s left"
        assert live.picture.layout.display is None

    def test_the_text_is_fixed(self):
        assert LiveCurves(9)._repr_mimebundle_()["text/plain"] == "The curves grow here while the network trains."


class TestExplorer:
    def test_the_still_is_the_picture_and_the_text_is_fixed(self, model, few):
        first, second = (explore_feature_maps(model, *few.test.tensors)._repr_mimebundle_() for _ in range(2))
        assert first["image/png"] == second["image/png"]
        assert first["text/plain"] == second["text/plain"]
        assert "stage='conv1', image=0" in first["text/plain"]
        assert "application/vnd.jupyter.widget-view+json" in first
        still = Image.open(io.BytesIO(base64.b64decode(first["image/png"])))
        assert still.width > 600

    def test_an_error_is_raised_and_shown(self):
        from ipywidgets import IntSlider

        explorer = Explorer({"x": IntSlider(1, 0, 9)}, lambda x: ([b"png"], str(1 // x)), [10])
        assert explorer.caption.value == "1"
        with pytest.raises(ZeroDivisionError):
            explorer.controls["x"].value = 0
        assert f'class="{WIDGET_ERROR}"' in explorer.caption.value
        assert "ZeroDivisionError" in explorer.caption.value
        explorer.controls["x"].value = 1
        assert explorer.caption.value == "1"

    def test_a_message_from_the_browser_redraws(self, maps_explorer):
        before = maps_explorer.pictures[1].value
        maps_explorer.controls["stage"].set_state({"index": 3})
        assert maps_explorer.pictures[1].value != before
