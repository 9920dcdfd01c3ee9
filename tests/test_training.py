import dataclasses
import functools
import io
import itertools
import math
import os
import platform
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import assert_same, no_bar
from torch.utils.data import TensorDataset

from mnist_helpers import Config, make_model
from mnist_helpers.config import computes_bfloat16
from mnist_helpers.data import BACKGROUND
from mnist_helpers.metrics import EpochRecord, Predictions, best_record, evaluate
from mnist_helpers.model import pooled_first
from mnist_helpers.runs.folder import write_tensorboard
from mnist_helpers.training import Trainer, lr_find, run_figures, train
from mnist_helpers.work import delayed_interrupts

QUICK = Config(epochs=2, batch_size=64, device="cpu", autocast=False)


def started(splits, **changes: object) -> Trainer:
    """A trainer of a new network, whose configuration is QUICK with some changes."""
    return Trainer(make_model(), splits, dataclasses.replace(QUICK, **changes))


def trained(splits, **changes: object) -> Trainer:
    """The same after its run."""
    trainer = started(splits, **changes)
    trainer.run(on_step=no_bar)
    return trainer


def standing(splits, **changes: object) -> Trainer:
    """One whose weights stay as they are."""
    trainer = started(splits, **changes)
    trainer.optimizer.param_groups[0]["lr"] = 0
    trainer.schedule.step = lambda: None
    return trainer


def weights(model) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in model.state_dict().values()])


@pytest.mark.parametrize(
    ("anneal", "quarter"), [("linear", 0.75), ("cos", (1 + math.cos(math.pi / 4)) / 2)]
)
def test_the_learning_rate_rises_for_its_share_and_falls_to_nothing(few, anneal, quarter):
    trainer = started(few, epochs=1, batch_size=7, learning_rate=0.01, warm_up=0.2, anneal=anneal)
    rates = []
    for _ in range(100):  # 700 images in batches of 7
        rates.append(trainer.optimizer.param_groups[0]["lr"])
        trainer.optimizer.step()
        trainer.schedule.step()
    assert rates[19] == max(rates) == pytest.approx(0.01)
    assert rates[39] == pytest.approx(0.01 * quarter, rel=1e-3)
    assert rates[59] == pytest.approx(0.005, rel=1e-3)
    assert rates[99] < 1e-6


@pytest.mark.parametrize("epochs", [1, 5])
def test_five_steps_in_all_train(few, epochs):
    """A fifth of them is one step of rise, for which PyTorch divides by zero."""
    size = -(-len(few.train) * epochs // 5)
    trainer = trained(few, epochs=epochs, batch_size=size)
    assert trainer.epoch_steps * epochs == 5
    assert len(trainer.history) == epochs


def test_the_rate_of_an_epoch_is_that_of_its_last_step(few):
    trainer = trained(few, learning_rate=0.01, warm_up=0.5, anneal="linear")
    peak, end = trainer.history  # the 11th and the 22nd step
    assert peak.learning_rate == pytest.approx(0.01)
    assert end.learning_rate == pytest.approx(0.01 / 25 / 1e4)  # PyTorch's own factors


def test_training_figures_are_means_over_images_not_over_batches(few):
    # 600 and 100: a mean of batch means would weigh 100 as 600
    trainer = standing(few, batch_size=600)
    loss, accuracy = trainer.train_pass(1, no_bar)
    images, labels = few.train.tensors
    logits = trainer.model(images)
    expected = F.cross_entropy(logits, labels, label_smoothing=0.1).item()
    assert loss == pytest.approx(expected, rel=1e-5)
    assert accuracy == pytest.approx((logits.argmax(1) == labels).float().mean().item())


def test_a_seed_gives_the_same_weights_bit_for_bit(few):
    first, second, other = (
        trained(few, rotation=10, translation=1, seed=seed) for seed in (0, 0, 1)
    )
    assert_same(first.model.state_dict(), second.model.state_dict())
    assert [r.val_loss for r in first.history] == [r.val_loss for r in second.history]
    assert not torch.equal(weights(first.model), weights(other.model))


def test_it_learns(few):
    trainer = trained(few, epochs=6)
    assert trainer.history[-1].train_loss < trainer.history[0].train_loss
    assert evaluate(trainer.model, few.test).accuracy > 0.85


def validating(trainer: Trainer, *losses: float) -> list[torch.Tensor]:
    """Lets validation find these losses, epoch by epoch; the weights that it has seen."""
    coming = iter(losses)
    seen = []

    def validate() -> tuple[float, float]:
        seen.append(weights(trainer.model).clone())
        return next(coming), 0.5

    trainer.validate = validate
    return seen


def test_the_best_epoch_is_kept_and_patience_ends_the_run(few):
    trainer = started(few, epochs=9, patience=2)
    seen = validating(trainer, 0.6, 0.5, 0.8, 0.4, 0.41, 0.7)
    trainer.run(on_step=no_bar)
    assert [record.val_loss for record in trainer.history] == [0.6, 0.5, 0.8, 0.4, 0.41, 0.7]
    assert best_record(trainer.history).epoch == 4
    assert torch.equal(weights(trainer.model), seen[3])
    assert not torch.equal(seen[3], seen[5])


def test_an_interrupt_in_a_destructor_is_not_lost(few):
    class Interrupting:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):  # the signal is handled here, where Python ignores exceptions
                pass

    steps, handler = itertools.count(1), signal.getsignal(signal.SIGINT)
    trainer = started(few, epochs=9)

    def interrupt(loss):
        if next(steps) == trainer.epoch_steps + 1:
            Interrupting()

    trainer.run(on_step=interrupt)
    assert trainer.interrupted
    assert [record.epoch for record in trainer.history] == [1]
    assert signal.getsignal(signal.SIGINT) is handler


