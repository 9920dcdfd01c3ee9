"""One's own drawings: kept, mixed among MNIST's, and taught to a network that reads its own."""

import dataclasses
import io
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import rows
from PIL import Image
from test_cli import run

from mnist_helpers import CHECKPOINT_PATH, InputError, load_checkpoint
from mnist_helpers.commands.cli import parse
from mnist_helpers.config import DATA_DIR, HAND
from mnist_helpers.data import load_mixed
from mnist_helpers.digits import keep
from mnist_helpers.foreign.readers import find_source, read_pictures
from mnist_helpers.metrics import evaluate


def keep_all(folder, images, digits):
    for image, digit in zip(images, digits, strict=True):
        keep(image, digit, folder)
    return folder


@pytest.fixture
def drawings(splits, tmp_path):
    """Nine threes and six sevens, which nobody would read so: upside down."""
    images, labels = splits.test.tensors
    chosen = torch.cat([(labels == 3).nonzero()[:9, 0], (labels == 7).nonzero()[:6, 0]])
    return keep_all(tmp_path / "my-digits", images[chosen].flip(2), [3] * 9 + [7] * 6)


def config_for(drawings, **fields):
    return dataclasses.replace(HAND, data_dir=drawings, val_size=100, device="cpu", **fields)


def test_a_kept_drawing_is_read_again_pixel_by_pixel(splits, tmp_path):
    images = splits.test.tensors[0][:3]
    paths = [keep(image, digit, tmp_path) for image, digit in zip(images, (7, 2, 7), strict=True)]
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "7/0001.png", "2/0001.png", "7/0002.png",
    ]  # fmt: skip
    pixels, labels = read_pictures(find_source(tmp_path), "train")
    assert labels.tolist() == [2, 7, 7]
    expected = (images[[1, 0, 2], 0] * 0.3081 + 0.1307) * 255
    assert torch.allclose(torch.from_numpy(pixels).float(), expected, atol=0.01)


def test_a_number_is_never_given_again(few, tmp_path):
    image = few.train[0][0]
    keep(image, 5, tmp_path)
    keep(image, 5, tmp_path)
    (tmp_path / "5" / "0001.png").unlink()
    (tmp_path / "5" / "mine.png").touch()  # by another hand
    assert keep(image, 5, tmp_path).name == "0003.png"


@pytest.mark.parametrize("digit", [10, -1, "../7", None])
def test_what_is_no_digit_is_not_kept(few, tmp_path, digit):
    with pytest.raises(InputError, match="must be a whole number from 0 to 9"):
        keep(few.train[0][0], digit, tmp_path / "my-digits")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def sheet(splits, tmp_path):
    """Three test images, a 7, a 2 and a 1, side by side on white."""
    images = splits.test.tensors[0][:3, 0] * 0.3081 + 0.1307
    row = np.concatenate(list(np.pad(images.numpy(), ((0, 0), (6, 6), (6, 6)))), axis=1)
    picture = Image.fromarray((255 - 255 * row).astype(np.uint8))
    picture.resize((4 * picture.width, 4 * picture.height)).save(tmp_path / "sheet.png")
    return tmp_path / "sheet.png"


def test_the_parts_of_a_sheet_are_kept_as_they_are_confirmed(capsys, sheet, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\nn\n4\n"))
    folder = tmp_path / "my-digits"
    code, out, err = run(capsys, "predict", sheet, "--keep", folder)
    assert code == 0
    question = "? Enter, its digit, or n: "
    assert err == "".join(f"{sheet}: {digit}{question}" for digit in (7, 2, 1))
    kept = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert kept == ["4/0001.png", "7/0001.png"]
    assert out.count("kept as") == 2
    assert out.count("not kept") == 1  # and no silence where the answer is no digit
    rows = out.splitlines()
    assert len(rows) == 3 * 14 + 3
    assert {len(row) for row in rows if "kept" not in row} == {28}
    assert set("".join(rows[:14])) == set(" ░▒▓█")


def test_what_the_network_does_not_know_is_kept_as_well(capsys, sheet, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\n\n"))
    path = tmp_path / "unsure.pth"
    shutil.copy(CHECKPOINT_PATH, path)
    card = json.loads(CHECKPOINT_PATH.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**card, "no_digit": {"limit": 1}}))
    folder = tmp_path / "my-digits"
    code, out, _ = run(capsys, "predict", sheet, "--keep", folder, "--checkpoint", path)
    assert (code, out.count("kept as")) == (0, 3)
    assert len(list(folder.rglob("*.png"))) == 3


