"""A Keras model that was trained elsewhere is exported to the same files as a retrained classifier."""
from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import write_photos
from tfpoets.cli import evaluate, label_image
from tfpoets.data import load_photos
from tfpoets.errors import TfpoetsError
from tfpoets.exporting import ExportOptions, wrap
from tfpoets.inference import load_classifier
from tfpoets.tf_runtime import full_precision, import_tensorflow


def build_model(n_classes: int = 3, size: int = 24, activation: str | None = None, dtype: str = "float32"):
    import_tensorflow()
    import keras
    keras.utils.set_random_seed(1)
    return keras.Sequential([
        keras.Input((size, size, 3)), keras.layers.Rescaling(2.0, -1.0), keras.layers.Conv2D(6, 3, activation="relu"),
        keras.layers.BatchNormalization(), keras.layers.Flatten(), keras.layers.Dropout(0.5),
        keras.layers.Dense(n_classes, activation=activation, dtype=dtype)], name="model")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    for hue, label in enumerate("abc"):
        write_photos(tmp_path / "photos" / label, 4, hue)
    return sorted((tmp_path / "photos").glob("*/*.png"))


def test_all_files_reproduce_the_outputs_of_the_model(tmp_path: Path, photos: list[Path],
                                                      capsys: pytest.CaptureFixture) -> None:
    tensorflow = import_tensorflow()
    model = build_model()
    wrapped = wrap(model, ["a", "b", "c"])
    exported = wrapped.export(ExportOptions(tmp_path / "model.pb", tmp_path / "model.txt", tmp_path / "saved"), photos)
    assert [row.agreeing for row in exported.verified] == [12] * 4
    pixels = load_photos(photos, 24, 24, 1)
    with full_precision:  # as in the exported files, also on a GPU
        expected = tensorflow.nn.softmax(model(pixels.astype(np.float32) / 255, training=False)).numpy()
    assert np.allclose(wrapped(pixels), expected, atol=1e-6)
    loaded = tensorflow.saved_model.load(str(tmp_path / "saved" / "1"))
    outputs = loaded(tensorflow.constant(pixels.astype(np.float32) / 255))
    assert np.allclose(outputs["probabilities"], expected, atol=1e-5)
    assert [label.decode() for label in outputs["label"].numpy()] == ["abc"[row] for row in expected.argmax(1)]
    assert set(loaded.signatures) == {"serving_default", "predict_bytes"}
    assert label_image.main([str(photos[0]), f"--graph={tmp_path / 'model.tflite'}", "--top_k=1"]) == 0
    assert f"{'abc'[expected[0].argmax()]} (score={expected[0].max():.5f})" in capsys.readouterr().out
    assert evaluate.main([str(tmp_path / "model.pb"), f"--image_dir={tmp_path / 'photos'}"]) == 0


@pytest.mark.parametrize("model, labels, message", [
    (lambda: build_model(2), ["a", "b", "c"], "has 2 outputs, but there are 3 labels"),
    (lambda: build_model(2), ["a", "a"], "at least two labels"),
    (lambda: build_model(2, dtype="float16"), ["a", "b"], "computes in float16"),
    (lambda: build_model(2), "ab", "not a list"),
    (lambda: build_model(2), ["a", "b\nc"], "string without line breaks"),
    (lambda: build_model(2), [1, 2], "string without line breaks"),
    (lambda: object(), ["a", "b"], "shapes of the model's input and output are not known"),
])
def test_an_unsuitable_model_is_rejected(model, labels: list[str], message: str) -> None:
    with pytest.raises(TfpoetsError, match=message):
        wrap(model(), labels)


def test_an_unreadable_photo_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    with pytest.raises(TfpoetsError, match="A verification photo cannot be used"):
        wrap(build_model(), ["a", "b", "c"]).export(ExportOptions(tmp_path / "model.pb", tmp_path / "model.txt"),
                                                    [tmp_path / "a.jpg"])
    assert not list(tmp_path.glob("model*"))


