"""Runs on disk: resumed bit for bit, killed at any moment, two at once."""

import dataclasses
import itertools
import json
import os
import random
import re
import signal
import sys
import time
from multiprocessing import Process
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import HANG, assert_same, forked, no_bar, slow

from mnist_helpers import Config, InputError, load_splits, make_model, training
from mnist_helpers.checkpoint import decode_tensors
from mnist_helpers.runs.folder import (
    load_run,
    new_run,
    read_config,
    save_moments,
    save_run,
)
from mnist_helpers.runs.snapshots import Snapshots, in_steps, load_snapshots, save_snapshots
from mnist_helpers.training import Trainer

RECIPE = {"epochs": 4, "rotation": 10, "snapshots": True}


@pytest.fixture
def config(short, tmp_path):
    return dataclasses.replace(short, **RECIPE, runs_dir=tmp_path / "runs")


def start(config) -> Trainer:
    return Trainer(
        make_model(config.seed), load_splits(config.data_dir, config.val_size, config.seed), config
    )


@pytest.fixture(scope="module")
def whole(small_data_dir) -> Trainer:
    """A run that nothing disturbed."""
    config = Config(batch_size=50, val_size=100, device="cpu", data_dir=small_data_dir, **RECIPE)
    trainer = start(config)
    trainer.run(on_step=no_bar)
    return trainer


@pytest.mark.parametrize("stop", [slow(1), 2, slow(3)])
def test_a_resumed_run_ends_with_the_same_bits(config, whole, stop):
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
    assert_same(second.model.state_dict(), whole.model.state_dict())
    untimed = [
        [dataclasses.replace(record, seconds=0) for record in t.history] for t in (whole, second)
    ]
    assert untimed[0] == untimed[1]
    assert [epoch for epoch, _ in whole.snapshots] == [epoch for epoch, _ in second.snapshots]


@pytest.mark.slow
def test_patience_counts_on_over_a_resume(config):
    config = dataclasses.replace(config, epochs=9, patience=2, snapshots=False)

    def went_on(trainer, losses: list[float]) -> list[float]:
        """The validation losses of a run that gets these, one in each epoch, until it ends."""
        coming = iter(losses)
        trainer.validate = lambda: (next(coming), 0.5)
        trainer.run(on_step=no_bar)
        return [record.val_loss for record in trainer.history]

    losses = [0.5, 0.6, 0.4, 0.7, 0.8, 0.3]
    whole = start(config)
    assert went_on(whole, losses) == losses[:5]  # two epochs without a lower one
    ended = start(config)
    ended.load_state_dict(whole.state_dict())
    assert went_on(ended, losses[5:]) == losses[:5]
    torn = whole.state_dict()
    torn["history"] = torn["history"][:4]
    resumed = start(config)
    resumed.load_state_dict(torn)
    assert went_on(resumed, losses[4:]) == losses[:5]


def test_the_folder_tells_the_run(config):
    config = dataclasses.replace(config, epochs=2, snapshots=False)
    folder, trainer = new_run(config), start(config)
    trainer.run(lambda record: save_run(folder, trainer), on_step=no_bar)
    wanted = [dataclasses.asdict(record) for record in trainer.history]
    assert json.loads((folder / "history.json").read_text()) == wanted


def test_snapshots_are_kept_small_and_nearly_exact(config, monkeypatch):
    monkeypatch.setattr(training, "MOMENTS", {1, 4})
    trainer = start(dataclasses.replace(config, epochs=2))
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


@pytest.mark.parametrize("kind", [np.float64, np.int64, np.uint8])
def test_changes_are_numbers_of_two_bytes(tmp_path, kind):
    path = tmp_path / "moments.npz"
    weights = [{"x": torch.full((4,), float(at))} for at in range(2)]
    save_snapshots(path, Snapshots([0.0, 1.0], weights, {"val_loss": [0.5]}))
    arrays = dict(np.load(path))
    arrays["changes/x"] = arrays["changes/x"].astype(kind)
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="x is not of finite numbers, one for each moment"):
        load_snapshots(path)


def test_a_new_run_is_named_after_the_time_and_open_to_all(config, tmp_path):
    before = time.strftime("%Y%m%d-%H%M%S")
    folder = new_run(dataclasses.replace(config, runs_dir=tmp_path / "a" / "b"))
    assert before <= folder.name[:15] <= time.strftime("%Y%m%d-%H%M%S")
    assert folder.name[15] == "-"
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / "config.json").read_text().startswith('{\n  "epochs": 4,\n  "seed": ')


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


STEPS = 18  # of an epoch
EVENTS = STEPS + 4  # of an epoch that is saved: each of two files is written, then moved


def train_in(folder, last: int | None = None) -> None:
    """What the command line does, in a process that kills itself at event number `last`.

    Steps, files that are written beside their place, and files that are moved there are events.
    """
    events = itertools.count(1)

    def count_on(call):
        def counting(*args, **options):
            result = call(*args, **options)
            if next(events) == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counting

    torch.set_num_threads(1)
    Path.write_bytes = count_on(Path.write_bytes)
    os.replace = count_on(os.replace)
    config, state = read_config(folder), None
    if (folder / "state.pt").exists():
        config, state = load_run(folder)
    trainer = start(config)
    if state:
        trainer.load_state_dict(state)
    trainer.run(lambda record: save_run(folder, trainer), on_step=count_on(no_bar))


@pytest.mark.skipif(sys.platform == "win32", reason="forks, and kills as on POSIX")
@pytest.mark.parametrize(
    ("epochs", "last_events"),
    [
        # in the first epoch, as state.pt is to be moved, after history.json of the second epoch
        slow(3, [7, EVENTS - 1, EVENTS + STEPS + 2]),
        slow(12, random.Random(0).choices(range(1, 50), k=30)),
    ],
)
def test_killed_again_and_again_it_always_loads_and_ends_with_the_same_bits(
    config, epochs, last_events
):
    """Each process goes on where the last killed itself."""
    config = dataclasses.replace(config, epochs=epochs, patience=epochs)

    def train(folder, last=None) -> Process:
        process = forked(train_in, folder, last)
        process.join(HANG)
        return process

    def assert_at_its_end(folder) -> None:
        final = load_run(folder)[1]
        assert len(final["history"]) == epochs
        assert_same(final["model"], expected["model"])

    whole, folder = new_run(config), new_run(config)
    assert train(whole).exitcode == 0
    expected = load_run(whole)[1]
    fell = {"into a step": 0, "beside": 0, "into its place": 0}
    for last in last_events:
        process = train(folder, last)
        if process.exitcode == 0:  # its end came first
            assert_at_its_end(folder)
            folder = new_run(config)
            process = train(folder, last)
        assert process.exitcode == -signal.SIGKILL
        left = list(folder.glob(f".*.{process.pid}.part"))
        done = (last - 1) % EVENTS - STEPS
        where = "into a step"
        if done >= 0:
            where = "into its place" if done % 2 else "beside"
        assert len(left) == (where == "beside")
        fell[where] += 1
        for path in folder.glob("[a-z]*"):  # the dotted ones are what was being written
            content = path.read_bytes()
            decode_tensors(content, path, "") if path.suffix == ".pt" else content.decode()
        if (folder / "history.json").exists():
            json.loads((folder / "history.json").read_text())
    assert min(fell.values()) >= 1
    assert train(folder).exitcode == 0
    assert_at_its_end(folder)
