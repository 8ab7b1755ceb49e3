"""Files of an earlier version are still used: caches, prepared extractors, checkpoints, classifiers."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tfpoets.cli import compare, evaluate, export, label_image, retrain
from tfpoets.cli.parser import parse_flags
from tfpoets.cli.retrain import options_from

ARCHIVE = Path(__file__).resolve().parents[1] / "compatibility" / "version_f862d5e.tar.gz"
COMMON = ["--image_dir=photos", "--model_dir=models", "--bottleneck_dir=bottlenecks", "--nodoctor",
          "--testing_percentage=20", "--validation_percentage=20", "--output_graph=new/g.pb",
          "--output_labels=new/l.txt"]
CLASSIFIERS = ["classifier/g.tflite", "classifier/g.pb", "classifier/saved"]


@pytest.fixture(autouse=True)
def old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpack the files into the working folder."""
    shutil.unpack_archive(ARCHIVE, tmp_path)  # extractall(filter=) is missing from Python 3.11.2
    monkeypatch.chdir(tmp_path)


def test_bottlenecks_are_reused(capsys: pytest.CaptureFixture) -> None:
    prepared = list(Path("models").iterdir())
    assert retrain.main([*COMMON, "--tfhub_module=module", "--augmented_views=2", "--flip_left_right",
                         "--random_brightness=10", "--unknown_coverage=0.9", "--format=json"]) == 0
    output = capsys.readouterr()
    result = json.loads(output.out)
    assert (result["bottlenecks"]["computed"], result["bottlenecks"]["count"]) == (0, 24)
    assert result["augmented"] == {"views": 2, "photos": 19, "computed": 0}
    assert "Preparing" not in output.err and list(Path("models").iterdir()) == prepared
    old, new = (json.loads(Path(folder, "g.json").read_text("utf-8")) for folder in ("classifier", "new"))
    assert [new[part] for part in ("split", "network")] == [old[part] for part in ("split", "network")]
    # The graph of the prepared extractor is reduced when it is exported.
    contents = [Path(folder, "g.pb").read_bytes() for folder in ("classifier", "new")]
    assert [b"explicit_paddings" in content for content in contents] == [True, False]
    assert [content.count(b"Placeholder") for content in contents] == [2, 1]


def test_an_interrupted_training_run_is_continued(capsys: pytest.CaptureFixture) -> None:
    assert retrain.main([*COMMON, "--architecture=lenet", "--image_size=8", "--train_epochs=3", "--optimizer=sgd",
                         "--random_crop=10", "--resume"]) == 0
    output = capsys.readouterr()
    assert "continues at step" in output.err
    assert json.loads(Path("new/g.json").read_text("utf-8"))["head"]["epochs"] == 3


@pytest.mark.parametrize("flags, key", [
    (["--augmented_views=3"], '{"flip": true, "crop": 0.0, "scale": 41.0, "brightness": 0.0}'),
    (["--random_scale=10"], '{"flip": false, "crop": 0, "scale": 10, "brightness": 0}')])
def test_cache_keys_of_augmented_views_are_unchanged(flags: list[str], key: str) -> None:
    options = options_from(parse_flags("retrain", "", retrain.FLAGS, ["--image_dir=elsewhere", *flags]))
    augmentation_and_views = options.training.augmentation_and_views
    assert augmentation_and_views and augmentation_and_views[0].key == key


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
def test_checkpoint_keys_are_unchanged(flags: list[str], key: str) -> None:
    args = parse_flags("retrain", "", retrain.FLAGS, ["--image_dir=elsewhere", *flags])
    network = options_from(args).training.all_layers
    assert network is not None and json.dumps(network.earlier_identity()) == key


def test_every_file_of_a_classifier_labels_photos(capsys: pytest.CaptureFixture) -> None:
    predictions = []
    for graph in CLASSIFIERS:
        assert label_image.main([f"--graph={graph}", "photos", "--format=jsonl", "--top_k=1"]) == 0
        predictions.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    assert len(predictions[0]) == 24
    labels = [[photo["labels"][0]["label"] for photo in photos] for photos in predictions]
    scores = [[photo["unknown_score"] for photo in photos] for photos in predictions]
    assert labels[1] == labels[2] == labels[0]
    for file_scores in scores[1:]:
        assert file_scores == pytest.approx(scores[0], rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("graph", CLASSIFIERS)
def test_training_photos_are_recognized(graph: str, capsys: pytest.CaptureFixture) -> None:
    assert evaluate.main([f"--graph={graph}", "--image_dir=photos", "--format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 5


def test_a_graph_is_exported_and_verified_on_its_test_photos(capsys: pytest.CaptureFixture) -> None:
    assert export.main(["--graph=classifier/g.pb", "--to=tflite", "--output_dir=exported"]) == 0
    assert "5 of 5" in capsys.readouterr().out


def test_a_run_is_compared_with_another_on_the_photos_that_both_tested(capsys: pytest.CaptureFixture) -> None:
    shutil.copytree("classifier", "copy")
    assert compare.main(["classifier/g.json", "copy/g.pb", "--format=json"]) == 0
    result = json.loads(capsys.readouterr().out)
    split = json.loads(Path("classifier/g.json").read_text("utf-8"))["split"]
    assert result["photos"]["count"] == split["counts"]["test"] == 5 and result["photos"]["notes"] == []
    assert result["pairs"][0]["difference"] == 0
