"""Data sets, checkpoints and files as people have them: written by the formats' own libraries."""

import argparse
import csv
import gzip
import hashlib
import io
import json
import shutil
import struct
import tarfile
import warnings
import zipfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import write_idx
from PIL import Image
from test_cli import run

from mnist_helpers import CHECKPOINT_PATH, DATA_DIR, InputError, load_checkpoint, make_model
from mnist_helpers.data import load_idx_part, load_splits
from mnist_helpers.files import file_kind
from mnist_helpers.foreign.readers import CLASSES, about_data

RAW = DATA_DIR / "MNIST" / "raw"
PIXELS = np.random.default_rng(5).integers(0, 256, (70, 28, 28), np.uint8)
LABELS = np.arange(70, dtype=np.uint8) % 10
FASHION = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle-boot",
]


def read(folder: Path, part: str) -> tuple[np.ndarray, list[int]]:
    """The pixels and labels of a part, normalisation undone."""
    images, labels = load_idx_part(folder, part).tensors
    return (images[:, 0] * 0.3081 + 0.1307).mul(255).round().byte().numpy(), labels.tolist()


def check(folder: Path, train: slice = slice(50), test: slice = slice(50, None)) -> None:
    """A folder holds these of PIXELS and LABELS."""
    for part, rows in (("train", train), ("test", test)):
        images, labels = read(folder, part)
        np.testing.assert_array_equal(images, PIXELS[rows])
        assert labels == LABELS[rows].tolist()


def idx_bytes(array: np.ndarray, kind: int = 8) -> bytes:
    """An array in the IDX form, by the format's description."""
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, kind, array.ndim]) + sizes + array.tobytes()


def write_parts(name: str, pack: object = bytes) -> None:
    """MNIST's four files under names made by `name.format(part, what, dimensions)`."""
    for part, rows in (("train", slice(50)), ("t10k", slice(50, None))):
        for what, array in (("images", PIXELS[rows]), ("labels", LABELS[rows])):
            path = Path(name.format(part=part, what=what, n=array.ndim))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pack(idx_bytes(array)))


def twice(content: bytes) -> bytes:
    return gzip.compress(gzip.compress(content))


class TestNamesOfIdxFiles:
    @pytest.mark.parametrize(
        ("name", "pack"),
        [
            ("{part}-{what}.idx{n}-ubyte", bytes),  # as Kaggle has them
            ("{part}-{what}-idx{n}-ubyte/{part}-{what}-idx{n}-ubyte", bytes),
            ("archive/{part}-{what}-idx{n}-ubyte/{part}-{what}.idx{n}-ubyte", bytes),
            ("{part}-{what}-idx{n}-ubyte (1).gz", gzip.compress),
            ("{part}-{what}-idx{n}-ubyte - Copy.GZ", gzip.compress),
            ("{part}-{what}-idx{n}-ubyte.gz.1", gzip.compress),
            ("MNIST/raw/{part}-{what}-idx{n}-ubyte.gz", bytes),  # unpacked, and still called so
            ("{part}-{what}-idx{n}-ubyte.gz", twice),
            ("{part}-{what}-idx{n}-ubyte", gzip.compress),
        ],
    )
    def test_whatever_they_are_called(self, tmp_path, name, pack):
        write_parts(f"{tmp_path}/{name}", pack)
        check(tmp_path)

    def test_kaggles_download_has_each_file_twice(self, tmp_path):
        write_parts(f"{tmp_path}/{{part}}-{{what}}.idx{{n}}-ubyte")
        write_parts(f"{tmp_path}/{{part}}-{{what}}-idx{{n}}-ubyte/{{part}}-{{what}}-idx{{n}}-ubyte")
        check(tmp_path)

    def test_the_original_packed_once_more_is_the_original(self, tmp_path):
        folder = tmp_path / "MNIST" / "raw"
        folder.mkdir(parents=True)
        for path in RAW.glob("t10k*"):
            (folder / path.name).write_bytes(gzip.compress(path.read_bytes()))
        assert len(load_idx_part(tmp_path, "test")) == 10_000
        labels = idx_bytes(LABELS.repeat(200)[:10_000])
        (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(twice(labels))
        with pytest.raises(InputError, match=r"not the original .md5 sum .*, not ec29112dd5afa06"):
            load_idx_part(tmp_path, "test")

    def test_a_web_page_is_called_one(self, tmp_path):
        write_parts(f"{tmp_path}/{{part}}-{{what}}-idx{{n}}-ubyte.gz", gzip.compress)
        page = tmp_path / "t10k-labels-idx1-ubyte.gz"
        page.write_text("\n<!DOCTYPE html>\n<html><title>404</title></html>")
        with pytest.raises(InputError, match=rf"{page} .*\(it is a web page\)"):
            load_idx_part(tmp_path, "test")

    def test_the_splits_of_emnist_are_told_apart_by_their_names(self, tmp_path):
        raw = tmp_path / "EMNIST" / "raw"
        for split, count in (("digits", 10), ("letters", 26), ("mnist", 10)):
            for part in ("train", "test"):
                stem = f"{raw}/emnist-{split}-{part}"
                write_idx(Path(f"{stem}-images-idx3-ubyte.gz"), PIXELS[:count])
                write_idx(Path(f"{stem}-labels-idx1-ubyte.gz"), np.arange(count))
        with pytest.raises(InputError, match="holds 3 data sets; give one as data_dir: ") as error:
            load_idx_part(tmp_path, "train")
        assert all(f"{raw}/emnist-{split}" in str(error.value) for split in ("digits", "letters"))
        for part in ("train", "test"):
            images, labels = read(raw / "emnist-digits", part)
            np.testing.assert_array_equal(images, PIXELS[:10].transpose(0, 2, 1))
            assert labels == list(range(10))
        with pytest.raises(InputError, match=r"letters.* up to 25\); give images .* from 0 to 9"):
            load_idx_part(raw / "emnist-letters", "train")

    def test_labels_of_qmnist_are_the_first_of_eight_columns(self, tmp_path):
        for part, rows in (("train", slice(50)), ("test", slice(50, None))):
            columns = np.full((len(LABELS[rows]), 8), 70_000, ">i4")
            columns[:, 0] = LABELS[rows]
            write_idx(tmp_path / f"qmnist-{part}-images-idx3-ubyte.gz", PIXELS[rows])
            labels = gzip.compress(idx_bytes(columns, 12))
            (tmp_path / f"qmnist-{part}-labels-idx2-int.gz").write_bytes(labels)
        check(tmp_path)

    def test_a_tilde_is_the_home(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        write_parts(f"{tmp_path}/digits/{{part}}-{{what}}-idx{{n}}-ubyte")
        check(Path("~/digits"))

    def test_what_is_missing_is_named(self, tmp_path):
        write_parts(f"{tmp_path}/{{part}}-{{what}}-idx{{n}}-ubyte")
        (tmp_path / "t10k-labels-idx1-ubyte").unlink()
        with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte\) .*\('labels'\)"):
            load_idx_part(tmp_path, "test")


# tables and arrays


def write_csv(path: Path, pixels: np.ndarray, labels: np.ndarray | None, header: bool) -> None:
    rows = pixels.reshape(len(pixels), -1).tolist()
    names = [f"pixel{index}" for index in range(784)]
    if labels is not None:
        rows = [[label, *row] for label, row in zip(labels.tolist(), rows, strict=True)]
        names = ["label", *names]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows] if header else rows)


