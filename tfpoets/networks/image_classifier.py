"""An image classifier as an object: a Keras model with its labels, which is trained, evaluated, saved and loaded."""
from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tfpoets.data import TEST, TRAINING, Dataset, Photo, SplitOptions, group_numbers
from tfpoets.errors import (DataError, ExportError, ExtractorError, OptionError, TrainingError, check_choice,
                            check_range, join_names)
from tfpoets.evaluation import Metrics, evaluate
from tfpoets.exporting import (ExportOptions, ExportResult, HeadInfo, WrappedModel, check_labels, evaluation_info,
                               split_info)
from tfpoets.extractors import INPUT_RANGES, AdaptedModel, adapt_model
from tfpoets.files import as_path
from tfpoets.inference import Classifier, PhotoInput, load_classifier
from tfpoets.options import with_options
from tfpoets.training import COLOR_MODES, LoopOptions, NetworkFit, TrainStep, fit_network, log_summary, seed_weights

from .model_engine import KerasModelEngine
from .model_training import (LabelledPhotos, checkpoint_folder, describe_initial, epoch_listener, read_and_split,
                             read_photos, restored_on_error, select_new_photos)
from .predictions import UnlabelledPhoto, predict_probabilities, to_contents, to_sources

log = logging.getLogger(__name__)

# The default options of `fit`. The learning rate is that of Keras's Adam; as in Keras, labels are not smoothed.
DEFAULT_OPTIONS = LoopOptions(epochs=20, learning_rate=1e-3, label_smoothing=0.0)


