"""Weights on disk: a plain state_dict, and beside it a card (JSON) that says its origin."""

import contextlib
import hashlib
import io
import json
import os
import pickle
import platform
import re
from pathlib import Path
from typing import Annotated, TypedDict
from zipfile import ZipFile

import msgspec
import safetensors.torch
import torch
from msgspec import Meta
from torch import Tensor, nn

from mnist_helpers.config import (
    CHECKPOINT_PATH,
    Config,
    Count,
    InputError,
    Seed,
    log,
    select_device,
    up_to,
)
from mnist_helpers.files import (
    MOST_JSON,
    decoding,
    file_kind,
    read_file,
    read_json,
    require_small,
    require_writable,
    write_files,
)  # fmt: skip
from mnist_helpers.foreign.readers import about_data
from mnist_helpers.model import SimpleCNN

SAFETENSORS = b'{"'  # after the length of its header
LARGEST = 1e6  # of a weight; with larger ones, or none, the answers may be no numbers
MOST_BYTES = 2**29  # of a file of tensors: a run of 1,000 epochs with snapshots is smaller
OURS = rb'"sha256"|\A{\s*"architecture": "\w+",\s*"parameters"'  # how a card ends, and begins
INERT = (  # what often lies beside weights: read as nothing, so that nothing is executed
    "argparse.Namespace types.SimpleNamespace pathlib.PosixPath pathlib.WindowsPath "
    "pathlib._local.PosixPath pathlib._local.WindowsPath datetime.datetime numpy.dtype "
    "numpy.ndarray numpy.core.multiarray.scalar numpy.core.multiarray._reconstruct "
    "numpy._core.multiarray.scalar numpy._core.multiarray._reconstruct datetime.date "
    "datetime.timedelta builtins.range builtins.slice builtins.complex"
)
ARCHIVES = {  # how the names in zip archives begin that don't hold what torch.save writes
    "TorchScript, so save the state_dict() of what torch.jit.load gives": r"(?s).*/code/",
    "an exported program, so save the state_dict of what torch.export.load gives": (
        r"(?s).*/models/"
    ),
    "an archive of NumPy's arrays, so save a dict of them as tensors": r"(?s).*\.npy\b",
    "a zip archive, which must be unpacked first": r"(?s)(?!.*data\.pkl)",
}


class Figures(TypedDict, total=False):
    """What a card says of one part of the data."""

    accuracy: Annotated[float, up_to(1)]
    loss: Annotated[float, Meta(ge=0)]


class Recipe(TypedDict, total=False):
    """What a card says of the configuration, as far as it is used."""

    seed: Seed
    val_size: Count


class DataSet(TypedDict):
    """What a card says of the data."""

    name: str
    class_names: list[str]


class Limit(TypedDict):
    """Below which largest probability an image is no digit that the network knows."""

    limit: Annotated[float, up_to(1)]


class Card(TypedDict, total=False):
    """What is read in a card; it may say more."""

    sha256: str
    data_set: DataSet
    test: Figures
    validation: Figures
    config: Recipe
    no_digit: Limit
    history: dict[str, list[float]]
    best_epoch: Annotated[int, Meta(ge=1)]


def card_path(path: Path) -> Path:
    """Where the card of the checkpoint `path` lies: the same name, ending in .json."""
    return path.with_suffix(".json")


