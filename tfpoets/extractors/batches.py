"""Run an engine on batches of photos, while workers decode the next ones."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
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
    """Threads or processes that process photos."""

    @property
    def finished(self) -> bool:
        """Whether the results of all photos have been yielded."""

    def results(self) -> Generator[PhotoAndResult | None, None, None]:
        """Start, and yield photos and results as they become available, and None after each second without one."""

    def release(self, result: PhotoResult) -> None:
        """Drop the pixels of a result, which are no longer needed."""


def run_in_batches(results: Iterator[PhotoAndResult | None], workers: Workers, engine: PixelEngine
                   ) -> Iterator[PhotoAndResult | None]:
    """Yield the results of workers with bottlenecks in place of pixels.

    TensorFlow starts in a thread while the first photos are decoded.

    Args:
        results: An iterator over the workers.
        workers: The workers.
        engine: An engine that takes batches.
    """
    waiting: list[PhotoAndResult] = []
    with ThreadPoolExecutor(MAX_BATCHES_IN_FLIGHT) as pool:
        runner = _BatchRunner(engine, workers, pool)
        for item in results:
            if item is None or not item[1].pixels:
                yield item
            else:
                waiting.append(item)
            if waiting and (workers.finished or _count_pixels(waiting) >= engine.batch_size):
                yield from runner.submit(waiting)
                waiting = []
            yield from runner.finished_batches()
        yield from runner.finished_batches(wait=True)


def _count_pixels(waiting: list[PhotoAndResult]) -> int:
    return sum(len(result.pixels) for _, result in waiting)


class _BatchRunner:
    """Runs batches in the threads of a pool."""

    def __init__(self, engine: PixelEngine, workers: Workers, pool: ThreadPoolExecutor):
        self._engine, self._workers, self._pool = engine, workers, pool
        self._opened = pool.submit(engine.open_for_pixels)
        self._in_flight: deque[tuple[list[PhotoAndResult], Future[np.ndarray]]] = deque()

    def submit(self, items: list[PhotoAndResult]) -> Iterator[PhotoAndResult]:
        """Start a batch. If there are too many, wait for the first one, and yield its results."""
        if len(self._in_flight) == MAX_BATCHES_IN_FLIGHT:
            yield from self._take_first()
        pixels = np.stack([pixels for _, result in items for pixels in result.pixels])
        for _, result in items:
            self._workers.release(result)
        self._in_flight.append((items, self._pool.submit(self._run, pixels)))

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        """Return the bottlenecks of pixels, in batches of equal size: a GPU program is prepared for each size."""
        run: Callable[[np.ndarray], np.ndarray] = self._opened.result()
        size = self._engine.batch_size
        vectors = []
        for start in range(0, len(pixels), size):
            batch = pixels[start:start + size]
            padding = np.zeros((size - len(batch), *batch.shape[1:]), np.uint8)
            vectors.append(run(np.concatenate([batch, padding]) if len(padding) else batch)[:len(batch)])
        return np.concatenate(vectors)

    def finished_batches(self, wait: bool = False) -> Iterator[PhotoAndResult]:
        """Yield the results of batches that are finished, or of all batches if `wait` is true."""
        while self._in_flight and (wait or self._in_flight[0][1].done()):
            yield from self._take_first()
        if self._opened.done():
            self._opened.result()  # raises the error of an engine that cannot be opened

    def _take_first(self) -> Iterator[PhotoAndResult]:
        items, future = self._in_flight.popleft()
        vectors = iter(future.result())
        for photo, result in items:
            result.vectors = list(islice(vectors, len(result.views)))
            yield photo, result
