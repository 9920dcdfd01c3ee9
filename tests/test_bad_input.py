"""Bad input by generator: each case ends in a right answer or in one clear sentence.

No case may take 20 s of a core, raise the peak of memory by 1 GB, warn, print to stderr or write a
file. The first fifty cases of each kind are run with the other tests, all of them with the slow.
"""

import base64
import contextlib
import dataclasses
import gzip
import importlib
import io
import json
import math
import pkgutil
import struct
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import no_bar, peak, write_data_set, write_idx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import load_digit
from PIL import Image

from mnist_helpers import (
    CHECKPOINT_PATH,
    Config,
    InputError,
    commands,
    load_checkpoint,
    load_splits,
)
from mnist_helpers.checkpoint import read_card
from mnist_helpers.commands.cli import main, parse
from mnist_helpers.commands.notebooks import parse_parameters
from mnist_helpers.config import NOTEBOOKS_DIR
from mnist_helpers.data import DATA_DIR, load_idx_part
from mnist_helpers.digits import load_digits
from mnist_helpers.explorer import Selection, Subject, still
from mnist_helpers.explorer.selection import FIELDS
from mnist_helpers.explorer.views import VIEWS
from mnist_helpers.foreign.readers import read_idx
from mnist_helpers.model import make_model
from mnist_helpers.runs.folder import new_run, read_config, save_run
from mnist_helpers.runs.snapshots import Snapshots, load_snapshots, save_snapshots
from mnist_helpers.training import Trainer

CASES: dict[str, int] = {}  # of each test
FIRST = 50  # of the cases of a kind: so many are quick
SEEN: list[str] = []  # what the cases of the running test came to
MOST_MEMORY = 2**20  # kB more than before
MOST_SECONDS = 20  # of a core, for a case: a hundred times what the longest ones take


def generated(cases: int, first: int = FIRST, **given_strategies: st.SearchStrategy) -> Callable:
    """Runs a test on the first of so many generated cases, always the same; a slow one on all."""

    def wrapped(test: Callable) -> Callable:
        def on(count: int) -> Callable:
            limits = settings(
                max_examples=count,
                derandomize=True,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            )
            return limits(given(**given_strategies)(test))

        CASES[test.__name__] = min(cases, first)
        if cases > first:
            name = f"{test.__name__}_in_all_cases"
            CASES[name] = cases
            test.__globals__[name] = pytest.mark.slow(on(cases))
        return on(min(cases, first))

    return wrapped


@contextlib.contextmanager
def timed() -> Iterator[None]:
    """Fails where a case takes long, by the time of its core: others may have the machine."""
    began = time.process_time()
    try:
        yield
    finally:
        assert time.process_time() - began < MOST_SECONDS


@pytest.fixture(scope="module", autouse=True)
def imported():
    """Has all modules imported that are imported late: they count for no case."""
    for command in pkgutil.iter_modules(commands.__path__, f"{commands.__name__}."):
        importlib.import_module(command.name)


@pytest.fixture(autouse=True)
def watched(request, capfd, tmp_path, monkeypatch):
    """Checks the number of cases, memory, stderr, and that nothing is written where one works."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    peak()
    SEEN.clear()
    before = peak()
    yield
    used = peak() - before
    name, said = request.node.originalname, capfd.readouterr().err
    answers = len(SEEN) - SEEN.count("sentence")
    print(f"{name}: {len(SEEN)} cases, {answers} answers, {used / 1024:.0f} MB more")
    assert said == ""
    assert used < MOST_MEMORY
    assert len(SEEN) >= CASES.get(name, 0)
    assert list(work.iterdir()) == []
    assert "sentence" in SEEN or name not in CASES


def outcome(call: Callable[[], object], *names: object) -> object:
    """What a call answers, or its one sentence, which holds one of `names` and a remedy."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            with timed():
                found = call()
        except InputError as error:
            found = error
            said = str(error)
            assert said.isprintable()
            assert len(said) < 6000
            assert any(str(name) in said for name in names), said
            assert any(each in said for each in ("; ", "but must be", "choose", "give", "use"))
    assert not told, [str(each.message) for each in told]
    SEEN.append("sentence" if isinstance(found, InputError) else "answer")
    return found


def refused(found: object) -> bool:
    return isinstance(found, InputError)


def places(length: int) -> st.SearchStrategy:
    """Where a file is changed: at its beginning and end, where headers are, more than inside."""
    near = st.integers(0, min(length - 1, 1200))
    return near | near.map(lambda back: length - 1 - back) | st.integers(0, length - 1)


