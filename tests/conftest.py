"""What several test files share.

The process that only hands out the tests reads it, too: what takes seconds is imported below.
"""

from __future__ import annotations

import gzip
import multiprocessing
import os
import re
import signal
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing import Process

    import torch
    from playwright.sync_api import Browser

    from mnist_helpers import Config
    from mnist_helpers.data import Splits

PROGRESS = re.compile(r"loading PyTorch|[\w-]+(, cells)?: \d+ of \d+")  # lines on stderr
HANG = 600  # seconds: what takes longer hangs, on a slow and busy machine, too
LONGEST = [  # those that fork, in a fresh process; then the longest, which must not begin last
    "test_runs.py", "test_faults.py", "test_ranks.py", "test_stable.py", "test_browser.py",
    "MNIST-classifier.ipynb", "training_replay.ipynb",
    "conv_visualization.ipynb", "analysis.ipynb", "test_bad_input.py", "test_page.py",
    "test_site.py", "test_cli.py", "test_page_files.py", "test_explorer.py",
    "test_training.py", "test_found.py", "draw_digit.ipynb", "test_live.py", "test_security.py",
    "test_notebooks.py", "test_views.py", "load_model.ipynb", "test_drawing.py", "test_report.py",
]  # fmt: skip
# two cores are busy with four workers, of which two often wait for a browser or a kernel; what
# they start computes on one core, too
os.environ["OMP_NUM_THREADS"] = "1"
# a shell's background jobs ignore Ctrl-C, and would pass that on to the commands under test
signal.signal(signal.SIGINT, signal.default_int_handler)


def sentences(err: str) -> str:
    """What stands on stderr besides the lines of progress."""
    lines = err.splitlines(keepends=True)
    return "".join(line for line in lines if not PROGRESS.fullmatch(line.rstrip("\n")))


def slow(*values: object) -> object:
    """Values of a parameter that only make test-all tries."""
    return pytest.param(*values, marks=pytest.mark.slow)


def soak(*values: object) -> object:
    """Values of a parameter that only make soak tries."""
    return pytest.param(*values, marks=pytest.mark.soak)


def some_slow(views: list[str]) -> list:
    """Views as parameters: those that measure all images first are asked by make test-all."""
    long = ("top_images", "attribution", "confusion", "ablation", "neighbours")
    return [slow(view) if view in long else view for view in views]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the files that take longest, so that the workers end together."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else 99)


def no_bar(loss: torch.Tensor) -> None:
    """An on_step that shows nothing."""


def forked(work: Callable, *args: object) -> Process:
    """Starts `work(*args)` in a fork of this warm process."""
    process = multiprocessing.get_context("fork").Process(target=work, args=args)
    process.start()
    return process


def assert_same(actual: object, expected: object) -> None:
    """Tensors, or lists and dicts of them, are equal to the bit."""
    import torch

    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def marks(item: object) -> list:
    """All marks in a part of a scene."""
    if hasattr(item, "items"):
        return [mark for part in item.items for mark in marks(part)]
    return [item]


def rows(images: torch.Tensor) -> set[bytes]:
    """Images that can be looked up."""
    return {image.numpy().tobytes() for image in images}


def grey(images: torch.Tensor) -> np.ndarray:
    """Images (…, 1, 28, 28) as the bytes that MNIST's files hold, (…, 28, 28)."""
    return (images[..., 0, :, :] * 0.3081 + 0.1307).mul(255).round().byte().numpy()


def write_idx(path: Path, array: np.ndarray) -> None:
    """Writes bytes in the IDX form, by the format's description, not by the code under test."""
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wb") as file:
        file.write(header + array.astype(np.uint8).tobytes())


def write_data_set(folder: Path, splits: Splits, train: int, test: int = 300) -> None:
    """Writes the first images of each real part as a data set in MNIST's form."""
    for part, stem, count in ((splits.train, "train", train), (splits.test, "t10k", test)):
        images, labels = (tensor[:count] for tensor in part.tensors)
        write_idx(folder / f"{stem}-images-idx3-ubyte.gz", grey(images))
        write_idx(folder / f"{stem}-labels-idx1-ubyte.gz", labels.numpy())


def peak() -> int:
    """The largest memory of this process since the last call, or ever, in kB."""
    import resource  # here, for Windows has none

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return largest  # not on Linux
    return largest


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for the tests of a file: its loop would be in the way of another file's."""
    from browser import chromium

    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def splits() -> Splits:
    """The real data, as the notebooks load them."""
    from mnist_helpers import load_splits

    return load_splits()


@pytest.fixture(scope="session")
def few(splits) -> Splits:
    """The first images of each real part, for training runs of a second."""
    from torch.utils.data import TensorDataset

    from mnist_helpers.data import Splits

    return Splits(
        *(
            TensorDataset(*(t[:n] for t in part.tensors))
            for part, n in zip(splits, (700, 300, 300), strict=True)
        )
    )


@pytest.fixture(scope="session")
def small_data_dir(splits, tmp_path_factory) -> Path:
    """A data set in MNIST's form: 1,000 real training images and 300 real test images."""
    folder = tmp_path_factory.mktemp("small")
    write_data_set(folder, splits, 1000)
    return folder


@pytest.fixture
def seven(few, tmp_path) -> Path:
    """A picture of the first test image."""
    from PIL import Image

    path = tmp_path / "seven.png"
    Image.fromarray(255 - grey(few.test.tensors[0][0])).resize((112, 112)).save(path)
    return path


@pytest.fixture
def short(small_data_dir, tmp_path) -> Config:
    """A run of about a second."""
    from mnist_helpers import Config

    return Config(
        epochs=2,
        batch_size=50,
        val_size=100,
        device="cpu",
        data_dir=small_data_dir,
        model_save_path=tmp_path / "m.pth",
    )
