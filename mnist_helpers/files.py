"""The one door for files: read without trust, and written whole or not at all."""

import contextlib
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import msgspec

from mnist_helpers.config import InputError

MOST_JSON = 16_000_000  # bytes; the card of a run of 10,000 epochs is smaller
KINDS = {  # how files begin that are taken for others
    "HEIC": rb"(?s).{4}ftyp(?:.{4}){0,15}?he(?:ic|ix|im|is|vc|vx|vm|vs)",
    "PDF": rb"\s*%PDF-",
    "a web page": (
        rb"(?si)(?:\xef\xbb\xbf)?\s*(?:<\?xml.{0,200}?>\s*)?(?:<!--.{0,2000}?-->\s*){0,3}"
        rb"<(?:!doctype html|html|head|body)"
    ),
    "SVG": (
        rb"(?s)(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\s\0]*"
        rb"<\0?(?:s\0?v\0?g|[?!].{0,4000}?<\0?s\0?v\0?g)"
    ),
    "a zip archive, which must be unpacked first": rb"PK\x03\x04",
    "packed with gzip, as SVGZ is": rb"\x1f\x8b",
    "a tar archive, which must be unpacked first": rb"(?s).{257}ustar",
    "HDF5, as Keras writes": rb"\x89HDF",
    "a pointer of Git LFS, not the file itself": rb"version https://git-lfs",
}


def read_file(path: Path, most: int, remedy: str) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises:
        InputError: it is missing, none (a folder, a pipe, a device) or larger, or can't be read.
    """
    path = Path(path)
    with decoding(path, "can't be read", remedy):
        if not path.exists():
            raise InputError(f"{path} does not exist; {remedy}.")
        if not path.is_file():
            raise OSError("it is no regular file")
        size = path.stat().st_size
        if size > most:
            raise OSError(f"it is larger than {most:,} bytes")
        with path.open("rb") as file:
            return file.read(size)  # for as many bytes Python makes room at once


@contextlib.contextmanager
def decoding(path: Path, what: str, remedy: str) -> Iterator[None]:
    """Makes one sentence of whatever is raised inside; warnings, of code lines, are dropped."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except InputError:
        raise
    except Exception as error:  # a foreign file brings decoders to raise almost anything
        raise InputError(f"{path} {what} ({reason(error)}); {remedy}.") from error


def read_json(path: Path, kind: object, what: str, remedy: str) -> object:
    """The JSON of a file, which has the types that `kind` names, and maybe more.

    Raises:
        InputError: it hasn't, or can't be read.
    """
    content = read_file(path, MOST_JSON, remedy)
    with decoding(path, what, remedy):
        value = msgspec.json.decode(content)
        msgspec.convert(value, kind)
        return value


def write_json(path: Path, value: object, plain: Callable | None = None) -> None:
    """Writes a value as JSON, with what JSON doesn't know as `plain` gives it."""
    content = msgspec.json.encode(value, enc_hook=plain)
    write_files({path: msgspec.json.format(content)})


def file_kind(content: bytes | str, kinds: dict = KINDS) -> str:
    """Which of `kinds` a file is by how it begins, whatever it is called; else an empty text."""
    for kind, beginning in kinds.items():
        if re.match(beginning, content):
            return kind
    return ""


def require_small(file: BytesIO, most: int) -> None:
    """Raises a ValueError where a zip archive would unpack to more than `most` bytes."""
    with ZipFile(file) as archive:
        if sum(member.file_size for member in archive.infolist()) > most:
            raise ValueError(f"it unpacks to more than {most:,} bytes")


def reason(error: Exception) -> str:
    """What an error says, on one line and not for long."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    text = re.sub(r" <[^<>]* at 0x\w+>", "", text)  # an object of Python says nothing
    return " ".join(text.split())[:160]


def require_writable(path: Path, setting: str) -> None:
    """Makes the folder of `path` and proves that a file can be written there, before long work.

    Raises:
        InputError: it can't.
    """
    with decoding(path, "can't be written", f"choose another {setting}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.is_dir():
            raise IsADirectoryError("a folder of that name is in the way")


def write_files(contents: dict[Path, bytes], withdraw: Path | None = None) -> None:
    """Writes files that are whole at every moment: first all beside their places, then moved.

    Args:
        withdraw: is removed once all are written beside, before the first is moved.

    Raises:
        InputError: they can't be written. What was there before stays if they can't be written
            beside, as on a full disk; moving them afterwards hardly ever fails.
    """
    beside = {path: path.with_name(f".{path.name}.{os.getpid()}.part") for path in contents}
    try:
        for path, content in contents.items():
            beside[path].write_bytes(content)
        if withdraw:
            withdraw.unlink(missing_ok=True)
        for path in contents:
            os.replace(beside[path], path)
    except OSError as error:
        raise InputError(
            f"{path} can't be written ({reason(error)}); make room or choose another place."
        ) from error
    finally:
        for path in beside.values():
            path.unlink(missing_ok=True)
