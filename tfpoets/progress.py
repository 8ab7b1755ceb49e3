"""Progress and timings of long work. Nothing is shown unless the command line, or a host program, asks for it."""
from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Protocol

log = logging.getLogger(__name__)


class ProgressBar(Protocol):
    """What is told of progress; a context manager. tqdm's bars are such."""

    def update(self, n: int = 1) -> object:
        """Count n more units."""

    def __enter__(self) -> ProgressBar: ...

    def __exit__(self, *_: object) -> object: ...


# total (None: not known), description, unit, units done before, whether the units are bytes.
BarFactory = Callable[[int | None, str, str, int, bool], ProgressBar]


class _NoBar:
    def update(self, n: int = 1) -> None:
        pass

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *_: object) -> None:
        pass


_factory: BarFactory = lambda *_: _NoBar()  # noqa: E731


def show_progress(factory: BarFactory) -> None:
    """Show the progress of all work from now on with bars that `factory` makes."""
    global _factory
    _factory = factory


def progress_bar(total: int | None, what: str, unit: str, done: int = 0, bytes_: bool = False) -> ProgressBar:
    """Return a progress bar, to be used as a context manager; call its `update(n)`.

    Args:
        total: the number of units in all, or None where it is not known.
        what: the work, in a word or two.
        unit: singular noun for what is counted; ignored with `bytes_`.
        done: units that were done before.
        bytes_: whether bytes are counted.
    """
    return _factory(total, what, unit, done, bytes_)


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Log, at level DEBUG, how long a part of a run took."""
    start = time.perf_counter()
    yield
    log.debug("Stage %s: %.3f s", name, time.perf_counter() - start)
