import dataclasses
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from mnist_helpers import Config, InputError, config
from mnist_helpers.config import PRESETS, PROJECT_DIR, select_device


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch_size", 0),
        ("epochs", 0),
        ("patience", 0),
        ("val_size", 9),
        ("seed", -1),
        ("num_workers", -1),
        ("learning_rate", 11),
        ("learning_rate", float("nan")),
        ("weight_decay", -0.1),
        ("weight_decay", 11),
        ("label_smoothing", 1),
        ("scaling", 1.0),
        ("rotation", -5),
        ("translation", -1),
        ("shear", -0.1),
        ("betas", (0.9, 1.0)),
        ("device", "quantum"),
        ("device", "cpu:foo"),
        ("seed", 2**70),
        ("epochs", "3"),
        ("learning_rate", "1e-3"),
        ("rotation", float("inf")),
    ],
)
def test_an_impossible_value_is_refused_by_its_name(field, value):
    with pytest.raises(InputError, match=rf"^{field} is .*{value}.*\Z"):
        Config(**{field: value})


def test_a_sentence_is_one_line_whatever_stands_in_a_name():
    name = "a\nb\x1b[31m\u202e\udcff über 数字.png"
    expected = r"a\nb\x1b[31m\u202e\udcff über 数字.png is no picture."
    assert str(InputError(f"{name} is no picture.")) == expected


def test_a_run_keeps_no_more_moments_than_can_be_read():
    assert Config(epochs=250, snapshots=True).snapshots
    rule = "^snapshots is True, but must be False where there are more"
    with pytest.raises(InputError, match=rule):
        Config(epochs=251, snapshots=True)


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().epochs = 3


def test_to_dict_names_no_folder_of_this_machine():
    fields = Config(model_save_path="/somewhere/else/m.pth").to_dict()
    assert (fields["data_dir"], fields["model_save_path"]) == ("MNIST-Data", "m.pth")
    assert not any(str(PROJECT_DIR) in str(value) for value in fields.values())


def test_strings_become_paths():
    assert Config(data_dir="x").data_dir == Path("x")


def test_the_quick_preset_is_the_default_and_the_best_one_augments():
    assert PRESETS["quick"] == Config()
    assert PRESETS["sprint"] == Config(epochs=1, train_size=38_400)
    assert not PRESETS["quick"].augments
    assert PRESETS["best"].augments


def test_auto_picks_the_accelerator_or_the_cpu():
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    assert select_device("auto").type == (accelerator or torch.device("cpu")).type


def test_an_accelerator_that_can_not_add_up_is_told(caplog, monkeypatch):
    """PyTorch was not made for it: it is not chosen, and is refused by name."""

    def fail(*size, device):
        raise RuntimeError("CUDA error: no kernel image\nis available")

    kind = torch.device("cuda")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: kind)
    monkeypatch.setattr(torch, "ones", fail)
    assert select_device("auto") == torch.device("cpu")
    reason = "CUDA error: no kernel image"
    assert caplog.messages == [f"cuda can't compute here ({reason}); using the CPU"]
    with pytest.raises(InputError, match=rf"^device is 'cuda', but .* \({reason}\); use auto"):
        select_device("cuda")


def test_worker_processes_are_for_the_cpu(monkeypatch):
    monkeypatch.setattr("mnist_helpers.config.select_device", torch.device)
    rule = r"^num_workers is 2, but must be 0 on an accelerator, because"
    with pytest.raises(InputError, match=rule):
        Config(num_workers=2, device="cuda")
    assert Config(num_workers=2, device="cpu").num_workers == 2
    assert Config(device="cuda").num_workers == 0


