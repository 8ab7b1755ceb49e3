"""The messages that a process sends to its worker processes."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tfpoets.data import FileReader, Photo

from .cached_values import SharedClaims
from .engines import PixelEngine
from .photo_processor import ExtractionJob
from .shared_arrays import SharedArray


class Task(NamedTuple):
    """A photo to process.

    Attributes:
        number: The number of the photo.
        uri: Its URI.
        source: The index of its source in `WorkerSetup.sources`.
        slots: The rows of the shared memory for its pixels, one for each view; empty if the worker computes the
            bottlenecks.
        repeated: Whether a worker that has ended tried it before.
    """

    number: int
    uri: str
    source: int
    slots: tuple[int, ...] = ()
    repeated: bool = False


@dataclass(frozen=True, eq=False)
class WorkerSetup:
    """What a worker needs for all photos.

    Attributes:
        job: The values to compute for each photo.
        engine: The engine for the bottlenecks; not used by workers if it takes batches.
        claims: The values that need not be computed.
        sources: The readers that open the files.
        slots: uint8 [n_slots, height, width, 3], the shared memory for pixels; None if the engine takes single photos.
    """

    job: ExtractionJob
    engine: PixelEngine
    claims: SharedClaims
    sources: Sequence[FileReader]
    slots: SharedArray | None = None

    def photo(self, task: Task) -> Photo:
        """Return the photo of a task, without a label."""
        return Photo(task.uri, "", source=self.sources[task.source])

    def descriptors(self) -> list[int]:
        """Return the file descriptors that workers must inherit."""
        arrays = [*self.claims.arrays, *([self.slots] if self.slots else [])]
        return [array.descriptor for array in arrays if array.descriptor is not None]

    def close(self) -> None:
        """Close the file descriptors."""
        for array in [*self.claims.arrays, *([self.slots] if self.slots else [])]:
            array.close()
