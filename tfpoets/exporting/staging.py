"""Stage an export: write its files to hidden folders, verify them there, and move them into place."""
from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tfpoets.progress import stage

from .exportable import Exportable
from .target import ExportTarget
from .verification import ExportedFile, LoadedReference, verify

LOCK_NAME = ".lock"
# A folder without a lock that is newer than this may belong to a run that has just created it. An older one was left
# by a run that was killed before it could create the lock.
MIN_ABANDONED_SECONDS = 60.0


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

    def publish(self) -> list[Path]:
        """Move all files to their destinations, and return their final paths."""
        return [output.target.publish(self.staged_path(output.destination), output.destination)
                for output in self._outputs]


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


@contextmanager
def staging_folder(parent: Path, name: str) -> Iterator[Path]:
    """Create a hidden folder that no other run uses, and remove it on exit.

    The folder is next to the destinations of its files, on the same disk, so that renaming is atomic. Folders that
    killed runs left behind are removed. They are recognized by their lock, which is released when a process ends.

    Args:
        parent: The folder of the destinations. It is created if it does not exist.
        name: The name of the classifier, which the name of the folder contains.

    Yields:
        The path of the new folder.
    """
    from filelock import FileLock  # imported here because label_image does not need it
    parent.mkdir(parents=True, exist_ok=True)
    for existing in parent.glob(f".{glob.escape(name)}*.partial"):
        _remove_if_abandoned(existing)
    folder = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".partial", dir=parent))
    lock = FileLock(folder / LOCK_NAME)
    lock.acquire()
    try:
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _remove_if_abandoned(folder: Path) -> None:
    """Remove a staging folder unless a running process uses it."""
    from filelock import FileLock, Timeout
    with contextlib.suppress(OSError, Timeout):  # another process has removed the folder, or is using it
        if (folder / LOCK_NAME).exists():
            with FileLock(folder / LOCK_NAME, timeout=0):
                pass
        elif time.time() - os.stat(folder).st_mtime < MIN_ABANDONED_SECONDS:
            return
        shutil.rmtree(folder, ignore_errors=True)
