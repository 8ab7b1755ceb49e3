"""Read the header of a JPEG (ITU-T T.81, annex B) without decoding it."""
from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from .photo_size import Size

START_OF_SCAN = 0xDA
# The markers SOF0 to SOF15, which are followed by the size; 0xC4, 0xC8 and 0xCC mean something else.
FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE_MARKERS = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
# Baseline, sequential and progressive photos with Huffman coding. The time that arithmetic decoding takes does not
# depend on the size of the file: after the data of a scan, decoders continue with zeros.
HUFFMAN_DCT_MARKERS = frozenset({0xC0, 0xC1, 0xC2})
PHOTOSHOP, EXIF = 0xED, 0xE1
# Tables, application data and comments. Decoders disagree about the other markers, some of which have no length.
SEGMENT_MARKERS = frozenset({0xC4, 0xCC, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})
# Cameras write fewer than a hundred segments before the first scan.
MAX_SEGMENTS = 1000
# Pillow parses these segments in Python, and copies the EXIF data once for each segment that continues them.
MAX_PHOTOSHOP_BYTES, MAX_EXIF_SEGMENTS = 1 << 18, 16
BLOCK_SIDE = 8


@dataclass(frozen=True)
class JpegHeader(Size):
    """What precedes the first scan of a JPEG.

    Attributes:
        frame_marker: The marker that begins the frame, which states how it is encoded.
        bits: The number of bits of a sample.
        sampling: The horizontal and vertical sampling factors of each component.
        scan_components: The number of components in the first scan; 0 if there is no scan.
        is_ordinary: Whether there are as few segments as in the files that cameras and programs write.
    """

    frame_marker: int
    bits: int
    sampling: tuple[tuple[int, int], ...]
    scan_components: int
    is_ordinary: bool

    @property
    def is_progressive(self) -> bool:
        """Whether each scan refines the whole photo."""
        return self.frame_marker in PROGRESSIVE_MARKERS

    @property
    def has_several_scans(self) -> bool:
        """Whether decoding it needs the coefficients of the whole photo at once."""
        return self.is_progressive or self.scan_components < len(self.sampling)

    @property
    def n_blocks(self) -> int:
        """The number of blocks of 8 x 8 coefficients, with padding."""
        max_across, max_down = (max(factors) for factors in zip(*self.sampling))
        units = -(-self.width // (BLOCK_SIDE * max_across)) * -(-self.height // (BLOCK_SIDE * max_down))
        return units * sum(across * down for across, down in self.sampling)


def read_jpeg_header(file: BinaryIO) -> JpegHeader | None:
    """Return the header of a JPEG, or None if it is damaged or unusual.

    Args:
        file: The file, at any position.
    """
    file.seek(2)
    frame: tuple[int, bytes] | None = None
    photoshop_bytes = exif_segments = 0
    for _ in range(MAX_SEGMENTS):
        marker, size = _read_marker(file)
        if marker in FRAME_MARKERS and frame is None:
            frame = marker, file.read(size)
            continue
        if marker == START_OF_SCAN:
            is_ordinary = photoshop_bytes <= MAX_PHOTOSHOP_BYTES and exif_segments <= MAX_EXIF_SEGMENTS
            return frame and _make_header(*frame, (file.read(1) or b"\0")[0], is_ordinary)
        if size < 0 or marker not in SEGMENT_MARKERS:
            break
        photoshop_bytes += size if marker == PHOTOSHOP else 0
        exif_segments += marker == EXIF
        file.seek(size, 1)
    return frame and _make_header(*frame, 0, False)


def _read_marker(file: BinaryIO) -> tuple[int, int]:
    """Return the next marker and the size of its segment in bytes, which is negative if there is no segment."""
    head = file.read(4)
    while head.startswith(b"\xff\xff") and len(head) == 4:  # any number of fill bytes may precede a marker
        head = head[1:] + file.read(1)
        if file.tell() > 1 << 20:
            return 0, -1
    if len(head) < 4 or head[0] != 0xFF:
        return 0, -1
    return head[1], int.from_bytes(head[2:], "big") - 2


def _make_header(marker: int, frame: bytes, scan_components: int, is_ordinary: bool) -> JpegHeader | None:
    try:
        bits, height, width, n_components = struct.unpack_from(">BHHB", frame)
        sampling = tuple((frame[7 + 3 * index] >> 4, frame[7 + 3 * index] & 15) for index in range(n_components))
    except (struct.error, IndexError):
        return None
    if not sampling or not all(1 <= factor <= 4 for factors in sampling for factor in factors):
        return None
    return JpegHeader(width, height, marker, bits, sampling, scan_components, is_ordinary)
