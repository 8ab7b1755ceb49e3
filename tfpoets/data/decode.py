"""Pixels, version 1: the one place that decodes photos. Training, labelling, evaluating and serving all see these.

decode_tensorflow.py does the same in TensorFlow's operations; what changes here must change there.
"""
from __future__ import annotations

import errno
import functools
import importlib
import io
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from tfpoets.errors import PhotoError

from .formats import FORMATS, starts_like_photo

Decoded = TypeVar("Decoded")
PIXELS_VERSION = 1
"""Grows when any pixel of any photo could come out different; part of the cache's key and of the metadata."""

READERS = [each.name for each in FORMATS if not each.plugin]

# Phones take photos of 200 million pixels; a file of a few kilobytes can claim far more and fill the memory.
MAX_PIXELS = 250_000_000
MAX_BYTES = 512 * 2 ** 20
# Pillow warns above its limit and refuses above twice its limit; the refusal is wanted, the warning (below) is not.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2

# A JPEG is decoded at a reduced scale that leaves the resizing filter this many times the pixels it needs: with 2, no
# more than 1 answer in 2,000 differs from a full decode, with 1, up to 1 in 50 (tests/benchmarks/RESULTS.md).
MARGIN = 2
# The same scale for every size up to 320, so that one decoding serves network and perceptual hash.
MIN_DECODED_SIDE = 640

ORIENTATION = 0x0112
# What turns a photo upright, by its orientation (Exif 2.32, 4.6.4, tag 0x0112; 1 is upright already).
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LYING = (5, 6, 7, 8)

DAMAGED = "the file is damaged, or of a kind that cannot be read here"


def load_pixels(source: str | os.PathLike[str] | bytes, height: int, width: int) -> np.ndarray:
    """Decodes a photo, turns it upright and resizes the whole of it (no cropping) with an antialiased bilinear filter.

    The first frame counts; transparency is laid over white. Any number of threads may call this at once.

    Args:
        source: the path of a file, or the bytes of one; what the file is called does not matter.
        height: of the result, in pixels, at least 1.
        width: of the result, in pixels, at least 1.

    Returns:
        uint8 [height, width, 3], sRGB as stored (embedded colour profiles are not applied).

    Raises:
        PhotoError: the file is missing, or is no photo that can be decoded to its end.
        ValueError: height or width is below 1.
    """
    return load_sizes(source, [(height, width)])[0]


