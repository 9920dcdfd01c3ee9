"""Do the notebooks say the same on every processor? `python tests/stable.py [NOTEBOOK ...]`

Processors add up in different orders, so what layers put out differs in its last digits. Here the
cells of the notebooks are executed under seeded noise that is larger than that, and the texts that
nbval would compare with the saved ones are compared with them: none may differ.

`--draws N` is how often (20 by default). `--processors` does the same without noise, on every code
path that PyTorch's and oneDNN's variables can choose on this processor, with one thread and two.
"""

import argparse
import configparser
import contextlib
import difflib
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import nbformat
import torch
from IPython.core.display_trap import DisplayTrap
from IPython.core.displayhook import CapturingDisplayHook
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from nbformat import NotebookNode
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from mnist_helpers.config import NOTEBOOKS_DIR
from mnist_helpers.explorer.paper import Still
from mnist_helpers.notebooks import ORDER

AMOUNT = 1e-5  # of the root mean square of what an operation puts out
POOL = 2**20
# what adds up many products, in an order that is the processor's own
ROUNDED = (
    "conv2d", "convolution", "convolution_backward", "linear", "addmm", "mm", "bmm", "matmul",
    "_cdist_forward", "grid_sampler_2d", "avg_pool2d", "upsample_bilinear2d",
)  # fmt: skip
SUMS = ("sum", "mean", "std", "linalg_vector_norm", "nll_loss_forward")
ATEN = ("default", "avx2", "")  # of ATEN_CPU_CAPABILITY; an empty one is left alone
ONEDNN = ("SSE41", "AVX2", "AVX512_CORE", "AVX512_CORE_BF16", "")  # of ONEDNN_MAX_CPU_ISA
SETTINGS = [
    {"ATEN_CPU_CAPABILITY": aten, "ONEDNN_MAX_CPU_ISA": onednn, "OMP_NUM_THREADS": threads}
    for aten, onednn, threads in product(ATEN, ONEDNN, "12")
]


class Noise(TorchDispatchMode):
    """Puts seeded noise on what operations that round put out."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.numbers = torch.randn(
            POOL, generator=generator
        )  # used again and again: drawing is slow
        self.place = 0

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        output = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ROUNDED or (name in SUMS and not is_whole(args[0])):
            parts = output if isinstance(output, tuple) else (output,)
            for part in parts:
                if isinstance(part, Tensor) and part.is_floating_point():
                    self.add_to(part)
        return output

    def add_to(self, output: Tensor) -> None:
        """Adds noise to its numbers as they lie in memory; a sum of zeros is zero in any order."""
        flat = output.as_strided((output.numel(),), (1,))
        if not len(flat):
            return
        size = AMOUNT * flat.norm() / len(flat) ** 0.5
        for part in flat.split(POOL // 2):
            self.place = (self.place + len(part)) % (POOL // 2)
            noise = self.numbers[self.place : self.place + len(part)]
            part.addcmul_(noise, (part != 0).to(part), value=float(size))


def is_whole(values: object) -> bool:
    """Whether these are whole numbers, which any order adds up to the same."""
    if not isinstance(values, Tensor) or not values.is_floating_point():
        return True
    return bool((values == values.round()).all())


class Shell(InteractiveShell):
    """IPython's, without windows."""

    def enable_gui(self, gui: str | None = None) -> None:
        """Called by `%matplotlib inline`."""


