"""Verify that an exported file reproduces the outputs of the trained classifier."""
from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tfpoets.data import Photo, group_numbers, has_plain_pixels, load_photos, network_input, photo_digest
from tfpoets.errors import ExportError, PhotoError
from tfpoets.evaluation import Metrics, evaluate
from tfpoets.extractors import Engine, EngineRunner
from tfpoets.parallel import core_count

from .exportable import evenly_spaced_indices
from .metadata import Metadata
from .target import PREDICT_BYTES, SERVING, ExportTarget

# A few photos are enough, because the probabilities of all classes are compared for each of them.
MAX_SAMPLE_PHOTOS = 32
# Decoding and resizing in the graph round pixels differently from Pillow.
BYTES_TOLERANCE = 0.03
# Relative to 1 + the absolute value of the unknown score, which may be large.
SCORE_TOLERANCE, SCORE_BYTES_TOLERANCE = 1e-3, 0.1
MAX_TIMED_PHOTOS = 20
# For so few photos, small batches are faster on a CPU and use less memory.
MAX_BATCH = 2
REPORT_REMEDY = "Please report this, with the network you used."


@dataclass(frozen=True)
class ExportedFile:
    """An exported file, and the result of its verification.

    Attributes:
        name: The name of the file or format.
        path: The path of the file or folder.
        size: The size in bytes.
        count: The number of photos that were compared.
        agreeing: The number of photos with the same predicted label, which may be "unknown".
        max_difference: The largest difference in probability, 0 to 1. NaN without photos, or if an output was not
            finite.
        tolerance: The largest allowed value of `max_difference`; None: any.
        max_score_difference: The largest difference in unknown score, relative to 1 + its absolute value; 0 without
            scores.
        metrics: The metrics of the predictions; None without photos, or if the true classes are not known.
        milliseconds: The median time per photo on one thread, without decoding; None if it was not measured.
        has_unknown_score: Whether the file returns the unknown score.
        oldest_runtime: The oldest version that loads the file, such as "TF 1.13"; "" if it is not known.
        runtime_note: A sentence about other programs that load the file; "" if there is nothing to add.
    """

    name: str
    path: Path
    size: int
    count: int
    agreeing: int
    max_difference: float
    tolerance: float | None
    max_score_difference: float = 0.0
    metrics: Metrics | None = None
    milliseconds: float | None = None
    has_unknown_score: bool = False
    oldest_runtime: str = ""
    runtime_note: str = ""

    def sentence(self) -> str:
        """Return the result of the comparison as part of a sentence."""
        scores = f" and {self.max_score_difference:.1g} in unknown score" if self.max_score_difference else ""
        return (f"{self.agreeing} of {self.count} photos have the same label, and the largest difference is "
                f"{self.max_difference:.1g} in probability{scores}")


@dataclass(frozen=True, eq=False)
class ReferenceOutputs:
    """Photos with the outputs that an exported file must reproduce.

    Attributes:
        photos: The photos with their digests.
        outputs: float32 [n, n_classes], the probabilities. With a reject option, the unknown scores are an additional
            last column.
    """

    photos: Sequence[Photo]
    outputs: np.ndarray

    def sample(self) -> ReferenceOutputs:
        """Return at most MAX_SAMPLE_PHOTOS photos, evenly spaced, with their outputs."""
        rows = evenly_spaced_indices(len(self.photos), MAX_SAMPLE_PHOTOS)
        return ReferenceOutputs(tuple(self.photos[row] for row in rows), self.outputs[rows])

    def load(self, height: int, width: int) -> LoadedReference:
        """Decode the photos, except those that were deleted or changed after the outputs were computed."""
        files = {row: data for row, photo in enumerate(self.photos) if (data := _read_unchanged(photo)) is not None}
        rows = list(files)
        pixels = load_photos(list(files.values()), height, width, core_count())
        return LoadedReference([self.photos[row] for row in rows], pixels, self.outputs[rows])


