"""A run on disk: a folder of its own, whole after every epoch, from which it can be resumed.

TensorBoard's files are an extra, written beside.
"""

import contextlib
import io
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from mnist_helpers.checkpoint import MOST_BYTES, decode_tensors
from mnist_helpers.config import Config, InputError, path_text
from mnist_helpers.files import decoding, read_file, read_json, write_files, write_json
from mnist_helpers.metrics import EpochRecord
from mnist_helpers.runs.snapshots import Snapshots, save_snapshots
from mnist_helpers.training import CURVES, Trainer, run_figures

REMEDY = "give a folder that train has made"


def new_run(config: Config) -> Path:
    """Makes a new folder in `config.runs_dir`, named after the time, with config.json in it.

    Raises:
        InputError: no folder can be made there.
    """
    with decoding(config.runs_dir, "can't hold a run", "choose another runs_dir"):
        config.runs_dir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=config.runs_dir))
        folder.chmod(0o755)  # mkdtemp's are private
    write_json(folder / "config.json", config, path_text)
    return folder


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Keeps other processes out of the run in `folder`.

    Raises:
        InputError: another process trains there.
    """
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise InputError(
            f"{folder} is in use by another process; wait until it ends, or start a separate run."
        ) from error


def save_run(folder: Path, trainer: Trainer) -> None:
    """Writes what `trainer` has reached: history.json and state.pt."""
    state = io.BytesIO()
    torch.save(trainer.state_dict(), state)
    write_json(folder / "history.json", trainer.history)
    write_files({folder / "state.pt": state.getvalue()})


def save_moments(folder: Path, trainer: Trainer) -> None:
    """Writes snapshots.npz, if the run kept snapshots."""
    if trainer.snapshots:
        epochs, weights = zip(*trainer.snapshots, strict=True)
        curves = run_figures(trainer.history)["history"]
        moments = Snapshots(list(epochs), list(weights), curves)
        save_snapshots(folder / "snapshots.npz", moments)


def read_config(folder: Path) -> Config:
    """The configuration of the run in `folder`.

    Raises:
        InputError: there is no run.
    """
    what = "holds no run to resume"
    fields = read_json(folder / "config.json", dict[str, object], what, REMEDY)
    with decoding(folder, what, REMEDY):
        fields["betas"] = tuple(fields["betas"])
        return Config(**fields)


def load_run(folder: Path) -> tuple[Config, dict[str, object]]:
    """The configuration of the run in `folder`, and the state for `Trainer.load_state_dict`.

    Raises:
        InputError: there is no run, or none that has finished an epoch.
    """
    remedy = "if no epoch was finished, start the run anew"
    config = read_config(folder)
    path = folder / "state.pt"
    content = read_file(path, MOST_BYTES, remedy)
    return config, decode_tensors(content, path, remedy)


def write_tensorboard(folder: Path, record: EpochRecord) -> None:
    """Adds one epoch to the event files in `folder`, and closes them: an interrupt loses nothing.

    With the first argument by `functools.partial` it is an `on_epoch` of `train`.

    Raises:
        InputError: `folder` can't be written.
    """
    from torch.utils.tensorboard import SummaryWriter

    what = "can't hold TensorBoard's files"
    before = threading.excepthook
    threading.excepthook = lambda failure: None  # raised here as well
    try:
        with (
            decoding(folder, what, "make room or choose another tensorboard"),
            SummaryWriter(folder) as writer,
        ):
            for name in CURVES:
                writer.add_scalar(name, getattr(record, name), record.epoch)
    finally:
        threading.excepthook = before
