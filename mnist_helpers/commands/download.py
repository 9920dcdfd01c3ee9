"""`mnist-helpers download`: MNIST's four files by torchvision, each checked."""

import socket
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

from torchvision.datasets import MNIST
from torchvision.datasets.utils import check_integrity, download_url

from mnist_helpers.commands.console import log
from mnist_helpers.commands.options import Download
from mnist_helpers.config import InputError
from mnist_helpers.files import require_writable

TIMEOUT = 20  # seconds without a byte


def run(options: Download) -> None:
    """Puts MNIST's four files into the folder MNIST/raw of the data; what is whole is kept.

    Raises:
        InputError: a file can't be written, or no mirror has it.
    """
    folder = options.data_dir.expanduser() / "MNIST" / "raw"
    socket.setdefaulttimeout(TIMEOUT)  # torchvision would wait for ever
    for name, md5 in MNIST.resources:
        if not check_integrity(folder / name, md5):
            require_writable(folder / name, "data_dir")
            download_file(folder / name, md5)
    log.info("%s holds the four files of MNIST", folder)


def download_file(path: Path, md5: str) -> None:
    """Gets the file of that name from the first mirror that has it."""
    failures = []
    for mirror in MNIST.mirrors:
        try:
            with TemporaryDirectory(dir=path.parent) as beside:  # no half of a file has its name
                download_url(mirror + path.name, beside, md5=md5)
                Path(beside, path.name).replace(path)
            return
        except (OSError, RuntimeError, HTTPException) as error:
            failures.append(f"{mirror}: {error}")
    raise InputError(
        f"{path.name} can't be downloaded ({'; '.join(failures)}); try again later, or copy "
        f"MNIST's four files into {path.parent} (in the collection, git restore MNIST-Data)."
    )
