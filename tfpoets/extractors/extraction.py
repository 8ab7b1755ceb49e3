"""Compute, on all cores, the bottlenecks of photos that the cache does not contain yet."""
from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from tfpoets.data import HASH_BYTES, AugmentationOptions, Dataset, Measure, Photo, network_input, with_readable_photos
from tfpoets.progress import progress_bar

from .cache import BottleneckCache
from .engines import Engine, choose_engine, core_count
from .extractor import INPUT_NODE, OUTPUT_NODE, Extractor
from .photo_workers import CachedValues, ExtractionJob, PhotoResult, PhotoWorkers

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Bottlenecks:
    """The bottlenecks of a dataset.

    Attributes:
        dataset: The readable photos with their digests, perceptual hashes, measures and bottlenecks (`X`).
        unreadable: (photo, reason) for each photo that could not be read; these are not in `dataset`.
        computed: The number of bottlenecks that were not in the cache.
        engine: The name of the engine that computes bottlenecks on this machine.
    """

    dataset: Dataset
    unreadable: tuple[tuple[Photo, str], ...]
    computed: int = 0
    engine: str = ""

    @property
    def features(self) -> np.ndarray:
        """The bottlenecks: float32 [n, depth]."""
        assert self.dataset.X is not None
        return self.dataset.X


def extract_bottlenecks(dataset: Dataset, extractor: Extractor, bottleneck_dir: Path | str,
                        workers: int | None = None, measures: Sequence[Measure] = ()) -> Bottlenecks:
    """Compute the bottlenecks and measures that are missing from the cache, and load all of them.

    A file is not even opened if its stamp has not changed and all its values are in the cache. Unreadable photos are
    listed and removed from the dataset; classes without any readable photo are removed, too.

    Args:
        dataset: The photos, from `read_dataset`.
        extractor: The extractor, from `open_extractor`.
        bottleneck_dir: The folder of the cache.
        workers: The number of threads that decode photos; None: one per core.
        measures: The measures to compute for each photo.

    Raises:
        ExtractorError: The cache cannot be written.
    """
    engine = _choose_engine(extractor)
    job, workers = ExtractionJob(extractor, extractor.digest, measures=measures), workers or core_count()
    with BottleneckCache(bottleneck_dir) as cache:
        files = _Files(_read_stamps(dataset.photos))
        files.digests = cache.known_digests(files.stamps)
        computed = 0
        while True:
            computed += _extract_missing(dataset.photos, job, engine, cache, files, workers)
            bottlenecks, damaged = _collect(dataset, job, cache, files)
            if not damaged:
                return replace(bottlenecks, computed=computed, engine=engine.name)
            log.warning("%d bottlenecks in the cache are damaged and are computed again.", len(damaged))
            cache.delete_vectors(extractor.digest, damaged)


def extract_augmented(photos: Sequence[Photo], extractor: Extractor, bottleneck_dir: Path | str,
                      augmentation: AugmentationOptions, n_views: int) -> tuple[np.ndarray, int]:
    """Compute the bottlenecks of augmented views of photos, except those that the cache already contains.

    Args:
        photos: The photos, with their digests.
        extractor: The extractor, from `open_extractor`.
        bottleneck_dir: The folder of the cache.
        augmentation: The augmentation; the cache stores the views of different augmentations separately.
        n_views: The number of views of each photo.

    Returns:
        The bottlenecks, float32 [n, n_views, depth], and how many of them were computed. Rows of photos that have
        been deleted or changed are nan.

    Raises:
        ExtractorError: The cache cannot be written.
    """
    engine = _choose_engine(extractor)
    job = ExtractionJob(extractor, f"{extractor.digest}/{augmentation.key}", range(1, n_views + 1), augmentation)
    features = np.full((len(photos), n_views, extractor.depth), np.nan, np.float32)
    rows = _rows_by_digest(photos)
    with BottleneckCache(bottleneck_dir) as cache:
        computed = 0
        for _ in range(2):  # a second time if rows in the cache are damaged
            files = _Files(_read_stamps(photos), {photo.uri: photo.digest for photo in photos})
            computed += _extract_missing(photos, job, engine, cache, files, core_count())
            for view in job.views:
                for digest, _, vector in cache.read_vectors(job.key, extractor.depth, view):
                    features[rows.get(digest, []), view - 1] = vector
            incomplete = np.flatnonzero(np.isnan(features).any((1, 2)))
            if not len(incomplete):
                break
            cache.delete_vectors(job.key, {photos[int(row)].digest for row in incomplete})
    return features, computed


