"""Folders are recognized however their photos are divided into classes and into training, validation and test."""
from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tfpoets.data import DatasetOptions, is_test_folder, read_dataset
from tfpoets.errors import TfpoetsError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def summary(root: Path, options: DatasetOptions = DatasetOptions()) -> dict[tuple[str, str], int]:
    """Return the number of photos by label and part."""
    dataset = read_dataset(root, options=options)
    assert dataset.labels == tuple(sorted({photo.label for photo in dataset.photos}))
    return dict(Counter((photo.label, photo.part) for photo in dataset.photos))


@pytest.mark.parametrize("training, validation, test", [
    ("train", "valid", "test"), ("Training", "Validation", "Testing"), ("train_set", "val_set", "test_set"),
    ("TrainImages", "ValImages", "TestImages"), ("flowers_train", "flowers_val", "flowers_test"),
    ("1-train", "2-dev", "3-holdout")])
@pytest.mark.parametrize("above", ["", "root", "archive/root/data"])
def test_folders_for_the_parts_are_recognized_in_any_spelling_and_depth(tmp_path: Path, training: str, validation: str,
                                                                        test: str, above: str) -> None:
    root = tmp_path / above
    for part, count in ((training, 3), (validation, 1), (test, 2)):
        touch(root / part, *(f"{label}/{number}.jpg" for label in ("daisy", "roses") for number in range(count)))
    assert summary(tmp_path) == {(label, part): count for label in ("daisy", "roses")
                                 for part, count in (("", 3), ("validation", 1), ("test", 2))}


def test_a_part_may_be_missing_and_each_part_may_be_wrapped_in_another_folder(tmp_path: Path) -> None:
    touch(tmp_path, "seg_train/seg_train/sea/1.jpg", "seg_train/seg_train/street/1.jpg", "seg_test/seg_test/sea/2.jpg",
          "seg_test/seg_test/street/2.jpg", "seg_pred/seg_pred/3.jpg")
    assert summary(tmp_path) == {("sea", ""): 1, ("sea", "test"): 1, ("street", ""): 1, ("street", "test"): 1}


def test_what_was_recognized_is_said_in_one_sentence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    touch(tmp_path, *(f"train/{label}/{number}.jpg" for label in "abc" for number in range(400)),
          *(f"test/{label}/{number}.jpg" for label in "abc" for number in range(2)))
    dataset = read_dataset(tmp_path)
    assert dataset.layout == f"Recognized in {tmp_path}: training 1,200 photos, test 6, 3 classes."
    assert caplog.messages == [dataset.layout]


