"""What a user could do to improve a classifier, with the gain that is expected from it."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recommendation:
    """Something that a user could do to improve a classifier.

    Attributes:
        kind: "groups", "photos", "labels", "image_size", "views" or "fine_tuning".
        action: What to do, as a sentence.
        reason: How the gain was estimated, as one or two sentences; option names are in backticks.
        command: The command or Python expression that repeats the run with the change.
        gain: The expected gain in accuracy, -1 to 1; None if the change is not expected to raise the accuracy.
        interval: The 95% interval of the gain; or its range in earlier measurements, if `is_range`; or None.
        is_range: Whether `interval` is such a range, because the gain cannot be estimated on these photos.
        changes: The options, by name, in which `command` differs from the command of the run.
    """

    kind: str
    action: str
    reason: str
    command: str
    gain: float | None = None
    interval: tuple[float, float] | None = None
    is_range: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def gain_text(self) -> str:
        """The gain with its interval, in percentage points; "" if it is None."""
        if self.gain is None:
            return ""
        low, high = self.interval or (self.gain, self.gain)
        name = "range" if self.is_range else "95% interval"
        return f"{100 * self.gain:+.1f} points ({name} {100 * low:+.1f} to {100 * high:+.1f})"


@dataclass(frozen=True)
class Advice:
    """What would improve a classifier.

    Attributes:
        recommendations: At most three recommendations: those without a gain first, then by decreasing gain.
        summary: A sentence if there are none, or if something was not tried; otherwise "".
    """

    recommendations: Sequence[Recommendation] = ()
    summary: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the advice for JSON."""
        return {"recommendations": [asdict(item) for item in self.recommendations], "summary": self.summary}
