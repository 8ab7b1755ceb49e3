"""A Keras network of one's own becomes the same files as one that retrain made."""
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


def network(answers: int = 3, size: int = 24, activation: str | None = None, dtype: str = "float32"):
    import_tensorflow()
    import keras
    keras.utils.set_random_seed(1)
    return keras.Sequential([
        keras.Input((size, size, 3)), keras.layers.Rescaling(2.0, -1.0), keras.layers.Conv2D(6, 3, activation="relu"),
        keras.layers.BatchNormalization(), keras.layers.Flatten(), keras.layers.Dropout(0.5),
        keras.layers.Dense(answers, activation=activation, dtype=dtype)], name="own")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    for hue, label in enumerate("abc"):
        write_photos(tmp_path / "photos" / label, 4, hue)
    return sorted((tmp_path / "photos").glob("*/*.png"))


def test_all_files_answer_as_the_network_does(tmp_path: Path, photos: list[Path],
                                              capsys: pytest.CaptureFixture) -> None:
    tensorflow = import_tensorflow()
    model = network()
    wrapped = wrap(model, ["a", "b", "c"])
    exported = wrapped.export(ExportOptions(tmp_path / "own.pb", tmp_path / "own.txt", tmp_path / "saved"), photos)
    assert [parity.agreeing for parity in exported.verified] == [12] * 4
    pixels = load_photos(photos, 24, 24, 1)
    with full_precision:  # on a GPU, too
        expected = tensorflow.nn.softmax(model(pixels.astype(np.float32) / 255, training=False)).numpy()
    assert np.allclose(wrapped(pixels), expected, atol=1e-6)
    loaded = tensorflow.saved_model.load(str(tmp_path / "saved" / "1"))
    called = loaded(tensorflow.constant(pixels.astype(np.float32) / 255))
    assert np.allclose(called["probabilities"], expected, atol=1e-5)
    assert [label.decode() for label in called["label"].numpy()] == ["abc"[best] for best in expected.argmax(1)]
    assert set(loaded.signatures) == {"serving_default", "predict_bytes"}
    assert label_image.main([str(photos[0]), f"--graph={tmp_path / 'own.tflite'}", "--top_k=1"]) == 0
    assert f"{'abc'[expected[0].argmax()]} (score={expected[0].max():.5f})" in capsys.readouterr().out
    assert evaluate.main([str(tmp_path / "own.pb"), f"--image_dir={tmp_path / 'photos'}"]) == 0


@pytest.mark.parametrize("model, labels, sentence", [
    (lambda: network(2), ["a", "b", "c"], "gives .* for 3 labels"),
    (lambda: network(2), ["a", "a"], "at least two labels"),
    (lambda: network(3, activation="softmax"), ["a", "b", "c"], "ends in a softmax"),
    (lambda: network(3, activation="sigmoid"), ["a", "b", "c"], "ends in sigmoids"),
    (lambda: network(2, dtype="float16"), ["a", "b"], "answers in float16"), (lambda: network(2), "ab", "a list"),
    (lambda: network(2), ["a", "b\nc"], "texts of one line"), (lambda: network(2), [1, 2], "texts of one line"),
    (lambda: object(), ["a", "b"], "does not say what it takes"),
])
def test_a_network_that_does_not_fit_is_refused(model, labels: list[str], sentence: str) -> None:
    with pytest.raises(TfpoetsError, match=sentence):
        wrap(model(), labels)


def test_a_photo_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    with pytest.raises(TfpoetsError, match="A photo for the proof cannot be used"):
        wrap(network(), ["a", "b", "c"]).export(ExportOptions(tmp_path / "own.pb", tmp_path / "own.txt"),
                                                [tmp_path / "a.jpg"])
    assert not list(tmp_path.glob("own*"))
