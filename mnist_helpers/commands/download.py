"""`mnist-helpers download`: MNIST's four files, from where they broke off, and checked."""

from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

from torchvision.datasets import MNIST
from torchvision.datasets.utils import check_integrity
from tqdm import tqdm

from mnist_helpers.commands.console import log
from mnist_helpers.commands.options import Download
from mnist_helpers.config import InputError
from mnist_helpers.files import require_writable

TIMEOUT = 20  # seconds without a byte
MOST = 2**24  # bytes; the largest of the four files has 10 million


def run(options: Download) -> None:
    """Puts MNIST's four files into the folder MNIST/raw of the data; what is whole is kept.

    Raises:
        InputError: a file can't be written, or no mirror has it.
    """
    folder = options.data_dir / "MNIST" / "raw"
    for name, md5 in MNIST.resources:
        if not check_integrity(folder / name, md5):
            require_writable(folder / name, "data_dir")
            download_file(folder / name, md5)
    log.info("%s holds the four files of MNIST", folder)


def download_file(path: Path, md5: str) -> None:
    """Gets the file of that name from the first mirror that has it."""
    part = path.with_name(f".{md5}.part")  # a name under which nobody looks for data
    failures = {}
    for mirror in MNIST.mirrors * 2:  # the second time goes on, or begins anew
        try:
            if not check_integrity(part, md5):
                fetch(mirror + path.name, part)
            if check_integrity(part, md5):
                part.replace(path)
                return
            part.unlink()
            failures[mirror] = "another file"
        except (OSError, HTTPException) as error:
            failures[mirror] = error
            if getattr(error, "code", None) == 416:  # nothing follows, yet the part is not the file
                part.unlink(missing_ok=True)
    told = "; ".join(f"{mirror}: {failure}" for mirror, failure in failures.items())
    raise InputError(
        f"{path.name} can't be had ({told}); try again later, which goes on from there, or copy "
        f"MNIST's four files into {path.parent} (in the collection, git restore MNIST-Data)."
    )


def fetch(url: str, part: Path) -> None:
    """Adds to `part` what it lacks of `url`, or writes it anew if the server sends the whole."""
    start = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={start}-"})
    with urlopen(request, timeout=TIMEOUT) as answer:
        resumed = answer.status == 206
        bar = tqdm(desc=url, total=answer.length, unit="B", unit_scale=True, disable=None)
        with part.open("ab" if resumed else "wb") as file, bar:
            while file.tell() < MOST and (chunk := answer.read(2**16)):
                bar.update(file.write(chunk))
            if answer.length and file.tell() < MOST:
                raise ConnectionError("the connection broke off")
