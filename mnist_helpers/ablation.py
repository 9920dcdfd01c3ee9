"""What a network loses when channels are switched off."""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, fx, nn

from mnist_helpers.features import Network
from mnist_helpers.metrics import Predictions

# modules that keep the channels apart and a channel of zeros at zero
KEEPS_ZERO = nn.ReLU | nn.MaxPool2d | nn.AvgPool2d | nn.Dropout | nn.Identity
Off = frozenset[tuple[str, int]]  # of the convolutions' channels, by the stage's name


class Ablation:
    """Asks `network` for all `images` (N, C, H, W) with channels switched off: every value of their maps is 0.

    What comes before the first convolution that has any is computed once and kept.
    """

    def __init__(self, network: Network, images: Tensor, labels: Tensor) -> None:
        self.network, self.images, self.labels = network, images, labels
        self.cuts = {name: self._cut(network.nodes[name]) for name in network.convolutions}
        self.kept: dict[str, list[dict[fx.Node, Tensor]]] = {}
        self.predictions = lru_cache(maxsize=64)(self._predictions)

    def _cut(self, node: fx.Node) -> fx.Node:
        """The last node after a convolution at which its channels can still be switched off as well."""
        while len(node.users) == 1:
            (user,) = node.users
            if user.op != "call_module" or not isinstance(
                self.network.module(self.network.names[user]), KEEPS_ZERO
            ):
                break
            node = user
        return node

    @torch.inference_mode()
    def _start(self, name: str, batch_size: int) -> list[dict[fx.Node, Tensor]]:
        """For each batch what is known before the channels of `name` are switched off: the nodes needed from there."""
        if name not in self.kept:
            nodes = list(self.network.graph.graph.nodes)
            later = set(nodes[nodes.index(self.cuts[name]) + 1 :])
            needed = [node for node in nodes if node not in later and set(node.users) & later]
            self.kept[name] = []
            for batch in self.images.split(batch_size):
                values = self.network.run(batch)
                self.kept[name].append(
                    {
                        node: values[node] if node in needed else None
                        for node in nodes
                        if node not in later
                    }
                )
        return self.kept[name]

    @torch.inference_mode()
    def _predictions(self, off: Off = frozenset(), batch_size: int = 250) -> Predictions:
        """The answers to all images with the channels of `off` switched off; kept for the last 64 sets."""
        silent = {
            name: sorted(c for n, c in off if n == name) for name in self.network.convolutions
        }
        first = next(
            (name for name, channels in silent.items() if channels), self.network.convolutions[-1]
        )
        masks = {self.cuts[name]: channels for name, channels in silent.items() if channels}
        logits = []
        for known in self._start(first, batch_size):
            start = {node: _silence(value, masks.get(node, [])) for node, value in known.items()}
            run = _Silenced(self.network.graph, masks)
            logits.append(run.run(*[None] * len(known), initial_env=start).cpu())
        return Predictions(torch.cat(logits), self.labels)

    def ranking(self, name: str, on_step: Callable[[], object] = lambda: None) -> list[int]:
        """How many more images are wrong without each channel of the convolution `name` alone."""
        whole, lost = self.predictions().correct.sum().item(), []
        for channel in range(self.network.stages[name].shape[0]):
            lost.append(whole - self.predictions(frozenset({(name, channel)})).correct.sum().item())
            on_step()
        return lost


class _Silenced(fx.Interpreter):
    """Runs a graph with some channels of some nodes at zero."""

    def __init__(self, graph: fx.GraphModule, masks: dict[fx.Node, list[int]]) -> None:
        super().__init__(graph)
        self.masks = masks

    def run_node(self, node: fx.Node) -> object:
        return _silence(super().run_node(node), self.masks.get(node, []))


def _silence(maps: Tensor, channels: list[int]) -> Tensor:
    if not channels:
        return maps
    return maps.index_fill(1, torch.tensor(channels, device=maps.device), 0.0)
