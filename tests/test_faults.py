"""Faults, each really injected: kills, full disks, read-only folders, dead workers, interrupts."""

import contextlib
import copy
import dataclasses
import itertools
import json
import os
import random
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing import Process
from pathlib import Path

import pytest
import torch
from conftest import HANG, assert_same, forked, no_bar, sentences, slow, soak
from PIL import Image
from test_cli import options_for, run
from test_notebooks import make_notebook
from torch.utils.data import TensorDataset, get_worker_info

from mnist_helpers import (
    Config,
    InputError,
    load_checkpoint,
    load_splits,
    make_model,
    save_checkpoint,
    training,
)
from mnist_helpers.checkpoint import read_card
from mnist_helpers.commands import cli, notebooks, train, visualize
from mnist_helpers.commands.notebooks import execute
from mnist_helpers.explorer import Subject
from mnist_helpers.explorer.paper import Still
from mnist_helpers.files import reason, write_files
from mnist_helpers.metrics import EpochRecord
from mnist_helpers.runs.folder import load_run, new_run, owned, save_moments, save_run
from mnist_helpers.runs.snapshots import load_snapshots
from mnist_helpers.training import Trainer
from mnist_helpers.work import explaining_faults

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="faults of POSIX")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def ended(process: Process) -> int:
    """The exit code of a fork, which must end some day; -9 where it was killed."""
    process.join(HANG)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"not ended after {HANG} s")
    return process.exitcode


def speak(out: Path, limits: dict, spoil: Callable[[], object], args: tuple) -> None:
    """What a fork does for `command`: the command line, with files in place of a terminal."""
    for number, path in ((1, out), (2, out.with_suffix(".err"))):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    threading.excepthook = threading.__excepthook__  # pytest has its own
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, closefd=False) for number in (1, 2))
    try:
        for what, most in limits.items():
            resource.setrlimit(what, (most, most))
        spoil()
        cli.main([str(arg) for arg in args])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def start(
    out: Path, *args, limits: dict | None = None, spoil: Callable[[], object] = lambda: None
) -> Process:
    """Starts a command in a fork, which `spoil` changes before."""
    return forked(speak, out, limits or {}, spoil, args)


