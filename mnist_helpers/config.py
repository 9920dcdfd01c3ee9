"""Every default of the collection, its folders, and the error that its user is meant to read."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import torch

PROJECT_DIR = Path(__file__).resolve().parents[1]
if not (PROJECT_DIR / "notebooks" / "00_start_here.ipynb").is_file():
    PROJECT_DIR = Path.cwd()  # installed without the collection
DATA_DIR = PROJECT_DIR / "MNIST-Data"
CHECKPOINT_PATH = PROJECT_DIR / "best_mnist_cnn.pth"
RUNS_DIR = PROJECT_DIR / "runs"
NOTEBOOKS_DIR = PROJECT_DIR / "notebooks"


# the fields that hold whole numbers, with the least of each, and those that hold others, from 0
COUNTS = {"batch_size": 1, "epochs": 1, "patience": 1, "val_size": 10, "seed": 0, "num_workers": 0}
NUMBERS = (
    "warm_up", "weight_decay", "label_smoothing", "rotation", "scaling", "translation", "shear",
)  # fmt: skip


class InputError(Exception):
    """Something the user gave can't be used; the message is one sentence with the remedy."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence alone; `%debug` leads to where it was raised."""
        return [f"{type(self).__name__}: {self}"]


def select_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" is the accelerator, or the CPU where there is none.

    Raises:
        InputError: no such device here.
    """
    accelerator = (
        torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    )
    if name == "auto":
        return accelerator or torch.device("cpu")
    present = ["cpu"] if accelerator is None else ["cpu", accelerator.type]
    kind, _, index = name.partition(":")
    count = 1 if kind == "cpu" else torch.accelerator.device_count()
    if kind not in present or (index and (not index.isdecimal() or int(index) >= count)):
        raise InputError(
            f"device is {name}, but this machine has {' and '.join(present)}; use auto."
        )
    return torch.device(name)


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
        for name, low in COUNTS.items():
            value = getattr(self, name)
            holds = type(value) is int and low <= value < 2**63
            self._require(holds, name, f"a whole number, at least {low}")
        is_number = isinstance(self.learning_rate, int | float)
        in_range = is_number and 0 < self.learning_rate <= 10
        self._require(in_range, "learning_rate", "a number above 0, at most 10")
        for name in NUMBERS:
            value = getattr(self, name)
            holds = isinstance(value, int | float) and 0 <= value < math.inf
            self._require(holds, name, "a number, at least 0")
        self._require(self.anneal in ("linear", "cos"), "anneal", "linear or cos")
        for name in ("label_smoothing", "scaling", "warm_up"):
            self._require(0 <= getattr(self, name) < 1, name, "at least 0 and below 1")
        inside = [0 <= beta < 1 for beta in self.betas]
        self._require(inside == [True, True], "betas", "two numbers in [0, 1)")
        # papermill hands over plain strings
        for name in ("data_dir", "model_save_path", "runs_dir", "tensorboard"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        named = self.model_save_path is None or self.model_save_path.suffix == ".pth"
        self._require(named, "model_save_path", "a file name ending in .pth")
        select_device(self.device)

    def _require(self, holds: bool, name: str, rule: str) -> None:
        if not holds:
            raise InputError(f"{name} is {getattr(self, name)}, but must be {rule}.")

    @property
    def augments(self) -> bool:
        """Whether any of the four augmentation ranges is above 0."""
        return any((self.rotation, self.scaling, self.translation, self.shear))

    def to_dict(self) -> dict[str, object]:
        """The fields as plain JSON values; a path is relative to the project, or the mere name."""
        fields = dataclasses.asdict(self)
        for name, value in fields.items():
            if isinstance(value, Path):
                path = value.resolve()
                inside = path.is_relative_to(PROJECT_DIR)
                fields[name] = path.relative_to(PROJECT_DIR).as_posix() if inside else path.name
        return fields


BEST = Config(
    batch_size=64, learning_rate=0.003, warm_up=0.3, anneal="cos", epochs=40, patience=40,
    rotation=10, scaling=0.1, translation=1.5, shear=0.15,
)  # fmt: skip
PRESETS = {"quick": Config(), "best": BEST}