def damaged(content: bytes) -> st.SearchStrategy:
    """A file with some bytes overwritten, and maybe cut, longer, or with a part left out."""
    edits = st.lists(st.tuples(places(len(content)), st.binary(min_size=1, max_size=4)), max_size=4)
    ends = st.just(len(content)) | places(len(content))
    gaps = st.tuples(places(len(content)), st.sampled_from([0, 0, 0, 1, 4, 100]))

    def apply(edits: list, end: int, gap: tuple, more: bytes) -> bytes:
        changed = bytearray(content)
        for place, new in edits:
            changed[place : place + len(new)] = new
        del changed[gap[0] : gap[0] + gap[1]]
        return bytes(changed[:end]) + more

    longer = st.just(b"") | st.binary(max_size=8)
    return st.builds(apply, edits, ends, gaps, longer)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where foreign files lie."""
    return tmp_path_factory.mktemp("foreign")


# IDX files

SIZES = st.sampled_from([0, 1, 2, 3, 10, 28, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1])
MAGIC = st.sampled_from(
    [b"\0\0\x08"] * 9 + [b"\0\0\x09", b"\0\0\x0d", b"\0\1\x08", b"\x1f\x8b\x08"]
)


@st.composite
def idx_files(draw):
    """A header of up to 255 dimensions and as much as it says, nearly as much, or something."""
    many = st.builds(lambda size, count: [size] * count, SIZES, st.integers(60, 255))
    right = st.tuples(st.integers(0, 9), st.just(28), st.just(28))
    shape = draw(st.lists(SIZES, max_size=4) | many | right | st.tuples(SIZES))
    ndim = draw(st.just(len(shape)) | st.integers(0, 255))
    header = draw(MAGIC) + bytes([ndim]) + struct.pack(f">{len(shape)}I", *shape)
    size = math.prod(shape)
    size = size if size < 10_000 else draw(st.integers(0, 50))
    size = max(0, size + draw(st.sampled_from([0, 0, 0, 0, 1, -1, 7])))
    return header + np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()


def by_hand(content: bytes) -> np.ndarray | None:
    """What an IDX file of one or three dimensions of bytes holds; None where it is none."""
    if content[:4] not in (b"\0\0\x08\x01", b"\0\0\x08\x03"):
        return None
    start = 4 + 4 * content[3]
    if len(content) < start:
        return None
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    if len(content) - start != math.prod(shape):
        return None
    return np.array(list(content[start:]), np.uint8).reshape(shape)


def check_idx(path: Path, content: bytes, expected: np.ndarray | None) -> None:
    path.write_bytes(content)
    found = outcome(lambda: read_idx(path), path)
    assert refused(found) == (expected is None)
    assert expected is None or np.array_equal(found, expected)


@generated(700, content=idx_files(), packed=st.booleans())
def test_idx_headers(folder, content, packed):
    path = folder / ("x-ubyte.gz" if packed else "x-ubyte")
    check_idx(path, gzip.compress(content, 1) if packed else content, by_hand(content))


LABELS = (DATA_DIR / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").read_bytes()


@generated(400, content=damaged(LABELS))
def test_packed_idx_files_that_are_damaged(folder, content):
    try:
        expected = by_hand(gzip.decompress(content))
    except Exception:  # whatever gzip says of it
        expected = None
    check_idx(folder / "y-ubyte.gz", content, expected)


@generated(200, content=damaged(gzip.decompress(LABELS)))
def test_unpacked_idx_files_that_are_damaged(folder, content):
    check_idx(folder / "y-ubyte", content, by_hand(content))


PIXELS = st.tuples(st.integers(0, 3), st.sampled_from([28, 28, 27]), st.sampled_from([28, 28, 1]))


@generated(200, shape=PIXELS, labels=st.lists(st.sampled_from([*range(10), 10, 255]), max_size=3))
def test_parts_of_a_data_set(folder, shape, labels):
    place = folder / "set"
    write_idx(place / "train-images-idx3-ubyte.gz", np.full(shape, 7))
    write_idx(place / "train-labels-idx1-ubyte.gz", np.array(labels, np.uint8))
    found = outcome(lambda: load_idx_part(place, "train"), place)
    fits = shape[1:] == (28, 28) and shape[0] == len(labels) > 0 and max(labels) < 10
    assert refused(found) == (not fits)
    assert not fits or found.tensors[1].tolist() == labels


# checkpoints

PUBLISHED = CHECKPOINT_PATH.read_bytes()
WEIGHTS = torch.load(CHECKPOINT_PATH, weights_only=True)
CARD = CHECKPOINT_PATH.with_suffix(".json").read_bytes()


def saved(state: object, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


LEGACY = saved(WEIGHTS, zipped=False)


def check_weights(path: Path, content: bytes, card: bytes | None = None) -> object:
    """Loads a checkpoint, and where it loads, it answers with numbers."""
    path.write_bytes(content)
    beside = path.with_suffix(".json")
    beside.unlink(missing_ok=True)
    if card:
        beside.write_bytes(card)
    found = outcome(lambda: load_checkpoint(path), path)
    if not refused(found):
        state = found[0].state_dict()
        assert {name: each.shape for name, each in state.items()} == SHAPES
        assert all(each.isfinite().all() for each in state.values())
    return found


SHAPES = {name: each.shape for name, each in WEIGHTS.items()}


@generated(450, content=damaged(PUBLISHED), carded=st.booleans())
def test_checkpoints_that_are_damaged(folder, content, carded):
    found = check_weights(folder / "model.pth", content, CARD if carded else None)
    assert refused(found) or not carded or content == PUBLISHED


@generated(300, content=damaged(LEGACY) | st.binary(max_size=40).map(b"\x80".__add__))
def test_checkpoints_of_the_old_format_that_are_damaged(folder, content):
    check_weights(folder / "model.pth", content)


def first_set(value: float) -> Callable:
    """Puts a value in the first place."""

    def change(tensor: torch.Tensor) -> torch.Tensor:
        changed = tensor.clone()
        changed.view(-1)[0] = value
        return changed

    return change


KINDS = {  # what may become of a tensor, and whether it is still good weights
    "as it is": (lambda tensor: tensor, True),
    "float64": (torch.Tensor.double, True),
    "half": (torch.Tensor.half, True),
    "bfloat16": (torch.Tensor.bfloat16, True),
    "parameter": (torch.nn.Parameter, True),
    "strided": (lambda tensor: torch.stack([tensor, tensor], -1)[..., 0], True),
    "expanded": (lambda tensor: torch.tensor(0.5).expand(tensor.shape), True),
    "nan": (first_set(math.nan), False),
    "infinite": (first_set(-math.inf), False),
    "too large": (lambda tensor: first_set(1e300)(tensor.double()), False),
    "sparse": (torch.Tensor.to_sparse, False),
    "csr": (lambda tensor: tensor.flatten(1).to_sparse_csr() if tensor.dim() > 1 else None, False),
    "meta": (lambda tensor: tensor.to("meta"), False),
    "quantized": (lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8), False),
    "complex": (torch.Tensor.cfloat, False),
    "whole": (torch.Tensor.long, False),
    "bool": (torch.Tensor.bool, False),
    "transposed": (lambda tensor: tensor[None].mT if tensor.dim() > 1 else tensor[None], False),
    "flat": (lambda tensor: tensor.flatten()[:-1], False),
    "none": (lambda tensor: torch.zeros(0), False),
    "list": (torch.Tensor.tolist, False),
    "number": (lambda tensor: 1.5, False),
    "text": (lambda tensor: "weights", False),
}
CHANGES = st.dictionaries(st.sampled_from(list(WEIGHTS)), st.sampled_from(list(KINDS)), max_size=2)
NAMES = st.sampled_from(["fc2.bias", "fc3.bias", "", "conv1", 5, None, ("a", 1), "\n\x1b[2J", 1.5])


@generated(
    350, changes=CHANGES, gone=st.none() | NAMES, more=st.none() | NAMES, zipped=st.booleans()
)
def test_checkpoints_of_other_tensors(folder, changes, gone, more, zipped):
    state = dict(WEIGHTS)
    with warnings.catch_warnings(action="ignore"):
        for name, kind in changes.items():
            state[name] = KINDS[kind][0](state[name])
        if gone is not None:
            state.pop(gone, None)
        if more is not None:
            state[more] = torch.zeros(10)
        content = saved(state, zipped)
    good = all(KINDS[kind][1] for name, kind in changes.items() if name in state or name == more)
    if more == "fc2.bias":
        good = all(KINDS[kind][1] for name, kind in changes.items() if name != more)
    found = check_weights(folder / "model.pth", content)
    assert refused(found) == (not good or set(state) != set(WEIGHTS))
    if not refused(found):
        loaded = found[0].state_dict()
        assert all(torch.equal(state[name].float(), loaded[name]) for name in WEIGHTS)


SAFE = safetensors.torch.save(WEIGHTS, {"architecture": "SimpleCNN", "sha256": "0" * 64})


@st.composite
def safetensors_files(draw):
    """The published weights under a header that isn't quite theirs."""
    length = struct.unpack("<Q", SAFE[:8])[0]
    header = json.loads(SAFE[8 : 8 + length])
    name = draw(st.sampled_from(list(WEIGHTS)))
    part = draw(st.sampled_from(["dtype", "shape", "data_offsets", "all", "name", "metadata"]))
    small = st.integers(-2, 2**64)
    value = draw(
        {
            "dtype": st.sampled_from(["F64", "F16", "I32", "U8", "F8_E4M3", "C64", "X", 5, None]),
            "shape": st.lists(small | st.sampled_from([16, 1, 3]), max_size=5) | st.none(),
            "data_offsets": st.lists(small, max_size=3) | st.lists(st.integers(0, 900), max_size=2),
            "all": st.none() | st.just({}) | st.just([]),
            "name": st.text(max_size=5),
            "metadata": st.dictionaries(st.text(max_size=9), st.none() | st.text(max_size=9)),
        }[part]
    )
    if part == "all":
        header[name] = value
    elif part == "name":
        header[value] = header.pop(name)
    elif part == "metadata":
        header["__metadata__"] = value
    else:
        header[name][part] = value
    text = json.dumps(header).encode()
    said = draw(st.just(len(text)) | st.integers(0, 2**64 - 1))
    return struct.pack("<Q", said) + text + SAFE[8 + length :]


