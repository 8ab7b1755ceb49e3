"""Networks that users write themselves are trained, exported and continued like the built-in ones."""
from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import retrain_json, write_photos
from tfpoets.cli import retrain
from tfpoets.data import load_photos
from tfpoets.errors import TfpoetsError
from tfpoets.extractors import ExtractorOptions, LiteRTModel, open_extractor
from tfpoets.inference import load_classifier
from tfpoets.limited_process import LimitError
from tfpoets.networks.own_networks import load_own_network
from tfpoets.tf_runtime import import_tensorflow

NETWORKS = """
import keras
from keras import layers

from tfpoets import ImageClassifier


def sequential(height, width, n_classes):
    return keras.Sequential([
        keras.Input((height, width, 3)), layers.Rescaling(1 / 255), layers.Conv2D(8, 3, activation="relu"),
        layers.MaxPooling2D(), layers.Flatten(), layers.Dense(16, activation="relu"), layers.Dropout(0.1),
        layers.Dense(n_classes, activation="softmax")])


class Block(layers.Layer):
    def __init__(self, filters):
        super().__init__()
        self.convolution, self.norm = layers.Conv2D(filters, 3), layers.BatchNormalization()
        self.pool = layers.MaxPooling2D()

    def call(self, x, training=False):
        return self.pool(keras.ops.relu(self.norm(self.convolution(x), training=training)))


class Network(keras.Model):
    def __init__(self, n_classes):
        super().__init__()
        self.scale, self.block, self.flatten = layers.Rescaling(1 / 127.5, -1), Block(8), layers.Flatten()
        self.classify = layers.Dense(n_classes)

    def call(self, photos, training=False):
        return self.classify(self.flatten(self.block(self.scale(photos), training=training)))


def subclass(height, width, n_classes):
    return Network(n_classes)


def gray_without_scale(height, width, n_classes):
    return keras.Sequential([keras.Input((height, width, 1)), layers.Flatten(), layers.Dense(n_classes)])


def wrong_outputs(height=20, width=20, n_classes=0):
    return keras.Sequential([keras.Input((height, width, 3)), layers.Rescaling(1 / 255), layers.Flatten(),
                             layers.Dense(7)])


def frozen(height, width, n_classes, strength=0.0):
    base = keras.Sequential([keras.Input((height, width, 3)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3)])
    base.layers[-1].kernel.assign(base.layers[-1].kernel * 0 + 0.01)
    base.trainable = False
    return keras.Sequential([keras.Input((height, width, 3)), base, layers.Flatten(),
                             layers.Dense(n_classes, kernel_regularizer=keras.regularizers.L2(strength))])


def regularized(height, width, n_classes):
    return frozen(height, width, n_classes, strength=100.0)


class AsClass(ImageClassifier):
    image_size = 20

    def build(self, height, width, n_classes):
        return keras.Sequential([keras.Input((height, width, self.channels)), layers.Rescaling(1 / 255),
                                 layers.Flatten(), layers.Dense(n_classes)])


def fails(height, width, n_classes):
    return layers.NoSuchLayer()
"""
FLAGS = ("--image_dir=photos", "--image_size=24", "--nodoctor", "--batch_size=8", "--learning_rate=0.003")


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(tmp_path / "photos" / label, 20, hue)
    (tmp_path / "my_networks.py").write_text(NETWORKS, "utf-8")
    monkeypatch.chdir(tmp_path)


def error_of(capsys: pytest.CaptureFixture, *flags: str) -> str:
    """Return the error message of a run that fails."""
    capsys.readouterr()
    assert retrain.main([*FLAGS, *flags]) in (1, 2)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return " ".join(error.split())


@pytest.mark.parametrize("function", ["sequential", "subclass"])
def test_a_network_in_a_python_file_is_trained_and_opens_in_keras(function: str,
                                                                  capsys: pytest.CaptureFixture) -> None:
    result = retrain_json(capsys, *FLAGS, f"--architecture=my_networks.py:{function}", "--train_epochs=8",
                          "--export=keras")
    assert result["test"]["accuracy"] > 0.7
    import_tensorflow()
    import keras
    pixels = load_photos(sorted(Path("photos").glob("*/00*.png")), 24, 24, 2)
    expected = load_classifier(Path("tf_files/retrained_graph.tflite")).probabilities(pixels)
    model = keras.models.load_model("tf_files/retrained_graph.keras")
    assert np.allclose(model.predict(pixels / np.float32(255), verbose=0), expected, atol=1e-5)


def test_training_continues_only_while_the_file_is_unchanged(capsys: pytest.CaptureFixture) -> None:
    flags = (*FLAGS, "--architecture=my_networks.py:sequential", "--train_epochs=2")
    retrain_json(capsys, *flags)
    first = Path("tf_files/retrained_graph.pb").read_bytes()
    retrain_json(capsys, *flags, "--resume")
    assert Path("tf_files/retrained_graph.pb").read_bytes() == first
    Path("my_networks.py").write_text(NETWORKS.replace("Dropout(0.1)", "Dropout(0.5)"), "utf-8")
    assert "There is no checkpoint" in error_of(capsys, *flags, "--resume")
    retrain_json(capsys, *flags)
    assert Path("tf_files/retrained_graph.pb").read_bytes() != first


