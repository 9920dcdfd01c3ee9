"""The training loop, and all that it has to remember."""

import contextlib
import copy
import itertools
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import msgspec
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import TensorDataset
from tqdm.auto import tqdm

from mnist_helpers.checkpoint import require_fit
from mnist_helpers.config import Config, InputError, select_device
from mnist_helpers.data import Splits, make_loader, random_affine
from mnist_helpers.files import reason
from mnist_helpers.metrics import NUM_CLASSES, EpochRecord, Predictions, best_record, evaluate
from mnist_helpers.tensorboard import write_tensorboard

log = logging.getLogger(__name__)
Weights = dict[str, Tensor]
NO_ROOM = ("memory", "bad_alloc", "create a primitive")  # what torch says of too little of it
GUESSING = math.log(NUM_CLASSES)  # the loss of one who gives every class the same probability
MOMENTS = {round(2 ** (half / 2)) for half in range(40)}  # steps after which a snapshot is taken
CURVES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate")


class Trainer:
    """Trains `model` in place, without the test images, and holds all that a run must remember.

    On a CPU the same seed and number of threads give the same weights again, bit for bit. Under
    torchrun every process makes a Trainer; each takes its share of every batch, and all end with
    the weights that one process would have.
    """

    def __init__(self, model: nn.Module, splits: Splits, config: Config) -> None:
        self.config = config
        together = dist.is_initialized()
        self.rank = dist.get_rank() if together else 0
        self.ranks = dist.get_world_size() if together else 1
        # of every batch, and of the validation images
        self.share = slice(self.rank, None, self.ranks)
        self.device = select_device(config.device)
        # channels_last is faster for convolutions on a CPU
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.parallel = DistributedDataParallel(self.model) if self.ranks > 1 else self.model
        train, self.val = (
            TensorDataset(*(t.to(self.device) for t in part.tensors)) for part in splits[:2]
        )
        self.shuffle, self.augment = (
            torch.Generator(self.device).manual_seed(config.seed) for _ in range(2)
        )
        self.loader = make_loader(train, config.batch_size, self.shuffle, config.num_workers)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            config.learning_rate,
            config.betas,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            config.learning_rate,
            total_steps=config.epochs * len(self.loader),
            pct_start=config.warm_up,
            anneal_strategy=config.anneal,
            cycle_momentum=False,
        )
        self.history: list[EpochRecord] = []
        self.best_weights: Weights = {}
        # epochs, whole or part, and weights
        self.snapshots: list[tuple[float, Weights]] = []
        self.interrupted = False

    def run(
        self,
        on_epoch: Callable[[EpochRecord], object] = lambda record: None,
        on_step: Callable[[Tensor], object] | None = None,
    ) -> None:
        """Trains until the last epoch or the end of patience; leaves the weights of the best epoch.

        An interrupt (Ctrl-C, the stop button) after the first epoch ends it early and keeps the
        best so far, as does whatever else goes wrong.

        Args:
            on_epoch: is called after every epoch.
            on_step: is called after every step with the mean loss of its batch; by default a bar
                shows in a terminal or a notebook.

        Raises:
            InputError: the loss is no longer a number, or the machine can't do what is asked.
        """
        steps, done = len(self.loader), len(self.history)
        hidden = True if on_step or self.rank else None  # None: shown in a terminal or a notebook
        total = self.config.epochs * steps
        bar = tqdm(total=total, initial=done * steps, desc="Training", unit="batch", disable=hidden)
        if not done:
            self.take_snapshot(0)
        with bar, self.noting_interrupts(), self.explaining():
            try:
                for epoch in range(done + 1, self.config.epochs + 1):
                    patience = self.config.patience
                    if self.history and epoch - best_record(self.history).epoch > patience:
                        log.info("stopped: no lower validation loss in %d epochs", patience)
                        break
                    record = self.train_epoch(epoch, on_step or (lambda loss: bar.update()))
                    history, weights = [*self.history, record], self.best_weights
                    if best_record(history) is record:
                        weights = copy.deepcopy(self.model.state_dict())
                    # in one statement, for an interrupt must not leave one without the other
                    self.history, self.best_weights = history, weights
                    on_epoch(record)
                    if self.config.tensorboard and self.rank == 0:
                        self.write_tensorboard(self.config.tensorboard)
                self.interrupted = False  # by what came too late to stop anything
            except KeyboardInterrupt:
                self.interrupted = len(self.history) < self.config.epochs
                if not self.best_weights:
                    raise
                if self.interrupted:
                    log.warning("interrupted: keeping the best epoch of %d", len(self.history))
            finally:
                self.model.load_state_dict(self.best_weights or self.model.state_dict())
        if best_record(self.history).val_loss > GUESSING:
            log.warning("no better than guessing (loss %.2f); lower learning_rate", GUESSING)

    @contextlib.contextmanager
    def explaining(self) -> Iterator[None]:
        """Makes one sentence of what the machine can't do."""
        try:
            yield
        except (RuntimeError, MemoryError, OSError) as error:  # torch tells of memory in many ways
            said, config = reason(error), self.config
            forking = isinstance(error, OSError) and config.num_workers
            if not forking and any(word in repr(error).lower() for word in NO_ROOM):
                asked = f"batch_size is {config.batch_size}, and such a batch needs too much memory"
                raise InputError(f"{asked}; lower batch_size.") from error
            if forking or "worker" in said:
                failed = f"a process that loads batches failed ({said})"
                raise InputError(f"{failed}; lower num_workers, 0 needs none.") from error
            raise

    @contextlib.contextmanager
    def noting_interrupts(self) -> Iterator[None]:
        """Lets an interrupt wait for the end of a step; a second one doesn't wait.

        Raised at once it could fall into a destructor, where Python ignores exceptions.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread has signals
            return

        def note(*args: object) -> None:
            self.interrupted = True
            signal.signal(signal.SIGINT, before)

        self.interrupted = False
        before = signal.signal(signal.SIGINT, note) or signal.default_int_handler
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def train_epoch(self, epoch: int, on_step: Callable[[Tensor], object]) -> EpochRecord:
        """One pass over the training images and one look at the validation images."""
        started = time.perf_counter()
        train_loss, train_accuracy = self.train_pass(epoch, on_step)
        val_loss, val_accuracy = self.validate()
        if not math.isfinite(train_loss + val_loss):
            remedy, last = "lower learning_rate or weight_decay", epoch - 1
            self.snapshots = [moment for moment in self.snapshots if moment[0] <= last]
            raise InputError(f"the loss of epoch {epoch} is not a number; {remedy}.")
        learning_rate, seconds = self.schedule.get_last_lr()[0], time.perf_counter() - started
        return EpochRecord(
            epoch, train_loss, train_accuracy, val_loss, val_accuracy, learning_rate, seconds
        )

    def train_pass(self, epoch: int, on_step: Callable[[Tensor], object]) -> tuple[float, float]:
        """Takes a step for every batch; returns mean loss and accuracy, each before its step."""
        self.model.train()
        loss_sum, correct = torch.zeros(2, device=self.device)
        for step, (images, labels) in enumerate(self.loader, 1):
            # every rank draws the whole batch and takes its share
            count = len(labels)
            amounts = 2 * torch.rand(count, 5, generator=self.augment, device=self.device) - 1
            images, labels = images[self.share], labels[self.share]
            if self.config.augments:
                images = random_affine(images, amounts[self.share], self.config)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.autocast):
                logits = self.parallel(images)
            smoothing = self.config.label_smoothing
            loss = F.cross_entropy(
                logits.float(), labels, label_smoothing=smoothing, reduction="sum"
            )
            self.optimizer.zero_grad()
            # DistributedDataParallel takes the mean over the ranks
            (loss * self.ranks / count).backward()
            self.optimizer.step()
            self.schedule.step()
            loss_sum += loss.detach()
            correct += (logits.argmax(dim=1) == labels).sum()
            done = (epoch - 1) * len(self.loader) + step
            if done in MOMENTS and step < len(self.loader):
                self.take_snapshot(done / len(self.loader))
            on_step(loss.detach() * self.ranks / count)
            if self.interrupted:
                raise KeyboardInterrupt
        self.take_snapshot(epoch)
        return self.means((loss_sum, correct), len(self.loader.dataset))

    def validate(self) -> tuple[float, float]:
        """Mean loss and accuracy on the validation images, each rank looking at its share."""
        share = TensorDataset(*(tensor[self.share] for tensor in self.val.tensors))
        seen = evaluate(self.model, share)
        loss_sum = seen.loss(self.config.label_smoothing) * len(seen.labels)
        return self.means((loss_sum, seen.correct.sum()), len(self.val))

    def means(self, sums: tuple[float | Tensor, float | Tensor], count: int) -> tuple[float, float]:
        """Adds what the ranks have summed up, and divides by the number of images."""
        total = torch.tensor([float(each) for each in sums], device=self.device)
        if self.ranks > 1:
            dist.all_reduce(total)
        loss, accuracy = (total / count).tolist()
        return loss, accuracy

    def take_snapshot(self, epoch: float) -> None:
        """Remembers the weights in half precision, if the run keeps snapshots."""
        if self.config.snapshots:
            state = self.model.state_dict()
            weights = {name: tensor.detach().cpu().half() for name, tensor in state.items()}
            self.snapshots.append((epoch, weights))

    def write_tensorboard(self, folder: Path) -> None:
        """Adds the last epoch to TensorBoard's files."""
        record = self.history[-1]
        kinds = [(part, measure) for part in ("train", "val") for measure in ("loss", "accuracy")]
        figures = {
            f"{measure}/{part}": getattr(record, f"{part}_{measure}") for part, measure in kinds
        }
        figures["learning_rate"] = record.learning_rate
        write_tensorboard(folder, self.model, figures, record.epoch, self.val.tensors[0][:1])

    def state_dict(self) -> dict[str, object]:
        """All that a new Trainer needs to go on from here; only tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generators": [self.shuffle.get_state(), self.augment.get_state()],
            "history": [asdict(record) for record in self.history],
            "best_weights": self.best_weights,
            "snapshots": self.snapshots,
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Takes over what another Trainer of the same model, data and configuration has reached.

        Raises:
            InputError: its weights are not this model's; other errors, where it is no state at all.
        """
        self.history = msgspec.convert(state["history"], list[EpochRecord])
        steps, moments = len(self.history) * len(self.loader), state["optimizer"]["state"]
        names = dict(self.model.named_parameters())
        means, squares = (
            {name: moments[place][kind].clone() for place, name in enumerate(names)}
            for kind in ("exp_avg", "exp_avg_sq")
        )
        kept = [weights for _, weights in state["snapshots"]]
        for weights in (state["model"], state["best_weights"], means, squares, *kept):
            require_fit("The state of the run", weights, self.model, "start the run anew")
        self.model.load_state_dict(state["model"])
        # only numbers of the right form: the fused optimizer reads and writes memory without a look
        fresh, step = self.optimizer.state_dict(), torch.tensor(float(steps))
        for place, name in enumerate(names):
            averages = {"exp_avg": means[name], "exp_avg_sq": squares[name]}
            fresh["state"][place] = averages | {"step": step.clone()}
        self.optimizer.load_state_dict(fresh)
        self.schedule.load_state_dict({"last_epoch": steps - 1, "_step_count": steps})
        self.schedule.step()
        for generator, value in zip((self.shuffle, self.augment), state["generators"], strict=True):
            generator.set_state(value)
        self.best_weights, self.snapshots = state["best_weights"], state["snapshots"]


