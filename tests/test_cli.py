import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from conftest import HANG, sentences
from PIL import Image, ImageDraw

from mnist_helpers import CHECKPOINT_PATH, load_checkpoint
from mnist_helpers.commands.cli import main, parse
from mnist_helpers.commands.notebooks import parse_value
from mnist_helpers.commands.options import COMMANDS
from mnist_helpers.config import PRESETS
from mnist_helpers.explorer import Subject
from mnist_helpers.explorer.views import VIEWS
from mnist_helpers.work import Lines


def run(capsys, *args) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    code = 0
    try:
        main([str(arg) for arg in args])
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_train_evaluate_and_predict(capsys, short, seven, tmp_path):
    path = tmp_path / "deep" / "weights.pth"
    options = [*options_for(short, tmp_path / "runs"), "--epochs", 3, "--model-save-path", path]
    code, out, err = run(capsys, *options)
    assert (code, err) == (0, "")
    assert [line[:8] for line in out.splitlines()[:3]] == ["epoch  1", "epoch  2", "epoch  3"]
    assert max(len(line) for line in out.splitlines() if str(path) not in line) <= 80
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["config"]["batch_size"] == 50
    places = ("--checkpoint", path, "--data-dir", short.data_dir)
    code, out, _ = run(capsys, "evaluate", *places, "--device", "cpu")
    assert code == 0
    assert f"accuracy {card['test']['accuracy']:.2%}" in out
    assert "of 300 images" in out

    code, out, _ = run(capsys, "predict", seven, seven)
    assert code == 0
    assert [line.startswith(f"{seven}: 7 (") for line in out.splitlines()] == [True, True]


def test_good_pictures_are_answered_and_bad_ones_named(capsys, seven, few, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(seven, folder / "a[1].png")
    shutil.copy(seven, folder / "b.PNG")
    (folder / "notes.txt").write_text("no picture")
    (folder / "._b.PNG").write_bytes(b"\0\5\x16\7")  # as macOS leaves it on other disks
    (tmp_path / "bad.png").write_bytes(b"")
    given = [seven, tmp_path / "bad.png", folder, tmp_path / "sev*.png", folder / "a[1].png"]
    code, out, err = run(capsys, "predict", *given)
    files = [seven, folder / "a[1].png", folder / "b.PNG", seven, folder / "a[1].png"]
    assert code == 2
    assert [line.split(": 7 (")[0] for line in out.splitlines()] == list(map(str, files))
    assert err.startswith(f"mnist-helpers: {tmp_path / 'bad.png'} can't be read as an image")
    assert err.count("\n") == 1
    (tmp_path / "empty").mkdir()
    code, out, err = run(capsys, "predict", tmp_path / "empty", seven)
    assert (code, out.count(": 7 (")) == (2, 1)  # one is named, the other answered
    assert "empty can't be read (it is no regular file)" in err


def test_a_tilde_is_the_home(capsys, seven, monkeypatch):
    monkeypatch.setenv("HOME", str(seven.parent))
    for path in (f"~/{seven.name}", "~/sev*.png"):
        code, out, _ = run(capsys, "predict", path)
        assert (code, out.count(f"{seven}: 7 (")) == (0, 1)


def test_a_network_that_reads_no_digits_gets_no_pictures(capsys, seven, tmp_path):
    path = tmp_path / "coats.pth"
    shutil.copy(CHECKPOINT_PATH, path)
    card = json.loads(CHECKPOINT_PATH.with_suffix(".json").read_text())
    card["data_set"] = {"name": "coats", "class_names": list("abcdefghij")}
    path.with_suffix(".json").write_text(json.dumps(card))
    code, out, err = run(capsys, "predict", "--checkpoint", path, seven)
    assert (code, out) == (2, "")
    assert "coats.pth was trained on coats, and pictures are prepared as digits; give" in err


def test_json_stands_alone_on_stdout(capsys, seven, tmp_path):
    path = tmp_path / "wrapped.pth"
    torch.save({"model": torch.load(CHECKPOINT_PATH, weights_only=True)}, path)
    code, out, err = run(capsys, "predict", "--checkpoint", path, seven, "--json")
    assert (code, [digit["digit"] for digit in json.loads(out)["digits"]]) == (0, [7])
    assert err == f"{path}: its weights are those under model\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.heic is HEIC", b"\0\0\0\x18ftypheic"),
        ("a.HEIF is HEIC", b"\0\0\0\x18ftypheic"),
        ("a.svg is SVG", b"<svg xmlns=''/>"),
    ],
)
def test_what_is_no_picture_of_pixels_is_named_in_a_folder_too(capsys, tmp_path, name, content):
    (tmp_path / name.split()[0]).write_bytes(content)
    code, _, err = run(capsys, "predict", tmp_path)
    assert code == 2
    assert f"{name}; save it as JPEG or PNG." in err


