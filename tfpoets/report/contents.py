"""What reports show: of a retraining, and of an evaluation."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import TEST, Dataset, Photo
from tfpoets.doctor import Finding
from tfpoets.errors import PhotoError
from tfpoets.evaluation import Metrics, Rejection, calibration_bins
from tfpoets.exporting import CrossValidation, Metadata
from tfpoets.inference import Classifier, occlusion_maps

from .page import Misclassification, OcclusionMap, ReportContent
from .sentences import unknown_sentences

# Photos to show where the classifier looks in, and how many of them with a wrong answer.
MAX_OCCLUSION_MAPS, MAX_MISCLASSIFIED_MAPS = 3, 2


def describe_retraining(dataset: Dataset, outputs: np.ndarray, metrics: Metrics | None,
                        rejection: Rejection | None, metadata: Metadata, findings: Sequence[Finding] | None,
                        curves: dict[str, list[dict[str, float]]], classifier: Classifier, command: str
                        ) -> ReportContent:
    """Gathers the report of a retraining.

    Args:
        dataset: of the retraining, with its split.
        outputs: float32 [test photos, at least classes], the answers of the final evaluation, probabilities first.
        metrics: of the same, or None where no photo was kept.
        rejection: of the same, or None without a reject option.
        metadata: of the classifier.
        findings: of the data doctor, or None.
        curves: of the training.
        classifier: loaded from an exported file.
        command: labels the next photo.
    """
    split, test = dataset.split, dataset.part(TEST)
    assert split is not None
    labels, classes, photos = dataset.labels, test.y, test.photos
    probabilities = outputs[:, :len(labels)]
    counts = ", ".join(f"{count} {part}" for part, count in split.counts().items())
    facts = {"photos": f"{len(dataset.photos)} in {len(labels)} classes, from {dataset.location}",
             "split": f"{counts}; seed {split.seed}, digest {split.digest}", **_facts(metadata)}
    return ReportContent(
        title=f"A classifier of {_named(labels)}", labels=labels, metrics=metrics, unseen=True,
        unknown=unknown_sentences(rejection, "test photos") if rejection else (),
        bins=calibration_bins(probabilities.max(axis=1), probabilities.argmax(axis=1) == classes) if photos else (),
        misclassified=_misclassified(photos, classes, probabilities, labels),
        occlusion_maps=_occlusion_maps(classifier, photos, classes, probabilities),
        findings=findings, curves=curves, facts=facts, notes=split.notes, command=command)


def describe_evaluation(classifier: Classifier, graph: Path, photos: Sequence[Photo], classes: np.ndarray,
                        probabilities: np.ndarray, metrics: Metrics, rejection: Rejection | None,
                        image_dir: Path | str, notes: Sequence[str], command: str) -> ReportContent:
    """Gathers the report of an evaluation.

    Args:
        classifier: loaded from `graph`.
        photos: those that were answered.
        classes: int [photos], the classifier's class of each.
        probabilities: float32 [photos, classes], the answers.
        metrics: of the same.
        rejection: of the same, or None without a reject option.
        image_dir: where the photos lie.
        notes: sentences on what to bear in mind.
        command: labels the next photo.
    """
    facts: dict[str, Any] = {"classifier": graph, "photos": f"{len(photos)} from {image_dir}"}
    if classifier.metadata is not None:
        facts.update(_facts(classifier.metadata))
    correct = probabilities.argmax(axis=1) == classes
    return ReportContent(
        title=f"An evaluation of {graph.name} on {Path(image_dir).name}", labels=classifier.labels, metrics=metrics,
        unseen=False, unknown=unknown_sentences(rejection, "photos") if rejection else (),
        bins=calibration_bins(probabilities.max(axis=1), correct),
        misclassified=_misclassified(photos, classes, probabilities, classifier.labels),
        occlusion_maps=_occlusion_maps(classifier, photos, classes, probabilities), findings=None, curves={},
        facts=facts, notes=notes, command=command)


def _misclassified(photos: Sequence[Photo], classes: np.ndarray, probabilities: np.ndarray, labels: Sequence[str]
              ) -> list[Misclassification]:
    """The wrong answers, the surest first."""
    answers = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(answers != classes)
    order = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")] if len(wrong) else wrong
    return [Misclassification(photos[row], labels[classes[row]], labels[answers[row]],
                    float(probabilities[row, answers[row]]), float(probabilities[row, classes[row]]))
            for row in order]


def _occlusion_maps(classifier: Classifier, photos: Sequence[Photo], classes: np.ndarray, probabilities: np.ndarray
           ) -> list[OcclusionMap]:
    """Where the classifier looks: in the surest wrong answers, and in right ones of middling sureness.

    An answer of 100 % hardly moves, whatever is covered. The right ones are of different classes.
    """
    answers, scores = probabilities.argmax(axis=1), probabilities.max(axis=1, initial=0)
    order = np.argsort(-scores, kind="stable")
    wrong = [row for row in order if answers[row] != classes[row]]
    right = [row for row in order if answers[row] == classes[row]]
    right = right[len(right) // 2:] + right[:len(right) // 2][::-1]
    _, first = np.unique(classes[right], return_index=True)
    pixels = {}
    for row in [*wrong[:MAX_MISCLASSIFIED_MAPS], *(right[place] for place in sorted(first))][:MAX_OCCLUSION_MAPS]:
        try:
            pixels[row] = classifier.input.load_pixels(photos[row].read())
        except PhotoError:  # it has gone since
            continue
    if not pixels:
        return []
    rows = np.array(list(pixels))
    drops = occlusion_maps(classifier, np.stack(list(pixels.values())), answers[rows])
    return [OcclusionMap(photos[row], classifier.labels[classes[row]], classifier.labels[answers[row]],
                 float(scores[row]), each) for row, each in zip(rows, drops)]


def _named(labels: Sequence[str]) -> str:
    return f"{', '.join(labels[:6])}{' and others' if len(labels) > 6 else ''}"


def _crossed(found: CrossValidation) -> str:
    low, high = found.interval
    return (f"{found.accuracy:.1%} of {found.count} photos in {found.folds} folds (95% interval "
            f"{100 * low:.1f}-{100 * high:.1f}%), each by a head that never saw it")


def _flat(options: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Options and their values; those inside others as `other.name`."""
    for name, value in options.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _facts(metadata: Metadata) -> dict[str, Any]:
    """What a classifier was made of."""
    head = ", ".join(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
                     for name, value in metadata.head.to_dict().items())
    return {"extractor": f"{metadata.network.handle} at {metadata.input.height} x {metadata.input.width} "
                         "pixels",
            **({"fine-tuning": metadata.network.fine_tuning} if metadata.network.fine_tuning else {}),
            "head": head,
            "options": ", ".join(f"{name}={value}" for name, value in _flat(metadata.options) if value) or "none",
            **({"cross-validation": _crossed(metadata.cross_validation)} if metadata.cross_validation else {}),
            "made with": ", ".join(f"{name} {version}" for name, version in metadata.made_with.items())}
