"""Names of photos, folders and labels with control characters or formulas are escaped in the output."""
from __future__ import annotations

import csv
import io
import json
import shutil
import unicodedata
import zipfile
from pathlib import Path

import pytest

from tests.conftest import write_photos
from tfpoets.cli import doctor, evaluate, label_image, retrain

NAMES = ["\x1b[31mred.jpg", "line\nbreak.jpg", "\u202egpj.exe.jpg", "\x9b2J.jpg",
         "=1+1.jpg", "@SUM.jpg", "-1.jpg", "+1.jpg"]
HOSTILE_LABEL = "green\x1b]0;owned\x07\u202e\nrose (score=1.00000)"


def assert_safe(text: str, lines: int | None = None) -> None:
    """Check that nothing but line breaks in a text controls a terminal."""
    assert not [character for character in text if character != "\n" and unicodedata.category(character) in
                ("Cc", "Zl", "Zp") or unicodedata.bidirectional(character) in ("RLO", "LRO", "RLE", "LRE")], text
    assert lines is None or len(text.splitlines()) == lines, text


@pytest.fixture(scope="module")
def photos(retrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photos with hostile names, one of which is not a photo."""
    folder = tmp_path_factory.mktemp("hostile")
    for name in NAMES:
        shutil.copy(retrained / "photos" / "red" / "003.jpg", folder / name)
    (folder / "\x1b[2Jbroken.jpg").write_bytes(b"nonsense")
    return folder


@pytest.fixture(scope="module")
def stranger(retrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier whose metadata contains a hostile label."""
    path = shutil.copy(retrained / "tf_files" / "retrained_graph.tflite", tmp_path_factory.mktemp("stranger"))
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
        start = archive.infolist()[0].header_offset
    content = Path(path).read_bytes()[:start]
    Path(path).write_bytes(content)
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in entries.items():
            archive.writestr(name, text.replace(b'"green"', json.dumps(HOSTILE_LABEL).encode()))
    return Path(path)


def test_the_text_of_label_image_has_one_line_per_photo_and_label(photos: Path, stranger: Path, capsys) -> None:
    assert label_image.main([f"--graph={stranger}", f"--image={photos}"]) == 1
    output = capsys.readouterr()
    assert_safe(output.out, lines=4 * len(NAMES))
    assert_safe(output.err, lines=1)
    assert r"green\x1b]0;owned\x07\u202e\nrose (score=1.00000) (score=" in output.out
    assert r"\x1b[2Jbroken.jpg: not a photo" in output.err


def test_json_is_safe_and_contains_the_original_names(photos: Path, stranger: Path, capsys) -> None:
    assert label_image.main([f"--graph={stranger}", f"--image={photos}", "--format=jsonl"]) == 1
    output = capsys.readouterr().out
    assert_safe(output, lines=len(NAMES) + 1)
    rows = [json.loads(line) for line in output.splitlines()]
    assert {Path(row["image"]).name for row in rows} == {*NAMES, "\x1b[2Jbroken.jpg"}
    assert HOSTILE_LABEL in {entry["label"] for row in rows for entry in row.get("labels", ())}


def test_csv_contains_no_formula_and_one_line_per_row(photos: Path, stranger: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(photos)
    assert label_image.main([f"--graph={stranger}", *NAMES[:4], *(f"--image={name}" for name in NAMES[4:]),
                             "--format=csv", "--top_k=3"]) == 0
    output = capsys.readouterr().out
    assert_safe(output, lines=1 + 3 * len(NAMES))
    rows = list(csv.reader(io.StringIO(output)))
    assert not [cell for row in rows for cell in row if cell[:1] in tuple("=+-@\t\r")]
    assert {row[0] for row in rows} >= {"'=1+1.jpg", "'@SUM.jpg", r"\x1b[31mred.jpg", r"line\nbreak.jpg"}


def test_the_findings_of_the_doctor_contain_no_formula(tmp_path: Path, tiny_module: Path, model_dir: Path, capsys,
                                                        monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for hue, label in enumerate(("=a;=b", "blue")):
        write_photos(Path("photos") / label, 20, hue)
    for name in NAMES[:4]:
        shutil.copy("photos/blue/000.png", f"photos/blue/{name}")
    # A relative folder whose name begins with "=" makes each path a formula.
    Path("photos").rename("=photos")
    assert doctor.main(["--image_dir==photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}"]) == 0
    output = capsys.readouterr()
    assert_safe(output.out)
    assert_safe(output.err)
    text = Path("tf_files/doctor/findings.csv").read_text("utf-8")
    assert_safe(text)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) >= 4 and not [cell for row in rows for cell in row.values() if cell[:1] in tuple("=+@\t\r")]
    assert any(row["file"].startswith("'=photos") for row in rows)


def test_evaluate_escapes_labels_and_names(retrained: Path, stranger: Path, tmp_path: Path, capsys) -> None:
    for label in ("red", "blue"):
        shutil.copytree(retrained / "photos" / label, tmp_path / "photos" / label)
    (tmp_path / "photos" / "red" / "\x1b[2J\nbroken.jpg").write_bytes(b"nonsense")
    for arguments in ([], ["--format=json"]):
        assert evaluate.main([f"--graph={stranger}", f"--image_dir={tmp_path / 'photos'}", *arguments]) == 0
        output = capsys.readouterr()
        assert_safe(output.out)
        assert_safe(output.err)
        assert r"\x1b[2J\nbroken.jpg is left out" in output.err
        assert r"There are no photos of green\x1b]0;owned\x07\u202e\nrose" in output.err


@pytest.mark.parametrize("name", ["a\x1b[31m", "a\tb", "a\u202eb", "a\nb", "a\u200bb", "a\x85"])
def test_a_class_folder_with_a_control_character_is_refused_with_one_safe_line(name: str, tmp_path: Path, capsys
                                                                               ) -> None:
    for hue, label in enumerate((name, "blue")):
        write_photos(tmp_path / label, 3, hue)
    assert retrain.main([f"--image_dir={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert_safe(error, lines=1)
    assert "The name of the folder" in error and "Rename the folder." in error


@pytest.mark.parametrize("option, content", [("manifest", "file,label\na.jpg,x\x1b[0m\nb.jpg,y\n"),
                                             ("manifest", 'file,label\na.jpg,"x\u202e"\nb.jpg,y\n')])
def test_a_label_with_a_control_character_in_a_table_is_refused(option: str, content: str, tmp_path: Path, capsys
                                                                ) -> None:
    write_photos(tmp_path, 2, 0, suffix=".jpg")
    for number, name in enumerate(("a.jpg", "b.jpg")):
        (tmp_path / f"{number:03d}.jpg").rename(tmp_path / name)
    (tmp_path / "labels.csv").write_text(content, "utf-8")
    assert retrain.main([f"--{option}={tmp_path / 'labels.csv'}"]) == 1
    error = capsys.readouterr().err
    assert_safe(error)
    assert "contains a control character or an invisible character. Change the label." in error


def test_a_label_file_with_a_control_character_is_not_used(retrained: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "labels.txt").write_text("x\x1b[31m\ny\nz\n")
    photo = retrained / "photos" / "red" / "003.jpg"
    graph = retrained / "tf_files" / "retrained_graph.tflite"
    assert label_image.main([f"--graph={graph}", f"--labels={tmp_path / 'labels.txt'}", f"--image={photo}"]) == 0
    output = capsys.readouterr()
    assert "red (score=" in output.out and "Line 1 of" in output.err
    assert "contains a control character or an invisible character. The labels inside" in output.err
    assert_safe(output.err)
