"""The command line: train, evaluate, predict, export, visualize, analyze, notebooks, site, ...

A command is a record of its options; called, it does what they say.
"""

import argparse
import contextlib
import io
import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import torch
import torch.distributed as dist
import tyro
from tqdm.contrib.logging import logging_redirect_tqdm
from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from mnist_helpers.checkpoint import load_checkpoint, save_checkpoint
from mnist_helpers.config import (
    CHECKPOINT_PATH,
    PRESETS,
    PROJECT_DIR,
    Config,
    InputError,
    printable,
)  # fmt: skip
from mnist_helpers.data import Splits, load_idx_part, load_splits
from mnist_helpers.digits import load_digit
from mnist_helpers.download import download
from mnist_helpers.explorer import Selection, Subject, still
from mnist_helpers.explorer.views import views_of
from mnist_helpers.export import Format, export_checkpoint
from mnist_helpers.files import decoding, reason, require_writable, sweep
from mnist_helpers.metrics import EpochRecord, Predictions, evaluate
from mnist_helpers.model import make_model
from mnist_helpers.report import Report
from mnist_helpers.runs import load_run, new_run, owned, save_moments, save_run
from mnist_helpers.training import Trainer, run_figures

log = logging.getLogger("mnist_helpers")
Checkpoint = Annotated[Path, arg(help="a .pth that `mnist-helpers train` saved, or a .safetensors")]
DataDir = Annotated[Path, arg(help="folder of MNIST, or of a data set in its IDX form")]
Device = Annotated[str, arg(help="auto (the accelerator if there is one), cpu, cuda, mps, ...")]


@dataclass(frozen=True)
class Train:
    """Train the network, save the weights of its best epoch with a card, and test them once."""

    config: Config = Config()  # noqa: RUF009 - frozen
    """What the run depends on."""
    preset: Literal["quick", "best"] = "quick"
    """The recipe that the options below start from; best is that of the published checkpoint."""
    resume: Annotated[Path | None, arg(metavar="RUN")] = None
    """Folder of an interrupted run, which goes on as it was configured; no other option counts."""

    def __call__(self) -> None:
        """Trains, saves and tests."""
        config, state = load_run(self.resume) if self.resume else (self.config, None)
        if config.model_save_path:
            require_writable(config.model_save_path, "model_save_path")
        if config.tensorboard:
            require_writable(config.tensorboard / "events", "tensorboard")
        splits = load_splits(config.data_dir, config.val_size, config.seed)
        trainer = Trainer(make_model(config.seed), splits, config)
        if self.resume:
            with decoding(self.resume, "holds no state of such a run", "start the run anew"):
                trainer.load_state_dict(state)
        if trainer.rank:
            trainer.run()  # only the first process prints and writes
            return
        folder = self.resume or new_run(config)
        with owned(folder), log_file(folder / "log.txt"), logging_redirect_tqdm():
            finish(trainer, splits, folder)


def finish(trainer: Trainer, splits: Splits, folder: Path) -> None:
    """Trains, keeping every epoch in `folder`; then evaluates and saves the best weights.

    Raises:
        InputError: training could not go on; the best weights so far are saved all the same.
    """
    failure = None

    def keep(record: EpochRecord) -> None:
        save_run(folder, trainer)
        log.info("%s", record)

    try:
        trainer.run(keep)
    except InputError as error:
        if not trainer.best_weights:
            raise
        failure = error
    interrupted, inside = trainer.interrupted, folder / "model.pth"
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


@contextlib.contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Writes what is logged into `path` as well."""
    with contextlib.closing(logging.FileHandler(path, encoding="utf-8")) as handler:
        handler.setFormatter(OneLine())
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)


class Console(logging.StreamHandler):
    """Remembers that something could not be said; the work goes on."""

    failure: Exception | None = None

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Called where a write fails."""
        self.failure = sys.exception()

    def finish(self) -> None:
        """Raises what went wrong; drops what is unwritten, or Python would try once more."""
        try:
            self.flush()
        except OSError as error:
            self.failure = error
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
        if self.failure:
            raise self.failure


class OneLine(logging.Formatter):
    """Keeps names of files from writing lines of their own, or moving the cursor."""

    def format(self, record: logging.LogRecord) -> str:
        """The message on one line."""
        return printable(super().format(record))


def describe(predictions: Predictions) -> str:
    """The figures of an evaluation in words."""
    right, count = int(predictions.correct.sum()), len(predictions.labels)
    accuracy = f"accuracy {predictions.accuracy:.2%} ({right:,} of {count:,} images)"
    return f"{accuracy}, loss {predictions.loss():.4f}"


@dataclass(frozen=True)
class Evaluate:
    """Measure a checkpoint on the test images."""

    checkpoint: Checkpoint = CHECKPOINT_PATH
    data_dir: DataDir = Config.data_dir
    device: Device = Config.device

    def __call__(self) -> None:
        """Measures and tells."""
        model, card = load_checkpoint(self.checkpoint, self.device)
        test = load_idx_part(self.data_dir, "test")
        log.info("test %s", describe(evaluate(model, test)))
        if "accuracy" in card.get("test", {}):
            log.info("recorded in its card: accuracy %.2f%%", 100 * card["test"]["accuracy"])


