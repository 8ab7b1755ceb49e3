"""A classifier as an object: it is trained, measured, saved, loaded and exported like one that retrain has trained."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tfpoets
from tests.conftest import write_photos
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


def test_another_training_step_does_not_continue_the_checkpoints_of_the_first(photos: Path, tmp_path: Path) -> None:
    def make_step(factor: float) -> Callable[..., Any]:
        def train_step(model: Any, x: Any, y: Any) -> Any:
            tensorflow = import_tensorflow()
            with tensorflow.GradientTape() as tape:
                logits = model(x, training=True)
                loss = tensorflow.reduce_mean(
                    tensorflow.nn.sparse_softmax_cross_entropy_with_logits(y, logits)) * factor
            gradients = tape.gradient(loss, model.trainable_variables)
            model.optimizer.apply_gradients(zip(gradients, model.trainable_variables))
            return loss, logits
        return train_step

    def other_step(model: Any, x: Any, y: Any) -> Any:
        loss, logits = make_step(1.0)(model, x, y)
        return loss, logits * 1.0
    options = {**OPTIONS, "epochs": 1}
    first = SmallNetwork().fit(photos, checkpoint_dir=tmp_path, train_step=make_step(1.0), **options)
    SmallNetwork().fit(photos, checkpoint_dir=tmp_path, train_step=other_step, **options)
    assert len(list((tmp_path / "training").iterdir())) == 2
    assert first.epochs[0].train_loss > 0


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
    (lambda folder: SmallNetwork().fit(folder, epoch=3), OptionError, "epochs")])
def test_errors_state_the_problem(photos: Path, call: Callable[[Path], Any], error: type[TfpoetsError], message: str
                                  ) -> None:
    with pytest.raises(error, match=message):
        call(photos)
