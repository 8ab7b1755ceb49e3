"""Progress and timing of long operations. Nothing is shown unless the command line or a host program requests it."""
from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Protocol

import tfpoets.errors  # noqa: F401 - discards messages that no program handles

log = logging.getLogger(__name__)


class ProgressBar(Protocol):
    """A progress bar, such as tqdm's: a context manager with an `update` method."""

    def update(self, n: int = 1) -> object:
        """Advance by n units."""

    def __enter__(self) -> ProgressBar: ...

    def __exit__(self, *_: object) -> object: ...


# Arguments: total (None if unknown), description, unit, units already done, whether the units are bytes.
BarFactory = Callable[[int | None, str, str, int, bool], ProgressBar]


class _NullBar:
    """A bar that shows nothing; takes the arguments of any other bar."""

    def __init__(self, *_: object):
        pass

    def update(self, n: int = 1) -> None:
        pass

    def __enter__(self) -> _NullBar:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class Progress:
    """Event: a long operation has advanced.

    Attributes:
        description: The operation, in a word or two.
        unit: A singular noun for what is counted.
        done: The number of units done.
        total: The total number of units; None if unknown.
    """

    description: str
    unit: str
    done: int
    total: int | None


class _ReportingBar:
    """A progress bar that also sends every update to a listener."""

    def __init__(self, bar: ProgressBar, listener: Callable[[Progress], object], start: Progress):
        self._bar, self._listener, self._progress = bar, listener, start

    def update(self, n: int = 1) -> None:
        self._bar.update(n)
        self._progress = replace(self._progress, done=self._progress.done + n)
        self._listener(self._progress)

    def __enter__(self) -> _ReportingBar:
        self._bar.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(*error)


# A context variable, so that each thread of a program can have its own listener.
_listener: ContextVar[Callable[[Progress], object] | None] = ContextVar("listener", default=None)
_factory: BarFactory = _NullBar


def show_progress(factory: BarFactory) -> None:
    """Show the progress of all operations from now on, in bars created by `factory`."""
    global _factory
    _factory = factory


@contextlib.contextmanager
def listen_to_progress(listener: Callable[[Progress], object]) -> Iterator[None]:
    """Send the progress of all operations inside the block to a listener, in addition to any bars."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def progress_bar(total: int | None, description: str, unit: str, done: int = 0, bytes_: bool = False) -> ProgressBar:
    """Return a progress bar to use as a context manager; call its `update(n)`.

    Args:
        total: The total number of units; None if unknown.
        description: The operation, in a word or two.
        unit: A singular noun for what is counted; ignored with `bytes_`.
        done: The number of units that are already done.
        bytes_: Whether bytes are counted.
    """
    bar, listener = _factory(total, description, unit, done, bytes_), _listener.get()
    if listener is None:
        return bar
    return _ReportingBar(bar, listener, Progress(description, "byte" if bytes_ else unit, done, total))


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Log how long the block took, at level DEBUG."""
    start = time.perf_counter()
    yield
    log.debug("Stage %s: %.3f s", name, time.perf_counter() - start)
