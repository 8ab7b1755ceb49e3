"""Unknown photos: --unknown_coverage in retrain, label_image and evaluate."""
from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import write_photos
from tfpoets.cli import evaluate, label_image, retrain
from tfpoets.data import load_photos
from tfpoets.errors import TfpoetsError
from tfpoets.exporting import FROZEN_GRAPH, TFLITE_CLASSIFIER, LoadedReference, check_output_name, verify
from tfpoets.inference import load_classifier
from tfpoets.tf_runtime import import_tensorflow

GRAPHS = ["tf_files/retrained_graph.tflite", "tf_files/retrained_graph.pb", "saved"]
TARGETS = {".pb": FROZEN_GRAPH, ".tflite": TFLITE_CLASSIFIER}


def write_unknown_photos(folder: Path, count: int) -> None:
    """Write photos of stripes, unlike the spots of the classes."""
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.zeros((48, 48, 3), np.uint8)
        pixels[number % 3::3] = (255, 0, 255)
        pixels[:, number % 4::4] = (0, 255, 255)
        Image.fromarray(pixels).save(folder / f"stripes{number}.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_module: Path, model_dir: Path) -> Path:
    """A folder with a classifier that has a reject option, new photos of its classes and unknown photos."""
    folder = tmp_path_factory.mktemp("unknown")
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(folder / "photos" / label, 40, hue)
        write_photos(folder / "new" / label, 8, hue, seed=50)
    write_unknown_photos(folder / "new" / "unknown", 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert retrain.main(["--image_dir=photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                             "--unknown_coverage=0.9", "--validation_percentage=30", "--saved_model_dir=saved"]) == 0
    return folder


@pytest.fixture(autouse=True)
def workspace(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)


def label_json(capsys: pytest.CaptureFixture, *arguments: str) -> list[dict]:
    assert label_image.main(["--format=jsonl", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_file_rejects_unknown_photos_and_accepts_known_ones(
        graph: str, capsys: pytest.CaptureFixture) -> None:
    unknown = label_json(capsys, f"--graph={graph}", "new/unknown")
    assert all(prediction["unknown"] for prediction in unknown)
    known = label_json(capsys, f"--graph={graph}", "new/red", "new/green", "new/blue")
    assert np.mean([prediction["unknown"] for prediction in known]) <= 0.25
    tflite = label_json(capsys, "new/unknown")
    for prediction, expected in zip(unknown, tflite):
        assert prediction["unknown_score"] == pytest.approx(expected["unknown_score"], rel=1e-3)


def test_the_metadata_contains_threshold_coverage_and_test_metrics() -> None:
    metadata = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
    unknown = metadata["unknown"]
    assert unknown["coverage"] == 0.9 and np.isfinite(unknown["threshold"])
    assert unknown["test"]["count"] == metadata["test"]["count"]
    assert metadata["labels"] == ["blue", "green", "red"]
    assert "Called unknown:" in Path("tf_files/retrained_graph.html").read_text("utf-8")


def test_text_shows_unknown_first_and_the_classes_below(capsys: pytest.CaptureFixture) -> None:
    assert label_image.main(["new/unknown/stripes0.png", "--top_k=1"]) == 0
    output = capsys.readouterr().out.splitlines()
    assert output[0] == "unknown (unlike the training photos; the most similar classes:)"
    assert re.fullmatch(r"  (red|green|blue) \(score=\d\.\d{5}\)", output[1]) and len(output) == 2


def test_csv_gives_unknown_the_first_rank(capsys: pytest.CaptureFixture) -> None:
    assert label_image.main(["new/unknown/stripes0.png", "--top_k=1", "--format=csv", "--min_score=0.99999"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert label_image.main(["new/unknown/stripes0.png", "--top_k=2", "--format=csv"]) == 0
    first, second = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (first["rank"], first["label"], first["score"]) == ("1", "unknown", "")
    assert second["rank"] == "2" and second["label"] in ("red", "green", "blue")


def test_unknown_photos_are_sorted_into_a_folder_named_unknown(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert label_image.main(["new/unknown", f"--sort_into={tmp_path / 'sorted'}", "--min_score=0.99"]) == 0
    assert len(list((tmp_path / "sorted" / "unknown").iterdir())) == 12


def test_evaluate_measures_the_rejection_of_a_folder_named_unknown(capsys: pytest.CaptureFixture) -> None:
    assert evaluate.main(["--image_dir=new"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "(N=24)" in output
    assert re.search(r"Called unknown: \d+\.\d% \(95% interval .*\) of the photos\. Of the others, ", output)
    assert re.search(r"Of 12 unknown photos, 100\.0% \(95% interval 75\.8-100\.0%\) were called unknown", output)
    assert evaluate.main(["--image_dir=new", "--format=json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["count"] == 24 and metrics["unknown"]["strangers"] == 12 and metrics["unknown"]["auroc"] > 0.95
    predictions = predict_all(Path("new"))
    assert metrics["unknown"]["called_unknown"] == sum(prediction.unknown for prediction in predictions)


def predict_all(folder: Path) -> list:
    classifier = load_classifier(Path(GRAPHS[0]))
    paths = [path for label in classifier.labels for path in sorted((folder / label).iterdir())]
    return [prediction for _, prediction in classifier.predict_photos(paths, lambda path: path.read_bytes())]


def test_the_saved_model_outputs_unknown_as_a_label() -> None:
    loaded = import_tensorflow().saved_model.load("saved/1")
    for name, label in (("unknown/stripes0.png", b"unknown"), ("red/000.png", b"red")):
        photo = Path("new", name).read_bytes()
        prediction = loaded.signatures["predict_bytes"](image_bytes=import_tensorflow().constant([photo]))
        assert prediction["label"].numpy().tolist() == [label]
        assert prediction["unknown_score"].shape == (1,) and prediction["probabilities"].shape == (1, 3)


def test_a_file_with_a_different_unknown_score_fails_verification() -> None:
    path = Path(GRAPHS[1])
    pixels = load_photos(sorted(Path("new/red").iterdir()), 32, 32, 2)
    outputs = load_classifier(path).outputs(pixels)
    reference = LoadedReference([], pixels, outputs)
    metadata = load_classifier(path).metadata
    assert [row.count for row in verify("g", TARGETS[path.suffix], path, metadata, reference)] == [len(pixels)]
    outputs[3, -1] += 0.1
    with pytest.raises(TfpoetsError, match="does not reproduce the outputs.*unknown score"):
        list(verify("g", TARGETS[path.suffix], path, metadata, reference))


def test_a_folder_named_unknown_is_refused(tmp_path: Path, tiny_module: Path, model_dir: Path,
                                           capsys: pytest.CaptureFixture) -> None:
    shutil.copytree("photos", tmp_path / "photos")
    (tmp_path / "photos" / "blue").rename(tmp_path / "photos" / "Unknown")
    assert retrain.main([f"--image_dir={tmp_path / 'photos'}", f"--tfhub_module={tiny_module}",
                         f"--model_dir={model_dir}", "--unknown_coverage=0.9", "--output_graph=other.pb"]) == 2
    output = capsys.readouterr().err
    assert "unknown photos are labelled unknown, but there is also a class named Unknown" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("more", [["--unknown_coverage=1.5"], ["--unknown_coverage=0"],
                                  ["--unknown_coverage=0.9", "--validation_percentage=0"]])
def test_invalid_coverage_is_refused(more: list[str], capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=photos", *more]) == 2
    assert "--unknown_coverage" in capsys.readouterr().err


def test_the_output_node_cannot_have_the_name_of_the_unknown_score() -> None:
    with pytest.raises(TfpoetsError, match="begins with the name of another node"):
        check_output_name("unknown_score")
