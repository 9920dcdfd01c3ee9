import hashlib
import json
import os
import pickle
import platform
import re
import struct
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import assert_same

from mnist_helpers import (
    CHECKPOINT_PATH,
    Config,
    InputError,
    load_checkpoint,
    make_model,
    save_checkpoint,
)
from mnist_helpers.data import load_idx_part
from mnist_helpers.metrics import evaluate

WEIGHTS = make_model().state_dict()


@pytest.fixture
def saved(tmp_path):
    """A checkpoint with its card."""
    path = tmp_path / "model.pth"
    save_checkpoint(make_model(5), path, Config(seed=5), {"epochs_run": 3})
    return path


def test_what_is_saved_is_what_is_loaded(saved):
    model, card = load_checkpoint(saved)
    assert_same(model.state_dict(), make_model(5).state_dict())
    assert not model.training
    assert model.conv2.weight.is_contiguous(memory_format=torch.channels_last)
    assert card == {
        "architecture": "SimpleCNN",
        "parameters": 206_922,
        "data_set": {"name": "MNIST", "class_names": list("0123456789")},
        "epochs_run": 3,
        "config": json.loads(json.dumps(Config(seed=5).to_dict())),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "sha256": hashlib.sha256(saved.read_bytes()).hexdigest(),
    }
    lines = saved.with_suffix(".json").read_text().splitlines()
    assert lines[1] == '  "architecture": "SimpleCNN",'  # to be read by people, too


def test_it_is_a_plain_state_dict_that_needs_nothing_of_ours(saved):
    weights = torch.load(saved, weights_only=True)
    assert " ".join(weights) == (
        "conv1.weight conv1.bias conv2.weight conv2.bias fc1.weight fc1.bias fc2.weight fc2.bias"
    )


def test_saving_leaves_nothing_else_behind(saved):
    save_checkpoint(make_model(6), saved, Config(), {})
    assert sorted(path.name for path in saved.parent.iterdir()) == ["model.json", "model.pth"]


def test_without_a_card_it_still_loads(saved):
    saved.with_suffix(".json").unlink()
    assert load_checkpoint(saved)[1] == {}


class Malicious:
    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


def saved_by_torch(value):
    """Puts in a file's place what torch.save makes of a value."""
    return lambda path: torch.save(value, path)


def edited(change):
    """Puts in a file's place what `change` makes of its bytes."""
    return lambda path: path.write_bytes(change(path.read_bytes()))


def of_many_disks(content):
    end = content.rindex(b"PK\x06\x07") + 16  # of zip64: on how many disks the archive is
    return content[:end] + struct.pack("<I", 9) + content[end + 4 :]


def with_a_flipped_bit(content):
    return content[:300_000] + bytes([content[300_000] ^ 1]) + content[300_001:]


def malicious(path):
    torch.save({"conv1.weight": Malicious(path.parent / "harm")}, path)


def malicious_pickle(path):
    path.write_bytes(pickle.dumps(Malicious(path.parent / "harm")))


def a_folder(path):
    path.unlink()
    path.mkdir()


def weights_as(dtype):
    return {name: tensor.to(dtype) for name, tensor in WEIGHTS.items()}


DANGER = "holds more than plain weights and was not opened, for it could run code"
MISSING = (
    r"is not SimpleCNN's: conv1\.weight is missing among its tensors, "
    r"but must be \(16, 1, 3, 3\)"
)
GOOD = "give weights of SimpleCNN as `mnist-helpers train` saves them, with their own card or none."


NO_FILE = "is no PyTorch file, or only part of one"
BAD = {
    "missing": (os.unlink, "does not exist"),
    "truncated": (
        edited(lambda content: content[:100_000]),
        r"is damaged or cut short \(File is not a zip file\)",
    ),
    "empty": (edited(lambda content: b""), NO_FILE),
    "foreign file": (edited(lambda content: b"no weights here"), NO_FILE),
    "foreign network": (saved_by_torch(torch.nn.Linear(3, 4).state_dict()), MISSING),
    "another width": (
        saved_by_torch(WEIGHTS | {"fc2.weight": torch.zeros(11, 128)}),
        r"is not SimpleCNN's: fc2\.weight is \(11, 128\), but must be \(10, 128\)",
    ),
    "one layer more": (
        saved_by_torch(WEIGHTS | {"fc3.weight": torch.zeros(2)}),
        r"is not SimpleCNN's: fc3\.weight is \(2,\), but must be absent",
    ),
    "no state dict": (saved_by_torch(torch.zeros(3)), MISSING),
    "malicious": (malicious, DANGER),
    "malicious pickle": (malicious_pickle, DANGER),
    "whole model": (saved_by_torch(make_model()), DANGER),
    "other weights": (
        saved_by_torch(make_model(99).state_dict()),
        r"is not the file that model\.json describes \(sha256 \w{12}…\)",
    ),
    "whole numbers": (
        saved_by_torch(weights_as(torch.int64)),
        r"has torch\.int64 in conv1\.weight, not torch\.float32",
    ),
    "complex numbers": (
        saved_by_torch(weights_as(torch.complex64)),
        r"has torch\.complex64 in conv1\.weight, not torch\.float32",
    ),
    "many disks": (edited(of_many_disks), r"is damaged or cut short \(.*multiple disks.*\)"),
    "a folder": (a_folder, r"can't be read \(it is no regular file\)"),
    "a flipped bit": (
        edited(with_a_flipped_bit),
        r"is damaged or cut short \(.*\)|is not the file that .*",
    ),
}


