"""Timing of functions that run alternately, for all benchmarks."""
from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Times:
    """The durations of several runs of one function.

    Attributes:
        seconds: The duration of each run in seconds, in the order of the runs; or ratios of durations.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median duration."""
        return float(np.median(self.seconds))

    def text(self, digits: int = 2) -> str:
        """Return the median, minimum and maximum as text."""
        return f"{self.median:.{digits}f} ({min(self.seconds):.{digits}f} to {max(self.seconds):.{digits}f})"

    def ratio_to(self, other: Times) -> Times:
        """Return the ratio of the durations of each pair of adjacent runs."""
        return Times(tuple(mine / theirs for mine, theirs in zip(self.seconds, other.seconds)))


def time_alternately(functions: Sequence[Callable[[], object]], runs: int = 5) -> list[Times]:
    """Time all functions one after the other, `runs` times, so that a slow minute of the machine affects them all."""
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(runs):
        for durations, function in zip(seconds, functions):
            gc.collect()
            start = time.perf_counter()
            function()
            durations.append(time.perf_counter() - start)
    return [Times(tuple(durations)) for durations in seconds]
