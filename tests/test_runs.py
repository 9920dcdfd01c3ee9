"""Runs on disk: resumed bit for bit, killed at any moment, two at once."""

import csv
import dataclasses
import json
import multiprocessing
import os
import random
import re
import signal
import time

import numpy as np
import pytest
import torch
from conftest import no_bar

from mnist_helpers import InputError, load_splits, make_model
from mnist_helpers.checkpoint import load_tensors
from mnist_helpers.runs import (
    load_run,
    new_run,
    read_config,
    read_history,
    save_moments,
    save_run,
)
from mnist_helpers.snapshots import in_steps, load_snapshots
from mnist_helpers.training import Trainer


def weights(trainer) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in trainer.model.state_dict().values()])


@pytest.fixture
def config(short, tmp_path):
    return dataclasses.replace(
        short, epochs=4, rotation=10, snapshots=True, runs_dir=tmp_path / "runs"
    )


def start(config) -> Trainer:
    return Trainer(
        make_model(config.seed), load_splits(config.data_dir, config.val_size, config.seed), config
    )


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_resumed_run_ends_with_the_same_bits(config, stop):
    whole = start(config)
    whole.run(on_step=no_bar)
    folder, first = new_run(config), start(config)

    def interrupt(record):
        save_run(folder, first)
        if record.epoch == stop:
            raise KeyboardInterrupt

    first.run(interrupt, on_step=no_bar)
    assert first.interrupted
    again, state = load_run(folder)
    assert again == config
    second = start(again)
    second.load_state_dict(state)
    second.run(lambda record: save_run(folder, second), on_step=no_bar)
    assert torch.equal(weights(whole), weights(second))
    untimed = [
        [dataclasses.replace(record, seconds=0) for record in t.history] for t in (whole, second)
    ]
    assert untimed[0] == untimed[1]
    assert [epoch for epoch, _ in whole.snapshots] == [epoch for epoch, _ in second.snapshots]


def test_patience_counts_on_over_a_resume(config):
    config = dataclasses.replace(config, epochs=40, patience=1, learning_rate=0.1)
    whole = start(config)
    whole.run(on_step=no_bar)
    state = whole.state_dict()
    resumed = start(config)
    resumed.load_state_dict(state)
    resumed.run(on_step=no_bar)
    assert len(resumed.history) == len(whole.history) < 40


def test_the_folder_tells_the_run(config):
    folder, trainer = new_run(config), start(config)
    trainer.run(lambda record: save_run(folder, trainer), on_step=no_bar)
    rows = list(csv.DictReader((folder / "history.csv").open()))
    assert [float(row["val_loss"]) for row in rows] == [
        record.val_loss for record in trainer.history
    ]
    assert json.loads((folder / "history.json").read_text()) == [
        dataclasses.asdict(r) for r in trainer.history
    ]


def test_snapshots_are_kept_small_and_nearly_exact(config, tmp_path):
    trainer = Trainer(make_model(), load_splits(config.data_dir, 100), config)
    trainer.run(on_step=no_bar)
    folder = new_run(config)
    save_run(folder, trainer)
    save_moments(folder, trainer)
    moments = load_snapshots(folder / "snapshots.npz")
    assert moments.epochs == [epoch for epoch, _ in trainer.snapshots]
    losses = [record.val_loss for record in trainer.history]
    assert moments.history["val_loss"] == losses
    assert moments.epochs[moments.best] == 1 + losses.index(min(losses))
    for (_, kept), read in zip(trainer.snapshots, moments.weights, strict=True):
        assert kept.keys() == read.keys()
        for name, tensor in kept.items():
            finest = 0.5 / 4096 if tensor.numel() < 10_000 else 0.5 / 128
            assert (tensor.float() - read[name]).abs().max() <= finest + 1e-5
    first, second = (weights for _, weights in trainer.snapshots[:2])
    change = (second["fc1.weight"] - first["fc1.weight"]).float()
    error = moments.weights[1]["fc1.weight"] - second["fc1.weight"].float()
    assert error.pow(2).mean() < 0.35 * change.pow(2).mean()  # a first step is no rounding error
    size = (folder / "snapshots.npz").stat().st_size
    assert size < 0.25 * len(moments.epochs) * 206_922 * 2  # of half precision


