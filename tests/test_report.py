"""The report: its numbers against numpy, its page from the notebook, in Chromium, too."""

import json
import re

import nbformat
import page as pages
import pytest
import torch
import torch.nn.functional as F
from browser import chromium
from conftest import assert_same, grey, rows, sentences, write_data_set, write_idx
from test_cli import run
from test_security import watched

from mnist_helpers import CHECKPOINT_PATH, load_checkpoint, training
from mnist_helpers.analysis.report import load_parts, save_metrics
from mnist_helpers.commands import analyze, notebooks
from mnist_helpers.data import BACKGROUND, load_splits, make_loader
from mnist_helpers.metrics import evaluate

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "$7", "<b>8</b>", "</script>nine"]
PARAMETERS = """checkpoint: str = None
device: str = "auto"
data_dir: str = None
class_names: str = None
metrics_file: str = None"""
NOTEBOOK = [  # in the place of the analysis, for it is quick
    "print(f'of {checkpoint}, on {device}, with {data_dir}')",
    "for name in class_names.split(','): print(name)",
    "%matplotlib inline\nfrom mnist_helpers import plots\nplots.plot_curves({'a': ([1], [0])})",
    "_ = open(metrics_file, 'w').write('[300]')",
]


@pytest.fixture(scope="module")
def answers(splits):
    """What the published network answers to the test and the validation images."""
    model, _ = load_checkpoint()
    return evaluate(model, splits.test), evaluate(model, splits.val)


@pytest.fixture(scope="module")
def numbers(answers, tmp_path_factory):
    correct = torch.tensor([True, True, False, True])
    path = tmp_path_factory.mktemp("numbers") / "metrics.json"
    save_metrics(path, *answers, {"shift": [correct, ~correct]}, NAMES)
    return json.loads(path.read_text("utf-8"))


def test_the_numbers(numbers, answers):
    from sklearn import metrics  # here, for every worker would wait for it above

    logits, labels = answers[0].logits, answers[0].labels
    probs = logits.softmax(1)
    preds = logits.argmax(1)
    right = preds == labels
    assert numbers["images"] == 10_000
    assert numbers["accuracy"] == pytest.approx(right.double().mean().item())
    assert numbers["accuracy_interval"] == pytest.approx([0.994673, 0.997146], abs=1e-6)
    assert numbers["loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), abs=1e-5)
    calibrated = F.cross_entropy(logits / numbers["temperature"], labels).item()
    assert numbers["calibrated_loss"] == pytest.approx(calibrated, abs=1e-5)
    assert numbers["calibrated_calibration_error"] < numbers["calibration_error"] / 10
    matrix = metrics.confusion_matrix(labels, preds)
    assert numbers["confusion_matrix"] == matrix.tolist()
    recall = metrics.recall_score(labels, preds, average=None)
    assert numbers["classes"]["recall"] == pytest.approx(recall.tolist())
    surest = probs.amax(1).argsort(descending=True, stable=True)[:9800]
    wrong = (~right[surest]).double().mean().item()
    assert numbers["risk_at_coverage"]["0.98"] == pytest.approx(wrong)
    own = probs[torch.arange(10_000), labels]
    assert numbers["top_losses"][:20] == own.argsort()[:20].tolist()
    assert numbers["label_suspects"] == [2130]
    assert numbers["class_names"] == NAMES
    assert numbers["resistance"]["shift"]["accuracies"] == [0.75, 0.25]


def test_the_names_of_the_numbers_are_documented(numbers):
    documented = (pages.PACKAGE.parent / "docs" / "metrics.md").read_text("utf-8")
    assert set(numbers) == set(re.findall(r"`(\w+)`(?=[^|]*\|[^|]*\|$)", documented, re.MULTILINE))


@pytest.fixture
def instead(tmp_path, monkeypatch):
    """Puts a notebook of a few cells in the place of the analysis."""

    def put(*sources):
        parameters = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
        cells = [parameters, *map(nbformat.v4.new_code_cell, sources)]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, tmp_path / "analysis.ipynb")
        monkeypatch.setattr(notebooks, "NOTEBOOKS_DIR", tmp_path)

    return put


