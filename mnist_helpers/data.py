"""MNIST and its relatives as tensors: the three parts, batches, augmentation."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from mnist_helpers.config import DATA_DIR, Config, InputError, log
from mnist_helpers.files import decoding
from mnist_helpers.foreign.readers import IMAGE_SIZE, OTHER, READERS, Source, find_source
from mnist_helpers.foreign.tables import load_arrays

MEAN = 0.1307  # of all training pixels in [0, 1]
STD = 0.3081  # the same
BACKGROUND = -MEAN / STD  # a normalised black pixel


class Splits(NamedTuple):
    """The three parts: each has `images` (N, 1, 28, 28), normalised, and `labels` (N,) in 0..9."""

    train: TensorDataset
    val: TensorDataset
    test: TensorDataset


def normalise(pixels: Tensor) -> Tensor:
    """Turns uint8 `pixels` (N, 28, 28) into float32 images (N, 1, 28, 28), mean 0, variance 1."""
    return pixels.unsqueeze(1).float().div_(255).sub_(MEAN).div_(STD)


def load_idx_part(data_dir: Path, part: str) -> TensorDataset:
    """Loads "train" or "test" from `data_dir` or at most two folders below it.

    `readers` names the forms: IDX files as those of MNIST, tables, arrays, pictures by class.

    Raises:
        InputError: a file is missing or damaged, or the images and labels don't fit the model or
            each other.
    """
    source = find_source(data_dir)
    dataset = read_part(source, part, data_dir)
    has_parts = "array" in source.kind and "train" in str([*load_arrays(source.train)]).lower()
    if source.train is source.test and not has_parts:
        labels = dataset.tensors[1]
        seventh = math.ceil(len(labels) / 7)
        indices, test_indices = split_indices(labels, seventh, torch.Generator())
        if part == "test":
            indices = test_indices
            log.warning("%s has no test part: a seventh is held out as that", data_dir)
        dataset = TensorDataset(*dataset[indices])
    return dataset


def read_part(source: Source, part: str, data_dir: Path) -> TensorDataset:
    """All images of "train" or "test".

    Raises:
        InputError: as `load_idx_part`, which names `data_dir`.
    """
    files = getattr(source, part)
    if not files:
        raise InputError(f"{data_dir} holds no images for the part {part}; {OTHER}.")
    names = ", ".join(path.name for path in files[:4])
    with decoding(f"{data_dir} ({names or part})", "can't be used", OTHER):
        images, labels = READERS[source.kind](source, part)
        right = (len(labels) or 1, IMAGE_SIZE, IMAGE_SIZE)
        fits = (images.shape, labels.shape, images.dtype) == (right, right[:1], np.uint8)
        if not fits or not set(labels.tolist()).issubset(range(10)):
            raise ValueError(
                f"images {images.shape} of {images.dtype}, labels {labels.shape} up to "
                f"{labels.max(initial=0)}"
            )
        if source.kind in ("idx", "table") and files[0].name.lower().startswith("emnist"):
            images = images.swapaxes(1, 2)  # EMNIST stores them so
        if np.median(images[:, 0]) > 200:
            log.warning("%s is dark on light and taken in negative, as MNIST is", data_dir)
            images = 255 - images
        return TensorDataset(normalise(torch.from_numpy(images)), torch.from_numpy(labels).long())


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

    Of fewer images than `val_size` a fifth is held out.

    Raises:
        InputError: as `load_idx_part`.
    """
    images = load_idx_part(data_dir, "train")
    if val_size >= len(images):
        val_size = len(images) // 5 or 1
        log.warning("a fifth of the %d training images is for validation", len(images))
    train, val = split_indices(images.tensors[1], val_size, torch.Generator().manual_seed(seed))
    return Splits(
        TensorDataset(*images[train]),
        TensorDataset(*images[val]),
        load_idx_part(data_dir, "test"),
    )


def load_mixed(config: Config) -> tuple[Splits, TensorDataset, TensorDataset]:
    """The drawings in `config.data_dir` among `config.mix` of MNIST's; those learned, held back.

    A third of the drawings is held back. The others are repeated until there is one for ten of
    MNIST's; those held back, until they are half of the images that choose the best epoch.

    Raises:
        InputError: as `load_splits`, or there are too few drawings.
    """
    if config.data_dir.resolve() == DATA_DIR:
        raise InputError("mix is for one's own drawings; add --data-dir my-digits.")
    drawings = read_part(find_source(config.data_dir), "train", config.data_dir)
    labels = drawings.tensors[1]
    if len(labels) < 3:
        raise InputError(
            f"{config.data_dir} has too few drawings ({len(labels)}): of every three one is held "
            "back; keep at least three, better thirty."
        )
    splits = load_splits(DATA_DIR, config.val_size, config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    chosen, others = split_indices(labels, len(labels) // 3, generator)
    learned = TensorDataset(*drawings[chosen])
    held_back = TensorDataset(*drawings[others])
    order = torch.randperm(len(splits.train), generator=generator)
    images = TensorDataset(*splits.train[order[: config.mix]])
    train = joined(images, learned, config.mix // 10)
    val = joined(splits.val, held_back, config.val_size)
    return Splits(train, val, splits.test), learned, held_back


def joined(images: TensorDataset, drawings: TensorDataset, count: int) -> TensorDataset:
    """Images, and after them `count` drawings, or all: each as often as any other, or once more."""
    places = torch.arange(max(count, len(drawings))) % len(drawings)
    pairs = zip(images.tensors, drawings[places], strict=True)
    return TensorDataset(*map(torch.cat, pairs))


def make_loader(
    dataset: TensorDataset, batch_size: int, shuffle: torch.Generator, num_workers: int = 0
) -> DataLoader:
    """Batches of `dataset` as (images, labels), in an order that `shuffle` draws for each pass."""

    class Batches:
        """The indices of one batch after another, as tensors: PyTorch's samplers make lists."""

        def __iter__(self) -> Iterator[Tensor]:
            order = torch.randperm(len(dataset), generator=shuffle)
            yield from order.split(batch_size)  # drawn once, though worker processes ask twice

    # batch_size=None: the whole tensor of indices goes to the data set at once
    return DataLoader(dataset, sampler=Batches(), batch_size=None, num_workers=num_workers)


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
