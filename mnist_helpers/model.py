"""The network."""

import torch
from torch import Tensor, nn

from mnist_helpers.config import Config


class SimpleCNN(nn.Module):
    """Two convolutions and two linear layers for 28×28 grey images; 206,922 parameters.

    Every stage is a module with a name of its own, so that its output can be asked for by that name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, kernel_size=3, padding=1)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, padding=1)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(32 * 7 * 7, 128)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(128, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Maps normalised `images` (N, 1, 28, 28) to logits (N, 10)."""
        x = self.pool1(self.relu1(self.conv1(images)))  # (N, 16, 14, 14)
        x = self.pool2(self.relu2(self.conv2(x)))  # (N, 32, 7, 7)
        x = self.relu3(self.fc1(self.flatten(x)))  # (N, 128)
        return self.fc2(x)


def make_model(seed: int = Config.seed) -> SimpleCNN:
    """A network with PyTorch's default random weights, drawn from `seed` without touching the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SimpleCNN()
