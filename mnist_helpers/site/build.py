"""The site: the lab, the notebooks as saved, the documents, a start page; the report's page."""

import base64
import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import nbformat
import numpy as np
import safetensors.torch
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook
from tqdm import tqdm

from mnist_helpers.config import NOTEBOOKS_DIR, PROJECT_DIR, printable
from mnist_helpers.data import MEAN, STD
from mnist_helpers.explorer import Selection, Subject, widget
from mnist_helpers.explorer.scene import Maps, Pad, Table, Text
from mnist_helpers.explorer.views.layers import layer_step
from mnist_helpers.explorer.views.parts import probability_bars
from mnist_helpers.files import write_files
from mnist_helpers.runs.snapshots import moments
from mnist_helpers.work import bar_options

PAGES = Path(__file__).parent  # with the folder `page`, which is a template of nbconvert's
DOCS = PROJECT_DIR / "docs"
# one for all notebooks: its templates are compiled once
EXPORTER = HTMLExporter(
    template_name="page",
    extra_template_basedirs=[str(PAGES)],
    preprocessors=["nbconvert.preprocessors.ExtractOutputPreprocessor"],
)
RUN = NOTEBOOKS_DIR / "snapshots" / "quick.npz"  # whose moments the lab shows
MARKS = {  # what their fields are where nothing is said of them
    "maps": vars(Maps(values=None, limits=())),
    "pad": vars(Pad(ink=None, example=None)),
    "table": vars(Table(values=None)),
    "text": vars(Text("")),
}
# a call whose picture the lab shows, too, at the same place
SHOWN = re.compile(
    r"(?:still|explore)\(subject(?:, (?:image=image|view=\"(?:pipeline|arithmetic|drawing)\""
    r"|drawing=drawing|views=\(\"drawing\".*?\)))*"
    r"((?:, (?:layer|channel|row|column)=[\w\"]+)*)\)$"
)


def write_site(subject: Subject, paths: Sequence[Path], out: Path) -> None:
    """Writes all pages and their pictures into a folder.

    Args:
        subject: a `SimpleCNN` and the images that the lab shows.
        paths: the notebooks; the first tells the ways through them.
        out: the folder, which exists.
    """
    files = {"lab.html": lab_page(subject).encode()}
    for path in (*paths, *DOCS.glob("*.png")):
        files[path.name] = path.read_bytes()
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in paths}
    ways = notebooks[paths[0].stem].cells[0].source.partition("\n")[2].partition("Terms are")[0]
    notebooks["index"] = document((PAGES / "page" / "start.html").read_text("utf-8") + ways)
    for path in DOCS.glob("*.md"):
        notebooks[path.stem] = document(path.read_text("utf-8"))
    for name, notebook in tqdm(notebooks.items(), **bar_options("pages")):
        for cell in notebook.cells:
            call = SHOWN.search(cell.source)
            if call:  # its picture is shown by the lab, too
                fields = call[1].replace('"', "").replace(", ", "#", 1).replace(", ", "&")
                cell.metadata.lab = f"lab.html{fields}"
        page, resources = EXPORTER.from_notebook_node(notebook, {"unique_key": name})
        page = re.sub(r'href="(\.\./)?(\w+/)?([\w-]+)\.(ipynb|md)', r'href="\3.html', page)
        files[f"{name}.html"] = page.encode()
        files.update(resources["outputs"])
    for name, content in files.items():
        write_files({out / name: content})


def document(text: str) -> NotebookNode:
    """A text in Markdown as a notebook of one cell."""
    return new_notebook(cells=[new_markdown_cell(text)])


def report_page(title: str, notebook: NotebookNode) -> str:
    """An executed notebook as one file that needs no other.

    Args:
        title: what was analysed, a text of any letters.
    """
    page, _ = EXPORTER.from_notebook_node(notebook, {"title": printable(title)})
    return re.sub(r'<a href="[^":#]*">(.*?)</a>', r"\1", page)  # no page stands beside it


def lab_page(subject: Subject) -> str:
    """A page that reads digits with a network of its own: one file that needs no kernel."""
    look = subject.look(Selection())
    weights = {name: values.contiguous() for name, values in subject.network.weights.items()}
    with np.load(RUN, allow_pickle=False) as run:
        steps = {name: run[f"steps/{name}"] for name in weights}
        changes = [run[f"changes/{name}"] for name in steps]
        epochs = run["epochs"]
    levels, pixels = subject.images.unique(return_inverse=True)
    layers = {}
    for name, layer in subject.layers.items():
        layers[name] = dict(
            layer._asdict(),
            shape=look.maps[name].shape,  # a vector's channels are 1 × 1
            notes=layer_step(look, name).notes,
            before=subject.network.read_by(name),
            receptive_field=layer.receptive_field.intervals,
        )
    del layers["flatten"]
    facts = {
        "marks": dict(MARKS, bars=vars(probability_bars(look))),
        "layers": layers,
        "reads": subject.network.reads,
        "shapes": {name: values.shape for name, values in sorted(weights.items())},
        "moments": list(moments(RUN.stem, epochs)),
        "steps": steps,
        "labels": subject.labels,
        "levels": levels,
        "limit": subject.network.model.no_digit,
        "scale": (MEAN, STD),
    }
    return EXPORTER.environment.get_template("lab.html.j2").render(
        explorer_style=(widget.PAGE / "explorer.css").read_text("utf-8"),
        explorer_script=widget.classic_script(),
        facts=json.dumps(facts, default=lambda array: array.tolist()).replace("<", "\\u003c"),
        weights=packed(safetensors.torch.save(weights)),
        changes=packed(np.concatenate(changes, axis=None)),
        pixels=packed(pixels.byte().numpy()),
    )


def packed(content: bytes | np.ndarray) -> str:
    """Bytes as the page reads them: deflated, in base64."""
    return base64.b64encode(zlib.compress(content, level=8)).decode()
