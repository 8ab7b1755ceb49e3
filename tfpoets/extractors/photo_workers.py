"""Worker threads that read and decode photos and, with a single-photo engine, compute their bottlenecks."""
from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tfpoets.data import (HASH_HEIGHT, HASH_WIDTH, AugmentationOptions, Measure, Photo, augment_pixels, load_pixels,
                          load_pixels_at_sizes, network_input, perceptual_hash, photo_digest)
from tfpoets.errors import PhotoError

from .cache import BottleneckCache
from .engines import Engine
from .extractor import Extractor


@dataclass
class PhotoResult:
    """The result of processing one photo.

    Attributes:
        photo: The photo.
        digest: The digest of its bytes; "" if it could not be read.
        reason: Why it could not be read or decoded, or "".
        hash_: Its perceptual hash, or b"" if that is already in the cache.
        views: The numbers of the views that are missing from the cache.
        pixels: The pixels of these views, until their bottlenecks have been computed.
        vectors: The bottlenecks of these views.
        measures: The measures that are missing from the cache, by name.
    """

    photo: Photo
    digest: str = ""
    reason: str = ""
    hash_: bytes = b""
    views: Sequence[int] = ()
    pixels: Sequence[np.ndarray] = ()
    vectors: Sequence[np.ndarray] = ()
    measures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ExtractionJob:
    """The values to compute for each photo.

    Attributes:
        extractor: The extractor that computes the bottlenecks.
        key: The key of the bottlenecks in the cache.
        views: The numbers of the views.
        augmentation: The augmentation that makes the views; None: the only view is the unchanged photo, whose
            perceptual hash and measures are computed as well.
        measures: The measures to compute from the unchanged photo.
    """

    extractor: Extractor
    key: str
    views: Sequence[int] = (0,)
    augmentation: AugmentationOptions | None = None
    measures: Sequence[Measure] = ()

    def decode(self, result: PhotoResult, data: bytes, measures: Sequence[Measure]) -> None:
        """Decode a photo for its views, perceptual hash and measures, and store them in its result.

        Args:
            result: The result of the photo; `views` is set.
            data: The bytes of the file.
            measures: The measures to compute.
        """
        size = (self.extractor.height, self.extractor.width)
        if self.augmentation is not None:
            pixels = load_pixels(data, *size)
            result.pixels = [augment_pixels(pixels, self.augmentation, result.digest, view) for view in result.views]
            return
        sizes = [size, (HASH_HEIGHT, HASH_WIDTH)] if result.views else []
        decoded = load_pixels_at_sizes(data, [*sizes, *(measure.size for measure in measures)])
        if result.views:
            result.pixels, result.hash_ = decoded[:1], perceptual_hash(decoded[1])
        result.measures = {measure.name: measure.apply(pixels)
                           for measure, pixels in zip(measures, decoded[len(sizes):])}


class CachedValues:
    """A thread-safe record of the values that the cache contains for each photo.

    Photos are identified by their digests, views by number, and measures by name.
    """

    def __init__(self, cache: BottleneckCache, job: ExtractionJob):
        self._lock = threading.Lock()
        self._digests: dict[int | str, set[str]] = {view: cache.digests_with_vector(job.key, view)
                                                    for view in job.views}
        self._digests.update({measure.name: cache.digests_with_measure(measure.name) for measure in job.measures})

    def are_complete(self, digest: str | None) -> bool:
        """Return whether all values of a photo are cached; None stands for an unknown digest."""
        return all(digest in digests for digests in self._digests.values())

    def claim_missing(self, digest: str) -> set[int | str]:
        """Return the values that a photo lacks, and treat them as cached from now on.

        Thus only one of several files with the same bytes is processed.
        """
        with self._lock:
            missing = {value for value, digests in self._digests.items() if digest not in digests}
            for digests in self._digests.values():
                digests.add(digest)
        return missing


class PhotoWorkers:
    """Threads that process photos; iterating starts them and yields their results.

    The queue of results is short, so that little work is lost if the run is killed.

    Args:
        photos: The photos to process.
        cached: The values that need not be computed.
        job: The values to compute for each photo.
        engine: The engine for the bottlenecks. If it takes batches, results contain pixels instead of bottlenecks.
        n_threads: The number of threads.
    """

    def __init__(self, photos: Sequence[Photo], cached: CachedValues, job: ExtractionJob, engine: Engine,
                 n_threads: int):
        self._photos = iter(photos)
        self._cached = cached
        self._job, self._engine = job, engine
        self._remaining = len(photos)
        self._lock = threading.Lock()
        self._results: queue.Queue[PhotoResult | BaseException] = queue.Queue(maxsize=max(1, engine.batch_size - 1))
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(n_threads)]

    @property
    def finished(self) -> bool:
        """Whether the results of all photos have been yielded."""
        return self._remaining == 0

    def __iter__(self) -> Iterator[PhotoResult | None]:
        """Yield results as they become available, and None after each second without one."""
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
                self._remaining -= 1
                yield result
        finally:
            self._stopped.set()

    def _work(self) -> None:
        """Process photos until none are left or the extraction is stopped."""
        run: Callable[[np.ndarray], np.ndarray] | None = None
        try:
            while not self._stopped.is_set():
                with self._lock:
                    photo = next(self._photos, None)
                if photo is None:
                    return
                result = self._process(photo)
                if result.pixels and self._engine.batch_size == 1:
                    run = run or self._engine.open()
                    result.vectors = [run(network_input(pixels[None]))[0] for pixels in result.pixels]
                    result.pixels = ()
                self._put(result)
        except BaseException as error:  # raised again in the thread that iterates
            self._put(error)

    def _put(self, result: PhotoResult | BaseException) -> None:
        while not self._stopped.is_set():
            try:
                return self._results.put(result, timeout=1)
            except queue.Full:
                continue

    def _process(self, photo: Photo) -> PhotoResult:
        """Read one photo, and decode it if any of its values is missing from the cache."""
        result = PhotoResult(photo)
        try:
            data = photo.read()
            result.digest = photo_digest(data)
            missing = self._cached.claim_missing(result.digest)
            result.views = [view for view in self._job.views if view in missing]
            if missing:
                self._job.decode(result, data,
                                 [measure for measure in self._job.measures if measure.name in missing])
        except PhotoError as error:
            result.reason = str(error)
        return result
