"""Read files from a network before they are needed, so that nobody waits for each request."""
from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Protocol, runtime_checkable

from .dataset import Photo
from .local_files import FileReader

# A process reads at most this many files ahead, with at most this many bytes together. 80 photos a second with a
# latency of 50 ms keep four requests busy; others need the rest when a connection is slow.
MAX_FILES = 32
MAX_BYTES_AHEAD = 128 * 2 ** 20


@runtime_checkable
class AheadReader(Protocol):
    """A FileReader whose files take long to arrive, so that reading should begin before they are opened."""

    def prefetch(self, uris: Iterable[str]) -> None:
        """Begin to read files, in this order, within limits; `open` then returns them sooner."""

    def cancel(self) -> None:
        """Drop the files that were read ahead and not opened."""


@contextlib.contextmanager
def reading_ahead(photos: Iterable[Photo]) -> Iterator[None]:
    """Read photos ahead of the code in a `with` statement, which opens them in about this order.

    This has no effect on local files, and none on results.
    """
    by_source: dict[int, tuple[FileReader, list[str]]] = {}
    for photo in photos:
        by_source.setdefault(id(photo.source), (photo.source, []))[1].append(photo.uri)
    readers = [(source, uris) for source, uris in by_source.values() if isinstance(source, AheadReader)]
    try:
        for reader, uris in readers:
            reader.prefetch(uris)
        yield
    finally:
        for reader, _ in readers:
            reader.cancel()


def prefetch(sources: Sequence[FileReader], files: Iterable[tuple[int, str]]) -> None:
    """Begin to read files whose sources read ahead.

    Args:
        sources: The sources.
        files: The index of the source of each file, and its URI.
    """
    uris: dict[int, list[str]] = {}
    for index, uri in files:
        uris.setdefault(index, []).append(uri)
    for index, members in uris.items():
        source = sources[index]
        if isinstance(source, AheadReader):
            source.prefetch(members)


class ReadAhead:
    """A queue of files to read, and those that are being read or wait to be opened; several threads may use it.

    Args:
        start: Begins to read a file.
        size: Returns the expected number of bytes of a file.
    """

    def __init__(self, start: Callable[[str], Future[bytes]], size: Callable[[str], int]):
        self._start, self._size = start, size
        self._lock = threading.Lock()
        self._wanted: OrderedDict[str, None] = OrderedDict()
        self._started: dict[str, Future[bytes]] = {}
        self._bytes = 0

    def add(self, uris: Iterable[str]) -> None:
        """Add files to the end of the queue."""
        with self._lock:
            self._wanted.update((uri, None) for uri in uris if uri not in self._started)
            self._start_next()

    def take(self, uri: str) -> Future[bytes] | None:
        """Return the content of a file that is being read, and remove it; None if it was not yet its turn."""
        with self._lock:
            self._wanted.pop(uri, None)
            future = self._started.pop(uri, None)
            if future is not None:
                self._bytes -= self._size(uri)
            self._start_next()
            return future

    def clear(self) -> None:
        """Remove all files, and cancel their requests."""
        with self._lock:
            futures, self._bytes = list(self._started.values()), 0
            self._wanted.clear()
            self._started.clear()
        for future in futures:
            future.cancel()

    def _start_next(self) -> None:
        while self._wanted and len(self._started) < MAX_FILES:
            uri = next(iter(self._wanted))
            size = self._size(uri)
            if self._started and self._bytes + size > MAX_BYTES_AHEAD:
                return
            del self._wanted[uri]
            self._started[uri] = self._start(uri)
            self._bytes += size
