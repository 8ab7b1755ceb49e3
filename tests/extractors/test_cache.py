"""The cache: what earlier versions wrote, several runs at once, and files of later versions."""
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

OPEN = """
import sys
from tfpoets.extractors import BottleneckCache
with BottleneckCache(sys.argv[1]) as cache:
    print(len(cache.known_digests({f"/photos/{number}.jpg": f"{number} 7" for number in range(1000)})))
"""


@pytest.fixture
def version_0(tmp_path: Path) -> Path:
    """A cache as version f862d5e made it, with 1,000 files among many others."""
    database = sqlite3.connect(tmp_path / CACHE_NAME)
    database.execute("CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, "
                     "digest TEXT NOT NULL) WITHOUT ROWID")
    database.executemany("INSERT INTO files VALUES (?, ?, 7, ?)",
                         ((f"/photos/{number}.jpg", number, f"{number:032d}") for number in range(100_000)))
    database.commit()
    database.close()
    return tmp_path


def test_several_runs_take_over_an_old_cache_at_once(version_0: Path) -> None:
    runs = [subprocess.Popen([sys.executable, "-c", OPEN, version_0], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True) for _ in range(4)]
    for run in runs:
        out, err = run.communicate()
        assert out == "1000\n", err


def test_it_opens_at_once_beside_a_run_that_writes(tmp_path: Path) -> None:
    with BottleneckCache(tmp_path) as writing:
        writing.add_vector("extractor", "0" * 32, np.ones(4, np.float32), "litert")
        start = time.monotonic()
        with BottleneckCache(tmp_path) as other:
            assert list(other.rows("extractor", 4)) == []  # not committed yet
        assert time.monotonic() - start < 5


def test_a_cache_of_a_later_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / CACHE_NAME)
    database.execute("PRAGMA user_version = 9")
    database.close()
    before = (tmp_path / CACHE_NAME).read_bytes()
    with pytest.raises(TfpoetsError, match="was written by a later version.*`bottleneck_dir`"):
        BottleneckCache(tmp_path)
    assert (tmp_path / CACHE_NAME).read_bytes() == before
