"""Learning curves and selective accuracy as sentences, for the report and the terminal."""
from __future__ import annotations

import math
from collections.abc import Sequence

from tfpoets.evaluation import CostMetrics, CoverageCurve, Metrics, SelectiveMetrics, answered_at
from tfpoets.training import LearningCurve

# The fraction of photos that may be left to a person, for the sentence about it.
LEFT_TO_PERSON = 0.1
MAX_GAINS = 3


def doubling_sentence(curve: LearningCurve) -> str:
    """Return a sentence on the accuracy with twice as many photos."""
    if curve.now == 1:
        return "All test photos are labelled correctly, so they cannot show what more photos would gain."
    low, high = curve.doubled.interval
    return (f"Twice as many photos: {curve.doubled.accuracy:.1%} expected (95% interval {100 * low:.1f}-"
            f"{100 * high:.1f}%) instead of {curve.now:.1%} on these test photos.")


def class_gain_sentence(curve: LearningCurve, labels: Sequence[str]) -> str:
    """Return a sentence on the classes that gain most from ten more photos; "" if this was not measured."""
    if not curve.class_gains or curve.now == 1 or math.isnan(curve.class_gains[0].interval[0]):
        return ""
    if curve.best_class is None:
        return "Ten more photos of a single class: no gain is large enough to rule out chance."
    order = sorted(range(len(labels)), key=lambda index: -curve.class_gains[index].accuracy)
    others = [f"{labels[index]} ({_points(curve.class_gains[index].accuracy)})" for index in order[1:MAX_GAINS]]
    best = curve.class_gains[curve.best_class]
    low, high = best.interval
    return (f"Ten more photos are expected to gain most if they are of {labels[curve.best_class]}: "
            f"{_points(best.accuracy)} percentage points of accuracy (95% interval {100 * low:.2f} to "
            f"{100 * high:.2f}), ahead of {' and '.join(others)}.")


def coverage_sentence(coverage: CoverageCurve, metrics: Metrics) -> str:
    """Return a sentence on the accuracy if the least certain tenth of the answers is left to a person.

    It is "" if no answers can be left out, because all of these are equally certain.

    Args:
        coverage: The accuracy of the most certain answers.
        metrics: The metrics of all answers.
    """
    answered = answered_at(coverage, metrics, 1 - LEFT_TO_PERSON)
    if answered.answered == answered.count:
        return ""
    low, high = answered.accuracy_interval or (0.0, 1.0)
    return (f"If the {1 - answered.coverage:.0%} of the photos with the least certain answers are left to you, "
            f"{answered.accuracy:.1%} (95% interval {100 * low:.1f}-{100 * high:.1f}%) of the other answers are "
            "right.")


def target_sentences(metrics: SelectiveMetrics, target: float, photos: str) -> list[str]:
    """Return sentences on the photos that are labelled `unsure` to reach an accuracy target.

    Args:
        metrics: The metrics of the answers.
        target: The accuracy target, 0 to 1.
        photos: A noun phrase for the photos, such as "test photos".
    """
    low, high = metrics.coverage_interval
    sentences = [f"Answered: {metrics.coverage:.1%} (95% interval {100 * low:.1f}-{100 * high:.1f}%) of the {photos}; "
                 "the others are not labelled."]
    if metrics.accuracy_interval is not None:
        low, high = metrics.accuracy_interval
        verdict = "the interval contains" if low <= target <= high else (
            "the interval is above" if target < low else "the interval is below")
        sentences.append(f"Of the answers, {metrics.accuracy:.1%} (95% interval {100 * low:.1f}-{100 * high:.1f}%) "
                         f"are right; {verdict} the target of {100 * target:g}%.")
    return sentences


def cost_sentence(costs: CostMetrics) -> str:
    """Return a sentence on what the answers cost."""
    gain = costs.mean_of_most_probable - costs.mean
    error = "?" if math.isnan(costs.standard_error) else f"{costs.standard_error:.1g}"
    return (f"Mean cost per photo: {costs.mean:.3g} instead of {costs.mean_of_most_probable:.3g} for the most "
            f"probable labels (difference {gain:.2g} ± {error}); {costs.changed} answers differ.")


def _points(fraction: float) -> str:
    return f"{100 * fraction:+.2f}"