def _choose_engine(extractor: Extractor) -> Engine:
    return choose_engine(extractor.tflite_path, extractor.graph_path, INPUT_NODE, OUTPUT_NODE)


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
    """

    stamps: dict[str, str]
    digests: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def _read_stamps(photos: Sequence[Photo]) -> dict[str, str]:
    by_source: dict[int, list[Photo]] = {}
    for photo in photos:
        by_source.setdefault(id(photo.source), []).append(photo)
    stamps: dict[str, str] = {}
    for members in by_source.values():
        stamps.update(members[0].source.stamps([photo.uri for photo in members]))
    return stamps


def _extract_missing(photos: Sequence[Photo], job: ExtractionJob, engine: Engine, cache: BottleneckCache,
                     files: _Files, n_threads: int) -> int:
    """Compute the values missing from the cache, update `files`, and return the number of computed bottlenecks."""
    cached = CachedValues(cache, job)
    missing = [photo for photo in photos if photo.uri not in files.reasons
               and not cached.are_complete(files.digests.get(photo.uri))]
    workers = PhotoWorkers(missing, cached, job, engine, min(n_threads, len(missing)))
    computed = 0
    unreadable: dict[str, str] = {}
    description = "Bottlenecks" if job.augmentation is None else "Augmented views"
    with progress_bar(len(photos), description, "photo", done=len(photos) - len(missing)) as bar:
        for result in _compute_vectors(workers, engine, cache):
            bar.update()
            uri = result.photo.uri
            if result.reason:
                files.reasons[uri] = unreadable[result.digest] = result.reason
            else:
                files.digests[uri] = result.digest
                _store(result, files.stamps.get(uri, ""), cache, job.key, engine.name)
                computed += len(result.vectors)
    cache.commit()
    # Of several files with the same unreadable bytes, only the first was decoded. The others have the same reason.
    files.reasons.update({uri: unreadable[digest] for uri, digest in files.digests.items() if digest in unreadable})
    return computed


def _store(result: PhotoResult, stamp: str, cache: BottleneckCache, key: str, engine_name: str) -> None:
    cache.add_digest(result.photo.uri, result.digest, stamp)
    if result.hash_:
        cache.add_hash(result.digest, result.hash_)
    for name, value in result.measures.items():
        cache.add_measure(name, result.digest, value)
    for view, vector in zip(result.views, result.vectors):
        cache.add_vector(key, result.digest, vector, engine_name, view)


def _compute_vectors(workers: PhotoWorkers, engine: Engine, cache: BottleneckCache) -> Iterator[PhotoResult]:
    """Yield the workers' results with bottlenecks, which are computed here if the engine takes batches."""
    waiting: list[PhotoResult] = []
    run: Callable[[np.ndarray], np.ndarray] | None = None
    for result in workers:
        if result is None:
            cache.commit_if_due()
        elif not result.pixels:
            yield result
        else:
            waiting.append(result)
        n_waiting = sum(len(item.pixels) for item in waiting)
        if waiting and (workers.finished or n_waiting >= engine.batch_size):
            run = run or engine.open()
            vectors = iter(run(network_input(np.stack([pixels for item in waiting for pixels in item.pixels]))))
            for item in waiting:
                item.vectors = list(islice(vectors, len(item.pixels)))
                item.pixels = ()
                yield item
            waiting = []


def _collect(dataset: Dataset, job: ExtractionJob, cache: BottleneckCache, files: _Files
             ) -> tuple[Bottlenecks, list[str]]:
    """Return the contents of the cache for a dataset, and the digests of photos whose bottlenecks are damaged."""
    photos = [replace(photo, digest=files.digests[photo.uri]) for photo in dataset.photos
              if photo.uri not in files.reasons]
    unreadable = tuple((photo, files.reasons[photo.uri]) for photo in dataset.photos if photo.uri in files.reasons)
    rows = _rows_by_digest(photos)
    features = np.empty((len(photos), job.extractor.depth), np.float32)
    hashes = np.empty((len(photos), HASH_BYTES), np.uint8)
    for digest, hash_, vector in cache.read_vectors(job.key, job.extractor.depth):
        for row in rows.pop(digest, ()):
            features[row], hashes[row] = vector, np.frombuffer(hash_, np.uint8)
    values = {measure.name: cache.measures(measure.name) for measure in job.measures}
    measures = {name: np.array([by_digest[photo.digest] for photo in photos]) for name, by_digest in values.items()}
    loaded = replace(with_readable_photos(dataset, photos, hashes), X=features, measures=measures)
    return Bottlenecks(loaded, unreadable), list(rows)
