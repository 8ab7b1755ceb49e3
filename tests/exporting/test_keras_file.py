"""A retrained classifier is written as a .keras file, which Keras opens without this library."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfpoets
from tests.conftest import write_photos
from tfpoets.data import load_photos
from tfpoets.errors import ExportError
from tfpoets.inference import load_classifier
from tfpoets.training import NetworkOptions

PREDICT = """
import sys
import numpy as np
import keras
model = keras.models.load_model(sys.argv[1])
np.save("answers.npy", model.predict(np.load("pixels.npy"), verbose=0))
assert "tfpoets" not in sys.modules
"""


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(tmp_path / "photos" / label, 12, hue)
    monkeypatch.chdir(tmp_path)


def answers_in_keras(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Return the answers of a .keras file in a process that does not import tfpoets, for uint8 pixels."""
    np.save("pixels.npy", pixels.astype(np.float32) / 255)
    subprocess.run([sys.executable, "-c", PREDICT, str(path.resolve())], check=True, timeout=200)
    return np.load("answers.npy")


def load_pixels(size: int) -> np.ndarray:
    return load_photos(sorted(Path("photos").glob("*/00*.png")), size, size, 2)


def test_a_network_from_scratch_gives_the_same_answers_in_keras() -> None:
    network = NetworkOptions(architecture="lenet", epochs=1, color_mode="grayscale", dropout=0.2)
    result = tfpoets.retrain("photos", network=network, views=2, formats=["keras"], doctor=False)
    assert [row.name for row in result.converted] == ["graph (.pb)", "keras"]
    pixels = load_pixels(32)
    expected = load_classifier(Path("tf_files/retrained_graph.pb")).probabilities(pixels)
    assert np.allclose(answers_in_keras(Path("tf_files/retrained_graph.keras"), pixels), expected, atol=1e-5)
    with pytest.raises(ExportError, match="trained together with its last layer.*Run `tfpoets retrain` with the same"):
        tfpoets.export("tf_files/retrained_graph.pb", ["keras"])


def test_the_default_network_is_rebuilt_from_the_graph() -> None:
    tfpoets.retrain("photos", image_size=64, views=4, formats=["keras"], doctor=False, unknown_coverage=0.8)
    pixels = load_pixels(64)
    expected = load_classifier(Path("tf_files/retrained_graph.pb")).probabilities(pixels)
    tfpoets.export("tf_files/retrained_graph.pb", ["keras"])
    for path in ("tf_files/retrained_graph.keras", "tf_files/exported/retrained_graph.keras"):
        assert np.allclose(answers_in_keras(Path(path), pixels), expected, atol=1e-4)


def test_a_saved_model_is_rejected_before_training(tiny_module: Path) -> None:
    with pytest.raises(ExportError, match="is a TensorFlow graph without Keras layers.*saved_model"):
        tfpoets.retrain("photos", handle=str(tiny_module), formats=["keras"], doctor=False)
    assert not list(Path("tf_files").glob("retrained*"))
    tfpoets.retrain("photos", handle=str(tiny_module), doctor=False)
    with pytest.raises(ExportError, match="is a TensorFlow graph without Keras layers"):
        tfpoets.export("tf_files/retrained_graph.pb", ["keras"])


@pytest.mark.slow
@pytest.mark.parametrize("application", ["MobileNetV2", "ResNet50", "DenseNet121"])  # three kinds of preprocessing
def test_networks_of_keras_applications_include_their_preprocessing(application: str) -> None:
    import keras
    weights = Path(f"{application}.weights.h5")
    getattr(keras.applications, application)(weights=None, include_top=False, pooling="avg").save_weights(weights)
    tfpoets.retrain("photos", handle=f"keras:{application}:{weights}", image_size=64, formats=["keras"], doctor=False)
    pixels = load_pixels(64)
    expected = load_classifier(Path("tf_files/retrained_graph.pb")).probabilities(pixels)
    assert np.allclose(answers_in_keras(Path("tf_files/retrained_graph.keras"), pixels), expected, atol=1e-4)
