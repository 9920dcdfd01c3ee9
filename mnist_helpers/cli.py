"""The command line: train, evaluate, predict, visualize, notebooks."""

import argparse
import contextlib
import inspect
import io
import itertools
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Literal

import torch
import torch.distributed as dist
import tyro
from tqdm.contrib.logging import logging_redirect_tqdm
from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from mnist_helpers import notebooks as runner
from mnist_helpers.checkpoint import load_checkpoint, require_writable, save_checkpoint
from mnist_helpers.config import CHECKPOINT_PATH, PRESETS, PROJECT_DIR, Config, InputError
from mnist_helpers.data import Splits, load_idx_part, load_splits
from mnist_helpers.digits import load_digit
from mnist_helpers.explorer import Selection, Subject, still
from mnist_helpers.explorer.views import VIEWS
from mnist_helpers.metrics import EpochRecord, Predictions, evaluate
from mnist_helpers.model import make_model
from mnist_helpers.runs import load_run, new_run, save_run
from mnist_helpers.training import Trainer, run_figures

log = logging.getLogger("mnist_helpers")
Checkpoint = Annotated[Path, arg(help="a file that `mnist-helpers train` saved")]
Device = Annotated[str, arg(help="auto (the accelerator if there is one), cpu, cuda, mps, ...")]


def train(
    config: Config,
    preset: Literal["quick", "best"] = "quick",
    resume: Annotated[Path | None, arg(metavar="RUN")] = None,
) -> None:
    """Train the network, save the weights of its best epoch with a card, and test them once.

    Args:
        config: what the run depends on.
        preset: the recipe that the options below start from: quick, or the one of the published
            checkpoint.
        resume: folder of an interrupted run, which goes on as it was configured; no other option
            counts then.
    """
    config, state = load_run(resume) if resume else (config, None)
    if config.model_save_path:
        require_writable(config.model_save_path)
    splits = load_splits(config.data_dir, config.val_size, config.seed)
    trainer = Trainer(make_model(config.seed), splits, config)
    if state:
        trainer.load_state_dict(state)
    if trainer.rank:
        trainer.run()  # only the first process prints and writes
        return
    folder = resume or new_run(config)
    with log_file(folder / "log.txt"), logging_redirect_tqdm():
        finish(trainer, splits, folder)


def finish(trainer: Trainer, splits: Splits, folder: Path) -> None:
    """Trains, keeping every epoch in `folder`; then evaluates and saves the best weights."""

    def keep(record: EpochRecord) -> None:
        save_run(folder, trainer)
        log.info("%s", record)

    trainer.run(keep)
    parts = (
        {"validation": splits.val}
        if trainer.interrupted
        else {"validation": splits.val, "test": splits.test}
    )
    predictions = {name: evaluate(trainer.model, part) for name, part in parts.items()}
    figures = run_figures(trainer.history, **predictions)
    path = trainer.config.model_save_path or folder / "model.pth"
    for target in {folder / "model.pth", path}:
        save_checkpoint(trainer.model, target, trainer.config, figures)
    for name, answers in predictions.items():
        log.info("%s, epoch %d: %s", name, figures["best_epoch"], describe(answers))
    log.info("saved %s and its card", path)
    if trainer.interrupted:
        log.info("interrupted; go on with: mnist-helpers train --resume %s", folder)


