"""A retrained classifier is written as a .keras file, which Keras opens without this library."""
from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfpoets
from tests.conftest import write_photos
from tfpoets.data import load_photos
from tfpoets.errors import ExportError, OptionError
from tfpoets.exporting import ExportOptions, wrap
from tfpoets.inference import load_classifier
from tfpoets.tf_runtime import import_tensorflow
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


@pytest.mark.slow
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


def convolutional_model(n_outputs: int) -> Any:
    import_tensorflow()
    import keras
    from keras import layers
    keras.utils.clear_session()  # the names of layers start again, as in a new process
    return keras.Sequential([
        keras.Input((24, 32, 3)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3, activation="relu"),
        layers.GlobalAveragePooling2D(), layers.Dense(5, activation="relu"), layers.Dense(n_outputs, "softmax")])


def model_with_blocks() -> Any:
    """Return a subclassed model whose blocks contain layers with equal names."""
    import_tensorflow()
    import keras
    from keras import layers

    class Block(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.norm = layers.Conv2D(3, 3, name="conv"), layers.BatchNormalization(name="bn")

        def call(self, x: Any, training: bool = False) -> Any:
            return self.norm(self.convolution(x), training=training)

    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.blocks = layers.Rescaling(1 / 255, name="tfpoets_scale"), [Block(), Block(), Block()]
            self.average, self.dense = layers.GlobalAveragePooling2D(name="bn_1"), layers.Dense(3, name="image")
            self.last = layers.Rescaling(2.0, name="temperature")

        def call(self, x: Any, training: bool = False) -> Any:
            x = self.scale(x)
            for block in self.blocks:
                x = block(x, training=training)
            return self.last(self.dense(self.average(x)))
    keras.utils.set_random_seed(1)
    return Model()


def model_named_like_other_layers(name: str) -> Any:
    import_tensorflow()
    import keras
    from keras import layers
    photos = keras.Input((24, 24, 3), name="image")
    features = layers.GlobalAveragePooling2D(name="head")(layers.Rescaling(1 / 255, name="tfpoets_scale")(photos))
    return keras.Model(photos, layers.Dense(3, name="probabilities")(features), name=name)


@pytest.mark.parametrize("build", [
    model_with_blocks, *(partial(model_named_like_other_layers, name)
                         for name in ("temperature", "image", "probabilities", "tfpoets_scale"))])
def test_names_of_layers_that_occur_twice_are_changed_in_the_file_only(build: Callable[[], Any]) -> None:
    model = build()
    wrapped = wrap(model, ["a", "b", "c"], image_size=24)
    names = [layer.name for layer in model._flatten_layers()]
    photos = sorted(Path("photos").glob("*/00*.png"))
    exported = wrapped.export(ExportOptions(Path("model.pb"), Path("model.txt"), formats=("keras",)), photos)
    assert exported.verified[-1].name == "keras" and exported.verified[-1].agreeing == len(photos)
    assert [layer.name for layer in model._flatten_layers()] == names
    import keras
    loaded = keras.models.load_model("model.keras")
    assert (loaded.layers[0].name, loaded.layers[-1].name) == ("image", "probabilities")


@pytest.mark.parametrize("input_range", ["0,255", pytest.param("", marks=pytest.mark.slow)])
def test_the_features_of_a_keras_file_are_written_and_rebuilt(input_range: str) -> None:
    import_tensorflow()
    import keras
    convolutional_model(7).save("typical.keras")
    keras.utils.clear_session()
    tfpoets.retrain("photos", handle="typical.keras", input_range=input_range, formats=["keras"], doctor=False)
    pixels = load_photos(sorted(Path("photos").glob("*/00*.png")), 24, 32, 2)
    expected = load_classifier(Path("tf_files/retrained_graph.pb")).probabilities(pixels)
    keras.utils.clear_session()
    tfpoets.export("tf_files/retrained_graph.pb", ["keras"])
    for path in ("tf_files/retrained_graph.keras", "tf_files/exported/retrained_graph.keras"):
        model = keras.models.load_model(path)
        assert np.allclose(model(pixels.astype(np.float32) / 255), expected, atol=1e-4)


@pytest.mark.slow
def test_a_keras_file_of_a_classifier_is_a_network_of_another_one() -> None:
    convolutional_model(7).save("typical.keras")
    tfpoets.retrain("photos", handle="typical.keras", formats=["keras"], doctor=False)
    tfpoets.retrain("photos", handle="tf_files/retrained_graph.keras", formats=["keras"], doctor=False,
                    output_graph="second.pb", output_labels="second.txt")
    pixels = load_photos(sorted(Path("photos").glob("*/00*.png")), 24, 32, 2)
    expected = load_classifier(Path("second.pb")).probabilities(pixels)
    assert np.allclose(answers_in_keras(Path("second.keras"), pixels), expected, atol=1e-4)


@pytest.mark.parametrize("name, message", [("model.keras", "must not end in .keras.*`formats`=keras"),
                                           ("model.onnx", "must not end in .onnx.*`formats`=onnx"),
                                           ("model", "does not end in .pb. Use model.pb")])
def test_the_graph_is_not_written_under_the_name_of_another_format(name: str, message: str) -> None:
    wrapped = wrap(convolutional_model(3), ["a", "b", "c"])
    with pytest.raises(OptionError, match=message):
        wrapped.export(ExportOptions(Path(name), Path("model.txt")))
    assert not list(Path(".").glob("model*"))


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
