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


def test_the_recognized_layout_is_logged_in_one_sentence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
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


def test_other_folders_in_classes_with_parts_are_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, *(f"{label}/{part}/1.jpg" for label in ("cats", "dogs") for part in ("train", "test")),
          "cats/unused/2.jpg", "dogs/3.jpg", "birds/4.jpg")
    assert summary(tmp_path) == {("cats", ""): 1, ("cats", "test"): 1, ("dogs", ""): 2, ("dogs", "test"): 1,
                                 ("birds", ""): 1}
    assert any("Ignored 1 photo in" in message and "unused" in message for message in caplog.messages)


@pytest.mark.parametrize("names, labels", [
    (["cats_train", "cats_test", "dogs_train", "dogs_test"], {"cats", "dogs"}),
    (["train-cats", "test-cats", "train-dogs", "test-dogs"], {"cats", "dogs"}),
    (["trainA", "testA", "trainB", "testB"], {"A", "B"})])
def test_a_folder_name_may_consist_of_class_and_part(tmp_path: Path, names: list[str], labels: set[str]) -> None:
    touch(tmp_path, *(f"{name}/1.jpg" for name in names))
    assert summary(tmp_path) == {(label, part): 1 for label in labels for part in ("", "test")}


def test_folders_with_the_names_of_other_parts_are_classes_unless_there_are_parts(tmp_path: Path) -> None:
    assert set(summary(touch(tmp_path / "1", "dev/1.jpg", "prod/1.jpg"))) == {("dev", ""), ("prod", "")}
    assert set(summary(touch(tmp_path / "2", "eval/1.jpg", "wall-e/1.jpg"))) == {("eval", ""), ("wall-e", "")}
    with pytest.raises(TfpoetsError, match="one class only .racing.*If testing is a class as well, rename its folder"):
        read_dataset(touch(tmp_path / "3", "testing/1.jpg", "racing/1.jpg"))


@pytest.mark.parametrize("test_photo", ["test/test/1.jpg", "test/unknown/1.jpg", "asl_test/asl_test/A_test.jpg"])
def test_a_test_folder_without_class_folders_is_ignored(tmp_path: Path, test_photo: str) -> None:
    train = test_photo.split("/")[0].replace("test", "train")
    touch(tmp_path, f"{train}/{train}/a/1.jpg", f"{train}/{train}/b/1.jpg", test_photo)
    assert summary(tmp_path) == {("a", ""): 1, ("b", ""): 1}


@pytest.mark.parametrize("train, tests", [("trainval", ["test"]), ("train+val", ["test"]),
                                          ("train", ["public_test", "private_test"]),
                                          ("train", ["hold_out"]), ("train_set", ["tests"]), ("train", ["real_test"])])
def test_less_usual_names_of_parts_are_recognized(tmp_path: Path, train: str, tests: list[str]) -> None:
    for part in (train, *tests):
        touch(tmp_path / part, "a/1.jpg", "b/1.jpg")
    assert summary(tmp_path) == {(label, part): count for label in "ab" for part, count in (("", 1),
                                                                                         ("test", len(tests)))}


def test_a_test_folder_without_a_known_training_folder_is_an_error_with_the_command(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{folder}/{label}/1.jpg" for folder in ("learn", "test") for label in "ab"))
    with pytest.raises(TfpoetsError) as error:
        read_dataset(tmp_path)
    assert f"image_dir={tmp_path}/learn test_dir={tmp_path}/test`" in str(error.value)


def test_masks_are_not_a_class(tmp_path: Path) -> None:
    touch(tmp_path / "1", *(f"{label}/{kind}/1.png" for label in ("covid", "normal") for kind in ("images", "masks")))
    assert summary(tmp_path / "1") == {("covid", ""): 1, ("normal", ""): 1}
    touch(tmp_path / "2", *(f"{part}/{kind}/1.png" for part in ("train", "test") for kind in ("images", "masks")))
    with pytest.raises(TfpoetsError, match="without class folders"):
        read_dataset(tmp_path / "2")


def test_a_folder_with_many_unused_photos_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", *(f"more/{number}/1.jpg" for number in range(30)))
    read_dataset(tmp_path)
    assert [message for message in caplog.messages if "Ignored" in message] == [
        f"Ignored 30 photos in {tmp_path}/more, outside the class folders."]


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
    ([f"{part}/{label}/{kind}/1.jpg" for part in ("train", "test") for label in "ab" for kind in "xy"],
     ["Choose one of: `image_dir={} label_pattern='{{label}}/*/*'`", "label_pattern='{{label}}/*'`"]),
    (["cat/1.jpg", "dog/puppy/1.jpg", "dog/adult/1.jpg"],
     ["label_pattern='^(?P<label>[^/]+)/'`", "image_dir={}/dog`"]),
    (["cat/1.jpg", "bird/1.jpg", "dog/puppy/1.jpg", "dog/adult/1.jpg"], ["label_pattern='^(?P<label>[^/]+)/'`"]),
    (["bottle/train/good/1.jpg", "bottle/test/bad/1.jpg", "cable/train/good/1.jpg", "cable/test/bad/2.jpg"],
     ["image_dir={}/bottle`", "image_dir={}/cable`"])])