def load_sizes(source: str | os.PathLike[str] | bytes, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """`load_pixels` at several (height, width), each exactly as it gives it, decoding anew only where it must."""
    if any(side < 1 for size in sizes for side in size):
        wanted = " and ".join(f"{height} x {width}" for height, width in sizes)
        raise ValueError(f"no photo can have such a size: {wanted}")
    return _read(source, lambda file: _decode(file, sizes))


def load_photo(source: str | os.PathLike[str] | bytes) -> np.ndarray:
    """A whole photo, upright, at its own size, decoded in full: uint8 [height, width, 3]; else as `load_pixels`."""
    return _read(source, _decode_in_full)


def _read(source: str | os.PathLike[str] | bytes, decode: Callable[[BinaryIO], Decoded]) -> Decoded:
    """Opens a photo and decodes it; whatever goes wrong becomes a PhotoError."""
    with open_file(source) as file:
        try:
            return decode(file)
        except PhotoError:
            raise
        except UnidentifiedImageError as error:
            raise PhotoError(_unidentified_reason(file)) from error
        except Exception as error:
            # Pillow lets through whatever a hostile file provokes: OSError, SyntaxError, ValueError, struct.error,
            # KeyError, IndexError, TypeError, ZeroDivisionError, OverflowError, MemoryError, ...
            raise PhotoError(_reason(error)) from error


@dataclass(frozen=True)
class PhotoHeader:
    """What a photo's first bytes say: `format` is the name of one of FORMATS, sides are in pixels as stored."""

    format: str
    height: int
    width: int


def photo_header(file: BinaryIO | bytes) -> PhotoHeader | None:
    """Read no more of a photo (an open file, or its bytes) than its header; None where none can be read."""
    try:
        photo = _image(io.BytesIO(file) if isinstance(file, bytes) else file)
        kind = "JPEG" if photo.format == "MPO" else photo.format or ""
        return PhotoHeader(kind, photo.height, photo.width)
    except Exception:  # whatever a damaged file provokes; see load_sizes
        return None


def load_photos(sources: Sequence[str | os.PathLike[str] | bytes], height: int, width: int,
                workers: int) -> np.ndarray:
    """`load_pixels` of many photos on `workers` threads: uint8 [photos, height, width, 3]."""
    with ThreadPoolExecutor(workers) as pool:
        pixels = list(pool.map(lambda source: load_pixels(source, height, width), sources))
    return np.stack(pixels) if pixels else np.empty((0, height, width, 3), np.uint8)


def network_input(pixels: np.ndarray) -> np.ndarray:
    """What networks are fed: uint8 of any shape -> float32 of the same shape in [0, 1]."""
    return np.true_divide(pixels, np.float32(255), dtype=np.float32)


def read_photo(file: BinaryIO) -> bytes:
    """Return the bytes of an open file.

    Raises:
        PhotoError: it cannot be read, or it is far larger than any photo.
    """
    try:
        large = _size(file) > MAX_BYTES
        data = b"" if large else file.read()
    except Exception as error:  # OSError, or what an archive or a network raises
        raise PhotoError(_input_output_reason(error)) from error
    if large or len(data) > MAX_BYTES:
        raise PhotoError(f"it has more than {MAX_BYTES // 2**20} MB, which no photo has")
    return data


def _size(file: BinaryIO) -> int:
    """The size of a local file in bytes, before it is read; 0 where the system does not know."""
    try:
        return os.fstat(file.fileno()).st_size
    except (AttributeError, io.UnsupportedOperation):
        return 0


def has_plain_pixels(data: bytes) -> bool:
    """Whether a photo needs no more than its pixels decoded: a JPEG or PNG, gray or RGB, upright, not transparent.

    Decoders other than this file's (TensorFlow's in a SavedModel) give the same picture for such photos only.
    """
    try:
        photo = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
        return photo.mode in ("L", "RGB") and not photo.has_transparency_data and _orientation(photo) == 1
    except Exception:  # whatever a damaged file provokes; see load_sizes
        return False


def open_file(source: str | os.PathLike[str] | bytes) -> BinaryIO:
    """Open a file, or the bytes of one, for reading; raise PhotoError, with the reason, where that is not possible."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return open(source, "rb")
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise PhotoError(_opening_reason(source, error)) from error


def _image(file: BinaryIO) -> ImageFile:
    """The photo behind its header. A plugin is loaded only for files of its family: HEIF's takes 0.2 s."""
    start = file.read(16)
    file.seek(0)
    plugins = [each for each in FORMATS if each.plugin and each.may_be(start)]
    for each in plugins:
        _load_plugin(each.plugin)
    return Image.open(file, formats=[*READERS, *(each.name for each in plugins)])


@functools.cache
def _load_plugin(plugin: str) -> None:
    module, function = plugin.split(":")
    getattr(importlib.import_module(module), function)()


def _opening_reason(source: str | os.PathLike[str], error: Exception) -> str:
    if isinstance(error, (FileNotFoundError, NotADirectoryError, ValueError)):
        return "there is no such file"
    # Windows answers "permission denied" when a folder is opened
    if isinstance(error, IsADirectoryError) or os.path.isdir(source):
        return "it is a folder"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return _input_output_reason(error)


def _decode_in_full(file: BinaryIO) -> np.ndarray:
    rgb, orientation = _loaded(_image(file))
    return np.array(rgb.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else rgb)


def _decode(file: BinaryIO, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    photo = _image(file)
    if isinstance(photo, JpegImageFile):
        return _decode_jpeg(file, sizes)
    decoded = _loaded(photo)
    return [_resized(decoded, size) for size in sizes]


def decoded_size(size: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) that a JPEG decoded for a photo of `size` must have at least."""
    height, width = size
    return max(MIN_DECODED_SIDE, MARGIN * height), max(MIN_DECODED_SIDE, MARGIN * width)


def _decode_jpeg(file: BinaryIO, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Decodes once for all sizes that share a DCT scale."""
    opened: dict[tuple[int, int], tuple[ImageFile, tuple[float, float, float, float] | None]] = {}
    decoded: dict[tuple[int, int], tuple[Image.Image, int]] = {}
    result = []
    for size in sizes:
        least = decoded_size(size)
        if least not in opened:
            photo = _image(file)  # anew, because a scale can be chosen once only
            opened[least] = photo, _draft(photo, _stored_size(least, _orientation(photo)))
        photo, box = opened[least]
        if photo.size not in decoded:
            decoded[photo.size] = _loaded(photo)
        result.append(_resized(decoded[photo.size], size, box))
    return result


def _loaded(photo: Image.Image) -> tuple[Image.Image, int]:
    """The photo's pixels as RGB, and its orientation."""
    photo.load()
    # Asked only now: a PNG may have its EXIF behind the pixels, and Pillow turns a TIFF while it reads. AVIF's own
    # rotation Pillow reports as EXIF; HEIF's is done by pillow-heif, which sets EXIF to 1.
    return _to_rgb(photo), _orientation(photo)


def _resized(decoded: tuple[Image.Image, int], size: tuple[int, int],
             box: tuple[float, float, float, float] | None = None) -> np.ndarray:
    """The photo upright at (height, width): uint8 [height, width, 3]."""
    rgb, orientation = decoded
    # Resized before it is turned: the same pixels up to rounding, and there are fewer of them to turn.
    small = rgb.resize(_stored_size(size, orientation), Image.Resampling.BILINEAR, box=box)
    return np.array(small.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else small)


def _orientation(photo: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 also where there is none or it cannot be read."""
    try:
        orientation = photo.getexif().get(ORIENTATION)
        return orientation if orientation in UPRIGHT else 1
    except Exception:  # broken EXIF is as good as none: the pixels may be fine
        return 1


def _stored_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """(width, height), as Pillow counts, that a photo of (height, width) has before it is turned upright."""
    height, width = size
    return (height, width) if orientation in LYING else (width, height)


def _draft(photo: Image.Image, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Makes the decoder give the smallest of 1/8, 1/4, 1/2 and 1/1 that is at least (width, height): much faster.

    Libjpeg then computes smaller inverse DCTs: each pixel is about the mean of those it stands for.

    Returns:
        The part of the decoded picture that the photo fills: where its sides are no multiple of the scale, the last
        column and row are partly padding.
    """
    drafted = photo.draft(None, size)
    return drafted[1] if drafted else None


def _to_rgb(photo: Image.Image) -> Image.Image:
    """The photo as 8-bit RGB over white, in whatever mode Pillow opened it."""
    if photo.mode == "RGB" and "transparency" not in photo.info:
        return photo
    if photo.mode == "F":
        raise PhotoError("its brightness is in floating point numbers, which have no fixed white")
    if photo.mode.startswith("I"):
        return _from_16_bit(photo).convert("RGB")
    if photo.mode == "La":  # Pillow does not go from premultiplied gray to RGBA in one step
        photo = photo.convert("LA")
    if photo.has_transparency_data:
        return _over_white(photo.convert("RGBA"))
    return photo.convert("RGB")  # for Lab this goes through LittleCMS to sRGB


def _from_16_bit(photo: Image.Image) -> Image.Image:
    """Gray of 16 bits (modes I;16, I;16B, ..., and I, which PGM gives) as 8 bits; Pillow itself would clip it."""
    values = np.asarray(photo)
    if values.min() < 0 or values.max() > 65535:
        raise PhotoError("its brightness has 32 bits, which have no fixed white")
    eight_bit = ((np.arange(65536) + 128) // 257).astype(np.uint8)  # 65535 / 257 = 255, rounded to nearest
    transparent = photo.info.get("transparency")
    if isinstance(transparent, int):
        eight_bit[transparent] = 255
    return Image.fromarray(eight_bit[values])


def _over_white(rgba: Image.Image) -> Image.Image:
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white


def _reason(error: Exception) -> str:
    """Pillow's complaint in words for a person who has never heard of Pillow."""
    if isinstance(error, Image.DecompressionBombError):
        return _too_many_pixels(str(error))
    if isinstance(error, MemoryError):
        return "there is not enough memory to read it"
    # EINVAL is what a damaged photo gets that sends its reader to a place before the file's start
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        return _input_output_reason(error)
    if re.search("truncated|end of file", str(error), re.IGNORECASE) or isinstance(error, EOFError):
        return "the file is cut short"
    return DAMAGED


def _unidentified_reason(file: BinaryIO) -> str:
    """Tells no photo at all from one that no reader accepts although it begins like one."""
    file.seek(0)
    start = file.read(16)
    if not start:
        return "the file is empty"
    return DAMAGED if starts_like_photo(start) else "not a photo in a format that can be read here"


def _too_many_pixels(complaint: str) -> str:
    limit = f"more than the {MAX_PIXELS // 10**6} million that are read"
    number = re.search(r"\((\d+) pixels\)", complaint)
    return f"it has {-(-int(number[1]) // 10**6):,} million pixels, {limit}" if number else f"its pixels are {limit}"


def _input_output_reason(error: Exception) -> str:
    return f"it cannot be read ({getattr(error, 'strerror', None) or 'the system gives no reason'})"
