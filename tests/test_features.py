"""What flows through a network, against values worked out by hand or by other means; on three kinds of network."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mnist_helpers import make_model
from mnist_helpers.ablation import Ablation
from mnist_helpers.attribution import METHODS, attributions
from mnist_helpers.excitation import ascend, respond
from mnist_helpers.features import SOFTMAX, Network, as_maps, kernels
from mnist_helpers.inspector import Inspector


class Skipping(nn.Module):
    """Three convolutions, colour images, a skip connection, a stride, a dilation, groups, and ReLUs in place."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 5, stride=2, padding=2)
        self.wide = nn.Conv2d(8, 8, 3, dilation=2, padding="same", groups=2, bias=False)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1)
        self.head = nn.Conv2d(8, 6, 3, padding=1, padding_mode="reflect")
        self.last = nn.MaxPool2d(3, stride=2, padding=1)
        self.linear = nn.Linear(6 * 2 * 2, 4)

    def forward(self, images):
        x = self.act(self.stem(images))
        x = self.pool(self.act(self.wide(x)) + x)
        return self.linear(torch.flatten(self.last(self.head(x)), 1))


class Functional(nn.Module):
    """As in many tutorials: functions where SimpleCNN has modules; here with batch normalisation."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3)
        self.norm1 = nn.BatchNorm2d(6)
        self.relu = nn.Conv2d(6, 5, 3)  # a name that a function will want as well
        self.norm2 = nn.BatchNorm2d(5, affine=False)
        self.drop = nn.Dropout2d(0.25)
        self.fc1 = nn.Linear(5 * 2 * 2, 12)
        self.fc2 = nn.Linear(12, 4)

    def forward(self, images):
        x = F.max_pool2d(F.relu(self.norm1(self.conv1(images))), 2)
        x = self.norm2(self.relu(x))
        x = F.avg_pool2d(self.drop(x.relu()), kernel_size=2)
        x = F.dropout(F.relu(self.fc1(x.view(-1, 20)), inplace=True), training=self.training)
        return F.log_softmax(self.fc2(x), dim=1)


def make_skipping() -> Skipping:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Skipping()


def make_functional() -> Functional:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = Functional()
        model.train()(colour_images(50))  # gives the normalisations something to go by
        return model


@pytest.fixture(scope="module")
def grey(few):
    return Network(make_model(), few.test.tensors[0])


@pytest.fixture(scope="module")
def colour():
    return Network(
        make_skipping(), torch.rand(5, 3, 14, 14, generator=torch.Generator().manual_seed(0))
    )


@pytest.fixture(scope="module")
def functional():
    return Network(make_functional(), colour_images())


def colour_images(count: int = 5) -> torch.Tensor:
    return torch.rand(count, 3, 14, 14, generator=torch.Generator().manual_seed(1))


class TestStages:
    def test_parameters_by_hand(self, grey):
        conv1, conv2 = 16 * (1 * 3 * 3) + 16, 32 * (16 * 3 * 3) + 32
        fc1, fc2 = (32 * 7 * 7) * 128 + 128, 128 * 10 + 10
        counts = {name: stage.parameters for name, stage in grey.stages.items() if stage.parameters}
        assert counts == {"conv1": conv1, "conv2": conv2, "fc1": fc1, "fc2": fc2}
        assert sum(counts.values()) == 206_922

    def test_order_shapes_and_what_they_see(self, grey):
        found = [
            (stage.name, stage.shape, stage.sees and stage.sees.size)
            for stage in grey.stages.values()
        ]
        assert found == [
            ("conv1", (16, 28, 28), (3, 3)),
            ("relu1", (16, 28, 28), (3, 3)),
            ("pool1", (16, 14, 14), (4, 4)),
            ("conv2", (32, 14, 14), (8, 8)),
            ("relu2", (32, 14, 14), (8, 8)),
            ("pool2", (32, 7, 7), (10, 10)),
            ("flatten", (1568,), None),
            ("fc1", (128,), None),
            ("relu3", (128,), None),
            ("fc2", (10,), None),
            ("softmax", (10,), None),
        ]

    def test_a_module_used_twice_is_two_stages(self, colour):
        assert list(colour.stages) == [
            "stem",
            "act",
            "wide",
            "act_1",
            "pool",
            "head",
            "last",
            "linear",
            "softmax",
        ]
        assert colour.convolutions == ["stem", "wide", "head"]

    def test_functions_are_stages_like_modules(self, functional):
        kinds = [
            (stage.name, stage.kind, stage.sees and stage.sees.size)
            for stage in functional.stages.values()
        ]
        assert kinds == [
            ("conv1", "Conv2d", (3, 3)),
            ("norm1", "BatchNorm2d", (3, 3)),
            ("relu_function", "ReLU", (3, 3)),
            ("max_pool2d", "MaxPool2d", (4, 4)),
            ("relu", "Conv2d", (8, 8)),
            ("norm2", "BatchNorm2d", (8, 8)),
            ("relu_2", "ReLU", (8, 8)),
            ("drop", "Dropout2d", (8, 8)),
            ("avg_pool2d", "AvgPool2d", (10, 10)),
            ("fc1", "Linear", None),
            ("relu_3", "ReLU", None),
            ("fc2", "Linear", None),
            ("softmax", "Softmax", None),
        ]
        maps, images = functional.maps(colour_images()), colour_images()
        assert torch.allclose(maps[SOFTMAX], functional.model(images).exp(), atol=1e-6)
        assert maps["fc1"].min() < 0  # the function worked in place
        assert functional.arithmetic(images[0], "norm1", 0, 1, 1).rectified

    @pytest.mark.parametrize("name", ["grey", "colour", "functional"])
    def test_only_what_a_value_sees_can_change_it(self, name, request):
        network = request.getfixturevalue(name)
        images = torch.rand(1, 1, 28, 28) if name == "grey" else colour_images(1)
        noise = torch.rand_like(images) + 1
        for stage in network.stages.values():
            if stage.sees is None:
                continue
            for row, column in ((0, 0), (stage.shape[1] - 1, stage.shape[2] // 2)):
                top, left, bottom, right = stage.sees.box(row, column)
                inside = torch.zeros_like(images, dtype=torch.bool)
                inside[..., max(top, 0) : bottom, max(left, 0) : right] = True
                kept, swapped = (
                    network.maps(torch.where(mask, images, noise))[stage.name][0, :, row, column]
                    for mask in (inside, torch.ones_like(inside))
                )
                if stage.name not in (
                    "head",
                    "last",
                ):  # reflected padding reaches back into the frame
                    assert torch.allclose(kept, swapped, atol=1e-5), stage.name


class TestMaps:
    def test_they_are_the_numbers_of_the_forward_pass(self, grey, few):
        images, model = few.test.tensors[0][:3], grey.model
        maps = grey.maps(images)
        assert torch.equal(maps["fc2"], model(images).detach())
        assert torch.allclose(maps[SOFTMAX], model(images).detach().softmax(1))
        assert torch.equal(maps["relu1"], maps["conv1"].clamp(min=0))
        assert torch.equal(
            maps["pool1"], maps["relu1"].unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
        )

    def test_a_relu_in_place_leaves_the_stage_before_as_it_was(self, colour):
        images = colour_images()
        maps = colour.maps(images)
        assert torch.equal(maps["stem"], colour.model.stem(images).detach())
        assert maps["stem"].min() < 0
        assert torch.allclose(maps["linear"], colour.model(images).detach(), atol=1e-6)
        assert colour.model.act.inplace  # the model itself is not changed

    def test_vectors_become_maps_of_one_pixel(self):
        assert as_maps(torch.arange(6.0)).shape == (6, 1, 1)
        assert as_maps(torch.zeros(2, 3, 4)).shape == (2, 3, 4)

    def test_kernels(self, colour):
        found = {name: tuple(weight.shape) for name, weight in kernels(colour.model).items()}
        assert found == {"stem": (8, 3, 5, 5), "wide": (8, 4, 3, 3), "head": (6, 8, 3, 3)}


class TestArithmetic:
    @pytest.mark.parametrize("name", ["grey", "colour", "functional"])
    def test_random_values_of_every_stage_add_up_to_the_models_own(self, name, request, few):
        network = request.getfixturevalue(name)
        image = (few.test.tensors[0] if name == "grey" else colour_images())[4]
        maps, generator = network.maps(image[None]), np.random.default_rng(0)
        for stage in network.stages:
            expected = as_maps(maps[stage][0])
            for _ in range(20):
                channel, row, column = (int(generator.integers(size)) for size in expected.shape)
                found = network.arithmetic(image, stage, channel, row, column)
                by_hand = {
                    "sum": lambda found=found: found.partial_sums.sum() + found.bias,
                    "max": lambda found=found: found.patch.max(),
                    "scale": lambda found=found: (found.patch * found.kernel).item() + found.bias,
                    "mean": lambda found=found: np.nanmean(found.patch),
                    "relu": lambda found=found: max(0.0, found.patch.item()),
                    "dropout2d": lambda found=found: found.patch.item(),
                    "flatten": lambda found=found: found.patch.item(),
                    "softmax": lambda found=found, c=channel: (
                        np.exp(found.patch.ravel()[c]) / np.exp(found.patch).sum()
                    ),
                }[found.rule]()
                assert by_hand == pytest.approx(expected[channel, row, column], abs=2e-5), (
                    stage,
                    channel,
                    row,
                    column,
                )
                assert found.value == expected[channel, row, column]

    def test_sixteen_partial_sums_by_other_means(self, grey, few):
        image = few.test.tensors[0][7]
        pool1 = grey.maps(image[None])["pool1"]
        weight = grey.model.conv2.weight.detach()
        apart = F.conv2d(pool1, weight[5].unsqueeze(1), padding=1, groups=16)[
            0, :, 6, 8
        ]  # one input channel each
        found = grey.arithmetic(image, "conv2", 5, 6, 8)
        assert found.partial_sums == pytest.approx(apart.numpy(), abs=1e-5)
        assert found.patch.shape == found.kernel.shape == (16, 3, 3)
        assert found.rectified

    def test_global_pooling_reads_a_whole_channel(self):
        model = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        )
        network, image = Network(model, colour_images()), colour_images()[1]
        found = network.arithmetic(image, "1", 2)
        assert (found.patch.shape, found.rule) == ((1, 12, 12), "mean")
        assert found.value == pytest.approx(found.patch.mean(), abs=1e-6)
        assert network.arithmetic(image, "3", 1).partial_sums.sum() + model[3].bias[
            1
        ].item() == pytest.approx(network.maps(image[None])["3"][0, 1].item(), abs=1e-5)

    @pytest.mark.parametrize(
        "pool",
        [
            nn.AvgPool2d(3, 2, 1),
            nn.AvgPool2d(3, 2, 1, count_include_pad=False),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            nn.AvgPool2d(2, divisor_override=3),
            nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        ],
        ids=str,
    )
    def test_what_a_pooling_shows_makes_its_value(self, pool):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), pool, nn.Flatten(), nn.LazyLinear(2))
        model(colour_images(1))
        network, image = Network(model, colour_images()), colour_images()[1]
        maps = network.maps(image[None])["1"][0]
        for (channel, row, column), value in np.ndenumerate(maps.numpy()):
            found = network.arithmetic(image, "1", channel, row, column)
            by_hand = {"max": found.patch.max(), "mean": np.nanmean(found.patch)}
            assert by_hand.get(found.rule, found.patch.sum() / 3) == pytest.approx(value, abs=1e-6)
        if pool.padding == 0 and not pool.ceil_mode:
            assert found.rule == "the sum, divided by 3,"

    def test_a_group_reads_its_own_channels(self):
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.Conv2d(8, 12, 3, groups=4), nn.Flatten(), nn.LazyLinear(2)
        )
        model(colour_images(1))
        inspector, image = Inspector(model, colour_images()), colour_images()[0]
        found = inspector.network.arithmetic(image, "1", 11, 2, 3)
        assert (found.first, len(found.patch), inspector.sources("1")) == (6, 2, 2)
        before = inspector.network.maps(image[None])["0"][0]
        assert np.array_equal(found.patch, before[6:8, 2:5, 3:6].numpy())
        assert "0, channel 7" in [
            label.text for label in inspector.arithmetic(0, "1", 11, 2, 3, 1).labels
        ]

    def test_the_softmax_of_what_is_no_stage(self, functional):
        inspector = Inspector(functional.model, colour_images())
        logits = functional.model(colour_images())[0]
        picture = inspector.arithmetic(0, "softmax", 2)
        assert f"divided by the sum of all = {logits.softmax(0)[2]:.4f}." in picture.caption
        shown = [label.text for label in picture.labels]
        assert all(f"{logit:.2f}" in shown for logit in logits.tolist())

    def test_outside_the_frame_are_zeros(self, grey, few):
        assert not grey.arithmetic(few.test.tensors[0][0], "conv1", 0, 0, 0).patch[0, 0].any()

    def test_the_linear_layer_reads_maps(self, grey, few):
        found = grey.arithmetic(few.test.tensors[0][0], "fc1", 3)
        assert found.kernel.shape == (32, 7, 7)
        assert grey.stages["fc1"].before == "pool2"


class TestExcitation:
    def test_peaks_places_and_means(self, grey, few):
        images, labels = few.test.tensors
        response, maps = respond(grey, images, batch_size=70)["relu2"], grey.maps(images)["relu2"]
        assert torch.equal(response.peaks, maps.amax((2, 3)))
        assert torch.allclose(response.means, maps.mean((2, 3)), atol=1e-6)
        assert torch.equal(response.lows, maps.amin((2, 3)))
        best = response.strongest(5, 3, torch.ones(len(images), dtype=torch.bool))
        assert (
            best.tolist()
            == maps[:, 5].amax((1, 2)).sort(descending=True, stable=True).indices[:3].tolist()
        )
        row, column = divmod(response.places[best[0], 5].item(), 14)
        assert maps[best[0], 5, row, column] == maps[:, 5].max()
        sevens = (labels == 7).nonzero().flatten().tolist()
        peaks = {i: maps[i, 5].max().item() for i in sevens}
        assert (
            response.strongest(5, 3, labels == 7).tolist()
            == sorted(sevens, key=lambda i: -peaks[i])[:3]
        )
        assert response.by_class(labels, 10)[7, 5] == pytest.approx(
            maps[labels == 7][:, 5].mean().item(), abs=1e-5
        )

    @pytest.mark.parametrize("stage", ["conv1", "relu2", "fc1", "softmax"])
    def test_ascent_excites_more_than_any_image_and_stays_in_range(self, grey, few, stage):
        images = few.test.tensors[0]
        response = respond(grey, images)[stage]
        made = ascend(grey, stage, images, response, steps=16)
        assert made.shape == (response.peaks.shape[1], 1, 28, 28)
        assert (made.min() >= images.min(), made.max() <= images.max()) == (True, True)
        now = respond(grey, made)[stage].peaks.diagonal()
        alive = (
            response.peaks.amax(0) > 0
            if stage in ("relu2",)
            else torch.ones(len(now), dtype=torch.bool)
        )
        assert (now[alive] > response.peaks.amax(0)[alive]).float().mean() > 0.9
        assert all(parameter.grad is None for parameter in grey.model.parameters())


class TestAttribution:
    def test_every_method_on_one_scale(self, grey, colour, few):
        for network, image, size in (
            (grey, few.test.tensors[0][0], (28, 28)),
            (colour, colour_images()[0], (14, 14)),
        ):
            found = attributions(network, image, target=2)
            assert tuple(found) == METHODS
            for values in found.values():
                assert values.shape == size
                assert np.abs(values).max() in (0, pytest.approx(1))
            assert found["saliency"].min() >= 0
            assert found["Grad-CAM"].min() >= 0

    def test_saliency_is_the_gradient(self, grey, few):
        image = few.test.tensors[0][3].clone().requires_grad_()
        (slope,) = torch.autograd.grad(grey.model(image[None]).log_softmax(1)[0, 6], image)
        expected = slope[0].abs() / slope.abs().max()
        assert attributions(grey, image.detach(), 6)["saliency"] == pytest.approx(
            expected.numpy(), abs=1e-5
        )


class TestAblation:
    @pytest.mark.parametrize("name", ["grey", "colour"])
    def test_the_same_as_zeros_in_the_convolutions_output(self, name, request, few):
        network = request.getfixturevalue(name)
        images = colour_images(30) if name == "colour" else few.test.tensors[0]
        ablation = Ablation(network, images, torch.zeros(len(images), dtype=torch.long))
        first, *_, last = network.convolutions
        for off in ([], [(last, 2)], [(first, 0), (first, 3)], [(first, 1), (last, 0), (last, 4)]):
            hooks = []
            for layer in network.convolutions:
                channels = [c for n, c in off if n == layer]

                def silence(module, inputs, out, channels=channels):
                    out = out.clone()
                    out[:, channels] = 0
                    return out

                hooks.append(network.module(layer).register_forward_hook(silence))
            with torch.no_grad():
                expected = network.model(images)
            for hook in hooks:
                hook.remove()
            assert torch.allclose(
                ablation.predictions(frozenset(off)).logits, expected, atol=1e-5
            ), off

    def test_the_ranking_counts_images(self, grey, few):
        images, labels = few.test.tensors
        ablation = Ablation(grey, images, labels)
        whole = (grey.model(images).argmax(1) == labels).sum().item()
        alone = ablation.predictions(frozenset({("conv2", 3)})).correct.sum().item()
        counted = []
        assert ablation.ranking("conv2", lambda: counted.append(1))[3] == whole - alone
        assert len(counted) == 32