BORDERED = PIXELS.copy()  # as MNIST's are
BORDERED[:, 0] = BORDERED[:, -1] = 0
HEADER = [f"pixel{index}" for index in range(784)]


def flat(pixels: np.ndarray, *columns: np.ndarray) -> np.ndarray:
    """Images in rows, and columns behind them."""
    return np.c_[pixels.reshape(len(pixels), -1), *columns]


TABLES = {  # header, table, how a number is written, what stands between
    "last": lambda images, labels: ([], flat(images, labels), "%d", ","),
    **{
        f"last, a header with {name}": (
            lambda images, labels, name=name: (
                [",".join([*HEADER, name])], flat(images, labels), "%d", ",",
            )
        )
        for name in ("label", "Class", "target", "y", '"class"')
    },
    "in the middle": lambda images, labels: (
        [",".join([*HEADER[:9], "class", *HEADER[9:]])],
        np.c_[flat(images)[:, :9], labels, flat(images)[:, 9:]], "%d", ",",
    ),
    "a number of the line, as of pandas": lambda images, labels: (
        [",".join(["", "label", *HEADER])],
        np.c_[np.arange(len(images)), labels, flat(images)], "%d", ",",
    ),
    "a header in capitals": lambda images, labels: (
        [",".join([*HEADER[:5], "LABEL", *HEADER[5:]])],
        np.insert(flat(images), 5, labels, axis=1), "%d", ",",
    ),
    "a header of numbers": lambda images, labels: (
        [",".join(map(str, range(785)))], flat(images, labels), "%d", ",",
    ),
    "decimals": lambda images, labels: ([], flat(images, labels), "%.1f", ","),
    "from 0 to 1": lambda images, labels: ([], flat(images / 255, labels), "%.6f", ","),
    "semicolons": lambda images, labels: (
        [";".join([*HEADER, "label"])], flat(images, labels), "%d", ";",
    ),
    "tabs": lambda images, labels: ([], flat(images, labels), "%d", "\t"),
    "exponents": lambda images, labels: ([], flat(images / 255, labels), "%.8e", ","),
    "quoted": lambda images, labels: ([], flat(images, labels), '"%d"', ","),
}  # fmt: skip


