"""The cache reads files of earlier versions, refuses those of newer ones, and can be used by several runs at once."""
from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tfpoets.errors import TfpoetsError
from tfpoets.extractors import CACHE_NAME, BottleneckCache

COUNT_DIGESTS = """
import sys
from tfpoets.extractors import BottleneckCache
with BottleneckCache(sys.argv[1]) as cache:
    print(len(cache.known_digests({f"/photos/{number}.jpg": f"{number} 7" for number in range(1000)})))
"""


@pytest.fixture
def version_0(tmp_path: Path) -> Path:
    """A cache of version 0 (commit f862d5e) with 100,000 files, of which COUNT_DIGESTS looks up 1,000."""
    database = sqlite3.connect(tmp_path / CACHE_NAME)
    database.execute("CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, "
                     "digest TEXT NOT NULL) WITHOUT ROWID")
    database.executemany("INSERT INTO files VALUES (?, ?, 7, ?)",
                         ((f"/photos/{number}.jpg", number, f"{number:032d}") for number in range(100_000)))
    database.commit()
    database.close()
    return tmp_path


def test_several_runs_can_migrate_an_old_cache_at_once(version_0: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", COUNT_DIGESTS, version_0], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        output, errors = process.communicate()
        assert output == "1000\n", errors


def test_a_cache_opens_without_waiting_while_another_run_writes(tmp_path: Path) -> None:
    with BottleneckCache(tmp_path) as writer:
        writer.add_vector("extractor", "0" * 32, np.ones(4, np.float32), "litert")
        start = time.monotonic()
        with BottleneckCache(tmp_path) as reader:
            assert list(reader.read_vectors("extractor", 4)) == []  # not committed yet
        assert time.monotonic() - start < 5


def test_a_cache_of_a_newer_version_is_refused_and_not_changed(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / CACHE_NAME)
    database.execute("PRAGMA user_version = 9")
    database.close()
    before = (tmp_path / CACHE_NAME).read_bytes()
    with pytest.raises(TfpoetsError, match="was written by a newer version.*`bottleneck_dir`"):
        BottleneckCache(tmp_path)
    assert (tmp_path / CACHE_NAME).read_bytes() == before
