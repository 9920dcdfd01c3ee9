"""`mnist-helpers download`: MNIST's four files by torchvision, each checked."""

import socket
from http.client import HTTPException

from torchvision.datasets import MNIST

from mnist_helpers.commands.console import log
from mnist_helpers.commands.options import Download
from mnist_helpers.config import InputError
from mnist_helpers.files import reason, require_writable

TIMEOUT = 20  # seconds without a byte


def run(options: Download) -> None:
    """Puts MNIST's four files into the folder MNIST/raw of the data, and unpacks them there.

    Raises:
        InputError: a file can't be written, or no mirror has it.
    """
    folder = options.data_dir.expanduser()
    raw = folder / "MNIST" / "raw"
    require_writable(raw / "files", "data_dir")
    socket.setdefaulttimeout(TIMEOUT)  # torchvision would wait for ever
    try:
        MNIST(folder, download=True)
    except (OSError, RuntimeError, HTTPException) as error:
        raise InputError(
            f"MNIST can't be downloaded ({reason(error)}); try again later, or copy its four files "
            f"into {raw} (in the collection, git restore MNIST-Data)."
        ) from error
    log.info("%s holds the four files of MNIST", raw)