@generated(550, content=damaged(SAFE) | safetensors_files(), carded=st.booleans())
def test_safetensors(folder, content, carded):
    card = json.dumps(json.loads(CARD) | {"sha256": "0" * 64}).encode()
    check_weights(folder / "model.safetensors", content, card if carded else None)


# cards

NUMBERS = (
    st.integers(-3, 3)
    | st.sampled_from([2**31, 2**53, 2**63, 2**64, 10**30, 10**400, -(10**30)])
    | st.floats()
    | st.sampled_from([0.0, 0.5, 1.0, 5.0, 1e300, -0.0])
)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=8)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
DEEP = st.sampled_from(["[", '{"a":', '{"test":', '[{"x":']).map(lambda each: each * 20_000)
LITERALS = st.sampled_from(
    ["NaN", "-Infinity", "1e999", "[" * 3000 + "]" * 3000, "9" * 5000, "'x'"]
)


def places_of(value: object, path: tuple = ()) -> list[tuple]:
    """The paths to all parts of a JSON value."""
    found = [path]
    items = value.items() if isinstance(value, dict) else []
    if isinstance(value, list):
        items = list(enumerate(value))[:2]
    for key, each in items:
        found += places_of(each, (*path, key))
    return found


def replaced(value: object, path: tuple, new: object) -> object:
    """A JSON value with a part exchanged."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def json_files(value: object, more: tuple = ()) -> st.SearchStrategy:
    """A JSON file with a value of any type in any place, or damaged, or too deep."""
    text = json.dumps(value)
    paths = st.sampled_from([*places_of(value), *more])
    exchanged = st.builds(lambda path, new: json.dumps(replaced(value, path, new)), paths, JSON)
    marked = [json.dumps(replaced(value, path, "@")) for path in places_of(value)]
    literal = st.builds(
        lambda each, raw: each.replace('"@"', raw), st.sampled_from(marked), LITERALS
    )
    texts = exchanged | exchanged | literal | DEEP
    return texts.map(str.encode) | damaged(text.encode())


def number(value: object, low: float, high: float = math.inf) -> bool:
    right = isinstance(value, int | float) and not isinstance(value, bool)
    return right and low <= value <= high and abs(value) < math.inf


def whole(value: object, low: int) -> bool:
    return number(value, low, 2**63 - 1) and isinstance(value, int)


def is_card(card: object) -> bool:
    """What a reader of a card may count on."""
    if not isinstance(card, dict):
        return False
    history = card.get("history", {})
    parts = [card.get(part, {}) for part in ("test", "validation", "config")]
    if not all(isinstance(part, dict) for part in [history, *parts]):
        return False
    figures = [
        number(part.get("accuracy", 0), 0, 1) and number(part.get("loss", 0), 0)
        for part in parts[:2]
    ]
    rows = [
        isinstance(row, list) and all(number(x, -math.inf) for x in row) for row in history.values()
    ]
    known = isinstance(card.get("sha256", ""), str) and whole(card.get("best_epoch", 1), 1)
    return all([*figures, *rows, known, whole(parts[2].get("seed", 0), 0)])


def plain(content: bytes) -> object:
    """What Python's own reader finds, without numbers that JSON doesn't know; None for none."""
    try:
        return json.loads(content.decode())
    except (ValueError, RecursionError):
        return None


SMALL_CARD = json.loads(CARD) | {
    "history": {"val_loss": [0.5, 0.4], "train_loss": [1, 2]},
    "validation": {"accuracy": 1, "loss": 0},
}


@generated(600, content=json_files(SMALL_CARD))
def test_cards(folder, content):
    path = folder / "card.json"
    path.write_bytes(content)
    found = outcome(lambda: read_card(path), path)
    assert refused(found) or is_card(found), found
    if found == {}:  # another's file
        assert b'"sha256"' not in content
    elif not refused(found):
        assert found.get("test") == plain(content).get("test")


@pytest.fixture(scope="module")
def tiny_data(splits, tmp_path_factory):
    """Twenty images of each part."""
    folder = tmp_path_factory.mktemp("tiny")
    write_data_set(folder, splits, 20, 20)
    return folder


def command(*args: object) -> tuple[int, str]:
    """Exit code and stderr of a command line."""
    err, before = io.StringIO(), sys.stderr
    code, sys.stderr = 0, err
    try:
        with timed():
            main([str(arg) for arg in args])
    except SystemExit as end:
        code = end.code
    finally:
        sys.stderr = before
    return code, err.getvalue()


# run folders

RECORD = {
    "epoch": 1, "train_loss": 1.5, "train_accuracy": 0.5, "val_loss": 1.25, "val_accuracy": 0.75,
    "learning_rate": 0.01, "seconds": 3.5,
}  # fmt: skip
SETTINGS = json.loads(json.dumps(dataclasses.asdict(Config(device="cpu")), default=str))


@generated(250, content=json_files(SETTINGS))
def test_configurations_of_runs(folder, content):
    run = folder / "run"
    run.mkdir(exist_ok=True)
    (run / "config.json").write_bytes(content)
    found = outcome(lambda: read_config(run), run, *SETTINGS)
    if not refused(found):
        expected = plain(content)
        assert found == Config(**{**expected, "betas": tuple(expected["betas"])})


@pytest.fixture(scope="module")
def begun(tmp_path_factory, tiny_data):
    """A run of two epochs that was stopped after the first."""
    place = tmp_path_factory.mktemp("begun")
    config = Config(
        epochs=2, val_size=10, batch_size=5, device="cpu", data_dir=tiny_data, runs_dir=place,
    )  # fmt: skip
    run, trainer = new_run(config), Trainer(make_model(), load_splits(tiny_data, 10), config)

    def stop(record):
        save_run(run, trainer)
        raise KeyboardInterrupt

    trainer.run(stop, on_step=no_bar)
    return run


def state_places(state: object, path: tuple = ()) -> list[tuple]:
    """The paths to all parts of a state."""
    found = [path]
    if isinstance(state, dict):
        found += [each for key in state for each in state_places(state[key], (*path, key))]
    if isinstance(state, list | tuple):
        parts = enumerate(state[:2])
        found += [each for at, part in parts for each in state_places(part, (*path, at))]
    return found


TENSORS = st.sampled_from(
    [
        torch.zeros(0), torch.zeros(3), torch.tensor(math.nan), torch.zeros(16, 1, 3, 3),
        torch.full((10,), math.nan), torch.zeros(5000, dtype=torch.uint8), torch.zeros(10).long(),
    ]
)  # fmt: skip


@generated(60, first=20, data=st.data())
def test_states_of_runs(begun, tmp_path, data, capfd):
    path = begun / "state.pt"
    kept = path.with_name("kept.pt")
    if not kept.exists():
        path.rename(kept)
    state = torch.load(kept, weights_only=True)
    place = data.draw(st.sampled_from(state_places(state)))
    torch.save(replaced(state, place, data.draw(LEAVES | TENSORS)), path)
    code, err = command("train", "--resume", begun)
    capfd.readouterr()
    SEEN.append("sentence" if code else "answer")
    one_line = err.count("\n") == 1 and (str(begun) in err or "The state of the run" in err)
    assert (code, err) == (0, "") or (code == 2 and one_line), (place, err)
    if not code:
        card = json.loads((begun / "model.json").read_bytes())
        assert all(map(math.isfinite, chain(*card["history"].values())))
        assert card["history"]["val_loss"][1:]
        load_checkpoint(begun / "model.pth")


# snapshots

MOMENTS = Snapshots(
    [0, 0.5, 1.0, 2.0],
    [{name: WEIGHTS[name] * at for name in ("fc2.weight", "fc2.bias")} for at in range(4)],
    {name: [value, value] for name, value in RECORD.items()},
)
ARRAYS = st.builds(
    lambda shape, kind, value: np.full(shape, value).astype(kind),
    st.lists(st.integers(0, 5), max_size=3) | st.just([4, 10]) | st.just([4]),
    st.sampled_from(["f4", "f8", "f2", "i2", "u1", "i8", "c8", "U5", "S3", "M8[s]", "?"]),
    st.sampled_from([0, 1, 2, 30_000]),
)
PARTS = ["epochs", "history", "steps/fc2.bias", "changes/fc2.bias", "steps/x", "changes/x", "y"]


@pytest.fixture(scope="module")
def moments(folder):
    """A small file of snapshots."""
    save_snapshots(folder / "first.npz", MOMENTS)
    return folder / "first.npz"


def check_snapshots(path: Path) -> None:
    found = outcome(lambda: load_snapshots(path), path)
    if refused(found):
        return
    assert len(found.epochs) == len(found.weights) == len(set(found.epochs))
    assert all(number(each, 0) for each in found.epochs)
    assert 0 <= found.best < len(found.epochs)
    for weights in found.weights:
        assert all(each.dtype == torch.float32 for each in weights.values())
        assert all(each.isfinite().all() for each in weights.values())
    assert all(number(each, -math.inf) for each in chain(*found.history.values()))


@generated(150, data=st.data())
def test_snapshots_that_are_damaged(folder, moments, data):
    (folder / "moments.npz").write_bytes(data.draw(damaged(moments.read_bytes())))
    check_snapshots(folder / "moments.npz")


@generated(
    200,
    changes=st.dictionaries(st.sampled_from(PARTS), ARRAYS, max_size=2),
    gone=st.none() | st.sampled_from(PARTS),
    epochs=st.none() | st.lists(st.floats(), max_size=5),
    history=st.none() | json_files({name: [value] for name, value in RECORD.items()}),
)
def test_snapshots_of_other_arrays(folder, moments, changes, gone, epochs, history):
    with np.load(moments) as file:
        arrays = dict(file)
    if epochs is not None:
        arrays["epochs"] = np.array(epochs)
    if history is not None:
        arrays["history"] = np.array(history.decode(errors="replace"))
    arrays |= changes
    arrays.pop(gone, None)
    np.savez(folder / "moments.npz", **arrays)
    check_snapshots(folder / "moments.npz")


# pictures


def seven(mode: str = "L", size: int = 60) -> Image.Image:
    """A 7 on light ground."""
    ink = np.full((size, size), 230, np.uint8)
    ink[size // 6 : size // 4, size // 5 : 4 * size // 5] = 20
    for row in range(size // 4, 5 * size // 6):
        middle = 4 * size // 5 - (row - size // 4) // 2
        ink[row, middle - size // 12 : middle] = 20
    picture = Image.fromarray(ink)
    if mode == "F":
        return Image.fromarray(ink.astype(np.float32) / 255)
    if mode == "I;16":
        return Image.fromarray(ink.astype(np.uint16) * 257)
    return picture.convert(mode, dither=Image.Dither.NONE)


def packed(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


MODES = {  # in which a format can say the same picture
    "PNG": ["L", "RGB", "RGBA", "LA", "P", "1", "I;16"],
    "JPEG": ["L", "RGB", "CMYK"],
    "GIF": ["L", "P", "RGB"],
    "WEBP": ["RGB", "RGBA"],
    "TIFF": ["L", "RGB", "RGBA", "P", "1", "I;16", "F", "CMYK", "LAB"],
    "AVIF": ["RGB"],
    "DDS": ["RGB", "RGBA", "L"],
    "JPEG2000": ["L", "RGB"],
    "BMP": ["L", "RGB", "P", "1"],
    "ICO": ["RGBA"],
    "PPM": ["L", "RGB", "1"],
    "TGA": ["L", "RGBA"],
    "PCX": ["L", "RGB"],
}
PICTURES = {
    (kind, mode): packed(seven(mode), kind) for kind, modes in MODES.items() for mode in modes
}
CHOSEN = st.sampled_from(list(PICTURES))


@generated(400, data=st.data(), chosen=CHOSEN)
def test_pictures_that_are_damaged(folder, data, chosen):
    path = folder / "digit"
    path.write_bytes(data.draw(damaged(PICTURES[chosen])))
    check_picture(path)


def check_picture(path: Path) -> object:
    found = outcome(lambda: load_digits(path), path)
    if not refused(found):
        for image, (left, top, right, bottom) in found:
            assert image.shape == (1, 28, 28)
            pixels = image * 0.3081 + 0.1307
            assert pixels.isfinite().all()
            assert -1e-5 < pixels.min() < 0.01
            assert 0.99 < pixels.max() < 1.00001  # the darkest ink
            assert 0 <= left < right
            assert 0 <= top < bottom
    return found


@generated(150, shape=st.tuples(st.integers(1, 90), st.integers(1, 90)), data=st.data())
def test_pictures_of_any_ink(folder, shape, data):
    """Dark on light is what light on dark is, and what hasn't contrast enough is refused."""
    pixels = np.full(shape, data.draw(st.sampled_from([0, 100, 255])), np.uint8)
    for _ in range(data.draw(st.integers(0, 3))):
        top, left = (data.draw(st.integers(0, side - 1)) for side in shape)
        height, width = data.draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))
        pixels[top : top + height, left : left + width] = data.draw(st.integers(0, 255))
    both = []
    for name, values in (("ink.png", pixels), ("negative.png", 255 - pixels)):
        Image.fromarray(values).save(folder / name)
        both.append(check_picture(folder / name))
    assert refused(both[0]) == refused(both[1])
    if np.ptp(pixels) < 20:
        assert refused(both[0])
    if not refused(both[0]):
        assert [digit.box for digit in both[0]] == [digit.box for digit in both[1]]


