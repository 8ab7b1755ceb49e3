"""The steps around the training of a Keras model: photos, checkpoints and callbacks."""
from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfpoets.data import Dataset, Photo, SplitOptions, hash_photos, read_dataset, split_photos
from tfpoets.exporting import Metadata, training_photo_mask
from tfpoets.extractors import AdaptedModel, Network, core_count
from tfpoets.training import EpochMetrics, InitialNetwork, LinearHead, TrainStep, keras_callbacks

log = logging.getLogger(__name__)

# Photos with their labels: a folder with one folder of photos per class, another location, or a dataset.
LabelledPhotos = str | os.PathLike[str] | Dataset


def read_and_split(photos: LabelledPhotos, options: SplitOptions) -> Dataset:
    """Return photos with their digests and split."""
    dataset = photos if isinstance(photos, Dataset) else read_dataset(os.fspath(photos))
    if dataset.hashes is None:
        dataset, unreadable = hash_photos(dataset, core_count())
        for photo, reason in unreadable:
            log.warning("%s is left out: %s.", photo.uri, reason)
    return split_photos(dataset, options) if dataset.split is None else dataset


def select_new_photos(photos: Sequence[Photo], metadata: Metadata | None) -> tuple[Photo, ...]:
    """Return the photos that a classifier was not trained on, and log the number of the others."""
    if metadata is None:  # a graph of TensorFlow for Poets
        return tuple(photos)
    is_training = training_photo_mask(metadata, photos)
    if any(is_training):
        log.warning("Photos left out, because the classifier was trained on them: %d.", sum(is_training))
    return tuple(photo for photo, is_known in zip(photos, is_training) if not is_known)


def describe_initial(adapted: AdaptedModel, train_step: TrainStep | None) -> InitialNetwork:
    """Return a Keras model, with its last layer, as a network to train."""
    network, name = Network(adapted.logits, adapted.height, adapted.width, is_keras=True), adapted.model.name
    # The logits of the model are the bottlenecks, so the head only passes them on.
    return InitialNetwork(network, name, name, _identity(adapted, train_step), "from_scratch",
                          LinearHead.identity(adapted.n_classes), own_model=adapted.model, train_step=train_step)


def _identity(adapted: AdaptedModel, train_step: TrainStep | None) -> str:
    """Return a string that identifies a model, except its weights, and a training step, for the key of checkpoints."""
    model = adapted.model
    try:
        layers = model.to_json()
    except Exception:  # layers of the user may have no configuration, or one that cannot be JSON
        layers = type(model).__qualname__
    step = getattr(getattr(train_step, "__code__", None), "co_code", b"")
    content = json.dumps([layers, [list(weight.shape) for weight in model.weights], adapted.input_range, step.hex()])
    return f"model/{hashlib.blake2b(content.encode()).hexdigest()}"


@contextmanager
def checkpoint_folder(folder: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Yield the folder for checkpoints, or a temporary one."""
    if folder is not None:
        yield Path(folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


@contextmanager
def epoch_listener(callbacks: Sequence[Any], model: Any) -> Iterator[Callable[[EpochMetrics], bool]]:
    """Yield a function that passes epochs on to Keras callbacks and functions."""
    functions = [callback for callback in callbacks if not hasattr(callback, "on_epoch_end")]
    with keras_callbacks([callback for callback in callbacks if callback not in functions], model) as call_keras:
        yield lambda epoch: any([call_keras(epoch), *(function(epoch) is True for function in functions)])
