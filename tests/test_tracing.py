"""The layers of a network and what they put out, against the modules themselves."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import assert_same
from networks import BUILDERS, COLOUR, build, hooked, images_of
from torch import nn
from torch.nn.utils.prune import l1_unstructured
from torch.optim.swa_utils import AveragedModel

from mnist_helpers import InputError, make_model
from mnist_helpers.network.tracing import Network, as_maps

# what networks.py asks of PyTorch on purpose


@pytest.fixture(scope="module", params=BUILDERS)
def case(request):
    """The name of a network, the network, and its images."""
    images = BUILDERS[request.param][1]
    return request.param, Network(build(request.param), images), images


def logits(network: Network, images: torch.Tensor = COLOUR) -> torch.Tensor:
    """What a network answers."""
    return network.features(images, network.answer)[0]


def test_outputs_are_those_of_the_forward_pass(case):
    _, network, images = case
    outputs, expected = network.outputs(images), hooked(network.model, images)
    assert list(outputs) == list(network.layers)
    assert torch.equal(outputs["image"], images)
    for name, layer in network.layers.items():
        assert outputs[name].shape[1:] == layer.shape
    for name, uses in expected.items():
        for use, output in enumerate(uses):
            layer = f"{name}_{use}" if use else name
            if name:  # the whole model has none
                assert torch.allclose(outputs[layer], output, atol=1e-6), layer
    probs = expected[""][0].softmax(1)
    assert torch.allclose(outputs["softmax"], probs, atol=1e-6)
    assert network.classes == probs.shape[1]


def test_other_weights_are_another_network(case):
    name, network, images = case
    before = copy.deepcopy(network.model.state_dict())
    other = build(name, seed=11)
    outputs = network.with_weights(other.state_dict()).run(images)
    answers = outputs[network.answer]
    assert torch.allclose(answers, other(images), atol=1e-6)
    alone = network.with_weights(other.state_dict()).run(images, network.decider)
    assert torch.allclose(alone, other(images), atol=1e-6)
    assert not torch.allclose(answers, network.model(images), atol=1e-3)
    assert_same(network.model.state_dict(), before)


def test_many_images_are_answered_as_by_the_model(case):
    _, network, images = case
    with torch.inference_mode():
        expected = network.model(images)
    assert torch.allclose(logits(network, images), expected, atol=1e-5)


def test_parameters_by_hand():
    network = Network(make_model(), BUILDERS["simple"][1])
    conv1, conv2 = 16 * (1 * 3 * 3) + 16, 32 * (16 * 3 * 3) + 32
    fc1, fc2 = (32 * 7 * 7) * 128 + 128, 128 * 10 + 10
    counts = {name: layer.parameters for name, layer in network.layers.items() if layer.parameters}
    assert counts == {"conv1": conv1, "conv2": conv2, "fc1": fc1, "fc2": fc2}
    assert sum(counts.values()) == 206_922


def test_names_ops_and_inputs():
    network = Network(build("skipping"), COLOUR)
    assert [(layer.name, layer.op, layer.inputs) for layer in network.layers.values()] == [
        ("image", "Input", ()),
        ("stem", "Conv2d", ("image",)),
        ("act", "ReLU", ("stem",)),
        ("wide", "Conv2d", ("act",)),
        ("act_1", "ReLU", ("wide",)),
        ("add", "add", ("act_1", "act")),
        ("pool", "AvgPool2d", ("add",)),
        ("head", "Conv2d", ("pool",)),
        ("last", "MaxPool2d", ("head",)),
        ("flatten", "flatten", ("last",)),
        ("linear", "Linear", ("flatten",)),
        ("softmax", "Softmax", ("linear",)),
    ]
    assert network.convolutions == ["stem", "wide", "head"]
    assert network.users("act") == ["wide", "add"]
    assert network.modules["add"] is None
    assert network.modules["stem"].weight is network.model.stem.weight
    assert network.model.act.inplace  # the model itself is not changed


def test_functions_are_layers_like_modules():
    network = Network(build("functional"), COLOUR)
    ops = {name: layer.op for name, layer in network.layers.items()}
    assert ops["relu"] == "Conv2d"  # the module keeps its name
    functions = {"relu_1": "ReLU", "max_pool2d": "MaxPool2d", "avg_pool2d": "AvgPool2d"}
    assert ops | functions == ops
    assert network.modules["max_pool2d"].kernel_size == 2
    assert network.layers["view"].inputs == ("avg_pool2d",)  # its size is no layer
    assert "size" not in ops
    assert network.outputs(COLOUR)["fc1"].min() < 0  # nothing was overwritten
    branching = Network(build("branching"), COLOUR).layers
    assert branching["cat"].inputs == ("left", "right")
    assert branching["add_2"].inputs == ("add_1", "interpolate")


def test_how_much_a_value_sees_in_words():
    layers = Network(make_model(), BUILDERS["simple"][1]).layers
    assert [layers[name].sees for name in ("conv2", "fc1")] == ["8 × 8", "all"]
    assert Network(build("branching"), COLOUR).layers["out"].sees == "unknown"


def test_a_number_has_its_kind_beside_it():
    inner = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    used_twice = inner[1]
    model = nn.Sequential(inner, used_twice, nn.Flatten(), nn.Linear(8, 2))
    layers = Network(model, images_of(1, 1, 4, 4)).layers
    titles = ["image", "0.0 Conv2d", "0.1 ReLU", "0.1_1 ReLU", "2 Flatten", "3 Linear", "softmax"]
    assert [layer.title for layer in layers.values()] == titles
    assert list(layers)[1:4] == ["0.0", "0.1", "0.1_1"]  # which a call takes
    named = Network(make_model(), BUILDERS["simple"][1]).layers
    assert [layer.title for layer in named.values()] == list(named)


def test_numbers_become_maps():
    assert as_maps(torch.zeros(6)).shape == (6, 1, 1)
    assert as_maps(torch.zeros(2, 3)).shape == (1, 2, 3)
    assert as_maps(torch.zeros(2, 3, 4, 5)).shape == (2, 3, 20)
    assert as_maps(torch.arange(24.0).reshape(2, 3, 4))[1, 2].tolist() == [20, 21, 22, 23]


class InPlace(nn.Module):
    """Overwrites what it has by methods, functions and sums."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.out = nn.LazyLinear(2)

    def forward(self, images):
        x = torch.relu_(self.conv(images) - 1).mul_(2)
        y = nn.functional.leaky_relu(self.conv(images), 0.2, True)
        y += x
        return self.out(y.flatten(1))


