"""Exported files in other programs: MediaPipe, and TensorFlow.js in a real browser."""
from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.download.local_server import serving_folder
from tfpoets.cli import export, retrain
from tfpoets.data import load_pixels
from tfpoets.inference import load_classifier

pytestmark = pytest.mark.slow

N_PHOTOS = 8
# The maximum difference between a probability in the other program and in Python, given the same pixels.
TOLERANCE = 1e-3

LABEL_WITH_MEDIAPIPE = """
import json, sys
import mediapipe, numpy
from mediapipe.tasks.python import BaseOptions, vision
from PIL import Image
options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]))
with vision.ImageClassifier.create_from_options(options) as classifier:
    for path in sys.argv[2:]:
        pixels = numpy.array(Image.open(path).convert("RGB"))
        result = classifier.classify(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels))
        categories = result.classifications[0].categories
        print("PREDICTION", json.dumps({category.category_name: category.score for category in categories}))
"""


@pytest.fixture(scope="module")
def flower_classifier(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[Path]:
    """A folder with a flower classifier in tf_files/, and real photos, raw and resized by `load_pixels`."""
    folder = tmp_path_factory.mktemp("elsewhere")
    flowers = shared_data / "photos" / "flowers"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert retrain.main([f"--image_dir={flowers}", "--nodoctor", "--tfhub_module="
                             f"{shared_data / 'modules' / 'mobilenet_v1_025_128'}"]) == 0
        assert export.main(["--to=tflite,tflite_float16,tflite_int8,tfjs"]) == 0
        for number, path in enumerate(sorted(flowers.glob("*/*.jpg"))[::600 // N_PHOTOS][:N_PHOTOS]):
            shutil.copy(path, f"raw{number}.jpg")
            Image.fromarray(load_pixels(path.read_bytes(), 128, 128)).save(f"resized{number}.png")
        yield folder


def expected(folder: Path, graph: str, kind: str) -> np.ndarray:
    """Return float32 [n, n_classes]: the probabilities in Python for the raw or the resized photos."""
    classifier = load_classifier(folder / graph)
    pixels = np.stack([classifier.input.load_pixels((folder / name).read_bytes()) for name in names(kind)])
    return classifier.probabilities(pixels)


def names(kind: str) -> list[str]:
    return [f"{kind}{number}.{'jpg' if kind == 'raw' else 'png'}" for number in range(N_PHOTOS)]


@pytest.fixture(scope="module")
def mediapipe_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment with MediaPipe."""
    environment = tmp_path_factory.mktemp("mediapipe") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "mediapipe", "pillow"], check=True)
    return python


@pytest.mark.parametrize("file", ["retrained_graph.tflite", "exported/retrained_graph_float32.tflite",
                                  "exported/retrained_graph_float16.tflite",
                                  "exported/retrained_graph_int8.tflite"])
def test_mediapipe_gives_the_same_predictions(file: str, flower_classifier: Path, mediapipe_python: Path,
                                              capsys: pytest.CaptureFixture) -> None:
    graph = f"tf_files/{file}"
    labels = load_classifier(flower_classifier / graph).labels
    largest = {}
    for kind in ("resized", "raw"):
        done = subprocess.run([str(mediapipe_python), "-c", LABEL_WITH_MEDIAPIPE, graph, *names(kind)],
                              cwd=flower_classifier, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        predictions = [json.loads(line.removeprefix("PREDICTION ")) for line in done.stdout.splitlines()
                       if line.startswith("PREDICTION")]
        probabilities = np.array([[scores[label] for label in labels] for scores in predictions])
        largest[kind] = np.abs(probabilities - expected(flower_classifier, graph, kind)).max()
    with capsys.disabled():  # MediaPipe resizes raw photos without antialiasing, so their difference is only printed
        print(f"\nMediaPipe, {file}: largest difference {largest['resized']:.1g} on photos resized by load_pixels, "
              f"{largest['raw']:.2g} on raw photos")
    assert largest["resized"] < TOLERANCE


def test_a_browser_gives_the_same_predictions_and_the_page_shows_them(flower_classifier: Path, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright
    page_folder = flower_classifier / "tf_files" / "exported" / "retrained_graph_tfjs"
    subprocess.run(["npm", "install", "--silent", "--prefix", str(tmp_path), "@tensorflow/tfjs@4"], check=True,
                   timeout=300)
    shutil.copy(tmp_path / "node_modules" / "@tensorflow" / "tfjs" / "dist" / "tf.min.js", page_folder)
    for name in [*names("resized"), *names("raw")]:
        shutil.copy(flower_classifier / name, page_folder)
    labels = load_classifier(flower_classifier / "tf_files" / "retrained_graph.tflite").labels
    expected_probabilities = expected(flower_classifier, "tf_files/retrained_graph.tflite", "resized")
    with serving_folder(page_folder) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"),
                                             args=["--no-sandbox", "--enable-unsafe-swiftshader"])
        page = browser.new_page(viewport={"width": 400, "height": 800})
        for name, probabilities in zip(names("resized"), expected_probabilities):
            page.goto(f"{address}/index.html?photo={name}")
            page.wait_for_selector("#predictions tr", timeout=60_000)
            scores = dict(line.split("\t\t") for line in page.inner_text("#predictions").splitlines())
            assert max(abs(float(scores[label]) - expected_score)
                       for label, expected_score in zip(labels, probabilities)) < TOLERANCE
        page.set_input_files("#file", str(flower_classifier / "raw0.jpg"))
        page.wait_for_function("document.querySelector('#photo').src.startsWith('blob:')")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, "wider than a phone"
        (flower_classifier / "text.jpg").write_text("no photo")
        page.set_input_files("#file", str(flower_classifier / "text.jpg"))
        page.wait_for_function("document.querySelector('#message').textContent.includes('cannot read')")
        browser.close()
