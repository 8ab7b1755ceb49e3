"""Figures are right, and come with their uncertainty."""
from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, log_loss

from scripts.evaluation import evaluate, wilson_interval


@pytest.mark.parametrize("correct, count", [(327, 371), (0, 5), (5, 5), (1, 2), (9990, 10000)])
def test_the_interval_is_wilsons(correct: int, count: int) -> None:
    expected = binomtest(correct, count).proportion_ci(method="wilson")
    assert wilson_interval(correct, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_figures_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    classes = random.integers(0, 4, 200)
    probabilities = random.dirichlet(np.ones(4), 200) + 0.8 * np.eye(4)[classes] * random.random((200, 1))
    probabilities /= probabilities.sum(1, keepdims=True)
    metrics = evaluate(probabilities, classes)
    assert metrics.accuracy == accuracy_score(classes, probabilities.argmax(1))
    assert metrics.cross_entropy == pytest.approx(log_loss(classes, probabilities))


def test_the_majority_class_is_the_baseline() -> None:
    metrics = evaluate(np.full((4, 3), 1 / 3), np.array([2, 2, 1, 2]))
    assert (metrics.majority, metrics.majority_accuracy) == (2, 0.75)


def test_a_certain_wrong_answer_does_not_make_the_loss_infinite() -> None:
    assert np.isfinite(evaluate(np.array([[0.0, 1.0]]), np.array([0])).cross_entropy)


def test_nothing_cannot_be_evaluated() -> None:
    with pytest.raises(ValueError, match="no photos"):
        evaluate(np.empty((0, 3)), np.empty(0, int))
