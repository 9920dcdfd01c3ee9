"""What a network loses without some channels."""

import copy
from collections.abc import Generator
from functools import lru_cache

import torch
from torch import Tensor, fx, nn

from mnist_helpers.metrics import Predictions
from mnist_helpers.network.tracing import Network

# modules that keep the channels apart and a channel of zeros at zero
KEEPS_ZERO = nn.ReLU | nn.MaxPool2d | nn.AvgPool2d | nn.Dropout | nn.Identity
Channels = frozenset[tuple[str, int]]  # of the convolutions, by the layer's name


class Ablation:
    """Asks `network` for all `images` (N, C, H, W) with channels ablated: their maps are all 0.

    What comes before the first convolution that has any is computed once and kept.
    """

    def __init__(
        self,
        network: Network,
        images: Tensor,
        labels: Tensor,
        weights: dict[str, Tensor] | None = None,
    ) -> None:
        self.network, self.images, self.labels = network, images, labels
        self.traced = network.traced
        if weights:
            self.traced = copy.deepcopy(network.traced)
            self.traced.load_state_dict(weights, strict=False)
        self.cuts = {name: network.nodes[self._cut(name)] for name in network.convolutions}
        self.kept: dict[str, list[dict[fx.Node, Tensor]]] = {}
        self.predictions = lru_cache(maxsize=64)(self._predictions)

    def _cut(self, layer: str) -> str:
        """The last layer after a convolution at which its channels can still be ablated."""
        users = self.network.users(layer)
        if len(users) == 1 and isinstance(self.network.module(users[0]), KEEPS_ZERO):
            return self._cut(users[0])
        return layer

    @torch.inference_mode()
    def _prefixes(self, layer: str, batch_size: int) -> list[dict[fx.Node, Tensor]]:
        """For each batch the values before `layer` is ablated, those that are needed from there."""
        if layer not in self.kept:
            nodes = list(self.network.traced.graph.nodes)
            count = nodes.index(self.cuts[layer]) + 1
            before, after = nodes[:count], set(nodes[count:-1])
            needed = [node for node in before if after & set(node.users)]
            self.kept[layer] = []
            for batch in self.images.split(batch_size):
                run = _AblatedRun(self.traced, self.network.traced.graph, {})
                run.run(batch.to(self.network.device))
                values = dict.fromkeys(before)
                values.update((node, run.env[node]) for node in needed)
                self.kept[layer].append(values)
        return self.kept[layer]

    @torch.inference_mode()
    def _predictions(self, ablated: Channels = frozenset(), batch_size: int = 250) -> Predictions:
        """The answers to all images without the channels in `ablated`; the last 64 are kept."""
        channels: dict[str, list[int]] = {}
        for name in self.network.convolutions:
            listed = sorted(channel for layer, channel in ablated if layer == name)
            if listed:
                channels[name] = listed
        first = next(iter(channels), self.network.convolutions[-1])
        masks = {self.cuts[name]: listed for name, listed in channels.items()}
        logits_name = self.network.layers["softmax"].inputs[0]
        logits = []
        for prefix in self._prefixes(first, batch_size):
            run = _AblatedRun(self.traced, self.network.traced.graph, masks)
            cut = self.cuts[first]
            start = prefix | {cut: run.ablate(cut, prefix[cut])}
            outputs = run.run(*[None] * len(prefix), initial_env=start)
            logits.append(outputs[logits_name].cpu())
        return Predictions(torch.cat(logits), self.labels)

    def ranking(self, layer: str) -> Generator[float, None, list[int]]:
        """How many more images are wrong without each channel of `layer` alone; yields progress."""
        correct = self.predictions().correct.sum().item()
        channels = self.network.layers[layer].shape[0]
        losses = []
        for channel in range(channels):
            without = self.predictions(frozenset({(layer, channel)}))
            losses.append(correct - without.correct.sum().item())
            yield (channel + 1) / channels
        return losses


class _AblatedRun(fx.Interpreter):
    """Runs a graph with some channels of some steps at zero."""

    def __init__(
        self, module: fx.GraphModule, graph: fx.Graph, masks: dict[fx.Node, list[int]]
    ) -> None:
        super().__init__(module, garbage_collect_values=False, graph=graph)
        self.masks = masks

    def run_node(self, node: fx.Node) -> object:
        return self.ablate(node, super().run_node(node))

    def ablate(self, node: fx.Node, output: Tensor) -> Tensor:
        """`output` with the channels of `node` at zero."""
        if node not in self.masks:
            return output
        channels = torch.tensor(self.masks[node], device=output.device)
        return output.index_fill(1, channels, 0.0)