def command(*args, limits: dict | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command, run in a fork under `limits` of the system."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out"
        code = ended(start(out, *args, limits=limits))
        return code, out.read_text(), out.with_suffix(".err").read_text()


def assert_one_sentence(done: tuple[int, str, str], *parts: str) -> None:
    """A command ended with exit code 2 and one sentence."""
    code, out, err = done
    err = sentences(err)
    assert "Traceback" not in out
    assert (code, err.count("\n")) == (2, 1), err
    assert err.startswith("mnist-helpers: ")
    assert "Traceback" not in err
    for part in parts:
        assert part in err


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def mounted(tmp_path):
    """Mounts small file systems of memory, which only root may."""
    mounts = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk{len(mounts)}"
        folder.mkdir()
        call = ["mount", "-t", "tmpfs", "-o", options, "none", folder]
        if not shutil.which("mount") or subprocess.run(call, capture_output=True).returncode:
            pytest.skip("no file system can be mounted here")
        mounts.append(folder)
        return folder

    yield mount
    for folder in mounts:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Takes all the room of a file system."""
    path = folder / "filler"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return path


@pytest.fixture(scope="module")
def begun(small_data_dir) -> tuple[Config, dict]:
    """The configuration of a run of three epochs, and its state after the first, with snapshots."""
    config = Config(
        epochs=3, batch_size=50, val_size=100, device="cpu", data_dir=small_data_dir, snapshots=True
    )
    splits = load_splits(config.data_dir, config.val_size, config.seed)
    trainer = Trainer(make_model(config.seed), splits, config)
    states = []

    def stop(record):
        states.append(copy.deepcopy(trainer.state_dict()))
        raise KeyboardInterrupt

    trainer.run(stop, no_bar)
    return config, states[0]


class Reached:
    """Stands for a Trainer that has come so far."""

    def __init__(self, state: dict) -> None:
        self.history = [EpochRecord(**record) for record in state["history"]]
        self.state_dict = lambda: state


def torn_run(begun: tuple[Config, dict], runs_dir: Path, **options) -> Path:
    """The folder of a run that was interrupted after its first epoch of three."""
    config, state = begun
    config = dataclasses.replace(config, **{"runs_dir": runs_dir, "snapshots": False} | options)
    folder = new_run(config)
    snapshots = state["snapshots"] if config.snapshots else []
    save_run(folder, Reached(state | {"snapshots": snapshots}))
    return folder


@pytest.fixture
def torn(begun, tmp_path):
    """Makes such a run."""

    def make(runs_dir: Path = tmp_path / "runs", **options) -> Path:
        return torn_run(begun, runs_dir, **options)

    return make


@pytest.fixture(scope="module")
def whole(begun, tmp_path_factory):
    """The weights with which such a run ends where nothing disturbs it."""
    folder = torn_run(begun, tmp_path_factory.mktemp("undisturbed"))
    assert command("train", "--resume", folder)[0] == 0
    return load_run(folder)[1]["model"]


def assert_goes_on(folder: Path, whole: dict) -> None:
    """The run is resumed, and ends with the same bits as one that nothing disturbed."""
    assert command("train", "--resume", folder)[0] == 0
    state = load_run(folder)[1]
    assert len(state["history"]) == 3
    assert_same(state["model"], whole)
    assert "test" in load_checkpoint(folder / "model.pth")[1]


# kills


def signalling(owner: object, name: str, at: int, *signals: int, done: bool = False) -> Callable:
    """A function that signals to this process as its call `at` begins, or when it is `done`."""
    real = getattr(owner, name)
    calls = itertools.count(1)

    def signal_at(moment):
        if moment == (at, done):
            for number in signals:
                os.kill(os.getpid(), number)

    def call(*args, **options):
        count = next(calls)
        signal_at((count, False))
        result = real(*args, **options)
        signal_at((count, True))
        return result

    return call


def save_and_die(path: Path, owner: object, name: str, at: int, done: bool) -> None:
    setattr(owner, name, signalling(owner, name, at, signal.SIGKILL, done=done))
    save_checkpoint(make_model(2), path, Config(seed=2), {"epochs_run": 2})


PTH, CARD = ".model.pth.{}.part", ".model.json.{}.part"
ALONE = ["model.pth"]
BOTH = ["model.json", "model.pth"]


@pytest.mark.parametrize(
    ("owner", "name", "at", "done", "seed", "visible", "left"),
    [
        (Path, "write_bytes", 1, False, 1, BOTH, []),
        (Path, "write_bytes", 1, True, 1, BOTH, [PTH]),
        (Path, "write_bytes", 2, False, 1, BOTH, [PTH]),
        (Path, "write_bytes", 2, True, 1, BOTH, [CARD, PTH]),
        (Path, "unlink", 1, False, 1, BOTH, [CARD, PTH]),
        (Path, "unlink", 1, True, 1, ALONE, [CARD, PTH]),
        (os, "replace", 1, False, 1, ALONE, [CARD, PTH]),
        (os, "replace", 1, True, 2, ALONE, [CARD]),
        (os, "replace", 2, False, 2, ALONE, [CARD]),
        (os, "replace", 2, True, 2, BOTH, []),
        (Path, "unlink", 2, False, 2, BOTH, []),
        (Path, "unlink", 3, True, 2, BOTH, []),
    ],
)
def test_killed_at_each_point_of_a_save_the_old_or_the_new_file_loads(
    tmp_path, owner, name, at, done, seed, visible, left
):
    """Old or new weights have their own card, or none; what was half written is hidden."""
    path = tmp_path / "model.pth"
    save_checkpoint(make_model(1), path, Config(seed=1), {"epochs_run": 1})
    saver = forked(save_and_die, path, owner, name, at, done)
    assert ended(saver) == -signal.SIGKILL
    model, card = load_checkpoint(path)
    assert_same(model.state_dict(), make_model(seed).state_dict())
    assert card.get("epochs_run") == (seed if visible == BOTH else None)
    assert names(tmp_path) == [part.format(saver.pid) for part in left] + visible


def save_for_ever(path: Path) -> None:
    for seed in itertools.cycle((1, 2)):
        save_checkpoint(make_model(seed), path, Config(seed=seed), {"epochs_run": seed})


@pytest.mark.parametrize("kills", [slow(25), soak(100)])
def test_killed_at_any_moment_the_old_or_the_new_file_loads(tmp_path, kills):
    path = tmp_path / "model.pth"
    moments = random.Random(0)
    expected = {seed: make_model(seed).state_dict() for seed in (1, 2)}
    save_checkpoint(make_model(1), path, Config(seed=1), {"epochs_run": 1})
    for _ in range(kills):
        process = forked(save_for_ever, path)
        time.sleep(moments.uniform(0.02, 0.08))
        process.kill()
        assert ended(process) == -signal.SIGKILL
        model, card = load_checkpoint(path)
        seed = int(torch.equal(model.fc2.weight, expected[2]["fc2.weight"])) + 1
        assert_same(model.state_dict(), expected[seed])
        if card:
            assert card["epochs_run"] == seed
    visible = {name for name in names(tmp_path) if not name.startswith(".")}
    assert {"model.pth"} <= visible <= {"model.pth", "model.json"}


# a full disk


def work_of(kind: str, folder: Path, small_data_dir: Path) -> list[str]:
    """A command that writes into `folder`."""
    data = f"--data-dir {small_data_dir}"
    train = f"train {data} --val-size 100 --batch-size 50 --device cpu --epochs 2"
    train += f" --runs-dir {folder.parent}/runs"
    lines = {
        "model": f"{train} --model-save-path {folder}/old.pth",
        "tensorboard": f"{train} --tensorboard {folder}",
        "run": f"{train} --runs-dir {folder}",
        "visualize": f"visualize {data} --views answer --out {folder}",
        "analyze": f"analyze --out {folder}",
        "site": f"site {data} --out {folder}",
        "notebooks": f"notebooks load_model --output-dir {folder}",
    }
    export = f"export --format {kind} --out {folder}/x.{kind}"
    return lines.get(kind, export).split()


OLD = {  # what is there before, of the kind that is written
    "model": "old.pth", "visualize": "answer.png", "analyze": "report.html",
    "safetensors": "x.safetensors", "onnx": "x.onnx", "pt2": "x.pt2", "site": "lab.html",
}  # fmt: skip
KINDS = ["run", slow("model"), slow("visualize"), slow("safetensors")]
KINDS += map(soak, ("analyze", "onnx", "pt2", "site", "notebooks"))


def check_full(kind: str, folder: Path, done: tuple[int, str, str]) -> None:
    """A sentence, and no file that isn't whole; the old one is as it was."""
    _, out, err = done
    assert_one_sentence(done)
    told = out if kind == "notebooks" else err
    assert "No space left on device" in told or "File too large" in told
    if kind in OLD:
        assert (folder / OLD[kind]).read_text() == "old"
    for path in folder.rglob("*"):
        assert not path.name.startswith(".") or path.name == ".lock"
        if path.suffix == ".png" and path.read_bytes() != b"old":
            Image.open(path).load()
        if path.suffix == ".json":
            json.loads(path.read_text())
        assert path.name not in ("state.pt", "model.pth", "model.json", "snapshots.npz")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_too_large_is_one_sentence_and_the_old_one_stays(kind, small_data_dir, tmp_path):
    """The limit of the system on the size of a file stands for a disk that becomes full."""
    folder = tmp_path / "there"
    folder.mkdir()
    if kind in OLD:
        (folder / OLD[kind]).write_text("old")
    limits = {resource.RLIMIT_FSIZE: 4000 if kind == "visualize" else 60_000}
    done = command(*work_of(kind, folder, small_data_dir), limits=limits)
    check_full(kind, folder, done)


@pytest.mark.parametrize("kind", [slow("tensorboard"), *KINDS])
def test_a_full_disk_is_one_sentence_and_the_old_file_stays(
    kind, small_data_dir, mounted, tmp_path
):
    folder = mounted("size=64k")
    if kind in OLD:
        (folder / OLD[kind]).write_text("old")
    filler = fill(folder)
    with filler.open("r+b") as file:
        file.truncate(max(filler.stat().st_size - 8192, 0))  # a little is written, then no more
    if kind in ("visualize", "tensorboard"):  # which write less than that
        fill(folder)
    done = command(*work_of(kind, folder, small_data_dir))
    check_full(kind, folder, done)
    if kind == "tensorboard":  # what was reached is there all the same, and goes on with room
        (saved,) = (tmp_path / "runs").iterdir()
        assert load_checkpoint(saved / "model.pth")[1]["epochs_run"] == 1
        subprocess.run(["mount", "-o", "remount,size=9m", folder], check=True)
        assert command("train", "--resume", saved)[0] == 0
        assert len(load_run(saved)[1]["history"]) == 2


def test_a_run_on_a_full_disk_goes_on_when_there_is_room(torn, whole, mounted, tmp_path):
    disk = mounted("size=9m")
    folder = torn(runs_dir=disk)
    before = contents(folder)
    filler = fill(disk)
    done = command("train", "--resume", folder)
    assert_one_sentence(done, f"{folder}/", "No space left on device")
    after = contents(folder)
    assert {path: after[path] for path in before} == before
    assert {path.name for path in after.keys() - before.keys()} <= {".lock", "log.txt"}
    filler.unlink()
    assert_goes_on(folder, whole)


@pytest.mark.slow
def test_weights_have_a_place_of_their_own_where_the_run_has_no_room(torn, mounted, tmp_path):
    disk, path = mounted("size=9m"), tmp_path / "elsewhere.pth"
    folder = torn(runs_dir=disk, model_save_path=path)
    fill(disk)
    assert_one_sentence(command("train", "--resume", folder), "No space left on device")
    assert load_checkpoint(path)[1]["epochs_run"] >= 1
    assert not (folder / "model.pth").exists()


@pytest.mark.slow
def test_snapshots_on_a_full_disk_leave_the_old_ones(torn, tmp_path):
    folder = torn(snapshots=True)
    (folder / "snapshots.npz").write_text("old")
    config, state = load_run(folder)
    trainer = Trainer(make_model(), load_splits(config.data_dir, config.val_size), config)
    trainer.load_state_dict(state)
    trainer.snapshots = trainer.snapshots[::6]  # a few, for packing takes its time

    def save():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        with pytest.raises(InputError, match=r"snapshots\.npz can't be written \(File too large"):
            save_moments(folder, trainer)

    assert ended(forked(save)) == 0
    assert (folder / "snapshots.npz").read_text() == "old"


@pytest.mark.slow
def test_a_notebook_that_has_no_room_is_reported(tmp_path):
    source = make_notebook(tmp_path / "a.ipynb", "1", "print('x' * 200_000)", "2")
    target = tmp_path / "there" / "a.ipynb"
    target.parent.mkdir()

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        error = execute(source, target, {}, HANG)
        assert "File too large" in error, error

    assert ended(forked(work)) == 0


# folders that can't be written


PLACES = ["/dev/null/x", "/proc/x", "file", "circle", "read-only"]
WRITERS = [
    "train --epochs 1 {data} {run} --runs-dir {folder}/deep",
    "train --epochs 1 {data} {run} --tensorboard {folder}/deep",
    "train --epochs 1 {data} {run} --model-save-path {folder}/model.pth",
    "visualize {data} --views answer --out {folder}/deep",
    "analyze {data} --out {folder}/deep",
    "site {data} --out {folder}/deep",
    "notebooks load_model --output-dir {folder}/deep",
    "export {data} --format onnx --out {folder}/model.onnx",
]


WORK = [  # what takes long in each command
    (Trainer, "run"),
    ("mnist_helpers.commands.visualize.still", None),
    ("mnist_helpers.commands.site.write_site", None),
    ("mnist_helpers.commands.export.load_checkpoint", None),
    ("papermill.execute_notebook", None),
]


@pytest.fixture
def no_work(monkeypatch):
    """Whatever takes long fails."""

    def begun(*args, **options):
        raise AssertionError("the work has begun")

    for owner, name in WORK:
        place = (owner,) if name is None else (owner, name)
        monkeypatch.setattr(*place, begun)


@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_cannot_be_written_is_named_before_the_work(
    place, capsys, small_data_dir, tmp_path, request, no_work
):
    folder = Path(place)
    if place == "file":
        folder = tmp_path / "file"
        folder.write_text("in the way")
    if place == "circle":
        folder = tmp_path / "circle"
        folder.symlink_to(folder)
    if place == "read-only":
        folder = request.getfixturevalue("mounted")("size=64k,ro")
    elif place == "/proc/x" and not Path("/proc").exists():
        pytest.skip("no /proc")
    options = {"data": f"--data-dir {small_data_dir}", "folder": folder}
    options["run"] = f"--val-size 100 --runs-dir {tmp_path}"
    for line in WRITERS:
        done = run(capsys, *line.format(**options).split())
        assert_one_sentence(done, str(folder), "can't")
    if place == "file":
        assert folder.read_text() == "in the way"


def test_a_run_in_a_read_only_folder_is_one_sentence(torn, mounted, tmp_path):
    disk = mounted("size=9m")
    folder = torn(runs_dir=disk)
    before = contents(folder)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    done = command("train", "--resume", folder)
    assert_one_sentence(done, str(folder), "Read-only file system")
    assert contents(folder) == before


# two at once


def hold(folder: Path, sign: Path) -> None:
    with owned(folder):
        sign.touch()
        time.sleep(10 * HANG)  # until it is killed


def wait_for(path: Path, text: str = "") -> None:
    until = time.monotonic() + HANG
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < until, f"{path} never held {text!r}"
        time.sleep(0.005)


def test_a_run_in_use_is_left_alone_until_its_process_is_gone(torn, whole, tmp_path):
    folder = torn()
    other = forked(hold, folder, tmp_path / "held")
    try:
        wait_for(tmp_path / "held")
        (folder / ".state.pt.1.part").write_text("being written")
        before = contents(folder)
        done = command("train", "--resume", folder)
        assert_one_sentence(done, f"{folder} is in use by another process; wait until it ends")
        assert contents(folder) == before
    finally:
        other.kill()  # or it would be waited for
    ended(other)
    assert_goes_on(folder, whole)


# the clock


@pytest.mark.slow
def test_a_clock_that_jumps_back_harms_nothing(short, capsys, tmp_path, monkeypatch):
    jumps, real = itertools.count(), time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600 * next(jumps))
    monkeypatch.setattr(time, "strftime", lambda form: "20200101-000000-")
    runs = tmp_path / "runs"
    for _ in range(3):
        code, _, err = run(capsys, *options_for(short, runs), "--epochs", 1)
        assert (code, err) == (0, "")
    folders = sorted(runs.iterdir())
    assert len(folders) == 3
    for folder in folders:
        _, card = load_checkpoint(folder / "model.pth")
        assert 0 <= card["train_seconds"] < HANG  # each look at that clock is an hour off
        assert all(0 <= record["seconds"] < HANG for record in load_run(folder)[1]["history"])


