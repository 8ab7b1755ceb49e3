"""The work of a worker process that processes photos."""
from __future__ import annotations

import pickle
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from tfpoets.child_process import send
from tfpoets.data import FileReader, Photo, prefetch

from .cached_values import SharedClaims
from .engines import PixelEngine
from .photo_processor import ExtractionJob, PhotoProcessor, PhotoResult
from .shared_arrays import SharedArray
from .worker_protocol import Task

# Results are sent at least this often, in seconds, so that little work is lost if the run is killed.
SEND_SECONDS = 0.25


@dataclass(frozen=True, eq=False)
class WorkerSetup:
    """What a worker needs to process photos.

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

    def run(self, tasks: BinaryIO, results: BinaryIO) -> None:
        """Process lists of tasks, and send lists of task numbers and results.

        If a photo is tried again after a worker crashed, its number and digest are sent first.
        """
        processor = PhotoProcessor(self.job, self.engine, self.claims)
        for chunk in self._chunks(tasks):
            finished, sent_at = [], time.monotonic()
            for task in chunk:
                photo = Photo(task.uri, "", source=self.sources[task.source])
                if task.repeated:
                    result = processor.process(photo, True, partial(_send_digest, results, task.number))
                else:
                    result = processor.process(photo)
                self._move_pixels(result, task)
                finished.append((task.number, result))
                if time.monotonic() - sent_at > SEND_SECONDS:
                    send(results, finished)
                    finished, sent_at = [], time.monotonic()
            if finished:
                send(results, finished)

    def _chunks(self, tasks: BinaryIO) -> Iterator[list[Task]]:
        """Yield the lists of tasks, and let their sources read them ahead while earlier ones are processed.

        Raises:
            EOFError: There are no more tasks.
        """
        chunks: queue.SimpleQueue[list[Task] | BaseException] = queue.SimpleQueue()

        def receive() -> None:
            try:
                while True:
                    chunk = pickle.load(tasks)
                    prefetch(self.sources, [(task.source, task.uri) for task in chunk])
                    chunks.put(chunk)
            except BaseException as error:  # raised again in the thread that processes photos
                chunks.put(error)
        threading.Thread(target=receive, daemon=True).start()
        while True:
            chunk = chunks.get()
            if isinstance(chunk, BaseException):
                raise chunk
            yield chunk

    def _move_pixels(self, result: PhotoResult, task: Task) -> None:
        """Move the pixels of a result, if any, to the shared memory."""
        if result.pixels and self.slots:
            rows = task.slots[:len(result.pixels)]
            for row, pixels in zip(rows, result.pixels):
                self.slots.array[row] = pixels
            result.pixels = rows

    def descriptors(self) -> list[int]:
        """Return the file descriptors that workers must inherit."""
        arrays = [*self.claims.arrays, *([self.slots] if self.slots else [])]
        return [array.descriptor for array in arrays if array.descriptor is not None]

    def close(self) -> None:
        """Close the file descriptors."""
        for array in [*self.claims.arrays, *([self.slots] if self.slots else [])]:
            array.close()


def _send_digest(results: BinaryIO, number: int, digest: str) -> None:
    send(results, (number, digest))
