"""What excites the channels of a stage: real images, classes of images, and an image made for it."""

from typing import NamedTuple

import torch
from torch import Tensor

from mnist_helpers.features import Network


class Response(NamedTuple):
    """How the C channels of a stage answer to N images; all on the CPU.

    `peaks` (N, C) are the largest values of each map, `places` (N, C) where they are, as row · width + column,
    `lows` (N, C) the smallest values and `means` (N, C) the mean ones.
    """

    peaks: Tensor
    places: Tensor
    lows: Tensor
    means: Tensor

    def strongest(self, channel: int, count: int, among: Tensor) -> Tensor:
        """The indices of the `count` images that hold the largest values of `channel`, the strongest first.

        Args:
            among: (N,), bool, the images that count.
        """
        chosen = among.nonzero().flatten()
        return chosen[self.peaks[chosen, channel].argsort(descending=True, stable=True)[:count]]

    def by_class(self, labels: Tensor, classes: int) -> Tensor:
        """The mean activation of every channel over the images of each class, (classes, C); nan for absent classes."""
        return torch.stack([self.means[labels == label].mean(dim=0) for label in range(classes)])


def respond(network: Network, images: Tensor, batch_size: int = 250) -> dict[str, Response]:
    """The answers of all stages of `network` to `images` (N, C, H, W), in one pass."""
    parts: dict[str, list[Response]] = {}
    for batch in images.split(batch_size):
        for name, out in network.maps(batch).items():
            maps = out.reshape(*out.shape[:2], -1)  # (N, C, positions)
            peaks, places = maps.max(dim=2)
            parts.setdefault(name, []).append(
                Response(peaks, places, maps.amin(dim=2), maps.mean(dim=2))
            )
    return {
        name: Response(*map(torch.cat, zip(*chunks, strict=True))) for name, chunks in parts.items()
    }


def ascend(
    network: Network, stage: str, images: Tensor, response: Response, steps: int = 64
) -> Tensor:
    """Images (channels, C, H, W), one to excite each channel of `stage` most, found by gradient ascent.

    Each starts from the one of `images` that already does, follows the gradient of the largest value of its map, and
    stays in the range of `images` (Erhan et al., "Visualizing Higher-Layer Features of a Deep Network", 2009).
    """
    node, channels = network.nodes.get(stage, network.output), torch.arange(response.peaks.shape[1])
    made = images[response.peaks.argmax(dim=0)].to(network.device).requires_grad_()
    places = response.places[response.peaks.argmax(dim=0), channels]
    optimizer = torch.optim.Adam([made], lr=0.1, maximize=True)
    for _ in range(steps):
        maps = network.run(made)[node].flatten(2 if len(network.stages[stage].shape) > 1 else 1)
        wanted = maps[channels, channels, places] if maps.ndim == 3 else maps[channels, channels]
        (made.grad,) = torch.autograd.grad(wanted.sum(), made)
        optimizer.step()
        with torch.no_grad():
            made.clamp_(images.min(), images.max())
    return made.detach().cpu()