@pytest.mark.parametrize("chosen", PICTURES)
def test_every_kind_of_picture_shows_the_same_digit(folder, chosen):
    path = folder / "digit"
    path.write_bytes(PICTURES[chosen])
    expected = folder / "plain.png"
    seven().save(expected)
    (digit,) = check_picture(path)
    difference = (digit.image - load_digit(expected)).abs().mean()
    assert difference < 0.12  # of standard deviations of MNIST's pixels


# configuration values


class Odd:
    def __repr__(self) -> str:
        return "odd\n\x1b[2J"


ANY = (
    LEAVES
    | st.sampled_from(
        [10**4000, -(10**4000), complex(1, 1), b"x", (), [], {}, Odd(), Odd, set(), "\0"]
    )
    | st.sampled_from([np.int64(3), np.float32(0.5), np.array([1, 2]), torch.tensor(3), range(3)])
    | st.lists(NUMBERS, max_size=3)
    | st.tuples(NUMBERS, NUMBERS)
    | st.sampled_from(["auto", "cpu", "cpu:0", "cuda", "cuda:99", "cos", "x.pth", "a" * 5000])
)
RANGES = {  # whole numbers, and others
    "batch_size": 1, "epochs": 1, "patience": 1, "val_size": 10, "seed": 0, "num_workers": 0,
}  # fmt: skip
FRACTIONS = ["warm_up", "label_smoothing", "scaling"]


