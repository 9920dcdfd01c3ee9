"""The report: its numbers against numpy, its page in Chromium without a network."""

import contextlib
import io
import json

import numpy as np
import page as pages
import pytest
import torch
import torch.nn.functional as F

from mnist_helpers import load_checkpoint
from mnist_helpers.cli import main
from mnist_helpers.data import BACKGROUND

pytestmark = pytest.mark.slow
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "</script>nine"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What the command writes, and what it says: a report of 10,000 images takes a while."""
    out = tmp_path_factory.mktemp("report") / "new"
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        main(["analyze", "--out", str(out), "--class-names", ",".join(NAMES)])
    return out, said.getvalue()


@pytest.fixture(scope="module")
def folder(run):
    return run[0]


@pytest.fixture(scope="module")
def answers(splits):
    """Logits and labels by the bare model."""
    model, _ = load_checkpoint()
    images, labels = splits.test.tensors
    with torch.inference_mode():
        return torch.cat([model(batch) for batch in images.split(1000)]), labels


def test_every_file_is_there(folder):
    names = {path.name for path in folder.iterdir()}
    figures = {"confusion.png", "classes.png", "reliability.png", "risk.png", "resistance.png"}
    assert names == figures | {"metrics.json", "report.html"}


def test_the_numbers(folder, answers, splits):
    found = json.loads((folder / "metrics.json").read_text("utf-8"))
    logits, labels = answers
    probs, preds = logits.softmax(1), logits.argmax(1)
    right = preds == labels
    assert found["images"] == 10_000
    assert found["accuracy"] == pytest.approx(right.double().mean().item())
    assert found["accuracy_interval"] == pytest.approx([0.994673, 0.997146], abs=1e-6)
    assert found["loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), abs=1e-5)
    calibrated = F.cross_entropy(logits / found["temperature"], labels).item()
    assert found["calibrated_loss"] == pytest.approx(calibrated, abs=1e-5)
    assert found["calibrated_calibration_error"] < found["calibration_error"] / 10
    matrix = np.zeros((10, 10), int)
    np.add.at(matrix, (labels.numpy(), preds.numpy()), 1)
    assert found["confusion_matrix"] == matrix.tolist()
    recall = matrix.diagonal() / matrix.sum(axis=1)
    assert found["classes"]["recall"] == pytest.approx(recall.tolist())
    surest = probs.amax(1).argsort(descending=True, stable=True)[:9800]
    wrong = (~right[surest]).double().mean().item()
    assert found["risk_at_coverage"]["0.98"] == pytest.approx(wrong)
    own = probs[torch.arange(10_000), labels]
    assert found["top_losses"][:20] == own.argsort()[:20].tolist()
    assert found["label_suspects"] == [2130]
    assert found["class_names"] == NAMES
    images, few = splits.test.tensors[0][:1000], labels[:1000]
    moved = torch.full_like(images, BACKGROUND)
    moved[..., :-4] = images[..., 4:]
    with torch.inference_mode():
        kept = (load_checkpoint()[0](moved).argmax(1) == few).double().mean().item()
    shift = found["resistance"]["shift"]
    assert shift["accuracies"][shift["amounts"].index(-4.0)] == pytest.approx(kept, abs=2e-3)


def test_the_names_of_the_numbers_are_documented(folder):
    documented = (pages.FOLDER.parents[2] / "docs" / "metrics.md").read_text("utf-8")
    for name in json.loads((folder / "metrics.json").read_text("utf-8")):
        assert f"`{name}`" in documented


@pytest.mark.skipif(pages.CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_the_page_lives_without_a_network(folder, answers):
    logits, labels = answers
    preds = logits.argmax(1)
    with pages.chromium() as browser:
        page = pages.new_page(browser, offline=True)
        errors = page.errors
        asked = []
        page.on("console", lambda message: errors.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        address = (folder / "report.html").as_uri()
        page.goto(address)
        assert page.locator("h1").inner_text() == "best_mnist_cnn.pth on MNIST-Data"
        cells = page.locator("#explorer td:not(.corner)")
        for true, read in [(9, 4), (0, 0), (5, 3)]:
            cells.nth(10 * true + read).click()
            count = int(((labels == true) & (preds == read)).sum())
            page.get_by_text(f"{count:,} of 10,000 images", exact=False).first.wait_for()
            assert page.locator("#explorer .maps canvas").count() == min(count, 24)
        page.locator("#explorer .maps canvas").first.click()  # leads nowhere without a kernel
        assert page.locator(".caption").inner_text().startswith("4 of 10,000 images")
        page.locator("#explorer .group").nth(5).click()
        confidence = logits.softmax(1).amax(1)
        count = int(((confidence > 0.5) & (confidence <= 0.6)).sum())
        page.get_by_text(f"{count} of 10,000 images", exact=False).first.wait_for()
        cells.nth(3).click()  # nobody is there
        page.get_by_text("There is no such image.").wait_for()
        page.get_by_role("button", name="All images").click()
        page.get_by_text("10,000 of 10,000 images", exact=False).first.wait_for()
        assert "</script>nine" in page.locator("#explorer th").all_inner_texts()
        page.close()
    assert errors == []
    assert asked == [address]


def test_the_command_tells_the_accuracy(run):
    assert "test accuracy 99.61%" in run[1]


def test_the_command_refuses_too_few_names(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["analyze", "--out", str(tmp_path / "new"), "--class-names", "a,b"])
    assert stopped.value.code == 2
    assert "class_names has 2 names" in capsys.readouterr().err
