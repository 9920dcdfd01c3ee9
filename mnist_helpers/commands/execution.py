"""The notebooks run unattended: executed through papermill, checked, and normalised."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec
import nbconvert
import nbformat
import papermill
from nbformat import NotebookNode
from papermill.exceptions import PapermillException

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
