"""How values come about, against the model's own numbers and against torch's functions."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import BUILDERS, COLOUR, DILATED_POOL, WINDOWS, build, images_of, window_model
from torch import nn

from mnist_helpers import make_model
from mnist_helpers.network.arithmetic import Arithmetic, Place, explain
from mnist_helpers.network.tracing import Network, as_maps

WITHOUT_RULE = {  # layers of which only input and output can be said
    "branching": {"gelu", "sigmoid", "mul", "norm", "interpolate", "add"},
    "functional": {"dropout", "log_softmax"},
}
FUNCTIONS = {"gelu": F.gelu, "sigmoid": torch.sigmoid, "dropout": lambda value: value}


def explained(network, outputs, name, channel, row=0, column=0) -> Arithmetic:
    maps = {layer: as_maps(output[0]) for layer, output in outputs.items()}
    return explain(Place(network, maps, network.layers[name], channel, row, column))


def opened(model, images):
    """A network, and what its layers put out for the first image."""
    network = Network(model, images)
    return network, network.outputs(images[:1])


def opened_simple():
    return opened(make_model(), BUILDERS["simple"][1])


def by_rule(made: Arithmetic, channel: int) -> float:
    """The value that the rule gives."""
    patch = made.patch.astype(np.float64)
    if made.rule in ("sum", "scale"):
        return (patch * made.kernel)[~np.isnan(patch)].sum() + made.bias
    if made.rule == "softmax":
        return float(np.exp(patch[channel]).item() / np.exp(patch).sum())
    if made.rule == "relu":
        return max(patch.item(), 0.0)
    rules = {"max": np.nanmax, "mean": np.nanmean, "copy": np.ndarray.item, "add": np.sum}
    return rules[made.rule](patch)


def check_patch(made: Arithmetic, outputs: dict[str, torch.Tensor]) -> None:
    """What lies inside of the frame is what the layer of the patch puts out there."""
    channels = as_maps(outputs[made.layer][0])[made.first_channel :][: len(made.patch)]
    assert (len(made.rows), len(made.columns)) == made.patch.shape[1:]
    for (channel, row, column), value in np.ndenumerate(made.patch):
        y, x = made.rows[row], made.columns[column]
        if min(y, x) >= 0:
            assert value == channels[channel, y, x]
        else:
            assert np.isnan(value) or value == 0


def random_places(shape: tuple[int, ...], count: int = 20) -> list[tuple[int, ...]]:
    generator = np.random.default_rng(0)
    corners = [(0, 0, 0), tuple(size - 1 for size in shape)]
    return corners + [tuple(int(generator.integers(size)) for size in shape) for _ in range(count)]


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("seed", [None, 8])
def test_the_rule_makes_the_models_own_value(name, seed):
    images = BUILDERS[name][1]
    network = Network(build(name), images)
    if seed is not None:
        network = network.with_weights(build(name, seed).state_dict())
    outputs = network.outputs(images[4:5])
    for layer in network.layers.values():
        maps = as_maps(outputs[layer.name][0])
        for place in random_places(maps.shape):
            made = explained(network, outputs, layer.name, *place)
            where = (layer.name, *place)
            assert made.value == maps[place], where
            if made.rule != "add":
                check_patch(made, outputs)
            if made.rule:
                assert by_rule(made, place[0]) == pytest.approx(made.value, abs=2e-5), where
            elif layer.op in FUNCTIONS:
                made_here = FUNCTIONS[layer.op](torch.from_numpy(made.patch)).item()
                assert made_here == pytest.approx(made.value, abs=1e-6), where
        silent = {"image"} | WITHOUT_RULE.get(name, set())
        assert (made.rule == "") == (layer.name in silent), layer.name


@pytest.mark.parametrize("module", [*WINDOWS, DILATED_POOL], ids=str)
def test_every_kind_of_window(module):
    network, outputs = opened(window_model(module), COLOUR)
    maps = as_maps(outputs["1"][0])
    for place in random_places(maps.shape, 60):
        made = explained(network, outputs, "1", *place)
        check_patch(made, outputs)
        assert by_rule(made, place[0]) == pytest.approx(maps[place], abs=1e-5), place
    if isinstance(module, nn.MaxPool2d | nn.AdaptiveMaxPool2d):
        assert made.rule == "max"


def test_a_patch_is_what_unfold_gives():
    model = build("skipping")
    network, outputs = opened(model, COLOUR)
    columns = F.unfold(COLOUR[:1], (5, 3), padding=(2, 1), stride=(2, 1))
    patches = columns.reshape(3, 5, 3, 8, 18)
    for row, column in ((0, 0), (3, 9), (7, 17)):
        made = explained(network, outputs, "stem", 5, row, column)
        assert np.array_equal(made.patch, patches[..., row, column])
        assert np.array_equal(made.kernel, model.stem.weight[5].detach())
    assert made.rows.tolist() == [12, 13, 14, -1, -1]
    assert made.columns.tolist() == [16, 17, -1]


def test_partial_sums_by_other_means():
    network, outputs = opened_simple()
    kernels = network.model.conv2.weight.detach()[5].unsqueeze(1)
    apart = F.conv2d(outputs["pool1"], kernels, padding=1, groups=16)[0, :, 6, 8]
    made = explained(network, outputs, "conv2", 5, 6, 8)
    assert made.partial_sums == pytest.approx(apart.numpy(), abs=1e-5)
    assert made.rectified
    assert not explained(network, outputs, "pool1", 5, 6, 8).rectified


def test_a_group_reads_its_own_channels():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 12, 3, groups=4), nn.Flatten())
    model = nn.Sequential(*model, nn.LazyLinear(2))
    model(COLOUR)
    network, outputs = opened(model, COLOUR)
    made = explained(network, outputs, "1", 11, 2, 3)
    assert (made.first_channel, made.layer) == (6, "0")
    assert np.array_equal(made.patch, outputs["0"][0, 6:8, 2:5, 3:6])


def test_a_linear_layer_reads_the_maps_before_the_flattening():
    network, outputs = opened_simple()
    made = explained(network, outputs, "fc1", 17)
    assert (made.layer, made.kernel.shape) == ("pool2", (32, 7, 7))
    assert np.array_equal(made.patch, outputs["pool2"][0])
    assert np.array_equal(made.kernel.ravel(), network.model.fc1.weight.detach()[17])
    made = explained(network, outputs, "flatten", 100)
    assert (made.first_channel, made.rows[0], made.columns[0]) == (2, 0, 2)


def test_branches():
    network, outputs = opened(build("branching"), COLOUR)
    made = explained(network, outputs, "cat", 7, 3, 4)
    assert (made.layer, made.first_channel, made.rule) == ("right", 1, "copy")
    assert explained(network, outputs, "cat", 5, 3, 4).layer == "left"
    made = explained(network, outputs, "add_1", 2, 3, 1)
    terms = [outputs[name][0, 2, 3, 1] for name in ("ragged", "add")]
    assert made.patch.ravel().tolist() == terms
    made = explained(network, outputs, "mean", 2)
    assert np.array_equal(made.patch[0], outputs["wild"][0, 2])
    assert explained(network, outputs, "interpolate", 0, 1, 1).patch.shape == (0, 1, 1)


class Odd(nn.Module):
    """Sums and means that are not what their names say."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)

    def forward(self, images):
        x = self.conv(images)
        doubled = x + x
        weighted = torch.add(doubled, x, alpha=2)
        spread = weighted + x.mean((2, 3), keepdim=True)
        by_channel = spread.mean(1)
        return by_channel.mean(1) + (spread / spread.amax()).flatten(1).mean(1, keepdim=True)


def test_no_rule_where_it_would_not_hold():
    network, outputs = opened(Odd(), images_of(2, 1, 8, 8))
    for name in ("add", "add_1", "add_2", "mean_1", "mean_2"):
        assert explained(network, outputs, name, 0).rule == "", name
    assert explained(network, outputs, "mean", 3).rule == "mean"
    assert network.layers["truediv"].receptive_field is None  # its divisor sees everything
    assert network.layers["add_2"].sees == "all"
