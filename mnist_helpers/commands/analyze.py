"""`mnist-helpers analyze`: what a checkpoint gets right and wrong, as a page and as numbers."""

from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import nbformat
from nbformat import NotebookNode
from tqdm import tqdm

from mnist_helpers import notebooks
from mnist_helpers.analysis.disturbance import DISTURBANCES, resistance
from mnist_helpers.checkpoint import load_checkpoint
from mnist_helpers.commands.console import log
from mnist_helpers.commands.evaluate import describe
from mnist_helpers.commands.options import Analyze, Notebooks
from mnist_helpers.config import Config, InputError
from mnist_helpers.explorer import Subject
from mnist_helpers.files import require_writable, write_files
from mnist_helpers.metrics import evaluate
from mnist_helpers.progress import bar_options
from mnist_helpers.report import load_parts, metrics
from mnist_helpers.site.build import report_page

SOME = 1000  # images that are disturbed, as in the notebook


def run(options: Analyze) -> None:
    """Measures, executes the notebook, and writes both."""
    (notebook,) = notebooks.notebook_paths(["analysis"])
    report = options.out / "report.html"
    require_writable(report, "out")
    figures = msgspec.json.encode(measured(options), enc_hook=float)  # NumPy's; nan is null
    page = report_page(
        f"{options.checkpoint.name} on {options.data_dir.name}", executed(notebook, options)
    )
    write_files({report: page.encode(), options.out / "metrics.json": msgspec.json.format(figures)})
    log.info("saved %s", report)


def measured(options: Analyze) -> dict[str, object]:
    """The numbers of metrics.json; tells the accuracy."""
    model, card = load_checkpoint(options.checkpoint, options.device)
    parts = load_parts(options.data_dir, card)
    names = options.class_names or card.get("data_set", {}).get("class_names")
    subject = Subject(model, *parts.test.tensors, class_names=names)
    test = evaluate(model, parts.test)
    log.info("test %s", describe(test))
    val = parts.val and evaluate(model, parts.val)
    bar = tqdm(
        resistance(subject.network, *parts.test[:SOME]),
        total=len(DISTURBANCES) - 1,  # one of them is none
        **bar_options("disturbances"),
    )
    return metrics(test, val, dict(bar), subject.digits)


def executed(source: Path, options: Analyze) -> NotebookNode:
    """The notebook with its outputs for what was asked.

    Raises:
        InputError: a cell failed.
    """
    values = {
        "checkpoint": str(options.checkpoint.resolve()),
        "class_names": options.class_names,
        "device": options.device,
    }
    if options.data_dir != Config.data_dir:  # the notebook knows more of MNIST than of others
        values["data_dir"] = str(options.data_dir.resolve())
    with TemporaryDirectory() as folder:
        target = Path(folder) / source.name
        result = notebooks.execute(source, target, values, Notebooks.timeout)
        if result.error:
            raise InputError(
                f"the notebook {source.stem} failed ({result.error}); choose another checkpoint "
                "or data_dir."
            )
        return notebooks.normalise(nbformat.read(target, as_version=4))
