"""The training loop, and all that it has to remember."""

import copy
import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from tqdm.auto import tqdm

from mnist_helpers.checkpoint import require_fit
from mnist_helpers.config import Config, InputError, computes_bfloat16, log, select_device
from mnist_helpers.data import Splits, make_loader, random_affine
from mnist_helpers.metrics import EpochRecord, Predictions, best_record, evaluate
from mnist_helpers.model import pooled_first
from mnist_helpers.work import delayed_interrupts, explaining_faults, keep_memory

OnEpoch = Callable[[EpochRecord], object]
OnStep = Callable[[Tensor], object]  # of the mean loss of a batch
Means = tuple[float, float]  # of loss and accuracy
GUESSING = math.log(10)  # the loss of one who gives ten classes the same probability
MOMENTS = {round(2 ** (half / 2)) for half in range(40)}  # steps after which a snapshot is taken
CURVES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate")


class Trainer:
    """Trains `model` in place, without the test images, and holds all that a run must remember.

    On a CPU the same seed and number of threads give the same weights again, bit for bit.
    `runs.ranks` has the trainer of several processes.
    """

    def __init__(self, model: nn.Module, splits: Splits, config: Config) -> None:
        keep_memory()
        self.device = select_device(config.device)
        if config.autocast == "auto":
            config = dataclasses.replace(config, autocast=computes_bfloat16(self.device))
        self.config = config
        # channels_last is faster for convolutions on a CPU
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.network = pooled_first(self.model)  # what batches go through
        self.images = len(splits.train) + len(splits.val)
        self.val = splits.val
        self.shuffle = torch.Generator().manual_seed(config.seed)
        self.augment = torch.Generator(self.device).manual_seed(config.seed)
        tensors = splits.train[: config.train_size]
        train = TensorDataset(*(tensor.to(self.device) for tensor in tensors))
        self.loader = make_loader(train, config.batch_size, self.shuffle, config.num_workers)
        self.epoch_steps = math.ceil(len(train) / config.batch_size)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            config.learning_rate,
            config.betas,
            weight_decay=config.weight_decay,
            fused=True,
        )
        steps = config.epochs * self.epoch_steps
        if steps * config.warm_up == 1:
            steps += 1  # PyTorch would divide by the zero steps before the peak
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            config.learning_rate,
            total_steps=steps,
            pct_start=config.warm_up,
            anneal_strategy=config.anneal,
            cycle_momentum=False,
        )
        self.history = []
        self.best_weights = {}
        self.snapshots = []  # by epochs, whole or part

    def run(
        self, on_epoch: OnEpoch = lambda record: None, on_step: OnStep = lambda loss: None
    ) -> None:
        """Trains until the last epoch or the end of patience; leaves the weights of the best epoch.

        After the first epoch an interrupt, or whatever else goes wrong, keeps the best so far.

        Args:
            on_epoch, on_step: are called after an epoch, and a step with its batch's mean loss.

        Raises:
            InputError: the loss is no longer a number, or the machine can't do what is asked.
        """
        if not self.history:
            self.take_snapshot(0)
        self.interrupted = False
        with explaining_faults(self.config), delayed_interrupts() as interrupt:

            def after_step(loss: Tensor) -> None:
                on_step(loss)
                if interrupt.is_set():
                    raise KeyboardInterrupt

            try:
                while len(self.history) < self.config.epochs and not self.out_of_patience():
                    record = self.train_epoch(after_step)
                    self.keep(record)
                    on_epoch(record)
            except KeyboardInterrupt:
                if not self.best_weights:
                    log.warning("interrupted in the first epoch: nothing can be resumed yet")
                    raise
                self.interrupted = len(self.history) < self.config.epochs
                if self.interrupted:
                    log.warning("interrupted: keeping the best epoch of %d", len(self.history))
            finally:
                if self.best_weights:
                    self.model.load_state_dict(self.best_weights)
        if best_record(self.history).val_loss > GUESSING:
            log.warning("no better than guessing (loss %.2f); lower learning_rate", GUESSING)

    def out_of_patience(self) -> bool:
        """Whether the validation loss has not fallen for too many epochs."""
        patience = self.config.patience
        if not self.history or len(self.history) - best_record(self.history).epoch < patience:
            return False
        log.info("stopped: no lower validation loss in %d epochs", patience)
        return True

    def keep(self, record: EpochRecord) -> None:
        """Adds an epoch to the history, and remembers its weights if it is the best."""
        history = [*self.history, record]
        if best_record(history) is record:
            self.best_weights = copy.deepcopy(self.model.state_dict())
        self.history = history  # at last: interrupted before, both are as they were

    def train_epoch(self, on_step: OnStep) -> EpochRecord:
        """One pass over the training images and one look at the validation images."""
        epoch = len(self.history) + 1
        started = time.perf_counter()
        train_loss, train_accuracy = self.train_pass(epoch, on_step)
        val_loss, val_accuracy = self.validate()
        if not math.isfinite(train_loss + val_loss):
            self.snapshots = [moment for moment in self.snapshots if moment[0] <= epoch - 1]
            raise InputError(
                f"the loss of epoch {epoch} is not a number; lower learning_rate or weight_decay."
            )
        return EpochRecord(
            epoch=epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            learning_rate=self.learning_rate,
            seconds=time.perf_counter() - started,
        )

    def train_pass(self, epoch: int, on_step: OnStep) -> Means:
        """Takes a step for every batch; returns mean loss and accuracy, each before its step."""
        self.model.train()
        sums = torch.zeros(2, device=self.device)  # of losses, and of right answers
        seen = 0
        for step, (images, labels, count) in enumerate(self.batches(), 1):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.autocast):
                logits = self.network(images)
            loss_sum = F.cross_entropy(
                logits.float(), labels, label_smoothing=self.config.label_smoothing, reduction="sum"
            )
            loss = loss_sum / count
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            (self.learning_rate,) = self.schedule.get_last_lr()
            self.schedule.step()
            correct = (logits.argmax(dim=1) == labels).sum()
            sums += torch.stack([loss_sum.detach(), correct])
            seen += count
            on_step(loss.detach())
            done = (epoch - 1) * self.epoch_steps + step
            if done in MOMENTS or step == self.epoch_steps:
                self.take_snapshot(done / self.epoch_steps)
        return tuple((sums / seen).tolist())

    def batches(self) -> Iterator[tuple[Tensor, Tensor, float]]:
        """The images of every batch, augmented if the run augments, their labels and count."""
        for images, labels in self.loader:
            count = len(labels)
            if self.config.augments:
                draws = torch.rand(count, 5, generator=self.augment, device=self.device)
                images = random_affine(images, 2 * draws - 1, self.config)
            yield images, labels, count

    def validate(self) -> Means:
        """Mean loss and accuracy on the validation images."""
        answers = evaluate(self.model, self.val)
        return answers.loss(self.config.label_smoothing), answers.accuracy

    def take_snapshot(self, epoch: float) -> None:
        """Remembers the weights in half precision, if the run keeps snapshots."""
        if self.config.snapshots:
            state = self.model.state_dict()
            weights = {name: tensor.cpu().half() for name, tensor in state.items()}
            self.snapshots.append((epoch, weights))

    def state_dict(self) -> dict[str, object]:
        """All that a new Trainer needs to go on from here; only tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generators": [self.shuffle.get_state(), self.augment.get_state()],
            "history": msgspec.to_builtins(self.history),
            "best_weights": self.best_weights,
            "snapshots": self.snapshots,
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Takes over what another Trainer of the same model, data and configuration has reached.

        Raises:
            InputError: its weights are not this model's; other errors, where it is no state at all.
        """
        self.history = msgspec.convert(state["history"], list[EpochRecord])
        steps = len(self.history) * self.epoch_steps
        optimizer = self.optimizer.state_dict()
        means = {}
        squares = {}
        for index, (name, _) in enumerate(self.model.named_parameters()):
            adam_state = state["optimizer"]["state"][index]
            means[name] = adam_state["exp_avg"].clone()
            squares[name] = adam_state["exp_avg_sq"].clone()
            optimizer["state"][index] = {
                "step": torch.tensor(float(steps)),
                "exp_avg": means[name],
                "exp_avg_sq": squares[name],
            }
        snapshots = [weights for _, weights in state["snapshots"]]
        # only numbers of the right form: the fused optimizer reads and writes memory without a look
        for weights in (state["model"], state["best_weights"], means, squares, *snapshots):
            require_fit("The state of the run", weights, self.model, "start the run anew")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(optimizer)
        self.schedule.load_state_dict({"last_epoch": steps - 1, "_step_count": steps})
        self.schedule.step()
        shuffle, augment = state["generators"]
        self.shuffle.set_state(shuffle)
        self.augment.set_state(augment)
        self.best_weights = state["best_weights"]
        self.snapshots = state["snapshots"]