class TestTables:
    @pytest.mark.parametrize("header", [True, False])
    @pytest.mark.parametrize("stem", ["", "mnist_", "fashion-mnist_"])
    def test_both_parts_with_labels(self, tmp_path, stem, header):
        write_csv(tmp_path / f"{stem}train.csv", PIXELS[:50], LABELS[:50], header)
        write_csv(tmp_path / f"{stem}test.csv", PIXELS[50:], LABELS[50:], header)
        check(tmp_path)

    def test_kaggles_test_has_no_labels_so_a_seventh_is_held_out(self, tmp_path, caplog):
        write_csv(tmp_path / "train.csv", PIXELS, LABELS, header=True)
        write_csv(tmp_path / "test.csv", PIXELS[:9], None, header=True)
        check_held_out(tmp_path, caplog)

    def test_beside_files_that_lie_in_the_folder_itself_it_is_chosen_by_its_name(self, tmp_path):
        write_parts(f"{tmp_path}/{{part}}-{{what}}-idx{{n}}-ubyte")  # as in a download of Kaggle's
        for part, rows in (("train", slice(9)), ("test", slice(9, 20))):
            write_csv(tmp_path / f"zalando_{part}.csv", PIXELS[rows], LABELS[rows], True)
        check(tmp_path)
        check(tmp_path / "zalando", slice(9), slice(9, 20))

    @pytest.mark.parametrize(
        "names",
        [
            ("TRAIN.CSV", "TEST.CSV"),
            ("training.csv", "testing.csv"),
            ("train_data.csv", "test_data.csv"),
        ],
    )
    def test_parts_by_other_names(self, tmp_path, names):
        for name, rows in zip(names, (slice(50), slice(50, None)), strict=True):
            write_csv(tmp_path / name, PIXELS[rows], LABELS[rows], header=True)
        check(tmp_path)

    def test_beside_idx_files_of_no_other_name_they_are_left(self, tmp_path):
        write_parts(f"{tmp_path}/{{part}}-{{what}}-idx{{n}}-ubyte")
        for name in ("train.csv", "test.csv"):
            write_csv(tmp_path / name, PIXELS[:9], LABELS[:9], header=True)
        write_pictures(tmp_path / "train", list("0123456789"), range(9))
        np.save(tmp_path / "x_train.npy", PIXELS[:9])
        check(tmp_path)

    def test_a_file_can_be_chosen(self, tmp_path, caplog):
        write_csv(tmp_path / "train.csv", PIXELS, LABELS, header=True)
        write_csv(tmp_path / "test.csv", PIXELS[:9], LABELS[:9], header=True)
        check_held_out(tmp_path / "train.csv", caplog)

    def test_a_mark_of_utf_8_costs_no_image_and_labels_stand_first(self, tmp_path):
        for name, rows in (("train", slice(50)), ("test", slice(50, None))):
            path = tmp_path / f"{name}.csv"
            write_csv(path, PIXELS[rows], LABELS[rows], header=False)
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        check(tmp_path)
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        check(tmp_path)

    @pytest.mark.parametrize("layout", TABLES)
    def test_labels_and_pixels_are_found_in_it(self, tmp_path, layout):
        for name, rows in (("train", slice(50)), ("test", slice(50, None))):
            header, table, form, separator = TABLES[layout](BORDERED[rows], LABELS[rows])
            path = tmp_path / f"{name}.csv"
            lines = [separator.join(form % value for value in row) for row in table]
            path.write_text("\n".join([*header, *lines]) + "\n")
        for part, rows in (("train", slice(50)), ("test", slice(50, None))):
            images, labels = read(tmp_path, part)
            np.testing.assert_array_equal(images, BORDERED[rows])
            assert labels == LABELS[rows].tolist()

    @pytest.mark.parametrize("name", ["mnist_784.csv", "mine.csv.gz", "Mine.TSV"])
    def test_of_any_name_where_there_is_nothing_else(self, tmp_path, caplog, name):
        write_csv(tmp_path / "x.csv", PIXELS, LABELS, header=True)
        content = (tmp_path / "x.csv").read_bytes()
        (tmp_path / "x.csv").unlink()
        (tmp_path / name).write_bytes(gzip.compress(content) if "gz" in name else content)
        check_held_out(tmp_path, caplog)

    @pytest.mark.parametrize(
        ("labels", "corner"), [(LABELS, LABELS), (LABELS, LABELS // 2), (LABELS + 10, LABELS + 11)]
    )
    def test_where_the_labels_may_stand_twice_or_nowhere_a_header_is_asked_for(
        self, tmp_path, labels, corner
    ):
        path = tmp_path / "train.csv"
        table = np.c_[labels, BORDERED.reshape(70, -1)[:, 1:], corner]
        np.savetxt(path, table, "%d", ",")
        with pytest.raises(InputError, match="which column holds the labels isn't plain; call it"):
            load_idx_part(tmp_path, "train")

    @pytest.mark.parametrize(
        ("pixels", "limits"),
        [
            (BORDERED / 255.0 - 0.5, "-0.5 to 0.5"),
            (BORDERED * 257.0, "0.0 to 65535.0"),
            (BORDERED // 16, "0.0 to 15.0"),
        ],
    )
    def test_pixels_of_another_range_are_refused(self, tmp_path, pixels, limits):
        table = np.c_[LABELS, pixels.reshape(70, -1)]
        np.savetxt(tmp_path / "train.csv", table, "%.6f", ",")
        with pytest.raises(InputError, match=rf"pixels are from {limits}, but must be from 0 to"):
            load_idx_part(tmp_path, "train")

    def test_a_damaged_one_ends_in_a_sentence(self, tmp_path):
        (tmp_path / "train.csv").write_text("")
        (tmp_path / "test.csv.gz").write_bytes(gzip.compress(b"1,2,3")[:-9])
        with pytest.raises(InputError, match=r"can't be read .*; give images"):
            load_idx_part(tmp_path, "test")

    def test_emnists_images_stand_upright(self, tmp_path):
        for part, rows in (("train", slice(50)), ("test", slice(50, None))):
            path = tmp_path / f"emnist-digits-{part}.csv"
            write_csv(path, PIXELS[rows].swapaxes(1, 2), LABELS[rows], header=False)
        check(tmp_path)

    @pytest.mark.parametrize("text", ["label,pixel0\n3,5\n", "a,b\nx,y\n", "", "3,256\n"])
    def test_another_table_is_named(self, tmp_path, text):
        (tmp_path / "mnist_train.csv").write_text(text)
        with pytest.raises(InputError, match=r"\(mnist_train.csv\) can't be used \(.+\); give"):
            load_idx_part(tmp_path, "train")


def check_held_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """PIXELS are in two parts, each once, a seventh of each class in the test; and it is said."""
    parts = {part: read(folder, part) for part in ("train", "test")}
    assert sorted(parts["test"][1]) == list(range(10))  # of 70, seven of each class
    together = np.concatenate([parts["train"][0], parts["test"][0]])
    assert sorted(map(bytes, together)) == sorted(map(bytes, PIXELS))
    of_image = dict(zip(map(bytes, PIXELS), LABELS.tolist(), strict=True))
    for images, labels in parts.values():
        assert [of_image[bytes(image)] for image in images] == labels
    assert [record.message for record in caplog.records] == [
        f"{folder} has no test part: a seventh is held out as that"
    ]
    again, _ = read(folder, "test")
    np.testing.assert_array_equal(again, parts["test"][0])


FORMS = {  # of arrays in which people keep images
    "flat": lambda images: images.reshape(-1, 784),
    "channels last": lambda images: images[..., None],
    "channels first": lambda images: images[:, None],
    "decimals": lambda images: images.astype(np.float64),
    "from 0 to 1": lambda images: (images / 255).astype(np.float32),
    "whole numbers": lambda images: images.astype(np.int64),
}
CALLED = [  # images and labels of both parts
    ("x_{}", "y_{}", "train", "test"),
    ("{}_images", "{}_labels", "train", "test"),
    ("X_{}", "target_{}", "TRAIN", "TEST"),
    ("{}/data", "{}/label", "train", "test"),
]
ONE_OF_EACH = "not one array of images and one of labels for train: "


class TestArrays:
    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("names", CALLED)
    def test_images_are_told_by_their_shape_and_labels_by_their_number(self, tmp_path, form, names):
        arrays = {"about": np.array("mine"), "val_x": PIXELS[:3], "val_y": LABELS[:3]}
        for part, rows in zip(names[2:], (slice(50), slice(50, None)), strict=True):
            arrays[names[1].format(part)] = LABELS[rows].astype(np.int64)
            arrays[names[0].format(part)] = FORMS[form](PIXELS[rows])
        np.savez(tmp_path / "digits.npz", **arrays)
        check(tmp_path)

    def test_ones_and_zeros_are_black_and_white(self, tmp_path):
        np.savez(tmp_path / "mine.npz", X_train=BORDERED > 127, y_train=LABELS)
        images, _ = read(tmp_path, "train")
        np.testing.assert_array_equal(images, 255 * (BORDERED > 127))

    @pytest.mark.parametrize("names", [("images", "labels"), ("X", "y"), ("arr_0", "arr_1")])
    def test_of_one_pair_a_seventh_is_held_out(self, tmp_path, caplog, names):
        np.savez(tmp_path / "mine.npz", **dict(zip(names, (PIXELS, LABELS), strict=True)))
        check_held_out(tmp_path / "mine.npz", caplog)

    @pytest.mark.parametrize("names", [("X", "y"), ("labels", "images")])
    def test_a_pair_of_files(self, tmp_path, caplog, names):
        images, labels = sorted(names, key="X images".find, reverse=True)
        np.save(tmp_path / f"{images}.npy", PIXELS)
        np.save(tmp_path / f"{labels}.npy", LABELS)
        check_held_out(tmp_path, caplog)

    @pytest.mark.parametrize(
        "name",
        ["x_{part}.npy y_{part}.npy", "{part}_images.npy {part}_labels.npy",
         "{part}/images.npy {part}/labels.npy", "{part}.npz", "mnist-{part}-data.npz"],
    )  # fmt: skip
    def test_files_by_part(self, tmp_path, name):
        for part, rows in (("train", slice(50)), ("test", slice(50, None))):
            paths = [tmp_path / path for path in name.format(part=part).split()]
            paths[0].parent.mkdir(exist_ok=True)
            arrays = (PIXELS[rows].reshape(-1, 784) / 255, LABELS[rows].astype(str))
            if len(paths) == 1:
                np.savez(paths[0], *arrays)
            else:
                for path, array in zip(paths, arrays, strict=True):
                    np.save(path, array)
        check(tmp_path)

    def test_a_file_of_a_half_pair_is_named(self, tmp_path):
        np.save(tmp_path / "X.npy", PIXELS)
        with pytest.raises(InputError, match=rf"X\.npy\) can't be used .{ONE_OF_EACH}\['X.npy'\]"):
            load_idx_part(tmp_path, "train")

    def test_what_is_too_large_as_decimals_is_told_to_be_saved_as_bytes(self, tmp_path):
        path = tmp_path / "mnist.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x_train.npy", b"")
            archive.getinfo("x_train.npy").file_size = 60_000 * 784 * 8
        with pytest.raises(InputError, match=r"more than 268,435,456 bytes\); .*as uint8"):
            load_idx_part(tmp_path, "train")

    def test_a_damaged_one_ends_in_a_sentence(self, tmp_path):
        np.savez(tmp_path / "mine.npz", x_train=PIXELS, y_train=LABELS)
        content = (tmp_path / "mine.npz").read_bytes()
        (tmp_path / "mine.npz").write_bytes(content[:999])
        with pytest.raises(InputError, match=r"can't be used .*; give images"):
            load_idx_part(tmp_path, "train")

    def test_keras_archive(self, tmp_path):
        arrays = {"x_train": PIXELS[:50], "y_train": LABELS[:50]}
        arrays |= {"x_test": PIXELS[50:], "y_test": LABELS[50:]}
        np.savez_compressed(tmp_path / "mnist.npz", **arrays)
        check(tmp_path)
        check(tmp_path / "mnist.npz")

    def test_two_archives_are_named_and_one_chosen(self, tmp_path):
        arrays = {"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS, "y_test": LABELS}
        np.savez(tmp_path / "mnist.npz", **arrays)
        np.savez(tmp_path / "fashion_mnist.npz", x_train=PIXELS[::-1], y_train=LABELS)
        with pytest.raises(InputError, match=f"2 data sets; .*: {tmp_path}/fashion_mnist.npz, "):
            load_idx_part(tmp_path, "train")
        images, _ = read(tmp_path / "mnist.npz", "train")
        np.testing.assert_array_equal(images, PIXELS)
        write_parts(f"{tmp_path}/mnist/raw/{{part}}-{{what}}-idx{{n}}-ubyte")
        check(tmp_path / "mnist")  # a folder is itself, whatever lies beside it

    @pytest.mark.parametrize(
        ("arrays", "reason"),
        [
            ({"x_train": PIXELS / 255 - 1, "y_train": LABELS}, r"pixels are from -1\.0 to 0\.0"),
            ({"x_train": PIXELS, "y_train": LABELS + 3}, "up to 12"),
            ({"x_train": PIXELS, "y_train": LABELS + 0.5}, r"labels \(70,\) up to 9\.5"),
            ({"x_train": PIXELS, "y_train": LABELS[:-1]}, r"labels \(69,\)"),
            ({"x_train": PIXELS}, rf"{ONE_OF_EACH}\['x_train'\]"),
            ({"X": PIXELS, "y": LABELS, "z": LABELS}, rf"{ONE_OF_EACH}\['X', 'y', 'z'\]"),
            ({"x_test": PIXELS, "y_test": LABELS}, rf"{ONE_OF_EACH}\['x_test', 'y_test'\]"),
            ({"x_train": PIXELS, "y_train": np.eye(10)[LABELS]}, r"labels \(70, 10\) up to 1"),
            ({"x_train": PIXELS[:, ::3], "y_train": LABELS}, r"images \(25, 28, 28\)"),
            ({"x_train": PIXELS, "y_train": np.array([{}] * 70)}, "allow_pickle=False"),
            ({"x_train": PIXELS, "y_train": np.array(["a"] * 70)}, "could not convert string"),
        ],
    )
    def test_arrays_that_do_not_fit(self, tmp_path, arrays, reason):
        np.savez(tmp_path / "mnist.npz", **arrays)
        with pytest.raises(InputError, match=rf"mnist\.npz\) can't be used \(.*{reason}"):
            load_idx_part(tmp_path, "train")

    def test_a_bomb_is_not_unpacked(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "mnist.npz", "w") as archive:
            archive.writestr("x_train.npy", b"")
            archive.getinfo("x_train.npy").file_size = 2**29
        with pytest.raises(InputError, match="unpacks to more than 268,435,456 bytes"):
            load_idx_part(tmp_path, "train")


# pictures


def test_folders_called_by_english_words_are_digits(tmp_path):
    for label, word in ((2, "two"), (8, "Eight"), (9, "nine")):
        for part, rows in (("train", slice(50)), ("test", slice(50, None))):
            for index, image in enumerate(PIXELS[rows][LABELS[rows] == label]):
                path = tmp_path / part / word / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path)
    for part in ("train", "test"):
        images, labels = read(tmp_path, part)
        of_image = dict(zip(map(bytes, PIXELS), LABELS.tolist(), strict=True))
        assert [of_image[bytes(image)] for image in images] == labels
        assert sorted(set(labels)) == [2, 8, 9]
    assert about_data(tmp_path, "train")["class_names"] == list("0123456789")


def write_pictures(folder: Path, names: list[str], rows: range, kind: str = "png") -> None:
    """Each image in the folder of its class."""
    for row in rows:
        path = folder / names[LABELS[row]] / f"{row:03}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS[row]).save(path)


class TestPictures:
    @pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "Testing")])
    @pytest.mark.parametrize("names", [list("0123456789"), FASHION])
    def test_folders_by_part_and_class(self, tmp_path, train, test, names):
        names = [name.replace("/", "-") for name in names]
        write_pictures(tmp_path / train, names, range(50))
        write_pictures(tmp_path / test, names, range(50, 70))
        order = sorted(names)
        for part, rows in (("train", range(50)), ("test", range(50, 70))):
            images, labels = read(tmp_path, part)
            expected = sorted(rows, key=lambda row: (names[LABELS[row]], row))
            np.testing.assert_array_equal(images, PIXELS[expected])
            assert labels == [order.index(names[LABELS[row]]) for row in expected]
        assert about_data(tmp_path, "train") == {"name": tmp_path.name, "class_names": order}

    def test_folders_of_any_name_are_classes_where_there_is_nothing_else(self, tmp_path, caplog):
        write_pictures(tmp_path, [f"class {letter}" for letter in "ABCDEFGHIJ"], range(70))
        check_held_out(tmp_path, caplog)
        assert about_data(tmp_path, "train")["class_names"][2] == "class C"

    @pytest.mark.parametrize("name", ["images", "Train", "test"])
    def test_pictures_without_classes_are_no_data_set(self, tmp_path, name):
        write_pictures(tmp_path, [name] * 10, range(3))
        with pytest.raises(InputError, match="holds no data set"):
            load_idx_part(tmp_path, "train")

    def test_digits_may_be_written_with_a_zero_before(self, tmp_path, caplog):
        write_pictures(tmp_path, [f"{digit:02}" for digit in range(10)], range(70))
        check_held_out(tmp_path, caplog)

    @pytest.mark.parametrize("ink", [0, 255])
    def test_what_is_drawn_on_nothing_is_ink(self, tmp_path, ink):
        write_pictures(tmp_path, list("0123456789"), range(70))
        alphas = PIXELS[:70].copy()
        alphas[:, 0] = 0  # nothing at the edge
        for path in tmp_path.rglob("*.png"):
            drawn = Image.new("LA", (28, 28), ink)
            drawn.putalpha(Image.fromarray(alphas[int(path.stem)]))
            drawn.save(path)
        images, _ = read(tmp_path, "train")
        assert {image.tobytes() for image in np.asarray(images)} <= set(map(bytes, alphas))

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
    @pytest.mark.parametrize("clear", [False, True])
    def test_colours_and_an_opaque_alpha_change_no_grey(self, tmp_path, mode, clear):
        """Nor does a clear corner, but for that it is white."""
        write_pictures(tmp_path, list("0123456789"), range(70))
        for path in tmp_path.rglob("*.png"):
            with Image.open(path) as picture:
                if clear and "A" in mode:
                    alpha = Image.new("L", picture.size, 255)
                    alpha.putpixel((0, 0), 0)
                    picture.putalpha(alpha)
                picture.convert(mode).save(path)
        images, _ = read(tmp_path, "train")
        expected = PIXELS[:70].copy()
        if clear and "A" in mode:
            expected[:, 0, 0] = 255
        assert {image.tobytes() for image in np.asarray(images)} <= set(map(bytes, expected))

    def test_dark_on_light_is_taken_in_negative(self, tmp_path, caplog):
        pixels = np.full((28, 28), 250, np.uint8)
        pixels[5:20, 10:14] = 20
        for digit in "37":
            (tmp_path / "train" / digit).mkdir(parents=True)
            Image.fromarray(pixels).save(tmp_path / "train" / digit / "a.png")
        images, _ = read(tmp_path / "train", "train")
        np.testing.assert_array_equal(images, [255 - pixels])
        assert f"{tmp_path / 'train'} is dark on light and taken in negative" in caplog.text

    def test_a_part_that_is_missing_is_named(self, tmp_path):
        write_pictures(tmp_path / "test", list("0123456789"), range(20))
        with pytest.raises(InputError, match="holds no images for the part train; give"):
            load_idx_part(tmp_path, "train")
        assert len(load_idx_part(tmp_path, "test")) == 20

    def test_pictures_in_one_folder_have_no_classes(self, tmp_path):
        write_pictures(tmp_path, ["all"] * 10, range(9))
        for folder in (tmp_path, tmp_path / "all"):
            with pytest.raises(InputError, match="all of one class; each class needs a folder"):
                load_idx_part(folder, "train")

    def test_one_folder_only(self, tmp_path, caplog):
        write_pictures(tmp_path, list("0123456789"), range(70))
        (tmp_path / "3" / "notes.txt").write_text("not a picture")
        check_held_out(tmp_path, caplog)

    def test_two_digits_keep_their_labels(self, tmp_path):
        for digit, row in (("3", 0), ("7", 1)):
            (tmp_path / "train" / digit).mkdir(parents=True)
            picture = Image.fromarray(PIXELS[row]).convert("RGB")
            picture.save(tmp_path / "train" / digit / "x.PNG")
            shutil.copytree(tmp_path / "train" / digit, tmp_path / "test" / digit)
        images, labels = read(tmp_path, "train")
        np.testing.assert_array_equal(images, PIXELS[:2])
        assert labels == [3, 7]

    @pytest.mark.parametrize("size", [(27, 28), (6000, 6000)])
    def test_one_of_another_size_is_named(self, tmp_path, size):
        write_pictures(tmp_path, list("0123456789"), range(9))
        Image.new("L", size).save(tmp_path / "4" / "odd.png")
        said = rf"4/odd.png can't be read \(it has {size[0]} × {size[1]} pixels\); give images"
        with pytest.raises(InputError, match=said):
            load_idx_part(tmp_path, "train")

    def test_figures_beside_a_data_set_are_none(self, tmp_path):
        write_parts(f"{tmp_path}/set/{{part}}-{{what}}-idx{{n}}-ubyte")
        write_pictures(tmp_path / "figures", ["plots"] * 10, range(3))
        check(tmp_path)


