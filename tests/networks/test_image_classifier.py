"""A classifier as an object: it is trained, measured, saved, loaded and exported like one that retrain has trained."""
from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tfpoets
from tests.conftest import write_photos
from tests.training.test_own_training import gradient_tape_step
from tfpoets import ImageClassifier
from tfpoets.data import SplitOptions
from tfpoets.errors import DataError, ExportError, OptionError, PhotoError, TfpoetsError, TrainingError
from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import EpochMetrics

OPTIONS: dict[str, Any] = {"epochs": 8, "warm_up": 0, "batch_size": 8, "learning_rate": 0.01, "optimizer": "adam"}


class SmallNetwork(ImageClassifier):
    image_size = 16

    def build(self, height: int, width: int, n_classes: int) -> Any:
        from keras import Input, Sequential, layers
        return Sequential([Input((height, width, self.channels)), layers.Rescaling(1 / 255),
                           layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D(),
                           layers.Dense(n_classes, activation="softmax")])


def build_model(channels: int = 3, n_classes: int = 2, scaled: bool = True) -> Any:
    import_tensorflow()
    from keras import Input, Sequential, layers
    scale = [layers.Rescaling(1 / 255)] if scaled else []
    return Sequential([Input((16, 16, channels)), *scale, layers.Flatten(), layers.Dense(n_classes)])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    write_photos(root / "blue", 30, 2, size=24)
    write_photos(root / "red", 30, 0, size=24)
    return root


@pytest.fixture(scope="module")
def trained(photos: Path) -> SmallNetwork:
    classifier = SmallNetwork()
    classifier.fit(photos, **OPTIONS)
    return classifier


def test_a_subclass_learns_and_is_evaluated_on_new_photos(trained: SmallNetwork, photos: Path) -> None:
    metrics = trained.evaluate()
    assert trained.labels == ("blue", "red")
    assert metrics.accuracy > 0.8 and metrics.count < 20
    # The photos of training and validation are left out of the folder, which leaves the test photos.
    assert trained.evaluate(photos).count == metrics.count


def test_predictions_for_paths_and_bytes_are_the_same(trained: SmallNetwork, photos: Path) -> None:
    paths = sorted(photos.glob("*/*"))[::20]
    contents = [path.read_bytes() for path in paths]
    probabilities = trained.predict(paths)
    assert probabilities.shape == (len(paths), 2) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(trained.predict_bytes(contents), probabilities)
    np.testing.assert_allclose(trained.predict_bytes(contents[0]), probabilities[0], atol=1e-6)
    assert trained.label(paths[0]) == trained.labels[int(probabilities[0].argmax())]


def test_a_saved_model_has_the_same_predictions(trained: SmallNetwork, photos: Path, tmp_path: Path) -> None:
    result = trained.save(tmp_path / "model")
    trained.save(tmp_path / "model")  # replaces it
    assert [file.name for file in result.verified] == ["saved_model", "saved_model, predict_bytes"]
    loaded = SmallNetwork.load(tmp_path / "model")
    path = next(photos.glob("red/*"))
    for content in (path.read_bytes(), as_jpeg(path)):
        np.testing.assert_allclose(loaded.predict_bytes(content), trained.predict_bytes(content), atol=1e-5)
    assert isinstance(loaded, SmallNetwork) and loaded.labels == trained.labels and loaded.image_size == 16
    assert loaded.evaluate(photos).accuracy == trained.evaluate().accuracy
    with pytest.raises(TrainingError, match="cannot be trained further"):
        loaded.fit(photos)
    with pytest.raises(ExportError, match="cannot be written again"):
        loaded.save(tmp_path / "other")


def as_jpeg(path: Path) -> bytes:
    target = path.parent.parent / "photo.jpg"
    Image.open(path).convert("RGB").save(target)
    content = target.read_bytes()
    target.unlink()
    return content


