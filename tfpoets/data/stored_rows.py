"""Large matrices of bottlenecks: in memory or in a temporary file, and selections of their rows without copies."""
from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.errors import DataError, one_line

log = logging.getLogger(__name__)

PREFIX, SUFFIX = ".bottlenecks-", ".npy"
# The number of rows that `row_slices` yields at a time: 42 MB of 1,280 features.
BLOCK_ROWS = 8192
# Rows of larger arrays are selected without copying them, because the parts of a split are used at the same time.
MAX_COPIED_BYTES = 10 ** 9


class StoredRows:
    """Rows of one or more arrays that are copied into memory only when they are indexed.

    It has the parts of the interface of an array that code for large datasets needs: shape, dtype, length, slices,
    and lists or masks of rows. Other operations of NumPy work as well, but read all rows into memory.

    Args:
        parts: Arrays [n, depth] of the same dtype and depth, stacked on each other.
        rows: int64 [rows], the selected rows of the stack; None for all.
    """

    ndim = 2

    def __init__(self, parts: Sequence[Any], rows: np.ndarray | None = None):
        self._parts, self.dtype = tuple(parts), parts[0].dtype
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self._rows = np.arange(self._starts[-1]) if rows is None else rows
        self.shape = (len(self._rows), parts[0].shape[1])

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.shape[0] * self.shape[1]

    @property
    def itemsize(self) -> int:
        """The size of an element in bytes."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """The size of all rows in bytes."""
        return self.size * self.itemsize

    def take(self, rows: np.ndarray | slice) -> StoredRows:
        """Return a selection of these rows, which is not read yet: row numbers, a mask bool [n], or a slice."""
        return StoredRows(self._parts, self._rows[rows])

    def mean(self, axis: int = 0, dtype: Any = None, out: None = None) -> np.ndarray:
        """Return the mean of the rows, [depth], which are read in blocks."""
        if axis != 0:
            raise ValueError("only the mean over the rows is supported")
        dtype = dtype or np.float64
        return sum(self[rows].sum(axis=0, dtype=dtype) for rows in row_slices(self)) / np.asarray(len(self), dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, tuple):
            return self[key[0]][(slice(None), *key[1:])]
        rows = self._rows[key]
        if rows.ndim == 0:
            return self._read(rows[np.newaxis])[0]
        # As with an array, only a slice is a view.
        return self._read(rows) if isinstance(key, slice) else np.array(self._read(rows))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._read(self._rows), dtype, copy=copy is not False)  # what was read may be a view

    def _read(self, rows: np.ndarray) -> np.ndarray:
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            part = int(np.searchsorted(self._starts, rows[0], side="right")) - 1
            if rows[-1] < self._starts[part + 1]:  # a slice need not be copied
                return np.asarray(self._parts[part][rows[0] - self._starts[part]:rows[-1] + 1 - self._starts[part]])
        result = np.empty((len(rows), self.shape[1]), self.dtype)
        for part, start, end in zip(self._parts, self._starts, self._starts[1:]):
            is_in_part = (rows >= start) & (rows < end)
            if is_in_part.any():
                result[is_in_part] = part[rows[is_in_part] - start]
        return result


def take_rows(X: Any, rows: np.ndarray) -> Any:
    """Return rows of bottlenecks, [n, depth]: a copy, or for large ones or those on disk a selection without a copy.

    Args:
        X: An array, an array in a memory-mapped file, or StoredRows.
        rows: The row numbers, or a mask bool [n].
    """
    if isinstance(X, StoredRows):
        return X.take(rows)
    if isinstance(X, np.memmap) or X.nbytes > MAX_COPIED_BYTES:
        return StoredRows([X]).take(rows)
    return X[rows]


def row_slices(X: Any) -> Iterator[slice]:
    """Yield slices of rows that fit in memory: one for an array in memory, and blocks of rows for one on disk."""
    if not isinstance(X, StoredRows | np.memmap):
        yield slice(None)
        return
    for start in range(0, max(len(X), 1), BLOCK_ROWS):
        yield slice(start, min(start + BLOCK_ROWS, len(X)))


def rows_with_nan(X: np.ndarray) -> np.ndarray:
    """Return which rows, [n, ...], contain a nan: bool [n]."""
    return np.concatenate([np.isnan(X[rows]).any(axis=tuple(range(1, X.ndim))) for rows in row_slices(X)])


def new_rows(shape: tuple[int, int], folder: Path, max_bytes: int) -> np.ndarray:
    """Return an array float32, in memory if it is small enough and otherwise in a temporary file.

    The file is deleted at once where the system allows it; its space is freed when the array is no longer used, or
    the process ends. Where it cannot be deleted while it is mapped (Windows), the next call deletes it.

    Args:
        shape: The number of rows and columns.
        folder: The folder of the file.
        max_bytes: The largest array that is created in memory.

    Raises:
        DataError: The file cannot be written, for example because the disk is full.
    """
    remove_stored_rows(folder)
    size = 4 * shape[0] * shape[1]
    if size <= max_bytes:
        return np.empty(shape, np.float32)
    log.info("The bottlenecks take %.1f GB and are read from disk, since `max_memory_gb` is %.3g.", size / 1e9,
             max_bytes / 1e9)
    try:
        descriptor, name = tempfile.mkstemp(SUFFIX, PREFIX, folder)
        try:
            rows = np.lib.format.open_memmap(name, "w+", np.float32, shape)
            if hasattr(os, "posix_fallocate"):  # writing to a mapped file ends the process if the disk is full
                os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                os.unlink(name)
    except OSError as error:
        raise DataError(f"The bottlenecks need {size / 1e9:.1f} GB in {folder}: {error.strerror or one_line(error)}.",
                        "Choose another `bottleneck_dir`, or a larger `max_memory_gb`.") from error
    return rows


def remove_stored_rows(folder: Path) -> None:
    """Delete the files that runs which were killed have left behind."""
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with contextlib.suppress(OSError):  # Windows does not delete files that are in use
            path.unlink()
