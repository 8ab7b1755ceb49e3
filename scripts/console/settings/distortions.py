"""Poets' four flags that vary photos at random."""
from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass

from ..flags import whole_number

DISTORTION_FLAGS = ("flip_left_right", "random_crop", "random_scale", "random_brightness")


@dataclass(frozen=True)
class Distortions:
    """How a photo is varied.

    Attributes:
        flip: mirror every other one.
        crop: percent by which the photo is larger than what is cut out of it at random.
        scale: percent by which it may be enlarged besides.
        brightness: percent by which pixels are multiplied at random, up or down.
    """

    flip: bool = False
    crop: float = 0.0
    scale: float = 0.0
    brightness: float = 0.0

    def __bool__(self) -> bool:
        return self.flip or bool(self.crop or self.scale or self.brightness)

    @property
    def key(self) -> str:
        """Tells these distortions from all others."""
        return json.dumps(asdict(self))


# Where photos are to be varied and nobody says how: the smallest cut shows half of the photo's area.
USUAL_DISTORTIONS = Distortions(flip=True, scale=41.0)


def add_distortion_flags(group: argparse._ArgumentGroup) -> None:
    """Adds the four flags."""
    group.add_argument("--flip_left_right", action="store_true", help="vary training photos: mirror every other one")
    for name, what in zip(DISTORTION_FLAGS[1:], ("cut out at random, P percent smaller than the photo",
                                                 "enlarge at random, by up to P percent",
                                                 "lighten or darken at random, by up to P percent")):
        group.add_argument(f"--{name}", type=whole_number, default=0, metavar="P", help=f"the same: {what}")


def distortions_of(flags: argparse.Namespace) -> Distortions:
    """What those flags say; false where none was given."""
    return Distortions(*(getattr(flags, name) for name in DISTORTION_FLAGS))
