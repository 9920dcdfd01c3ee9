"""Other people's machines: no collection, other names, other locales, a home that can't be written.

What a process is told before it begins needs one of its own; each here runs several commands.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import HANG, sentences

import mnist_helpers
from mnist_helpers.config import PROJECT_DIR

pytestmark = pytest.mark.slow
COMMANDS = """
import shutil, sys
from mnist_helpers.commands.cli import main
line = []
for arg in [*sys.argv[1:], ","]:
    if arg != ",":
        line.append(arg)
        continue
    try:
        shutil.copytree(*line[1:]) if line[0] == "copy" else main(line)
    except SystemExit as end:
        print("exit code", end.code, flush=True)
    line = []
"""
FOLDER = "ein Ordner – 数字 é"


@pytest.fixture
def folder(small_data_dir, seven, tmp_path) -> Path:
    """One whose name has spaces and letters outside ASCII, with data and the picture of a seven."""
    made = tmp_path / FOLDER
    shutil.copytree(small_data_dir, made / "dåta")
    shutil.copy(seven, made / "sièben.png")
    return made


def run(*commands: str, cwd: Path, **environment: str) -> tuple[list[str], list[str]]:
    """The lines on stdout and on stderr of commands in a process of their own."""
    line = shlex.split(" , ".join(commands))
    inherited = dict(os.environ)
    for name in ("CI", "MPLCONFIGDIR"):  # onnxruntime keeps still where CI is set
        inherited.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, *line],
        cwd=cwd,
        env={"PYTHONPATH": str(PROJECT_DIR)} | inherited | {"PYTHONUTF8": "1"} | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), sentences(done.stderr).splitlines()


TRAIN = "train --epochs 1 --val-size 100 --batch-size 50"
OWN = f"{TRAIN} --data-dir dåta --runs-dir läufe --model-save-path böst.pth --snapshots"
PLACES = "--data-dir dåta --checkpoint böst.pth"
ALL = [
    OWN,
    f"evaluate {PLACES}",
    "predict --checkpoint böst.pth sièben.png",
    f"visualize --views kernels {PLACES} --out bîlder",
]


def written(folder: Path) -> set[str]:
    """What `ALL` leaves, the name of its run apart."""
    assert len(list((folder / "läufe").iterdir())) == 1
    return {path.name for path in folder.rglob("*") if path.is_file() and "dåta" not in path.parts}


WRITTEN = {
    "sièben.png", "böst.pth", "böst.json", "kernels.png", "log.txt", "config.json", "state.pt",
    "history.json", "model.pth", "model.json", "snapshots.npz", ".lock",
}  # fmt: skip


def test_without_the_collection_the_current_folder_is_in_its_place(folder, tmp_path):
    """As from a wheel: the package alone, in an empty folder."""
    shutil.copytree(Path(mnist_helpers.__file__).parent, tmp_path / "lib" / "mnist_helpers")
    (empty := tmp_path / "lëer").mkdir()
    data = "mnist-helpers download"
    checkpoint = f"{empty / 'best_mnist_cnn.pth'} does not exist; "
    notebooks = f"in {empty / 'notebooks'}; the repository of the collection has 00_start_here"
    needs = [
        (TRAIN, f"{empty / 'MNIST-Data'} can't be searched (No such file"),
        ("export --format onnx", data),
        ("evaluate", checkpoint),
        ("predict x.png", checkpoint),
        ("visualize", checkpoint),
        ("analyze", notebooks),
        ("notebooks", notebooks),
        ("site", notebooks),
    ]
    works = [
        f"copy '{folder}/dåta' MNIST-Data",
        f"{TRAIN} --model-save-path best_mnist_cnn.pth",
        "evaluate",
        f"predict '{folder}/sièben.png'",
        "export --format safetensors",
    ]
    lib = str(tmp_path / "lib")
    out, err = run(*[command for command, _ in needs], *works, cwd=empty, PYTHONPATH=lib)
    assert out[: len(needs)] == ["exit code 2"] * len(needs)
    for line, (_, said) in zip(err, needs, strict=True):
        assert line.startswith("mnist-helpers: ")
        assert said in line
    assert "of 300 images" in out[-4]
    assert f"{folder / 'sièben.png'}: 7 (" in out[-3]
    assert sorted(path.name for path in empty.iterdir()) == [
        "MNIST-Data", "best_mnist_cnn.json", "best_mnist_cnn.pth", "outputs", "runs",
    ]  # fmt: skip
    assert (empty / "outputs" / "best_mnist_cnn.safetensors").is_file()


def test_every_warning_an_error_and_nothing_is_left_at_home(folder, tmp_path):
    (home := tmp_path / "home").mkdir()
    out, err = run(*ALL, cwd=folder, PYTHONWARNINGS="error", HOME=str(home))
    assert [line for line in err if "font cache" not in line] == []  # Matplotlib's, once a home
    assert "sièben.png: 7 (" in "\n".join(out)
    assert written(folder) == WRITTEN
    assert not list(home.rglob("*onnxruntime*"))  # which would keep a device's id, and report


@pytest.mark.skipif(os.name == "nt", reason="Windows takes its locale from elsewhere")
def test_a_locale_that_is_not_utf_8_and_a_home_that_cannot_be_written(folder):
    others = [f"export --format {kind} {PLACES} --out dås.{kind}" for kind in ("onnx", "pt2")]
    refused = ["predict 'nïcht da.png'", f"{OWN} --tensorboard böard"]
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "HOME": "/dev/null"}
    out, err = run(*ALL, *others, *refused, cwd=folder, **plain)
    sentences = [line for line in err if "atplotlib" not in line and "mkdir" not in line]
    assert [line.split(": ")[0] for line in sentences] == ["mnist-helpers"] * 2
    assert "can't hold TensorBoard's files" in sentences[1]
    assert out.count("exit code 2") == 2
    assert "7 (" in next(line for line in out if "ben.png" in line)
    assert torch.load(folder / "böst.pth", weights_only=True)
    first = min((folder / "läufe").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    # what this locale can't read is written out
    assert r"saved b\udcc3\udcb6st.pth and its card" in (first / "log.txt").read_text("utf-8")
    assert {"dås.onnx", "dås.pt2", "kernels.png"} < {path.name for path in folder.rglob("*")}