# processes that load batches


def worker_dies(sign: Path) -> None:
    """Lets the processes that load batches kill themselves, after the second epoch is saved."""
    save, get, saves = train.save_run, TensorDataset.__getitem__, itertools.count(1)

    def keep(folder, trainer):
        save(folder, trainer)
        if next(saves) == 2:
            sign.touch()

    def look_up(dataset, indices):
        if get_worker_info() and sign.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return get(dataset, indices)

    train.save_run = keep
    TensorDataset.__getitem__ = look_up


@needs_linux
@pytest.mark.slow
def test_a_killed_worker_is_one_sentence_and_the_best_so_far_is_saved(short, tmp_path):
    out = tmp_path / "said"
    runs = tmp_path / "runs"
    options = [*options_for(short, runs), "--epochs", 4, "--num-workers", 2]
    process = start(out, *options, spoil=lambda: worker_dies(tmp_path / "sign"))
    done = ended(process), out.read_text(), out.with_suffix(".err").read_text()
    failed = "a process that loads batches failed (DataLoader worker"
    assert_one_sentence(done, failed, "lower num_workers (0 starts no process)")
    (folder,) = runs.iterdir()
    config, state = load_run(folder)
    model, card = load_checkpoint(folder / "model.pth")
    assert card["epochs_run"] == len(state["history"]) == 2
    assert "test" not in card
    trainer = Trainer(make_model(), load_splits(config.data_dir, 100), config)
    trainer.load_state_dict(state)
    assert torch.equal(trainer.best_weights["fc1.weight"], model.fc1.weight)
    steps = itertools.count()

    def stop_soon(loss):
        if next(steps) == 20:  # 18 steps are an epoch
            raise KeyboardInterrupt

    trainer.run(on_step=stop_soon)
    assert len(trainer.history) == len(state["history"]) + 1


