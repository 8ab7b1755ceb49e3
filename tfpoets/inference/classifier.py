"""A loaded classifier, which predicts the labels of photos."""
from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TypeVar

import numpy as np

from tfpoets.data import LEGACY_PIXELS_VERSION, PIXELS_VERSION, Photo, load_legacy_pixels, load_pixels, network_input
from tfpoets.errors import ModelError, PhotoError
from tfpoets.exporting import RETRAIN_REMEDY, UNKNOWN_LABEL, UNSURE_LABEL, Metadata
from tfpoets.extractors import Engine, EngineRunner
from tfpoets.parallel import core_count, map_in_order

Source = TypeVar("Source")


@dataclass(frozen=True)
class Prediction:
    """The prediction for one photo.

    Attributes:
        probabilities: float32 [n_classes]; None if the photo cannot be read.
        reason: Why the photo cannot be read; otherwise "".
        unknown_score: How much the photo differs from the training photos; None if the classifier has no such score.
        unknown: Whether the score is above the threshold, so that no label can be trusted.
        unsure: Whether the probability of the answer is too low for the accuracy that was asked for; None if the
            classifier always answers.
    """

    probabilities: np.ndarray | None
    reason: str = ""
    unknown_score: float | None = None
    unknown: bool = False
    unsure: bool | None = None