@dataclass(frozen=True, eq=False)
class LoadedReference:
    """Decoded photos with the outputs that an exported file must reproduce.

    Attributes:
        photos: The photos, as in ReferenceOutputs. If empty, signatures for encoded photos are not compared.
        pixels: uint8 [n, height, width, 3].
        outputs: float32 [n, columns], as in ReferenceOutputs.
        y: int64 [n], the true classes; None: neither metrics nor times are measured.
        source: What computed the outputs, for messages.
    """

    photos: Sequence[Photo]
    pixels: np.ndarray
    outputs: np.ndarray
    y: np.ndarray | None = None
    source: str = "the trained classifier"

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class FileComparison:
    """A file to compare with reference outputs.

    Attributes:
        name: The name of the file or format, for messages.
        path: The path of the file or folder.
        tolerance: The largest allowed difference in probability; None: any.
        unknown_threshold: The threshold of the unknown score; None without a reject option.
    """

    name: str
    path: Path
    tolerance: float | None
    unknown_threshold: float | None = None

    def compare(self, outputs: np.ndarray, expected: np.ndarray) -> ExportedFile:
        """Compare outputs with the reference.

        Args:
            outputs: float32 [n, columns], the outputs of the file. The column of unknown scores may be missing.
            expected: float32 [n, columns], the reference outputs.

        Raises:
            ExportError: The file has too few or too many outputs.
        """
        n_classes = expected.shape[1] - (self.unknown_threshold is not None)
        if outputs.shape[1] not in (n_classes, expected.shape[1]):
            raise ExportError(f"The exported {self.name} has {outputs.shape[1]} outputs per photo instead of "
                              f"{expected.shape[1]}. It was discarded.", REPORT_REMEDY)
        difference = np.abs(outputs - expected[:, :outputs.shape[1]])
        predicted_labels, expected_labels = (values[:, :n_classes].argmax(1) for values in (outputs, expected))
        max_score_difference, has_unknown_score = 0.0, outputs.shape[1] > n_classes
        if self.unknown_threshold is not None and has_unknown_score:
            predicted_labels, expected_labels = (
                np.where(values[:, -1] <= self.unknown_threshold, labels, -1)
                for values, labels in ((outputs, predicted_labels), (expected, expected_labels)))
            max_score_difference = float((difference[:, -1] / (1 + np.abs(expected[:, -1]))).max())
        return ExportedFile(self.name, self.path, _size(self.path), len(expected),
                            int((predicted_labels == expected_labels).sum()), float(difference[:, :n_classes].max()),
                            self.tolerance, max_score_difference, has_unknown_score=has_unknown_score)

    def measure(self, runner: EngineRunner, outputs: np.ndarray, reference: LoadedReference, timed: bool = True
                ) -> ExportedFile:
        """Compare outputs with the reference, and measure metrics and time if the reference has true classes.

        Args:
            runner: The runner that computed the outputs, and that is timed.
            outputs: float32 [n, columns], its outputs for the photos of the reference.
            reference: The reference. Without photos, nothing is compared.
            timed: Whether to measure the time.
        """
        if not len(reference):
            return replace(self.unverified(), has_unknown_score=self.unknown_threshold is not None)
        result = self.compare(outputs, reference.outputs)
        if reference.y is None:
            return result
        probabilities = outputs[:, :reference.outputs.shape[1] - (self.unknown_threshold is not None)]
        metrics = None
        if np.isfinite(outputs).all():
            metrics = evaluate(probabilities, reference.y, group_numbers(reference.photos))
        milliseconds = _measure_milliseconds(runner, reference.pixels) if timed else None
        return replace(result, metrics=metrics, milliseconds=milliseconds)

    def unverified(self) -> ExportedFile:
        """Return the result for a file that was not compared, because there are no photos or it cannot be run here."""
        return ExportedFile(self.name, self.path, _size(self.path), 0, 0, float("nan"), self.tolerance)


