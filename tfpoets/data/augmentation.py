"""Random changes of training photos: mirrored, cropped, enlarged, lightened and darkened."""
from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from PIL import Image

from tfpoets.errors import check_flag, check_range
from tfpoets.tf_runtime import import_tensorflow


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
        check_flag("flip_left_right", self.flip_left_right)
        for name in ("random_crop", "random_scale", "random_brightness"):
            check_range(name, getattr(self, name), minimum=0)

    def __bool__(self) -> bool:
        return self.flip_left_right or bool(self.random_crop or self.random_scale or self.random_brightness)

    def to_dict(self) -> dict[str, float]:
        """Return the values under the names that keys of caches and checkpoints are made of.

        These four are always there, under these names. A whole number and a float that is equal to it are different
        values there. A field that is added later is there only where it is not its default, so that old keys stay.
        """
        found = {"flip": self.flip_left_right, "crop": self.random_crop, "scale": self.random_scale,
                 "brightness": self.random_brightness}
        later = {each.name: getattr(self, each.name) for each in fields(self)[len(found):]}
        return {**found, **{name: value for name, value in later.items() if value}}

    @property
    def key(self) -> str:
        """A text that tells these options from all others; part of keys in the cache."""
        return json.dumps(self.to_dict())


# Where photos are to be varied and nobody says how: the smallest cut shows half of the photo's area.
DEFAULT_AUGMENTATION = AugmentationOptions(True, 0.0, 41.0, 0.0)


def augment_pixels(pixels: np.ndarray, options: AugmentationOptions, digest: str, number: int) -> np.ndarray:
    """Return one of a photo's endless augmented views: always the same for the same photo and number.

    `augment_tensor` does the same in TensorFlow.

    Args:
        pixels: uint8 [height, width, 3].
        options: how.
        digest: of the photo.
        number: which view.

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


def augment_tensor(photos: Any, options: AugmentationOptions, seed: int, step: Any) -> Any:
    """Change photos at random with TensorFlow's operations, in the same ranges as `augment_pixels`.

    The same seed and step give the same result. It is for the training of all layers, which changes photos anew at
    every step.

    Args:
        photos: float32 tensor [n, height, width, 3] in [0, 1].
        options: how.
        seed: of the training.
        step: int64 scalar.

    Returns:
        The same shape and range.
    """
    if not options:
        return photos
    tensorflow = import_tensorflow()
    count, height, width = tensorflow.shape(photos)[0], photos.shape[1], photos.shape[2]

    def uniform(number: int, low: float, high: float) -> Any:
        key = tensorflow.stack([tensorflow.constant(seed % 2 ** 31 * 16 + number, tensorflow.int64), step])
        return tensorflow.random.stateless_uniform([count], key, low, high)
    side = 1 / ((1 + options.random_crop / 100) * uniform(0, 1.0, 1.0001 + options.random_scale / 100))
    top, left = ((1 - side) * uniform(number, 0.0, 1.0) for number in (1, 2))
    right = left + side
    if options.flip_left_right:
        mirrored = uniform(3, 0.0, 1.0) < 0.5
        left, right = tensorflow.where(mirrored, right, left), tensorflow.where(mirrored, left, right)
    # crop_and_resize takes its corners at the centres of the outermost pixels.
    boxes = tensorflow.stack([top, left, top + side, right], axis=1)
    photos = tensorflow.image.crop_and_resize(photos, boxes, tensorflow.range(count), [height, width])
    if options.random_brightness:
        share = options.random_brightness / 100
        photos *= uniform(4, max(0.0, 1 - share), 1 + share)[:, None, None, None]
    return tensorflow.clip_by_value(photos, 0.0, 1.0)
