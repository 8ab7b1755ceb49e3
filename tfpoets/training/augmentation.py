"""Photos varied on the fly, where all layers are trained; `data/augmentation.py` does it once for the last layer."""
from __future__ import annotations

from typing import Any

from tfpoets.data import AugmentationOptions
from tfpoets.tf_runtime import import_tensorflow


def distorted(photos: Any, options: AugmentationOptions, seed: int, step: Any) -> Any:
    """Varies photos at random, the same for the same seed and step.

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
