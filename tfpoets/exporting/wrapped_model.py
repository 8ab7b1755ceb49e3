"""Wrap a Keras model that was trained elsewhere, so that it can be exported as a classifier."""
from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence, Set, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfpoets.data import Photo, load_photos, photo_digest
from tfpoets.errors import (ExportError, ExtractorError, OptionError, PhotoError, check_choice, check_range,
                            os_error_sentence)
from tfpoets.escaping import has_unsafe_characters
from tfpoets.evaluation import log_softmax
from tfpoets.extractors import (INPUT_NODE, INPUT_RANGES, AdaptedModel, Extractor, ExtractorOptions, Network,
                                adapt_model, prepare_extractor)
from tfpoets.files import check_output_folder
from tfpoets.parallel import core_count
from tfpoets.tf_runtime import full_precision

from .classifier_files import ExportResult, export_classifier
from .conversion import convert, open_graph, write_format
from .export_targets import check_destination, check_formats, find_target
from .exportable import Exportable, TrainedNetwork
from .keras_classifier import build_keras_classifier
from .metadata import Metadata
from .metadata_sections import HeadInfo, InputInfo, NetworkInfo, NodeNames
from .options import ExportOptions, check_destinations
from .verification import ReferenceOutputs

if TYPE_CHECKING:
    from tfpoets.training import LinearHead

log = logging.getLogger(__name__)

# Limits memory use only.
BATCH_SIZE = 32


