"""Measure the learning curve of a classifier on the cached bottlenecks, after training."""
from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from tfpoets.data import TEST, TRAINING, VALIDATION, group_numbers
from tfpoets.events import LearningCurveMeasured, stage_events
from tfpoets.retrain_options import RetrainOptions
from tfpoets.training import (QUICK_CURVE, CurveOptions, EventCallback, LBFGSFit, LearningCurve, TrainingResult,
                              explain_missing_curve, measure_learning_curve)

log = logging.getLogger(__name__)


def measure_curve(training: TrainingResult, costs: np.ndarray | None, options: RetrainOptions,
                  on_event: EventCallback) -> LearningCurve | None:
    """Measure the learning curve of the last layer: quickly, or thoroughly with `advice`.

    The photos are those that the head was trained on.

    Args:
        training: The trained classifier.
        costs: The costs of the answers, float64 [n_classes, n_classes], or None.
        options: The options of the run.
        on_event: Receives the event LearningCurveMeasured.

    Returns:
        The curve, or None if there are too few photos, or if the training was of another kind: the features of a
        network that was trained on all of the photos do not show what it would have learned from fewer of them, other
        solvers are too slow, and the bottlenecks of augmented views are not kept.
    """
    dataset, fit, head_options = training.dataset, training.fit, options.training.head
    assert dataset.split is not None
    is_used = dataset.split.parts == TRAINING
    if isinstance(fit, LBFGSFit) and fit.refitted:
        is_used |= dataset.split.parts == VALIDATION
    examples, test = dataset.examples().select(is_used), dataset.part(TEST)
    reason = explain_missing_curve(examples, test)
    if not isinstance(fit, LBFGSFit) or training.augmented_views:
        reason = ("No learning curve: it is measured only if the last layer alone is trained, by the default solver "
                  "and without augmented views.")
    if reason or not isinstance(fit, LBFGSFit):
        log.log(logging.INFO if options.advice else logging.DEBUG, reason)
        return None
    with stage_events("learning curve", on_event):
        curve = measure_learning_curve(
            examples, test, fit, (dataset.split.groups[is_used], group_numbers(test.photos)),
            replace(CurveOptions() if options.advice else QUICK_CURVE, balanced=head_options.balanced, costs=costs))
    on_event(LearningCurveMeasured(curve, dataset.labels, options.advice))
    return curve
