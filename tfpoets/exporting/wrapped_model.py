"""Wrap a Keras model that was trained elsewhere, so that it can be exported as a classifier."""
from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import Photo, load_photos, photo_digest
from tfpoets.errors import ExportError, ExtractorError, OptionError, PhotoError, check_choice, check_range
from tfpoets.escaping import has_unsafe_characters
from tfpoets.extractors import (INPUT_NODE, INPUT_RANGES, AdaptedModel, Network, adapt_model, core_count,
                                prepare_extractor)

from .classifier_files import ExportResult, export_classifier
from .metadata import Metadata
from .metadata_sections import HeadInfo, InputInfo, NetworkInfo, NodeNames
from .options import ExportOptions, check_destinations
from .verification import ReferenceOutputs

log = logging.getLogger(__name__)

# Limits memory use only.
BATCH_SIZE = 32


@dataclass(frozen=True, eq=False)
class WrappedModel:
    """A Keras model as a classifier that can be exported.

    Attributes:
        adapted: The model, with what is known about its input and output.
        labels: The labels in the order of the probabilities.
    """

    adapted: AdaptedModel
    labels: tuple[str, ...]

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return the probabilities that the model itself predicts, for pixels on its own scale.

        Args:
            pixels: uint8 [n, height, width, 3].

        Returns:
            float32 [n, n_classes].
        """
        batches = [self.adapted.outputs(pixels[start:start + BATCH_SIZE])
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
            adapted, name = self.adapted, self.adapted.model.name
            extractor = prepare_extractor(Network(adapted.logits, adapted.height, adapted.width), name, name, name,
                                          Path(folder) / "network")
            metadata = Metadata(
                labels=list(self.labels), input=InputInfo(adapted.height, adapted.width),
                nodes=NodeNames(INPUT_NODE, destinations.final_tensor_name),
                network=NetworkInfo("wrapped", name, extractor.digest), head=HeadInfo("none", 1.0))
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
            pixels = load_photos(files, self.adapted.height, self.adapted.width, core_count())
        except PhotoError as error:
            raise ExportError(f"A verification photo cannot be used: {error}") from error
        return ReferenceOutputs(tuple(replace(photo, digest=photo_digest(data)) for photo, data in zip(photos, files)),
                                self(pixels))


def wrap(model: Any, labels: Sequence[str], *, input_range: str = "", image_size: int | None = None) -> WrappedModel:
    """Wrap a Keras model as a classifier, which can be exported like a retrained one.

    The model may be Sequential, functional or subclassed, and may end in logits, a softmax or sigmoids. The range of
    its pixels is read from a Rescaling or Normalization layer at its beginning. The exported files take pixels in
    [0, 1] and convert them.

    Args:
        model: A model with one input, float32 [n, height, width, 3], or [n, height, width, 1] for gray photos, and one
            output, float32 [n, n_classes]. With two labels, the output may also be [n, 1]: the logit or the
            probability of the second label.
        labels: At least two different labels, in the order of the outputs.
        input_range: The range of the pixels that the model takes: "0,1", "0,255" or "-1,1"; "" to read it from the
            model, which must then begin with a layer that shows it.
        image_size: Height and width of the input in pixels, for a model that takes any size, or a subclassed one that
            has not been called yet.

    Raises:
        OptionError: `input_range` or `image_size` is not valid.
        ExportError: The labels are not valid, the model has a different input or output, or the range of its pixels is
            not known.
    """
    if input_range:
        check_choice("input_range", input_range, tuple(INPUT_RANGES))
    check_range("image_size", image_size, minimum=1, integer=True)
    _check_labels(labels)
    try:
        adapted = adapt_model(model, input_range, image_size)
    except ExtractorError as error:
        raise ExportError(error.problem, error.remedy, error.option) from error
    if adapted.n_classes != len(labels):
        raise ExportError(f"The shape of the model's output is [None, {adapted.n_outputs}]. For {len(labels)} labels, "
                          f"it must be [n, {len(labels)}].")
    log.info("%s", adapted.describe_input())
    return WrappedModel(adapted, tuple(labels))


def _check_labels(labels: Sequence[str]) -> None:
    if isinstance(labels, str):
        raise ExportError("The labels are not a list of strings.", "Use one string per class.")
    if any(not isinstance(label, str) or not label or has_unsafe_characters(label) for label in labels):
        raise ExportError("Each label must be a non-empty string without line breaks, control characters and "
                          "invisible characters.")
    if not 2 <= len(set(labels)) == len(labels):
        raise ExportError("A classifier needs at least two labels, without duplicates.")
