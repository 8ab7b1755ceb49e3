"""Photos of no class: --unknown_coverage, from retrain to label_image and evaluate."""
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
from tfpoets.exporting import FROZEN_GRAPH, TFLITE_CLASSIFIER, LoadedProof, check_output_name, prove
from tfpoets.inference import load_classifier
from tfpoets.tf_runtime import import_tensorflow

GRAPHS = ["tf_files/retrained_graph.tflite", "tf_files/retrained_graph.pb", "saved"]
TARGETS = {".pb": FROZEN_GRAPH, ".tflite": TFLITE_CLASSIFIER}


def write_strangers(folder: Path, count: int) -> None:
    """Photos of stripes, unlike the spots of the classes."""
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.zeros((48, 48, 3), np.uint8)
        pixels[number % 3::3] = (255, 0, 255)
        pixels[:, number % 4::4] = (0, 255, 255)
        Image.fromarray(pixels).save(folder / f"stripes{number}.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_module: Path, model_dir: Path) -> Path:
    """A folder with a classifier that may say unknown, new photos of its classes and strangers."""
    folder = tmp_path_factory.mktemp("unknown")
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(folder / "photos" / label, 40, hue)
        write_photos(folder / "new" / label, 8, hue, seed=50)
    write_strangers(folder / "new" / "unknown", 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert retrain.main(["--image_dir=photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                             "--unknown_coverage=0.9", "--validation_percentage=30", "--saved_model_dir=saved"]) == 0
    return folder


@pytest.fixture(autouse=True)
def there(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)


def labelled(capsys: pytest.CaptureFixture, *arguments: str) -> list[dict]:
    assert label_image.main(["--format=jsonl", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_file_calls_strangers_unknown_and_new_photos_of_a_class_not(graph: str, capsys: pytest.CaptureFixture
                                                                          ) -> None:
    strangers = labelled(capsys, f"--graph={graph}", "new/unknown")
    assert all(each["unknown"] for each in strangers)
    known = labelled(capsys, f"--graph={graph}", "new/red", "new/green", "new/blue")
    assert np.mean([each["unknown"] for each in known]) <= 0.25
    tflite = labelled(capsys, "new/unknown")
    for here, there in zip(strangers, tflite):
        assert here["unknown_score"] == pytest.approx(there["unknown_score"], rel=1e-3)


def test_the_metadata_has_threshold_coverage_and_what_the_test_said() -> None:
    metadata = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
    unknown = metadata["unknown"]
    assert unknown["coverage"] == 0.9 and np.isfinite(unknown["threshold"])
    assert unknown["test"]["count"] == metadata["test"]["count"]
    assert metadata["labels"] == ["blue", "green", "red"]
    assert "Called unknown:" in Path("tf_files/retrained_graph.html").read_text("utf-8")


def test_in_text_unknown_comes_first_and_what_it_is_likest_to_below(capsys: pytest.CaptureFixture) -> None:
    assert label_image.main(["new/unknown/stripes0.png", "--top_k=1"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "unknown (unlike the training photos; if it had to be one of the classes:)"
    assert re.fullmatch(r"  (red|green|blue) \(score=\d\.\d{5}\)", said[1]) and len(said) == 2


def test_in_csv_unknown_has_the_first_rank(capsys: pytest.CaptureFixture) -> None:
    assert label_image.main(["new/unknown/stripes0.png", "--top_k=1", "--format=csv", "--min_score=0.99999"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert label_image.main(["new/unknown/stripes0.png", "--top_k=2", "--format=csv"]) == 0
    first, second = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (first["rank"], first["label"], first["score"]) == ("1", "unknown", "")
    assert second["rank"] == "2" and second["label"] in ("red", "green", "blue")


def test_unknown_photos_are_sorted_into_a_folder_of_that_name(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert label_image.main(["new/unknown", f"--sort_into={tmp_path / 'sorted'}", "--min_score=0.99"]) == 0
    assert len(list((tmp_path / "sorted" / "unknown").iterdir())) == 12


def test_evaluate_says_how_many_of_the_folder_unknown_are_told(capsys: pytest.CaptureFixture) -> None:
    assert evaluate.main(["--image_dir=new"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "(N=24)" in said
    assert re.search(r"Called unknown: \d+\.\d% \(95% interval .*\) of the photos\. Of those given a label, ", said)
    assert re.search(r"Of 12 photos of no class, 100\.0% \(95% interval 75\.8-100\.0%\) are called unknown", said)
    assert evaluate.main(["--image_dir=new", "--format=json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["count"] == 24 and found["unknown"]["strangers"] == 12 and found["unknown"]["auroc"] > 0.95
    answers = labelled_all(Path("new"))
    assert found["unknown"]["called_unknown"] == sum(answer.unknown for answer in answers)


def labelled_all(folder: Path) -> list:
    classifier = load_classifier(Path(GRAPHS[0]))
    paths = [path for label in classifier.labels for path in sorted((folder / label).iterdir())]
    return [answer for _, answer in classifier.label_photos(paths, lambda path: path.read_bytes())]


def test_the_saved_model_says_unknown_itself() -> None:
    loaded = import_tensorflow().saved_model.load("saved/1")
    for name, label in (("unknown/stripes0.png", b"unknown"), ("red/000.png", b"red")):
        photo = Path("new", name).read_bytes()
        answer = loaded.signatures["predict_bytes"](image_bytes=import_tensorflow().constant([photo]))
        assert answer["label"].numpy().tolist() == [label]
        assert answer["unknown_score"].shape == (1,) and answer["probabilities"].shape == (1, 3)


def test_a_file_with_another_unknown_score_fails_the_proof() -> None:
    path = Path(GRAPHS[1])
    pixels = load_photos(sorted(Path("new/red").iterdir()), 32, 32, 2)
    outputs = load_classifier(path).outputs(pixels)
    proof = LoadedProof([], pixels, outputs)
    metadata = load_classifier(path).metadata
    assert [row.count for row in prove("g", TARGETS[path.suffix], path, metadata, proof)] == [len(pixels)]
    outputs[3, -1] += 0.1
    with pytest.raises(TfpoetsError, match="does not give the answers of training.*of an unknown score"):
        list(prove("g", TARGETS[path.suffix], path, metadata, proof))


def test_a_folder_named_unknown_is_refused(tmp_path: Path, tiny_module: Path, model_dir: Path,
                                           capsys: pytest.CaptureFixture) -> None:
    shutil.copytree("photos", tmp_path / "photos")
    (tmp_path / "photos" / "blue").rename(tmp_path / "photos" / "Unknown")
    assert retrain.main([f"--image_dir={tmp_path / 'photos'}", f"--tfhub_module={tiny_module}",
                         f"--model_dir={model_dir}", "--unknown_coverage=0.9", "--output_graph=other.pb"]) == 2
    said = capsys.readouterr().err
    assert "unknown photos are labelled unknown, but the folder Unknown is a class" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("more", [["--unknown_coverage=1.5"], ["--unknown_coverage=0"],
                                  ["--unknown_coverage=0.9", "--validation_percentage=0"]])
def test_a_coverage_that_cannot_be_kept_is_refused(more: list[str], capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=photos", *more]) == 2
    assert "--unknown_coverage" in capsys.readouterr().err


def test_the_result_cannot_be_called_like_the_score() -> None:
    with pytest.raises(TfpoetsError, match="begins like other nodes"):
        check_output_name("unknown_score")
