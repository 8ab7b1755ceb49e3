"""Decide from the header of a photo whether, and within which limits, it is decoded."""
from __future__ import annotations

import io
import struct
from dataclasses import dataclass, replace
from typing import BinaryIO

from tfpoets.errors import PhotoError

from .formats import FORMATS, Format
from .jpeg_header import JpegHeader
from .photo_size import Size

# Phones take photos of 200 million pixels; a file of a few kilobytes can claim far more and fill the memory.
MAX_PIXELS = 250_000_000
# Decoding a photo may take this much more than its pixels need. docs/photos.md states 512 MB: the other 64 MB are for
# the process that decodes it.
EXTRA_BYTES, EXTRA_SECONDS = 448 * 2 ** 20, 2.0
# The decoded photo: three bytes per pixel. At full size, Pillow's copy with four exists at the same time.
BYTES_PER_PIXEL, FULL_SIZE_BYTES_PER_PIXEL = 3, 7.3
# The errors that a damaged header may raise.
HEADER_ERRORS = (struct.error, IndexError, KeyError, ValueError, OverflowError, OSError)


@dataclass(frozen=True)
class DecodingLimits:
    """The limits within which a photo is decoded.

    Attributes:
        n_pixels: The number of pixels that its header states; 0 if it is not known.
        memory: The memory that decoding it may take, in bytes.
        seconds: The time that decoding it may take on one core, in seconds.
        is_predictable: Whether the header shows that decoding the photo remains within these limits. Otherwise, it is
            decoded in a process that is stopped if it does not.
        has_several_scans: Whether it is a JPEG whose number of scans determines how long decoding it takes.
    """

    n_pixels: int
    memory: int
    seconds: float
    is_predictable: bool
    has_several_scans: bool = False

    @property
    def memory_reason(self) -> str:
        """The reason why a photo that takes more memory cannot be used."""
        return (f"decoding it takes more memory than the {self.memory / 2**20:.0f} MB allowed for "
                f"{_describe_pixels(self.n_pixels)}")

    @property
    def time_reason(self) -> str:
        """The reason why a photo that takes more time cannot be used."""
        return f"decoding it takes more than the {self.seconds:.1f} s allowed for {_describe_pixels(self.n_pixels)}"


def check_photo(data: bytes, is_full_size: bool = False) -> DecodingLimits:
    """Return the limits within which a photo is decoded, estimated from its header.

    Args:
        data: The bytes of the file.
        is_full_size: Whether the result of decoding it has the photo's full size.

    Raises:
        PhotoError: The file is empty or has an unsupported format, the photo has too many pixels, or decoding it would
            exceed the limits; the message is the reason.
    """
    file = io.BytesIO(data)
    format_, size = identify_photo(file)
    if format_ is None:
        raise PhotoError("not a photo in a supported format" if data else "the file is empty")
    if size is None:
        return DecodingLimits(0, EXTRA_BYTES, EXTRA_SECONDS, False)
    if size.pixels > MAX_PIXELS:
        raise PhotoError(too_many_pixels_reason(size.pixels))
    limits = DecodingLimits(size.pixels, EXTRA_BYTES + BYTES_PER_PIXEL * size.pixels,
                            EXTRA_SECONDS + size.pixels * format_.seconds_per_pixel
                            + len(data) * format_.seconds_per_byte, False)
    cost = None
    if format_.cost is not None:
        try:
            cost = format_.cost(file, size)
        except HEADER_ERRORS:
            pass
    memory = size.pixels * format_.min_bytes_per_pixel if cost is None else cost.memory
    if is_full_size:
        memory = max(memory, size.pixels * FULL_SIZE_BYTES_PER_PIXEL, cost.full_size_memory if cost else 0)
    if memory > limits.memory:
        raise PhotoError(limits.memory_reason)
    if cost is None:
        return limits
    if cost.extra_seconds > EXTRA_SECONDS:
        raise PhotoError(limits.time_reason)
    return replace(limits, is_predictable=cost.max_extra_seconds <= limits.seconds,
                   has_several_scans=isinstance(size, JpegHeader) and size.has_several_scans)


def identify_photo(file: BinaryIO) -> tuple[Format | None, Size | None]:
    """Return the format of a photo and the size that its header states, or None for what the header does not show.

    Args:
        file: The file, which is read from its beginning.
    """
    file.seek(0)
    first_bytes = file.read(64)
    for format_ in FORMATS:
        if format_.matches(first_bytes):
            try:
                size = format_.size(file)
            except HEADER_ERRORS:
                size = None
            return format_, size if size and size.width > 0 and size.height > 0 else None
    return None, None


def too_many_pixels_reason(n_pixels: int) -> str:
    """Return the reason why a photo with more than MAX_PIXELS pixels is not used."""
    return f"it has {_describe_pixels(n_pixels)}, more than the {MAX_PIXELS // 10**6} million allowed"


def _describe_pixels(n_pixels: int) -> str:
    if n_pixels < 10 ** 6:
        return f"{n_pixels:,} pixels" if n_pixels else "a photo of unknown size"
    return f"{-(-n_pixels // 10**6):,} million pixels"
