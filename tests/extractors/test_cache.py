"""The cache reads files of earlier versions, refuses those of newer ones, and can be used by several runs at once."""
from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_photos
from tfpoets.data import HASH_BYTES, AugmentationOptions, read_dataset
from tfpoets.errors import TfpoetsError
from tfpoets.extractors import (CACHE_NAME, BottleneckCache, Extractor, extract_augmented, extract_bottlenecks,
                                open_extractor)
from tfpoets.extractors.cache import DamagedCacheError, use_cache

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


DIGESTS = [f"{number:032x}" for number in range(100)]
STAMPS = {f"/photos/{number}.jpg": f"{number} 7" for number in range(len(DIGESTS))}
DEPTH = 300


def vector(number: int) -> np.ndarray:
    return np.random.default_rng(number).random(DEPTH, np.float32)


def fill(cache: BottleneckCache) -> None:
    for number, (uri, stamp) in enumerate(STAMPS.items()):
        cache.add_digest(uri, DIGESTS[number], stamp)
        cache.add_hash(DIGESTS[number], bytes([number]) * HASH_BYTES)
        cache.add_measure("sharpness", DIGESTS[number], number / 7)
        cache.add_vector("extractor", DIGESTS[number], vector(number), "litert")


def fill_completely(cache: BottleneckCache) -> None:
    """Fill a cache as an extraction does, which sets a cache aside that does not return what was stored."""
    fill(cache)
    cache.commit()
    if count_right_values(cache) < 4 * len(DIGESTS):
        raise DamagedCacheError("")


def count_right_values(cache: BottleneckCache) -> int:
    """Return the number of values in the cache, and check that each of them is right."""
    digests, hashes, measures = cache.known_digests(STAMPS), cache.hashes(), cache.measures("sharpness")
    vectors = dict(cache.read_vectors("extractor", DEPTH))
    cache.digests_with_vector("extractor")
    assert all(STAMPS[uri] == f"{int(digest, 16)} 7" for uri, digest in digests.items())
    assert all(hash_ == bytes([int(digest, 16)]) * HASH_BYTES for digest, hash_ in hashes.items())
    assert all(value == int(digest, 16) / 7 for digest, value in measures.items())
    assert all(np.array_equal(values, vector(int(digest, 16))) for digest, values in vectors.items())
    return len(digests) + len(hashes) + len(measures) + len(vectors)


