"""Bottlenecks in principal axes, in one block of rows or in many.

Sums over many rows are added up block by block, in the order of the rows. The size of the blocks depends only on the
number of features and classes, so the sums do not depend on the number of cores, each of which computes a block.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from typing import Any, Protocol, TypeVar

import numpy as np

from tfpoets.data import take_rows
from tfpoets.parallel import core_count, map_in_order

Result = TypeVar("Result")

# The number of features and logits in a block: 32 MB in float32.
BLOCK_VALUES = 8_000_000
# With many classes, adding up the gradients of small blocks would take longer than computing them.
MIN_BLOCK_ROWS = 2048


class RowBlocks(Protocol):
    """Rows in principal axes, whose blocks are multiplied with weights.

    Attributes:
        shape: The number of rows and of axes.
        dtype: The type of the blocks.
    """

    shape: tuple[int, int]
    dtype: Any

    def map(self, function: Callable[[slice, np.ndarray], Result], n_classes: int) -> Iterator[Result]:
        """Yield the results for each block, in order, of a function of the rows and the block [rows, features]."""

    def weights(self, coef: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights and bias, in the dtype of a block, for the logits `block @ weights + bias`.

        Args:
            coef: float64 [n_classes, n_axes + 1].
        """

    def to_axes(self, products: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """Return error.T @ X for the rows in principal axes: [n_classes, n_axes].

        Args:
            products: The sum of error.T @ block: [n_classes, features].
            sums: The sum of the errors: [n_classes].
        """

    def variances(self) -> tuple[np.ndarray, float]:
        """Return the variance along each axis, float64 [n_axes], and their exact sum."""


class OneBlock:
    """Rows in principal axes that are in memory: float [n_rows, n_axes]."""

    def __init__(self, X: np.ndarray):
        self._X, self.shape, self.dtype = X, X.shape, X.dtype

    def map(self, function: Callable[[slice, np.ndarray], Result], n_classes: int) -> Iterator[Result]:
        """Yield the result for all rows."""
        yield function(slice(None), self._X)

    def weights(self, coef: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return views of the coefficients."""
        coef = coef.astype(self.dtype)
        return coef[:, :-1].T, coef[:, -1]

    def to_axes(self, products: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """Return the products."""
        return products

    def variances(self) -> tuple[np.ndarray, float]:
        """Return the exact variances and their sum."""
        mean = self._X.mean(axis=0, dtype=np.float64)
        variances = np.einsum("ij,ij->j", self._X, self._X, dtype=np.float64) / len(self._X) - mean * mean
        return variances, float(variances.sum())


class ManyBlocks:
    """Bottlenecks as the extractor returns them, which are never all in memory as principal axes.

    The weights are rotated instead of the rows: (x - mean) / scale @ components @ w = x @ weights + bias.

    Args:
        bottlenecks: float32 [n_rows, n_features], an array or StoredRows.
        components, mean, scale: Those of PrincipalAxes.
        axis_variances: float64 [n_axes], estimates of the variances.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, bottlenecks: Any, components: np.ndarray, mean: np.ndarray, scale: float,  # noqa: PLR0913 - of
                 axis_variances: np.ndarray):  # one transformation
        self._bottlenecks, self._mean, self._axis_variances = bottlenecks, mean.astype(np.float64), axis_variances
        # In float32, which is as precise as the products with the blocks.
        self._components = (components.astype(np.float64) / scale).astype(np.float32)
        self._scale = scale
        self.shape = (len(bottlenecks), components.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> ManyBlocks:
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        return self.with_bottlenecks(take_rows(self._bottlenecks, rows))

    def with_bottlenecks(self, bottlenecks: Any) -> ManyBlocks:
        """Return other bottlenecks in the same axes."""
        blocks = copy(self)
        blocks._bottlenecks, blocks.shape = bottlenecks, (len(bottlenecks), self.shape[1])
        return blocks

    def map(self, function: Callable[[slice, np.ndarray], Result], n_classes: int) -> Iterator[Result]:
        """Yield the results of the blocks, some of which are computed ahead on other cores."""
        n_rows = max(MIN_BLOCK_ROWS, BLOCK_VALUES // (self._bottlenecks.shape[1] + n_classes))
        blocks = (slice(start, min(start + n_rows, len(self))) for start in range(0, max(len(self), 1), n_rows))
        yield from map_in_order(lambda rows: function(rows, self._bottlenecks[rows]), blocks, core_count(), more=1,
                                lookahead=1)

    def weights(self, coef: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights and the bias for bottlenecks."""
        weights = self._components @ coef[:, :-1].T.astype(np.float32)
        return weights, (coef[:, -1] - self._mean @ weights).astype(np.float32)

    def to_axes(self, products: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """Rotate the products into the principal axes."""
        return (products - sums[:, np.newaxis] * self._mean).astype(np.float32) @ self._components

    def variances(self) -> tuple[np.ndarray, float]:
        """Return the estimated variances, and their exact sum."""
        def sums(_: slice, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            centered = block - self._mean.astype(np.float32)
            return centered.sum(axis=0, dtype=np.float64), np.einsum("ij,ij->j", centered, centered, dtype=np.float64)
        totals = np.zeros((2, self._bottlenecks.shape[1]))
        for block_sums in self.map(sums, 0):
            totals += block_sums
        mean, mean_square = totals / len(self)
        return self._axis_variances, float((mean_square - mean * mean).sum() / self._scale ** 2)


def as_blocks(X: np.ndarray | ManyBlocks) -> RowBlocks:
    """Return rows in principal axes as blocks; an array is one block."""
    return X if isinstance(X, ManyBlocks) else OneBlock(X)
