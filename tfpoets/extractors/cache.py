"""Cache bottlenecks on disk, so that no photo is processed twice.

Every row has a checksum of its key and its values, because SQLite does not notice changed bytes within a value.
"""
from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from tfpoets.data import HASH_BYTES
from tfpoets.errors import ExtractorError, one_line
from tfpoets.locks import lock_destination

from .cache_lookup import in_chunks, select_among, vector_blocks, vector_key
from .cache_schema import SQLITE_ERRORS, Damaged, check_schema, checksum_of, is_damage

log = logging.getLogger(__name__)

CACHE_NAME = "bottlenecks.sqlite"
MAX_UNCOMMITTED = 512
COMMIT_SECONDS = 0.25
# The size from which the write-ahead log is copied to the database, and the memory for pages of the database.
LOG_BYTES = 64 * 2**20
PAGE_CACHE_BYTES = 32 * 2**20
# How often a run sets a damaged cache aside before it gives up.
MAX_ATTEMPTS = 3
# The database, its write-ahead log with its index, and the journal of a database without a log.
_SUFFIXES = ("", "-wal", "-shm", "-journal")
_DIGEST = re.compile(r"[0-9a-f]{32}")

Result = TypeVar("Result")


class DamagedCacheError(ExtractorError):
    """The cache turned out to be damaged while it was used; it must be set aside."""


def use_cache(folder: Path | str, function: Callable[[BottleneckCache], Result]) -> Result:
    """Call a function with the cache; if the cache is damaged, set it aside and call the function with an empty one.

    Args:
        folder: The folder of the cache (`bottleneck_dir`).
        function: The function. It raises DamagedCacheError if values in the cache cannot be replaced.

    Returns:
        The result of the function.

    Raises:
        ExtractorError: The cache cannot be opened or written, or a new one is damaged at once.
    """
    for _ in range(MAX_ATTEMPTS):
        with contextlib.closing(BottleneckCache(folder)) as cache:
            try:
                result = function(cache)
                cache.commit()
                return result
            except DamagedCacheError:
                cache.set_aside()
    raise ExtractorError(f"The cache {cache.path} is damaged again and again.",
                         "Check the disk, or choose another folder with `bottleneck_dir`.")


