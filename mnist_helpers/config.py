"""Every default of the collection, its folders, and the error that its user is meant to read."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


def project_dir() -> Path:
    """The collection around the package, else around where one works, else the current folder."""
    current = Path.cwd()
    for folder in (Path(__file__).resolve().parents[1], current, current.parent):
        if (folder / "notebooks" / "00_start_here.ipynb").is_file():
            return folder
    return current  # installed without the collection


PROJECT_DIR = project_dir()
DATA_DIR = PROJECT_DIR / "MNIST-Data"
CHECKPOINT_PATH = PROJECT_DIR / "best_mnist_cnn.pth"
RUNS_DIR = PROJECT_DIR / "runs"
NOTEBOOKS_DIR = PROJECT_DIR / "notebooks"
Format = Literal["onnx", "safetensors", "pt2"]  # of an exported checkpoint

# what the fields can be: whole numbers from, to; others from 0 to; whether a path must be given
COUNTS = {
    "batch_size": (1, 2**31), "epochs": (1, 100_000), "patience": (1, 2**31),
    "val_size": (10, 2**31), "seed": (0, 2**63 - 1), "num_workers": (0, 64),
}  # fmt: skip
NUMBERS = {
    "learning_rate": 10, "warm_up": 0.999, "weight_decay": 10, "label_smoothing": 0.999,
    "rotation": 180, "scaling": 0.999, "translation": 28, "shear": 10,
}  # fmt: skip
PATHS = {"data_dir": True, "runs_dir": True, "model_save_path": False, "tensorboard": False}


def is_number(value: object) -> bool:
    """Whether it is a number, as True and False are for Python alone."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def printable(text: str) -> str:
    """The text on one line, with what a terminal would obey, or can't show, written out."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def path_text(path: Path) -> str:
    """A path as it stands in files, whatever the locale makes of its bytes."""
    return os.fsencode(path.as_posix()).decode(errors="replace")


class InputError(Exception):
    """Something the user gave can't be used; the message is one sentence with the remedy."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))  # names of files come from anywhere

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence alone; `%debug` leads to where it was raised."""
        return [f"{type(self).__name__}: {self}"]


def select_device(name: str = "auto") -> "torch.device":
    """The device called `name`; "auto" is the accelerator, or the CPU where there is none.

    Raises:
        InputError: no such device here.
    """
    if not isinstance(name, str):
        raise InputError(f"device is {name!r:.80}, but must be a name; use auto.")
    import torch  # here, for most of what needs the defaults needs no device

    accelerator = (
        torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    )
    if name == "auto":
        return accelerator or torch.device("cpu")
    present = ["cpu"] if accelerator is None else ["cpu", accelerator.type]
    kind, _, index = name.partition(":")
    count = 1 if kind == "cpu" else torch.accelerator.device_count()
    if kind not in present or (index and index not in map(str, range(count))):
        raise InputError(
            f"device is {name!r:.80}, but this machine has {' and '.join(present)}; use auto."
        )
    return torch.device(kind, int(index)) if index else torch.device(kind)


@dataclass(frozen=True)
class Config:
    """All that a training run depends on. The defaults are the quick recipe.

    Raises:
        InputError: a value is impossible; the message names the field.
    """

    batch_size: int = 128
    """Images per training step."""
    learning_rate: float = 0.01
    """Peak learning rate of the one-cycle schedule."""
    warm_up: float = 0.2
    """Share of the steps in which the learning rate rises to its peak."""
    anneal: str = "linear"
    """How it falls from there to nothing: linear or cos."""
    epochs: int = 2
    """Passes over the training images, at most."""
    patience: int = 5
    """Epochs without a lower validation loss before training stops."""
    val_size: int = 5_000
    """Images held out of the training file to choose the best epoch."""
    seed: int = 0
    """Fixes the split, the initial weights, the order of images and the augmentation."""
    device: str = "auto"
    """auto (the accelerator if there is one), cpu, cuda, mps, ..."""
    data_dir: Path = DATA_DIR
    """Folder of MNIST, or of a data set in its IDX form."""
    model_save_path: Path | None = None
    """Where the best weights go, with their card beside them; by default the run's own folder."""
    num_workers: int = 0
    """Processes that load batches; 0 is fastest, because the images are in memory."""
    betas: tuple[float, float] = (0.8, 0.95)
    """AdamW's decay rates for the mean and the square of the gradient."""
    weight_decay: float = 0.1
    """AdamW's decoupled weight decay."""
    label_smoothing: float = 0.1
    """Share of the target that is spread over all classes."""
    autocast: bool = False
    """Multiply in bfloat16: faster on accelerators and processors made for it, else slower."""
    rotation: float = 0.0
    """Augmentation: largest turn, in degrees."""
    scaling: float = 0.0
    """Augmentation: largest change of size, as a fraction."""
    translation: float = 0.0
    """Augmentation: largest shift along each axis, in pixels."""
    shear: float = 0.0
    """Augmentation: largest horizontal shear, in pixels per pixel."""
    runs_dir: Path = RUNS_DIR
    """Folder in which every run of the command line makes one of its own."""
    snapshots: bool = False
    """Keep the weights of the beginning, of steps 1, 2, 3, 4, 6, 8, 11, 16, ... and each epoch."""
    tensorboard: Path | None = None
    """Folder for TensorBoard's event files; none by default."""

    def __post_init__(self) -> None:
        for name, (low, high) in COUNTS.items():
            value = getattr(self, name)
            holds = is_number(value) and isinstance(value, int) and low <= value <= high
            self._require(holds, name, f"a whole number from {low} to {high}")
        for name, high in NUMBERS.items():
            value = getattr(self, name)
            self._require(is_number(value) and 0 <= value <= high, name, f"from 0 to {high}")
        self._require(self.learning_rate > 0, "learning_rate", "above 0")
        self._require(self.anneal in ("linear", "cos"), "anneal", "linear or cos")
        betas = self.betas if isinstance(self.betas, tuple | list) else ()
        inside = [is_number(beta) and 0 <= beta < 1 for beta in betas]
        self._require(inside == [True, True], "betas", "two numbers in [0, 1)")
        for name in ("autocast", "snapshots"):
            self._require(isinstance(getattr(self, name), bool), name, "True or False")
        few = not self.snapshots or self.epochs <= 250
        self._require(few, "snapshots", "False where there are more than 250 epochs")
        for name, needed in PATHS.items():
            value = getattr(self, name)
            if value is None and not needed:
                continue
            self._require(isinstance(value, str | Path) and "\0" not in str(value), name, "a path")
            object.__setattr__(self, name, Path(value))  # papermill hands over plain strings
        named = self.model_save_path is None or self.model_save_path.suffix == ".pth"
        self._require(named, "model_save_path", "a file name ending in .pth")
        if self.device not in ("auto", "cpu"):  # which every machine has
            select_device(self.device)

    def _require(self, holds: bool, name: str, rule: str) -> None:
        value = getattr(self, name)
        if not holds:
            told = str(value) if isinstance(value, Path) else repr(value)
            raise InputError(f"{name} is {told[:80]}, but must be {rule}.")

    @property
    def augments(self) -> bool:
        """Whether any of the four augmentation ranges is above 0."""
        return any((self.rotation, self.scaling, self.translation, self.shear))

    def to_dict(self) -> dict[str, object]:
        """The fields as plain JSON values; a path is relative to the project, or the mere name."""
        fields = dataclasses.asdict(self)
        for name, value in fields.items():
            if isinstance(value, Path):
                path = Path(os.path.realpath(value))  # resolve() raises where links go in circles
                inside = path.is_relative_to(PROJECT_DIR)
                path = path.relative_to(PROJECT_DIR) if inside else Path(path.name)
                fields[name] = path_text(path)
        return fields


BEST = Config(
    batch_size=64, learning_rate=0.003, warm_up=0.3, anneal="cos", epochs=40, patience=40,
    rotation=10, scaling=0.1, translation=1.5, shear=0.15,
)  # fmt: skip
PRESETS = {"quick": Config(), "best": BEST}
