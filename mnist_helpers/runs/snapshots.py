"""The weights of a run at many moments, in a small file: what a replay of training needs."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from mnist_helpers.files import decoding, read_file, require_small, write_files

STEP = 1 / 2048  # to which weights are rounded: a dead kernel isn't brought to life by it
MOST_STEPS = 16_383  # of a weight: any change from one moment to the next is a number of 16 bits
MOST_BYTES = 2**27  # of the file, and of what it unpacks to: 320 moments
REMEDY = "give a snapshots.npz that `mnist-helpers train --snapshots` made"
Epoch = Annotated[float, msgspec.Meta(ge=0)]


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
        return self.epochs.index(1 + np.argmin(self.history["val_loss"]))


def save_snapshots(path: Path, snapshots: Snapshots) -> None:
    """Writes the change of each moment in whole steps, packed; rounding doesn't add up."""
    arrays = {
        "epochs": np.array(snapshots.epochs),
        "history": np.array(json.dumps(snapshots.history)),
    }
    for name in snapshots.weights[0]:
        moments = np.stack([weights[name].float().numpy() for weights in snapshots.weights])
        counts = np.round(moments / STEP).clip(-MOST_STEPS, MOST_STEPS)
        arrays[f"changes/{name}"] = np.diff(counts, axis=0, prepend=0).astype(np.int16)
        arrays[f"steps/{name}"] = np.full(len(counts), STEP, np.float32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_files({Path(path): buffer.getvalue()})


def load_snapshots(path: Path) -> Snapshots:
    """Reads what `save_snapshots` wrote; nothing in it is executed.

    Raises:
        InputError: it is missing, damaged, or no such file.
    """
    content = io.BytesIO(read_file(path, MOST_BYTES, REMEDY))
    with decoding(path, "holds no snapshots", REMEDY):
        require_small(content, MOST_BYTES)
        content.seek(0)
        with np.load(content, allow_pickle=False) as arrays:
            epochs = msgspec.convert(arrays["epochs"].tolist(), list[Epoch])
            history = msgspec.json.decode(str(arrays["history"]), type=dict[str, list[float]])
            names = [name.removeprefix("steps/") for name in arrays.files if "steps/" in name]
            series = [torch.from_numpy(from_steps(arrays, name)) for name in names]
        moments = zip(epochs, *series, strict=True)
        weights = [dict(zip(names, tensors, strict=True)) for _, *tensors in moments]
        snapshots = Snapshots(epochs, weights, history)
        if not names or len(set(epochs)) < len(epochs):
            raise ValueError("its moments are not those of a run")
        _ = snapshots.best  # raises where no moment is the end of the best epoch
        return snapshots


def from_steps(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """The weights of one name at every moment, (T, ...), float32."""
    changes = arrays[f"changes/{name}"]
    steps = arrays[f"steps/{name}"].reshape(-1, *[1] * (changes.ndim - 1))
    moments = changes * steps.astype(np.float32)
    moments.cumsum(axis=0, out=moments)
    plain = changes.dtype == np.int16 and moments.shape == changes.shape
    if not (plain and np.isfinite(moments).all()):
        raise ValueError(f"{name} is not of finite numbers, one for each moment")
    return moments
