"""The findings of the detectors, and the checks that failed."""
from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfpoets.data import Photo
from tfpoets.escaping import escape_for_csv
from tfpoets.files import write_file


@dataclass(frozen=True)
class Finding:
    """A possible problem with a photo or a class, which the user should look at.

    Attributes:
        kind: One of the kinds of a detector.
        photo_or_folder: The photo, or the folder of the class.
        score: The confidence or severity, higher for findings to look at first. Its scale depends on the kind.
        suggestion: A description of the problem, as the rest of a sentence that begins with the name of the file.
        other: A second photo that the finding is about, or None.
    """

    kind: str
    photo_or_folder: Photo | str
    score: float
    suggestion: str
    other: Photo | None = None

    @property
    def file(self) -> str:
        """The URI of the photo or folder."""
        return self.photo_or_folder if isinstance(self.photo_or_folder, str) else self.photo_or_folder.uri

    @property
    def photo(self) -> Photo | None:
        """The photo, or None for a finding about a class."""
        return None if isinstance(self.photo_or_folder, str) else self.photo_or_folder

    @property
    def short_name(self) -> str:
        """The last two parts of the URI: the name of the photo or class, and that of the folder that contains it."""
        folder, name = os.path.split(self.file)
        return f"{os.path.basename(folder)}/{name}"

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as a dictionary for JSON."""
        return {"kind": self.kind, "file": self.file, "score": self.score, "suggestion": self.suggestion,
                "other": self.other and self.other.uri}


@dataclass(frozen=True)
class FailedCheck:
    """A detector that failed, so that nothing is known about its kinds of problems.

    Attributes:
        kinds: The kinds of findings that it would have returned.
        reason: Why it failed, without a final full stop.
    """

    kinds: tuple[str, ...]
    reason: str

    @property
    def sentence(self) -> str:
        """A sentence for the user."""
        return f"The data doctor could not check for {', '.join(self.kinds)}: {self.reason}."

    def to_dict(self) -> dict[str, Any]:
        """Return the check as a dictionary for JSON."""
        return {"kinds": list(self.kinds), "reason": self.reason}


@dataclass(frozen=True)
class Examination:
    """What the data doctor found.

    Attributes:
        findings: The findings, in the order in which the user should look at them.
        failed_checks: The checks that failed. If there are any, the findings may be incomplete.
    """

    findings: Sequence[Finding]
    failed_checks: Sequence[FailedCheck] = ()


def write_findings(path: Path, findings: Iterable[Finding]) -> None:
    """Write findings as a CSV file in UTF-8, with a header; the file is replaced atomically."""
    write_file(path, _csv_lines(findings))


def _csv_lines(findings: Iterable[Finding]) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["kind", "file", "score", "suggestion", "other"])
    yield text.getvalue()
    for finding in findings:
        text.seek(0)
        text.truncate()
        other = finding.other.uri if finding.other else ""
        writer.writerow([finding.kind, escape_for_csv(finding.file), f"{finding.score:.4g}",
                         escape_for_csv(finding.suggestion), escape_for_csv(other)])
        yield text.getvalue()
