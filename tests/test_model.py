import torch

from mnist_helpers import make_model
from mnist_helpers.features import as_maps, feature_maps, kernels, stage_names, stages


def test_parameters_by_hand():
    conv1, conv2 = 16 * (1 * 3 * 3) + 16, 32 * (16 * 3 * 3) + 32
    fc1, fc2 = (32 * 7 * 7) * 128 + 128, 128 * 10 + 10
    counts = {stage.name: stage.parameters for stage in stages(make_model(), torch.zeros(1, 1, 28, 28))}
    assert {name: count for name, count in counts.items() if count} == {
        "conv1": conv1,
        "conv2": conv2,
        "fc1": fc1,
        "fc2": fc2,
    }
    assert sum(counts.values()) == 206_922


def test_stages_in_order_with_their_shapes():
    shapes = {stage.name: stage.shape for stage in stages(make_model(), torch.zeros(5, 1, 28, 28))}
    assert list(shapes.items()) == [
        ("conv1", (16, 28, 28)),
        ("relu1", (16, 28, 28)),
        ("pool1", (16, 14, 14)),
        ("conv2", (32, 14, 14)),
        ("relu2", (32, 14, 14)),
        ("pool2", (32, 7, 7)),
        ("flatten", (1568,)),
        ("fc1", (128,)),
        ("relu3", (128,)),
        ("fc2", (10,)),
    ]


def test_feature_maps_are_the_numbers_of_the_forward_pass(few):
    model, images = make_model(), few.test.tensors[0][:3]
    maps = feature_maps(model, images)
    assert torch.equal(maps["fc2"], model(images).detach())
    assert torch.equal(maps["relu1"], maps["conv1"].clamp(min=0))
    assert torch.equal(maps["pool1"], maps["relu1"].unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5)))
    y, x, channel = 9, 17, 4
    patch = torch.nn.functional.pad(images[1, 0], (1, 1, 1, 1))[y : y + 3, x : x + 3]
    by_hand = (patch * model.conv1.weight[channel, 0]).sum() + model.conv1.bias[channel]
    assert torch.isclose(maps["conv1"][1, channel, y, x], by_hand, atol=1e-5)


def test_any_network_with_convolutions_will_do():
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 5), torch.nn.Tanh(), torch.nn.Conv2d(4, 6, 3), torch.nn.Conv2d(6, 2, 1)
    )
    maps = feature_maps(model, torch.rand(2, 3, 20, 20))
    assert stage_names(model) == ["0", "1", "2", "3"]
    assert maps["3"].shape == (2, 2, 14, 14)
    assert {name: tuple(w.shape) for name, w in kernels(model).items()} == {
        "0": (4, 3, 5, 5),
        "2": (6, 4, 3, 3),
        "3": (2, 6, 1, 1),
    }


def test_vectors_become_maps_of_one_pixel():
    assert as_maps(torch.arange(6.0)).shape == (6, 1, 1)
    assert as_maps(torch.zeros(2, 3, 4)).shape == (2, 3, 4)


def test_a_seed_gives_its_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, second, other = make_model(1), make_model(1), make_model(2)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.fc1.weight, second.fc1.weight)
    assert not torch.equal(first.fc1.weight, other.fc1.weight)
