"""Photos to bottlenecks: every core decodes and infers, and nothing is computed that the cache already holds."""
from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from tfpoets.data import (HASH_BYTES, HASH_HEIGHT, HASH_WIDTH, AugmentationOptions, Dataset, Measure, Photo,
                          augment_pixels, load_pixels, load_pixels_at_sizes, network_input, perceptual_hash,
                          photo_digest, with_readable_photos)
from tfpoets.errors import PhotoError
from tfpoets.progress import progress_bar

from .cache import BottleneckCache
from .engines import Engine, choose_engine, core_count
from .extractor import INPUT_NODE, OUTPUT_NODE, Extractor

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Bottlenecks:
    """What an extractor makes of a dataset.

    Attributes:
        dataset: the photos that could be read, with their digests, perceptual hashes, measures and bottlenecks (`X`).
        unreadable: (photo, reason) of those that are left out.
        computed: how many bottlenecks were not in the cache.
        engine: what computes bottlenecks on this machine.
    """

    dataset: Dataset
    unreadable: tuple[tuple[Photo, str], ...]
    computed: int = 0
    engine: str = ""

    @property
    def features(self) -> np.ndarray:
        """The bottlenecks: float32 [photos, depth], a row each."""
        assert self.dataset.X is not None
        return self.dataset.X


@dataclass(frozen=True)
class _Task:
    """What is wanted of every photo.

    Attributes:
        extractor: what sees it.
        key: under which the cache keeps it.
        views: their numbers.
        augmentation: what makes a view of the pixels; None: there is one, the photo as it is, and its perceptual hash.
        measures: what else is wanted of a photo as it is.
    """

    extractor: Extractor
    key: str
    views: Sequence[int] = (0,)
    augmentation: AugmentationOptions | None = None
    measures: Sequence[Measure] = ()

    def fill(self, read: _Read, data: bytes, wanted: Sequence[Measure]) -> None:
        """Decode a photo once for the views, perceptual hash and measures that are wanted of it."""
        size = (self.extractor.height, self.extractor.width)
        if self.augmentation is not None:
            pixels = load_pixels(data, *size)
            read.pixels = [augment_pixels(pixels, self.augmentation, read.digest, view) for view in read.views]
            return
        sizes = [size, (HASH_HEIGHT, HASH_WIDTH)] if read.views else []
        decoded = load_pixels_at_sizes(data, [*sizes, *(measure.size for measure in wanted)])
        if read.views:
            read.pixels, read.hash_ = decoded[:1], perceptual_hash(decoded[1])
        read.measures = {measure.name: measure.apply(pixels) for measure, pixels in zip(wanted, decoded[len(sizes):])}


@dataclass
class _Read:
    """What a worker found out about one file, and made of it: of each of `views` pixels first, then a vector."""

    photo: Photo
    digest: str = ""
    reason: str = ""
    hash_: bytes = b""
    views: Sequence[int] = ()
    pixels: Sequence[np.ndarray] = ()
    vectors: Sequence[np.ndarray] = ()
    measures: dict[str, float] = field(default_factory=dict)


def extract_bottlenecks(dataset: Dataset, extractor: Extractor, bottleneck_dir: Path | str,
                        workers: int | None = None, measures: Sequence[Measure] = ()) -> Bottlenecks:
    """Compute the bottlenecks and measures that the cache lacks, and load all of them.

    Files whose size and time stamp are known are not even opened. A photo that cannot be read is left out and listed;
    a class of which none can be read is left out too.

    Args:
        dataset: the photos, from `read_dataset`.
        extractor: from `open_extractor`.
        bottleneck_dir: folder of the cache.
        workers: threads that decode; None: one a core.
        measures: what else is wanted of each photo.

    Raises:
        ExtractorError: the cache cannot be written.
    """
    engine = _engine_of(extractor)
    task, workers = _Task(extractor, extractor.digest, measures=measures), workers or core_count()
    with BottleneckCache(bottleneck_dir) as cache:
        found = _Found(_stamps(dataset.photos))
        found.digests = cache.known_digests(found.stamps)
        computed = 0
        while True:
            computed += _extract_missing(dataset.photos, task, engine, cache, found, workers)
            bottlenecks, damaged = _collect(dataset, task, cache, found)
            if not damaged:
                return replace(bottlenecks, computed=computed, engine=engine.name)
            log.warning("%d bottlenecks in the cache are damaged and are computed again.", len(damaged))
            cache.forget(extractor.digest, damaged)