def test_json_is_an_object_a_line(capsys, seven, few, tmp_path):
    sheet = Image.new("L", (300, 140), 255)
    places = [(10, 10), (170, 14)]
    for place in places:
        sheet.paste(Image.open(seven), place)
    sheet.save(tmp_path / "two.png")
    Image.new("L", (90, 90), 200).save(tmp_path / "empty.png")
    code, out, _ = run(capsys, "predict", tmp_path / "two.png", tmp_path / "empty.png", "--json")
    two, empty = map(json.loads, out.splitlines())
    assert code == 2
    assert list(two) == list(empty) == ["file", "digits", "error"]
    assert (two["file"], two["error"]) == (str(tmp_path / "two.png"), None)
    assert [digit["digit"] for digit in two["digits"]] == [7, 7]
    pixels = np.asarray(Image.open(seven)) < 120
    rows, columns = pixels.nonzero()
    box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    for digit, place in zip(two["digits"], places, strict=True):
        assert digit["box"] == pytest.approx(box + place * 2, abs=3)
        assert 0.8 < digit["probability"] < 1
    assert empty["digits"] == []
    assert empty["error"].startswith(f"{tmp_path / 'empty.png'} shows no digit")


def test_what_is_no_digit_is_said(capsys, seven, tmp_path):
    letter = Image.new("L", (200, 200), 255)
    pen = ImageDraw.Draw(letter)
    pen.line([(50, 20), (50, 180)], 0, 16)  # a K
    pen.line([(150, 20), (60, 100), (150, 180)], 0, 16)
    letter.save(tmp_path / "k.png")
    code, out, err = run(capsys, "predict", seven, tmp_path / "k.png")
    assert (code, out.count("\n")) == (2, 1)
    assert f"the network recognises no digit in {tmp_path / 'k.png'} from " in err
    assert err.endswith("); if two digits touch there, leave room between them.\n")
    shutil.copy(CHECKPOINT_PATH, tmp_path / "own.pth")  # without a card, which has the limit
    own = ("--checkpoint", tmp_path / "own.pth", tmp_path / "k.png")
    code, _, err = run(capsys, "predict", *own)
    assert (code, err) == (0, "")


@pytest.mark.slow
def test_visualize_writes_every_view(capsys, small_data_dir, tmp_path):
    place = ("--layer", "pool1", "--channel", 3, "--image", 5)
    options = ("--data-dir", small_data_dir, "--out", tmp_path, *place)
    code, out, err = run(capsys, "visualize", *options)
    assert code == 0
    lines = err.splitlines()
    assert (lines[0], lines[-1]) == ("views: 0 of 12", "views: 12 of 12")
    assert (sentences(err), "\r" in err) == ("", False)
    written = sorted(tmp_path.glob("*.png"))
    told = [line for line in out.splitlines() if ".png: " in line]
    assert sorted(line.split(": ")[0] for line in told) == list(map(str, written))
    assert {path.stem for path in written} == set(VIEWS) - {"training"}
    for path in written:
        with Image.open(path) as picture:
            assert picture.width > 400
    assert "Image 5, label 1" in out
    assert "pool1, channel 3, row" in out


@pytest.mark.parametrize("rank", [[], ["--rank"]])
def test_visualize_writes_some_views_and_ranks_where_asked(
    rank, capsys, small_data_dir, tmp_path, monkeypatch
):
    ranked = []
    monkeypatch.setattr(Subject, "lost_without_each", lambda subject, *place: ranked.append(place))
    monkeypatch.setattr("mnist_helpers.explorer.look.Look.ranked", lambda look, name: np.ones(16))
    place = ("--data-dir", small_data_dir, "--out", tmp_path, "--ablated", "conv1", 3, "conv2", 7)
    code, out, _ = run(capsys, "visualize", *place, *rank, "--views", "ablation", "answer")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert (code, names) == (0, ["ablation.png", "answer.png"])
    assert "Ablated: conv1 3, conv2 7." in out
    assert out.startswith(f"data set {small_data_dir.name}, in {small_data_dir}\n")
    assert bool(ranked) == bool(rank)


