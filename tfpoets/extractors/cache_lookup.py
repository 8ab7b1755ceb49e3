"""Look up rows of the cache by their keys, and read bottlenecks in blocks."""
from __future__ import annotations

import functools
import itertools
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TypeVar

import numpy as np

from .cache_schema import checksummed_bytes

# SQLite allows at least 999 values in a statement.
KEYS_PER_STATEMENT = 500
BLOCK_ROWS = 512
# Reading a whole table in the order of the file is faster than looking up more than this fraction of its rows.
MAX_FRACTION_TO_LOOK_UP = 0.25

Item = TypeVar("Item")
# A function that yields the rows that a SELECT statement with these values returns.
Select = Callable[..., Iterator[tuple]]


class VectorKey:
    """What the bottlenecks of one view of all photos have in common.

    Args:
        extractor: The key of the extractor.
        depth: The number of features.
        view: The number of the view.
    """

    def __init__(self, extractor: str, depth: int, view: int):
        self.extractor, self.depth, self.view = extractor, depth, view
        self._checksum = zlib.crc32(checksummed_bytes(extractor))
        self._after_digest = checksummed_bytes(view) + b"%d:" % (4 * depth)

    def checksum_of(self, digest: object, blob: bytes) -> int:
        """Return `checksum_of(extractor, digest, view, blob)` for a blob of the right length."""
        return zlib.crc32(blob, zlib.crc32(checksummed_bytes(digest) + self._after_digest, self._checksum))

    def is_undamaged(self, digest: object, blob: object, checksum: object) -> bool:
        """Return whether a blob is the bottleneck of a photo."""
        # Before version 2, the checksums did not cover the key.
        return (isinstance(blob, bytes) and len(blob) == 4 * self.depth
                and (checksum == self.checksum_of(digest, blob) or checksum == zlib.crc32(blob)))


@functools.lru_cache(maxsize=64)
def vector_key(extractor: str, depth: int, view: int) -> VectorKey:
    """Return the VectorKey for these values."""
    return VectorKey(extractor, depth, view)


def in_chunks(items: Iterable[Item], size: int = KEYS_PER_STATEMENT) -> Iterator[list[Item]]:
    """Yield items in lists of at most `size`."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def select_among(select: Select, statement: str, column: str, keys: Iterable[object] | None, *values: object
                 ) -> Iterator[tuple]:
    """Yield the rows with the given keys.

    Args:
        select: The function that runs a statement.
        statement: A SELECT statement with {} for the condition that selects the keys, after all other conditions.
        column: The column that contains the keys.
        keys: The keys; None: all rows.
        values: The values of the other conditions.
    """
    if keys is None:
        yield from select(statement.format("TRUE"), *values)
        return
    for chunk in in_chunks(keys):
        yield from select(statement.format(f"{column} IN ({', '.join('?' * len(chunk))})"), *values, *chunk)


def vector_blocks(select: Select, key: VectorKey, digests: Collection[str] | None
                  ) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield the undamaged bottlenecks, in blocks; see `BottleneckCache.read_vector_blocks`."""
    for rows in in_chunks(_vector_rows(select, key, digests), BLOCK_ROWS):
        undamaged = [(digest, blob) for digest, blob, checksum in rows if key.is_undamaged(digest, blob, checksum)]
        if undamaged:
            vectors = np.frombuffer(b"".join(blob for _, blob in undamaged), "<f4")
            yield [digest for digest, _ in undamaged], vectors.reshape(len(undamaged), key.depth)


def _vector_rows(select: Select, key: VectorKey, digests: Collection[str] | None) -> Iterator[tuple]:
    """Yield (digest, vector, checksum) of rows; the digest comes from the same row even if the index is damaged."""
    statement = "SELECT digest, vector, checksum FROM vectors NOT INDEXED WHERE extractor = ? AND view = ? AND {}"
    (n_rows,), = select("SELECT coalesce(max(rowid), 0) FROM vectors")  # an upper bound, without counting them
    if digests is None or len(digests) > MAX_FRACTION_TO_LOOK_UP * n_rows:
        yield from select(statement.format("TRUE"), key.extractor, key.view)
        return
    rowids = np.fromiter((rowid for rowid, in select_among(
        select, "SELECT rowid FROM vectors WHERE extractor = ? AND view = ? AND {}", "digest", digests,
        key.extractor, key.view)), np.int64)
    rowids.sort()  # the order of the file
    yield from select_among(select, statement, "rowid", (int(rowid) for rowid in rowids), key.extractor, key.view)
