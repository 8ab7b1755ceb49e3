"""Metrics agree with scikit-learn and SciPy, and include their uncertainty."""
from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from sklearn.metrics import (accuracy_score, classification_report, confusion_matrix, log_loss,
                             precision_recall_fscore_support, top_k_accuracy_score)

from tfpoets.evaluation import (calibration_bins, calibration_error, cross_entropy, evaluate, evaluate_rejection,
                                fit_temperature, log_softmax)


def predictions(count: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return mostly correct probabilities of five classes, and targets in which the fifth class never occurs."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    probabilities = rng.dirichlet(np.ones(5), count) + 0.8 * np.eye(5)[y] * rng.random((count, 1))
    return probabilities / probabilities.sum(1, keepdims=True), y


def test_metrics_agree_with_scikit_learn() -> None:
    probabilities, y = predictions()
    metrics = evaluate(probabilities, y)
    predicted, labels = probabilities.argmax(1), range(5)
    assert metrics.accuracy == accuracy_score(y, predicted)
    assert metrics.cross_entropy == pytest.approx(log_loss(y, probabilities, labels=labels))
    assert np.array_equal(metrics.confusion.to_array(), confusion_matrix(y, predicted, labels=labels))
    for k in (1, 2, 3, 5):
        assert metrics.top_k(k) == pytest.approx(top_k_accuracy_score(y, probabilities, k=k, labels=labels))
    expected = precision_recall_fscore_support(y, predicted, labels=labels, zero_division=0)
    for index, actual in enumerate(metrics.per_class):
        figures = (actual.precision or 0, actual.recall or 0, actual.f1 or 0, actual.support)
        assert figures == pytest.approx([column[index] for column in expected])
    assert metrics.per_class[4].recall is None and metrics.per_class[4].support == 0


@pytest.mark.parametrize("missing", ["nowhere", "in the photos", "in the predictions", "in both"])
def test_averages_agree_with_the_classification_report_of_scikit_learn(missing: str) -> None:
    probabilities, y = predictions()
    if missing in ("nowhere", "in the predictions"):
        y[:7] = 4
    if missing in ("in the predictions", "in both"):
        probabilities[:, 4] = 0
    metrics = evaluate(probabilities, y)
    report = classification_report(y, probabilities.argmax(1), zero_division=0, output_dict=True)
    assert ("4" in report) == (missing != "in both")
    for average, name in ((metrics.macro_average, "macro avg"), (metrics.weighted_average, "weighted avg")):
        expected = [report[name][key] for key in ("precision", "recall", "f1-score", "support")]
        assert [average.precision, average.recall, average.f1, average.support] == pytest.approx(expected)
    assert metrics.macro_average.f1 != pytest.approx(metrics.weighted_average.f1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_cross_entropy_of_logits_agrees_with_scipy(dtype: type) -> None:
    rng = np.random.default_rng(0)
    logits, y = (300 * rng.standard_normal((50, 4))).astype(dtype), rng.integers(0, 4, 50)
    losses = cross_entropy(log_softmax(logits), y)
    expected = logsumexp(logits.astype(float), axis=1) - logits[np.arange(50), y]
    assert losses.dtype == dtype and np.allclose(losses, expected, rtol=1e-5, atol=1e-5)
    assert np.allclose(np.exp(log_softmax(logits)), softmax(logits.astype(float), axis=1), atol=1e-6)


def test_ties_are_ranked_as_argmax_breaks_them() -> None:
    metrics = evaluate(np.full((3, 3), 1 / 3), np.array([0, 1, 2]))
    assert metrics.accuracy == metrics.top_k(1) == pytest.approx(1 / 3)
    assert metrics.rank_counts.tolist() == [1, 1, 1]


def test_calibration_error_is_the_difference_between_confidence_and_accuracy() -> None:
    confidences = np.repeat([0.95, 0.55], [100, 100])
    correct = np.concatenate([np.arange(100) < 75, np.arange(100) < 55])
    assert calibration_error(confidences, correct) == pytest.approx((0.2 + 0.0) / 2)
    bins = calibration_bins(confidences, correct)
    assert [bin_.count for bin_ in bins] == [100, 100]
    assert [figure for bin_ in bins for figure in (bin_.confidence, bin_.accuracy)] == pytest.approx(
        [0.55, 0.55, 0.95, 0.75])
    assert calibration_bins(np.array([1.0]), np.array([True]))[0].count == 1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_scaled_logits_is_recovered(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 5))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = np.array([rng.choice(5, p=row) for row in probabilities])
    assert fit_temperature(logits * temperature, y) == pytest.approx(temperature, rel=0.05)


def test_the_temperature_is_1_for_a_handful_of_photos() -> None:
    assert fit_temperature(np.eye(5) * 9, np.arange(5)) == 1.0


@pytest.mark.parametrize("n_correct, count, words", [
    (10, 16, "too few to tell whether this is better than always predicting the most frequent class"),
    (510, 1000, "On new photos the accuracy is 54.1% at most, hardly better than always predicting"),
    (36, 40, "a small sample: on new photos the accuracy may be anywhere from 77% to 96%"), (900, 1000, "")])
def test_caution_warns_of_too_few_photos(n_correct: int, count: int, words: str) -> None:
    y = np.arange(count) % 2
    predicted = np.where(np.arange(count) < n_correct, y, 1 - y)
    caution = evaluate(np.eye(2)[predicted], y).caution()
    assert words in caution if words else caution == ""


def test_1200_photos_without_a_correct_prediction_are_not_called_too_few() -> None:
    y = np.arange(1200)
    caution = evaluate(np.eye(1200)[(y + 1) % 1200], y).caution()
    assert caution == ("On new photos the accuracy is 0.3% at most, hardly better than always predicting the most "
                       "frequent class.")


def test_the_baseline_is_the_accuracy_of_the_majority_class() -> None:
    metrics = evaluate(np.full((4, 3), 1 / 3), np.array([2, 2, 1, 2]))
    assert (metrics.majority, metrics.majority_accuracy) == (2, 0.75)


def test_a_probability_of_0_for_the_true_class_does_not_make_the_loss_infinite() -> None:
    assert np.isfinite(evaluate(np.array([[0.0, 1.0]]), np.array([0])).cross_entropy)


def test_evaluating_no_photos_is_an_error() -> None:
    with pytest.raises(ValueError, match="no photos"):
        evaluate(np.empty((0, 3)), np.empty(0, int))


def test_rejected_and_correct_photos_are_counted() -> None:
    scores, correct = np.array([0.1, 0.2, 0.3, 5.0]), np.array([True, True, False, True])
    rejection = evaluate_rejection(scores, correct, 1.0)
    assert (rejection.count, rejection.rejected, rejection.accepted, rejection.correct) == (4, 1, 3, 2)
    assert rejection.accuracy == pytest.approx(2 / 3)
    rejection = evaluate_rejection(scores, correct, 1.0, np.array([0.25, 2.0]))
    assert (rejection.unknown_count, rejection.unknown_rejected, rejection.auroc) == (2, 1, pytest.approx(5 / 8))
    assert evaluate_rejection(scores, correct, 1.0).auroc is None


def test_a_photo_with_a_score_of_nan_is_rejected() -> None:
    rejection = evaluate_rejection(np.array([np.nan, 0.0]), np.array([True, True]), 1.0)
    assert (rejection.rejected, rejection.correct) == (1, 1)