@pytest.mark.parametrize(
    ("cell", "complaint"),
    [
        ("publish = 'false'", "publish is 'false', but must be of type bool."),
        ("publish = [False]", "publish is [False], but must be of type bool."),
        ("publish = 2", "publish is 2, but must be of type bool."),
        ("top = True", "top is True, but must be of type int."),
        ("top = 2.5", "top is 2.5, but must be of type int."),
        ("names = 2024", "names is 2024, but must be of type str."),
        ("rate = 'fast'", "rate is 'fast', but must be of type float."),
        ("rate = 1; top = None; publish = True; names = ['a', 'b']", ""),
    ],
)
def test_parameters_of_a_notebook_have_the_types_that_it_declares(cell, complaint, monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # which a shell replaces
    shell = InteractiveShell()
    shell.run_cell(
        "publish: bool = False\ntop: int = 8\nrate: float = 0.1\nnames: str = None", silent=True
    )
    shell.run_cell(cell, silent=True)  # as papermill puts it in
    monkeypatch.setitem(sys.modules, "__main__", shell.user_module)
    told = ""
    try:
        config.check_parameters()
    except InputError as error:
        told = str(error)
    assert told == complaint


def test_a_notebook_shows_the_sentence_alone_and_keeps_the_whole_traceback(capsys, monkeypatch):
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        monkeypatch.setattr(sys, name, None, raising=False)
    shell = InteractiveShell()
    shell.run_cell("from mnist_helpers import Config\nConfig(epochs=0)")
    shown = capsys.readouterr().out
    assert "epochs" in shown
    assert "Traceback" not in shown
    assert len(shown.splitlines()) == 1
    deepest = traceback.extract_tb(sys.last_traceback)[-1]  # where %debug opens
    assert deepest.filename.endswith("config.py")


@pytest.mark.parametrize(
    ("field", "value", "told", "rule"),
    [
        ("epochs", 100_001, "100001", "a whole number from 1 to 100000"),
        ("epochs", "\ud800", r"'\ud800'", "a whole number from 1 to 100000"),
        ("warm_up", 1, "1", "from 0 to 0.999"),
        ("learning_rate", 0, "0", "above 0, up to 10"),
        ("anneal", "x", "'x'", "linear or cos"),
        ("betas", (0.9,), "(0.9,)", "two numbers in [0, 1)"),
        ("betas", 0.9, "0.9", "two numbers in [0, 1)"),
        ("snapshots", 1, "1", "True or False"),
        ("autocast", 1, "1", "auto, True or False"),
        ("autocast", "no", "'no'", "auto, True or False"),
        ("train_size", 0, "0", "a whole number above 0"),
        ("data_dir", None, "None", "a path"),
        ("runs_dir", "a\0", r"'a\x00'", "a path"),
        ("model_save_path", "x.pt", "x.pt", "a file name ending in .pth"),
        ("anneal", "x" * 99, "'" + "x" * 79, "linear or cos"),
    ],
)
def test_the_sentence_names_field_value_and_rule(field, value, told, rule):
    with pytest.raises(InputError) as caught:
        Config(**{field: value})
    assert str(caught.value) == f"{field} is {told}, but must be {rule}."
    assert caught.value._render_traceback_() == [f"InputError: {caught.value}"]  # in a notebook


def test_the_largest_and_the_smallest_that_can_be():
    config = Config(epochs=100_000, num_workers=64, warm_up=0.999, anneal="cos", betas=(0, 0.5))
    assert (config.num_workers, config.betas) == (64, (0, 0.5))
    assert Config(tensorboard="events").tensorboard == Path("events")


def test_numbers_of_numpy_and_lists_are_taken_for_what_they_are():
    config = Config(learning_rate=np.float64(0.02), betas=[0.5, 0], rotation=10)
    assert (config.learning_rate, config.betas, config.rotation) == (0.02, (0.5, 0), 10)
    assert type(config.learning_rate) is type(config.rotation) is float
    with pytest.raises(InputError, match=r"epochs is .*3.*, but must be a whole number"):
        Config(epochs=np.int64(3))


def test_a_device_may_have_a_number():
    assert select_device("cpu:0") == torch.device("cpu")
    for name in ("cpu:x", "none", "hpu", "meta"):
        with pytest.raises(InputError, match=f"^device is '{name}', but this machine can't"):
            select_device(name)


def test_an_installed_package_finds_the_collection_from_its_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "__file__", str(tmp_path / "lib" / "mnist_helpers" / "config.py"))
    collection = tmp_path / "collection"
    (collection / "notebooks").mkdir(parents=True)
    (collection / "notebooks" / "00_start_here.ipynb").touch()
    for current in (collection, collection / "notebooks"):  # a notebook runs in the second
        monkeypatch.chdir(current)
        assert config.project_dir() == collection
    monkeypatch.chdir(tmp_path)
    assert config.project_dir() == tmp_path
