"""Photos as a tf.data.Dataset, for training loops of a program's own."""
from __future__ import annotations

from typing import Any

import numpy as np

from tfpoets.tf_runtime import import_tensorflow

from .dataset import Examples
from .decode import load_pixels


def to_tf_data(examples: Examples, height: int, width: int, batch_size: int = 32, shuffle_seed: int | None = None
               ) -> Any:
    """Return photos and their targets as a tf.data.Dataset, which decodes them in parallel.

    They can be passed to `keras.Model.fit`, or iterated over.

    Args:
        examples: The photos, such as `dataset.part(TRAINING)`.
        height: The height of the result in pixels.
        width: The width of the result in pixels.
        batch_size: The number of photos per batch; the last batch may be smaller.
        shuffle_seed: The seed of the order, which is different in each epoch; None: the order of `examples`.

    Returns:
        A tf.data.Dataset of batches: pixels, float32 [n, height, width, 3] in [0, 1], and targets, int64 [n]. While it
        is iterated over, a photo that cannot be read raises an error of TensorFlow with the message of the PhotoError.
    """
    tensorflow = import_tensorflow()

    def read(row: np.ndarray) -> np.ndarray:
        return load_pixels(examples.photos[int(row)].read(), height, width)

    def load(row: Any, target: Any) -> tuple[Any, Any]:
        pixels = tensorflow.numpy_function(read, [row], tensorflow.uint8)
        pixels.set_shape([height, width, 3])
        return tensorflow.cast(pixels, tensorflow.float32) / 255, target
    data = tensorflow.data.Dataset.from_tensor_slices((np.arange(len(examples)), examples.y.astype(np.int64)))
    if shuffle_seed is not None:
        data = data.shuffle(max(1, len(examples)), seed=shuffle_seed)
    return data.map(load, num_parallel_calls=tensorflow.data.AUTOTUNE).batch(batch_size).prefetch(2)
