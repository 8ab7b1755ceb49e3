"""The proof that an exported file gives the answers that training's evaluation gave."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfpoets.data import is_plain, network_input
from tfpoets.errors import ExportError
from tfpoets.extractors import EngineRunner
from tfpoets.graphs import UNKNOWN_SCORE, load_signature, side_by_side

from .reading import RUN_AGAIN, open_exported

MOST_PHOTOS = 32  # every class has its say on each of them
# Largest difference of a probability: float32 sums in another order stay a hundred times below it.
TOLERANCE = 1e-4
# TensorFlow's decoder and resize in the graph differ from Pillow's by rounding of pixels.
BYTES_TOLERANCE = 0.03
# Of a score for unknown photos, as a share of 1 + its size; it is a sum of squares, and may be large.
SCORE_TOLERANCE, SCORE_BYTES_TOLERANCE = 1e-3, 0.1


@dataclass(frozen=True)
class Parity:
    """How well a file's answers agree with training's.

    Attributes:
        name: of the file.
        count: photos compared.
        agreeing: of them, those with the same label (which may be `unknown`).
        largest: largest difference of a probability, 0 to 1; nan where an answer was not finite.
        tolerance: what `largest` may be.
        largest_score: the same of the scores for unknown photos, relative to 1 + their size; 0 without such scores.
        score_tolerance: what `largest_score` may be.
    """

    name: str
    count: int
    agreeing: int
    largest: float
    tolerance: float
    largest_score: float = 0.0
    score_tolerance: float = SCORE_TOLERANCE

    @property
    def proven(self) -> bool:
        """Whether the answers are the same; never with nan."""
        return self.largest <= self.tolerance and self.largest_score <= self.score_tolerance

    def sentence(self) -> str:
        """For a person: what was compared and what came out."""
        scores = f", of a score for unknown photos {self.largest_score:.1g}" if self.largest_score else ""
        return (f"{self.agreeing} of {self.count} photos with the same label, largest difference of a probability "
                f"{self.largest:.1g}{scores}")


def evenly_spread(count: int, most: int) -> np.ndarray:
    """Indices of at most so many of `count` things, evenly spread, in order: int [n]."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))


def compare(name: str, answers: np.ndarray, expected: np.ndarray, threshold: float | None, tolerance: float,
            score_tolerance: float) -> Parity:
    """Compares outputs, float [photos, classes] each; with a threshold, one more column of scores."""
    difference = np.abs(answers - expected)
    if threshold is None:
        return Parity(name, len(expected), int((answers.argmax(1) == expected.argmax(1)).sum()),
                      float(difference.max()), tolerance)
    given, wanted = (np.where(each[:, -1] <= threshold, each[:, :-1].argmax(1), -1) for each in (answers, expected))
    return Parity(name, len(expected), int((given == wanted).sum()), float(difference[:, :-1].max()), tolerance,
                  float((difference[:, -1] / (1 + np.abs(expected[:, -1]))).max()), score_tolerance)


def check_file(path: Path, pixels: np.ndarray, expected: np.ndarray) -> Parity:
    """Loads an exported classifier as a user would, and compares its answers with training's.

    Args:
        path: .tflite, .pb or SavedModel folder.
        pixels: uint8 [photos, height, width, 3].
        expected: float32 [photos, classes], training's answers; with a reject option, one more column of scores.

    Raises:
        ExportError: the answers differ by more than TOLERANCE, or the scores by more than SCORE_TOLERANCE.
    """
    opened = open_exported(path)
    assert opened is not None  # export wrote it
    answers = EngineRunner(opened.engine).run_all(pixels, network_input)
    return _proven(compare(path.name, answers, expected, opened.metadata.unknown_threshold, TOLERANCE,
                           SCORE_TOLERANCE))


def check_predict_bytes(folder: Path, files: list[bytes], expected: np.ndarray, threshold: float | None = None
                        ) -> Parity | None:
    """The same for a SavedModel's signature that takes encoded photos.

    Args:
        folder: the SavedModel.
        files: photos as encoded; those that its decoder cannot do justice (formats but JPEG and PNG, EXIF rotation,
            transparency, CMYK) are passed over.
        expected: as in `check_file`.
        threshold: of the scores for unknown photos, or None.

    Returns:
        None where no photo is left to compare.

    Raises:
        ExportError: the answers differ by more than BYTES_TOLERANCE, or the scores by more than SCORE_BYTES_TOLERANCE.
    """
    plain = [row for row, data in enumerate(files) if is_plain(data)]
    if not plain:
        return None
    signature = load_signature(folder, "predict_bytes", RUN_AGAIN)
    names = ["probabilities"] + ([] if threshold is None else [UNKNOWN_SCORE])
    answers = []
    for row in plain:
        given = signature(image_bytes=files[row:row + 1])
        answers.append(side_by_side([given[name] for name in names]))
    return _proven(compare(f"{folder.name} predict_bytes", np.concatenate(answers), expected[plain], threshold,
                           BYTES_TOLERANCE, SCORE_BYTES_TOLERANCE))


def _proven(parity: Parity) -> Parity:
    if not parity.proven:
        raise ExportError(f"The exported {parity.name} does not give the answers of training: {parity.sentence()} "
                          f"(at most {parity.tolerance:g} is allowed). It is not kept.",
                          "Please report this, with the module you used.")
    return parity
