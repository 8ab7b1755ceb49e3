"""The tutorials in docs/ work as printed, on small generated photos."""
from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import write_photos
from tfpoets import ImageClassifier
from tfpoets.cli import evaluate, retrain, show_image
from tfpoets.data import load_photos
from tfpoets.inference import load_classifier
from tfpoets.networks import ResNet50V2

ROOT = Path(__file__).resolve().parents[1]
LABELS = ("blue", "green", "red")


def python_blocks(page: str) -> list[str]:
    """Return the Python blocks of a page, each of which must be marked as run by a test."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    blocks = re.findall(r"<!-- tests/test_docs.py runs this -->\n```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == text.count("```python")
    return blocks


def commands(page: str, name: str) -> list[list[str]]:
    """Return the arguments of the commands `python -m scripts.NAME` in the indented blocks of a page."""
    text = (ROOT / "docs" / page).read_text("utf-8").replace("\\\n", " ")
    return [shlex.split(line)[3:] for line in re.findall(rf"^    (python -m scripts\.{name}.*)$", text, re.MULTILINE)]


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an empty folder with photos of three classes the working folder."""
    monkeypatch.chdir(tmp_path)
    for hue, label in enumerate(reversed(LABELS)):
        write_photos(Path("my_photos", label), 40, hue)
    shutil.copy("my_photos/red/000.png", "new_photo.png")
    Image.open("new_photo.png").convert("RGB").save("new_photo.jpg", quality=95)


def run_script(code: str) -> dict[str, object]:
    """Run code as a file, because autograph reads the source of functions; return its variables."""
    Path("program.py").write_text(code, "utf-8")
    return runpy.run_path("program.py")


