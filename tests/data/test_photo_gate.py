"""What decoding a photo takes is estimated from its header, and never exceeds what its pixels need by much."""
from __future__ import annotations

import io
import os
import random
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.attack.hostile_photos import encode, jpeg_with_scans_of_zeros, png_bomb, png_chunk
from tfpoets.data import DECODERS, load_full_size, load_legacy_pixels, load_pixels, photo_files, photo_gate, \
    read_photo_header
from tfpoets.data.photo_gate import DecodingLimits, check_photo
from tfpoets.errors import PhotoError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO")
UNPREDICTABLE = ("TIFF", "AVIF", "JPEG2000", "ICO")
LIMITS = DecodingLimits(1, 2 ** 28, 5.0, False)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")


# Prints by how much decoding the photo on standard input raises the peak of the memory, in bytes.
MEASURE_PEAK = """
import sys
from pathlib import Path
from tfpoets.data import load_pixels
from tfpoets.errors import PhotoError
def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
data, before = sys.stdin.buffer.read(), peak()
try:
    load_pixels(data, 32, 32)
except PhotoError:
    pass
print(peak() - before)
"""


def with_jpeg_size(content: bytes, width: int, height: int) -> bytes:
    frame = max(content.find(b"\xff\xc0\x00"), content.find(b"\xff\xc2\x00"))
    return content[:frame + 5] + struct.pack(">HH", height, width) + content[frame + 9:]


def jpeg(width: int, height: int, mode: str = "RGB", **options) -> bytes:
    """Return a small JPEG that claims to be large."""
    return with_jpeg_size(encode((64, 48), "JPEG", mode, **options), width, height)


def jpeg_with_scans(width: int, height: int, count: int) -> bytes:
    content = jpeg(width, height, "L", progressive=True)
    scan = content[content.rindex(b"\xff\xda"):-2]
    return content[:-2] + scan * count + content[-2:]


def png(width: int, height: int, colour: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(100)))


def avif(width: int, height: int) -> bytes:
    content = encode((64, 48), "AVIF")
    position = content.index(b"ispe") + 8
    return content[:position] + struct.pack(">II", width, height) + content[position + 8:]


def icon(image: bytes) -> bytes:
    return struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 64, 64, 0, 0, 1, 32, len(image), 22) + image


def reason(data: bytes) -> str:
    with pytest.raises(PhotoError) as error:
        load_pixels(data, 32, 32)
    return str(error.value)