def test_python_gets_its_interrupts_back_where_none_came():
    handler = signal.getsignal(signal.SIGINT)
    with delayed_interrupts():
        assert signal.getsignal(signal.SIGINT) is not handler
    assert signal.getsignal(signal.SIGINT) is handler


def test_the_first_interrupt_waits_and_the_second_does_not():
    passed, handler = [], signal.getsignal(signal.SIGINT)

    def interrupt_twice():
        with delayed_interrupts() as interrupt:
            os.kill(os.getpid(), signal.SIGINT)
            passed.append(interrupt.is_set())
            os.kill(os.getpid(), signal.SIGINT)
            passed.append("the second one waited")

    with pytest.raises(KeyboardInterrupt):
        interrupt_twice()
    assert passed == [True]
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_interrupt_keeps_the_best_so_far_and_the_trainer_goes_on(few):
    def stop(record):
        if record.epoch == 2:
            raise KeyboardInterrupt

    trainer = started(few, epochs=3)
    trainer.run(stop)
    assert trainer.interrupted
    assert [record.epoch for record in trainer.history] == [1, 2]
    best = best_record(trainer.history).val_loss
    assert evaluate(trainer.model, few.val).loss(0.1) == pytest.approx(best, rel=1e-6)
    trainer.run()
    assert not trainer.interrupted
    assert [record.epoch for record in trainer.history] == [1, 2, 3]