def test_the_error_for_an_ambiguous_folder_lists_the_possible_commands(tmp_path: Path, names: list[str],
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
def test_the_error_for_flat_photos_suggests_a_table_as_the_manifest(tmp_path: Path, folder: str) -> None:
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
def test_the_error_for_flat_photos_with_labels_in_their_names_suggests_the_pattern(tmp_path: Path, names: list[str],
                                                                                   pattern: str) -> None:
    touch(tmp_path, *names, "labels.txt")
    with pytest.raises(TfpoetsError) as error:
        read_dataset(tmp_path)
    assert f"label_pattern='{pattern}'" in str(error.value)
    labels = read_dataset(tmp_path, options=DatasetOptions(label_pattern=pattern)).labels
    assert len(labels) == 2


def test_no_pattern_is_suggested_for_the_file_names_of_cameras(tmp_path: Path) -> None:
    touch(tmp_path / "photos", "IMG_1.jpg", "IMG_2.jpg", "DSC_1.jpg", "DSC_2.jpg")
    with pytest.raises(TfpoetsError, match="Put the photos of each class into a folder"):
        read_dataset(tmp_path / "photos")


def test_a_test_folder_is_recognized_by_its_name_and_the_training_folder_next_to_it(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "Test/a/1.jpg", "other/test/a/1.jpg")
    assert is_test_folder(tmp_path / "Test")
    assert not is_test_folder(tmp_path / "train") and not is_test_folder(tmp_path / "other" / "test")


def test_a_test_folder_next_to_a_folder_without_photos_can_be_used(tmp_path: Path) -> None:
    touch(tmp_path, "train/code.py", "test/a/1.jpg", "test/b/1.jpg")
    assert not is_test_folder(tmp_path / "test")


def test_only_tables_that_list_the_photos_are_suggested_and_one_for_each_part(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        touch(tmp_path / "photos" / part, "a.jpg", "b.jpg")
        (tmp_path / "photos" / part / "_classes.csv").write_text("filename,x,z\na.jpg,1,0\nb.jpg,0,1\n")
    (tmp_path / "Iris.csv").write_text("Id,Species\n1,setosa\n2,virginica\n")
    with pytest.raises(TfpoetsError) as error:
        read_dataset(tmp_path / "photos")
    tables = ",".join(f"{tmp_path}/photos/{part}/_classes.csv" for part in ("train", "valid", "test"))
    assert f"`manifest={tables}`" in str(error.value)


@pytest.mark.parametrize("names, pattern", [
    (["train/cat.0.jpg", "train/cat.1.jpg", "train/dog.0.jpg", "train/dog.1.jpg",
      *(f"test1/{number}.jpg" for number in range(9))], "{label}.{index}.jpg"),
    (["photos/Pug_1.jpg", "photos/Pug_2.jpg", "photos/Lab_1.jpg", "photos/Lab_2.jpg"], "{label}_{index}.jpg")])
def test_the_pattern_is_found_in_the_training_photos_and_in_a_single_folder(tmp_path: Path, names: list[str],
                                                                            pattern: str) -> None:
    with pytest.raises(TfpoetsError) as error:
        read_dataset(touch(tmp_path, *names))
    assert f"label_pattern='{pattern}'" in str(error.value)


def test_the_numbers_of_videos_are_not_labels(tmp_path: Path) -> None:
    touch(tmp_path / "flat", *(f"video{video:02}_frame{frame}.jpg" for video in range(3) for frame in range(3)))
    with pytest.raises(TfpoetsError, match="Put the photos of each class into a folder"):
        read_dataset(tmp_path / "flat")
