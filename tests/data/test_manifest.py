"""Tables of photos are read in the formats and with the column names that are in use."""
from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from collections import Counter
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from tests.conftest import retrain_json, write_photos
from tfpoets.data import DatasetOptions, Photo, read_dataset
from tfpoets.errors import TfpoetsError

from .test_layouts import touch

ROWS = "{path},{label}\na.jpg,daisy\nb.jpg,roses\n"


def photos_of(root: Path, table: str | bytes, name: str = "labels.csv", image_dir: Path | None = None) -> list[Photo]:
    (root / name).write_bytes(table.encode() if isinstance(table, str) else table)
    return list(read_dataset(image_dir, options=DatasetOptions(manifest=(root / name,))).photos)


def labels_of(photos: list[Photo]) -> dict[str, str]:
    return {photo.name: photo.label for photo in photos}


@pytest.mark.parametrize("path, label", [
    ("path", "label"), ("filename", "class"), ("file_name", "label"), ("Image Path", "Species"), ("image_id", "dx"),
    ("id", "breed"), ("filepaths", "labels"), ("img_name", "class_name"), ("x:image", "label")])
def test_the_usual_column_names_are_known(tmp_path: Path, path: str, label: str) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    table = ROWS.format(path=path, label=label)
    if path == "x:image":
        with pytest.raises(TfpoetsError, match="no column with file names; its columns are x:image, label"):
            photos_of(tmp_path, table)
    else:
        assert labels_of(photos_of(tmp_path, table)) == {"a.jpg": "daisy", "b.jpg": "roses"}


@pytest.mark.parametrize("name, table", [
    ("t.tsv", "path\tlabel\na.jpg\tdaisy\nb.jpg\troses\n"),
    ("t.csv", "path;label\r\na.jpg;daisy\r\nb.jpg;roses\r\n"),
    ("t.csv", "﻿path,label\na.jpg,daisy\nb.jpg,\"roses\"\n"),
    ("t.csv", "path,label\na.jpg,daisy\nb.jpg,roses\n".encode("utf-16")),
    ("t.csv", "a.jpg,daisy\nb.jpg,roses\n"),
    ("t.txt", "a.jpg daisy\nb.jpg roses\n"),
    ("t.jsonl", '{"file_name": "a.jpg", "label": "daisy"}\n{"file_name": "b.jpg", "label": "roses"}\n'),
    ("t.csv", "filename, daisy, roses\na.jpg, 1, 0\nb.jpg, 0, 1\n")])
