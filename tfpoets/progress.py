"""Progress and timings of long work. Nothing is shown unless the command line, or a host program, asks for it."""
from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
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


class _NullBar:
    def update(self, n: int = 1) -> None:
        pass

    def __enter__(self) -> _NullBar:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class Progress:
    """Event: work goes on.

    Attributes:
        what: the work, in a word or two.
        unit: singular noun for what is counted.
        done: units that are done.
        total: units in all; None where that is not known.
    """

    what: str
    unit: str
    done: int
    total: int | None


class _ListenedBar:
    """A bar that also tells a listener of every update."""

    def __init__(self, bar: ProgressBar, listener: Callable[[Progress], object], start: Progress):
        self._bar, self._listener, self._progress = bar, listener, start

    def update(self, n: int = 1) -> None:
        self._bar.update(n)
        self._progress = replace(self._progress, done=self._progress.done + n)
        self._listener(self._progress)

    def __enter__(self) -> _ListenedBar:
        self._bar.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(*error)


# Of the work that runs in this context; other threads of a program have their own.
_listener: ContextVar[Callable[[Progress], object] | None] = ContextVar("listener", default=None)
_factory: BarFactory = lambda *_: _NullBar()  # noqa: E731


def show_progress(factory: BarFactory) -> None:
    """Show the progress of all work from now on with bars that `factory` makes."""
    global _factory
    _factory = factory


@contextlib.contextmanager
def listen_to_progress(listener: Callable[[Progress], object]) -> Iterator[None]:
    """Tell a listener of the progress of all work inside the block, besides what is shown."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def progress_bar(total: int | None, what: str, unit: str, done: int = 0, bytes_: bool = False) -> ProgressBar:
    """Return a progress bar, to be used as a context manager; call its `update(n)`.

    Args:
        total: the number of units in all, or None where it is not known.
        what: the work, in a word or two.
        unit: singular noun for what is counted; ignored with `bytes_`.
        done: units that were done before.
        bytes_: whether bytes are counted.
    """
    bar, listener = _factory(total, what, unit, done, bytes_), _listener.get()
    if listener is None:
        return bar
    return _ListenedBar(bar, listener, Progress(what, "byte" if bytes_ else unit, done, total))


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Log, at level DEBUG, how long a part of a run took."""
    start = time.perf_counter()
    yield
    log.debug("Stage %s: %.3f s", name, time.perf_counter() - start)
