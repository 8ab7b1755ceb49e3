"""A folder of class folders is read as a dataset; for any other folder the error explains what is expected."""
from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from tfpoets.data import read_dataset
from tfpoets.errors import TfpoetsError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_folder_names_are_labels_and_photos_are_sorted_by_label_and_then_by_name(tmp_path: Path) -> None:
    dataset = read_dataset(touch(tmp_path, "roses/b.jpg", "daisy/z.PNG", "roses/a.jpeg"))
    assert dataset.labels == ("daisy", "roses")
    assert [(photo.label, photo.name) for photo in dataset.photos] == [
        ("daisy", "z.PNG"), ("roses", "a.jpeg"), ("roses", "b.jpg")]
    assert dataset.counts() == {"daisy": 1, "roses": 2}
    assert dataset.targets.tolist() == [0, 1, 1]


def test_labels_are_spelled_like_the_folder_names(tmp_path: Path) -> None:
    names = ["C++", "C#", "日本", "中国", "Rose", "rose"]
    dataset = read_dataset(touch(tmp_path, *(f"{name}/a.jpg" for name in names)))
    assert dataset.labels == tuple(sorted(names))


def test_decomposed_names_from_macos_are_composed(tmp_path: Path) -> None:
    dataset = read_dataset(touch(tmp_path, unicodedata.normalize("NFD", "Café") + "/a.jpg", "Tee/a.jpg"))
    assert unicodedata.normalize("NFC", "Café") in dataset.labels


def test_two_spellings_of_one_name_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, *(unicodedata.normalize(form, "Café") + "/a.jpg" for form in ("NFC", "NFD")), "Tee/a.jpg")
    with pytest.raises(TfpoetsError, match="Two folders are called"):
        read_dataset(tmp_path)


def test_a_name_with_a_line_break_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TfpoetsError, match="line break"):
        read_dataset(touch(tmp_path, "a\nb/a.jpg", "c/a.jpg"))


def test_a_name_that_is_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TfpoetsError, match="not valid text"):
        read_dataset(touch(tmp_path, b"\xff\xfe".decode("utf-8", "surrogateescape") + "/a.jpg", "c/a.jpg"))


def test_system_files_are_skipped_without_a_message(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    junk = ["a/.DS_Store", "a/Thumbs.db", "b/desktop.ini", "b/._x.jpg", ".git/x.jpg", "__MACOSX/a/x.jpg"]
    dataset = read_dataset(touch(tmp_path, "a/1.jpg", "b/1.jpg", *junk))
    assert [photo.name for photo in dataset.photos] == ["1.jpg", "1.jpg"]
    assert not caplog.records


@pytest.mark.parametrize("files, image_dir, message", [
    (["daisy/a.jpg", "daisy/b.jpg", "roses/c.jpg"], "daisy", "looks like a single class.*Use the folder above it"),
    (["photos/a.jpg", "photos/b.jpg"], ".", "without class folders.*Put the photos of each class into a folder"),
    (["daisy/a.jpg"], ".", "one class only .daisy."),
    (["daisy/.DS_Store"], ".", "no photos in the folders"),
    ([], ".", "no photos in the folders"),
    (["flowers/daisy/a.jpg"], "flower", "no folder.*Did you mean .*flowers"),
    (["flowers.zip"], "flowers.zip", "is a file.*unpack"),
])
def test_the_error_for_a_wrong_folder_explains_what_is_wrong(tmp_path: Path, files: list[str], image_dir: str,
                                                             message: str) -> None:
    touch(tmp_path, *files)
    with pytest.raises(TfpoetsError, match=message):
        read_dataset(tmp_path / image_dir)


def test_ignored_photos_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "stray.jpg", "b/more/2.jpg", "b/more/3.jpg")
    (tmp_path / "empty").mkdir()
    dataset = read_dataset(tmp_path)
    assert dataset.labels == ("a", "b") and len(dataset.photos) == 2
    log = " ".join(caplog.messages)
    assert "1 photo directly in" in log and "2 photos in" in log and "empty contains no photos" in log
