"""TensorBoard, which is an optional extra."""

import threading
from pathlib import Path

from torch import nn

from mnist_helpers.files import decoding
from mnist_helpers.metrics import EpochRecord
from mnist_helpers.training import CURVES


def write_tensorboard(folder: Path, model: nn.Module, record: EpochRecord) -> None:
    """Adds one epoch to the event files in `folder`, and closes them: an interrupt loses nothing.

    With the first two arguments by `functools.partial` it is an `on_epoch` of `train`. Writes its
    figures as scalars, weights and gradients as histograms.

    Raises:
        InputError: `folder` can't be written.
    """
    from torch.utils.tensorboard import SummaryWriter

    epoch = record.epoch
    what = "can't hold TensorBoard's files"
    before = threading.excepthook
    threading.excepthook = lambda failure: None  # raised here as well
    try:
        with (
            decoding(folder, what, "make room or choose another tensorboard"),
            SummaryWriter(folder) as writer,
        ):
            for name in CURVES:
                writer.add_scalar(name, getattr(record, name), epoch)
            for name, parameter in model.named_parameters():
                writer.add_histogram(f"weights/{name}", parameter, epoch)
                writer.add_histogram(f"gradients/{name}", parameter.grad, epoch)
    finally:
        threading.excepthook = before
