"""The site: the lab, the notebooks as saved, the documents, a start page; the report's page."""

import base64
import html
import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from string import Template

import nbformat
import numpy as np
import safetensors.torch
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from nbformat import NotebookNode

from mnist_helpers.config import NOTEBOOKS_DIR, PROJECT_DIR, printable
from mnist_helpers.data import MEAN, STD
from mnist_helpers.explorer import Selection, Subject, widget
from mnist_helpers.explorer.replay import moments
from mnist_helpers.explorer.scene import Bars, Maps, Pad, Table, Text
from mnist_helpers.explorer.views.layers import layer_step
from mnist_helpers.files import write_files
from mnist_helpers.notebooks import notebook_paths
from mnist_helpers.runs.snapshots import load_snapshots

PAGE = Path(__file__).parent / "page"
DOCS = PROJECT_DIR / "docs"
# one for all notebooks: its templates are compiled once
EXPORTER = HTMLExporter(template_name="basic", exclude_anchor_links=True)
RUN = NOTEBOOKS_DIR / "snapshots" / "quick.npz"  # whose moments the lab shows
CHANGES = {  # in all pages but the lab
    "<title>index": "<title>Start",
    r'href="(\.\./)?(\w+/)?([\w-]+)\.(ipynb|md)': r'href="\3.html',
    "README.html": "index.html",
    r"<pre>explore\(.*</pre>": '<p class="widget">In JupyterLab an explorer stands here, to click '
    'and slide. <a href="lab.html">The lab</a> needs no installation.</p>',
    "<pre>": '<pre tabindex="0">',  # keys can scroll it
}
ALONE = {  # in the report, which has no page beside it
    r'<a href="[^":]*">(.*?)</a>': r"\1",
    r"<pre>explore\(.*</pre>": "",
    "<pre>": '<pre tabindex="0">',
}


def write_site(subject: Subject, out: Path) -> None:
    """Writes all pages and their pictures into a folder.

    Args:
        subject: a `SimpleCNN` and the images that the lab shows.
        out: the folder, which exists.
    """
    pages = {}
    for path in notebook_paths(()):
        pages[path.stem] = notebook_body(nbformat.read(path, as_version=4))
    ways = pages["00_start_here"].partition("</h1>")[2].partition("<p>Terms are")[0]
    pages["index"] = (PAGE / "start.html").read_text("utf-8") + ways
    for path in DOCS.glob("*.md"):
        pages[path.stem] = markdown2html(path.read_text("utf-8"))
    for name, body in pages.items():
        text = changed(filled("page", title=name, body=body), CHANGES)
        write_files({out / f"{name}.html": text.encode()})
    write_files({out / "lab.html": lab_page(subject).encode()})
    for path in DOCS.glob("*.png"):
        write_files({out / path.name: path.read_bytes()})


def report_page(title: str, notebook: NotebookNode) -> str:
    """An executed notebook as one file that needs no other.

    Args:
        title: what was analysed, a text of any letters.
    """
    title = html.escape(printable(title))
    body = f'<p class="lead">{title}</p>\n{notebook_body(notebook)}'
    return changed(filled("page", title=title, nav="", body=body), ALONE)


def notebook_body(notebook: NotebookNode) -> str:
    """A notebook's cells and outputs as HTML."""
    return EXPORTER.from_notebook_node(notebook)[0]


def changed(page: str, changes: Mapping[str, str]) -> str:
    """A page with something else in the place of each pattern."""
    for pattern, replacement in changes.items():
        page = re.sub(pattern, replacement, page)
    return page


def filled(template: str, **parts: str) -> str:
    """A template with its parts, and with the files of the site by their names."""
    shared = {path.stem: path.read_text("utf-8") for path in PAGE.iterdir()}
    return Template(shared[template]).substitute(shared, **parts)


def lab_page(subject: Subject) -> str:
    """A page that reads digits with a network of its own: one file that needs no kernel."""
    look = subject.look(Selection())
    weights = subject.network.weights.items()
    content = safetensors.torch.save({name: values.contiguous() for name, values in weights})
    with np.load(RUN, allow_pickle=False) as run:
        steps = {name: run[f"steps/{name}"] for name, _ in weights}
        changes = [run[f"changes/{name}"] for name in steps]
    levels, pixels = subject.images.unique(return_inverse=True)
    layers = {}
    for name, layer in subject.layers.items():
        shape = [*layer.shape, 1, 1][:3]  # a vector's channels are 1 × 1
        layers[name] = dict(layer._asdict(), notes=layer_step(look, name).notes, shape=shape)
    facts = {
        "marks": {  # what their fields are where nothing is said of them
            "bars": vars(Bars(ticks=(), series={})),
            "maps": vars(Maps(values=None, limits=())),
            "pad": vars(Pad(ink=None, example=None)),
            "table": vars(Table(values=None)),
            "text": vars(Text(text="")),
        },
        "layers": layers,
        "shapes": {name: values.shape for name, values in sorted(weights)},
        "moments": list(moments(RUN.stem, load_snapshots(RUN))),
        "steps": steps,
        "first": look.layer,
        "labels": subject.labels,
        "levels": levels,
        "mean": MEAN,
        "std": STD,
    }
    return filled(
        "lab_page",
        explorer_style=(widget.PAGE / "explorer.css").read_text("utf-8"),
        explorer_script=widget.classic_script(),
        facts=json.dumps(facts, default=lambda array: array.tolist()).replace("<", "\\u003c"),
        weights=packed(content),
        changes=packed(np.concatenate(changes, axis=None)),
        pixels=packed(pixels.byte().numpy()),
    )


def packed(content: bytes | np.ndarray) -> str:
    """Bytes as the page reads them: deflated, in base64."""
    return base64.b64encode(zlib.compress(content, level=7)).decode()
