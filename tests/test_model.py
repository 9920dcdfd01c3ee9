import torch

from mnist_helpers import make_model


def test_a_seed_gives_its_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, second, other = make_model(1), make_model(1), make_model(2)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.fc1.weight, second.fc1.weight)
    assert not torch.equal(first.fc1.weight, other.fc1.weight)


def test_images_become_ten_logits_by_the_published_formula():
    model, images = make_model(), torch.rand(2, 1, 28, 28)
    x = torch.nn.functional.conv2d(images, model.conv1.weight, model.conv1.bias, padding=1).relu()
    x = torch.nn.functional.conv2d(
        x.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5)),
        model.conv2.weight,
        model.conv2.bias,
        padding=1,
    )
    x = x.relu().unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5)).reshape(2, -1)
    expected = (
        x @ model.fc1.weight.T + model.fc1.bias
    ).relu() @ model.fc2.weight.T + model.fc2.bias
    assert torch.allclose(model(images), expected, atol=1e-5)
