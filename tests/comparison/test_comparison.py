"""The choice between compared classifiers states its disadvantages, and which differences may be chance."""
from __future__ import annotations

import numpy as np
import pytest

from tfpoets.comparison import ComparedClassifier, Comparison, choose
from tfpoets.evaluation import evaluate


def make_classifier(name: str, n_correct: int, milliseconds: float | None, size: int | None = 1_000_000,
                    groups: np.ndarray | None = None) -> ComparedClassifier:
    """Return a classifier that is right on the first photos of 200."""
    y = np.arange(200) % 2
    predicted = np.where(np.arange(200) < n_correct, y, 1 - y)
    return ComparedClassifier(name, name, 32, 32, evaluate(np.eye(2)[predicted], y, groups), size,
                              np.full(5, milliseconds or 0.0)[:5 if milliseconds else 0])


def compare(*classifiers: ComparedClassifier) -> Comparison:
    return Comparison(classifiers, ("a", "b"))


def test_the_sentence_names_a_classifier_for_each_purpose_and_its_disadvantages() -> None:
    choice = choose(compare(make_classifier("exact", 190, 20.0, 9_000_000),
                            make_classifier("fast", 150, 1.0, 5_000_000),
                            make_classifier("small", 140, 5.0, 2_000_000)))
    assert (choice.accuracy, choice.speed, choice.size, choice.may_be_chance) == (0, 1, 2, ())
    assert "exact if accuracy matters (95.0%)" in choice.sentence
    assert "fast if speed matters (1.0 ms instead of 20.0, 20.0 ± 2.8 points less accurate)" in choice.sentence
    assert "small if size matters (2.0 MB instead of 9.0, 25.0 ± 3.1 points" in choice.sentence
    assert "the lead of exact is more than chance (McNemar's test with Holm's correction for all 3 pairs" \
        in choice.sentence


def test_differences_that_may_be_chance_are_named_with_the_fastest_of_them() -> None:
    choice = choose(compare(make_classifier("first", 190, 20.0), make_classifier("second", 188, 9.0),
                            make_classifier("third", 186, 2.0), make_classifier("last", 100, 1.0)))
    assert choice.may_be_chance == (1, 2) and choice.speed == 3
    assert "the lead of first over second and third may be chance" in choice.sentence
    assert choice.sentence.endswith("third is the fastest of these.")


def test_times_within_a_few_percent_count_as_equal() -> None:
    assert choose(compare(make_classifier("first", 190, 2.04), make_classifier("second", 150, 2.0))).speed == 0


def test_a_time_is_not_compared_with_one_that_was_not_measured() -> None:
    sentence = choose(compare(make_classifier("graph", 190, None, None), make_classifier("fast", 150, 1.0),
                              make_classifier("slow", 140, 9.0, 500_000))).sentence
    assert "fast if speed matters (1.0 ms, 20.0 ± 2.8 points less accurate)" in sentence
    assert "0.0" not in sentence.replace("20.0", "")


@pytest.mark.parametrize("milliseconds, size", [(None, None), (1.0, 1_000_000)])
def test_a_classifier_without_a_file_to_time_is_not_compared_in_speed(milliseconds: float | None, size: int | None
                                                                      ) -> None:
    comparison = compare(make_classifier("first", 190, milliseconds, size),
                         make_classifier("second", 120, None, None))
    choice = choose(comparison)
    assert choice.speed is choice.size is None and "fastest" not in choice.sentence and "ms" not in choice.sentence
    assert comparison.front == (milliseconds is not None, False)


def test_with_groups_the_sentence_names_the_test_over_groups() -> None:
    groups = np.arange(200) // 50
    choice = choose(compare(make_classifier("first", 200, 2.0, groups=groups),
                            make_classifier("second", 100, 1.0, groups=groups)))
    assert choice.may_be_chance == (1,)  # 4 groups
    assert "the difference in accuracy may be chance" in choice.sentence
    assert "a randomization test over groups, 5% level" in choice.sentence


def test_the_pareto_front_contains_what_nothing_else_beats_in_both() -> None:
    comparison = compare(make_classifier("a", 190, 20.0), make_classifier("b", 180, 30.0),
                         make_classifier("c", 170, 5.0), make_classifier("d", 170, 5.0),
                         make_classifier("e", 160, 5.0), make_classifier("f", 190, 21.0))
    assert comparison.front == (True, False, True, True, False, False)


def test_json_contains_all_pairs_and_no_number_that_json_lacks() -> None:
    groups = np.zeros(200, int)
    result = compare(make_classifier("a", 190, 20.0, groups=groups),
                     make_classifier("b", 180, 3.0, groups=groups)).to_dict()
    assert result["pairs"] == [{"first": 0, "second": 1, "difference": pytest.approx(0.05), "standard_error": None,
                                "p_value": 1.0, "only_first": 10, "only_second": 0, "adjusted_p_value": 1.0,
                                "may_be_chance": True}]
    assert result["classifiers"][1]["versus_best"] == result["pairs"][0]
    assert result["photos"]["groups"] == 1 and result["correction"] == "Holm"
