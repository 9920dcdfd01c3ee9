"""The weights of a run at many moments, in a small file: what a replay of training needs."""

import io
import json
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mnist_helpers.checkpoint import write_files
from mnist_helpers.config import InputError

GRID = 1024  # steps to a weight of 1, to which weights are rounded
HALF = 2**14 - 1  # the largest number of steps: differences of two fit into 16 bits


class Snapshots(NamedTuple):
    """A run, moment by moment.

    Attributes:
        epochs: of each moment, whole or part; 0 is before the first step.
        weights: a state_dict for each.
        history: the fields of `EpochRecord`, epoch by epoch.
    """

    epochs: list[float]
    weights: list[dict[str, Tensor]]
    history: dict[str, list[float]]

    @property
    def best(self) -> int:
        """Which moment is the end of the epoch with the lowest validation loss."""
        epoch = 1 + int(np.argmin(self.history["val_loss"]))
        return self.epochs.index(epoch)


def save_snapshots(path: Path, snapshots: Snapshots) -> None:
    """Writes weights in fixed point, each moment as its difference from the one before, packed."""
    arrays = {
        "epochs": np.array(snapshots.epochs),
        "history": np.array(json.dumps(snapshots.history)),
    }
    for name in snapshots.weights[0]:
        moments = torch.stack([weights[name].float() for weights in snapshots.weights])
        fixed = (moments * GRID).round().clamp(-HALF, HALF).short().numpy()
        arrays[f"weights/{name}"] = np.diff(fixed, axis=0, prepend=np.zeros_like(fixed[:1]))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_files({Path(path): buffer.getvalue()})


def load_snapshots(path: Path) -> Snapshots:
    """Reads what `save_snapshots` wrote; nothing in it is executed.

    Raises:
        InputError: it is missing, damaged, or no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            epochs, history = arrays["epochs"].tolist(), json.loads(str(arrays["history"]))
            names = [name for name in arrays.files if name.startswith("weights/")]
            moments = {name: arrays[name].cumsum(axis=0, dtype=np.int32) / GRID for name in names}
        weights = [
            {
                name.removeprefix("weights/"): torch.from_numpy(values[at]).float()
                for name, values in moments.items()
            }
            for at in range(len(epochs))
        ]
        return Snapshots(epochs, weights, dict(history))
    except (OSError, EOFError, ValueError, LookupError, TypeError, zipfile.BadZipFile) as error:
        remedy = "give a snapshots.npz that `mnist-helpers train --snapshots` made"
        raise InputError(f"{path} holds no snapshots ({error}); {remedy}.") from error
