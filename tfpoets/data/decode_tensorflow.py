"""The pixel contract of decode.py in TensorFlow's operations, for graphs that take photos as files.

It gives the same pixels up to rounding, for JPEG and PNG; without EXIF orientation and transparency.
"""
from __future__ import annotations

from typing import Any

from tfpoets.tf_runtime import import_tensorflow

from .decode import decoded_size


def decode_tensor(image_bytes: Any, size: tuple[int, int]) -> Any:
    """Decode and resize photos in the graph that is being built, as `load_pixels` and `network_input` do.

    Args:
        image_bytes: string tensor [n], JPEG or PNG files.
        size: height and width of the result, in pixels.

    Returns:
        float32 tensor [n, height, width, 3] in [0, 1].
    """
    tensorflow = import_tensorflow()

    def decode_one(photo: Any) -> Any:
        pixels, full_size = _decoded_at_scale(tensorflow, photo, size)
        # Pillow resizes rows, rounds, resizes columns, rounds; half goes up.
        for axis in (1, 0):
            pixels = _resized(tensorflow, pixels, axis, size[axis], full_size[axis])
        return pixels / 255
    return tensorflow.map_fn(decode_one, image_bytes, fn_output_signature=tensorflow.TensorSpec(
        [*size, 3], tensorflow.float32))


def _decoded_at_scale(tensorflow: Any, photo: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    """A JPEG at the DCT scale of the pixel contract, a PNG as it is.

    Returns:
        float32 [h, w, 3], and float32 [2]: the height and width that the photo fills, without a JPEG's padding.
    """
    # The accurate inverse DCT is what Pillow uses; decode_jpeg reads PNG too.
    decoders = [lambda ratio=ratio: tensorflow.io.decode_jpeg(photo, 3, ratio, dct_method="INTEGER_ACCURATE")
                for ratio in (1, 2, 4, 8)]

    def jpeg() -> tuple[Any, Any]:
        stored = tensorflow.io.extract_jpeg_shape(photo)[:2]
        times_larger = tensorflow.reduce_min(stored // tensorflow.constant(decoded_size(size)))
        reached = times_larger >= tensorflow.constant([2, 4, 8])
        power = tensorflow.reduce_sum(tensorflow.cast(reached, tensorflow.int32))
        pixels = tensorflow.switch_case(power, decoders)
        return pixels, tensorflow.cast(stored, tensorflow.float32) / tensorflow.cast(2 ** power, tensorflow.float32)

    def png() -> tuple[Any, Any]:
        pixels = decoders[0]()
        return pixels, tensorflow.cast(tensorflow.shape(pixels)[:2], tensorflow.float32)
    pixels, full_size = tensorflow.cond(tensorflow.io.is_jpeg(photo), jpeg, png)
    return tensorflow.cast(tensorflow.ensure_shape(pixels, [None, None, 3]), tensorflow.float32), full_size


def _resized(tensorflow: Any, pixels: Any, axis: int, side: int, full_side: Any) -> Any:
    """One axis resized by the antialiased bilinear filter and rounded, as Pillow does it."""
    shape = tensorflow.shape(pixels)
    target = [shape[0], side] if axis == 1 else [side, shape[1]]
    scale = [1.0, side / full_side] if axis == 1 else [side / full_side, 1.0]
    resized = tensorflow.raw_ops.ScaleAndTranslate(
        images=pixels[None], size=target, scale=scale, translation=[0.0, 0.0], kernel_type="triangle",
        antialias=True)[0]
    return tensorflow.clip_by_value(tensorflow.floor(resized + 0.5), 0.0, 255.0)