def test_an_interrupt_in_the_first_epoch_says_that_nothing_can_be_resumed(few, caplog):
    def stop(loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        started(few).run(on_step=stop)
    assert caplog.messages == ["interrupted in the first epoch: nothing can be resumed yet"]


def test_each_step_tells_the_mean_loss_of_its_batch(few):
    told = []
    standing(few).train_pass(1, told.append)
    order = torch.randperm(700, generator=torch.Generator().manual_seed(QUICK.seed))
    images, labels = few.train.tensors
    batches = [(images[i], labels[i]) for i in order.split(QUICK.batch_size)]
    model = make_model()
    expected = [F.cross_entropy(model(x), y, label_smoothing=0.1).item() for x, y in batches]
    assert [loss.item() for loss in told] == pytest.approx(expected, rel=1e-4)


def test_pooling_before_relu_changes_no_bit():
    model = make_model(3).double()
    images = torch.randn(20, 1, 28, 28, dtype=torch.float64)
    results = []
    for network in (model, pooled_first(model)):
        logits = network(images)
        gradients = torch.autograd.grad(logits.square().sum(), list(model.parameters()))
        results.append([logits.detach(), *gradients])
    assert all(map(torch.equal, *results))
    assert [type(module) for module in pooled_first(model)][:3] == [
        torch.nn.Conv2d, torch.nn.MaxPool2d, torch.nn.ReLU,
    ]  # fmt: skip
    other = torch.nn.Linear(2, 2)
    assert pooled_first(other) is other  # which knows best


KEPT = """
import torch
from pathlib import Path
from mnist_helpers.work import keep_memory
{}
def resident():  # in MB
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
torch.ones(10)
before = resident()
tensors = [torch.ones(1_500_000) for _ in range(8)]  # of 6 MB
del tensors
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others have their own ways")
def test_memory_that_a_step_frees_is_kept_for_the_next():
    """Of 48 MB that were used once, counted as resident memory, whatever the size of its pages."""
    megabytes = []
    for line in ("", "keep_memory()"):
        command = [sys.executable, "-c", KEPT.format(line)]
        megabytes.append(float(subprocess.run(command, capture_output=True, check=True).stdout))
    assert megabytes[0] < 10
    assert megabytes[1] > 40


def test_auto_multiplies_in_bfloat16_where_the_processor_has_instructions_for_it(few):
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        pytest.skip("no list of the processor's flags")
    has_bfloat16 = re.search(r"^(flags|Features).*bf16", cpuinfo.read_text(), re.MULTILINE)
    for choice, wanted in (("auto", bool(has_bfloat16)), (True, True), (False, False)):
        assert started(few, autocast=choice).config.autocast is wanted
    assert not computes_bfloat16(torch.device("cuda"))


def test_a_part_of_the_images_is_the_first_of_them(few):
    trainer = started(few, train_size=300)
    assert_same(trainer.loader.dataset.tensors, few.train[:300])
    assert trainer.epoch_steps == 5  # 4 of 64 and one of 44
    assert trainer.images == len(few.train) + len(few.val)


def test_each_image_is_moved_by_an_amount_of_its_own_to_either_side(few):
    spots = torch.full((700, 1, 28, 28), BACKGROUND)
    spots[..., 14, 14] += 1  # whose mass and place are told by sums
    spotted = few._replace(train=TensorDataset(spots, few.train.tensors[1]))
    ((images, _, _),) = started(spotted, batch_size=700, translation=3).batches()
    ink = images[:, 0] - BACKGROUND
    moves = torch.stack([ink.sum(1), ink.sum(2)]) @ torch.arange(28.0) - 14  # across, down
    assert moves.abs().max() <= 3.001
    assert moves.amin(1).max() < -2.9
    assert moves.amax(1).min() > 2.9
    assert moves.mean(1).abs().max() < 0.3
    assert moves.corrcoef()[0, 1].abs() < 0.15


def test_an_epoch_is_that_of_ten_lines_of_pytorch(few):
    """With AdamW and the one-cycle schedule by the book; the last batch are 60 of 700 images."""
    trainer = started(few, batch_size=320)
    eps = 1e-3  # AdamW's own 1e-8 makes steps of the rounding of gradients that are almost 0
    trainer.optimizer.param_groups[0]["eps"] = eps
    trainer.train_pass(1, no_bar)
    model = make_model()
    adam = torch.optim.AdamW(model.parameters(), 0.01, (0.8, 0.95), eps, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        adam, 0.01, total_steps=6, pct_start=0.2, anneal_strategy="linear", cycle_momentum=False
    )
    images, labels = few.train.tensors
    order = torch.randperm(700, generator=torch.Generator().manual_seed(QUICK.seed))
    for indices in order.split(320):
        adam.zero_grad()
        F.cross_entropy(model(images[indices]), labels[indices], label_smoothing=0.1).backward()
        adam.step()
        schedule.step()
    assert torch.allclose(weights(trainer.model), weights(model), rtol=0, atol=1e-6)


def test_a_run_no_better_than_guessing_says_so(few, caplog):
    for loss in (2.29, 2.31):
        assert caplog.text == ""
        trainer = started(few)
        validating(trainer, 2.35, loss)
        trainer.run(on_step=no_bar)
    assert "no better than guessing (loss 2.30); lower learning_rate" in caplog.text


def test_the_test_images_are_never_touched(few):
    assert len(train(make_model(), few._replace(test=None), QUICK, on_step=no_bar)) == 2


def test_bfloat16_is_coarser_and_learns_all_the_same(few):
    plain, coarse = (trained(few, autocast=autocast) for autocast in (False, True))
    assert coarse.model.fc1.weight.dtype == torch.float32
    assert not torch.equal(plain.model.fc1.weight, coarse.model.fc1.weight)
    expected = pytest.approx(plain.history[-1].train_loss, abs=0.05)
    assert coarse.history[-1].train_loss == expected


def test_a_bar_counts_the_steps(few, monkeypatch):
    out = io.StringIO()
    out.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", out)
    train(make_model(), few, dataclasses.replace(QUICK, epochs=1))
    steps = -(-len(few.train) // QUICK.batch_size)
    assert f"{steps}/{steps}" in out.getvalue()


def test_what_the_card_says_of_a_run_by_numpy():
    logits = np.random.default_rng(0).normal(0, 3, (500, 10))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.arange(500) % 10
    answers = Predictions(torch.tensor(logits), torch.tensor(labels))
    history = [
        EpochRecord(1, 2, 0.5, 1.5, 0.6, 0.01, 3.04),
        EpochRecord(2, 1, 0.7, 1.6, 0, 0, 4.03),
    ]
    figures = run_figures(history, validation=answers)
    assert (figures["epochs_run"], figures["best_epoch"], figures["train_seconds"]) == (2, 1, 7.1)
    assert figures["history"]["train_loss"] == [2, 1]
    assert figures["history"]["val_loss"] == [1.5, 1.6]
    loss = -np.log(probs[np.arange(500), labels]).mean()
    accuracy = (logits.argmax(axis=1) == labels).mean()
    assert figures["validation"] == pytest.approx({"accuracy": accuracy, "loss": loss}, abs=1e-6)
    least_sure = np.sort(probs.max(axis=1))[4:6]  # of 500 the hundredth part lies between these
    limit = least_sure @ [0.01, 0.99]
    assert figures["no_digit"]["limit"] == pytest.approx(limit, abs=5e-5)
    assert "no_digit" not in run_figures(history, test=answers)


def test_tensorboard_files_hold_the_run(few, tmp_path, recwarn):
    model = make_model()
    board = functools.partial(write_tensorboard, tmp_path)
    history = train(model, few, QUICK, board, no_bar)
    assert not recwarn.list
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path)).Reload()
    for tag in ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate"):
        assert [event.value for event in events.Scalars(tag)] == pytest.approx(
            [getattr(record, tag) for record in history]
        )
        assert [event.step for event in events.Scalars(tag)] == [1, 2]


def test_lr_find_tries_growing_rates_on_a_copy(few):
    model = make_model()
    before = weights(model)
    rates, losses = lr_find(model, few, QUICK)
    assert torch.equal(weights(model), before)
    assert rates == pytest.approx([10 ** (place / 99 * 5 - 5) for place in range(len(rates))])
    assert 50 < len(rates) == len(losses) <= 100
    assert min(losses) < 0.8 * losses[0]
    assert losses[-1] > 2 * min(losses)  # too large a rate in the end


def test_lr_find_trains_in_training_mode_and_leaves_the_model_in_its_own(few):
    modes = []
    model = make_model().eval()
    model.relu3.register_forward_hook(lambda layer, *_: modes.append(layer.training))
    lr_find(model, few, QUICK)
    assert set(modes) == {True}
    assert not model.training


def test_snapshots_are_taken_early_and_after_each_epoch(few):
    trainer = trained(few, batch_size=20, snapshots=True)  # 35 steps an epoch
    steps = [0, 1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 35, 45, 64, 70]  # each √2 times the one before
    assert [epoch for epoch, _ in trainer.snapshots] == pytest.approx([step / 35 for step in steps])
    for place, model in ((0, make_model()), (-1, trainer.model)):
        expected = model.fc2.weight.detach().half()
        assert torch.equal(trainer.snapshots[place][1]["fc2.weight"], expected)


@pytest.mark.skipif(not torch.accelerator.is_available(), reason="no accelerator on this machine")
def test_it_trains_on_the_accelerator(few):
    model = make_model()
    train(model, few, dataclasses.replace(QUICK, device="auto"), on_step=no_bar)
    assert next(model.parameters()).device.type == torch.accelerator.current_accelerator().type
