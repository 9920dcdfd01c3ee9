"""The training loop."""

import copy
import logging
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from mnist_helpers.config import Config, InputError, select_device
from mnist_helpers.data import Splits, make_loader, random_affine
from mnist_helpers.metrics import Predictions, evaluate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EpochRecord:
    """One line of the history: means over images, losses in nats and accuracies as fractions.

    Both losses are what training minimises, cross-entropy with the run's label smoothing: an untouched
    cross-entropy would rise again as the smoothed network learns to be less sure.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch:2}   train loss ≈ {self.train_loss:.4f}, accuracy ≈ {self.train_accuracy:.2%}"
            f"   val loss ≈ {self.val_loss:.4f}, accuracy ≈ {self.val_accuracy:.2%}"
        )


def best_record(history: list[EpochRecord]) -> EpochRecord:
    """The epoch with the lowest validation loss, the earliest of equals."""
    return min(history, key=lambda record: record.val_loss)


def train(
    model: nn.Module,
    splits: Splits,
    config: Config,
    *,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
    progress: bool = True,
) -> list[EpochRecord]:
    """Trains `model` in place, never looking at the test images, and leaves it with the weights of its best epoch.

    The same seed on the same machine gives the same weights, bit for bit. An interrupt (Ctrl-C, the stop
    button) after the first epoch ends the training early and keeps the best epoch so far.

    Args:
        on_epoch: is called with each epoch's record, as is TensorBoard if `config` asks for it.
        progress: shows a bar in a notebook or a terminal.

    Returns:
        One record for each epoch; `best_record` picks the one whose weights the model has.

    Raises:
        InputError: the loss is no longer a number, or TensorBoard is asked for and not installed.
    """
    write = tensorboard_callback(config.tensorboard) if config.tensorboard else None
    device = select_device(config.device)
    model.to(device, memory_format=torch.channels_last)  # the faster layout for convolutions on a CPU
    shuffle, augment = (torch.Generator().manual_seed(config.seed) for _ in range(2))
    loader = make_loader(splits.train, config.batch_size, shuffle, config.num_workers)
    steps = config.epochs * len(loader)
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, config.betas, weight_decay=config.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=steps, cycle_momentum=False
    )
    history: list[EpochRecord] = []
    with tqdm(total=steps, desc="Training", unit="batch", disable=None if progress else True) as bar:
        try:
            for epoch in range(1, config.epochs + 1):
                started = time.perf_counter()
                train_loss, train_accuracy = train_epoch(
                    model, loader, optimizer, schedule, config, augment, bar.update
                )
                val = evaluate(model, splits.val)
                val_loss = val.loss(config.label_smoothing)
                if not math.isfinite(train_loss + val_loss):
                    raise InputError(f"the loss of epoch {epoch} is not a number; lower learning_rate.")
                learning_rate, seconds = schedule.get_last_lr()[0], time.perf_counter() - started
                scores = (train_loss, train_accuracy, val_loss, val.accuracy)
                history.append(EpochRecord(epoch, *scores, learning_rate, seconds))
                if best_record(history) is history[-1]:
                    best_weights = copy.deepcopy(model.state_dict())
                if write:
                    write(history[-1])
                on_epoch(history[-1])
                if epoch - best_record(history).epoch >= config.patience:
                    log.info("stopped: no lower validation loss in %d epochs", config.patience)
                    break
        except KeyboardInterrupt:
            if not history:
                raise
            log.warning("interrupted: keeping the best of %d epochs", len(history))
    model.load_state_dict(best_weights)
    return history


def train_epoch(
    model: nn.Module,
    loader: DataLoader,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    config: Config,
    augment: torch.Generator,
    on_batch: Callable[[], object],
) -> tuple[float, float]:
    """One pass over the training images; returns loss and accuracy, means over images, each seen before its step."""
    model.train()
    device = next(model.parameters()).device
    loss_sum, correct, count = torch.zeros((), device=device), torch.zeros((), device=device), 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        if config.augments:
            images = random_affine(images, config, augment)
        logits = model(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        loss_sum += loss.detach() * len(labels)  # the last batch is smaller: weigh by images, not by batches
        correct += (logits.argmax(dim=1) == labels).sum()
        count += len(labels)
        on_batch()
    return loss_sum.item() / count, correct.item() / count


def run_figures(history: list[EpochRecord], val: Predictions, test: Predictions) -> dict[str, object]:
    """What the card of a checkpoint says of the run that made it; the losses here are without label smoothing."""
    return {
        "epochs_run": len(history),
        "best_epoch": best_record(history).epoch,
        "train_seconds": round(sum(record.seconds for record in history), 1),
        "validation": {"accuracy": round(val.accuracy, 6), "loss": round(val.loss(), 6)},
        "test": {"accuracy": round(test.accuracy, 6), "loss": round(test.loss(), 6)},
    }


def tensorboard_callback(folder: Path) -> Callable[[EpochRecord], None]:
    """An `on_epoch` for `train` that writes each epoch's figures to TensorBoard event files in `folder`.

    Raises:
        InputError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # an optional extra
    except ImportError as error:
        raise InputError("TensorBoard is not installed; pip install 'mnist-helpers[tensorboard]'.") from error

    def write(record: EpochRecord) -> None:
        with closing(SummaryWriter(folder)) as writer:  # closed each time: an interrupted run loses nothing
            for measure in ("loss", "accuracy"):
                for part in ("train", "val"):
                    writer.add_scalar(f"{measure}/{part}", getattr(record, f"{part}_{measure}"), record.epoch)
            writer.add_scalar("learning_rate", record.learning_rate, record.epoch)

    return write
