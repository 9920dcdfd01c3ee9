"""What a subject is given: images, labels and names, refused in a sentence where they won't do."""

import ast
import contextlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mnist_helpers.config import InputError, log
from mnist_helpers.data import BACKGROUND
from mnist_helpers.model import SimpleCNN


def checked_names(names: Sequence[str] | str | None, classes: int) -> list[str]:
    """The names of the classes, where there is one for each; by default their numbers.

    One text may hold them all, with commas between, or as a list is written in JSON or Python.
    """
    if names is None:
        names = range(classes)
    if isinstance(names, str):
        text = names
        names = text.split(",")
        if text.startswith("["):
            names = [text]
            with contextlib.suppress(ValueError, SyntaxError):
                names = ast.literal_eval(text)
    names = list(map(str, names))
    different = {name.strip(" ") for name in names} - {""}
    if not len(names) == len(different) == classes:
        raise InputError(
            f"class_names has {len(names)} names, but there are {classes} classes; "
            "give a different one for each."
        )
    return names


def checked_images(images: Tensor | np.ndarray, model: object = None) -> Tensor:
    """Images as a tensor, where they are such as a model can take."""
    wanted = "images must be a tensor of decimals (N, C, H, W), as the model takes them"
    if not isinstance(images, Tensor | np.ndarray):
        raise InputError(f"{wanted}, not a {type(images).__name__}.")
    images = torch.as_tensor(images)
    if images.ndim != 4 or not len(images) or not images.is_floating_point():
        raise InputError(f"{wanted}, not {tuple(images.shape)} of {images.dtype}.")
    if not images.isfinite().all():
        raise InputError("some values of the images are not finite; give images of numbers only.")
    # SimpleCNN's is black, at this value
    paper = images.flatten()[::99].double().quantile(0.25)
    if images.min() >= 0 or (isinstance(model, SimpleCNN) and abs(paper - BACKGROUND) > 0.02):
        log.warning("the images aren't normalised as usual; was the model trained on such ones?")
    return images.float()


def checked_labels(labels: Tensor | None, count: int, classes: int) -> Tensor | None:
    """Labels as a tensor, where there are some and they fit."""
    if labels is None:
        return None
    wanted = f"labels must be {count} whole numbers from 0 to {classes - 1}"
    try:
        labels = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{wanted}, not {labels!r:.40}.") from error
    if labels.shape != (count,) or labels.is_floating_point():
        raise InputError(f"{wanted}, not {tuple(labels.shape)} of {labels.dtype}.")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"{wanted}, not from {labels.min()} to {labels.max()}.")
    return labels
