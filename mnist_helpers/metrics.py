"""How good the answers are: epoch by epoch, and on a data set with the numbers that follow."""

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from mnist_helpers.config import InputError

NUM_CLASSES = 10


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

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.logits.shape[1]

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
            self.probs, self.labels, self.classes
        ).item()


@torch.inference_mode()
def evaluate(model: nn.Module, dataset: TensorDataset, batch_size: int = 250) -> Predictions:
    """Asks `model`, on whatever device, for all images of `dataset`; leaves its mode as it was."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    batches = dataset.tensors[0].split(batch_size)
    logits = [model(images.to(device)).cpu() for images in batches]
    model.train(was_training)
    return Predictions(torch.cat(logits), dataset.tensors[1])


def confusion_matrix(predictions: Predictions) -> Tensor:
    """Counts of images, (classes, classes): row the true class, column the predicted one."""
    from torchmetrics.functional import classification

    return classification.multiclass_confusion_matrix(
        predictions.preds, predictions.labels, predictions.classes
    )


def class_report(predictions: Predictions) -> dict[str, Tensor]:
    """Precision, recall and F1 of each class, (classes,) in [0, 1]; 0 where it never occurs."""
    from torchmetrics.functional import classification

    scores = {
        "precision": classification.multiclass_precision,
        "recall": classification.multiclass_recall,
        "F1": classification.multiclass_f1_score,
    }
    answers = (predictions.preds, predictions.labels, predictions.classes)
    return {name: score(*answers, average=None) for name, score in scores.items()}


def most_confused(matrix: Tensor, count: int) -> list[tuple[int, int, int]]:
    """The `count` commonest mistakes as (true, predicted, images), commonest first.

    Those as common as the last of them are there, too.

    Raises:
        InputError: `count` is below 1.
    """
    if count < 1:
        raise InputError(f"{count} mistakes were asked for, but it must be at least 1.")
    mistakes = matrix.clone().fill_diagonal_(0).flatten()
    order = mistakes.argsort(descending=True, stable=True)
    least = max(int(mistakes[order[:count][-1]]), 1)
    return [
        (*divmod(i, len(matrix)), int(mistakes[i])) for i in order.tolist() if mistakes[i] >= least
    ]
