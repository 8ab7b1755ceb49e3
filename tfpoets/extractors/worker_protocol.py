"""The messages between this process and its worker processes."""
from __future__ import annotations

from typing import NamedTuple

WORKER_MODULE = "tfpoets.extractors.worker"


class WorkersUnavailableError(Exception):
    """Worker processes cannot be started, or cannot read the photos' source; the message is the reason."""


class Task(NamedTuple):
    """A photo to process.

    Attributes:
        number: The number of the photo.
        uri: Its URI.
        source: The index of its source in `WorkerSetup.sources`.
        slots: The rows of the shared memory for its pixels, one for each view; empty if the worker computes the
            bottlenecks.
        repeated: Whether this is the second attempt, after a worker crashed.
    """

    number: int
    uri: str
    source: int
    slots: tuple[int, ...] = ()
    repeated: bool = False
