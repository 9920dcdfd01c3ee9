"""What pixels count for, against autograd and loops."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import BUILDERS, build

from mnist_helpers.network.attribution import METHODS, attributions
from mnist_helpers.network.tracing import Network
from mnist_helpers.work import finished

TARGET = 2


def scaled(values: torch.Tensor) -> np.ndarray:
    values = values.detach().numpy()
    return values / np.abs(values).max()


@pytest.fixture(scope="module", params=[("skipping", None), ("simple", 9), ("branching", 9)])
def case(request):
    """A model with the weights that are asked for, an image, and its attributions."""
    name, seed = request.param
    image = BUILDERS[name][1][1]
    network = Network(build(name), BUILDERS[name][1])
    model = build(name) if seed is None else build(name, seed)
    network = network.with_weights(model.state_dict())
    return model, image, finished(attributions(network, image, TARGET))


def log_prob(model, images):
    return model(images).log_softmax(dim=1)[:, TARGET]


def gradients(model, images):
    images = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(log_prob(model, images).sum(), images)
    return gradient


def test_every_method_on_one_scale(case):
    _, image, found = case
    assert tuple(found) == METHODS
    for name, values in found.items():
        assert values.shape == image.shape[1:]
        assert np.abs(values).max() == pytest.approx(1)
        if name in ("saliency", "Grad-CAM"):
            assert values.min() >= 0


def test_saliency_is_the_size_of_the_gradient(case):
    model, image, found = case
    expected = gradients(model, image[None])[0].abs().sum(0)
    assert found["saliency"] == pytest.approx(scaled(expected), abs=1e-5)


def test_integrated_gradients_sum_gradients_on_the_way_from_black(case):
    model, image, found = case
    black = torch.full_like(image, image.min())
    # the points and weights of Gauss and Legendre between 0 and 1
    points, weights = np.polynomial.legendre.leggauss(32)
    mean = sum(
        weight / 2 * gradients(model, (black + (point + 1) / 2 * (image - black))[None])[0]
        for point, weight in zip(points, weights, strict=True)
    )
    expected = ((image - black) * mean).sum(0)
    assert found["integrated gradients"] == pytest.approx(scaled(expected.float()), abs=1e-4)


def test_occlusion_takes_windows_away(case):
    """Each pixel gets the mean loss over the windows that hold it."""
    model, image, found = case
    height, width = image.shape[1:]
    loss, count = torch.zeros(height, width), torch.zeros(height, width)
    with torch.no_grad():
        whole = log_prob(model, image[None])
        for top in range(0, height - 5 + 2, 2):  # the last windows reach beyond the border
            for left in range(0, width - 5 + 2, 2):
                without = image.clone()
                without[:, top : top + 5, left : left + 5] = image.min()
                loss[top : top + 5, left : left + 5] += whole - log_prob(model, without[None])
                count[top : top + 5, left : left + 5] += 1
    assert found["occlusion"] == pytest.approx(scaled(loss / count), abs=1e-4)


def test_grad_cam_weighs_the_maps_of_the_last_convolution(case):
    model, image, found = case
    kept = []
    convolutions = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)]
    handle = convolutions[-1].register_forward_hook(lambda _, inputs, output: kept.append(output))
    value = log_prob(model, image[None])
    handle.remove()
    (gradient,) = torch.autograd.grad(value, kept[0])
    heat = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1, keepdim=True).relu()
    size = tuple(image.shape[1:])
    expected = F.interpolate(heat, size, mode="bilinear")[0, 0]
    assert found["Grad-CAM"] == pytest.approx(scaled(expected), abs=1e-4)