def test_with_json_it_is_asked_beside_the_lines_of_json(capsys, sheet, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\nn\n4\n"))
    code, out, err = run(capsys, "predict", sheet, "--json", "--keep", tmp_path / "my-digits")
    assert code == 0
    answer = json.loads(out)  # one line
    assert (answer["file"], answer["error"]) == (str(sheet), None)
    assert [part["digit"] for part in answer["digits"]] == [7, 2, 1]  # as the network reads them
    boxes = [part["box"] for part in answer["digits"]]
    assert all(left[2] < right[0] for left, right in itertools.pairwise(boxes))
    assert "7? Enter, its digit, or n: " in err
    assert err.count("kept as") == 2


def test_where_nobody_answers_nothing_is_kept(capsys, sheet, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, _, err = run(capsys, "predict", sheet, "--keep", tmp_path / "my-digits")
    assert code == 2
    assert err.endswith("mnist-helpers: nobody answers; use --keep in a terminal.\n")
    assert not (tmp_path / "my-digits").exists()


def test_a_third_is_held_back_and_the_others_are_a_tenth_of_what_is_learned(drawings):
    mixed, learned, held_back = load_mixed(config_for(drawings, mix=300))
    images, labels = mixed.train.tensors
    assert len(labels) == 330
    own = rows(images[300:])
    held = rows(held_back.tensors[0])
    assert (len(own), len(held)) == (10, 5)
    assert rows(learned.tensors[0]) == own
    assert learned.tensors[1].tolist() == [3] * 6 + [7] * 4
    assert not own & held  # which are then no proof
    assert not own & rows(images[:300])
    assert labels[300:].bincount(minlength=10).tolist() == [0, 0, 0, 18, 0, 0, 0, 12, 0, 0]
    assert held_back.tensors[1].tolist() == [3, 3, 3, 7, 7]
    assert len(mixed.val) == 200
    assert rows(mixed.val.tensors[0][100:]) == held
    again, *_ = load_mixed(config_for(drawings, mix=300))
    other, *_ = load_mixed(config_for(drawings, mix=300, seed=1))
    assert torch.equal(again.train.tensors[0], images)
    assert not torch.equal(other.train.tensors[0], images)


def test_many_drawings_are_learned_once_each(drawings):
    mixed, *_ = load_mixed(config_for(drawings, mix=20))
    assert len(mixed.train) == 30


@pytest.mark.parametrize("count", [1, 2])
def test_one_drawing_teaches_nothing(few, tmp_path, count):
    for digit in range(count):
        keep(few.train[digit][0], digit, tmp_path)
    few_of_them = rf"has too few drawings \({count}\): .* keep at least three"
    with pytest.raises(InputError, match=few_of_them):
        load_mixed(config_for(tmp_path, mix=20))


def test_mnist_is_not_mixed_with_itself(monkeypatch):
    monkeypatch.chdir(DATA_DIR.parent)
    with pytest.raises(InputError, match=r"^mix is for one's own drawings; add --data-dir my-d"):
        load_mixed(config_for(Path("MNIST-Data"), mix=20))


def test_nothing_is_mixed_where_nothing_is_taught(drawings, capsys, tmp_path):
    options = ["--data-dir", drawings, "--runs-dir", tmp_path / "runs"]
    said = "mnist-helpers: mix is for a network that is taught; add --start best_mnist_cnn.pth.\n"
    assert run(capsys, "train", "--mix", 20, *options) == (2, "", said)
    assert not (tmp_path / "runs").exists()


def test_who_mixes_nothing_is_told_what_may_be_forgotten(short, tmp_path, capsys, monkeypatch):
    options = ["--data-dir", short.data_dir, "--val-size", 100, "--epochs", 1, "--device", "cpu"]
    options += ["--runs-dir", tmp_path / "runs"]
    may = f"the network may forget what isn't in {short.data_dir}; add --mix 5000\n"
    code, out, _ = run(capsys, "train", "--start", CHECKPOINT_PATH, *options)
    assert (code, may in out) == (0, True)
    assert may not in run(capsys, "train", *options)[1]  # which knows nothing yet
    monkeypatch.setattr("mnist_helpers.commands.train.DATA_DIR", short.data_dir.resolve())
    assert may not in run(capsys, "train", "--start", CHECKPOINT_PATH, *options)[1]


def test_a_picture_that_is_none_is_named(drawings):
    (drawings / "3" / "0001.png").write_bytes(b"PNG?")
    with pytest.raises(InputError, match=r"3.0001\.png can't be read"):
        load_mixed(config_for(drawings, mix=20))


def test_a_folder_10_is_no_class(drawings):
    (drawings / "3").rename(drawings / "10")
    with pytest.raises(InputError, match=r"my-digits.10 is no class, for those are 0 to 9"):
        load_mixed(config_for(drawings, mix=20))


def test_start_brings_the_recipe_unless_another_is_named():
    assert parse(["train", "--start", "a.pth"]).config == dataclasses.replace(HAND, start="a.pth")
    other = parse(["train", "--preset", "best", "--start=a.pth"]).config
    assert (other.learning_rate, other.start.name) == (0.003, "a.pth")


def test_a_hand_is_learned_and_mnist_is_not_forgotten(drawings, capsys, tmp_path):
    """The whole command, on a start whose file it then writes anew."""
    mine = tmp_path / "mine.pth"
    for suffix in (".pth", ".json"):
        mine.with_suffix(suffix).write_bytes(CHECKPOINT_PATH.with_suffix(suffix).read_bytes())
    options = ["--data-dir", drawings, "--mix", 2000, "--model-save-path", mine]
    code, out, err = run(
        capsys, "train", "--start", mine, "--runs-dir", tmp_path / "runs", *options
    )
    assert (code, err) == (0, "")
    model, card = load_checkpoint(mine)
    assert card["held_back"]["accuracy"] >= 0.8
    assert card["test"]["accuracy"] > 0.99
    right = round(5 * card["held_back"]["accuracy"])
    low = {4: "37.6", 5: "56.6"}[right]  # Wilson's, worked out apart
    assert f"of 5 right before, {right} after (95 % interval {low}% to" in out
    assert "test: 9,961 of 10,000 right before, " in out
    (learned,) = re.findall(r"learned: (\d+) of 10 right before, (\d+) after", out)
    start, _ = load_checkpoint()
    _, dataset, held_back = load_mixed(config_for(drawings, mix=2000))
    assert int(learned[0]) == evaluate(start, dataset).correct.sum()
    assert int(learned[1]) == round(10 * card["learned"]["accuracy"])
    assert f"held_back: {evaluate(start, held_back).correct.sum()} of 5 right before" in out
    assert card["config"]["mix"] == 2000
    assert model.no_digit == card["no_digit"]["limit"]
    with Image.open(drawings / "3" / "0001.png") as picture:
        assert picture.size == (28, 28)  # nothing has been written there
    (folder,) = (tmp_path / "runs").iterdir()
    assert json.loads((folder / "config.json").read_text())["start"] == str(mine)
    assert run(capsys, "train", "--resume", folder)[0] == 0  # it is at its end, and tells the same
