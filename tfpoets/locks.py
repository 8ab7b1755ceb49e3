"""Locks that let one run at a time write to a place; a process that ends, or is killed, releases its locks."""
from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfpoets.errors import one_line

log = logging.getLogger(__name__)

# Most locks are held for a moment only, so a run that waits for one says so only after a second.
SILENT_ATTEMPTS, SECONDS_BETWEEN_ATTEMPTS = 20, 0.05

# The paths that this thread has locked, so that it can lock them again.
_held = threading.local()


@contextmanager
def lock_destination(path: Path, wait: bool = True) -> Iterator[bool]:
    """Let one thread of one process at a time write a file or folder, or the files that are named after it.

    The lock is a hidden file next to the path, which is removed afterwards. It also excludes other machines if the
    file system shares locks between them (see docs/shared_folders.md). The thread that holds the lock can lock the
    path again.

    Args:
        path: The destination. Its folder must exist.
        wait: Whether to wait for the lock.

    Yields:
        Whether the path has been locked; always true if `wait` is true.
    """
    file = lock_path(path)
    held: set[Path] = _held.__dict__.setdefault("paths", set())
    if file in held:
        yield True
        return
    descriptor = acquire(file, str(path) if wait else None)
    if descriptor is None:
        yield False
        return
    held.add(file)
    try:
        yield True
    finally:
        held.discard(file)
        # Removed while it is locked; runs that were waiting for this file notice that it is gone.
        with contextlib.suppress(OSError):  # Windows cannot remove open files
            file.unlink()
        os.close(descriptor)


def lock_path(path: Path) -> Path:
    """Return the path of the file that `lock_destination` locks."""
    return path.parent.resolve() / f".{path.name}.lock"


def acquire(file: Path, waiting_for: str | None) -> int | None:
    """Create and lock a lock file.

    Args:
        file: The path of the lock file.
        waiting_for: What another run is using, for the message that is logged during the wait; None to not wait.

    Returns:
        The descriptor of the file; closing it releases the lock. None if another process holds the lock. If the file
        system has no locks: the descriptor, after a warning, or None if `waiting_for` is None.

    Raises:
        OSError: The file cannot be created.
    """
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock(descriptor, file, waiting_for):
                os.close(descriptor)
                return None
            if _is_file_at(descriptor, file):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the process that held the lock has removed the file


def _lock(descriptor: int, file: Path, waiting_for: str | None) -> bool:
    from filelock import lock_descriptor  # imported here because label_image does not need it
    try:
        for _ in range(1 if waiting_for is None else SILENT_ATTEMPTS):
            if lock_descriptor(descriptor, blocking=False):
                return True
            time.sleep(0 if waiting_for is None else SECONDS_BETWEEN_ATTEMPTS)
        if waiting_for is None:
            return False
        log.info("Another run is using %s; waiting for it.", waiting_for)
        return lock_descriptor(descriptor)
    except OSError as error:
        if waiting_for is None:  # whether another process holds the lock is not known
            return False
        log.warning("Files in %s cannot be locked: %s Let only one run at a time write there.", file.parent,
                    one_line(error))
        return True


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