def train(
    model: nn.Module,
    splits: Splits,
    config: Config,
    on_epoch: Callable[[EpochRecord], object] = lambda record: None,
    on_step: Callable[[Tensor], object] | None = None,
) -> list[EpochRecord]:
    """Trains `model` in place, as `Trainer.run` does, and returns one record for each epoch.

    `best_record` picks the one whose weights the model has.
    """
    trainer = Trainer(model, splits, config)
    trainer.run(on_epoch, on_step)
    return trainer.history


def lr_find(
    model: nn.Module,
    splits: Splits,
    config: Config,
    low: float = 1e-5,
    high: float = 1.0,
    steps: int = 100,
) -> tuple[list[float], list[float]]:
    """The learning-rate range test: trains a copy of `model` at a rate that grows by one factor.

    Good peaks lie where the loss falls fast, well below where it rises again (Smith, "Cyclical
    Learning Rates for Training Neural Networks", 2017).

    Returns:
        The rates and the losses of their batches, at most `steps` of each: it ends where the loss
        has quadrupled.
    """
    trainer = Trainer(copy.deepcopy(model), splits, config)
    rates, losses = [], []
    batches = itertools.chain.from_iterable(itertools.repeat(trainer.loader))
    for step, (images, labels) in zip(range(steps), batches, strict=False):
        rates.append(low * (high / low) ** (step / (steps - 1)))
        trainer.optimizer.param_groups[0]["lr"] = rates[-1]
        loss = F.cross_entropy(
            trainer.model(images), labels, label_smoothing=config.label_smoothing
        )
        trainer.optimizer.zero_grad()
        loss.backward()
        trainer.optimizer.step()
        losses.append(loss.item())
        if not losses[-1] <= 4 * min(losses):  # a loss that is no number ends it, too
            break
    return rates, losses


def run_figures(history: list[EpochRecord], **parts: Predictions) -> dict[str, object]:
    """What the card of a checkpoint says of its run; losses are without label smoothing.

    Args:
        parts: the predictions of the final weights, by the name they get in the card, such as
            validation and test.
    """
    return {
        "epochs_run": len(history),
        "best_epoch": best_record(history).epoch,
        "train_seconds": round(sum(record.seconds for record in history), 1),
        "history": {name: [getattr(record, name) for record in history] for name in CURVES},
        **{
            name: {"accuracy": round(p.accuracy, 6), "loss": round(p.loss(), 6)}
            for name, p in parts.items()
        },
    }
