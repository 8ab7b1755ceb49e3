"""Publish files and folders so that a killed run leaves either the old or the new ones.

Files are written to hidden staging folders next to their destinations. A record in the staging folder lists what will
be moved; once it is written, the next run finishes the publication if this one is killed.
"""
from __future__ import annotations

import contextlib
import ctypes
import glob
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfpoets.errors import TfpoetsError, os_error_sentence
from tfpoets.files import sync_file, write_file
from tfpoets.locks import acquire, lock_destination

LOCK_NAME, RECORD_NAME, STAGING_SUFFIX = ".lock", ".publication.json", ".partial"
# A record with a few hundred names is smaller.
MAX_RECORD_BYTES = 1 << 16
# A staging folder that is being removed. Its lock may be gone already.
REMOVED_SUFFIX = ".removed"
# A folder without a lock that is newer than this may belong to a run that has just created it. An older one was left
# by a run that was killed before it could create the lock.
MIN_ABANDONED_SECONDS = 60.0
# Values of AT_FDCWD and RENAME_EXCHANGE (linux/fcntl.h, linux/fs.h), and of RENAME_SWAP (sys/stdio.h of macOS).
_AT_FDCWD, _RENAME_EXCHANGE, _RENAME_SWAP = -100, 2, 2


@contextmanager
def staging_folder(parent: Path, name: str) -> Iterator[Path]:
    """Create a hidden folder that no other run uses, and remove it on exit.

    The folder is next to the destinations of its files, on the same disk, so that renaming is atomic. What killed runs
    left behind is removed first. It is recognized by its lock, which is released when a process ends.

    Args:
        parent: The folder of the destinations. It is created if it does not exist.
        name: The name of what is staged, which the name of the folder contains.

    Yields:
        The path of the new folder.
    """
    parent.mkdir(parents=True, exist_ok=True)
    clean_up(parent, name)
    folder, lock = _create_locked(parent, name)
    try:
        yield folder
    finally:
        os.close(lock)
        _remove_staging(folder)


