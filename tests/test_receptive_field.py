"""What a value sees, against where its gradient is not zero."""

import pytest
import torch
from networks import (
    BUILDERS,
    COLOUR,
    DILATED_POOL,
    WINDOWS,
    build,
    build_resnet,
    images_of,
    positive,
    window_model,
)
from torch import nn

from mnist_helpers.network.receptive_field import map_shape, reads
from mnist_helpers.network.tracing import Network

# what networks.py asks of PyTorch on purpose
UNKNOWN = {
    "branching": ["interpolate", "add_2", "mean_1", "cat_1", "out", "softmax"],
}
WHOLE = {
    "simple": ["flatten", "fc1", "relu3", "fc2", "softmax"],
    "skipping": ["flatten", "linear", "softmax"],
    "functional": [],  # a row is left over
    "branching": ["norm", "squeeze", "gate", "sigmoid", "mul", "mean"],
}


def support(values, inputs) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of where the gradient of `values` is not zero."""
    generator = torch.Generator().manual_seed(0)
    # so that no sum cancels
    weights = torch.rand(values.shape, dtype=values.dtype, generator=generator) + 0.1
    (gradient,) = torch.autograd.grad((values * weights).sum(), inputs, retain_graph=True)
    seen = gradient[0].reshape(map_shape(gradient.shape[1:])).ne(0).any(dim=0)
    rows, columns = seen.any(dim=1).nonzero(), seen.any(dim=0).nonzero()
    if not len(rows):
        return 0, 0, 0, 0
    edges = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    return tuple(int(edge) for edge in edges)


def places(height: int, width: int) -> list[tuple[int, int]]:
    """Each border, the places beside the first ones, and the middle, on both axes."""
    rows = (0, 1, height // 2, height - 1)
    columns = (width - 1, width // 2, 0, 1)
    return [(min(r, height - 1), min(c, width - 1)) for r, c in zip(rows, columns, strict=True)]


def boxed(top: int, left: int, bottom: int, right: int) -> tuple[int, int, int, int]:
    """The box, or zeros for one without pixels."""
    assert 0 <= top <= bottom
    assert 0 <= left <= right
    return (top, left, bottom, right) if top < bottom and left < right else (0, 0, 0, 0)


def check(model: nn.Module, images: torch.Tensor) -> Network:
    """Compares all that is known of a network's fields with gradients."""
    network, same = Network(model, images), Network(positive(model), images.double())
    image = images[:1].double().requires_grad_()
    outputs = list(same.run(image).values())
    for layer, output in zip(network.layers.values(), outputs, strict=True):
        maps = output.reshape(1, *map_shape(output.shape[1:]))
        if layer.op in ("softmax", "log_softmax", "Softmax"):  # their gradients sum to 0
            continue
        for row, column in places(*maps.shape[2:]):
            values, where = maps[0, :, row, column], (layer.name, row, column)
            if layer.receptive_field is not None:
                box = layer.receptive_field.box(row, column)
                assert boxed(*box) == support(values, image), where
    return network


@pytest.mark.parametrize("name", BUILDERS)
def test_a_field_is_where_the_gradient_is_not_zero(name):
    images = BUILDERS[name][1]
    network = check(build(name), images)
    fields = {layer.name: layer.receptive_field for layer in network.layers.values()}
    assert [n for n, field in fields.items() if field is None] == UNKNOWN.get(name, [])
    whole = [n for n, field in fields.items() if field and field.extent == "all"]
    assert whole == WHOLE[name]
    if name == "functional":
        assert fields["fc2"].box(0, 0) == (0, 0, 14, 18)


@pytest.mark.parametrize("module", WINDOWS, ids=str)
def test_every_kind_of_window(module):
    network = check(window_model(module), COLOUR)
    assert None not in [layer.receptive_field for layer in network.layers.values()]


def test_a_dilated_pooling():  # average pooling has none, so no gradient shows it
    network = Network(window_model(DILATED_POOL), COLOUR)
    field = network.layers["1"].receptive_field
    assert (field.extent, field.box(1, 4)) == ("2 × 5", (2, 4, 4, 9))


@pytest.mark.slow
def test_resnet():
    network = check(build_resnet(), images_of(1, 3, 48, 48))
    sizes = {layer.name: layer.receptive_field.extent for layer in network.layers.values()}
    # Araujo et al. (2019) give 11 after the first pooling; each 3 × 3 there adds 2 · 4
    assert (sizes["conv1"], sizes["maxpool"]) == ("7 × 7", "11 × 11")
    assert sizes["layer1.1.conv2"] == "43 × 43"  # 11 + 4 · 8
    assert sizes["fc"] == "all"


@pytest.mark.parametrize(
    ("op", "module", "shape", "output_shape"),
    [
        ("cat", None, (2, 4, 4), (2, 8, 4)),  # one below the other
        ("add", None, (8,), (4, 5, 8)),  # a vector that is spread over maps
        ("mul", None, (3, 2, 1, 4), (3, 2, 3, 4)),  # more axes than maps have
        ("layer_norm", None, (4, 5, 6), (4, 5, 6)),  # over who knows which axes
        ("LayerNorm", nn.LayerNorm(6), (4, 5, 6), (4, 5, 6)),  # each row for itself
    ],
)
def test_what_places_alone_do_not_tell_is_unknown(op, module, shape, output_shape):
    assert reads(op, module, shape, output_shape) is None
