"""Describe and verify the contents of a cache."""
from __future__ import annotations

import json
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tfpoets.errors import ExtractorError, closest_match, join_names
from tfpoets.progress import progress_bar

from .cache import CACHE_NAME
from .cache_lookup import vector_key
from .cache_schema import checksum_of
from .extractor import DESCRIPTION_FILE

# What SQLite reports at most about the structure of a damaged file.
MAX_STRUCTURAL_ERRORS = 10
# The number of bottlenecks of a network whose engine and length are read.
SAMPLE_SIZE = 1000
# The tables with what they contain, and the columns that the checksum covers.
TABLES = {"vectors": "bottlenecks", "looks": "perceptual hashes", "measures": "measures", "stamps": "known files"}
_CHECKED_COLUMNS = {"looks": "digest, look", "measures": "name, digest, value", "stamps": "uri, stamp, digest"}


@dataclass(frozen=True)
class StoredNetwork:
    """The bottlenecks of one network, or of one network with one augmentation.

    Attributes:
        key: The key of the bottlenecks: the digest of the extractor and, after a slash, the key of the augmentation.
        name: The name of the network's folder in `model_dir`; "" if it is not there.
        photos: The number of photos, without duplicates.
        bottlenecks: The number of bottlenecks.
        views: The number of views of each photo that have been stored, at most.
        depth: The number of features.
        engines: The fraction of the bottlenecks that each engine computed, in a random sample of 1,000.
    """

    key: str
    name: str
    photos: int
    bottlenecks: int
    views: int
    depth: int
    engines: dict[str, float]

    @property
    def bytes(self) -> int:
        """The size of the bottlenecks."""
        return 4 * self.depth * self.bottlenecks