def crash(data: bytes) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def process_id(data: bytes) -> int:
    return os.getpid()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop decoding after 0.3 s, so that tests are short."""
    monkeypatch.setattr(photo_gate, "EXTRA_SECONDS", 0.3)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [(64, 48), (7, 130)])
def test_the_size_in_the_header_is_that_of_the_decoded_photo(name: str, size: tuple[int, int]) -> None:
    data = encode(size, name, **({"sizes": [size]} if name == "ICO" else {}))
    header = read_photo_header(data)
    assert header is not None and (header.format, header.width, header.height) == (name, *size)
    assert load_full_size(data).shape[:2] == size[::-1]


def test_the_headers_of_unusual_photos_state_the_size_that_pillow_finds(shared_data: Path) -> None:
    compared = 0
    for path in sorted((shared_data / "photos" / "messy" / "pillow").iterdir()):
        header = read_photo_header(path.read_bytes())
        try:
            photo = Image.open(path)
        except Exception:
            continue
        # A bitmap in an icon contains a mask below the image. Pillow reports a JPEG with several photos as MPO.
        if header is not None and header.format != "ICO":
            assert (header.width, header.height) == photo.size, path
            compared += 1
    assert compared >= 40


@pytest.mark.parametrize("data", [
    jpeg(20_000, 10_000), jpeg(10_000, 20_000, subsampling=0), jpeg(20_000, 10_000, "CMYK"),
    jpeg(20_000, 10_000, "L", progressive=True), jpeg(20_000, 10_000, progressive=True, subsampling=2),
    png(20_000, 10_000, 2), png(20_000, 10_000, 0), png(8_000, 8_000, 6)],
    ids=["JPEG", "JPEG 4:4:4", "CMYK", "progressive gray", "progressive", "PNG", "gray PNG", "transparent PNG"])
def test_the_header_of_an_ordinary_large_photo_is_accepted(data: bytes) -> None:
    assert check_photo(data).is_predictable


@pytest.mark.parametrize("data, expected", [
    (jpeg(15_800, 15_800, progressive=True, subsampling=0), "more memory than the 1162 MB allowed for 250 million"),
    (jpeg(12_500, 20_000, progressive=True, subsampling=0), "more memory"),
    (jpeg_with_scans(7_000, 7_000, 20_000), "decoding it takes more than the 4.6 s allowed for 49 million pixels"),
    (jpeg_with_scans(64, 48, 500_000), "decoding it takes more than"),
    (icon(png(15_800, 15_800, 6)), "more memory"), (icon(png(60_000, 60_000, 6)), "it has 3,600 million pixels"),
    (avif(15_800, 15_000), "more memory"), (avif(65_000, 65_000), "it has 4,225 million pixels"),
    (png(15_800, 15_800, 6), "more memory"), (png(16_000, 16_000, 2), "it has 256 million pixels, more than the 250"),
    (encode((64, 48), "WEBP")[:26] + struct.pack("<HH", 15_000, 15_000), "more memory")],
    ids=["progressive", "tall progressive", "scans", "scans of few pixels", "PNG in an icon", "huge PNG in an icon",
         "AVIF", "huge AVIF", "transparent PNG", "huge PNG", "WebP"])
def test_a_small_file_that_needs_much_memory_or_time_is_refused_from_its_header(data: bytes, expected: str) -> None:
    started = time.process_time()
    assert expected in reason(data)
    assert time.process_time() - started < 0.5


@linux_only
@pytest.mark.parametrize("data", [jpeg(12_000, 9_000), jpeg(12_000, 9_000, "L"),
                                  jpeg(7_000, 7_000, progressive=True, subsampling=0),
                                  jpeg(15_800, 15_800, "L"), jpeg(15_800, 15_800)],
                         ids=["RGB", "gray", "progressive", "large gray", "large RGB"])
@pytest.mark.parametrize("load", ["load_full_size(data)", "load_legacy_pixels(data, 32, 32)"])
def test_a_photo_at_full_size_takes_at_most_512_mb_more_than_its_pixels(data: bytes, load: str) -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"  # turned by 90 degrees
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    n_pixels = check_photo(data).n_pixels
    program = MEASURE_PEAK.replace("load_pixels(data, 32, 32)", load).replace(" load_pixels", " " + load.split("(")[0])
    process = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, check=True)
    refused = int(process.stdout) < n_pixels
    assert refused == (n_pixels > 110e6) and int(process.stdout) < 512 * 2 ** 20 + 3 * n_pixels


@linux_only
@pytest.mark.parametrize("data", [jpeg(12_000, 12_000, "L", progressive=True), png(15_000, 14_000, 2),
                                  jpeg(8_000, 8_000, progressive=True, subsampling=0)],
                         ids=["progressive gray", "PNG", "progressive"])
def test_an_accepted_photo_takes_at_most_512_mb_more_than_its_pixels(data: bytes) -> None:
    limits = check_photo(data)
    assert limits.is_predictable  # so it is decoded without limits
    process = subprocess.run([sys.executable, "-c", MEASURE_PEAK], input=data, capture_output=True, check=True)
    assert int(process.stdout) < 512 * 2 ** 20 + 3 * limits.n_pixels


@pytest.mark.parametrize("name", FORMATS)
def test_pixels_from_another_process_are_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode((64, 48), name)
    monkeypatch.setattr("tfpoets.data.decode.MIN_ISOLATED_PIXELS", 0)
    DECODERS.close()
    assert np.array_equal(load_pixels(data, 20, 30, isolated=True), load_pixels(data, 20, 30))
    assert np.array_equal(load_legacy_pixels(data, 20, 30, isolated=True), load_legacy_pixels(data, 20, 30))
    assert DECODERS.process_ids()


def test_of_predictable_photos_only_large_ones_are_isolated_if_that_is_requested() -> None:
    for size, isolated, expected in (((900, 900), True, False), ((1200, 900), True, True),
                                     ((1200, 900), False, False)):
        DECODERS.close()
        load_pixels(encode(size, "JPEG"), 20, 30, isolated=isolated)
        assert bool(DECODERS.process_ids()) == expected


def test_a_small_jpeg_with_several_scans_is_isolated_if_that_is_requested() -> None:
    data = encode((640, 480), "JPEG", progressive=True)
    for isolated in (False, True):
        DECODERS.close()
        load_pixels(data, 20, 30, isolated=isolated)
        assert bool(DECODERS.process_ids()) == isolated


@pytest.mark.parametrize("marker", sorted({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}))
def test_only_jpegs_with_huffman_coded_blocks_of_8_bits_are_predictable(marker: int) -> None:
    data = encode((64, 48), "JPEG").replace(b"\xff\xc0\x00", bytes([0xFF, marker, 0]))
    assert check_photo(data).is_predictable == (marker in (0xC0, 0xC1, 0xC2))


@pytest.mark.parametrize("frame_marker", [0xC2, 0xCA], ids=["Huffman", "arithmetic"])
@pytest.mark.parametrize("side, count", [(999, 2_000), (4_000, 150)])
def test_scans_of_a_few_bytes_that_take_long_are_decoded_in_a_process_that_is_stopped(
        side: int, count: int, frame_marker: int, impatient: None) -> None:
    data, started = jpeg_with_scans_of_zeros(count, side, frame_marker), time.process_time()
    monotonic = time.monotonic()
    with pytest.raises(PhotoError, match=r"decoding it takes more than the \d.\d s allowed"):
        load_pixels(data, 32, 32)
    assert time.process_time() - started < 0.5
    assert time.monotonic() - monotonic < 20  # on a busy machine; about 1 s otherwise


def test_formats_whose_cost_the_header_does_not_show_are_decoded_in_another_process() -> None:
    DECODERS.close()
    for name in FORMATS:
        load_pixels(encode((64, 48), name), 20, 30)
        assert bool(DECODERS.process_ids()) == (name in UNPREDICTABLE), name
        DECODERS.close()


def test_decoding_that_takes_too_long_is_stopped_and_the_next_photo_is_decoded(impatient: None) -> None:
    started = time.monotonic()
    assert "decoding it takes more than the 1.1 s allowed for 3,072 pixels" in reason(png_bomb())
    assert time.monotonic() - started < 20  # on a busy machine; about 1 s otherwise
    assert load_pixels(encode((64, 48), "TIFF"), 32, 32).shape == (32, 32, 3)


@linux_only
def test_decoding_that_takes_too_much_memory_fails_and_the_next_photo_is_decoded(
        monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode((2_000, 2_000), "JPEG2000")
    assert load_pixels(data, 32, 32).shape == (32, 32, 3)
    DECODERS.close()  # a new process has no free memory from earlier photos
    monkeypatch.setattr(photo_gate, "EXTRA_BYTES", 24 * 2 ** 20)
    assert reason(data) in ("decoding it takes more memory than the 35 MB allowed for 4 million pixels",
                            photo_files.DAMAGED)
    assert load_pixels(encode((64, 48), "TIFF"), 32, 32).shape == (32, 32, 3)


def test_a_crash_of_the_decoder_is_a_reason() -> None:
    with pytest.raises(PhotoError, match=r"the process that decoded it ended unexpectedly \(SIGSEGV\)"):
        DECODERS.decode(crash, b"", LIMITS)
    assert DECODERS.decode(process_id, b"", LIMITS) != os.getpid()


def test_a_process_that_was_killed_while_idle_is_replaced() -> None:
    first = DECODERS.decode(process_id, b"", LIMITS)
    os.kill(first, signal.SIGKILL)
    time.sleep(0.2)
    assert DECODERS.decode(process_id, b"", LIMITS) not in (first, os.getpid())


def test_photos_are_decoded_without_another_process_where_none_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    DECODERS.close()
    monkeypatch.setattr(sys, "executable", "")
    assert load_pixels(encode((64, 48), "TIFF"), 32, 32, isolated=True).shape == (32, 32, 3)
    assert not DECODERS.process_ids()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_does_not_share_the_decoders_of_its_parent() -> None:
    parent = DECODERS.decode(process_id, b"", LIMITS)
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        os.write(writable, b"%d" % DECODERS.decode(process_id, b"", LIMITS))
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(readable, 20)) != parent == DECODERS.decode(process_id, b"", LIMITS)
    os.close(readable), os.close(writable)


def test_a_plugin_format_that_is_not_in_the_table_of_costs_is_decoded_in_another_process(
        monkeypatch: pytest.MonkeyPatch) -> None:
    formats = [format_ if format_.name != "BMP" else type(format_)("BMP", format_.suffixes, format_.magic)
               for format_ in photo_gate.FORMATS]
    monkeypatch.setattr(photo_gate, "FORMATS", formats)
    assert not check_photo(encode((64, 48), "BMP")).is_predictable
    assert load_pixels(encode((64, 48), "BMP"), 32, 32).shape == (32, 32, 3)


def hidden_size(name: str) -> bytes:
    """Return a photo of 64 x 48 pixels with a second header, which Pillow may use instead of the first one."""
    if name == "PNG":
        data, other = encode((64, 48), "PNG"), png(15_000, 15_000, 6)
        return data[:33] + other[8:33] + other[33:]
    if name == "JPEG":  # a marker without a length, after which a parser may mistake the frame for a segment
        data = jpeg(15_000, 15_000, progressive=True, subsampling=0)
        frame, small = data.index(b"\xff\xc2"), encode((64, 48), "JPEG")
        start = small.index(b"\xff\xc0")
        return data[:2] + b"\xff\xd8\x00\x15" + data[frame:frame + 19] + small[start:start + 19] + data[2:]
    if name == "two frames":
        data, small = jpeg(15_000, 15_000, progressive=True, subsampling=0), encode((64, 48), "JPEG")
        start = small.index(b"\xff\xc0")
        return data[:2] + small[start:start + 19] + data[2:]
    if name == "GIF":  # an extension whose first block is empty
        data = encode((64, 48), "GIF")
        frame = data.index(b",", 13 + (3 << (data[10] & 7) + 1))
        large = data[frame:frame + 5] + struct.pack("<HH", 20_000, 20_000) + data[frame + 9:]
        return data[:frame] + b"!\xf9\0\x0a" + data[frame:frame + 10] + b"\0" + large
    return b"P4 10000 4#\n4000\n" + bytes(1000)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "two frames", "GIF", "PPM"])
def test_a_photo_with_a_second_header_is_not_decoded_without_limits(name: str) -> None:
    assert not check_photo(hidden_size(name)).is_predictable


def test_damaged_headers_raise_nothing_but_photo_errors() -> None:
    rng = random.Random(0)
    for name in FORMATS:
        data = encode((64, 48), name)
        for _ in range(300):
            damaged = bytearray(data)
            for _ in range(rng.randint(1, 4)):
                damaged[rng.randrange(min(200, len(damaged)))] = rng.choice((0, 1, 127, 255))
            read_photo_header(bytes(damaged[:rng.choice((16, 60, len(damaged)))]))
            try:
                check_photo(bytes(damaged))
            except PhotoError:
                pass


def test_the_header_is_read_from_an_open_file_as_well() -> None:
    header = read_photo_header(io.BytesIO(encode((64, 48), "PNG")))
    assert header is not None and (header.width, header.height) == (64, 48)