def verify(name: str, target: ExportTarget, path: Path, metadata: Metadata, reference: LoadedReference
           ) -> Iterator[ExportedFile]:
    """Open a written file as its users do, and compare its outputs with the reference.

    Args:
        name: The name of the file, for messages.
        target: The target that wrote the file.
        path: The current path of the file.
        metadata: The metadata of the classifier.
        reference: Photos and outputs. Without photos, nothing is compared.

    Yields:
        A result for each signature of the file; none if the file cannot be run on this machine.

    Raises:
        ExportError: The outputs are not finite or not complete, or differ by more than the target's tolerance.
    """
    loaded = target.load(path, path.read_bytes() if path.is_file() else b"")
    engines = target.open(path, metadata)
    serving = loaded.engine if loaded is not None else engines.get(SERVING)
    if serving is not None:
        runner = EngineRunner(serving)
        runner.batch_size = min(runner.batch_size, MAX_BATCH)
        outputs = predict(runner, reference.pixels, reference.outputs.shape[1])
        comparison = FileComparison(name, path, target.tolerance, metadata.unknown_threshold)
        result = comparison.measure(runner, outputs, reference, target.timed)
        _check(result, reference, SCORE_TOLERANCE)
        if result.count and loaded is not None and loaded.metadata.unknown and not result.has_unknown_score:
            raise ExportError(f"The exported {name} does not return the unknown score that its metadata describes. "
                              "It was discarded.", REPORT_REMEDY)
        yield result
    if PREDICT_BYTES in engines:
        comparison = FileComparison(f"{name}, {PREDICT_BYTES}", path, BYTES_TOLERANCE, metadata.unknown_threshold)
        bytes_result = _compare_bytes(comparison, engines[PREDICT_BYTES], reference)
        if bytes_result is not None:
            _check(bytes_result, reference, SCORE_BYTES_TOLERANCE)
            yield bytes_result


def predict(runner: EngineRunner, pixels: np.ndarray, n_columns: int) -> np.ndarray:
    """Return the outputs for any number of photos, including none.

    Args:
        runner: The runner of the network.
        pixels: uint8 [n, height, width, 3].
        n_columns: The number of columns if there are no photos.

    Returns:
        float32 [n, columns].
    """
    return runner.run_all(pixels, network_input) if len(pixels) else np.empty((0, n_columns), np.float32)


def _read_unchanged(photo: Photo) -> bytes | None:
    """Return the content of a photo, or None if it was deleted or no longer matches its digest (if it has one)."""
    try:
        data = photo.read()
    except PhotoError:
        return None
    return data if photo.digest in ("", photo_digest(data)) else None


def _compare_bytes(comparison: FileComparison, engine: Engine, reference: LoadedReference) -> ExportedFile | None:
    """Compare the outputs of a signature for encoded photos; return None if no photo remains.

    Photos that TensorFlow decodes differently are skipped: formats other than JPEG and PNG, EXIF rotation,
    transparency, CMYK.
    """
    files: dict[int, bytes] = {}
    for row in evenly_spaced_indices(len(reference.photos), MAX_SAMPLE_PHOTOS):
        data = _read_unchanged(reference.photos[row])
        if data is not None and has_plain_pixels(data):
            files[int(row)] = data
    if not files:
        return None
    run = engine.open()
    outputs = np.concatenate([run(np.array([data], object)) for data in files.values()])
    return comparison.compare(outputs, reference.outputs[list(files)])


def _check(result: ExportedFile, reference: LoadedReference, score_tolerance: float) -> None:
    """Raise an ExportError if the differences are not finite, or larger than allowed."""
    if not result.count:
        return
    # `<=` and not the opposite `>`, because every comparison with NaN is false.
    within = (result.tolerance is None
              or result.max_difference <= result.tolerance and result.max_score_difference <= score_tolerance)
    if not np.isfinite(result.max_difference) or not np.isfinite(result.max_score_difference) or not within:
        allowed = "" if result.tolerance is None else f" (at most {result.tolerance:g} is allowed)"
        raise ExportError(f"The exported {result.name} does not reproduce the outputs of {reference.source}: "
                          f"{result.sentence()}{allowed}. It was discarded.", REPORT_REMEDY)


def _measure_milliseconds(runner: EngineRunner, pixels: np.ndarray) -> float:
    """Return the median time per photo."""
    seconds = []
    for row in range(min(MAX_TIMED_PHOTOS, len(pixels))):
        photo = network_input(pixels[row:row + 1])
        start = time.perf_counter()
        runner.run(photo)
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds))


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