# what a data set is called


class TestNames:
    def test_known_by_its_md5_sums_wherever_it_lies(self, tmp_path):
        folder = tmp_path / "mine"
        shutil.copytree(RAW, folder)
        digits = list("0123456789")
        for part in ("train", "test"):
            assert about_data(tmp_path, part) == {"name": "MNIST", "class_names": digits}
        for path in (folder / "train-images-idx3-ubyte.gz", folder / "train-labels-idx1-ubyte.gz"):
            content = gzip.decompress(path.read_bytes())
            path.with_suffix("").write_bytes(content)
            path.write_bytes(gzip.compress(content, 1))  # packed otherwise
            assert about_data(tmp_path, "train")["name"] == "MNIST"
            path.unlink()
            assert about_data(tmp_path, "train")["name"] == "MNIST"
        (folder / "t10k-images-idx3-ubyte").touch()  # unpacked beside
        assert about_data(tmp_path, "test")["name"] == "MNIST"
        content = gzip.decompress((RAW / "t10k-labels-idx1-ubyte.gz").read_bytes())
        path = folder / "t10k-labels-idx1-ubyte.gz"
        path.write_bytes(gzip.compress(content[:8] + content[:7:-1]))
        assert about_data(tmp_path, "test") == {"name": tmp_path.name, "class_names": digits}
        assert about_data(tmp_path, "train")["name"] == "MNIST"

    def test_class_names_are_those_that_torchvision_knows(self):
        from torchvision.datasets import KMNIST, FashionMNIST  # here, for it takes seconds

        for known in (KMNIST, FashionMNIST):
            assert CLASSES[known.__name__].split(",") == known.classes

    def test_evaluate_names_it_and_a_card_of_another(self, capsys, small_data_dir, tmp_path):
        path = tmp_path / "model.pth"
        shutil.copy(CHECKPOINT_PATH, path)
        card = json.loads(CHECKPOINT_PATH.with_suffix(".json").read_text())
        said = {}
        cards = {
            "same": {"data_set": {"name": "MNIST", "class_names": list("0123456789")}},
            "letters": {"data_set": {"name": "MNIST", "class_names": list("abcdefghij")}},
            "fashion": {"data_set": {"name": "FashionMNIST", "class_names": FASHION}},
        }
        for name, more in cards.items():
            fields = {key: value for key, value in card.items() if key != "data_set"}
            path.with_suffix(".json").write_text(json.dumps(fields | more))
            code, said[name], err = run(capsys, "evaluate", "--checkpoint", path)
            assert (code, err) == (0, "")
            assert f"data set MNIST, in {DATA_DIR}\n" in said[name]
            assert "test accuracy 99.61% (9,961 of 10,000 images)" in said[name]
        other = "the checkpoint's card names another data set, "
        assert [other in text for text in said.values()] == [False, True, True]
        assert (
            f"{other}MNIST: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j']\n" in said["letters"]
        )
        assert f"{other}FashionMNIST: ['T-shirt/top', 'Trouser', " in said["fashion"]
        code, out, _ = run(capsys, "evaluate", "--data-dir", small_data_dir)
        assert f"data set {small_data_dir.name}, in {small_data_dir}\n" in out
        assert f"{other}MNIST: ['0', '1', " in out