@pytest.mark.parametrize(
    "error", [BlockingIOError(11, "Resource busy"), OSError(12, "Cannot allocate memory")]
)
def test_a_limit_on_processes_is_one_sentence(error, short, capsys, tmp_path, monkeypatch):
    def refuse():
        raise error

    monkeypatch.setattr(os, "fork", refuse)
    done = run(capsys, *options_for(short, tmp_path / "runs"), "--num-workers", 1)
    failed = f"a process that loads batches failed ({error.strerror})"
    assert_one_sentence(done, failed, "lower num_workers")


@pytest.mark.soak
@needs_linux
def test_workers_of_a_killed_run_hold_it_for_seconds_only(short, tmp_path):
    out, runs = tmp_path / "said", tmp_path / "runs"
    process = start(out, *options_for(short, runs), "--epochs", 500, "--num-workers", 2)
    wait_for(out, "epoch  1")
    process.kill()
    ended(process)
    (folder,) = runs.iterdir()
    began = time.monotonic()
    while True:
        try:
            with owned(folder):
                break
        except InputError:
            assert time.monotonic() < began + HANG
            time.sleep(0.1)
    print(f"the lock was free after {time.monotonic() - began:.1f} s")


# numbers


def finished(config, damage, epoch: int, monkeypatch) -> tuple[Path, Trainer, str]:
    """A run whose training images are damaged after an epoch: its folder, trainer and sentence."""
    splits = load_splits(config.data_dir, config.val_size)
    folder, trainer = new_run(config), Trainer(make_model(), splits, config)

    def save(folder, trainer):
        save_run(folder, trainer)
        if len(trainer.history) == epoch:
            trainer.loader.dataset.tensors[0].fill_(damage)

    monkeypatch.setattr(train, "save_run", save)
    if not epoch:
        trainer.loader.dataset.tensors[0].fill_(damage)
    with pytest.raises(InputError) as error:
        train.train_and_save(trainer, splits, folder)
    return folder, trainer, str(error.value)


