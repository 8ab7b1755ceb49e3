"""Recommendations: which ones are given, with which gain, and in which order."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfpoets.advice import Evidence, Trial, compare_features, recommend
from tfpoets.data import Examples, spread_over_folds
from tfpoets.doctor import WRONG_LABEL, Finding
from tfpoets.evaluation import CurvePoint, PairedDifference, PowerLaw, evaluate
from tfpoets.exporting import RepeatedScenes
from tfpoets.recommendation import Advice, Recommendation
from tfpoets.training import ClassGain, LearningCurve

LABELS = ["cat", "dog"]


def metrics(accuracy: float = 0.9, count: int = 200) -> Any:
    y = np.arange(count) % 2
    predicted = np.where(np.arange(count) < round(accuracy * count), y, 1 - y)
    return evaluate(np.eye(2)[predicted] * 0.8 + 0.1, y)


def curve(accuracies: list[float], gains: tuple[ClassGain, ...] = ()) -> LearningCurve:
    points = tuple(CurvePoint(100 * 2 ** number, (accuracy,) * (1 if number == len(accuracies) - 1 else 5))
                   for number, accuracy in enumerate(accuracies))
    return LearningCurve(points, PowerLaw(points, 1000), 1000, gains)


def trial(option: str, value: int, points: float, error: float) -> Trial:
    return Trial(option, value, PairedDifference(points / 100, error / 100, 0.01, 0, 0), 1500, 2.0)


def advise(**known: Any) -> Advice:
    """Return the advice for a classifier that is right 90% of the time, if nothing else is known than `known`."""
    values: dict[str, Any] = {
        "metrics": metrics(), "labels": LABELS, "n_photos": 2000, "n_training": 1800, "curve": None, "findings": None,
        "findings_path": Path("findings.csv"), "repeated_scenes": None, "trials": (), "can_fine_tune": False, **known}
    return recommend(Evidence(**values), lambda **flags: f"retrain {flags}")


def only(advice: Advice) -> Recommendation:
    (recommendation,) = advice.recommendations
    return recommendation


def suspect(count: int) -> list[Finding]:
    return [Finding(WRONG_LABEL, f"{number}.jpg", 1.0, "") for number in range(count)]


def test_more_photos_are_recommended_while_the_curve_rises_with_the_gain_that_it_forecasts() -> None:
    rising = curve([0.7, 0.78, 0.84, 0.88])
    item = only(advise(curve=rising))
    assert item.kind == "photos" and item.gain == rising.doubled.accuracy - 0.88 and item.gain > 0.01
    assert item.interval is not None and item.interval[0] < item.gain < item.interval[1]
    assert "of every class" in item.action and item.command == "retrain {}"


def test_the_class_that_gains_most_is_named_if_its_gain_is_not_chance() -> None:
    gains = (ClassGain(50, 0.001, (-0.001, 0.003), None), ClassGain(50, 0.02, (0.015, 0.025), None))
    assert only(advise(curve=curve([0.7, 0.78, 0.84, 0.88], gains))).action == "Add photos, starting with dog."


@pytest.mark.parametrize("accuracies", [[0.9, 0.9, 0.9, 0.9], [0.97, 0.98, 0.99, 1.0]], ids=["flat", "perfect"])
def test_more_photos_are_not_recommended_if_the_curve_is_flat_or_nothing_is_wrong(accuracies: list[float]) -> None:
    assert not advise(curve=curve(accuracies), metrics=metrics(accuracies[-1])).recommendations


def test_checking_labels_is_recommended_only_if_more_are_suspected_than_if_all_were_right() -> None:
    item = only(advise(findings=suspect(100)))
    assert item.kind == "labels" and "100 labels" in item.action and "findings.csv" in item.action
    assert item.gain is not None and 0.04 < item.gain < 0.08
    assert not advise(findings=suspect(28)).recommendations
    high = 1 - metrics().interval[0]
    assert only(advise(findings=suspect(500))).gain == pytest.approx(0.1)  # as many as there are errors
    assert only(advise(findings=suspect(500))).interval[1] == pytest.approx(high)  # type: ignore[index]
    assert not advise(findings=suspect(500), metrics=metrics(1.0)).recommendations
    assert not advise(findings=[Finding("outlier", "1.jpg", 1.0, "")] * 100).recommendations


def test_a_trial_is_recommended_only_beyond_chance_and_its_gain_is_shrunk() -> None:
    item = only(advise(trials=[trial("image_size", 448, 1.2, 0.4)]))
    assert item.kind == "image_size" and item.command == "retrain {'image_size': 448}"
    assert item.gain is not None and 0.005 < item.gain < 0.012
    assert not advise(trials=[trial("views", 4, 1.2, 0.9), trial("image_size", 448, -1.2, 0.4)]).recommendations


def test_fine_tuning_is_recommended_only_for_many_photos_and_networks_that_can_be_trained() -> None:
    item = only(advise(can_fine_tune=True))
    assert item.kind == "fine_tuning" and item.command == "retrain {'fine_tune_epochs': 4}"
    assert "Not measured" in item.reason and item.gain == pytest.approx(0.015)
    assert item.gain_text == "+1.5 points (range +0.0 to +8.0)"
    assert not advise(can_fine_tune=True, n_training=500).recommendations
    assert not advise(can_fine_tune=False).recommendations


def test_the_three_largest_gains_are_recommended_in_order_after_repeated_scenes() -> None:
    everything: dict[str, Any] = {
        "curve": curve([0.7, 0.78, 0.84, 0.88]), "findings": suspect(100), "can_fine_tune": True,
        "trials": [trial("views", 4, 3.0, 0.3)]}
    gains = [item.gain for item in advise(**everything).recommendations]
    assert len(gains) == 3 and gains == sorted(gains, reverse=True)
    scenes = RepeatedScenes(200, 150, 0.6, (0.5, 0.7), r"(clip\d+)")
    first = advise(**everything, repeated_scenes=scenes).recommendations[0]
    assert first.kind == "groups" and first.gain is None and "60.0%" in first.reason
    assert first.command == f"retrain {{'group_pattern': {scenes.group_pattern!r}}}"


def test_without_recommendations_the_summary_says_why_and_what_was_not_tried() -> None:
    assert advise(curve=curve([0.9] * 4)).summary == (
        "None: no change that was examined is expected to raise the accuracy noticeably.")
    assert "was not measured" in advise().summary
    assert "all test photos are labelled correctly" in advise(metrics=metrics(1.0)).summary
    assert "the option `advice` tries them" in advise(trials=None).summary
    assert advise(metrics=metrics(1.0, 6)).summary.startswith("Add photos of every class")
    assert advise(findings=suspect(100), trials=None).summary.startswith("Larger input sizes")


def test_features_that_separate_the_classes_are_better_than_noise() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    noise = rng.normal(0, 1, (120, 8)).astype(np.float32)
    folds = spread_over_folds(y, np.arange(120), 5)
    difference = compare_features(Examples(noise, y, 2), noise + 4 * y[:, None].astype(np.float32), folds)
    assert difference.difference > 0.3 and difference.p_value < 0.001
