"""Augment training photos: flip, crop, enlarge, and change the brightness at random."""
from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from PIL import Image

from tfpoets.errors import check_bool, check_range
from tfpoets.tf_runtime import import_tensorflow


@dataclass(frozen=True)
class AugmentationOptions:
    """Options for the augmentation of training photos; falsy if nothing is augmented.

    Attributes:
        flip_left_right: Whether to mirror photos at random, with probability 1/2.
        random_crop: The margin of a random crop, as a percentage of the crop's sides: with 10, the sides of the photo
            are 1.1 times as long as those of the crop.
        random_scale: The largest percentage by which a photo is enlarged at random, before the crop.
        random_brightness: The largest percentage by which all pixels are made brighter or darker at random.
    """

    flip_left_right: bool = False
    random_crop: float = 0
    random_scale: float = 0
    random_brightness: float = 0

    def __post_init__(self) -> None:
        check_bool("flip_left_right", self.flip_left_right)
        for name in ("random_crop", "random_scale", "random_brightness"):
            check_range(name, getattr(self, name), minimum=0)

    def __bool__(self) -> bool:
        return self.flip_left_right or bool(self.random_crop or self.random_scale or self.random_brightness)

    def to_dict(self) -> dict[str, float]:
        """Return the options as a dictionary, from which the keys of caches and checkpoints are made.

        The first four fields are always included, under short names. An integer and an equal float give different
        keys. A field that is added later must be false by default and is included only if it is set, so that existing
        keys stay valid.
        """
        values = {"flip": self.flip_left_right, "crop": self.random_crop, "scale": self.random_scale,
                  "brightness": self.random_brightness}
        added = {option.name: getattr(self, option.name) for option in fields(self)[len(values):]}
        return {**values, **{name: value for name, value in added.items() if value}}

    @property
    def key(self) -> str:
        """A string that is unique to these options; part of the cache keys."""
        return json.dumps(self.to_dict())


# Used if augmentation is requested without further options. The smallest crop shows half of the photo's area.
DEFAULT_AUGMENTATION = AugmentationOptions(True, 0.0, 41.0, 0.0)


def augment_pixels(pixels: np.ndarray, options: AugmentationOptions, digest: str, number: int) -> np.ndarray:
    """Return an augmented view of a photo.

    The random changes depend only on the digest, the number of the view and the options. `augment_tensor` is the
    TensorFlow version.

    Args:
        pixels: uint8 [height, width, 3].
        options: The augmentation options.
        digest: The digest of the photo.
        number: The number of the view, any integer.

    Returns:
        uint8 [height, width, 3].
    """
    seed = hashlib.blake2b(f"{digest}/{number}/{options.key}".encode(), digest_size=8).digest()
    rng = np.random.default_rng(int.from_bytes(seed, "little"))
    height, width = pixels.shape[:2]
    side = 1 / ((1 + options.random_crop / 100) * rng.uniform(1, 1 + options.random_scale / 100))
    left, top = (1 - side) * rng.random(2)
    box = (left * width, top * height, (left + side) * width, (top + side) * height)
    photo = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, box)
    if options.flip_left_right and rng.random() < 0.5:
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if not options.random_brightness:
        return np.asarray(photo)
    fraction = options.random_brightness / 100
    factor = rng.uniform(max(0.0, 1 - fraction), 1 + fraction)
    return np.clip(np.round(np.asarray(photo) * factor), 0, 255).astype(np.uint8)


def augment_tensor(photos: Any, options: AugmentationOptions, seed: int, step: Any) -> Any:
    """Augment photos with TensorFlow operations, in the same ranges as `augment_pixels`.

    Used when all layers are trained: each photo is augmented differently in every step. The same seed and step give
    the same result.

    Args:
        photos: float32 tensor [n, height, width, 3] in [0, 1].
        options: The augmentation options.
        seed: The seed of the training.
        step: The number of the training step, an int64 scalar tensor.

    Returns:
        float32 tensor [n, height, width, 3] in [0, 1].
    """
    if not options:
        return photos
    tensorflow = import_tensorflow()
    n_photos, height, width = tensorflow.shape(photos)[0], photos.shape[1], photos.shape[2]

    def uniform(stream: int, low: float, high: float) -> Any:
        """Return a random float32 tensor [n] in [low, high); each stream is independent of the others."""
        key = tensorflow.stack([tensorflow.constant(seed % 2 ** 31 * 16 + stream, tensorflow.int64), step])
        return tensorflow.random.stateless_uniform([n_photos], key, low, high)
    side = 1 / ((1 + options.random_crop / 100) * uniform(0, 1.0, 1.0001 + options.random_scale / 100))
    top, left = ((1 - side) * uniform(stream, 0.0, 1.0) for stream in (1, 2))
    right = left + side
    if options.flip_left_right:
        mirrored = uniform(3, 0.0, 1.0) < 0.5
        left, right = tensorflow.where(mirrored, right, left), tensorflow.where(mirrored, left, right)
    # crop_and_resize places the corners of a box at the centres of the outermost pixels.
    boxes = tensorflow.stack([top, left, top + side, right], axis=1)
    photos = tensorflow.image.crop_and_resize(photos, boxes, tensorflow.range(n_photos), [height, width])
    if options.random_brightness:
        fraction = options.random_brightness / 100
        photos *= uniform(4, max(0.0, 1 - fraction), 1 + fraction)[:, None, None, None]
    return tensorflow.clip_by_value(photos, 0.0, 1.0)
