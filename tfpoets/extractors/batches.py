"""Run an engine on batches of photos that workers have decoded, while they decode the next ones."""
from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from tfpoets.data import Photo

from .engines import PixelEngine
from .photo_processor import PhotoResult, Pixels

# While the GPU computes one batch, the next one is copied to it.
MAX_BATCHES_IN_FLIGHT = 2

PhotoAndResult = tuple[Photo, PhotoResult]


class Workers(Protocol):
    """Threads or processes that process photos.

    Attributes:
        batch_size: The size of the engine's batches.
        max_waiting: The maximum number of decoded views that are waiting for the engine.
    """

    batch_size: int
    max_waiting: int

    @property
    def finished(self) -> bool:
        """Whether the results of all photos have been yielded."""

    def results(self) -> Generator[PhotoAndResult | None, None, None]:
        """Start, and yield photos and results as they become available.

        None is yielded after `wake`, unless other results are waiting, and after each second without a result.
        """

    def start_engine(self) -> BatchThreads:
        """Start an engine that takes batches, and return the threads that run it."""

    def release(self, result: PhotoResult) -> None:
        """Drop the pixels of a result, which are no longer needed; called by the thread that iterates."""

    def wake(self) -> None:
        """Make `results` yield; called by any thread."""


class BatchThreads:
    """Threads that run an engine on batches of photos.

    Args:
        engine: The engine.
        load: A function that returns pixels, uint8 [height, width, 3], for an element of `PhotoResult.pixels`.
    """

    def __init__(self, engine: PixelEngine, load: Callable[[Any], np.ndarray]):
        self._size, self._load = engine.batch_size, load
        self._pool = ThreadPoolExecutor(MAX_BATCHES_IN_FLIGHT)
        self._opened = self._pool.submit(engine.open_for_pixels)

    def submit(self, pixels: Sequence[Pixels]) -> Future[np.ndarray]:
        """Start a batch, at most as large as the engine allows, and return a Future of its bottlenecks."""
        return self._pool.submit(self._run, pixels)

    def check(self) -> None:
        """Raise the error of an engine that could not be started."""
        if self._opened.done():
            self._opened.result()

    def stop(self) -> None:
        """Wait for the threads to end."""
        self._pool.shutdown(cancel_futures=True)

    def _run(self, pixels: Sequence[Pixels]) -> np.ndarray:
        """Return the bottlenecks of photos, float32 [n, depth]."""
        return run_padded(self._opened.result(), [self._load(item) for item in pixels], self._size)


def run_padded(run: Callable[[np.ndarray], np.ndarray], photos: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Return the bottlenecks of photos, float32 [n, depth].

    A smaller batch is padded, because TensorFlow chooses its GPU kernels anew for each batch size.

    Args:
        run: The function of an engine, from `open_for_pixels`.
        photos: At least one and at most `size` photos: uint8 [height, width, 3].
        size: The size of the engine's batches.
    """
    batch = np.zeros((size, *photos[0].shape), np.uint8)
    np.stack(photos, out=batch[:len(photos)])
    return run(batch)[:len(photos)]


def complete_results(workers: Workers) -> Generator[PhotoAndResult | None, None, None]:
    """Yield the results of workers with bottlenecks in place of pixels.

    An engine that takes batches starts when the first photo has been decoded.
    """
    if workers.batch_size == 1:  # the workers compute the bottlenecks themselves
        return (yield from workers.results())
    with contextlib.ExitStack() as stack:
        results = stack.enter_context(contextlib.closing(workers.results()))
        batches: _Batches | None = None
        for item in results:
            if item is None or not item[1].pixels:
                yield item
            else:
                if batches is None:  # not earlier, because no engine is needed if no bottleneck is missing
                    runner = workers.start_engine()
                    stack.callback(runner.stop)
                    batches = _Batches(workers, runner)
                batches.add(item)
            if batches is not None:
                yield from batches.take_finished()
        if batches is not None:
            yield from batches.take_remaining()


class _Batches:
    """Collects views that have been decoded, and the bottlenecks of their batches."""

    def __init__(self, workers: Workers, runner: BatchThreads):
        self._workers, self._runner = workers, runner
        self._waiting: deque[tuple[PhotoAndResult, Pixels]] = deque()
        self._in_flight: deque[tuple[list[PhotoAndResult], Future[np.ndarray]]] = deque()

    def add(self, item: PhotoAndResult) -> None:
        """Add a photo that has been decoded."""
        self._waiting.extend((item, pixels) for pixels in item[1].pixels)

    def take_finished(self) -> Iterator[PhotoAndResult]:
        """Start batches if possible, and yield the photos whose bottlenecks have been computed.

        This waits for a batch only if too many views are waiting.
        """
        self._start()
        while self._in_flight and (self._in_flight[0][1].done() or len(self._waiting) >= self._workers.max_waiting):
            yield from self._take_first()
        self._runner.check()

    def take_remaining(self) -> Iterator[PhotoAndResult]:
        """Yield all other photos."""
        self._start()
        while self._in_flight:
            yield from self._take_first()

    def _start(self) -> None:
        size = self._workers.batch_size
        while (self._waiting and len(self._in_flight) < MAX_BATCHES_IN_FLIGHT
               and (len(self._waiting) >= size or self._workers.finished)):
            batch = [self._waiting.popleft() for _ in range(min(size, len(self._waiting)))]
            future = self._runner.submit([pixels for _, pixels in batch])
            future.add_done_callback(lambda _: self._workers.wake())
            self._in_flight.append(([item for item, _ in batch], future))

    def _take_first(self) -> Iterator[PhotoAndResult]:
        """Yield the photos of the first batch that have all their bottlenecks, and start the next batch."""
        items, future = self._in_flight.popleft()
        for item, vector in zip(items, future.result()):
            result = item[1]
            result.vectors = [*result.vectors, vector]
            if len(result.vectors) == len(result.views):
                self._workers.release(result)
                yield item
        self._start()
