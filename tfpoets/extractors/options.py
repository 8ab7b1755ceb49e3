"""Options that select a pretrained network and control how it is used."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tfpoets.errors import OptionError, check_bool, check_choice, check_range
from tfpoets.files import check_no_credentials, convert_to_paths

# The network whose weights are installed with tfpoets.
EMBEDDED = "efficientnet_lite0"
# 1: the whole photo; 2: also its enlarged center; 4: also the mirror images of both.
VIEW_COUNTS = (1, 2, 4)
# The ranges of pixels that networks are usually trained with: the lowest and the highest value.
INPUT_RANGES = {"0,1": (0.0, 1.0), "0,255": (0.0, 255.0), "-1,1": (-1.0, 1.0)}
# Far above the size that any network benefits from; larger images would only use more memory.
MAX_IMAGE_SIZE = 2048


@dataclass(frozen=True)
class ExtractorOptions:
    """Options that select a pretrained network and control how it is used.

    Attributes:
        handle: The name, path or address of the network; see `find_network`.
        model_dir: The folder for downloaded modules and prepared extractors.
        image_size: Height and width of the network's input in pixels, for networks that take any size; None: the
            network's default.
        offline: Whether downloads are forbidden.
        views: The number of views of each photo whose features are averaged; one of VIEW_COUNTS.
        input_range: The range of the pixels that a Keras model of the user takes: "0,1", "0,255" or "-1,1"; "" to read
            it from the first layer of the model.
        trust_model: Whether a network from another person is used without checking what it does (docs/security.md).
    """

    handle: str = EMBEDDED
    model_dir: Path = Path("tf_files/models")
    image_size: int | None = None
    offline: bool = False
    views: int = 1
    input_range: str = ""
    trust_model: bool = False

    def __post_init__(self) -> None:
        convert_to_paths(self, "model_dir")
        check_bool("offline", self.offline)
        check_bool("trust_model", self.trust_model)
        if not isinstance(self.handle, str):
            raise OptionError(f"`handle`={self.handle!r} is not the name, path or address of a network.")
        _check_address(self.handle)
        check_range("image_size", self.image_size, minimum=1, maximum=MAX_IMAGE_SIZE, integer=True)
        if self.input_range:
            check_choice("input_range", self.input_range, tuple(INPUT_RANGES))
        if self.views not in VIEW_COUNTS:
            raise OptionError(f"`views`={self.views} is not one of {', '.join(map(str, VIEW_COUNTS))}.")


def _check_address(handle: str) -> None:
    """Raise OptionError for an address with a password or a signature, because the metadata contains the handle."""
    if "://" not in handle:
        return
    try:
        check_no_credentials(handle, "handle")
    except OptionError as error:
        raise OptionError(error.problem, "Download the file, and give its path.", "handle") from None
