"""What drives channels, against torch's own reductions."""

import copy

import numpy as np
import pytest
import torch
from networks import BUILDERS, build, images_of
from torch import nn

from mnist_helpers.network.activations import (
    activation_stats,
    kernels,
    maximize_activation,
)
from mnist_helpers.network.tracing import Network

IMAGES = images_of(50, 1, 28, 28)
LABELS = torch.arange(50) % 9


def finish(generator):
    """The fractions that a generator yields, and what it returns."""
    fractions = []
    while True:
        try:
            fractions.append(next(generator))
        except StopIteration as stop:
            return fractions, stop.value


@pytest.fixture(scope="module")
def network():
    return Network(build("simple"), IMAGES)


def measured(network, images):
    """What drives the channels of a network."""
    return finish(activation_stats(network, images))[1]


def test_stats_are_those_of_the_maps(network):
    narrow = copy.copy(network)
    narrow.batch_size = 20
    fractions, stats = finish(activation_stats(narrow, IMAGES))
    assert fractions == pytest.approx([1 / 3, 2 / 3, 1])
    assert list(stats) == list(network.layers)
    model = network.model
    maps = model.relu1(model.conv1(IMAGES)).detach()
    found = stats["relu1"]
    # of another size of batch, a last bit may be another, and so may be which of two is the larger
    assert torch.allclose(found.max, maps.amax((2, 3)), atol=1e-6)
    assert torch.allclose(found.mean, maps.mean((2, 3)), atol=1e-6)
    there = maps.flatten(2).gather(2, found.argmax[..., None])[..., 0]
    assert torch.allclose(there, maps.amax((2, 3)), atol=1e-6)
    assert torch.equal(stats["image"].max[:, 0], IMAGES.amax((1, 2, 3)))
    assert torch.allclose(stats["softmax"].mean, model(IMAGES).softmax(1), atol=1e-6)
    for name, layer in network.layers.items():
        assert stats[name].mean.shape == (50, layer.shape[0])


def test_top_images_and_classes(network):
    stats = measured(network, IMAGES)
    maps = network.outputs(IMAGES)["conv2"]
    largest = {i: maps[i, 5].max().item() for i in range(50) if LABELS[i] == 7}
    found = stats["conv2"].top_images(5, 3, np.flatnonzero(LABELS == 7)).tolist()
    assert len(set(found)) == 3
    expected = sorted(largest.values(), reverse=True)[:3]
    assert [largest[image] for image in found] == pytest.approx(expected, abs=1e-5)
    assert len(stats["conv2"].top_images(5, 90, np.flatnonzero(LABELS == 7))) == len(largest)
    means = stats["conv2"].by_class(LABELS, 10)
    assert means.shape == (10, 32)
    assert means[7, 5].item() == pytest.approx(maps[LABELS == 7, 5].mean().item(), abs=1e-6)
    assert means[9].isnan().all()


def test_stats_of_other_weights(network):
    other = build("simple", seed=9)
    stats = measured(network.with_weights(other.state_dict()), IMAGES)
    assert torch.allclose(stats["conv1"].max, other.conv1(IMAGES).amax((2, 3)), atol=1e-6)


@pytest.mark.parametrize("layer", ["image", "conv1", "conv2", "fc1", "softmax"])
@pytest.mark.parametrize("seed", [None, 9])
def test_a_made_image_drives_more_than_any_other(network, layer, seed):
    if seed is not None:
        network = network.with_weights(build("simple", seed).state_dict())
    stats = measured(network, IMAGES)
    channels = network.layers[layer].shape[0]
    every = torch.arange(channels)
    generator = maximize_activation(network, layer, IMAGES, stats[layer], every, steps=12)
    fractions, synthetic = finish(generator)
    assert fractions == pytest.approx([(step + 1) / 12 for step in range(12)])
    assert synthetic.shape == (channels, 1, 28, 28)
    assert synthetic.min() >= IMAGES.min()
    assert synthetic.max() <= IMAGES.max()
    after = measured(network, synthetic)
    drives_more = after[layer].max.diagonal() >= stats[layer].max.amax(dim=0)
    assert drives_more.float().mean() > 0.9
    assert all(parameter.grad is None for parameter in network.model.parameters())


def test_the_first_step_follows_the_gradient(network):
    stats, third = measured(network, IMAGES), torch.tensor([3])
    generator = maximize_activation(network, "conv2", IMAGES, stats["conv2"], third, steps=1)
    _, synthetic = finish(generator)
    maps = network.outputs(IMAGES)["conv2"]
    start = int(maps[:, 3].amax((1, 2)).argmax())
    image = IMAGES[start : start + 1].clone().requires_grad_()
    activation = network.model.conv2(network.model.pool1(network.model.conv1(image).relu()))[0, 3]
    (gradient,) = torch.autograd.grad(activation.max(), image)
    step = synthetic[0] - IMAGES[start]
    moved = (gradient[0].abs() > 1e-6) & (IMAGES[start] > 0.1) & (IMAGES[start] < 0.9)
    assert moved.any()
    # Adam's first step has the length of its learning rate, whatever the gradient's
    assert torch.allclose(step[moved], 0.1 * gradient[0].sign()[moved], atol=1e-2)
    assert torch.equal(step[gradient[0] == 0], torch.zeros_like(step[gradient[0] == 0]))


def test_kernels():
    model, other = build("skipping"), build("skipping", seed=9)
    network = Network(model, BUILDERS["skipping"][1])
    found = kernels(network.with_weights(other.state_dict()))
    found = {name: torch.from_numpy(kernel) for name, kernel in found.items()}
    assert list(found) == ["stem", "wide", "head", "linear"]
    maps = torch.rand(1, *found["linear"].shape[1:])  # that are flattened before they are read
    by_kernels = (found["linear"] * maps).sum(dim=(1, 2, 3)) + other.linear.bias
    assert torch.allclose(by_kernels, other.linear(maps.flatten(1))[0], atol=1e-6)
    assert torch.equal(found["wide"], other.wide.weight)
    assert torch.equal(torch.from_numpy(kernels(network)["stem"]), model.stem.weight)


@pytest.mark.parametrize(("count", "rows"), [(128, 8), (84, 7), (7, 1), (9, 3)])
def test_weights_of_vectors_lie_in_equal_rows(count, rows):
    model = nn.Sequential(nn.Conv2d(1, count, 5), nn.Flatten(), nn.Linear(count, 3))
    found = kernels(Network(model, torch.rand(2, 1, 5, 5)))["2"]
    assert found.shape == (3, 1, rows, count // rows)
    assert np.array_equal(found.reshape(3, count), model[2].weight.detach().numpy())
