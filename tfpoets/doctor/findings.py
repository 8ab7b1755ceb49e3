"""What the doctor says: one row for each file concerned."""
from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfpoets.data import Photo
from tfpoets.files import write_file


@dataclass(frozen=True)
class Finding:
    """Something about one photo, or one class, that a person should look at.

    Attributes:
        kind: one of the kinds of a detector.
        subject: the photo; or the folder of a class.
        score: how sure or how bad, larger first; what it counts depends on the kind.
        suggestion: a sentence.
        other: the photo that it belongs together with, or None.
    """

    kind: str
    subject: Photo | str
    score: float
    suggestion: str
    other: Photo | None = None

    @property
    def file(self) -> str:
        """The URI of the photo or folder."""
        return self.subject if isinstance(self.subject, str) else self.subject.uri

    @property
    def photo(self) -> Photo | None:
        """The photo; None for a finding about a class."""
        return None if isinstance(self.subject, str) else self.subject

    @property
    def short_name(self) -> str:
        """The name of the photo or class, with that of the folder that it is in."""
        folder, name = os.path.split(self.file)
        return f"{os.path.basename(folder)}/{name}"

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON takes it."""
        return {"kind": self.kind, "file": self.file, "score": self.score, "suggestion": self.suggestion,
                "other": self.other and self.other.uri}


def write_findings(path: Path, findings: Iterable[Finding]) -> None:
    """Writes findings as CSV, UTF-8, a header and a row each; the file appears when it is whole."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["kind", "file", "score", "suggestion", "other"])
    for each in findings:
        rows.writerow([each.kind, each.file, f"{each.score:.4g}", each.suggestion,
                       each.other.uri if each.other else ""])
    write_file(path, text.getvalue())