def test_operations_in_place_leave_their_input_as_it_was():
    model = InPlace().eval()
    model(COLOUR)
    network = Network(model, COLOUR)
    outputs, conv = network.outputs(COLOUR), model.conv(COLOUR)
    assert torch.allclose(outputs["conv"], conv)
    assert torch.allclose(outputs["conv_1"], conv)
    sub, leaky = outputs["sub"], outputs["leaky_relu"]
    assert torch.allclose(sub, conv - 1)
    assert torch.allclose(outputs["add"], leaky + sub.clamp(min=0) * 2)
    assert torch.allclose(outputs["out"], model(COLOUR), atol=1e-6)


class Overwriting(nn.Module):
    """Reads what it has overwritten, which no trace can tell."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.conv.bias.data -= 3  # no logit is between 0 and 1

    def forward(self, images):
        x = self.conv(images)
        x.mul_(3)
        return x.mean((2, 3))


class Choosing(Overwriting):
    """Goes another way for some images."""

    def forward(self, images):
        return self.conv(images) if images.sum() > 0 else images


class Scaled(Overwriting):
    """Divides by a number that comes from all pixels of all images."""

    def forward(self, images):
        x = self.conv(images)
        return (x / x.amax()).mean((2, 3))


def test_what_reads_the_image_past_the_layers_has_no_field():
    network = Network(Scaled(), COLOUR)
    assert network.layers["truediv"].inputs == ("conv",)
    assert network.layers["truediv"].receptive_field is None
    assert network.reads["truediv"] is None


class Averaging(Overwriting):
    """One answer for all images together."""

    def forward(self, images):
        return self.conv(images).mean((2, 3)).mean(0, keepdim=True)


class Blind(Overwriting):
    """An answer that does not depend on the image."""

    def forward(self, images):
        self.conv(images)
        return self.conv.bias.expand(images.size(0), 4)


class Wary(Overwriting):
    """Looks at the form of what it gets, as many networks do."""

    def forward(self, images, with_maps=False):
        assert images.dim() == 4, "a batch is wanted"
        assert images.shape[1:] == (3, 15, 18)
        if images.ndim == 3:
            images = images.unsqueeze(0)
        if images.dtype != torch.float32:
            images = images.float()
        maps = self.conv(images)
        if with_maps:
            return maps
        return maps.mean((2, 3))


class Taught(Overwriting):
    """Gives its loss, too, where it is told the labels, as models of text do."""

    def forward(self, images, labels=None):
        logits = self.conv(images).mean((2, 3))
        if labels is not None:
            return F.cross_entropy(logits, labels), logits
        return logits


@pytest.mark.parametrize("kind", [Wary, Taught])
def test_the_path_of_the_form_of_the_image_and_of_the_default_of_an_argument(kind):
    model = kind()
    network = Network(model, COLOUR)
    assert list(network.layers) == ["image", "conv", "mean", "softmax"]
    with torch.no_grad():
        assert torch.equal(network.outputs(COLOUR)["mean"], model(COLOUR))


class Mixed(Overwriting):
    """Computes in few digits by a switch that no trace can see."""

    def forward(self, images):
        with torch.autocast("cpu", torch.bfloat16):
            return 1000 * self.conv(images).mean((2, 3))


@pytest.mark.parametrize("wrap", [AveragedModel, torch.compile])
def test_a_wrapped_model_is_the_model(wrap):
    model = build("skipping")
    network = Network(wrap(nn.DataParallel(model)), COLOUR)
    assert network.convolutions == ["stem", "wide", "head"]
    assert torch.allclose(logits(network), model(COLOUR).detach(), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_another_precision_is_read_as_single_precision(dtype):
    model = build("skipping").to(dtype)
    network = Network(model, COLOUR.to(dtype))
    exact = copy.deepcopy(model).float()(COLOUR).detach()
    assert torch.allclose(logits(network), exact, atol=1e-6)
    other = network.with_weights(model.state_dict())  # as it lies on disk
    assert torch.allclose(logits(other), exact, atol=1e-6)
    assert {tensor.dtype for tensor in model.parameters()} == {dtype}


class Normalised(nn.Module):
    """Puts out probabilities without a softmax."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        powers = self.model(images).exp()
        return powers / powers.sum(dim=1, keepdim=True)


