"""Networks trained from scratch on thousands of small pictures and on gray photos of castings."""
from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

import tfpoets
from tests.shapes import write_shapes
from tfpoets.cli import evaluate, label_image, retrain
from tfpoets.data import load_photos, read_dataset
from tfpoets.events import ChecksSkipped
from tfpoets.networks import CifarCNN
from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import NetworkOptions

EPOCHS, N_KERAS_PHOTOS = 12, 640
# The maximum time of a complete retraining run, relative to as many epochs of Keras's fit with the same network on the
# same machine. A limit in seconds would not work, because machines with two cores differ by a factor of three.
MAX_KERAS_RATIO = 2.0


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pixel_baseline_accuracy(root: Path) -> float:
    """Return the accuracy of a logistic regression on pixels, tested on every tenth photo."""
    dataset = read_dataset(root)
    pixels = load_photos([photo.uri for photo in dataset.photos], 32, 32, 2).reshape(len(dataset.photos), -1) / 255
    test = np.arange(len(pixels)) % 10 == 0
    y = dataset.targets
    return float(LogisticRegression(C=0.01, max_iter=200).fit(pixels[~test], y[~test]).score(pixels[test], y[test]))


def time_keras_epoch() -> float:
    """Return the seconds of one epoch of Keras's fit on N_KERAS_PHOTOS photos, with the layers of cifar_cnn."""
    import_tensorflow()
    import keras
    model = CifarCNN().build(32, 32, 10)
    model.compile("adamw", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    photos, y = rng.random((N_KERAS_PHOTOS, 32, 32, 3), np.float32), rng.integers(0, 10, N_KERAS_PHOTOS)
    model.fit(photos, y, batch_size=32, verbose=0)  # builds the graph
    start = time.monotonic()
    model.fit(photos, y, batch_size=32, verbose=0)
    return time.monotonic() - start


@pytest.mark.slow
@pytest.mark.timeout(2700)
def test_the_cifar_network_learns_shapes_better_than_a_linear_model(capsys: pytest.CaptureFixture) -> None:
    write_shapes(Path("shapes"), 500)
    start = time.monotonic()
    assert retrain.main(["--image_dir=shapes", "--architecture=cifar_cnn", f"--train_epochs={EPOCHS}",
                         "--nodoctor"]) == 0
    seconds = time.monotonic() - start
    metadata = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
    accuracy = metadata["test"]["accuracy"]
    keras_seconds = time_keras_epoch() * EPOCHS * metadata["split"]["counts"]["training"] / N_KERAS_PHOTOS
    baseline = pixel_baseline_accuracy(Path("shapes"))
    with capsys.disabled():
        print(f"\n5,000 shapes: cifar_cnn {accuracy:.1%} in {seconds:.0f} s (Keras's fit alone {keras_seconds:.0f}); "
              f"logistic regression {baseline:.1%}")
    assert baseline < 0.6 and accuracy > 0.95 and seconds < MAX_KERAS_RATIO * keras_seconds


def test_a_grayscale_network_learns_to_inspect_castings(shared_data: Path, capsys: pytest.CaptureFixture) -> None:
    castings = shared_data / "photos" / "casting"
    assert retrain.main([f"--image_dir={castings / 'train'}", f"--test_dir={castings / 'test'}", "--format=json",
                         "--architecture=casting_cnn", "--color_mode=grayscale", "--image_size=96", "--batch_size=16",
                         "--train_epochs=12", "--validation_percentage=20", "--flip_left_right", "--nodoctor"]) == 0
    stdout, stderr = capsys.readouterr()
    assert "are used only there: 1." in stderr  # cast_ok_0_1172.jpeg is in both folders
    result = json.loads(stdout)
    assert result["test"]["count"] == 60 and result["network"]["height"] == result["network"]["width"] == 96
    assert result["test"]["interval"][0] > 0.5, "no better than guessing"
    assert result["head"]["epochs"] == 12
    assert evaluate.main([f"--image_dir={castings / 'test'}", "--format=json", "--report=castings.html"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["accuracy"] == pytest.approx(result["test"]["accuracy"]) and metrics["count"] == 60
    for page in ("castings.html", "tf_files/retrained_graph.html"):
        assert "def_front" in Path(page).read_text("utf-8")


def test_a_grayscale_network_gives_colour_and_gray_photos_the_same_scores(capsys: pytest.CaptureFixture) -> None:
    write_shapes(Path("shapes"), 20, size=28)
    assert retrain.main(["--image_dir=shapes", "--architecture=lenet", "--color_mode=grayscale", "--image_size=28",
                         "--train_epochs=2", "--nodoctor"]) == 0
    capsys.readouterr()
    photo = Path("shapes/ring/0000.png")
    Image.open(photo).convert("L").save("gray.png")
    scores = []
    for path in (photo, Path("gray.png")):
        assert label_image.main([str(path), "--format=jsonl"]) == 0
        scores.append({entry["label"]: entry["score"] for entry in json.loads(capsys.readouterr().out)["labels"]})
    assert scores[0].keys() == scores[1].keys()
    assert all(abs(scores[0][label] - scores[1][label]) < 0.02 for label in scores[0])


def test_a_network_from_scratch_needs_no_pretrained_network_unless_the_doctor_is_requested(
        capsys: pytest.CaptureFixture) -> None:
    write_shapes(Path("shapes"), 8)
    command = ["--image_dir=shapes", "--architecture=lenet", "--train_epochs=1", "--model_dir=models"]
    assert retrain.main(command) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "Skipped: the data doctor" in output and "Add --doctor to run them." in output
    assert output.index("Skipped") < output.index("Epoch 1")
    assert not Path("models").exists()
    assert not Path("tf_files/retrained_graph_findings.csv").exists()
    metadata = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
    assert metadata["options"]["doctor"] is False
    assert retrain.main([*command, "--nodoctor"]) == 0
    assert "Skipped" not in capsys.readouterr().out


def test_the_doctor_examines_the_photos_of_a_network_from_scratch_if_requested(
        tiny_module: Path, model_dir: Path) -> None:
    write_shapes(Path("shapes"), 8)
    Path("shapes/disc/again.png").write_bytes(Path("shapes/disc/0000.png").read_bytes())
    values = {"network": NetworkOptions(architecture="lenet", epochs=1), "handle": str(tiny_module),
              "model_dir": model_dir}
    events: list[object] = []
    result = tfpoets.retrain("shapes", doctor=True, on_event=events.append, **values)
    assert result.findings and "exact_duplicate" in {finding.kind for finding in result.findings}
    assert result.extractor and result.extractor.depth == 24 and ChecksSkipped() not in events
    result = tfpoets.retrain("shapes", on_event=events.append, **values)
    assert result.findings is None and result.extractor is None and ChecksSkipped() in events


def test_unavailable_imagenet_weights_are_an_error(capsys: pytest.CaptureFixture) -> None:
    write_shapes(Path("shapes"), 6)
    assert retrain.main(["--image_dir=shapes", "--architecture=resnet50_v2", "--weights=imagenet", "--image_size=32",
                         "--nodoctor", "--offline"]) == 1
    output = capsys.readouterr().err
    assert "The weights of keras:ResNet50V2 are not on this machine" in output and "Traceback" not in output


@pytest.mark.slow
def test_resnet50_v2_trains_from_random_weights(capsys: pytest.CaptureFixture) -> None:
    write_shapes(Path("shapes"), 12)
    assert retrain.main(["--image_dir=shapes", "--architecture=resnet50_v2", "--image_size=32", "--nodoctor",
                         "--train_epochs=1", "--optimizer=sgd"]) == 0
    metadata = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
    assert metadata["network"]["handle"] == "resnet50_v2" and metadata["head"]["optimizer"] == "sgd"
