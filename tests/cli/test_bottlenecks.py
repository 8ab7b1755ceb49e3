"""`bottlenecks` shows, checks, cleans up and exports the cache of computed features."""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from tfpoets.cli import bottlenecks
from tfpoets.data import HASH_BYTES
from tfpoets.extractors import CACHE_NAME, BottleneckCache, cache_export

DEPTH = 8
KEY, FLIPPED, OTHER = "a" * 32, f"{'a' * 32}/flip", "b" * 32


def digest_of(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def vector(name: str, view: int = 0) -> np.ndarray:
    return np.random.default_rng([int(digest_of(name)[:8], 16), view]).random(DEPTH, np.float32)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with six files in two class folders; two of the files are equal."""
    folder = tmp_path / "photos"
    for number in range(6):
        path = folder / f"class{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number % 5), "ascii")
    return folder


@pytest.fixture
def cache(photos: Path, tmp_path: Path) -> Path:
    """A cache with the bottlenecks of two networks for the files, and augmented views of one file."""
    with BottleneckCache(tmp_path / "cache") as opened:
        for path in sorted(photos.rglob("*.jpg")):
            name = path.read_text("ascii")
            opened.add_digest(str(path), digest_of(name), "1 7")
            opened.add_hash(digest_of(name), bytes(HASH_BYTES))
            opened.add_measure("blurry", digest_of(name), 0.5)
            opened.add_vector(KEY, digest_of(name), vector(name), "litert")
            opened.add_vector(OTHER, digest_of(name), np.ones(3, np.float32), "tensorflow")
        for view in (1, 2):
            opened.add_vector(FLIPPED, digest_of("1"), vector("1", view), "litert", view)
    network = tmp_path / "models" / "mobilenet-224-0123456789ab"
    network.mkdir(parents=True)
    (network / "extractor.json").write_text(json.dumps({"digest": KEY}), "utf-8")
    return tmp_path / "cache"


def run(cache: Path, *arguments: str) -> int:
    return bottlenecks.main([*arguments, f"--bottleneck_dir={cache}", f"--model_dir={cache.parent / 'models'}"])


def run_json(capsys: pytest.CaptureFixture, cache: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run(cache, *arguments, "--format=json") == code
    return json.loads(capsys.readouterr().out)


def error(capsys: pytest.CaptureFixture, cache: Path, *arguments: str, code: int = 1) -> str:
    capsys.readouterr()
    assert run(cache, *arguments) == code
    output = capsys.readouterr()
    assert "Traceback" not in output.err and output.err.startswith("Error: ")
    return output.err


def test_statistics_are_shown(cache: Path, photos: Path, capsys: pytest.CaptureFixture) -> None:
    (photos / "class0" / "0.jpg").unlink()
    found = run_json(capsys, cache)
    assert found["photos"] == 5 and found["files"] == 6 and found["missing_files"] == 1 and found["hashes"] == 5
    assert found["measures"] == {"blurry": 5} and found["bytes"] >= (cache / CACHE_NAME).stat().st_size
    networks = {network["key"]: network for network in found["networks"]}
    assert networks[KEY] == {"key": KEY, "name": "mobilenet-224-0123456789ab", "photos": 5, "bottlenecks": 5,
                             "views": 1, "depth": DEPTH, "engines": {"litert": 1.0}, "bytes": 5 * 4 * DEPTH}
    assert networks[FLIPPED]["views"] == 2 and networks[FLIPPED]["photos"] == 1
    assert networks[OTHER]["name"] == "" and networks[OTHER]["engines"] == {"tensorflow": 1.0}
    assert run(cache) == 0
    text = capsys.readouterr().out
    assert "mobilenet-224" in text and "5 photos" in text and "--prune" in text


def test_values_of_files_that_no_longer_exist_are_removed(cache: Path, photos: Path, capsys: pytest.CaptureFixture
                                                          ) -> None:
    (photos / "class0" / "0.jpg").unlink()  # equal to class1/5.jpg
    (photos / "class1" / "1.jpg").unlink()
    expected = {"vectors": 4, "looks": 1, "measures": 1, "stamps": 2}
    for arguments in (["--dry_run"], [], []):
        result = run_json(capsys, cache, "--prune", *arguments)
        assert result["removed"] == expected and result["dry_run"] == bool(arguments)
        expected = expected if arguments else dict.fromkeys(expected, 0)
    with BottleneckCache(cache) as opened:
        names = {"0", "2", "3", "4"}
        assert set(opened.hashes()) == set(opened.measures("blurry")) == {digest_of(name) for name in names}
        assert {digest: list(row) for digest, row in opened.read_vectors(KEY, DEPTH)} == {
            digest_of(name): list(vector(name)) for name in names}
        stamps = {str(path): "1 7" for path in photos.rglob("*.jpg")}
        assert len(opened.known_digests(stamps)) == 4
    assert run(cache, "--verify") == 0


def test_pruning_makes_the_file_smaller(cache: Path, photos: Path, capsys: pytest.CaptureFixture) -> None:
    with BottleneckCache(cache) as opened:
        for number in range(500):
            opened.add_vector(KEY, digest_of(f"gone {number}"), np.ones(DEPTH, np.float32), "litert")
    before = (cache / CACHE_NAME).stat().st_size
    result = run_json(capsys, cache, "--prune")
    assert result["removed"]["vectors"] == 500
    assert 0 < result["freed_bytes"] == before - (cache / CACHE_NAME).stat().st_size
    assert [path.name for path in cache.iterdir()] == [CACHE_NAME]


def test_files_in_missing_or_empty_folders_are_kept_unless_requested(cache: Path, photos: Path,
                                                                     capsys: pytest.CaptureFixture) -> None:
    shutil.rmtree(photos / "class0")
    for path in (photos / "class1").iterdir():  # as a mount point without its drive
        path.unlink()
    result = run_json(capsys, cache, "--prune")
    assert result["kept_files"] == 6 and not any(result["removed"].values())
    assert run(cache, "--prune") == 0
    assert "--missing_folders" in capsys.readouterr().out
    result = run_json(capsys, cache, "--prune", "--missing_folders")
    assert result["kept_files"] == 0 and result["removed"] == {"vectors": 12, "looks": 5, "measures": 5, "stamps": 6}


def test_addresses_files_in_archives_and_odd_names_are_not_missing(cache: Path, photos: Path,
                                                                   capsys: pytest.CaptureFixture) -> None:
    (photos / "archive.zip").touch()
    odd = os.fsdecode(os.fsencode(photos) + b"/class0/\xff.jpg")
    Path(odd).touch()
    with BottleneckCache(cache) as opened:
        for uri in ("s3://bucket/photo.jpg", str(photos / "archive.zip" / "folder" / "photo.jpg"), odd):
            opened.add_digest(uri, digest_of(repr(uri)), "1 7")
    assert not any(run_json(capsys, cache, "--prune", "--missing_folders")["removed"].values())
    Path(odd).unlink()
    assert run_json(capsys, cache, "--prune")["removed"]["stamps"] == 1


@pytest.mark.parametrize("name", [KEY, "aaaa", "mobilenet-224-0123456789ab", "mobilenet"])
def test_the_bottlenecks_of_one_network_are_removed(name: str, cache: Path, capsys: pytest.CaptureFixture) -> None:
    assert run_json(capsys, cache, "--prune", f"--extractor={name}")["removed"] == {"vectors": 7}
    assert [network["key"] for network in run_json(capsys, cache)["networks"]] == [OTHER]


def test_unknown_and_ambiguous_networks_are_refused(cache: Path, capsys: pytest.CaptureFixture) -> None:
    with BottleneckCache(cache) as opened:
        opened.add_vector("ac" * 16, digest_of("0"), np.ones(3, np.float32), "litert")
    assert "stands for several networks" in error(capsys, cache, "--prune", "--extractor=a")
    assert "Did you mean mobilenet-224" in error(capsys, cache, "--prune", "--extractor=mobilnet-224-0123456789ab")
    assert run_json(capsys, cache)["photos"] == 5


def test_a_cache_in_use_is_not_pruned(cache: Path, capsys: pytest.CaptureFixture) -> None:
    script = ("import sys; from tfpoets.extractors import BottleneckCache\n"
              "cache = BottleneckCache(sys.argv[1]); cache.hashes(); print('open', flush=True); sys.stdin.read()\n"
              "cache.add_hash('0' * 32, bytes(32)); cache.commit(); cache.close()")
    other = subprocess.Popen([sys.executable, "-c", script, str(cache)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True)
    assert other.stdin and other.stdout
    assert other.stdout.readline() == "open\n"
    assert "Another run is using the cache" in error(capsys, cache, "--prune")
    assert run_json(capsys, cache)["photos"] == 5 and run(cache, "--verify") == 0  # reading is possible
    other.communicate("")
    assert other.returncode == 0
    assert run_json(capsys, cache, "--prune")["removed"]["looks"] == 1


def test_intact_caches_pass_verification(cache: Path, capsys: pytest.CaptureFixture) -> None:
    result = run_json(capsys, cache, "--verify")
    assert result["intact"] and result["rows"] == 12 + 5 + 5 + 6
    assert result["damaged"] == dict.fromkeys(["vectors", "looks", "measures", "stamps"], 0)


@pytest.mark.parametrize("table, change", [("vectors", "vector = zeroblob(32)"), ("looks", "look = zeroblob(31)"),
                                           ("measures", "value = 0.25"), ("stamps", "stamp = '2 7'")])
def test_damaged_values_are_found(table: str, change: str, cache: Path, capsys: pytest.CaptureFixture) -> None:
    with sqlite3.connect(cache / CACHE_NAME) as database:
        database.execute(f"UPDATE {table} SET {change} WHERE {'uri LIKE ?' if table == 'stamps' else 'digest = ?'}",
                         ("%/1.jpg" if table == "stamps" else digest_of("1"),))
    result = run_json(capsys, cache, "--verify", code=1)
    assert not result["intact"] and {name for name, count in result["damaged"].items() if count} == {table}
    assert run(cache, "--verify") == 1
    assert "computes damaged values again" in capsys.readouterr().out


def test_a_damaged_file_is_reported_and_stays_where_it_is(cache: Path, capsys: pytest.CaptureFixture) -> None:
    content = bytearray((cache / CACHE_NAME).read_bytes())
    content[4096:] = np.random.default_rng(0).bytes(len(content) - 4096)
    (cache / CACHE_NAME).write_bytes(content)
    for arguments in ([], ["--verify"], ["--prune"], [f"--export={cache.parent}/out.parquet"]):
        assert run(cache, *arguments) == 1
        output = capsys.readouterr()
        assert "damaged" in output.out + output.err and "Delete" in output.out + output.err
    (cache / CACHE_NAME).write_bytes(b"not a database" * 100)
    assert "is damaged" in error(capsys, cache)
    assert [path.name for path in cache.iterdir() if path.suffix != ".lock"] == [CACHE_NAME]


def test_a_missing_cache_is_reported_and_not_created(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "missing"):
        for arguments in ([], ["--verify"], ["--prune"], [f"--export={tmp_path}/out.parquet"]):
            assert "There is no cache of bottlenecks in" in error(capsys, folder, *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"] and not any((tmp_path / "empty").iterdir())


def test_a_cache_in_a_folder_that_is_not_writable_can_be_read(cache: Path, capsys: pytest.CaptureFixture,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    assert run_json(capsys, cache)["photos"] == 5 and run(cache, "--verify") == 0
    assert "is not writable" in error(capsys, cache, "--prune")
    assert [path.name for path in cache.iterdir()] == [CACHE_NAME]


def test_a_cache_of_an_earlier_version_is_migrated(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "cache").mkdir()
    database = sqlite3.connect(tmp_path / "cache" / CACHE_NAME)
    database.execute("CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, "
                     "digest TEXT NOT NULL) WITHOUT ROWID")
    database.execute("INSERT INTO files VALUES ('/missing/photo.jpg', 1, 7, ?)", (digest_of("0"),))
    database.commit()
    database.close()
    found = run_json(capsys, tmp_path / "cache")
    assert found["files"] == found["missing_files"] == 1 and found["networks"] == []
    assert "contains no bottlenecks" in error(capsys, tmp_path / "cache", f"--export={tmp_path}/out.parquet")


def test_bottlenecks_are_exported(cache: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture,
                                  monkeypatch: pytest.MonkeyPatch) -> None:
    with BottleneckCache(cache) as opened:
        opened.add_vector(KEY, digest_of("moved"), vector("moved"), "litert")
    with sqlite3.connect(cache / CACHE_NAME) as database:
        database.execute("UPDATE vectors SET checksum = 1 WHERE digest = ?", (digest_of("4"),))
    monkeypatch.setattr(cache_export, "ROW_GROUP_BYTES", 3 * 4 * DEPTH)
    file = tmp_path / "out" / "features.parquet"
    result = run_json(capsys, cache, f"--export={file}", "--extractor=mobilenet")
    table = pyarrow.parquet.read_table(file)
    assert table.schema.field("bottleneck").type == pyarrow.list_(pyarrow.float32(), DEPTH)
    assert result["rows"] == len(table) == 8 and pyarrow.parquet.ParquetFile(file).num_row_groups == 3
    rows = {(row["uri"], row["digest"], row["extractor"], row["view"]): row["bottleneck"] for row in table.to_pylist()}
    expected = {(str(path), digest_of(path.read_text("ascii")), KEY, 0): vector(path.read_text("ascii")).tolist()
                for path in photos.rglob("*.jpg") if path.name != "4.jpg"}
    expected |= {(str(photos / "class1" / "1.jpg"), digest_of("1"), FLIPPED, view): vector("1", view).tolist()
                 for view in (1, 2)}
    expected[None, digest_of("moved"), KEY, 0] = vector("moved").tolist()
    assert rows == expected and [path.name for path in file.parent.iterdir()] == ["features.parquet"]


def test_an_existing_file_is_only_replaced_on_request(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture
                                                      ) -> None:
    file = tmp_path / "features.parquet"
    file.write_text("mine", "ascii")
    assert "--overwrite" in error(capsys, cache, f"--export={file}", f"--extractor={OTHER}", code=2)
    assert file.read_text("ascii") == "mine"
    assert run(cache, f"--export={file}", f"--extractor={OTHER}", "--overwrite") == 0
    assert len(pyarrow.parquet.read_table(file)) == 6


def test_bottlenecks_of_different_lengths_are_not_exported_to_one_file(cache: Path, tmp_path: Path,
                                                                       capsys: pytest.CaptureFixture) -> None:
    message = error(capsys, cache, f"--export={tmp_path}/features.parquet")
    assert "(3, 8)" in message and "--extractor" in message
    assert not list(tmp_path.glob("*parquet*"))


@pytest.mark.parametrize("arguments", [["--stats", "--verify"], ["--prune", "--export=x"], ["--dry_run"],
                                       ["--extractor=a"], ["--verify", "--overwrite"],
                                       ["--prune", "--extractor=a", "--missing_folders"]])
def test_options_that_do_nothing_are_refused(arguments: list[str], cache: Path, capsys: pytest.CaptureFixture) -> None:
    error(capsys, cache, *arguments, code=2)


def test_tensorflow_is_not_imported(cache: Path) -> None:
    script = ("import sys; from tfpoets.cli import bottlenecks\n"
              f"assert bottlenecks.main(['--bottleneck_dir={cache}']) == 0 and 'tensorflow' not in sys.modules")
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
