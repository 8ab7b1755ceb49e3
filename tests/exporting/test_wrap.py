"""A Keras model that was trained elsewhere is exported to the same files as a retrained classifier."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_photos
from tfpoets.cli import evaluate, label_image
from tfpoets.data import load_photos
from tfpoets.errors import TfpoetsError
from tfpoets.exporting import ExportOptions, wrap
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
    (lambda: build_model(2), ["a", "b", "c"], r"output is \[None, 2\]. For 3 labels"),
    (lambda: build_model(2), ["a", "a"], "at least two labels"),
    (lambda: build_model(3, activation="softmax"), ["a", "b", "c"], "ends in a softmax"),
    (lambda: build_model(3, activation="sigmoid"), ["a", "b", "c"], "ends in a sigmoid"),
    (lambda: build_model(2, dtype="float16"), ["a", "b"], "output is float16"),
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