def test_visualize_refuses_a_view_before_it_draws_another(capsys, small_data_dir, tmp_path):
    options = ("--data-dir", small_data_dir, "--out", tmp_path / "views")
    code, out, err = run(capsys, "visualize", "--views", "answer", "bogus", *options)
    assert (code, out) == (2, "")
    assert "view is 'bogus', but must be one of: pipeline," in err
    assert not list(tmp_path.rglob("*.png"))


def test_no_state_of_progress_is_a_line_twice(capsys):
    lines = Lines()
    for text in ("\r", "views: 1 of 2", "\rviews: 2 of 2", "\rviews: 2 of 2", "\n"):
        lines.write(text)
    assert capsys.readouterr().err == "views: 1 of 2\nviews: 2 of 2\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pty")
def test_progress_is_a_bar_in_a_terminal_and_lines_elsewhere(small_data_dir, tmp_path):
    import termios  # which Windows lacks

    options = f"visualize --views answer --data-dir {small_data_dir} --out {tmp_path}"
    command = [sys.executable, "-m", "mnist_helpers", *options.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["loading PyTorch", "views: 0 of 1", "views: 1 of 1"]
    picture = done.stdout.splitlines()[-1]
    assert picture.startswith(f"{tmp_path / 'answer.png'}: Image 0")
    master, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    with open(master, errors="replace") as screen:
        out = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, check=True).stdout
        os.close(terminal)
        shown = ""
        with contextlib.suppress(OSError):  # Linux says so where all is read
            while text := os.read(screen.fileno(), 10_000):
                shown += text.decode()
    assert "views: 100%|█" in shown
    assert out.decode() == done.stdout


def test_the_preset_gives_the_defaults_and_options_go_over_it():
    config = parse(["train", "--preset", "best", "--epochs", "3"]).config
    assert config == dataclasses.replace(PRESETS["best"], epochs=3)
    assert config.rotation == 10
    assert parse(["train"]).config == PRESETS["quick"]
    assert parse(["train", "--preset=best"]).config == PRESETS["best"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("train --epochs 0", "epochs is 0"),
        ("train --data-dir /nowhere", "/nowhere can't be searched (No such file"),
        ("evaluate --checkpoint /nowhere.pth", "/nowhere.pth does not exist"),
        ("predict", "at least one picture"),
        ("predict /nowhere.png", "/nowhere.png does not exist"),
        ("visualize --image 10000", "image is 10000, but must be from 0 to 9999"),
        ("visualize --layer conv7", "layer is 'conv7', but must be one of: image, conv1,"),
        ("notebooks nonsense", "no notebook nonsense"),
        ("notebooks -p epoch 1", "no notebook here has a parameter epoch"),
        (
            "notebooks MNIST-classifier -p publish no",
            "publish is 'no', but must be of type bool",
        ),
        ("notebooks -p epochs 2.5", "epochs is '2.5', but must be of type int"),
        ("train --resume r --epochs 2", "--epochs can't be combined with --resume"),
        ("train --no-snapshots --resume=r --seed=0", "--no-snapshots, --seed=0 can't"),
        ("train --resume r --preset best", "for more epochs or other options start"),
        ("notebooks --save -p epochs 1", "either save or parameters"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys, line, complaint):
    before = CHECKPOINT_PATH.stat().st_mtime_ns
    code, _, err = run(capsys, *line.split())
    assert code == 2
    assert complaint in err
    assert err.startswith("mnist-helpers: ")
    assert err.count("\n") == 1
    assert CHECKPOINT_PATH.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "Expected one of {train, evaluate"),
        ("bogus", "no command bogus; did you mean train or evaluate or predict"),
        ("trian --epochs 3", "there is no command trian; did you mean train?\n"),
        ("export --fromat onnx", "--format {onnx,safetensors,pt2}"),
        ("train --epochs many", "--epochs"),
        ("train --preset slow", "slow"),
        ("train --epoch 3", "--epoch"),
        ("visualize --compare sideways", "sideways"),
    ],
)
def test_what_is_no_command_ends_with_a_sentence_and_exit_code_2(capsys, line, complaint):
    code, out, err = run(capsys, *line.split())
    assert (code, out) == (2, "")
    assert complaint in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("line", "own", "others"),
    [
        ("visualize --weight mine", "--weights", "--weight-decay"),
        ("evaluate --chekpoint a.pth", "evaluate --help", "analyze --help"),
        ("predict a.png --kep mine", "--keep FOLDER", "train --help"),
        ("predict --class-names a,b", "--class-names", "analyze --help"),
    ],
)
def test_only_options_of_the_command_are_proposed(capsys, line, own, others):
    _, _, err = run(capsys, *line.split())
    assert own in err
    assert others not in err


