"""MNIST and its relatives: IDX files to tensors, the three parts, batches, augmentation."""

import gzip
import hashlib
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, TensorDataset

from mnist_helpers.config import DATA_DIR, Config, InputError
from mnist_helpers.files import decoding, read_file

MEAN = 0.1307  # of all training pixels in [0, 1]
STD = 0.3081  # the same
BACKGROUND = -MEAN / STD  # a normalised black pixel
IMAGE_SIZE = 28
MOST_BYTES = 2**28  # of a file, and of what it unpacks to: more than the largest EMNIST of digits
PLACES = ("", "*/", "*/*/")  # in data_dir, where the files may lie: not in all of a disk
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
STEMS = {"train": ("train",), "test": ("t10k", "test")}  # of the files' names
REMEDY = "put the original back (MNIST's: `mnist-helpers download` or git restore MNIST-Data)"
OTHER = "give images of 28 × 28 pixels, each with a label from 0 to 9, as data_dir"


class Splits(NamedTuple):
    """The three parts: each has `images` (N, 1, 28, 28), normalised, and `labels` (N,) in 0..9."""

    train: TensorDataset
    val: TensorDataset
    test: TensorDataset


def normalise(pixels: Tensor) -> Tensor:
    """Turns uint8 `pixels` (N, 28, 28) into float32 images (N, 1, 28, 28), mean 0, variance 1."""
    return pixels.unsqueeze(1).float().div_(255).sub_(MEAN).div_(STD)


def read_idx(path: Path) -> Tensor:
    """Reads one IDX file of bytes, packed with gzip or not, as a uint8 tensor (N,) or (N, H, W).

    torchvision's own reader first unpacks 54 MB beside the archives; this one needs no writable
    folder.
    Format: two zero bytes, a type byte (8: unsigned), the number of dimensions, each dimension as a
    big-endian 32-bit integer, then the values (LeCun, Cortes and Burges, "The MNIST database",
    1998).

    Raises:
        InputError: the file is damaged; the message names its md5 sum, and the right one where it
            is known.
    """
    content = read_file(path, MOST_BYTES, REMEDY)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    known = ORIGINALS.keys() & set(path.parts[-3:])  # data sets, told by the folder's name
    original = None
    if len(known) == 1:
        original = ORIGINALS[known.pop()].get(path.name)
    if original and md5 != original:
        raise InputError(
            f"{path} is not the original: its md5 sum is {md5}, not {original}; {REMEDY}."
        )
    with decoding(path, f"(md5 sum {md5}) is no whole IDX file", REMEDY):
        file = io.BytesIO(content)
        if path.suffix == ".gz":
            file = gzip.GzipFile(fileobj=file)
        magic = file.read(4)
        if magic not in (b"\0\0\x08\x01", b"\0\0\x08\x03"):
            raise ValueError("it does not begin as one")
        shape = np.frombuffer(file.read(4 * magic[3]), ">u4").tolist()
        size = math.prod(shape)
        values = b""
        if size <= MOST_BYTES:
            # no more is unpacked than the header says, and one byte, which must not be there
            values = file.read(size + 1)
        if len(values) != size:
            raise ValueError(f"its header says {shape}, its length otherwise")
        return torch.from_numpy(np.frombuffer(values, np.uint8).reshape(shape).copy())


def load_idx_part(data_dir: Path, part: str) -> TensorDataset:
    """Loads "train" or "test" from the IDX files in `data_dir` or at most two folders below it.

    Knows the file names of MNIST, Fashion-MNIST, KMNIST and EMNIST (whose images are stored
    transposed).

    Raises:
        InputError: a file is missing or damaged, or the images and labels don't fit the model or
            each other.
    """
    images_path = _find_idx(data_dir, part, "images-idx3")
    labels_path = _find_idx(data_dir, part, "labels-idx1")
    pixels = read_idx(images_path)
    labels = read_idx(labels_path)
    if labels.ndim != 1 or pixels.shape != (len(labels), IMAGE_SIZE, IMAGE_SIZE):
        shapes = f"{tuple(pixels.shape)} and {tuple(labels.shape)}"
        raise InputError(
            f"{images_path} and {labels_path.name} have shapes {shapes}, not (N, 28, 28) and (N,); "
            f"{OTHER}."
        )
    if not len(labels):
        raise InputError(f"{images_path} holds no image; {OTHER}.")
    if labels.max() > 9:
        raise InputError(f"{labels_path} has labels up to {labels.max()}; {OTHER}.")
    if images_path.name.startswith("emnist"):
        pixels = pixels.transpose(1, 2)
    return TensorDataset(normalise(pixels), labels.long())