@pytest.mark.parametrize("damage", [float("nan"), slow(float("inf"))])
def test_a_loss_that_is_no_number_keeps_the_last_good_weights(short, tmp_path, monkeypatch, damage):
    config = dataclasses.replace(
        short, epochs=5, runs_dir=tmp_path / "runs", model_save_path=None, snapshots=damage > 0
    )
    monkeypatch.setattr(training, "MOMENTS", {2, 43})  # few, for packing takes its time
    folder, trainer, told = finished(config, damage, 2, monkeypatch)
    assert told.startswith("the loss of epoch 3 is not a number; lower learning_rate")
    model, card = load_checkpoint(folder / "model.pth")
    assert card["epochs_run"] == 2
    assert "test" not in card
    if config.snapshots:  # the third epoch has no numbers, nor its seventh step
        assert load_snapshots(folder / "snapshots.npz").epochs[-1] == 2
    assert_same(model.state_dict(), trainer.model.state_dict())
    assert torch.isfinite(model.fc1.weight).all()
    assert len(load_run(folder)[1]["history"]) == 2
    assert not trainer.interrupted


def test_a_loss_that_is_no_number_at_once_saves_nothing(short, tmp_path, monkeypatch):
    config = dataclasses.replace(short, runs_dir=tmp_path / "runs")
    folder, _, told = finished(config, float("nan"), 0, monkeypatch)
    assert told.startswith("the loss of epoch 1 is not a number")
    assert names(folder) == ["config.json"]
    assert not config.model_save_path.exists()


