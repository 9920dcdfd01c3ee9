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
import gc
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

from mnist_helpers.commands.notebooks import ORDER
from mnist_helpers.config import NOTEBOOKS_DIR
from mnist_helpers.explorer.paper import Still

AMOUNT = 1e-5  # of each number: logits then differ several times as much as between processors
POOL = 2**22
# what adds up many products, and which of its arguments are weights
PRODUCTS = {
    "conv2d": 1, "convolution": 1, "convolution_backward": 2, "linear": 1, "addmm": 2, "mm": 1,
    "bmm": 1, "matmul": 1,
}  # fmt: skip
SUMS = ("sum", "mean", "std", "linalg_vector_norm", "_cdist_forward")
# values of ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA; with none PyTorch and oneDNN choose
CODE_PATHS = (
    (None, None),
    ("avx2", None),
    ("default", None),
    (None, "AVX512_CORE_BF16"),
    (None, "AVX512_CORE"),
    (None, "AVX2"),
    (None, "SSE41"),
    ("avx2", "AVX2"),
    ("default", "SSE41"),
)
Setting = dict[str, str | None]


class Noise(TorchDispatchMode):
    """Puts seeded noise on the weights of every convolution and product, and on what sums put out.

    Noise on weights is noise on all that a layer puts out, and yet what a kernel makes of the same
    patch is the same at every place, as on every processor.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.factors = 1 + AMOUNT * torch.randn(POOL, generator=generator)

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        name = func.overloadpacket.__name__
        if name in PRODUCTS:
            place = PRODUCTS[name]
            args = (*args[:place], self.noisy(args[place]), *args[place + 1 :])
        output = func(*args, **(kwargs or {}))
        if name in SUMS and not is_whole(args[0]):
            return self.noisy(output)
        return output

    def noisy(self, values: Tensor) -> Tensor:
        """Numbers times factors near 1, the same for the same place at every call."""
        count = values.numel()
        if not values.is_floating_point() or count > POOL:
            return values
        return values * self.factors[:count].view(values.shape).to(values)


def is_whole(values: Tensor) -> bool:
    """Whether these are whole numbers, which any order adds up to the same."""
    return not values.is_floating_point() or bool((values == values.round()).all())


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
        gc.collect()  # the data of the notebook before
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


def in_a_process(paths: Sequence[Path], seeds: Sequence[int], setting: Setting) -> list[str]:
    """The same in a process of its own, with variables that are read at its start."""
    variables = {**os.environ, **setting}
    environment = {name: text for name, text in variables.items() if text is not None}
    words = json.dumps([list(map(str, paths)), list(seeds)])
    command = [sys.executable, __file__, "--child", words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def tasks_of(draws: int, processors: bool) -> Iterator[tuple[str, list[int], Setting]]:
    """What is to be run: a name, seeds of noise, and variables."""
    if not processors:
        for seed in range(draws):
            yield f"noise {seed}", [seed], {"OMP_NUM_THREADS": "1"}
        return
    for threads, (aten, onednn) in product("12", CODE_PATHS):
        name = f"ATen {aten or '-'}, oneDNN {onednn or '-'}, threads {threads}"
        variables = {"ATEN_CPU_CAPABILITY": aten, "ONEDNN_MAX_CPU_ISA": onednn}
        yield name, [], {**variables, "OMP_NUM_THREADS": threads}


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

    def run(task: tuple[str, list[int], Setting]) -> list[str]:
        name, seeds, setting = task
        started = time.perf_counter()
        lines = in_a_process(paths, seeds, setting)
        seconds = time.perf_counter() - started
        print(f"{name}: {len(lines)} lines differ, {seconds:.0f} s", *lines, sep="\n", flush=True)
        return lines

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(run, tasks_of(options.draws, options.processors)))
    print(f"{len(results)} runs of {len(paths)} notebooks, {sum(map(bool, results))} differ")
    return int(any(results))


if __name__ == "__main__":
    sys.exit(main())
