"""Weights on disk: a plain state_dict, and beside it a card (JSON) that says its origin."""

import hashlib
import io
import json
import os
import pickle
import platform
import tempfile
from pathlib import Path
from zipfile import is_zipfile

import safetensors.torch
import torch
import torchvision
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from mnist_helpers.config import CHECKPOINT_PATH, Config, InputError, select_device
from mnist_helpers.model import SimpleCNN

SAFETENSORS = ".safetensors"
REMEDY = (
    "`git restore best_mnist_cnn.pth` or "
    "`mnist-helpers train --model-save-path best_mnist_cnn.pth` makes a good one"
)


def card_path(path: Path) -> Path:
    """Where the card of the checkpoint `path` lies: the same name, ending in .json."""
    return Path(path).with_suffix(".json")


def require_writable(path: Path, setting: str = "model_save_path") -> None:
    """Makes the folder of `path` and proves that a file can be written there, before long work.

    Raises:
        InputError: it can't.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.is_dir():
            raise IsADirectoryError("a folder of that name is in the way")
    except OSError as error:
        raise InputError(
            f"{path} can't be written ({error.strerror or error}); choose another {setting}."
        ) from error


def write_files(contents: dict[Path, bytes], withdraw: Path | None = None) -> None:
    """Writes files that are whole at every moment: first all beside their places, then moved.

    Args:
        withdraw: is removed in between.
    """
    beside = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in contents}
    try:
        for path, content in contents.items():
            with beside[path].open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        if withdraw:
            withdraw.unlink(missing_ok=True)
        for path in contents:
            os.replace(beside[path], path)
    finally:
        for path in beside.values():
            path.unlink(missing_ok=True)


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
    require_writable(path)
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    content = buffer.getvalue()
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }
    card = {
        "architecture": type(model).__name__,
        "parameters": sum(tensor.numel() for tensor in weights.values()),
        **figures,
        "config": config.to_dict(),
        "versions": versions,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    try:
        text = json.dumps(card, indent=2) + "\n"
        # killed in between, the weights have no card rather than the wrong one, and still load
        write_files({path: content, card_path(path): text.encode()}, withdraw=card_path(path))
    except OSError as error:
        raise InputError(
            f"{path} can't be written ({error.strerror}); make room or save elsewhere."
        ) from error
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
    weights = load_tensors(path, REMEDY)
    card = _read_card(card_path(path))
    model = SimpleCNN()
    require_fit(str(path), weights, model, REMEDY)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if card and card.get("sha256") not in (found, _origin(path)):
        described = f"the file that {card_path(path).name} describes"
        raise InputError(f"{path} is not {described} (sha256 {found[:12]}…); {REMEDY}.")
    model.load_state_dict(weights)
    # channels_last is faster for convolutions on a CPU
    return model.to(target, memory_format=torch.channels_last).eval(), card


def load_tensors(path: Path, remedy: str) -> object:
    """Reads tensors and plain values that torch.save wrote, onto the CPU; executes nothing.

    A file whose name ends in .safetensors is one of that format, with tensors alone.

    Raises:
        InputError: it is missing, damaged, or holds more; the message ends with `remedy`.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; {remedy}.") from error
    except OSError as error:  # a folder, or not for us to read
        raise InputError(f"{path} can't be read ({error.strerror}); {remedy}.") from error
    if path.suffix == SAFETENSORS:
        try:
            return safetensors.torch.load(content)
        except (SafetensorError, KeyError, TypeError) as error:  # as are unknown types and sizes
            whole = "is no safetensors file, or only part of one"
            raise InputError(f"{path} {whole}; {remedy}.") from error
    is_pickle = content.startswith(b"\x80")  # as old versions of torch.save wrote it
    if not is_pickle and not is_zipfile(io.BytesIO(content)):
        raise InputError(f"{path} is no PyTorch file, or only part of one; {remedy}.")
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        danger = "holds more than plain weights and was not opened, for it could run code"
        raise InputError(f"{path} {danger}; {remedy}.") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is damaged or cut short; {remedy}.") from error


def _origin(path: Path) -> str | None:
    if path.suffix != SAFETENSORS:
        return None
    with safe_open(path, "pt") as file:
        return (file.metadata() or {}).get("sha256")


def _read_card(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} is no card in JSON ({error}); {REMEDY.replace('.pth', '.json', 1)}."
        ) from error


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
        here = tuple(expected[name].shape) if name in expected else "unknown"
        if there != here:
            mistake = f"{name} is {there}, but must be {here}"
            raise InputError(f"{what} is not {kind}'s: {mistake}; {remedy}.")
        if weights[name].is_floating_point() != expected[name].is_floating_point():
            raise InputError(f"{what} holds whole numbers where weights should be; {remedy}.")
