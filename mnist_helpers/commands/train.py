"""`mnist-helpers train`: a run in a folder of its own, saved, tested once, and resumed."""

import contextlib
import importlib
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from tqdm.contrib.logging import logging_redirect_tqdm

from mnist_helpers.checkpoint import save_checkpoint
from mnist_helpers.commands.console import log, log_file
from mnist_helpers.commands.evaluate import describe
from mnist_helpers.commands.options import Train
from mnist_helpers.config import InputError
from mnist_helpers.data import Splits, load_splits
from mnist_helpers.files import decoding, require_writable
from mnist_helpers.metrics import EpochRecord, evaluate
from mnist_helpers.model import make_model
from mnist_helpers.runs.folder import load_run, new_run, owned, save_moments, save_run
from mnist_helpers.runs.tensorboard import write_tensorboard
from mnist_helpers.training import Trainer, run_figures


def run(options: Train) -> None:
    """Trains, saves and tests, together with the other processes of torchrun, if any."""
    with process_group():
        train(options)


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """Joins the other processes of torchrun, if any; all but the first say nothing but errors."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group()
    if dist.get_rank() > 0:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        dist.destroy_process_group()


def train(options: Train) -> None:
    """Trains, saves and tests."""
    config = options.config
    if options.resume:
        config, state = load_run(options.resume)
    if config.model_save_path:
        require_writable(config.model_save_path, "model_save_path")
    if config.tensorboard:
        require_writable(config.tensorboard / "events", "tensorboard")
        importlib.import_module("torch.utils.tensorboard")  # told now where it is missing
    splits = load_splits(config.data_dir, config.val_size, config.seed)
    trainer = Trainer(make_model(config.seed), splits, config)
    if options.resume:
        with decoding(options.resume, "holds no state of such a run", "start the run anew"):
            trainer.load_state_dict(state)
    if trainer.rank:
        trainer.run(on_step=lambda loss: None)  # only the first process prints and writes
        return
    folder = options.resume or new_run(config)
    with owned(folder), log_file(folder / "log.txt"), logging_redirect_tqdm():
        finish(trainer, splits, folder)


def finish(trainer: Trainer, splits: Splits, folder: Path) -> None:
    """Trains, keeping every epoch in `folder`; then evaluates and saves the best weights.

    Raises:
        InputError: training could not go on; the best weights so far are saved all the same.
    """
    failure = None
    board = trainer.config.tensorboard
    image = splits.val.tensors[0][:1].to(trainer.device)

    def keep(record: EpochRecord) -> None:
        save_run(folder, trainer)
        log.info("%s", record)
        if board:
            write_tensorboard(board, trainer.model, image, record)

    try:
        trainer.run(keep)
    except InputError as error:
        if not trainer.best_weights:
            raise
        failure = error
    interrupted = trainer.interrupted
    inside = folder / "model.pth"
    path = trainer.config.model_save_path or inside
    with trainer.noting_interrupts():  # what has been trained is saved first
        predictions = {"validation": evaluate(trainer.model, splits.val)}
        if not interrupted and not failure:
            predictions["test"] = evaluate(trainer.model, splits.test)
        figures = run_figures(trainer.history, **predictions)
        for target in dict.fromkeys([path, inside]):
            save_checkpoint(trainer.model, target, trainer.config, figures)
        save_moments(folder, trainer)
    for part, answers in predictions.items():
        log.info("%s, epoch %d: %s", part, figures["best_epoch"], describe(answers))
    log.info("saved %s and its card", path)
    if failure:
        raise failure
    if interrupted:
        again = shlex.quote(str(folder))
        log.info("interrupted; go on with: mnist-helpers train --resume %s", again)
        sys.exit(130)  # what the shell expects of an interrupted command
