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

import tfpoets
from tests.conftest import write_photos
from tfpoets import ImageClassifier
from tfpoets.cli import evaluate, label_image, retrain, show_image
from tfpoets.data import load_photos
from tfpoets.data.samples import write_digits
from tfpoets.inference import load_classifier
from tfpoets.networks import ResNet50V2
from tfpoets.tf_runtime import import_tensorflow

ROOT = Path(__file__).resolve().parents[1]
LABELS = ("blue", "green", "red")


def python_blocks(page: str) -> list[str]:
    """Return the Python blocks of a page, each of which must be marked as run by a test."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    blocks = re.findall(r"<!-- tests/test_docs.py runs this -->\n```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == text.count("```python")
    return blocks


def notebook_command(name: str, command: str) -> list[str]:
    """Return the arguments of the command `python -m scripts.COMMAND` in a walkthrough, for the photos in cifar/."""
    cells = json.loads((ROOT / "docs" / "walkthroughs" / f"{name}.ipynb").read_text("utf-8"))["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    line, = re.findall(rf"^!python -m scripts\.{command} (.*)$", source, re.MULTILINE)
    return shlex.split(line.replace("$PHOTOS", "cifar").replace("$PATTERN", "{index}_{label}.png"))


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
    training, evaluation = (notebook_command("5_cifar", name) for name in ("retrain", "evaluate"))
    flags = [flag.replace("$EPOCHS", "2") for flag in training]
    assert {"--optimizer=rmsprop", "--patience=8"} <= set(flags) and "--train_epochs=2" in flags
    assert retrain.main(flags) == 0
    assert "30 test photos" in capsys.readouterr().out
    assert Path("tf_files/retrained_graph.html").exists()
    summaries = Path("tf_files/training_summaries")
    assert list(summaries.glob("**/events*")) and list(summaries.glob("*/curves.png"))
    assert evaluate.main([*evaluation, "--format=json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["count"] == 30 and "macro_average" in result
    assert show_image.main(["--graph=tf_files/retrained_graph.tflite", "cifar",
                            "--label_pattern={index}_{label}.png"]) == 0
    with running_server("tf_files/retrained_graph.tflite") as address:
        assert label_over_http(address, "new_photo.png") == load_classifier(
            Path("tf_files/retrained_graph.tflite")).label("new_photo.png")


def write_first_digits(count: int) -> None:
    """Write the first `count` digits to tf_files/digits."""
    write_digits(Path("tf_files/digits"))
    for photo in Path("tf_files/digits").glob("*/*.png"):
        if int(photo.stem) >= count:
            photo.unlink()


def test_the_shortest_program_trains_and_labels() -> None:
    write_first_digits(100)
    completed = subprocess.run([sys.executable, "-c", python_blocks("python.md")[0]], capture_output=True, text=True,
                               env={**os.environ, "PYTHONPATH": str(ROOT)})
    output = re.fullmatch(r"(\d+\.\d)% of \d+ photos, 95% interval \(.*\)\n7\n", completed.stdout)
    assert output and float(output[1]) > 60, completed.stderr
    assert "photos" not in completed.stderr  # the library writes nothing there; TensorFlow writes start-up messages
    assert label_image.main(["--graph=digits.tflite", "tf_files/digits/7/0007.png"]) == 0


def test_a_program_runs_the_steps_one_by_one(capsys: pytest.CaptureFixture) -> None:
    write_first_digits(200)
    code = python_blocks("python.md")[1].replace('lite0")', 'lite0", image_size=96)')
    exec(compile(code, "python.md", "exec"), {"tfpoets": tfpoets})
    assert 0.6 < float(capsys.readouterr().out) <= 1


@pytest.fixture
def flower_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_module: Path, model_dir: Path) -> None:
    """A working folder with a classifier of generated photos in tf_files/, and some photos."""
    monkeypatch.chdir(tmp_path)
    for hue, label in enumerate(("daisy", "rose")):
        write_photos(Path("photos") / label, 20, hue)
        shutil.copy(f"photos/{label}/000.png", f"{label}.jpg")
    shutil.copy("photos/rose/003.png", "photo.jpg")
    assert retrain.main(["--image_dir=photos", f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}",
                         "--nodoctor", "--export=tflite_int8"]) == 0


@pytest.mark.parametrize("graph", ["retrained_graph", "retrained_graph_int8"])
def test_the_example_without_tensorflow_labels_a_photo(graph: str, flower_classifier: None) -> None:
    code = python_blocks("python_without_tensorflow.md")[0].replace("tf_files/retrained_graph.", f"tf_files/{graph}.")
    completed = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; assert 'tensorflow' not in sys.modules"],
                               capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.startswith("rose ")


def test_the_example_for_custom_networks_writes_its_files(flower_classifier: None) -> None:
    import_tensorflow()
    import keras
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(),
                              keras.layers.Dense(2)])
    exec(compile(python_blocks("python.md")[2], "python.md", "exec"), {"model": model, "tfpoets": tfpoets})
    assert {path.name for path in Path().glob("*m*del*")} == {"my_model.pb", "my_model.txt", "my_model.tflite",
                                                             "my_model.json", "saved_model"}
