import copy
import hashlib
import json
import shutil
import struct

import numpy as np
import pytest
import safetensors.torch
import torch
from test_checkpoint import edited
from test_cli import run

from mnist_helpers import (
    CHECKPOINT_PATH,
    Config,
    InputError,
    SimpleCNN,
    load_checkpoint,
    make_model,
    save_checkpoint,
)
from mnist_helpers.commands.export import export_checkpoint
from mnist_helpers.metrics import evaluate

pytestmark = pytest.mark.slow
FORMATS = ("onnx", "safetensors", "pt2")
BLANK = torch.zeros(1, 1, 28, 28)
CARD = json.loads(CHECKPOINT_PATH.with_suffix(".json").read_text("utf-8"))


@pytest.fixture(scope="module")
def files(small_data_dir, tmp_path_factory):
    """The published checkpoint in each format, as the command writes it."""
    folder = tmp_path_factory.mktemp("exported")
    images = torch.randn(50, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    for kind in FORMATS:
        export_checkpoint(CHECKPOINT_PATH, kind, folder / f"published.{kind}", images)
    return folder


@pytest.fixture(scope="module")
def plain():
    """The published network in bare PyTorch, by no function of ours but its class."""
    model = SimpleCNN().eval()
    model.load_state_dict(torch.load(CHECKPOINT_PATH, weights_only=True))
    return model


def onnx_logits(path, images):
    import onnxruntime  # here, and onnx below, for every worker would wait for them above

    return onnxruntime.InferenceSession(path).run(None, {"images": images.numpy()})[0]


def pt2_logits(path, images):
    return torch.export.load(path).module()(images).detach().numpy()


def safetensors_logits(path, images):
    model = SimpleCNN()
    model.load_state_dict(safetensors.torch.load_file(path))
    return model(images).detach().numpy()


LOGITS = {"onnx": onnx_logits, "safetensors": safetensors_logits, "pt2": pt2_logits}


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_gives_the_logits_of_the_network(files, plain, splits, kind, count):
    images = splits.test.tensors[0][100 : 100 + count]
    found = LOGITS[kind](files / f"published.{kind}", images)
    assert found.shape == (count, 10)
    np.testing.assert_allclose(found, plain(images).detach().numpy(), rtol=0, atol=2e-5)


def test_onnx_is_one_file_with_names_for_what_goes_in_and_out(files):
    import onnx

    model = onnx.load(files / "published.onnx", load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    (given,), (answer,) = model.graph.input, model.graph.output
    assert (given.name, answer.name) == ("images", "logits")
    sizes = [size.dim_param or size.dim_value for size in given.type.tensor_type.shape.dim]
    assert sizes == ["batch", 1, 28, 28]
    assert [each.version for each in model.opset_import] == [18]
    assert not any(weights.external_data for weights in model.graph.initializer)


def onnx_metadata(path):
    import onnxruntime

    return onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map


def pt2_metadata(path):
    extra = {"about.json": ""}
    torch.export.load(path, extra_files=extra)
    return json.loads(extra["about.json"])


def safetensors_metadata(path):
    with safetensors.safe_open(path, "pt") as file:
        return file.metadata()


READERS = {"onnx": onnx_metadata, "safetensors": safetensors_metadata, "pt2": pt2_metadata}


@pytest.mark.parametrize("kind", FORMATS)
def test_the_metadata_say_what_goes_in_what_comes_out_and_where_from(files, kind):
    found = READERS[kind](files / f"published.{kind}")
    assert found == {
        "architecture": "SimpleCNN",
        "sha256": hashlib.sha256(CHECKPOINT_PATH.read_bytes()).hexdigest(),
        "mean": "0.1307",
        "std": "0.3081",
        "input": "(pixel / 255 - mean) / std, of grey pixels from 0 to 255, light ink on dark",
        "output": "logits",
        "class_names": json.dumps(list("0123456789")),
        "no_digit": str(load_checkpoint()[0].no_digit),
        "card": json.dumps(CARD),
    }


def test_class_names_are_those_of_the_card_and_a_runs_folder_is_exported(tmp_path):
    names = [f"class {index}" for index in range(10)]
    figures = {"data_set": {"name": "mine", "class_names": names}}
    save_checkpoint(make_model(3), tmp_path / "run" / "model.pth", Config(), figures)
    out = tmp_path / "x.safetensors"
    export_checkpoint(tmp_path / "run", "safetensors", out, BLANK)
    found = safetensors_metadata(out)
    assert json.loads(found["class_names"]) == names
    content = (tmp_path / "run" / "model.pth").read_bytes()
    assert found["sha256"] == hashlib.sha256(content).hexdigest()


def test_safetensors_alone_have_their_card_within(tmp_path):
    figures = {
        "data_set": {"name": "mine", "class_names": list("abcdefghij")},
        "no_digit": {"limit": 0.25},
    }
    saved = save_checkpoint(make_model(3), tmp_path / "m.pth", Config(), figures)
    out = tmp_path / "alone" / "x.safetensors"
    out.parent.mkdir()
    export_checkpoint(tmp_path / "m.pth", "safetensors", out, BLANK)
    model, card = load_checkpoint(out)
    assert (card, model.no_digit) == (json.loads(json.dumps(saved)), 0.25)
    again = out.with_name("again.safetensors")
    export_checkpoint(out, "safetensors", again, BLANK)
    assert load_checkpoint(again)[1] == card
    weights = safetensors.torch.load_file(out)
    safetensors.torch.save_file(weights, again, {"card": '{"best_epoch": "x"}'})
    with pytest.raises(InputError, match="has no card in JSON"):
        load_checkpoint(again)


@pytest.mark.parametrize("kind", FORMATS)
def test_no_file_tells_of_this_machine_or_holds_images(files, kind):
    content = (files / f"published.{kind}").read_bytes()
    assert str(CHECKPOINT_PATH.parent).encode() not in content
    assert str(torch.__path__[0]).encode() not in content
    assert len(content) < 206_922 * 4 * 1.05  # four bytes a parameter, and a little


def test_nothing_else_is_left(files):
    assert {path.name for path in files.iterdir()} == {f"published.{kind}" for kind in FORMATS}


def perturb_state(monkeypatch):
    write = safetensors.torch.save

    def wrong(weights, about):
        return write(weights | {"fc2.bias": weights["fc2.bias"] + 0.001}, about)

    monkeypatch.setattr(safetensors.torch, "save", wrong)


def perturb_program(monkeypatch, shift=0.001):
    write = torch.export.export

    def wrong(model, *args, **options):
        other = copy.deepcopy(model)
        other.fc2.bias.data += shift
        return write(other, *args, **options)

    monkeypatch.setattr(torch.export, "export", wrong)


def not_a_number(monkeypatch):
    perturb_program(monkeypatch, torch.nan)


@pytest.mark.parametrize(
    ("kind", "spoil", "by"),
    [
        ("safetensors", perturb_state, "1.0e-03"),
        ("onnx", perturb_program, "1.0e-03"),
        ("pt2", perturb_program, "1.0e-03"),
        ("onnx", not_a_number, "nan"),
    ],
)
def test_a_file_that_answers_otherwise_is_not_kept(tmp_path, splits, monkeypatch, kind, spoil, by):
    spoil(monkeypatch)
    out = tmp_path / f"x.{kind}"
    out.write_text("an older one")
    with pytest.raises(InputError, match=f"differs from PyTorch by up to {by}") as error:
        export_checkpoint(CHECKPOINT_PATH, kind, out, splits.test.tensors[0][:20])
    assert str(out) in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert out.read_text() == "an older one"


@pytest.mark.parametrize("kind", FORMATS)
def test_the_command_says_what_it_wrote_and_no_more(capfd, small_data_dir, tmp_path, kind):
    out = tmp_path / "deep" / f"mine.{kind}"
    options = ("--format", kind, "--out", out, "--data-dir", small_data_dir)
    code, said, err = run(capfd, "export", *options)
    assert (code, err) == (0, "")
    first, second = said.splitlines()
    assert first == f"saved {out} as {kind}, {out.stat().st_size:,} bytes"
    named, _, difference = second.partition(": ")
    assert named == "largest difference of a logit from PyTorch's"
    assert 0 <= float(difference) <= 1e-4


def test_without_a_name_it_goes_into_outputs(capsys, small_data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("mnist_helpers.commands.export.PROJECT_DIR", tmp_path)
    shutil.copy(CHECKPOINT_PATH, tmp_path / "mine.pth")
    options = ("--checkpoint", tmp_path / "mine.pth", "--data-dir", small_data_dir)
    assert run(capsys, "export", "--format", "safetensors", *options)[0] == 0
    assert (tmp_path / "outputs" / "mine.safetensors").is_file()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("onnx --out x.pth", "out is x.pth, but must be a file name ending in .onnx"),
        ("pt2 --out /dev/null/x.pt2", "choose another out."),
        ("pt2 --checkpoint /nowhere.pth --out {}/x.pt2", "nowhere.pth does not"),
        ("torchscript", "'pt2'"),
    ],
)
def test_what_can_not_be_exported(capsys, small_data_dir, tmp_path, options, complaint):
    options = options.format(tmp_path).split()
    code, _, err = run(capsys, "export", "--data-dir", small_data_dir, "--format", *options)
    assert code == 2
    assert complaint in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_safetensors_are_read_as_a_checkpoint(files, splits):
    model, card = load_checkpoint(files / "published.safetensors")
    assert card == load_checkpoint()[1]
    assert not model.training
    assert evaluate(model, splits.test).accuracy == pytest.approx(CARD["test"]["accuracy"])


@pytest.fixture
def beside_card(files, tmp_path):
    """The exported weights beside the card of the checkpoint that they are from."""
    shutil.copy(CHECKPOINT_PATH.with_suffix(".json"), tmp_path / "x.json")
    return shutil.copy(files / "published.safetensors", tmp_path / "x.safetensors")


def test_the_card_beside_is_that_of_the_checkpoint(beside_card):
    assert load_checkpoint(beside_card)[1] == CARD


def with_header(text, body=b""):
    """Puts a file of safetensors with this header in the place of another."""
    return edited(lambda content: struct.pack("<Q", len(text)) + text + body)


def saved_by_safetensors(weights, about=None):
    return lambda path: safetensors.torch.save_file(weights, path, about)


WEIGHTS = make_model(9).state_dict()
NO_FILE = "is no safetensors file"
BAD = {
    "cut": (edited(lambda content: content[:100_000]), "only part of one"),
    "empty": (edited(lambda content: b""), "is no PyTorch file, or only part of one"),
    "giant header": (edited(lambda content: struct.pack("<Q", 2**62) + content[8:]), NO_FILE),
    "unknown type": (
        with_header(b'{"fc2.bias":{"dtype":"F8_E8M0","shape":[1],"data_offsets":[0,1]}}', b"\0"),
        NO_FILE,
    ),
    "impossible size": (
        with_header(
            b'{"fc2.bias":{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]}}'
        ),
        NO_FILE,
    ),
    "another width": (
        saved_by_safetensors(WEIGHTS | {"fc2.weight": torch.zeros(11, 128)}),
        r"fc2\.weight is \(11, 128\), but must be \(10, 128\)",
    ),
    "one name less": (
        saved_by_safetensors({name: WEIGHTS[name] for name in WEIGHTS if name != "fc2.bias"}),
        r"fc2\.bias is missing",
    ),
    "other weights": (
        saved_by_safetensors(WEIGHTS, {"sha256": "0" * 64}),
        r"not the file that x\.json describes",
    ),
    "no metadata": (saved_by_safetensors(WEIGHTS), r"not the file that x\.json describes"),
}


def test_the_content_tells_whatever_the_name(beside_card):
    beside_card.write_bytes(CHECKPOINT_PATH.read_bytes())
    state = load_checkpoint(beside_card)[0].state_dict()
    published = torch.load(CHECKPOINT_PATH, weights_only=True)
    assert all(torch.equal(state[name], published[name]) for name in published)


@pytest.mark.parametrize(("spoil", "complaint"), BAD.values(), ids=BAD)
def test_bad_safetensors_give_one_sentence_with_their_name(beside_card, spoil, complaint):
    spoil(beside_card)
    with pytest.raises(InputError, match=complaint) as error:
        load_checkpoint(beside_card)
    assert str(beside_card) in str(error.value)
    assert "mnist-helpers train" in str(error.value)  # the remedy
    assert "\n" not in str(error.value)
