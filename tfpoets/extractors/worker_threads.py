"""Worker threads that process photos: for few photos or few cores."""
from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator, Sequence

import numpy as np

from tfpoets.data import Photo, reading_ahead

from .batches import BatchThreads
from .cached_values import CachedValues
from .engines import PixelEngine
from .photo_processor import ExtractionJob, PhotoProcessor, PhotoResult

# Decoded photos fill at most this many batches, which limits the memory used.
MAX_WAITING_BATCHES = 4


class WorkerThreads:
    """Threads that process photos.

    The queue of results is short, so that little work is lost if the run is killed.

    Args:
        photos: The photos to process.
        cached: The values that need not be computed.
        job: The values to compute for each photo.
        engine: The engine for the bottlenecks. If it takes batches, results contain pixels instead of bottlenecks.
        n_threads: The number of threads.

    Attributes:
        batch_size: The size of the engine's batches.
        max_waiting: The maximum number of decoded views that are waiting for the engine.
    """

    def __init__(self, photos: Sequence[Photo], cached: CachedValues, job: ExtractionJob, engine: PixelEngine,
                 n_threads: int):
        self.batch_size = engine.batch_size
        self.max_waiting = MAX_WAITING_BATCHES * engine.batch_size
        self._photos = photos
        self._next_photos = iter(photos)
        self._remaining = len(photos)
        self._cached, self._job, self._engine = cached, job, engine
        self._lock = threading.Lock()
        self._results: queue.Queue[tuple[Photo, PhotoResult] | BaseException | None] = queue.Queue(
            maxsize=max(1, engine.batch_size - 1))
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(n_threads)]

    @property
    def finished(self) -> bool:
        """Whether the results of all photos have been yielded."""
        return self._remaining == 0

    def results(self) -> Generator[tuple[Photo, PhotoResult] | None, None, None]:
        """Start, and yield photos and results as they become available; see `Workers`."""
        with reading_ahead(self._photos):
            for thread in self._threads:
                thread.start()
            try:
                while self._remaining:
                    try:
                        result = self._results.get(timeout=1)
                    except queue.Empty:
                        yield None
                        continue
                    if isinstance(result, BaseException):
                        raise result
                    if result is not None:
                        self._remaining -= 1
                    yield result
            finally:
                self._stopped.set()

    def start_engine(self) -> BatchThreads:
        """Start the engine in threads."""
        return BatchThreads(self._engine, np.asarray)

    def release(self, result: PhotoResult) -> None:
        """Drop the pixels of a result, which are no longer needed."""
        result.pixels = ()

    def wake(self) -> None:
        """Make `results` yield, unless other results are already waiting."""
        with contextlib.suppress(queue.Full):
            self._results.put_nowait(None)

    def _work(self) -> None:
        """Process photos until none are left or the extraction is stopped."""
        processor = PhotoProcessor(self._job, self._engine, self._cached)
        try:
            while not self._stopped.is_set():
                with self._lock:
                    photo = next(self._next_photos, None)
                if photo is None:
                    return
                self._put((photo, processor.process(photo)))
        except BaseException as error:  # raised again in the thread that iterates
            self._put(error)

    def _put(self, result: tuple[Photo, PhotoResult] | BaseException) -> None:
        while not self._stopped.is_set():
            try:
                return self._results.put(result, timeout=1)
            except queue.Full:
                continue
