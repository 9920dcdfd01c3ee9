"""What a probe once found wrong about bad input, by hand; each with its largest memory and time."""

import contextlib
import dataclasses
import gzip
import importlib
import io
import json
import math
import os
import pkgutil
import shutil
import signal
import struct
import sys
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import HANG, no_bar, peak, sentences
from networks import load_digit
from PIL import Image, PngImagePlugin
from test_cli import run

from mnist_helpers import CHECKPOINT_PATH, Config, InputError, commands, load_checkpoint, make_model
from mnist_helpers.checkpoint import MOST_BYTES, decode_tensors, read_card
from mnist_helpers.commands.cli import main
from mnist_helpers.data import load_idx_part, load_splits
from mnist_helpers.explorer import Subject, still
from mnist_helpers.files import read_file
from mnist_helpers.foreign.readers import read_idx
from mnist_helpers.metrics import EpochRecord
from mnist_helpers.runs.folder import read_config
from mnist_helpers.runs.snapshots import load_snapshots
from mnist_helpers.training import Trainer, train

READERS = {
    "model.pth": load_checkpoint,
    "model.safetensors": load_checkpoint,
    "state.pt": lambda path: decode_tensors(
        read_file(path, MOST_BYTES, "start the run anew"), path, "start the run anew"
    ),
    "card.json": read_card,
    "config.json": lambda path: read_config(path.parent),
    "digit.png": load_digit,
    "x-ubyte.gz": read_idx,
    "x-ubyte": read_idx,
    "snapshots.npz": load_snapshots,
}


@pytest.fixture(scope="module", autouse=True)
def imported(small_data_dir, few, tmp_path_factory):
    """Has all modules imported that are imported late: they count for no test."""
    folder = tmp_path_factory.mktemp("warm")
    with contextlib.redirect_stdout(io.StringIO()):
        places = ["--data-dir", str(small_data_dir), "--out", str(folder)]
        main(["visualize", "--views", "answer", *places])
    train(make_model(), few, Config(epochs=1, device="cpu"), on_step=no_bar)
    for command in pkgutil.iter_modules(commands.__path__, f"{commands.__name__}."):
        importlib.import_module(command.name)
    for kind in ("PNG", "JPEG", "GIF", "TIFF"):
        Image.new("RGB", (40, 40)).save(folder / "picture", kind)
        with pytest.raises(InputError):
            load_digit(folder / "picture")