@dataclass(frozen=True)
class Predict:
    """Say which digit each picture shows, dark on light or light on dark."""

    images: Positional[tuple[Path, ...]]
    """PNG, JPEG or other pictures of one digit each."""
    checkpoint: Checkpoint = CHECKPOINT_PATH
    device: Device = Config.device

    def __call__(self) -> None:
        """Reads each picture."""
        if not self.images:
            raise InputError(
                "predict needs at least one picture; give the paths of PNG or JPEG files."
            )
        model, _ = load_checkpoint(self.checkpoint, self.device)
        batch = torch.stack([load_digit(path) for path in self.images])
        with torch.inference_mode():
            logits = model(batch.to(next(model.parameters()).device))
        percents, digits = (100 * logits.softmax(dim=1)).topk(2)
        answers = zip(self.images, percents, digits, strict=True)
        for path, (first, second), (digit, other) in answers:
            log.info("%s: %d (%.1f %%; next %d, %.1f %%)", path, digit, first, other, second)


@dataclass(frozen=True)
class Export:
    """Write a checkpoint in another format, kept only where it answers as PyTorch does."""

    format: Format
    """safetensors are weights alone; pt2 is torch.export's, which took TorchScript's place."""
    out: Path | None = None
    """The file, its name ending in the format; by default outputs/CHECKPOINT.FORMAT."""
    checkpoint: Checkpoint = CHECKPOINT_PATH
    data_dir: DataDir = Config.data_dir

    def __call__(self) -> None:
        """Writes, compares and tells."""
        out = self.out or PROJECT_DIR / "outputs" / f"{self.checkpoint.stem}.{self.format}"
        images = load_idx_part(self.data_dir, "test").tensors[0][:1000]
        difference = export_checkpoint(self.checkpoint, self.format, out, images)
        log.info("saved %s as %s, %s bytes", out, self.format, f"{out.stat().st_size:,}")
        log.info("largest difference of a logit from PyTorch's: %.2g", difference)


@dataclass(frozen=True)
class Visualize:
    """Write the views into the network as PNGs."""

    selection: Selection = Selection(view="all", rank=True)  # noqa: RUF009 - frozen
    """Where to look."""
    out: Path = PROJECT_DIR / "outputs" / "views"
    """Folder for the pictures."""
    checkpoint: Checkpoint = CHECKPOINT_PATH
    data_dir: DataDir = Config.data_dir
    seed: int = Config.seed
    """Of the random weights beside the trained ones."""

    def __call__(self) -> None:
        """Draws each view and writes it."""
        model, _ = load_checkpoint(self.checkpoint)
        random = {"random": make_model(Config(seed=self.seed).seed).state_dict()}
        test = load_idx_part(self.data_dir, "test")
        subject = Subject(model, *test.tensors, others=random)
        views = views_of(subject) if self.selection.view == "all" else [self.selection.view]
        paths = {view: self.out / f"{view}.png" for view in views}
        for path in paths.values():
            require_writable(path, "out")
        for view, path in paths.items():
            picture = still(subject, **vars(self.selection) | {"view": view})
            picture.save(path)
            log.info("%s: %s", path, picture.scene.caption)


@dataclass(frozen=True)
class Analyze:
    """Write what a checkpoint gets right and wrong: figures, metrics.json and report.html."""

    checkpoint: Checkpoint = CHECKPOINT_PATH
    data_dir: DataDir = Config.data_dir
    out: Path = PROJECT_DIR / "outputs" / "analysis"
    """Folder for what is written."""
    class_names: str | None = None
    """Names of the classes, with commas between; by default their numbers."""
    device: Device = Config.device

    def __call__(self) -> None:
        """Measures and writes."""
        require_writable(self.out / "report.html", "out")
        model, card = load_checkpoint(self.checkpoint, self.device)
        splits = load_splits(self.data_dir, seed=card.get("config", {}).get("seed", Config.seed))
        names = self.class_names and self.class_names.split(",")
        found = Report(model, splits, names)
        found.write(self.out, f"{self.checkpoint.name} on {self.data_dir.name}")
        log.info("test %s", describe(found.test))
        log.info("saved %s", self.out / "report.html")


