"""Weights on disk: a plain state_dict, and beside it a card (JSON) that says its origin."""

import hashlib
import importlib.metadata
import io
import json
import os
import pickle
import platform
from pathlib import Path
from typing import Annotated, TypedDict
from zipfile import is_zipfile

import safetensors.torch
import torch
from msgspec import Meta
from torch import Tensor, nn

from mnist_helpers.config import CHECKPOINT_PATH, Config, InputError, select_device
from mnist_helpers.files import (
    decoding,
    read_file,
    read_json,
    require_small,
    require_writable,
    write_files,
)  # fmt: skip
from mnist_helpers.model import SimpleCNN

SAFETENSORS = ".safetensors"
LARGEST = 1e6  # of a weight; with larger ones, or none, the answers may be no numbers
MOST_BYTES = 2**29  # of a file of tensors: a run of 1,000 epochs with snapshots is smaller
REMEDY = (
    "`git restore best_mnist_cnn.pth` or "
    "`mnist-helpers train --model-save-path best_mnist_cnn.pth` makes a good one"
)


class Figures(TypedDict, total=False):
    """What a card says of one part of the data."""

    accuracy: Annotated[float, Meta(ge=0, le=1)]
    loss: Annotated[float, Meta(ge=0)]


class Recipe(TypedDict, total=False):
    """What a card says of the configuration, as far as it is used."""

    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Card(TypedDict, total=False):
    """What is read in a card; it may say more."""

    sha256: str
    test: Figures
    validation: Figures
    config: Recipe
    history: dict[str, list[float]]
    best_epoch: Annotated[int, Meta(ge=1)]


def card_path(path: Path) -> Path:
    """Where the card of the checkpoint `path` lies: the same name, ending in .json."""
    return Path(path).with_suffix(".json")


def save_checkpoint(
    model: nn.Module, path: Path, config: Config, figures: dict[str, object]
) -> dict[str, object]:
    """Saves the weights of `model` at `path` and their card beside them; returns the card.

    Args:
        figures: goes into the card as it is: epochs run, seconds, losses and accuracies.

    Raises:
        InputError: the files can't be written.
    """
    path = Path(path)
    require_writable(path, "model_save_path")
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    content = buffer.getvalue()
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": importlib.metadata.version("torchvision"),
    }
    card = {
        "architecture": type(model).__name__,
        "parameters": sum(tensor.numel() for tensor in weights.values()),
        **figures,
        "config": config.to_dict(),
        "versions": versions,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    text = json.dumps(card, indent=2) + "\n"
    # killed in between, the weights have no card rather than the wrong one, and still load
    write_files({path: content, card_path(path): text.encode()}, withdraw=card_path(path))
    if path.read_bytes() != content:  # nor where another process has saved in between
        card_path(path).unlink(missing_ok=True)
    return card


def load_checkpoint(
    path: Path = CHECKPOINT_PATH, device: str = "cpu"
) -> tuple[SimpleCNN, dict[str, object]]:
    """Loads a checkpoint as (model in evaluation mode on `device`, card); no card is an empty one.

    Nothing in the file is executed. A .safetensors file may lie beside the card of the checkpoint
    from which it was exported, as its metadata says.

    Raises:
        InputError: the file is missing, damaged, not only weights, not SimpleCNN's, or not the one
            the card describes.
    """
    path, target = Path(path), select_device(device)
    content = read_file(path, MOST_BYTES, REMEDY)
    weights = decode_tensors(content, path, REMEDY)
    card = read_card(card_path(path))
    model = SimpleCNN()
    require_fit(str(path), weights, model, REMEDY)
    found = hashlib.sha256(content).hexdigest()
    origin = _origin(content) if path.suffix == SAFETENSORS else None
    if card and card.get("sha256") not in (found, origin):
        described = f"the file that {card_path(path).name} describes"
        raise InputError(f"{path} is not {described} (sha256 {found[:12]}…); {REMEDY}.")
    model.load_state_dict(weights)
    # channels_last is faster for convolutions on a CPU
    return model.to(target, memory_format=torch.channels_last).eval(), card


def load_tensors(path: Path, remedy: str) -> object:
    """Reads what `decode_tensors` decodes.

    Raises:
        InputError: as it does, or the file can't be read.
    """
    return decode_tensors(read_file(path, MOST_BYTES, remedy), path, remedy)


def decode_tensors(content: bytes, path: Path, remedy: str) -> object:
    """Tensors and plain values that torch.save wrote, onto the CPU; executes nothing.

    Where the name of `path` ends in .safetensors the content is of that format, with tensors alone.

    Raises:
        InputError: it is damaged, or holds more; the message ends with `remedy`.
    """
    if path.suffix == SAFETENSORS:
        with decoding(path, "is no safetensors file, or only part of one", remedy):
            return safetensors.torch.load(content)
    file = io.BytesIO(content)
    with decoding(path, "is damaged or cut short", remedy):
        if is_zipfile(file):
            require_small(file, MOST_BYTES)
        elif not content.startswith(b"\x80"):  # a pickle, as old versions of torch.save began
            raise InputError(f"{path} is no PyTorch file, or only part of one; {remedy}.")
        file.seek(0)
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            danger = "holds more than plain weights and was not opened, for it could run code"
            raise InputError(f"{path} {danger}; {remedy}.") from error


def _origin(content: bytes) -> str | None:
    """The sha256 of the checkpoint from which safetensors were exported, as their header says."""
    end = 8 + int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8:end]).get("__metadata__") or {}  # null is allowed
    return metadata.get("sha256")


def read_card(path: Path) -> dict[str, object]:
    """The card of a checkpoint; none is an empty one.

    Raises:
        InputError: it isn't what `Card` says.
    """
    remedy = REMEDY.replace(".pth", ".json", 1)
    return read_json(path, Card, "is no card in JSON", remedy) if os.path.exists(path) else {}


def require_fit(what: str, weights: object, model: nn.Module, remedy: str) -> None:
    """Raises an InputError where `weights` are no state_dict of a model of this form."""
    kind, expected = type(model).__name__, model.state_dict()
    if isinstance(weights, dict) and isinstance(weights.get("state_dict"), dict):
        raise InputError(f"{what} wraps the weights; give its part state_dict alone.")
    tensors = weights.values() if isinstance(weights, dict) else [None]
    if not all(isinstance(tensor, Tensor) for tensor in tensors):
        given = type(weights).__name__
        raise InputError(f"{what} is no state_dict (names and tensors), but a {given}; {remedy}.")
    for name in [*expected, *weights]:
        there = tuple(weights[name].shape) if name in weights else "missing"
        here = tuple(expected[name].shape) if name in expected else "absent"
        if there != here:
            mistake = f"{name} is {there}, but must be {here}"
            raise InputError(f"{what} is not {kind}'s: {mistake}; {remedy}.")
        tensor, dtype = weights[name], expected[name].dtype
        if tensor.is_floating_point() != dtype.is_floating_point:
            raise InputError(f"{what} has {tensor.dtype} in {name}, not {dtype}; {remedy}.")
        if tensor.layout != torch.strided or tensor.device.type == "meta":
            raise InputError(f"{what} has no plain numbers in {name}; {remedy}.")
        if dtype.is_floating_point and not (tensor.to(dtype).abs() <= LARGEST).all():
            raise InputError(
                f"{what} has numbers in {name} that are not finite, or too large; {remedy}."
            )
