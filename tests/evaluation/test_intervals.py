"""Independent photos have Wilson intervals; intervals for grouped photos are wider and have the stated coverage."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import t as student_t

from tfpoets.evaluation import evaluate, evaluate_rejection, proportion_interval, wilson_interval

CORRELATIONS = (0.0, 0.1, 0.3, 0.6, 0.9, 1.0)


@pytest.mark.parametrize("correct, count", [(327, 371), (0, 5), (5, 5), (1, 2), (9990, 10000)])
def test_the_interval_is_the_wilson_interval(correct: int, count: int) -> None:
    expected = binomtest(correct, count).proportion_ci(method="wilson")
    assert wilson_interval(correct, count) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert proportion_interval(np.arange(count) < correct) == wilson_interval(correct, count)


def draw_groups(rng: np.random.Generator, n_groups: int, mean: float, correlation: float
                ) -> tuple[np.ndarray, np.ndarray]:
    """Draw beta-binomial outcomes in groups of 1 to 39 photos; return outcomes and group numbers."""
    if correlation in (0, 1):
        accuracies = np.full(n_groups, mean) if correlation == 0 else (rng.random(n_groups) < mean).astype(float)
    else:
        strength = 1 / correlation - 1
        accuracies = rng.beta(mean * strength, (1 - mean) * strength, n_groups)
    groups = np.repeat(np.arange(n_groups), rng.integers(1, 40, n_groups))
    return rng.random(len(groups)) < accuracies[groups], groups


@pytest.mark.parametrize("n_groups, mean", itertools.product((4, 8, 12, 40), (0.5, 0.9)))
def test_clustered_intervals_have_the_stated_coverage_whatever_the_correlation(n_groups: int, mean: float) -> None:
    rng = np.random.default_rng(n_groups)
    for correlation in CORRELATIONS:
        intervals = np.array([proportion_interval(*draw_groups(rng, n_groups, mean, correlation)) for _ in range(400)])
        coverage = ((intervals[:, 0] <= mean) & (mean <= intervals[:, 1])).mean()
        assert coverage >= 0.9, correlation  # 0.95 but for chance: the standard error is 0.011


def test_the_coverage_of_wilson_intervals_is_too_low_for_correlated_photos() -> None:
    rng = np.random.default_rng(0)
    intervals = np.array([proportion_interval(draw_groups(rng, 12, 0.5, 0.9)[0]) for _ in range(400)])
    assert ((intervals[:, 0] <= 0.5) & (0.5 <= intervals[:, 1])).mean() < 0.6


def test_intervals_of_the_recall_cover_the_recall_of_each_class() -> None:
    rng, covered = np.random.default_rng(1), []
    for _ in range(300):
        draws = [draw_groups(rng, 6, recall, 0.7) for recall in (0.9, 0.5)]
        y = np.repeat([0, 1], [len(correct) for correct, _ in draws])
        correct = np.concatenate([correct for correct, _ in draws])
        groups = np.concatenate([draws[0][1], draws[1][1] + 6])
        metrics = evaluate(np.eye(2)[np.where(correct, y, 1 - y)], y, groups)
        covered.append([interval[0] <= recall <= interval[1] for interval, recall in
                        ((metrics.per_class[0].recall_interval, 0.9), (metrics.per_class[1].recall_interval, 0.5))])
    assert np.mean(covered, axis=0).min() >= 0.92


@pytest.mark.parametrize("n_correct", [0, 60])
def test_if_all_photos_have_the_same_outcome_a_group_counts_as_one_photo(n_correct: int) -> None:
    outcomes, groups = np.arange(60) < n_correct, np.arange(60) % 6
    low, high = proportion_interval(outcomes, groups)
    assert (low, high) == pytest.approx(wilson_interval(n_correct / 10, 6, float(student_t.ppf(0.975, 5))), abs=0.03)
    assert min(1 - low, high) > 2 * min(1 - wilson_interval(n_correct, 60)[0], wilson_interval(n_correct, 60)[1])


def test_clustered_intervals_contain_those_of_independent_photos() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        outcomes, groups = draw_groups(rng, int(rng.integers(1, 30)), rng.random(), rng.choice(CORRELATIONS))
        (low, high), (wilson_low, wilson_high) = proportion_interval(outcomes, groups), proportion_interval(outcomes)
        assert 0 <= low <= wilson_low and wilson_high <= high <= 1


def test_a_single_group_says_nothing_about_others() -> None:
    assert proportion_interval(np.ones(20, bool), np.zeros(20, int)) == (0, 1)


def test_the_numbers_of_the_groups_and_the_order_of_the_photos_do_not_matter() -> None:
    outcomes, groups = draw_groups(np.random.default_rng(3), 9, 0.7, 0.5)
    order = np.random.default_rng(4).permutation(len(groups))
    assert proportion_interval(outcomes[order], 5 - 3 * groups[order]) == pytest.approx(
        proportion_interval(outcomes, groups))


def test_metrics_state_the_number_of_groups_and_cluster_all_intervals_and_standard_errors_by_group() -> None:
    y = np.repeat([0, 1], 40)
    probabilities, groups = np.eye(2)[np.where(np.arange(80) % 40 < 30, y, 1 - y)], np.arange(80) // 10
    grouped, independent = evaluate(probabilities, y, groups), evaluate(probabilities, y)
    assert (grouped.n_groups, independent.n_groups) == (8, None)
    assert grouped.accuracy == independent.accuracy and grouped.to_dict(["a", "b"])["groups"] == 8
    assert grouped.cross_entropy_standard_error > 2.5 * independent.cross_entropy_standard_error
    assert "80 photos in 8 groups" in grouped.caution()
    for wide, narrow in zip((grouped, *grouped.per_class), (independent, *independent.per_class)):
        for name in {"interval", "recall_interval", "precision_interval"} & set(dir(wide)):
            low, high = getattr(wide, name)
            assert low < getattr(narrow, name)[0] and getattr(narrow, name)[1] < high


def test_intervals_of_rejected_photos_are_clustered() -> None:
    scores, groups = np.repeat([0.0, 1.0], [60, 20]), np.arange(80) // 10
    correct = np.arange(80) % 20 < 10
    rejections = [evaluate_rejection(scores, correct, 0.5, groups=numbers) for numbers in (None, groups)]
    assert rejections[0].rejected == rejections[1].rejected == 20
    for name in ("called_unknown_interval", "accuracy_of_answered_interval"):
        (low, high), (wide_low, wide_high) = (rejection.to_dict()[name] for rejection in rejections)
        assert wide_low < low - 0.05 and high + 0.05 < wide_high
