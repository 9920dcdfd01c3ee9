"""Data sets in the forms in which people keep them: found in a folder, and read as arrays."""

import glob
import gzip
import hashlib
import io
import itertools
import math
import re
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mnist_helpers.config import InputError, path_text
from mnist_helpers.files import decoding, file_kind, read_file, require_small

IMAGE_SIZE = 28
MOST_BYTES = 2**28  # of a file, and of what it unpacks to: more than the largest EMNIST of digits
PLACES = ("*", "/*", "/*/*", "/*/*/*")  # after data_dir; the first, if that is no folder
AGAIN = r"(?: ?\(\d+\))?"  # a browser's second download of a file
NAMES = (  # of files: their data set, whether they are of its test part, and what reads them
    r"(?s)(?P<set>.*?)[-_./]*(?:(?i:train|(?P<test>t10k|test))(?:"
    r"(?P<idx>[-_.](?P<what>images|labels)[-_.]idx\d[-_.](?:ubyte|int)"
    rf"(?:[^/]*/(?:train|t10k|test)[-_.](?P=what)[^/]*?)?{AGAIN}(?:\.gz)*{AGAIN})"
    rf"|(?P<table>{AGAIN}\.csv{AGAIN})"
    r"|(?:ing)?(?:[-_ ]?(?i:set|images|data))?/[^/]+(?=/))"
    r"|(?<=/)\d(?=/)|(?<=mnist\.npz)(?P<arrays>))(?P<pictures>/[^/]+\.(?i:png|jpe?g|bmp|gif|tiff?|webp))?"
)
ORIGINALS = {  # md5 sums by the folder's name, as torchvision.datasets has them
    "MNIST": {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    "FashionMNIST": {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    "KMNIST": {
        "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
    },
}
CLASSES = {  # names of the classes
    "MNIST": "0,1,2,3,4,5,6,7,8,9",
    "FashionMNIST": "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot",
    "KMNIST": "o,ki,su,tsu,na,ha,ma,ya,re,wo",
}
TYPES = {  # of IDX files, by their first four bytes; QMNIST's labels are whole numbers of 32 bits
    b"\0\0\x08\x01": "u1", b"\0\0\x08\x03": "u1", b"\0\0\x0c\x02": ">i4",
}  # fmt: skip
REMEDY = "put the original back (MNIST's: `mnist-helpers download` or git restore MNIST-Data)"
OTHER = (
    "give images of 28 × 28 pixels, each with a label from 0 to 9, as data_dir, or get MNIST by "
    "`mnist-helpers download` (in the collection, git restore MNIST-Data)"
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


def find_source(data_dir: Path) -> Source:
    """The one data set in `data_dir`, or at most two folders below it.

    Of several in a folder, `data_dir` may name one by how the names of its files begin.

    Raises:
        InputError: there is none, or there are several.
    """
    sets = {}
    with decoding(data_dir, "can't be searched", "give another folder as data_dir"):
        folder = Path(data_dir).expanduser().absolute()
        start = folder.as_posix()
        for place in PLACES[folder.is_dir() :]:
            for path in map(Path, sorted(glob.glob(glob.escape(start) + place))):
                match = re.fullmatch(NAMES, path.as_posix())
                if match and not path.is_dir():
                    files = sets.setdefault(match["set"], (match.lastgroup, [], []))
                    files[1 + bool(match["test"])].append(path)
    if start in sets:
        sets = {start: sets[start]}
    if not sets:
        raise InputError(f"{data_dir} holds no data set; {OTHER}.")
    if len(sets) > 1:
        names = ", ".join(sorted(sets)[:20])
        raise InputError(f"{data_dir} holds {len(sets)} data sets; give one as data_dir: {names}.")
    _, (kind, train, test) = sets.popitem()
    if kind == "table":
        test = list(filter(is_labelled, test))  # Kaggle's isn't
    if kind != "idx":
        test = test or train
    return Source(kind, train, test)


def class_names(source: Source) -> list[str]:
    """The names of the classes, by label: digits, or what the folders of pictures are called."""
    names = sorted({path.parent.name for path in source.train + source.test})
    if source.kind != "pictures" or "".join(names).isdigit():
        return list("0123456789")
    return names


def read_idx_files(source: Source, part: str) -> Arrays:
    """MNIST, Fashion-MNIST, KMNIST, QMNIST, and EMNIST, whose images are stored transposed."""
    paths = {}
    for path in getattr(source, part):  # packed ones are last: they can be checked
        paths[re.search("images|labels", path.name)[0]] = path
    images = read_idx(paths["images"]).numpy()
    if paths["images"].name.startswith("emnist"):
        images = images.swapaxes(1, 2)
    return images, read_idx(paths["labels"]).numpy()


def read_idx(path: Path) -> Tensor:
    """Reads one IDX file, packed with gzip or not, as a tensor (N,), (N, 8) or (N, H, W).

    torchvision's own reader first unpacks 54 MB into the folder.
    Format: two zero bytes, a type byte (8: unsigned), the number of dimensions, each dimension as a
    big-endian 32-bit integer, then the values (LeCun, Cortes and Burges, "The MNIST database",
    1998).

    Raises:
        InputError: the file is damaged; the message names its md5 sum, and the right one where it
            is known.
    """
    content = read_file(path, MOST_BYTES, REMEDY)
    known = ORIGINALS.keys() & set(path.parts[-3:])  # a data set, told by the folder's name
    original = ORIGINALS.get("".join(known), {}).get(path.name)
    told = f"md5 sum {checksum(content)}"
    if original:
        told += f", not {original}"
    with decoding(path, f"({told}) is no whole IDX file", REMEDY):
        sums = []
        while content.startswith(b"\x1f\x8b") and len(sums) < 2:  # whatever its name says
            sums.append(checksum(content))
            file = gzip.GzipFile(fileobj=io.BytesIO(content))
            # a MiB at a time, no more than may be read, and a header: as much memory as it has
            content = b"".join(itertools.islice(iter(partial(file.read, 2**20), b""), 257))
        if sums and original and original not in sums:
            raise InputError(f"{path} is not the original ({told}); {REMEDY}.")
        kind = TYPES.get(content[:4])
        if not kind:
            raise ValueError(f"it is {file_kind(content) or 'something else'}")
        shape = np.frombuffer(content, ">u4", content[3], 4).tolist()
        values = np.frombuffer(content, kind, offset=4 + 4 * len(shape))
        if len(values) != math.prod(shape):
            raise ValueError(f"its header says {shape}, its length otherwise")
        values = values.reshape(shape).astype(kind.strip(">"))
        if len(shape) == 2:
            values = values[:, 0]  # QMNIST tells where a digit is from, too
        return torch.from_numpy(values)


def checksum(content: bytes) -> str:
    """The md5 sum that is published with data."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def read_table(source: Source, part: str) -> Arrays:
    """Kaggle's CSV: in a line a label and 784 pixels; a header begins with label."""
    content = read_file(getattr(source, part)[0], MOST_BYTES, OTHER)
    content = io.BytesIO(content.removeprefix(b"\xef\xbb\xbf"))  # a mark of UTF-8
    header = ["l", "L", '"']  # taken as a comment
    table = np.loadtxt(content, np.uint8, comments=header, delimiter=",", ndmin=2)
    if not table[:, 0].any():
        raise ValueError("its first column holds no labels but zeros")
    return table[:, 1:].reshape(-1, IMAGE_SIZE, IMAGE_SIZE), table[:, 0]


def is_labelled(path: Path) -> bool:
    """Whether a CSV has a column more than there are pixels."""
    return read_file(path, MOST_BYTES, OTHER).partition(b"\n")[0].count(b",") == IMAGE_SIZE**2


def read_arrays(source: Source, part: str) -> Arrays:
    """Keras' mnist.npz: x_train, y_train, x_test and y_test."""
    content = io.BytesIO(read_file(source.train[0], MOST_BYTES, OTHER))
    require_small(content, MOST_BYTES)
    with np.load(content, allow_pickle=False) as arrays:
        return arrays[f"x_{part}"], arrays[f"y_{part}"]


def read_pictures(source: Source, part: str) -> Arrays:
    """Pictures in a folder a class, in grey."""
    from PIL import Image  # here, for few data sets are pictures

    images = []
    labels = []
    names = class_names(source)
    for path in getattr(source, part):
        content = io.BytesIO(read_file(path, MOST_BYTES, OTHER))
        with decoding(path, "can't be read", OTHER), Image.open(content) as picture:
            if picture.size != (IMAGE_SIZE, IMAGE_SIZE):
                raise ValueError(f"it has {picture.width} × {picture.height} pixels")
            images.append(np.asarray(picture.convert("L")))
            labels.append(names.index(path.parent.name))
    return np.stack(images), np.array(labels)


READERS = {
    "idx": read_idx_files,
    "table": read_table,
    "arrays": read_arrays,
    "pictures": read_pictures,
}


def about_data(data_dir: Path, part: str) -> dict[str, object]:
    """The name of "train" or "test", by md5 sums if they are known, and those of its classes.

    Raises:
        InputError: there is none.
    """
    source = find_source(data_dir)
    sums = set()
    for path in getattr(source, part)[:9]:  # more are pictures
        sums.add(checksum(read_file(path, MOST_BYTES, REMEDY)))
    for name, originals in ORIGINALS.items():
        if len(sums.intersection(originals.values())) == 2:  # of images and labels
            return {"name": name, "class_names": CLASSES[name].split(",")}
    name = path_text(Path(data_dir).absolute()).rpartition("/")[2]
    return {"name": name, "class_names": class_names(source)}
