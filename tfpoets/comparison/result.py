"""The result of a comparison: classifiers that were tested on the same photos."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from tfpoets.evaluation import Metrics, PairedDifference, accuracy_after_choice, holm_adjusted, paired_difference
from tfpoets.extractors import ExtractorOptions

# A difference is considered real if its adjusted p-value is below this.
SIGNIFICANCE_LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class ComparedClassifier:
    """A classifier of a comparison.

    Attributes:
        name: The name in messages, which is unique in the comparison.
        source: The handle of the network, or the file of the classifier.
        height, width: The input size in pixels.
        metrics: The metrics on the photos of the comparison.
        size: The size of the .tflite in bytes; None without one.
        milliseconds: float64 [rounds], the times that the .tflite took for one photo on one thread, without decoding
            it; empty without a .tflite.
        views: The number of views that are averaged; None if it is not known.
        photos_per_second: The rate at which bottlenecks are computed, with decoding, on the whole machine; None if it
            was not measured.
        extractor: The options that select the network; None for the classifier of an earlier run.
    """

    name: str
    source: str
    height: int
    width: int
    metrics: Metrics
    size: int | None = None
    milliseconds: np.ndarray = field(default_factory=lambda: np.empty(0))
    views: int | None = None
    photos_per_second: float | None = None
    extractor: ExtractorOptions | None = None

    @property
    def correct(self) -> np.ndarray:
        """Whether each prediction is correct: bool [n_photos]."""
        return self.metrics.predicted == self.metrics.y

    @property
    def median_milliseconds(self) -> float | None:
        """The median of the times, or None if there are none."""
        return float(np.median(self.milliseconds)) if len(self.milliseconds) else None


@dataclass(frozen=True)
class Pair:
    """The comparison of two classifiers, `classifiers[first]` and `classifiers[second]`.

    Attributes:
        first, second: Their indices; the first one is at least as accurate.
        difference: The difference in accuracy.
        adjusted_p_value: The p-value of the difference, adjusted for the number of pairs by Holm's method.
    """

    first: int
    second: int
    difference: PairedDifference
    adjusted_p_value: float

    @property
    def may_be_chance(self) -> bool:
        """Whether the difference is too small to exclude chance."""
        return self.adjusted_p_value >= SIGNIFICANCE_LEVEL


@dataclass(frozen=True, eq=False)
class Comparison:
    """Classifiers that were tested on the same photos.

    All pairs are tested, and the p-values are adjusted for their number. The probability that equally accurate
    classifiers are called different, in at least one pair, is therefore at most 5%. This includes the pairs with the
    best one, although which one is the best is known only afterwards.

    Attributes:
        classifiers: The classifiers, the most accurate first.
        labels: The labels.
        notes: Sentences about the photos.
        folds: The number of folds of the cross-validation; None if the classifiers were trained earlier.
        n_unused: The number of photos that retrain would test on, and that were not used.
    """

    classifiers: tuple[ComparedClassifier, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()
    folds: int | None = None
    n_unused: int = 0

    @property
    def metrics(self) -> Metrics:
        """The metrics of the most accurate classifier."""
        return self.classifiers[0].metrics

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs of classifiers."""
        indices = list(combinations(range(len(self.classifiers)), 2))
        differences = [paired_difference(self.classifiers[first].correct, self.classifiers[second].correct,
                                         self.metrics.groups) for first, second in indices]
        adjusted = holm_adjusted([difference.p_value for difference in differences])
        return tuple(Pair(*pair, difference, p_value)
                     for pair, difference, p_value in zip(indices, differences, adjusted))

    @property
    def pairs_with_best(self) -> tuple[Pair, ...]:
        """The pairs of the most accurate classifier with each of the others, in their order."""
        return self.pairs[:len(self.classifiers) - 1]

    @cached_property
    def accuracy_after_choice(self) -> float:
        """The estimated accuracy, on new photos, of the most accurate one; see `accuracy_after_choice`."""
        return accuracy_after_choice(np.stack([classifier.correct for classifier in self.classifiers]),
                                     self.metrics.groups)

    @cached_property
    def front(self) -> tuple[bool, ...]:
        """Whether each classifier is on the Pareto front: bool for each, False without times.

        No other classifier is more accurate without being slower, or faster without being less accurate.
        """
        points = [(-classifier.metrics.accuracy, classifier.median_milliseconds) for classifier in self.classifiers]
        return tuple(time is not None and not any(
            other_time is not None and other_error <= error and other_time <= time and
            (other_error, other_time) != (error, time) for other_error, other_time in points)
            for error, time in points)

    def to_dict(self) -> dict[str, Any]:
        """Return the result for JSON: `photos`, `folds`, `correction`, `classifiers`, `pairs` and more."""
        metrics = self.metrics
        return {"photos": {"count": metrics.count, "groups": metrics.n_groups, "unused": self.n_unused,
                           "labels": list(self.labels), "notes": list(self.notes)},
                "folds": self.folds, "correction": "Holm", "significance_level": SIGNIFICANCE_LEVEL,
                "classifiers": [self._classifier_dict(index) for index in range(len(self.classifiers))],
                "pairs": [_pair_dict(pair) for pair in self.pairs],
                "accuracy_after_choice": self.accuracy_after_choice}

    def _classifier_dict(self, index: int) -> dict[str, Any]:
        classifier = self.classifiers[index]
        metrics, times = classifier.metrics, classifier.milliseconds
        return {"name": classifier.name, "source": classifier.source, "height": classifier.height,
                "width": classifier.width, "views": classifier.views, "accuracy": metrics.accuracy,
                "interval": list(metrics.interval), "cross_entropy": metrics.cross_entropy,
                "versus_best": None if index == 0 else _pair_dict(self.pairs_with_best[index - 1]),
                "milliseconds": classifier.median_milliseconds,
                "milliseconds_quartiles": np.percentile(times, [25, 75]).tolist() if len(times) else None,
                "bytes": classifier.size, "photos_per_second": classifier.photos_per_second,
                "on_pareto_front": self.front[index]}


def _pair_dict(pair: Pair) -> dict[str, Any]:
    difference = asdict(pair.difference)
    if math.isnan(pair.difference.standard_error):
        difference["standard_error"] = None
    return {"first": pair.first, "second": pair.second, **difference, "adjusted_p_value": pair.adjusted_p_value,
            "may_be_chance": pair.may_be_chance}


def rank(classifiers: Sequence[ComparedClassifier]) -> tuple[ComparedClassifier, ...]:
    """Return classifiers with the most accurate first; of equally accurate ones, the fastest, then the smallest."""
    return tuple(sorted(classifiers, key=lambda classifier: (
        -classifier.metrics.accuracy, classifier.median_milliseconds or math.inf, classifier.size or math.inf)))
