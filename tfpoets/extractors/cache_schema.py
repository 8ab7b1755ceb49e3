"""The tables of the cache: their versions, the migration from earlier ones, and the signs of damage."""
from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from tfpoets.errors import ExtractorError

# Version 0, written by commit f862d5e, has a table `files` with path, size and mtime_ns instead of `stamps` with URI
# and stamp. Before version 2, only `vectors` has checksums, and they do not cover the key.
SCHEMA_VERSION = 2
# Stored in the header of the file since version 2, so that a damaged version number is not taken for that of a newer
# version. The last digit is the version.
APPLICATION_ID = 0x74667002

# The table `looks` holds the perceptual hashes; its name dates from version 0.
_TABLES = """
CREATE TABLE stamps (
    uri TEXT PRIMARY KEY, stamp TEXT NOT NULL, digest TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE looks (digest TEXT PRIMARY KEY, look BLOB NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE measures (
    name TEXT NOT NULL, digest TEXT NOT NULL, value REAL NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (name, digest)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS vectors (
    extractor TEXT NOT NULL, digest TEXT NOT NULL, view INTEGER NOT NULL, vector BLOB NOT NULL,
    checksum INTEGER NOT NULL, engine TEXT NOT NULL, PRIMARY KEY (extractor, digest, view));
"""
# The rows of earlier versions, by the table that they are copied to.
_EARLIER_ROWS = {
    0: {"stamps": "SELECT path, size || ' ' || mtime_ns, digest FROM files",
        "looks": "SELECT digest, look FROM looks"},
    1: {"stamps": "SELECT uri, stamp, digest FROM stamps", "looks": "SELECT digest, look FROM looks",
        "measures": "SELECT name, digest, value FROM measures"}}
# A message of SQLite can contain damaged text, which is then reported as a UnicodeError.
SQLITE_ERRORS = (sqlite3.Error, UnicodeError)
# Errors that have other reasons than damaged content.
_OTHER_REASONS = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_PERM,
                  sqlite3.SQLITE_AUTH, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_PROTOCOL)


class Damaged(Exception):
    """The content of a cache is damaged."""


def checksum_of(*values: object) -> int:
    """Return the checksum of the values of a row, including its key."""
    checksum = 0
    for value in values:
        checksum = zlib.crc32(checksummed_bytes(value), checksum)
    return checksum


def checksummed_bytes(value: object) -> bytes:
    """Return the bytes of a value that the checksum of its row covers: their number, a colon, and the value."""
    data = value if isinstance(value, bytes) else repr(value).encode("utf-8", "backslashreplace")
    return b"%d:%b" % (len(data), data)


def is_damage(error: Exception, paths: Sequence[Path]) -> bool:
    """Return whether an error shows that the content of a cache is damaged.

    Args:
        error: An error of SQLite, or Damaged.
        paths: The paths of the database, of its log and of their other files.
    """
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by the module sqlite3 itself
        return not isinstance(error, sqlite3.ProgrammingError)
    kind = code & 0xFF
    if kind in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return code == sqlite3.SQLITE_IOERR_SHORT_READ or any(
            os.path.lexists(path) and not path.is_file() for path in paths)
    if kind == sqlite3.SQLITE_READONLY:  # the header may say so
        return all(os.access(path, os.W_OK) for path in (paths[0], paths[0].parent))
    return kind not in _OTHER_REASONS


def check_schema(database: sqlite3.Connection, path: Path) -> None:
    """Check the version of a cache, create its tables, and copy the rows of an earlier version.

    Raises:
        ExtractorError: A newer version of tfpoets wrote the cache.
        Damaged: The version numbers contradict each other, or an earlier version is damaged.
    """
    if is_current(database):
        return
    version, application_id = _read_versions(database)
    if application_id == APPLICATION_ID or version == SCHEMA_VERSION:
        raise Damaged("its version numbers differ")
    if not 0 <= version < SCHEMA_VERSION:
        raise ExtractorError(f"The cache {path} was written by a newer version of this program.",
                             "Choose another folder with `bottleneck_dir`.")
    _migrate(database)


def is_current(database: sqlite3.Connection) -> bool:
    """Return whether a cache has the current version."""
    return _read_versions(database) == (SCHEMA_VERSION, APPLICATION_ID)


def _read_versions(database: sqlite3.Connection) -> tuple[int, int]:
    (version,), = database.execute("PRAGMA user_version")
    (application_id,), = database.execute("PRAGMA application_id")
    return version, application_id


def _migrate(database: sqlite3.Connection) -> None:
    """Create the tables and copy the rows of an earlier version, in one transaction, so that other runs wait."""
    database.execute("BEGIN IMMEDIATE")
    version, application_id = _read_versions(database)
    if application_id == APPLICATION_ID:  # another run has migrated it
        database.rollback()
        return
    # Its rows have no checksums, so its structure is checked once, before they get one.
    (result,), *_ = database.execute("PRAGMA integrity_check(1)")
    if result != "ok":
        raise Damaged(result)
    tables = {name for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    rows = {table: database.execute(statement).fetchall() for table, statement in _EARLIER_ROWS[version].items()
            if (version or "files" in tables if table == "stamps" else table in tables)}
    for table in tables & {"files", "stamps", "looks", "measures"}:
        database.execute(f"DROP TABLE {table}")
    for statement in _TABLES.split(";"):
        database.execute(statement)
    for table, values in rows.items():
        _insert(database, table, values)
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    database.commit()


def _insert(database: sqlite3.Connection, table: str, rows: Iterable[tuple]) -> None:
    """Insert rows with their checksums."""
    with_checksums = [(*row, checksum_of(*row)) for row in rows]
    if with_checksums:
        places = ", ".join("?" * len(with_checksums[0]))
        database.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({places})", with_checksums)
