"""Work that takes long: how far it is, what interrupts it, what a machine can't do."""

import contextlib
import ctypes
import signal
import sys
import threading
from collections.abc import Generator, Iterator

from mnist_helpers.config import Config, InputError
from mnist_helpers.files import reason

NO_ROOM = (  # what is said of too little memory; "illegal memory access" is another fault
    "out of memory", "allocate memory", "memoryerror", "bad_alloc", "create a primitive",
)  # fmt: skip


class Lines:
    """A file for tqdm, in which the states of a bar are lines without control characters."""

    latest = ""

    def write(self, text: str) -> None:
        """Writes what is more than a move of the cursor, and no state twice."""
        line = text.strip()
        if line not in ("", self.latest):
            self.latest = line
            print(line, file=sys.stderr)


def finished(job: Generator) -> object:
    """What a job that yields the fraction done returns in the end."""
    while True:
        try:
            next(job)
        except StopIteration as stop:
            return stop.value


def bar_options(text: str) -> dict[str, object]:
    """Options of a tqdm bar that is called `text`, or of lines at least five seconds apart."""
    options = {"desc": text}
    if not sys.stderr.isatty():
        options.update(
            bar_format="{desc}: {n_fmt} of {total_fmt}", file=Lines(), mininterval=5, position=0
        )
    return options


@contextlib.contextmanager
def delayed_interrupts() -> Iterator[threading.Event]:
    """Lets an interrupt (Ctrl-C, the stop button) only set what this yields; a second one raises.

    Raised at once the first could fall into a destructor, where Python ignores exceptions.
    """
    interrupt = threading.Event()

    def note(*args: object) -> None:
        interrupt.set()
        signal.signal(signal.SIGINT, before)

    if threading.current_thread() is not threading.main_thread():
        yield interrupt  # only the main thread has signals
        return
    before = signal.signal(signal.SIGINT, note) or signal.default_int_handler
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def explaining_faults(config: Config) -> Iterator[None]:
    """Makes one sentence of what the machine can't do, with the setting to lower."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:  # torch tells of memory in many ways
        if config.num_workers and (isinstance(error, OSError) or "worker" in str(error)):
            raise InputError(
                f"a process that loads batches failed ({reason(error)}); "
                "lower num_workers (0 starts no process)."
            ) from error
        if any(word in repr(error).lower() for word in NO_ROOM):
            raise InputError(
                f"batch_size is {config.batch_size}, and such a batch needs too much memory; "
                "lower batch_size."
            ) from error
        raise


def keep_memory() -> None:
    """Lets glibc keep the memory that a step frees: to give it back and ask anew costs a fifth."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # other systems have their own
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-1, 2**30)  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h, in bytes
        mallopt(-3, 2**30)
