"""What would improve a classifier: measurements on the cached bottlenecks after training."""
from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from tfpoets.data import TEST, TRAINING, VALIDATION, group_numbers
from tfpoets.events import LearningCurveMeasured, stage_events
from tfpoets.retrain_options import RetrainOptions
from tfpoets.training import (QUICK_CURVE, CurveOptions, EventCallback, HeadOptions, LBFGSFit, LearningCurve,
                              NetworkFit, TrainingResult, explain_missing_curve, fit_head, measure_learning_curve)

log = logging.getLogger(__name__)


def measure_curve(training: TrainingResult, costs: np.ndarray | None, options: RetrainOptions,
                  on_event: EventCallback) -> LearningCurve | None:
    """Measure the learning curve of the last layer: quickly, or thoroughly with `advice`.

    The photos are those that the head was trained on. With another solver than L-BFGS, the curve is that of heads
    fitted by L-BFGS.

    Args:
        training: The trained classifier.
        costs: The costs of the answers, float64 [n_classes, n_classes], or None.
        options: The options of the run.
        on_event: Receives the event LearningCurveMeasured.

    Returns:
        The curve; None if there are too few photos, or if the network was trained on the photos, so that its features
        for them say nothing about fewer photos.
    """
    if isinstance(training.fit, NetworkFit):
        if options.advice:
            log.info("No learning curve: it is measured only if the last layer alone is trained.")
        return None
    dataset, fit = training.dataset, training.fit
    assert dataset.split is not None
    test, head_options = dataset.part(TEST), options.training.head
    if not isinstance(head_options, HeadOptions):
        head_options = HeadOptions()
    is_used = dataset.split.parts == TRAINING
    if head_options.refit:
        is_used |= dataset.split.parts == VALIDATION
    examples = dataset.examples().select(is_used)
    reason = explain_missing_curve(examples, test)
    if reason:
        log.log(logging.INFO if options.advice else logging.DEBUG, reason)
        return None
    with stage_events("learning curve", on_event):
        if not isinstance(fit, LBFGSFit):
            fit = fit_head(dataset.part(TRAINING), dataset.part(VALIDATION), head_options)
        groups = dataset.split.groups[is_used], group_numbers(test.photos)
        curve_options = replace(CurveOptions() if options.advice else QUICK_CURVE, balanced=head_options.balanced,
                                costs=costs)
        curve = measure_learning_curve(examples, test, fit, groups, curve_options)
    on_event(LearningCurveMeasured(curve, dataset.labels, options.advice))
    return curve
