"""The checkup room: what is wrong with the photos, seen in their files and in bottlenecks that are there anyway."""
from .examination import examine
from .findings import KINDS, Finding, write_findings
from .neighbours import Neighbours, find_neighbours
from .wrong_labels import Suspicion, suspect_labels

__all__ = ["Finding", "KINDS", "Neighbours", "Suspicion", "examine", "find_neighbours", "suspect_labels",
           "write_findings"]
