"""Evaluate a trained classifier on the test photos."""
from __future__ import annotations

import numpy as np

from tfpoets.data import Examples, group_numbers
from tfpoets.evaluation import evaluate, evaluate_answered, evaluate_costs, evaluate_rejection
from tfpoets.events import BatchAccuracy, Evaluated
from tfpoets.exporting import UnsureOption
from tfpoets.graphs import PROBABILITIES, UNKNOWN_SCORE
from tfpoets.retrain_options import RetrainOptions
from tfpoets.training import RejectingHead, TrainingResult, UnknownScore, draw_balanced, make_rng


def unknown_score(training: TrainingResult) -> UnknownScore | None:
    """Return the unknown score of a classifier, or None if it has no reject option."""
    return training.head.unknown_score if isinstance(training.head, RejectingHead) else None


def evaluate_test_photos(training: TrainingResult, test: Examples, outputs: dict[str, np.ndarray],
                         options: RetrainOptions, costs: np.ndarray | None = None, unsure: UnsureOption | None = None
                         ) -> Evaluated:
    """Return the metrics of the test photos.

    Args:
        training: The trained classifier.
        test: The test photos.
        outputs: The outputs of its head for them.
        options: The options of the run.
        costs: The costs of the answers, float64 [n_classes, n_classes], or None.
        unsure: When no answer is given, or None.
    """
    labels, probabilities, unknown = training.dataset.labels, outputs[PROBABILITIES], unknown_score(training)
    if not len(test):
        return Evaluated(labels, test.photos, probabilities, None)
    metrics, balanced_batch = evaluate(probabilities, test.y, group_numbers(test.photos), costs), None
    if options.training.sgd and options.test_batch_size != -1:
        rows = draw_balanced(test.y, options.test_batch_size, make_rng(options.split.seed))
        balanced_batch = BatchAccuracy(evaluate(probabilities[rows], test.y[rows], costs=costs).accuracy, len(rows))
    correct, rejection, selective = metrics.predicted == test.y, None, None
    if unknown is not None:
        rejection = evaluate_rejection(outputs[UNKNOWN_SCORE], correct, unknown.threshold, groups=metrics.groups)
    if unsure is not None:
        confidences = probabilities[np.arange(len(test)), metrics.predicted]
        is_answered = confidences >= unsure.threshold
        if unknown is not None:
            is_answered &= outputs[UNKNOWN_SCORE] <= unknown.threshold
        selective = evaluate_answered(is_answered, correct, metrics.groups)
    cost_metrics = None if costs is None else evaluate_costs(probabilities, test.y, costs, metrics.groups)
    return Evaluated(labels, test.photos, probabilities, metrics, balanced_batch, rejection, selective=selective,
                     accuracy_target=options.accuracy_target, costs=cost_metrics)
