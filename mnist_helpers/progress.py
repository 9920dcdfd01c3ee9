"""How far something is, on stderr: a bar in a terminal, plain lines elsewhere; by tqdm."""

import sys
from collections.abc import Generator


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
