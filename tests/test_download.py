"""Against real servers on this machine, in the place of torchvision's mirrors."""

import contextlib
import importlib
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import HANG
from test_cli import run

from mnist_helpers import DATA_DIR, InputError
from mnist_helpers.commands.options import Download
from mnist_helpers.data import load_idx_part

RAW = DATA_DIR / "MNIST" / "raw"
CONTENTS = {path.name: path.read_bytes() for path in RAW.glob("*.gz")}
LABELS = "t10k-labels-idx1-ubyte.gz"  # the smallest file, the last to come


@pytest.fixture
def module():
    """The command: torchvision takes seconds, of every worker if it stood above."""
    yield importlib.import_module("mnist_helpers.commands.download")
    socket.setdefaulttimeout(None)


@pytest.fixture
def download(module):
    return lambda folder: module.run(Download(data_dir=folder))


class Mirror(BaseHTTPRequestHandler):
    """Sends the files whole; its subclasses do something else."""

    asked: list

    def answer(self, content: bytes) -> None:
        self.begin(200, len(content))
        self.wfile.write(content)

    def begin(self, status: int, length: int | None) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def do_GET(self) -> None:
        name = self.path[1:]
        self.asked.append(name)
        with contextlib.suppress(ConnectionError):  # the client may leave
            self.answer(CONTENTS[name])

    def log_message(self, *args) -> None:
        """Says nothing."""


class BreaksOff(Mirror):
    """Sends no more than the first 3,000 bytes."""

    def answer(self, content):
        self.begin(200, len(content))
        self.wfile.write(content[:3000])


class Wrong(Mirror):
    def answer(self, content):
        super().answer(b"<html>Please log in</html>")


class Gone(Mirror):
    def answer(self, content):
        self.begin(404, 0)


class Stalls(Mirror):
    """Says nothing more until the test is over."""

    over: threading.Event

    def answer(self, content):
        self.begin(200, len(content))
        self.over.wait(HANG)


@pytest.fixture
def mirrors(module, monkeypatch):
    """Starts servers of these kinds in the place of torchvision's mirrors; what they are asked."""
    with contextlib.ExitStack() as stack:
        over = threading.Event()

        def start(*kinds):
            asked, addresses = [], []
            for kind in kinds:
                handler = type(kind.__name__, (kind,), {"asked": asked, "over": over})
                server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
                server.daemon_threads = True
                threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
                stack.callback(server.shutdown)
                stack.callback(over.set)
                addresses.append(f"http://127.0.0.1:{server.server_port}/")
            monkeypatch.setattr(module.MNIST, "mirrors", addresses)
            return asked

        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield start


@pytest.fixture
def nearly(tmp_path):
    """A folder that has all but the smallest file."""
    shutil.copytree(RAW, tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / LABELS).unlink()
    return tmp_path


def files(folder) -> dict[str, bytes]:
    """The four files; torchvision unpacks them beside."""
    return {path.name: path.read_bytes() for path in (folder / "MNIST" / "raw").glob("*.gz")}


def test_the_command_gets_the_four_files_that_are_then_read(capsys, mirrors, tmp_path):
    asked = mirrors(Mirror)
    code, out, err = run(capsys, "download", "--data-dir", tmp_path / "new")
    assert code == 0
    assert "100%" in err  # a bar
    assert out == f"{tmp_path / 'new' / 'MNIST' / 'raw'} holds the four files of MNIST\n"
    assert files(tmp_path / "new") == CONTENTS
    assert set(asked) == set(CONTENTS)
    assert len(load_idx_part(tmp_path / "new", "test")) == 10_000


def test_what_is_there_and_right_is_kept_and_what_is_wrong_replaced(download, mirrors, nearly):
    asked = mirrors(Mirror)
    raw = nearly / "MNIST" / "raw"
    (raw / LABELS).write_bytes(CONTENTS[LABELS][:-1])
    before = {path: path.stat().st_mtime_ns for path in raw.iterdir() if path.name != LABELS}
    download(nearly)
    assert set(asked) == {LABELS}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert files(nearly) == CONTENTS
    asked.clear()
    download(nearly)
    assert not asked


def test_other_mirrors_are_asked_where_one_has_not_the_whole_file(download, mirrors, nearly):
    asked = mirrors(Gone, Wrong, BreaksOff, Mirror)
    download(nearly)
    assert set(asked) == {LABELS}
    assert files(nearly) == CONTENTS


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        ([Gone, Wrong], f"{LABELS}: Tried http:.*, got: HTTP Error 404: Not Found Tried http"),
        ([Stalls], "timed out"),
        ([BreaksOff], "File not found or corrupt"),
    ],
)
def test_without_a_mirror_that_has_it_one_sentence_says_what_to_do(
    download, module, mirrors, nearly, monkeypatch, kinds, told
):
    if Stalls in kinds:
        monkeypatch.setattr(module, "TIMEOUT", 0.2)
    mirrors(*kinds)
    with pytest.raises(InputError, match=told) as error:
        download(nearly)
    raw = nearly / "MNIST" / "raw"
    assert str(error.value).startswith("MNIST can't be downloaded (")
    assert f"copy its four files into {raw} (in the collection, git" in str(error.value)
    with pytest.raises(InputError, match="mnist-helpers download"):  # no part is taken for data
        load_idx_part(nearly, "test")


def test_offline_the_command_ends_at_once(capsys, module, tmp_path, monkeypatch):
    monkeypatch.setattr(module.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    code, out, err = run(capsys, "download", "--data-dir", tmp_path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "MNIST can't be downloaded (Error downloading train-images-idx3-ubyte.gz: Tried" in err
    code, _, err = run(capsys, "download", "--data-dir", "/dev/null/x")
    assert (code, err.count("\n")) == (2, 1)
    assert "can't be written (Not a directory); choose another data_dir" in err
