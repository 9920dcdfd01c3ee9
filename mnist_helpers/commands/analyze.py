"""`mnist-helpers analyze`: what a checkpoint gets right and wrong, as a page and as numbers."""

import nbformat

from mnist_helpers.commands import notebooks
from mnist_helpers.commands.console import log
from mnist_helpers.commands.options import Analyze, Notebooks
from mnist_helpers.config import Config, InputError
from mnist_helpers.files import require_writable, write_files
from mnist_helpers.site.build import report_page


def run(options: Analyze) -> None:
    """Executes the notebook, which measures and writes its numbers, and writes its page.

    Raises:
        InputError: a cell failed.
    """
    (source,) = notebooks.notebook_paths(["analysis"])
    report = options.out / "report.html"
    require_writable(report, "out")
    values = {
        "checkpoint": str(options.checkpoint.resolve()),
        "class_names": options.class_names,
        "device": options.device,
        "metrics_file": str(options.out.resolve() / "metrics.json"),
    }
    if options.data_dir != Config.data_dir:  # the notebook knows more of MNIST than of others
        values["data_dir"] = str(options.data_dir.resolve())
    executed = options.out / "analysis.ipynb"
    error = notebooks.execute(source, executed, values, Notebooks.timeout)
    if error:
        raise InputError(f"the notebook analysis failed: {error.removeprefix('InputError: ')}")
    title = f"{options.checkpoint.name} on {options.data_dir.name}"
    page = report_page(title, notebooks.normalise(nbformat.read(executed, as_version=4)))
    write_files({report: page.encode()})
    log.info("saved %s", report)
