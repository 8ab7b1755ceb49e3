"""Training metrics as curves."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

# The points of each run, "train" and "validation". A point contains its `step` and the metrics at that step.
Curves = dict[str, list[dict[str, float]]]


class TrainingMetrics(Protocol):
    """Metrics at one point in training.

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
    """Return the curves of a training run.

    Args:
        metrics: The number and the metrics of each step.
        extra: Additional values by name, one for each step. They are added to the points of both runs.

    Returns:
        Points with `step`, `cross_entropy`, `accuracy` and the names in `extra`. Points whose loss is nan are omitted.
    """
    curves: Curves = {"train": [], "validation": []}
    for (step, step_metrics), *values in zip(metrics, *extra.values(), strict=True):
        for run, loss, accuracy in (
                ("train", step_metrics.train_loss, step_metrics.train_accuracy),
                ("validation", step_metrics.validation_loss, step_metrics.validation_accuracy)):
            if not math.isnan(loss):
                curves[run].append({"step": step, "cross_entropy": loss, "accuracy": accuracy,
                                    **dict(zip(extra, values))})
    return curves
