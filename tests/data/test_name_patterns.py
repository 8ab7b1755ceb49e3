"""Labels and groups are found in file names by patterns or regular expressions."""
from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tfpoets.data import DatasetOptions, read_dataset
from tfpoets.errors import OptionError, TfpoetsError

from .test_layouts import touch


def labels_of(root: Path, pattern: str) -> list[str]:
    dataset = read_dataset(root, min_classes=1, options=DatasetOptions(label_pattern=pattern))
    return sorted({photo.label for photo in dataset.photos})


@pytest.mark.parametrize("pattern, names, labels", [
    ("{index}_{label}.png", ["0_frog.png", "12_fire truck.png"], ["fire truck", "frog"]),
    ("{index}_{label}", ["0_frog.png", "12_cat.PNG"], ["cat", "frog"]),
    ("{label}_{index}.jpg", ["a_b_1.jpg", "c_2.JPG"], ["a_b", "c"]),
    ("img-{label}-*", ["img-cat-x.jpg", "img-dog-y-z.png"], ["cat", "dog"]),
    ("{label}/*", ["x/cat/1.jpg", "x/dog/2.jpg"], ["cat", "dog"]),
    ("{label}/*/*", ["cat/x/1.jpg", "dog/y/2.jpg"], ["cat", "dog"]),
    (r"^\d+_(?P<label>[a-z]+)", ["0_frog.png", "1_cat2.png"], ["cat", "frog"]),
    (r"\d{2}-(\w+)\.png", ["00-frog.png", "x/01-cat.png"], ["cat", "frog"]),
    (r"[(](\w+)[)]", ["1 (cat).png", "x/2 (frog).png"], ["cat", "frog"]),
    (r"^\d+_(?P<label>[a-z]+)", ["train/0_frog.png", "test/1_cat.png"], ["cat", "frog"]),
    (r"^(?P<label>[^/]+)/", ["cat/x/1.png", "dog/1.png"], ["cat", "dog"])])
def test_labels_are_found_by_patterns(tmp_path: Path, pattern: str, names: list[str], labels: list[str]) -> None:
    assert labels_of(touch(tmp_path, *names), pattern) == labels


def test_folders_for_the_parts_are_respected(tmp_path: Path) -> None:
    touch(tmp_path, "train/0_frog.png", "train/1_cat.png", "test/0_frog.png", "test/1_cat.png")
    dataset = read_dataset(tmp_path, options=DatasetOptions(label_pattern="{index}_{label}.png"))
    assert Counter(photo.part for photo in dataset.photos) == {"": 2, "test": 2}


def test_photos_that_do_not_match_are_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "0_frog.png", "1_cat.png", "unknown.png")
    assert labels_of(tmp_path, "{index}_{label}.png") == ["cat", "frog"]
    assert any("1 photo" in message and "unknown.png" in message for message in caplog.messages)


@pytest.mark.parametrize("pattern, message", [
    ("{index}.png", "does not contain {label}"), ("(?P<label>", "not a regular expression"),
    (r"(a)(b)", "no group named label"), ("{label}*.jpg", "does not show where the label begins or ends"),
    ("*{label}_{index}", "begins or ends"), ("{label}{name}", "begins or ends")])
def test_patterns_without_a_label_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        DatasetOptions(label_pattern=pattern)


def test_a_pattern_that_matches_nothing_is_refused_with_an_example(tmp_path: Path) -> None:
    touch(tmp_path, "a/one.png", "b/two.png")
    with pytest.raises(TfpoetsError, match="matches none of the 2 photos.*one.png"):
        labels_of(tmp_path, "{index}_{label}.png")
    with pytest.raises(TfpoetsError, match="matches none of the photos.*one.png"):
        read_dataset(tmp_path, options=DatasetOptions(group_pattern="video{group}_*"))


def test_groups_are_found_by_patterns_in_every_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "a/video01_frame1.jpg", "a/video01_frame2.jpg", "b/video02_frame1.jpg", "b/other.jpg")
    dataset = read_dataset(tmp_path, options=DatasetOptions(group_pattern="video{group}_frame*"))
    assert {photo.name: photo.group for photo in dataset.photos} == {
        "video01_frame1.jpg": "01", "video01_frame2.jpg": "01", "video02_frame1.jpg": "02", "other.jpg": ""}
    assert any("other.jpg" in message for message in caplog.messages)


def test_group_patterns_match_paths_below_the_folder_of_a_manifest(tmp_path: Path) -> None:
    touch(tmp_path, "a/v1_1.jpg", "a/v1_2.jpg", "b/v2_1.jpg")
    (tmp_path / "labels.csv").write_text("path,label\na/v1_1.jpg,x\na/v1_2.jpg,x\nb/v2_1.jpg,y\n")
    options = DatasetOptions(manifest=(tmp_path / "labels.csv",), group_pattern=r"^\w+/(?P<group>\w+?)_")
    assert [photo.group for photo in read_dataset(None, options=options).photos] == ["v1", "v1", "v2"]