@dataclass(frozen=True)
class PhotoInput:
    """The size and scaling of a classifier's input.

    Attributes:
        height, width: The size in pixels.
        version: The version of the pixel contract.
        mean, std: For version 0, pixels p from 0 to 255 are scaled to (p - mean) / std.
    """

    height: int
    width: int
    version: int = PIXELS_VERSION
    mean: float = 0.0
    std: float = 255.0

    def load_pixels(self, data: bytes, isolated: bool = False) -> np.ndarray:
        """Decode and resize a photo.

        Args:
            data: The content of the file.
            isolated: Whether to decode it in another process; see `tfpoets.data.load_pixels`.

        Returns:
            [height, width, 3], uint8 (version 1) or float32 from 0 to 255 (version 0).

        Raises:
            PhotoError: The photo cannot be read.
        """
        load = load_legacy_pixels if self.version == LEGACY_PIXELS_VERSION else load_pixels
        return load(data, self.height, self.width, isolated)

    def scale(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels of any number of photos as the network's input: float32 [n, height, width, 3]."""
        if self.version == LEGACY_PIXELS_VERSION:
            return (pixels - np.float32(self.mean)) / np.float32(self.std)
        return network_input(pixels)


class Classifier:
    """A loaded classifier. Any number of threads may use it at the same time.

    Args:
        labels: The labels in output order.
        input_: The input of the network.
        engine: The engine that runs the network.
        metadata: The metadata of the classifier.

    Attributes:
        labels: The labels in output order.
        input: The input of the network.
        metadata: The metadata of the classifier; None for a graph of TensorFlow for Poets.
    """

    def __init__(self, labels: Sequence[str], input_: PhotoInput, engine: Engine, metadata: Metadata | None = None):
        self.labels = tuple(labels)
        self.input = input_
        self.metadata = metadata
        self._runner = EngineRunner(engine)

    @property
    def unknown_threshold(self) -> float | None:
        """The score above which a photo is labelled unknown; None if the classifier has no such score."""
        return self.metadata.unknown_threshold if self.metadata else None

    @property
    def unsure_threshold(self) -> float | None:
        """The probability below which an answer is replaced by "unsure"; None if every photo gets an answer."""
        return self.metadata.unsure.threshold if self.metadata and self.metadata.unsure else None

    @cached_property
    def costs(self) -> np.ndarray | None:
        """The costs by true class (rows) and answer (columns), float64 [n_classes, n_classes]; None without costs."""
        if self.metadata is None or self.metadata.costs is None:
            return None
        return self.metadata.costs.matrix(len(self.labels))

    def answer(self, probabilities: np.ndarray) -> int:
        """Return the index of the answer for the probabilities of one photo, float32 [n_classes].

        It is the most likely label or, if the classifier has costs, the one with the lowest expected cost.
        """
        if self.costs is None:
            return int(probabilities.argmax())
        from tfpoets.evaluation import choose_classes  # imported here, because few classifiers need it
        return int(choose_classes(probabilities[None], self.costs)[0])

    def with_labels(self, labels: Sequence[str]) -> Classifier:
        """Return a copy of the classifier, and of its metadata, with new labels, which must be in output order."""
        classifier = copy.copy(self)
        classifier.labels = tuple(labels)
        classifier.metadata = self.metadata and replace(self.metadata, labels=list(labels))
        return classifier

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return the probabilities of the labels.

        Args:
            pixels: [n, height, width, 3], as returned by `input.load_pixels`.

        Returns:
            float32 [n, n_classes].
        """
        return self.outputs(pixels)[:, :len(self.labels)]

    def outputs(self, pixels: np.ndarray) -> np.ndarray:
        """Return the probabilities and, as a last column, the unknown scores if the classifier has them.

        Args:
            pixels: [n, height, width, 3], as returned by `input.load_pixels`.

        Returns:
            float32 [n, columns].
        """
        return self._check_outputs(self._runner.run_all(pixels, self.input.scale))

    def _check_outputs(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs unchanged; raise a ModelError if their number does not fit the labels, or one is not finite.

        This is checked on each photo, because a file that was made elsewhere may contain anything.
        """
        n_expected = len(self.labels) + (self.unknown_threshold is not None)
        if outputs.ndim != 2 or outputs.shape[1] != n_expected:
            shape = " x ".join(map(str, outputs.shape[1:])) or "1"
            raise ModelError(f"The classifier does not match its labels: it returns {shape} numbers for each photo "
                             f"instead of {n_expected}.", RETRAIN_REMEDY)
        if not np.isfinite(outputs).all():
            raise ModelError("The classifier returns numbers that are not finite.", RETRAIN_REMEDY)
        return outputs

    def label(self, photo: str | os.PathLike[str] | bytes) -> str:
        """Return the label of a photo, "unknown" if the classifier rejects it, or "unsure".

        The label is the most likely one or, if the classifier has costs, the one with the lowest expected cost.

        Args:
            photo: The path of the photo, or its content.

        Raises:
            PhotoError: The photo cannot be read.
        """
        data = photo if isinstance(photo, bytes) else Photo(os.fspath(photo), "").read()
        prediction = self.predict_photo(data)
        if prediction.probabilities is None:
            raise PhotoError(prediction.reason)
        return self.predicted_label(prediction)

    def predicted_label(self, prediction: Prediction) -> str:
        """Return the label of a prediction with probabilities, or "unknown" or "unsure"; see `label`."""
        if prediction.unknown:
            return UNKNOWN_LABEL
        return UNSURE_LABEL if prediction.unsure else self.top_labels(prediction, 1)[0][0]

    def top_labels(self, prediction: Prediction, k: int) -> list[tuple[str, float]]:
        """Return k labels with their scores: the answer, then the others, the most likely first.

        The answer is the most likely label, unless the classifier has costs. The list is empty without probabilities.
        """
        if prediction.probabilities is None:
            return []
        order = (-prediction.probabilities).argsort(kind="stable")
        if self.costs is not None:
            answer = self.answer(prediction.probabilities)
            order = np.concatenate([[answer], order[order != answer]])
        return [(self.labels[index], float(prediction.probabilities[index])) for index in order[:k]]

    def predict_photo(self, data: bytes, isolated: bool = False) -> Prediction:
        """Return the prediction for a photo.

        Args:
            data: The content of the file.
            isolated: Whether to decode it in another process; see `tfpoets.data.load_pixels`.
        """
        return self._predict(data, lambda content: content, isolated)

    def predict_array(self, array: np.ndarray) -> Prediction:
        """Return the prediction for the pixels of one photo, float32 [height, width, 3] in [0, 1]."""
        legacy = self.input.version == LEGACY_PIXELS_VERSION
        scaled = self.input.scale(array[None] * np.float32(255)) if legacy else array[None]
        return self._to_prediction(self._check_outputs(self._runner.run(scaled))[0])

    def predict_photos(self, sources: Iterable[Source], read: Callable[[Source], bytes],
                       workers: int | None = None) -> Iterator[tuple[Source, Prediction]]:
        """Predict the labels of many photos in parallel.

        Args:
            sources: Paths, addresses or any other values that `read` accepts. A few of them are consumed in advance;
                there may be infinitely many.
            read: Returns the content of a photo, or raises a PhotoError.
            workers: The number of threads; None: one per core.

        Yields:
            Pairs of a source and its prediction, in the order of the sources. The prediction for a photo that cannot
            be read has no probabilities.
        """
        workers = workers or core_count()
        if self._runner.batch_size == 1:
            yield from map_in_order(lambda source: (source, self._predict(source, read)), sources, workers)
        else:
            decoded = map_in_order(lambda source: (source, self._load_pixels(source, read)), sources, workers,
                                   self._runner.batch_size)
            while batch := list(islice(decoded, self._runner.batch_size)):
                yield from self._predict_batch(batch)

    def _load_pixels(self, source: Source, read: Callable[[Source], bytes], isolated: bool = False
                     ) -> np.ndarray | str:
        """Return the pixels of a photo, or the reason why it cannot be read."""
        try:
            return self.input.load_pixels(read(source), isolated)
        except PhotoError as error:
            return str(error)

    def _predict(self, source: Source, read: Callable[[Source], bytes], isolated: bool = False) -> Prediction:
        pixels = self._load_pixels(source, read, isolated)
        if isinstance(pixels, str):
            return Prediction(None, pixels)
        return self._to_prediction(self.outputs(pixels[None])[0])

    def _predict_batch(self, batch: list[tuple[Source, np.ndarray | str]]) -> Iterator[tuple[Source, Prediction]]:
        photos = [pixels for _, pixels in batch if not isinstance(pixels, str)]
        rows = iter(self.outputs(np.stack(photos)) if photos else ())
        for source, pixels in batch:
            yield source, Prediction(None, pixels) if isinstance(pixels, str) else self._to_prediction(next(rows))

    def _to_prediction(self, row: np.ndarray) -> Prediction:
        """Convert one row of `outputs`, float32 [columns]."""
        probabilities, unsure = row[:len(self.labels)], None
        if self.unsure_threshold is not None:
            unsure = bool(probabilities[self.answer(probabilities)] < self.unsure_threshold)
        if self.unknown_threshold is None:
            return Prediction(probabilities, unsure=unsure)
        score = float(row[len(self.labels)])
        return Prediction(probabilities, unknown_score=score, unknown=score > self.unknown_threshold, unsure=unsure)
