"""`mnist-helpers download`: MNIST's four files."""

import logging

from mnist_helpers.commands.options import Download
from mnist_helpers.download import download

log = logging.getLogger("mnist_helpers")


def run(options: Download) -> None:
    """Gets what is missing."""
    log.info("%s holds the four files of MNIST", download(options.data_dir))
