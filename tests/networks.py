"""Example networks for tests: what MNIST's own has not, on images that are not square."""

import base64
import copy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from conftest import grey
from torch import Tensor, nn

from mnist_helpers import SimpleCNN
from mnist_helpers.digits import load_digits


class Skipping(nn.Module):
    """Colour images; stride, dilation, groups, a skip, reflected padding, ReLUs in place."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, (5, 3), stride=(2, 1), padding=(2, 1))
        self.wide = nn.Conv2d(8, 8, 3, dilation=2, padding="same", groups=2, bias=False)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1)
        self.head = nn.Conv2d(8, 6, 3, padding=1, padding_mode="reflect")
        self.last = nn.MaxPool2d((3, 2), stride=2, padding=1)
        self.linear = nn.LazyLinear(4)

    def forward(self, images):
        x = self.act(self.stem(images))
        x = self.pool(self.act(self.wide(x)) + x)
        return self.linear(torch.flatten(self.last(self.head(x)), 1))


class Functional(nn.Module):
    """As in many tutorials: functions where others have modules; batch normalisation."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3)
        self.norm1 = nn.BatchNorm2d(6)
        self.relu = nn.Conv2d(6, 5, 3)  # a name that a function will want as well
        self.norm2 = nn.BatchNorm2d(5, affine=False)
        self.drop = nn.Dropout2d(0.25)
        self.fc1 = nn.LazyLinear(12)
        self.fc2 = nn.Linear(12, 4)
        self.pool = F.max_pool2d

    def forward(self, images):
        x = self.pool(F.relu(self.norm1(self.conv1(images))), 2)
        x = self.norm2(self.relu(x))
        x = F.avg_pool2d(self.drop(x.relu()), kernel_size=2)
        x = F.relu(self.fc1(x.view(x.size(0), -1)), inplace=True)
        return F.log_softmax(self.fc2(F.dropout(x, training=self.training)), dim=1)


class Branching(nn.Module):
    """Branches that are added, multiplied and concatenated, functions, sizes that don't divide."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, (2, 4), padding="same")
        self.left = nn.Conv2d(4, 6, (1, 5), padding=(0, 2), padding_mode="replicate")
        self.right = nn.Conv2d(4, 2, 3, padding=1)
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.gate = nn.Conv2d(8, 8, 1)
        self.ragged = nn.AdaptiveAvgPool2d((4, 3))
        self.norm = nn.GroupNorm(2, 8)
        self.ceil = nn.MaxPool2d(2, ceil_mode=True)
        self.wild = nn.Conv2d(8, 8, 1, padding=1)
        self.out = nn.Linear(16, 5)

    def forward(self, images):
        x = F.gelu(self.stem(images))
        x = torch.cat((self.left(x), self.right(x)), 1)
        sum_of_branches = self.ragged(x)
        y = sum_of_branches + torch.add(sum_of_branches, 1.0)
        y += F.interpolate(self.ceil(x), (4, 3))
        gated = self.norm(self.ceil(x)) * self.gate(self.squeeze(x)).sigmoid()
        deep = self.wild(gated).mean((2, 3))
        return self.out(torch.cat([deep, y.mean((-2, -1))], dim=1))


WINDOWS = [  # layers that slide or divide, for maps of 4 channels
    nn.Conv2d(4, 6, (3, 2), stride=(2, 3), padding=(1, 0), groups=2),
    nn.Conv2d(4, 6, (2, 5), padding="same", dilation=(3, 1)),
    nn.Conv2d(4, 6, 3, padding="valid", dilation=(1, 2), bias=False),
    nn.Conv2d(4, 6, 3, padding=(2, 1), padding_mode="reflect", stride=2),
    nn.Conv2d(4, 6, (3, 5), padding=2, padding_mode="replicate"),
    nn.Conv2d(4, 6, (4, 3), padding="same", padding_mode="circular"),
    nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    nn.AdaptiveMaxPool2d((3, 5)),
    nn.AvgPool2d(3, 2, 1),
    nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    nn.AvgPool2d((3, 2), 2, 1, ceil_mode=True),
    nn.AdaptiveAvgPool2d((4, 5)),
    nn.AdaptiveAvgPool2d((None, 1)),
]


DILATED_POOL = nn.MaxPool2d((2, 3), stride=(2, 1), dilation=(1, 2))


def window_model(module: nn.Module) -> nn.Sequential:
    """A network with `module` as layer "1" between a pointwise convolution and a linear layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)  # by bad luck its logits would look like what sigmoids put out
        layers = (nn.Conv2d(3, 4, 1), module, nn.Flatten(), nn.LazyLinear(2))
        model = nn.Sequential(*layers).eval()
        model(COLOUR)
    model[3].bias.data -= 3  # none is between 0 and 1
    return model


