"""Measures training side by side in one run: `python benchmarks/training.py`.

Recipes from random weights to test accuracy, the cost of each part of a step, and how cost
grows with the data and shrinks with more processes. Prints a table, and writes training.json and
training.png beside this file. Nothing else should run meanwhile.
"""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import datasets, transforms

from mnist_helpers.config import BEST, DATA_DIR, PRESETS, Config, computes_bfloat16
from mnist_helpers.data import Splits, load_splits, random_affine
from mnist_helpers.metrics import evaluate
from mnist_helpers.model import make_model
from mnist_helpers.plots import BLUE, GREY, ORANGE, make_figure
from mnist_helpers.training import Trainer

HERE = Path(__file__).parent
FLOAT_OPERATIONS = (
    6 * 55_000 * (784 * 16 * 9 + 196 * 32 * 144 + 1568 * 128 + 128 * 10)
)  # 2 forward, 4 backward


@dataclass(frozen=True)
class Trial:
    """One training from random weights: seconds of training, and accuracy on the test images."""

    recipe: str
    seed: int
    seconds: float
    accuracy: float


Recipe = Callable[[Splits, int, Path], tuple[nn.Module, float]]


class StandardNet(nn.Sequential):
    """PyTorch's own MNIST example: 1.2 million parameters (github.com/pytorch/examples, mnist)."""

    def __init__(self) -> None:
        convolutions = (
            nn.Conv2d(1, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(0.25),
        )
        super().__init__(
            *convolutions,
            nn.Flatten(),
            nn.Linear(9216, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, 10),
        )


class FastNet(nn.Sequential):
    """That of a fast public recipe on a CPU (github.com/tuomaso/train_mnist_fast, 2021)."""

    def __init__(self) -> None:
        first = nn.Conv2d(1, 24, 5), nn.MaxPool2d(2), nn.ReLU()
        second = nn.Conv2d(24, 32, 3), nn.MaxPool2d(2), nn.ReLU()
        super().__init__(
            *first, *second, nn.Flatten(), nn.Linear(800, 256), nn.ReLU(), nn.Linear(256, 10)
        )


def standard(splits: Splits, seed: int, folder: Path) -> tuple[nn.Module, float]:
    """One epoch as published: 60,000 images, each through transforms, batch 64, Adadelta at 1.0."""
    steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    torch.manual_seed(seed)
    loader = DataLoader(datasets.MNIST(folder, transform=steps), batch_size=64, shuffle=True)
    model = StandardNet()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    return model, timed(lambda: one_pass(model, loader, optimizer, None))


def fastest_public(splits: Splits, seed: int, folder: Path) -> tuple[nn.Module, float]:
    """One epoch as published: 60,000 images in the order of the file, batch 256, one-cycle Adam."""
    images, labels = (
        torch.cat(pair) for pair in zip(splits.train.tensors, splits.val.tensors, strict=True)
    )
    torch.manual_seed(seed)
    model = FastNet()
    batches = list(zip(images.split(256), labels.split(256), strict=True))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, betas=(0.7, 0.9))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.01, total_steps=len(batches), cycle_momentum=False
    )
    return model, timed(lambda: one_pass(model, batches, optimizer, schedule))


def preset(name: str, autocast: bool) -> Recipe:
    """One of this project's recipes, its looks at the validation images included."""

    def recipe(splits: Splits, seed: int, folder: Path) -> tuple[nn.Module, float]:
        config = replace(PRESETS[name], seed=seed, device="cpu", autocast=autocast)
        trainer = Trainer(make_model(seed), splits, config)
        return trainer.model, timed(lambda: trainer.run(on_step=lambda loss: None))

    return recipe


RECIPES = {
    "standard": standard,
    "fastest public": fastest_public,
    "quick": preset("quick", autocast=False),
    "quick, bfloat16": preset("quick", autocast=True),
    "sprint": preset("sprint", autocast=False),
    "sprint, bfloat16": preset("sprint", autocast=True),
}


def one_pass(
    model: nn.Module, batches: object, optimizer: torch.optim.Optimizer, schedule: object
) -> None:
    """The plain loop of both published recipes."""
    model.train()
    for images, labels in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
        if schedule:
            schedule.step()


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median_seconds(work: Callable[[], object], times: int) -> float:
    """The median of several runs, after one that is not counted."""
    work()
    return statistics.median(timed(work) for _ in range(times))


