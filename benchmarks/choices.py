"""What each choice buys, on validation alone: `python benchmarks/choices.py`.

Trains simpler networks, the quick recipe with one part changed at a time, and recipes on 500
images, each with three seeds. Writes choices.json beside this file, which the notebook
MNIST-classifier reads. Takes some fifteen minutes on two cores.
"""

import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset
from tqdm import tqdm

from mnist_helpers.config import Config
from mnist_helpers.data import Splits, load_splits
from mnist_helpers.metrics import best_record, evaluate
from mnist_helpers.training import Trainer

SEEDS = range(3)
FEW = 500
DISTORTED = {"rotation": 10.0, "scaling": 0.1, "translation": 1.5, "shear": 0.15}
LONG = {"epochs": 30, "patience": 30, "batch_size": 50}


def linear() -> nn.Module:
    """A weight for each pixel and digit."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def perceptron() -> nn.Module:
    """Linear layers with about as many weights as SimpleCNN."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 260), nn.ReLU(), nn.Linear(260, 10))


def convolutional(
    first: int = 16, second: int = 32, hidden: int = 128, pool: bool = True
) -> nn.Module:
    """SimpleCNN, or one of other widths, or with strides in place of pooling."""
    stride = 2 - pool
    shrink = nn.MaxPool2d(2) if pool else nn.Identity()
    return nn.Sequential(
        nn.Conv2d(1, first, 3, stride, padding=1), nn.ReLU(), shrink,
        nn.Conv2d(first, second, 3, stride, padding=1), nn.ReLU(), shrink,
        nn.Flatten(), nn.Linear(second * 49, hidden), nn.ReLU(), nn.Linear(hidden, 10),
    )  # fmt: skip


class Constant(Trainer):
    """The learning rate stays as it is."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.optimizer.param_groups[0]["lr"] = self.config.learning_rate
        self.schedule = torch.optim.lr_scheduler.ConstantLR(self.optimizer, 1.0)


def mean_images(splits: Splits) -> dict[str, float]:
    """Each image gets the digit whose mean image is nearest."""
    began = time.perf_counter()
    images, labels = splits.train.tensors
    means = torch.stack([images[labels == digit].mean(dim=0) for digit in range(10)]).flatten(1)
    val_images, val_labels = splits.val.tensors
    preds = torch.cdist(val_images.flatten(1), means).argmin(dim=1)
    accuracy = (preds == val_labels).double().mean().item()
    return {"seconds": time.perf_counter() - began, "parameters": means.numel(), "val": accuracy}


def trained(
    splits: Splits, config: Config, make: Callable[[], nn.Module], trainer: type[Trainer] = Trainer
) -> dict[str, float]:
    """A network after its best epoch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = make()
    began = time.perf_counter()
    run = trainer(model, splits, config)
    run.run()
    seconds = time.perf_counter() - began
    best = best_record(run.history)
    return {
        "seconds": seconds,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "val": best.val_accuracy,
        "best_epoch": best.epoch,
        "last_val_loss": run.history[-1].val_loss,
        "best_val_loss": best.val_loss,
        "train": evaluate(model, TensorDataset(*splits.train[:5000])).accuracy,
    }


def runs_of(splits: Splits, seed: int) -> dict[str, Callable[[], dict[str, float]]]:
    """What is trained with one seed, by name."""
    quick = Config(seed=seed, device="cpu", num_workers=0)
    few = splits._replace(train=TensorDataset(*splits.train[:FEW]))
    plain = dataclasses.replace(quick, **LONG, label_smoothing=0.0, weight_decay=0.0)

    def one(make: Callable[[], nn.Module] = convolutional, **fields: object) -> Callable:
        return lambda: trained(splits, dataclasses.replace(quick, **fields), make)

    def little(**fields: object) -> Callable:
        return lambda: trained(few, dataclasses.replace(plain, **fields), convolutional)

    return {
        "nearest mean image": lambda: mean_images(splits),
        "linear": one(linear),
        "two linear layers": one(perceptron),
        "quick recipe": one(),
        "no label smoothing": one(label_smoothing=0.0),
        "no weight decay": one(weight_decay=0.0),
        "distorted images": one(**DISTORTED),
        "constant learning rate 0.01": lambda: trained(splits, quick, convolutional, Constant),
        "constant learning rate 0.001": lambda: trained(
            splits, dataclasses.replace(quick, learning_rate=0.001), convolutional, Constant
        ),
        "strides, no pooling": one(lambda: convolutional(pool=False)),
        "8 and 16 channels": one(lambda: convolutional(8, 16)),
        "64 values in fc1": one(lambda: convolutional(hidden=64)),
        "500 images, plain": little(),
        "500 images, weight decay 0.1": little(weight_decay=0.1),
        "500 images, label smoothing 0.1": little(label_smoothing=0.1),
        "500 images, distorted": little(**DISTORTED),
    }


def main() -> None:
    """Trains them all, seed by seed, and writes the figures of each."""
    figures: dict[str, list[dict[str, float]]] = {}
    for seed in SEEDS:
        splits = load_splits(Config.data_dir, Config.val_size, seed)
        for name, run in tqdm(runs_of(splits, seed).items(), desc=f"seed {seed}"):
            figures.setdefault(name, []).append(run())
    text = json.dumps({"torch": torch.__version__, "figures": figures}, indent=1)
    Path(__file__).with_suffix(".json").write_text(text + "\n", "utf-8")
    for name, seeds in figures.items():
        accuracies = [100 * figure["val"] for figure in seeds]
        spread = statistics.stdev(accuracies)
        print(f"{name:32} {statistics.mean(accuracies):6.2f} ± {spread:.2f}")


if __name__ == "__main__":
    main()
