"""Wrap a Keras model that was trained elsewhere, so that it can be exported as a classifier."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import Photo, load_photos, network_input, photo_digest
from tfpoets.errors import ExportError, OptionError, PhotoError
from tfpoets.extractors import INPUT_NODE, Network, core_count, prepare_extractor
from tfpoets.tf_runtime import full_precision, import_tensorflow

from .classifier_files import ExportResult, export_classifier
from .metadata import Metadata
from .metadata_sections import HeadInfo, InputInfo, NetworkInfo, NodeNames
from .options import ExportOptions, check_destinations
from .verification import ReferenceOutputs

# Limits memory use only.
BATCH_SIZE = 32


@dataclass(frozen=True, eq=False)
class WrappedModel:
    """A Keras model as a classifier that can be exported.

    Attributes:
        model: The model. Its input is float32 [n, height, width, 3] in [0, 1]; its output is float32 [n, n_classes],
            logits.
        labels: The labels in the order of the logits.
        height, width: The size of the input, in pixels.
        name: The name of the model, for messages and metadata.
    """

    model: Any
    labels: tuple[str, ...]
    height: int
    width: int
    name: str

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return the probabilities that the model itself predicts.

        Args:
            pixels: uint8 [n, height, width, 3].

        Returns:
            float32 [n, n_classes].
        """
        softmax = import_tensorflow().nn.softmax
        with full_precision:
            batches = [softmax(self.model(network_input(pixels[start:start + BATCH_SIZE]), training=False)).numpy()
                       for start in range(0, len(pixels), BATCH_SIZE)]
        return np.concatenate(batches) if batches else np.empty((0, len(self.labels)), np.float32)

    def export(self, destinations: ExportOptions, photos: Sequence[Path | str] = ()) -> ExportResult:
        """Write all files of a classifier, and verify on photos that they reproduce the outputs of the model.

        Args:
            destinations: The paths of the files.
            photos: The paths of photos for verification, which may show anything. Without photos, nothing is verified.

        Raises:
            OptionError: `destinations` contains formats, or a path that cannot be used.
            ExportError: A photo cannot be read, the model cannot be frozen or converted, or a file cannot be written
                or does not reproduce the outputs. In this case, no existing file is replaced.
        """
        if destinations.formats:
            raise OptionError("`formats` is only used by retrain.", "Convert the graph after the export.")
        from tfpoets.training import LinearHead  # imported here because label_image does not need training code
        check_destinations(destinations)
        reference = self._reference_outputs(photos)
        with tempfile.TemporaryDirectory() as folder:
            extractor = prepare_extractor(Network(self.model, self.height, self.width), self.name, self.name,
                                          self.name, Path(folder) / "network")
            metadata = Metadata(
                labels=list(self.labels), input=InputInfo(self.height, self.width),
                nodes=NodeNames(INPUT_NODE, destinations.final_tensor_name),
                network=NetworkInfo("wrapped", self.name, extractor.digest), head=HeadInfo("none", 1.0))
            # The model contains its last layer, so the head only passes its logits to the softmax.
            head = LinearHead(np.eye(len(self.labels), dtype=np.float32), np.zeros(len(self.labels), np.float32))
            return export_classifier(extractor, head, metadata, destinations, reference)

    def _reference_outputs(self, paths: Sequence[Path | str]) -> ReferenceOutputs:
        """Return photos with the outputs of the model itself."""
        if isinstance(paths, str):
            raise ExportError("`photos` is not a list of paths.", f"Use [{paths!r}].")
        try:
            photos = [Photo(os.fspath(path), "") for path in paths]
            files = [photo.read() for photo in photos]
            pixels = load_photos(files, self.height, self.width, core_count())
        except PhotoError as error:
            raise ExportError(f"A verification photo cannot be used: {error}") from error
        return ReferenceOutputs(tuple(replace(photo, digest=photo_digest(data)) for photo, data in zip(photos, files)),
                                self(pixels))


def wrap(model: Any, labels: Sequence[str]) -> WrappedModel:
    """Wrap a Keras model as a classifier, which can be exported like a retrained one.

    Args:
        model: A model with one input, float32 [n, height, width, 3], pixels in [0, 1], and one output, float32
            [n, n_classes], logits. Preprocessing of the pixels must be part of the model.
        labels: At least two different labels, in the order of the logits.

    Raises:
        ExportError: The labels are not valid, the model has a different input or output, or its output is a softmax or
            sigmoid.
    """
    import_tensorflow()
    _check_labels(labels)
    height, width = _input_size(model, len(labels))
    _check_output(model, height, width)
    return WrappedModel(model, tuple(labels), height, width, model.name)


def _check_labels(labels: Sequence[str]) -> None:
    if isinstance(labels, str):
        raise ExportError("The labels are not a list of strings.", "Use one string per class.")
    if any(not isinstance(label, str) or not label or len(label.splitlines()) > 1 for label in labels):
        raise ExportError("Each label must be a non-empty string without line breaks.")
    if not 2 <= len(set(labels)) == len(labels):
        raise ExportError("A classifier needs at least two labels, without duplicates.")


def _input_size(model: Any, n_classes: int) -> tuple[int, int]:
    """Return height and width of the model's input; raise an ExportError if its input or output has a wrong shape."""
    try:
        input_shape, output_shape = tuple(model.input_shape), tuple(model.output_shape)
    except AttributeError:
        raise ExportError("The shapes of the model's input and output are not known.",
                          "Build it as keras.Model(inputs, outputs), or as a keras.Sequential that begins with "
                          "keras.Input.") from None
    if len(input_shape) != 4 or input_shape[3] != 3 or not all(input_shape[1:]):
        raise ExportError(f"The shape of the model's input is {list(input_shape)}. It must be [n, height, width, 3] "
                          "with a fixed height and width.")
    if len(output_shape) != 2 or output_shape[1] != n_classes:
        raise ExportError(f"The shape of the model's output is {list(output_shape)}. For {n_classes} labels, it must "
                          f"be [n, {n_classes}].")
    return input_shape[1], input_shape[2]


def _check_output(model: Any, height: int, width: int) -> None:
    """Run the model on random pixels; raise an ExportError unless its output can be float32 logits."""
    outputs = model(np.random.default_rng(0).random((2, height, width, 3), np.float32), training=False).numpy()
    if outputs.dtype != np.float32:
        raise ExportError(f"The model's output is {outputs.dtype}, but it must be float32.",
                          'Set dtype="float32" in its last layer.')
    if not np.isfinite(outputs).all():
        raise ExportError("The model's output is not finite.", "Train the model again.")
    sums_to_one = (outputs >= 0).all() and np.allclose(outputs.sum(1), 1, atol=1e-4)
    activation = getattr(getattr(model.layers[-1], "activation", None), "__name__", "")
    if sums_to_one or activation in ("softmax", "sigmoid"):
        raise ExportError(f"The model ends in a {'sigmoid' if activation == 'sigmoid' else 'softmax'}, but its output "
                          "must be logits.", "Remove the activation of its last layer.")
