"""What commands say: a line each, on the console and in a run's log."""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from mnist_helpers.config import log, printable


class Console(logging.StreamHandler):
    """Raises what a write fails with: a full disk, or that who reads, such as head, has enough."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Called while it is caught."""
        failure = sys.exception()
        if isinstance(failure, OSError):
            raise failure


class OneLine(logging.Formatter):
    """Keeps names of files from writing lines of their own, or moving the cursor."""

    def format(self, record: logging.LogRecord) -> str:
        """The message on one line."""
        return printable(super().format(record))


def start_console() -> None:
    """Lets what is logged stand on stdout, without the chatter of libraries."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a Windows console or log file may not know ≈
    console = Console(sys.stdout)
    console.setFormatter(OneLine())
    logging.basicConfig(handlers=[console], level=logging.INFO, force=True)
    logging.raiseExceptions = False  # a full disk under a log is told by what is saved next
    for library in ("papermill", "onnxscript", "onnx_ir", "traitlets"):
        logging.getLogger(library).setLevel(logging.WARNING)


@contextlib.contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Writes what is logged into `path` as well."""
    with contextlib.closing(logging.FileHandler(path, encoding="utf-8")) as handler:
        handler.setFormatter(OneLine())
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)
