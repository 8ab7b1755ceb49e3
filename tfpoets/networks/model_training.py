"""The steps around the training of a Keras model: photos, checkpoints and callbacks."""
from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfpoets.data import VALIDATION, Dataset, Photo, SplitOptions, hash_photos, read_dataset, split_photos
from tfpoets.errors import OptionError, check_type
from tfpoets.exporting import Metadata, training_photo_mask
from tfpoets.extractors import AdaptedModel, Network
from tfpoets.files import check_output_folder
from tfpoets.parallel import core_count
from tfpoets.training import EpochMetrics, InitialNetwork, LinearHead, TrainStep, keras_callbacks

from .model_identity import model_identity, step_identity

log = logging.getLogger(__name__)

# Photos with their labels: a folder with one folder of photos per class, another location, or a dataset.
LabelledPhotos = str | os.PathLike[str] | Dataset


def read_photos(photos: LabelledPhotos, min_classes: int = 2) -> Dataset:
    """Return the dataset that the argument of `fit` or `evaluate` stands for; raise an OptionError for other types."""
    if isinstance(photos, Dataset):
        return photos
    if not isinstance(photos, str | os.PathLike):
        raise OptionError(f"`photos` is {type(photos).__name__}, but must be a folder or a Dataset.",
                          "Use the path of a folder that contains one folder of photos per class.", "photos")
    return read_dataset(os.fspath(photos), min_classes)


def read_and_split(photos: LabelledPhotos, options: SplitOptions | None) -> Dataset:
    """Return photos with their digests and split, which has validation photos.

    Raises:
        OptionError: The photos have already been split, or there are no validation photos.
    """
    check_type("split", options, SplitOptions, optional=True)
    dataset = read_photos(photos)
    if dataset.split is not None and options is not None:
        raise OptionError("The dataset has already been split.", "Omit `split`.", "split")
    if dataset.hashes is None:
        dataset, unreadable = hash_photos(dataset, core_count())
        for photo, reason in unreadable:
            log.warning("%s is left out: %s.", photo.uri, reason)
    if dataset.split is None:
        dataset = split_photos(dataset, options or SplitOptions())
    if not len(dataset.rows(VALIDATION)):
        raise OptionError("Training needs validation photos, to choose the best epoch.",
                          "Set `validation_percentage` above 0.", "validation_percentage")
    return dataset


def select_new_photos(photos: Sequence[Photo], metadata: Metadata | None) -> tuple[Photo, ...]:
    """Return the photos that a classifier was not trained on, and log the number of the others."""
    if metadata is None:  # a graph of TensorFlow for Poets
        return tuple(photos)
    is_training = training_photo_mask(metadata, photos)
    if any(is_training):
        log.warning("Photos left out, because the classifier was trained on them: %d.", sum(is_training))
    return tuple(photo for photo, is_known in zip(photos, is_training) if not is_known)


def describe_initial(adapted: AdaptedModel, name: str, train_step: TrainStep | None = None) -> InitialNetwork:
    """Return a Keras model, with its last layer, as a network to train.

    Args:
        adapted: The model.
        name: Its name, for messages and the metadata.
        train_step: See `TrainableModel`.

    Raises:
        OptionError: The training step is not a function.
    """
    step = step_identity(train_step) if train_step is not None else ""
    model = model_identity(adapted.model, (adapted.height, adapted.width, adapted.channels))
    # The logits of the model are the bottlenecks, so the head only passes them on.
    return InitialNetwork(Network(adapted.logits, adapted.height, adapted.width, is_keras=True), name, name,
                          f"model/{model}/{adapted.input_range}/{step}", "from_scratch",
                          LinearHead.identity(adapted.n_classes), own_model=adapted.model, train_step=train_step)


@contextmanager
def restored_on_error(model: Any) -> Iterator[None]:
    """Restore the initial weights of a model if training fails or is interrupted, so that the run can be continued."""
    initial = [(variable, variable.numpy()) for variable in model.variables]
    try:
        yield
    except BaseException:
        for variable, value in initial:
            variable.assign(value)
        raise


@contextmanager
def checkpoint_folder(folder: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Yield the folder for checkpoints, or a temporary one; raise an error if the folder cannot be used."""
    if folder is not None:
        check_output_folder(Path(folder))
        yield Path(folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


@contextmanager
def epoch_listener(callbacks: Sequence[Any], model: Any) -> Iterator[Callable[[EpochMetrics], bool]]:
    """Yield a function that passes epochs on to Keras callbacks and functions.

    Raises:
        OptionError: The callbacks are not a list of instances of Callback and functions.
    """
    if not isinstance(callbacks, Sequence) or any(isinstance(callback, type) or not (
            callable(callback) or hasattr(callback, "on_epoch_end")) for callback in callbacks):
        raise OptionError("`callbacks` is not a list of Keras callbacks and functions.",
                          "Use, for example, [keras.callbacks.TensorBoard('logs'), print].", "callbacks")
    functions = [callback for callback in callbacks if not hasattr(callback, "on_epoch_end")]
    with keras_callbacks([callback for callback in callbacks if callback not in functions], model) as call_keras:
        yield lambda epoch: any([call_keras(epoch), *(function(epoch) is True for function in functions)])