def test_the_usual_formats_are_read(tmp_path: Path, name: str, table: str | bytes) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    assert labels_of(photos_of(tmp_path, table, name)) == {"a.jpg": "daisy", "b.jpg": "roses"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("first_line, separator", [("", ","), ("sep=;\r\n", ";"), ("SEP=|\n", "|"),
                                                   ('"sep=,"\n', ",")])
def test_tables_are_decoded_and_the_line_that_states_the_separator_is_skipped(
        tmp_path: Path, encoding: str, first_line: str, separator: str) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    table = first_line + f"path{separator}label\r\na.jpg{separator}Löwe; 1,5 m\r\nb.jpg{separator}роза\r\n"
    table = table.replace("Löwe; 1,5 m", '"Löwe; 1,5 m"')
    assert labels_of(photos_of(tmp_path, table.encode(encoding))) == {"a.jpg": "Löwe; 1,5 m", "b.jpg": "роза"}


def zip_with(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return content.getvalue()


@pytest.mark.parametrize("content, kind, remedy", [
    ("path,label\na.jpg,Löwe\n".encode("cp1252"), r"not in UTF-8, but probably in Windows-1252 .*\(line 2\)",
     "CSV UTF-8"),
    ("path,label\na.jpg,роза\n".encode("cp1251"), "older encoding", "CSV UTF-8"),
    ("path,label\na.jpg,x\n".encode("utf-16")[:-1], "begins like UTF-16, but", "CSV UTF-8"),
    (zip_with("[Content_Types].xml", "xl/workbook.xml"), r"an Excel workbook \(.xlsx\)", "CSV UTF-8"),
    (zip_with("mimetype", "content.xml"), r"\(such as .ods\)", "CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), r"\(such as .xls\)", "CSV UTF-8"),
    (zip_with("train.csv"), "a zip archive", "Unpack it"),
    (gzip.compress(b"path,label\n"), "a compressed file", "Unpack it"),
    (b"PAR1\0\0", "a Parquet file", "ends in .parquet"), (b"path,label\na\0.jpg,x\n", "not a text file", "CSV UTF-8")])
def test_the_message_about_a_table_that_is_not_unicode_text_states_what_it_is(
        tmp_path: Path, content: bytes, kind: str, remedy: str) -> None:
    with pytest.raises(TfpoetsError, match=kind) as caught:
        photos_of(tmp_path, content)
    assert remedy in caught.value.remedy


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(TfpoetsError, match="pipe.csv cannot be read: it is not a regular file"):
        read_dataset(None, options=DatasetOptions(manifest=(tmp_path / "pipe.csv",)))


def test_a_table_is_read_from_a_pipe_that_the_shell_has_opened(tmp_path: Path) -> None:
    if not os.path.exists("/dev/fd/0"):
        pytest.skip("this system has no names for open files")
    touch(tmp_path, "a.jpg", "b.jpg")
    readable, writable = os.pipe()
    os.write(writable, b"path,label\na.jpg,daisy\nb.jpg,roses\n")
    os.close(writable)
    options = DatasetOptions(manifest=(f"/dev/fd/{readable}",))
    assert labels_of(read_dataset(tmp_path, options=options).photos) == {"a.jpg": "daisy", "b.jpg": "roses"}
    os.close(readable)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_cannot_be_a_photo_is_listed_with_the_reason(tmp_path: Path, tiny_module: Path, model_dir: Path,
                                                          capsys: pytest.CaptureFixture) -> None:
    for hue, label in enumerate(("red", "green")):
        write_photos(tmp_path / label, 10, hue)
    os.mkfifo(tmp_path / "pipe.png")
    paths = {"\ud800.png": "there is no such file", "a\0b.png": "there is no such file", "red": "it is a folder",
             "pipe.png": "it is not a regular file", "/dev/null": "it is not a regular file",
             "n" * 5000: "it cannot be read (File name too long)"}
    rows = [(f"{label}/{number:03d}.png", label) for label in ("red", "green") for number in range(10)]
    rows += [(path, "red") for path in paths]
    lines = [json.dumps({"path": path, "label": label}) for path, label in rows]
    (tmp_path / "t.jsonl").write_text("\n".join(lines), "utf-8")
    result = retrain_json(capsys, f"--manifest={tmp_path / 't.jsonl'}", f"--tfhub_module={tiny_module}",
                          f"--model_dir={model_dir}", f"--bottleneck_dir={tmp_path / 'cache'}",
                          f"--output_graph={tmp_path / 'g.pb'}", f"--output_labels={tmp_path / 'l.txt'}")
    reasons = {row["file"].removeprefix(f"{tmp_path}/"): row["reason"] for row in result["photos"]["unreadable"]}
    assert reasons == paths


def test_parquet_is_read(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    table = pyarrow.table({"path": ["a.jpg", "b.jpg"], "label": [0, 1], "split": ["train", "test"]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    photos = read_dataset(None, options=DatasetOptions(manifest=(tmp_path / "t.parquet",))).photos
    assert [(photo.name, photo.label, photo.part) for photo in photos] == [("a.jpg", "0", ""), ("b.jpg", "1", "test")]


def test_part_and_group_are_read(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    photos = photos_of(tmp_path, "path,label,split,patient_id\n"
                                 "a.jpg,x,Training,7\nb.jpg,y,PublicTest,8\nc.jpg,y,val,8\n")
    assert {photo.name: (photo.part, photo.group) for photo in photos} == {
        "a.jpg": ("", "7"), "b.jpg": ("test", "8"), "c.jpg": ("validation", "8")}


def test_a_column_of_names_is_preferred_to_one_of_numbers(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    photos = photos_of(tmp_path, "label,class_name,file\n0,daisy,a.jpg\n1,roses,b.jpg\n")
    assert labels_of(photos) == {"a.jpg": "daisy", "b.jpg": "roses"}


@pytest.mark.parametrize("name", ["photos/x/1.jpg", "1.jpg", "1", "photos\\x\\1.jpg"])
def test_photos_are_found_by_path_name_or_stem(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "photos/x/1.jpg", "photos/x/2.jpg")
    photos = photos_of(tmp_path, f"path,label\n{name},a\nphotos/x/2.jpg,b\n")
    assert [Path(photo.uri) for photo in photos] == [tmp_path / "photos/x/1.jpg", tmp_path / "photos/x/2.jpg"]


def test_image_dir_is_the_folder_of_the_photos(tmp_path: Path) -> None:
    touch(tmp_path, "photos/a.jpg", "photos/b.jpg")
    (tmp_path / "tables").mkdir()
    photos = photos_of(tmp_path, ROWS.format(path="path", label="label"), "tables/t.csv", tmp_path / "photos")
    assert {Path(photo.uri).parent for photo in photos} == {tmp_path / "photos"}


def test_the_parts_of_several_tables_are_read_from_their_folders(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{part}/{name}.jpg" for part in ("train", "valid", "test") for name in "ab"))
    manifests = []
    for part in ("train", "valid", "test"):
        manifests.append(tmp_path / part / "_classes.csv")
        manifests[-1].write_text("filename,daisy,roses\na.jpg,1,0\nb.jpg,0,1\n")
    photos = read_dataset(None, options=DatasetOptions(manifest=",".join(map(str, manifests)))).photos  # type: ignore
    assert Counter(photo.part for photo in photos) == {"": 2, "validation": 2, "test": 2}


@pytest.mark.parametrize("table, message", [
    ("", "is empty"), ("path,color\na.jpg,red\n", "no column with labels; its columns are path, color"),
    ("path,label\nz.jpg,daisy\ny.jpg,roses\n", "None of the 2 photos.*such as z.jpg.*image_dir"),
    ("path,label\na.jpg,daisy\na.jpg,roses\n", "several labels.*a.jpg is daisy and roses"),
    ("path,label\na.jpg,daisy\nb.jpg,daisy\n", "one class only .daisy."),
    ("path,label,split\na.jpg,daisy,train\nb.jpg,roses,elsewhere\n", "column split.*contains elsewhere, which does"),
    ("path,daisy,roses\na.jpg,1,1\nb.jpg,0,1\n", "several labels: 1"),
    ('{"path": "a.jpg"}\nnonsense\n', "Line 2.*not a JSON object"),
    (b"\x89PNG\r\n\x1a\n\0\0", "not a text file"),
    ("path,label\n1,daisy\nb.jpg,roses\n", "2 photos.*are called 1")])
def test_a_table_that_cannot_be_used_is_refused_with_the_reason(tmp_path: Path, table: str | bytes, message: str
                                                                ) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "x/1.jpg", "y/1.jpg")
    with pytest.raises(TfpoetsError, match=message):
        photos_of(tmp_path, table)


def test_rows_without_a_label_repeated_rows_and_unlisted_photos_are_reported(tmp_path: Path,
                                                                             caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    assert len(photos_of(tmp_path, "path,label\na.jpg,x\nb.jpg,y\nb.jpg,y\nc.jpg,\n")) == 2
    log = " ".join(caplog.messages)
    assert "without a label, which are ignored: 1." in log and "repeat a photo: 1;" in log
    assert "that are not in" in log and "labels.csv: 2." in log


def test_a_missing_photo_is_listed_and_can_be_reported_later(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    photos = photos_of(tmp_path, ROWS.format(path="path", label="label"))
    assert [photo.name for photo in photos] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("values", [("0", "2"), ("A", "B")])
def test_a_split_column_without_the_names_of_parts_is_refused(tmp_path: Path, values: tuple[str, str]) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    with pytest.raises(TfpoetsError, match=f"column split .* contains {', '.join(values)}, which does not"):
        photos_of(tmp_path, f"path,label,split\na.jpg,x,{values[0]}\nb.jpg,y,{values[1]}\n")


@pytest.mark.parametrize("table, labels", [
    ("filename,label,tag\na.jpg,0,batchA\nb.jpg,1,batchB\n", {"a.jpg": "0", "b.jpg": "1"}),
    ("filename,video,set\na.jpg,1,0\nb.jpg,0,1\n", {"a.jpg": "video", "b.jpg": "set"}),
    ('{"image": "a.jpg", "label": ["x"]}\n{"image": "b.jpg", "label": ["y"]}\n', {"a.jpg": "x", "b.jpg": "y"})])
def test_the_labels_are_those_of_the_label_column(tmp_path: Path, table: str, labels: dict[str, str],
                                                  caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    touch(tmp_path, "a.jpg", "b.jpg")
    assert labels_of(photos_of(tmp_path, table)) == labels
    assert any(message.startswith("Columns of") for message in caplog.messages)


def test_lists_of_labels_and_coordinates_are_not_labels(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    with pytest.raises(TfpoetsError, match="lists of labels"):
        photos_of(tmp_path, '{"image": "a.jpg", "label": ["x", "y"]}\n{"image": "b.jpg", "label": ["y"]}\n')
    with pytest.raises(TfpoetsError, match="no column with labels; its columns are filename, x, y"):
        photos_of(tmp_path, "filename,x,y\na.jpg,11,20\nb.jpg,30,40\n")


def test_an_empty_part_in_one_of_several_tables_is_the_part_of_the_table(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    (tmp_path / "train.csv").write_text("filename,label\na.jpg,x\nb.jpg,y\n")
    (tmp_path / "test.csv").write_text("filename,label,split\nc.jpg,x,\nd.jpg,y,test\n")
    options = DatasetOptions(manifest=(tmp_path / "train.csv", tmp_path / "test.csv"))
    assert {photo.name: photo.part for photo in read_dataset(None, options=options).photos} == {
        "a.jpg": "", "b.jpg": "", "c.jpg": "test", "d.jpg": "test"}


def test_the_part_of_a_table_selects_one_of_several_folders(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.jpg", "train/2.jpg", "test/1.jpg", "test/2.jpg")
    photos = photos_of(tmp_path, "id,breed\n1,pug\n2,beagle\n", "train.csv")
    assert [Path(photo.uri).parent.name for photo in photos] == ["train", "train"]


def test_the_case_of_a_suffix_does_not_matter(tmp_path: Path) -> None:
    touch(tmp_path, "A.JPG", "b.jpg")
    assert [photo.name for photo in photos_of(tmp_path, "path,label\na.jpg,x\nb.jpg,y\n")] == ["A.JPG", "b.jpg"]


def test_a_photo_that_is_listed_for_training_and_test_is_a_test_photo(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    rows = "path,label,split\na.jpg,x,train\na.jpg,x,test\nb.jpg,y,test\nb.jpg,y,train\n"
    assert {photo.part for photo in photos_of(tmp_path, rows)} == {"test"}


def test_the_row_numbers_of_pandas_are_not_a_class(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    assert labels_of(photos_of(tmp_path, ",filename,cat,dog\n0,a.jpg,1,0\n1,b.jpg,0,1\n")) == {
        "a.jpg": "cat", "b.jpg": "dog"}
