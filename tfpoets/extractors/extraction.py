"""Compute, on all cores, the bottlenecks of photos that the cache does not contain yet."""
from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tfpoets.data import (HASH_BYTES, AugmentationOptions, Dataset, Photo, PhotoMeasure, new_rows, rows_with_nan,
                          with_readable_photos)
from tfpoets.progress import progress_bar

from .batches import PhotoAndResult, complete_results
from .cache import BottleneckCache, DamagedCacheError, use_cache
from .cached_values import CachedValues, ValueKey
from .engines import NoGPUError
from .execution import ExecutionOptions, ExecutionPlan
from .extractor import Extractor
from .photo_processor import ExtractionJob, PhotoResult
from .worker_protocol import WorkersUnavailableError

log = logging.getLogger(__name__)

# How often values are computed before a cache that does not return them is set aside.
MAX_ROUNDS = 3


@dataclass(frozen=True, eq=False)
class Bottlenecks:
    """The bottlenecks of a dataset.

    Attributes:
        dataset: The readable photos with their digests, perceptual hashes, measures and bottlenecks (`X`).
        unreadable: (photo, reason) for each photo that could not be read; these are not in `dataset`.
        computed: The number of bottlenecks that were not in the cache.
    """

    dataset: Dataset
    unreadable: tuple[tuple[Photo, str], ...]
    computed: int = 0

    @property
    def features(self) -> np.ndarray:
        """The bottlenecks: float32 [n, depth]."""
        assert self.dataset.X is not None
        return self.dataset.X


def extract_bottlenecks(dataset: Dataset, extractor: Extractor, bottleneck_dir: Path | str,
                        measures: Sequence[PhotoMeasure] = (), execution: ExecutionOptions = ExecutionOptions()
                        ) -> Bottlenecks:
    """Compute the bottlenecks and measures that are missing from the cache, and load all of them.

    A file is not even opened if its stamp has not changed and all its values are in the cache. Unreadable photos are
    listed and removed from the dataset; classes without any readable photo are removed, too. Bottlenecks that take
    more memory than `execution.max_memory_gb` are in a temporary file in the folder of the cache.

    Args:
        dataset: The photos, from `read_dataset`.
        extractor: The extractor, from `open_extractor`.
        bottleneck_dir: The folder of the cache.
        measures: The measures to compute for each photo.
        execution: The options that control how they are computed.

    Raises:
        ExtractorError: The cache cannot be written.
        DataError: The temporary file cannot be written.
    """
    job = ExtractionJob(extractor, extractor.digest, measures=measures)
    return use_cache(bottleneck_dir, lambda cache: _extract(dataset, job, cache, execution))


def _extract(dataset: Dataset, job: ExtractionJob, cache: BottleneckCache, execution: ExecutionOptions) -> Bottlenecks:
    """Return the bottlenecks of a dataset; raise DamagedCacheError if they cannot be stored."""
    files = _Files(_read_stamps(dataset.photos))
    files.digests = cache.known_digests(files.stamps)
    computed, damaged = 0, set[str]()
    for _ in range(MAX_ROUNDS):
        computed += _extract_missing(dataset.photos, job, cache, files, execution, damaged)
        bottlenecks, damaged = _collect(dataset, job, cache, files, execution.max_bytes)
        if not damaged:
            return replace(bottlenecks, computed=computed)
        log.warning("Photos with missing or damaged values in the cache, which are computed again: %d.", len(damaged))
    raise DamagedCacheError(f"Values in {cache.path} cannot be replaced.")


