"""Every default of the collection, its folders, and the error that its user is meant to read."""

import dataclasses
import logging
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_type_hints

import msgspec
from msgspec import Meta

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
DRAWINGS_DIR = PROJECT_DIR / "my-digits"  # of drawings that are kept
log = logging.getLogger("mnist_helpers")  # of all that is said
Format = Literal["onnx", "safetensors", "pt2"]  # of an exported checkpoint


def printable(text: str) -> str:
    """The text on one line, with what a terminal would obey, or can't show, written out."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def path_text(path: Path | str) -> str:
    """A path as it stands in files, whatever the locale makes of its bytes."""
    return os.fsencode(path).decode(errors="replace")


class InputError(Exception):
    """Something the user gave can't be used; the message is one sentence with the remedy."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))  # names of files come from anywhere

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence alone; `%debug` leads to where it was raised."""
        return [f"{type(self).__name__}: {self}"]


def select_device(name: str) -> "torch.device":
    """The device called `name`; "auto" is the accelerator, or the CPU where none can add up.

    Raises:
        InputError: no such device here.
    """
    import torch  # here, for most of what needs the defaults needs no device

    device = name
    if name == "auto":
        device = torch.accelerator.current_accelerator(check_available=True) or "cpu"
    try:
        probe = torch.ones(2, device=device)
        probe.sum().item()  # which fails where it is too new, or too old, for this PyTorch
        return probe.device
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).partition("\n")[0]
        if name != "auto":
            raise InputError(
                f"device is {name!r:.80}, but this machine can't use it ({reason}); use auto."
            ) from error
        log.warning("%s can't compute here (%s); using the CPU", device, reason)
        return torch.device("cpu")


def computes_bfloat16(device: "torch.device") -> bool:
    """Whether this is a processor with instructions of its own for bfloat16."""
    import torch

    flags = torch.cpu.get_capabilities()
    return device.type == "cpu" and any(flags[name] for name in flags if "bf16" in name)


def check_fields(record: object) -> None:
    """Holds a dataclass against its annotations, and makes what they say of ints and strings.

    Raises:
        InputError: a value is impossible; the message names the field, and says what it can be.
    """
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, float):
            value = float(value)  # NumPy's are some, too
        try:
            value = msgspec.convert(value, field.type, dec_hook=make_path)
        except (msgspec.ValidationError, UnicodeError) as error:  # a text may hold half a sign
            rule = field.type.__metadata__[0].description
            raise InputError(f"{field.name} is {value!r:.80}, but must be {rule}.") from error
        object.__setattr__(record, field.name, value)


def check_parameters() -> None:
    """Holds the parameters of the notebook that runs against the types that it declares.

    `papermill -p publish false` hands over a text, which would count as true.

    Raises:
        InputError: one is of another type.
    """
    notebook = sys.modules["__main__"]
    for name, kind in get_type_hints(notebook).items():
        value = getattr(notebook, name, None)
        # for a text there may be a list, such as the names of classes
        if value is not None and not (kind is str and isinstance(value, list)):
            try:
                msgspec.convert(value, kind)
            except msgspec.ValidationError as error:
                raise InputError(
                    f"{name} is {value!r:.80}, but must be of type {kind.__name__}."
                ) from error


def make_path(kind: type[Path], value: object) -> Path:
    """A path of a string, as papermill hands it over."""
    if "\0" in str(value):
        raise ValueError("no path has a NUL")
    return kind(value)


def whole(low: int, high: int) -> Meta:
    """Whole numbers from one to another, for check_fields."""
    return Meta(ge=low, le=high, description=f"a whole number from {low} to {high}")


def up_to(high: float) -> Meta:
    """Numbers from 0 to another, for check_fields."""
    return Meta(ge=0, le=high, description=f"from 0 to {high}")


AnyPath = Annotated[Path, Meta(description="a path")]
MaybePath = Annotated[Path | None, Meta(description="a path")]
Count = Annotated[int, whole(1, 2**31)]
Seed = Annotated[int, whole(0, 2**63 - 1)]
Share = Annotated[float, up_to(0.999)]
Decay = Annotated[float, Meta(ge=0, lt=1)]


@dataclass(frozen=True)
class Config:
    """All that a training run depends on. The defaults are the quick recipe.

    Raises:
        InputError: a value is impossible; the message names the field.
    """

    epochs: Annotated[int, whole(1, 100_000)] = 2
    """Passes over the training images, at most."""
    seed: Seed = 0
    """Fixes the split, the initial weights, the order of images and the augmentation."""
    device: Annotated[str, Meta(description="a name; use auto")] = "auto"
    """auto (the accelerator if there is one), cpu, cuda, mps, ..."""
    data_dir: AnyPath = DATA_DIR
    """Folder of MNIST or another data set: IDX, CSV, npz, npy, pictures."""
    start: MaybePath = None
    """Weights to go on from; none by default, but random ones."""
    mix: Annotated[int, whole(0, 60_000)] = 0
    """Images of MNIST's among which the drawings in data_dir are mixed; 0 for a whole data set."""
    model_save_path: MaybePath = None
    """Where the best weights and their card go, besides the run's own folder."""
    runs_dir: AnyPath = RUNS_DIR
    """Folder in which every run of the command line makes one of its own."""
    snapshots: Annotated[bool, Meta(description="True or False")] = False
    """Keep the weights of the beginning, of steps 1, 2, 3, 4, 6, 8, 11, 16, ... and each epoch."""
    tensorboard: MaybePath = None
    """Folder for TensorBoard's event files, a folder below it for each run; none by default."""
    batch_size: Count = 128
    """Images per training step."""
    learning_rate: Annotated[float, Meta(gt=0, le=10, description="above 0, up to 10")] = 0.01
    """Peak learning rate of the one-cycle schedule."""
    warm_up: Share = 0.2
    """Share of the steps in which the learning rate rises to its peak."""
    anneal: Annotated[str, Meta(pattern=r"^(linear|cos)\Z", description="linear or cos")] = "linear"
    """How it falls from there to nothing: linear or cos."""
    patience: Count = 5
    """Epochs without a lower validation loss before training stops."""
    val_size: Annotated[int, whole(10, 2**31)] = 5_000
    """Images held out of the training file to choose the best epoch; of a small one a fifth."""
    train_size: Annotated[Count | None, Meta(description="a whole number above 0")] = None
    """Images to train on, the first of the others; by default all of them."""
    num_workers: Annotated[int, whole(0, 64)] = 0
    """Processes that load batches; 0 is fastest, because the images are in memory."""
    betas: Annotated[tuple[Decay, Decay], Meta(description="two numbers in [0, 1)")] = (0.8, 0.95)
    """AdamW's decay rates for the mean and the square of the gradient."""
    weight_decay: Annotated[float, up_to(10)] = 0.1
    """AdamW's decoupled weight decay."""
    label_smoothing: Share = 0.1
    """Share of the target that is spread over all classes."""
    autocast: Annotated[bool | Literal["auto"], Meta(description="auto, True or False")] = "auto"
    """Multiply in bfloat16: faster where it is computed, else slower. auto: on such processors."""
    rotation: Annotated[float, up_to(180)] = 0.0
    """Augmentation: largest turn, in degrees."""
    scaling: Share = 0.0
    """Augmentation: largest change of size, as a fraction."""
    translation: Annotated[float, up_to(28)] = 0.0
    """Augmentation: largest shift along each axis, in pixels."""
    shear: Annotated[float, up_to(10)] = 0.0
    """Augmentation: largest horizontal shear, in pixels per pixel."""

    def __post_init__(self) -> None:
        check_fields(self)
        path = self.model_save_path
        if path and path.suffix != ".pth":
            raise InputError(
                f"model_save_path is {path!s:.80}, but must be a file name ending in .pth."
            )
        if self.snapshots and self.epochs > 250:
            raise InputError(
                "snapshots is True, but must be False where there are more than 250 epochs."
            )
        if self.num_workers and select_device(self.device).type != "cpu":
            raise InputError(
                f"num_workers is {self.num_workers}, but must be 0 on an accelerator, because the "
                "images are there already."
            )
        if self.device not in ("auto", "cpu"):  # which every machine has
            select_device(self.device)

    @property
    def augments(self) -> bool:
        """Whether any of the four augmentation ranges is above 0."""
        return any((self.rotation, self.scaling, self.translation, self.shear))

    def to_dict(self) -> dict[str, object]:
        """The fields as plain JSON values; of a path the mere name."""
        return msgspec.to_builtins(self, enc_hook=lambda path: path_text(path.absolute().name))


BEST = Config(
    batch_size=64, learning_rate=0.003, warm_up=0.3, anneal="cos", epochs=40, patience=40,
    rotation=10, scaling=0.1, translation=1.5, shear=0.15,
)  # fmt: skip
HAND = replace(
    BEST, learning_rate=0.001, warm_up=0.2, anneal="linear", epochs=3, patience=3, val_size=1_000,
)  # fmt: skip
PRESETS = {
    "sprint": Config(epochs=1, train_size=38_400), "quick": Config(), "best": BEST, "hand": HAND,
}  # fmt: skip
