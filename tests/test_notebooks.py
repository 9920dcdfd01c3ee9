"""The saved notebooks as files, and the runner; nbval checks that the outputs come out again."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import HANG, sentences
from test_cli import run

from mnist_helpers.commands.notebooks import ORDER, execute, normalise, refresh
from mnist_helpers.config import NOTEBOOKS_DIR, PROJECT_DIR

# how many cells of each notebook nbval compares with what was saved: lower it only for a reason
COMPARED = {
    "00_start_here": 1,
    "convolution_by_hand": 12,
    "MNIST-classifier": 18,
    "draw_digit": 12,
    "training_replay": 8,
    "load_model": 10,
    "conv_visualization": 17,
    "analysis": 19,
}


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS_DIR / f"{name}.ipynb", as_version=4)


def without_pictures(name: str) -> str:
    """All that a notebook's file says in words; the letters of a picture can make any word."""
    source = (NOTEBOOKS_DIR / f"{name}.ipynb").read_text()
    return re.sub(r'"image/png": "[^"]*"', "", source)


def code_cells(notebook) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook) -> list[nbformat.NotebookNode]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def texts(cell) -> list[str]:
    """The outputs that nbval compares: streams, and data that is no PNG, JPEG or widget view."""
    kinds = [output.get("data", {"text/plain": output.get("text", "")}) for output in cell.outputs]
    return [text for data in kinds for kind, text in data.items() if kind.startswith("text/")]


@pytest.mark.parametrize("name", ORDER)
class TestSaved:
    def test_executed_from_top_to_bottom_without_error(self, name):
        cells = code_cells(read(name))
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
        assert not any(output.output_type == "error" for output in outputs(read(name)))

    def test_cells_that_nbval_compares(self, name):
        source = without_pictures(name)
        assert "nbval" not in source.lower()  # no marker that would skip or ignore a cell
        assert sum(bool(texts(cell)) for cell in code_cells(read(name))) == COMPARED[name]

    def test_no_path_of_somebodys_machine(self, name):
        source = without_pictures(name)
        assert not re.search(r"/(home|Users|root|tmp)/|[A-Z]:\\\\|site-packages", source)
        assert str(PROJECT_DIR) not in source

    def test_saved_anew_it_is_the_same_file(self, name, tmp_path):
        committed, copied = NOTEBOOKS_DIR / f"{name}.ipynb", tmp_path / "copy.ipynb"
        assert "widgets" not in read(name).metadata
        refresh(copied, committed)
        assert copied.read_bytes() == committed.read_bytes()

    def test_what_jupyterlab_would_fill_in_is_there(self, name):
        info = read(name).metadata.language_info
        assert {"name", "version", "mimetype", "file_extension", "pygments_lexer"} <= set(info)

    def test_pictures_say_what_they_show(self, name):
        for cell in code_cells(read(name)):
            of_view = cell.source.startswith(("still(", "explore("))
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    said = output.metadata["image/png"]["alt"]
                    assert said.endswith(".")
                    assert not (of_view and said.startswith("Picture of the part “"))

    def test_printed_lines_fit_a_narrow_window(self, name):
        printed = [
            output.get("text") or output.get("data", {}).get("text/plain", "")
            for output in outputs(read(name))
        ]
        assert max(len(line) for text in printed for line in text.splitlines()) <= 80

    def test_links_lead_somewhere(self, name):
        text = "\n".join(cell.source for cell in read(name).cells)
        links = re.findall(r"\]\(([^)]+)\)", text)
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        anchors = ["#" + heading.replace(" ", "-") for heading in headings]  # as Jupyter makes them
        assert links
        for link in links:
            if link.startswith("#"):
                assert link in anchors
            elif not link.startswith(("https://", "../outputs/site/")):  # which make site writes
                assert (NOTEBOOKS_DIR / link).exists()


