"""The list of detectors, and a function that runs all of them."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from tfpoets.data import Dataset, Measure, Photo

from .detector import Detector, Evidence
from .duplicates import DuplicateDetector
from .files import FileDetector, ImbalanceDetector, UnreadableDetector
from .findings import Finding
from .outliers import OutlierDetector
from .wrong_labels import WrongLabelDetector

DETECTORS: list[Detector] = [UnreadableDetector(), FileDetector(), ImbalanceDetector(), DuplicateDetector(),
                             WrongLabelDetector(), OutlierDetector()]


def examine(dataset: Dataset, unreadable: Sequence[tuple[Photo, str]], input_size: int) -> list[Finding]:
    """Run all detectors on the files and bottlenecks of the photos, without changing anything.

    Args:
        dataset: Photos of at least two classes, with bottlenecks, split and the measures from `required_measures`.
        unreadable: The photos that cannot be read, each with the reason.
        input_size: The side of the network's input, in pixels.

    Returns:
        Findings in the order in which the user should look at them.
    """
    evidence = Evidence(dataset, unreadable, input_size)
    return _sort(finding for detector in DETECTORS for finding in detector.find(evidence))


def finding_kinds() -> list[str]:
    """Return the kinds of findings, in the order in which the user should look at them."""
    ranks = _ranks()
    return sorted(ranks, key=ranks.__getitem__)


def required_measures() -> list[Measure]:
    """Return the measures that the detectors need from the pixels of each photo."""
    return [detector.measure for detector in DETECTORS if detector.measure is not None]


def _sort(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings by the rank of their kind, then by descending score, then by file."""
    ranks = _ranks()
    return sorted(findings, key=lambda finding: (ranks[finding.kind], -finding.score, finding.file))


def _ranks() -> dict[str, int]:
    return {kind: rank for detector in DETECTORS for kind, rank in detector.kinds.items()}
