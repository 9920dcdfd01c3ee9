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


@pytest.fixture
def saved(tmp_path):
    """A checkpoint with its card."""
    path = tmp_path / "model.pth"
    save_checkpoint(make_model(5), path, Config(seed=5), {"epochs_run": 3})
    return path


def test_what_is_saved_is_what_is_loaded(saved):
    model, card = load_checkpoint(saved)
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            model.state_dict().values(), make_model(5).state_dict().values(), strict=True
        )
    )
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
    assert list(weights) == [
        f"{layer}.{kind}"
        for layer in ("conv1", "conv2", "fc1", "fc2")
        for kind in ("weight", "bias")
    ]


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


def truncate(path):
    path.write_bytes(path.read_bytes()[:100_000])


def empty(path):
    path.write_bytes(b"")


def foreign_file(path):
    path.write_text("no weights here")


def foreign_network(path):
    torch.save(torch.nn.Linear(3, 4).state_dict(), path)


def another_width(path):
    weights = make_model().state_dict()
    weights["fc2.weight"] = torch.zeros(11, 128)
    torch.save(weights, path)


def one_layer_more(path):
    torch.save(make_model().state_dict() | {"fc3.weight": torch.zeros(2)}, path)


def no_state_dict(path):
    torch.save(torch.zeros(3), path)


def malicious(path):
    torch.save({"conv1.weight": Malicious(path.parent / "harm")}, path)


def malicious_pickle(path):
    path.write_bytes(pickle.dumps(Malicious(path.parent / "harm")))


def whole_model(path):
    torch.save(make_model(), path)


def other_weights(path):
    torch.save(make_model(99).state_dict(), path)


def whole_numbers(path):
    torch.save({name: tensor.long() for name, tensor in make_model().state_dict().items()}, path)


def complex_numbers(path):
    state = make_model().state_dict()
    torch.save({name: tensor.to(torch.complex64) for name, tensor in state.items()}, path)


def many_disks(path):
    content = bytearray(path.read_bytes())
    end = content.rindex(b"PK\x06\x07") + 16  # of zip64: on how many disks the archive is
    content[end : end + 4] = struct.pack("<I", 9)
    path.write_bytes(content)


def a_folder(path):
    path.unlink()
    path.mkdir()


def a_flipped_bit(path):
    content = bytearray(path.read_bytes())
    content[300_000] ^= 1
    path.write_bytes(content)


DANGER = "holds more than plain weights and was not opened, for it could run code"
MISSING = (
    r"is not SimpleCNN's: conv1\.weight is missing among its tensors, "
    r"but must be \(16, 1, 3, 3\)"
)
GOOD = "give weights of SimpleCNN as `mnist-helpers train` saves them, with their own card or none."


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (os.unlink, "does not exist"),
        (truncate, "is no PyTorch file, or only part of one"),
        (empty, "is no PyTorch file, or only part of one"),
        (foreign_file, "is no PyTorch file, or only part of one"),
        (foreign_network, MISSING),
        (another_width, r"is not SimpleCNN's: fc2\.weight is \(11, 128\), but must be \(10, 128\)"),
        (one_layer_more, r"is not SimpleCNN's: fc3\.weight is \(2,\), but must be absent"),
        (no_state_dict, MISSING),
        (malicious, DANGER),
        (malicious_pickle, DANGER),
        (whole_model, DANGER),
        (other_weights, r"is not the file that model\.json describes \(sha256 \w{12}…\)"),
        (whole_numbers, r"has torch\.int64 in conv1\.weight, not torch\.float32"),
        (complex_numbers, r"has torch\.complex64 in conv1\.weight, not torch\.float32"),
        (many_disks, r"is damaged or cut short \(.*multiple disks.*\)"),
        (a_folder, r"can't be read \(it is no regular file\)"),
        (a_flipped_bit, r"is damaged or cut short \(.*\)|is not the file that .*"),
    ],
)
def test_a_bad_file_gives_one_sentence_with_its_name_and_the_remedy(saved, spoil, complaint):
    spoil(saved)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in saved.parent.iterdir())
    with pytest.raises(InputError) as error:
        load_checkpoint(saved)
    wanted = f"{re.escape(str(saved))} ({complaint}); {re.escape(GOOD)}"
    assert re.fullmatch(wanted, str(error.value)), error.value
    assert sorted((path.name, path.stat().st_mtime_ns) for path in saved.parent.iterdir()) == before
    assert not (saved.parent / "harm").exists()


def test_safetensors_without_metadata_load(tmp_path):
    weights = make_model(5).state_dict()
    content = safetensors.torch.save(weights)
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    for name, more in (("none", {}), ("null", {"__metadata__": None})):
        text = json.dumps(header | more).encode()
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(struct.pack("<Q", len(text)) + text + content[end:])
        model, card = load_checkpoint(path)
        assert card == {}
        assert torch.equal(model.fc2.weight, weights["fc2.weight"])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_safetensors_whose_name_is_no_text_load(tmp_path):
    weights = make_model(5).state_dict()
    path = tmp_path / os.fsdecode(b"\xff.safetensors")
    path.write_bytes(safetensors.torch.save(weights))
    model, _ = load_checkpoint(path)
    assert torch.equal(model.fc2.weight, weights["fc2.weight"])


@pytest.mark.parametrize("content", ["{", "[1]", '"x"'])
def test_a_broken_card_is_named(saved, content):
    path = saved.with_suffix(".json")
    path.write_text(content)
    with pytest.raises(InputError) as error:
        load_checkpoint(saved)
    wanted = rf"{re.escape(str(path))} is no card in JSON \(.+\); {re.escape(GOOD)}"
    assert re.fullmatch(wanted, str(error.value))


def test_an_unwritable_place_is_named_and_nothing_is_lost(saved, tmp_path):
    (tmp_path / "file").write_text("in the way")
    said = r"can't be written \(.+\); choose another model_save_path\.$"
    with pytest.raises(InputError, match=rf"model\.pth {said}"):
        save_checkpoint(make_model(), tmp_path / "file" / "model.pth", Config(), {})
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(InputError, match=rf"folder\.pth {said}"):
        save_checkpoint(make_model(), tmp_path / "folder.pth", Config(), {})
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
