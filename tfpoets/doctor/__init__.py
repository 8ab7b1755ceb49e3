"""Detect problems in photos from their files and bottlenecks."""
from .detector import Evidence
from .examination import DETECTORS, examine, finding_kinds, required_measures
from .findings import Examination, FailedCheck, Finding, write_findings
from .neighbours import find_neighbours
from .wrong_labels import WRONG_LABEL, find_label_issues

__all__ = ["DETECTORS", "WRONG_LABEL", "Evidence", "Examination", "FailedCheck", "Finding", "examine",
           "find_label_issues", "find_neighbours", "finding_kinds", "required_measures", "write_findings"]
