"""Cache bottlenecks on disk, so that no photo is processed twice."""
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
MAX_UNCOMMITTED = 512
COMMIT_SECONDS = 0.25
# Version 0, written by commit f862d5e, has a table `files` with path, size and mtime_ns instead of `stamps` with URI
# and stamp.
SCHEMA_VERSION = 1

# The table `looks` holds the perceptual hashes; its name dates from version 0.
_TABLES = """
CREATE TABLE IF NOT EXISTS stamps (uri TEXT PRIMARY KEY, stamp TEXT NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS looks (digest TEXT PRIMARY KEY, look BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS vectors (
    extractor TEXT NOT NULL, digest TEXT NOT NULL, view INTEGER NOT NULL, vector BLOB NOT NULL,
    checksum INTEGER NOT NULL, engine TEXT NOT NULL, PRIMARY KEY (extractor, digest, view));
CREATE TABLE IF NOT EXISTS measures (
    name TEXT NOT NULL, digest TEXT NOT NULL, value REAL NOT NULL, PRIMARY KEY (name, digest)) WITHOUT ROWID;
"""
_MIGRATION_FROM_VERSION_0 = (
    "INSERT OR IGNORE INTO stamps SELECT path, size || ' ' || mtime_ns, digest FROM files", "DROP TABLE files")


