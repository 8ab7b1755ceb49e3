"""Stage an export: write its files to hidden folders, verify them there, and move them into place."""
from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tfpoets.progress import stage
from tfpoets.publication import staging_folder

from .exportable import Exportable
from .target import ExportTarget
from .verification import ExportedFile, LoadedReference, verify

@dataclass(frozen=True)
class OutputFile:
    """A file or folder to export.

    Attributes:
        target: The target that writes it.
        destination: Its final path.
        name: Its name in messages.
    """

    target: ExportTarget
    destination: Path
    name: str


class StagedFiles:
    """The files of an export, in hidden folders next to their destinations until they are published.

    A context manager. On exit, all files that were not published are removed.

    Args:
        source: The classifier to export.
        outputs: The files to write.
    """

    def __init__(self, source: Exportable, outputs: Sequence[OutputFile]):
        self._source, self._outputs = source, outputs
        self._folders: dict[Path, Path] = {}
        self._exit_stack = ExitStack()

    def __enter__(self) -> StagedFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit_stack.close()

    def staged_path(self, destination: Path) -> Path:
        """Return the path of a file before it is published; create the staging folder if necessary."""
        parent = destination.parent.resolve()
        if parent not in self._folders:
            self._folders[parent] = self._exit_stack.enter_context(staging_folder(parent, self._source.name))
        return self._folders[parent] / destination.name

    def staged_outputs(self) -> list[OutputFile]:
        """Return the files with their staged paths as destinations."""
        return [replace(output, destination=self.staged_path(output.destination)) for output in self._outputs]

    def write(self) -> None:
        """Write all files."""
        write_outputs(self._source, self.staged_outputs())

    def verify(self, reference: LoadedReference) -> list[ExportedFile]:
        """Compare all files with the reference.

        Returns:
            A result for each signature that was compared.

        Raises:
            ExportError: A file does not reproduce the reference outputs.
        """
        return [result for results in verify_outputs(self._source, self.staged_outputs(), reference)
                for result in results]

    def moves(self) -> list[tuple[Path, Path]]:
        """Return the staged path and the final path of each file, in the order in which they are to be published.

        The destinations must be locked until the files have been published.
        """
        return [(staged, output.target.final_path(staged, output.destination))
                for output in self._outputs for staged in [self.staged_path(output.destination)]]


def write_outputs(source: Exportable, outputs: Sequence[OutputFile]) -> None:
    """Write a classifier to files."""
    for output in outputs:
        with stage(f"export of {output.name}"):
            output.target.write(source, output.destination)


def verify_outputs(source: Exportable, outputs: Sequence[OutputFile], reference: LoadedReference
                   ) -> list[list[ExportedFile]]:
    """Compare written files with the reference; return the results for each file, and raise the errors of `verify`."""
    with stage("verification"):
        return [list(verify(output.name, output.target, output.destination, source.metadata, reference))
                for output in outputs]
