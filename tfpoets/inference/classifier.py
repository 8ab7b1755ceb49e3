"""A classifier that is loaded and answers: photos in, probabilities of its labels out."""
from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np

from tfpoets.data import LEGACY_PIXELS_VERSION, PIXELS_VERSION, Photo, load_legacy_pixels, load_pixels, network_input
from tfpoets.errors import PhotoError
from tfpoets.exporting import UNKNOWN_LABEL, Metadata
from tfpoets.extractors import Engine, EngineRunner, core_count

Source = TypeVar("Source")
Result = TypeVar("Result")
# Photos decoded ahead of the one whose answer is due, for each worker.
LOOKAHEAD = 4


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one photo.

    Attributes:
        probabilities: float32 [classes]; None where it says nothing.
        reason: why it says nothing.
        unknown_score: how unlike the training photos the photo is; None where the classifier cannot say.
        unknown: whether that is so much that no label should be believed.
    """

    probabilities: np.ndarray | None
    reason: str = ""
    unknown_score: float | None = None
    unknown: bool = False


@dataclass(frozen=True)
class PhotoInput:
    """How a classifier takes photos.

    Attributes:
        height, width: in pixels.
        version: of the pixel contract.
        mean, std: for version 0, pixels p from 0 to 255 are fed as (p - mean) / std.
    """

    height: int
    width: int
    version: int = PIXELS_VERSION
    mean: float = 0.0
    std: float = 255.0

    def pixels(self, source: bytes) -> np.ndarray:
        """A photo's file as [height, width, 3]: uint8 (version 1) or float32 from 0 to 255 (version 0)."""
        load = load_legacy_pixels if self.version == LEGACY_PIXELS_VERSION else load_pixels
        return load(source, self.height, self.width)

    def scaled(self, pixels: np.ndarray) -> np.ndarray:
        """Such pixels, any number of photos, as the network is fed them: float32."""
        if self.version == LEGACY_PIXELS_VERSION:
            return (pixels - np.float32(self.mean)) / np.float32(self.std)
        return network_input(pixels)


class Classifier:
    """A loaded classifier; any number of threads may use it.

    Attributes:
        labels: in output order.
        input: how it takes photos.
        metadata: how it was made and how good it is; None for a graph of TensorFlow for Poets.
    """

    def __init__(self, labels: Sequence[str], input_: PhotoInput, engine: Engine, metadata: Metadata | None = None):
        self.labels = tuple(labels)
        self.input = input_
        self.metadata = metadata
        self._runner = EngineRunner(engine)

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels [n, height, width, 3] as `input.pixels` gives them -> float32 [n, classes]."""
        return self.outputs(pixels)[:, :len(self.labels)]

    def outputs(self, pixels: np.ndarray) -> np.ndarray:
        """The same with one more column, the scores for unknown photos, where the classifier has such a score."""
        return self._runner.run_all(pixels, self.input.scaled)

    def label(self, photo: str | os.PathLike[str] | bytes) -> str:
        """Return the likeliest label of one photo, or "unknown" where the classifier tells that no label fits.

        Args:
            photo: the path of the file, or its bytes.

        Raises:
            PhotoError: the photo cannot be read.
        """
        data = photo if isinstance(photo, bytes) else Photo(os.fspath(photo), "").read()
        answer = self.predict_photo(data)
        if answer.probabilities is None:
            raise PhotoError(answer.reason)
        return UNKNOWN_LABEL if answer.unknown else self.labels[answer.probabilities.argmax()]

    def predict_photo(self, photo: bytes) -> Prediction:
        """The answer to one photo's file."""
        return self._answer(photo, lambda data: data)

    def predict_array(self, array: np.ndarray) -> Prediction:
        """The answer to one photo's pixels in [0, 1]: float32 [height, width, 3]."""
        given = self.input.scaled(array[None] * np.float32(255)) if self.input.version == LEGACY_PIXELS_VERSION else (
            array[None])
        return self._answer_of(self._runner.run(given)[0])

    @property
    def unknown_threshold(self) -> float | None:
        """Photos with a higher score are called unknown; None where the classifier has no such score."""
        return self.metadata.unknown_threshold if self.metadata else None

    def _answer_of(self, outputs: np.ndarray) -> Prediction:
        """Float32 [columns], a photo's row of `outputs`."""
        probabilities, threshold = outputs[:len(self.labels)], self.unknown_threshold
        if threshold is None:
            return Prediction(probabilities)
        score = float(outputs[len(self.labels)])
        # A score that is not a number is not below any threshold.
        return Prediction(probabilities, unknown_score=score, unknown=not score <= threshold)

    def predict_photos(self, sources: Iterable[Source], read: Callable[[Source], bytes],
                     workers: int | None = None) -> Iterator[tuple[Source, Prediction]]:
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
            if self._runner.batch_size == 1:
                yield from _in_order(pool, lambda source: self._answer(source, read), sources, workers * LOOKAHEAD)
            else:
                decoded = _in_order(pool, lambda source: self._decode(source, read), sources,
                                    workers * LOOKAHEAD + self._runner.batch_size)
                while batch := list(islice(decoded, self._runner.batch_size)):
                    yield from self._answer_batch(batch)

    def _decode(self, source: Source, read: Callable[[Source], bytes]) -> np.ndarray | str:
        try:
            return self.input.pixels(read(source))
        except PhotoError as error:
            return str(error)

    def _answer(self, source: Source, read: Callable[[Source], bytes]) -> Prediction:
        pixels = self._decode(source, read)
        return Prediction(None, pixels) if isinstance(pixels, str) else self._answer_of(self.outputs(pixels[None])[0])

    def _answer_batch(self, batch: list[tuple[Source, np.ndarray | str]]) -> Iterator[tuple[Source, Prediction]]:
        photos = [pixels for _, pixels in batch if not isinstance(pixels, str)]
        rows = iter(self.outputs(np.stack(photos)) if photos else ())
        for source, pixels in batch:
            yield source, Prediction(None, pixels) if isinstance(pixels, str) else self._answer_of(next(rows))


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
