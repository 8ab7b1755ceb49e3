"""The evaluate command."""
from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_photos
from tfpoets.cli import evaluate, retrain
from tfpoets.data import photo_digest
from tfpoets.inference import load_classifier


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_module: Path, model_dir: Path) -> Path:
    """A folder with a retrained classifier in tf_files and new photos of its classes in `new`."""
    folder = tmp_path_factory.mktemp("workspace")
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(folder / "photos" / label, 20, hue)
        write_photos(folder / "new" / label, 4 + hue, hue, seed=50)
    files = folder / "tf_files"
    assert retrain.main([f"--image_dir={folder / 'photos'}", f"--tfhub_module={tiny_module}",
                         f"--model_dir={model_dir}", f"--output_graph={files / 'retrained_graph.pb'}",
                         f"--output_labels={files / 'retrained_labels.txt'}", f"--bottleneck_dir={files / 'b'}",
                         f"--summaries_dir={files / 's'}"]) == 0
    return folder


@pytest.fixture(autouse=True)
def workspace(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(trained, tmp_path / "workspace")
    monkeypatch.chdir(tmp_path / "workspace")


def accuracy(output: str) -> tuple[float, int]:
    percentage, count = re.search(r"^Accuracy = (\d+\.\d)% \(N=(\d+)\), 95% interval \d+\.\d-\d+\.\d%$", output,
                                  re.MULTILINE).groups()
    return float(percentage), int(count)


@pytest.mark.parametrize("graph", [[], ["tf_files/retrained_graph.pb"], ["--graph=tf_files/retrained_graph.tflite"]])
def test_the_accuracy_matches_the_predictions(graph: list[str], capsys: pytest.CaptureFixture) -> None:
    shutil.copy("new/red/000.png", "new/blue/actually_red.png")
    assert evaluate.main([*graph, "--image_dir=new"]) == 0
    output = capsys.readouterr().out
    classifier = load_classifier(Path("tf_files/retrained_graph.tflite"))
    correct = []
    for label in classifier.labels:
        paths = sorted(Path("new", label).iterdir())
        for _, prediction in classifier.predict_photos(paths, lambda path: path.read_bytes()):
            correct.append(classifier.labels[int(prediction.probabilities.argmax())] == label)
    assert accuracy(output) == (round(100 * float(np.mean(correct)), 1), 16) and not all(correct)
    assert "always predicting blue would reach 43.8%" in output
    assert re.search(r"^Cross entropy = \d\.\d{4} ± \d\.\d{4}\nExpected calibration error = \d+\.\d% "
                     r"\(few photos: mostly noise\)$", output, re.MULTILINE)
    assert "Most frequent confusions: blue taken for red (1)." in output
    assert all(len(line) < 80 for line in output.splitlines())


def test_json_contains_the_metrics(capsys: pytest.CaptureFixture) -> None:
    assert evaluate.main(["--image_dir=new", "--format=json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["count"] == 15 and metrics["labels"] == ["blue", "green", "red"]
    assert sum(map(sum, metrics["confusion_matrix"])) == 15 and metrics["interval"][0] < metrics["accuracy"]
    assert {label: row["support"] for label, row in metrics["per_class"].items()} == {"blue": 6, "green": 5, "red": 4}
    recalls = [row["recall"] for row in metrics["per_class"].values()]
    assert metrics["macro_average"]["recall"] == pytest.approx(np.mean(recalls))
    assert metrics["weighted_average"]["recall"] == pytest.approx(metrics["accuracy"])
    assert metrics["macro_average"]["support"] == metrics["weighted_average"]["support"] == 15
    assert 0 <= metrics["expected_calibration_error"] <= 1 and metrics["cross_entropy"] > 0
    assert metrics["top_k"]["3"] == 1


def test_a_report_is_written_on_request(capsys: pytest.CaptureFixture) -> None:
    shutil.copy("new/red/000.png", "new/blue/actually_red.png")
    assert evaluate.main(["--image_dir=new", "--report=report.html"]) == 0
    assert "Report: report.html" in capsys.readouterr().out
    page = Path("report.html").read_text("utf-8")
    assert "Evaluation of retrained_graph.tflite on new" in page and "actually_red.png" in page
    assert "Accuracy on 16 photos." in page
    assert "Misclassified photos (1)" in page and "Training curves" not in page


def test_unusable_photos_and_missing_classes_are_reported(capsys: pytest.CaptureFixture) -> None:
    Path("new/red/broken.jpg").write_bytes(b"no photo")
    Path("new/green").rename("new/violet")
    assert evaluate.main(["--image_dir=new"]) == 0
    captured = capsys.readouterr()
    assert accuracy(captured.out)[1] == 10
    assert "no label of that name: violet." in captured.err and "There are no photos of green." in captured.err
    assert "new/red/broken.jpg is left out: not a photo in a supported format." in captured.err


def test_a_single_class_can_be_evaluated(capsys: pytest.CaptureFixture) -> None:
    for label in ("red", "green"):
        shutil.rmtree(Path("new", label))
    assert evaluate.main(["--image_dir=new", "--input_mean=3", "--labels=missing.txt"]) == 0
    captured = capsys.readouterr()
    assert accuracy(captured.out)[1] == 6
    assert "Ignored: --input_mean. The metadata of this classifier specifies its input." in captured.err
    assert "Ignored: --labels. There is no label file missing.txt." in captured.err


def test_training_photos_are_excluded_even_if_they_were_moved(capsys: pytest.CaptureFixture, trained: Path) -> None:
    metadata = load_classifier(Path("tf_files/retrained_graph.tflite")).metadata
    shutil.copytree(trained / "photos", "moved")
    assert evaluate.main(["--image_dir=moved"]) == 0
    captured = capsys.readouterr()
    count = metadata.test.count
    assert f"{60 - count} of these photos were used for training; only the other {count} are evaluated" in captured.err
    assert accuracy(captured.out) == (round(100 * metadata.test.accuracy, 1), count)
    shutil.copy("new/red/000.png", "moved/red/added.png")
    assert evaluate.main(["--image_dir=moved"]) == 0
    assert accuracy(capsys.readouterr().out)[1] == count + 1


def test_evaluating_only_training_photos_gives_a_warning(capsys: pytest.CaptureFixture, trained: Path) -> None:
    metadata = load_classifier(Path("tf_files/retrained_graph.tflite")).metadata
    for path in sorted((trained / "photos").glob("*/*.png")):
        if metadata.training_digest_mask([photo_digest(path.read_bytes())])[0]:
            target = Path("training", path.parent.name, path.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    assert evaluate.main(["--image_dir=training"]) == 0
    assert "was trained on all of these photos" in capsys.readouterr().err


@pytest.mark.parametrize("report, sentence", [
    ("tf_files/retrained_graph.tflite", "must end in .html"), ("new/red/000.html", "is inside the photo folder new"),
    ("tf_files", "must end in .html"), ("folder.html", "is a folder")])
def test_a_report_never_overwrites_other_files(report: str, sentence: str, capsys: pytest.CaptureFixture) -> None:
    Path("folder.html").mkdir()
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert evaluate.main(["--image_dir=new", f"--report={report}"]) == 2
    assert sentence in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_a_report_creates_its_folder(capsys: pytest.CaptureFixture) -> None:
    assert evaluate.main(["--image_dir=new", "--report=a/b/report.html"]) == 0
    assert Path("a/b/report.html").exists()


@pytest.mark.parametrize("arguments, code, sentence", [
    (["--image_dir=nowhere"], 1, "There is no folder nowhere."), ([], 1, "There is no folder tf_files/flower_photos"),
    (["missing.pb", "--image_dir=new"], 1, "There is no classifier at missing.pb."),
    (["a.pb", "--graph=b.pb"], 2, "Two graphs were given: a.pb and b.pb."),
    (["--image_dir=other"], 1, "No photos in other have a label of .* \\(blue, green, red\\)."),
])
def test_errors_are_reported(arguments: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture) -> None:
    for hue, label in enumerate(("cat", "dog")):
        write_photos(Path("other") / label, 2, hue)
    assert evaluate.main(arguments) == code
    output = capsys.readouterr().err
    assert re.search(sentence, output) and "Traceback" not in output


def test_folder_names_match_the_spelling_of_labels_in_legacy_graphs(
        shared_data: Path, flowers: Path, capsys: pytest.CaptureFixture) -> None:
    graph = shared_data / "poets_graphs" / "glasses_mobilenet_0.25_224" / "retrained_graph.pb"
    for folder, label in (("With-Glasses", "daisy"), ("without glasses", "roses")):
        Path("people", folder).mkdir(parents=True)
        for photo in sorted((flowers / label).iterdir())[:3]:
            shutil.copy(photo, Path("people", folder))
    assert evaluate.main([str(graph), "--image_dir=people"]) == 0
    assert accuracy(capsys.readouterr().out)[1] == 6
