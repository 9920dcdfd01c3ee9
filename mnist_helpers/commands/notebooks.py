"""`mnist-helpers notebooks`: the notebooks run unattended, some at once."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from mnist_helpers.commands import execution
from mnist_helpers.commands.console import log
from mnist_helpers.commands.options import Notebooks
from mnist_helpers.config import InputError


def run(options: Notebooks) -> None:
    """Executes them; says of each, once it has ended, how long it took and what became of it."""
    if options.save and options.parameters:
        raise InputError(
            "saved outputs come from the parameters in the notebook: use either save or parameters."
        )
    paths = execution.notebook_paths(options.names)
    values = execution.parse_parameters(paths, options.parameters)
    jobs = max(1, min(options.jobs, len(paths)))
    # each kernel on its own cores
    os.environ.setdefault("OMP_NUM_THREADS", f"{max(os.cpu_count() // jobs, 1)}")

    def execute(path: Path) -> str:
        started = time.perf_counter()
        target = options.output_dir / path.name
        error = execution.execute(path, target, values, options.timeout)
        seconds = time.perf_counter() - started
        if options.save and not error:
            execution.refresh(path, target)
        log.info("%-20s %6.1f s  %s", path.stem, seconds, error or "ok")
        return error

    with logging_redirect_tqdm(), ThreadPoolExecutor(jobs) as pool:
        try:
            errors = list(pool.map(execute, paths))
        except KeyboardInterrupt:  # which no thread hears; the kernels end with their parent
            print("mnist-helpers: interrupted", file=sys.stderr)
            os._exit(130)
    failed = [path.stem for path, error in zip(paths, errors, strict=True) if error]
    if failed:
        raise InputError(
            f"{', '.join(failed)} failed; what was executed is in {options.output_dir}."
        )