@dataclass(frozen=True, eq=False)
class WrappedModel:
    """A Keras model as a classifier that can be exported.

    Attributes:
        adapted: The model, with what is known about its input and output.
        labels: The labels in the order of the probabilities.
        temperature: The number by which the logits of the model are divided before the softmax.
        kind: "wrapped" for a model that was trained elsewhere, or "from_scratch", for the metadata.
        sections: Further sections of the metadata, by field name of `Metadata`.
    """

    adapted: AdaptedModel
    labels: tuple[str, ...]
    temperature: float = 1.0
    kind: str = "wrapped"
    sections: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return the probabilities that the model itself predicts, for pixels on its own scale.

        Args:
            pixels: uint8 [n, height, width, 3].

        Returns:
            float32 [n, n_classes].
        """
        batches = [self.predict(pixels[start:start + BATCH_SIZE].astype(np.float32) / 255)
                   for start in range(0, len(pixels), BATCH_SIZE)]
        return np.concatenate(batches) if batches else np.empty((0, len(self.labels)), np.float32)

    def predict(self, photos: np.ndarray) -> np.ndarray:
        """Return the same for photos in [0, 1]: float32 [n, height, width, 3] to float32 [n, n_classes]."""
        if self.temperature == 1:
            return self.adapted.predict(photos)
        with full_precision:
            logits = np.asarray(self.adapted.logits(photos))
        return np.asarray(np.exp(log_softmax(logits / np.float32(self.temperature))))

    def describe(self, digest: str = "", final_tensor_name: str = "final_result") -> Metadata:
        """Return the metadata; `digest` is that of the prepared network."""
        adapted, name = self.adapted, self.adapted.model.name
        metadata = Metadata(labels=list(self.labels), input=InputInfo(adapted.height, adapted.width),
                            nodes=NodeNames(INPUT_NODE, final_tensor_name),
                            network=NetworkInfo(self.kind, name, digest), head=HeadInfo("none", self.temperature))
        return replace(metadata, **self.sections)

    def export(self, destinations: ExportOptions, photos: Sequence[Path | str | Photo] = (),
               training_photos: Sequence[Photo] = ()) -> ExportResult:
        """Write all files of a classifier, and verify on photos that they reproduce the outputs of the model.

        Args:
            destinations: The paths of the files, and further formats.
            photos: The photos for verification, or their paths; they may show anything. Without photos, nothing is
                verified.
            training_photos: The photos for the calibration of tflite_int8.

        Returns:
            The files, those of further formats last.

        Raises:
            OptionError: A path cannot be used, or that of the graph does not end in .pb.
            ExportError: A photo cannot be read, the model cannot be frozen or converted, or a file cannot be written
                or does not reproduce the outputs. In this case, no existing file is replaced, except that those of
                further formats are published one by one.
        """
        check_destinations(destinations)
        graph, folder = destinations.output_graph, destinations.output_graph.parent
        if graph.suffix != ".pb":
            raise OptionError(f"`output_graph`={graph} does not end in .pb.", f"Use {graph.with_suffix('.pb')}.",
                              "output_graph")
        check_formats(destinations.formats, folder, graph.stem)
        reference = self._reference_outputs(photos)
        with self._prepare(destinations.final_tensor_name) as (extractor, head, metadata):
            result = export_classifier(extractor, head, metadata, destinations, reference)
        if not destinations.formats:
            return result
        source = replace(open_graph(graph, training_photos), keras_model=lambda: self._build_keras_model(graph.stem))
        verified = convert(source, destinations.formats, folder, reference.photos)[1:]
        return ExportResult((*result.files, *(file.path for file in verified)), (*result.verified, *verified))

    def save(self, folder: Path, photos: Sequence[Path | str | Photo] = ()) -> ExportResult:
        """Write only a SavedModel with both signatures, and verify it; arguments and errors are those of `export`."""
        target = find_target("saved_model")
        check_output_folder(folder.parent)
        check_destination(target, folder)
        if not photos:
            log.warning("No photos are known, so the SavedModel is not verified.")
        reference = self._reference_outputs(photos).sample().load(self.adapted.height, self.adapted.width)
        with self._prepare("final_result") as (extractor, head, metadata):
            source = Exportable(folder.name, metadata, TrainedNetwork(extractor, head, metadata.nodes.output))
            try:
                results = write_format(target, source, folder, reference)
            except OSError as error:
                raise ExportError(f"{folder} cannot be written: {os_error_sentence(error)}") from error
        return ExportResult((folder,), tuple(result for result in results if result.count))

    @contextmanager
    def _prepare(self, final_tensor_name: str) -> Iterator[tuple[Extractor, LinearHead, Metadata]]:
        """Yield the model as an extractor whose features are the logits, the head, and the metadata."""
        from tfpoets.training import LinearHead  # imported here because label_image does not need training code
        adapted, name = self.adapted, self.adapted.model.name
        with tempfile.TemporaryDirectory() as folder:
            extractor = prepare_extractor(Network(adapted.logits, adapted.height, adapted.width), name, name, name,
                                          Path(folder) / "network")
            # The model contains its last layer, so the head only passes its logits to the softmax.
            yield (extractor, LinearHead.identity(len(self.labels), self.temperature),
                   self.describe(extractor.digest, final_tensor_name))

    def _build_keras_model(self, name: str) -> Any:
        from tfpoets.training import LinearHead
        network = Network(self.adapted.logits, self.adapted.height, self.adapted.width, is_keras=True)
        return build_keras_classifier(network, ExtractorOptions(),
                                      LinearHead.identity(len(self.labels), self.temperature), name)

    def _reference_outputs(self, photos: Sequence[Path | str | Photo]) -> ReferenceOutputs:
        """Return photos with the outputs of the model itself."""
        if isinstance(photos, str):
            raise ExportError("`photos` is not a list of paths.", f"Use [{photos!r}].")
        try:
            opened = [photo if isinstance(photo, Photo) else Photo(os.fspath(photo), "") for photo in photos]
            files = [photo.read() for photo in opened]
            pixels = load_photos(files, self.adapted.height, self.adapted.width, core_count())
        except PhotoError as error:
            raise ExportError(f"A verification photo cannot be used: {error}") from error
        return ReferenceOutputs(tuple(replace(photo, digest=photo_digest(data)) for photo, data in zip(opened, files)),
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
    check_labels(labels)
    try:
        adapted = adapt_model(model, input_range, image_size)
    except ExtractorError as error:
        raise ExportError(error.problem, error.remedy, error.option) from error
    if adapted.n_classes != len(labels):
        raise ExportError(f"The model {adapted.model.name} has {adapted.describe_outputs()}, but there are "
                          f"{len(labels)} labels.", "Use one label for each output.")
    log.info("%s", adapted.describe_input())
    return WrappedModel(adapted, tuple(labels))


def check_labels(labels: Sequence[str]) -> None:
    """Raise an ExportError unless the labels are at least two different printable strings."""
    if isinstance(labels, str | Set | Mapping) or not isinstance(labels, Sized):
        raise ExportError("The labels are not a list of strings.", "Use one string per class, in the order of the "
                          "outputs.")
    if any(not isinstance(label, str) or not label or has_unsafe_characters(label) for label in labels):
        raise ExportError("Each label must be a non-empty string without line breaks, control characters and "
                          "invisible characters.")
    if not 2 <= len(set(labels)) == len(labels):
        raise ExportError("A classifier needs at least two labels, without duplicates.")
