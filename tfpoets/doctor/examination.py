"""The list of detectors, and the examination of photos by all of them."""
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


def examine(dataset: Dataset, unreadable: Sequence[tuple[Photo, str]], side: int) -> list[Finding]:
    """OcclusionMap at every photo, by its file and by its bottleneck; change nothing.

    Args:
        dataset: photos of at least two classes, with their bottlenecks, split and the measures of `wanted_measures`.
        unreadable: (photo, reason) of those that could not be read.
        side: of the input of the network that labels such photos, in pixels.

    Returns:
        Findings in the order in which a person should look at them.
    """
    evidence = Evidence(dataset, unreadable, side)
    return ranked(finding for detector in DETECTORS for finding in detector.find(evidence))


def finding_kinds() -> list[str]:
    """Return the kinds of findings, in the order in which a person should look at them."""
    ranks = _ranks()
    return sorted(ranks, key=ranks.__getitem__)


def wanted_measures() -> list[Measure]:
    """Return what the detectors need to have measured of every photo."""
    return [detector.measure for detector in DETECTORS if detector.measure is not None]


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings by the rank of their kind, then the highest score first, then by file."""
    ranks = _ranks()
    return sorted(findings, key=lambda each: (ranks[each.kind], -each.score, each.file))


def _ranks() -> dict[str, int]:
    return {kind: rank for detector in DETECTORS for kind, rank in detector.kinds.items()}
