"""A run on disk: a folder of its own, whole after every epoch, from which it can be resumed."""

import csv
import dataclasses
import io
import json
import tempfile
import time
from pathlib import Path

import torch

from mnist_helpers.checkpoint import load_tensors, write_files
from mnist_helpers.config import Config, InputError
from mnist_helpers.metrics import EpochRecord
from mnist_helpers.training import Trainer


def new_run(config: Config) -> Path:
    """Makes a new folder in `config.runs_dir`, named after the time, with config.json in it.

    Raises:
        InputError: no folder can be made there.
    """
    try:
        config.runs_dir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=config.runs_dir))
        folder.chmod(0o755)  # mkdtemp's are private
    except OSError as error:
        raise InputError(
            f"{config.runs_dir} can't hold a run ({error}); choose another runs_dir."
        ) from error
    text = json.dumps(dataclasses.asdict(config), indent=2, default=str)
    write_files({folder / "config.json": text.encode()})
    return folder


def save_run(folder: Path, trainer: Trainer) -> None:
    """Writes what `trainer` has reached: state.pt, history.csv and .json, snapshots.pt if any."""
    rows = [dataclasses.asdict(record) for record in trainer.history]
    table = io.StringIO()
    names = [field.name for field in dataclasses.fields(EpochRecord)]
    writer = csv.DictWriter(table, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_files({folder / "history.csv": table.getvalue().encode()})
    write_files({folder / "history.json": json.dumps(rows, indent=2).encode()})
    if trainer.snapshots:
        snapshots = {"history": rows, "snapshots": trainer.snapshots}
        write_files({folder / "snapshots.pt": _packed(snapshots)})
    write_files({folder / "state.pt": _packed(trainer.state_dict())})


def read_config(folder: Path) -> Config:
    """The configuration of the run in `folder`.

    Raises:
        InputError: there is no run.
    """
    try:
        fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return Config(**fields | {"betas": tuple(fields["betas"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{folder} holds no run to resume ({error}); give a folder that train has made."
        ) from error


def load_run(folder: Path) -> tuple[Config, dict[str, object]]:
    """The configuration of the run in `folder`, and the state for `Trainer.load_state_dict`.

    Raises:
        InputError: there is no run, or none that has finished an epoch.
    """
    remedy = "if no epoch was finished, start the run anew"
    return read_config(folder), load_tensors(folder / "state.pt", remedy)


def _packed(values: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    torch.save(values, buffer)
    return buffer.getvalue()
