"""What can be asked of each command: records of its options, which need no PyTorch to be read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, Suppress, UseAppendAction, arg

from mnist_helpers.config import CHECKPOINT_PATH, PROJECT_DIR, Config, Format
from mnist_helpers.explorer.selection import Selection

Checkpoint = Annotated[Path, arg(help="a .pth or .safetensors, or the folder of a run")]
DataDir = Annotated[Path, arg(help="MNIST or another data set: IDX, CSV, npz, npy, pictures")]
Device = Annotated[str, arg(help="auto (the accelerator if there is one), cpu, cuda, mps, ...")]


@dataclass(frozen=True)
class Train:
    """Train the network, save the weights of its best epoch with a card, and test them once.

    Example: mnist-helpers train --preset best --epochs 5 --model-save-path mine.pth
    Your own hand: mnist-helpers train --start best_mnist_cnn.pth --data-dir my-digits --mix 5000
    """

    config: Config = Config()  # noqa: RUF009 - frozen
    """What the run depends on: what is often changed, and, from --batch-size on, the recipe."""
    preset: Literal["sprint", "quick", "best", "hand"] = "quick"
    """The recipe that the options below start from; best is that of the published checkpoint, hand
    that with --start."""
    resume: Annotated[Path | None, arg(metavar="RUN")] = None
    """Folder of an interrupted run, which continues as it was configured; give no other option."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What most commands look at."""

    checkpoint: Checkpoint = CHECKPOINT_PATH
    data_dir: DataDir = Config.data_dir


@dataclass(frozen=True)
class Evaluate(Given):
    """Measure a checkpoint on the test images.

    Example: mnist-helpers evaluate --checkpoint mine.pth
    """

    device: Device = Config.device


@dataclass(frozen=True)
class Predict:
    """Say which digits each picture shows, dark on light or light on dark.

    Example: mnist-helpers predict photo.jpg scans/ --json
    """

    images: Positional[tuple[Path, ...]]
    """PNG, JPEG or other pictures, folders of them, or patterns such as "*.png"."""
    json: bool = False
    """Write one JSON object per picture, each on its own line: file, digits, error."""
    keep: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Show each digit with the answer, ask which it is, and keep it in this folder for train."""
    checkpoint: Checkpoint = CHECKPOINT_PATH
    device: Device = Config.device


@dataclass(frozen=True)
class Export(Given):
    """Write a checkpoint in another format, kept only where it answers as PyTorch does.

    Example: mnist-helpers export --format onnx --out digits.onnx
    """

    format: Format
    """safetensors are weights alone; pt2 is torch.export's, which took TorchScript's place."""
    out: Path | None = None
    """The file, its name ending in the format; by default outputs/CHECKPOINT.FORMAT."""


@dataclass(frozen=True)
class Place(Selection):
    """Where to look, whatever the view."""

    view: Suppress[str] = ""


@dataclass(frozen=True)
class Visualize(Given):
    """Write the views into the network as PNGs.

    Example: mnist-helpers visualize --views pipeline kernels --image 7
    """

    selection: Place = Place()
    """Where to look."""
    views: tuple[str, ...] = ()
    """Names of the views, such as pipeline; by default all."""
    out: Path = PROJECT_DIR / "outputs" / "views"
    """Folder for the pictures."""


@dataclass(frozen=True)
class Analyze(Given):
    """Write what a checkpoint gets right and wrong: the analysis as report.html, metrics.json.

    Example: mnist-helpers analyze --checkpoint mine.pth --out mine
    """

    out: Path = PROJECT_DIR / "outputs" / "analysis"
    """Folder for what is written."""
    class_names: str | None = None
    """Names of the classes, with commas between; by default their numbers."""
    device: Device = Config.device


@dataclass(frozen=True)
class Notebooks:
    """Execute notebooks through papermill, in order, and say what became of each.

    Example: mnist-helpers notebooks load_model analysis -p checkpoint mine.pth
    """

    names: Positional[tuple[str, ...]] = ()
    """The notebooks, all by default."""
    parameters: UseAppendAction[
        Annotated[tuple[tuple[str, str], ...], arg(aliases=["-p"], metavar="NAME VALUE")]
    ] = ()
    """A value for a parameter, again for each; a notebook uses those that it knows."""
    output_dir: Path = PROJECT_DIR / "outputs"
    """Where the executed notebooks go."""
    timeout: int = 600
    """Seconds that one cell may take."""
    save: bool = False
    """Put the outputs, normalised, into the notebooks themselves; not with parameters."""
    jobs: int = 2
    """Notebooks that run at once, each on its share of the cores."""


@dataclass(frozen=True)
class Site(Given):
    """Write the site that needs no kernel: the lab, the notebooks and a start page.

    Example: mnist-helpers site --out pages
    """

    out: Path = PROJECT_DIR / "outputs" / "site"
    """Folder for the pages."""


@dataclass(frozen=True)
class Download:
    """Get MNIST's four files, checked by their md5 sums, and unpack them; what is whole stays.

    Example: mnist-helpers download --data-dir MNIST-Data
    """

    data_dir: DataDir = Config.data_dir


COMMANDS = (Train, Evaluate, Predict, Export, Visualize, Analyze, Notebooks, Site, Download)