@dataclass(frozen=True)
class CacheStatistics:
    """What a cache contains.

    Attributes:
        path: The file.
        bytes: Its size and that of its log.
        photos: The number of photos that have a bottleneck, without duplicates.
        networks: The bottlenecks by network, those with the most first.
        hashes: The number of perceptual hashes.
        measures: The number of values of each measure.
        files: The number of files whose content is known.
        missing_files: How many of them no longer exist.
        set_aside: Damaged caches that were renamed.
    """

    path: Path
    bytes: int
    photos: int
    networks: tuple[StoredNetwork, ...]
    hashes: int
    measures: dict[str, int]
    files: int
    missing_files: int
    set_aside: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics for JSON."""
        networks = [{**asdict(network), "bytes": network.bytes} for network in self.networks]
        return {**asdict(self), "path": str(self.path), "networks": networks}


def read_statistics(database: sqlite3.Connection, folder: Path, model_dir: Path) -> CacheStatistics:
    """Count what the cache in a folder contains.

    Args:
        database: The cache, from `open_cache_file`.
        folder: The folder of the cache.
        model_dir: The folder with the networks.
    """
    measures = dict(database.execute("SELECT name, count(*) FROM measures GROUP BY name"))
    (photos,), = database.execute("SELECT count(DISTINCT digest) FROM vectors")
    (hashes,), = database.execute("SELECT count(*) FROM looks")
    files = missing = 0
    for uri, in database.execute("SELECT uri FROM stamps"):
        files += 1
        missing += is_missing(uri)
    return CacheStatistics(
        folder / CACHE_NAME, size_on_disk(folder), photos, _read_networks(database, network_names(model_dir)), hashes,
        measures, files, missing, tuple(sorted(path.name for path in folder.glob(f"{CACHE_NAME}.broken-*"))))


def _read_networks(database: sqlite3.Connection, names: dict[str, str]) -> tuple[StoredNetwork, ...]:
    networks = []
    for key, photos, count, views in database.execute(
            "SELECT extractor, count(DISTINCT digest), count(*), count(DISTINCT view) FROM vectors GROUP BY 1"):
        # The index is in the order of the digests, which are random, so the first rows are a random sample.
        sample = database.execute("SELECT engine, length(vector) / 4 FROM vectors WHERE extractor = ? LIMIT ?",
                                  (key, SAMPLE_SIZE)).fetchall()
        engines = Counter(engine for engine, _ in sample)
        (depth, _), = Counter(length for _, length in sample).most_common(1) or [(0, 0)]
        networks.append(StoredNetwork(key, names.get(key.partition("/")[0], ""), photos, count, views, depth or 0,
                                      {name: engines[name] / len(sample) for name in sorted(engines)}))
    return tuple(sorted(networks, key=lambda network: (-network.bottlenecks, network.key)))


def size_on_disk(folder: Path) -> int:
    """Return the size of the cache in a folder and of its log, in bytes."""
    paths = [folder / (CACHE_NAME + suffix) for suffix in ("", "-wal")]
    return sum(path.stat().st_size for path in paths if path.exists())


def network_names(model_dir: Path) -> dict[str, str]:
    """Return the names of the folders of the networks in `model_dir`, by the digests of their extractors."""
    names = {}
    for path in sorted(model_dir.glob(f"*/{DESCRIPTION_FILE}")):
        try:
            names[str(json.loads(path.read_text("utf-8"))["digest"])] = path.parent.name
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # incomplete or damaged; it is prepared again when it is used
    return names


def find_network_keys(database: sqlite3.Connection, name: str, model_dir: Path) -> list[str]:
    """Return the keys of the bottlenecks of one network, including those with augmentation.

    Args:
        database: The cache.
        name: The digest of the extractor, or the name of its folder in `model_dir`; the beginning is enough if no
            other network has it.
        model_dir: The folder with the networks.

    Raises:
        ExtractorError: The cache contains no bottlenecks of such a network, or of several.
    """
    names = network_names(model_dir)
    keys: dict[str, list[str]] = {}
    for key, in database.execute("SELECT DISTINCT extractor FROM vectors"):
        keys.setdefault(key.partition("/")[0], []).append(key)
    labels = {digest: names.get(digest, digest) for digest in keys}
    matching = ([digest for digest in keys if name in (digest, labels[digest])]
                or [digest for digest in keys if digest.startswith(name) or labels[digest].startswith(name)])
    if len(matching) == 1:
        return keys[matching[0]]
    if matching:
        raise ExtractorError(f"`extractor`={name} stands for several networks: "
                             f"{join_names([labels[digest] for digest in matching])}.", "Write more of the name.")
    guess = closest_match(name, {*labels.values(), *keys})
    known = f"Did you mean {guess}?" if guess else f"It contains those of: {join_names(list(labels.values()))}."
    raise ExtractorError(f"The cache contains no bottlenecks of a network `extractor`={name}.", known if keys else "")


def is_missing(uri: str) -> bool:
    """Return whether a local file no longer exists; addresses, and files in an archive that exists, never count."""
    if "://" in uri or os.path.lexists(uri) or ("\\x" in uri and os.path.lexists(_with_bytes(uri))):
        return False
    parent = os.path.dirname(uri)
    while not os.path.lexists(parent) and parent != os.path.dirname(parent):
        parent = os.path.dirname(parent)
    return not os.path.isfile(parent)


def _with_bytes(uri: str) -> bytes:
    """Return a path as bytes, with the bytes that are not UTF-8; the cache stores them as escapes."""
    return re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), os.fsencode(uri))


@dataclass(frozen=True)
class Verification:
    """What is damaged in a cache.

    Attributes:
        rows: The number of rows that were read.
        damaged: The number of damaged rows in each table.
        structural_errors: What SQLite reports about the file itself.
    """

    rows: int
    damaged: dict[str, int]
    structural_errors: tuple[str, ...]

    @property
    def is_intact(self) -> bool:
        """Whether nothing is damaged."""
        return not self.structural_errors and not any(self.damaged.values())


def verify_contents(database: sqlite3.Connection) -> Verification:
    """Check the structure of a cache, and the checksum of every row."""
    lines = [str(line) for line, in database.execute(f"PRAGMA integrity_check({MAX_STRUCTURAL_ERRORS})")]
    total = sum(count for table in TABLES for count, in database.execute(f"SELECT count(*) FROM {table}"))
    damaged = dict.fromkeys(TABLES, 0)
    with progress_bar(total, "Checksums", "row") as bar:
        for table, is_undamaged in _checked_rows(database):
            damaged[table] += not is_undamaged
            bar.update()
    return Verification(total, damaged, () if lines == ["ok"] else tuple(lines))


def _checked_rows(database: sqlite3.Connection) -> Iterator[tuple[str, bool]]:
    """Yield (table, whether the row is undamaged) for each row."""
    for extractor, digest, view, blob, checksum in database.execute(
            "SELECT extractor, digest, view, vector, checksum FROM vectors NOT INDEXED"):
        yield "vectors", (isinstance(blob, bytes) and isinstance(extractor, str) and isinstance(view, int)
                          and vector_key(extractor, len(blob) // 4, view).is_undamaged(digest, blob, checksum))
    for table, columns in _CHECKED_COLUMNS.items():
        for *values, checksum in database.execute(f"SELECT {columns}, checksum FROM {table}"):
            yield table, checksum == checksum_of(*values)


