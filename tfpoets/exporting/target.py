"""The interface of export targets, which write a classifier in one format and run the written file."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tfpoets.extractors import Engine

from .metadata import Metadata

if TYPE_CHECKING:
    from .exportable import Exportable

# The largest allowed difference in probability. Summing float32 values in a different order changes a probability by
# less than a hundredth of this.
TOLERANCE = 1e-4
# The file identifier of a TensorFlow Lite flatbuffer, which follows the first offset, at bytes 4 to 7.
TFLITE_IDENTIFIER = b"TFL3"
# Names of signatures. The input of SERVING is pixels, float32 [n, height, width, 3] in [0, 1]; that of PREDICT_BYTES
# is encoded photos.
SERVING: str = "serving_default"
PREDICT_BYTES: str = "predict_bytes"


class LoadedFile(NamedTuple):
    """A loaded classifier file: its metadata, and the engine that runs it."""

    metadata: Metadata
    engine: Engine


class Requirement(NamedTuple):
    """What a program needs to load a file.

    Attributes:
        runtime: The oldest version of the runtime, such as "TF 1.13" or "TFLite 2.3"; "" if it is not known.
        note: A sentence about other programs that load the file; "" if there is nothing to add.
    """

    runtime: str = ""
    note: str = ""


class ExportTarget(ABC):
    """An export format.

    A file is written to a staging folder, opened as its users open it, compared with the classifier, and moved into
    place.

    Attributes:
        name: The name of the format, as used in the option `formats`.
        tolerance: The largest allowed difference in probability from the classifier. None for formats of lower
            precision, whose differences are only reported.
        selectable: Whether the format can be requested by name. The others are written by retrain itself.
        timed: Whether to report the speed of the engine that `open` returns. False if users run the file differently.
    """

    name: str
    tolerance: float | None = TOLERANCE
    selectable: bool = True
    timed: bool = True

    @abstractmethod
    def file_name(self, stem: str) -> str:
        """Return the name of the file or folder for a graph with the file name `stem`.pb."""

    @abstractmethod
    def write(self, source: Exportable, path: Path) -> None:
        """Write the classifier to a file or folder.

        Args:
            source: The classifier.
            path: The path of the file or folder, which does not exist yet.

        Raises:
            ExportError: The format cannot represent the classifier.
        """

    @abstractmethod
    def open(self, path: Path, metadata: Metadata) -> Mapping[str, Engine]:
        """Return the engines that run a file, by the name of the signature.

        The engine for SERVING takes pixels; the one for PREDICT_BYTES takes an array of encoded photos (object [n]).
        Both return float32 [n, columns]: the probabilities, followed by the unknown score if the file has one. The
        mapping is empty if the file cannot be run on this machine.
        """

    def needs_tensorflow(self, source: Exportable) -> bool:
        """Return whether `write` or the engines of the file import TensorFlow."""
        return True

    def load(self, path: Path, content: bytes) -> LoadedFile | None:
        """Load a classifier for `load_classifier`.

        Args:
            path: The path of the file or folder.
            content: The content of the file; empty for a folder.

        Returns:
            None if this target did not write the file, or cannot read it.

        Raises:
            ModelError: This target wrote the file, but it is damaged.
        """
        return None

    def check(self, path: Path, content: bytes) -> None:
        """Check a file that may come from another person, before it is loaded; nothing in this process runs it.

        A file that this target did not write is not checked.

        Args:
            path: The path of the file or folder.
            content: The content of the file; empty for a folder.

        Raises:
            ModelError: The file is damaged, or might do something else than label photos.
        """

    def requirement(self, path: Path) -> Requirement:
        """Return what a program needs to load a written file, as far as the file shows it."""
        return Requirement()

    def unavailable_reason(self) -> str:
        """Return why the format cannot be written on this machine, and a remedy; "" if it can be written."""
        return ""

    def may_replace(self, path: Path) -> bool:
        """Return whether an existing file or folder may be replaced.

        Any file may be replaced. A target that writes folders overrides this method, to recognize its folders.
        """
        return path.is_file()

    def stale_paths(self, path: Path) -> list[Path]:
        """Return what is to be removed when the graph that a file or folder was made from is replaced.

        Args:
            path: The path of the file or folder.

        Returns:
            An empty list unless it is certain that tfpoets wrote the file or folder.
        """
        return []

    def final_path(self, staged: Path, destination: Path) -> Path:
        """Prepare a staged file or folder for its publication, and return its final path.

        Args:
            staged: The staged file or folder, which a target can still change.
            destination: The destination, which is locked. A target can choose another name in the same folder.
        """
        return destination
