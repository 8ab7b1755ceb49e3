"""The report of a retraining run, and its curves for TensorBoard."""
from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from tfpoets.data import TEST
from tfpoets.doctor import Examination
from tfpoets.events import Evaluated, stage_events
from tfpoets.inference import Classifier
from tfpoets.report import (EvaluatedPhotos, ReportContent, confusion_picture, curves_picture, describe_retraining,
                            with_examination, write_report)
from tfpoets.retrain_options import RetrainOptions
from tfpoets.training import EventCallback, LearningCurve, NetworkFit, TrainingResult, write_summaries


def describe_run(training: TrainingResult, test: Evaluated, classifier: Classifier, label_command: str,
                 learning_curve: LearningCurve | None) -> ReportContent:
    """Return the contents of the report without the examination of the photos and without advice.

    Args:
        training: The trained classifier.
        test: The final evaluation.
        classifier: The classifier, loaded from an exported file.
        label_command: The command that labels a photo with the classifier.
        learning_curve: The learning curve, or None.
    """
    evaluated = EvaluatedPhotos(test.photos, training.dataset.part(TEST).y, test.probabilities, test.metrics,
                                test.rejection, test.repeated_scenes, test.selective, test.accuracy_target, test.costs)
    content = describe_retraining(training.dataset, evaluated, training.fit.curves(), classifier, label_command)
    return replace(content, learning_curve=learning_curve)


def write_page(content: ReportContent, examination: Examination | None, options: RetrainOptions,
               on_event: EventCallback) -> None:
    """Write the report with the findings of the data doctor; None if it has not run."""
    with stage_events("report page", on_event):
        write_report(options.files.report, with_examination(content, examination))


def write_curves(training: TrainingResult, test: Evaluated, options: RetrainOptions, on_event: EventCallback) -> None:
    """Write the training curves and the confusion matrix for TensorBoard, and the curves as a picture."""
    with stage_events("summaries", on_event):
        folder, curves = options.summaries_dir / time.strftime("%Y%m%d-%H%M%S"), training.fit.curves()
        confusion = confusion_picture(test.metrics, training.dataset.labels) if test.metrics else None
        write_summaries(folder, curves, {"confusion": np.asarray(confusion)} if confusion else None)
        axis = "epoch" if isinstance(training.fit, NetworkFit) else "step"
        curves_picture(curves, axis).save(folder / "curves.png")
