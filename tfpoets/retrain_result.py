"""What a retraining returns."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import Dataset, Photo
from tfpoets.doctor import Finding
from tfpoets.evaluation import Metrics, Rejection
from tfpoets.events import Evaluated, Misclassified
from tfpoets.exporting import CrossValidation, Exported, ExportedFile, Metadata
from tfpoets.extractors import Extractor
from tfpoets.inference import Classifier
from tfpoets.training import TrainingResult


@dataclass(frozen=True, eq=False, kw_only=True)
class RetrainResult:
    """A retrained classifier, and what is known of it.

    Attributes:
        classifier: loaded from the .tflite that was written; `classifier.label("photo.jpg")` labels a photo.
        listed: the photos as they were listed, before any was read.
        unreadable: (photo, reason) of those that could not be read.
        computed: how many bottlenecks were not in the cache.
        extractor: what the bottlenecks were made by, or None where none were needed; after a training of all layers
            it is not the classifier's network.
        training: the trained network and head, and how they were found.
        metadata: of the classifier.
        test: the final test, with the probabilities of every test photo.
        findings: of the data doctor, or None where it was not asked.
        exported: the classifier's files, and how their answers agree with those of the training.
        converted: the further formats that were asked for, the graph itself first; empty without.
        report: the page for people.
    """

    classifier: Classifier
    listed: Dataset
    unreadable: Sequence[tuple[Photo, str]]
    computed: int
    extractor: Extractor | None
    training: TrainingResult
    metadata: Metadata
    test: Evaluated
    findings: Sequence[Finding] | None
    exported: Exported
    converted: Sequence[ExportedFile]
    report: Path

    @property
    def dataset(self) -> Dataset:
        """The photos that were trained on and tested on, with bottlenecks and split."""
        return self.training.dataset

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in output order."""
        return self.dataset.labels

    @property
    def metrics(self) -> Metrics | None:
        """Figures of the final test; None where no photo was kept for it."""
        return self.test.metrics

    @property
    def rejection(self) -> Rejection | None:
        """Figures of the reject option on the test photos; None without one."""
        return self.test.rejection

    @property
    def misclassified(self) -> list[Misclassified]:
        """The test photos with a wrong answer."""
        return self.test.misclassified()

    @property
    def cross_validation(self) -> CrossValidation | None:
        """Figures of all photos, each answered by a head that never saw it; None where that was not asked for."""
        return self.metadata.cross_validation

    @property
    def files(self) -> tuple[Path, ...]:
        """The classifier's files, in the order in which they were put in place."""
        return self.exported.files

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON takes it: paths as text, and null for numbers that are not finite.

        The sections: `labels`, `photos` (listed and unreadable), `bottlenecks`, `augmented`, `split`, `network`,
        `head`, `fine_tuning`, `curves`, `test`, `misclassified`, `unknown`, `cross_validation`, `findings`, `files`,
        `proof`, `converted` and `report`. A section is null, or an empty list, where the run had no such part.
        """
        metadata = self.metadata
        return _finite({
            "labels": list(self.labels),
            "photos": {"listed": len(self.listed), "per_label": self.listed.counts(),
                       "unreadable": [{"file": photo.uri, "reason": reason} for photo, reason in self.unreadable]},
            "bottlenecks": self._bottlenecks(),
            "augmented": self.training.augmented_views and asdict(self.training.augmented_views),
            "split": self._split(),
            "network": {**metadata.network.to_dict(), **asdict(metadata.input)},
            "head": metadata.head.to_dict(),
            "fine_tuning": self._fine_tuning(),
            "curves": self.training.fit.curves(),
            "test": self._test(),
            "misclassified": [{"file": each.photo.uri, "label": each.photo.label, "answer": each.answer,
                               "score": each.score} for each in self.misclassified],
            "unknown": metadata.unknown and asdict(metadata.unknown),
            "cross_validation": self.cross_validation and asdict(self.cross_validation),
            "findings": None if self.findings is None else [finding.to_dict() for finding in self.findings],
            "files": [str(path) for path in self.files],
            "proof": [{"name": each.name, "agreeing": each.agreeing, "count": each.count, "largest": each.largest}
                      for each in self.exported.proven],
            "converted": [self._converted(each) for each in self.converted],
            "report": str(self.report)})

    def _bottlenecks(self) -> dict[str, Any] | None:
        """What the cache saved; None where no bottlenecks were needed."""
        if self.extractor is None:
            return None
        return {"extractor": self.extractor.name, "height": self.extractor.height, "width": self.extractor.width,
                "depth": self.extractor.depth, "count": len(self.listed) - len(self.unreadable),
                "computed": self.computed}

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
        drawn = self.test.drawn
        return {**self.metrics.to_dict(self.labels), "majority_label": self.labels[self.metrics.majority],
                "majority_accuracy": self.metrics.majority_accuracy,
                "drawn": drawn and {"accuracy": drawn[0], "count": drawn[1]}}

    def _converted(self, row: ExportedFile) -> dict[str, Any]:
        return {"name": row.name, "path": str(row.path), "size": row.size, "count": row.count,
                "agreeing": row.agreeing, "largest": row.largest,
                "accuracy": row.metrics and row.metrics.accuracy,
                "interval": row.metrics and row.metrics.interval, "milliseconds": row.milliseconds}


def _finite(value: Any) -> Any:
    """The value with None for every number that is not finite, which JSON has no word for."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