class BottleneckCache:
    """A SQLite file of bottlenecks, keyed by photo content and extractor; a context manager.

    Only the thread that opened the cache can use it. Changes are committed after 512 values or 0.25 s, so a killed
    run loses no more than that. Other processes can use the file at the same time (write-ahead log).

    Args:
        folder: The folder of the cache (`bottleneck_dir`); created if missing.

    Raises:
        ExtractorError: The folder is not writable, or a newer version of tfpoets wrote the cache.
    """

    def __init__(self, folder: Path | str):
        self.path = Path(folder) / CACHE_NAME
        self._uncommitted = 0
        self._committed_at = time.monotonic()
        # The values to write with the next commit, by statement.
        self._rows: dict[str, list[tuple]] = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = self._open()
        except (OSError, sqlite3.Error) as error:
            raise ExtractorError(f"The cache {self.path} cannot be opened: {one_line(error)}",
                                 "Choose another folder with `bottleneck_dir`.") from error

    def __enter__(self) -> BottleneckCache:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        try:
            self.commit()
        except ExtractorError:
            if error_type is None:  # otherwise the first error is raised
                raise
        finally:
            self._database.close()

    def _open(self) -> sqlite3.Connection:
        """Connect to the database; set a damaged one aside and create a new one."""
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise  # locked, read-only or no space left: the file itself may be intact
        except sqlite3.DatabaseError:
            broken = self.path.with_name(f"{CACHE_NAME}.broken-{time.strftime('%Y%m%d-%H%M%S')}")
            os.replace(self.path, broken)
            for suffix in ("-wal", "-shm"):
                self.path.with_name(CACHE_NAME + suffix).unlink(missing_ok=True)
            log.warning("The cache %s was damaged. It was renamed to %s, and a new one was created.", self.path,
                        broken.name)
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        """Connect to the database and migrate it to the current schema version."""
        database = sqlite3.connect(self.path, timeout=60)
        try:
            # Write only if there is something to change: another run may hold the lock for a long time.
            version, = database.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise ExtractorError(f"The cache {self.path} was written by a newer version of this program.",
                                     "Choose another folder with `bottleneck_dir`.")
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            if version < SCHEMA_VERSION:
                _migrate(database)
        except (sqlite3.Error, ExtractorError):
            database.close()
            raise
        return database

    def known_digests(self, stamps: Mapping[str, str]) -> dict[str, str]:
        """Return the digests of the files that have not changed since they were last read.

        Args:
            stamps: The current stamp of each file, by URI; "" means that the file must be read again.

        Returns:
            The digests by URI, without files that are new or whose stamp has changed.
        """
        cached = {uri: (stamp, digest) for uri, stamp, digest in
                  self._database.execute("SELECT uri, stamp, digest FROM stamps")}
        digests = {}
        for uri, stamp in stamps.items():
            cached_stamp, digest = cached.get(_uri_key(uri), ("", ""))
            if stamp and stamp == cached_stamp:
                digests[uri] = digest
        return digests

    def digests_with_vector(self, extractor: str, view: int = 0) -> set[str]:
        """Return the digests of the photos that have both a bottleneck for this view and a perceptual hash."""
        return {digest for digest, in self._database.execute(
            "SELECT digest FROM vectors JOIN looks USING (digest) WHERE extractor = ? AND view = ?",
            (extractor, view))}

    def digests_with_measure(self, name: str) -> set[str]:
        """Return the digests of the photos that have a value for this measure."""
        return {digest for digest, in self._database.execute("SELECT digest FROM measures WHERE name = ?", (name,))}

    def add_digest(self, uri: str, digest: str, stamp: str) -> None:
        """Store the digest of a file with the stamp from before it was read; nothing is stored if the stamp is ""."""
        if stamp:
            self._write("INSERT OR REPLACE INTO stamps VALUES (?, ?, ?)", (_uri_key(uri), stamp, digest))

    def add_measure(self, name: str, digest: str, value: float) -> None:
        """Store the value of a measure for one photo."""
        self._write("INSERT OR REPLACE INTO measures VALUES (?, ?, ?)", (name, digest, value))
        self._uncommitted += 1
        self.commit_if_due()

    def measures(self, name: str) -> dict[str, float]:
        """Return all values of a measure, by digest."""
        return dict(self._database.execute("SELECT digest, value FROM measures WHERE name = ?", (name,)))

    def add_hash(self, digest: str, hash_: bytes) -> None:
        """Store the perceptual hash of one photo."""
        self._write("INSERT OR REPLACE INTO looks VALUES (?, ?)", (digest, hash_))

    def add_vector(self, extractor: str, digest: str, vector: np.ndarray, engine: str, view: int = 0) -> None:
        """Store the bottleneck of one photo, float32 [depth]."""
        blob = np.ascontiguousarray(vector, "<f4").tobytes()
        self._write("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?, ?)",
                    (extractor, digest, view, blob, zlib.crc32(blob), engine))
        self._uncommitted += 1
        self.commit_if_due()

    def commit_if_due(self) -> None:
        """Commit if 512 values have been added or 0.25 s have passed since the last commit."""
        due = time.monotonic() - self._committed_at >= COMMIT_SECONDS
        if self._uncommitted >= MAX_UNCOMMITTED or due:
            self.commit()

    def commit(self) -> None:
        """Commit everything that was added so far."""
        try:
            for statement, rows in self._rows.items():
                self._database.executemany(statement, rows)
            self._database.commit()
        except sqlite3.Error as error:
            raise ExtractorError(f"The cache {self.path} cannot be written: {one_line(error)}",
                                 "Free some disk space, or choose another folder with `bottleneck_dir`.") from error
        finally:
            self._rows.clear()
        self._uncommitted = 0
        self._committed_at = time.monotonic()

    def read_vectors(self, extractor: str, depth: int, view: int = 0) -> Iterator[tuple[str, bytes, np.ndarray]]:
        """Yield the undamaged bottlenecks of an extractor in arbitrary order.

        Yields:
            (digest, perceptual hash, bottleneck float32 [depth])
        """
        for digest, hash_, blob, checksum in self._database.execute(
                "SELECT digest, look, vector, checksum FROM vectors JOIN looks USING (digest) "
                "WHERE extractor = ? AND view = ?", (extractor, view)):
            if len(blob) == 4 * depth and zlib.crc32(blob) == checksum:
                yield digest, hash_, np.frombuffer(blob, "<f4")

    def delete_vectors(self, extractor: str, digests: Iterable[str]) -> None:
        """Delete damaged bottlenecks, so that they are computed again."""
        for digest in digests:
            self._write("DELETE FROM vectors WHERE extractor = ? AND digest = ?", (extractor, digest))
        self.commit()

    def _write(self, statement: str, values: tuple) -> None:
        self._rows.setdefault(statement, []).append(values)


def _uri_key(uri: str) -> str:
    """Return a URI, or the absolute path of a local file, as text for SQLite; file names need not be valid UTF-8."""
    absolute = uri if "://" in uri else os.path.abspath(uri)
    try:
        return os.fsencode(absolute).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a name from the user's table that is not a possible file name
        return absolute.encode("utf-8", "backslashreplace").decode("utf-8")


def _migrate(database: sqlite3.Connection) -> None:
    """Create the tables and copy the data of version 0, in one transaction that no other run can interrupt."""
    database.execute("BEGIN IMMEDIATE")
    for statement in _TABLES.split(";"):
        database.execute(statement)
    if database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'files'").fetchone():
        for statement in _MIGRATION_FROM_VERSION_0:
            database.execute(statement)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    database.commit()
