"""The result of a retraining run."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import Dataset, Photo
from tfpoets.doctor import Examination, FailedCheck, Finding
from tfpoets.evaluation import COVERAGES, Metrics, Rejection, answered_at, coverage_of
from tfpoets.events import Evaluated, Misclassified
from tfpoets.exporting import CrossValidation, ExportResult, ExportedFile, Metadata
from tfpoets.extractors import Extractor
from tfpoets.inference import Classifier
from tfpoets.recommendation import Advice
from tfpoets.training import LearningCurve, TrainingResult


@dataclass(frozen=True, eq=False, kw_only=True)
class RetrainResult:
    """A retrained classifier, with the photos, metrics and files of the run.

    Attributes:
        classifier: The classifier, loaded from the exported .tflite; `classifier.label("photo.jpg")` labels a photo.
        listed_dataset: All photos that were found, before any was read.
        unreadable: (photo, reason) for each photo that could not be read.
        n_computed_bottlenecks: The number of bottlenecks that were not in the cache.
        extractor: The network that computed the bottlenecks, or None if none were needed. If all layers were trained,
            the classifier uses a different network.
        training: The trained network and head, and how they were fitted.
        metadata: The metadata of the classifier.
        test: The final evaluation, with the probabilities of every test photo.
        examination: What the data doctor found, or None if it did not run.
        exported: The classifier's files, and how their predictions compare with those of the trained head.
        converted: The files in further formats, starting with the graph itself; empty if none were requested.
        report: The HTML report.
        learning_curve: The accuracy against the number of training photos, with a forecast; None if there are too few
            photos, or if the network was trained on them.
        advice: What would improve the classifier.
    """

    classifier: Classifier
    listed_dataset: Dataset
    unreadable: Sequence[tuple[Photo, str]]
    n_computed_bottlenecks: int
    extractor: Extractor | None
    training: TrainingResult
    metadata: Metadata
    test: Evaluated
    examination: Examination | None
    exported: ExportResult
    converted: Sequence[ExportedFile]
    report: Path
    learning_curve: LearningCurve | None = None
    advice: Advice = Advice()

    @property
    def dataset(self) -> Dataset:
        """The photos used for training, validation and test, with their bottlenecks and split."""
        return self.training.dataset

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in output order."""
        return self.dataset.labels

    @property
    def findings(self) -> Sequence[Finding] | None:
        """The findings of the data doctor, or None if it did not run."""
        return None if self.examination is None else self.examination.findings

    @property
    def failed_checks(self) -> Sequence[FailedCheck]:
        """The checks of the data doctor that failed."""
        return self.examination.failed_checks if self.examination else ()

    @property
    def metrics(self) -> Metrics | None:
        """The metrics of the final evaluation, or None if there were no test photos."""
        return self.test.metrics

    @property
    def rejection(self) -> Rejection | None:
        """The metrics of the reject option on the test photos, or None without one."""
        return self.test.rejection

    @property
    def misclassified(self) -> list[Misclassified]:
        """The misclassified test photos."""
        return self.test.misclassified()

    @property
    def cross_validation(self) -> CrossValidation | None:
        """The results of the cross-validation, or None if it was not requested."""
        return self.metadata.cross_validation

    @property
    def files(self) -> tuple[Path, ...]:
        """The classifier's files, in the order in which they were moved into place."""
        return self.exported.files

    def to_dict(self) -> dict[str, Any]:
        """Return the result for JSON, with paths as strings and None for numbers that are not finite.

        The sections are `labels`, `photos` (listed and unreadable), `bottlenecks`, `augmented`, `split`, `network`,
        `head`, `fine_tuning`, `curves`, `test`, `misclassified`, `unknown`, `unsure`, `cross_validation`,
        `learning_curve`, `advice`, `findings`, `failed_checks` (of the data doctor), `files`, `proof`, `converted`
        and `report`. A section is None, or an empty list, if the run had no such step.
        """
        metadata = self.metadata
        values: dict[str, Any] = _non_finite_to_none({
            "labels": list(self.labels),
            "photos": {"listed": len(self.listed_dataset), "per_label": self.listed_dataset.counts(),
                       "layout": self.listed_dataset.layout,
                       "unreadable": [{"file": photo.uri, "reason": reason} for photo, reason in self.unreadable]},
            "bottlenecks": self._bottlenecks(),
            "augmented": self.training.augmented_views and asdict(self.training.augmented_views),
            "split": self._split(),
            "network": {**metadata.network.to_dict(), **asdict(metadata.input)},
            "head": metadata.head.to_dict(),
            "fine_tuning": self._fine_tuning(),
            "curves": self.training.fit.curves(),
            "test": self._test(),
            "misclassified": [{"file": error.photo.uri, "label": error.photo.label, "answer": error.predicted,
                               "score": error.score} for error in self.misclassified],
            "unknown": metadata.unknown and asdict(metadata.unknown),
            "unsure": metadata.unsure and asdict(metadata.unsure),
            "learning_curve": self.learning_curve and self.learning_curve.to_dict(self.labels),
            "advice": self.advice.to_dict(),
            "cross_validation": self.cross_validation and asdict(self.cross_validation),
            "findings": None if self.findings is None else [finding.to_dict() for finding in self.findings],
            "failed_checks": [check.to_dict() for check in self.failed_checks],
            "files": [str(path) for path in self.files],
            "proof": [{"name": file.name, "agreeing": file.agreeing, "count": file.count,
                       "largest": file.max_difference}
                      for file in self.exported.verified],
            "converted": [self._converted(file) for file in self.converted],
            "report": str(self.report)})
        return values

    def _bottlenecks(self) -> dict[str, Any] | None:
        """Return how many bottlenecks were used and computed, or None if none were needed."""
        if self.extractor is None:
            return None
        return {"extractor": self.extractor.name, "height": self.extractor.height, "width": self.extractor.width,
                "depth": self.extractor.depth, "count": len(self.listed_dataset) - len(self.unreadable),
                "computed": self.n_computed_bottlenecks}

    def _fine_tuning(self) -> dict[str, Any] | None:
        comparison = self.training.comparison
        if comparison is None:
            return None
        return {"validation_loss_before": comparison.loss_before, "validation_loss_after": comparison.loss_after,
                "gain": comparison.gain, "error": comparison.standard_error, "state": comparison.checkpoint,
                "kept": comparison.is_better, "sentence": comparison.summary()}

    def _split(self) -> dict[str, Any]:
        split = self.dataset.split
        assert split is not None
        return {"seed": split.seed, "digest": split.digest, "counts": split.counts(), "notes": list(split.notes)}

    def _test(self) -> dict[str, Any] | None:
        if self.metrics is None:
            return None
        coverage = coverage_of(self.test.probabilities, self.metrics)
        batch, repeated_scenes = self.test.balanced_batch, self.test.repeated_scenes
        return {**self.metrics.to_dict(self.labels), "majority_label": self.labels[self.metrics.majority],
                "majority_accuracy": self.metrics.majority_accuracy,
                "repeated_scenes": repeated_scenes and asdict(repeated_scenes),
                "coverage": [answered_at(coverage, self.metrics, fraction).to_dict() for fraction in COVERAGES],
                "costs": self.test.costs and self.test.costs.to_dict(),
                "drawn": batch and {"accuracy": batch.accuracy, "count": batch.count}}

    def _converted(self, file: ExportedFile) -> dict[str, Any]:
        return {"name": file.name, "path": str(file.path), "size": file.size, "count": file.count,
                "agreeing": file.agreeing, "largest": file.max_difference,
                "accuracy": file.metrics and file.metrics.accuracy,
                "interval": file.metrics and file.metrics.interval, "milliseconds": file.milliseconds,
                "oldest_runtime": file.oldest_runtime, "runtime_note": file.runtime_note}


def _non_finite_to_none(value: Any) -> Any:
    """Return a copy of a value with None for every number that is not finite, since JSON cannot represent these."""
    if isinstance(value, dict):
        return {name: _non_finite_to_none(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_non_finite_to_none(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
