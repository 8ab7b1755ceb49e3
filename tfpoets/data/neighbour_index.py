"""Find the nearest neighbours of the rows of a matrix: exactly in ordinary datasets, with an index in large ones."""
from __future__ import annotations

import importlib.util
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

import tfpoets.errors  # noqa: F401 - adds a handler that discards messages if the program has none
from tfpoets.parallel import core_count, map_in_order

log = logging.getLogger(__name__)
Item = TypeVar("Item")

# Up to this many rows are compared with each other. For more, faiss is used if it is installed, since the time of a
# comparison of all rows grows with the square of their number.
MAX_EXACT_ROWS = 50_000
# The number of similarities that are computed at a time, which take 400 MB. Up to 10,000 rows are compared at once;
# NumPy then uses the symmetry and computes only half of the similarities.
CHUNK_SIMILARITIES = 100_000_000
# The number of similarities from which the largest ones are selected at a time, which takes 16 bytes per similarity.
SELECTED_SIMILARITIES = 12_500_000
# Without faiss, this many columns at a time are read from a matrix that may be larger than memory.
COLUMN_BLOCK = 10_000
# The index contains the principal components of the rows, so that it takes 256 MB for a million of them. It returns
# this many times as many candidates as neighbours are needed, and the nearest ones are chosen by their true
# similarities.
INDEXED_DIMENSIONS, CANDIDATE_FACTOR = 64, 2
# The principal components, and the cells of the index, are fitted to samples: rows at equal intervals.
MAX_PCA_ROWS, ROWS_PER_CELL = 20_000, 64
# The rows are divided into CELL_FACTOR * sqrt(n) cells, and each is compared with those in the PROBED_CELLS nearest
# cells. Both were chosen with tests/benchmarks/scale_data.py.
CELL_FACTOR, PROBED_CELLS = 4, 32
# Rows are projected, and their candidates compared, in blocks of this many.
PROJECTED_BLOCK, COMPARED_BLOCK = 8192, 128


class UnitVectors:
    """The rows of a matrix as unit vectors from their mean, computed when they are accessed.

    The matrix may be a memory map that is larger than memory. `unit[rows]` is a float32 array for a slice or an array
    of row numbers.

    Attributes:
        shape: The number of rows and their length.
    """

    def __init__(self, X: np.ndarray, rows: np.ndarray | None = None, center: np.ndarray | None = None) -> None:
        """Wrap a matrix.

        Args:
            X: float32 [n_all, depth].
            rows: int64 [n], the rows to use and their order; None for all of them.
            center: float32 [depth]; the mean of the rows unless it is given.
        """
        self._X, self._rows = X, np.arange(len(X)) if rows is None else rows
        self.shape = (len(self._rows), X.shape[1])
        self._center = self._mean() if center is None else center

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        unit = self._X[self._rows[rows]] - self._center
        unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
        return unit

    def select(self, rows: np.ndarray) -> UnitVectors:
        """Return some of the rows, int64 [selected], with the same center."""
        return UnitVectors(self._X, self._rows[rows], self._center)

    def _mean(self) -> np.ndarray:
        total = np.zeros(self.shape[1])
        for start in range(0, len(self), PROJECTED_BLOCK):
            total += self._X[self._rows[start:start + PROJECTED_BLOCK]].sum(axis=0, dtype=np.float64)
        return (total / len(self)).astype(np.float32)


def uses_index(n_rows: int) -> bool:
    """Return whether an index, which finds nearly all neighbours, is used for this many rows."""
    return n_rows > MAX_EXACT_ROWS and importlib.util.find_spec("faiss") is not None


def log_slow_comparison(n_rows: int) -> None:
    """Log that comparing this many rows takes long, and what would be faster, if this is so."""
    if n_rows > MAX_EXACT_ROWS:
        log.warning("Comparing %d photos with each other takes long. An index is much faster: "
                    "pip install 'tfpoets[scale]'", n_rows)