def test_parameters_may_be_several():
    call = parse(["notebooks", "-p", "epochs", "1", "analysis", "-p", "seed", "2"])
    assert dict(call.parameters) == {"epochs": "1", "seed": "2"}


def test_parameters_are_read_by_their_declared_types(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").touch()
    given = {
        "bool": {"false": False, "True": True, "0": False},
        "str": {
            "None": None,
            "false": "false",
            "010": "010",
            "a: b: c": "a: b: c",
            "a" * 999: "a" * 999,  # longer than the name of a file
            "w.pth": str(tmp_path / "w.pth"),  # the notebook runs elsewhere
        },
        "int": {"-3": -3},
        "float": {"1e-3": 0.001, "2": 2.0},
    }
    for kind, values in given.items():
        for text, value in values.items():
            found = parse_value("x", text, kind)
            assert (found, type(found)) == (value, type(value)), (text, kind)


def test_a_console_that_does_not_know_every_sign(short, tmp_path, monkeypatch):
    console = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(console, encoding="cp1252"))
    main([str(arg) for arg in [*options_for(short, tmp_path), "--epochs", 1]])
    sys.stdout.flush()
    out = console.getvalue().decode("cp1252")
    assert "loss ? " in out
    assert "Error" not in out


LIGHT = """
import contextlib, io, sys
def tell():
    print(*sorted({name.partition(".")[0] for name in sys.modules}))
from mnist_helpers.commands import cli
for args in (["--help"], ["visualize", "--help"], ["train", "--epoch", "3"]):
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        cli.main(args)
tell()
from mnist_helpers import *
cli.main(sys.argv[1:])
tell()
from mnist_helpers.explorer import *
tell()
"""


def test_what_few_commands_need_is_imported_by_them_alone(seven, small_data_dir):
    """Each start is paid by every command, every notebook and every test with a process."""
    loaded = []
    for args in (["evaluate", "--data-dir", small_data_dir], ["predict", seven]):
        command = [sys.executable, "-c", LIGHT, *args]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        lines = [line for line in done.stdout.splitlines() if " mnist_helpers " in line]
        loaded += [set(line.split()) for line in lines]
    help_alone, answers, explorer, _, pictures, _ = loaded
    assert "tyro" in help_alone
    assert not {"torch", "numpy", "matplotlib", "IPython"} & help_alone
    few_need = {"torchvision", "torchmetrics", "scipy", "sklearn", "captum", "papermill", "onnx"}
    assert "torch" in answers
    assert not (few_need | {"matplotlib", "IPython", "ipywidgets"}) & answers
    assert {"matplotlib", "ipywidgets"} <= explorer
    assert not few_need & explorer
    assert (few_need | {"matplotlib", "IPython", "ipywidgets"}) & pictures == {"scipy"}


def test_two_runs_are_two_curves(short, tmp_path, capsys):
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    board = tmp_path / "board"
    options = [*options_for(short, tmp_path / "runs"), "--epochs", 1, "--tensorboard", board]
    for seed in (0, 1):
        assert run(capsys, *options, "--seed", seed)[0] == 0
    curves = EventMultiplexer().AddRunsFromDirectory(str(board)).Reload()
    names = sorted(folder.name for folder in (tmp_path / "runs").iterdir())
    assert sorted(curves.Runs()) == names
    for name in names:
        (record,) = json.loads((tmp_path / "runs" / name / "history.json").read_text())
        (event,) = curves.Scalars(name, "val_loss")
        assert event.value == pytest.approx(record["val_loss"])


