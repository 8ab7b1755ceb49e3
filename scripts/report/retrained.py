"""What the report of a retraining shows."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scripts.checkup import Finding
from scripts.classifier import Metadata
from scripts.evaluation import Metrics, calibration_bins
from scripts.features import Bottlenecks
from scripts.photos import TEST, Split

from .page import Mistake, ReportContent


def describe_retraining(bottlenecks: Bottlenecks, split: Split, probabilities: np.ndarray, metrics: Metrics | None,
                        metadata: Metadata, findings: Sequence[Finding] | None,
                        curves: dict[str, list[dict[str, float]]], command: str) -> ReportContent:
    """Gathers a report.

    Args:
        bottlenecks, split: of the retraining.
        probabilities: float32 [test photos, classes], the answers of the final evaluation.
        metrics: of the same, or None where no photo was kept.
        metadata: of the classifier.
        findings: of the data doctor, or None.
        curves: of the training.
        command: labels the next photo.
    """
    rows = split.rows(TEST)
    classes, answers = bottlenecks.tree.classes()[rows], probabilities.argmax(axis=1)
    labels = bottlenecks.tree.labels
    wrong = np.flatnonzero(answers != classes)
    mistakes = [Mistake(bottlenecks.tree.photos[rows[each]].path, labels[classes[each]], labels[answers[each]],
                        float(probabilities[each, answers[each]]), float(probabilities[each, classes[each]]))
                for each in wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]] if len(wrong) else []
    counts = ", ".join(f"{count} {part}" for part, count in split.counts().items())
    image_dir = Path(str(metadata.flags.get("image_dir", bottlenecks.tree.root)))
    facts = {"photos": f"{len(bottlenecks.tree.photos)} in {len(labels)} classes, from {image_dir}",
             "split": f"{counts}; seed {split.seed}, digest {split.digest}",
             "extractor": f"{metadata.network['handle']} at {metadata.input['height']} x {metadata.input['width']} "
                          "pixels",
             "head": ", ".join(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
                               for name, value in metadata.head.items()),
             "flags": ", ".join(f"{name}={value}" for name, value in metadata.flags.items() if value) or "none",
             "made with": ", ".join(f"{name} {version}" for name, version in metadata.made_with.items())}
    return ReportContent(
        title=f"A classifier of {', '.join(labels[:6])}{' and others' if len(labels) > 6 else ''}", labels=labels,
        metrics=metrics, bins=calibration_bins(probabilities.max(axis=1), answers == classes) if len(rows) else (),
        mistakes=mistakes, findings=findings, curves=curves, facts=facts, notes=split.notes, command=command)
