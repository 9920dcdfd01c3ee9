"""A checkpoint's analysis in numbers, under stable names."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.utils.data import TensorDataset

from mnist_helpers.analysis import calibration, comparison, mistakes
from mnist_helpers.analysis.disturbance import DISTURBANCES
from mnist_helpers.checkpoint import Card
from mnist_helpers.config import log
from mnist_helpers.data import Splits, load_idx_part, load_splits
from mnist_helpers.files import write_json
from mnist_helpers.foreign.readers import tell_data
from mnist_helpers.metrics import Predictions, class_report, confusion_matrix

COVERAGE = (1.0, 0.99, 0.98, 0.95)


def load_parts(data_dir: Path, card: Card) -> Splits:
    """The parts of a data set as the run of a card has split them.

    Where it doesn't tell, or these are not its images, `val` is None: all may have been trained on.

    Raises:
        InputError: as `load_idx_part`.
    """
    tell_data(data_dir, card)
    recipe = card.get("config", {})
    with contextlib.suppress(KeyError):
        parts = load_splits(data_dir, recipe["val_size"], recipe["seed"])
        count = len(parts.train) + len(parts.val)
        if card.get("images", count) == count and not recipe.get("start"):
            return parts._replace(train=TensorDataset(*parts.train[: recipe.get("train_size")]))
    log.warning("no card tells which images were not trained on: no temperature is fitted")
    return Splits(load_idx_part(data_dir, "train"), None, load_idx_part(data_dir, "test"))


def metrics(
    test: Predictions,
    val: Predictions | None,
    correct_by_disturbance: Mapping[str, Sequence[Tensor]],
    class_names: Sequence[str],
) -> dict[str, object]:
    """The numbers under their stable names, which docs/metrics.md explains.

    The answers to `test` are judged; the temperature is fitted to those of `val`, if any.
    `correct_by_disturbance` is what `resistance` yields, by name.
    """
    temperature = calibrated_loss = calibrated_error = None
    calibrated = test
    if val:
        temperature = calibration.fit_temperature(val)
        calibrated = calibration.with_temperature(test, temperature)
        calibrated_loss = calibrated.loss()
        calibrated_error = calibrated.calibration_error
    resistance = {}
    for name, correct_by_amount in correct_by_disturbance.items():
        accuracies = [correct.double().mean().item() for correct in correct_by_amount]
        resistance[name] = {"amounts": DISTURBANCES[name].amounts, "accuracies": accuracies}
    risk = np.interp(COVERAGE, *calibration.risk_by_coverage(test))
    return {
        "images": len(test.labels),
        "accuracy": test.accuracy,
        "accuracy_interval": comparison.accuracy_interval(test.correct),
        "loss": test.loss(),
        "calibration_error": test.calibration_error,
        "temperature": temperature,
        "calibrated_loss": calibrated_loss,
        "calibrated_calibration_error": calibrated_error,
        "risk_at_coverage": dict(zip(map(str, COVERAGE), risk, strict=True)),
        "class_names": class_names,
        "classes": class_report(test),
        "confusion_matrix": confusion_matrix(test),
        "top_losses": mistakes.top_losses(test, 24),
        "label_suspects": mistakes.label_suspects(calibrated),
        "resistance": resistance,
    }


def save_metrics(path: str, *measured: object) -> None:
    """Writes what `metrics` gives for `measured` as JSON; what is not a number is null."""
    write_json(Path(path), metrics(*measured), lambda array: array.tolist())
