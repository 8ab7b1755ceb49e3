"""Photos to bottlenecks: every core decodes and infers, and nothing is computed that the cache already holds."""
from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scripts.console import progress_bar
from scripts.photos import (LOOK_BYTES, LOOK_HEIGHT, LOOK_WIDTH, Photo, PhotoError, PhotoTree, load_sizes,
                            network_input, photo_digest, photo_look, read_photo)

from .cache import BottleneckCache, file_stamp
from .engines import Engine, choose_engine, core_count
from .extractor import INPUT_NODE, OUTPUT_NODE, Extractor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bottlenecks:
    """What an extractor makes of a tree of photos.

    Attributes:
        tree: the photos that could be read, with their digests, in tree order.
        matrix: float32 [photos, depth], a row each.
        looks: uint8 [photos, LOOK_BYTES], their perceptual hashes.
        unreadable: (photo, reason) of those that are left out.
        computed: how many bottlenecks were not in the cache.
        engine: what computes bottlenecks on this machine.
    """

    tree: PhotoTree
    matrix: np.ndarray
    looks: np.ndarray
    unreadable: tuple[tuple[Photo, str], ...]
    computed: int
    engine: str


@dataclass
class _Read:
    """What a worker found out about one file."""

    photo: Photo
    stamp: tuple[int, int] | None
    digest: str = ""
    reason: str = ""
    look: bytes = b""
    pixels: np.ndarray | None = None
    vector: np.ndarray | None = None


def extract_bottlenecks(tree: PhotoTree, extractor: Extractor, bottleneck_dir: Path | str,
                        workers: int | None = None) -> Bottlenecks:
    """Computes the bottlenecks that the cache lacks, and loads all of them.

    Files whose size and time stamp are known are not even opened. A photo that cannot be read is left out and listed;
    a class of which none can be read is left out too.

    Args:
        tree: the photos, from `read_tree`.
        extractor: from `open_extractor`.
        bottleneck_dir: folder of the cache.
        workers: threads that decode; None: one a core.

    Raises:
        UserError: the cache cannot be written.
    """
    engine = choose_engine(extractor.tflite_path, extractor.graph_path, INPUT_NODE, OUTPUT_NODE)
    with BottleneckCache(bottleneck_dir) as cache:
        digests = cache.known_digests(photo.path for photo in tree.photos)
        reasons: dict[Path, str] = {}
        computed = 0
        while True:
            computed += _extract_missing(tree, extractor, engine, cache, digests, reasons, workers or core_count())
            bottlenecks, damaged = _collect(tree, extractor, cache, digests, reasons, computed, engine.name)
            if not damaged:
                return bottlenecks
            log.warning("%d bottlenecks in the cache are damaged and are computed again.", len(damaged))
            cache.forget(extractor.digest, damaged)


def _extract_missing(tree: PhotoTree, extractor: Extractor, engine: Engine, cache: BottleneckCache,
                     digests: dict[Path, str], reasons: dict[Path, str], workers: int) -> int:
    """Fills the cache, `digests` and `reasons` for every photo of the tree; returns how many were computed."""
    there = cache.digests_with_vector(extractor.digest)
    missing = [photo for photo in tree.photos
               if digests.get(photo.path) not in there and photo.path not in reasons]
    computed = 0
    unreadable: dict[str, str] = {}
    with progress_bar(len(tree.photos), "Bottlenecks", "photo", done=len(tree.photos) - len(missing)) as bar:
        for read in _infer(_Workers(missing, there, extractor, engine, min(workers, len(missing))), engine, cache):
            bar.update()
            if read.reason:
                reasons[read.photo.path] = unreadable[read.digest] = read.reason
                continue
            digests[read.photo.path] = read.digest
            cache.add_file(read.photo.path, read.digest, read.stamp)
            if read.vector is not None:
                cache.add_vector(extractor.digest, read.digest, read.look, read.vector, engine.name)
                computed += 1
    cache.commit()
    # A file with the same bytes as an unreadable one was not tried again: it shares the reason.
    reasons.update({path: unreadable[digest] for path, digest in digests.items() if digest in unreadable})
    return computed


def _infer(reads: "_Workers", engine: Engine, cache: BottleneckCache) -> Iterator[_Read]:
    """Hands on what workers read; where the engine takes batches, runs them on the way."""
    waiting: list[_Read] = []
    run: Callable | None = None
    for read in reads:
        if read is None:
            cache.commit_if_due()
        elif read.pixels is None:
            yield read
        else:
            waiting.append(read)
        if len(waiting) == engine.batch_size or (waiting and reads.finished):
            run = run or engine.open()
            vectors = run(network_input(np.stack([item.pixels for item in waiting if item.pixels is not None])))
            for item, vector in zip(waiting, vectors):
                item.pixels, item.vector = None, vector
                yield item
            waiting = []


class _Workers:
    """Threads that read, decode and, where the engine takes one photo at a time, infer; iterating gives their results.

    Gives None after a second without a result. The queue is short so that a killed run has computed little that is not
    yet committed.
    """

    def __init__(self, photos: list[Photo], there: set[str], extractor: Extractor, engine: Engine, count: int):
        self._photos = iter(photos)
        self._there = set(there)
        self._extractor, self._engine = extractor, engine
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
                if read.pixels is not None and self._engine.batch_size == 1:
                    run = run or self._engine.open()
                    read.vector = run(network_input(read.pixels[None]))[0]
                    read.pixels = None
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
        read = _Read(photo, file_stamp(photo.path))
        try:
            data = read_photo(photo.path)
            read.digest = photo_digest(data)
            with self._lock:
                known = read.digest in self._there
                self._there.add(read.digest)  # of two files with the same bytes one is computed
            if not known:
                sizes = ((self._extractor.height, self._extractor.width), (LOOK_HEIGHT, LOOK_WIDTH))
                read.pixels, look = load_sizes(data, sizes)
                read.look = photo_look(look)
        except PhotoError as error:
            read.reason = str(error)
        return read


def _collect(tree: PhotoTree, extractor: Extractor, cache: BottleneckCache, digests: dict[Path, str],
             reasons: dict[Path, str], computed: int, engine: str) -> tuple[Bottlenecks, list[str]]:
    """Loads what the cache holds, and the digests of photos whose rows in it are damaged."""
    readable = [replace(photo, digest=digests[photo.path]) for photo in tree.photos if photo.path not in reasons]
    rows: dict[str, list[int]] = {}
    for row, photo in enumerate(readable):
        rows.setdefault(photo.digest, []).append(row)
    matrix = np.empty((len(readable), extractor.depth), np.float32)
    looks = np.empty((len(readable), LOOK_BYTES), np.uint8)
    for digest, look, vector in cache.rows(extractor.digest, extractor.depth):
        for row in rows.pop(digest, ()):
            matrix[row], looks[row] = vector, np.frombuffer(look, np.uint8)
    unreadable = tuple((photo, reasons[photo.path]) for photo in tree.photos if photo.path in reasons)
    with_photos = {photo.label for photo in readable}
    kept = PhotoTree(tree.root, tuple(label for label in tree.labels if label in with_photos), tuple(readable))
    return Bottlenecks(kept, matrix, looks, unreadable, computed, engine), list(rows)
