"""Data sets in the forms in which people keep them: found in a folder, and read as arrays."""

import glob
import hashlib
import io
import math
import re
from pathlib import Path

import numpy as np

from mnist_helpers.config import InputError, log, path_text
from mnist_helpers.files import decoding, file_kind, read_file
from mnist_helpers.foreign.tables import (
    IMAGE_SIZE,
    MOST_BYTES,
    OTHER,
    Arrays,
    Source,
    is_labelled,
    read_arrays,
    read_table,
    unpacked,
)

PLACES = ("*", "/*", "/*/*", "/*/*/*")  # after data_dir; the first, if that is no folder
# parts of the names of files, as patterns in which spaces count only after a \\
SET = r"(?sx) (?P<set> .*? ) [-_./]*"  # how the names of a data set begin
PART = r"(?i: train | (?P<test> t10k | test ) )"
NONE = r"(?P<test> (?!) )?"  # no test part is told by a name
COPY = r"(?: \ ?\(\d+\) | \ -\ \w+ | \.\d )?"  # " (1)", " - Copy", ".1": of a second download
PICTURE = r"[^/]+ \. (?i: png | jpe?g | bmp | gif | tiff? | webp | avif | p[gp]m )"
NAMES = {  # by what reads them, one of READERS
    "idx": rf"""{SET} {PART} [-_.] (?P<what> images | labels ) [-_.] idx\d [-_.] (?: ubyte | int )
        (?: [^/]* / (?: train | t10k | test ) [-_.] (?P=what) [^/]*? )?  # in a folder called so
        {COPY} (?i: \.gz )* {COPY}""",
    "table": rf"""{SET} {PART} (?: ing )? (?: [-_ ]? (?i: set | data ) )?
        {COPY} (?i: \.[ct]sv ) (?: \.gz )? {COPY}""",
    "arrays": rf"(?sx) (?P<set> .* mnist\.npz ) {NONE}",
    "array files": rf"""(?sx) (?P<set> .* ) / (?: [^/]* (?= [^/]* \Z ) )? {PART}
        (?: /? [^/]* \.npy | [-_ ]? (?i: set | data )? \.npz )""",  # train/x.npy, x_train.npy
    "pictures": rf"""{SET}
        (?: {PART} (?: ing )? (?: [-_ ]? (?i: set | images | data ) )? / [^/]+  # training_set/3
          | (?<=/) \d ) / {PICTURE}""",
}
OTHERS = {  # where there is no such file: of any name, and pictures in a folder a class
    "pictures": rf"""{SET} /
        (?! (?i: train | test | val | images? | data | unlabel+ed ) / ) [^/]+ / {PICTURE} {NONE}""",
    "table": rf"(?sx) (?P<set> .* (?i: \.[ct]sv ) (?: \.gz )? ) {NONE}",
    "arrays": rf"(?sx) (?P<set> .* \.npz ) {NONE}",
    "array files": rf"(?sx) (?P<set> .* ) / [^/]* \.npy {NONE}",
}
# of the files that torchvision.datasets has, and then of what they unpack to, as md5sum writes them
SUMS = """\
f68b3c2dcbeaaa9fbdd348bbdeb94873  MNIST/train-images-idx3-ubyte.gz
d53e105ee54ea40749a09fcbcd1e9432  MNIST/train-labels-idx1-ubyte.gz
9fb629c4189551a2d022fa330f9573f3  MNIST/t10k-images-idx3-ubyte.gz
ec29112dd5afa0611ce80d1b7f02629c  MNIST/t10k-labels-idx1-ubyte.gz
6bbc9ace898e44ae57da46a324031adb  MNIST/train-images-idx3-ubyte.gz
a25bea736e30d166cdddb491f175f624  MNIST/train-labels-idx1-ubyte.gz
2646ac647ad5339dbf082846283269ea  MNIST/t10k-images-idx3-ubyte.gz
27ae3e4e09519cfbb04c329615203637  MNIST/t10k-labels-idx1-ubyte.gz
8d4fb7e6c68d591d4c3dfef9ec88bf0d  FashionMNIST/train-images-idx3-ubyte.gz
25c81989df183df01b3e8a0aad5dffbe  FashionMNIST/train-labels-idx1-ubyte.gz
bef4ecab320f06d8554ea6380940ec79  FashionMNIST/t10k-images-idx3-ubyte.gz
bb300cfdad3c16e7a12a480ee83cd310  FashionMNIST/t10k-labels-idx1-ubyte.gz
f4a8712d7a061bf5bd6d2ca38dc4d50a  FashionMNIST/train-images-idx3-ubyte.gz
9018921c3c673c538a1fc5bad174d6f9  FashionMNIST/train-labels-idx1-ubyte.gz
8181f5470baa50b63fa0f6fddb340f0a  FashionMNIST/t10k-images-idx3-ubyte.gz
15d484375f8d13e6eb1aabb0c3f46965  FashionMNIST/t10k-labels-idx1-ubyte.gz
bdb82020997e1d708af4cf47b453dcf7  KMNIST/train-images-idx3-ubyte.gz
e144d726b3acfaa3e44228e80efcd344  KMNIST/train-labels-idx1-ubyte.gz
5c965bf0a639b31b8f53240b1b52f4d7  KMNIST/t10k-images-idx3-ubyte.gz
7320c461ea6c1c855c0b718fb2a4b134  KMNIST/t10k-labels-idx1-ubyte.gz
"""
ORIGINALS = dict(map(str.split, SUMS.splitlines()))
CLASSES = {  # names of the classes
    "MNIST": "0,1,2,3,4,5,6,7,8,9",
    "FashionMNIST": "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot",
    "KMNIST": "o,ki,su,tsu,na,ha,ma,ya,re,wo",
}
WORDS = "zero one two three four five six seven eight nine"
TYPES = {  # of IDX files, by their first four bytes; QMNIST's labels are whole numbers of 32 bits
    b"\0\0\x08\x01": "u1", b"\0\0\x08\x03": "u1", b"\0\0\x0c\x02": ">i4",
}  # fmt: skip
REMEDY = "put the original back (MNIST's: `mnist-helpers download` or git restore MNIST-Data)"


