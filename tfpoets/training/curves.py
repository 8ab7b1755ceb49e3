"""The figures of a training as curves."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

# Points by run, "train" and "validation": each has its `step` and the figures measured there.
Curves = dict[str, list[dict[str, float]]]


class Figures(Protocol):
    """What is measured at one place of a training; losses in nats, nan without photos, accuracies from 0 to 1."""

    @property
    def train_loss(self) -> float: ...

    @property
    def train_accuracy(self) -> float: ...

    @property
    def validation_loss(self) -> float: ...

    @property
    def validation_accuracy(self) -> float: ...


def curves_of(figures: Iterable[tuple[int, Figures]], **more: Iterable[float]) -> Curves:
    """Return the curves of a training.

    Args:
        figures: (step, what was measured there).
        more: further values for both runs, by name: one for each step.

    Returns:
        Points with `step`, `cross_entropy`, `accuracy` and the names of `more`; without those whose loss is nan.
    """
    curves: Curves = {"train": [], "validation": []}
    for (step, each), *values in zip(figures, *more.values(), strict=True):
        for run, loss, accuracy in (("train", each.train_loss, each.train_accuracy),
                                    ("validation", each.validation_loss, each.validation_accuracy)):
            if not math.isnan(loss):
                curves[run].append({"step": step, "cross_entropy": loss, "accuracy": accuracy,
                                    **dict(zip(more, values))})
    return curves
