"""The answer with the lowest expected cost."""
from __future__ import annotations

import math

import numpy as np

from tfpoets.evaluation import choose_classes, evaluate, evaluate_costs

# An edible mushroom (0) that is called poisonous (1) is a pity; the opposite is not.
COSTS = np.array([[0, 1.0], [20, 0]])


def test_an_expensive_confusion_is_avoided_unless_it_is_very_unlikely() -> None:
    probabilities = np.array([[0.94, 0.06], [0.96, 0.04], [0.3, 0.7]])
    assert choose_classes(probabilities, COSTS).tolist() == [1, 0, 1]
    assert choose_classes(probabilities).tolist() == [0, 0, 1]


def test_equal_costs_change_no_answer() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), 200)
    assert np.array_equal(choose_classes(probabilities, 3 * (1 - np.eye(4))), probabilities.argmax(axis=1))


def test_costs_lower_the_mean_cost_of_calibrated_answers() -> None:
    rng = np.random.default_rng(1)
    poisonous = rng.beta(0.5, 2, 3000)
    y = (rng.random(3000) < poisonous).astype(np.int64)
    probabilities = np.column_stack([1 - poisonous, poisonous])
    metrics = evaluate_costs(probabilities, y, COSTS)
    predicted = choose_classes(probabilities, COSTS)
    assert metrics.mean == COSTS[y, predicted].mean()
    assert metrics.mean_of_most_probable - metrics.mean > 5 * metrics.standard_error
    assert metrics.changed == (predicted != probabilities.argmax(axis=1)).sum() > 0


def test_metrics_are_those_of_the_answers() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1]])
    metrics = evaluate(probabilities, np.array([0, 1]), costs=COSTS)
    assert metrics.accuracy == 0.5 and metrics.confusion.to_array().tolist() == [[0, 1], [0, 1]]


def test_the_calibration_error_is_that_of_the_answers() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1], 20_000)
    y = (rng.random(20_000) < probabilities[:, 1]).astype(np.int64)
    metrics = evaluate(probabilities, y, costs=np.array([[0, 1], [20.0, 0]]))
    assert metrics.accuracy < 0.6 and metrics.expected_calibration_error < 0.03


def test_the_standard_error_of_one_photo_is_not_known() -> None:
    costs = evaluate_costs(np.array([[0.6, 0.4]]), np.array([1]), np.array([[0, 1], [5.0, 0]]))
    assert math.isnan(costs.standard_error) and costs.to_dict()["standard_error"] is None
