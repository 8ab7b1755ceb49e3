"""Stored pixels are the same as decoded ones, and damaged files are written again."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_photos
from tfpoets.data import Photo, load_pixels, stored_pixels
from tfpoets.data.stored_pixels import store_pixels
from tfpoets.errors import TfpoetsError


@pytest.fixture
def photos(tmp_path: Path) -> list[Photo]:
    write_photos(tmp_path / "red", 6, 0)
    return [Photo(str(path), "red", path.stem) for path in sorted((tmp_path / "red").iterdir())]


def test_stored_pixels_are_decoded_once(photos: list[Photo], tmp_path: Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    expected = np.array([load_pixels(photo.uri, 20, 24) for photo in photos])
    assert (store_pixels(photos, 20, 24, tmp_path / "work", 2) == expected).all()
    monkeypatch.setattr(stored_pixels, "load_pixels", lambda *_: pytest.fail("the photos are decoded again"))
    assert (store_pixels(photos, 20, 24, tmp_path / "work", 2) == expected).all()


@pytest.mark.parametrize("end", [0, 50, -100])
def test_a_file_that_is_cut_short_is_written_again(end: int, photos: list[Photo], tmp_path: Path) -> None:
    expected = np.array(store_pixels(photos, 20, 24, tmp_path / "work", 2))
    path, = (tmp_path / "work").glob("pixels-*.npy")
    path.write_bytes(path.read_bytes()[:end])
    assert (store_pixels(photos, 20, 24, tmp_path / "work", 2) == expected).all()


def test_a_full_disk_is_reported_and_no_file_is_left(photos: list[Photo], tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system has no limit on a file's size")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(TfpoetsError, match="The decoded photos cannot be written to .*work"):
            store_pixels(photos, 20, 24, tmp_path / "work", 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "work").iterdir())


def test_a_deleted_photo_is_reported(photos: list[Photo], tmp_path: Path) -> None:
    Path(photos[3].uri).unlink()
    with pytest.raises(TfpoetsError, match="can no longer be read"):
        store_pixels(photos, 20, 24, tmp_path / "work", 2)