def test_tensorflow_serving_finds_both_signatures(trained: SmallNetwork, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    tensorflow = import_tensorflow()
    signatures = tensorflow.saved_model.load(str(tmp_path / "model")).signatures
    assert set(signatures) == {"serving_default", "predict_bytes"}


def test_an_exported_classifier_is_that_of_retrain(trained: SmallNetwork, photos: Path, tmp_path: Path) -> None:
    result = trained.export(tmp_path / "flowers.pb", formats=["keras"])
    assert [path.name for path in result.files] == ["flowers.pb", "flowers.txt", "flowers.tflite", "flowers.json",
                                                    "flowers.keras"]
    assert all(file.agreeing == file.count for file in result.verified)
    classifier = tfpoets.load_classifier(tmp_path / "flowers.tflite")
    assert classifier.metadata and classifier.metadata.test and classifier.metadata.split
    assert classifier.metadata.test.accuracy == trained.evaluate().accuracy
    path = next(photos.glob("red/*"))
    assert classifier.label(path) == trained.label(path)


@pytest.mark.parametrize(("channels", "scaled", "input_range"), [(3, True, ""), (1, False, "0,1")])
def test_a_model_is_trained_by_composition(photos: Path, tmp_path: Path, channels: int, scaled: bool,
                                           input_range: str) -> None:
    classifier = ImageClassifier(build_model(channels, scaled=scaled), ["blue", "red"], input_range=input_range)
    before = classifier.predict_bytes(next(photos.glob("red/*")).read_bytes())
    fit = classifier.fit(photos, **{**OPTIONS, "epochs": 2})
    assert not np.allclose(classifier.predict_bytes(next(photos.glob("red/*")).read_bytes()), before)
    assert classifier.channels == channels and len(fit.epochs) == 2
    classifier.save(tmp_path / "model")


def test_an_interrupted_run_is_continued(photos: Path, tmp_path: Path) -> None:
    class Interruption(Exception):
        pass

    def interrupt(epoch: EpochMetrics) -> None:
        if epoch.number == 2:
            raise Interruption
    whole = SmallNetwork()
    whole_fit = whole.fit(photos, **OPTIONS)
    with pytest.raises(Interruption):
        SmallNetwork().fit(photos, checkpoint_dir=tmp_path, callbacks=[interrupt], **OPTIONS)
    numbers: list[int] = []
    continued = SmallNetwork()
    fit = continued.fit(photos, checkpoint_dir=tmp_path, callbacks=[lambda epoch: numbers.append(epoch.number)],
                        **OPTIONS)
    assert numbers == list(range(8)) and fit.epochs == whole_fit.epochs
    content = next(photos.glob("red/*")).read_bytes()
    np.testing.assert_array_equal(continued.predict_bytes(content), whole.predict_bytes(content))


def test_keras_callbacks_and_functions_end_the_training(photos: Path, tmp_path: Path) -> None:
    import_tensorflow()
    import keras
    logger = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    fit = SmallNetwork().fit(photos, callbacks=[logger, lambda epoch: epoch.number == 1], **OPTIONS)
    assert len(fit.epochs) == 2
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3


def test_the_split_of_the_caller_is_used(photos: Path) -> None:
    dataset = tfpoets.read_dataset(photos)
    classifier = SmallNetwork()
    classifier.fit(dataset, split=SplitOptions(testing_percentage=40, seed=3), **{**OPTIONS, "epochs": 1})
    assert classifier.evaluate().count > 15


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda folder: ImageClassifier(), OptionError, "needs a model"),
    (lambda folder: ImageClassifier(build_model(), ["one"]), ExportError, "at least two labels"),
    (lambda folder: ImageClassifier(build_model()).label(b""), TrainingError, "labels .* are not known"),
    (lambda folder: ImageClassifier(build_model(n_classes=3)).fit(folder), TrainingError, "3 outputs, but .* 2"),
    (lambda folder: ImageClassifier(build_model(), ["cat", "dog"]).fit(folder), DataError, "blue, red"),
    (lambda folder: ImageClassifier(build_model(scaled=False)).fit(folder), TrainingError, "range of the pixels"),
    (lambda folder: ImageClassifier(build_model(), ["a", "b"]).evaluate(), DataError, "no test photos"),
    (lambda folder: ImageClassifier(build_model(), ["a", "b"]).predict("photo.jpg"), OptionError, "not a list"),
    (lambda folder: ImageClassifier(build_model(), ["a", "b"]).predict_bytes(b"no photo"), PhotoError, ""),
    (lambda folder: SmallNetwork().fit(folder, epoch=3), OptionError, "epochs"),
    (lambda folder: SmallNetwork().fit(None), OptionError, "folder or a Dataset"),
    (lambda folder: SmallNetwork().fit(folder, split={"seed": 1}), OptionError, "split"),
    (lambda folder: SmallNetwork().fit(folder, split=SplitOptions(validation_percentage=0)), OptionError,
     "needs validation photos"),
    (lambda folder: SmallNetwork().fit(folder, callbacks=print), OptionError, "not a list of Keras callbacks"),
    (lambda folder: SmallNetwork().fit(folder, checkpoint_dir=__file__), TfpoetsError, "cannot be created"),
    (lambda folder: ImageClassifier(build_model(), {"a", "b"}), ExportError, "not a list of strings"),
    (lambda folder: ImageClassifier(build_model(), 3), ExportError, "not a list of strings"),
    (lambda folder: ImageClassifier(build_model(), ["a", "b"]).predict([3]), OptionError, "path or the bytes"),
    (lambda folder: ImageClassifier(build_model(), ["a", "b"]).predict_bytes("a.jpg"), OptionError, "neither bytes"),
    (lambda folder: ImageClassifier(build_model(), ["a", "b"]).predict_bytes(["a.jpg"]), OptionError, "neither bytes"),
    (lambda folder: ImageClassifier(build_model(), ["a", "b"]).label(["a.jpg"]), OptionError, "path or the bytes"),
    (lambda folder: ImageClassifier(build_model(), ["a", "b"]).save("/proc/model"), TfpoetsError, "/proc"),
    (lambda folder: ImageClassifier.load(None), OptionError, "not a path")])
