"""Problems in the photos, found in their files and bottlenecks."""
from .examination import examine
from .findings import KINDS, Finding, write_findings
from .neighbours import find_neighbours
from .wrong_labels import suspect_labels

__all__ = ["KINDS", "Finding", "examine", "find_neighbours", "suspect_labels", "write_findings"]
