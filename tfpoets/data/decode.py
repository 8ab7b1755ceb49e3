"""Decode and resize photos: version 1 of the pixel contract, used for training, labelling, evaluating and serving.

decode_tensorflow.py implements the same contract with TensorFlow operations; change both together.
"""
from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from tfpoets.errors import PhotoError
from tfpoets.parallel import map_in_order

from .decoder_processes import DECODERS, DecodersUnavailableError
from .decoding_limits import limited, may_be_stopped
from .photo_files import DAMAGED, decode_error_reason, open_file, open_image, read_photo_bytes
from .photo_gate import DecodingLimits, check_photo

Result = TypeVar("Result")
# The part of a decoded image to resize: left, upper, right and lower edges in pixels.
Box = tuple[float, float, float, float]

PIXELS_VERSION = 1
"""Increase this with every change that can affect any pixel of any photo; part of the cache keys and the metadata."""

# A JPEG is decoded at a reduced scale, to at least this many times the requested height and width. With 2, at most
# 0.04% of the predicted labels differ from those of a full decode; with 1, up to 2.2% (tests/benchmarks/RESULTS.md).
OVERSAMPLING = 2
# For every requested size up to 320 this gives the same scale, so that a photo is decoded once for the network and the
# perceptual hash.
MIN_DECODED_SIDE = 640

ROWS_AT_A_TIME = 256
# Sending a smaller photo to another process, on a busy machine, takes as long as decoding it.
MIN_ISOLATED_PIXELS = 1_000_000

ORIENTATION_TAG = 0x0112
# The transposition that turns a photo upright, by its EXIF orientation (Exif 2.32, 4.6.4, tag 0x0112). Orientation 1
# is upright.
UPRIGHT_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The orientations in which height and width are swapped.
SIDEWAYS_ORIENTATIONS = (5, 6, 7, 8)
# The orientations in which the first stored row is the last row or column of the upright photo.
FROM_THE_END = (3, 4, 6, 7)


def load_pixels(source: str | os.PathLike[str] | bytes, height: int, width: int, isolated: bool = False) -> np.ndarray:
    """Load a photo upright and resize all of it (without cropping) with an antialiased bilinear filter.

    Only the first frame is used. Transparent pixels are blended with white. Safe to call from several threads at once.

    Args:
        source: The path of a file, or its bytes; the name of the file does not matter.
        height: The height of the result in pixels, at least 1.
        width: The width of the result in pixels, at least 1.
        isolated: Whether to decode the photo in another process, which can neither crash this one nor exceed the
            photo's limits on memory and time. A photo whose header does not show that it remains within these limits
            is always decoded in this way, and another one of less than MIN_ISOLATED_PIXELS pixels only if it is a JPEG
            with several scans.

    Returns:
        uint8 [height, width, 3], sRGB as stored: embedded colour profiles are not applied.

    Raises:
        PhotoError: The file is missing, is not a photo that can be decoded completely, or takes too much memory or
            time.
        ValueError: `height` or `width` is less than 1.
    """
    return load_pixels_at_sizes(source, [(height, width)], isolated)[0]


def load_pixels_at_sizes(source: str | os.PathLike[str] | bytes, sizes: Sequence[tuple[int, int]],
                         isolated: bool = False) -> list[np.ndarray]:
    """Load a photo at several sizes, decoding it once for all sizes that allow it.

    Args:
        source: The path of a file, or its bytes.
        sizes: The height and width of each result, in pixels.
        isolated: Whether to decode the photo in another process; see `load_pixels`.

    Returns:
        The pixels for each size, the same as from `load_pixels`.

    Raises:
        PhotoError: The file is missing, or is not a photo that can be decoded completely.
        ValueError: A height or width is less than 1.
    """
    if any(side < 1 for size in sizes for side in size):
        listed_sizes = " and ".join(f"{height} x {width}" for height, width in sizes)
        raise ValueError(f"height and width must be at least 1, not {listed_sizes}")
    return decode_safely(source, partial(_decode_at_sizes, sizes=tuple(sizes)), isolated)


def load_full_size(source: str | os.PathLike[str] | bytes) -> np.ndarray:
    """Load a photo upright at its full size, but otherwise like `load_pixels`.

    Args:
        source: The path of a file, or its bytes.

    Returns:
        uint8 [height, width, 3], where height and width are those of the photo.

    Raises:
        PhotoError: The file is missing, or is not a photo that can be decoded completely.
    """
    return decode_safely(source, decode_full_size, is_full_size=True)