def test_errors_state_the_problem(photos: Path, call: Callable[[Path], Any], error: type[TfpoetsError], message: str
                                  ) -> None:
    with pytest.raises(error, match=message):
        call(photos)


def test_labels_in_another_order_are_those_of_the_outputs(photos: Path, tmp_path: Path) -> None:
    import_tensorflow()
    import keras
    keras.utils.set_random_seed(0)
    for labels in (["red", "blue"], ["white", "red", "blue"]):
        classifier = ImageClassifier(build_model(n_classes=len(labels)), labels)
        classifier.fit(photos, **OPTIONS)
        assert classifier.evaluate().accuracy > 0.8
        assert [classifier.label(next(photos.glob(f"{label}/*"))) for label in ("red", "blue")] == ["red", "blue"]
        classifier.save(tmp_path / "model")
        assert ImageClassifier.load(tmp_path / "model").label(next(photos.glob("red/*"))) == "red"


def train_and_count_runs(classifier: ImageClassifier, photos: Path, folder: Path, **options: Any) -> int:
    """Train for one epoch, and return how many different runs have checkpoints in a folder."""
    classifier.fit(photos, checkpoint_dir=folder, **{**OPTIONS, "epochs": 1, **options})
    return len(list((folder / "training").iterdir()))


def test_only_runs_of_the_same_model_and_step_share_checkpoints(photos: Path, tmp_path: Path) -> None:
    import_tensorflow()
    import keras

    class Subclass(keras.Model):
        def __init__(self, activation: str):
            super().__init__()
            self.scale, self.flatten = keras.layers.Rescaling(1 / 255), keras.layers.Flatten()
            self.hidden, self.out = keras.layers.Dense(4, activation), keras.layers.Dense(2)

        def call(self, x: Any, training: bool = False) -> Any:
            return self.out(self.hidden(self.flatten(self.scale(x))))

    def make_step(factor: float) -> Callable[..., Any]:
        def train_step(model: Any, x: Any, y: Any) -> Any:
            loss, logits = gradient_tape_step(model, x, y)
            return loss * factor, logits
        return train_step

    def build(activation: str, seed: int = 0) -> ImageClassifier:
        keras.utils.set_random_seed(seed)
        return ImageClassifier(Subclass(activation), image_size=16)
    assert train_and_count_runs(build("relu"), photos, tmp_path) == 1
    assert train_and_count_runs(build("relu"), photos, tmp_path) == 1, "another object with the same weights"
    assert train_and_count_runs(build("sigmoid"), photos, tmp_path) == 2
    assert train_and_count_runs(build("relu", seed=1), photos, tmp_path) == 3
    assert train_and_count_runs(build("relu"), photos, tmp_path, train_step=make_step(1.0)) == 4
    assert train_and_count_runs(build("relu"), photos, tmp_path, train_step=make_step(2.0)) == 5
    assert train_and_count_runs(build("relu"), photos, tmp_path, train_step=functools.partial(gradient_tape_step)) == 6
    assert train_and_count_runs(build("relu"), photos, tmp_path, train_step=make_step(2.0)) == 6
    with pytest.raises(OptionError, match="not a function"):
        train_and_count_runs(build("relu"), photos, tmp_path, train_step="step")


def test_a_second_fit_trains_further(photos: Path, tmp_path: Path) -> None:
    classifier = SmallNetwork()
    assert train_and_count_runs(classifier, photos, tmp_path) == 1
    before = classifier.model.get_weights()
    assert train_and_count_runs(classifier, photos, tmp_path) == 2
    assert not np.array_equal(classifier.model.get_weights()[0], before[0])


@pytest.mark.parametrize(("train_step", "message"), [
    (lambda model, x, y: None, "must return the mean loss and the logits"),
    (lambda model, x, y: (0.0, model(x)[:, :1]), "the shape of its logits"),
    (lambda model, x, y: (model(x)[:, 0], model(x)), "the shape of its loss"),
    (lambda model, x: None, "takes 2 positional arguments|given"),
    (lambda model, x, y: 1 / 0, "division by zero")])
def test_errors_in_a_training_step_state_the_problem(photos: Path, train_step: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message) as error:
        SmallNetwork().fit(photos, train_step=train_step, **OPTIONS)
    assert "in user code" not in str(error.value)


def test_callbacks_that_read_the_metrics_or_the_optimizer_work(photos: Path) -> None:
    import_tensorflow()
    import keras
    fit = SmallNetwork().fit(photos, callbacks=[keras.callbacks.EarlyStopping("val_accuracy", patience=1),
                                                keras.callbacks.ReduceLROnPlateau(),
                                                keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate)],
                             **OPTIONS)
    assert 1 <= len(fit.epochs) <= 8
