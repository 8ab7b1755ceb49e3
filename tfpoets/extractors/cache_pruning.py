"""Remove values from a cache: those of files that no longer exist, or the bottlenecks of one network."""
from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfpoets.errors import ExtractorError, one_line
from tfpoets.files import partial_path, remove_abandoned_parts, sync_file

from .cache import CACHE_NAME
from .cache_contents import TABLES, is_missing


@dataclass(frozen=True)
class PruningPlan:
    """What pruning a cache removes.

    Attributes:
        rows: The number of rows to remove from each table.
        kept_files: The number of missing files that are kept, because their folder is missing or empty: their drive
            may not be mounted.
        kept_folder: One of these folders, or "".
    """

    rows: dict[str, int]
    kept_files: int = 0
    kept_folder: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not any(self.rows.values())


def plan_pruning(database: sqlite3.Connection, missing_folders: bool = False) -> PruningPlan:
    """Find files that no longer exist, and the values that belong to no other file.

    The result is stored in a temporary table of the connection, for `prune`.

    Args:
        database: The cache, from `open_cache_file` with `alone`.
        missing_folders: Whether to remove files whose whole folder is missing or empty, too.
    """
    database.execute("CREATE TEMP TABLE removed_stamps (uri TEXT PRIMARY KEY) WITHOUT ROWID")
    folders: dict[str, bool] = {}
    kept_files, kept_folder = 0, ""
    for uri, in database.execute("SELECT uri FROM stamps"):
        if not is_missing(uri):
            continue
        folder = os.path.dirname(uri)
        if folder not in folders:
            folders[folder] = missing_folders or _contains_files(folder)
        if folders[folder]:
            database.execute("INSERT OR IGNORE INTO removed_stamps VALUES (?)", (uri,))
        else:
            kept_files, kept_folder = kept_files + 1, kept_folder or folder
    database.execute("CREATE TEMP TABLE kept_digests (digest TEXT PRIMARY KEY) WITHOUT ROWID")
    database.execute("INSERT OR IGNORE INTO kept_digests SELECT digest FROM stamps "
                     "WHERE uri NOT IN (SELECT uri FROM removed_stamps)")
    rows = {table: _count(database, table, _condition(table)) for table in TABLES}
    database.commit()  # the temporary tables; the database cannot be rewritten within a transaction
    return PruningPlan(rows, kept_files, kept_folder)


def prune(database: sqlite3.Connection) -> None:
    """Remove what `plan_pruning` has found with this connection, in one transaction."""
    for table in TABLES:
        database.execute(f"DELETE FROM {table} WHERE {_condition(table)}")
    database.commit()


def plan_network_removal(database: sqlite3.Connection, keys: Sequence[str]) -> PruningPlan:
    """Count the bottlenecks with these keys, from `find_network_keys`."""
    return PruningPlan({"vectors": sum(_count(database, "vectors", "extractor = ?", key) for key in keys)})


def remove_network(database: sqlite3.Connection, keys: Sequence[str]) -> None:
    """Remove the bottlenecks with these keys, in one transaction."""
    database.executemany("DELETE FROM vectors WHERE extractor = ?", [(key,) for key in keys])
    database.commit()


def has_unused_pages(database: sqlite3.Connection) -> bool:
    """Return whether the file of a cache would be smaller without the pages of removed values."""
    (count,), = database.execute("PRAGMA freelist_count")
    return count > 0


def rewrite(database: sqlite3.Connection, folder: Path) -> None:
    """Replace the file of a cache by a copy without unused pages, and close the connection.

    The copy is written next to the file, so that a process that is killed leaves the complete old file behind.

    Args:
        database: The cache in the folder, from `open_cache_file` with `alone`.
        folder: The folder of the cache.

    Raises:
        ExtractorError: The copy cannot be written; the cache keeps its size.
    """
    path = folder / CACHE_NAME
    remove_abandoned_parts(path)
    copy = partial_path(path)
    try:
        database.execute("VACUUM INTO ?", (str(copy),))
        sync_file(copy)
        database.close()  # removes the log, whose content is in the copy
        os.replace(copy, path)
    except (OSError, sqlite3.OperationalError) as error:
        raise ExtractorError(f"The values were removed, but {path} cannot be made smaller: {one_line(error)}",
                             "Free as much disk space as it takes, and run the command again.") from error
    finally:
        with contextlib.suppress(OSError):
            copy.unlink(missing_ok=True)


def _contains_files(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except OSError:
        return False


def _condition(table: str) -> str:
    """Return the condition for the rows to remove from a table."""
    if table == "stamps":
        return "uri IN (SELECT uri FROM removed_stamps)"
    return "digest NOT IN (SELECT digest FROM kept_digests)"


def _count(database: sqlite3.Connection, table: str, condition: str, *values: object) -> int:
    (count,), = database.execute(f"SELECT count(*) FROM {table} WHERE {condition}", values)
    return count