def test_the_steps_of_a_change():
    def stepped(count, *values):
        steps, changes = in_steps([np.full(count, value, np.float32) for value in values])
        assert (steps.dtype, changes.dtype, changes.shape) == (np.float32, np.int16, (4, count))
        assert (changes == changes[:, :1]).all()
        return list(zip(steps * 4096, changes[:, 0], strict=True))

    # a small layer: the finest steps, at most 32,767 of them
    assert stepped(10_000, 0.25, 0.25, 10, -10) == [(1, 1024), (1, 0), (1, 32767), (1, -32767)]
    # a large one: as large as the change, from 1/4096 to 1/128, but at most 1/1024 for the first
    near = 10 / 1024  # the nearest to 0.01
    later = near + 0.5 - 3 / 4096
    values = 0.01, near + 0.5, later, later + 0.0001
    assert stepped(10_001, *values) == [(4, 10), (32, 64), (3, -1), (1, 0)]


@pytest.mark.parametrize("content", [b"", b"PK", None])
def test_what_holds_no_snapshots_is_named(tmp_path, content):
    path = tmp_path / "no.npz"
    what = "does not exist" if content is None else r"holds no snapshots \(.*\)"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"no\.npz {what}; give a snapshots\.npz"):
        load_snapshots(path)
    np.savez(path, epochs=np.array([0.0]), history=np.array([object()]))
    with pytest.raises(InputError, match="holds no snapshots"):
        load_snapshots(path)


def test_a_history_can_be_read_again(config, tmp_path):
    folder = new_run(config)
    with pytest.raises(InputError, match=r"history\.json does not exist; give a folder that train"):
        read_history(folder)
    (folder / "history.json").write_text('[{"epoch": 1}]')
    with pytest.raises(InputError, match=r"history\.json holds no history of a run \("):
        read_history(folder)


def test_a_new_run_is_named_after_the_time_and_open_to_all(config, tmp_path):
    before = time.strftime("%Y%m%d-%H%M%S")
    folder = new_run(dataclasses.replace(config, runs_dir=tmp_path / "a" / "b"))
    assert before <= folder.name[:15] <= time.strftime("%Y%m%d-%H%M%S")
    assert folder.name[15] == "-"
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / "config.json").read_text().startswith('{\n  "batch_size": ')


def test_two_runs_at_once_have_folders_of_their_own(config):
    assert len({new_run(config) for _ in range(20)}) == 20


def test_nothing_to_resume_is_said(config, tmp_path):
    def said(folder) -> str:
        with pytest.raises(InputError) as caught:
            load_run(folder)
        return str(caught.value)

    another = "give a folder that train has made."
    assert said(tmp_path) == f"{tmp_path / 'config.json'} does not exist; {another}"
    folder = new_run(config)
    path, anew = folder / "state.pt", "if no epoch was finished, start the run anew."
    assert said(folder) == f"{path} does not exist; {anew}"
    path.write_bytes(b"broken")
    assert said(folder) == f"{path} is no PyTorch file, or only part of one; {anew}"
    for content, place in (("{", folder / "config.json"), ("{}", folder)):
        (folder / "config.json").write_text(content)
        wanted = rf"{re.escape(str(place))} holds no run to resume \(.+\); {another}"
        assert re.fullmatch(wanted, said(folder))


def train_in(folder) -> None:
    """What the command line does, in a process that may be killed at any moment."""
    torch.set_num_threads(1)
    config, state = (
        load_run(folder) if (folder / "state.pt").exists() else (read_config(folder), None)
    )
    trainer = start(config)
    if state:
        trainer.load_state_dict(state)
    trainer.run(lambda record: save_run(folder, trainer), on_step=no_bar)


def test_killed_thirty_times_it_always_loads_and_ends_with_the_same_bits(config):
    """SIGKILL at random moments; each process goes on where the last was killed."""
    config = dataclasses.replace(config, epochs=12, patience=12)
    context = multiprocessing.get_context(
        "forkserver"
    )  # quick to start, and without this process's threads
    context.set_forkserver_preload(["mnist_helpers.runs"])

    def train(folder, seconds=None) -> bool:
        process = context.Process(target=train_in, args=(folder,))
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        return process.exitcode == 0

    def ends_as_expected(folder) -> bool:
        final = load_run(folder)[1]
        same = (
            torch.equal(final["model"][name], tensor) for name, tensor in expected["model"].items()
        )
        return len(final["history"]) == 12 and all(same)

    whole, folder = new_run(config), new_run(config)
    assert train(whole)
    expected = load_run(whole)[1]
    moments, kills = random.Random(0), 0
    while kills < 30:
        if train(folder, moments.uniform(0.4, 1.4)):
            assert ends_as_expected(folder)
            folder = new_run(config)
            continue
        kills += 1
        for path in folder.glob("[a-z]*"):  # the dotted ones are what was being written
            load_tensors(path, "") if path.suffix == ".pt" else path.read_text()
        if (folder / "history.json").exists():
            json.loads((folder / "history.json").read_text())
    assert train(folder)  # however slow the machine: the last one comes to its end
    assert ends_as_expected(folder)
