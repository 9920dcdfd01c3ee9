"""SECURITY.md: names run nothing, nothing is fetched, unpickled or unpacked to disk."""

import ast
import itertools
import json
import re

import nbformat
import numpy as np
import page as pages
import pytest
from conftest import some_slow
from matplotlib.text import Text as Letters
from networks import drawn_cross

from mnist_helpers import InputError, load_checkpoint, make_model, plots
from mnist_helpers.config import PROJECT_DIR
from mnist_helpers.explorer import Explorer, Selection, Subject, still
from mnist_helpers.explorer.views import VIEWS
from mnist_helpers.explorer.widget import Page
from mnist_helpers.plots import figure_png
from mnist_helpers.site.build import report_page

NAMES = [
    "<script>alert(1)</script>", "</script><!--<script>", '"><img src=x onerror=alert(1)>', "$x^{$",
    r"$\frac$", "$1 and $2", "a&amp;b", "\\", "${title}", "</style></title>",
]  # fmt: skip
LETTERS = ["$", "\\", "{", "_", "^", "%", "#", "~", "<", "&"]
TITLE = '<img src=x onerror=alert(1)>\n\x1b[31m\udce9.pth on "><script>alert(1)</script>'
FORBIDDEN = {"extractall", "extract", "unpack_archive", "Unpickler", "read_pickle"}
UNPICKLERS = {"eval", "exec", "__import__", "os.system", "torch.jit.load", "yaml.load"}
UNPICKLERS |= {f"{module}.{name}" for module in ("pickle", "joblib") for name in ("load", "loads")}
IMPORTS = re.compile(
    r"^\s*(?:import|from) (?:joblib|dill|cloudpickle|marshal|shelve)", re.MULTILINE
)