def find_sets(folder: Path) -> dict[str, Source]:
    """The data sets in `folder`, by how the names of their files begin."""
    start = glob.escape(folder.as_posix())
    paths = []
    for place in PLACES[folder.is_dir() :]:
        paths += sorted(glob.glob(start + place))
    sets = sort_files(paths, NAMES) or sort_files(paths, OTHERS)
    if not sets:
        folder.stat()  # an error, where there is nothing of that name
    return sets


def sort_files(paths: list[str], patterns: dict[str, str]) -> dict[str, Source]:
    """The data sets of the files whose names match one of `patterns`."""
    sets = {}
    for kind, pattern in patterns.items():
        for path in map(Path, paths):
            match = re.fullmatch(pattern, path.as_posix())
            if match and not path.is_dir():
                source = sets.setdefault(match["set"], Source(kind, [], []))
                part = source.train
                if match["test"]:
                    part = source.test
                if source.kind == kind:
                    part.append(path)
    return sets


def find_source(data_dir: Path) -> Source:
    """The one data set in `data_dir`, or at most two folders below it.

    Of several in a folder, `data_dir` may name one by how the names of its files begin.

    Raises:
        InputError: there is none, or there are several.
    """
    with decoding(data_dir, "can't be searched", OTHER):
        folder = Path(data_dir).expanduser().absolute()
        sets = find_sets(folder)
    if not sets:
        raise InputError(f"{data_dir} holds no data set; {OTHER}.")
    start = folder.as_posix()
    if len(sets) > 1 and start not in sets:
        raise InputError(
            f"{data_dir} holds {len(sets)} data sets; "
            f"give one as data_dir: {', '.join(sorted(sets)[:20])}."
        )
    source = sets.get(start) or sets.popitem()[1]
    test = source.test
    with decoding(data_dir, "can't be read", OTHER):
        if source.kind == "table":
            test = list(filter(is_labelled, test))  # Kaggle's isn't
    if source.kind != "idx":
        test = test or source.train
    return source._replace(test=test)


def class_names(source: Source) -> list[str]:
    """The names of the classes, by label: digits, or what the folders of pictures are called."""
    names = sorted(set(map(class_of, source.train + source.test)))
    digits = list("0123456789")
    if source.kind != "pictures" or set(names).issubset(digits):
        return digits
    return names


def class_of(path: Path) -> str:
    """The class of a picture: what its folder is called, or the digit of an English word."""
    name = path.parent.name
    digits = dict(zip(WORDS.split(), "0123456789", strict=True))
    return digits.get(name.lower(), name)


def read_idx_files(source: Source, part: str) -> Arrays:
    """MNIST, Fashion-MNIST, KMNIST, QMNIST and EMNIST."""
    files = getattr(source, part)  # packed ones are last: they can be checked
    paths = {re.search("images|labels", path.name)[0]: path for path in files}
    return read_idx(paths["images"]), read_idx(paths["labels"])