@needs_linux
@pytest.mark.parametrize("workers", [slow(0), soak(1)])
def test_a_batch_too_large_for_the_memory_is_named(short, tmp_path, workers):
    options = [*options_for(short, tmp_path / "runs"), "--rotation", 5, "--num-workers", workers]
    # in a process of its own: in a fork of this one is memory that other tests have left
    # the first run imports what is imported late, and takes the memory that every run takes
    begin = f"""
import contextlib, io, resource
from mnist_helpers.commands.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    main({[str(each) for each in [*options, "--batch-size", 100, "--epochs", 1]]})
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 2**26, size + 2**26))
main({[str(each) for each in [*options, "--batch-size", 900]]})
"""
    done = subprocess.run(
        [sys.executable, "-c", begin], capture_output=True, text=True, timeout=HANG, check=False
    )
    said = "batch_size is 900, and such a batch needs too much memory"
    assert_one_sentence((done.returncode, "", done.stderr), said)
    assert done.stderr.endswith("; lower batch_size.\n")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        RuntimeError("could not create a primitive"),
        OSError(12, "Cannot allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    ],
)
def test_every_word_for_too_little_memory_is_known(few, error):
    def fail(loss):
        raise error

    trainer = Trainer(make_model(), few, Config(batch_size=70, device="cpu"))
    with pytest.raises(InputError, match="batch_size is 70, and such a batch needs too much"):
        trainer.run(on_step=fail)