# checkpoints

WEIGHTS = make_model(5).state_dict()


def prefixed(start: str, weights: dict = WEIGHTS) -> dict:
    return {f"{start}{name}": tensor for name, tensor in weights.items()}


def averaged() -> dict:
    """As torch's own averaging makes it."""
    model = make_model(5)
    average = torch.optim.swa_utils.AveragedModel(model)
    average.update_parameters(model)
    return average.state_dict()


OPTIMIZER = torch.optim.AdamW(make_model(1).parameters()).state_dict()
HABITS = {  # what people save, and what is said of where the weights are in it
    "_orig_mod": (prefixed("_orig_mod."), "_orig_mod"),
    "module": (torch.nn.DataParallel(make_model(5)).state_dict(), "module"),
    "nested": (prefixed("module._orig_mod.model."), "module._orig_mod.model"),
    "model_state_dict": ({"epoch": 3, "model_state_dict": WEIGHTS}, "model_state_dict"),
    "optimizer": ({"optimizer": OPTIMIZER, "model": WEIGHTS, "loss": 0.1}, "model"),
    "lightning": ({"state_dict": prefixed("model."), "loops": {}}, "state_dict.model"),
    "a loss beside": (prefixed("net.") | {"loss.weight": torch.ones(10)}, "net"),
    "averaged": (averaged(), "module"),
    "a counter": (WEIGHTS | {"n_averaged": torch.tensor(3)}, None),
    "twice wrapped": ({"checkpoint": {"weights": WEIGHTS}}, "checkpoint.weights"),
    "numpy": ({"model": WEIGHTS, "best": np.float64(0.99), "array": np.arange(3)}, "model"),
    "namespace": ({"model": WEIGHTS, "args": argparse.Namespace(lr=np.float32(0.1))}, "model"),
    "values of Python": (
        {"model": WEIGHTS, "took": timedelta(1), "seen": {1}, "range": range(3), "root": 3j},
        "model",
    ),
    "a path": ({"state_dict": WEIGHTS, "dir": Path("x")}, "state_dict"),
    "plain values beside": (WEIGHTS | {"epoch": 3, "name": "mine"}, None),
}


