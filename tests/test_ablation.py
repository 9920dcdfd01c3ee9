"""What ablation takes away, against hooks that put zeros."""

from unittest import mock

import pytest
import torch
from networks import BUILDERS, build, images_of, logits_without
from test_activations import finish

from mnist_helpers.network.ablation import Ablation
from mnist_helpers.network.tracing import Network

# what networks.py asks of PyTorch on purpose


@pytest.mark.parametrize("seed", [None, 9])
@pytest.mark.parametrize("name", BUILDERS)
def test_the_same_as_zeros_in_the_convolutions_output(name, seed):
    shape = BUILDERS[name][1].shape
    images = images_of(300, *shape[1:])  # more than a batch
    model, labels = build(name), torch.zeros(300, dtype=torch.long)
    network = Network(model, images)
    if seed is not None:
        model = build(name, seed)
        network = network.with_weights(model.state_dict())
    first, *_, last = network.convolutions
    ablation = Ablation(network, images, labels)
    for channels in (
        [],
        [(last, 1)],
        [(first, 0), (first, 3)],
        [(first, 1), (last, 0), (last, 2)],
        [(last, 1)],
    ):
        expected = logits_without(model, images, *channels)
        fractions, predictions = finish(ablation.predictions(channels))
        assert fractions == pytest.approx([1 / 2, 1])
        assert torch.allclose(predictions.logits, expected, atol=1e-5), channels
    assert torch.equal(predictions.labels, labels)


def test_what_comes_before_each_of_two_layers_is_computed_once():
    images = images_of(3, 1, 28, 28)
    ablation = Ablation(Network(build("simple"), images), images, torch.zeros(3))
    with mock.patch.object(ablation, "_beginning", wraps=ablation._beginning) as beginning:
        for layer in ("conv1", "conv2", "conv1", "conv2"):
            finish(ablation.predictions([(layer, 0)]))
    assert beginning.call_count == 2


def test_the_ranking_counts_images():
    images = images_of(40, 1, 28, 28)
    model = build("simple")
    with torch.no_grad():
        model.fc2.bias -= model(images).mean(0)  # so that it doesn't answer the same to all
        labels = model(images).argmax(1)
    labels[:7] = (labels[:7] + 1) % 10  # some that are wrong from the start
    # where two answers are nearly the same, a last bit of another batch decides
    sure = torch.ones(40, dtype=torch.bool)
    for ablated in ([], *([("conv1", channel)] for channel in range(16))):
        first, second = logits_without(model, images, *ablated).topk(2).values.T
        sure &= first - second > 1e-5
    images, labels = images[sure], labels[sure]
    right = sure[7:].sum().item()
    assert right >= 25
    ablation = Ablation(Network(model, images), images, labels)
    fractions, losses = finish(ablation.lost_without_each("conv1"))
    assert fractions == pytest.approx([(channel + 1) / 16 for channel in range(16)])
    for channel, loss in enumerate(losses):
        logits = logits_without(model, images, ("conv1", channel))
        assert loss == right - (logits.argmax(1) == labels).sum().item()
    assert any(losses)
