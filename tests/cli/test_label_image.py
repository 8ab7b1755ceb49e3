"""The label_image command."""
from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import write_photos
from tests.download.local_server import serving_folder
from tfpoets.cli import label_image, retrain

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, tiny_module: Path, model_dir: Path) -> Path:
    """A folder with a retrained classifier at the default paths, and some photos."""
    folder = tmp_path_factory.mktemp("workspace")
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(folder / "photos" / label, 20, hue)
    files = folder / "tf_files"
    assert retrain.main([f"--image_dir={folder / 'photos'}", f"--tfhub_module={tiny_module}",
                         f"--model_dir={model_dir}", f"--output_graph={files / 'retrained_graph.pb'}",
                         f"--output_labels={files / 'retrained_labels.txt'}", f"--bottleneck_dir={files / 'b'}",
                         f"--summaries_dir={files / 's'}"]) == 0
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture(autouse=True)
def change_to_workspace(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)


def label_json(capsys: pytest.CaptureFixture, *arguments: str, code: int = 0) -> list[dict]:
    assert label_image.main(["--format=jsonl", *arguments]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_photo_gives_lines_in_the_legacy_format(capsys: pytest.CaptureFixture) -> None:
    assert label_image.main(["--image=photos/red/000.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[0].startswith("red (score=")
    assert all(re.fullmatch(r"(red|green|blue) \(score=\d\.\d{5}\)", line) for line in lines)


def test_several_photos_are_printed_with_their_names(capsys: pytest.CaptureFixture) -> None:
    assert label_image.main(["photos/red/000.png", "photos/blue/001.png", "--top_k=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "photos/red/000.png" and lines[1].startswith("  red (score=")
    assert lines[2] == "photos/blue/001.png" and lines[3].startswith("  blue (score=")


def test_files_folders_patterns_and_lists_are_labelled_in_order(capsys: pytest.CaptureFixture,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("photos/red/007.png\n\nphotos/red/008.png\n"))
    predictions = label_json(capsys, "photos/red/001.png", "photos/green", "photos/blue/00[0-3].png", "-")
    assert [prediction["image"] for prediction in predictions] == (
        ["photos/red/001.png"] + [f"photos/green/{n:03d}.png" for n in range(20)]
        + [f"photos/blue/00{n}.png" for n in range(4)] + ["photos/red/007.png", "photos/red/008.png"])


def test_a_failed_photo_does_not_stop_the_others(capsys: pytest.CaptureFixture) -> None:
    predictions = label_json(capsys, "photos/red/000.png", "broken.jpg", "missing.jpg", "photos/red/001.png", code=1)
    assert ["labels" in prediction for prediction in predictions] == [True, False, False, True]
    assert predictions[1]["error"] == "not a photo in a supported format"
    assert predictions[2]["error"] == "there is no such file"


def test_text_reports_a_failed_photo_on_standard_error(capsys: pytest.CaptureFixture) -> None:
    assert label_image.main(["broken.jpg"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == "broken.jpg: not a photo in a supported format\n"


def test_csv_has_a_row_for_each_label(capsys: pytest.CaptureFixture) -> None:
    assert label_image.main(["--format=csv", "--top_k=2", "photos/red/000.png", "broken.jpg"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["image"], row["rank"]) for row in rows] == [
        ("photos/red/000.png", "1"), ("photos/red/000.png", "2"), ("broken.jpg", "")]
    assert rows[0]["label"] == "red" and rows[2]["error"]


def test_top_k_and_min_score_limit_the_labels(capsys: pytest.CaptureFixture) -> None:
    prediction, = label_json(capsys, "photos/red/000.png")
    assert sum(entry["score"] for entry in prediction["labels"]) == pytest.approx(1, abs=1e-5)
    assert label_json(capsys, "photos/red/000.png", "--top_k=2")[0]["labels"] == prediction["labels"][:2]
    second = prediction["labels"][1]["score"]
    assert label_json(capsys, "photos/red/000.png", f"--min_score={second}")[0]["labels"] == prediction["labels"][:2]
    assert label_image.main(["photos/red/000.png", "--min_score=1"]) == 0
    assert capsys.readouterr().out == "(no label reaches the minimum score)\n"


def test_photos_are_sorted_into_folders_and_nothing_is_overwritten(capsys: pytest.CaptureFixture,
                                                                   tmp_path: Path) -> None:
    arguments = ["photos/red", "photos/blue", f"--sort_into={tmp_path / 'sorted'}"]
    for _ in range(2):
        assert label_image.main(arguments) == 0
    files = sorted(path for path in (tmp_path / "sorted").rglob("*") if path.is_file())
    assert sorted(path.read_bytes() for path in files) == sorted(
        path.read_bytes() for label in ("red", "blue") for path in Path("photos", label).iterdir())
    capsys.readouterr()
    labels = {prediction["labels"][0]["label"] for prediction in label_json(capsys, "photos/red", "photos/blue")}
    assert labels == {path.parent.name for path in files}


@pytest.mark.parametrize("label", ["C:x", "a:stream", "CON", "com1.txt", "..", " . ", "a/b"])
def test_labels_that_are_no_folder_names_on_some_system_are_not_sorted(label: str, tmp_path: Path,
                                                                       monkeypatch: pytest.MonkeyPatch,
                                                                       capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("tfpoets.inference.Classifier.top_labels", lambda self, prediction, k: [(label, 0.9)])
    assert label_image.main(["photos/red/000.png", f"--sort_into={tmp_path / 'sorted'}"]) == 1
    assert "cannot be the name of a folder" in capsys.readouterr().err


@pytest.mark.parametrize("more, ignored", [
    (["--input_mean=0", "--input_std=255"], "Ignored: --input_mean, --input_std."),
    (["--input_height=224", "--input_width=224"], "Ignored: --input_height, --input_width."),
    (["--input_layer=Mul", "--output_layer=softmax"], "Ignored: --input_layer, --output_layer."),
    (["--labels=tf_files/retrained_labels.txt", "--input_height=32", "--input_layer=input"], None),
])
def test_flags_that_contradict_the_classifier_are_ignored_with_a_note(capsys: pytest.CaptureFixture, more: list[str],
                                                                      ignored: str | None) -> None:
    label_image.main(["--image=photos/red/000.png"])
    expected = capsys.readouterr().out
    assert label_image.main(["--image=photos/red/000.png", *more]) == 0
    captured = capsys.readouterr()
    assert captured.out == expected
    note = f"{ignored} The metadata of this classifier specifies its input.\n"
    assert captured.err == (note if ignored else "")


@pytest.fixture
def server(workspace: Path) -> Iterator[str]:
    """Serve the photos over HTTP."""
    with serving_folder(workspace) as address:
        yield address


def test_urls_are_labelled_like_files(server: str, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    file, url, missing = label_json(capsys, "photos/red/000.png", f"{server}/photos/red/000.png",
                                    f"{server}/none.jpg", f"--sort_into={tmp_path}", code=1)
    assert url["labels"] == file["labels"]
    assert "404" in missing["error"] or "not found" in missing["error"].lower()
    assert (tmp_path / file["labels"][0]["label"] / "000.png").exists()


@pytest.mark.parametrize("arguments, code, sentence", [
    ([], 2, "No photo was given."), (["--imag=x"], 2, "did you mean --image?"),
    (["--graph=nowhere.pb", "x.jpg"], 1, "no classifier at nowhere.pb"), (["nothing*.jpg"], 1, "No file matches"),
    (["--min_score=7", "x.jpg"], 2, "is not a number from 0 to 1"), (["tf_files/b"], 1, "no photos in tf_files/b"),
])
def test_an_invalid_command_line_gives_one_line(capsys: pytest.CaptureFixture, arguments: list[str], code: int,
                                                sentence: str) -> None:
    assert label_image.main(arguments) == code
    output = capsys.readouterr().err
    assert sentence in output and output.count("\n") == 1 and "Traceback" not in output


def test_a_closed_pipe_ends_the_command_quietly() -> None:
    piped = subprocess.run(f"{sys.executable} -m scripts.label_image photos | head -1", shell=True, text=True,
                           capture_output=True, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"})
    assert piped.stdout.startswith("photos/blue/000.png") and piped.stderr == ""


PROBE = """
import sys
from tfpoets.cli.{command} import main
try:
    code = main({arguments})
except SystemExit as stop:
    code = stop.code
slow = [name for name in ("tensorflow", "keras", "sklearn", "scipy", "matplotlib") if name in sys.modules]
assert not slow, slow
sys.exit(code)
"""


@pytest.mark.parametrize("command, arguments", [
    ("label_image", ["--image=photos/red/000.png"]), ("label_image", ["--help"]), ("retrain", ["--help"]),
    ("sample_photos", ["--help"]), ("evaluate", ["--help"]), ("export", ["--help"]), ("serve", ["--help"]),
    ("quantize_graph", ["--help"]), ("doctor", ["--help"])])
def test_tensorflow_is_not_imported(command: str, arguments: list[str]) -> None:
    probe = subprocess.run([sys.executable, "-c", PROBE.format(command=command, arguments=arguments)], text=True,
                           capture_output=True, env={"PYTHONPATH": str(ROOT), "COLUMNS": "80"})
    assert probe.returncode == 0, probe.stderr
    assert probe.stdout and max(map(len, probe.stdout.splitlines())) <= 80


def test_a_tflite_can_be_copied_alone(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    shutil.copy("tf_files/retrained_graph.tflite", tmp_path / "mine.tflite")
    assert label_image.main([f"--graph={tmp_path / 'mine.tflite'}", "photos/red/000.png"]) == 0
