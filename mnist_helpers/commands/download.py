"""`mnist-helpers download`: MNIST's four files."""

from mnist_helpers.commands.console import log
from mnist_helpers.commands.options import Download
from mnist_helpers.download import download


def run(options: Download) -> None:
    """Gets what is missing."""
    log.info("%s holds the four files of MNIST", download(options.data_dir))
