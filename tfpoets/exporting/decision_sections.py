"""The sections of a classifier's metadata about its answers: when it gives none, and what confusions cost."""
from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfpoets.data import MAX_COST_CLASSES
from tfpoets.tf_runtime import import_tensorflow

from .metadata_sections import FieldReader

if TYPE_CHECKING:
    from .metadata import Metadata

# The label of photos for which no answer is certain enough.
UNSURE_LABEL = "unsure"


@dataclass(frozen=True)
class UnsureOption:
    """The section about answers that are left to a person.

    Attributes:
        threshold: An answer with a lower probability is replaced by `unsure`. It is above 1 if no threshold reaches
            the target, so that there are no answers.
        accuracy_target: The accuracy of the answers that was asked for, 0 to 1.
        count: The number of photos that the threshold was chosen on.
        coverage: The fraction of these photos that get an answer, 0 to 1.
        test: `SelectiveMetrics.to_dict()` of the test photos, or None.
    """

    threshold: float
    accuracy_target: float
    count: int
    coverage: float
    test: dict[str, Any] | None = None

    @classmethod
    def from_dict(cls, values: Any) -> UnsureOption:
        """Read the section "unsure"."""
        fields = FieldReader("unsure", values)
        return cls(fields.number("threshold", 0), fields.number("accuracy_target", 0, 1), fields.integer("count"),
                   fields.number("coverage", 0, 1), fields.object("test"))


@dataclass(frozen=True)
class CostTable:
    """The section about the costs of wrong answers.

    Attributes:
        default: The cost of a wrong answer that is not listed; that of a correct answer is 0.
        listed: The costs that differ from this: for each, the true class, the answer and the cost. The classes are
            indices into the labels.
    """

    default: float
    listed: tuple[tuple[int, int, float], ...]

    @classmethod
    def from_matrix(cls, costs: np.ndarray) -> CostTable:
        """Return the table of a matrix: float64 [n_classes, n_classes], by true class (rows) and answer (columns)."""
        values, counts = np.unique(costs[~np.eye(len(costs), dtype=bool)], return_counts=True)
        default = float(values[counts.argmax()])
        rows, columns = np.nonzero(costs != default * (1 - np.eye(len(costs))))
        return cls(default, tuple((int(row), int(column), float(costs[row, column]))
                                  for row, column in zip(rows, columns)))

    def matrix(self, n_classes: int) -> np.ndarray:
        """Return the costs by true class (rows) and answer (columns): float64 [n_classes, n_classes]."""
        costs = self.default * (1 - np.eye(n_classes))
        for true, answer, cost in self.listed:
            costs[true, answer] = cost
        return costs

    @classmethod
    def from_dict(cls, values: Any, n_classes: int) -> CostTable:
        """Read the section "costs" of a classifier with this number of classes."""
        fields = FieldReader("costs", values)
        if n_classes > MAX_COST_CLASSES:
            raise ValueError(f"it has costs for more than {MAX_COST_CLASSES} classes")
        default, listed = fields.number("default", 0), values.get("listed")
        if not isinstance(listed, list) or not all(isinstance(row, list) and len(row) == 3 for row in listed):
            raise ValueError("its costs.listed is not a list of lists of three numbers")
        rows = []
        for row in listed:
            entry = FieldReader("costs.listed", dict(zip(("true", "answer", "cost"), row)))
            true, answer = entry.integer("true"), entry.integer("answer")
            if max(true, answer) >= n_classes:
                raise ValueError("its costs.listed contains a class that does not exist")
            rows.append((true, answer, entry.number("cost", 0)))
        return cls(default, tuple(rows))


def describe_decisions(metadata: Metadata) -> dict[str, Any]:
    """Return the threshold and the costs as JSON values, for programs that run an exported file."""
    values: dict[str, Any] = {}
    if metadata.unsure:
        values["unsure_threshold"] = metadata.unsure.threshold
    if metadata.costs:
        values["costs"] = asdict(metadata.costs)
    return values


def add_label_to_graph(metadata: Metadata, probabilities: Any) -> Any:
    """Add the answers to the TensorFlow graph that is being built.

    Args:
        metadata: The metadata of the classifier.
        probabilities: A float32 tensor [n, n_classes].

    Returns:
        A string tensor [n]: labels, or `unsure`.
    """
    tensorflow = import_tensorflow()
    if metadata.costs is None:
        answers = tensorflow.argmax(probabilities, axis=1)
    else:
        gains = -metadata.costs.matrix(len(metadata.labels)).astype(np.float32)
        answers = tensorflow.argmax(tensorflow.matmul(probabilities, tensorflow.constant(gains)), axis=1)
    label = tensorflow.gather(tensorflow.constant(metadata.labels), answers)
    if metadata.unsure is not None:
        confidence = tensorflow.gather(probabilities, answers, axis=1, batch_dims=1)
        label = tensorflow.where(confidence >= metadata.unsure.threshold, label, UNSURE_LABEL)
    return label
