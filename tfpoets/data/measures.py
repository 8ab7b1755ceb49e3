"""Compute numbers, such as blur or size, from the pixels or the bytes of a photo; the cache stores them."""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Measure:
    """A statistic that is computed from the pixels of each photo, while the photo is decoded for other purposes.

    Attributes:
        name: The name under which the cache stores the values; a different formula needs a different name.
        height: The height in pixels at which the photo is loaded, at most 320, so that
            one decoded image serves all measures.
        width: The width in pixels, at most 320.
        compute: A function that takes the pixels of `load_pixels`, uint8 [height, width, 3], and returns a finite
            number. Several threads may call it at once.
    """

    name: str
    height: int
    width: int
    compute: Callable[[np.ndarray], float]

    def apply(self, pixels: np.ndarray) -> float:
        """Return the value for uint8 [height, width, 3]; raise ValueError if it is not finite."""
        return _checked(self.name, self.compute(pixels))

    @property
    def size(self) -> tuple[int, int]:
        """The height and width at which the photo is loaded, in pixels."""
        return self.height, self.width


@dataclass(frozen=True)
class FileMeasure:
    """A number that is computed from the bytes of each photo, while they are read for other purposes.

    Attributes:
        name: The name under which the cache stores the values; a different formula needs a different name.
        compute: A function that takes the bytes of the file and returns a finite number. Several threads may call it
            at once.
    """

    name: str
    compute: Callable[[bytes], float]

    def apply(self, data: bytes) -> float:
        """Return the value for the bytes of a file; raise ValueError if it is not finite."""
        return _checked(self.name, self.compute(data))


PhotoMeasure = Measure | FileMeasure


def _checked(name: str, value: float) -> float:
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"the measure {name} returned {value} for a photo, which is not a finite number")
    return value
