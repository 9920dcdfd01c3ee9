"""The weights of a run at many moments, in a small file: what a replay of training needs."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from mnist_helpers.config import InputError
from mnist_helpers.files import decoding, read_file, require_small, write_files

FINEST = 1 / 4096  # the smallest step to which the change of a moment is rounded
COARSEST = 1 / 128  # and the largest
FIRST = 1 / 1024  # the step of the first moment, from which all others go on
MOST_BYTES = 2**27  # of the file, and of what it unpacks to: 320 moments
REMEDY = "give a snapshots.npz that `mnist-helpers train --snapshots` made"
Epoch = Annotated[float, msgspec.Meta(ge=0)]
FEW = 10_000  # weights of one name, that cost little in the finest steps


class Snapshots(NamedTuple):
    """A run, moment by moment.

    Attributes:
        epochs: of each moment, whole or part; 0 is before the first step.
        weights: a state_dict for each.
        history: losses, accuracies and learning rate, epoch by epoch.
    """

    epochs: list[float]
    weights: list[dict[str, Tensor]]
    history: dict[str, list[float]]

    @property
    def best(self) -> int:
        """Which moment is the end of the epoch with the lowest validation loss."""
        return self.epochs.index(1 + np.argmin(self.history["val_loss"]))


def save_snapshots(path: Path, snapshots: Snapshots) -> None:
    """Writes the change of each moment in whole steps, packed; errors don't add up.

    The steps of a large layer are as large as its change is in the root mean square, within bounds;
    those of small ones are the finest, for a dead kernel must not be brought to life by rounding.
    """
    history = np.array(json.dumps(snapshots.history))
    arrays = {"epochs": np.array(snapshots.epochs), "history": history}
    for name in snapshots.weights[0]:
        moments = [weights[name].float().numpy() for weights in snapshots.weights]
        arrays[f"steps/{name}"], arrays[f"changes/{name}"] = in_steps(moments)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    write_files({Path(path): buffer.getvalue()})


def in_steps(moments: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The step of each moment, (T,), and the change to it in such steps, (T, ...)."""
    reached = np.zeros_like(moments[0])
    steps = []
    changes = []
    for values in moments:
        change = values - reached
        coarsest = COARSEST
        if values.size <= FEW:
            coarsest = FINEST
        elif not steps:
            coarsest = FIRST
        step = np.clip(np.sqrt(np.mean(change**2)), FINEST, coarsest).astype(np.float32)
        count = np.clip(np.round(change / step), -32_767, 32_767)
        reached = reached + count * step
        steps.append(step)
        changes.append(count.astype(np.int16))
    return np.array(steps), np.array(changes)


def load_snapshots(path: Path) -> Snapshots:
    """Reads what `save_snapshots` wrote; nothing in it is executed.

    Raises:
        InputError: it is missing, damaged, or no such file.
    """
    content = io.BytesIO(read_file(path, MOST_BYTES, REMEDY))
    with decoding(path, "holds no snapshots", REMEDY):
        require_small(content, MOST_BYTES)
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


def moments(run: str, epochs: Sequence[float]) -> dict[str, float]:
    """The names of a run's moments, each with its epoch.

    Raises:
        InputError: two have the same.
    """
    if len(set(epochs)) < len(epochs):
        raise InputError(f"the run {run} has two moments at one epoch; leave one of them out.")
    digits = 4
    while len({round(epoch, digits) for epoch in epochs}) < len(epochs):
        digits += 1  # steps are small where batches are
    names = {}
    for epoch in epochs:
        text = f"{epoch:.{digits}f}".rstrip("0").rstrip(".")
        names[f"{run}, epoch {text}"] = epoch
    return names


def weights_of(runs: dict[str, Snapshots], others: object) -> dict[str, dict[str, Tensor]]:
    """The weights of all moments by name.

    Raises:
        InputError: there are too many runs, or others as well.
    """
    if others or len(runs) > 2:
        raise InputError("give one or two runs, and do not give others as well.")
    weights = {}
    for run, snapshots in runs.items():
        weights.update(zip(moments(run, snapshots.epochs), snapshots.weights, strict=True))
    return weights
