"""Bottlenecks on disk: what was computed for a photo once is never computed again."""
from __future__ import annotations

import logging
import os
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tfpoets.errors import ExtractorError, one_line

log = logging.getLogger(__name__)

CACHE_NAME = "bottlenecks.sqlite"
COMMIT_PHOTOS = 64
COMMIT_SECONDS = 1.0
# A file written less than this before it was read could be written again with the same time stamp (2 s on FAT).
SETTLED_NS = 2_000_000_000

_TABLES = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS looks (digest TEXT PRIMARY KEY, look BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS vectors (
    extractor TEXT NOT NULL, digest TEXT NOT NULL, view INTEGER NOT NULL, vector BLOB NOT NULL,
    checksum INTEGER NOT NULL, engine TEXT NOT NULL, PRIMARY KEY (extractor, digest, view));
"""


class BottleneckCache:
    """A SQLite file of bottlenecks, keyed by the photo's content and the extractor; a context manager.

    One thread writes (the one that opened it). Work is committed every 64 photos or every second, so that a killed
    run loses no more; readers and other processes may use the file at the same time (write-ahead log).

    Args:
        folder: `bottleneck_dir`; made if missing.

    Raises:
        ExtractorError: the folder cannot be written.
    """

    def __init__(self, folder: Path | str):
        self.path = Path(folder) / CACHE_NAME
        self._uncommitted = 0
        self._committed_at = time.monotonic()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = self._open()
        except (OSError, sqlite3.Error) as error:
            raise ExtractorError(f"The cache {self.path} cannot be opened: {one_line(error)}",
                                 "Give another folder with `bottleneck_dir`.") from error

    def __enter__(self) -> BottleneckCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.commit()
        self._database.close()

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise  # locked, read-only, no space: the file itself may be whole
        except sqlite3.DatabaseError:
            broken = self.path.with_name(f"{CACHE_NAME}.broken-{time.strftime('%Y%m%d-%H%M%S')}")
            os.replace(self.path, broken)
            for suffix in ("-wal", "-shm"):
                self.path.with_name(CACHE_NAME + suffix).unlink(missing_ok=True)
            log.warning("The cache %s was damaged; it was put aside as %s and is made anew.", self.path, broken.name)
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=60)
        try:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            database.executescript(_TABLES)
        except sqlite3.Error:
            database.close()
            raise
        return database

    def known_digests(self, paths: Iterable[Path]) -> dict[Path, str]:
        """The digests of the files that are as they were when last read, without reading them."""
        known = {path: (size, mtime_ns, digest) for path, size, mtime_ns, digest in
                 self._database.execute("SELECT path, size, mtime_ns, digest FROM files")}
        found = {}
        for path in paths:
            text = str(path)  # paths of text are quicker than Path
            row = known.get(_key(text))
            if row is not None and row[:2] == file_stamp(text):
                found[path] = row[2]
        return found

    def digests_with_vector(self, extractor: str, view: int = 0) -> set[str]:
        """The photos that have this view's bottleneck and a perceptual hash: nothing of theirs is left to compute."""
        return {digest for digest, in self._database.execute(
            "SELECT digest FROM vectors JOIN looks USING (digest) WHERE extractor = ? AND view = ?",
            (extractor, view))}

    def add_file(self, path: Path, digest: str, stamp: tuple[int, int] | None) -> None:
        """Remembers a file's digest under the size and time stamp it had before it was read."""
        if stamp is not None and time.time_ns() - stamp[1] > SETTLED_NS:
            self._write("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (_key(path), *stamp, digest))

    def add_hash(self, digest: str, hash_: bytes) -> None:
        """Stores one photo's perceptual hash."""
        self._write("INSERT OR REPLACE INTO looks VALUES (?, ?)", (digest, hash_))

    def add_vector(self, extractor: str, digest: str, vector: np.ndarray, engine: str, view: int = 0) -> None:
        """Stores one photo's bottleneck (float32 [depth])."""
        blob = np.ascontiguousarray(vector, "<f4").tobytes()
        self._write("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?, ?)",
                    (extractor, digest, view, blob, zlib.crc32(blob), engine))
        self._uncommitted += 1
        self.commit_if_due()

    def commit_if_due(self) -> None:
        """Commits after 64 photos or one second, whichever comes first."""
        due = time.monotonic() - self._committed_at >= COMMIT_SECONDS
        if self._uncommitted >= COMMIT_PHOTOS or due:
            self.commit()

    def commit(self) -> None:
        """Makes everything added so far survive the process."""
        self._execute(self._database.commit)
        self._uncommitted = 0
        self._committed_at = time.monotonic()

    def rows(self, extractor: str, depth: int, view: int = 0) -> Iterator[tuple[str, bytes, np.ndarray]]:
        """Every sound (digest, perceptual hash, bottleneck float32 [depth]) of an extractor, in any order."""
        for digest, hash_, blob, checksum in self._database.execute(
                "SELECT digest, look, vector, checksum FROM vectors JOIN looks USING (digest) "
                "WHERE extractor = ? AND view = ?", (extractor, view)):
            if len(blob) == 4 * depth and zlib.crc32(blob) == checksum:
                yield digest, hash_, np.frombuffer(blob, "<f4")

    def forget(self, extractor: str, digests: Iterable[str]) -> None:
        """Drops bottlenecks whose bytes turned out damaged, so that they are computed anew."""
        for digest in digests:
            self._write("DELETE FROM vectors WHERE extractor = ? AND digest = ?", (extractor, digest))
        self.commit()

    def _write(self, statement: str, values: tuple) -> None:
        self._execute(lambda: self._database.execute(statement, values))

    def _execute(self, action) -> None:
        try:
            action()
        except sqlite3.Error as error:
            raise ExtractorError(f"The cache {self.path} cannot be written: {one_line(error)}",
                                 "Free some space, or give another folder with `bottleneck_dir`.") from error


def file_stamp(path: Path | str) -> tuple[int, int] | None:
    """Size in bytes and modification time in nanoseconds, or None where there is no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _key(path: Path | str) -> str:
    """The absolute path as text that SQLite takes, whatever bytes a file name is made of."""
    return os.fsencode(os.path.abspath(path)).decode("utf-8", "backslashreplace")
