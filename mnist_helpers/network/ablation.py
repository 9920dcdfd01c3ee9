"""What a network loses without some channels."""

import copy
from collections.abc import Generator, Iterable

import torch
from torch import Tensor, fx, nn
from torch.fx.node import Argument, map_arg

from mnist_helpers.metrics import Predictions
from mnist_helpers.network.tracing import Network

# modules that keep the channels apart and a channel of zeros at zero
KEEPS_ZERO = nn.ReLU | nn.MaxPool2d | nn.AvgPool2d | nn.Dropout | nn.Identity


class Ablation(fx.Interpreter):
    """Asks `network` for all `images` (N, C, H, W) with channels ablated: their maps are all 0.

    What comes before the first of them is computed once and kept.
    """

    def __init__(self, network: Network, images: Tensor, labels: Tensor) -> None:
        traced = copy.deepcopy(network.traced)
        traced.load_state_dict(network.weights, strict=False)
        output = traced.graph.output_node()
        (self.nodes,) = output.args  # by layer
        output.args = (self.nodes[network.answer],)  # all others are forgotten once they are read
        super().__init__(traced)
        self.network = network
        self.images = images
        self.labels = labels
        self.steps = list(self.graph.nodes)
        self.beginnings = {}

    def _cut(self, layer: str) -> fx.Node:
        """The last step after a convolution at which its channels can still be ablated."""
        users = self.network.users(layer)
        if len(users) == 1 and isinstance(self.network.modules[users[0]], KEEPS_ZERO):
            return self._cut(users[0])
        return self.nodes[layer]

    @torch.inference_mode()
    def predictions(self, channels: Iterable[tuple[str, int]] = ()) -> Predictions:
        """The answers to all images without some channels, each (convolution, channel)."""
        self.masks = {}
        for layer, channel in channels:
            self.masks.setdefault(self._cut(layer), []).append(channel)
        last = self._cut(self.network.convolutions[-1])
        self.first = min(self.masks, key=self.steps.index, default=last)
        if self.first not in self.beginnings:
            self.batches = []
            for images in self.images.split(250):
                self.run(images.to(self.network.device, memory_format=torch.channels_last))
            self.beginnings[self.first] = self.batches
        beginnings = self.beginnings[self.first]
        logits = [self.run(initial_env=dict(values)).cpu() for values in beginnings]
        return Predictions(torch.cat(logits), self.labels)

    def run_node(self, node: fx.Node) -> object:
        """What a step gives; after the first ablated one, what later steps read is kept."""
        output = super().run_node(node)
        if node is self.first:
            done = self.steps[: self.steps.index(node)]
            values = {step: self.env.get(step) for step in done}  # None: not to be run again
            values[node] = output
            self.batches.append(values)
        return output

    def map_nodes_to_values(self, args: Argument, node: fx.Node) -> Argument:
        """The arguments of a step, with ablated channels at zero."""
        return map_arg(args, self._ablated)

    def _ablated(self, node: fx.Node) -> Tensor:
        """What a step gave, with its ablated channels at zero."""
        output = self.env[node]
        if node not in self.masks:
            return output
        channels = torch.tensor(self.masks[node], device=output.device)
        return output.index_fill(1, channels, 0.0)

    def lost_without_each(self, layer: str) -> Generator[float, None, list[int]]:
        """How many more images are wrong without each channel of `layer` alone; yields progress."""
        right = int(self.predictions().correct.sum())
        channels = self.network.layers[layer].shape[0]
        losses = []
        for channel in range(channels):
            losses.append(right - int(self.predictions([(layer, channel)]).correct.sum()))
            yield (channel + 1) / channels
        return losses