def test_a_fault_that_is_not_of_too_little_memory_keeps_its_name():
    error = RuntimeError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(RuntimeError, match="illegal"), explaining_faults(Config()):
        raise error


# interrupts


def interrupting(monkeypatch, owner, name: str, at: int, times: int = 1) -> None:
    """Interrupts `times` times as call number `at` of a function begins."""
    signals = [signal.SIGINT] * times
    monkeypatch.setattr(owner, name, signalling(owner, name, at, *signals))


@pytest.mark.parametrize(
    ("owner", "name", "at", "times"),
    [
        slow(Trainer, "validate", 2, 1),
        slow(train, "save_run", 2, 1),
        (train, "save_run", 2, 2),  # the second one does not wait
        slow(train, "evaluate", 1, 1),
        slow(train, "evaluate", 2, 1),
        (train, "save_checkpoint", 1, 1),
    ],
)
def test_a_run_at_its_end_is_not_interrupted(
    owner, name, at, times, short, capsys, tmp_path, monkeypatch
):
    interrupting(monkeypatch, owner, name, at, times)
    code, out, err = run(capsys, *options_for(short, tmp_path), "--epochs", 2)
    assert (code, err) == (0, "")
    assert "interrupted" not in out
    (folder,) = tmp_path.glob("2*")
    _, card = load_checkpoint(folder / "model.pth")
    assert card["epochs_run"] == 2
    assert {"validation", "test"} <= card.keys()


@pytest.mark.parametrize("again", [slow(False), True])
def test_an_interrupted_run_is_saved_and_goes_on(again, torn, whole, capsys, tmp_path, monkeypatch):
    folder = torn(runs_dir=tmp_path / "my runs")
    with monkeypatch.context() as patch:
        interrupting(patch, train, "save_run", 1)  # at the end of the second epoch of three
        if again:
            interrupting(patch, train, "save_checkpoint", 1)
        code, out, err = run(capsys, "train", "--resume", folder)
    assert (code, err) == (130, "")
    said, _, command = out.splitlines()[-1].partition(": ")
    assert said == "interrupted; go on with"
    assert shlex.split(command) == ["mnist-helpers", "train", "--resume", str(folder)]
    _, card = load_checkpoint(folder / "model.pth")
    assert card["epochs_run"] == 2
    assert "test" not in card
    assert "epoch  2" in (folder / "log.txt").read_text()
    assert_goes_on(folder, whole)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "x"), "No space left on device"),
        (ValueError("two\n lines"), "two lines"),
        (ValueError("x" * 200), "x" * 160),
        (MemoryError(), "MemoryError"),
        (ValueError("no image <_io.BytesIO object at 0x7f18>"), "no image"),
    ],
)
def test_a_reason_is_a_short_line(error, said):
    assert reason(error) == said


