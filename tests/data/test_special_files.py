"""Pipes, sockets, devices and links to themselves are listed as what they are not: files. Nothing waits for them."""
from __future__ import annotations

import io
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import write_photos
from tfpoets.data import InputSources, hash_photos, photo_files, read_dataset
from tfpoets.data.dataset_options import DatasetOptions
from tfpoets.data.photo_files import open_file, read_photo_bytes
from tfpoets.errors import ModelError, PhotoError, TfpoetsError
from tfpoets.inference import load_classifier
from tfpoets.inference.legacy_classifier import read_labels

pytestmark = [pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX"), pytest.mark.timeout(60)]

NOT_A_FILE = "it is not a regular file"


def make_special_files(folder: Path, suffix: str = "") -> dict[str, str]:
    """Create a file of each kind, and return their names with the reasons why they cannot be read."""
    os.mkfifo(folder / f"pipe{suffix}")
    (folder / f"zero{suffix}").symlink_to("/dev/zero")
    (folder / f"itself{suffix}").symlink_to(f"itself{suffix}")
    (folder / f"there{suffix}").symlink_to(f"back{suffix}")
    (folder / f"back{suffix}").symlink_to(f"there{suffix}")
    working_directory = os.getcwd()
    os.chdir(folder)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(f"socket{suffix}")
    finally:
        os.chdir(working_directory)
    link = f"{NOT_A_FILE}, but a link that leads to itself"
    return {f"pipe{suffix}": NOT_A_FILE, f"zero{suffix}": NOT_A_FILE, f"socket{suffix}": NOT_A_FILE,
            f"itself{suffix}": link, f"there{suffix}": link, f"back{suffix}": link}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for hue, label in enumerate(("red", "green")):
        write_photos(root / label, 3, hue)
    return root


@pytest.fixture
def special(tmp_path: Path) -> Iterator[list[Path]]:
    """The paths of files of each kind."""
    folder = tmp_path / "special"
    folder.mkdir()
    yield [folder / name for name in make_special_files(folder)]


def test_in_a_class_folder_they_are_unreadable_photos_and_the_others_are_used(photos: Path) -> None:
    expected = make_special_files(photos / "red", ".jpg")
    dataset, unreadable = hash_photos(read_dataset(photos), 2)
    assert {photo.name: reason for photo, reason in unreadable} == expected
    assert dataset.counts() == {"green": 3, "red": 3}


def test_without_the_suffix_of_a_photo_they_are_other_files(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_special_files(photos / "red")
    make_special_files(photos)
    caplog.set_level("INFO", "tfpoets")
    assert read_dataset(photos).counts() == {"green": 3, "red": 3}
    assert "12 files are skipped, because they are not photos" in caplog.text


def test_in_a_manifest_they_are_unreadable_photos(photos: Path, tmp_path: Path) -> None:
    expected = make_special_files(photos / "red", ".jpg")
    manifest = tmp_path / "labels.csv"
    names = [path.relative_to(photos) for path in sorted(photos.rglob("*.png"))] + [
        Path("red", name) for name in expected]
    manifest.write_text("filename,label\n" + "".join(f"{name},{name.parent}\n" for name in names))
    dataset, unreadable = hash_photos(read_dataset(photos, options=DatasetOptions(manifest=(manifest,))), 2)
    assert {photo.name: reason for photo, reason in unreadable} == expected and len(dataset) == 6


def test_as_a_photo_to_label_they_have_a_reason(special: list[Path]) -> None:
    sources = InputSources(map(str, special))
    for source in sources:
        with pytest.raises(PhotoError, match=NOT_A_FILE):
            sources.read(source)


def test_as_a_classifier_they_are_refused(special: list[Path]) -> None:
    for path in special:
        with pytest.raises(ModelError, match=f"{path} is (not a regular file|a link that does not lead to a file)"):
            load_classifier(path)


def test_as_a_label_file_or_manifest_they_are_refused(special: list[Path], photos: Path) -> None:
    for path in special:
        with pytest.raises(ModelError, match=f"{path} cannot be read: {NOT_A_FILE}"):
            read_labels(path)
        with pytest.raises(TfpoetsError, match=f"{path} cannot be read: {NOT_A_FILE}"):
            read_dataset(photos, options=DatasetOptions(manifest=(path,)))


def test_as_a_photo_folder_they_are_refused(special: list[Path]) -> None:
    for path in special:
        with pytest.raises(TfpoetsError, match=f"{path} is (a file, not|a link that does not lead to) a folder"):
            read_dataset(path)


def test_a_file_that_becomes_a_pipe_after_it_was_examined_is_not_waited_for(tmp_path: Path,
                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    path, examined = tmp_path / "photo.jpg", tmp_path / "examined"
    os.mkfifo(path)
    examined.touch()
    stat = os.stat
    monkeypatch.setattr(photo_files.os, "stat", lambda source: stat(examined))
    with pytest.raises(PhotoError, match=NOT_A_FILE):
        open_file(path)


class EndlessFile(io.RawIOBase):
    """A file of unknown size without an end."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return len(buffer)


def test_a_file_without_an_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_files, "MAX_BYTES", 10 * 2 ** 20)
    with pytest.raises(PhotoError, match="it is larger than the 10 MB allowed"):
        read_photo_bytes(io.BufferedReader(EndlessFile()))


@pytest.mark.parametrize("size", [0, 1, 2 ** 20 - 1, 2 ** 20, 2 ** 20 + 1, 3 * 2 ** 20])
def test_files_of_any_size_are_read_completely(size: int, tmp_path: Path) -> None:
    path, content = tmp_path / "photo.jpg", os.urandom(size)
    path.write_bytes(content)
    with open_file(path) as file:
        assert read_photo_bytes(file) == content
    assert read_photo_bytes(io.BytesIO(content)) == content
