import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from mnist_helpers import CHECKPOINT_PATH, load_checkpoint
from mnist_helpers.cli import main, parse
from mnist_helpers.config import PRESETS


def run(capsys, *args) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    code = 0
    try:
        main([str(arg) for arg in args])
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_train_evaluate_and_predict(capsys, short, few, tmp_path):
    common = ("--data-dir", short.data_dir, "--device", "cpu")
    path = tmp_path / "deep" / "weights.pth"
    code, out, err = run(
        capsys, "train", *common, "--epochs", 3, "--batch-size", 50, "--val-size", 100, "--model-save-path", path
    )
    assert (code, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()[:3]] == [["epoch", "1"], ["epoch", "2"], ["epoch", "3"]]
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["config"]["batch_size"] == 50
    code, out, _ = run(capsys, "evaluate", "--checkpoint", path, *common)
    assert code == 0
    assert f"accuracy {card['test']['accuracy']:.2%}" in out
    assert "of 300 images" in out

    image = tmp_path / "seven.png"
    pixels = (few.test.tensors[0][0, 0] * 0.3081 + 0.1307).mul(255).round().byte().numpy()
    Image.fromarray(255 - pixels).resize((112, 112)).save(image)
    code, out, _ = run(capsys, "predict", image, image)
    assert code == 0
    assert [line.startswith(f"{image}: 7 (") for line in out.splitlines()] == [True, True]


def test_the_preset_gives_the_defaults_and_options_go_over_it():
    config = parse(["train", "--preset", "best", "--epochs", "3"]).keywords["config"]
    assert (config.epochs, config.batch_size, config.rotation) == (3, PRESETS["best"].batch_size, 10)
    assert parse(["train"]).keywords["config"] == PRESETS["quick"]


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ([], "Expected one of {train, evaluate, predict, notebooks}"),
        (["bogus"], "bogus"),
        (["train", "--epochs", "many"], "--epochs"),
        (["train", "--epochs", "0"], "epochs is 0"),
        (["train", "--preset", "slow"], "slow"),
        (["train", "--device", "quantum"], "device is quantum"),
        (["train", "--model-save-path", "/dev/null/x.pth"], "can't be written"),
        (["train", "--data-dir", "/nowhere"], "/nowhere holds no file"),
        (["train", "--val-size", "60000"], "val_size is 60000"),
        (["evaluate", "--checkpoint", "/nowhere.pth"], "/nowhere.pth does not exist"),
        (["evaluate", "--data-dir", "/nowhere"], "/nowhere holds no file"),
        (["predict"], "at least one picture"),
        (["predict", "/nowhere.png"], "/nowhere.png can't be read"),
        (["notebooks", "nonsense"], "no notebook nonsense"),
        (["notebooks", "-p", "epoch", "1"], "no notebook here has a parameter epoch"),
        (["notebooks", "--save", "-p", "epochs", "1"], "either save or parameters"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys, args, complaint):
    before = CHECKPOINT_PATH.stat().st_mtime_ns
    code, _, err = run(capsys, *args)
    assert code == 2
    assert complaint in err
    assert err.startswith("mnist-helpers: ")
    assert err.count("\n") == 1
    assert CHECKPOINT_PATH.stat().st_mtime_ns == before


def test_help_goes_to_stdout(capsys):
    code, out, _ = run(capsys, "train", "--help")
    assert code == 0
    assert "--learning-rate" in out


def test_spawned_workers_as_on_windows(short, tmp_path):
    """Windows and macOS spawn workers, which import the main module again: without the guard this would never end."""
    (tmp_path / "sitecustomize.py").write_text("import multiprocessing; multiprocessing.set_start_method('spawn')")
    options = ["--data-dir", short.data_dir, "--val-size", 100, "--epochs", 1, "--batch-size", 500, "--num-workers", 2]
    done = subprocess.run(
        [sys.executable, "-m", "mnist_helpers", "train", *map(str, options), "--model-save-path", tmp_path / "m.pth"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert load_checkpoint(tmp_path / "m.pth")[1]["config"]["num_workers"] == 2