def _find_idx(data_dir: Path, part: str, kind: str) -> Path:
    """The one file of that kind; the packed one where both lie there: its content can be checked.

    Raises:
        InputError: there is none, or one of each of several data sets.
    """
    paths = []
    with decoding(data_dir, "can't be searched", "give another folder as data_dir"):
        for place in PLACES:
            for stem in STEMS[part]:
                paths += data_dir.glob(f"{place}*{stem}-{kind}-ubyte*")
    paths = [path for path in paths if not path.is_dir()]
    if not paths:
        raise InputError(
            f"{data_dir} holds no file *{STEMS[part][0]}-{kind}-ubyte.gz; give a folder with the "
            "four files of MNIST as data_dir, or get them with `mnist-helpers download` "
            "(in the collection, git restore MNIST-Data)."
        )
    count = len({str(path).removesuffix(".gz") for path in paths})
    if count > 1:
        raise InputError(f"{data_dir} holds {count} data sets; give a folder with one as data_dir.")
    return max(paths)


def split_indices(
    labels: Tensor, val_size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Splits 0..N-1 at random into train and val (val_size,), each class with its share."""
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    # evenly spaced, so evenly over the classes
    held_out[torch.arange(val_size) * len(labels) // val_size] = True
    train = by_class[~held_out].sort().values  # in the order of the file
    val = by_class[held_out].sort().values
    return train, val


def load_splits(
    data_dir: Path = DATA_DIR, val_size: int = Config.val_size, seed: int = Config.seed
) -> Splits:
    """Loads the training file, split by `seed` into train and validation, and the test file.

    Raises:
        InputError: as `load_idx_part`, or `val_size` leaves no image to train on.
    """
    data_dir = Path(data_dir)
    images = load_idx_part(data_dir, "train")
    if val_size >= len(images):
        raise InputError(
            f"val_size is {val_size}, but {data_dir} has only {len(images)} training images."
        )
    train, val = split_indices(images.tensors[1], val_size, torch.Generator().manual_seed(seed))
    return Splits(
        TensorDataset(*images[train]),
        TensorDataset(*images[val]),
        load_idx_part(data_dir, "test"),
    )


class BatchIndices(Sampler[Tensor]):
    """The indices of one batch after another, as tensors, in a new order for each pass.

    So a data set is indexed where it lies.
    """

    def __init__(self, count: int, batch_size: int, shuffle: torch.Generator) -> None:
        self.count = count
        self.batch_size = batch_size
        self.shuffle = shuffle

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(self.count, generator=self.shuffle, device=self.shuffle.device)
        yield from order.split(self.batch_size)  # drawn once, though worker processes ask twice


def make_loader(
    dataset: TensorDataset, batch_size: int, shuffle: torch.Generator, num_workers: int = 0
) -> DataLoader:
    """Batches of `dataset` as (images, labels), in an order that `shuffle` draws for each pass."""
    # batch_size=None: the sampler's whole tensor of indices goes to the data set at once
    indices = BatchIndices(len(dataset), batch_size, shuffle)
    return DataLoader(dataset, sampler=indices, batch_size=None, num_workers=num_workers)


def random_affine(images: Tensor, amounts: Tensor, config: Config) -> Tensor:
    """Turns, scales, shears and shifts `images` (N, 1, 28, 28), at most as far as `config` says.

    What comes in from outside the frame is background.

    Args:
        amounts: (N, 5) in [-1, 1]: of rotation, scaling, shear, and translation along x and y.
    """
    angle = amounts[:, 0] * math.radians(config.rotation)
    scale = 1 + amounts[:, 1] * config.scaling
    shear = amounts[:, 2] * config.shear
    shift = amounts[:, 3:] * config.translation * 2 / IMAGE_SIZE  # affine_grid's frame is 2 wide
    cos = angle.cos() / scale
    sin = angle.sin() / scale
    rows = torch.stack(
        [cos, shear * cos - sin, shift[:, 0], sin, shear * sin + cos, shift[:, 1]], dim=1
    )
    grid = F.affine_grid(rows.view(-1, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images - BACKGROUND, grid, align_corners=False).add_(BACKGROUND)