def extract_augmented(photos: Sequence[Photo], extractor: Extractor, bottleneck_dir: Path | str,
                      augmentation: AugmentationOptions, count: int) -> tuple[np.ndarray, int]:
    """Bottlenecks of photos as `augment_pixels` varies them, from the cache where it has them.

    Args:
        photos: with their digests.
        extractor: from `open_extractor`.
        bottleneck_dir: folder of the cache.
        augmentation: how; other ones are kept apart.
        count: variations of each photo.

    Returns:
        Float32 [photos, count, depth], and how many of them were computed. Rows of a photo that is gone by now, or
        changed, are nan.

    Raises:
        ExtractorError: the cache cannot be written.
    """
    engine = _engine_of(extractor)
    task = _Task(extractor, f"{extractor.digest}/{augmentation.key}", range(1, count + 1), augmentation)
    found = np.full((len(photos), count, extractor.depth), np.nan, np.float32)
    rows: dict[str, list[int]] = {}
    for row, photo in enumerate(photos):
        rows.setdefault(photo.digest, []).append(row)
    with BottleneckCache(bottleneck_dir) as cache:
        computed = 0
        for _ in range(2):  # once more where rows in the cache turn out damaged
            known = _Found(_stamps(photos), {photo.uri: photo.digest for photo in photos})
            computed += _extract_missing(photos, task, engine, cache, known, core_count())
            for view in task.views:
                for digest, _, vector in cache.rows(task.key, extractor.depth, view):
                    found[rows.get(digest, []), view - 1] = vector
            lacking = np.flatnonzero(np.isnan(found).any((1, 2)))
            if not len(lacking):
                break
            cache.forget(task.key, {photos[int(row)].digest for row in lacking})
    return found, computed


def _engine_of(extractor: Extractor) -> Engine:
    return choose_engine(extractor.tflite_path, extractor.graph_path, INPUT_NODE, OUTPUT_NODE)


@dataclass
class _Found:
    """What is known of the files, by URI: stamps from before they were read, digests, reasons to leave them out."""

    stamps: dict[str, str]
    digests: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def _stamps(photos: Sequence[Photo]) -> dict[str, str]:
    by_source: dict[int, list[Photo]] = {}
    for photo in photos:
        by_source.setdefault(id(photo.source), []).append(photo)
    found: dict[str, str] = {}
    for members in by_source.values():
        found.update(members[0].source.stamps([photo.uri for photo in members]))
    return found


def _extract_missing(photos: Sequence[Photo], task: _Task, engine: Engine, cache: BottleneckCache, found: _Found,
                     workers: int) -> int:
    """Fill the cache and `found` for every photo; return how many bottlenecks were computed."""
    there: dict[int | str, set[str]] = {view: cache.digests_with_vector(task.key, view) for view in task.views}
    there.update({measure.name: cache.digests_with_measure(measure.name) for measure in task.measures})
    missing = [photo for photo in photos if photo.uri not in found.reasons
               and not all(found.digests.get(photo.uri) in known for known in there.values())]
    computed = 0
    unreadable: dict[str, str] = {}
    what = "Bottlenecks" if task.augmentation is None else "Augmented"
    with progress_bar(len(photos), what, "photo", done=len(photos) - len(missing)) as bar:
        for read in _infer(_Workers(missing, there, task, engine, min(workers, len(missing))), engine, cache):
            bar.update()
            uri = read.photo.uri
            if read.reason:
                found.reasons[uri] = unreadable[read.digest] = read.reason
                continue
            found.digests[uri] = read.digest
            cache.add_file(uri, read.digest, found.stamps.get(uri, ""))
            if read.hash_:
                cache.add_hash(read.digest, read.hash_)
            for name, value in read.measures.items():
                cache.add_measure(name, read.digest, value)
            for view, vector in zip(read.views, read.vectors):
                cache.add_vector(task.key, read.digest, vector, engine.name, view)
                computed += 1
    cache.commit()
    # A file with the same bytes as an unreadable one was not tried again: it shares the reason.
    found.reasons.update({uri: unreadable[digest] for uri, digest in found.digests.items() if digest in unreadable})
    return computed


