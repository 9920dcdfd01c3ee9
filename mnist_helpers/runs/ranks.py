"""Several processes that train one network: what torchrun starts, on one machine or more."""

import contextlib
import logging
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import TensorDataset

from mnist_helpers.config import Config
from mnist_helpers.data import Splits
from mnist_helpers.training import OnStep, Trainer


class RankTrainer(Trainer):
    """One of several processes, each of which takes a share of every batch.

    All have the same weights after every step: within rounding, those that one process would have.
    """

    def __init__(self, model: nn.Module, splits: Splits, config: Config) -> None:
        self.ranks = dist.get_world_size()
        self.share = slice(dist.get_rank(), None, self.ranks)  # of a batch: every so many images
        self.val_count = len(splits.val)
        val = TensorDataset(*splits.val[self.share])
        super().__init__(model, splits._replace(val=val), config)
        self.parallel = DistributedDataParallel(self.model)

    def batches(self) -> Iterator[tuple[Tensor, Tensor, float]]:
        """Of every batch the images and labels of this rank, and how many a rank has on average.

        Every rank draws the whole batch. DistributedDataParallel takes the mean of the gradients
        over the ranks, so the last batch's uneven shares weigh as they should.
        """
        for images, labels, count in super().batches():
            yield images[self.share], labels[self.share], count / self.ranks

    def forward(self, images: Tensor) -> Tensor:
        """The logits, by the model that adds up gradients over the ranks."""
        return self.parallel(images)

    def train_pass(self, epoch: int, on_step: OnStep) -> tuple[float, float]:
        """Loss and accuracy of all ranks together: each has divided by the number of all images."""
        loss, accuracy = super().train_pass(epoch, on_step)
        return self.add_up(loss, accuracy)

    def validate(self) -> tuple[float, float]:
        """Loss and accuracy over all validation images, each rank looking at its share."""
        loss, accuracy = super().validate()
        weight = len(self.val) / self.val_count
        return self.add_up(loss * weight, accuracy * weight)

    def add_up(self, loss: float, accuracy: float) -> tuple[float, float]:
        """The sums of both over the ranks, the same on each: none stops or chooses alone."""
        sums = torch.tensor([loss, accuracy], device=self.device)
        dist.all_reduce(sums)
        loss_sum, accuracy_sum = sums.tolist()
        return loss_sum, accuracy_sum


@contextlib.contextmanager
def process_group() -> Iterator[type[Trainer]]:
    """Joins the other processes of torchrun, if any, and yields the kind of Trainer for it.

    All but the first say nothing but errors.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield Trainer
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group()
    if not is_first():
        logging.getLogger("mnist_helpers").setLevel(logging.ERROR)
    try:
        yield RankTrainer
    finally:
        dist.destroy_process_group()


def is_first() -> bool:
    """Whether this is the process that prints and writes, or the only one."""
    return not dist.is_initialized() or dist.get_rank() == 0