def test_a_keras_file_is_trained_further(capsys: pytest.CaptureFixture) -> None:
    network = ("--architecture=my_networks.py:sequential", "--train_epochs=8", "--export=keras")
    before = retrain_json(capsys, *FLAGS, *network)
    shutil.copy("tf_files/retrained_graph.keras", "model.keras")
    after = retrain_json(capsys, *FLAGS, "--architecture=model.keras", "--train_epochs=1", "--learning_rate=1e-6")
    assert after["test"]["accuracy"] == before["test"]["accuracy"]
    assert after["network"]["handle"] == "model.keras"


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The functions that are run in a limited process, with their arguments; each one fails."""
    calls: list[tuple[Any, ...]] = []

    def run_limited(*call: Any, **limits: Any) -> None:
        calls.append(call)
        raise LimitError("needs too much memory")
    monkeypatch.setattr("tfpoets.limited_process.run_limited", run_limited)
    return calls


def save_keras_file(path: Path) -> Path:
    import_tensorflow()
    import keras
    keras.Sequential([keras.Input((24, 24, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(),
                      keras.layers.Dense(3)]).save(path)
    return path


def test_a_keras_file_that_exceeds_the_limits_is_refused_unless_it_is_trusted(tried: list[tuple[Any, ...]]) -> None:
    path = str(save_keras_file(Path("large.keras")))
    with pytest.raises(TfpoetsError, match="needs too much memory"):
        load_own_network(path, ExtractorOptions(), 3, 0, None)
    assert load_own_network(path, ExtractorOptions(trust_model=True), 3, 0, None).n_classes == 3


def test_the_first_run_of_a_keras_file_calls_the_model(tried: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
                                                       ) -> None:
    path = save_keras_file(Path("called.keras"))
    with pytest.raises(TfpoetsError):
        load_own_network(str(path), ExtractorOptions(), 3, 0, None)
    (function, *arguments), = tried
    import keras
    shapes: list[tuple[int, ...]] = []
    call = keras.layers.Dense.call
    monkeypatch.setattr(keras.layers.Dense, "call", lambda layer, x, *rest, **options: (
        shapes.append(tuple(x.shape)), call(layer, x, *rest, **options))[1])
    function(*arguments)
    assert (1, 24 * 24 * 3) in shapes


def test_frozen_layers_keep_their_weights_and_regularization_is_applied(capsys: pytest.CaptureFixture) -> None:
    import_tensorflow()
    import keras
    sizes = {}
    for function in ("frozen", "regularized"):
        retrain_json(capsys, *FLAGS, f"--architecture=my_networks.py:{function}", "--train_epochs=4",
                     "--learning_rate=0.01", "--export=keras")
        arrays = keras.models.load_model("tf_files/retrained_graph.keras").get_weights()
        kernel, = (array for array in arrays if array.shape == (3, 3, 3, 4))
        assert np.allclose(kernel, 0.01)
        dense, = (array for array in arrays if array.ndim == 2)
        sizes[function] = float(np.abs(dense).mean())
    assert sizes["regularized"] < 0.9 * sizes["frozen"]


def test_gray_networks_work_and_their_scale_must_be_stated(capsys: pytest.CaptureFixture) -> None:
    network = ("--architecture=my_networks.py:gray_without_scale", "--train_epochs=1")
    assert "Set --input_range to 0,1 or 0,255 or -1,1" in error_of(capsys, *network)
    result = retrain_json(capsys, *FLAGS, *network, "--input_range=-1,1")
    assert result["head"]["epochs"] == 1


def test_a_subclass_of_image_classifier_is_trained_at_its_own_size(capsys: pytest.CaptureFixture) -> None:
    network = ("--image_dir=photos", "--nodoctor", "--architecture=my_networks.py:AsClass", "--train_epochs=1")
    for flags, size in (((), 20), (("--image_size=16",), 16), (("--color_mode=grayscale",), 20)):
        retrain_json(capsys, *network, *flags)
        metadata = json.loads(Path("tf_files/retrained_graph.json").read_text("utf-8"))
        assert metadata["input"]["height"] == size


def test_unsuitable_networks_are_named_with_a_remedy(capsys: pytest.CaptureFixture) -> None:
    line = NETWORKS.splitlines().index("    return layers.NoSuchLayer()") + 1
    for function, message in (("fails", f"my_networks.py fails in line {line}: AttributeError"),
                              ("missing", "contains no function missing"),
                              ("wrong_outputs", "has 7 outputs, but there are 3 classes")):
        assert message in error_of(capsys, f"--architecture=my_networks.py:{function}")
    assert "There is no file other.py" in error_of(capsys, "--architecture=other.py:build")
    assert "There is no file other.keras" in error_of(capsys, "--architecture=other.keras")
    Path("broken.keras").write_bytes(b"PK")
    assert "broken.keras is not a Keras model" in error_of(capsys, "--architecture=broken.keras")
    Path("pointer.keras").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    for flag in ("--architecture", "--tfhub_module"):
        assert "pointer.keras is not a Keras model (.keras): it is a Git LFS pointer" in error_of(
            capsys, f"{flag}=pointer.keras")


def test_a_python_file_may_import_its_neighbours_and_must_not_end_the_program(capsys: pytest.CaptureFixture) -> None:
    Path("folder").mkdir()
    Path("folder/neighbour.py").write_text("FILTERS = 4\n", "utf-8")
    Path("folder/nets.py").write_text(
        "def build(height, width, n_classes):\n    import neighbour, keras\n    from keras import layers\n"
        "    return keras.Sequential([keras.Input((height, width, 3)), layers.Rescaling(1 / 255),\n"
        "                             layers.Conv2D(neighbour.FILTERS, 3), layers.Flatten(),\n"
        "                             layers.Dense(n_classes)])\n"
        "def ends(height, width, n_classes):\n    raise SystemExit(0)\n", "utf-8")
    retrain_json(capsys, *FLAGS, "--architecture=folder/nets.py:build", "--train_epochs=1")
    assert "ends the program. Remove calls to sys.exit" in error_of(capsys, "--architecture=folder/nets.py:ends")
    for content, remedy in (("import no_such_package\n", "Install the package"),
                            ("def build(:\n", "Correct the file.")):
        Path("broken.py").write_text(content, "utf-8")
        assert remedy in error_of(capsys, "--architecture=broken.py:build")
    assert "folder/../broken.py fails in line 1" in error_of(capsys, "--architecture=folder/../broken.py:build")
    for name in ("broken.py", "broken.py:", "broken.py:a:b"):
        assert "does not name a function" in error_of(capsys, f"--architecture={name}")


def test_the_features_of_a_keras_file_are_the_input_of_its_last_layer(capsys: pytest.CaptureFixture) -> None:
    import_tensorflow()
    import keras
    layers = keras.layers
    inner = keras.Sequential([keras.Input((24, 24, 1)), layers.Rescaling(1 / 127.5, -1), layers.Conv2D(8, 5, 2),
                              layers.GlobalAveragePooling2D(), layers.Dense(6, activation="relu", name="features")])
    photos = keras.Input((24, 24, 1))
    keras.Model(photos, layers.Activation("softmax")(layers.Dense(5)(inner(photos)))).save("model.keras")
    extractor = open_extractor("model.keras", model_dir=Path("models"))
    assert (extractor.depth, extractor.height) == (6, 24)
    pixels = load_photos(sorted(Path("photos").glob("*/00*.png")), 24, 24, 2)
    gray = pixels.astype(np.float32) @ np.array([[0.299], [0.587], [0.114]], np.float32)
    model = LiteRTModel(extractor.tflite_path)
    features = np.concatenate([model.run(photo[None]) for photo in pixels.astype(np.float32) / 255])
    assert np.allclose(features, inner(gray), atol=1e-4)
    retrain_json(capsys, "--image_dir=photos", "--tfhub_module=model.keras", "--nodoctor", "--export=keras")
    expected = load_classifier(Path("tf_files/retrained_graph.tflite")).probabilities(pixels)
    loaded = keras.models.load_model("tf_files/retrained_graph.keras")
    assert np.allclose(loaded.predict(pixels / np.float32(255), verbose=0), expected, atol=1e-4)
    keras.Sequential([keras.Input((24, 24, 1)), *inner.layers[1:]]).save("scale_missing.keras")
    assert "Set --input_range to 0,1 or 0,255 or -1,1" in error_of(capsys, "--tfhub_module=scale_missing.keras")


def test_an_own_network_keeps_its_features_when_it_is_exported_and_used_again(capsys: pytest.CaptureFixture) -> None:
    retrain_json(capsys, *FLAGS, "--architecture=my_networks.py:sequential", "--train_epochs=1", "--export=keras")
    shutil.copy("tf_files/retrained_graph.keras", "model.keras")
    assert open_extractor("model.keras", model_dir=Path("models")).depth == 16
    result = retrain_json(capsys, *FLAGS, "--tfhub_module=model.keras", "--fine_tune_epochs=1")
    assert result["network"]["handle"] == "model.keras"


def test_keras_files_with_python_code_are_rejected(capsys: pytest.CaptureFixture) -> None:
    import_tensorflow()
    import keras
    keras.Sequential([keras.Input((24, 24, 3)), keras.layers.Lambda(lambda x: x / 255), keras.layers.Flatten(),
                      keras.layers.Dense(3)]).save("lambda.keras")
    for flag in ("--architecture", "--tfhub_module"):
        assert "contains a Lambda layer, which is Python code" in error_of(capsys, f"{flag}=lambda.keras")
    keras.Sequential([keras.Input((24, 24, 3)), keras.layers.Flatten(), keras.layers.Dense(3)]).save("plain.keras")
    with zipfile.ZipFile("plain.keras") as source, zipfile.ZipFile("foreign.keras", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1].update(module="os", class_name="system")
                content = json.dumps(config).encode()
            target.writestr(name, content)
    assert "contains the class 'system'" in error_of(capsys, "--architecture=foreign.keras")