@dataclass(frozen=True)
class Notebooks:
    """Execute notebooks through papermill, in order, and say what became of each."""

    names: Positional[tuple[str, ...]] = ()
    """The notebooks, all by default."""
    parameters: UseAppendAction[
        Annotated[tuple[tuple[str, str], ...], arg(aliases=["-p"], metavar="NAME VALUE")]
    ] = ()
    """A value for their parameters cells, again for each; a notebook takes those it knows."""
    output_dir: Path = PROJECT_DIR / "outputs"
    """Where the executed notebooks go."""
    timeout: int = 600
    """Seconds that one cell may take."""
    save: bool = False
    """Put the outputs, normalised, into the notebooks themselves; not with parameters."""
    jobs: int = 2
    """Notebooks that run at once, each on its share of the cores."""

    def __call__(self) -> None:
        """Executes them, some at once."""
        from mnist_helpers import notebooks  # here, for it takes two seconds of every start

        if self.save and self.parameters:
            raise InputError(
                "saved outputs come from the parameters in the notebook: use either save or "
                "parameters."
            )
        if self.jobs < 1:
            raise InputError(f"jobs is {self.jobs}, but must be at least 1.")
        paths = notebooks.notebook_paths(self.names)
        values = {name: notebooks.parse_value(value) for name, value in self.parameters}
        notebooks.check_parameters(paths, values)
        runs = self.execute(paths, values)
        log.info("")
        log.info("%-20s %8s  %s", "notebook", "seconds", "result")
        for run in runs:
            log.info("%-20s %8.1f  %s", run.name, run.seconds, run.error or "ok")
        failed = [run.name for run in runs if run.error]
        if failed:
            raise InputError(
                f"{', '.join(failed)} failed; what was executed is in {self.output_dir}."
            )

    def execute(self, paths: list[Path], values: dict[str, object]) -> list:
        """Executes them and returns what became of each."""
        from mnist_helpers import notebooks

        jobs = min(self.jobs, len(paths))
        threads = max(torch.get_num_threads() // jobs, 1)
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # each kernel on its own cores
        show_bar = jobs == 1 and sys.stderr.isatty()

        def run(path: Path) -> notebooks.NotebookRun:
            log.info("%s begins", path.stem)
            target = self.output_dir / path.name
            run = notebooks.execute(path, target, values, self.timeout, show_bar)
            if self.save and not run.error:
                notebooks.refresh(path, target)
            return run

        with ThreadPoolExecutor(jobs) as pool:
            try:
                return list(pool.map(run, paths))
            except KeyboardInterrupt:  # which no thread hears; the kernels end with their parent
                sweep(self.output_dir, f".*.{os.getpid()}.part.ipynb")
                print("mnist-helpers: interrupted", file=sys.stderr)
                os._exit(130)


@dataclass(frozen=True)
class Site:
    """Write the site that needs no kernel: the lab, the notebooks and a start page."""

    checkpoint: Checkpoint = CHECKPOINT_PATH
    data_dir: DataDir = Config.data_dir
    out: Path = PROJECT_DIR / "outputs" / "site"
    """Folder for the pages."""

    def __call__(self) -> None:
        """Builds and writes."""
        from mnist_helpers.notebooks import notebook_paths  # here, as above
        from mnist_helpers.site.build import write_site

        notebook_paths(())  # without the collection there is nothing to build
        start = self.out / "index.html"
        require_writable(start, "out")
        model, _ = load_checkpoint(self.checkpoint)
        images, labels = load_idx_part(self.data_dir, "test")[:100]
        write_site(Subject(model, images, labels), self.out)
        log.info("saved %s", start)


@dataclass(frozen=True)
class Download:
    """Get MNIST's four files, checked by their md5 sums; what is there and whole stays."""

    data_dir: DataDir = Config.data_dir

    def __call__(self) -> None:
        """Gets what is missing."""
        log.info("%s holds the four files of MNIST", download(self.data_dir))


def parse(args: Sequence[str]) -> Callable[[], None]:
    """The command that `args` ask for.

    Raises:
        InputError: a value is impossible.
        SystemExit: help was asked for, or tyro has said on stderr what it does not understand.
    """
    # the recipe is read ahead of tyro, which shows its values as the defaults
    ahead = argparse.ArgumentParser("mnist-helpers", add_help=False, allow_abbrev=False)
    ahead.add_argument("--preset", nargs="?")
    preset = ahead.parse_known_args(args)[0].preset
    commands = {
        "train": partial(Train, config=PRESETS.get(preset, Config())),
        "evaluate": Evaluate,
        "predict": Predict,
        "export": Export,
        "visualize": Visualize,
        "analyze": Analyze,
        "notebooks": Notebooks,
        "site": Site,
        "download": Download,
    }
    return tyro.extras.subcommand_cli_from_dict(
        commands, args=args, prog="mnist-helpers", config=[OmitArgPrefixes]
    )


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
    """Runs the command line; bad input ends it with a sentence on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a Windows console or log file may not know ≈
    handler = Console(sys.stdout)
    handler.setFormatter(OneLine())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.raiseExceptions = False  # a full disk under a log is told by what is saved next
    for library in ("papermill", "onnxscript", "onnx_ir", "traitlets"):
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        try:
            command = parse(sys.argv[1:] if args is None else args)
            with process_group():
                command()
        finally:
            handler.finish()
    except BrokenPipeError:
        pass  # who reads the output, such as head, has enough
    except InputError as error:
        print(f"mnist-helpers: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # a full disk, most of all
        what = f"{printable(str(error.filename or 'the output'))} ({reason(error)})"
        print(f"mnist-helpers: {what}; make room or choose another place.", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("mnist-helpers: interrupted", file=sys.stderr)
        sys.exit(130)
