"""`mnist-helpers analyze`: what a checkpoint gets right and wrong, as files."""

import logging

from mnist_helpers.checkpoint import load_checkpoint
from mnist_helpers.commands.evaluate import describe
from mnist_helpers.commands.options import Analyze
from mnist_helpers.config import Config
from mnist_helpers.data import load_splits
from mnist_helpers.files import require_writable
from mnist_helpers.report import Report

log = logging.getLogger("mnist_helpers")


def run(options: Analyze) -> None:
    """Measures and writes."""
    require_writable(options.out / "report.html", "out")
    model, card = load_checkpoint(options.checkpoint, options.device)
    seed = card.get("config", {}).get("seed", Config.seed)
    splits = load_splits(options.data_dir, seed=seed)
    names = options.class_names and options.class_names.split(",")
    report = Report(model, splits, names)
    report.write(options.out, f"{options.checkpoint.name} on {options.data_dir.name}")
    log.info("test %s", describe(report.test))
    log.info("saved %s", options.out / "report.html")
