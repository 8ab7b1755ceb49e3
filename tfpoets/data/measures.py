"""Numbers that are taken from a photo's pixels while it is decoded anyway, and kept in the cache."""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Measure:
    """A number for each photo.

    Attributes:
        name: under which the cache keeps it; another formula needs another name.
        height, width: of the pixels that it is taken from; at most 320, so that no photo is decoded twice.
        compute: from uint8 [height, width, 3], the photo by the pixel contract at this size, to a finite number. It is
            called by several threads at once.
    """

    name: str
    height: int
    width: int
    compute: Callable[[np.ndarray], float]

    def taken(self, pixels: np.ndarray) -> float:
        """Return the number for uint8 [height, width, 3]; raise ValueError where it is not finite."""
        value = float(self.compute(pixels))
        if not math.isfinite(value):
            raise ValueError(f"the measure {self.name} gives {value} for a photo, which is not a finite number")
        return value

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return self.height, self.width