@pytest.mark.parametrize("name", ORDER[1:])  # the first is the start page
class TestTold:
    def test_thin_and_told(self, name):
        notebook = read(name)
        sources = [cell.source for cell in code_cells(notebook)]
        assert 15 <= len(notebook.cells) <= 45
        assert max(len(source.splitlines()) for source in sources) <= 15
        lines = "\n".join(sources).splitlines()
        assert len(lines) <= 120
        assert max(map(len, lines)) <= 95  # no sideways scrolling
        assert not re.search(r"^\s*class ", "\n".join(sources), re.MULTILINE)
        (empty,) = [source for source in sources if re.search(r"^\s*def ", source, re.MULTILINE)]
        assert re.fullmatch(r'def .+:\n(    """[^"]+"""\n)    \.\.\.  # your lines here', empty)
        kinds = "".join(cell.cell_type[0] for cell in notebook.cells)
        assert "ccc" not in kinds  # never three code cells without a word
        assert notebook.cells[0].source.startswith("# ")
        assert "## What we saw" in notebook.cells[-4].source

    def test_parameters_are_literals_with_help(self, name):
        (cell,) = [cell for cell in code_cells(read(name)) if cell.metadata.get("tags")]
        for line in cell.source.splitlines():
            assert re.fullmatch(r"[a-z_]+: (int|float|str|bool) = \S+  # .+", line)

    def test_parameters_are_checked_before_they_are_used(self, name):
        codes = code_cells(read(name))
        tags = [cell.metadata.get("tags") for cell in codes]
        after = codes[tags.index(["parameters"]) + 1].source
        assert re.match(r"(from mnist_helpers.config import \w+\n\n)?check_parameters\(\)", after)


def make_notebook(path: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_notebook_runs_in_its_folder_and_moves_no_other(tmp_path, monkeypatch):
    """Two run at once in threads of one process, whose folder is that of all."""
    notebook = make_notebook(tmp_path / "where.ipynb", "import os\nprint(os.getcwd())")
    moves = []
    monkeypatch.setattr(os, "chdir", moves.append)
    target = tmp_path / "executed" / "where.ipynb"
    assert execute(notebook, target, {}, 60) == ""
    (output,) = outputs(nbformat.read(target, as_version=4))
    assert output.text == f"{tmp_path}\n"
    assert set(moves) <= {os.getcwd()}  # papermill goes to where it is


def test_a_complaint_in_a_notebook_is_one_sentence(tmp_path):
    source = "from mnist_helpers import Config; Config(epochs=0)"
    line = execute(make_notebook(tmp_path / "a.ipynb", source), tmp_path / "b.ipynb", {}, HANG)
    (error,) = outputs(nbformat.read(tmp_path / "b.ipynb", as_version=4))
    assert error.ename == "InputError"
    assert error.traceback == [f"InputError: {error.evalue}"]
    assert error.evalue.startswith("epochs is 0, but must be")
    assert error.evalue in line  # and what was executed is there all the same


def test_the_command_exits_non_zero_on_failure(tmp_path, capsys):
    bad = tmp_path / "weights.pth"
    bad.write_text("no weights")
    out = tmp_path / "out"
    parameters = ["-p", "checkpoint", str(bad), "--output-dir", str(out), "--jobs", "0"]  # is 1
    code, printed, err = run(capsys, "notebooks", "load_model", *parameters)
    assert code == 2
    assert re.fullmatch(
        r"load_model +[0-9.]+ s  .*weights.pth is no PyTorch file.*", printed.strip()
    )
    assert sentences(err) == f"mnist-helpers: load_model failed; what was executed is in {out}.\n"


@pytest.mark.slow
def test_a_checkpoint_that_is_given_and_missing_is_an_error(tmp_path):
    missing = {"checkpoint": str(tmp_path / "missing.pth")}
    source = NOTEBOOKS_DIR / "conv_visualization.ipynb"
    error = execute(source, tmp_path / "conv.ipynb", missing, HANG)
    assert "missing.pth does not exist" in error


@pytest.mark.soak
def test_without_the_published_checkpoint_everything_says_random(tmp_path, monkeypatch):
    """In a copy of the project that lacks it."""
    for name in ("mnist_helpers", "notebooks"):
        shutil.copytree(PROJECT_DIR / name, tmp_path / name)
    (tmp_path / "MNIST-Data").symlink_to(PROJECT_DIR / "MNIST-Data")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    source, target = tmp_path / "notebooks" / "conv_visualization.ipynb", tmp_path / "out.ipynb"
    assert execute(source, target, {}, HANG) == ""
    cells = code_cells(nbformat.read(target, as_version=4))
    printed = "\n".join(text for cell in cells for text in texts(cell))
    assert "weights: random, no checkpoint" in printed
    assert "random, no checkpoint weights" in printed  # in the captions
    assert "trained weights" not in printed


@pytest.mark.soak
def test_equal_runs_give_equal_bytes(tmp_path):
    runs = []
    for number in range(2):
        target = tmp_path / f"{number}.ipynb"
        assert execute(NOTEBOOKS_DIR / "load_model.ipynb", target, {}, HANG) == ""
        runs.append(nbformat.writes(normalise(nbformat.read(target, as_version=4))))
    assert runs[0] == runs[1]
    saved, again = json.loads((NOTEBOOKS_DIR / "load_model.ipynb").read_text()), json.loads(runs[0])
    assert [c["source"] for c in saved["cells"]] == [c["source"] for c in again["cells"]]


def test_what_was_printed_in_parts_is_one_text():
    parts = [("stdout", "a\n"), ("stdout", "b\n"), ("stderr", "c\n"), ("stdout", "d\n")]
    streams = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in parts]
    picture = nbformat.v4.new_output("display_data", data={"text/plain": "e"})
    streams[3:3] = [picture, picture]
    cell = nbformat.v4.new_code_cell("print()", outputs=streams)
    made = outputs(normalise(nbformat.v4.new_notebook(cells=[cell])))
    assert [output.get("text", "picture") for output in made] == [
        "a\nb\n",
        "c\n",
        "picture",
        "picture",
        "d\n",
    ]


