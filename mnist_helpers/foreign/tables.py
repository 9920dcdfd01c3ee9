"""Data sets in tables and in NumPy's arrays: what holds the images there, and what the labels."""

import gzip
import io
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mnist_helpers.files import read_file, require_small

IMAGE_SIZE = 28
MOST_BYTES = 2**28  # of a file, and of what it unpacks to: more than the largest EMNIST of digits
LABEL = "label|class|target|y|digit"  # what a column of labels is called
OTHER = (
    "give images of 28 × 28 pixels (in NumPy's files as uint8), each with a label from 0 to 9, as "
    "data_dir: IDX files, CSV, .npz, .npy, or pictures in a folder for each class, unpacked; or "
    "get MNIST by `mnist-helpers download` (in the collection, git restore MNIST-Data)"
)
Arrays = tuple[np.ndarray, np.ndarray]  # images and labels, unchecked


class Source(NamedTuple):
    """A data set on disk.

    Attributes:
        kind: what reads it, one of READERS.
        train: the files of its training part.
        test: those of its test part; the same, where all images lie in one place.
    """

    kind: str
    train: list[Path]
    test: list[Path]


def unpacked(content: bytes) -> list[bytes]:
    """The content of a file, and what it unpacks to, twice at most and whatever its name says."""
    contents = [content]
    while contents[-1].startswith(b"\x1f\x8b") and len(contents) < 3:
        file = gzip.GzipFile(fileobj=io.BytesIO(contents[-1]))
        # a MiB at a time, no more than may be read, and a header: as much memory as it has
        contents.append(b"".join(file.read(2**20) for _ in range(257)))
    return contents


def read_table(source: Source, part: str) -> Arrays:
    """A CSV: 784 pixels a line, and a label before or after them, or where a header says so."""
    content = table_content(getattr(source, part)[0])
    names = first_line(content)
    header = int(len(names) == len(set(names)))  # of 784 pixels some are alike
    lines = io.BytesIO(content)
    table = np.loadtxt(lines, np.float32, None, ",", skiprows=header, ndmin=2, quotechar='"')
    if names[0] in ("", "id"):  # the number of a line
        names = names[1:]
        table = table[:, 1:]
    columns = [column for column, name in enumerate(names) if re.fullmatch(LABEL, name)]
    columns = columns or [column for column in (0, -1) if is_label(table[:, column])]
    if len(columns) != 1:
        raise ValueError("which column holds the labels isn't plain; call it label in a first line")
    return to_bytes(np.delete(table, columns, axis=1)), table[:, columns[0]]


def table_content(path: Path) -> bytes:
    """The content of a CSV, packed or not, with commas for semicolons and tabs."""
    content = unpacked(read_file(path, MOST_BYTES, OTHER))[-1]
    content = content.removeprefix(b"\xef\xbb\xbf")  # a mark of UTF-8
    return content.translate(bytes.maketrans(b";\t", b",,"))


def first_line(content: bytes) -> list[str]:
    """What stands in the first line of a CSV, in lower case."""
    line = content.partition(b"\n")[0].decode(errors="replace")
    return [value.strip('" \r') for value in line.lower().split(",")]


def is_label(values: np.ndarray) -> bool:
    """Whether a column holds digits; one of zeros is the corner of images."""
    return set(values.tolist()).issubset(range(10)) and values.any()


def is_labelled(path: Path) -> bool:
    """Whether a CSV has a column more than there are pixels."""
    return len(first_line(table_content(path))) > IMAGE_SIZE**2


def read_arrays(source: Source, part: str) -> Arrays:
    """NumPy's arrays: of the two that are of the part the larger one is of images."""
    arrays = load_arrays(getattr(source, part))
    names = list(arrays)
    if re.search("(?i)train|test", str(names)):
        names = [name for name in names if part in name.lower()]
    if len(names) != 2:
        raise ValueError(f"not one array of images and one of labels for {part}: {[*arrays]}")
    labels, images = sorted(map(arrays.get, names), key=np.size)
    return to_bytes(images), labels.squeeze().astype(float)


def load_arrays(paths: list[Path]) -> dict[str, np.ndarray]:
    """The arrays in .npz files by their names, and those of .npy files by the file's."""
    arrays = {}
    for path in paths:
        content = io.BytesIO(read_file(path, MOST_BYTES, OTHER))
        if path.suffix == ".npz":
            require_small(content, MOST_BYTES)
        loaded = np.load(content, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            loaded = {path.name: loaded}
        arrays.update(loaded)
    return arrays


def to_bytes(pixels: np.ndarray) -> np.ndarray:
    """Images (N, 28, 28) in 0..255 of pixels that are up to that, or up to 1."""
    low = pixels.min(initial=0)
    top = pixels.max(initial=0)
    if low or top > 255 or 1 < top < 100:
        raise ValueError(f"pixels are from {low} to {top}, but must be from 0 to 255, or to 1")
    if top <= 1:
        pixels = 255.0 * pixels
    return pixels.round().astype(np.uint8).reshape(-1, IMAGE_SIZE, IMAGE_SIZE)
