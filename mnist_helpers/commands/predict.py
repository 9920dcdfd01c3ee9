"""`mnist-helpers predict`: which digit each picture shows."""

import torch

from mnist_helpers.checkpoint import load_checkpoint
from mnist_helpers.commands.console import log
from mnist_helpers.commands.options import Predict
from mnist_helpers.config import InputError
from mnist_helpers.digits import load_digit


def run(options: Predict) -> None:
    """Reads each picture."""
    if not options.images:
        raise InputError("predict needs at least one picture; give the paths of PNG or JPEG files.")
    model, _ = load_checkpoint(options.checkpoint, options.device)
    batch = torch.stack([load_digit(path) for path in options.images])
    with torch.inference_mode():
        logits = model(batch.to(next(model.parameters()).device))
    percents, digits = (100 * logits.softmax(dim=1)).topk(2)
    answers = zip(options.images, percents, digits, strict=True)
    for path, (first, second), (digit, other) in answers:
        log.info("%s: %d (%.1f %%; next %d, %.1f %%)", path, digit, first, other, second)