@generated(
    800, fields=st.dictionaries(st.sampled_from(list(SETTINGS)), ANY, min_size=1, max_size=2)
)
def test_configuration_values(fields):
    found = outcome(lambda: Config(**fields), *fields)
    if refused(found):
        return
    for name, low in RANGES.items():
        assert type(getattr(found, name)) is int
        assert getattr(found, name) >= low
    for name in ("learning_rate", "weight_decay", "rotation", "translation", "shear", *FRACTIONS):
        assert number(getattr(found, name), 0, 1 if name in FRACTIONS else 180)
    assert all(number(beta, 0, 1) for beta in found.betas)
    assert all(isinstance(path, Path) for path in (found.data_dir, found.runs_dir))
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_other_way_round_what_a_run_had_is_accepted(name):
    Config(**{name: SETTINGS[name]})


# command lines

FLAGS = [
    f"--{name.replace('_', '-')}"
    for name in [*SETTINGS, *FIELDS, "preset", "resume", "checkpoint", "out", "images",
                 "format", "class_names", "timeout", "jobs", "parameters", "output_dir", "no-save"]
]  # fmt: skip
WORDS = st.sampled_from(
    ["", "x", "-1", "0", "3", "1e400", "nan", "inf", "99999999999999999999", "None", "True", "/",
     "a\nb", "\x1b[2J", "ü", "\ud800", "--", "-", "-p", "--help", "best", "conv1",
     "9" * 5000, "a" * 5000]
) | st.text(max_size=5)  # fmt: skip
COMMANDS = ["train", "evaluate", "predict", "export", "visualize", "analyze", "notebooks", "site"]
PAIRS = st.tuples(st.sampled_from(FLAGS), WORDS)
TAIL = st.lists(PAIRS | PAIRS | st.tuples(WORDS), max_size=2).map(lambda parts: sum(parts, ()))


