"""`mnist-helpers evaluate`: a checkpoint on the test images."""

from mnist_helpers.checkpoint import load_checkpoint
from mnist_helpers.commands.console import log
from mnist_helpers.commands.options import Evaluate
from mnist_helpers.data import load_idx_part
from mnist_helpers.foreign.readers import tell_data
from mnist_helpers.metrics import Predictions, evaluate


def run(options: Evaluate) -> None:
    """Measures and tells."""
    model, card = load_checkpoint(options.checkpoint, options.device)
    tell_data(options.data_dir, card)
    test = load_idx_part(options.data_dir, "test")
    log.info("test %s", describe(evaluate(model, test)))


def describe(predictions: Predictions) -> str:
    """The figures of an evaluation in words."""
    return (
        f"accuracy {predictions.accuracy:.2%} ({predictions.correct.sum():,} of "
        f"{len(predictions.labels):,} images), loss {predictions.loss():.4f}"
    )
