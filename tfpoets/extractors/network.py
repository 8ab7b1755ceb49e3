"""What every kind of pretrained network looks like to the rest of this package."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

# From float32 [n, height, width, 3] in [0, 1] to float32 [n, depth]. With `training=True` besides, batches are
# normalised by their own statistics, which are kept; a network that cannot do so raises an ExtractorError.
NetworkFunction = Callable[..., Any]


class Module(Protocol):
    """A pretrained network that can become an extractor."""

    @property
    def name(self) -> str:
        """For messages and folders."""

    @property
    def default_size(self) -> int | None:
        """Side of the input, in pixels, where nobody asks for another; None: the module knows."""

    def digest(self) -> str:
        """Identifies the network and its weights; cheap, without TensorFlow."""

    def build(self, image_size: int | None) -> tuple[NetworkFunction, int, int]:
        """Loads it with TensorFlow: the function, and the height and width of its input in pixels."""
