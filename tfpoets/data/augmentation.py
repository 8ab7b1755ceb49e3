"""Random changes of training photos: mirrored, cropped, enlarged, lightened and darkened."""
from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image

from tfpoets.errors import check_range


@dataclass(frozen=True)
class AugmentationOptions:
    """How training photos are varied at random; false where they are not.

    Attributes:
        flip_left_right: mirror every other one.
        random_crop: percent by which the photo is larger than what is cut out of it at random.
        random_scale: percent by which it may be enlarged besides.
        random_brightness: percent by which pixels are multiplied at random, up or down.
    """

    flip_left_right: bool = False
    random_crop: float = 0
    random_scale: float = 0
    random_brightness: float = 0

    def __post_init__(self) -> None:
        for name in ("random_crop", "random_scale", "random_brightness"):
            check_range(name, getattr(self, name), least=0)

    def __bool__(self) -> bool:
        return self.flip_left_right or bool(self.random_crop or self.random_scale or self.random_brightness)

    def to_dict(self) -> dict[str, float]:
        """Return the values under the names that keys of caches and checkpoints are made of; neither ever changes.

        A whole number and a float that is equal to it are different values there.
        """
        return dict(zip(("flip", "crop", "scale", "brightness"), asdict(self).values()))

    @property
    def key(self) -> str:
        """A text that tells these options from all others; part of keys in the cache."""
        return json.dumps(self.to_dict())


# Where photos are to be varied and nobody says how: the smallest cut shows half of the photo's area.
USUAL_AUGMENTATION = AugmentationOptions(True, 0.0, 41.0, 0.0)


def augment_pixels(pixels: np.ndarray, options: AugmentationOptions, digest: str, number: int) -> np.ndarray:
    """One of a photo's endless variations: always the same for the same photo and number.

    Training all layers varies photos by TensorFlow's operations instead (training/augmentation.py), in the same
    ranges.

    Args:
        pixels: uint8 [height, width, 3].
        options: how.
        digest: of the photo.
        number: which variation.

    Returns:
        The same shape and type.
    """
    seed = hashlib.blake2b(f"{digest}/{number}/{options.key}".encode(), digest_size=8).digest()
    random = np.random.default_rng(int.from_bytes(seed, "little"))
    height, width = pixels.shape[:2]
    side = 1 / ((1 + options.random_crop / 100) * random.uniform(1, 1 + options.random_scale / 100))
    left, top = (1 - side) * random.random(2)
    box = (left * width, top * height, (left + side) * width, (top + side) * height)
    photo = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, box)
    if options.flip_left_right and random.random() < 0.5:
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if not options.random_brightness:
        return np.asarray(photo)
    share = options.random_brightness / 100
    factor = random.uniform(max(0.0, 1 - share), 1 + share)
    return np.clip(np.round(np.asarray(photo) * factor), 0, 255).astype(np.uint8)
