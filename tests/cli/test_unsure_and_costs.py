"""--accuracy_target and --costs: the rules that retrain stores, and the answers that the other commands give."""
from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import retrain_json, write_photos
from tfpoets.cli import evaluate, label_image, retrain, show_image
from tfpoets.inference import load_classifier
from tfpoets.serving import InferencePool, Limits, create_app

GRAPHS = ["tf_files/retrained_graph.tflite", "tf_files/retrained_graph.pb", "saved"]
COSTS = "true,predicted,cost\ngreen,blue,30\nred,blue,30\n"


def write_mixture(path: Path) -> None:
    """Write a photo between two classes: its left half is from one of them, and its right half from the other."""
    left, right = (np.asarray(Image.open(file)) for file in ("photos/blue/000.png", "photos/green/000.png"))
    Image.fromarray(np.concatenate([left[:, :24], right[:, 24:]], axis=1)).save(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_module: Path, model_dir: Path) -> Path:
    """A folder with photos and a classifier that has an accuracy target and costs."""
    folder = tmp_path_factory.mktemp("unsure")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for hue, label in enumerate(("red", "green", "blue")):
            write_photos(Path("photos") / label, 40, hue)
        # Some photos have the wrong label, so that the classifier is uncertain about some of its answers.
        for number, (label, hue) in enumerate((("red", 1), ("green", 2), ("blue", 0))):
            write_photos(Path("other") / label, 4, hue, seed=70 + number)
            for photo in (Path("other") / label).iterdir():
                photo.rename(Path("photos") / label / f"other{photo.name}")
        write_mixture(Path("mixture.png"))
        Path("costs.csv").write_text(COSTS)
        assert retrain.main(["--image_dir=photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                             "--accuracy_target=0.85", "--costs=costs.csv", "--saved_model_dir=saved", "--nodoctor",
                             "--testing_percentage=25"]) == 0
    return folder


@pytest.fixture(autouse=True)
def workspace(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)


def expected_answer(probabilities: list[float]) -> tuple[str, bool]:
    """Return the label with the lowest expected cost, and whether it is too uncertain, from the metadata file."""
    metadata = json.loads(Path(GRAPHS[0]).with_suffix(".json").read_text("utf-8"))
    labels = metadata["labels"]
    costs = 1 - np.eye(3)
    costs[labels.index("green"), labels.index("blue")] = costs[labels.index("red"), labels.index("blue")] = 30
    answer = int((np.array(probabilities) @ costs).argmin())
    return labels[answer], probabilities[answer] < metadata["unsure"]["threshold"]


def find_unsure_photo() -> Path:
    classifier = load_classifier(GRAPHS[0])
    return next(path for path in sorted(Path("photos").rglob("*.png"))
                if classifier.predict_photo(path.read_bytes()).unsure)