def extract_augmented(photos: Sequence[Photo], extractor: Extractor, bottleneck_dir: Path | str,
                      augmentation: AugmentationOptions, n_views: int,
                      execution: ExecutionOptions = ExecutionOptions()) -> tuple[np.ndarray, int]:
    """Compute the bottlenecks of augmented views of photos, except those that the cache already contains.

    If they take more memory than `execution.max_memory_gb`, they are in a temporary file in the folder of the cache.

    Args:
        photos: The photos, with their digests.
        extractor: The extractor, from `open_extractor`.
        bottleneck_dir: The folder of the cache.
        augmentation: The augmentation; the cache stores the views of different augmentations separately.
        n_views: The number of views of each photo.
        execution: The options that control how they are computed.

    Returns:
        The bottlenecks, float32 [n, n_views, depth], and how many of them were computed. Rows of photos that have
        been deleted or changed are nan.

    Raises:
        ExtractorError: The cache cannot be written.
        DataError: The temporary file cannot be written.
    """
    job = ExtractionJob(extractor, f"{extractor.digest}/{augmentation.key}", range(1, n_views + 1), augmentation)
    return use_cache(bottleneck_dir, lambda cache: _extract_views(photos, job, cache, execution))


def _extract_views(photos: Sequence[Photo], job: ExtractionJob, cache: BottleneckCache, execution: ExecutionOptions
                   ) -> tuple[np.ndarray, int]:
    """Return what `extract_augmented` returns; raise DamagedCacheError if the bottlenecks cannot be stored."""
    n_views, depth = len(job.views), job.extractor.depth
    features = new_rows((len(photos) * n_views, depth), cache.path.parent, execution.max_bytes
                        ).reshape(len(photos), n_views, depth)
    features[:] = np.nan
    rows = _rows_by_digest(photos)
    files = _Files(_read_stamps(photos), {photo.uri: photo.digest for photo in photos})
    computed, damaged = 0, set[str]()
    for _ in range(MAX_ROUNDS):
        computed += _extract_missing(photos, job, cache, files, execution, damaged)
        for view in job.views:
            for digest, vector in cache.read_vectors(job.key, depth, view, rows):
                features[rows.get(digest, []), view - 1] = vector
        incomplete = [photos[int(row)] for row in np.flatnonzero(rows_with_nan(features))]
        damaged = {photo.digest for photo in incomplete
                   if photo.uri not in files.reasons and files.digests[photo.uri] == photo.digest}
        if not damaged:  # the files of the other photos have been deleted or changed
            return features, computed
    raise DamagedCacheError(f"Values in {cache.path} cannot be replaced.")


