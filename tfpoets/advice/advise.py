"""Measure what would improve a classifier, and choose what to recommend."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfpoets.data import TEST
from tfpoets.doctor import Finding
from tfpoets.events import Evaluated
from tfpoets.extractors import Extractor, find_network
from tfpoets.recommendation import Advice
from tfpoets.retrain_options import RetrainOptions
from tfpoets.training import EventCallback, LBFGSFit, LearningCurve, TrainingResult

from .learning_curve import measure_curve
from .rules import Command, Evidence, recommend
from .trials import Trial, run_trials


@dataclass(frozen=True)
class Measurements:
    """What was measured after training.

    Attributes:
        curve: The learning curve, or None; see `measure_curve`.
        trials: What other features gained; None if they were not tried.
    """

    curve: LearningCurve | None
    trials: Sequence[Trial] | None


def measure(training: TrainingResult, extractor: Extractor | None, costs: np.ndarray | None, options: RetrainOptions,
            on_event: EventCallback) -> Measurements:
    """Measure the learning curve and, with `advice`, what larger photos and more views gain.

    Args:
        training: The trained classifier.
        extractor: The extractor that computed the bottlenecks, or None.
        costs: The costs of the answers, float64 [n_classes, n_classes], or None.
        options: The options of the run.
        on_event: Receives the events of the stages.
    """
    curve, trials = measure_curve(training, costs, options, on_event), None
    if options.advice and extractor and isinstance(training.fit, LBFGSFit):
        trials = run_trials(training.dataset, extractor, costs, options, on_event)
    return Measurements(curve, trials)


def advise(training: TrainingResult, test: Evaluated, findings: Sequence[Finding] | None, measurements: Measurements,
           options: RetrainOptions, command: Command) -> Advice:
    """Return what would improve a classifier; nothing if there are no test photos, because no gain could be measured.

    Args:
        training: The trained classifier.
        test: The final evaluation.
        findings: The findings of the data doctor, or None if it did not run.
        measurements: What was measured after training.
        options: The options of the run.
        command: A function of options by name that returns the command that repeats the run with them.
    """
    if test.metrics is None:
        return Advice()
    dataset = training.dataset
    assert dataset.split is not None
    return recommend(Evidence(
        metrics=test.metrics, labels=dataset.labels, n_photos=len(dataset),
        n_training=int((dataset.split.parts != TEST).sum()), curve=measurements.curve, findings=findings,
        findings_path=options.files.findings, repeated_scenes=test.repeated_scenes, trials=measurements.trials,
        can_fine_tune=_can_fine_tune(training, options)), command)


def _can_fine_tune(training: TrainingResult, options: RetrainOptions) -> bool:
    """Return whether only the last layer was trained, and the network has other weights that can be trained."""
    if not isinstance(training.fit, LBFGSFit) or training.comparison is not None:
        return False
    return not getattr(find_network(options.extractor.handle, options.extractor), "is_frozen", False)
