"""Looks for what piles up: `python benchmarks/soak.py [selections] [runs] [at_once]`.

Several parts can be named; by default all run, which takes an hour.
selections: 10,000 changes at random, as the page could send them, with this process's memory.
runs: the shortest notebook 200 times by papermill; processes, files, threads and ports left over.
at_once: four `mnist-helpers notebooks` at a time, into folders of their own and into one.

Prints tables and writes nothing; exits with 1 where something piled up or failed.
"""

import asyncio
import base64
import gc
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import nbformat
import numpy as np
import psutil
from ipywidgets import BoundedIntText, HBox, IntSlider
from torch import Tensor
from tqdm import tqdm

from mnist_helpers import load_checkpoint, load_splits
from mnist_helpers.commands.notebooks import execute
from mnist_helpers.config import NOTEBOOKS_DIR
from mnist_helpers.explorer import Explorer, Selection, Subject
from mnist_helpers.explorer.controls import PLAYED, changes_of
from mnist_helpers.runs.snapshots import load_snapshots

SELECTIONS, WARM, MOST_MB = 10_000, 2_000, 50  # what memory may grow by after the warm ones
IMAGES, PAUSE = 1_000, 0.01  # seconds between two selections
RUNS = 200
SHORTEST, MARK = "00_start_here", "MNIST_SOAK"


def drawn(image: Tensor) -> str:
    """The strokes of an image (1, 28, 28), five times as large, as what the pad sends."""
    strokes = (image[0] > 0).byte().mul(255).numpy()
    return base64.b64encode(np.kron(strokes, np.ones((5, 5), np.uint8)).tobytes()).decode()


def a_change(explorer: Explorer, dice: random.Random) -> dict[str, object]:
    """A part of the selection as the page could send it: a tab, a click, a drawing, a control."""
    subject = explorer.subject
    views = [name for _, name in explorer.tabs.options]
    convolution = dice.choice(subject.network.convolutions)
    channel = dice.randrange(subject.layers[convolution].shape[0])
    others = [
        {"view": dice.choice(views)},
        {"view": dice.choice(views)},
        {"ablate": dice.choice([[convolution, channel], None])},
        {"kernel": [dice.uniform(-1, 1) for _ in range(9)]},
        {"pointed": dice.randrange(IMAGES)},
        {"drawing": drawn(subject.images[dice.randrange(IMAGES)])},
        {"reset": True},
    ]
    shown = [control for box in explorer.panel.children for control in box.children]
    shown += [control for box in shown if isinstance(box, HBox) for control in box.children]
    name, control = dice.choice(
        [(name, control) for name, control in explorer.controls.items() if control in shown]
    )
    if name in PLAYED:
        return dice.choice(others)
    if control.disabled or dice.random() < 0.4:
        return dice.choice(others)
    if isinstance(control, IntSlider | BoundedIntText):
        return changes_of(subject, explorer.selection, name, dice.randint(0, control.max))
    return changes_of(subject, explorer.selection, name, dice.choice(control.options)[1])


def selections() -> bool:
    """Resident memory over the selections, every thousand."""
    return asyncio.run(select())


async def select() -> bool:
    """The same in an event loop, as in a kernel: slow jobs go on, or are dropped, between moves."""
    splits = load_splits()
    images, labels = (tensor[:IMAGES] for tensor in splits.test.tensors)
    model, _ = load_checkpoint()
    paths = [NOTEBOOKS_DIR / "snapshots" / f"{name}.npz" for name in ("quick", "too_fast")]
    runs = {path.stem: load_snapshots(path) for path in paths}
    known = tuple(tensor[:IMAGES] for tensor in splits.train.tensors)
    subject = Subject(model, images, labels, known_images=known, runs=runs)
    explorer, dice, views = Explorer(subject, Selection()), random.Random(0), Counter()
    process, sizes, began = psutil.Process(), {}, time.perf_counter()
    for serial in tqdm(range(1, SELECTIONS + 1), disable=not sys.stderr.isatty()):
        explorer.receive({"select": a_change(explorer, dice), "serial": serial})
        views[explorer.selection.view] += 1
        await asyncio.sleep(PAUSE)
        if serial % 1000 == 0:
            gc.collect()
            sizes[serial] = process.memory_info().rss / 2**20
            seconds = time.perf_counter() - began
            print(f"{serial:6,} selections {sizes[serial]:8,.0f} MB {seconds:6,.0f} s", flush=True)
    growth = sizes[SELECTIONS] - sizes[WARM]
    print("views:", *(f"{view} {count:,}" for view, count in views.most_common()))
    print(f"growth after the first {WARM:,}: {growth:,.0f} MB")
    return growth <= MOST_MB


def held(folder: str) -> dict[str, int]:
    """What this process and those that it began hold of the machine, or left in `folder`."""
    process, mark = psutil.Process(), {MARK: str(os.getpid())}
    environments = (each.info["environ"] or {} for each in psutil.process_iter(["environ"]))
    ports = [each for each in process.net_connections() if each.status == psutil.CONN_LISTEN]
    return {
        "processes": sum(mark.items() <= each.items() for each in environments),
        "open files": process.num_fds(),
        "threads": process.num_threads(),
        "ports": len(ports),
        "files left": sum(path.is_file() for path in Path(folder).rglob("*")),
        "MB": process.memory_info().rss // 2**20,
    }


def runs() -> bool:
    """What is held after the first run, every twenty, and at the end."""
    source, seen, failed = NOTEBOOKS_DIR / f"{SHORTEST}.ipynb", [], 0
    os.environ[MARK] = str(os.getpid())  # kernels inherit it, also those that lost their parent
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder  # where kernels say how to reach them
        for number in range(1, RUNS + 1):
            failed += bool(execute(source, Path(folder) / source.name, {}, timeout=120))
            if number == 1 or number % 20 == 0:
                gc.collect()
                seen.append(held(folder))
                seconds = time.perf_counter() - began
                print(f"run {number:4}", seen[-1], f"{seconds:,.0f} s", flush=True)
    tempfile.tempdir = None
    leaked = [name for name in seen[0] if name != "MB" and seen[-1][name] > seen[0][name]]
    print(f"{failed} of {RUNS} failed; more than after the first: {', '.join(leaked) or 'nothing'}")
    return not leaked and not failed


def at_once() -> bool:
    """Four commands at a time, into folders of their own and into one; the exit status of each."""
    command = [sys.executable, "-m", "mnist_helpers", "notebooks", SHORTEST, "--output-dir"]
    good = True
    for name, places in {"own folders": "abcd", "one folder": "aaaa"}.items():
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            started = [subprocess.Popen([*command, Path(folder) / place]) for place in places]
            codes = [process.wait() for process in started]
            left = [path for path in Path(folder).rglob("*") if path.is_file()]
            for path in left:
                nbformat.read(path, as_version=4)  # each is whole
        print(f"{name}: exit {codes}, {time.perf_counter() - began:.0f} s, {len(left)} notebooks")
        good &= codes == [0] * 4 and len(left) == len(set(places))
    return good


if __name__ == "__main__":
    parts = {"selections": selections, "runs": runs, "at_once": at_once}
    results = [parts[name]() for name in sys.argv[1:] or parts]
    sys.exit(not all(results))
