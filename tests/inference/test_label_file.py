"""Classes can be renamed with a label file, and a changed label file next to a classifier is noticed."""
from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from tfpoets import load_classifier
from tfpoets.cli import evaluate, label_image
from tfpoets.inference import LegacyGraphOptions

LABELS = ("blue", "green", "red")
RENAMED = "bleu\ngreen\nred\n"


@pytest.fixture
def files(retrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of tf_files/ with a classifier, in the current folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(retrained / "tf_files", "tf_files", ignore=shutil.ignore_patterns("bottlenecks"))
    shutil.copytree(retrained / "photos", "photos")
    assert Path("tf_files/retrained_labels.txt").read_text().split() == list(LABELS)
    return Path("tf_files")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("suffix", [".tflite", ".pb"])
@pytest.mark.parametrize("text, usable", [(RENAMED, True), ("red\ngreen\nblue\n", False), ("blue\ngreen\n", False)])
def test_a_changed_label_file_is_noticed(suffix: str, text: str, usable: bool, files: Path,
                                         caplog: pytest.LogCaptureFixture) -> None:
    graph = files / f"retrained_graph{suffix}"
    assert load_classifier(graph).labels == LABELS and warnings(caplog) == []
    (files / "retrained_labels.txt").write_text(text)
    assert load_classifier(graph).labels == LABELS
    warning, = warnings(caplog)
    assert "retrained_labels.txt differs" in warning and ("add `labels`=" in warning) == usable


def test_windows_line_breaks_and_a_byte_order_mark_are_not_a_change(files: Path,
                                                                    caplog: pytest.LogCaptureFixture) -> None:
    (files / "retrained_labels.txt").write_bytes("\ufeffblue\r\ngreen\r\nred".encode())
    load_classifier(files / "retrained_graph.tflite")
    assert warnings(caplog) == []


def test_a_label_file_of_another_classifier_is_not_compared(files: Path, caplog: pytest.LogCaptureFixture) -> None:
    (files / "labels.txt").write_text("a\nb\nc\n")
    (files / "retrained_labels.txt").unlink()
    load_classifier(files / "retrained_graph.tflite")
    assert warnings(caplog) == []


def test_a_label_file_renames_classes(files: Path, capsys: pytest.CaptureFixture) -> None:
    Path("new.txt").write_text(RENAMED)
    classifier = load_classifier(files / "retrained_graph.tflite", LegacyGraphOptions(labels="new.txt"))
    assert classifier.labels == ("bleu", "green", "red") and classifier.metadata.labels == list(classifier.labels)
    photo = "photos/blue/000.jpg"
    assert load_classifier(files / "retrained_graph.tflite").label(photo) == "blue"
    assert classifier.label(photo) == "bleu"
    capsys.readouterr()
    assert label_image.main([photo, "--labels=new.txt"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("bleu (score=") and captured.err == "Labels from new.txt: blue is called bleu.\n"
    Path("photos/blue").rename("photos/bleu")
    assert evaluate.main(["--image_dir=photos", "--labels=new.txt"]) == 0
    captured = capsys.readouterr()
    assert "bleu" in captured.out and "Left out" not in captured.err


@pytest.mark.parametrize("text", ["red\ngreen\nblue\n", "a\nb\n", "a\na\nb\n", "a\n\nb\n"])
def test_a_label_file_that_cannot_name_the_classes_is_ignored_with_a_note(text: str, files: Path,
                                                                          capsys: pytest.CaptureFixture) -> None:
    Path("new.txt").write_text(text)
    assert label_image.main(["photos/blue/000.jpg", "--labels=new.txt"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("blue (score=") and "Ignored: --labels." in captured.err


def test_a_missing_label_file_is_ignored_with_a_note_as_in_old_command_lines(
        files: Path, capsys: pytest.CaptureFixture) -> None:
    assert label_image.main(["photos/blue/000.jpg", "--labels=nothing.txt", "--input_mean=3"]) == 0
    assert capsys.readouterr().err.startswith("Ignored: --input_mean, --labels.")


def test_the_command_line_shows_how_to_use_the_changed_file(files: Path, capsys: pytest.CaptureFixture) -> None:
    (files / "retrained_labels.txt").write_text(RENAMED)
    assert label_image.main(["photos/blue/000.jpg"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("blue (score=") and captured.err.count("\n") == 1
    assert "add --labels=tf_files/retrained_labels.txt to the command" in captured.err
