"""Values of a few photos are looked up in the cache without reading those of all others."""
from __future__ import annotations

import hashlib
import os
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_photos
from tfpoets.data import HASH_BYTES, Measure, read_dataset
from tfpoets.extractors import BottleneckCache, Extractor, cache_lookup, extract_bottlenecks
from tfpoets.extractors.cache_schema import checksum_of

DEPTH = 16
BRIGHTNESS = Measure("test_brightness", 64, 64, np.mean)


def digest_of(number: int) -> str:
    return hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()


def add(cache: BottleneckCache, number: int, extractor: str = "extractor") -> None:
    digest = digest_of(number)
    cache.add_digest(f"/photos/{number}.jpg", digest, f"{number} 7")
    cache.add_hash(digest, number.to_bytes(HASH_BYTES, "little"))
    cache.add_measure("sharpness", digest, number / 7)
    cache.add_vector(extractor, digest, np.full(DEPTH, number, np.float32), "litert")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with 5,000 photos of one extractor, of which 1,000 also have a bottleneck of another one."""
    folder = tmp_path_factory.mktemp("filled")
    with BottleneckCache(folder) as cache:
        for number in range(5000):
            add(cache, number)
        for number in range(1000):
            cache.add_vector("other", digest_of(number), np.zeros(DEPTH, np.float32), "litert")
    return folder


@pytest.mark.parametrize("n_wanted", [0, 1, 499, 500, 501, 1100, 2400, 5000])  # looked up by key, or scanned
def test_values_of_some_photos_are_those_of_the_whole_table(filled: Path, n_wanted: int) -> None:
    numbers = list(np.random.default_rng(0).permutation(5000)[:n_wanted])
    wanted = {digest_of(number) for number in numbers} | {digest_of(7000)}
    with BottleneckCache(filled) as cache:
        assert cache.digests_with_vector("extractor", digests=wanted) == wanted - {digest_of(7000)}
        assert len(cache.digests_with_vector("other", digests=wanted)) == sum(number < 1000 for number in numbers)
        assert cache.hashes(wanted) == {digest: hash_ for digest, hash_ in cache.hashes().items() if digest in wanted}
        assert cache.measures("sharpness", wanted) == {
            digest: value for digest, value in cache.measures("sharpness").items() if digest in wanted}
        vectors = {digest: vector for digest, vector in cache.read_vectors("extractor", DEPTH, digests=wanted)
                   if digest in wanted}
        assert {digest: vector[0] for digest, vector in vectors.items()} == {
            digest_of(number): number for number in numbers}
        stamps = {f"/photos/{number}.jpg": f"{number} 7" for number in numbers}
        assert cache.known_digests(stamps) == {f"/photos/{number}.jpg": digest_of(number) for number in numbers}
        changed = dict.fromkeys(stamps, "1 8")
        assert cache.known_digests(changed) == {}


def test_blocks_contain_all_bottlenecks_without_damaged_ones(filled: Path) -> None:
    with BottleneckCache(filled) as cache:
        blocks = list(cache.read_vector_blocks("extractor", DEPTH))
        assert all(vectors.dtype == np.float32 and vectors.shape == (len(digests), DEPTH) and len(digests) <= 512
                   for digests, vectors in blocks)
        assert {digest: vector[-1] for digests, vectors in blocks for digest, vector in zip(digests, vectors)} == {
            digest_of(number): number for number in range(5000)}
        assert list(cache.read_vector_blocks("extractor", DEPTH + 1)) == []


def test_only_the_rows_of_the_wanted_photos_are_read(filled: Path) -> None:
    wanted = [digest_of(number) for number in range(10)]
    stamps = {f"/photos/{number}.jpg": f"{number} 7" for number in range(10)}
    with BottleneckCache(filled) as cache:
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1
        cache._database.set_progress_handler(count, 100)
        cache.known_digests(stamps), cache.hashes(wanted), cache.measures("sharpness", wanted)
        cache.digests_with_vector("extractor", digests=wanted)
        assert len(list(cache.read_vectors("extractor", DEPTH, digests=wanted))) == 10
        assert steps < 40  # of 100 operations of SQLite's virtual machine; reading 5,000 rows takes tens for each
        list(cache.read_vectors("extractor", DEPTH))
        assert steps > 300


def test_a_damaged_index_does_not_return_the_bottleneck_of_another_photo(tmp_path: Path) -> None:
    """Before version 2, checksums did not cover the key, so only the row itself shows whose bottleneck it is."""
    with BottleneckCache(tmp_path) as cache:
        for number in range(100):
            add(cache, number)
        cache.commit()
        for number in range(100):
            blob = np.full(DEPTH, number, "<f4").tobytes()
            cache._database.execute("UPDATE vectors SET checksum = ? WHERE digest = ?",
                                    (zlib.crc32(blob), digest_of(number)))
    content = (tmp_path / "bottlenecks.sqlite").read_bytes()
    first, second = (digest_of(number).encode() for number in (3, 4))
    # The table is before its index in the file; only the digests in the index are exchanged.
    in_index = {digest: content.rindex(b"extractor" + digest) + len(b"extractor") for digest in (first, second)}
    damaged = bytearray(content)
    damaged[in_index[first]:in_index[first] + 32], damaged[in_index[second]:in_index[second] + 32] = second, first
    (tmp_path / "bottlenecks.sqlite").write_bytes(damaged)
    with BottleneckCache(tmp_path) as cache:
        for digest, vector in cache.read_vectors("extractor", DEPTH, digests=[digest_of(3)]):
            assert digest_of(int(vector[0])) == digest


def test_checksums_are_those_of_earlier_versions() -> None:
    blob = np.arange(DEPTH, dtype="<f4").tobytes()
    key = cache_lookup.vector_key("extractor/flip", DEPTH, 3)
    assert key.checksum_of("0" * 32, blob) == checksum_of("extractor/flip", "0" * 32, 3, blob) == 3261068422
    assert key.is_undamaged("0" * 32, blob, zlib.crc32(blob))
    assert not key.is_undamaged("1" * 32, blob, checksum_of("extractor/flip", "0" * 32, 3, blob))
    assert checksum_of("a", b"b", 1.5, 2) == 3584182554


def test_another_run_with_a_few_photos_does_not_read_the_rest_of_the_cache(
        extractor: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seed in (("red", 0), ("blue", 1)):
        write_photos(tmp_path / "photos" / name, 6, seed)
    for path in (tmp_path / "photos").rglob("*.png"):  # the stamps of files of the last 2 s are not trusted
        os.utime(path, (time.time() - 100,) * 2)
    dataset = read_dataset(tmp_path / "photos")
    first = extract_bottlenecks(dataset, extractor, tmp_path / "cache", [BRIGHTNESS])
    with BottleneckCache(tmp_path / "cache") as cache:
        for number in range(3000):
            digest = digest_of(number)
            cache.add_hash(digest, bytes(HASH_BYTES))
            cache.add_measure(BRIGHTNESS.name, digest, 0.5)
            cache.add_vector(extractor.digest, digest, np.zeros(extractor.depth, np.float32), "litert")
    n_rows, select = 0, BottleneckCache._select

    def counting_select(self: BottleneckCache, statement: str, *values: object):
        nonlocal n_rows
        for row in select(self, statement, *values):
            n_rows += 1
            yield row
    monkeypatch.setattr(BottleneckCache, "_select", counting_select)
    again = extract_bottlenecks(dataset, extractor, tmp_path / "cache", [BRIGHTNESS])
    assert again.computed == 0 and np.array_equal(again.features, first.features)
    assert np.array_equal(again.dataset.hashes, first.dataset.hashes)
    assert n_rows < 20 * len(dataset)
