"""Decode damaged and hostile photos of every format: each must give pixels or a PhotoError, within its limits.

    python -m tests.attack.photos --count=20000 --seed=0 [--photos=FOLDER]

Most photos are mutations of ordinary ones: flipped bits, missing ends, exchanged pieces, repeated pieces, and changed
numbers in their headers. One in HOSTILE_EVERY is made by a function of `hostile_photos`. Photos are decoded in a
second process, so that a crash is a failure of one photo and does not end the attack. Failures are: a crash, an
exception other than PhotoError, and more time or memory than the limits allow.
"""
from __future__ import annotations

import argparse
import io
import os
import random
import struct
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pillow_heif
from PIL import Image

from tfpoets.data import DECODERS, load_pixels
from tfpoets.data.decoding_limits import clock_seconds
from tfpoets.data.photo_gate import BYTES_PER_PIXEL, EXTRA_SECONDS, MAX_PIXELS, check_photo
from tfpoets.errors import PhotoError

from .hostile_photos import HOSTILE, encode

HOSTILE_EVERY = 50
# Larger photos would make the attack slow, not stronger.
MAX_PHOTO_BYTES = 200_000
MAX_EXTRA_BYTES = 512 * 2 ** 20
# Decoding in this process is not limited by a timer; an ordinary photo takes at most this long.
SECONDS_PER_PIXEL, SECONDS_PER_BYTE = 1e-7, 1e-6
HEADER_BYTES = 600
NUMBERS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
# What a child process writes before it decodes a photo.
STARTED = "started"