@pytest.mark.parametrize(("spoil", "complaint"), BAD.values(), ids=BAD)
def test_a_bad_file_gives_one_sentence_with_its_name_and_the_remedy(saved, spoil, complaint):
    spoil(saved)
    before = {path: path.stat().st_mtime_ns for path in saved.parent.iterdir()}
    wanted = f"{re.escape(str(saved))} ({complaint}); {re.escape(GOOD)}"
    with pytest.raises(InputError, match=rf"^{wanted}\Z"):
        load_checkpoint(saved)
    assert {path: path.stat().st_mtime_ns for path in saved.parent.iterdir()} == before
    assert not (saved.parent / "harm").exists()


def test_safetensors_without_metadata_load(tmp_path):
    content = safetensors.torch.save(WEIGHTS)
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    for name, more in (("none", {}), ("null", {"__metadata__": None})):
        text = json.dumps(header | more).encode()
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(struct.pack("<Q", len(text)) + text + content[end:])
        model, card = load_checkpoint(path)
        assert card == {}
        assert_same(model.state_dict(), WEIGHTS)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_safetensors_whose_name_is_no_text_load(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.safetensors")
    path.write_bytes(safetensors.torch.save(WEIGHTS))
    assert_same(load_checkpoint(path)[0].state_dict(), WEIGHTS)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[1]",
        '"x"',
        "",
        '{"architecture": "resnet", "num_labels": 10}',
        '[{"epoch": 1, "loss": 2}]',
    ],
)
def test_a_file_of_others_beside_the_weights_is_ignored_and_that_is_said(saved, caplog, content):
    """Such as a model's configuration, a log of training, or what an editor left."""
    path = saved.with_suffix(".json")
    path.write_text(content)
    model, card = load_checkpoint(saved)
    assert card == {}
    assert_same(model.state_dict(), torch.load(saved, weights_only=True))
    assert [record.message for record in caplog.records] == [
        f"{path} is no card of ours, and is ignored"
    ]


@pytest.mark.parametrize("content", [700, '{"sha256": ', '["sha256"]', '"sha256"', '{"sha256": 5}'])
def test_a_broken_card_is_named(saved, content):
    path = saved.with_suffix(".json")
    if content == 700:
        content = path.read_text()[:700]  # sha256 is what it ends with
    path.write_text(content)
    wanted = rf"^{re.escape(str(path))} is no card in JSON \(.+\); {re.escape(GOOD)}\Z"
    with pytest.raises(InputError, match=wanted):
        load_checkpoint(saved)


def test_an_unwritable_place_is_named_and_nothing_is_lost(saved, tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.pth").mkdir()
    said = r"can't be written \(.+\); choose another model_save_path\.$"
    for path in (tmp_path / "file" / "model.pth", tmp_path / "folder.pth"):
        with pytest.raises(InputError, match=rf"{path.name} {said}"):
            save_checkpoint(make_model(), path, Config(), {})
    load_checkpoint(saved)


def test_a_full_disk_leaves_the_old_files(saved, monkeypatch):
    before = {path.name: path.read_bytes() for path in saved.parent.iterdir()}

    def fail(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(InputError, match=r"model\.pth can't be written .*No space left"):
        save_checkpoint(make_model(6), saved, Config(), {})
    assert {path.name: path.read_bytes() for path in saved.parent.iterdir()} == before


def test_the_published_checkpoint_is_as_good_as_its_card_says():
    model, card = load_checkpoint(CHECKPOINT_PATH)
    test = evaluate(model, load_idx_part(Config().data_dir, "test"))
    assert test.accuracy == pytest.approx(
        card["test"]["accuracy"], abs=1e-4
    )  # one image may tip on another CPU
    assert test.loss() == pytest.approx(card["test"]["loss"], abs=1e-4)
    assert test.accuracy >= 0.995
    assert card == json.loads(CHECKPOINT_PATH.with_suffix(".json").read_text())
    assert card["best_epoch"] <= card["epochs_run"] <= card["config"]["epochs"]
