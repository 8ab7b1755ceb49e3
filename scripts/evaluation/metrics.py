"""How good a classifier is, and how sure that can be known: arrays in, figures out."""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Z_95 = 1.959963984540054  # the 97.5 % point of the normal distribution


@dataclass(frozen=True)
class Metrics:
    """Figures of one evaluation.

    Attributes:
        count: photos evaluated.
        correct: of them, those whose most probable class is the true one.
        cross_entropy: mean negative natural logarithm of the true class's probability.
        majority: index of the most frequent class.
        majority_accuracy: what always answering that class would reach.
    """

    count: int
    correct: int
    cross_entropy: float
    majority: int
    majority_accuracy: float

    @property
    def accuracy(self) -> float:
        """Share of correct answers, 0 to 1."""
        return self.correct / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(self.correct, self.count)


def evaluate(probabilities: np.ndarray, classes: np.ndarray) -> Metrics:
    """Compares answers with the truth.

    Args:
        probabilities: float [photos, classes], rows summing to 1.
        classes: int [photos], the true class of each; at least one photo.
    """
    if len(classes) == 0:
        raise ValueError("there are no photos to evaluate")
    counts = np.bincount(classes, minlength=probabilities.shape[1])
    true = probabilities[np.arange(len(classes)), classes].astype(np.float64)
    return Metrics(count=len(classes), correct=int((probabilities.argmax(1) == classes).sum()),
                   cross_entropy=float(-np.log(np.maximum(true, 1e-12)).mean()),
                   majority=int(counts.argmax()), majority_accuracy=float(counts.max() / len(classes)))


def wilson_interval(correct: int, count: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927): sound for few photos and for shares near 0 and 1.

    Args:
        correct: how many of `count` came out right.
        z: the normal distribution's point for the wanted coverage.

    Returns:
        Lower and upper end, within [0, 1].
    """
    share = correct / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)