def _infer(reads: "_Workers", engine: Engine, cache: BottleneckCache) -> Iterator[_Read]:
    """Hands on what workers read; where the engine takes batches, runs them on the way."""
    waiting: list[_Read] = []
    run: Callable | None = None
    for read in reads:
        if read is None:
            cache.commit_if_due()
        elif not read.pixels:
            yield read
        else:
            waiting.append(read)
        if waiting and (reads.finished or sum(len(item.pixels) for item in waiting) >= engine.batch_size):
            run = run or engine.open()
            vectors = iter(run(network_input(np.stack([pixels for item in waiting for pixels in item.pixels]))))
            for item in waiting:
                item.vectors = list(islice(vectors, len(item.pixels)))
                item.pixels = ()
                yield item
            waiting = []


class _Workers:
    """Threads that read, decode and, where the engine takes one photo at a time, infer; iterating gives their results.

    Gives None after a second without a result. The queue is short so that a killed run has computed little that is not
    yet committed.
    """

    def __init__(self, photos: list[Photo], there: dict[int | str, set[str]], task: _Task, engine: Engine, count: int):
        self._photos = iter(photos)
        self._there = there
        self._task, self._engine = task, engine
        self._left = len(photos)
        self._lock = threading.Lock()
        self._results: queue.Queue = queue.Queue(maxsize=max(1, engine.batch_size - 1))
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]

    @property
    def finished(self) -> bool:
        """Whether every photo's result has been handed out."""
        return self._left == 0

    def __iter__(self) -> Iterator[_Read | None]:
        for thread in self._threads:
            thread.start()
        try:
            while self._left:
                try:
                    result = self._results.get(timeout=1)
                except queue.Empty:
                    yield None
                    continue
                if isinstance(result, BaseException):
                    raise result
                self._left -= 1
                yield result
        finally:
            self._stopped.set()

    def _work(self) -> None:
        run = None
        try:
            while not self._stopped.is_set():
                with self._lock:
                    photo = next(self._photos, None)
                if photo is None:
                    return
                read = self._read(photo)
                if read.pixels and self._engine.batch_size == 1:
                    run = run or self._engine.open()
                    read.vectors = [run(network_input(pixels[None]))[0] for pixels in read.pixels]
                    read.pixels = ()
                self._put(read)
        except BaseException as error:  # noqa: B036 - handed to the thread that waits, which raises it
            self._put(error)

    def _put(self, result: _Read | BaseException) -> None:
        while not self._stopped.is_set():
            try:
                return self._results.put(result, timeout=1)
            except queue.Full:
                continue

    def _read(self, photo: Photo) -> _Read:
        read = _Read(photo)
        try:
            data = photo.read()
            read.digest = photo_digest(data)
            with self._lock:
                wanted = {name for name, known in self._there.items() if read.digest not in known}
                for known in self._there.values():
                    known.add(read.digest)  # of two files with the same bytes one is computed
            read.views = [view for view in self._task.views if view in wanted]
            if wanted:
                self._task.fill(read, data, [each for each in self._task.measures if each.name in wanted])
        except PhotoError as error:
            read.reason = str(error)
        return read


def _collect(dataset: Dataset, task: _Task, cache: BottleneckCache, found: _Found) -> tuple[Bottlenecks, list[str]]:
    """Load what the cache holds; return it, and the digests of photos whose rows in it are damaged."""
    photos = [replace(photo, digest=found.digests[photo.uri]) for photo in dataset.photos
              if photo.uri not in found.reasons]
    rows: dict[str, list[int]] = {}
    for row, photo in enumerate(photos):
        rows.setdefault(photo.digest, []).append(row)
    features = np.empty((len(photos), task.extractor.depth), np.float32)
    hashes = np.empty((len(photos), HASH_BYTES), np.uint8)
    for digest, hash_, vector in cache.rows(task.key, task.extractor.depth):
        for row in rows.pop(digest, ()):
            features[row], hashes[row] = vector, np.frombuffer(hash_, np.uint8)
    unreadable = tuple((photo, found.reasons[photo.uri]) for photo in dataset.photos if photo.uri in found.reasons)
    measures = {measure.name: cache.measures(measure.name) for measure in task.measures}
    measured = {name: np.array([values[photo.digest] for photo in photos]) for name, values in measures.items()}
    kept = replace(with_readable_photos(dataset, photos, hashes), X=features, measures=measured)
    return Bottlenecks(kept, unreadable), list(rows)
