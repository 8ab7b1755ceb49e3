"""The metrics of a training as curves."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

# Points by run, "train" and "validation". Each point has its `step` and the metrics measured there.
Curves = dict[str, list[dict[str, float]]]


class TrainingMetrics(Protocol):
    """Metrics at one point of a training.

    Losses are in nats, accuracies from 0 to 1. Without validation photos, the validation metrics are nan.
    """

    @property
    def train_loss(self) -> float:
        """The mean cross-entropy of the training photos."""

    @property
    def train_accuracy(self) -> float:
        """The fraction of the training photos that are classified correctly."""

    @property
    def validation_loss(self) -> float:
        """The mean cross-entropy of the validation photos."""

    @property
    def validation_accuracy(self) -> float:
        """The fraction of the validation photos that are classified correctly."""


def build_curves(metrics: Iterable[tuple[int, TrainingMetrics]], **extra: Iterable[float]) -> Curves:
    """Return the curves of a training.

    Args:
        metrics: The number of each step, and the metrics measured there.
        extra: Further values, by name: one for each step, added to the points of both runs.

    Returns:
        Points with `step`, `cross_entropy`, `accuracy` and the names in `extra`. Points whose loss is nan are omitted.
    """
    curves: Curves = {"train": [], "validation": []}
    for (step, each), *values in zip(metrics, *extra.values(), strict=True):
        for run, loss, accuracy in (("train", each.train_loss, each.train_accuracy),
                                    ("validation", each.validation_loss, each.validation_accuracy)):
            if not math.isnan(loss):
                curves[run].append({"step": step, "cross_entropy": loss, "accuracy": accuracy,
                                    **dict(zip(extra, values))})
    return curves
