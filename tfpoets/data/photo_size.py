"""The size of a photo."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """The size that the header of a photo states, before the EXIF orientation is applied.

    Attributes:
        width, height: The size in pixels.
    """

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return self.width * self.height
