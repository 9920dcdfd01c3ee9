"""Slow measurements: done once, in small steps, and left to the caller where that can wait."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterator
from functools import cached_property, lru_cache, partial

# results that are kept of those that take most memory: statistics of 10,000 images take 320 MB
MOST = {"stats": 2, "maximized": 8, "without": 64, "attributions": 64}
SHORT = ("read", "without", "attributions")  # in a small network
UNFINISHED = 2  # jobs of a kind that go on where they were stopped


def cached(most: int) -> Callable[[Callable], cached_property]:
    """Makes a method keep its latest results, `most` of them, as long as its object lives."""

    def decorate(method: Callable) -> cached_property:
        return cached_property(lambda self: lru_cache(most)(partial(method, self)))

    return decorate


class Unmeasured(Exception):  # noqa: N818 - nothing is wrong
    """Something slow has to be measured first; `job` yields the fraction done and keeps it."""

    def __init__(self, text: str, job: Generator[float]) -> None:
        super().__init__(text)
        self.job = job


class Jobs:
    """What was measured, by a key whose first part tells its kind.

    Attributes:
        at_once: the kinds that are never handed to the caller.
        defers: whether a job is handed to the caller instead of done at once.
        results: of the jobs that are done.
        running: those that were begun.
    """

    def __init__(self) -> None:
        self.at_once = SHORT
        self.defers = False
        self.results = {}
        self.running = {}

    def result(
        self, text: str, key: tuple, start: Callable[..., Generator], *arguments: object
    ) -> object:
        """The result of a slow job, kept.

        Raises:
            Unmeasured: it is still to be done; a job that was stopped goes on.
        """
        if key not in self.results:
            job = self.running.setdefault(key, self._keeping(key, start(*arguments)))
            keep_latest(self.running, key, UNFINISHED)
            if self.defers and key[0] not in self.at_once:
                raise Unmeasured(text, job)
            deque(job, maxlen=0)
        return self.results[key]

    @contextlib.contextmanager
    def deferring(self) -> Iterator[None]:
        """Hands jobs to the caller meanwhile, where an event loop runs that can go on with them."""
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            self.defers = True
        try:
            yield
        finally:
            self.defers = False

    def _keeping(self, key: tuple, job: Generator) -> Generator[float]:
        try:
            self.results[key] = yield from job
            if key[0] in MOST:
                keep_latest(self.results, key, MOST[key[0]])
        finally:
            self.running.pop(key, None)


def keep_latest(values: dict[tuple, object], key: tuple, most: int) -> None:
    """Forgets all but the `most` latest of the kind of `key`, its first part."""
    alike = [other for other in values if other[0] == key[0]]
    for other in alike[:-most]:
        del values[other]