class ImageClassifier:
    """A Keras model that labels photos.

    The model is passed to the constructor, or built by a subclass::

        classifier = ImageClassifier(model, ["daisy", "rose"])

        class LeNet(ImageClassifier):
            image_size = 32

            def build(self, height, width, n_classes):
                return keras.Sequential([...])

        classifier = LeNet()
        classifier.fit("flower_photos", epochs=10)
        classifier.label("new_photo.jpg")
        classifier.save("flowers")
        LeNet.load("flowers").predict_bytes(png_bytes)

    The model may be Sequential, functional or subclassed, and may end in logits, a softmax or sigmoids. The range of
    its pixels is read from a Rescaling or Normalization layer at its beginning.

    Args:
        model: A Keras model with one input, float32 [n, height, width, 3 or 1], and one output, float32
            [n, n_classes]; None for a subclass with `build`.
        labels: The labels in the order of the outputs. None: those of the photos, in alphabetical order.
        image_size: Height and width of the input in pixels, for a model that takes any size or is built by `build`.
            None: the attribute `image_size` of the class.
        color_mode: "grayscale" for a model of gray photos whose input is not known yet; photos are converted.
        input_range: The range of the pixels that the model takes: "0,1", "0,255" or "-1,1"; "" to read it from the
            model.

    Attributes:
        image_size: Height and width of the input in pixels.
        channels: The number of channels of the photos that the model takes: 3, or 1 for grayscale.
        min_image_size: The smallest `image_size` for which the network of a subclass can be built.
        dropout: The dropout rate, for networks whose `build` uses it.
        labels: The labels in the order of the outputs; empty until they are known.
        model: The Keras model; None until it has been built, and for a loaded classifier.

    Raises:
        OptionError: An argument is not valid.
        ExportError: The labels are not at least two different strings.
    """

    image_size: int = 224
    min_image_size: int = 1
    channels: int = 3
    dropout: float = 0.0
    labels: tuple[str, ...] = ()
    model: Any = None
    _input_range: str = ""
    _is_complete: bool = False  # whether the size of the input is known from the model
    _classifier: Classifier | None = None
    _wrapped: WrappedModel | None = None
    _dataset: Dataset | None = None

    def __init__(self, model: Any = None, labels: Sequence[str] | None = None, *, image_size: int | None = None,
                 color_mode: str = "rgb", input_range: str = ""):
        check_range("image_size", image_size, minimum=1, integer=True)
        check_choice("color_mode", color_mode, COLOR_MODES)
        if input_range:
            check_choice("input_range", input_range, tuple(INPUT_RANGES))
        if labels is not None:
            check_labels(labels)
            labels = [str(label) for label in labels]
        if model is None and type(self).build is ImageClassifier.build:
            raise OptionError("An ImageClassifier needs a model.", "Pass a keras.Model, or write a subclass with a "
                              "method build(self, height, width, n_classes) that returns one.", "model")
        self.model, self.labels = model, tuple(labels or ())
        self.channels = 1 if color_mode == "grayscale" else 3
        self._is_complete = model is not None and image_size is None
        self.image_size = image_size or self.image_size
        self._input_range = input_range

    def build(self, height: int, width: int, n_classes: int) -> Any:
        """Return the Keras model; subclasses implement this.

        Args:
            height: The height of the photos in pixels.
            width: Their width.
            n_classes: The number of classes.
        """
        raise NotImplementedError

    def check_size(self) -> None:
        """Raise a TrainingError if `image_size` is too small for the network of a subclass."""
        size, minimum = self.image_size, self.min_image_size
        if size < minimum:
            raise TrainingError(f"{type(self).__name__} does not take photos of {size} x {size} pixels: it needs at "
                                f"least {minimum} x {minimum} pixels.", "Use a larger `image_size`.")

    def fit(self, photos: LabelledPhotos, *, split: SplitOptions | None = None,
            checkpoint_dir: str | os.PathLike[str] | None = None, train_step: TrainStep | None = None,
            callbacks: Sequence[Any] = (), **options: Any) -> NetworkFit:
        """Train the model on the training photos, and keep the weights of the best epoch.

        The probabilities are calibrated on the validation photos. The test photos are not used.

        Args:
            photos: A folder with one folder of photos per class, or a dataset.
            split: How the photos are divided into training, validation and test photos; None: the default options,
                or the split that the dataset already has.
            checkpoint_dir: The folder for checkpoints. An interrupted run is continued if `fit` is called again with
                the same model, photos and options. None: no checkpoints are kept.
            train_step: A custom training step; see `tfpoets.training.TrainStep`. None: the cross-entropy is
                minimized.
            callbacks: Instances of `keras.callbacks.Callback`, which are called once per epoch; or functions of
                `EpochMetrics`. A function that returns True ends the training.
            options: The fields of `LoopOptions`, such as epochs (default: 20), optimizer, learning_rate (default:
                0.001), batch_size, patience (for early stopping), monitor and augmentation.

        Returns:
            The metrics of the epochs, and which one was the best.

        Raises:
            OptionError: There is no such option, or its value is invalid.
            DataError: The photos cannot be used, or their labels are not those of the classifier.
            TrainingError: The model cannot be built or trained.
        """
        loop = with_options(DEFAULT_OPTIONS, options)
        if self.model is None and self._classifier is not None:
            raise TrainingError("A loaded classifier cannot be trained further, because its file does not contain the "
                                "Keras layers.", "Create a new one.")
        dataset = self._with_own_labels(read_and_split(photos, split))
        if split is not None and "seed" not in options:
            loop = replace(loop, seed=split.seed)
        adapted = self._adapt(dataset.n_classes, loop.seed)
        with (checkpoint_folder(checkpoint_dir) as folder, restored_on_error(adapted.model),
              epoch_listener(callbacks, adapted.model) as on_epoch):
            initial = describe_initial(adapted, adapted.model.name, train_step)
            fit = fit_network(initial, dataset, loop, folder, on_epoch)
        self._finish(adapted, fit, dataset)
        return fit

    @property
    def classifier(self) -> Classifier:
        """The model as a `Classifier`, which all commands and the server use; it can be used by several threads.

        Raises:
            TrainingError: The labels are not known yet.
        """
        if self._classifier is None:
            if not self.labels:
                raise TrainingError("The labels of this classifier are not known.", "Call fit, or pass `labels`.")
            self._use(WrappedModel(self._adapt(len(self.labels), 0), self.labels))
        assert self._classifier is not None
        return self._classifier

    def predict(self, photos: Sequence[UnlabelledPhoto]) -> np.ndarray:
        """Return the probabilities of the labels.

        Args:
            photos: The paths of photos, or the contents of their files.

        Returns:
            float32 [n, n_classes].

        Raises:
            PhotoError: A photo cannot be read.
        """
        return predict_probabilities(self.classifier, to_sources(photos))

    def predict_bytes(self, contents: bytes | Sequence[bytes]) -> np.ndarray:
        """Return the probabilities of the labels for the content of a file, or those for a list of them.

        Args:
            contents: The bytes of a JPEG, a PNG, or a file of another image format; or a list of such contents.

        Returns:
            float32 [n_classes], or float32 [n, n_classes] for a list.

        Raises:
            PhotoError: A photo cannot be read.
        """
        if isinstance(contents, bytes | bytearray | memoryview):
            return np.asarray(self.predict_bytes([bytes(contents)])[0])
        return predict_probabilities(self.classifier, to_contents(contents))

    def label(self, photo: UnlabelledPhoto) -> str:
        """Return the most likely label of a photo, given its path or content; raise PhotoError like `predict`."""
        source, = to_sources([photo])
        return self.classifier.label(source if isinstance(source, bytes) else source.uri)

    def evaluate(self, photos: LabelledPhotos | None = None) -> Metrics:
        """Return the metrics of the predictions for labelled photos.

        Args:
            photos: A folder with one folder of photos per class, or a dataset. Photos that the classifier was trained
                on are left out. None: the test photos of `fit`.

        Raises:
            DataError: There are no such photos, or their labels are not those of the classifier.
            PhotoError: A photo cannot be read.
        """
        if photos is not None:
            dataset = self._with_own_labels(read_photos(photos, 1))
            selected = select_new_photos(dataset.photos, self.classifier.metadata)
        elif self._dataset is None:
            raise DataError("This classifier has no test photos of its own.", "Pass a folder of labelled photos.")
        else:
            selected = self._dataset.part(TEST).photos
        if not selected:
            raise DataError("There are no photos that the classifier was not trained on.", "Use other photos.")
        y = np.array([self.labels.index(photo.label) for photo in selected], np.int64)
        return evaluate(predict_probabilities(self.classifier, selected), y, group_numbers(selected))

    def save(self, folder: str | os.PathLike[str]) -> ExportResult:
        """Write the classifier as a SavedModel, for `load`, TensorFlow Serving, and commands that label photos.

        It has the signatures `serving_default`, for pixels, and `predict_bytes`, for JPEG and PNG files. After `fit`,
        it is compared with the model on the test photos.

        Args:
            folder: The path of the folder. A SavedModel that was written there before is replaced.

        Raises:
            ExportError: The model cannot be exported, or the file does not reproduce its outputs.
        """
        return self._exportable().save(as_path("folder", folder), self._test_photos())

    def export(self, output_graph: str | os.PathLike[str], **options: Any) -> ExportResult:
        """Write the files that `retrain` writes: a frozen graph (.pb), a .tflite, the labels and the metadata.

        Args:
            output_graph: The path of the .pb; the other files get the same stem.
            options: The other fields of `ExportOptions`, such as formats=["onnx", "keras"]. The labels are written
                next to the graph, with the suffix .txt, unless `output_labels` is set.

        Raises:
            OptionError: There is no such option, or a path cannot be used.
            ExportError: The model cannot be exported, or a file does not reproduce its outputs.
        """
        graph = as_path("output_graph", output_graph)
        values = {"output_graph": graph, "output_labels": graph.with_suffix(".txt"), **options}
        training_photos = self._dataset.part(TRAINING).photos if self._dataset else ()
        return self._exportable().export(with_options(ExportOptions, values), self._test_photos(), training_photos)

    @classmethod
    def load(cls, path: str | os.PathLike[str], trust_model: bool = False) -> ImageClassifier:
        """Load a classifier from a SavedModel, a .tflite or a .pb. It can label photos, but not be trained further.

        Args:
            path: The path of the file or folder.
            trust_model: Whether to run it without checking what it does; see docs/security.md.

        Raises:
            ModelError: There is no classifier at the path, or it is damaged.
        """
        classifier = load_classifier(as_path("path", path), trust_model=trust_model)
        loaded = cls.__new__(cls)  # without the arguments that the constructor of a subclass may need
        loaded.labels, loaded.image_size, loaded._classifier = classifier.labels, classifier.input.height, classifier
        return loaded

    def _adapt(self, n_classes: int, seed: int) -> AdaptedModel:
        """Return the model with what is known about its input; build it first if there is none yet."""
        size = None if self._is_complete else self.image_size
        channels = 1 if self.channels == 1 else None
        if self.model is None:
            self.check_size()
            seed_weights(seed)
            self.model = self.build(self.image_size, self.image_size, n_classes)
            if self.model is None:
                raise TrainingError(f"{type(self).__name__}.build returns nothing.", "Return a keras.Model.")
        try:
            adapted = adapt_model(self.model, self._input_range, size, channels)
        except ExtractorError as error:
            raise TrainingError(error.problem, error.remedy, error.option) from error
        if adapted.n_classes != n_classes:
            raise TrainingError(f"The model has {adapted.describe_outputs()}, but there are {n_classes} classes.",
                                "Use a model with one output for each class.")
        log.info("%s", adapted.describe_input())
        log_summary(self.model)
        self.image_size, self.channels = adapted.height, adapted.channels
        return adapted

    def _with_own_labels(self, dataset: Dataset) -> Dataset:
        """Return a dataset with the labels of the classifier in their order, if they are known.

        Raises:
            DataError: A label of the photos is not one of the classifier.
        """
        other_labels = [label for label in dataset.labels if self.labels and label not in self.labels]
        if other_labels:
            raise DataError(f"{dataset.location} contains photos of {join_names(other_labels)}, but the labels of the "
                            f"classifier are {join_names(self.labels)}.", "Use photos of the same classes.")
        return replace(dataset, labels=self.labels or dataset.labels)

    def _finish(self, adapted: AdaptedModel, fit: NetworkFit, dataset: Dataset) -> None:
        """Use the trained model, and measure it on the test photos."""
        self._dataset, self.labels = dataset, self.labels or dataset.labels
        wrapped = WrappedModel(adapted, self.labels, fit.head.temperature, "from_scratch",
                               {"head": HeadInfo.from_dict(fit.description()), "split": split_info(dataset)})
        self._use(wrapped)
        if len(dataset.part(TEST).photos):
            self._use(replace(wrapped, sections={**wrapped.sections, "test": evaluation_info(self.evaluate())}))

    def _use(self, wrapped: WrappedModel) -> None:
        """Predict with a Keras model from now on."""
        adapted, metadata = wrapped.adapted, wrapped.describe()
        self._wrapped = wrapped
        self._classifier = Classifier(wrapped.labels, PhotoInput(adapted.height, adapted.width),
                                      KerasModelEngine(wrapped), metadata)

    def _exportable(self) -> WrappedModel:
        """Return the model for an export; raise an ExportError for a loaded classifier."""
        assert self.classifier
        if self._wrapped is None:
            raise ExportError("A loaded classifier cannot be written again, because its file does not contain the "
                              "Keras layers.", "Copy the file, or convert a .pb with tfpoets.export.")
        return self._wrapped

    def _test_photos(self) -> Sequence[Photo]:
        return self._dataset.part(TEST).photos if self._dataset else ()