@contextlib.contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Writes what is logged into `path` as well."""
    with contextlib.closing(logging.FileHandler(path, encoding="utf-8")) as handler:
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)


def evaluate_checkpoint(
    checkpoint: Checkpoint = CHECKPOINT_PATH,
    data_dir: Path = Config.data_dir,
    device: Device = Config.device,
) -> None:
    """Measure a checkpoint on the test images.

    Args:
        data_dir: folder of MNIST, or of a data set in its IDX form.
    """
    model, card = load_checkpoint(checkpoint, device)
    log.info("test %s", describe(evaluate(model, load_idx_part(data_dir, "test"))))
    if "accuracy" in card.get("test", {}):
        log.info("recorded in its card: accuracy %.2f%%", 100 * card["test"]["accuracy"])


def predict(
    images: Positional[tuple[Path, ...]],
    checkpoint: Checkpoint = CHECKPOINT_PATH,
    device: Device = Config.device,
) -> None:
    """Say which digit each picture shows, dark on light or light on dark.

    Args:
        images: PNG, JPEG or other pictures of one digit each.
    """
    if not images:
        raise InputError("predict needs at least one picture; give the paths of PNG or JPEG files.")
    model, _ = load_checkpoint(checkpoint, device)
    batch = torch.stack([load_digit(path) for path in images])
    with torch.inference_mode():
        probs = model(batch.to(next(model.parameters()).device)).softmax(dim=1).cpu()
    for path, row in zip(images, probs, strict=True):
        first, second = row.argsort(descending=True)[:2].tolist()
        log.info(
            "%s: %d (%.1f %%; next %d, %.1f %%)",
            path,
            first,
            100 * row[first],
            second,
            100 * row[second],
        )


def visualize(
    selection: Selection = Selection(view="all", rank=True),  # noqa: B008 - frozen
    out: Path = PROJECT_DIR / "outputs" / "views",
    checkpoint: Checkpoint = CHECKPOINT_PATH,
    data_dir: Path = Config.data_dir,
    seed: int = Config.seed,
) -> None:
    """Write the views into the network as PNGs.

    Args:
        selection: where to look.
        out: folder for the pictures.
        data_dir: folder of MNIST, or of a data set in its IDX form.
        seed: of the random weights beside the trained ones.
    """
    model, _ = load_checkpoint(checkpoint)
    random = {"random": make_model(seed).state_dict()}
    subject = Subject(model, *load_idx_part(data_dir, "test").tensors, weights=random)
    require_writable(out / "pipeline.png", "out")
    for view in VIEWS if selection.view == "all" else [selection.view]:
        picture = still(subject, **vars(selection) | {"view": view})
        path = out / f"{view}.png"
        path.write_bytes(picture.png())
        log.info("%s: %s", path, picture.scene.caption)


def notebooks(
    names: Positional[tuple[str, ...]] = (),
    parameters: UseAppendAction[
        Annotated[tuple[tuple[str, str], ...], arg(aliases=["-p"], metavar="NAME VALUE")]
    ] = (),
    output_dir: Path = PROJECT_DIR / "outputs",
    timeout: int = 600,
    save: bool = False,
) -> None:
    """Execute notebooks through papermill, in order, and say what became of each.

    Args:
        names: the notebooks, all four by default.
        parameters: a value for their parameters cells, again for each; a notebook takes those it
            knows.
        output_dir: where the executed notebooks go.
        timeout: seconds that one cell may take.
        save: put the outputs, normalised, into the notebooks themselves; not with parameters.
    """
    if save and parameters:
        raise InputError(
            "saved outputs come from the parameters in the notebook: use either save or parameters."
        )
    paths = runner.notebook_paths(names)
    values = {name: runner.parse_value(value) for name, value in parameters}
    runner.check_parameters(paths, values)
    runs = []
    for number, path in enumerate(paths, 1):
        log.info("[%d/%d] %s", number, len(paths), path.stem)
        target = output_dir / path.name
        runs.append(runner.execute(path, target, values, timeout, progress=sys.stderr.isatty()))
        if save and not runs[-1].error:
            runner.refresh(path, target)
    log.info("\n%-20s %8s  %s", "notebook", "seconds", "result")
    for run in runs:
        log.info("%-20s %8.1f  %s", run.name, run.seconds, run.error or "ok")
    if failed := [run.name for run in runs if run.error]:
        raise InputError(f"{', '.join(failed)} failed; what was executed is in {output_dir}.")


def describe(predictions: Predictions) -> str:
    """The figures of an evaluation in words."""
    right, count = int(predictions.correct.sum()), len(predictions.labels)
    accuracy = f"accuracy {predictions.accuracy:.2%} ({right:,} of {count:,} images)"
    return f"{accuracy}, loss {predictions.loss():.4f}"


def parse(args: list[str]) -> partial[None]:
    """Turns the command line into a call that is still to be made.

    Raises:
        InputError: it can't be understood; tyro's box of lines is folded into one.
        SystemExit: help was asked for and printed.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument(
        "--preset", default="quick"
    )  # ahead of tyro, which needs the recipe to show its defaults
    preset = first.parse_known_args(args)[0].preset
    with contextlib.redirect_stderr(io.StringIO()) as complaint:
        try:
            calls = {
                "train": deferred(train, config=PRESETS.get(preset, Config())),
                "evaluate": deferred(evaluate_checkpoint),
                "predict": deferred(predict),
                "visualize": deferred(visualize),
                "notebooks": deferred(notebooks),
            }
            return tyro.extras.subcommand_cli_from_dict(
                calls, args=args, prog="mnist-helpers", config=(OmitArgPrefixes,)
            )
        except SystemExit as end:
            if not end.code:
                raise
    lines = [text for line in complaint.getvalue().splitlines() if (text := line.strip("╭╮╰╯│ "))]
    parts = [
        list(part)
        for rule, part in itertools.groupby(lines[1:], lambda line: set(line) <= {"─", "-"})
        if not rule
    ]
    body = parts[0] if parts else lines  # what stands between the title and the first rule below it
    command = f"mnist-helpers {args[0]}" if args and args[0] in calls else "mnist-helpers"
    raise InputError(f"{' '.join(body).rstrip('.')}; see {command} --help.")


def deferred(command: Callable[..., None], **defaults: object) -> Callable[..., partial[None]]:
    """Makes `command` return its call instead of making it, with `defaults` for tyro."""

    @wraps(command)
    def make_call(*args: object, **kwargs: object) -> partial[None]:
        return partial(command, *args, **kwargs)

    make_call.__signature__ = inspect.signature(partial(command, **defaults))
    return make_call


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """Joins the other processes of torchrun, if any; all but the first say nothing but errors."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    log.setLevel(logging.INFO if dist.get_rank() == 0 else logging.ERROR)
    try:
        yield
    finally:
        dist.destroy_process_group()


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line; bad input ends it with one line on stderr and exit code 2."""
    args = list(sys.argv[1:] if args is None else args)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a Windows console or log file may not know ≈
    logging.basicConfig(format="%(message)s", stream=sys.stdout, level=logging.INFO, force=True)
    logging.getLogger("papermill").setLevel(logging.WARNING)
    try:
        call = parse(args)
        with process_group():
            call()
    except InputError as error:
        print(f"mnist-helpers: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("mnist-helpers: interrupted", file=sys.stderr)
        sys.exit(130)