def race(seeds: int, standard_seeds: int) -> list[Trial]:
    """Every recipe with every seed, in turn, so that a slow minute hits all alike.

    Each in a new process: how memory is kept there for the next step is a part of a recipe.
    """
    trials = []
    with tempfile.TemporaryDirectory() as name:
        raw = Path(name) / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for path in (DATA_DIR / "MNIST" / "raw").glob("*.gz"):
            (raw / path.name).write_bytes(path.read_bytes())
        datasets.MNIST(name, download=True)  # unpacks there what is committed packed
        for seed in range(100, 100 + seeds):  # seeds that chose nothing
            for recipe in RECIPES:
                if recipe.endswith("bfloat16") and not computes_bfloat16(torch.device("cpu")):
                    continue
                if recipe == "standard" and seed >= 100 + standard_seeds:
                    continue
                command = f"import training; training.attempt({recipe!r}, {seed}, {name!r})"
                trial = Trial(**json.loads(output_of(command)))
                trials.append(trial)
                print(
                    f"  {recipe:16} seed {seed}: {trial.seconds:6.1f} s, {trial.accuracy:.2%}",
                    flush=True,
                )
    return trials


def attempt(recipe: str, seed: int, folder: str) -> None:
    """One row of `race`, printed."""
    splits = load_splits()
    model, seconds = RECIPES[recipe](splits, seed, Path(folder))
    print(json.dumps(vars(Trial(recipe, seed, seconds, evaluate(model, splits.test).accuracy))))


def output_of(command: str) -> str:
    """What lines of Python print in a new process."""
    arguments = [sys.executable, "-c", command]
    return subprocess.run(arguments, cwd=HERE, capture_output=True, check=True).stdout


def parts(splits: Splits) -> dict[str, float]:
    """The median cost of the parts, in seconds unless the name says otherwise."""
    left, right = torch.randn(2, 2048, 2048)
    plain = replace(Config(), epochs=9, device="cpu", autocast=False)
    rate = 2 * 2048**3 / median_seconds(lambda: left @ right, 9)
    trainer = Trainer(make_model(), splits, plain)
    epoch = median_seconds(lambda: trainer.train_pass(2, lambda loss: None), 3)
    augmenting = Trainer(make_model(), splits, replace(BEST, device="cpu", autocast=False))
    step = median_seconds(lambda: augmenting.train_pass(2, lambda loss: None), 1) / len(
        augmenting.loader
    )
    images, amounts = (
        splits.train.tensors[0][: BEST.batch_size],
        2 * torch.rand(BEST.batch_size, 5) - 1,
    )
    augment = median_seconds(lambda: random_affine(images, amounts, BEST), 50)
    imports = {
        name: median_start(name)
        for name in ("torch, torchvision", "torch, torchvision, mnist_helpers")
    }
    return {
        "matrix product, GFLOP/s": rate / 1e9,
        "epoch of the quick recipe": epoch,
        "its arithmetic floor": FLOAT_OPERATIONS / rate,
        "its convolutions alone": convolutions_alone(trainer.model),
        "augmentation, share of a step": augment / step,
        "loading the data": median_seconds(load_splits, 3),
        "evaluating 10,000 images": median_seconds(lambda: evaluate(trainer.model, splits.test), 5),
        "import torch, torchvision": imports["torch, torchvision"],
        "the same and mnist_helpers": imports["torch, torchvision, mnist_helpers"],
    }


def median_start(modules: str) -> float:
    """Seconds that a new Python takes to import `modules`."""
    return median_seconds(
        lambda: subprocess.run([sys.executable, "-c", f"import {modules}"], check=True), 5
    )


def convolutions_alone(model: nn.Module) -> float:
    """Seconds of an epoch that the two convolutions take forward and backward, by themselves."""
    inputs = torch.randn(128, 1, 28, 28), torch.randn(128, 16, 14, 14).requires_grad_()
    inputs = [tensor.contiguous(memory_format=torch.channels_last) for tensor in inputs]

    def work() -> None:
        for layer, tensor in zip((model.conv1, model.conv2), inputs, strict=True):
            out = layer(tensor)
            torch.autograd.grad(
                out, [tensor, layer.weight][-1 - tensor.requires_grad :], torch.ones_like(out)
            )

    return median_seconds(work, 50) * 55_000 / 128


def growth() -> list[dict[str, float]]:
    """Seconds an epoch and memory for 1, 2, 4 and 8 times the images, each in a new process."""
    return [
        json.loads(output_of(f"import training; training.grow({times})")) for times in (1, 2, 4, 8)
    ]


def grow(times: int) -> None:
    """One row of `growth`, printed: seconds an epoch, and the peak of memory in MB."""
    imports = peak_memory()
    splits = load_splits()
    repeated = splits._replace(
        train=TensorDataset(*(torch.cat([t] * times) for t in splits.train.tensors))
    )
    trainer = Trainer(
        make_model(),
        repeated,
        replace(Config(), rotation=10, translation=1.5, device="cpu", autocast=False),
    )
    seconds = timed(lambda: trainer.train_pass(2, lambda loss: None))
    evaluate(trainer.model, splits.test)
    print(
        json.dumps(
            {
                "times": times,
                "seconds": seconds,
                "imports_mb": imports,
                "above_mb": peak_memory() - imports,
            }
        )
    )