def load_photos(sources: Sequence[str | os.PathLike[str] | bytes], height: int, width: int,
                workers: int) -> np.ndarray:
    """Load many photos with `load_pixels`.

    Args:
        sources: The paths of the files, or their bytes.
        height: The height of the result in pixels.
        width: The width of the result in pixels.
        workers: The number of threads.

    Returns:
        uint8 [n, height, width, 3].

    Raises:
        PhotoError: A photo cannot be read.
    """
    pixels = list(map_in_order(lambda source: load_pixels(source, height, width), sources, workers))
    return np.stack(pixels) if pixels else np.empty((0, height, width, 3), np.uint8)


def network_input(pixels: np.ndarray) -> np.ndarray:
    """Scale pixels to the input range of networks: uint8 of any shape -> float32 of the same shape in [0, 1]."""
    return np.true_divide(pixels, np.float32(255), dtype=np.float32)


def has_plain_pixels(data: bytes) -> bool:
    """Return whether a photo is a JPEG or PNG in gray or RGB, upright and without transparency.

    Other decoders, such as TensorFlow's in a SavedModel, give the same pixels only for such photos.
    """
    try:
        photo = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
        return photo.mode in ("L", "RGB") and not photo.has_transparency_data and _read_orientation(photo) == 1
    except Exception:  # a damaged file can make Pillow raise nearly anything; see `decode_error_reason`
        return False


def min_decoded_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the smallest (height, width) at which to decode a JPEG that will be resized to `size`."""
    height, width = size
    return max(MIN_DECODED_SIDE, OVERSAMPLING * height), max(MIN_DECODED_SIDE, OVERSAMPLING * width)


def decode_safely(source: str | os.PathLike[str] | bytes, decode: Callable[[BinaryIO], Result],
                  isolated: bool = False, is_full_size: bool = False) -> Result:
    """Decode a photo within the limits that follow from its header, and turn every error into a PhotoError.

    Args:
        source: The path of a file, or its bytes.
        decode: The function that decodes an open file; it can be pickled.
        isolated: Whether to decode the photo in another process; see `load_pixels`.
        is_full_size: Whether `decode` decodes the photo with `decode_full_size`.
    """
    data = source if isinstance(source, bytes) else _read(source)
    limits = check_photo(data, is_full_size)
    if may_be_stopped():
        return _decode_within_limits(data, decode, limits)
    if not limits.is_predictable or isolated and (limits.n_pixels >= MIN_ISOLATED_PIXELS or limits.has_several_scans):
        try:
            return DECODERS.decode(partial(_decode_within_limits, decode=decode, limits=limits), data, limits)
        except DecodersUnavailableError:  # this program is not run by a Python interpreter that can be started again
            pass
    return _decode(data, decode)


def _read(path: str | os.PathLike[str]) -> bytes:
    with open_file(path) as file:
        return read_photo_bytes(file)


def _decode_within_limits(data: bytes, decode: Callable[[BinaryIO], Result], limits: DecodingLimits) -> Result:
    with limited(limits.seconds, limits.memory):
        return _decode(data, decode, limits.memory_reason)


def _decode(data: bytes, decode: Callable[[BinaryIO], Result], memory_reason: str = "") -> Result:
    try:
        return decode(io.BytesIO(data))
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise PhotoError(DAMAGED) from error
    except MemoryError as error:
        raise PhotoError(memory_reason or decode_error_reason(error)) from error
    except Exception as error:
        raise PhotoError(decode_error_reason(error)) from error


@dataclass(frozen=True)
class _DecodedPhoto:
    """A photo in RGB, as it is stored, and the EXIF orientation that is still to be applied."""

    rgb: Image.Image
    orientation: int

    @classmethod
    def load(cls, photo: Image.Image) -> _DecodedPhoto:
        photo.load()
        # The orientation is read after the pixels: a PNG may store its EXIF data after them, and Pillow rotates
        # a TIFF while loading it. Pillow reports AVIF's own rotation as EXIF data; pillow-heif applies HEIF's rotation
        # itself and sets the orientation to 1.
        return cls(_to_rgb(photo), _read_orientation(photo))

    def resize(self, size: tuple[int, int], box: Box | None = None) -> np.ndarray:
        """Return the photo, or the part of it inside `box`, upright: uint8 [height, width, 3]."""
        # Resizing before turning gives the same pixels up to rounding, and leaves fewer pixels to turn.
        resized = self.rgb.resize(_stored_size(size, self.orientation), Image.Resampling.BILINEAR, box=box)
        return np.array(_turn_upright(resized, self.orientation))


def decode_full_size(file: BinaryIO) -> np.ndarray:
    """Return an open photo upright at its full size: uint8 [height, width, 3]."""
    decoded = _DecodedPhoto.load(open_image(file))
    rgb, orientation = decoded.rgb, decoded.orientation
    pixels = np.empty((*(rgb.size if orientation in SIDEWAYS_ORIENTATIONS else rgb.size[::-1]), 3), np.uint8)
    # The stored rows are rows or columns of the upright photo.
    rows = pixels.swapaxes(0, 1) if orientation in SIDEWAYS_ORIENTATIONS else pixels
    for top in range(0, rgb.height, ROWS_AT_A_TIME):  # at once, Pillow would make more copies of the photo
        bottom = min(top + ROWS_AT_A_TIME, rgb.height)
        strip = np.asarray(_turn_upright(rgb.crop((0, top, rgb.width, bottom)), orientation))
        start, end = (rgb.height - bottom, rgb.height - top) if orientation in FROM_THE_END else (top, bottom)
        rows[start:end] = strip.swapaxes(0, 1) if orientation in SIDEWAYS_ORIENTATIONS else strip
    return pixels


def _decode_at_sizes(file: BinaryIO, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    photo = open_image(file)
    if isinstance(photo, JpegImageFile):
        return _decode_jpeg(file, sizes)
    decoded = _DecodedPhoto.load(photo)
    return [decoded.resize(size) for size in sizes]


def _decode_jpeg(file: BinaryIO, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Decode a JPEG, once for all sizes that need the same DCT scale."""
    drafts: dict[tuple[int, int], tuple[Image.Image, Box | None]] = {}
    decoded: dict[tuple[int, int], _DecodedPhoto] = {}
    result = []
    for size in sizes:
        min_size = min_decoded_size(size)
        if min_size not in drafts:
            photo = open_image(file)  # opened again, because the scale can be set only once
            drafts[min_size] = photo, _set_scale(photo, _stored_size(min_size, _read_orientation(photo)))
        draft, box = drafts[min_size]
        if draft.size not in decoded:
            decoded[draft.size] = _DecodedPhoto.load(draft)
        result.append(decoded[draft.size].resize(size, box))
    return result


