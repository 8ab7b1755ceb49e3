"""The table of image formats agrees with the files that are listed and read."""
from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfpoets.data import InputSources, has_photo_signature, load_pixels, suffixes_for
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