def small_network(*first_layers: Any, channels: int = 3, n_outputs: int = 3, activation: str | None = None) -> Any:
    """Return a Sequential network whose output depends strongly on the scale of its input."""
    import keras
    keras.utils.set_random_seed(3)
    return keras.Sequential([
        keras.Input((24, 24, channels)), *first_layers, keras.layers.Conv2D(4, 3, activation="tanh"),
        keras.layers.Flatten(), keras.layers.Dense(n_outputs, activation=activation)])


def subclassed_network() -> Any:
    """Return a subclassed network, which has not been called, with TensorFlow operations and a softmax in `call`."""
    import keras

    class Network(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.flatten = keras.layers.Conv2D(4, 3), keras.layers.Flatten()
            self.dense = keras.layers.Dense(3)

        def call(self, photos: Any, training: bool = False) -> Any:
            tensorflow = import_tensorflow()
            return tensorflow.nn.softmax(self.dense(self.flatten(self.convolution(photos / 127.5 - 1))))
    keras.utils.set_random_seed(3)
    return Network()


def compiled_network() -> Any:
    """Return a subclassed network with one sigmoid, whose `call` is decorated with tf.function."""
    import keras
    tensorflow = import_tensorflow()

    class Network(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.flatten = keras.layers.Rescaling(1 / 255), keras.layers.Flatten()
            self.dense = keras.layers.Dense(1)

        @tensorflow.function
        def call(self, photos: Any, training: bool = False) -> Any:
            return tensorflow.sigmoid(self.dense(self.flatten(self.scale(photos))))
    keras.utils.set_random_seed(3)
    return Network()


def nested_network() -> Any:
    """Return a functional network that applies augmentation, then a network that begins with Rescaling."""
    import keras
    photos = keras.Input((24, 24, 3))
    inner = small_network(keras.layers.Rescaling(1 / 127.5, -1), activation="softmax")
    return keras.Model(photos, inner(keras.layers.RandomFlip()(photos)))


def layer(name: str, *args: Any, **kwargs: Any) -> Any:
    import keras
    return getattr(keras.layers, name)(*args, **kwargs)


@pytest.mark.parametrize("build, scale, message", [
    (lambda: small_network(layer("Rescaling", 1 / 255)), (0, 255), r"Rescaling"),
    (lambda: small_network(layer("Rescaling", 2.0, -1.0)), (0, 1), r"Rescaling"),
    (lambda: small_network(layer("Rescaling", 0.5, 0.5)), (-1, 1), r"Rescaling"),
    (lambda: small_network(layer("Normalization", mean=[120.0, 110, 90], variance=[3000.0] * 3)), (0, 255),
     r"Normalization"),
    (lambda: small_network(layer("Normalization", mean=[0.48, 0.45, 0.4], variance=[0.05] * 3)), (0, 1),
     r"Normalization"),
    (lambda: small_network(layer("Resizing", 24, 24), layer("Rescaling", 1 / 255), activation="softmax"), (0, 255),
     r"Rescaling"),
    (lambda: small_network(layer("Lambda", lambda photos: photos / 127.5 - 1)), (0, 255), r"Lambda"),
    (nested_network, (0, 255), r"Rescaling"),
    (subclassed_network, (0, 255), r"arithmetic before 'conv2d"),
])
def test_the_scale_of_the_pixels_is_read_from_the_model(
        tmp_path: Path, photos: list[Path], caplog: pytest.LogCaptureFixture, build: Callable[[], Any],
        scale: tuple[float, float], message: str) -> None:
    import_tensorflow()
    model = build()
    with caplog.at_level(logging.INFO):
        wrapped = wrap(model, ["a", "b", "c"], image_size=24)
    assert re.search(rf"takes pixels from {scale[0]} to {scale[1]}, as .*{message}", caplog.text)
    pixels = load_photos(photos, 24, 24, 1)
    with full_precision:
        outputs = model(pixels / np.float32(255) * np.float32(scale[1] - scale[0]) + np.float32(scale[0]),
                        training=False).numpy()
    expected = outputs if np.allclose(outputs.sum(1), 1) else np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
    assert expected.std(0).max() > 1e-4
    exported = wrapped.export(ExportOptions(tmp_path / "model.pb", tmp_path / "model.txt"), photos)
    assert [row.agreeing for row in exported.verified] == [12] * len(exported.verified)
    loaded = load_classifier(tmp_path / "model.tflite")
    assert np.allclose(loaded.probabilities(pixels), expected, atol=1e-4)


def test_without_a_layer_that_shows_the_scale_it_must_be_stated(photos: list[Path]) -> None:
    import_tensorflow()
    model = small_network()
    with pytest.raises(TfpoetsError, match="range of the pixels .* not known.*Set `input_range` to 0,1 or 0,255"):
        wrap(model, ["a", "b", "c"])
    with pytest.raises(TfpoetsError, match="range of the pixels .* not known"):
        wrap(small_network(layer("BatchNormalization")), ["a", "b", "c"])
    with pytest.raises(TfpoetsError, match="`input_range`=255 is not a valid choice"):
        wrap(model, ["a", "b", "c"], input_range="255")
    pixels = load_photos(photos, 24, 24, 1)
    logits = model(pixels.astype(np.float32)).numpy()
    expected = np.exp(logits - logits.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    assert np.allclose(wrap(model, ["a", "b", "c"], input_range="0,255")(pixels), expected, atol=1e-4)


def test_one_channel_and_one_sigmoid_are_supported(tmp_path: Path, photos: list[Path]) -> None:
    import_tensorflow()
    model = small_network(layer("Rescaling", 1 / 255), channels=1, n_outputs=1, activation="sigmoid")
    wrapped = wrap(model, ["bad", "good"])
    pixels = load_photos(photos, 24, 24, 1)
    good = model(pixels.astype(np.float32) @ np.float32([[0.299], [0.587], [0.114]])).numpy()[:, 0]
    assert np.allclose(wrapped(pixels), np.stack([1 - good, good], 1), atol=1e-5)
    exported = wrapped.export(ExportOptions(tmp_path / "model.pb", tmp_path / "model.txt"), photos)
    assert [row.agreeing for row in exported.verified] == [12] * len(exported.verified)


def test_a_compiled_call_is_examined_like_any_other(photos: list[Path]) -> None:
    tensorflow = import_tensorflow()
    model = compiled_network()
    wrapped, pixels = wrap(model, ["bad", "good"], image_size=24), load_photos(photos, 24, 24, 1)
    good = model(pixels.astype(np.float32)).numpy()[:, 0]
    logits = tensorflow.function(wrapped.adapted.logits)(pixels.astype(np.float32) / 255)
    for probabilities in (wrapped(pixels), tensorflow.nn.softmax(logits).numpy()):
        assert np.allclose(probabilities, np.stack([1 - good, good], 1), atol=1e-5)
    assert not tensorflow.config.functions_run_eagerly()


def test_several_sigmoids_are_divided_by_their_sum(photos: list[Path]) -> None:
    tensorflow = import_tensorflow()
    model = small_network(layer("Rescaling", 1 / 255), activation="sigmoid")
    wrapped, pixels = wrap(model, ["a", "b", "c"]), load_photos(photos, 24, 24, 1)
    outputs = model(pixels.astype(np.float32)).numpy()
    assert np.allclose(wrapped(pixels), outputs / outputs.sum(1, keepdims=True), atol=1e-6)
    logits = tensorflow.function(wrapped.adapted.logits)(pixels.astype(np.float32) / 255)
    assert np.allclose(tensorflow.nn.softmax(logits), wrapped(pixels), atol=1e-5)
