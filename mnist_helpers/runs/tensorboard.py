"""TensorBoard, which is an optional extra."""

import threading
import warnings
from pathlib import Path

import torch
from torch import nn

from mnist_helpers.config import InputError
from mnist_helpers.files import reason
from mnist_helpers.metrics import EpochRecord


def write_tensorboard(
    folder: Path, model: nn.Module, images: torch.Tensor, record: EpochRecord
) -> None:
    """Adds one epoch to the event files in `folder`, and closes them: an interrupt loses nothing.

    With the first three arguments by `functools.partial` it is an `on_epoch` of `train`.

    Writes its figures as scalars, weights and gradients as histograms, the kernels of every
    convolution as a grid of grey images, a row an output channel, and in the first epoch the graph
    that `images` take through `model`.

    Raises:
        InputError: `folder` can't be written.
    """
    from torch.utils.tensorboard import SummaryWriter

    before = threading.excepthook
    threading.excepthook = lambda failure: None  # raised here as well
    try:
        # tracing a graph warns of itself, with paths
        with warnings.catch_warnings(action="ignore"), SummaryWriter(folder) as writer:
            _write_epoch(writer, model, record, images)
    except (OSError, UnicodeError) as error:
        what = f"{folder} can't hold TensorBoard's files ({reason(error)})"
        raise InputError(f"{what}; make room or choose another tensorboard.") from error
    finally:
        threading.excepthook = before


def _write_epoch(
    writer: object, model: nn.Module, record: EpochRecord, images: torch.Tensor
) -> None:
    """What `write_tensorboard` says of one epoch, by its SummaryWriter."""
    from torchvision.utils import make_grid  # here, for training without TensorBoard needs it not

    epoch = record.epoch
    writer.add_scalar("loss/train", record.train_loss, epoch)
    writer.add_scalar("loss/val", record.val_loss, epoch)
    writer.add_scalar("accuracy/train", record.train_accuracy, epoch)
    writer.add_scalar("accuracy/val", record.val_accuracy, epoch)
    writer.add_scalar("learning_rate", record.learning_rate, epoch)
    for name, parameter in model.named_parameters():
        writer.add_histogram(f"weights/{name}", parameter, epoch)
        if parameter.grad is not None:
            writer.add_histogram(f"gradients/{name}", parameter.grad, epoch)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            tiles = module.weight.flatten(0, 1).unsqueeze(1)  # (out · in, 1, H, W)
            grid = make_grid(tiles, nrow=module.weight.shape[1], padding=1, normalize=True)
            writer.add_image(f"kernels/{name}", grid, epoch)
    if epoch == 1:
        writer.add_graph(model, images)