def main() -> None:
    """Print how many photos were decoded, and the failures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--photos", type=Path, help="folder of further photos to mutate")
    parser.add_argument("--decode_from", type=int, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.decode_from is not None:
        return decode_cases(flags.decode_from, flags.count, flags.seed, flags.photos)
    started = time.monotonic()
    failures = list(attack(flags.count, flags.seed, flags.photos))
    print(f"{flags.count} tried, {len(failures)} failed, {time.monotonic() - started:.0f} s")
    print("\n".join(failures))
    sys.exit(bool(failures))


def attack(count: int, seed: int, photos: Path | None = None) -> Iterator[str]:
    """Decode photos, and yield a line for each failure.

    Args:
        count: The number of photos.
        seed: The seed that determines them.
        photos: A folder of photos to mutate, besides those that this module makes.
    """
    number = 0
    while number < count:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.attack.photos", f"--count={count}", f"--seed={seed}",
             f"--decode_from={number}", *([f"--photos={photos}"] if photos else [])],
            stdout=subprocess.PIPE, text=True)
        assert process.stdout
        for line in process.stdout:
            kind, _, text = line.rstrip("\n").partition(" ")
            if kind == STARTED:
                number = int(text)
            else:
                yield line.rstrip("\n")
        if process.wait():
            yield f"photo {number}: the process ended with exit code {process.returncode}"
        number += 1


def decode_cases(first: int, count: int, seed: int, folder: Path | None) -> None:
    """Decode the photos with these numbers, and print each number before and each failure after it."""
    warnings.simplefilter("ignore")  # Pillow's, about damaged photos
    photos = ordinary_photos(folder)
    for number in range(first, count):
        print(STARTED, number, flush=True)
        name, data = make_case(photos, random.Random(f"{seed}/{number}"), number)
        problem = examine(data)
        if problem:
            print(f"photo {number} ({name}): {problem}", flush=True)


def ordinary_photos(folder: Path | None) -> list[tuple[str, bytes]]:
    """Return the names and contents of small photos of every format, and of those in a folder."""
    pillow_heif.register_heif_opener()
    size, photos = (64, 48), []
    for format_, mode, options in (
            ("JPEG", "RGB", {}), ("JPEG", "L", {"progressive": True}), ("JPEG", "CMYK", {}),
            ("JPEG", "RGB", {"progressive": True, "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}),
            ("PNG", "RGB", {}), ("PNG", "RGBA", {}), ("PNG", "P", {"transparency": 3}), ("PNG", "I;16", {}),
            ("WEBP", "RGB", {}), ("WEBP", "RGBA", {"lossless": True}), ("GIF", "P", {}), ("BMP", "RGB", {}),
            ("BMP", "P", {}), ("TIFF", "RGB", {}), ("TIFF", "RGB", {"compression": "tiff_lzw"}),
            ("TIFF", "RGB", {"compression": "jpeg"}), ("TIFF", "RGBA", {"compression": "tiff_deflate"}),
            ("AVIF", "RGB", {}), ("AVIF", "RGBA", {}), ("JPEG2000", "RGB", {}), ("PPM", "RGB", {}), ("PPM", "L", {}),
            ("ICO", "RGBA", {}), ("MPO", "RGB", {})):
        photos.append((f"{format_} {mode}", encode(size, format_, mode, **options)))
    if pillow_heif.libheif_info()["HEIF"]:
        photos += [("HEIF RGB", encode(size, "HEIF")), ("HEIF RGBA", encode(size, "HEIF", "RGBA"))]
    frames = [Image.open(io.BytesIO(encode(size, "PNG", "RGBA"))).rotate(90 * turn) for turn in range(3)]
    for format_ in ("GIF", "WEBP", "PNG", "TIFF"):
        content = io.BytesIO()
        frames[0].save(content, format_, save_all=True, append_images=frames[1:])
        photos.append((f"{format_} frames", content.getvalue()))
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder else []
    return photos + [(path.name, path.read_bytes()) for path in files if 0 < path.stat().st_size <= MAX_PHOTO_BYTES]


def make_case(photos: list[tuple[str, bytes]], rng: random.Random, number: int) -> tuple[str, bytes]:
    """Return the name and the bytes of a damaged or hostile photo."""
    if number % HOSTILE_EVERY == 0:
        function = HOSTILE[number // HOSTILE_EVERY % len(HOSTILE)]
        return function.__name__, function(rng)
    name, data = rng.choice(photos)
    mutable = bytearray(data)
    mutations = rng.choices((flip_bits, cut, exchange_pieces, repeat_piece, change_number), k=rng.choice((1, 1, 2, 4)))
    for mutation in mutations:
        mutation(mutable, rng)
    return f"{name}: {', '.join(mutation.__name__ for mutation in mutations)}", bytes(mutable)


def flip_bits(data: bytearray, rng: random.Random) -> None:
    """Flip up to 20 bits, half of the time only in the header."""
    end = min(len(data), HEADER_BYTES) if rng.random() < 0.5 else len(data)
    for _ in range(rng.randint(1, 20)):
        if end:
            data[rng.randrange(end)] ^= 1 << rng.randrange(8)


def cut(data: bytearray, rng: random.Random) -> None:
    """Remove the end, or a piece in the middle."""
    start = rng.randrange(len(data) + 1)
    del data[start:len(data) if rng.random() < 0.5 else start + rng.randint(1, 64)]


def exchange_pieces(data: bytearray, rng: random.Random) -> None:
    """Exchange two neighbouring pieces, half of the time at the names of chunks or at markers."""
    borders = [position for position in range(4, len(data) - 4)
               if data[position:position + 4].isalpha() or data[position] == 0xFF and data[position + 1] >= 0xC0]
    if len(borders) < 3 or rng.random() < 0.5:
        borders = list(range(len(data)))
    if len(borders) >= 3:
        start, middle, end = sorted(rng.sample(borders, 3))
        data[start:end] = data[middle:end] + data[start:middle]


def repeat_piece(data: bytearray, rng: random.Random) -> None:
    """Insert a piece several times."""
    start = rng.randrange(len(data) + 1)
    piece = data[start:start + rng.randint(1, 200)]
    data[start:start] = piece * rng.choice((1, 2, 50))


def change_number(data: bytearray, rng: random.Random) -> None:
    """Replace a number of 1, 2 or 4 bytes in the header by one that is often forgotten."""
    width, order = rng.choice((1, 2, 4)), rng.choice("<>")
    if len(data) >= width:
        position = rng.randrange(min(HEADER_BYTES, len(data) - width + 1))
        number = rng.choice(NUMBERS) & (1 << 8 * width) - 1
        data[position:position + width] = struct.pack(order + {1: "B", 2: "H", 4: "I"}[width], number)


def examine(data: bytes) -> str:
    """Decode a photo, and return what is wrong: an exception, or the limit that it exceeded; "" for nothing."""
    reset_peak_memory()
    memory, clock, seconds = peak_memory(os.getpid()), time.monotonic(), time.process_time()
    reason = ""
    try:
        load_pixels(data, 32, 32)
    except PhotoError as error:
        reason = str(error)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    memory, seconds = peak_memory(os.getpid()) - memory, time.process_time() - seconds
    n_pixels, on_clock = expected_cost(data)
    if "ended unexpectedly" in reason:
        return reason
    if seconds > EXTRA_SECONDS + n_pixels * SECONDS_PER_PIXEL + len(data) * SECONDS_PER_BYTE:
        return f"{seconds:.1f} s for {n_pixels} pixels"
    if time.monotonic() - clock > on_clock + EXTRA_SECONDS:
        return f"{time.monotonic() - clock:.1f} s on the clock for {n_pixels} pixels"
    in_decoders = max([peak_memory(process) for process in DECODERS.process_ids()], default=0)
    if memory > MAX_EXTRA_BYTES + BYTES_PER_PIXEL * n_pixels:
        return f"{memory / 2**20:.0f} MB for {n_pixels} pixels"
    # The peak of a decoder process is that of all its photos.
    return "" if in_decoders < MAX_EXTRA_BYTES + BYTES_PER_PIXEL * MAX_PIXELS else f"{in_decoders / 2**20:.0f} MB"


def expected_cost(data: bytes) -> tuple[int, float]:
    """Return the number of pixels of a photo, and how long decoding it may take on the clock in seconds."""
    try:
        limits = check_photo(data)
    except PhotoError:
        return 0, EXTRA_SECONDS
    return limits.n_pixels, clock_seconds(limits.seconds)


def peak_memory(process: int) -> int:
    """Return the peak of the resident memory of a process in bytes; 0 where Linux does not tell it."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError):
        return 0


def reset_peak_memory() -> None:
    """Set the peak of this process to what it uses now, on Linux."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


if __name__ == "__main__":
    main()
