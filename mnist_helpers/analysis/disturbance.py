"""What becomes of the answers when images are turned, blurred, covered, or changed by an enemy."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from mnist_helpers.network.tracing import Network


class Disturbance(NamedTuple):
    """A way to change images by an amount.

    Attributes:
        change: of images (N, C, H, W) with paper at 0 and ink at 1; None: see `disturb`.
        first: of the nine amounts that are tried.
        last: the last of them.
        unit: of the amounts.
        nothing: the amount that leaves the images as they are.
    """

    change: Callable[[Tensor, float], Tensor] | None
    first: float
    last: float
    unit: str
    nothing: float = 0.0

    @property
    def amounts(self) -> list[float]:
        """The amounts that are tried, evenly spaced."""
        return np.linspace(self.first, self.last, 9).round(3).tolist()


def affine(images: Tensor, angle: float = 0.0, shift: int = 0, scale: float = 1.0) -> Tensor:
    """Turned clockwise by degrees, shifted to the right by pixels, scaled about the middle."""
    mode = InterpolationMode.BILINEAR
    return transforms.affine(images, angle, [shift, 0], scale, [0.0], interpolation=mode)


def thicken(images: Tensor, pixels: float) -> Tensor:
    """Strokes wider by so many pixels, or thinner where that is negative."""
    width, sign = abs(int(pixels)), math.copysign(1, pixels)
    sides = [width // 2, width - width // 2] * 2
    return sign * F.max_pool2d(F.pad(sign * images, sides), width + 1, stride=1)


def noisy(images: Tensor, amount: float) -> Tensor:
    """With normal noise of that standard deviation, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    return images + amount * torch.randn(images.shape, generator=generator)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Under a Gaussian of `sigma` pixels."""
    return transforms.gaussian_blur(images, 2 * math.ceil(2.5 * sigma) + 1, sigma)


def covered(images: Tensor, side: float) -> Tensor:
    """With a square of paper in the middle, `side` pixels wide."""
    top, left = ((size - int(side)) // 2 for size in images.shape[2:])
    return transforms.erase(images, top, left, int(side), int(side), torch.zeros(()))


DISTURBANCES = {
    "none": Disturbance(None, 0, 0, ""),
    "rotation": Disturbance(affine, -60, 60, "degrees"),
    "shift": Disturbance(lambda images, by: affine(images, shift=int(by)), -8, 8, "pixels"),
    "scale": Disturbance(lambda images, by: affine(images, scale=by), 0.4, 1.6, "times", 1),
    "thickness": Disturbance(thicken, -4, 4, "pixels"),
    "noise": Disturbance(noisy, 0, 0.8, "of ink"),
    "blur": Disturbance(blurred, 0, 4, "pixels"),
    "contrast": Disturbance(torch.mul, 1, 0.04, "of ink", 1),
    "occlusion": Disturbance(covered, 0, 16, "pixels"),
    "FGSM": Disturbance(None, 0, 0.2, "of ink"),
}


def disturb(network: Network, images: Tensor, name: str, amount: float) -> Tensor:
    """Images (N, C, H, W) as `network` takes them, changed by an amount.

    Paper is the lowest value of each image, ink the highest. FGSM moves each pixel a step of
    `amount` against the network's answer (Goodfellow, Shlens and Szegedy, ICLR 2015).
    """
    kind = DISTURBANCES[name]
    if amount == kind.nothing:
        return images
    paper, highest = (end(images, (1, 2, 3), keepdim=True) for end in (torch.amin, torch.amax))
    ink = highest - paper
    if kind.change:
        return kind.change((images - paper) / ink, amount) * ink + paper
    with torch.enable_grad():
        start = images.clone().requires_grad_()
        logits = network.run(start)[network.answer]
        loss = F.cross_entropy(logits, logits.argmax(dim=1), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, start)
    return (images + amount * ink * gradient.sign()).clamp(paper, highest)


def resistance(
    network: Network, images: Tensor, labels: Tensor
) -> Iterator[tuple[str, list[Tensor]]]:
    """For each disturbance its name and what stays right at each amount, (N,) bool."""
    for name, kind in DISTURBANCES.items():
        if name != "none":
            changed = (disturb(network, images, name, amount) for amount in kind.amounts)
            yield name, [network.logits(each).argmax(dim=1) == labels for each in changed]
