"""What drives the channels of a layer: real images, classes of images, and an image made for it."""

from collections.abc import Generator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_helpers.network.receptive_field import map_shape
from mnist_helpers.network.tracing import Network


class ActivationStats(NamedTuple):
    """How the C channels of a layer answer to N images; all (N, C), on the CPU.

    Attributes:
        max: the largest value of each map.
        argmax: where that is, as row · width + column.
        min: the smallest value of each map.
        mean: the mean value of each map.
    """

    max: Tensor
    argmax: Tensor
    min: Tensor
    mean: Tensor

    def top_images(self, channel: int, count: int, among: Tensor) -> Tensor:
        """The indices of the `count` images with the largest values of `channel`, largest first.

        Args:
            among: (N,), bool, the images that count.
        """
        candidates = among.nonzero().flatten()
        order = self.max[candidates, channel].argsort(descending=True, stable=True)
        return candidates[order[:count]]

    def by_class(self, labels: Tensor, classes: int) -> Tensor:
        """The mean of every channel over the images of each class, (classes, C); nan: no images."""
        means = [self.mean[labels == label].mean(dim=0) for label in range(classes)]
        return torch.stack(means)


def activation_stats(
    network: Network, images: Tensor, batch_size: int = 250
) -> Generator[float, None, dict[str, ActivationStats]]:
    """The answers of all layers to `images` (N, C, H, W); yields the fraction done."""
    batches = images.split(batch_size)
    parts: dict[str, list[ActivationStats]] = {name: [] for name in network.layers}
    for done, batch in enumerate(batches, start=1):
        for name, output in network.outputs(batch).items():
            channels = map_shape(output.shape[1:])[0]
            maps = output.reshape(len(batch), channels, -1)
            largest, places = maps.max(dim=2)
            stats = ActivationStats(largest, places, maps.amin(dim=2), maps.mean(dim=2))
            parts[name].append(stats)
        yield done / len(batches)
    return {
        name: ActivationStats(*map(torch.cat, zip(*stats, strict=True)))
        for name, stats in parts.items()
    }


def maximize_activation(
    network: Network, layer: str, images: Tensor, stats: ActivationStats, steps: int = 64
) -> Generator[float, None, Tensor]:
    """Images (channels, C, H, W), one to drive each channel of `layer` most; yields the progress.

    Each starts from the one of `images` that drives it most, follows the gradient of the largest
    value of its map, and stays in the range of `images` (Erhan et al., "Visualizing Higher-Layer
    Features of a Deep Network", 2009).
    """
    best = stats.max.argmax(dim=0)
    channels = torch.arange(len(best))
    places = stats.argmax[best, channels]
    synthetic = images[best].to(network.device).requires_grad_()
    optimizer = torch.optim.Adam([synthetic], lr=0.1, maximize=True)
    for step in range(steps):
        output = network.run(synthetic)[layer]
        maps = output.reshape(len(best), len(best), -1)
        activations = maps[channels, channels, places]
        (synthetic.grad,) = torch.autograd.grad(activations.sum(), synthetic)
        optimizer.step()
        with torch.no_grad():
            synthetic.clamp_(images.min(), images.max())
        yield (step + 1) / steps
    return synthetic.detach().cpu()


def kernels(network: Network) -> dict[str, Tensor]:
    """The kernels of every convolution, (out channels, in channels, height, width), on the CPU."""
    paths = kernel_paths(network)
    return {name: network.weights[path].detach().cpu() for name, path in paths.items()}


def kernel_gradients(network: Network, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The gradient of the mean cross-entropy by every kernel, as `kernels` gives them."""
    leaves = {name: kernel.requires_grad_() for name, kernel in kernels(network).items()}
    swapped = {path: leaves[name] for name, path in kernel_paths(network).items()}
    logits = network.with_weights(network.weights | swapped).run(images)[network.answer]
    loss = F.cross_entropy(logits, labels.to(network.device))
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    return dict(zip(leaves, gradients, strict=True))


def kernel_paths(network: Network) -> dict[str, str]:
    """What the kernels of every convolution are called among the weights."""
    return {name: f"{network.nodes[name].target}.weight" for name in network.convolutions}
