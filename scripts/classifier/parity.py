"""The proof that an exported file gives the answers that training's evaluation gave."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts.console import UserError, import_tensorflow
from scripts.photos import is_plain

from .load import load_classifier, load_signature

MOST_PHOTOS = 128
# Largest difference of a probability: float32 sums in another order stay a hundred times below it.
TOLERANCE = 1e-4
# TensorFlow's decoder and resize in the graph differ from Pillow's by rounding of pixels.
BYTES_TOLERANCE = 0.03


@dataclass(frozen=True)
class Parity:
    """How well a file's answers agree with training's.

    Attributes:
        name: of the file.
        count: photos compared.
        agreeing: of them, those with the same label.
        largest: largest difference of a probability, 0 to 1; nan where an answer was not finite.
        tolerance: what `largest` may be.
    """

    name: str
    count: int
    agreeing: int
    largest: float
    tolerance: float

    @property
    def proven(self) -> bool:
        """Whether the answers are the same; never with nan."""
        return self.largest <= self.tolerance

    def sentence(self) -> str:
        """For a person: what was compared and what came out."""
        return (f"{self.agreeing} of {self.count} photos with the same label, largest difference of a probability "
                f"{self.largest:.1g}")


def compare(name: str, answers: np.ndarray, expected: np.ndarray, tolerance: float) -> Parity:
    """Compares probabilities, float [photos, classes] each."""
    agreeing = int((answers.argmax(1) == expected.argmax(1)).sum())
    return Parity(name, len(expected), agreeing, float(np.abs(answers - expected).max()), tolerance)


def check_file(path: Path, pixels: np.ndarray, expected: np.ndarray) -> Parity:
    """Loads an exported classifier as a user would, and compares its answers with training's.

    Args:
        path: .tflite, .pb or SavedModel folder.
        pixels: uint8 [photos, height, width, 3].
        expected: float32 [photos, classes], training's answers.

    Raises:
        UserError: the answers differ by more than TOLERANCE.
    """
    return _proven(compare(path.name, load_classifier(path).probabilities(pixels), expected, TOLERANCE))


def check_predict_bytes(folder: Path, files: list[bytes], expected: np.ndarray) -> Parity | None:
    """The same for a SavedModel's signature that takes encoded photos.

    Args:
        folder: the SavedModel.
        files: photos as encoded; those that its decoder cannot do justice (formats but JPEG and PNG, EXIF rotation,
            transparency, CMYK) are passed over.
        expected: float32 [photos, classes], training's answers.

    Returns:
        None where no photo is left to compare.

    Raises:
        UserError: the answers differ by more than BYTES_TOLERANCE.
    """
    plain = [row for row, data in enumerate(files) if is_plain(data)]
    if not plain:
        return None
    signature = load_signature(folder, "predict_bytes")
    constant = import_tensorflow().constant
    answers = [signature(image_bytes=constant(files[row:row + 1]))["probabilities"].numpy()[0] for row in plain]
    return _proven(compare(f"{folder.name} predict_bytes", np.stack(answers), expected[plain], BYTES_TOLERANCE))


def _proven(parity: Parity) -> Parity:
    if not parity.proven:
        raise UserError(f"The exported {parity.name} does not give the answers of training: {parity.sentence()} "
                        f"(at most {parity.tolerance:g} is allowed). It is not kept.",
                        "Please report this, with the module you used.")
    return parity
