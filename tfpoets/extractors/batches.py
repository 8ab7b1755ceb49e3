"""Run an engine on batches of photos, while workers decode the next ones."""
from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol

import numpy as np

from tfpoets.data import Photo

from .engines import PixelEngine
from .photo_processor import PhotoResult

# While the GPU computes one batch, the next one is copied to it.
MAX_BATCHES_IN_FLIGHT = 2

PhotoAndResult = tuple[Photo, PhotoResult]


class Workers(Protocol):
    """Threads or processes that process photos.

    Attributes:
        max_waiting: The number of views whose pixels may wait for their bottlenecks.
    """

    max_waiting: int

    @property
    def finished(self) -> bool:
        """Whether the results of all photos have been yielded."""

    def results(self) -> Generator[PhotoAndResult | None, None, None]:
        """Start, and yield photos and results as they become available.

        None is yielded after each call of `wake`, and after each second without a result.
        """

    def release(self, result: PhotoResult) -> None:
        """Drop the pixels of a result, which are no longer needed; called by the thread that iterates."""

    def wake(self) -> None:
        """Make `results` yield; called by any thread."""


def run_in_batches(results: Iterator[PhotoAndResult | None], workers: Workers, engine: PixelEngine
                   ) -> Iterator[PhotoAndResult | None]:
    """Yield the results of workers with bottlenecks in place of pixels.

    TensorFlow starts in a thread while the first photos are decoded.

    Args:
        results: An iterator over the results of the workers.
        workers: The workers.
        engine: An engine that takes batches.
    """
    with ThreadPoolExecutor(MAX_BATCHES_IN_FLIGHT) as pool:
        runner = _BatchRunner(engine, workers, pool)
        for item in results:
            if item is not None and item[1].pixels:
                runner.add(item)
            else:
                yield item
            yield from runner.finished_batches()
        yield from runner.remaining_batches()


class _BatchRunner:
    """Collects photos, and runs batches of them in the threads of a pool."""

    def __init__(self, engine: PixelEngine, workers: Workers, pool: ThreadPoolExecutor):
        self._engine, self._workers, self._pool = engine, workers, pool
        self._opened = pool.submit(engine.open_for_pixels)
        self._waiting: deque[PhotoAndResult] = deque()
        self._n_waiting = 0
        self._in_flight: deque[tuple[list[PhotoAndResult], Future[np.ndarray]]] = deque()

    def add(self, item: PhotoAndResult) -> None:
        """Add a photo that has been decoded."""
        self._waiting.append(item)
        self._n_waiting += len(item[1].pixels)

    def finished_batches(self) -> Iterator[PhotoAndResult]:
        """Start batches if possible, and yield the results of those that are finished.

        This waits for a batch only if too many photos wait.
        """
        self._start_batches()
        while self._in_flight and (self._in_flight[0][1].done() or self._n_waiting >= self._workers.max_waiting):
            yield from self._take_first()
            self._start_batches()
        if self._opened.done():
            self._opened.result()  # raises the error of an engine that cannot be opened

    def remaining_batches(self) -> Iterator[PhotoAndResult]:
        """Yield the results of all batches."""
        self._start_batches()
        while self._in_flight:
            yield from self._take_first()
            self._start_batches()

    def _start_batches(self) -> None:
        while (len(self._in_flight) < MAX_BATCHES_IN_FLIGHT and self._waiting
               and (self._n_waiting >= self._engine.batch_size or self._workers.finished)):
            items = self._next_batch()
            future = self._pool.submit(self._run, [pixels for _, result in items for pixels in result.pixels])
            future.add_done_callback(lambda _: self._workers.wake())
            self._in_flight.append((items, future))

    def _next_batch(self) -> list[PhotoAndResult]:
        """Take as many photos as fit into a batch, but at least one, from those that wait."""
        items: list[PhotoAndResult] = []
        size = 0
        while self._waiting and (not items or size + len(self._waiting[0][1].pixels) <= self._engine.batch_size):
            items.append(self._waiting.popleft())
            size += len(items[-1][1].pixels)
        self._n_waiting -= size
        return items

    def _run(self, photos: list[np.ndarray]) -> np.ndarray:
        """Return the bottlenecks of photos, in batches of equal size: a GPU program is prepared for each size."""
        run = self._opened.result()
        size = self._engine.batch_size
        batch = np.zeros((size, *photos[0].shape), np.uint8)
        vectors = []
        for start in range(0, len(photos), size):
            part = photos[start:start + size]
            np.stack(part, out=batch[:len(part)])
            vectors.append(run(batch)[:len(part)])
        return np.concatenate(vectors)

    def _take_first(self) -> Iterator[PhotoAndResult]:
        items, future = self._in_flight.popleft()
        vectors = iter(future.result())
        for photo, result in items:
            self._workers.release(result)
            result.vectors = list(islice(vectors, len(result.views)))
            yield photo, result
