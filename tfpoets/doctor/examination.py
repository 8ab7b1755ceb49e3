"""The list of detectors, and a function that runs all of them."""
from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from tfpoets.data import Dataset, Photo, PhotoMeasure
from tfpoets.errors import TfpoetsError, one_line

from .detector import Detector, Evidence
from .duplicates import DuplicateDetector
from .files import FileDetector, ImbalanceDetector, UnreadableDetector
from .findings import Examination, FailedCheck, Finding
from .outliers import OutlierDetector
from .wrong_labels import WrongLabelDetector

log = logging.getLogger(__name__)

DETECTORS: list[Detector] = [UnreadableDetector(), FileDetector(), ImbalanceDetector(), DuplicateDetector(),
                             WrongLabelDetector(), OutlierDetector()]


def examine(dataset: Dataset, unreadable: Sequence[tuple[Photo, str]], input_size: int) -> Examination:
    """Run all detectors on the files and bottlenecks of the photos, without changing anything.

    If a detector fails, even for lack of memory, a warning is logged and the others run.

    Args:
        dataset: Photos of at least two classes, with bottlenecks, split and the measures from `required_measures`.
        unreadable: The photos that cannot be read, each with the reason.
        input_size: The side of the network's input, in pixels.
    """
    evidence = Evidence(dataset, unreadable, input_size)
    findings: list[Finding] = []
    failed_checks: list[FailedCheck] = []
    for detector in DETECTORS:
        try:
            findings += list(detector.find(evidence))
        except Exception as error:  # whatever a detector of another program may raise
            failed_checks.append(FailedCheck(tuple(detector.kinds), _describe(error)))
            log.warning("%s", failed_checks[-1].sentence)
            log.debug("This is where it failed.", exc_info=True)
    return Examination(tuple(_sort(findings)), tuple(failed_checks))


def _describe(error: Exception) -> str:
    """Return why a detector failed, without a final full stop."""
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    text = error.problem if isinstance(error, TfpoetsError) else one_line(error)
    name = "" if isinstance(error, TfpoetsError) else f"{type(error).__name__}: "
    return f"{name}{text}".rstrip(".: ")


def finding_kinds() -> list[str]:
    """Return the kinds of findings, in the order in which the user should look at them."""
    ranks = _ranks()
    return sorted(ranks, key=ranks.__getitem__)


def required_measures() -> list[PhotoMeasure]:
    """Return the measures that the detectors need for each photo."""
    return [detector.measure for detector in DETECTORS if detector.measure is not None]


def _sort(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings by the rank of their kind, then by descending score, then by file."""
    ranks = _ranks()
    return sorted(findings, key=lambda finding: (ranks[finding.kind], -finding.score, finding.file))


def _ranks() -> dict[str, int]:
    return {kind: rank for detector in DETECTORS for kind, rank in detector.kinds.items()}
