"""Several processes around the Trainer: what each takes, and that all end where one would."""

import dataclasses
import os
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from conftest import HANG, assert_same, forked

from mnist_helpers import Config, make_model
from mnist_helpers.data import Splits
from mnist_helpers.runs.ranks import RankTrainer, is_first, process_group
from mnist_helpers.training import Trainer

RECIPE = Config(
    epochs=2, batch_size=63, rotation=10, device="cpu", autocast=False
)  # 11 batches of 63, one of 7


def trained(trainer: Trainer) -> dict[str, object]:
    """What a run ends with, and the losses of its steps."""
    # AdamW's own 1e-8 makes steps of the rounding of gradients that are almost 0
    trainer.optimizer.param_groups[0]["eps"] = 1e-3
    losses = []
    trainer.run(on_step=losses.append)
    history = [dataclasses.replace(record, seconds=0) for record in trainer.history]
    weights = trainer.model.state_dict()
    return {"weights": weights, "history": history, "losses": torch.stack(losses)}


def work(rank: int, ranks: int, splits: Splits, folder: Path) -> None:
    """What one process of several does."""
    store = dist.FileStore(str(folder / "store"), ranks)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks)
    assert is_first() == (rank == 0)
    torch.save(trained(RankTrainer(make_model(), splits, RECIPE)), folder / f"{rank}.pt")
    dist.destroy_process_group()


def together(ranks: int, splits: Splits, folder: Path) -> list[dict]:
    """What so many processes end with."""
    processes = [forked(work, rank, ranks, splits, folder) for rank in range(ranks)]
    for process in processes:
        process.join(HANG)
    assert [process.exitcode for process in processes] == [0] * ranks
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(ranks)]


@pytest.fixture(scope="module")
def alone(few) -> dict:
    """What one process ends with."""
    return trained(Trainer(make_model(), few, RECIPE))


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_two_ranks_take_the_steps_of_one_process(few, alone, tmp_path):
    first, second = together(2, few, tmp_path)
    assert_same(first["weights"], second["weights"])
    torch.testing.assert_close(first["weights"], alone["weights"], rtol=0, atol=1e-5)
    assert first["history"] == second["history"]  # to the bit: both stop, and choose, alike
    for one, two in zip(alone["history"], first["history"], strict=True):
        assert dataclasses.astuple(two) == pytest.approx(dataclasses.astuple(one), rel=1e-5)
    both = (first["losses"] + second["losses"]) / 2
    assert torch.allclose(both, alone["losses"], rtol=0, atol=1e-5)
    assert not torch.equal(first["losses"], second["losses"])  # each looks at its own share


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_one_rank_is_one_process_to_the_bit(few, alone, tmp_path):
    (only,) = together(1, few, tmp_path)
    assert_same(only["weights"], alone["weights"])


def test_without_torchrun_there_is_no_group(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with process_group() as trainer_class:
        assert trainer_class is Trainer
        assert is_first()
        assert not dist.is_initialized()
    assert "TORCHELASTIC_RUN_ID" not in os.environ
