"""What the doctor says: one row for each file concerned."""
from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tfpoets.files import write_file

# In the order in which a person should look at them.
KINDS = ("label_conflict", "leak", "likely_wrong_label", "unreadable", "wrong_suffix", "tiny", "exact_duplicate",
         "near_duplicate", "outlier", "imbalance")


@dataclass(frozen=True)
class Finding:
    """Something about one file that a person should look at.

    Attributes:
        kind: one of KINDS.
        file: the photo; for `imbalance` the folder of a class.
        score: how sure or how bad, larger first; what it counts depends on the kind.
        suggestion: a sentence.
        other: the photo that it belongs together with, or None.
    """

    kind: str
    file: Path
    score: float
    suggestion: str
    other: Path | None = None


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """By kind in the order of KINDS, then the highest score first, then by file."""
    return sorted(findings, key=lambda each: (KINDS.index(each.kind), -each.score, str(each.file)))


def write_findings(path: Path, findings: Iterable[Finding]) -> None:
    """Writes findings as CSV, UTF-8, a header and a row each; the file appears when it is whole."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["kind", "file", "score", "suggestion", "other"])
    for each in findings:
        rows.writerow([each.kind, each.file, f"{each.score:.4g}", each.suggestion, each.other or ""])
    write_file(path, text.getvalue())
