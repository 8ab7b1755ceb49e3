"""Open the file of a cache to examine or reduce it.

Unlike `BottleneckCache`, this neither creates a missing cache nor renames a damaged one.
"""
from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from tfpoets.errors import ExtractorError, one_line
from tfpoets.locks import lock_destination

from .cache import CACHE_NAME
from .cache_schema import SQLITE_ERRORS, Damaged, check_schema, is_current, is_damage

# How long to wait for another run that writes.
SECONDS_TO_WAIT = 10.0


@contextlib.contextmanager
def open_cache_file(folder: Path, alone: bool = False) -> Iterator[sqlite3.Connection]:
    """Open the cache in a folder; an earlier version is migrated.

    Errors of SQLite in the `with` block are raised as ExtractorError, too.

    Args:
        folder: The folder of the cache (`bottleneck_dir`). If it is not writable, the connection can only read.
        alone: Whether no other run may use the cache in the meantime: those that start wait.

    Raises:
        ExtractorError: There is no cache, it is damaged, or another run uses it.
    """
    path = folder / CACHE_NAME
    if not path.is_file():
        raise ExtractorError(f"There is no cache of bottlenecks in {folder}.", "Check `bottleneck_dir`.")
    writable = all(os.access(place, os.W_OK) for place in (path, folder))
    if alone and not writable:
        raise ExtractorError(f"The cache {path} cannot be changed, because it or its folder is not writable.")
    try:
        with contextlib.ExitStack() as stack:
            lock = stack.enter_context(contextlib.ExitStack())
            # Locked, so that no run opens the cache, or renames it while it is opened here.
            if writable and not lock.enter_context(lock_destination(path, wait=not alone)):
                raise _in_use(path)
            database = stack.enter_context(contextlib.closing(_connect(path, writable, alone)))
            if not alone:
                lock.close()
            yield database
    except (OSError, Damaged, *SQLITE_ERRORS) as error:
        raise _as_extractor_error(error, path) from error


def _connect(path: Path, writable: bool, alone: bool) -> sqlite3.Connection:
    database = sqlite3.connect(_uri(path, writable), uri=True, timeout=SECONDS_TO_WAIT)
    try:
        database.text_factory = lambda data: data.decode("utf-8", "replace")  # as in BottleneckCache
        if alone:  # set before the first access, this fails while another process has the database open
            database.execute("PRAGMA locking_mode=EXCLUSIVE")
        if writable:
            check_schema(database, path)
        elif not is_current(database):
            raise ExtractorError(f"The cache {path} cannot be read: an earlier version of this program wrote it, and "
                                 "it cannot be migrated, because its folder is not writable.")
    except BaseException:
        database.close()
        raise
    return database


def _uri(path: Path, writable: bool) -> str:
    address = path.resolve().as_uri()
    if writable:
        return f"{address}?mode=rw"
    # Reading a database with a log needs a file for shared memory. Without a log, nothing is written.
    log = path.with_name(f"{path.name}-wal")
    return f"{address}?mode=ro" if log.exists() and log.stat().st_size else f"{address}?immutable=1"


def _in_use(path: Path) -> ExtractorError:
    return ExtractorError(f"Another run is using the cache {path}.", "Try again when it has ended.")


def _as_extractor_error(error: Exception, path: Path) -> ExtractorError:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _in_use(path)
    if isinstance(error, Damaged) or (not isinstance(error, OSError) and is_damage(error, [path])):
        return ExtractorError(f"The cache {path} is damaged: {one_line(error)}",
                              "Delete it; the next run computes its bottlenecks again.")
    return ExtractorError(f"The cache {path} cannot be used: {one_line(error)}")
