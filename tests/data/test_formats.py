"""The table of image formats agrees with the files that are listed and read."""
from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfpoets.data import InputSources, PhotoHeader, has_photo_signature, header_number, load_pixels, suffixes_for
from tfpoets.data.formats import FORMATS

WRITABLE = [format_ for format_ in FORMATS if format_.name != "HEIF"]


def encode(name: str) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)).save(content, name)
    return content.getvalue()


@pytest.mark.parametrize("format_", WRITABLE, ids=lambda format_: format_.name)
def test_a_file_of_each_format_matches_its_pattern_and_can_be_read(format_) -> None:
    content = encode(format_.name)
    assert format_.magic.match(content) and has_photo_signature(content[:16])
    assert load_pixels(content, 8, 8).shape == (8, 8, 3)


def test_text_does_not_have_the_signature_of_a_photo() -> None:
    assert not any(map(has_photo_signature, (b"", b"daisy, roses", b"<html>", b"%PDF-1.7", b"\0" * 16)))


def test_files_with_every_suffix_in_upper_and_lower_case_are_listed(tmp_path: Path) -> None:
    names = [f"photo{suffix}" for format_ in FORMATS for suffix in format_.suffixes]
    names += [name.upper() for name in names]
    for name in [*names, "notes.txt", "labels.csv", ".hidden.jpg"]:
        (tmp_path / name).touch()
    assert sorted(Path(path).name for path in InputSources([str(tmp_path)])) == sorted(names)


def test_the_most_common_suffix_comes_first() -> None:
    assert [suffixes_for(name)[0] for name in ("JPEG", "PNG", "HEIF")] == [".jpg", ".png", ".heic"]
    assert suffixes_for("PSD") == ()


@pytest.mark.parametrize("size", [(1, 65_535), (3024, 4032), (100_000, 20)])
@pytest.mark.parametrize("name", [format_.name for format_ in FORMATS])
def test_a_header_is_stored_as_a_number(name: str, size: tuple[int, int]) -> None:
    header = PhotoHeader(name, *size)
    expected = PhotoHeader(name, min(size[0], 65_535), size[1])
    assert PhotoHeader.from_number(header.to_number()) == expected
    assert float(np.float64(header.to_number())) == header.to_number() < 2 ** 53


def test_other_numbers_are_no_headers() -> None:
    assert [PhotoHeader.from_number(number) for number in (0.0, math.nan, 123.5, -1.0)] == [None] * 4
    assert header_number(b"not a photo") == 0