def test_the_page_is_the_executed_notebook(instead, tmp_path, capsys, monkeypatch):
    instead(*NOTEBOOK)
    monkeypatch.chdir(tmp_path)
    options = ["--data-dir", "<data>", "--device", "cpu", "--class-names", ",".join(NAMES)]
    code, out, err = run(capsys, "analyze", *options, "--out", "new")
    assert (code, out) == (0, "saved new/report.html\n")
    count = len(NOTEBOOK) + 2  # and the parameters, as declared and as given
    lines = err.splitlines()
    assert (lines[0], lines[-1]) == (
        f"analysis, cells: 0 of {count}",
        f"analysis, cells: {count} of {count}",
    )
    assert sentences(err) == ""
    written = ["analysis.ipynb", "metrics.json", "report.html"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == written
    assert (tmp_path / "new" / "metrics.json").read_text("utf-8") == "[300]"
    text = (tmp_path / "new" / "report.html").read_text("utf-8")
    assert f"of {CHECKPOINT_PATH}, on cpu, with {tmp_path}/&lt;data&gt;" in text
    assert "zero\none\n" in text
    assert "$7\n&lt;b&gt;8&lt;/b&gt;\n&lt;/script&gt;nine" in text
    assert "<title>best_mnist_cnn.pth on &lt;data&gt; ·" in text
    assert text.count('<img alt="') == text.count("data:image/png;base64,") == 1
    assert "script" not in text.replace("&lt;/script&gt;nine", "")


def test_of_the_own_data_set_the_notebook_is_told_nothing(instead, tmp_path, capsys):
    instead(NOTEBOOK[0], NOTEBOOK[-1])
    assert run(capsys, "analyze", "--out", tmp_path)[0] == 0
    assert "on auto, with None" in (tmp_path / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("1 // 0", "ZeroDivisionError: "),
        ("from mnist_helpers import checked_names; checked_names('a,b', 10)", "class_names has 2 "),
    ],
)
def test_a_cell_that_fails_is_one_sentence_and_the_old_report_stays(
    instead, tmp_path, capsys, cell, told
):
    instead(cell)
    (tmp_path / "report.html").write_text("old")
    code, out, err = run(capsys, "analyze", "--out", tmp_path)
    assert (code, out, sentences(err).count("\n")) == (2, "", 1)
    assert f"the notebook analysis failed: {told}" in err
    assert (tmp_path / "report.html").read_text() == "old"
    assert not (tmp_path / "metrics.json").exists()


def test_validation_is_what_the_run_was_not_trained_on(splits, tmp_path, capsys, monkeypatch):
    """With 3,000 held out of 5,400: the default would hold out 5,000, 2,000 of them trained on."""
    write_data_set(tmp_path, splits, 5400)
    trained = []

    def load(dataset, *others):
        trained.append(dataset.tensors[0])
        return make_loader(dataset, *others)

    monkeypatch.setattr(training, "make_loader", load)
    path = tmp_path / "m.pth"
    own = ["--epochs", 1, "--val-size", 3000, "--seed", 4, "--model-save-path", path]
    places = ["--data-dir", tmp_path, "--runs-dir", tmp_path / "runs", "--device", "cpu"]
    assert run(capsys, "train", *own, *places)[0] == 0
    _, card = load_checkpoint(path)
    val = load_parts(tmp_path, card).val.tensors[0]
    assert (len(val), len(trained[0])) == (3000, 2400)
    assert not rows(val) & rows(trained[0])
    write_data_set(tmp_path, splits, 5300)  # other images, which the run may have been trained on
    assert load_parts(tmp_path, card).val is None


STARTED = {"config": {"val_size": 100, "seed": 0, "start": "other.pth"}}  # trained on what?


@pytest.mark.parametrize(
    "card", [{}, {"config": {"seed": 0}}, {"config": {"val_size": 100}}, STARTED]
)
def test_without_a_split_nothing_is_fitted(card, small_data_dir, caplog):
    assert load_parts(small_data_dir, card).val is None
    sentence = "no card tells which images were not trained on: no temperature is fitted"
    assert sentence in caplog.messages