@pytest.fixture(autouse=True)
def in_time():
    """A hang ends in an error."""

    def late(*args: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(HANG)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def cheap(call: Callable[[], object], seconds: float = 20, memory: int = 1000) -> object:
    """What a call returns, which may take so many seconds of a core, and MB; no warning.

    What is cheap takes a tenth of that; what was found took minutes, or gigabytes.
    """
    peak()
    before, started = peak(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = call()
    took, used = time.process_time() - started, (peak() - before) / 1024
    print(f"\nMEASURED {os.environ['PYTEST_CURRENT_TEST']}: {took:.2f} s, {used:.0f} MB")
    assert used < memory
    assert took < seconds
    return found


def refusal(call: Callable[[], object], **limits: float) -> str:
    """The one sentence in which a call ends, soon."""

    def ends() -> str:
        with pytest.raises(InputError) as error:
            call()
        return str(error.value)

    said = cheap(ends, **limits)
    assert said.isprintable()
    return said


# files that are none


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["pipe", "endless", "sparse", "folder", "circle", "missing"])
def test_only_regular_files_of_a_sound_size_are_read(tmp_path, name, kind):
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    if kind == "endless":
        path.symlink_to("/dev/zero")
    if kind == "sparse":
        path.touch()
        os.truncate(path, 8 * 2**30)
    if kind == "folder":
        path.mkdir()
    if kind == "circle":
        path.symlink_to(path)
    if name == "card.json" and kind in ("circle", "missing"):
        assert read_card(path) == {}
        return
    reason = {
        "pipe": "no regular file",
        "endless": "no regular file",
        "sparse": "it is larger than",
        "folder": "no regular file",
        "circle": "does not exist|symbolic links",
        "missing": "does not exist",
    }[kind]
    said = refusal(lambda: READERS[name](path), memory=150)
    assert str(path) in said
    assert any(each in said for each in reason.split("|"))


@pytest.mark.parametrize("name", [name for name in READERS if not name.endswith("json")])
def test_no_path_has_a_nul(tmp_path, name):
    said = refusal(lambda: READERS[name](Path(f"a\0{name}")))
    assert "does not exist; " in said


@pytest.mark.parametrize("name", ["pipe", "endless"])
def test_a_data_folder_with_a_pipe_or_without_end(tmp_path, small_data_dir, name):
    for path in small_data_dir.iterdir():
        (tmp_path / path.name).symlink_to(path)
    spoilt = tmp_path / "t10k-labels-idx1-ubyte.gz"
    spoilt.unlink()
    os.mkfifo(spoilt) if name == "pipe" else spoilt.symlink_to("/dev/zero")
    assert str(spoilt) in refusal(lambda: load_idx_part(tmp_path, "test"))


# IDX


def packed_zeros(header: bytes, megabytes: int) -> bytes:
    """A gzip file of so many MB of zeros: parts of 64 MB, one after another."""
    part = gzip.compress(bytes(2**26), 9)
    return gzip.compress(header) + part * (megabytes // 64)


@pytest.mark.parametrize("size", [pytest.param(784, marks=pytest.mark.slow), 2**28, 2**31])
def test_two_gigabytes_out_of_two_megabytes(tmp_path, size):
    content = packed_zeros(struct.pack(">4B3I", 0, 0, 8, 3, size // 4, 2, 2), 2048)
    (tmp_path / "x-ubyte.gz").write_bytes(content)
    said = refusal(lambda: read_idx(tmp_path / "x-ubyte.gz"), seconds=40, memory=1000)
    assert "but its length does not match" in said


@pytest.mark.slow
def test_the_largest_idx_file_that_is_read(tmp_path):
    (tmp_path / "x-ubyte.gz").write_bytes(
        packed_zeros(b"\0\0\x08\x01" + struct.pack(">I", 2**28), 256)
    )
    found = cheap(lambda: read_idx(tmp_path / "x-ubyte.gz"), seconds=40)
    assert (found.shape, found.any()) == ((2**28,), False)


def test_a_dimension_that_was_negative(tmp_path):
    (tmp_path / "x-ubyte").write_bytes(struct.pack(">4B3i", 0, 0, 8, 3, -2, -14, 28) + bytes(784))
    assert "but its length does not match" in refusal(lambda: read_idx(tmp_path / "x-ubyte"))


def test_more_dimensions_than_an_array_can_have(tmp_path):
    (tmp_path / "x-ubyte").write_bytes(b"\0\0\x08\x46" + struct.pack(">70I", *[1] * 70) + b"\0")
    assert "it is something else" in refusal(lambda: read_idx(tmp_path / "x-ubyte"))


def test_a_long_name_of_a_folder(capsys):
    code, _, err = run(capsys, "evaluate", "--data-dir", "a" * 5000)
    assert (code, err.count("\n")) == (2, 1)
    assert f": {'a' * 5000} can't be searched (File name too long); give images" in err


def test_not_the_whole_disk_is_searched(tmp_path, small_data_dir):
    """Two folders down data are found; what lies deeper isn't even looked at."""
    deep = tmp_path / "a" / "b" / "c"
    shutil.copytree(small_data_dir, deep)
    searched = set()

    def watch(event: str, args: tuple) -> None:  # is never taken away, but tells only of tmp_path
        if event in ("os.scandir", "os.listdir") and str(args[0]).startswith(str(tmp_path)):
            searched.add(Path(args[0]))

    sys.addaudithook(watch)
    assert f"{tmp_path} holds no data set" in refusal(lambda: load_idx_part(tmp_path, "test"))
    assert searched == {tmp_path, deep.parent.parent, deep.parent}
    assert len(load_idx_part(deep.parent.parent, "test")) == 300


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")]
)
def test_a_folder_that_cannot_be_read_hides_no_other(tmp_path, small_data_dir, monkeypatch, error):
    shutil.copytree(small_data_dir, tmp_path / "mine")
    locked = tmp_path / "another's"
    locked.mkdir()
    entries = Path.iterdir

    def refuse(folder: Path) -> Iterator[Path]:
        if folder == locked:
            raise error
        return entries(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert len(load_idx_part(tmp_path, "test")) == 300


# checkpoints and cards


def deflated(path: Path, parts: dict[str, bytes], name: str, zeros: int, said: int) -> None:
    """A zip archive, packed; its last member ends with many zeros, and says to be so long."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for each, content in parts.items():
            with archive.open(each, "w") as file:
                file.write(content)
                for _ in range(zeros // 2**24 if each == name else 0):
                    file.write(bytes(2**24))
        archive.getinfo(name).file_size = said


@pytest.mark.parametrize(
    ("zeros", "said", "complaint"),
    [
        pytest.param(480 * 2**20, 480 * 2**20, "is damaged|must be", marks=pytest.mark.slow),
        pytest.param(480 * 2**20, 36, "is damaged|must be", marks=pytest.mark.slow),
        (0, 2**30, "it unpacks to more than 536,870,912 bytes"),
    ],
)
def test_a_zip_bomb_as_checkpoint(tmp_path, zeros, said, complaint):
    buffer, path = io.BytesIO(), tmp_path / "model.pth"
    torch.save(dict.fromkeys(make_model().state_dict(), torch.zeros(9)), buffer)
    with zipfile.ZipFile(buffer) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    data = next(name for name in parts if name.endswith("data/0"))
    deflated(path, parts | {data: b""}, data, zeros, said)
    assert path.stat().st_size < 5_000_000
    found = refusal(lambda: load_checkpoint(path), seconds=40)
    assert any(each in found for each in complaint.split("|"))


def npy(array: np.ndarray) -> bytes:
    """An array as numpy writes it."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_header(kind: str, count: int) -> bytes:
    """The beginning of an array (1, count)."""
    buffer = io.BytesIO()
    form = {"descr": kind, "fortran_order": False, "shape": (1, count)}
    np.lib.format.write_array_header_1_0(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "zeros", "said", "complaint"),
    [
        pytest.param("<i2", 112 * 2**20, None, "", marks=pytest.mark.slow),
        pytest.param(
            "|i1", 112 * 2**20, None, "x is not of finite numbers", marks=pytest.mark.slow
        ),
        pytest.param(
            "<f8", 112 * 2**20, None, "x is not of finite numbers", marks=pytest.mark.slow
        ),
        ("<i2", 112 * 2**20, 500, "holds no snapshots"),
        ("<i2", 0, 2**31, "it unpacks to more than 134,217,728 bytes"),
    ],
)
def test_a_zip_bomb_as_snapshots(tmp_path, kind, zeros, said, complaint):
    names = [field.name for field in dataclasses.fields(EpochRecord)]
    header = npy_header(kind, zeros // np.dtype(kind).itemsize)
    parts = {
        "epochs.npy": npy(np.array([1.0])),
        "history.npy": npy(np.array(json.dumps({name: [1] for name in names}))),
        "steps/x.npy": npy(np.ones(1, np.float32)),
        "changes/x.npy": header,
    }
    path = tmp_path / "snapshots.npz"
    deflated(path, parts, "changes/x.npy", zeros, said or len(header) + zeros)
    if complaint:
        assert complaint in refusal(lambda: load_snapshots(path), seconds=40)
    else:
        found = cheap(lambda: load_snapshots(path), seconds=40)
        assert found.weights[0]["x"].shape == (zeros // 2,)


def test_snapshots_of_one_moment_twice(tmp_path):
    names = [field.name for field in dataclasses.fields(EpochRecord)]
    arrays = {"history": np.array(json.dumps({name: [1] for name in names}))}
    arrays |= {"steps/x": np.ones(2, np.float32), "changes/x": np.ones((2, 3), np.int16)}
    np.savez(tmp_path / "good.npz", epochs=np.array([0.5, 1]), **arrays)
    assert load_snapshots(tmp_path / "good.npz").weights[1]["x"].tolist() == [2, 2, 2]
    np.savez(tmp_path / "bad.npz", epochs=np.array([1, 1]), **arrays)
    said = refusal(lambda: load_snapshots(tmp_path / "bad.npz"))
    assert "bad.npz holds no snapshots (its moments are not those of a run)" in said


@pytest.mark.parametrize("amiss", [{"val_loss": []}, {"val_loss": ["a"]}, {"val_loss": 1}])
def test_snapshots_whose_history_is_none(tmp_path, amiss):
    history = {field.name: [1] for field in dataclasses.fields(EpochRecord)} | amiss
    arrays = {"steps/x": np.ones(1, np.float32), "changes/x": np.ones((1, 3), np.int16)}
    path = tmp_path / "bad.npz"
    np.savez(path, epochs=np.array([1]), history=np.array(json.dumps(history)), **arrays)
    assert f"{path} holds no snapshots (" in refusal(lambda: load_snapshots(path))


@pytest.mark.parametrize("content", [b"\x80", b"\x80\x02", b"\x80" * 200, None])
def test_a_pickle_that_is_none_or_of_another_protocol(tmp_path, capfd, content):
    if content is None:
        torch.save(make_model().state_dict(), tmp_path / "m.pth", pickle_protocol=4)
        content = (tmp_path / "m.pth").read_bytes()[:5000]
    (tmp_path / "model.pth").write_bytes(content)
    assert str(tmp_path) in refusal(lambda: load_checkpoint(tmp_path / "model.pth"))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("length", [1, 3, 200, 5000])
def test_a_checkpoint_of_the_old_format_that_is_cut(tmp_path, length):
    path = tmp_path / "model.pth"
    torch.save(make_model().state_dict(), path, _use_new_zipfile_serialization=False)
    assert load_checkpoint(path)[1] == {}
    path.write_bytes(path.read_bytes()[:length])
    assert str(path) in refusal(lambda: load_checkpoint(path))


def test_a_torchscript_archive_and_a_quantized_one_bring_no_warning(tmp_path, capfd):
    path = tmp_path / "model.pth"
    with warnings.catch_warnings(action="ignore"):
        torch.jit.script(make_model()).save(path)
    assert str(path) in refusal(lambda: load_checkpoint(path))
    with warnings.catch_warnings(action="ignore"):
        state = {
            k: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8)
            for k, v in make_model().state_dict().items()
        }
        torch.save(state, path)
    assert str(path) in refusal(lambda: load_checkpoint(path))
    assert capfd.readouterr().err == ""


def test_what_is_missing_is_said_of_the_network(tmp_path):
    state = make_model().state_dict()
    del state["fc2.bias"]
    torch.save(state, tmp_path / "model.pth")
    said = refusal(lambda: load_checkpoint(tmp_path / "model.pth"))
    assert (
        "model.pth is not SimpleCNN's: fc2.bias is missing among its tensors, but must be (10,)"
        in said
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers(tmp_path, capsys, value):
    state = make_model().state_dict()
    state["fc1.bias"][3] = value
    torch.save(state, tmp_path / "model.pth")
    code, out, err = run(capsys, "evaluate", "--checkpoint", tmp_path / "model.pth")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "numbers in fc1.bias that are not finite" in err


AMISS = ["[]", "null", "5", '{"accuracy": null}', '{"accuracy": "good"}', '{"accuracy": 1e300}']
AMISS = [f'"test": {test}' for test in AMISS]
AMISS += [f'"config": {{"seed": {seed}}}' for seed in (-1, 2**64, 10**30, 5.5, "true")]


@pytest.mark.parametrize("amiss", AMISS)
def test_a_card_of_other_types(tmp_path, small_data_dir, capsys, amiss):
    path = tmp_path / "model.pth"
    path.write_bytes(CHECKPOINT_PATH.read_bytes())
    sha256 = json.loads(CHECKPOINT_PATH.with_suffix(".json").read_text())["sha256"]
    path.with_suffix(".json").write_text(f'{{"sha256": "{sha256}", {amiss}}}')
    code, out, err = run(capsys, "evaluate", "--checkpoint", path, "--data-dir", small_data_dir)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "model.json is no card in JSON" in err


@pytest.mark.parametrize("size", [15_000_000, 300_000_000])
def test_a_card_that_is_deep_or_large(tmp_path, size):
    (tmp_path / "card.json").write_bytes(b'{"sha256": ' + b"[" * size)
    said = refusal(lambda: read_card(tmp_path / "card.json"), memory=300)
    assert "card.json" in said


# pictures


def seven(width: int, height: int, mode: str = "L") -> Image.Image:
    """A 7 on a light sheet, as large as fits."""
    side = min(width, height)
    picture = Image.new(mode, (width, height), "white")
    left, top = (width - side) // 2, (height - side) // 2
    stroke = side // 12
    picture.paste(
        "black", (left + side // 4, top + side // 5, left + 3 * side // 4, top + side // 5 + stroke)
    )
    for row in range(0, 3 * side // 5, max(1, side // 200)):
        at = left + 3 * side // 4 - stroke - row // 2
        y = top + side // 5 + row
        picture.paste("black", (at, y, at + stroke, y + max(1, side // 200)))
    return picture


def read(path: Path) -> int:
    model, _ = load_checkpoint()
    return int(model(load_digit(path)[None]).argmax())


@pytest.mark.parametrize(
    ("name", "memory"), [("photo.jpg", 300), pytest.param("scan.png", 1000, marks=pytest.mark.slow)]
)
def test_forty_eight_megapixels(tmp_path, name, memory):
    seven(8000, 6000, "RGB").save(tmp_path / name)
    assert cheap(lambda: read(tmp_path / name), memory=memory) == 7


def test_a_tiny_gif_of_169_megapixels(tmp_path):
    gif = b"GIF89a" + struct.pack("<2H3B", 13_000, 13_000, 0x80, 0, 0) + bytes(6)
    (tmp_path / "x.gif").write_bytes(
        gif + b"," + struct.pack("<4HB", 0, 0, 13_000, 13_000, 0) + b"\x02\0"
    )
    said = refusal(lambda: load_digit(tmp_path / "x.gif"), memory=150)
    assert "it has 13000 × 13000 pixels" in said


def test_a_png_of_400_megapixels(tmp_path):
    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    header = chunk(b"IHDR", struct.pack(">2I5B", 20_000, 20_000, 1, 0, 0, 0, 0))
    content = chunk(b"IDAT", zlib.compress(bytes(20_000 * 2501), 1)) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + content)
    said = refusal(lambda: load_digit(tmp_path / "x.png"), memory=150)
    assert "20000 × 20000 pixels" in said or "decompression bomb" in said


def test_small_pictures_that_claim_much_text_or_many_frames(tmp_path):
    about = PngImagePlugin.PngInfo()
    about.add_text("x", "a" * 60_000_000, zip=True)
    seven(60, 60).save(tmp_path / "text.png", pnginfo=about)
    assert "text.png" in refusal(lambda: load_digit(tmp_path / "text.png"), memory=400)
    frames = [seven(60, 60), *[Image.new("L", (60, 60), shade) for shade in range(200)]]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert cheap(lambda: read(tmp_path / "x.gif"), memory=300) == 7  # the first


def test_a_one_that_is_40_times_as_long_as_wide(tmp_path):
    Image.fromarray(np.pad(np.zeros((400, 10), np.uint8), 100, constant_values=255)).save(
        tmp_path / "1.png"
    )
    digit = load_digit(tmp_path / "1.png")[0] * 0.3081 + 0.1307
    rows, columns = np.nonzero(digit.numpy() > 0.5)
    assert (np.ptp(rows), np.ptp(columns)) == (19, 0)
    assert read(tmp_path / "1.png") == 1


@pytest.mark.parametrize("top", [1, 200, 60_000])
def test_a_tiff_of_decimals(tmp_path, top):
    sheet = np.asarray(seven(60, 60), np.float32) / 255
    Image.fromarray(sheet * top).save(tmp_path / "7.tiff")
    assert read(tmp_path / "7.tiff") == 7


def test_values_that_are_no_numbers_in_a_tiff(tmp_path):
    sheet = np.asarray(seven(60, 60), np.float32) / 255
    sheet[0, 0] = math.nan
    Image.fromarray(sheet).save(tmp_path / "7.tiff")
    digit = load_digit(tmp_path / "7.tiff")
    assert digit.isfinite().all()


def test_a_photo_that_lies_on_its_side(tmp_path):
    turned = seven(90, 90).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90°
    turned.save(tmp_path / "7.jpg", exif=exif, quality=95)
    assert read(tmp_path / "7.jpg") == 7
    content = (tmp_path / "7.jpg").read_bytes()
    place = content.index(b"Exif\0\0")
    spoilt = content[: place + 8] + b"\xff" * 12 + content[place + 20 :]
    (tmp_path / "bad.jpg").write_bytes(spoilt)
    assert "bad.jpg can't be read as an image" in refusal(lambda: load_digit(tmp_path / "bad.jpg"))


# names

NAME = "a\nb\x1b[31m\u202ec.png"
SHOWN = r"a\nb\x1b[31m\u202ec.png"


def test_names_of_files_are_on_one_line_and_move_no_cursor(tmp_path, capsys):
    code, out, err = run(capsys, "predict", tmp_path / NAME)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert SHOWN in err
    seven(60, 60).save(tmp_path / NAME)
    code, out, err = run(capsys, "predict", tmp_path / NAME)
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert f"{SHOWN}: 7 (" in out


def test_names_of_files_in_the_log(short, tmp_path, capsys):
    path = tmp_path / NAME.replace(".png", ".pth")
    options = ["--data-dir", short.data_dir, "--val-size", 100, "--epochs", 1, "--device", "cpu"]
    code, out, _ = run(
        capsys, "train", *options, "--runs-dir", tmp_path / "r", "--model-save-path", path
    )
    assert code == 0
    (folder,) = (tmp_path / "r").iterdir()
    lines = (folder / "log.txt").read_text().splitlines()
    assert lines == out.splitlines()
    assert lines[-1].endswith(f"{SHOWN.replace('.png', '.pth')} and its card")


# the command line


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (
            ["train", "--num-workers", 1000],
            "num_workers is 1000, but must be a whole",
        ),
        (["train", "--seed", "99999999999999999999"], "seed is 99999999999999999999, but must"),
        (["train", "--seed", -1], "seed is -1, but must be"),
        (["visualize", "--out", "{folder}"], "kernels.png can't be written (a folder of that name"),
        (["visualize", "--data-dir", "{circle}"], "circle holds no data set|can't be searched"),
        (["train", "--data-dir", "{circle}"], "circle holds no data set|can't be searched"),
        (["train", "--weight-decay", "1e20"], "weight_decay is 1e+20, but must be from 0 to 10"),
        (["predict", "{circle}"], "circle does not exist"),
    ],
)
def test_what_can_not_be_is_said_before_the_work(tmp_path, short, capsys, args, complaint):
    (tmp_path / "folder" / "kernels.png").mkdir(parents=True)
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    given = [
        str(arg).format(folder=tmp_path / "folder", circle=tmp_path / "circle") for arg in args
    ]
    if given[0] in ("train", "visualize", "analyze", "site") and "--data-dir" not in given:
        given += ["--data-dir", short.data_dir]
    if given[0] == "train":
        given += ["--epochs", 1, "--val-size", 100]
        given += [] if "--runs-dir" in given else ["--runs-dir", tmp_path / "runs"]
    code, out, err = cheap(lambda: run(capsys, *given))
    assert (code, err.count("\n")) == (2, 1), err
    assert any(each in err for each in complaint.split("|")), err
    assert "epoch" not in out
    assert not list((tmp_path / "folder").glob("*.png*"))[1:]


def test_preset_without_a_value_is_told_by_tyro(capsys):
    code, _, err = run(capsys, "train", "--preset")
    assert code == 2
    assert "--preset" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_view_of_flatten_takes_seconds(tmp_path, small_data_dir, capsys):
    """An image that excites it was made for each of 1,568 channels, to show one."""
    options = ("--views", "top_images", "--layer", "flatten", "--data-dir", small_data_dir)
    code, out, err = cheap(lambda: run(capsys, "visualize", *options, "--out", tmp_path), 60)
    assert (code, sentences(err)) == (0, "")
    assert "flatten, channel" in out


def test_an_exciting_image_is_that_of_its_channel(splits):
    subject = Subject(load_checkpoint()[0], splits.test.tensors[0][:50])
    largest = subject.stats("trained")["flatten"].max.amax(dim=0)
    channel = 64 + int(largest[64:].argmax())
    made = torch.from_numpy(subject.maximized("flatten", "trained", channel))
    values = subject.network.outputs(made[None])["flatten"][0]
    assert values[channel] > 1.2 * largest[channel]


def test_a_text_is_told_from_a_number(capsys):
    subject = Subject(make_model(), torch.zeros(20, 1, 28, 28))
    with pytest.raises(InputError, match="image is '7', but must be from 0 to 19"):
        still(subject, image="7")
    for image in (7.0, torch.tensor(7), np.array([7, 7])):
        with pytest.raises(InputError, match=r"image is .*, but must be from 0 to 19"):
            still(subject, image=image)
    with pytest.raises(InputError, match="amount is 'x', but must be one of: "):
        still(subject, view="answer", disturbance="FGSM", amount="x")
    with pytest.raises(InputError, match="drawing is 5, but must be a byte for each of"):
        still(subject, drawing=5)
    with pytest.raises(InputError, match=r"kernel is .*, but must be nine numbers"):
        still(subject, kernel=[10**400] * 9)


def test_a_state_of_another_form_writes_nowhere_in_memory(short, tmp_path):
    """Moments of the optimizer that are too small made it read and write past their end."""
    config = dataclasses.replace(short, epochs=1)
    splits = load_splits(config.data_dir, config.val_size)
    trainer = Trainer(make_model(), splits, config)
    trainer.run(on_step=lambda loss: None)
    for place in (0, 4):
        for wrong in (torch.zeros(1), torch.full((5,), math.nan), torch.zeros(1).to("meta")):
            state = trainer.state_dict()
            state["optimizer"]["state"] = {
                at: dict(each) for at, each in state["optimizer"]["state"].items()
            }
            state["optimizer"]["state"][place]["exp_avg"] = wrong
            with pytest.raises(InputError, match=r"The state of the run .*start the run anew"):
                Trainer(make_model(), splits, config).load_state_dict(state)


def test_a_link_to_itself_is_replaced_by_the_checkpoint(short, tmp_path, capsys):
    path = tmp_path / "circle.pth"
    path.symlink_to(path)
    options = ["--data-dir", short.data_dir, "--val-size", 100, "--epochs", 1, "--device", "cpu"]
    places = ["--runs-dir", tmp_path / "r", "--model-save-path", path]
    assert run(capsys, "train", *options, *places)[0] == 0
    assert load_checkpoint(path)[1]["epochs_run"] == 1