@pytest.mark.parametrize(
    ("ending", "last"),
    [
        (lambda model: nn.Sequential(model, nn.Softmax(dim=1)), "0.linear"),
        (lambda model: nn.Sequential(model, nn.LogSoftmax(dim=1)), "1"),
        (Normalised, "as_logits"),
    ],
)
def test_probabilities_are_those_of_the_model(ending, last):
    model = build("skipping")
    with torch.no_grad():
        model.linear.weight *= 60  # sure answers
        powers = np.exp(model(COLOUR).numpy())
    probs = powers / powers.sum(axis=1, keepdims=True)
    assert probs.max(axis=1).min() > 0.4
    network = Network(ending(model), COLOUR)
    outputs = network.outputs(COLOUR)
    assert np.allclose(outputs["softmax"], probs, atol=1e-6)
    assert network.answer == last
    assert np.allclose(outputs[last].softmax(1), probs, atol=1e-6)
    assert [layer.op for layer in network.layers.values()].count("Softmax") == 1


@pytest.mark.parametrize(
    "ending",
    [
        lambda logits: F.one_hot(logits.argmax(1), 6).float(),
        lambda logits: logits.softmax(1).half().float(),
    ],
)
def test_what_stands_before_the_answers_may_be_of_another_type(ending):
    class Ending(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = build("skipping")

        def forward(self, images):
            return ending(self.model(images))

    model = Ending()
    network = Network(model, COLOUR)
    probs = model(COLOUR).detach()
    assert torch.allclose(network.outputs(COLOUR)["softmax"], probs, atol=1e-3)
    assert network.answer == "as_logits"


def test_each_module_stays_in_its_mode_and_training_changes_no_answer():
    model = build("functional").train()
    model.norm1.eval()
    modes = [module.training for module in model.modules()]
    network = Network(model, COLOUR)
    assert [module.training for module in model.modules()] == modes
    before = logits(network)
    statistics = model.norm2.running_mean.clone()
    assert torch.equal(logits(network), before)  # without dropout
    assert torch.equal(model.norm2.running_mean, statistics)  # nor does an answer train
    with pytest.raises(InputError):
        Network(model, COLOUR[:, :2])
    assert [module.training for module in model.modules()] == modes
    model.norm1.weight.data *= 2  # the weights stay the model's own
    assert not torch.allclose(logits(network), before)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 1, (15, 18)), nn.Flatten(), nn.Sigmoid()), "one number"),
        (Averaging(), "Averaging must answer each image with logits of its own"),
        (Blind(), "Blind must answer each image with logits of its own"),
        (Choosing(), r"can't trace Choosing \(its path depends on the values of the image\)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(810, 2)), "Sequential has no nn.Conv2d"),
        (nn.Sequential(nn.Conv2d(1, 4, 3)), r"Sequential doesn't take an image \(3, 15, 18\)"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), "Sequential must answer with one tensor of logits"),
        (Overwriting(), "Overwriting answers differently when taken apart"),
        (Mixed(), "Mixed answers differently when taken apart"),
        (l1_unstructured(nn.Conv2d(3, 4, 3), "weight", 0.5), "can't trace Conv2d .Only Tensors"),
    ],
)
def test_models_that_will_not_do(model, message):
    with pytest.raises(InputError, match=message):
        Network(model, COLOUR)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*is deprecated")
def test_torchscript_is_named():
    with pytest.raises(InputError, match="RecursiveScriptModule is TorchScript or quantized; give"):
        Network(torch.jit.script(nn.Conv2d(3, 2, 3)), COLOUR)


@pytest.mark.filterwarnings("ignore")
def test_a_quantized_model_is_called_so():
    model = torch.ao.quantization.quantize_dynamic(make_model(), {nn.Linear})
    with pytest.raises(InputError, match="SimpleCNN is TorchScript or quantized; give the nn"):
        Network(model, torch.zeros(1, 1, 28, 28))
