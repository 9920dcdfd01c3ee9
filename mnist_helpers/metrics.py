"""How good answers are: the figures of an epoch, and of a model's answers to a data set."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from mnist_helpers.config import InputError

ROUNDING = 5e-3  # by which probabilities of half precision can sum to more or less than 1
SMALLEST = 1e-37  # of a probability whose logarithm is taken


@dataclass(frozen=True)
class EpochRecord:
    """One line of the history: means over images, losses in nats and accuracies as fractions.

    Both losses are what training minimises, cross-entropy with the run's label smoothing: an
    untouched cross-entropy would rise again as the smoothed network learns to be less sure. The
    learning rate is that of the last step.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float

    def __str__(self) -> str:
        loss = f"loss ≈ {self.train_loss:.4f} (val ≈ {self.val_loss:.4f})"
        accuracy = f"accuracy ≈ {self.train_accuracy:.2%} (val ≈ {self.val_accuracy:.2%})"
        return f"epoch {self.epoch:2}   {loss}   {accuracy}"


def best_record(history: list[EpochRecord]) -> EpochRecord:
    """The epoch with the lowest validation loss, the earliest of equals."""
    return min(history, key=lambda record: record.val_loss)


@dataclass(frozen=True)
class Predictions:
    """What a model answers to N images: `logits` (N, classes), true `labels` (N,); on the CPU."""

    logits: Tensor
    labels: Tensor

    @cached_property
    def probs(self) -> Tensor:
        """Softmax of the logits, (N, classes); each row sums to 1."""
        return self.logits.softmax(dim=1)

    @cached_property
    def preds(self) -> Tensor:
        """The likeliest class for each image, (N,)."""
        return self.logits.argmax(dim=1)

    @cached_property
    def confidence(self) -> Tensor:
        """The probability of the likeliest class, (N,), in [1 / classes, 1]."""
        return self.probs.amax(dim=1)

    @cached_property
    def correct(self) -> Tensor:
        """Whether each prediction is the label, (N,), bool."""
        return self.preds == self.labels

    @cached_property
    def losses(self) -> Tensor:
        """The cross-entropy of each image in nats, (N,)."""
        return F.cross_entropy(self.logits, self.labels, reduction="none")

    def loss(self, label_smoothing: float = 0.0) -> float:
        """Mean cross-entropy in nats, `label_smoothing` of each target spread over all classes."""
        return F.cross_entropy(self.logits, self.labels, label_smoothing=label_smoothing).item()

    @cached_property
    def accuracy(self) -> float:
        """Fraction of images whose prediction is right, in [0, 1]."""
        return self.correct.double().mean().item()

    @property
    def calibration_error(self) -> float:
        """Expected calibration error over 15 bins of confidence, in [0, 1] (Guo et al., 2017)."""
        from torchmetrics.functional import classification

        return classification.multiclass_calibration_error(
            self.probs, self.labels, self.probs.shape[1]
        ).item()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode meanwhile; afterwards each module is in its own mode again."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@torch.inference_mode()
def evaluate(model: nn.Module, dataset: TensorDataset) -> Predictions:
    """Asks `model`, of whatever device and precision, for all images of `dataset`."""
    example = next(model.parameters())
    batches = dataset.tensors[0].split(250)
    with evaluating(model):
        answers = [model(images.to(example)).cpu() for images in batches]
    return Predictions(as_logits(torch.cat(answers).float()), dataset.tensors[1])


def as_logits(answers: Tensor) -> Tensor:
    """What a model answers, (N, classes), as logits: probabilities are told by their values.

    Those are not negative, and those of an image sum to 1. Softmax would make other ones of them,
    but gives them back from their logarithms.

    Raises:
        InputError: there is one number an image, which chooses between no classes, or the numbers
            are such as sigmoids put out, which says nothing of how sure one class is.
    """
    if answers.shape[1] == 1:
        raise InputError(
            "the model answers each image with one number, not one per class; let it answer with "
            "two, such as torch.cat([1 - p, p], dim=1) of a probability p."
        )
    if answers.min() < 0:
        return answers
    if torch.allclose(answers.sum(dim=1), torch.ones(len(answers)), atol=ROUNDING):
        return answers.clamp(min=SMALLEST).log()
    if answers.min() < 0.1 and 0.9 < answers.max() <= 1:
        raise InputError(
            "the model answers with numbers from 0 to 1 that don't sum to 1; "
            "let it return the inputs of its sigmoids, or a softmax of them."
        )
    return answers


def confusion_matrix(predictions: Predictions) -> Tensor:
    """Counts of images, (classes, classes): row the true class, column the predicted one."""
    from torchmetrics.functional import classification

    return classification.multiclass_confusion_matrix(
        predictions.preds, predictions.labels, predictions.logits.shape[1]
    )


def class_report(predictions: Predictions) -> dict[str, Tensor]:
    """Precision, recall and F1 of each class, (classes,) in [0, 1].

    Not a number: all three where no label is of the class, precision where no answer is.
    """
    matrix = confusion_matrix(predictions)
    labelled = matrix.sum(dim=1)
    answered = matrix.sum(dim=0)
    right = matrix.diagonal() / (labelled > 0)  # nan: of 0 / 0
    return {
        "precision": right / answered,
        "recall": right / labelled,
        "F1": 2 * right / (labelled + answered),
    }
