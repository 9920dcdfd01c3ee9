"""Trains ten networks that differ in their seed alone: `python benchmarks/seeds.py`.

The recipe is the quick one of the notebook MNIST-classifier. Writes seeds.json beside this file,
which the notebook analysis reads: of each network the test images that it reads wrongly, and as
what. One thread trains each, for another number would add up in another order. Takes some six
minutes.
"""

import json
from pathlib import Path

import torch
from tqdm import tqdm

from mnist_helpers.config import Config
from mnist_helpers.data import load_splits
from mnist_helpers.metrics import evaluate
from mnist_helpers.model import make_model
from mnist_helpers.training import train

SEEDS = range(10)


def measure(seed: int) -> dict[str, object]:
    """Trains with one seed; gives its mistakes by the number of the test image."""
    config = Config(seed=seed, device="cpu", num_workers=0)
    splits = load_splits(config.data_dir, config.val_size, seed)
    model = make_model(seed)
    train(model, splits, config)
    test = evaluate(model, splits.test)
    wrong = (~test.correct).nonzero().flatten().tolist()
    return {"seed": seed, "read_as": {image: int(test.preds[image]) for image in wrong}}


def main() -> None:
    """Trains them all and writes what they get wrong."""
    torch.set_num_threads(1)
    runs = [measure(seed) for seed in tqdm(SEEDS)]
    made = {"torch": torch.__version__, "epochs": Config.epochs, "networks": runs}
    text = json.dumps(made, separators=(",", ":"))
    Path(__file__).with_suffix(".json").write_text(text + "\n", "utf-8")
    print([len(run["read_as"]) for run in runs], "mistakes")


if __name__ == "__main__":
    main()
