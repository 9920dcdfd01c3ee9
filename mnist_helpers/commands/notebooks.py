"""`mnist-helpers notebooks`: the notebooks run unattended through papermill, and normalised."""

import os
import re
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import nbconvert
import nbformat
import papermill
from nbformat import NotebookNode
from papermill.exceptions import PapermillException
from tqdm.contrib.logging import logging_redirect_tqdm

from mnist_helpers.commands.console import log
from mnist_helpers.commands.options import Notebooks
from mnist_helpers.config import NOTEBOOKS_DIR, InputError
from mnist_helpers.files import require_writable, write_files
from mnist_helpers.work import bar_options

ORDER = (
    "00_start_here",
    "convolution_by_hand",
    "MNIST-classifier",
    "draw_digit",
    "training_replay",
    "load_model",
    "conv_visualization",
    "analysis",
)
KINDS = {"bool": bool, "int": int, "float": float}


def run(options: Notebooks) -> None:
    """Executes them; says of each, once it has ended, how long it took and what became of it."""
    if options.save and options.parameters:
        raise InputError(
            "saved outputs come from the parameters in the notebook: use either save or parameters."
        )
    paths = notebook_paths(options.names)
    values = parse_parameters(paths, options.parameters)
    jobs = max(1, min(options.jobs, len(paths)))
    # each kernel on its own cores
    os.environ.setdefault("OMP_NUM_THREADS", f"{max(os.cpu_count() // jobs, 1)}")

    def work(path: Path) -> str:
        started = time.perf_counter()
        target = options.output_dir / path.name
        error = execute(path, target, values, options.timeout)
        seconds = time.perf_counter() - started
        if options.save and not error:
            refresh(path, target)
        log.info("%-20s %6.1f s  %s", path.stem, seconds, error or "ok")
        return error

    with logging_redirect_tqdm(), ThreadPoolExecutor(jobs) as pool:
        try:
            errors = list(pool.map(work, paths))
        except KeyboardInterrupt:  # which no thread hears; the kernels end with their parent
            print("mnist-helpers: interrupted", file=sys.stderr)
            os._exit(130)
    failed = [path.stem for path, error in zip(paths, errors, strict=True) if error]
    if failed:
        raise InputError(
            f"{', '.join(failed)} failed; what was executed is in {options.output_dir}."
        )


def parse_parameters(
    notebooks: Iterable[Path], texts: Iterable[tuple[str, str]]
) -> dict[str, object]:
    """Values for the parameters of `notebooks`, of the types that their cells declare.

    Raises:
        InputError: a value is of another type, or no notebook has a parameter of that name.
    """
    known = {}
    for notebook in notebooks:
        known.update(papermill.inspect_notebook(notebook))
    values = {}
    for name, text in texts:
        if name not in known:
            raise InputError(
                f"no notebook here has a parameter {name}; they know {', '.join(sorted(known))}."
            )
        values[name] = parse_value(name, text, known[name]["inferred_type_name"])
    return values


def parse_value(name: str, text: str, kind: str) -> object:
    """Reads a value of one of `KINDS`, or else a text; None is None.

    A relative path that exists here is made absolute, for the notebook runs in a folder of its own.
    """
    if text == "None":
        return None
    if kind in KINDS:
        try:
            return msgspec.convert(text, KINDS[kind], strict=False)
        except (msgspec.ValidationError, UnicodeError) as error:
            raise InputError(f"{name} is {text!r:.80}, but must be of type {kind}.") from error
    if os.path.exists(text):
        return str(Path(text).resolve())
    return text


def execute(source: Path, target: Path, parameters: dict[str, object], timeout: int) -> str:
    """Executes `source`, in its folder, into `target`, with those of `parameters` that it knows.

    What was executed is in `target` also when a cell fails. How far it is goes to stderr.

    Returns:
        What went wrong, in a line; nothing if all went well.

    Raises:
        InputError: `target` can't be written.
    """
    require_writable(target, "output_dir")
    known = papermill.inspect_notebook(source)
    try:
        papermill.execute_notebook(
            source,
            target,
            {name: value for name, value in parameters.items() if name in known},
            kernel_name="python3",
            # papermill's own cwd moves the whole process, with other notebooks in it
            resources={"metadata": {"path": str(source.parent)}},
            execution_timeout=timeout,
            start_timeout=120,
            progress_bar=bar_options(f"{source.stem}, cells"),
            # spares the reader the kernel's warnings about its transport
            extra_arguments=["--log-level=40"],
        )
    except (PapermillException, RuntimeError, OSError, ValueError) as failure:
        return str(failure).strip().splitlines()[-1]
    return ""


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Takes out of an executed notebook, in place, all that differs between equal runs.

    Out go papermill's times and paths, widget states and views; cells are named after their place,
    and what was printed in a row becomes one text. A picture without a text alternative gets one:
    which part it belongs to.
    """
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
            "name": "python3",
        },
        # whole, as the kernel wrote it: JupyterLab would fill in what is missing, and ask to save
        "language_info": notebook.metadata.get("language_info", {"name": "python"}),
    }
    nbconvert.preprocessors.CoalesceStreamsPreprocessor().preprocess(notebook, {})
    heading = ""
    for place, cell in enumerate(notebook.cells):
        cell.id = f"cell-{place:02}"
        tags = cell.metadata.get("tags")
        cell.metadata = {"tags": tags} if tags else {}
        if cell.cell_type != "code":
            headings = re.findall("^#+ (.+)", cell.source, re.MULTILINE)
            heading = [heading, *headings][-1]
        for output in cell.get("outputs", ()):
            if "data" in output:
                output.data.pop("application/vnd.jupyter.widget-view+json", None)
                picture = {"alt": f"Picture of the part “{heading}”."}
                picture.update(output.metadata.get("image/png", {}))
                output.metadata = {"image/png": picture} if "image/png" in output.data else {}
    return notebook


def refresh(source: Path, executed: Path) -> None:
    """Puts the normalised outputs of `executed` in the place of `source`."""
    notebook = normalise(nbformat.read(executed, as_version=4))
    write_files({source: f"{nbformat.writes(notebook)}\n".encode()})


def notebook_paths(names: Iterable[str]) -> list[Path]:
    """The collection's notebooks called `names`, with or without .ipynb; by default all.

    Raises:
        InputError: there is no notebook of that name.
    """
    stems = [Path(name).stem for name in names] or ORDER
    paths = [NOTEBOOKS_DIR / f"{stem}.ipynb" for stem in stems]
    for path in paths:
        if not path.is_file():
            raise InputError(
                f"there is no notebook {path.stem} in {path.parent}; the repository of the "
                f"collection has {', '.join(ORDER)}."
            )
    return paths