def save_checkpoint(
    model: nn.Module, path: Path, config: Config, figures: dict[str, object]
) -> Card:
    """Saves the weights of `model` at `path` and their card beside them; returns the card.

    The card says of which data set `config.data_dir` is, if it can be read.

    Args:
        figures: goes into the card as it is: epochs run, seconds, losses and accuracies.

    Raises:
        InputError: the files can't be written.
    """
    path = Path(path)
    require_writable(path, "model_save_path")
    weights = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    content = buffer.getvalue()
    card = {
        "architecture": type(model).__name__,
        "parameters": sum(map(torch.numel, weights.values())),
        **figures,
        "config": config.to_dict(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    with contextlib.suppress(InputError):  # the files may be gone by now
        card.setdefault("data_set", about_data(config.data_dir, "train"))
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    beside = card_path(path)
    # killed in between, the weights have no card rather than the wrong one, and still load
    write_files({path: content, beside: text.encode(errors="replace")}, withdraw=beside)
    return card


class Inert:
    """What may lie beside weights and isn't needed: takes anything, and does nothing."""

    def __init__(self, *state: object) -> None: ...

    __setstate__ = __init__


def remedy_for(path: Path) -> str:
    """What to do where a checkpoint or its card won't do."""
    if os.path.abspath(path) in (str(CHECKPOINT_PATH), str(card_path(CHECKPOINT_PATH))):
        train = "`mnist-helpers train --model-save-path best_mnist_cnn.pth`"
        return f"`git restore {path.name}` or {train} makes a good one"
    return (
        "give weights of SimpleCNN as `mnist-helpers train` saves them, with their own card or none"
    )


def checkpoint_file(path: Path) -> Path:
    """The file of weights that is meant by `path`, which may be the folder of a run."""
    path = Path(path).expanduser()
    for name in ("model.pth", "state.pt"):  # of a run's end, and of its last epoch
        if os.path.isfile(path / name):
            return path / name
    return path


def load_checkpoint(path: Path = CHECKPOINT_PATH, device: str = "cpu") -> tuple[SimpleCNN, Card]:
    """Loads a checkpoint as (model in evaluation mode on `device`, card); no card is an empty one.

    Nothing in the file is executed. A .safetensors file may lie beside the card of the checkpoint
    from which it was exported, or have it in its metadata. `path` may be the folder of a run, and
    the weights may be wrapped, as `find_weights` says.

    Raises:
        InputError: the file is missing, damaged, not only weights, not SimpleCNN's, or not the one
            the card describes.
    """
    path = checkpoint_file(path)
    remedy = remedy_for(path)
    content = read_file(path, MOST_BYTES, remedy)
    model = SimpleCNN()
    weights = find_weights(path, decode_tensors(content, path, remedy), model)
    card = read_card(card_path(path))
    sums = [hashlib.sha256(content).hexdigest()]
    metadata = {}
    if content[8:10] == SAFETENSORS:
        end = 8 + int.from_bytes(content[:8], "little")  # of the header, which names the origin
        metadata = json.loads(content[8:end]).get("__metadata__") or {}  # null is allowed
        sums.append(metadata.get("sha256"))
    if card and card.get("sha256") not in sums:
        raise InputError(
            f"{path} is not the file that {card_path(path).name} describes "
            f"(sha256 {sums[0][:12]}…); {remedy}."
        )
    if "card" in metadata and not card:
        with decoding(path, "has no card in JSON", remedy):
            card = msgspec.json.decode(metadata["card"])
            msgspec.convert(card, Card)
    model.load_state_dict(weights)
    model.no_digit = card.get("no_digit", {"limit": 0})["limit"]  # which a drawing is held to, too
    # channels_last is faster for convolutions on a CPU
    return model.to(select_device(device), memory_format=torch.channels_last).eval(), card


def find_weights(path: Path, value: object, model: nn.Module) -> dict[str, Tensor]:
    """The weights of `model` in what a file holds, if there is one reading of it.

    They may be wrapped in dicts and lists, beside other things, and all names may begin with
    _orig_mod., module. or the like. The best weights of a run's state are preferred to its last.

    Raises:
        InputError: there are none, or several.
    """
    tensors = flat_tensors(value)
    first = next(iter(model.state_dict()))
    readings = {}
    starts = [name.removesuffix(first) for name in tensors if name.endswith(first)]
    for start in starts[:99]:
        readings[start] = {
            name.removeprefix(start): tensor
            for name, tensor in tensors.items()
            if name.startswith(start)
        }
    fitting = [start for start in readings if not _misfit(readings[start], model)]
    if ".best_weights." in fitting:
        fitting = [".best_weights."]
    if len(fitting) > 1:
        names = ", ".join(start.strip(".") or "on top" for start in fitting)
        raise InputError(
            f"{path} holds several such networks ({names}); "
            "save the one that you mean in a file of its own, by torch.save."
        )
    start = (fitting or [*readings, "."])[0]
    weights = readings.get(start, tensors)
    require_fit(path, weights, model, remedy_for(path))
    if start != ".":
        log.warning("%s: its weights are those under %s", path, start.strip("."))
    return weights


def flat_tensors(value: object) -> dict[str, Tensor]:
    """The tensors in dicts, lists and tuples, by the names that lead there, each after a dot."""
    tensors = {}
    parts = [("", value)]
    for place, part in parts:  # which grow, but not for ever
        if torch.is_tensor(part) and not place.endswith(".n_averaged"):  # a counter of swa_utils
            tensors[place] = part
        if isinstance(part, list | tuple):
            part = dict(enumerate(part))
        if isinstance(part, dict) and len(parts) < 10_000:
            parts += [(f"{place}.{name}"[:999], inner) for name, inner in part.items()]
    return tensors


def decode_tensors(content: bytes, path: Path, remedy: str) -> object:
    """Tensors and plain values that torch.save wrote, onto the CPU; executes nothing.

    Safetensors are tensors alone; they are told by how they begin, whatever their name.

    Raises:
        InputError: it is damaged, or holds more; the message ends with `remedy`.
    """
    if content[8:10] == SAFETENSORS:
        with decoding(path, "is no safetensors file, or only part of one", remedy):
            return safetensors.torch.load(content)
    file = io.BytesIO(content)
    with decoding(path, "is damaged or cut short", remedy):
        kind = ""
        if content.startswith(b"PK"):
            require_small(file, MOST_BYTES)
            kind = file_kind("\n".join(ZipFile(file).namelist()), ARCHIVES)
        elif not content.startswith(b"\x80"):  # a pickle, as old versions of torch.save began
            kind = file_kind(content) or "no PyTorch file, or only part of one"
        if kind:
            raise InputError(f"{path} is {kind}; {remedy}.")
        try:
            with torch.serialization.safe_globals([(Inert, name) for name in INERT.split()]):
                return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise InputError(
                f"{path} holds more than plain weights and was not opened, for it could run code; "
                f"{remedy}."
            ) from error


def read_card(path: Path) -> Card:
    """The card of a checkpoint; none, or another's file of that name, is an empty one.

    Raises:
        InputError: it isn't what `Card` says.
    """
    if not os.path.exists(path):
        return {}
    remedy = remedy_for(path)
    if not re.search(OURS, read_file(path, MOST_JSON, remedy)):
        log.warning("%s is no card of ours, and is ignored", path)
        return {}
    return read_json(path, Card, "is no card in JSON", remedy)


def require_fit(what: object, weights: object, model: nn.Module, remedy: str) -> None:
    """Raises an InputError where `weights` are no state_dict of a model of this form."""
    misfit = f"is no state_dict (names and tensors), but a {type(weights).__name__}"
    if isinstance(weights, dict) and all(map(torch.is_tensor, weights.values())):
        misfit = _misfit(weights, model)
    if misfit:
        raise InputError(f"{what} {misfit}; {remedy}.")


def _misfit(weights: dict, model: nn.Module) -> str:
    """How the tensors of `weights` differ from what `model` takes, if they do."""
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    foreign = f"is not {type(model).__name__}'s:"
    for name, expected in model.state_dict().items():
        shape = shapes.pop(name, "missing among its tensors")
        if shape != expected.shape:
            return f"{foreign} {name} is {shape}, but must be {tuple(expected.shape)}"
        tensor = weights[name]
        dtype = expected.dtype
        if tensor.is_floating_point() != dtype.is_floating_point:
            return f"has {tensor.dtype} in {name}, not {dtype}"
        if tensor.layout != torch.strided or tensor.device.type == "meta":
            return f"has no plain numbers in {name}"
        if dtype.is_floating_point and not (tensor.to(dtype).abs() <= LARGEST).all():
            return f"has numbers in {name} that are not finite, or too large"
    if shapes:
        name, shape = shapes.popitem()
        return f"{foreign} {name} is {shape}, but must be absent"
    return ""