def label_json(capsys: pytest.CaptureFixture, *arguments: str) -> list[dict]:
    assert label_image.main(["--format=jsonl", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_file_gives_the_least_costly_answer_and_says_if_it_is_unsure(
        graph: str, capsys: pytest.CaptureFixture) -> None:
    results = label_json(capsys, f"--graph={graph}", "photos/red", "photos/green", "photos/blue", "mixture.png")
    labels = sorted(row["label"] for row in results[0]["labels"])
    answers = set()
    for result in results:
        scores = {row["label"]: row["score"] for row in result["labels"]}
        answer, is_unsure = expected_answer([scores[label] for label in labels])
        assert result["labels"][0]["label"] == answer and result["unsure"] == is_unsure
        answers.add((answer == max(scores, key=scores.__getitem__), is_unsure))
    assert {True, False} <= {is_unsure for _, is_unsure in answers} and (False, True) in answers


def test_the_label_of_a_saved_model_follows_the_same_rules() -> None:
    import tensorflow
    classifier = load_classifier("saved")
    serve = tensorflow.saved_model.load("saved/1").signatures["serving_default"]
    seen = set()
    for path in [*Path("photos").rglob("*.png"), Path("mixture.png")]:
        pixels = classifier.input.scale(classifier.input.load_pixels(path.read_bytes())[None])
        outputs = serve(image=tensorflow.constant(pixels))
        answer, is_unsure = expected_answer(outputs["probabilities"].numpy()[0].astype(float).tolist())
        label = outputs["label"].numpy()[0].decode()
        assert label == ("unsure" if is_unsure else answer)
        seen.add(label)
    assert {"unsure", "red", "green"} <= seen


def test_the_server_marks_unsure_photos() -> None:
    classifier, limits = load_classifier(GRAPHS[0]), Limits()
    client = create_app(classifier, InferencePool(classifier, 1, limits), "classifier", limits).test_client()
    content = find_unsure_photo().read_bytes()
    result, = client.post("/label", data={"file": (io.BytesIO(content), "photo.png")}).get_json()["results"]
    scores = {row["label"]: row["score"] for row in result["labels"]}
    answer, is_unsure = expected_answer([scores[label] for label in classifier.labels])
    assert result["unsure"] is is_unsure is True and result["labels"][0]["label"] == answer
    pixels = classifier.input.scale(classifier.input.load_pixels(content)).tolist()
    prediction, = client.post("/v1/models/classifier:predict", json={"instances": [pixels]}).get_json()["predictions"]
    assert prediction["label"] == "unsure"


def test_text_csv_and_sorted_photos_show_unsure(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    photo = find_unsure_photo()
    assert label_image.main([str(photo), "--top_k=1", f"--sort_into={tmp_path}"]) == 0
    assert capsys.readouterr().out.startswith("unsure (too uncertain for the accuracy target; the classes:)\n  ")
    assert (tmp_path / "unsure" / photo.name).exists()
    assert label_image.main([str(photo), "--top_k=2", "--format=csv"]) == 0
    first, second = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (first["rank"], first["label"], first["score"]) == ("1", "unsure", "") and second["rank"] == "2"


def test_evaluate_counts_answers_and_costs(capsys: pytest.CaptureFixture) -> None:
    assert evaluate.main(["--image_dir=photos", "--format=json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    stored = json.loads(Path(GRAPHS[0]).with_suffix(".json").read_text("utf-8"))["unsure"]["test"]
    assert metrics["unsure"]["answered"] == stored["answered"] < metrics["count"]
    assert metrics["costs"]["mean"] <= metrics["costs"]["mean_of_most_probable"]
    assert evaluate.main(["--image_dir=photos", "--report=report.html"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "the target of 85%" in output and "Mean cost per photo:" in output
    assert "the target of 85%" in Path("report.html").read_text("utf-8")


def test_show_image_works_with_a_target_and_costs(capsys: pytest.CaptureFixture) -> None:
    assert show_image.main(["photos", f"--graph={GRAPHS[0]}", "--output=answers.png"]) == 0
    assert "right" in capsys.readouterr().out


def test_the_report_shows_the_curves(trained: Path) -> None:
    page = Path("tf_files/retrained_graph.html").read_text("utf-8")
    assert "More photos" in page and "Twice as many photos:" in page
    assert "Photos left to you" in page and "with the least certain answers are left to you" in page


def test_a_solver_that_keeps_the_validation_photos_chooses_its_threshold_on_them(
        tiny_module: Path, model_dir: Path, capsys: pytest.CaptureFixture) -> None:
    result = retrain_json(capsys, "--image_dir=photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                          "--how_many_training_steps=300", "--accuracy_target=0.6", "--output_graph=sgd/g.pb",
                          "--output_labels=sgd/l.txt", "--nodoctor", "--validation_percentage=30")
    assert result["unsure"]["count"] == result["split"]["counts"]["validation"]
    assert 0 < result["unsure"]["threshold"] < 1 and result["learning_curve"] is None


@pytest.mark.parametrize(("arguments", "words"), [
    (["--accuracy_target=99"], "--accuracy_target=99 is not a number from 0 to 1; does it mean 99%?"),
    (["--accuracy_target=1"], "accuracy_target"),
    (["--costs=missing.csv"], "The cost table missing.csv cannot be read"),
    (["--costs=photos"], "cost table photos")])
def test_unusable_values_are_errors(arguments: list[str], words: str, tiny_module: Path, model_dir: Path,
                                    capsys: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                         *arguments]) != 0
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_target_that_cannot_be_reached_is_a_warning_and_gives_no_answers(
        tiny_module: Path, model_dir: Path, capfd: pytest.CaptureFixture) -> None:
    assert retrain.main(["--image_dir=photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}", "--advice",
                         "--accuracy_target=0.9999", "--output_graph=strict/g.pb", "--output_labels=strict/l.txt",
                         "--nodoctor"]) == 0
    captured = capfd.readouterr()
    assert "No threshold reaches --accuracy_target=0.9999" in " ".join(captured.err.split())
    assert load_classifier("strict/g.tflite").label("photos/red/000.png") == "unsure"