def _create_locked(parent: Path, name: str) -> tuple[Path, int]:
    """Create and lock a staging folder, and return its path and the descriptor of the lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=STAGING_SUFFIX, dir=parent))
        # Between the creation of the lock and its acquisition, another run may take the folder for an abandoned one.
        with contextlib.suppress(FileNotFoundError):
            lock = acquire(folder / LOCK_NAME, str(folder))
            assert lock is not None
            return folder, lock


def clean_up(parent: Path, name: str) -> None:
    """Finish the publications of killed runs, and remove the staging folders that they left behind.

    Args:
        parent: The folder of the destinations.
        name: The name of what was staged.
    """
    for lock in parent.glob(f".{glob.escape(name)}*{LOCK_NAME}"):  # also of files with suffixes, such as name.pb
        with contextlib.suppress(OSError), lock_destination(parent / lock.name[1:-len(LOCK_NAME)], wait=False):
            pass  # a lock that no process holds is removed
    for folder in parent.glob(f".{glob.escape(name)}*{REMOVED_SUFFIX}"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in parent.glob(f".{glob.escape(name)}*{STAGING_SUFFIX}"):
        with contextlib.suppress(OSError):  # another process has removed the folder
            _clean_up_folder(folder)


def _remove_staging(folder: Path) -> None:
    with contextlib.suppress(OSError):  # another process has removed it
        folder = folder.rename(folder.with_suffix(REMOVED_SUFFIX))
    shutil.rmtree(folder, ignore_errors=True)


def _clean_up_folder(folder: Path) -> None:
    """Finish a publication and remove its staging folder, unless a running process uses it."""
    if not (folder / LOCK_NAME).exists():
        if time.time() - os.stat(folder).st_mtime > MIN_ABANDONED_SECONDS:
            _remove_staging(folder)
        return
    lock = acquire(folder / LOCK_NAME, None)
    if lock is None:
        return
    try:
        record = _read_record(folder)
        if record is not None:
            with lock_destination(folder.parent / record["name"], wait=False) as is_locked:
                if not is_locked:  # the run that holds the lock finishes this publication
                    return
                _finish(folder)
        _remove_staging(folder)
    finally:
        os.close(lock)


def publish_together(staging: Path, moves: Sequence[tuple[Path, Path]], name: str, stale: Iterable[Path] = ()) -> None:
    """Move staged files and folders to their destinations; if this is interrupted, the next run finishes it.

    The destination must be locked.

    Args:
        staging: A staging folder next to the destination that is locked.
        moves: The staged path and the destination of each file or folder, in this order.
        name: The file name of the destination that is locked.
        stale: Files and folders next to the staging folder, or files in such folders, that the new files make
            obsolete. They are removed first.

    Raises:
        TfpoetsError: A file or folder cannot be moved.
    """
    try:
        for other in staging.parent.glob(f".*{STAGING_SUFFIX}"):
            record = _read_record(other) if other != staging else None
            if record is not None and record["name"] == name:  # of a killed run, since its destination is not locked
                _finish(other)
        for staged, _ in moves:
            _sync(staged)
        write_file(staging / RECORD_NAME, json.dumps({
            "name": name, "stale": [os.path.relpath(path, staging.parent) for path in stale],
            "moves": [[os.path.relpath(staged, staging.parent), destination.name, os.stat(staged).st_ino]
                      for staged, destination in moves]}))
        _finish(staging)
    except OSError as error:
        raise TfpoetsError(f"{name} cannot be written: {os_error_sentence(error)}",
                           "Close programs that use the file, and run the same command again.") from error


def pending_path(destination: Path) -> Path | None:
    """Return where a file is that a running or killed run has not yet moved to its destination; None if nowhere."""
    for staging in sorted(destination.parent.glob(f".*{STAGING_SUFFIX}")):
        for staged, target in _remaining_moves(staging):
            if target.name == destination.name and target.parent == staging.parent:
                return staged
    return None


def published_folder(folder: Path) -> Path:
    """Return the folder to which the files in a folder are moved, if it is a staging folder; otherwise the folder."""
    is_staging = folder.name.startswith(".") and folder.name.endswith(STAGING_SUFFIX)
    return folder.parent if is_staging else folder


def _finish(staging: Path) -> None:
    """Remove the stale files of a publication, and move the files that have not been moved yet."""
    record = _read_record(staging)
    for name in record["stale"] if record else ():
        remove(staging.parent / name)
    for staged, destination in _remaining_moves(staging):
        replace_path(staged, destination)
    (staging / RECORD_NAME).unlink(missing_ok=True)


def _read_record(staging: Path) -> dict[str, Any] | None:
    """Return the record in a staging folder; None if there is none, or it cannot be used."""
    try:
        with open(staging / RECORD_NAME, "rb") as stream:
            content = stream.read(MAX_RECORD_BYTES + 1)
        if len(content) > MAX_RECORD_BYTES:
            return None
        record = json.loads(content)
        names = [record["name"], *(name for _, name, _ in record["moves"])]
        stale = [Path(name).parts for name in record["stale"]]
        # Files are moved only to the parent of their staging folder, and nothing outside the parent is removed.
        folders = [Path(staged).parent.name for staged, _, _ in record["moves"]]
        is_valid = (all(name and Path(name).name == name for name in names)
                    and len({staged for staged, _, _ in record["moves"]}) == len(record["moves"])
                    and all(1 <= len(parts) <= 2 and not {"..", os.sep} & {*parts} for parts in stale)
                    and all(folder.startswith(".") and folder.endswith(STAGING_SUFFIX) for folder in folders))
        return record if is_valid else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _remaining_moves(staging: Path) -> list[tuple[Path, Path]]:
    """Return the staged path and the destination of everything that has not been moved yet.

    When folders have been exchanged, the staged path is that of the old one, which has another inode.
    """
    record = _read_record(staging)
    remaining = []
    for relative, name, inode in record["moves"] if record else ():
        staged = staging.parent / relative
        with contextlib.suppress(FileNotFoundError):
            if os.stat(staged).st_ino == inode:
                remaining.append((staged, staged.parent.parent / name))
    return remaining


def replace_path(staged: Path, destination: Path) -> None:
    """Move a file or folder to its destination, and replace what is there.

    A file is replaced in one step, and so is a folder where the system can exchange two names (Linux, macOS).
    Elsewhere, the old folder is first moved away. It is left at `staged`, or next to it.
    """
    if not (staged.is_dir() and os.path.lexists(destination) or destination.is_dir()):
        os.replace(staged, destination)
    elif not _exchange(staged, destination):
        os.rename(destination, staged.with_name(f"{staged.name}.old-{secrets.token_hex(4)}"))
        os.rename(staged, destination)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step; return False if the system or the file system cannot do this."""
    paths = os.fsencode(first), os.fsencode(second)
    try:
        libc = ctypes.CDLL(None)
        if sys.platform == "darwin":
            return libc.renamex_np(*paths, _RENAME_SWAP) == 0
        return libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0
    except (OSError, AttributeError, TypeError):  # Windows, or an old C library
        return False


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Write a file, or the files in a folder, to the disk, since a power failure could otherwise leave them empty."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            sync_file(file)