class Reader:
    """Executes notebooks in this process; pictures are left out."""

    def __init__(self) -> None:
        self.shell = Shell.instance()
        self.shell.display_formatter.active_types = ["text/plain"]
        self.shell.display_pub = CapturingDisplayPublisher()
        self.outputs = self.shell.display_pub.outputs
        hook = CapturingDisplayHook(shell=self.shell, outputs=self.outputs)
        self.shell.display_trap = DisplayTrap(hook=hook)
        Still.png = lambda still: b""

    def texts(self, notebook: NotebookNode) -> Iterator[list[str]]:
        """What each code cell says."""
        self.shell.reset(new_session=False)
        for cell in code_cells(notebook):
            self.outputs.clear()
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                self.shell.run_cell(cell.source).raise_error()
            data = [output["data"] for output in self.outputs]
            shown = [each["text/plain"] for each in data if "text/plain" in each]
            yield [printed.getvalue(), *shown]


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells that are executed."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def saved_texts(cell: NotebookNode) -> list[str]:
    """What a cell said when it was saved: what it printed, then what it showed."""
    printed = "".join(output.get("text", "") for output in cell.outputs)
    shown = [output.data["text/plain"] for output in cell.outputs if "data" in output]
    return [printed, *shown]


def sanitised(texts: Sequence[str]) -> list[str]:
    """Lines without what nbval doesn't compare, either."""
    rules = configparser.ConfigParser()
    rules.read(Path(__file__).with_name("nbval.cfg"), encoding="utf-8")
    text = "\n".join(texts)
    for name in rules.sections():
        text = re.sub(rules[name]["regex"], rules[name]["replace"], text)
    return text.splitlines()


def differences(reader: Reader, path: Path) -> Iterator[str]:
    """The lines of a notebook that come out otherwise than they were saved."""
    notebook = nbformat.read(path, as_version=4)
    os.chdir(path.parent)
    for number, (cell, texts) in enumerate(
        zip(code_cells(notebook), reader.texts(notebook), strict=True), start=1
    ):
        lines = difflib.unified_diff(sanitised(saved_texts(cell)), sanitised(texts), n=0)
        for line in list(lines)[2:]:
            if not line.startswith("@@"):
                yield f"{path.stem}, code cell {number}: {line}"


def compare(paths: Sequence[Path], seeds: Sequence[int]) -> list[str]:
    """The differing lines of some notebooks under noise of these seeds, or without any."""
    reader = Reader()
    lines = []
    for seed in seeds or [None]:
        for path in paths:
            noise = contextlib.nullcontext() if seed is None else Noise(seed)
            with noise:
                lines += [f"noise {seed}: {line}" for line in differences(reader, path)]
    return lines


def in_a_process(paths: Sequence[Path], seeds: Sequence[int], setting: dict[str, str]) -> list[str]:
    """The same in a process of its own, with variables that are read at its start."""
    environment = {name: text for name, text in os.environ.items() if name not in setting}
    environment |= {name: text for name, text in setting.items() if text}
    words = json.dumps([list(map(str, paths)), list(seeds)])
    command = [sys.executable, __file__, "--child", words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    """Prints the lines that differ, and how many runs were compared."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("notebooks", nargs="*", default=ORDER)
    parser.add_argument("--draws", type=int, default=20, help="how often there is other noise")
    parser.add_argument("--processors", action="store_true", help="code paths in place of noise")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        names, seeds = json.loads(options.child)
        with contextlib.redirect_stdout(sys.stderr):
            lines = compare(list(map(Path, names)), seeds)
        print(json.dumps(lines))
        return 0
    paths = [NOTEBOOKS_DIR / f"{name}.ipynb" for name in options.notebooks]
    tasks = [([seed], {"OMP_NUM_THREADS": "1"}) for seed in range(options.draws)]
    if options.processors:
        tasks = [([], setting) for setting in SETTINGS]

    def run(task: tuple[list[int], dict[str, str]]) -> list[str]:
        started = time.perf_counter()
        lines = in_a_process(paths, *task)
        what = " ".join(f"{name}={text or '-'}" for name, text in task[1].items())
        noise = f"noise {task[0][0]}" if task[0] else what
        seconds = time.perf_counter() - started
        print(f"{noise}: {len(lines)} lines differ, {seconds:.0f} s", *lines, sep="\n", flush=True)
        return lines

    jobs = 1 if options.processors else os.cpu_count() or 1
    with ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(run, tasks))
    print(f"{len(results)} runs of {len(paths)} notebooks, {sum(map(bool, results))} differ")
    return int(any(results))


if __name__ == "__main__":
    sys.exit(main())
