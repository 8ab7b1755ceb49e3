"""Say how long an operation will take, once its speed is known, if that is more than a minute."""
from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tfpoets.progress import Progress

log = logging.getLogger(__name__)

# The speed is measured for this long, and for at least this many units.
MEASURED_SECONDS, MEASURED_UNITS = 5.0, 3
# An operation that takes less time than this is not announced.
MIN_SECONDS = 60.0
_EPOCH = re.compile(r"Epoch (\d+)")


@dataclass
class _Operation:
    """An operation that is being measured; `is_estimated` once that is done."""

    start: float
    first: int
    is_estimated: bool = False


class TimeEstimates:
    """A callback for the events of a run that logs an estimate for each long operation, once.

    Args:
        n_epochs: The number of epochs of a training of all layers.
        clock: Returns the time in seconds.
    """

    def __init__(self, n_epochs: int = 0, clock: Callable[[], float] = time.monotonic):
        self._n_epochs, self._clock = n_epochs, clock
        self._operations: dict[str, _Operation] = {}

    def __call__(self, event: Any) -> None:
        """Measure the progress of an operation; events of other types are ignored."""
        if not isinstance(event, Progress) or event.total is None:
            return
        epoch = _EPOCH.fullmatch(event.description)
        name, done, total = event.description, event.done, event.total
        if epoch and self._n_epochs:  # the epochs are one operation
            name, done, total = "Epochs", (int(epoch[1]) - 1) * total + done, self._n_epochs * total
        now = self._clock()
        operation = self._operations.setdefault(name, _Operation(now, done))
        seconds, units = now - operation.start, done - operation.first
        if operation.is_estimated or seconds < MEASURED_SECONDS or units < MEASURED_UNITS:
            return
        operation.is_estimated = True
        remaining = (total - done) * seconds / units
        if remaining >= MIN_SECONDS:
            subject = f"Training for {self._n_epochs} epochs" if name == "Epochs" else name
            log.info("%s: about %s for the remaining %s %ss, at %.3g per second.", subject, format_duration(remaining),
                     f"{total - done:,}", event.unit, units / seconds)


def format_duration(seconds: float) -> str:
    """Return a duration of at least a minute in words, rounded as an estimate should be."""
    minutes = round(seconds / 60)
    if minutes < 100:
        return "1 minute" if minutes <= 1 else f"{minutes} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds > 36000 else f"{seconds / 3600:.1f} hours"