@pytest.fixture(scope="module", params=["closed", "killed"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cache that was closed, or with one and its write-ahead log, as a killed run leaves it."""
    folder = tmp_path_factory.mktemp("filled")
    with BottleneckCache(folder / "cache") as cache:
        if request.param == "killed":
            cache._database.execute("PRAGMA wal_autocheckpoint = 20")
        fill(cache)
        cache.commit()
        shutil.copytree(folder / "cache", folder / "copy")
    return folder / ("cache" if request.param == "closed" else "copy")


def damage(path: Path, seed: int) -> None:
    """Flip bytes, or set pages to zero, or cut off or replace the file."""
    rng = np.random.default_rng(seed)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    kind = seed % 5
    if kind < 2:
        positions = rng.integers(0, len(content) if kind else min(200, len(content)), rng.integers(1, 100))
        content[positions] ^= rng.integers(1, 256, len(positions)).astype(np.uint8)
    elif kind == 2:
        for page in rng.integers(0, len(content) // 4096 + 1, rng.integers(1, 6)):
            content[page * 4096:(page + 1) * 4096] = 0
    elif kind == 3:
        content = content[:rng.integers(0, len(content))]
    else:
        start = rng.integers(0, len(content))
        content[start:start + 5000] = rng.integers(0, 256, len(content[start:start + 5000]))
    path.write_bytes(content.tobytes())


@pytest.mark.parametrize("seeds", [range(25), pytest.param(range(25, 250), marks=pytest.mark.slow)])
def test_a_damaged_cache_never_returns_wrong_values_and_can_be_filled_again(seeds: range, filled: Path, tmp_path: Path
                                                                            ) -> None:
    for seed in seeds:
        folder = tmp_path / str(seed)
        shutil.copytree(filled, folder)
        files = sorted(path for path in folder.iterdir() if path.stat().st_size)
        damage(files[seed % 3 % len(files)], seed)
        use_cache(folder, count_right_values)
        use_cache(folder, fill_completely)
        assert use_cache(folder, count_right_values) == 4 * len(DIGESTS)
        shutil.rmtree(folder)


@pytest.mark.parametrize("names", [["-wal"], ["-shm"], ["-wal", "-shm"], [""], ["", "-wal", "-shm"]])
def test_missing_files_of_a_cache_are_no_error(names: list[str], filled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    shutil.copytree(filled, folder)
    for name in names:
        (folder / (CACHE_NAME + name)).unlink(missing_ok=True)
    use_cache(folder, count_right_values)
    use_cache(folder, fill)
    assert use_cache(folder, count_right_values) == 4 * len(DIGESTS)


def test_folders_in_place_of_the_files_are_renamed(tmp_path: Path) -> None:
    for name in ("", "-wal"):
        (tmp_path / name / (CACHE_NAME + name) / "folder").mkdir(parents=True)
        use_cache(tmp_path / name, fill)
        assert use_cache(tmp_path / name, count_right_values) == 4 * len(DIGESTS)


def test_a_run_that_uses_a_damaged_cache_does_not_disturb_the_one_that_renames_it(tmp_path: Path) -> None:
    first = BottleneckCache(tmp_path)
    fill(first)
    first.commit()
    second = BottleneckCache(tmp_path)
    second.set_aside()
    use_cache(tmp_path, fill)
    first.add_hash("f" * 32, bytes(HASH_BYTES))  # written to the renamed file
    first.commit()
    first.close()
    assert use_cache(tmp_path, count_right_values) == 4 * len(DIGESTS)
    assert "f" * 32 not in use_cache(tmp_path, BottleneckCache.hashes)
    second.set_aside()  # the file at the path is a new one, so it stays
    assert use_cache(tmp_path, count_right_values) == 4 * len(DIGESTS)


def test_a_damaged_version_number_is_not_taken_for_that_of_a_newer_version(tmp_path: Path) -> None:
    use_cache(tmp_path, fill)
    content = bytearray((tmp_path / CACHE_NAME).read_bytes())
    content[60:64] = (77).to_bytes(4, "big")  # user_version
    (tmp_path / CACHE_NAME).write_bytes(content)
    assert use_cache(tmp_path, count_right_values) == 0 and list(tmp_path.glob("*.broken-*"))


@pytest.mark.slow
def test_a_damaged_cache_of_an_earlier_version_ends_in_the_same_bottlenecks(shared_data: Path, flowers: Path,
                                                                            model_dir: Path, tmp_path: Path) -> None:
    """The index of this cache lacks rows that its table contains, so they were never replaced."""
    shutil.unpack_archive(shared_data.parent / "cases" / "cache" / "endless_repair.tar.gz", tmp_path / "damaged")
    extractor = open_extractor(str(shared_data / "modules" / "mobilenet_v1_025_128"), model_dir=model_dir)
    dataset = read_dataset(flowers)
    results = [extract_bottlenecks(dataset, extractor, tmp_path / name) for name in ("damaged", "empty")]
    assert np.array_equal(results[0].features, results[1].features)
    assert np.array_equal(results[0].dataset.hashes, results[1].dataset.hashes)


def test_augmented_views_do_not_need_the_hashes_of_the_photos(extractor: Extractor, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos" / "red", 6, 0)
    photos = extract_bottlenecks(read_dataset(tmp_path / "photos", 1), extractor, tmp_path / "cache").dataset.photos
    flip = AugmentationOptions(flip_left_right=True)
    expected, _ = extract_augmented(photos, extractor, tmp_path / "cache", flip, 1)
    with sqlite3.connect(tmp_path / "cache" / CACHE_NAME) as database:
        database.execute("UPDATE looks SET look = zeroblob(32) WHERE digest = ?", (photos[0].digest,))
    found, computed = extract_augmented(photos, extractor, tmp_path / "cache", flip, 1)
    assert computed == 0 and np.array_equal(found, expected)
