"""What a network loses without some channels."""

import copy
from collections.abc import Generator, Iterable
from functools import lru_cache

import torch
from torch import Tensor, fx, nn

from mnist_helpers.metrics import Predictions
from mnist_helpers.network.tracing import Network
from mnist_helpers.work import finished

# modules that keep the channels apart and a channel of zeros at zero
KEEPS_ZERO = nn.ReLU | nn.MaxPool2d | nn.AvgPool2d | nn.Dropout | nn.Identity


class Ablation(fx.Interpreter):
    """Asks `network` for all `images` (N, C, H, W) with channels ablated: their maps are all 0.

    What comes before the first of them is computed once and kept, for two layers at a time.
    """

    def __init__(self, network: Network, images: Tensor, labels: Tensor) -> None:
        traced = copy.deepcopy(network.traced)
        traced.load_state_dict(network.weights, strict=False)
        super().__init__(traced, garbage_collect_values=False, graph=network.traced.graph)
        self.network = network
        self.images = images
        self.labels = labels
        self.steps = list(self.graph.nodes)
        self.beginnings = lru_cache(2)(lambda first: [])  # a list that is filled, batch by batch

    def _cut(self, layer: str) -> fx.Node:
        """The last step after a convolution at which its channels can still be ablated."""
        users = self.network.users(layer)
        if len(users) == 1 and isinstance(self.network.modules[users[0]], KEEPS_ZERO):
            return self._cut(users[0])
        return self.network.nodes[layer]

    @torch.inference_mode()
    def predictions(
        self, channels: Iterable[tuple[str, int]] = ()
    ) -> Generator[float, None, Predictions]:
        """The answers to all images without some channels, each (convolution, channel).

        Yields the fraction done.
        """
        masks = {}
        for layer, channel in channels:
            masks.setdefault(self._cut(layer), []).append(channel)
        last = self._cut(self.network.convolutions[-1])
        first = min(masks, key=self.steps.index, default=last)
        beginnings = self.beginnings(first)
        logits = []
        batches = self.images.split(self.network.batch_size)
        for images in batches:
            if len(beginnings) == len(logits):
                beginnings.append(self._beginning(images, first))
            self.masks = masks
            values = dict(beginnings[len(logits)])
            values[first] = self._ablate(first, values[first])
            logits.append(self.run(initial_env=values)[self.network.answer].cpu())
            self.env = {}  # or what all layers put out for a batch would stay in memory
            yield len(logits) / len(batches)
        return Predictions(torch.cat(logits), self.labels)

    def run_node(self, node: fx.Node) -> object:
        """What a step gives, its ablated channels at zero."""
        return self._ablate(node, super().run_node(node))

    def _ablate(self, node: fx.Node, output: Tensor) -> Tensor:
        """`output` with the channels of `node` at zero."""
        if node not in self.masks:
            return output
        channels = torch.tensor(self.masks[node], device=output.device)
        return output.index_fill(1, channels, 0.0)

    def _beginning(self, images: Tensor, last: fx.Node) -> dict[fx.Node, Tensor | None]:
        """What every step up to `last` gives; None: no later step reads it."""
        self.masks = {}
        self.run(images.to(self.network.device, memory_format=torch.channels_last))
        count = self.steps.index(last) + 1
        later = set(self.steps[count:-1])
        values = dict.fromkeys(self.steps[:count])
        for step in values:
            if not later.isdisjoint(step.users):
                values[step] = self.env[step]
        return values

    def lost_without_each(self, layer: str) -> Generator[float, None, list[int]]:
        """How many more images are wrong without each channel of `layer` alone; yields progress."""
        right = int(finished(self.predictions()).correct.sum())
        channels = self.network.layers[layer].shape[0]
        losses = []
        for channel in range(channels):
            answers = finished(self.predictions([(layer, channel)]))
            losses.append(right - int(answers.correct.sum()))
            yield (channel + 1) / channels
        return losses
