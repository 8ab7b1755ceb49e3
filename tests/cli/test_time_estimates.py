"""Operations that take more than a minute are announced, once."""
from __future__ import annotations

import logging

import pytest

from tfpoets.cli.time_estimates import TimeEstimates, format_duration
from tfpoets.progress import Progress


def estimates(caplog: pytest.LogCaptureFixture, progress: list[tuple[float, str, int, int | None]], n_epochs: int = 0
              ) -> list[str]:
    """Return the messages for progress, given as (time in seconds, description, done, total)."""
    times = iter([time for time, *_, total in progress if total is not None])
    listener = TimeEstimates(n_epochs, lambda: next(times))
    with caplog.at_level(logging.INFO, "tfpoets"):
        for _, description, done, total in progress:
            listener(Progress(description, "photo", done, total))
    return [record.getMessage() for record in caplog.records]


def test_the_speed_of_the_first_seconds_gives_the_estimate(caplog: pytest.LogCaptureFixture) -> None:
    steady = [(number / 10, "Bottlenecks", 1000 + number, 4000) for number in range(400)]
    assert estimates(caplog, steady) == [
        "Bottlenecks: about 5 minutes for the remaining 2,950 photos, at 10 per second."]


def test_a_short_operation_is_not_announced(caplog: pytest.LogCaptureFixture) -> None:
    assert not estimates(caplog, [(number / 10, "Bottlenecks", number, 500) for number in range(500)])
    assert not estimates(caplog, [(number, "Download", number * 10, None) for number in range(500)])


def test_a_slow_start_is_not_taken_for_the_speed(caplog: pytest.LogCaptureFixture) -> None:
    assert not estimates(caplog, [(0, "Bottlenecks", 1, 600), (20, "Bottlenecks", 2, 600),
                                  (20.1, "Bottlenecks", 300, 600)])


def test_all_epochs_are_one_operation(caplog: pytest.LogCaptureFixture) -> None:
    progress = [(epoch * 10 + step, f"Epoch {epoch + 1}", step, 10) for epoch in range(20) for step in range(10)]
    assert estimates(caplog, progress, n_epochs=20) == [
        "Training for 20 epochs: about 3 minutes for the remaining 195 photos, at 1 per second."]


@pytest.mark.parametrize("seconds, text", [(60, "1 minute"), (100, "2 minutes"), (5900, "98 minutes"),
                                           (6300, "1.8 hours"), (90000, "25 hours")])
def test_durations_are_rounded(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
