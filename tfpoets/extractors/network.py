"""What every pretrained network, and everything that finds one, looks like to the rest of this package."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .options import ExtractorOptions


@dataclass(frozen=True)
class Network:
    """A network in TensorFlow, with its variables.

    Attributes:
        function: from a float32 tensor [n, height, width, 3] in [0, 1], and the keyword `training`, to float32
            [n, depth]. With `training=True` batches are normalised by their own statistics, which are kept; a network
            that cannot do so raises an ExtractorError.
        height, width: of its input, in pixels.
    """

    function: Callable[..., Any]
    height: int
    width: int

    def __call__(self, pixels: Any, training: bool = False) -> Any:
        """Return the features of photos; arguments and result are those of `function`."""
        return self.function(pixels, training=training)


class PretrainedNetwork(Protocol):
    """A pretrained network that can become an extractor."""

    @property
    def name(self) -> str:
        """For messages and folders."""

    @property
    def default_size(self) -> int | None:
        """Side of the input in pixels where no other size is asked for; None: the network knows its own."""

    def identity(self) -> str:
        """Return what tells the network and its weights from all others; cheap, without TensorFlow."""

    def build(self, image_size: int | None) -> Network:
        """Load the network with TensorFlow.

        Args:
            image_size: side of its square input in pixels; None: the network's own.

        Raises:
            ExtractorError: it cannot be loaded, or does not take photos of that size.
        """


class ExtractorProvider(Protocol):
    """Finds the pretrained networks of one kind of handle."""

    def find(self, handle: str, options: ExtractorOptions) -> PretrainedNetwork | None:
        """Return the network that a handle names, or None if it is a handle of another kind.

        Args:
            handle: without blanks around it.
            options: `model_dir` and `offline` say where downloads are kept and whether they are allowed.

        Raises:
            ExtractorError: the handle is of this kind, but there is no such network, or it cannot be fetched.
        """

    def names(self) -> Sequence[str]:
        """Return the handles that can be listed, which messages suggest for misspelt ones; cheap, may be empty."""