def train(
    model: nn.Module,
    splits: Splits,
    config: Config,
    on_epoch: OnEpoch = lambda record: None,
    on_step: OnStep | None = None,
) -> list[EpochRecord]:
    """Trains `model` in place, as `Trainer.run` does, and returns one record for each epoch.

    `best_record` picks the one whose weights the model has. Without an `on_step` a bar shows in a
    terminal or a notebook.
    """
    trainer = Trainer(model, splits, config)
    if on_step:
        trainer.run(on_epoch, on_step)
    else:
        run_with_bar(trainer, on_epoch)
    return trainer.history


def run_with_bar(trainer: Trainer, on_epoch: OnEpoch) -> None:
    """Runs a trainer under a bar of its steps, which shows in a terminal or a notebook."""
    epochs = trainer.config.epochs - len(trainer.history)
    total = epochs * trainer.epoch_steps
    with tqdm(total=total, desc="Training", unit="batch", disable=None) as bar:
        trainer.run(on_epoch, lambda loss: bar.update())


def lr_find(model: nn.Module, splits: Splits, config: Config) -> tuple[list[float], list[float]]:
    """The learning-rate range test: trains a copy of `model` at a rate that grows by one factor.

    Good peaks lie where the loss falls fast, well below where it rises again (Smith, "Cyclical
    Learning Rates for Training Neural Networks", 2017).

    Returns:
        The rates, from 1e-5 to 1, and the losses of their batches, at most 100 of each: it ends
        where the loss has quadrupled.
    """
    trainer = Trainer(copy.deepcopy(model).train(), splits, config)
    rates = np.geomspace(1e-5, 1, 100).tolist()
    losses = []
    batches = itertools.cycle(trainer.loader)
    for rate, (images, labels) in zip(rates, batches, strict=False):
        trainer.optimizer.param_groups[0]["lr"] = rate
        loss = F.cross_entropy(
            trainer.model(images), labels, label_smoothing=config.label_smoothing
        )
        trainer.optimizer.zero_grad()
        loss.backward()
        trainer.optimizer.step()
        losses.append(loss.item())
        if not losses[-1] <= 4 * min(losses):  # a loss that is no number ends it, too
            break
    return rates[: len(losses)], losses


def run_figures(history: list[EpochRecord], **parts: Predictions) -> dict[str, object]:
    """What the card of a checkpoint says of its run; losses are without label smoothing.

    Args:
        parts: the predictions of the final weights, by the name they get in the card, such as
            validation and test.
    """
    curves = {}
    for name in CURVES:
        curves[name] = [getattr(record, name) for record in history]
    figures = {
        "epochs_run": len(history),
        "best_epoch": best_record(history).epoch,
        "train_seconds": round(sum(record.seconds for record in history), 1),
        "history": curves,
    }
    for name, answers in parts.items():
        figures[name] = {"accuracy": round(answers.accuracy, 6), "loss": round(answers.loss(), 6)}
    if "validation" in parts:
        least = parts["validation"].confidence.quantile(0.01)
        figures["no_digit"] = {"score": "the largest probability", "limit": round(least.item(), 4)}
    return figures
