"""Hidden folders in which files are written before they are put in their places."""
from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"
# A folder without a lock belongs to a run that is just making it, or to one that was killed before it could.
SETTLED_SECONDS = 60.0


@contextmanager
def staging_folder(parent: Path, name: str) -> Iterator[Path]:
    """Make a hidden folder in `parent` that no other run uses, and remove it on the way out.

    It is beside the places of the files, on the same disk, so that renaming is atomic. What killed runs left behind is
    removed: the lock inside a folder goes with its process.

    Args:
        parent: made if it is missing.
        name: of what is written.
    """
    from filelock import FileLock  # here, because label_image starts without it
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f".{glob.escape(name)}*.partial"):
        _remove_if_left(left)
    folder = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".partial", dir=parent))
    lock = FileLock(folder / LOCK)
    lock.acquire()
    try:
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _remove_if_left(folder: Path) -> None:
    """Remove a folder that no running process holds."""
    from filelock import FileLock, Timeout
    with contextlib.suppress(OSError, Timeout):  # it has gone meanwhile, or is in use
        if (folder / LOCK).exists():
            with FileLock(folder / LOCK, timeout=0):
                pass
        elif time.time() - os.stat(folder).st_mtime < SETTLED_SECONDS:
            return
        shutil.rmtree(folder, ignore_errors=True)