def read_idx(path: Path) -> np.ndarray:
    """Reads one IDX file, packed with gzip or not, as an array (N,) or (N, H, W).

    torchvision's own reader first unpacks 54 MB into the folder.
    Format: two zero bytes, a type byte (8: unsigned), the number of dimensions, each dimension as a
    big-endian 32-bit integer, then the values (LeCun, Cortes and Burges, "The MNIST database",
    1998).

    Raises:
        InputError: the file is damaged; the message names its md5 sum, and the right one where it
            is known.
    """
    content = read_file(path, MOST_BYTES, REMEDY)
    places = {f"{folder}/{path.name}" for folder in path.parts[-3:-1]}
    originals = [total for total, place in ORIGINALS.items() if place in places]
    told = f"md5 sum {checksum(content)}"
    if originals:
        told += f", not {originals[0]}"
    with decoding(path, f"({told}) is not a complete IDX file", REMEDY):
        *packed, content = contents = unpacked(content)
        if packed and originals and set(originals).isdisjoint(map(checksum, contents)):
            raise InputError(f"{path} is not the original ({told}); {REMEDY}.")
        kind = TYPES.get(content[:4])
        if not kind:
            raise ValueError(f"it is {file_kind(content) or 'something else'}")
        shape = np.frombuffer(content, ">u4", content[3], 4).tolist()
        values = np.frombuffer(content, kind, offset=4 + 4 * len(shape))
        if len(values) != math.prod(shape):
            raise ValueError(f"its header says {shape}, but its length does not match")
        values = values.reshape(shape).astype(kind.strip(">"))
        if len(shape) == 2:
            values = values[:, 0]  # QMNIST tells where a digit is from, too
        return values


def checksum(content: bytes) -> str:
    """The md5 sum that is published with data."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def read_pictures(source: Source, part: str) -> Arrays:
    """Pictures in a folder a class, in grey."""
    from PIL import Image  # here, for few data sets are pictures

    images = []
    labels = []
    names = class_names(source)
    for folder in (source.train + source.test)[0].parent.parent.iterdir():
        if names[0] == "0" and re.fullmatch(r"\d\d+", folder.name):
            raise InputError(f"{folder} is no class, for those are 0 to 9; move it elsewhere.")
    if len(names) == 1:
        raise ValueError("they are all of one class; each class needs a folder of its own")
    for path in getattr(source, part):
        content = io.BytesIO(read_file(path, MOST_BYTES, OTHER))
        with decoding(path, "can't be read", OTHER), Image.open(content) as picture:
            if picture.size != (IMAGE_SIZE, IMAGE_SIZE):
                raise ValueError(f"it has {picture.width} × {picture.height} pixels")
            values = np.asarray(picture.convert("RGBA").convert("LA"), int)
            grey = 255 + (values[..., 0] - 255) * values[..., 1] // 255  # on white
            if grey.min() == 255:
                grey = values[..., 1]  # such as white ink on nothing
            images.append(grey.astype(np.uint8))
            labels.append(names.index(class_of(path)))
    return np.stack(images), np.array(labels)


READERS = {
    "idx": read_idx_files,
    "table": read_table,
    "arrays": read_arrays,
    "array files": read_arrays,
    "pictures": read_pictures,
}


def about_data(data_dir: Path, part: str) -> dict[str, object]:
    """The name of "train" or "test", by md5 sums if they are known, and those of its classes.

    Raises:
        InputError: there is none.
    """
    source = find_source(data_dir)
    places = set()
    for path in getattr(source, part)[:9]:  # more are pictures
        with decoding(path, "can't be unpacked", REMEDY):
            contents = unpacked(read_file(path, MOST_BYTES, REMEDY))
            places.update(map(ORIGINALS.get, map(checksum, contents)))
    for name, classes in CLASSES.items():
        if str(places).count(f"'{name}/") == 2:  # images and labels
            return {"name": name, "class_names": classes.split(",")}
    name = path_text(Path(data_dir).absolute().name)
    return {"name": name, "class_names": class_names(source)}


def tell_data(data_dir: Path, card: dict) -> None:
    """Says which data set it is, and where the card of a checkpoint names another.

    Raises:
        InputError: there is none.
    """
    about = about_data(data_dir, "test")
    log.info("data set %s, in %s", about["name"], data_dir)
    trained = card.get("data_set", about)
    if trained != about:
        log.warning(
            "the checkpoint's card names another data set, %(name)s: %(class_names)s", trained
        )
