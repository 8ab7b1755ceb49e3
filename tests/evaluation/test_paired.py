"""Paired differences are tested exactly, adjusted for the number of pairs, and corrected for choosing the best."""
from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binomtest

from tfpoets.evaluation import accuracy_after_choice, holm_adjusted, paired_difference, paired_p_value


def draw_correct(rng: np.random.Generator, accuracies: list[float], groups: np.ndarray) -> np.ndarray:
    """Draw bool [classifiers, n_photos]: correlated between the classifiers, and within each group."""
    shared = rng.normal(0, 1, (1, len(groups)))
    own = rng.normal(0, 1, (len(accuracies), groups.max() + 1))[:, groups]
    values = 0.8 * shared + 0.6 * own
    return values < np.quantile(rng.normal(0, 1, 100_000), accuracies)[:, None]


@pytest.mark.parametrize("only_first, only_second", [(0, 0), (1, 0), (3, 9), (6, 6), (40, 15)])
def test_independent_photos_are_tested_with_mcnemars_exact_test(only_first: int, only_second: int) -> None:
    first, second = np.ones(100, bool), np.ones(100, bool)
    second[:only_first], first[only_first:only_first + only_second] = False, False
    result = paired_difference(first, second)
    assert (result.only_first, result.only_second) == (only_first, only_second)
    assert result.difference == pytest.approx((only_first - only_second) / 100)
    n_different = only_first + only_second
    assert result.p_value == pytest.approx(binomtest(only_first, n_different).pvalue if n_different else 1)
    variance = n_different / 100 - result.difference ** 2
    assert result.standard_error == pytest.approx((variance / 99) ** 0.5)


@pytest.mark.parametrize("only_first, only_second, tolerance", [(3, 9, 1e-12), (30, 50, 0.005)])
def test_groups_of_one_photo_give_the_same_p_value_as_independent_photos(only_first: int, only_second: int,
                                                                        tolerance: float) -> None:
    differences = np.repeat([1, -1, 0], [only_first, only_second, 100])
    assert paired_p_value(differences, np.arange(len(differences))) == pytest.approx(paired_p_value(differences),
                                                                                     abs=tolerance)


def test_photos_of_one_group_count_as_one_observation() -> None:
    differences, groups = np.ones(60, np.int64), np.arange(60) // 20
    assert paired_p_value(differences) < 1e-9
    assert paired_p_value(differences, groups) == pytest.approx(2 / 2 ** 3)  # all signs equal, of 8 combinations


def test_the_standard_error_is_clustered_and_a_single_group_has_none() -> None:
    rng = np.random.default_rng(0)
    groups = np.arange(400) // 20
    first, second = draw_correct(rng, [0.8, 0.7], groups)
    clustered, independent = paired_difference(first, second, groups), paired_difference(first, second)
    assert clustered.difference == independent.difference
    assert clustered.standard_error > 1.5 * independent.standard_error and clustered.p_value > independent.p_value
    single = paired_difference(first, second, np.zeros(400, int))
    assert np.isnan(single.standard_error) and single.p_value == 1 and "± ?" in single.format_points()


def test_holms_adjustment_of_a_known_example() -> None:
    assert holm_adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm_adjusted([0.7, 0.6]) == [1, 1] and holm_adjusted([0.2]) == [0.2] and holm_adjusted([]) == []


@pytest.mark.parametrize("sizes", [[1] * 600, [10] * 60, [1, 5, 20, 4] * 20], ids=["none", "equal", "unequal"])
def test_equally_accurate_classifiers_rarely_seem_different_and_different_ones_usually_do(sizes: list[int]) -> None:
    rng, groups = np.random.default_rng(1), np.repeat(np.arange(len(sizes)), sizes)

    def smallest(accuracies: list[float]) -> float:
        correct = draw_correct(rng, accuracies, groups)
        return min(holm_adjusted([paired_difference(correct[first], correct[second],
                                                    None if max(sizes) == 1 else groups).p_value
                                  for first, second in combinations(range(len(accuracies)), 2)]))
    false_alarms = np.mean([smallest([0.85] * 4) < 0.05 for _ in range(60)])
    found = np.mean([smallest([0.85, 0.85, 0.65]) < 0.05 for _ in range(20)])
    assert false_alarms <= 0.1 and found >= 0.9  # 0.05 but for chance


def test_the_accuracy_of_the_best_of_many_equal_classifiers_is_corrected() -> None:
    rng, best, corrected = np.random.default_rng(2), [], []
    for _ in range(40):
        correct = draw_correct(rng, [0.8] * 8, np.arange(200))
        best.append(correct.mean(axis=1).max())
        corrected.append(accuracy_after_choice(correct))
        assert corrected[-1] <= best[-1]
    bias = np.mean(best) - 0.8
    assert bias > 0.02 and abs(np.mean(corrected) - 0.8) < bias / 2


def test_the_accuracy_of_a_clear_winner_hardly_changes_and_that_of_a_single_group_not_at_all() -> None:
    correct = np.stack([np.arange(300) % 10 > 0, np.arange(300) % 2 > 0])
    assert accuracy_after_choice(correct) == pytest.approx(0.9, abs=0.005)
    assert accuracy_after_choice(correct, np.arange(300) // 10) == pytest.approx(0.9, abs=0.005)
    assert accuracy_after_choice(correct, np.zeros(300, int)) == 0.9