LINES = st.builds(lambda first, tail: [first, *tail], st.sampled_from(COMMANDS) | WORDS, TAIL)
TRAIN = st.tuples(st.just("train"), st.sampled_from(FLAGS[: len(SETTINGS)]), WORDS)


@generated(300, first=50, words=LINES | TRAIN)
def test_command_lines_are_understood_or_refused(words, capfd):
    def understood() -> object:
        try:
            return parse(words)
        except SystemExit as end:
            return end

    found = outcome(understood, *SETTINGS, *FIELDS, "notebook", "drawing")
    said = capfd.readouterr()
    assert "Traceback" not in said.err
    assert said.err == "" or isinstance(found, SystemExit)
    assert getattr(found, "code", 0) in (0, 2)


@generated(
    60,
    first=30,
    name=st.sampled_from(
        ["predict", "evaluate", "export", "visualize", "analyze", "site", "train"]
    ),
    path=st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=30).map(
        "no/".__add__
    ),
)
def test_paths_that_lead_nowhere(name, path, capfd):
    args = {
        "predict": ["predict", path],
        "train": ["train", "--resume", path],
        "export": ["export", "--format", "safetensors", "--out", "/proc/x", "--checkpoint", path],
    }.get(name, [name, "--checkpoint", path, "--out", "/proc/x"])
    args = args[:3] if name == "evaluate" else args
    code, err = command(*args)
    capfd.readouterr()
    SEEN.append("sentence" if code else "answer")
    assert (code, err.count("\n")) == (2, 1)
    assert err[:-1].isprintable()