@contextlib.contextmanager
def running_server(graph: str) -> Iterator[str]:
    """Start `serve` on a free port, and yield its address."""
    process = subprocess.Popen([sys.executable, "-m", "scripts.serve", f"--graph={graph}", "--port=0"], text=True,
                               stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    try:
        yield next(line for line in process.stdout if line.startswith("Page")).split()[1]
    finally:
        process.kill()
        process.wait()


def label_over_http(address: str, photo: str) -> str:
    """Return the label that the server's REST API gives for a photo."""
    body = json.dumps({"instances": [{"b64": base64.b64encode(Path(photo).read_bytes()).decode()}]})
    with urllib.request.urlopen(f"{address}v1/models/classifier:predict", body.encode()) as response:
        return json.load(response)["predictions"][0]["label"]


def test_a_classifier_is_written_as_an_object_trained_saved_loaded_and_served(capsys: pytest.CaptureFixture) -> None:
    variables = run_script("\n".join(python_blocks("image_classifier.md")))
    output = capsys.readouterr().out
    fit, metrics, loaded = variables["fit"], variables["metrics"], variables["classifier"]
    assert metrics.accuracy > 0.8 and "EpochMetrics(number=0" in output
    best = fit.best_epoch
    assert len(fit.epochs) == 30 or len(fit.epochs) == best + 6, "five epochs without improvement end the training"
    assert fit.epochs[best].validation_accuracy == max(epoch.validation_accuracy for epoch in fit.epochs)
    assert loaded.labels == LABELS
    png, jpeg = (loaded.predict_bytes(Path(f"new_photo.{suffix}").read_bytes()) for suffix in ("png", "jpg"))
    np.testing.assert_allclose(png, jpeg, atol=0.1)
    assert f"b'{loaded.label('new_photo.jpg')}'" in output
    with running_server("models/lenet") as address:
        assert label_over_http(address, "new_photo.png") == loaded.label("new_photo.png")


@pytest.mark.slow
def test_a_residual_network_is_trained_as_an_object() -> None:
    class SmallResNet(ResNet50V2):
        image_size = 32
    classifier = SmallResNet()
    classifier.fit("my_photos", epochs=3, batch_size=16, optimizer="adam", monitor="accuracy", patience=5)
    classifier.save("models/resnet")
    loaded = SmallResNet.load("models/resnet")
    content = Path("new_photo.png").read_bytes()
    np.testing.assert_allclose(loaded.predict_bytes(content), classifier.predict_bytes(content), atol=1e-4)


def test_the_two_spellings_of_a_network_give_the_same_classifier() -> None:
    definitions = python_blocks("training.md")[0].split("def train_step")[0]
    Path("my_networks.py").write_text(
        f"{definitions}\ndef first(height, width, n_classes):\n    return sequential(n_classes)\n"
        "def second(height, width, n_classes):\n    return Subclass(n_classes)\n", "utf-8")
    pixels = load_photos(sorted(Path("my_photos").glob("*/00*.png")), 32, 32, 2)
    names, probabilities = [], []
    for function in ("first", "second"):
        assert retrain.main(["--image_dir=my_photos", f"--architecture=my_networks.py:{function}", "--image_size=32",
                             "--train_epochs=3", f"--output_graph={function}/graph.pb",
                             f"--output_labels={function}/labels.txt", "--export=keras"]) == 0
        names.append(sorted(path.name for path in Path(function).iterdir()))
        probabilities.append(load_classifier(Path(function, "graph.tflite")).probabilities(pixels))
    assert names[0] == names[1] and "graph.keras" in names[0]
    np.testing.assert_allclose(probabilities[0], probabilities[1], atol=1e-5)


def test_a_program_trains_with_its_own_step_and_its_own_loop() -> None:
    variables = run_script("\n".join(python_blocks("training.md")).replace("epochs=10", "epochs=4"))
    for name in ("sequential", "subclass"):
        assert Path(f"{name}.weights.h5").exists() and Path(f"{name}_curves.png").exists()
        assert list(Path("logs", name).glob("**/events*"))
        # Only the best and the last state are kept, and that from which a longer run would continue.
        assert {path.name for path in Path("checkpoints", name, "training").glob("*/*/*")} >= {"best", "last"}
        assert ImageClassifier.load(f"models/{name}").labels == LABELS
    content = Path("new_photo.png").read_bytes()
    np.testing.assert_allclose(ImageClassifier.load("models/subclass").predict_bytes(content),
                               variables["classifier"].predict_bytes(content), atol=1e-5)
    assert ImageClassifier.load("models/keras").labels == LABELS


@pytest.mark.slow
def test_a_killed_program_continues_to_the_same_weights() -> None:
    code = python_blocks("training.md")[0].replace("epochs=10", "epochs=60")
    Path("program.py").write_text(code, "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(folder: str) -> subprocess.Popen:
        shutil.copytree("my_photos", Path(folder, "my_photos"), dirs_exist_ok=True)
        return subprocess.Popen([sys.executable, "../program.py"], cwd=folder, env=environment)
    assert start("whole").wait(300) == 0
    process = start("killed")
    deadline = time.monotonic() + 120
    while not list(Path("killed/checkpoints/subclass").glob("training/*/*/last/*")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Path("killed/models/subclass").exists()
    assert start("killed").wait(300) == 0
    content = Path("new_photo.png").read_bytes()
    whole, killed = (ImageClassifier.load(f"{folder}/models/subclass").predict_bytes(content)
                     for folder in ("whole", "killed"))
    np.testing.assert_allclose(killed, whole, atol=1e-6)


def test_flat_png_files_become_a_rest_service(capsys: pytest.CaptureFixture) -> None:
    for part, numbers in (("train", range(30)), ("test", range(30, 40))):
        Path("cifar", part).mkdir(parents=True)
        for index, label in enumerate(LABELS):
            for number in numbers:
                shutil.copy(f"my_photos/{label}/{number:03d}.png", f"cifar/{part}/{3 * number + index}_{label}.png")
    Path("cifar/labels.txt").write_text("\n".join(LABELS))
    assert retrain.main(["--image_dir=cifar"]) != 0
    assert "--label_pattern" in capsys.readouterr().err
    (training, ), (evaluation, ) = commands("cifar.md", "retrain"), re.findall(
        r"`python -m scripts\.evaluate (.*?)`", (ROOT / "docs" / "cifar.md").read_text("utf-8"))
    flags = [flag.replace("train_epochs=40", "train_epochs=2") for flag in training]
    assert {"--optimizer=rmsprop", "--patience=5"} <= set(flags) and "--train_epochs=2" in flags
    assert retrain.main(flags) == 0
    assert "30 test photos" in capsys.readouterr().out
    assert Path("tf_files/retrained_graph.html").exists()
    summaries = Path("tf_files/training_summaries")
    assert list(summaries.glob("**/events*")) and list(summaries.glob("*/curves.png"))
    assert evaluate.main([*shlex.split(evaluation), "--format=json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["count"] == 30 and "macro_average" in result
    assert show_image.main(["--graph=tf_files/retrained_graph.tflite", "cifar",
                            "--label_pattern={index}_{label}.png"]) == 0
    with running_server("tf_files/retrained_graph.tflite") as address:
        assert label_over_http(address, "new_photo.png") == load_classifier(
            Path("tf_files/retrained_graph.tflite")).label("new_photo.png")
