"""The accuracy of the most certain answers, and thresholds for an accuracy target."""
from __future__ import annotations

import numpy as np
import pytest

from tfpoets.evaluation import answered_at, coverage_curve, coverage_of, design_effect, evaluate, evaluate_answered


def simulate(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return calibrated confidences, and whether each answer is right."""
    rng = np.random.default_rng(seed)
    confidences = 0.5 + 0.5 * rng.beta(4, 1, count)
    return confidences, rng.random(count) < confidences


def test_every_point_of_the_curve_counts_the_answers_with_at_least_that_confidence() -> None:
    confidences = np.array([0.9, 0.6, 0.9, 0.7, 0.6])
    correct = np.array([True, False, False, True, True])
    curve = coverage_curve(confidences, correct)
    assert curve.thresholds.tolist() == [0.9, 0.7, 0.6]
    assert curve.coverage.tolist() == [0.4, 0.6, 1.0] and curve.accuracy.tolist() == [0.5, 2 / 3, 0.6]
    for coverage, threshold in ((0.1, 0.9), (0.4, 0.9), (0.41, 0.7), (0.6, 0.7), (1.0, 0.6)):
        assert curve.threshold_for_coverage(coverage) == threshold


@pytest.mark.parametrize("target", [0.93, 0.96])
def test_answers_above_the_threshold_reach_the_target_on_new_photos(target: float) -> None:
    accuracies, coverages = [], []
    for seed in range(30):
        threshold = coverage_curve(*simulate(600, seed)).threshold_for_accuracy(target)
        assert threshold is not None
        confidences, correct = simulate(20_000, 1000 + seed)
        answered = evaluate_answered(confidences >= threshold, correct)
        accuracies.append(answered.accuracy)
        coverages.append(answered.coverage)
    assert np.mean(np.array(accuracies) >= target) >= 0.7 and np.mean(accuracies) < target + 0.025
    assert np.mean(coverages) > 0.3


def test_too_few_photos_or_a_poor_classifier_reach_no_target() -> None:
    assert coverage_curve(np.full(20, 0.9), np.ones(20, bool)).threshold_for_accuracy(0.99) is None
    assert coverage_curve(np.linspace(0, 1, 100), np.arange(100) % 2 == 0).threshold_for_accuracy(0.9) is None


def test_grouped_photos_need_a_higher_threshold() -> None:
    confidences, correct = simulate(600, 0)
    repeated = np.repeat(confidences, 10), np.repeat(correct, 10)
    effect = design_effect(repeated[1], np.repeat(np.arange(600), 10))
    assert 5 < effect <= 10 and design_effect(correct, None) == 1
    curve = coverage_curve(*repeated)
    with_groups, without = curve.threshold_for_accuracy(0.96, 1 / effect), curve.threshold_for_accuracy(0.96)
    assert with_groups is not None and without is not None and with_groups > without


def test_metrics_count_answers_and_right_answers() -> None:
    metrics = evaluate_answered(np.array([True, True, False, True]), np.array([True, False, True, True]))
    assert (metrics.count, metrics.answered, metrics.correct) == (4, 3, 2)
    assert metrics.coverage == 0.75 and metrics.accuracy == 2 / 3
    nothing = evaluate_answered(np.zeros(3, bool), np.ones(3, bool))
    assert nothing.accuracy is None and nothing.accuracy_interval is None and nothing.coverage == 0


def test_the_confidence_is_that_of_the_answer_even_if_costs_chose_it() -> None:
    probabilities = np.array([[0.7, 0.3], [0.9, 0.1]])
    metrics = evaluate(probabilities, np.array([1, 0]), costs=np.array([[0, 1], [5.0, 0]]))
    curve = coverage_of(probabilities, metrics)
    assert metrics.predicted.tolist() == [1, 0] and curve.confidences.tolist() == [0.3, 0.9]
    assert answered_at(curve, metrics, 0.5).accuracy == 1
