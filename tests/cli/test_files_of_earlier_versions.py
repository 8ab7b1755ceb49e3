"""What an earlier version computed is used as it is: caches, prepared extractors, checkpoints, classifiers."""
from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from tfpoets.cli import evaluate, export, label_image, retrain
from tfpoets.cli.parser import parse_flags
from tfpoets.cli.retrain import options_from

ARCHIVE = Path(__file__).resolve().parents[1] / "compatibility" / "version_f862d5e.tar.gz"
COMMON = ["--image_dir=photos", "--model_dir=models", "--bottleneck_dir=bottlenecks", "--nodoctor",
          "--testing_percentage=20", "--validation_percentage=20", "--output_graph=new/g.pb",
          "--output_labels=new/l.txt"]
CLASSIFIERS = ["classifier/g.tflite", "classifier/g.pb", "classifier/saved"]


@pytest.fixture(autouse=True)
def old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files in a folder of their own, which is the working folder."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)


def test_no_bottleneck_is_computed_again(capsys: pytest.CaptureFixture) -> None:
    prepared = list(Path("models").iterdir())
    assert retrain.main([*COMMON, "--tfhub_module=module", "--augmented_views=2", "--flip_left_right",
                         "--random_brightness=10", "--unknown_coverage=0.9", "--format=json"]) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert (told["bottlenecks"]["computed"], told["bottlenecks"]["count"]) == (0, 24)
    assert told["augmented"] == {"views": 2, "photos": 19, "computed": 0}
    assert "Preparing" not in said.err and list(Path("models").iterdir()) == prepared
    old, new = (json.loads(Path(folder, "g.json").read_text("utf-8")) for folder in ("classifier", "new"))
    assert [new[part] for part in ("split", "network")] == [old[part] for part in ("split", "network")]


def test_a_stopped_training_goes_on(capsys: pytest.CaptureFixture) -> None:
    assert retrain.main([*COMMON, "--architecture=lenet", "--image_size=8", "--train_epochs=3", "--optimizer=sgd",
                         "--random_crop=10", "--resume"]) == 0
    said = capsys.readouterr()
    assert "continues at step" in said.err
    assert json.loads(Path("new/g.json").read_text("utf-8"))["head"]["epochs"] == 3


@pytest.mark.parametrize("flags, key", [
    (["--augmented_views=3"], '{"flip": true, "crop": 0.0, "scale": 41.0, "brightness": 0.0}'),
    (["--random_scale=10"], '{"flip": false, "crop": 0, "scale": 10, "brightness": 0}')])
def test_augmented_views_have_the_key_that_they_had(flags: list[str], key: str) -> None:
    options = options_from(parse_flags("retrain", "", retrain.FLAGS, ["--image_dir=elsewhere", *flags]))
    assert options.training.augmented and options.training.augmented[0].key == key


@pytest.mark.parametrize("flags, key", [
    (["--fine_tune_epochs=4"],
     '{"epochs": 4, "batch_size": 32, "optimizer": "adamw", "learning_rate": 0.0001, "warm_up": 30, "weight_decay": '
     '0.01, '
     '"label_smoothing": 0.1, "patience": 0, "monitor": "loss", "mixed_precision": false, "distortions": {"flip": '
     'true, '
     '"crop": 0.0, "scale": 41.0, "brightness": 0.0}, "seed": 0}'),
    (["--architecture=lenet", "--random_crop=10", "--seed=7"],
     '{"epochs": 20, "batch_size": 32, "optimizer": "adamw", "learning_rate": 0.001, "warm_up": 30, "weight_decay": '
     '0.01, '
     '"label_smoothing": 0.0, "patience": 0, "monitor": "loss", "mixed_precision": false, "distortions": {"flip": '
     'false, '
     '"crop": 10, "scale": 0, "brightness": 0}, "seed": 7}')])
def test_trainings_of_all_layers_have_the_key_that_they_had(flags: list[str], key: str) -> None:
    given = parse_flags("retrain", "", retrain.FLAGS, ["--image_dir=elsewhere", *flags])
    network = options_from(given).training.all_layers
    assert network is not None and json.dumps(network.identity()) == key


def test_every_form_of_a_classifier_labels_photos(capsys: pytest.CaptureFixture) -> None:
    answers = []
    for graph in CLASSIFIERS:
        assert label_image.main([f"--graph={graph}", "photos", "--format=jsonl", "--top_k=1"]) == 0
        answers.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    assert len(answers[0]) == 24
    for others in answers[1:]:
        assert [each["labels"][0]["label"] for each in others] == [each["labels"][0]["label"] for each in answers[0]]
        assert [each["unknown_score"] for each in others] == pytest.approx(
            [each["unknown_score"] for each in answers[0]], rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("graph", CLASSIFIERS)
def test_a_classifier_still_knows_its_training_photos(graph: str, capsys: pytest.CaptureFixture) -> None:
    assert evaluate.main([f"--graph={graph}", "--image_dir=photos", "--format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 5


def test_a_graph_is_exported_and_finds_the_photos_of_its_training(capsys: pytest.CaptureFixture) -> None:
    assert export.main(["--graph=classifier/g.pb", "--to=tflite", "--output_dir=exported"]) == 0
    assert "5 of 5" in capsys.readouterr().out
