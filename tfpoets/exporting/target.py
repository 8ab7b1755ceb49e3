"""What an export target is: one format that a classifier is written in, and how such a file is run."""
from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tfpoets.extractors import Engine

from .metadata import Metadata

if TYPE_CHECKING:
    from .exportable import Exportable

# Largest difference of a probability: float32 sums in another order stay a hundred times below it.
TOLERANCE = 1e-4
# The identifier of a TensorFlow Lite flatbuffer stands behind its first offset, at bytes 4 to 8.
TFLITE_IDENTIFIER = b"TFL3"
ATTEMPTS = 20
# Names of signatures: one takes pixels, float32 [n, height, width, 3] in [0, 1], the other photos as files.
SERVING, PREDICT_BYTES = "serving_default", "predict_bytes"


class LoadedFile(NamedTuple):
    """A classifier's file: what it says of itself, and what runs it."""

    metadata: Metadata
    engine: Engine


class ExportTarget(ABC):
    """One format.

    A file is written aside, opened as its users open it, compared with the classifier, and put in its place.

    Attributes:
        name: of the format, for `formats`.
        tolerance: by how much a probability may differ from the classifier's; None: the numbers are coarser, and what
            that costs is told instead.
        selectable: whether it is written where it is asked for by name; every retraining writes the others.
        timed: whether what `open` gives runs the file as fast as its users do.
    """

    name: str
    tolerance: float | None = TOLERANCE
    selectable: bool = True
    timed: bool = True

    @abstractmethod
    def file_name(self, stem: str) -> str:
        """Return the name of the file or folder for a graph whose name without suffix is `stem`."""

    @abstractmethod
    def write(self, source: Exportable, path: Path) -> None:
        """Write the classifier to a file or folder, which does not exist yet.

        Raises:
            ExportError: the format cannot express the classifier.
        """

    @abstractmethod
    def open(self, path: Path, metadata: Metadata) -> Mapping[str, Engine]:
        """Return what runs a file, by the name of the signature; nothing where it cannot be run here.

        An engine of SERVING takes pixels, one of PREDICT_BYTES an array of photos' files (object [n]). Both give
        float32 [n, columns]: the probabilities, and behind them the unknown score, if the file has it.
        """

    def load(self, path: Path, content: bytes) -> LoadedFile | None:
        """Return a classifier for `load_classifier`; None for a file that this target does not write or cannot read.

        Args:
            path: of the file or folder.
            content: of the file; empty for a folder.

        Raises:
            ModelError: this target wrote it, but it is damaged.
        """
        return None

    def unavailable(self) -> str:
        """Return why the format cannot be written on this machine, and what to do about it; empty where it can."""
        return ""

    def owns(self, path: Path) -> bool:
        """Return whether what lies at a path may be replaced.

        A file of the same name may; a target that writes folders overrides this, and tells its own from others.
        """
        return path.is_file()

    def publish(self, staged: Path, destination: Path) -> Path:
        """Put what was written in its place, in the place of what is there, and return the place.

        A file takes the place of another in one step. A folder cannot; the old one is moved aside first, into the
        staging folder, with which it goes.
        """
        if not destination.is_dir():
            os.replace(staged, destination)
            return destination
        for attempt in range(ATTEMPTS):  # another run may put its own there in between
            with contextlib.suppress(FileNotFoundError):
                os.replace(destination, staged.with_name(f"{staged.name}.old{attempt}"))
            try:
                os.replace(staged, destination)
                break
            except OSError:
                if attempt == ATTEMPTS - 1:
                    raise
        return destination