def test_training_images_are_those_that_the_run_has_seen(small_data_dir):
    card = {"config": {"val_size": 100, "seed": 0, "train_size": 50}}
    train = load_splits(small_data_dir, 100, 0).train
    assert_same(load_parts(small_data_dir, card).train.tensors, train[:50])
    del card["config"]["train_size"]
    assert_same(load_parts(small_data_dir, card).train.tensors, train[:])


def test_another_data_set_is_told(small_data_dir, caplog):
    about = {"name": "coats", "class_names": list("abcdefghij")}
    card = {"config": {"val_size": 100, "seed": 0}, "data_set": about}
    load_parts(small_data_dir, card)
    told = f"the checkpoint's card names another data set, coats: {about['class_names']}"
    assert told in caplog.messages


def test_a_thousand_images_of_two_digits(splits, tmp_path, caplog):
    """Of ones own: fewer than the published run has held out, and most digits do not occur."""
    for part, stem in ((splits.train, "train"), (splits.test, "t10k")):
        images, labels = part.tensors
        chosen = ((labels == 3) | (labels == 7)).nonzero().flatten()[:1000]
        write_idx(tmp_path / f"{stem}-images-idx3-ubyte.gz", grey(images[chosen]))
        write_idx(tmp_path / f"{stem}-labels-idx1-ubyte.gz", labels[chosen].numpy())
    model, card = load_checkpoint()
    parts = load_parts(tmp_path, card)
    save_metrics(tmp_path / "metrics.json", evaluate(model, parts.test), parts.val, {}, NAMES)
    found = json.loads((tmp_path / "metrics.json").read_text("utf-8"), parse_constant=float)
    fitted = ("temperature", "calibrated_loss", "calibrated_calibration_error")
    assert [found[name] for name in fitted] == [None] * 3
    for name, scores in found["classes"].items():
        assert [scores[n] for n in range(10) if n not in (3, 7)] == [None] * 8, name
        assert min(scores[3], scores[7]) > 0.9
    assert "no temperature is fitted" in caplog.text


@pytest.fixture(scope="module")
def folder(splits, tmp_path_factory):
    """What the analysis of 5,400 training images (5,000 to validate) and 300 others writes."""
    data = tmp_path_factory.mktemp("data")
    write_data_set(data, splits, 5400)
    out = tmp_path_factory.mktemp("report") / "new"
    analyze.run(analyze.Analyze(data_dir=data, out=out, class_names=",".join(NAMES)))
    return out


@pytest.mark.slow
def test_the_numbers_are_of_these_images(folder, splits, numbers):
    found = json.loads((folder / "metrics.json").read_text("utf-8"))
    assert list(found) == list(numbers)
    assert (found["images"], found["accuracy"], found["class_names"]) == (300, 1.0, NAMES)
    images, labels = (tensor[:300] for tensor in splits.test.tensors)
    moved = torch.full_like(images, BACKGROUND)
    moved[..., :-4] = images[..., 4:]
    with torch.inference_mode():
        correct = load_checkpoint()[0](moved).argmax(1) == labels
    shift = found["resistance"]["shift"]
    share = shift["accuracies"][shift["amounts"].index(-4.0)]
    assert share == pytest.approx(correct.double().mean().item(), abs=2e-3)


@pytest.mark.slow
def test_the_page_names_nothing_that_is_fetched(folder):
    assert pages.FETCHED.findall((folder / "report.html").read_text("utf-8")) == []


@pytest.mark.slow
@pages.needs_chromium
def test_the_page_lives_without_a_network(folder):
    with chromium() as browser:
        page = pages.new_page(browser, offline=True)
        heard = watched(page)
        address = (folder / "report.html").as_uri()
        page.goto(address)
        assert page.locator("h1").inner_text() == "Where is it wrong, and does it know?"
        text = page.locator("main").inner_text()
        assert "100.00% of 300 are right, 0 are wrong" in text
        assert any(f"worst {name} " in text for name in NAMES)
        assert page.locator("main :is(script, b), img:not([alt])").count() == 0
        links = "main a:not([href^='#'], [href^='https:'])"  # to sources, which nothing loads
        assert page.locator(links).count() == 0
        widths = page.locator("img").evaluate_all("all => all.map((one) => one.naturalWidth)")
        page.close()
    assert len(widths) == 6  # no label of these is in doubt
    assert all(widths)
    assert heard == [address]
