"""The proof that a written file gives the classifier's answers."""
from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tfpoets.data import Photo, has_plain_pixels, load_photos, network_input, photo_digest
from tfpoets.errors import ExportError, PhotoError
from tfpoets.evaluation import Metrics, evaluate
from tfpoets.extractors import Engine, EngineRunner, core_count

from .exportable import evenly_spaced
from .metadata import Metadata
from .target import PREDICT_BYTES, SERVING, ExportTarget

MAX_PHOTOS = 32  # every class has its say on each of them
# TensorFlow's decoder and resize in the graph differ from Pillow's by rounding of pixels.
BYTES_TOLERANCE = 0.03
# Of an unknown score, as a share of 1 + its size; it is a sum of squares, and may be large.
SCORE_TOLERANCE, SCORE_BYTES_TOLERANCE = 1e-3, 0.1
TIMED = 20
REPORT = "Please report this, with the module you used."


@dataclass(frozen=True)
class ExportedFile:
    """A file that was written, and how its answers compare with the classifier's.

    Attributes:
        name: of the file or format.
        path: of the file or folder.
        size: in bytes.
        count: photos compared.
        agreeing: of them, those with the same label (which may be `unknown`).
        largest: largest difference of a probability, 0 to 1; nan without photos, or where an answer was not finite.
        tolerance: what `largest` may be; None: anything.
        largest_score: the same of the unknown scores, relative to 1 + their size; 0 without such scores.
        metrics: how good its answers are; None where the photos' classes are not known, or without photos.
        milliseconds: median for one photo on one thread, without decoding; None where that was not measured.
        has_score: whether it gives the unknown score, too.
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

    def sentence(self) -> str:
        """Return what was compared and what came out, for a person."""
        scores = f", of an unknown score {self.largest_score:.1g}" if self.max_score_difference else ""
        return (f"{self.agreeing} of {self.count} photos with the same label, largest difference of a probability "
                f"{self.largest:.1g}{scores}")


@dataclass(frozen=True, eq=False)
class ReferenceOutputs:
    """Photos with the answers that a file must give.

    Attributes:
        photos: with their digests.
        outputs: float32 [n, n_classes], probabilities; with a reject option, one more column of scores.
    """

    photos: Sequence[Photo]
    outputs: np.ndarray

    def sample(self) -> ReferenceOutputs:
        """Return at most MAX_PHOTOS of them, evenly spread."""
        rows = evenly_spaced(len(self.photos), MAX_PHOTOS)
        return ReferenceOutputs(tuple(self.photos[row] for row in rows), self.outputs[rows])

    def load(self, height: int, width: int) -> LoadedReference:
        """Decode the photos, but for those that have gone or changed since they were answered."""
        files = {row: data for row, photo in enumerate(self.photos) if (data := _unchanged(photo)) is not None}
        rows = list(files)
        pixels = load_photos(list(files.values()), height, width, core_count())
        return LoadedReference([self.photos[row] for row in rows], pixels, self.outputs[rows])


@dataclass(frozen=True, eq=False)
class LoadedReference:
    """Photos in memory, with the answers that a file must give.

    Attributes:
        photos: as in Proof; may be empty, then signatures that take files are not compared.
        pixels: uint8 [n, height, width, 3].
        outputs: as in Proof.
        y: int64 [n], the true classes; None: figures and times are not wanted.
        source: whose answers these are, for messages.
    """

    photos: Sequence[Photo]
    pixels: np.ndarray
    outputs: np.ndarray
    y: np.ndarray | None = None
    source: str = "training"

    def __len__(self) -> int:
        return len(self.pixels)

    def answers_of(self, runner: EngineRunner) -> np.ndarray:
        """A runner's answers to the photos, float32 [n, columns]; without photos, `outputs`, which are empty."""
        return runner.run_all(self.pixels, network_input) if len(self) else self.outputs


def _unchanged(photo: Photo) -> bytes | None:
    """A photo's file, or None where it is gone or another than the one whose digest the photo has, if it has one."""
    try:
        data = photo.read()
    except PhotoError:
        return None
    return data if photo.digest in ("", photo_digest(data)) else None


def verify(name: str, target: ExportTarget, path: Path, metadata: Metadata, proof: LoadedReference
          ) -> Iterator[ExportedFile]:
    """Open a written file as its users do, and compare its answers.

    Args:
        name: of the file, for messages.
        target: what wrote it.
        path: where it is now.
        metadata: of the classifier.
        proof: photos and answers; without photos nothing is compared.

    Yields:
        How each signature of the file compares; nothing where the file cannot be run here.

    Raises:
        ExportError: the answers are not finite, or differ by more than the target's tolerance.
    """
    loaded = target.load(path, path.read_bytes() if path.is_file() else b"")
    engines = target.open(path, metadata)
    serving = loaded.engine if loaded is not None else engines.get(SERVING)
    if serving is not None:
        runner = EngineRunner(serving)
        row = measure(name, path, runner, proof.answers_of(runner), proof, metadata.unknown_threshold,
                      target.tolerance, target.timed)
        _check(row, proof)
        if row.count and loaded is not None and loaded.metadata.unknown and not row.has_unknown_score:
            raise ExportError(f"The exported {name} lacks the unknown score that it describes. It is not kept.",
                              REPORT)
        yield row
    if PREDICT_BYTES in engines:
        by_bytes = _measure_bytes(f"{name}, {PREDICT_BYTES}", path, engines[PREDICT_BYTES], proof,
                                  metadata.unknown_threshold)
        if by_bytes is not None:
            _check(by_bytes, proof, SCORE_BYTES_TOLERANCE)
            yield by_bytes


