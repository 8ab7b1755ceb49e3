"""A classifier that is loaded and answers: photos in, probabilities of its labels out."""
from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np

from scripts.features import Engine, core_count
from scripts.photos import PhotoError, load_pixels, network_input

from .metadata import Metadata

Source = TypeVar("Source")
Result = TypeVar("Result")
# Photos decoded ahead of the one whose answer is due, for each worker.
LOOKAHEAD = 4


@dataclass(frozen=True)
class Answer:
    """What a classifier says of one photo: `probabilities` float32 [classes], or the reason why it says nothing."""

    probabilities: np.ndarray | None
    reason: str = ""


class Classifier:
    """A loaded classifier; any number of threads may use it.

    Attributes:
        labels: in output order.
        height, width: of its input, in pixels.
        metadata: how it was made and how good it is.
    """

    def __init__(self, metadata: Metadata, engine: Engine):
        self.metadata = metadata
        self.labels = tuple(metadata.labels)
        self.height, self.width = metadata.input["height"], metadata.input["width"]
        self._engine = engine
        self._opened = threading.local()

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [n, height, width, 3] by the pixel contract -> float32 [n, classes]."""
        run = self._runner()
        size = self._engine.batch_size
        return np.concatenate([run(network_input(pixels[start:start + size]))
                               for start in range(0, len(pixels), size)])

    def label_photos(self, sources: Iterable[Source], read: Callable[[Source], bytes],
                     workers: int | None = None) -> Iterator[tuple[Source, Answer]]:
        """Answers for many photos, on all cores, in the order given.

        Args:
            sources: paths, addresses or whatever `read` takes; may be endless, a few are read ahead.
            read: gives a photo's bytes; raises PhotoError.
            workers: threads; None: one a core.

        Returns:
            (source, answer) pairs; a photo that cannot be read has an answer without probabilities.
        """
        workers = workers or core_count()
        with ThreadPoolExecutor(workers) as pool:
            if self._engine.batch_size == 1:
                yield from _in_order(pool, lambda source: self._answer(source, read), sources, workers * LOOKAHEAD)
            else:
                decoded = _in_order(pool, lambda source: self._decode(source, read), sources,
                                    workers * LOOKAHEAD + self._engine.batch_size)
                while batch := list(islice(decoded, self._engine.batch_size)):
                    yield from self._answer_batch(batch)

    def _runner(self) -> Callable[[np.ndarray], np.ndarray]:
        if not hasattr(self._opened, "run"):
            self._opened.run = self._engine.open()
        return self._opened.run

    def _decode(self, source: Source, read: Callable[[Source], bytes]) -> np.ndarray | str:
        try:
            return load_pixels(read(source), self.height, self.width)
        except PhotoError as error:
            return str(error)

    def _answer(self, source: Source, read: Callable[[Source], bytes]) -> Answer:
        pixels = self._decode(source, read)
        return Answer(None, pixels) if isinstance(pixels, str) else Answer(self.probabilities(pixels[None])[0])

    def _answer_batch(self, batch: list[tuple[Source, np.ndarray | str]]) -> Iterator[tuple[Source, Answer]]:
        photos = [pixels for _, pixels in batch if not isinstance(pixels, str)]
        rows = iter(self.probabilities(np.stack(photos)) if photos else ())
        for source, pixels in batch:
            yield source, Answer(None, pixels) if isinstance(pixels, str) else Answer(next(rows))


def _in_order(pool: ThreadPoolExecutor, work: Callable[[Source], Result], sources: Iterable[Source],
              ahead: int) -> Iterator[tuple[Source, Result]]:
    """Maps on a pool, in order, with at most `ahead` results waiting."""
    remaining = iter(sources)
    running: deque[tuple[Source, Future]] = deque()
    try:
        while True:
            for source in islice(remaining, ahead - len(running)):
                running.append((source, pool.submit(work, source)))
            if not running:
                return
            source, future = running.popleft()
            yield source, future.result()
    finally:
        for _, future in running:
            future.cancel()
