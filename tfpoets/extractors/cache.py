"""Bottlenecks on disk: what was computed for a photo once is never computed again."""
from __future__ import annotations

import logging
import os
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from tfpoets.errors import ExtractorError, one_line

log = logging.getLogger(__name__)

CACHE_NAME = "bottlenecks.sqlite"
COMMIT_PHOTOS = 64
COMMIT_SECONDS = 1.0
# Version f862d5e wrote version 0: its table `files` has a path, size and mtime_ns instead of a URI and a stamp.
SCHEMA_VERSION = 1

_TABLES = """
CREATE TABLE IF NOT EXISTS stamps (uri TEXT PRIMARY KEY, stamp TEXT NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS looks (digest TEXT PRIMARY KEY, look BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS vectors (
    extractor TEXT NOT NULL, digest TEXT NOT NULL, view INTEGER NOT NULL, vector BLOB NOT NULL,
    checksum INTEGER NOT NULL, engine TEXT NOT NULL, PRIMARY KEY (extractor, digest, view));
CREATE TABLE IF NOT EXISTS measures (
    name TEXT NOT NULL, digest TEXT NOT NULL, value REAL NOT NULL, PRIMARY KEY (name, digest)) WITHOUT ROWID;
"""
_FROM_VERSION_0 = ("INSERT OR IGNORE INTO stamps SELECT path, size || ' ' || mtime_ns, digest FROM files",
                   "DROP TABLE files")


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
            # Without a write where nothing is to be done: another run may hold the lock for long.
            version, = database.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise ExtractorError(f"The cache {self.path} was written by a later version of this program.",
                                     "Give another folder with `bottleneck_dir`.")
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            if version < SCHEMA_VERSION:
                _bring_up_to_date(database)
        except (sqlite3.Error, ExtractorError):
            database.close()
            raise
        return database

    def known_digests(self, stamps: Mapping[str, str]) -> dict[str, str]:
        """Return the digests of the files whose stamps (by URI) are those with which they were last read."""
        known = {uri: (stamp, digest) for uri, stamp, digest in
                 self._database.execute("SELECT uri, stamp, digest FROM stamps")}
        found = {}
        for uri, stamp in stamps.items():
            row = known.get(_key(uri))
            if stamp and row is not None and row[0] == stamp:
                found[uri] = row[1]
        return found

    def digests_with_vector(self, extractor: str, view: int = 0) -> set[str]:
        """The photos that have this view's bottleneck and a perceptual hash: nothing of theirs is left to compute."""
        return {digest for digest, in self._database.execute(
            "SELECT digest FROM vectors JOIN looks USING (digest) WHERE extractor = ? AND view = ?",
            (extractor, view))}

    def digests_with_measure(self, name: str) -> set[str]:
        """Return the photos of which a measure has been taken."""
        return {digest for digest, in self._database.execute("SELECT digest FROM measures WHERE name = ?", (name,))}

    def add_file(self, uri: str, digest: str, stamp: str) -> None:
        """Remember a file's digest under the stamp that it had before it was read; an empty one is not trusted."""
        if stamp:
            self._write("INSERT OR REPLACE INTO stamps VALUES (?, ?, ?)", (_key(uri), stamp, digest))

    def add_measure(self, name: str, digest: str, value: float) -> None:
        """Store a measure of one photo."""
        self._write("INSERT OR REPLACE INTO measures VALUES (?, ?, ?)", (name, digest, value))
        self._uncommitted += 1
        self.commit_if_due()

    def measures(self, name: str) -> dict[str, float]:
        """Return a measure of every photo that it has been taken of, by digest."""
        return dict(self._database.execute("SELECT digest, value FROM measures WHERE name = ?", (name,)))

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


def _key(uri: str) -> str:
    """A URI, or the absolute path of a local file, as text that SQLite takes, whatever bytes a name is made of."""
    absolute = uri if "://" in uri else os.path.abspath(uri)
    return os.fsencode(absolute).decode("utf-8", "backslashreplace")


def _bring_up_to_date(database: sqlite3.Connection) -> None:
    """Make the tables, and take over what version 0 has; all in one transaction, in which no other run interferes."""
    database.execute("BEGIN IMMEDIATE")
    for statement in _TABLES.split(";"):
        database.execute(statement)
    if database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'files'").fetchone():
        for statement in _FROM_VERSION_0:
            database.execute(statement)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    database.commit()
