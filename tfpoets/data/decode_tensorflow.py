"""Decode and resize photos with TensorFlow operations, for graphs that take photos as files.

The pixels of JPEG and PNG files are the same as those of decode.py up to rounding, except that EXIF orientation and
transparency are ignored.
"""
from __future__ import annotations

from typing import Any

from tfpoets.tf_runtime import import_tensorflow

from .decode import min_decoded_size


def decode_tensor(image_bytes: Any, size: tuple[int, int]) -> Any:
    """Decode and resize photos in the graph that is being built, like `load_pixels` followed by `network_input`.

    Args:
        image_bytes: string tensor [n], the contents of JPEG or PNG files.
        size: The height and width of the result, in pixels.

    Returns:
        float32 tensor [n, height, width, 3] in [0, 1].
    """
    tensorflow = import_tensorflow()

    def decode_one(photo: Any) -> Any:
        pixels, covered_size = _decode_at_scale(tensorflow, photo, size)
        # Pillow resizes and rounds the rows, then resizes and rounds the columns. Halves are rounded up.
        for axis in (1, 0):
            pixels = _resize_axis(tensorflow, pixels, axis, size[axis], covered_size[axis])
        return pixels / 255
    return tensorflow.map_fn(decode_one, image_bytes, fn_output_signature=tensorflow.TensorSpec(
        [*size, 3], tensorflow.float32))


def _decode_at_scale(tensorflow: Any, photo: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    """Decode a JPEG at the DCT scale that decode.py uses, and a PNG at full size.

    Returns:
        float32 tensor [h, w, 3], the pixels, 0 to 255.
        float32 tensor [2], the height and width that the photo covers, without the padding of a JPEG.
    """
    # Pillow uses the accurate inverse DCT as well. decode_jpeg also decodes PNG.
    decoders = [lambda ratio=ratio: tensorflow.io.decode_jpeg(photo, 3, ratio, dct_method="INTEGER_ACCURATE")
                for ratio in (1, 2, 4, 8)]

    def decode_jpeg() -> tuple[Any, Any]:
        stored_size = tensorflow.io.extract_jpeg_shape(photo)[:2]
        ratio = tensorflow.reduce_min(stored_size // tensorflow.constant(min_decoded_size(size)))
        halvings = tensorflow.reduce_sum(tensorflow.cast(ratio >= tensorflow.constant([2, 4, 8]), tensorflow.int32))
        pixels = tensorflow.switch_case(halvings, decoders)
        covered = tensorflow.cast(stored_size, tensorflow.float32)
        return pixels, covered / tensorflow.cast(2 ** halvings, tensorflow.float32)

    def decode_png() -> tuple[Any, Any]:
        pixels = decoders[0]()
        return pixels, tensorflow.cast(tensorflow.shape(pixels)[:2], tensorflow.float32)
    pixels, covered_size = tensorflow.cond(tensorflow.io.is_jpeg(photo), decode_jpeg, decode_png)
    return tensorflow.cast(tensorflow.ensure_shape(pixels, [None, None, 3]), tensorflow.float32), covered_size


def _resize_axis(tensorflow: Any, pixels: Any, axis: int, side: int, covered_side: Any) -> Any:
    """Resize one axis with the antialiased bilinear filter and round the result, as Pillow does."""
    shape = tensorflow.shape(pixels)
    target = [shape[0], side] if axis == 1 else [side, shape[1]]
    scale = [1.0, side / covered_side] if axis == 1 else [side / covered_side, 1.0]
    resized = tensorflow.raw_ops.ScaleAndTranslate(
        images=pixels[None], size=target, scale=scale, translation=[0.0, 0.0], kernel_type="triangle",
        antialias=True)[0]
    return tensorflow.clip_by_value(tensorflow.floor(resized + 0.5), 0.0, 255.0)
