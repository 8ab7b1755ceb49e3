"""Learning curves end at the accuracy of the head, and name the class that needs photos."""
from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tfpoets.data import Examples
from tfpoets.training import (QUICK_CURVE, CurveOptions, LBFGSFit, LearningCurve, explain_missing_curve, fit_head,
                              measure_learning_curve)

N_CLASSES, DEPTH = 4, 60
OPTIONS = CurveOptions(sizes=5, draws=4, class_draws=4)


def clusters(counts: list[int], seed: int, noise: float = 2.0) -> Examples:
    """Return bottlenecks in overlapping clusters, with this number of photos in each class."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(0, 1, (N_CLASSES, DEPTH))
    y = rng.permutation(np.repeat(np.arange(N_CLASSES), counts))
    return Examples((centres[y] + noise * rng.normal(0, 1, (len(y), DEPTH))).astype(np.float32), y, N_CLASSES)


def fit_and_measure(train: Examples, test: Examples, options: CurveOptions = OPTIONS,
                    groups: np.ndarray | None = None) -> tuple[LBFGSFit, LearningCurve]:
    fit = fit_head(train, test.select(np.zeros(len(test), bool)))
    return fit, measure_learning_curve(train, test, fit, (np.arange(len(train)) if groups is None else groups, None),
                                       options)


def test_the_accuracy_increases_up_to_that_of_the_head() -> None:
    train, test = clusters([100] * 4, 0), clusters([250] * 4, 1)
    fit, curve = fit_and_measure(train, test)
    accuracies = [point.accuracy for point in curve.points]
    assert curve.points[-1].size == len(train) and len(curve.points[-1].accuracies) == 1
    assert curve.now == (fit.head.probabilities(test.X).argmax(axis=1) == test.y).mean()
    assert accuracies[0] < accuracies[2] < accuracies[-1]
    assert all(len(point.accuracies) == 4 for point in curve.points[:-1])


def test_forecasts_contain_the_accuracy_with_twice_as_many_photos() -> None:
    inside, errors = 0, []
    for seed in range(0, 16, 2):
        test, more = clusters([100] * 4, seed), clusters([100] * 4, seed + 1)
        _, curve = fit_and_measure(more.select(np.arange(len(more)) < 200), test, replace(QUICK_CURVE, class_draws=0))
        head = fit_head(more, test.select(np.zeros(len(test), bool))).head
        accuracy = float((head.probabilities(test.X).argmax(axis=1) == test.y).mean())
        inside += curve.doubled.interval[0] <= accuracy <= curve.doubled.interval[1]
        errors.append(curve.doubled.accuracy - accuracy)
    assert inside >= 6 and abs(np.mean(errors)) < 0.01


def test_a_class_with_few_photos_gains_most_from_more() -> None:
    _, curve = fit_and_measure(clusters([120, 120, 12, 120], 3, noise=2.5), clusters([250] * 4, 4, noise=2.5))
    assert curve.best_class == 2
    gains = curve.class_gains
    assert gains[2].photos == 12 and gains[2].recall is not None and gains[2].recall > 0.02
    assert gains[2].accuracy > 3 * max(gains[index].accuracy for index in (0, 1, 3))


def test_a_class_is_rarely_named_if_the_photos_say_nothing_about_the_classes() -> None:
    named = 0
    for seed in range(20):
        train, test = clusters([20] * 4, seed), clusters([20] * 4, 100 + seed)
        train, test = (replace(part, X=np.random.default_rng(number).normal(0, 1, part.X.shape).astype(np.float32))
                       for number, part in ((seed, train), (100 + seed, test)))
        _, curve = fit_and_measure(train, test, replace(OPTIONS, class_draws=2, draws=1))
        named += curve.best_class is not None
    assert named <= 3


def test_each_photo_keeps_its_weight_against_the_penalty_in_small_draws() -> None:
    """With the penalty of all photos, heads for a few photos with wrong labels would fit the wrong labels as well."""
    train, test = clusters([200] * 4, 14), clusters([250] * 4, 15)
    y = train.y.copy()
    y[::4] = np.random.default_rng(0).integers(0, N_CLASSES, len(y[::4]))
    train = replace(train, y=y)
    fit, curve = fit_and_measure(train, test, replace(OPTIONS, class_draws=0, draws=8))
    size = curve.points[0].size
    accuracies = []
    for seed in range(8):
        rows = np.random.default_rng(seed).permutation(len(train))[:size]
        few = Examples(train.X[rows], train.y[rows], N_CLASSES)
        head = fit_head(few, test.select(np.zeros(len(test), bool)), l2_grid=[fit.l2]).head
        accuracies.append((head.probabilities(test.X).argmax(axis=1) == test.y).mean())
    assert curve.points[0].accuracy > np.mean(accuracies) + 0.01


def test_photos_of_a_group_are_drawn_together() -> None:
    """With 10 copies of each photo, a draw of a tenth of them shows only a tenth of the photos."""
    single, test = clusters([20] * 4, 8), clusters([250] * 4, 9)
    rows = np.repeat(np.arange(len(single)), 10)
    train = Examples(single.X[rows], single.y[rows], N_CLASSES)
    _, ungrouped = fit_and_measure(train, test)
    _, grouped = fit_and_measure(train, test, groups=rows)
    assert grouped.points[0].accuracy < ungrouped.points[0].accuracy - 0.05


def test_many_classes_are_not_measured_one_by_one() -> None:
    train, test = clusters([30] * 4, 10), clusters([20] * 4, 11)
    _, curve = fit_and_measure(train, test, replace(OPTIONS, max_classes=3))
    assert curve.class_gains == () and curve.best_class is None


def test_the_curve_is_json_and_the_same_in_every_run() -> None:
    train, test = clusters([40] * 4, 12), clusters([30] * 4, 13)
    values = [fit_and_measure(train, test)[1].to_dict("abcd") for _ in range(2)]
    assert json.dumps(values[0]) == json.dumps(values[1])
    assert values[0]["forecast"]["photos"] == 320 and set(values[0]["ten_more_photos"]) == set("abcd")


@pytest.mark.parametrize(("n_train", "n_test", "words"), [(9, 5, "at least 40 training photos, and there are 36"),
                                                          (10, 4, "at least 20 test photos, and there are 16"),
                                                          (10, 5, "")])
def test_too_few_photos_are_explained(n_train: int, n_test: int, words: str) -> None:
    reason = explain_missing_curve(clusters([n_train] * 4, 0), clusters([n_test] * 4, 1))
    assert words in reason and bool(words) == bool(reason)
