"""Confusion matrices store only the cells that are not zero, so they stay small with many classes."""
from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from tfpoets.evaluation import MAX_FULL_MATRIX_CLASSES, ConfusionMatrix, Metrics, evaluate


def metrics_of(n_classes: int, count: int) -> Metrics:
    """Return the metrics of predictions of which about half are wrong, most of these in favour of class 7."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, count)
    predicted = np.where(rng.random(count) < 0.5, y, np.where(rng.random(count) < 0.8, 7, rng.integers(0, 9, count)))
    probabilities = np.zeros((count, n_classes), np.float32)
    probabilities[np.arange(count), predicted] = 1
    return evaluate(probabilities, y)


@pytest.mark.parametrize("n_classes", [10, MAX_FULL_MATRIX_CLASSES, MAX_FULL_MATRIX_CLASSES + 1])
def test_both_forms_in_json_are_read_as_the_matrix_of_scikit_learn(n_classes: int) -> None:
    metrics = metrics_of(n_classes, 500)
    expected = confusion_matrix(metrics.y, metrics.predicted, labels=range(n_classes))
    values = json.loads(json.dumps(metrics.to_dict([str(index) for index in range(n_classes)])))
    is_full = n_classes <= MAX_FULL_MATRIX_CLASSES
    assert (values["confusion_matrix"] is not None) == is_full and (values["confusion_cells"] is None) == is_full
    assert np.array_equal(ConfusionMatrix.from_dict(values).to_array(), expected)
    if is_full:
        assert values["confusion_matrix"] == expected.tolist()
        del values["confusion_cells"]  # earlier versions wrote only the matrix
        assert np.array_equal(ConfusionMatrix.from_dict(values).to_array(), expected)


def test_the_json_of_ten_thousand_classes_is_small() -> None:
    metrics = metrics_of(10_000, 2000)
    text = json.dumps(metrics.to_dict([str(index) for index in range(10_000)]))
    assert len(text) < 5e6
    assert sum(count for _, _, count in json.loads(text)["confusion_cells"]) == 2000


def test_the_most_frequent_errors_and_the_classes_in_most_errors_are_found() -> None:
    metrics = metrics_of(50, 5000)
    errors = confusion_matrix(metrics.y, metrics.predicted, labels=range(50))
    np.fill_diagonal(errors, 0)
    expected = [(*np.unravel_index(index, errors.shape), errors.flat[index])
                for index in np.argsort(-errors, axis=None, kind="stable")[:20]]
    assert metrics.most_confused(20) == expected
    assert metrics.confusion.most_confused_classes(1).tolist() == [7]
    assert metrics.confusion.most_confused_classes(60).tolist() == list(range(50))
    assert metrics.confusion.submatrix(np.array([7, 3]))[1, 0] == ((metrics.y == 3) & (metrics.predicted == 7)).sum()
