"""A small part of the attack with damaged and hostile photos."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tfpoets.errors import PhotoError

from . import photos
from .hostile_photos import encode


def test_damaged_and_hostile_photos_give_pixels_or_a_photo_error_within_their_limits() -> None:
    assert list(photos.attack(300, 0)) == []


@pytest.mark.parametrize("error, expected", [
    (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    (PhotoError("the process that decoded it ended unexpectedly (SIGSEGV)"), "(SIGSEGV)"),
    (PhotoError("the file is cut short"), "")])
def test_the_attack_notices_errors_and_crashes(error: Exception, expected: str,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise error
    monkeypatch.setattr(photos, "load_pixels", fail)
    result = photos.examine(encode((64, 48), "PNG"))
    assert result.endswith(expected) and bool(result) == bool(expected)


def test_the_attack_notices_memory_above_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter([2 ** 28, 2 ** 28 + 2 ** 26])
    monkeypatch.setattr(photos, "peak_memory", lambda process: next(peaks, 0))
    monkeypatch.setattr(photos, "MAX_EXTRA_BYTES", 2 ** 24)
    assert "64 MB for 3072 pixels" in photos.examine(encode((64, 48), "PNG"))


def test_the_attack_measures_the_memory_of_a_process() -> None:
    # In a process of its own: the system may take back memory that this one used earlier.
    code = ("import os\nfrom tests.attack import photos\nphotos.reset_peak_memory()\n"
            "before = photos.peak_memory(os.getpid())\nkept = bytes([1]) * 2 ** 27\n"
            "assert photos.peak_memory(os.getpid()) - before > len(kept) / 2")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[2])


def test_the_photos_depend_on_the_seed_alone() -> None:
    ordinary = photos.ordinary_photos(None)
    cases = [[photos.make_case(ordinary, photos.random.Random(f"{seed}/{number}"), number) for number in range(1, 30)]
             for seed in (0, 0, 1)]
    assert cases[0] == cases[1] != cases[2]