def search_neighbours(unit: np.ndarray | UnitVectors, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows with the largest cosine similarities to each row, without the row itself.

    The result does not depend on the number of cores. With more than MAX_EXACT_ROWS rows, an index finds nearly all of
    the neighbours if the package faiss is installed; the similarities of those that it finds are exact.

    Args:
        unit: float32 [n, depth], unit vectors; at least two.
        k: The number of neighbours, at most n - 1.

    Returns:
        int64 [n, k], the neighbours of each row in descending order of similarity. If the index finds fewer than k,
            the last one is repeated.
        float32 [n, k], their cosine similarities.
    """
    from threadpoolctl import threadpool_limits  # imported here, because label_image starts without it
    if uses_index(len(unit)):
        import faiss  # noqa: F401 - its thread pools are limited only if they have been loaded
        with threadpool_limits(1):
            return _search_index(unit, k)
    log_slow_comparison(len(unit))
    with threadpool_limits(1, user_api="blas"):
        return _search_exactly(unit, k)


def _search_exactly(unit: np.ndarray | UnitVectors, k: int) -> tuple[np.ndarray, np.ndarray]:
    n_rows = len(unit)
    if n_rows <= MAX_EXACT_ROWS:
        unit = unit[:]
    neighbours, similarities = np.empty((n_rows, k), np.int64), np.empty((n_rows, k), np.float32)
    chunk_rows, selected_rows = max(1, CHUNK_SIMILARITIES // n_rows), max(1, SELECTED_SIMILARITIES // n_rows)
    for start in range(0, n_rows, chunk_rows):
        cosines = _similarities(unit, slice(start, start + chunk_rows))
        # A row is not its own neighbour.
        cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))] = -np.inf
        for offset in range(0, len(cosines), selected_rows):
            values = cosines[offset:offset + selected_rows]
            chunk = slice(start + offset, start + offset + len(values))
            neighbours[chunk], similarities[chunk] = _select_largest(values, k)
        del cosines, values  # before the next similarities are computed
    return neighbours, similarities


def _similarities(unit: np.ndarray | UnitVectors, rows: slice) -> np.ndarray:
    """Return the similarities of some rows to all rows: float32 [rows, n]."""
    if isinstance(unit, np.ndarray) and len(unit) <= MAX_EXACT_ROWS:
        return unit[rows] @ unit.T
    return multiply_in_blocks(unit[rows], unit)


def multiply_in_blocks(left: np.ndarray, unit: np.ndarray | UnitVectors) -> np.ndarray:
    """Return the products of the rows of two matrices, float32 [left rows, n], without copying the second one."""
    products = np.empty((len(left), len(unit)), np.float32)
    for start in range(0, len(unit), COLUMN_BLOCK):
        products[:, start:start + COLUMN_BLOCK] = left @ unit[start:start + COLUMN_BLOCK].T
    return products


def _select_largest(cosines: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns and values of the largest entries of each row, in descending order."""
    nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
    values = np.take_along_axis(cosines, nearest, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(nearest, order, axis=1), np.take_along_axis(values, order, axis=1)


def _search_index(unit: np.ndarray | UnitVectors, k: int) -> tuple[np.ndarray, np.ndarray]:
    import faiss
    projected = _project(unit)
    cells, index = _build_index(projected)
    neighbours, similarities = np.empty((len(unit), k), np.int64), np.empty((len(unit), k), np.float32)

    def search(rows: np.ndarray) -> None:
        faiss.omp_set_num_threads(1)
        _, candidates = index.search(projected[rows], CANDIDATE_FACTOR * k + 1)
        neighbours[rows], similarities[rows] = _choose(unit, rows, candidates, k)
    # Rows of one cell have many candidates in common, so each candidate is read and compared once for many rows.
    order = np.argsort(cells, kind="stable")
    _run_on_all_cores(search, (order[rows] for rows in _slices(len(order), COMPARED_BLOCK)))
    return neighbours, similarities


def _slices(count: int, size: int) -> Iterator[slice]:
    yield from (slice(start, min(start + size, count)) for start in range(0, count, size))


def _run_on_all_cores(function: Callable[[Item], None], blocks: Iterable[Item]) -> None:
    """Call a function with each block, whose results must not depend on the other blocks."""
    deque(map_in_order(function, blocks, core_count()), maxlen=0)


def _project(unit: np.ndarray | UnitVectors) -> np.ndarray:
    """Return the first principal components of the rows: float32 [n, INDEXED_DIMENSIONS or fewer]."""
    n_rows, depth = unit.shape
    sample = unit[np.linspace(0, n_rows - 1, min(n_rows, MAX_PCA_ROWS)).astype(np.int64)]
    # The directions are the eigenvectors of the uncentered covariance: the rows are nearly centered already.
    directions = np.linalg.eigh(sample.T @ sample)[1][:, ::-1][:, :INDEXED_DIMENSIONS]
    return project_in_blocks(unit, directions)


def project_in_blocks(unit: np.ndarray | UnitVectors, directions: np.ndarray) -> np.ndarray:
    """Return the projections of the rows, float32 [n, dimensions], on directions, float32 [depth, dimensions]."""
    projected = np.empty((len(unit), directions.shape[1]), np.float32)

    def project(rows: slice) -> None:
        projected[rows] = unit[rows] @ directions
    _run_on_all_cores(project, _slices(len(unit), PROJECTED_BLOCK))
    return projected


def _build_index(projected: np.ndarray) -> tuple[np.ndarray, Any]:
    """Return the cell of each row, int64 [n], and the faiss index of the rows."""
    import faiss
    n_rows, depth = projected.shape
    n_cells = round(CELL_FACTOR * n_rows ** 0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(depth), depth, n_cells, faiss.METRIC_L2)
    index.cp.seed, index.cp.niter, index.nprobe = 0, 10, PROBED_CELLS
    index.train(projected[np.linspace(0, n_rows - 1, min(n_rows, ROWS_PER_CELL * n_cells)).astype(np.int64)])
    cells = np.empty(n_rows, np.int64)

    def assign(rows: slice) -> None:
        faiss.omp_set_num_threads(1)  # the limit of the main thread does not apply to this one
        cells[rows] = index.quantizer.search(projected[rows], 1)[1][:, 0]
    _run_on_all_cores(assign, _slices(n_rows, PROJECTED_BLOCK))
    index.add_core(n_rows, faiss.swig_ptr(projected), None, faiss.swig_ptr(cells))
    return cells, index


def _choose(unit: np.ndarray | UnitVectors, rows: np.ndarray, candidates: np.ndarray, k: int
            ) -> tuple[np.ndarray, np.ndarray]:
    """Return the k candidates of each row that are most similar to it.

    Args:
        unit: The unit vectors.
        rows: int64 [rows].
        candidates: int64 [rows, candidates], -1 for none; a row may be a candidate of itself.
        k: The number of neighbours.
    """
    different, columns = np.unique(candidates, return_inverse=True)
    cosines = np.take_along_axis(unit[rows] @ unit[different].T, columns.reshape(candidates.shape), axis=1)
    is_missing = (candidates < 0) | (candidates == rows[:, np.newaxis])
    cosines[is_missing] = -np.inf
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    n_found = np.maximum((~is_missing).sum(axis=1), 1)
    order = np.take_along_axis(order, np.minimum(np.arange(k), n_found[:, np.newaxis] - 1), axis=1)
    return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(cosines, order, axis=1)
