"""Export the bottlenecks of a cache to a Parquet file."""
from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.errors import ExtractorError, one_line
from tfpoets.files import ABANDONED_SECONDS, partial_path, remove_abandoned_parts, sync_file
from tfpoets.progress import progress_bar

from .cache_lookup import vector_key
from .cache_schema import checksum_of

# The size of the bottlenecks in a row group, which is in memory as a whole.
ROW_GROUP_BYTES = 16 * 2**20
# A bottleneck, with each of the files that have its digest, or none.
_ROWS = ("SELECT s.uri, s.stamp, s.checksum, v.digest, v.extractor, v.view, v.vector, v.checksum "
         "FROM vectors v NOT INDEXED LEFT JOIN stamps s ON s.digest = v.digest WHERE v.extractor IN ({})")


def export_bottlenecks(database: sqlite3.Connection, path: Path, keys: Sequence[str] | None = None) -> int:
    """Write bottlenecks to a Parquet file with the columns uri, digest, extractor, view and bottleneck.

    There is one row for each file and view. The URI of bottlenecks that belong to no known file is null. Damaged rows
    are left out. The file appears under its name when it is complete.

    Args:
        database: The cache, from `open_cache_file`.
        path: The file to write.
        keys: The keys of the bottlenecks, from `find_network_keys`; None: all of them, if they have the same length.

    Returns:
        The number of rows.

    Raises:
        ExtractorError: pyarrow is not installed, there are no bottlenecks or some of different lengths, or the file
            cannot be written.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        raise ExtractorError("Writing Parquet files needs the package pyarrow.", "Run: pip install pyarrow") from None
    if keys is None:
        keys = [key for key, in database.execute("SELECT DISTINCT extractor FROM vectors")]
    depth = _find_depth(database, keys)
    schema = pyarrow.schema([("uri", pyarrow.string()), ("digest", pyarrow.string()), ("extractor", pyarrow.string()),
                             ("view", pyarrow.int32()),
                             ("bottleneck", pyarrow.list_(pyarrow.float32(), depth))])
    partial, n_rows = partial_path(path), 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned_parts(path, ABANDONED_SECONDS)
        with (pyarrow.parquet.ParquetWriter(partial, schema, use_dictionary=["extractor"]) as writer,
              progress_bar(None, "Export", "row") as bar):
            for rows in _row_groups(database, keys, depth):
                writer.write_table(_to_table(rows, schema, depth))
                n_rows += len(rows)
                bar.update(len(rows))
        sync_file(partial)
        os.replace(partial, path)
    except (OSError, pyarrow.lib.ArrowException) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise ExtractorError(f"{path} cannot be written: {reason.rstrip('.')}.") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return n_rows


def _find_depth(database: sqlite3.Connection, keys: Sequence[str]) -> int:
    """Return the length of the bottlenecks: for each key, that of most, since those of other lengths are damaged."""
    lengths: dict[str, int] = {}
    for key, length in database.execute(
            "SELECT extractor, length(vector) / 4 FROM vectors NOT INDEXED "
            f"WHERE extractor IN ({_places(keys)}) GROUP BY 1, 2 ORDER BY count(*)", list(keys)):
        lengths[key] = length
    if not lengths:
        raise ExtractorError("The cache contains no bottlenecks.")
    depth, *others = sorted(set(lengths.values()))
    if others:
        raise ExtractorError("The cache contains bottlenecks of different lengths "
                             f"({', '.join(map(str, [depth, *others]))}), which one file cannot contain.",
                             "Choose one network with `extractor`.")
    return depth


def _places(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _row_groups(database: sqlite3.Connection, keys: Sequence[str], depth: int) -> Iterator[list[tuple[Any, ...]]]:
    """Yield lists of undamaged rows: (URI or None, digest, extractor, view, blob)."""
    def undamaged() -> Iterator[tuple[Any, ...]]:
        for uri, stamp, stamp_checksum, digest, extractor, view, blob, checksum in database.execute(
                _ROWS.format(_places(keys)), list(keys)):
            if vector_key(extractor, depth, view).is_undamaged(digest, blob, checksum):
                is_known = uri is not None and stamp_checksum == checksum_of(uri, stamp, digest)
                yield uri if is_known else None, digest, extractor, view, blob
    rows, size = undamaged(), max(1, ROW_GROUP_BYTES // (4 * depth))
    while group := list(itertools.islice(rows, size)):
        yield group


def _to_table(rows: list[tuple[Any, ...]], schema: Any, depth: int) -> Any:
    import pyarrow
    *columns, blobs = zip(*rows)
    numbers = np.frombuffer(b"".join(blobs), "<f4").astype(np.float32, copy=False)
    bottlenecks = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(numbers), depth)
    return pyarrow.Table.from_arrays([*(pyarrow.array(values, field.type) for values, field in zip(columns, schema)),
                                      bottlenecks], schema=schema)
