"""The coding exercises of the notebooks: `check` says in one line whether an answer is right."""

import copy
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage, signal
from torch import Tensor, nn
from torch.func import functional_call

from mnist_helpers.model import make_model

normal = partial(torch.randn, generator=torch.Generator().manual_seed(0))


class Exercise(NamedTuple):
    """What a learner's function is compared with.

    Attributes:
        reference: does what is asked for, by a library.
        cases: inputs, by what they are called; the last is one at the edge.
        mistakes: options with which `reference` makes a usual mistake, by what is said of it.
        place: how a place in the result is called, with braces for each axis.
    """

    reference: Callable
    cases: dict
    mistakes: dict
    place: str = ""


def check(name: str, function: Callable) -> None:
    """Prints one line: whether `function` does what the exercise `name` asks for, or why not."""
    print(verdict(EXERCISES[name], function))


@torch.no_grad()
def verdict(exercise: Exercise, function: Callable) -> str:
    """Tries `function` on one case after another, until a result is wrong."""
    for case, inputs in exercise.cases.items():
        try:
            result = function(*copy.deepcopy(inputs))  # which it may change
            if result is None:
                return "Nothing here yet: write the function, run its cell, then this one again."
            complaint = difference(exercise, inputs, np.asarray(result, dtype=float))
        except Exception as error:
            complaint = f"Python says {type(error).__name__}: {error}".partition("\n")[0]
        if complaint:
            return f"Not yet. With {case}, {complaint}"
    return "Right: with every input it gives what the library gives."


def difference(exercise: Exercise, inputs: tuple, result: np.ndarray) -> str:
    """What is wrong with `result`; nothing if it is right, but for rounding."""
    for sentence, options in [("", {}), *exercise.mistakes.items()]:
        other = np.asarray(exercise.reference(*inputs, **options))
        if result.shape == other.shape and np.allclose(result, other, 1e-3, 1e-4):
            return sentence
    wanted = np.asarray(exercise.reference(*inputs))
    if result.shape != wanted.shape:
        return f"the shape is {result.shape}, not {wanted.shape}."
    index = tuple(np.argwhere(~np.isclose(result, wanted, 1e-3, 1e-4))[0])
    return f"{exercise.place.format(*index)}it gives {result[index]:.4g}, not {wanted[index]:.4g}."


def logits(weights: dict, images: Tensor, without: str = "no layer") -> Tensor:
    """What a `SimpleCNN` with `weights` answers, one of its layers left out."""
    model = make_model()
    model.add_module(without, nn.Identity())
    return functional_call(model, weights, images)


EXERCISES = {
    "convolve": Exercise(
        lambda *inputs, function=signal.correlate2d, mode="valid": function(*inputs, mode),
        {
            "28 × 28 pixels and a 3 × 3 kernel": (normal(28, 28), normal(3, 3)),
            "9 × 7 pixels and a 9 × 4 kernel": (normal(9, 7), normal(9, 4)),
        },
        {
            "this is what you would get if the kernel were flipped.": {
                "function": signal.convolve2d
            },
            "this is what padding gives; the kernel should stay inside.": {"mode": "same"},
        },
        "at row {}, column {} ",
    ),
    "cross_entropy": Exercise(
        lambda logits, labels, axis=1, reduction="mean": F.nll_loss(
            logits.log_softmax(axis), labels, reduction=reduction
        ),
        {
            "eight images": (normal(8, 10), torch.arange(8)),
            "logits so large that their exponentials overflow": (
                1000 * normal(8, 10),
                torch.arange(8),
            ),
        },
        {
            "this is the sum over the images, not the mean.": {"reduction": "sum"},
            "softmax goes over the images, not over the classes.": {"axis": 0},
        },
    ),
    "centre": Exercise(
        lambda ink, middle=13.5, way=1, order=1: ndimage.shift(
            ink,
            # a trace of ink everywhere: blank paper has its middle in the middle
            np.rint(middle - np.array(ndimage.center_of_mass(ink.numpy() + 1e-9)))[::order] * way,
            order=0,
        ),
        {
            "ink": (F.pad(normal(10, 5).abs(), (14, 9, 5, 13)),),
            "blank paper": (torch.zeros(28, 28),),
        },
        {
            "the ink is moved the wrong way.": {"way": -1},
            "the distances for rows and columns are exchanged.": {"order": -1},
            "the middle is taken as 14; of rows 0 to 27 it is 13.5.": {"middle": 14},
        },
        "at row {}, column {} ",
    ),
    "moving_average": Exercise(
        lambda losses, keep, first=1: signal.lfilter(
            [1 - keep], [1, -keep], losses, zi=keep * first * losses[:1]
        )[0],
        {"ten losses": (normal(10).abs(), 0.9)},
        {"the average begins at zero, not at the first loss.": {"first": 0}},
        "after loss {} ",
    ),
    "forward": Exercise(
        logits,
        {"three images": (make_model().state_dict(), normal(3, 1, 28, 28))},
        {
            "the ReLU after conv1 is missing.": {"without": "relu1"},
            "the ReLU after fc1 is missing.": {"without": "relu3"},
        },
        "for image {}, digit {} ",
    ),
    "max_pool": Exercise(
        lambda maps, function=F.max_pool2d, stride=2: function(maps, 2, stride),
        {"two maps of values below zero": (-normal(2, 6, 8).abs(),)},
        {
            "this is the mean of the four values, not the largest.": {"function": F.avg_pool2d},
            "the squares overlap; go on by two rows or columns.": {"stride": 1},
        },
        "in map {}, row {}, column {} ",
    ),
    "confusion": Exercise(
        lambda labels, preds, axis=1: F.normalize(
            (F.one_hot(labels, 10).T @ F.one_hot(preds, 10)).float(), 1, axis
        ),
        {
            "each digit twice": (torch.arange(20) % 10, torch.arange(20) % 7),
            "a digit that never occurs": (torch.arange(9), torch.arange(9) % 4),
        },
        {"the columns are divided by their sums, not the rows.": {"axis": 0}},
        "in row {}, column {} ",
    ),
}