class TestCheckpoints:
    @pytest.mark.parametrize("habit", HABITS)
    @pytest.mark.parametrize("zipped", [True, False])
    def test_others_habits_have_one_reading(self, tmp_path, caplog, habit, zipped):
        value, place = HABITS[habit]
        path = tmp_path / "mine.pth"
        torch.save(value, path, _use_new_zipfile_serialization=zipped)
        model, _ = load_checkpoint(path)
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, WEIGHTS[name])
        wanted = [f"{path}: its weights are those under {place}"] if place else []
        assert [record.message for record in caplog.records] == wanted

    @pytest.mark.parametrize("name", ["model.pth", "model.SAFETENSORS", "model.safetensors"])
    @pytest.mark.parametrize("save", [torch.save, safetensors.torch.save_file])
    def test_what_a_file_is_its_name_does_not_tell(self, tmp_path, name, save):
        save(WEIGHTS, tmp_path / name)
        model, card = load_checkpoint(tmp_path / name)
        assert card == {}
        assert all(torch.equal(model.state_dict()[name], WEIGHTS[name]) for name in WEIGHTS)

    @pytest.mark.parametrize(
        ("kind", "content"),
        [("a tar archive, which must be unpacked", "tar"), ("HDF5, as Keras", b"\x89HDF\r\n")],
    )
    def test_archives_and_other_libraries_files_are_named(self, tmp_path, kind, content):
        path = tmp_path / "mine.pth"
        if content == "tar":  # with a file of PyTorch's in it, which ends as a zip archive does
            torch.save(WEIGHTS, tmp_path / "model.pth")
            with tarfile.open(path, "w") as archive:
                archive.add(tmp_path / "model.pth", "model.pth")
        else:
            path.write_bytes(content)
        with pytest.raises(InputError, match=f"mine.pth is {kind}"):
            load_checkpoint(path)

    def test_a_runs_folder_and_its_state(self, capsys, short, tmp_path):
        options = ("--epochs", 2, "--val-size", 100, "--device", "cpu", "--runs-dir", tmp_path)
        code, _, _ = run(capsys, "train", "--data-dir", short.data_dir, *options)
        assert code == 0
        (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
        model, card = load_checkpoint(folder)
        assert card["data_set"] == {
            "name": short.data_dir.name,
            "class_names": list("0123456789"),
        }
        assert card["images"] == len(load_idx_part(short.data_dir, "train"))
        assert 0 < card["no_digit"]["limit"] < 1
        expected = torch.load(folder / "model.pth", weights_only=True)
        assert torch.equal(model.fc1.weight, expected["fc1.weight"])
        (folder / "model.pth").unlink()
        options = ("--data-dir", short.data_dir, "--checkpoint", folder, "--device", "cpu")
        code, out, _ = run(capsys, "evaluate", *options)
        assert code == 0
        assert f"{folder / 'state.pt'}: its weights are those under best_weights\n" in out
        model, card = load_checkpoint(folder)
        assert card == {}
        state = torch.load(folder / "state.pt", weights_only=True)
        assert torch.equal(model.fc1.weight, state["best_weights"]["fc1.weight"])

    @pytest.mark.parametrize("value", [[WEIGHTS, 3], ({"lr": 0.1}, WEIGHTS), {"all": [WEIGHTS]}])
    def test_lists_and_tuples(self, tmp_path, value):
        torch.save(value, tmp_path / "listed.pth")
        model, _ = load_checkpoint(tmp_path / "listed.pth")
        assert all(torch.equal(model.state_dict()[name], WEIGHTS[name]) for name in WEIGHTS)

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ([WEIGHTS, WEIGHTS], r"holds several such networks \(0, 1\); save"),
            (
                {"model": WEIGHTS, "ema": prefixed("module.")},
                r"holds several such networks \(.*model.*, .*ema\.module.*\); save the one that",
            ),
            (
                prefixed("module.", {**WEIGHTS, "fc2.bias": torch.zeros(9)}),
                r"fc2\.bias is \(9,\), but must be \(10,\)",
            ),
            (
                {"model": {k: v for k, v in WEIGHTS.items() if k != "fc2.bias"}},
                "fc2.bias is missing",
            ),
            (prefixed("module.") | {"module.fc3.bias": torch.ones(2)}, "fc3.bias is .*absent"),
            ({"model": torch.nn.Linear(3, 4).state_dict()}, "conv1.weight is missing"),
            ({"model": {k: v.long() for k, v in WEIGHTS.items()}}, "has torch.int64 in conv1"),
        ],
    )
    def test_where_there_is_none_or_several_the_true_reason(self, tmp_path, value, reason):
        path = tmp_path / "best_mnist_cnn.pth"
        torch.save(value, path)
        with pytest.raises(InputError, match=reason) as error:
            load_checkpoint(path)
        assert "git restore" not in str(error.value)  # which would restore another file

    def test_the_published_file_alone_is_restored(self, tmp_path, monkeypatch):
        path = tmp_path / "published.pth"
        monkeypatch.setattr("mnist_helpers.checkpoint.CHECKPOINT_PATH", path)
        path.write_text("spoilt")
        path.with_suffix(".json").write_text('{"sha256": spoilt')
        with pytest.raises(InputError, match=r"; `git restore published\.pth` or `mnist-helpers"):
            load_checkpoint(path)
        shutil.copy(CHECKPOINT_PATH, path)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(InputError, match=r"; `git restore published\.json` or `mnist-helpers"):
            load_checkpoint(Path("published.pth"))

    @pytest.mark.parametrize(
        ("write", "kind"),
        [
            (lambda path: torch.jit.script(make_model()).save(path), "TorchScript, so save the"),
            (
                lambda path: np.savez(path, **WEIGHTS),
                "an archive of NumPy's arrays, so",
            ),
            (
                lambda path: zipfile.ZipFile(path, "w").writestr("m.pth", b""),
                "a zip archive, which",
            ),
            (lambda path: path.write_text("<!doctype html><html>"), "a web page; give weights"),
            (
                lambda path: path.write_text("version https://git-lfs.gi"),
                "a pointer of Git LFS, not",
            ),
        ],
    )
    def test_what_holds_no_weights_of_torch_save_is_called_what_it_is(self, tmp_path, write, kind):
        path = tmp_path / "m.npz"
        with warnings.catch_warnings(action="ignore"):  # TorchScript is deprecated
            write(path)
        with pytest.raises(InputError, match=f"{path} is {kind}"):
            load_checkpoint(path)

    def test_a_dict_in_itself_and_a_deep_one_end(self, tmp_path):
        circle = {"conv1.weight": torch.zeros(1)}
        circle["again"] = circle
        shared = {"x": torch.zeros(1)}
        for _ in range(60):
            shared = {"a": shared, "b": shared}
        for value in (circle, shared):
            torch.save(value, tmp_path / "m.pth")
            with pytest.raises(InputError, match=r"conv1\.weight is"):
                load_checkpoint(tmp_path / "m.pth")

    def test_nothing_beside_the_weights_is_made(self, tmp_path):
        """Not even what NumPy would: a type as large as a gigabyte."""
        value = {"w": WEIGHTS, "x": np.zeros((), np.dtype("V100"))}
        torch.save(value, tmp_path / "m.pth")
        content = (tmp_path / "m.pth").read_bytes()
        assert content.count(b"V100") == 1
        (tmp_path / "m.pth").write_bytes(content.replace(b"V100", b"V9e9"))
        load_checkpoint(tmp_path / "m.pth")  # its sum is wrong, but no such type is asked for


