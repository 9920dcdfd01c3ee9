"""TensorBoard, which is an optional extra."""

from contextlib import closing
from pathlib import Path

import torch
from torch import nn
from torchvision.utils import make_grid

from mnist_helpers.config import InputError
from mnist_helpers.features import kernels


def write_board(
    folder: Path, model: nn.Module, figures: dict[str, float], epoch: int, images: torch.Tensor
) -> None:
    """Adds one epoch to the event files in `folder`, and closes them: an interrupt loses nothing.

    Writes `figures` as scalars, weights and gradients as histograms, the kernels of every
    convolution as a grid of grey images, a row an output channel, and in the first epoch the graph
    that `images` take through `model`.

    Raises:
        InputError: TensorBoard is not installed, or `folder` can't be made.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            "TensorBoard is not installed; pip install 'mnist-helpers[tensorboard]'."
        ) from error
    try:
        board = SummaryWriter(folder)
    except OSError as error:
        raise InputError(
            f"{folder} can't hold TensorBoard's files ({error.strerror}); choose another."
        ) from error
    with closing(board) as writer:
        for name, value in figures.items():
            writer.add_scalar(name, value, epoch)
        for name, parameter in model.named_parameters():
            writer.add_histogram(f"weights/{name}", parameter.detach(), epoch)
            if parameter.grad is not None:
                writer.add_histogram(f"gradients/{name}", parameter.grad, epoch)
        for name, weight in kernels(model).items():
            tiles = weight.reshape(-1, 1, *weight.shape[2:])  # (out · in, 1, height, width)
            writer.add_image(
                f"kernels/{name}",
                make_grid(tiles, weight.shape[1], padding=1, normalize=True),
                epoch,
            )
        if epoch == 1:
            writer.add_graph(model, images)
