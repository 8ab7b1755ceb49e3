"""Classes can be renamed with a label file, and a changed label file next to a classifier is noticed."""
from __future__ import annotations

import logging
import os
import re
import shlex
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


@pytest.mark.parametrize("content, reason", [
    (b"red\ngreen\nblue\n", "new.txt contains the labels of the classifier in another order."),
    (b"a\nb\n", "new.txt has 2 lines, but the classifier has 3 classes."),
    (b"a", "new.txt has 1 line, but the classifier has 3 classes."),
    (b"a\na\nb\n", "new.txt contains a more than once."), (b"a\n\nb\n", "Line 2 of new.txt is empty."),
    (b"a\0\0\nb\nc\n", "The label file new.txt is not a text file."),
    ("a\nb\nc\n".encode("utf-16")[:-1], "The label file new.txt begins like UTF-16, but is not in this encoding."),
    (None, "The label file new.txt cannot be read: it is a folder.")])
def test_an_unusable_label_file_is_ignored_and_the_reason_is_printed(
        content: bytes | None, reason: str, files: Path, capsys: pytest.CaptureFixture) -> None:
    Path("new.txt").mkdir() if content is None else Path("new.txt").write_bytes(content)
    assert label_image.main(["photos/blue/000.jpg", "--labels=new.txt"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("blue (score=")
    assert captured.err == f"Ignored: --labels. {reason} The labels inside the classifier are used.\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_as_label_file_is_ignored_and_the_reason_is_printed(
        files: Path, capsys: pytest.CaptureFixture) -> None:
    os.mkfifo("new.txt")
    assert label_image.main(["photos/blue/000.jpg", "--labels=new.txt"]) == 0
    assert "new.txt cannot be read: it is not a regular file." in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_a_label_file_may_have_any_common_encoding(encoding: str, files: Path) -> None:
    Path("new.txt").write_bytes("blé\r\nvert\r\nroux\r\n".encode(encoding))
    assert load_classifier(files / "retrained_graph.tflite", LegacyGraphOptions(labels="new.txt")
                           ).labels == ("blé", "vert", "roux")


def test_a_missing_label_file_is_ignored_with_a_note_as_in_old_command_lines(
        files: Path, capsys: pytest.CaptureFixture) -> None:
    assert label_image.main(["photos/blue/000.jpg", "--labels=nothing.txt", "--input_mean=3"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "Ignored: --input_mean. The metadata of this classifier specifies its input.",
        "Ignored: --labels. There is no label file nothing.txt. The labels inside the classifier are used."]


def test_the_command_line_shows_how_to_use_the_changed_file(files: Path, capsys: pytest.CaptureFixture) -> None:
    (files / "retrained_labels.txt").write_text(RENAMED)
    assert label_image.main(["photos/blue/000.jpg"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("blue (score=") and captured.err.count("\n") == 1
    assert "add --labels=tf_files/retrained_labels.txt to the command" in captured.err
    files.rename("my files")
    assert label_image.main(["photos/blue/000.jpg", "--graph=my files/retrained_graph.tflite"]) == 0
    command, = re.findall("add (.*) to the command", capsys.readouterr().err)
    assert label_image.main(["photos/blue/000.jpg", "--graph=my files/retrained_graph.tflite", *shlex.split(command)]
                            ) == 0
    assert capsys.readouterr().out.startswith("bleu (score=")
