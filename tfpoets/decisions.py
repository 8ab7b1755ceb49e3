"""When a classifier gives no answer (`accuracy_target`), and which answer it gives (`costs`)."""
from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from tfpoets.data import Dataset, read_costs
from tfpoets.evaluation import CoverageCurve, choose_classes, coverage_curve, design_effect
from tfpoets.events import Evaluated, stage_events
from tfpoets.exporting import CostTable, Metadata, UnsureOption
from tfpoets.retrain_options import RetrainOptions
from tfpoets.training import EventCallback, TrainingResult, predict_held_out

log = logging.getLogger(__name__)

# A threshold that no probability reaches.
NO_ANSWERS = 2.0
# If the target is not reached, the highest accuracy with at least this coverage is reported.
MIN_COVERAGE = 0.1


def read_cost_matrix(dataset: Dataset, options: RetrainOptions) -> np.ndarray | None:
    """Return the costs by true class (rows) and answer (columns), float64 [n_classes, n_classes], or None."""
    return None if options.costs is None else read_costs(options.costs, dataset.labels)


def choose_threshold(training: TrainingResult, costs: np.ndarray | None, options: RetrainOptions,
                     on_event: EventCallback) -> UnsureOption | None:
    """Choose the probability below which answers are replaced by `unsure`, on photos that are not test photos.

    Args:
        training: The trained classifier.
        costs: The costs, or None.
        options: The options of the run.
        on_event: Receives the events of the stage.

    Returns:
        The threshold, or None without an accuracy target. If no threshold reaches the target, a warning is logged, and
        the classifier gives no answers.
    """
    target = options.accuracy_target
    if target is None:
        return None
    with stage_events("accuracy target", on_event):
        probabilities, examples, groups = predict_held_out(training, options.training)
        answers = choose_classes(probabilities, costs)
        confidences, correct = probabilities[np.arange(len(answers)), answers], answers == examples.y
        curve = coverage_curve(confidences, correct)
        trials = 1 / design_effect(correct, groups)
        threshold = curve.threshold_for_accuracy(target, trials)
    if threshold is None:
        _warn_about_target(target, curve)
        return UnsureOption(NO_ANSWERS, target, len(answers), 0.0)
    coverage = float((confidences >= threshold).mean())
    log.info("Accuracy target: labels with a probability below %.3f are replaced by unsure. These are the labels of "
             "%.0f%% of the %d photos on which the threshold was chosen.", threshold, 100 * (1 - coverage),
             len(answers))
    return UnsureOption(threshold, target, len(answers), coverage)


def with_decisions(metadata: Metadata, costs: np.ndarray | None, unsure: UnsureOption | None, evaluated: Evaluated
                   ) -> Metadata:
    """Return metadata with the costs and the threshold.

    Args:
        metadata: The metadata of the classifier.
        costs: The costs, or None.
        unsure: When no answer is given, or None.
        evaluated: The final evaluation, whose result for the threshold is stored with it.
    """
    if unsure and evaluated.selective:
        unsure = replace(unsure, test=evaluated.selective.to_dict())
    return replace(metadata, unsure=unsure, costs=None if costs is None else CostTable.from_matrix(costs))


def _warn_about_target(target: float, curve: CoverageCurve) -> None:
    usable = curve.coverage >= MIN_COVERAGE
    log.warning("No threshold reaches `accuracy_target`=%g with enough certainty on these %d photos: the highest "
                "accuracy measured, if at least a tenth of them get an answer, is %.1f%%. Every photo will be "
                "labelled unsure. Use a lower target, or more photos.", target, curve.count,
                100 * float(curve.accuracy[usable].max()))