# parameters of notebooks

NOTEBOOK = [NOTEBOOKS_DIR / "MNIST-classifier.ipynb"]
TEXTS = st.text(max_size=12) | NUMBERS.map(lambda each: str(each)[:4000]) | WORDS


@generated(300, name=st.sampled_from(["epochs", "batch_size", "learning_rate", "seed"]), text=TEXTS)
def test_parameters_of_notebooks(name, text):
    """As the first cells of the notebooks do: read as on the command line, then a Config."""
    found = outcome(lambda: Config(**parse_parameters(NOTEBOOK, [(name, text)])), name)
    assert refused(found) or number(getattr(found, name), 0)


@generated(20, name=st.text(max_size=12) | st.just("epochs"))
def test_names_of_parameters(name):
    found = outcome(
        lambda: parse_parameters(NOTEBOOK, [(name, "1")]), "no notebook here has a parameter"
    )
    assert refused(found) == (name != "epochs")


# selections


@pytest.fixture(scope="module")
def subject(tiny_data):
    model, _ = load_checkpoint()
    test = load_idx_part(tiny_data, "test")
    return Subject(model, *test.tensors, others={"random": make_model().state_dict()})


INK = base64.b64encode(bytes(70 * 140) + bytes([255]) * 140 + bytes(69 * 140)).decode()
LIKELY = {
    "view": st.sampled_from(list(VIEWS)),
    "layer": st.sampled_from(["image", "conv1", "conv2", "flatten", "fc2", "softmax"]),
    "weights": st.sampled_from(["trained", "random"]),
    "ablated": st.lists(
        st.tuples(st.sampled_from(["conv1", "conv2", "fc1", 3]), NUMBERS), max_size=2
    ),
    "disturbance": st.sampled_from(["none", "rotation", "noise", "blur"]),
    "kernel": st.lists(NUMBERS, min_size=9, max_size=9),
    "drawing": st.sampled_from([INK, INK[:-4], "", "*"]),
    "read": st.sampled_from(["all", "right", "wrong"]),
    "limits": st.sampled_from(["layer", "robust", "each"]),
    "compare": st.sampled_from(["alone", "beside", "difference"]),
    "quantity": st.sampled_from(["weights", "change"]),
    "stride": st.integers(0, 3),
    "padding": st.integers(0, 2),
    "rank": st.booleans(),
}