def peak_memory() -> float:
    """The most memory that this process ever had, in MB; getrusage counts its parent's, too."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def scaling() -> list[dict[str, float]]:
    """Seconds of the quick recipe's first epoch with threads or processes, through torchrun."""
    rows = []
    for processes, threads in ((1, 1), (1, 2), (2, 1)):
        with tempfile.TemporaryDirectory() as folder:
            launch = [
                "-m",
                "torch.distributed.run",
                "--standalone",
                "--nproc-per-node",
                str(processes),
            ]
            train = [
                "-m",
                "mnist_helpers",
                "train",
                "--epochs",
                "1",
                "--runs-dir",
                folder,
                "--device",
                "cpu",
            ]
            environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
            subprocess.run(
                [sys.executable, *launch, *train], env=environment, capture_output=True, check=True
            )
            history = json.loads(next(Path(folder).glob("*/history.json")).read_text())
        rows.append({"processes": processes, "threads": threads, "seconds": history[0]["seconds"]})
    return rows


def draw(trials: list[Trial], rows: list[dict[str, float]]) -> None:
    """Accuracy against seconds for all recipes, and cost against the amount of data."""
    fig = make_figure(11, 3.4)
    left, middle, right = fig.subplots(1, 3, width_ratios=(2, 1, 1))
    looks = {
        "standard": (GREY, "^", True),
        "fastest public": (ORANGE, "s", True),
        "quick": (BLUE, "o", True),
        "quick, bfloat16": (BLUE, "o", False),
        "sprint": (BLUE, "v", True),
        "sprint, bfloat16": (BLUE, "v", False),
    }
    for recipe, (colour, marker, is_filled) in looks.items():
        mine = [trial for trial in trials if trial.recipe == recipe]
        if mine:
            left.scatter(
                [trial.seconds for trial in mine],
                [100 * trial.accuracy for trial in mine],
                edgecolor=colour,
                facecolor=colour if is_filled else "none",
                marker=marker,
                label=recipe,
            )
    left.set_xlim(left=0)
    left.set(xlabel="Seconds of training", ylabel="Test accuracy (%)", title="Recipes")
    left.legend(frameon=False)
    for ax, name, label in (
        (middle, "seconds", "Seconds an epoch"),
        (right, "above_mb", "Memory above the imports (MB)"),
    ):
        ax.plot([row["times"] for row in rows], [row[name] for row in rows], color=BLUE, marker="o")
        ax.set(xlabel="Training images, times 55,000", ylabel=label, xlim=(0, None), ylim=(0, None))
    for ax in (left, middle, right):
        ax.grid(alpha=0.3)
    fig.savefig(HERE / "training.png", dpi=120)


def main(seeds: int = 10, standard_seeds: int = 1) -> None:
    """Measures everything; about a quarter of an hour on two quiet cores.

    Args:
        seeds: trainings of each fast recipe.
        standard_seeds: trainings of the slow one.
    """
    splits = load_splits()
    print("recipes")
    trials = race(seeds, standard_seeds)
    print("\nrecipe           seeds  seconds (median)  accuracy (mean ± standard deviation)")
    for recipe in dict.fromkeys(trial.recipe for trial in trials):
        mine = [trial for trial in trials if trial.recipe == recipe]
        accuracies = [100 * trial.accuracy for trial in mine]
        spread = statistics.stdev(accuracies) if len(mine) > 1 else float("nan")
        seconds = statistics.median(trial.seconds for trial in mine)
        print(
            f"{recipe:16} {len(mine):5} {seconds:17.1f}"
            f"  {statistics.mean(accuracies):.2f} % ± {spread:.2f}"
        )
    costs = parts(splits)
    print("\nparts (medians)")
    for name, value in costs.items():
        print(f"  {name:32} {value:8.3f}")
    rows, ranks = growth(), scaling()
    print("\ndata   seconds an epoch   peak memory above the imports, MB")
    for row in rows:
        print(f"  {row['times']}×  {row['seconds']:16.1f}  {row['above_mb']:22.0f}")
    print("\nprocesses   threads each   seconds an epoch")
    for row in ranks:
        print(f"{row['processes']:9}   {row['threads']:12}   {row['seconds']:16.1f}")
    machine = {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    results = {"machine": machine, "trials": [vars(trial) for trial in trials], "parts": costs}
    results |= {"growth": rows, "scaling": ranks}
    (HERE / "training.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    draw(trials, rows)


def processor() -> str:
    """The processor's name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next(
        (line.split(": ")[1] for line in lines if line.startswith("model name")),
        platform.processor(),
    )


if __name__ == "__main__":
    tyro.cli(main)
