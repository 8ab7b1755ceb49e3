"""What the benchmarks share: runs in turn, medians with their spread, Markdown rows."""
from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Times:
    """Seconds of each run, in order."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return float(np.median(self.seconds))

    def text(self, digits: int = 2) -> str:
        """Median with smallest and largest."""
        return f"{self.median:.{digits}f} ({min(self.seconds):.{digits}f} to {max(self.seconds):.{digits}f})"

    def over(self, other: Times) -> Times:
        """The ratios of runs that stood beside one another."""
        return Times(tuple(mine / theirs for mine, theirs in zip(self.seconds, other.seconds)))

    def each(self, function: Callable[[float], float]) -> Times:
        """A figure of each run."""
        return Times(tuple(map(function, self.seconds)))


def in_turn(works: Sequence[Callable[[], object]], runs: int = 5) -> list[Times]:
    """Times several works, one after the other, `runs` times over, so that a slow minute hits all of them."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(runs):
        for own, work in zip(seconds, works):
            gc.collect()
            start = time.perf_counter()
            work()
            own.append(time.perf_counter() - start)
    return [Times(tuple(own)) for own in seconds]