def measure(name: str, path: Path, runner: EngineRunner, answers: np.ndarray, proof: LoadedReference,
            threshold: float | None, tolerance: float | None, timed: bool = True) -> ExportedFile:
    """Return how the answers of a runner compare; its figures and time, too, where the proof knows the classes."""
    if not len(proof):
        return replace(unverified(name, path, tolerance), has_unknown_score=threshold is not None)
    row = _compare(name, path, answers, proof.outputs, threshold, tolerance)
    if proof.y is None:
        return row
    probabilities = answers[:, :proof.outputs.shape[1] - (threshold is not None)]
    metrics = evaluate(probabilities, proof.y) if np.isfinite(answers).all() else None
    return replace(row, metrics=metrics, milliseconds=_milliseconds(runner, proof.pixels) if timed else None)


def unverified(name: str, path: Path, tolerance: float | None) -> ExportedFile:
    """Return the row of a file that nothing was compared with: without photos, or where it cannot be run here."""
    return ExportedFile(name, path, _size(path), 0, 0, float("nan"), tolerance)


def _compare(name: str, path: Path, answers: np.ndarray, expected: np.ndarray, threshold: float | None,
             tolerance: float | None) -> ExportedFile:
    """Compare columns of probabilities, and of scores where there are any.

    Raises:
        ExportError: there are too few or too many columns.
    """
    n_classes = expected.shape[1] - (threshold is not None)
    if answers.shape[1] not in (n_classes, expected.shape[1]):
        raise ExportError(f"The exported {name} gives {answers.shape[1]} numbers for a photo, not "
                          f"{expected.shape[1]}. It is not kept.", REPORT)
    difference = np.abs(answers - expected[:, :answers.shape[1]])
    best, wanted = (each[:, :n_classes].argmax(1) for each in (answers, expected))
    max_score_difference, has_unknown_score = 0.0, answers.shape[1] > n_classes
    if threshold is not None and has_unknown_score:
        best, wanted = (np.where(each[:, -1] <= threshold, labels, -1)
                        for each, labels in ((answers, best), (expected, wanted)))
        max_score_difference = float((difference[:, -1] / (1 + np.abs(expected[:, -1]))).max())
    return ExportedFile(name, path, _size(path), len(expected), int((best == wanted).sum()),
                        float(difference[:, :n_classes].max()), tolerance, max_score_difference,
                        has_unknown_score=has_unknown_score)


def _measure_bytes(name: str, path: Path, engine: Engine, proof: LoadedReference, threshold: float | None
                   ) -> ExportedFile | None:
    """The same for a signature that takes photos as files; None where no photo is left to compare.

    Photos that its decoder cannot do justice (formats but JPEG and PNG, EXIF rotation, transparency, CMYK) are passed
    over.
    """
    files: dict[int, bytes] = {}
    for row in evenly_spaced(len(proof.photos), MAX_PHOTOS):
        data = _unchanged(proof.photos[row])
        if data is not None and has_plain_pixels(data):
            files[int(row)] = data
    if not files:
        return None
    run = engine.open()
    answers = np.concatenate([run(np.array([data], object)) for data in files.values()])
    return _compare(name, path, answers, proof.outputs[list(files)], threshold, BYTES_TOLERANCE)


def _check(row: ExportedFile, proof: LoadedReference, score_tolerance: float = SCORE_TOLERANCE) -> None:
    if not row.count:
        return
    # Not "larger than": a difference that is not a number proves nothing.
    within = row.tolerance is None or row.max_difference <= row.tolerance and row.max_score_difference <= score_tolerance
    if not np.isfinite(row.max_difference) or not np.isfinite(row.max_score_difference) or not within:
        allowed = "" if row.tolerance is None else f" (at most {row.tolerance:g} is allowed)"
        raise ExportError(f"The exported {row.name} does not give the answers of {proof.source}: {row.sentence()}"
                          f"{allowed}. It is not kept.", REPORT)


def _milliseconds(runner: EngineRunner, pixels: np.ndarray) -> float:
    seconds = []
    for row in range(min(TIMED, len(pixels))):
        photo = network_input(pixels[row:row + 1])
        start = time.perf_counter()
        runner.run(photo)
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds))


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
