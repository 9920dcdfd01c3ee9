"""Tells digits from what is none by three scores: `python benchmarks/strangers.py`.

Writes strangers.json beside this file: for each score its AUROC on letters of fonts, noise,
scribbles and Fashion-MNIST (Debian's dataset-fashion-mnist, where it is installed) against
validation digits, and the limit that 99 % of those pass. The card of best_mnist_cnn.pth holds the
limit of the probability as it is: what is shown needs no temperature then.
"""

import json
import string
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from torch import Tensor

from mnist_helpers import load_checkpoint, load_splits
from mnist_helpers.analysis.calibration import fit_temperature
from mnist_helpers.data import load_idx_part
from mnist_helpers.digits import prepare
from mnist_helpers.metrics import Predictions

LETTERS = sorted(set(string.ascii_letters) - set("bgIiLlOoqSsZz"))  # those that no digit is like
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
FASHION = Path("/usr/share/datasets/fashion-mnist")
COUNT = 600


def letters() -> Tensor:
    """Letters of the fonts that Matplotlib brings."""
    images = []
    for path in sorted(FONTS.glob("DejaVuS*[!y].ttf")):
        font = ImageFont.truetype(path, 90)
        for letter in LETTERS:
            sheet = Image.new("L", (180, 180))
            ImageDraw.Draw(sheet).text((40, 30), letter, 255, font)
            images.append(prepare(np.asarray(sheet, np.float32) / 255).image)
    return torch.stack(images)


def noise(lot: np.random.Generator) -> Tensor:
    """Spots of all sizes."""
    images = []
    for _ in range(COUNT):
        spots = ndimage.gaussian_filter(lot.normal(size=(140, 140)), lot.uniform(1, 12))
        images.append(prepare(spots.clip(0).astype(np.float32)).image)
    return torch.stack(images)


def scribbles(lot: np.random.Generator) -> Tensor:
    """Lines that wander, with a pen of some width."""
    images = []
    for _ in range(COUNT):
        sheet = Image.new("L", (140, 140))
        steps = ndimage.gaussian_filter1d(lot.normal(size=(60, 2)), lot.uniform(1, 4), axis=0)
        path = steps.cumsum(axis=0)
        path = 20 + 100 * (path - path.min(0)) / np.ptp(path)
        ImageDraw.Draw(sheet).line([tuple(point) for point in path], 255, int(lot.integers(5, 14)))
        images.append(prepare(np.asarray(sheet, np.float32) / 255).image)
    return torch.stack(images)


def fashion() -> Tensor:
    """Clothes, prepared as a picture is."""
    clothes = load_idx_part(FASHION, "test").tensors[0][:COUNT]
    return torch.stack([prepare((image[0] * 0.3081 + 0.1307).numpy()).image for image in clothes])


@torch.inference_mode()
def main() -> None:
    """Measures the three scores."""
    model, _ = load_checkpoint()
    splits = load_splits()
    outputs = []
    model.fc1.register_forward_hook(lambda layer, given, features: outputs.append(features))

    def asked(images: Tensor) -> tuple[Tensor, Tensor]:
        logits = torch.cat([model(batch) for batch in images.split(500)])
        features = torch.cat(outputs)
        outputs.clear()
        return logits, features

    known = asked(splits.train.tensors[0][:20_000])[1]
    digits, labels = splits.val.tensors
    logits, features = asked(digits)
    temperature = fit_temperature(Predictions(logits, labels))
    scores = {
        "probability": lambda logits, features: logits.div(temperature).softmax(1).amax(1),
        "probability as it is": lambda logits, features: logits.softmax(1).amax(1),
        "energy": lambda logits, features: logits.logsumexp(1),
        "distance": lambda logits, features: -torch.cdist(features, known).kthvalue(5)[0],
    }
    lot = np.random.default_rng(7)
    strangers = {"letters": letters(), "noise": noise(lot), "scribbles": scribbles(lot)}
    if FASHION.is_dir():
        strangers["Fashion-MNIST"] = fashion()
    answers = {name: asked(images) for name, images in strangers.items()}
    found = {"temperature": round(temperature, 4)}
    for score, measure in scores.items():
        inside = measure(logits, features)
        limit = float(inside.quantile(0.01))
        figures = {"limit": round(limit, 4)}
        for name, answer in answers.items():
            outside = measure(*answer)
            truth = np.repeat([1, 0], [len(inside), len(outside)])
            figures[name] = round(float(roc_auc_score(truth, torch.cat([inside, outside]))), 4)
            figures[f"{name} refused"] = round(float((outside < limit).float().mean()), 4)
        found[score] = figures
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