def test_help_goes_to_stdout(capsys):
    code, out, _ = run(capsys, "train", "--help")
    assert code == 0
    names = re.findall(r"^\W (--[a-z]+-?[a-z-]*)", out, re.MULTILINE)
    assert names[:5] == ["--preset", "--resume", "--epochs", "--seed", "--device"]
    assert names.index("--model-save-path") < names.index("--learning-rate")
    for record in COMMANDS:
        name = record.__name__.lower()
        assert f"Example: mnist-helpers {name} " in run(capsys, name, "--help")[1]


@contextlib.contextmanager
def launch(*args) -> Iterator[subprocess.Popen]:
    """A command in a process of its own, which is gone afterwards."""
    command = [sys.executable, "-m", *map(str, args)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def options_for(config, runs_dir) -> list:
    places = f"--data-dir {config.data_dir} --runs-dir {runs_dir}"
    return f"train --val-size 100 --batch-size 50 {places} --device cpu".split()


def test_a_finished_run_is_not_saved_again(short, tmp_path, capsys):
    path = tmp_path / "same.pth"
    runs = []
    for number in range(2):
        options = options_for(short, tmp_path / f"runs{number}")
        options += ["--epochs", 1, "--seed", number, "--model-save-path", path]
        assert run(capsys, *options)[0] == 0
        (folder,) = (tmp_path / f"runs{number}").iterdir()
        runs.append(folder)
    later = path.read_bytes()
    code, out, _ = run(capsys, "train", "--resume", runs[0])
    assert (code, out) == (0, f"{runs[0]} is finished; its weights are model.pth there\n")
    assert path.read_bytes() == later == (runs[1] / "model.pth").read_bytes()


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_and_says_how_to_go_on(short, tmp_path, capsys):
    endless = ["--epochs", 10_000, "--patience", 10_000]
    lines = []
    with launch("mnist_helpers", *options_for(short, tmp_path), *endless) as process:
        for line in process.stdout:
            lines.append(line)
            if line.startswith("epoch  3"):
                process.send_signal(signal.SIGINT)
                break
        lines += process.stdout.readlines()
        assert process.wait(HANG) == 130
    assert "Traceback" not in "".join(lines)
    (folder,) = tmp_path.iterdir()
    assert lines[-1] == f"interrupted; go on with: mnist-helpers train --resume {folder}\n"
    _, card = load_checkpoint(folder / "model.pth")
    assert card["epochs_run"] >= 3
    assert "test" not in card  # the run is not over: the test images are still unseen
    assert "epoch  3" in (folder / "log.txt").read_text()


@pytest.mark.slow
def test_two_processes_end_where_one_does(short, tmp_path):
    """With batches of 63, a last one of 17, and 101 validation images: shares of unequal size."""
    common = [*options_for(short, tmp_path / "runs"), "--epochs", 2, "--rotation", 10]
    common += ["--autocast", False]  # in bfloat16 the order of sums would show
    common += ["--val-size", 101, "--batch-size", 63]
    torchrun = "torch.distributed.run --standalone --nproc-per-node 2 -m"
    for name, start in (("one", ""), ("two", torchrun)):
        path = tmp_path / f"{name}.pth"
        line = [*start.split(), "mnist_helpers", *common, "--model-save-path", path]
        with launch(*line) as process:
            out = process.communicate(timeout=HANG)[0]
        assert process.returncode == 0, out
        assert sum(line.startswith("epoch") for line in out.splitlines()) == 2, out  # one speaks
    assert len(list((tmp_path / "runs").iterdir())) == 2  # and one writes
    one, first = load_checkpoint(tmp_path / "one.pth")
    two, second = load_checkpoint(tmp_path / "two.pth")
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-4)  # 4e-6 was seen
    assert first["validation"]["loss"] == pytest.approx(second["validation"]["loss"], rel=1e-4)


@pytest.mark.slow
def test_spawned_workers_as_on_windows(short, tmp_path, monkeypatch):
    """Spawned workers import the main module again: without its guard this would never end."""
    (tmp_path / "sitecustomize.py").write_text(
        "import multiprocessing; multiprocessing.set_start_method('spawn')"
    )
    options = [*options_for(short, tmp_path / "runs"), "--epochs", 1, "--num-workers", 2]
    options += ["--model-save-path", tmp_path / "m.pth"]
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with launch("mnist_helpers", *options) as process:
        out = process.communicate(timeout=HANG)[0]
    assert process.returncode == 0, out
    assert load_checkpoint(tmp_path / "m.pth")[1]["config"]["num_workers"] == 2
