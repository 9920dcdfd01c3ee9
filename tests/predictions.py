"""What the published checkpoint reads in the 10,000 test images: `python tests/predictions.py`.

Writes predictions.txt beside this file, a digit for each image, a hundred a line; tests compare it.
With the name of a file, writes what the test of processors compares there, and the record not.
"""

import sys
from pathlib import Path

import torch

from mnist_helpers import load_checkpoint
from mnist_helpers.config import DATA_DIR
from mnist_helpers.data import load_idx_part
from mnist_helpers.metrics import evaluate
from mnist_helpers.network.attribution import attributions
from mnist_helpers.network.tracing import Network
from mnist_helpers.work import finished

RECORD = Path(__file__).with_name("predictions.txt")
A_LINE = 100


def answers() -> dict[str, object]:
    """Logits of all test images, attributions of the first, and how they were computed."""
    model, _ = load_checkpoint()
    test = load_idx_part(DATA_DIR, "test")
    image, label = test[0]
    maps = finished(attributions(Network(model, image[None]), image, int(label)))
    return {
        "logits": evaluate(model, test).logits,
        "attributions": {method: torch.from_numpy(found) for method, found in maps.items()},
        "settings": (torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()),
    }


def written(preds: torch.Tensor) -> str:
    """Digits as the lines of the record."""
    digits = "".join(map(str, preds.tolist()))
    return "".join(digits[i : i + A_LINE] + "\n" for i in range(0, len(digits), A_LINE))


if __name__ == "__main__":
    found = answers()
    if len(sys.argv) > 1:
        torch.save(found, sys.argv[1])
    else:
        RECORD.write_text(written(found["logits"].argmax(dim=1)), encoding="utf-8")