@pytest.fixture(scope="module")
def subject(few):
    return Subject(load_checkpoint()[0], *few.test.tensors, class_names=NAMES)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of a notebook that was given foreign names, prints them and ends with them."""
    lines = "\n".join(NAMES)
    outputs = [
        nbformat.v4.new_output("stream", text=lines),
        nbformat.v4.new_output("execute_result", data={"text/plain": lines}),
    ]
    cell = nbformat.v4.new_code_cell(f"class_names = {','.join(NAMES)!r}", outputs=outputs)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_page(TITLE, nbformat.v4.new_notebook(cells=[cell])), "utf-8")
    return path


@pytest.fixture
def open_page(browser):
    """Opens empty pages, and closes them in the end."""
    opened = []

    def open_one(**options):
        page = pages.new_page(browser, **options)
        opened.append(page)
        return page

    yield open_one
    for page in opened:
        page.close()


def watched(page):
    """What a page says, runs and asks for."""
    heard = page.errors
    page.on("console", lambda message: heard.append(message.text))
    page.on("dialog", lambda dialog: heard.append(dialog.message) or dialog.dismiss())
    page.on("request", lambda request: heard.append(request.url))
    return heard


@pages.needs_chromium
@pytest.mark.slow
class TestPages:
    def test_the_report_shows_names_as_they_are(self, open_page, report):
        page = open_page(offline=True)
        heard = watched(page)
        page.goto(report.as_uri())
        title = TITLE.replace("\n", r"\n").replace("\x1b", r"\x1b").replace("\udce9", r"\udce9")
        assert page.locator("p").inner_text() == title
        assert page.title() == f"{title} · MNIST, opened"
        cell, printed, result = page.locator("pre").all_inner_texts()
        assert cell.strip() == f"class_names = {','.join(NAMES)!r}"
        assert printed.split("\n") == result.split("\n") == NAMES
        assert page.locator("main script, main img:not([alt])").count() == 0
        assert heard == [report.as_uri()]

    def test_the_report_can_ask_nobody(self, open_page, report):
        page = open_page()
        page.goto(report.as_uri())
        page.route("https://elsewhere.test/**", lambda route: route.fulfill(body="here"))
        asked = page.evaluate(
            """() => fetch("https://elsewhere.test/").then(() => "let", () => "refused")"""
        )
        assert asked == "refused"

    @pytest.mark.parametrize("view", ["pipeline", "answer", "confusion", "neighbours", "drawing"])
    def test_the_explorer_shows_names_as_they_are(self, open_page, subject, view):
        drawing = None
        if view == "drawing":  # above an empty pad stands no class
            drawing = drawn_cross()
        state = Explorer(subject, Selection(view=view, drawing=drawing)).page.state
        numbers = [
            {"base64": pages.base64.b64encode(n).decode(), "offset": 0} for n in state["numbers"]
        ]
        page = open_page()
        heard = watched(page)
        pages.mount(page, state | {"numbers": numbers})
        text = page.locator("#here").inner_text()
        assert json.loads(state["shown"])["scene"]["caption"] in text
        assert any(name in text for name in NAMES)
        assert page.locator("#here :is(script, img, style)").count() == 0
        assert heard == [pages.ADDRESS]


def assert_no_name_is_typeset(figure):
    texts = [text for text in figure.findobj(Letters) if "$" in text.get_text()]
    assert not any(text.get_parse_math() for text in texts)


@pytest.mark.slow
class TestFigures:
    @pytest.mark.parametrize("view", some_slow([name for name in VIEWS if name != "training"]))
    def test_stills_typeset_no_name(self, subject, view):
        picture = still(subject, view=view)
        picture.figure.canvas.draw()
        assert picture.png().startswith(b"\x89PNG")
        assert_no_name_is_typeset(picture.figure)

    def test_a_cloud_of_strange_letters_is_drawn(self, few):
        subject = Subject(load_checkpoint()[0], *few.test.tensors, class_names=LETTERS)
        assert still(subject, view="neighbours").png().startswith(b"\x89PNG")

    def test_plots_typeset_no_name(self):
        figure = plots.plot_images(np.zeros((10, 1, 28, 28)), NAMES, 5)
        assert figure_png(figure).startswith(b"\x89PNG")
        assert set(NAMES) <= {text.get_text() for text in figure.findobj(Letters)}
        assert_no_name_is_typeset(figure)

    @pytest.mark.parametrize(
        "name", ["two\nlines", "\x1b[31m", "\u2028", "\u202eevil", "\udce9", "\0"]
    )
    def test_names_of_more_than_a_line_are_refused(self, few, name):
        model, test = load_checkpoint()[0], few.test.tensors
        with pytest.raises(InputError, match="can't be shown on one line; give another") as refused:
            Subject(model, *test, class_names=[*NAMES[1:], name])
        assert str(refused.value).isprintable()
        with pytest.raises(InputError, match="can't be shown on one line"):
            Subject(model, *test, others={name: make_model(1).state_dict()})


STRANGE = [
    None, True, -1, 0, 1, 3, 1.0, 0.5, 1e400, float("nan"), 10**30, "", "conv1", "nope", "<b>",
    "__class__", "\x1b", [], [0], [["conv1", 3]], [["conv1"]], ["conv1", 3], ["conv1", 3.0], [[]],
    {}, {"a": 1}, [1.0] * 9, ["x"] * 9, "none", "noise", "AAAA", "t-SNE", [[[[[]]]]], list(VIEWS),
]  # fmt: skip


def messages(count):
    """What a page could send that is not ours."""
    rng = np.random.default_rng(17)
    fields = [*vars(Selection()), "position", "ablate", "reset", "nope", "__init__"]
    yield from ({}, [], None, 5, "select", "stop", {"select": {}}, {"select": None, "serial": 1})
    yield from ({"select": {}, "serial": each} for each in STRANGE)
    for name, value in itertools.product(fields, STRANGE):
        if (name, value) != ("rank", True):  # it is slow
            yield {"select": {name: value}, "serial": 1}
    for _ in range(count):
        names = rng.choice(fields, size=rng.integers(2, 4))
        part = {str(name): STRANGE[rng.integers(len(STRANGE))] for name in names}
        part = {name: value for name, value in part.items() if (name, value) != ("rank", True)}
        yield {"select": part, "serial": int(rng.integers(100))}


def test_no_message_breaks_the_explorer(few):
    images, labels = (tensor[:50] for tensor in few.test.tensors)
    explorer, kept = Explorer(Subject(load_checkpoint()[0], images, labels), Selection()), 0
    for message in messages(300):
        before, state = explorer.selection, explorer.page.state
        try:
            explorer.receive(message)
        except Exception:
            kept += 1
            assert explorer.selection == before, message
            assert explorer.page.state["error"], message
            assert explorer.page.state["shown"] == state["shown"], message
        else:
            assert explorer.page.state["view"] == explorer.selection.view
        answer = explorer.page.state
        json.dumps({name: value for name, value in answer.items() if name != "numbers"})
        assert isinstance(answer["serial"], int)
        assert isinstance(answer["error"], str)
    assert kept >= 800
    explorer.receive({"select": {"reset": True}, "serial": 1000})
    explorer.receive({"select": {"view": "pipeline", "image": 7, "drawing": None}, "serial": 1001})
    answer = explorer.page.state
    assert (answer["error"], answer["serial"]) == ("", 1001)
    assert explorer.scene.caption.startswith("Image 7, label 9")


def sources():
    """Every Python source of the project by name, a notebook's code cells as one."""
    for folder in ("mnist_helpers", "benchmarks"):
        for path in sorted((PROJECT_DIR / folder).rglob("*.py")):
            yield path.name, path.read_text("utf-8")
    for path in sorted((PROJECT_DIR / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        yield path.name, re.sub(r"^[%!].*$", "", "\n".join(code), flags=re.MULTILINE)


def calls(text):
    """The calls in a source: what is called, and its named arguments as written."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            named = {each.arg: ast.unparse(each.value) for each in node.keywords}
            yield ast.unparse(node.func), named


def test_nothing_is_unpickled_and_no_archive_is_unpacked_to_disk():
    safe = {"torch.load": ("weights_only", "True"), "np.load": ("allow_pickle", "False")}
    loads = 0
    for name, text in sources():
        for called, named in calls(text):
            assert called.rpartition(".")[2] not in FORBIDDEN, (name, called)
            assert called not in UNPICKLERS, (name, called)
            assert "shell" not in named, (name, called)
            if called in safe:
                argument, value = safe[called]
                assert named[argument] == value, (name, called)
                loads += 1
        assert not IMPORTS.search(text), name
    assert loads >= 3


def test_pages_and_scripts_name_nothing_that_is_fetched(report):
    texts = {"report": report.read_text("utf-8"), "module": str(Page._esm)}
    for path in (PROJECT_DIR / "mnist_helpers").rglob("page/*"):
        texts[path.name] = path.read_text("utf-8")
    for name, text in texts.items():
        assert pages.FETCHED.findall(text) == [], name
    assert pages.FETCHED.search('<script src="https://a.test/b.js">')
    assert pages.FETCHED.search("a { background: url(//a.test/b.png) }")
