"""The work of one process of a Ray cluster. Photos arrive, and results leave, as Arrow tables."""
from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow

from tfpoets.data import FileReader, Photo

from .batches import run_padded
from .cached_values import DIGEST_BYTES, CachedValues, ValueKey
from .engines import PixelEngine
from .photo_processor import ExtractionJob, PhotoProcessor, PhotoResult

# The number of results in a table. Ray Data collects tables to blocks.
MAX_RESULTS_PER_TABLE = 16
# The names of files need not be valid Unicode.
URI_ENCODING = ("utf-8", "surrogatepass")


class KnownValues:
    """The values that the cache contains, in arrays that all processes of a node share in Ray's object store.

    Args:
        cached: The values that the cache contains.
    """

    def __init__(self, cached: CachedValues):
        self._values: Sequence[ValueKey] = list(cached.digests)
        self._digests = np.unique(_as_array(set().union(*cached.digests.values())))
        self._is_cached = np.zeros((len(self._digests), len(self._values)), bool)
        for column, digests in enumerate(cached.digests.values()):
            self._is_cached[np.searchsorted(self._digests, _as_array(digests)), column] = True

    def missing(self, digest: str) -> set[ValueKey]:
        """Return the values that a photo lacks."""
        key = bytes.fromhex(digest)
        row = int(np.searchsorted(self._digests, np.array(key, self._digests.dtype)))
        if row == len(self._digests) or self._digests[row:row + 1].tobytes() != key:
            return set(self._values)
        return {value for value, is_cached in zip(self._values, self._is_cached[row]) if not is_cached}


class _TaskClaims:
    """The values that need not be computed: those in the cache, and those of earlier photos of the same task.

    Tasks claim nothing from each other, so that a task whose results were lost can be repeated anywhere.
    """

    def __init__(self, known: KnownValues):
        self._known = known
        self._claimed: set[str] = set()

    def start_task(self) -> None:
        self._claimed.clear()

    def claim_missing(self, digest: str, repeated: bool = False) -> set[ValueKey]:
        """Return the values that a photo lacks; see `Claims`."""
        if digest in self._claimed:
            return set()
        self._claimed.add(digest)
        return self._known.missing(digest)


@dataclass(frozen=True, eq=False)
class ClusterSetup:
    """What the processes of a cluster need to process photos; it is in Ray's object store, once per node.

    Attributes:
        job: The values to compute for each photo.
        engine: The engine, which contains the network instead of the path of its file.
        sources: The readers that open the files.
        known: The values that the cache contains.
    """

    job: ExtractionJob
    engine: PixelEngine
    sources: Sequence[FileReader]
    known: KnownValues


class PhotoActor:
    """Reads and decodes photos and, if the engine takes single photos, computes their bottlenecks.

    Args:
        setup: The reference of a ClusterSetup.
    """

    def __init__(self, setup: Any):
        import ray
        self._setup: ClusterSetup = ray.get(setup)
        self._claims = _TaskClaims(self._setup.known)
        self._processor = PhotoProcessor(self._setup.job, self._setup.engine, self._claims)

    def __call__(self, photos: pyarrow.Table) -> Iterator[pyarrow.Table]:
        """Yield the results of photos, which are those of one task.

        Args:
            photos: A table from `photo_table`.
        """
        self._claims.start_task()
        results: list[tuple[int, PhotoResult]] = []
        for row in photos.to_pylist():
            photo = Photo(row["uri"].decode(*URI_ENCODING), "", source=self._setup.sources[row["source"]])
            results.append((row["number"], self._processor.process(photo)))
            if len(results) == MAX_RESULTS_PER_TABLE:
                yield result_table(results)
                results = []
        if results:
            yield result_table(results)


class NetworkActor:
    """Computes the bottlenecks of decoded photos, in batches on a GPU.

    Args:
        setup: The reference of a ClusterSetup.
    """

    def __init__(self, setup: Any):
        import ray
        self._engine = ray.get(setup).engine
        self._run = self._engine.open_for_pixels()

    def __call__(self, table: pyarrow.Table) -> Iterator[pyarrow.Table]:
        """Yield a table of results with bottlenecks in place of pixels."""
        results = list(read_results(table))
        pixels = [np.asarray(view) for _, result in results for view in result.pixels]
        size = self._engine.batch_size
        vectors = iter([vector for start in range(0, len(pixels), size)
                        for vector in run_padded(self._run, pixels[start:start + size], size)])
        for _, result in results:
            result.vectors = [next(vectors) for _ in result.pixels]
            result.pixels = ()
        yield result_table(results)


def photo_table(photos: Sequence[tuple[int, str, int]]) -> pyarrow.Table:
    """Return a table of photos, at least one, given the number, the URI and the number of the source of each."""
    numbers, uris, sources = zip(*photos)
    return pyarrow.table({"number": pyarrow.array(numbers, pyarrow.int64()),
                          "uri": pyarrow.array([uri.encode(*URI_ENCODING) for uri in uris], pyarrow.binary()),
                          "source": pyarrow.array(sources, pyarrow.int32())})


def result_table(results: Sequence[tuple[int, PhotoResult]]) -> pyarrow.Table:
    """Return a table of the numbers of photos and their results."""
    return pyarrow.table({
        "number": pyarrow.array([number for number, _ in results], pyarrow.int64()),
        "result": pyarrow.array([pickle.dumps(result, pickle.HIGHEST_PROTOCOL) for _, result in results],
                                pyarrow.binary())})


def read_results(table: pyarrow.Table) -> Iterator[tuple[int, PhotoResult]]:
    """Yield the numbers of photos and their results."""
    for row in table.to_pylist():
        yield row["number"], pickle.loads(row["result"])


def _as_array(digests: set[str]) -> np.ndarray:
    """Return digests as an array of 16-byte strings."""
    return np.frombuffer(bytes.fromhex("".join(digests)), f"S{DIGEST_BYTES}")