class BottleneckCache:
    """A SQLite file of bottlenecks, keyed by photo content and extractor; a context manager.

    Only the thread that opened the cache can use it. Changes are committed after 512 values or 0.25 s, so a killed
    run loses no more than that. Other processes can use the file at the same time (write-ahead log). A damaged row is
    treated as missing; all methods raise DamagedCacheError if SQLite cannot use the file.

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
            # Locked, so that no other run renames the file while SQLite opens it and its log.
            with lock_destination(self.path):
                self._database = self._open()
                self._inode = os.stat(self.path).st_ino
        except (OSError, *SQLITE_ERRORS) as error:
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
            self.close()

    def close(self) -> None:
        """Close the database; changes that were not committed are lost."""
        self._database.close()

    def _open(self) -> sqlite3.Connection:
        """Connect to the database; set a damaged one aside and create a new one."""
        try:
            return self._connect()
        except (Damaged, *SQLITE_ERRORS) as error:
            if not is_damage(error, self._paths()):
                raise  # locked, read-only or no space left: the file itself may be intact
            self._rename()
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        """Connect to the database and migrate it to the current schema version."""
        database = sqlite3.connect(self.path, timeout=60)
        try:
            # Undecodable text differs from every key, and does not match its checksum.
            database.text_factory = lambda data: data.decode("utf-8", "replace")
            check_schema(database, self.path)
            # Written only if there is something to change: another run may hold the lock for a long time.
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            (page_size,), = database.execute("PRAGMA page_size")
            # Inserts reach pages of the indexes in random order. Copying the log to the database less often, and
            # keeping these pages in memory, writes and reads each of them less often.
            database.execute(f"PRAGMA wal_autocheckpoint={LOG_BYTES // page_size}")
            database.execute(f"PRAGMA cache_size=-{PAGE_CACHE_BYTES // 1024}")
        except BaseException:
            database.close()
            raise
        return database

    def set_aside(self) -> None:
        """Close the damaged database and rename it, unless another run has done so; then open a new cache.

        Runs that use the damaged file continue to use it under its new name.
        """
        self.close()
        try:
            with lock_destination(self.path):
                if self.path.exists() and os.stat(self.path).st_ino == self._inode:
                    self._rename()
        except OSError as error:
            raise ExtractorError(f"The cache {self.path} is damaged, and cannot be renamed: {one_line(error)}",
                                 "Delete it, or choose another folder with `bottleneck_dir`.") from error

    def _rename(self) -> None:
        """Rename the damaged database and its log, and remove those that were renamed before."""
        for earlier in self.path.parent.glob(f"{CACHE_NAME}.broken-*"):
            with contextlib.suppress(OSError):
                earlier.unlink()
        broken = f"{CACHE_NAME}.broken-{time.strftime('%Y%m%d-%H%M%S')}"
        for path, suffix in zip(self._paths(), _SUFFIXES):
            with contextlib.suppress(FileNotFoundError):
                os.replace(path, path.with_name(broken + suffix))
        log.warning("The cache %s was damaged. It was renamed to %s, and a new one was created.", self.path, broken)

    def _paths(self) -> list[Path]:
        return [self.path.with_name(CACHE_NAME + suffix) for suffix in _SUFFIXES]

    def _select(self, statement: str, *values: object) -> Iterator[tuple]:
        """Yield the rows that a SELECT statement returns."""
        try:
            yield from self._database.execute(statement, values)
        except SQLITE_ERRORS as error:
            raise self._error(error, "read") from error

    def _error(self, error: Exception, verb: str) -> ExtractorError:
        """Return the error to raise for an error of SQLite."""
        problem = f"The cache {self.path} cannot be {verb}: {one_line(error)}"
        if is_damage(error, self._paths()):
            return DamagedCacheError(problem)
        return ExtractorError(problem, "Free some disk space, or choose another folder with `bottleneck_dir`.")

    def known_digests(self, stamps: Mapping[str, str]) -> dict[str, str]:
        """Return the digests of the files that have not changed since they were last read.

        Args:
            stamps: The current stamp of each file, by URI; "" means that the file must be read again.

        Returns:
            The digests by URI, without files that are new or whose stamp has changed.
        """
        digests = {}
        for uris in in_chunks(stamps):
            keys = [_uri_key(uri) for uri in uris]
            cached = {key: values for key, *values in self._select_among(
                "SELECT uri, stamp, digest, checksum FROM stamps WHERE {}", "uri", keys)}
            for uri, key in zip(uris, keys):
                stamp, digest, checksum = cached.get(key, ("", "", 0))
                if stamp and stamp == stamps[uri] and checksum == checksum_of(key, stamp, digest):
                    digests[uri] = digest
        return digests

    def digests_with_vector(self, extractor: str, view: int = 0, digests: Collection[str] | None = None) -> set[str]:
        """Return the digests of the photos that have a bottleneck for this view; some of them may be damaged.

        Args:
            extractor: The key of the extractor.
            view: The number of the view.
            digests: The photos to look up, without reading the whole table; None: all photos.
        """
        rows = self._select_among("SELECT digest FROM vectors WHERE extractor = ? AND view = ? AND {}", "digest",
                                  digests, extractor, view)
        return {digest for digest, in rows if _is_digest(digest)}

    def add_digest(self, uri: str, digest: str, stamp: str) -> None:
        """Store the digest of a file with the stamp from before it was read; if it is "", the file is read again."""
        self._write("INSERT OR REPLACE INTO stamps VALUES (?, ?, ?, ?)", _uri_key(uri), stamp, digest)

    def add_measure(self, name: str, digest: str, value: float) -> None:
        """Store the value of a measure for one photo."""
        self._write("INSERT OR REPLACE INTO measures VALUES (?, ?, ?, ?)", name, digest, float(value))
        self._uncommitted += 1
        self.commit_if_due()

    def measures(self, name: str, digests: Collection[str] | None = None) -> dict[str, float]:
        """Return the undamaged values of a measure, by digest; those of the given photos, or all (None)."""
        rows = self._select_among("SELECT digest, value, checksum FROM measures WHERE name = ? AND {}", "digest",
                                  digests, name)
        return {digest: value for digest, value, checksum in rows
                if _is_digest(digest) and checksum == checksum_of(name, digest, value)}

    def add_hash(self, digest: str, hash_: bytes) -> None:
        """Store the perceptual hash of one photo."""
        self._write("INSERT OR REPLACE INTO looks VALUES (?, ?, ?)", digest, hash_)

    def hashes(self, digests: Collection[str] | None = None) -> dict[str, bytes]:
        """Return the undamaged perceptual hashes, by digest; those of the given photos, or all (None)."""
        rows = self._select_among("SELECT digest, look, checksum FROM looks WHERE {}", "digest", digests)
        return {digest: hash_ for digest, hash_, checksum in rows
                if (_is_digest(digest) and isinstance(hash_, bytes) and len(hash_) == HASH_BYTES
                    and checksum == checksum_of(digest, hash_))}

    def add_vector(self, extractor: str, digest: str, vector: np.ndarray, engine: str, view: int = 0) -> None:
        """Store the bottleneck of one photo, float32 [depth]."""
        blob = np.ascontiguousarray(vector, "<f4").tobytes()
        checksum = vector_key(extractor, len(blob) // 4, view).checksum_of(digest, blob)
        self._rows.setdefault("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?, ?)", []).append(
            (extractor, digest, view, blob, checksum, engine))
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
        except SQLITE_ERRORS as error:
            raise self._error(error, "written") from error
        finally:
            self._rows.clear()
        self._uncommitted = 0
        self._committed_at = time.monotonic()

    def read_vectors(self, extractor: str, depth: int, view: int = 0, digests: Collection[str] | None = None
                     ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the undamaged bottlenecks of an extractor one by one; see `read_vector_blocks`.

        Yields:
            (digest, bottleneck float32 [depth])
        """
        for block_digests, vectors in self.read_vector_blocks(extractor, depth, view, digests):
            yield from zip(block_digests, vectors)

    def read_vector_blocks(self, extractor: str, depth: int, view: int = 0, digests: Collection[str] | None = None
                           ) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield the undamaged bottlenecks of an extractor in blocks of at most 512, in arbitrary order.

        Args:
            extractor: The key of the extractor.
            depth: The number of features; bottlenecks of another length are damaged.
            view: The number of the view.
            digests: The photos to look up; None: all photos. A digest can be yielded twice if the cache is damaged.

        Yields:
            (the digests of the block, their bottlenecks float32 [len(block), depth])
        """
        return vector_blocks(self._select, vector_key(extractor, depth, view), digests)

    def _select_among(self, statement: str, column: str, keys: Collection[str] | None, *values: object
                      ) -> Iterator[tuple]:
        return select_among(self._select, statement, column, keys, *values)

    def _write(self, statement: str, *values: object) -> None:
        """Write a row and its checksum, which is the last column, with the next commit."""
        self._rows.setdefault(statement, []).append((*values, checksum_of(*values)))


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and bool(_DIGEST.fullmatch(value))


def _uri_key(uri: str) -> str:
    """Return a URI, or the absolute path of a local file, as text for SQLite; file names need not be valid UTF-8."""
    absolute = uri if "://" in uri else os.path.abspath(uri)
    try:
        return os.fsencode(absolute).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a name from the user's table that is not a possible file name
        return absolute.encode("utf-8", "backslashreplace").decode("utf-8")