def test_classes_may_contain_the_folders_for_the_parts(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{label}/{part}/1.jpg" for label in ("cats", "dogs") for part in ("train", "test")))
    assert summary(tmp_path) == {(label, part): 1 for label in ("cats", "dogs") for part in ("", "test")}


def test_classes_may_contain_one_folder_with_their_photos(tmp_path: Path) -> None:
    touch(tmp_path, "cats/images/1.jpg", "dogs/images/1.jpg", "birds/birds/1.jpg", "cows/2.jpg")
    assert set(summary(tmp_path)) == {("cats", ""), ("dogs", ""), ("birds", ""), ("cows", "")}


def test_a_test_folder_next_to_class_folders_is_never_a_class(tmp_path: Path, caplog: pytest.LogCaptureFixture
                                                              ) -> None:
    touch(tmp_path, "daisy/1.jpg", "roses/1.jpg", "test/unlabelled.jpg")
    assert summary(tmp_path) == {("daisy", ""): 1, ("roses", ""): 1}
    assert any("1 photo in" in message and "test" in message for message in caplog.messages)
    touch(tmp_path, "test/daisy/2.jpg", "test/roses/2.jpg")
    (tmp_path / "test/unlabelled.jpg").unlink()
    assert summary(tmp_path) == {(label, part): 1 for label in ("daisy", "roses") for part in ("", "test")}


def test_trains_can_be_a_class(tmp_path: Path) -> None:
    assert set(summary(touch(tmp_path, "bus/1.jpg", "car/1.jpg", "train/1.jpg"))) == {("bus", ""), ("car", ""),
                                                                                        ("train", "")}


@pytest.mark.parametrize("names, commands", [
    (["casting_512/a/1.jpg", "casting_512/b/1.jpg", "casting/train/a/1.jpg", "casting/train/b/1.jpg"],
     ["image_dir={}/casting`", "image_dir={}/casting_512`"]),
    (["cats/persian/1.jpg", "cats/siamese/1.jpg", "dogs/pug/1.jpg", "dogs/beagle/1.jpg"],
     ["image_dir={}/cats`", "image_dir={}/dogs`", "label_pattern='{{label}}/*/*'`", "label_pattern='{{label}}/*'`"]),
    (["a/1.jpg", "b/1.jpg", "train/a/1.jpg", "train/b/1.jpg", "test/a/2.jpg", "test/b/2.jpg"],
     ["image_dir={}/train`"]),
    (["bottle/train/good/1.jpg", "bottle/test/bad/1.jpg", "cable/train/good/1.jpg", "cable/test/bad/2.jpg"],
     ["image_dir={}/bottle`", "image_dir={}/cable`"])])
def test_where_several_layouts_are_possible_the_error_lists_a_command_for_each(tmp_path: Path, names: list[str],
                                                                              commands: list[str]) -> None:
    with pytest.raises(TfpoetsError) as error:
        read_dataset(touch(tmp_path, *names))
    for command in commands:
        assert command.format(tmp_path) in str(error.value), str(error.value)


def test_files_that_are_not_photos_are_counted_and_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture
                                                              ) -> None:
    caplog.set_level("INFO")
    touch(tmp_path, "_classes.csv", "daisy/1.jpg", "daisy/1.xml", "roses/1.jpg", "roses/README.txt",
          "test/_classes.csv")
    Image.new("RGB", (4, 4)).save(tmp_path / "daisy" / "photo-without-suffix", "PNG")
    (tmp_path / "roses" / "README.txt").write_text("Python, like BMP and PPM files, can begin with two letters.")
    dataset = read_dataset(tmp_path)
    assert [photo.name for photo in dataset.photos] == ["1.jpg", "photo-without-suffix", "1.jpg"]
    message, = (message for message in caplog.messages if "not photos" in message)
    assert message == ("4 files are skipped, because they are not photos: _classes.csv, daisy/1.xml, roses/README.txt "
                       "and 1 more.")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_links_to_the_folder_itself_do_no_harm(tmp_path: Path) -> None:
    touch(tmp_path, "daisy/1.jpg", "roses/1.jpg")
    os.mkfifo(tmp_path / "daisy" / "pipe")
    (tmp_path / "roses" / "loop").symlink_to(tmp_path)
    assert summary(tmp_path) == {("daisy", ""): 1, ("roses", ""): 1}


@pytest.mark.parametrize("folder", ["", "photos"])
def test_flat_photos_with_a_table_name_the_manifest(tmp_path: Path, folder: str) -> None:
    touch(tmp_path, "photos/a.jpg", "photos/b.jpg")
    (tmp_path / "labels.csv").write_text("filename,label\nphotos/a.jpg,daisy\nphotos/b.jpg,roses\n")
    with pytest.raises(TfpoetsError, match="manifest=.*labels.csv"):
        read_dataset(tmp_path / folder)


@pytest.mark.parametrize("names, pattern", [
    (["train/0_frog.png", "train/1_truck.png", "train/2_frog.png", "train/3_truck.png", "test/1_frog.png",
      "test/2_truck.png", "test/3_truck.png"], "{index}_{label}.png"),
    (["Abyssinian_1.jpg", "Abyssinian_2.jpg", "american_bulldog_1.jpg", "american_bulldog_2.jpg"],
     "{label}_{index}.jpg"),
    (["train/cat.0.jpg", "train/cat.1.jpg", "train/dog.0.jpg", "train/dog.1.jpg"], "{label}.{index}.jpg"),
    (["rose (1).jpg", "rose (2).jpg", "daisy (1).png", "daisy (2).jpg"], "{label} ({index}).*")])
def test_flat_photos_with_labels_in_their_names_name_the_pattern(tmp_path: Path, names: list[str], pattern: str
                                                                 ) -> None:
    touch(tmp_path, *names, "labels.txt")
    with pytest.raises(TfpoetsError) as error:
        read_dataset(tmp_path)
    assert f"label_pattern='{pattern}'" in str(error.value)
    labels = read_dataset(tmp_path, options=DatasetOptions(label_pattern=pattern)).labels
    assert len(labels) == 2


def test_flat_photos_of_a_camera_do_not_suggest_a_pattern(tmp_path: Path) -> None:
    touch(tmp_path / "photos", "IMG_1.jpg", "IMG_2.jpg", "DSC_1.jpg", "DSC_2.jpg")
    with pytest.raises(TfpoetsError, match="Put the photos of each class into a folder"):
        read_dataset(tmp_path / "photos")


def test_a_test_folder_is_recognized_by_its_name_and_the_training_folder_next_to_it(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "Test/a/1.jpg", "other/test/a/1.jpg")
    assert is_test_folder(tmp_path / "Test")
    assert not is_test_folder(tmp_path / "train") and not is_test_folder(tmp_path / "other" / "test")