# files that are called otherwise


def packed(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), "white").save(buffer, kind)
    return buffer.getvalue()


def box(brand: bytes, *others: bytes) -> bytes:
    """How a file of the ISO base media format begins (ISO/IEC 14496-12): size, ftyp, brands."""
    brands = brand + bytes(4) + b"".join(others)
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + b"\0\0\0\x08meta"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (box(b"heic", b"mif1", b"heic"), "HEIC"),
        (box(b"mif1", b"mif1", b"heic"), "HEIC"),
        (box(b"avif", b"avif", b"mif1"), ""),
        (packed("AVIF"), ""),
        (packed("PDF"), "PDF"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b'<?xml version="1.0"?>\n<!-- made -->\n<!DOCTYPE svg PUBLIC "x">\n<svg/>', "SVG"),
        ("\ufeff<?xml version='1.0' encoding='utf-16'?>\n<svg>".encode("utf-16-le"), "SVG"),
        ("<svg/>".encode("utf-16"), "SVG"),
        (gzip.compress(b"<svg/>", mtime=0), "packed with gzip, as SVGZ is"),
        (b"\xef\xbb\xbf <!doctype HTML><html><svg></svg></html>", "a web page"),
        (b'<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml">', "a web page"),
        (packed("PNG"), ""),
        (packed("JPEG"), ""),
        (packed("WEBP"), ""),
        (packed("PNG") + b"<svg> %PDF-1.4", ""),
        (b"", ""),
    ],
)
def test_a_kind_of_file_is_told_by_its_first_bytes(content, kind):
    assert file_kind(content) == kind


def test_a_zip_archive_is_told_from_others():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("digit.png", packed("PNG"))
    assert file_kind(buffer.getvalue()) == "a zip archive, which must be unpacked first"


def test_the_sum_in_a_card_is_that_of_the_wrapped_file(tmp_path):
    path = tmp_path / "mine.pth"
    torch.save({"model": WEIGHTS}, path)
    for content, loads in ((path.read_bytes(), True), (b"", False)):
        card = {"sha256": hashlib.sha256(content).hexdigest()}
        path.with_suffix(".json").write_text(json.dumps(card))
        if loads:
            assert load_checkpoint(path)[1] == card
        else:
            with pytest.raises(InputError, match=r"is not the file that mine\.json describes"):
                load_checkpoint(path)


def test_a_whole_run_on_a_folder_of_pictures(tmp_path):
    """Validation is taken from what is not held out: no image is in two parts."""
    write_pictures(tmp_path, list("0123456789"), range(70))
    splits = load_splits(tmp_path, val_size=10)
    images = torch.cat([part.tensors[0] for part in splits])
    assert len({bytes(image.numpy()) for image in images}) == 70
