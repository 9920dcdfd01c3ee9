"""What flows through a network: the stages it has, what each puts out, and what each costs."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names


class Stage(NamedTuple):
    """One named module of a network: its kind, the shape it puts out for one image, and its number of parameters."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int

    def __str__(self) -> str:
        return f"{self.name:8} {self.kind:10} {' × '.join(map(str, self.shape)):14} {self.parameters:8,}"


def stage_names(model: nn.Module) -> list[str]:
    """The modules of `model` that `images` pass through, in order, by the names they have in its state_dict."""
    modules = dict(model.named_modules())
    return [name for name in get_graph_node_names(model)[1] if name in modules]


def make_extractor(model: nn.Module) -> Callable[[Tensor], dict[str, Tensor]]:
    """Traces `model` once and returns a function from images (N, 1, 28, 28) to what every stage puts out for them.

    Its result is {name: (N, C, H, W) or (N, features)}, in the order of the stages, on the CPU.
    """
    extract = create_feature_extractor(model, stage_names(model)).eval()
    device = next(model.parameters()).device

    @torch.inference_mode()
    def maps_of(images: Tensor) -> dict[str, Tensor]:
        return {name: maps.cpu() for name, maps in extract(images.to(device)).items()}

    return maps_of


def feature_maps(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """What every stage of `model` puts out for `images` (N, 1, 28, 28), as `make_extractor` describes it."""
    return make_extractor(model)(images)


def as_maps(out: Tensor) -> np.ndarray:
    """What a stage puts out for one image as maps (C, H, W); a vector becomes maps of one pixel."""
    return out.reshape(len(out), *out.shape[1:] or (1, 1)).numpy()


def stages(model: nn.Module, images: Tensor) -> list[Stage]:
    """The stages of `model` with the shapes they put out for the first of `images`."""
    modules = dict(model.named_modules())
    return [
        Stage(
            name,
            type(modules[name]).__name__,
            tuple(maps.shape[1:]),
            sum(tensor.numel() for tensor in modules[name].parameters()),
        )
        for name, maps in feature_maps(model, images[:1]).items()
    ]


def kernels(model: nn.Module) -> dict[str, Tensor]:
    """The weights of every convolution, {name: (out channels, in channels, height, width)}, in order, on the CPU."""
    convolutions = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    return {name: module.weight.detach().cpu() for name, module in convolutions.items()}