def _set_scale(photo: Image.Image, min_size: tuple[int, int]) -> Box | None:
    """Make Pillow decode a JPEG at the smallest scale (1/8, 1/4, 1/2, 1) that gives at least (width, height).

    This is much faster than a full decode. Libjpeg computes smaller inverse DCTs, which make each pixel about the mean
    of the full-size pixels that it replaces.

    Returns:
        The part of the decoded image that the photo covers. If the scale does not divide the sides of the photo, the
        last column and row are partly padding.
    """
    draft = photo.draft(None, min_size)
    return draft[1] if draft else None


def _read_orientation(photo: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 also if it is missing, invalid or unreadable."""
    try:
        orientation = photo.getexif().get(ORIENTATION_TAG)
        return orientation if orientation in UPRIGHT_TRANSPOSITIONS else 1
    except Exception:  # broken EXIF data is ignored: the pixels may be intact
        return 1


def _turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(UPRIGHT_TRANSPOSITIONS[orientation]) if orientation in UPRIGHT_TRANSPOSITIONS else image


def _stored_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return the stored size (width, height), as in Pillow, of a photo whose upright size is (height, width)."""
    height, width = size
    return (height, width) if orientation in SIDEWAYS_ORIENTATIONS else (width, height)


def _to_rgb(photo: Image.Image) -> Image.Image:
    """Return an image of any mode as 8-bit RGB, with transparent pixels blended with white."""
    if photo.mode == "RGB" and "transparency" not in photo.info:
        return photo
    if photo.mode == "F":
        raise PhotoError("its brightness is stored as floating point numbers, which have no fixed white level")
    if photo.mode.startswith("I"):
        return _from_16_bit(photo).convert("RGB")
    if photo.mode == "La":  # Pillow cannot convert premultiplied gray to RGBA directly
        photo = photo.convert("LA")
    if photo.has_transparency_data:
        return _blend_with_white(photo if photo.mode == "RGBA" else photo.convert("RGBA"))
    return photo.convert("RGB")  # Lab is converted to sRGB by LittleCMS


def _from_16_bit(photo: Image.Image) -> Image.Image:
    """Convert 16-bit gray (modes I;16, I;16B, ..., and I, Pillow's mode for PGM) to 8-bit; Pillow would clip it."""
    values = np.asarray(photo)
    if values.min() < 0 or values.max() > 65535:
        raise PhotoError("its gray values have 32 bits and no fixed white level")
    eight_bit = ((np.arange(65536) + 128) // 257).astype(np.uint8)  # 65535 / 257 = 255; rounded to the nearest
    transparent = photo.info.get("transparency")
    if isinstance(transparent, int):
        eight_bit[transparent] = 255
    return Image.fromarray(eight_bit[values])


def _blend_with_white(rgba: Image.Image) -> Image.Image:
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white
