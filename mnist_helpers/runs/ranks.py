"""Several processes that train one network: what torchrun starts, on one machine or more."""

import contextlib
import logging
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from mnist_helpers.config import log
from mnist_helpers.training import Means, OnStep, Trainer


class RankTrainer(Trainer):
    """One of several processes, each of which takes a share of every batch.

    All have the same weights after every step: within rounding, those that one process would have.
    """

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.network = DistributedDataParallel(self.network)

    def batches(self) -> Iterator[tuple[Tensor, Tensor, float]]:
        """Of every batch the images and labels of this rank, and how many a rank has on average.

        DistributedDataParallel takes the mean of the gradients over the ranks, so a share that is
        smaller than the others weighs as it should.
        """
        ranks = dist.get_world_size()
        share = slice(dist.get_rank(), None, ranks)
        for images, labels, count in super().batches():
            yield images[share], labels[share], count / ranks

    def train_pass(self, epoch: int, on_step: OnStep) -> Means:
        """Mean loss and accuracy over the images of all ranks."""
        return self.mean_of_ranks(super().train_pass(epoch, on_step))

    def validate(self) -> Means:
        """The same on every rank, to the bit: else one could stop while another waits for it."""
        return self.mean_of_ranks(super().validate())

    def mean_of_ranks(self, means: Means) -> Means:
        """The means of loss and accuracy over the ranks."""
        sums = torch.tensor(means, device=self.device)
        dist.all_reduce(sums)
        return tuple((sums / dist.get_world_size()).tolist())


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
        log.setLevel(logging.ERROR)
    try:
        yield RankTrainer
    finally:
        dist.destroy_process_group()


def is_first() -> bool:
    """Whether this is the process that prints and writes, or the only one."""
    return not dist.is_initialized() or dist.get_rank() == 0
