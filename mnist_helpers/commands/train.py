"""`mnist-helpers train`: a run in a folder of its own, saved, tested once, and resumed."""

import importlib
import shlex
import sys
from pathlib import Path

from torch.utils.data import TensorDataset
from tqdm.contrib.logging import logging_redirect_tqdm

from mnist_helpers.analysis.comparison import accuracy_interval, compare
from mnist_helpers.checkpoint import load_checkpoint, read_card, save_checkpoint
from mnist_helpers.commands.console import log, log_file
from mnist_helpers.commands.evaluate import describe
from mnist_helpers.commands.options import Train
from mnist_helpers.config import DATA_DIR, InputError
from mnist_helpers.data import load_mixed, load_splits
from mnist_helpers.files import decoding, require_writable
from mnist_helpers.metrics import EpochRecord, Predictions, evaluate
from mnist_helpers.model import make_model
from mnist_helpers.runs.folder import (
    load_run,
    new_run,
    owned,
    save_moments,
    save_run,
    write_tensorboard,
)
from mnist_helpers.runs.ranks import is_first, process_group
from mnist_helpers.training import Trainer, run_figures, run_with_bar
from mnist_helpers.work import delayed_interrupts

Answers = dict[str, Predictions]  # by part of the data


def run(options: Train) -> None:
    """Trains, saves and tests, together with the other processes of torchrun, if any."""
    with process_group() as trainer_class:
        train(options, trainer_class)


def train(options: Train, trainer_class: type[Trainer]) -> None:
    """Trains, saves and tests."""
    config = options.config
    if options.resume:
        config, state = load_run(options.resume)
    if config.model_save_path:
        require_writable(config.model_save_path, "model_save_path")
    if config.tensorboard:
        require_writable(config.tensorboard / "events", "tensorboard")
        importlib.import_module("torch.utils.tensorboard")  # told now where it is missing
    parts = {}
    if config.mix:
        if not config.start:
            raise InputError("mix is for a network that is taught; add --start best_mnist_cnn.pth.")
        splits, parts["learned"], parts["held_back"] = load_mixed(config)
    else:
        splits = load_splits(config.data_dir, config.val_size, config.seed)
        if config.start and config.data_dir.resolve() != DATA_DIR:
            log.warning("the network may forget what isn't in %s; add --mix 5000", config.data_dir)
    parts["test"] = splits.test
    model = make_model(config.seed)
    if config.start:
        model, _ = load_checkpoint(config.start)
    trainer = trainer_class(model, splits, config)
    if options.resume:
        with decoding(options.resume, "holds no state of such a run", "start the run anew"):
            trainer.load_state_dict(state)
    if not is_first():
        trainer.run()
        return
    folder = options.resume or new_run(trainer.config)
    with owned(folder), log_file(folder / "log.txt"), logging_redirect_tqdm():
        train_and_save(trainer, parts, folder)


def train_and_save(trainer: Trainer, parts: dict[str, TensorDataset], folder: Path) -> None:
    """Trains, keeping every epoch in `folder`; saves the best weights; looks once at `parts`.

    Raises:
        InputError: training could not go on; the best weights so far are saved all the same.
    """

    def save_epoch(record: EpochRecord) -> None:
        save_run(folder, trainer)
        log.info("%s", record)
        if trainer.config.tensorboard:
            write_tensorboard(trainer.config.tensorboard / folder.name, record)

    if "test" in read_card(folder / "model.json"):
        log.info("%s is finished; its weights are model.pth there", folder)
        return
    answered = {"validation": trainer.val}
    before = {}
    try:
        run_with_bar(trainer, save_epoch)
        if not trainer.interrupted:
            answered.update(parts)
            if trainer.config.start:  # read before its file may be written anew
                model, _ = load_checkpoint(trainer.config.start, trainer.config.device)
                before = {part: evaluate(model, dataset) for part, dataset in parts.items()}
    finally:
        if trainer.best_weights:
            predictions = save_best(trainer, folder, answered)
    if trainer.interrupted:
        run_folder = shlex.quote(str(folder))
        log.info("interrupted; go on with: mnist-helpers train --resume %s", run_folder)
        sys.exit(130)  # what the shell expects of an interrupted command
    tell_turned(before, predictions)


def tell_turned(before: Answers, predictions: Answers) -> None:
    """Says of each part how many are read correctly before and after."""
    for part, answers in before.items():
        after = predictions[part].correct
        turned = compare(answers.correct, after)
        low, high = accuracy_interval(after)
        log.info(
            f"{part}: {answers.correct.sum():,} of {len(after):,} right before, "
            f"{after.sum():,} after (95 % interval {low:.1%} to {high:.1%}); "
            f"{len(turned.second_only)} turned right, {len(turned.first_only)} wrong",
        )


def save_best(trainer: Trainer, folder: Path, parts: dict[str, TensorDataset]) -> Answers:
    """Saves the weights of the best epoch, with a card that says how they answer these parts.

    Returns:
        The answers, by part.
    """
    inside = folder / "model.pth"
    path = trainer.config.model_save_path or inside
    predictions = {}
    with delayed_interrupts():  # what has been trained is saved first
        for part, dataset in parts.items():
            predictions[part] = evaluate(trainer.model, dataset)
        figures = run_figures(trainer.history, **predictions)
        figures["images"] = trainer.images
        for target in dict.fromkeys([path, inside]):
            save_checkpoint(trainer.model, target, trainer.config, figures)
        save_moments(folder, trainer)
    log.info("the losses above have label smoothing in them, these have not")
    for part, answers in predictions.items():
        log.info("%s, epoch %d: %s", part, figures["best_epoch"], describe(answers))
    log.info("saved %s and its card", path)
    return predictions