def images_of(count: int, channels: int, height: int, width: int) -> Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(1))


COLOUR = images_of(6, 3, 15, 18)
BUILDERS = {  # name: (builder, images)
    "simple": (SimpleCNN, images_of(6, 1, 28, 28)),
    "skipping": (Skipping, COLOUR),
    "functional": (Functional, COLOUR),
    "branching": (Branching, COLOUR),
}


def build(name: str, seed: int = 3) -> nn.Module:
    """The network called `name`, in evaluation mode, with some statistics of training."""
    builder, images = BUILDERS[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = builder()
        model.train()(images)  # gives the normalisations something to go by
    return model.eval()


def build_resnet() -> nn.Module:
    import torchvision  # here: it takes seconds, of every worker if it stood above

    with torch.random.fork_rng():
        torch.manual_seed(5)
        return torchvision.models.resnet18(weights=None, num_classes=10).eval()


def hooked(model: nn.Module, images: Tensor) -> dict[str, list[Tensor]]:
    """What every module of a model puts out at each use, by hooks."""
    model, seen = copy.deepcopy(model), {}
    for name, module in model.named_modules():
        module.inplace = False

        def keep(_, inputs, output, name=name):
            seen.setdefault(name, []).append(output.clone())  # before it is overwritten

        module.register_forward_hook(keep)
    with torch.no_grad():
        model(images)
    return seen


def logits_without(model: nn.Module, images: Tensor, *ablated: tuple[str, int]) -> Tensor:
    """What a model answers with zeros in some channels that convolutions put out, by hooks."""
    handles = []
    for name, channel in ablated:

        def put_zeros(_, inputs, output, channel=channel):
            return output.index_fill(1, torch.tensor([channel]), 0)

        handles.append(model.get_submodule(name).register_forward_hook(put_zeros))
    with torch.no_grad():
        logits = model(images)
    for handle in handles:
        handle.remove()
    return logits


def positive(model: nn.Module) -> nn.Module:
    """A copy in which nothing cancels and all of a pool counts: gradients show what is seen."""
    model = copy.deepcopy(model).double()
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.abs() + 0.01
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.MaxPool2d):
            sizes = (module.kernel_size, module.stride, module.padding, module.ceil_mode)
            model.set_submodule(name, nn.AvgPool2d(*sizes))
        if isinstance(module, nn.AdaptiveMaxPool2d):
            model.set_submodule(name, nn.AdaptiveAvgPool2d(module.output_size))
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
    if hasattr(model, "pool") and not isinstance(model.pool, nn.Module):
        model.pool = F.avg_pool2d
    return model


def drawn_cross() -> str:
    """What is no digit, on a pad."""
    cross = np.zeros((140, 140), np.uint8)
    for place in range(20, 120):
        cross[place - 5 : place + 6, [place, 139 - place]] = 255
    return base64.b64encode(cross.tobytes()).decode()


def drawn(image: Tensor) -> str:
    """An image (1, 28, 28) of MNIST as a drawing: five times as large, its ink as base64."""
    ink = np.kron(grey(image), np.ones((5, 5), np.uint8))
    return base64.b64encode(ink.tobytes()).decode()


def load_digit(path: Path) -> Tensor:
    """The image of the one digit that a picture shows."""
    (digit,) = load_digits(path)
    return digit.image