@st.composite
def selections(draw):
    names = draw(st.lists(st.sampled_from(FIELDS), unique=True, min_size=1, max_size=4))
    found = {}
    for name in names:
        likely = LIKELY.get(name, st.integers(0, 9))
        found[name] = draw(st.one_of(likely, likely, ANY))
    return found


@generated(450, fields=selections())
def test_selections(subject, fields):
    def looked() -> Selection:
        at = Selection(**fields)
        subject.check(at)
        return subject.look(at)

    found = outcome(looked, *fields, "drawn", "drawing", "ablated")
    if not refused(found):
        assert found.image in range(20)
        assert None not in (found.layer, found.channel, found.row, found.column, found.weights)


FAST = [name for name in VIEWS if name not in ("ablation", "neighbours", "training", "top_images")]


@generated(60, first=30, fields=selections(), view=st.sampled_from(FAST))
def test_selections_on_paper(subject, fields, view):
    found = outcome(
        lambda: still(subject, **fields | {"view": view, "rank": False}).scene,
        *fields, "class", "drawn", "drawing", "ablated",
    )  # fmt: skip
    assert refused(found) or "nan" not in found.caption


def test_they_are_at_least_5_000():
    kinds = [name for name in CASES if f"{name}_in_all_cases" not in CASES]
    assert sum(CASES[name] for name in kinds) >= 5000