@pytest.mark.slow
def test_nbval_notices_every_changed_text(tmp_path):
    """Every text output is changed in a copy; nbval must fail each of those cells and no other."""
    notebook = read("load_model")
    for output in outputs(notebook):
        if "text" in output:
            output.text = output.text.replace("e", "E", 1) + "changed"
        elif "text/plain" in output.data:
            output.data["text/plain"] += " changed"
    nbformat.write(notebook, tmp_path / "load_model.ipynb")
    sanitise = ["--nbval", "--nbval-sanitize-with", PROJECT_DIR / "tests" / "nbval.cfg"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *sanitise]
    done = subprocess.run(
        [*command, "load_model.ipynb"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    failed = COMPARED["load_model"]
    expected = f"{failed} failed, {len(code_cells(notebook)) - failed} passed"
    assert expected in done.stdout.splitlines()[-1]


def test_a_picture_is_told_by_its_heading_unless_it_says_what_it_shows():
    def picture(**metadata) -> nbformat.NotebookNode:
        data = {"image/png": "", "text/plain": ""}
        output = nbformat.v4.new_output("display_data", data, metadata=metadata)
        return nbformat.v4.new_code_cell(outputs=[output])

    text = nbformat.v4.new_markdown_cell
    told = picture(**{"image/png": {"alt": "A seven."}, "text/plain": {}})
    cells = [text("# All\n\n## First\nwords"), picture(), told, text("no heading"), picture()]
    cells += [text("### Second"), picture()]
    made = outputs(normalise(nbformat.v4.new_notebook(cells=cells)))
    first, second = "Picture of the part “First”.", "Picture of the part “Second”."
    wanted = [first, "A seven.", first, second]
    assert [output.metadata for output in made] == [{"image/png": {"alt": each}} for each in wanted]
