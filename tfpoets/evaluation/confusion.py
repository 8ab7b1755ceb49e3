"""Confusion matrices with any number of classes: only the cells that are not zero are stored."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

# A matrix of more classes is written to JSON as a list of cells. With 200 classes, the full matrix has 120 kB; with
# 10,000 classes, it would have 300 MB, almost all of it zeros.
MAX_FULL_MATRIX_CLASSES = 200


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """The number of photos by true class and predicted class.

    Attributes:
        n_classes: The number of classes.
        true: int64 [n_cells], the true class of each cell that is not zero, in ascending order.
        predicted: int64 [n_cells], the predicted class of each cell, in ascending order within a true class.
        counts: int64 [n_cells], the number of photos in each cell.
    """

    n_classes: int
    true: np.ndarray
    predicted: np.ndarray
    counts: np.ndarray

    @classmethod
    def from_predictions(cls, y: np.ndarray, predicted: np.ndarray, n_classes: int) -> ConfusionMatrix:
        """Count the photos: int64 [n] and int64 [n], the true and the predicted classes."""
        cells, counts = np.unique(y.astype(np.int64) * n_classes + predicted, return_counts=True)
        return cls(n_classes, *np.divmod(cells, n_classes), counts.astype(np.int64))

    def to_array(self) -> np.ndarray:
        """Return the full matrix, true classes in rows: int64 [n_classes, n_classes]."""
        return self.submatrix(np.arange(self.n_classes))

    def submatrix(self, classes: np.ndarray) -> np.ndarray:
        """Return the rows and columns of some classes, in their order: int64 [n] to int64 [n, n]."""
        position = np.full(self.n_classes, -1)
        position[classes] = np.arange(len(classes))
        rows, columns = position[self.true], position[self.predicted]
        inside = (rows >= 0) & (columns >= 0)
        matrix = np.zeros((len(classes), len(classes)), np.int64)
        matrix[rows[inside], columns[inside]] = self.counts[inside]
        return matrix

    def supports(self) -> np.ndarray:
        """Return the number of photos of each true class: int64 [n_classes]."""
        return np.bincount(self.true, self.counts, self.n_classes).astype(np.int64)

    def most_confused(self, limit: int) -> list[tuple[int, int, int]]:
        """Return the most frequent errors as (true class, predicted class, number of photos), the most frequent first.

        Args:
            limit: The maximum number of errors to return.
        """
        errors = np.flatnonzero(self.true != self.predicted)
        order = errors[np.argsort(-self.counts[errors], kind="stable")[:limit]]
        return [(int(self.true[cell]), int(self.predicted[cell]), int(self.counts[cell])) for cell in order]

    def most_confused_classes(self, limit: int) -> np.ndarray:
        """Return the classes that take part in most errors, as true or predicted class, in label order: int64.

        Args:
            limit: The maximum number of classes to return; all classes are returned if there are no more.
        """
        wrong = self.true != self.predicted
        errors = sum(np.bincount(classes[wrong], self.counts[wrong], self.n_classes)
                     for classes in (self.true, self.predicted))
        return np.sort(np.argsort(-errors, kind="stable")[:limit])

    def to_dict(self) -> dict[str, Any]:
        """Return the matrix for JSON.

        Returns:
            "confusion_matrix", a list of rows, and "confusion_cells", a list of [true class, predicted class, number
            of photos]. One of them is None: the first with more than MAX_FULL_MATRIX_CLASSES classes, else the second.
        """
        if self.n_classes <= MAX_FULL_MATRIX_CLASSES:
            return {"confusion_matrix": self.to_array().tolist(), "confusion_cells": None}
        cells = np.stack([self.true, self.predicted, self.counts], axis=1)
        return {"confusion_matrix": None, "confusion_cells": cells.tolist()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ConfusionMatrix:
        """Read the matrix from the JSON of `Metrics.to_dict`, in either form, or from a version without cells."""
        if values.get("confusion_cells") is None:
            matrix = np.asarray(values["confusion_matrix"], np.int64)
            true, predicted = matrix.nonzero()
            return cls(len(matrix), true, predicted, matrix[true, predicted])
        cells = np.asarray(values["confusion_cells"], np.int64).reshape(-1, 3)
        return cls(len(values["labels"]), *cells.T)


def rows_by_class(classes: np.ndarray, n_classes: int) -> Iterator[np.ndarray]:
    """Yield the rows of each class, in ascending order: int64 [n] to n_classes times int64 [rows of the class].

    Sorting once takes n log n steps; one comparison per class would take n times n_classes.
    """
    order = np.argsort(classes, kind="stable")
    yield from np.split(order, np.cumsum(np.bincount(classes, minlength=n_classes))[:-1])
