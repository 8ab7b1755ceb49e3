"""Read and decode one photo at a time, and compute its values."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tfpoets.data import (HASH_HEIGHT, HASH_WIDTH, AugmentationOptions, FileMeasure, Measure, Photo, PhotoMeasure,
                          augment_pixels, load_pixels, load_pixels_at_sizes, perceptual_hash, photo_digest)
from tfpoets.errors import PhotoError

from .cached_values import Claims
from .engines import PixelEngine
from .extractor import Extractor

# The pixels of a view: uint8 [height, width, 3], or the row of the workers' shared memory that contains them.
Pixels = np.ndarray | int


@dataclass
class PhotoResult:
    """The result of processing one photo.

    Attributes:
        digest: The digest of its bytes; "" if it could not be read.
        reason: Why it could not be read or decoded, or "".
        hash_: Its perceptual hash, or b"" if that is already in the cache.
        views: The numbers of the views that are missing from the cache.
        pixels: The pixels of these views, until their bottlenecks have been computed.
        vectors: The bottlenecks of these views.
        measures: The measures that are missing from the cache, by name.
    """

    digest: str = ""
    reason: str = ""
    hash_: bytes = b""
    views: Sequence[int] = ()
    pixels: Sequence[Pixels] = ()
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
    measures: Sequence[PhotoMeasure] = ()

    def decode(self, result: PhotoResult, data: bytes, measures: Sequence[PhotoMeasure]) -> None:
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
        of_pixels = [measure for measure in measures if isinstance(measure, Measure)]
        sizes += [measure.size for measure in of_pixels]
        decoded = load_pixels_at_sizes(data, sizes) if sizes else []
        if result.views:
            result.pixels, result.hash_ = decoded[:1], perceptual_hash(decoded[1])
        result.measures = {measure.name: measure.apply(data) for measure in measures
                           if isinstance(measure, FileMeasure)}
        for measure, pixels in zip(of_pixels, decoded[len(sizes) - len(of_pixels):]):
            result.measures[measure.name] = measure.apply(pixels)


class PhotoProcessor:
    """Computes the values of photos, one photo at a time; not thread-safe.

    Args:
        job: The values to compute.
        engine: The engine for the bottlenecks. If it takes batches, results contain pixels instead of bottlenecks.
        claims: The values that need not be computed.
    """

    def __init__(self, job: ExtractionJob, engine: PixelEngine, claims: Claims):
        self._job, self._engine, self._claims = job, engine, claims
        self._run: Callable[[np.ndarray], np.ndarray] | None = None

    def process(self, photo: Photo, repeated: bool = False,
                on_digest: Callable[[str], object] = lambda digest: None) -> PhotoResult:
        """Read a photo, and compute the values that are missing.

        Args:
            photo: The photo.
            repeated: Whether this is the second attempt, after a worker crashed.
            on_digest: Called with the digest of the photo before it is decoded.
        """
        result = PhotoResult()
        try:
            data = photo.read()
            result.digest = photo_digest(data)
            on_digest(result.digest)
            missing = self._claims.claim_missing(result.digest, repeated)
            result.views = [view for view in self._job.views if view in missing]
            if missing:
                self._job.decode(result, data,
                                 [measure for measure in self._job.measures if measure.name in missing])
        except PhotoError as error:
            result.reason = str(error)
            result.pixels = ()
        if result.pixels and self._engine.batch_size == 1:
            self._run = self._run or self._engine.open_for_pixels()
            result.vectors = [self._run(np.asarray(pixels)[None])[0] for pixels in result.pixels]
            result.pixels = ()
        return result
