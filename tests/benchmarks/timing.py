"""Timing of functions that run alternately, for all benchmarks."""
from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Measurements:
    """The measurements of several runs of one function.

    Attributes:
        values: One value per run, in the order of the runs: seconds, a ratio of durations, or a rate.
    """

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the values."""
        return float(np.median(self.values))

    def text(self, digits: int = 2) -> str:
        """Return the median, minimum and maximum as text."""
        return f"{self.median:.{digits}f} ({min(self.values):.{digits}f} to {max(self.values):.{digits}f})"

    def ratio_to(self, other: Measurements) -> Measurements:
        """Return the ratio of the durations of each pair of adjacent runs."""
        return Measurements(tuple(mine / theirs for mine, theirs in zip(self.values, other.values)))


def time_alternately(functions: Sequence[Callable[[], object]], runs: int = 5) -> list[Measurements]:
    """Time all functions in turn, `runs` times, so that a temporary slowdown of the machine affects all of them."""
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(runs):
        for durations, function in zip(seconds, functions):
            gc.collect()
            start = time.perf_counter()
            function()
            durations.append(time.perf_counter() - start)
    return [Measurements(tuple(durations)) for durations in seconds]