def _rows_by_digest(photos: Sequence[Photo]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, photo in enumerate(photos):
        rows.setdefault(photo.digest, []).append(row)
    return rows


@dataclass
class _Files:
    """What is known about the photos' files, by URI.

    Attributes:
        stamps: The stamps from before the files were read.
        digests: The digests of files that have been read, now or in an earlier run.
        reasons: Why files could not be read.
        unreadable: Why photos could not be decoded, by digest.
    """

    stamps: dict[str, str]
    digests: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    def known_digests(self, photos: Sequence[Photo]) -> set[str] | None:
        """Return the digests of photos; None if one that may be readable has never been read."""
        uris = [photo.uri for photo in photos if photo.uri not in self.reasons]
        return {self.digests[uri] for uri in uris} if self.digests.keys() >= set(uris) else None


def _read_stamps(photos: Sequence[Photo]) -> dict[str, str]:
    by_source: dict[int, list[Photo]] = {}
    for photo in photos:
        by_source.setdefault(id(photo.source), []).append(photo)
    stamps: dict[str, str] = {}
    for members in by_source.values():
        stamps.update(members[0].source.stamps([photo.uri for photo in members]))
    return stamps


def _extract_missing(photos: Sequence[Photo], job: ExtractionJob, cache: BottleneckCache, files: _Files,
                     execution: ExecutionOptions, damaged: Set[str]) -> int:
    """Compute the values that are missing from the cache or damaged, and update `files`.

    Returns:
        The number of computed bottlenecks.
    """
    computed, plan = 0, None
    while True:
        known = files.known_digests(photos)
        cached = CachedValues({key: digests - damaged for key, digests in _cached_digests(job, cache, known).items()})
        missing = [photo for photo in photos if photo.uri not in files.reasons
                   and not cached.are_complete(files.digests.get(photo.uri))]
        plan = plan or execution.plan(job.extractor, len(missing))
        description = "Bottlenecks" if job.augmentation is None else "Augmented views"
        try:
            with progress_bar(len(photos), description, "photo", done=len(photos) - len(missing)) as bar:
                for photo, result in _compute(plan, missing, cached, job, cache):
                    bar.update()
                    _store(photo, result, files, cache, job.key, plan.engine.name)
                    computed += len(result.vectors)
            break
        except (NoGPUError, WorkersUnavailableError) as error:
            plan = execution.plan_after(error, plan, job.extractor, len(missing))
    cache.commit()
    # Of several unreadable files with the same content, only the first was tried; the reason is the same for all.
    files.reasons.update({uri: files.unreadable[digest] for uri, digest in files.digests.items()
                          if digest in files.unreadable})
    return computed


def _cached_digests(job: ExtractionJob, cache: BottleneckCache, known: Set[str] | None) -> dict[ValueKey, set[str]]:
    """Return the digests of the photos that have each value: of those with the given digests, or of all (None)."""
    digests: dict[ValueKey, set[str]] = {view: cache.digests_with_vector(job.key, view, known) for view in job.views}
    if job.augmentation is None:  # the perceptual hash is computed together with the bottleneck
        hashes = cache.hashes(known).keys()
        digests = {view: members & hashes for view, members in digests.items()}
    return {**digests, **{measure.name: set(cache.measures(measure.name, known)) for measure in job.measures}}


def _compute(plan: ExecutionPlan, photos: Sequence[Photo], cached: CachedValues, job: ExtractionJob,
             cache: BottleneckCache) -> Iterator[PhotoAndResult]:
    """Yield the photos with their results, and commit changes to the cache regularly while waiting for them."""
    workers = plan.workers(photos, cached, job)
    with closing(complete_results(workers)) as results:
        for item in results:
            if item is None:
                cache.commit_if_due()
            else:
                yield item


def _store(photo: Photo, result: PhotoResult, files: _Files, cache: BottleneckCache, key: str, engine_name: str
           ) -> None:
    """Store the result of a photo in the cache, or the reason why it could not be read in `files`."""
    if result.reason:
        files.reasons[photo.uri] = result.reason
        if result.digest:
            files.unreadable[result.digest] = result.reason
        return
    files.digests[photo.uri] = result.digest
    cache.add_digest(photo.uri, result.digest, files.stamps.get(photo.uri, ""))
    if result.hash_:
        cache.add_hash(result.digest, result.hash_)
    for name, value in result.measures.items():
        cache.add_measure(name, result.digest, value)
    for view, vector in zip(result.views, result.vectors):
        cache.add_vector(key, result.digest, vector, engine_name, view)


def _collect(dataset: Dataset, job: ExtractionJob, cache: BottleneckCache, files: _Files, max_bytes: int
             ) -> tuple[Bottlenecks, set[str]]:
    """Return the contents of the cache for a dataset, and the digests of photos whose values are incomplete.

    The bottleneck of such a photo is missing or damaged, or it lacks a measure.
    """
    photos = [replace(photo, digest=files.digests[photo.uri]) for photo in dataset.photos
              if photo.uri not in files.reasons]
    unreadable = tuple((photo, files.reasons[photo.uri]) for photo in dataset.photos if photo.uri in files.reasons)
    rows = _rows_by_digest(photos)
    digests = list(rows)
    features = new_rows((len(photos), job.extractor.depth), cache.path.parent, max_bytes)
    hashes = np.empty((len(photos), HASH_BYTES), np.uint8)
    cached_hashes = cache.hashes(digests)
    for digest, vector in cache.read_vectors(job.key, job.extractor.depth, digests=digests):
        if digest in cached_hashes:
            for row in rows.pop(digest, ()):
                features[row], hashes[row] = vector, np.frombuffer(cached_hashes[digest], np.uint8)
    values = {measure.name: cache.measures(measure.name, digests) for measure in job.measures}
    measures = {name: np.array([by_digest.get(photo.digest, np.nan) for photo in photos])
                for name, by_digest in values.items()}
    without_measure = {photo.digest for by_digest in values.values() for photo in photos
                       if photo.digest not in by_digest}
    loaded = replace(with_readable_photos(dataset, photos, hashes), X=features, measures=measures)
    return Bottlenecks(loaded, unreadable), rows.keys() | without_measure
