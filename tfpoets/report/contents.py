"""The contents of the reports on a retraining run and on an evaluation."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import Dataset, Photo
from tfpoets.doctor import Examination
from tfpoets.errors import PhotoError
from tfpoets.evaluation import (CalibrationBin, CostMetrics, Metrics, Rejection, SelectiveMetrics, calibration_bins,
                                coverage_of)
from tfpoets.exporting import CrossValidation, Metadata, RepeatedScenes
from tfpoets.inference import Classifier, occlusion_maps

from .page import Misclassification, OcclusionMap, ReportContent
from .sentences import scene_sentences, unknown_sentences

# The number of occlusion maps to show, and the maximum number of them for misclassified photos.
MAX_OCCLUSION_MAPS, MAX_MISCLASSIFIED_MAPS = 3, 2
# The title of a report names at most this many labels.
MAX_TITLE_LABELS = 6
NOT_EXAMINED = ("The photos were not examined for wrong labels, duplicates and other problems, because the data "
                "doctor did not run.")


@dataclass(frozen=True, eq=False)
class EvaluatedPhotos:
    """Photos with their true classes, predictions and metrics.

    Attributes:
        photos: The photos.
        y: int64 [photos], the true class of each photo.
        probabilities: float32 [photos, n_classes], the predicted probabilities.
        metrics: The metrics of these predictions; None if there are no photos.
        rejection: The metrics of the reject option; None if the classifier has none.
        repeated_scenes: How many of the photos show the same scene as a training photo; None if there are hardly any,
            or if this is not known.
        selective: The metrics of the answers that are certain enough for `accuracy_target`; None without one.
        accuracy_target: The accuracy target, 0 to 1, or None.
        costs: What the answers cost, or None without costs.
    """

    photos: Sequence[Photo]
    y: np.ndarray
    probabilities: np.ndarray
    metrics: Metrics | None
    rejection: Rejection | None
    repeated_scenes: RepeatedScenes | None = None
    selective: SelectiveMetrics | None = None
    accuracy_target: float | None = None
    costs: CostMetrics | None = None

    @property
    def predicted(self) -> np.ndarray:
        """The predicted class of each photo: int64 [photos]."""
        return np.empty(0, np.int64) if self.metrics is None else self.metrics.predicted

    @property
    def decision_contents(self) -> dict[str, Any]:
        """The fields of the report about the certainty and the costs of the answers."""
        return {"coverage": coverage_of(self.probabilities, self.metrics) if self.metrics else None,
                "selective": self.selective, "accuracy_target": self.accuracy_target, "costs": self.costs}

    @property
    def scores(self) -> np.ndarray:
        """The probability of the predicted class of each photo: float32 [photos]."""
        return self.probabilities[np.arange(len(self.predicted)), self.predicted]

    @property
    def correct(self) -> np.ndarray:
        """Whether the prediction for each photo is correct: bool [photos]."""
        return self.predicted == self.y


def describe_retraining(dataset: Dataset, test: EvaluatedPhotos, curves: dict[str, list[dict[str, float]]],
                        classifier: Classifier, label_command: str) -> ReportContent:
    """Return the contents of the report on a retraining run, without the examination of its photos.

    Args:
        dataset: The dataset, with its split.
        test: The test photos with their predictions.
        curves: The training curves by name; each point has a `step`, an `accuracy` and a `cross_entropy`.
        classifier: The classifier, loaded from an exported file.
        label_command: The command that labels a photo with the classifier.
    """
    split, labels = dataset.split, dataset.labels
    assert split is not None
    counts = ", ".join(f"{count} {part}" for part, count in split.counts().items())
    details = {"photos": f"{len(dataset.photos)} in {len(labels)} classes, from {dataset.location}",
               **({"layout": dataset.layout} if dataset.layout else {}),
               "split": f"{counts}; seed {split.seed}, digest {split.digest}", **_classifier_details(classifier)}
    return ReportContent(
        title=f"Classifier for {_join_labels(labels)}", labels=labels, metrics=test.metrics, held_out=True,
        cautions=[sentence.replace("`", "") for sentence in scene_sentences(test.repeated_scenes)]
        if test.repeated_scenes else (),
        unknown=unknown_sentences(test.rejection, "test photos") if test.rejection else (),
        calibration=_calibration(test), misclassified=_misclassified(test, labels),
        occlusion_maps=_occlusion_maps(classifier, test), findings=None, curves=curves, details=details,
        notes=split.notes, label_command=label_command, **test.decision_contents)


def with_examination(content: ReportContent, examination: Examination | None) -> ReportContent:
    """Return the contents with what the data doctor found, or with a note if it has not run."""
    if examination is None:
        return replace(content, notes=(*content.notes, NOT_EXAMINED))
    return replace(content, findings=examination.findings, failed_checks=examination.failed_checks)


def describe_evaluation(classifier: Classifier, graph: Path, evaluated: EvaluatedPhotos, image_dir: Path | str,
                        notes: Sequence[str], label_command: str) -> ReportContent:
    """Return the contents of the report on an evaluation.

    Args:
        classifier: The classifier.
        graph: The file or folder that the classifier was loaded from.
        evaluated: The photos with their predictions.
        image_dir: The photo folder.
        notes: Sentences to add, for example on photos that were left out.
        label_command: The command that labels a photo with the classifier.
    """
    details = {"classifier": graph, "photos": f"{len(evaluated.photos)} from {image_dir}",
               **_classifier_details(classifier)}
    return ReportContent(
        title=f"Evaluation of {graph.name} on {Path(image_dir).name}", labels=classifier.labels,
        metrics=evaluated.metrics, held_out=False, cautions=(),
        unknown=unknown_sentences(evaluated.rejection, "photos") if evaluated.rejection else (),
        calibration=_calibration(evaluated), misclassified=_misclassified(evaluated, classifier.labels),
        occlusion_maps=_occlusion_maps(classifier, evaluated), findings=None, curves={}, details=details, notes=notes,
        label_command=label_command, **evaluated.decision_contents)


def _calibration(evaluated: EvaluatedPhotos) -> tuple[CalibrationBin, ...]:
    return calibration_bins(evaluated.scores, evaluated.correct)


def _misclassified(evaluated: EvaluatedPhotos, labels: Sequence[str]) -> list[Misclassification]:
    """Return the misclassified photos, those with the most confident predictions first."""
    predicted, scores = evaluated.predicted, evaluated.scores
    rows = np.flatnonzero(~evaluated.correct)
    return [Misclassification(evaluated.photos[row], labels[evaluated.y[row]], labels[predicted[row]],
                              float(scores[row]), float(evaluated.probabilities[row, evaluated.y[row]]))
            for row in rows[np.argsort(-scores[rows], kind="stable")]]


def _occlusion_maps(classifier: Classifier, evaluated: EvaluatedPhotos) -> list[OcclusionMap]:
    """Return occlusion maps of a few photos, except those that can no longer be read."""
    pixels = {}
    for row in _rows_for_occlusion_maps(evaluated):
        try:
            pixels[row] = classifier.input.load_pixels(evaluated.photos[row].read())
        except PhotoError:  # deleted or changed since it was evaluated
            continue
    if not pixels:
        return []
    predicted = evaluated.predicted
    drops = occlusion_maps(classifier, np.stack(list(pixels.values())), predicted[list(pixels)])
    return [OcclusionMap(evaluated.photos[row], classifier.labels[evaluated.y[row]],
                         classifier.labels[predicted[row]], float(evaluated.scores[row]), drops_of_photo)
            for row, drops_of_photo in zip(pixels, drops)]


def _rows_for_occlusion_maps(evaluated: EvaluatedPhotos) -> list[int]:
    """Return the most confident errors, then correct predictions of medium confidence, one for each class.

    Covering parts of a photo hardly changes a probability near 100%, so the most confident correct predictions
    would show nothing.
    """
    order = np.argsort(-evaluated.scores, kind="stable")
    is_correct = evaluated.correct[order]
    errors, correct = order[~is_correct], order[is_correct]
    middle = len(correct) // 2
    from_medium_confidence = np.concatenate([correct[middle:], correct[:middle][::-1]])
    _, first_of_class = np.unique(evaluated.y[from_medium_confidence], return_index=True)
    rows = [*errors[:MAX_MISCLASSIFIED_MAPS], *from_medium_confidence[np.sort(first_of_class)]]
    return [int(row) for row in rows[:MAX_OCCLUSION_MAPS]]


def _join_labels(labels: Sequence[str]) -> str:
    more = " and others" if len(labels) > MAX_TITLE_LABELS else ""
    return f"{', '.join(labels[:MAX_TITLE_LABELS])}{more}"


def _classifier_details(classifier: Classifier) -> dict[str, Any]:
    """Return what the metadata states about how the classifier was made; empty if there is no metadata."""
    metadata = classifier.metadata
    if metadata is None:
        return {}
    details = {"extractor": f"{metadata.network.handle} at {metadata.input.height} x {metadata.input.width} pixels"}
    if metadata.network.fine_tuning:
        details["fine-tuning"] = metadata.network.fine_tuning
    details["head"] = ", ".join(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
                                for name, value in metadata.head.to_dict().items())
    details["options"] = _list_options(metadata)
    if metadata.cross_validation:
        details["cross-validation"] = _describe_cross_validation(metadata.cross_validation)
    details["made with"] = ", ".join(f"{name} {version}" for name, version in metadata.made_with.items())
    return details


def _list_options(metadata: Metadata) -> str:
    return ", ".join(f"{name}={value}" for name, value in _flatten(metadata.options) if value) or "none"


def _flatten(options: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the names and values of options; nested options are named `outer.inner`."""
    for name, value in options.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _describe_cross_validation(result: CrossValidation) -> str:
    low, high = result.interval
    groups = f" from {result.groups} groups" if result.groups else ""
    return (f"accuracy {result.accuracy:.1%} (95% interval {100 * low:.1f}-{100 * high:.1f}%) on {result.count} "
            f"photos{groups} in {result.folds} folds; each photo is classified by a head that was not trained on it")