@pytest.mark.parametrize(
    ("owner", "name", "at", "drawn"),
    [
        (visualize, "load_checkpoint", 1, []),
        (Subject, "check", 1, []),
        (visualize, "still", 2, ["kernels.png"]),
        (Still, "png", 1, []),
        (Path, "write_bytes", 1, []),
        (Path, "write_bytes", 2, ["kernels.png"]),
        (os, "replace", 2, ["kernels.png"]),
        (Path, "unlink", 1, ["kernels.png"]),
    ],
)
def test_interrupted_drawing_leaves_no_half_picture(
    owner, name, at, drawn, small_data_dir, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(visualize, "views_of", lambda subject: ["kernels", "answer"])
    interrupting(monkeypatch, owner, name, at)
    code, _, err = run(capsys, "visualize", "--data-dir", small_data_dir, "--out", tmp_path)
    assert (code, sentences(err)) == (130, "mnist-helpers: interrupted\n")
    assert names(tmp_path) == drawn
    for path in tmp_path.iterdir():
        Image.open(path).load()


def alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@needs_linux
def test_interrupted_notebooks_end_at_once_with_their_kernels(tmp_path):
    out, folder, sources = tmp_path / "said", tmp_path / "there", tmp_path / "sources"
    sources.mkdir()
    signs = [tmp_path / "load_model", tmp_path / "analysis"]
    for sign in signs:
        code = f"""
import os, pathlib, time
pathlib.Path({str(sign)!r}).write_text(f"{{os.getpid()}}.")
time.sleep({10 * HANG})"""
        make_notebook(sources / f"{sign.name}.ipynb", code)

    def elsewhere():
        notebooks.NOTEBOOKS_DIR = sources

    call = ["notebooks", *[sign.name for sign in signs], "--output-dir", folder]
    process = start(out, *call, "--timeout", 20 * HANG, spoil=elsewhere)
    for sign in signs:
        wait_for(sign, ".")
    kernels = [int(sign.read_text()[:-1]) for sign in signs]
    assert all(map(alive, kernels))
    os.kill(process.pid, signal.SIGINT)
    assert ended(process) == 130  # long before the end of the cells
    assert sentences(out.with_suffix(".err").read_text()) == "mnist-helpers: interrupted\n"
    until = time.monotonic() + HANG
    while any(map(alive, kernels)):
        assert time.monotonic() < until
        time.sleep(0.1)


# an output that nobody reads, or that has no room


def shell(line: str) -> subprocess.CompletedProcess:
    line = f"set -o pipefail; {line.replace('mnist-helpers', f'{sys.executable} -m mnist_helpers')}"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("args", [slow("predict {}"), "--help"])
def test_an_output_closed_early_is_no_error(args, seven):
    done = shell(f"mnist-helpers {args.format(seven)} | head -c 0")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("args", ["predict {}", "--help"])
def test_an_answer_that_has_no_room_is_told(args, seven):
    done = shell(f"mnist-helpers {args.format(seven)} > /dev/full")
    assert_one_sentence((done.returncode, "", done.stderr), "No space left on device")


@pytest.mark.parametrize("output", [soak("| head -c 0"), soak("> /dev/full")])
def test_a_run_goes_on_where_nobody_hears_of_it(output, torn, whole, tmp_path):
    folder = torn()
    done = shell(f"mnist-helpers train --resume {folder} {output}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "epoch  3" in (folder / "log.txt").read_text()
    assert "test" in load_checkpoint(folder / "model.pth")[1]
    assert_goes_on(folder, whole)


def test_a_card_of_more_than_16_megabytes_is_not_read(tmp_path):
    (tmp_path / "card.json").touch()
    os.truncate(tmp_path / "card.json", 16_000_001)
    with pytest.raises(InputError, match="it is larger than 16,000,000 bytes"):
        read_card(tmp_path / "card.json")


def test_several_files_are_moved_only_when_all_are_written(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(InputError, match=r"b can't be written .*; make room or choose another"):
        write_files({tmp_path / "a": b"new", tmp_path / "missing" / "b": b"new"})
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


@pytest.mark.soak
def test_the_real_command_line_killed_a_hundred_times(short, tmp_path):
    """Processes of their own, killed from their start to their end; the last one comes to it."""
    moments, folder, kills = random.Random(0), None, 0
    options = [*options_for(short, tmp_path / "runs"), "--epochs", 40, "--patience", 40]
    while kills < 100:
        args = ["train", "--resume", folder] if folder else options
        process = start(tmp_path / "said", *args)
        time.sleep(moments.uniform(0.2, 2.5))
        process.kill()
        kills += ended(process) == -signal.SIGKILL
        for each in (tmp_path / "runs").glob("*/state.pt"):
            folder = each.parent
            assert len(load_run(folder)[1]["history"]) >= 1
        if folder and (folder / "model.pth").exists():
            load_checkpoint(folder / "model.pth")
            shutil.rmtree(folder)
            folder = None
    done = command(*(["train", "--resume", folder] if folder else options))
    assert done[0] == 0, done
    for each in (tmp_path / "runs").glob("*/model.pth"):
        assert load_checkpoint(each)[1]["epochs_run"] == 40
