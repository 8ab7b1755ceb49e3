"""Ray clusters that cannot be used are reported in one sentence, within a time limit."""
from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tfpoets import RetrainOptions, read_dataset
from tfpoets.data import LocalFiles, load_pixels
from tfpoets.errors import ExtractorError, OptionError
from tfpoets.extractors import ExecutionOptions, Extractor, LiteRTEngine, extract_bottlenecks
from tfpoets.extractors import cluster as cluster_module
from tfpoets.extractors.cached_values import CachedValues
from tfpoets.extractors.photo_processor import ExtractionJob


def extract(photo_folder: Path, extractor: Extractor, cache: Path, address: str) -> None:
    extract_bottlenecks(read_dataset(photo_folder), extractor, cache, execution=ExecutionOptions(ray_address=address))


@pytest.mark.parametrize("address", ["Auto", "ray://", "ray://host", "ray://host:0", "ray://host:99999", "host:6379",
                                     "http://host:1", "ray://a b:1", "ray://host:1/x"])
def test_addresses_have_one_of_three_forms(address: str) -> None:
    with pytest.raises(OptionError, match="is not the address of a Ray cluster"):
        RetrainOptions(image_dir="photos", ray_address=address)
    for valid in ("", "auto", "local", "ray://10.0.0.1:10001", "ray://[::1]:10001"):
        RetrainOptions(image_dir="photos", ray_address=valid)


def test_the_address_is_not_stored_with_the_classifier() -> None:
    assert "ray_address" not in RetrainOptions(image_dir="photos", ray_address="auto").to_dict()


def test_ray_must_be_installed(photo_folder: Path, extractor: Extractor, cache: Path, monkeypatch: pytest.MonkeyPatch
                               ) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExtractorError, match="needs Ray, which is not installed") as error:
        extract(photo_folder, extractor, cache, "auto")
    assert error.value.remedy == "Run: pip install 'ray[data]'"


def test_without_missing_photos_no_cluster_is_needed(photo_folder: Path, extractor: Extractor, cache: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for photo in photo_folder.rglob("*.png"):
        os.utime(photo, (1e9, 1e9))  # the stamps of new files are not trusted, so their photos are read again
    extract(photo_folder, extractor, cache, "")
    extract(photo_folder, extractor, cache, "auto")


def test_a_closed_port_is_reported(photo_folder: Path, extractor: Extractor, cache: Path) -> None:
    pytest.importorskip("ray")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"ray://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ExtractorError, match=f"The Ray cluster {address} cannot be reached: .*refused"):
            extract(photo_folder, extractor, cache, address)


def test_a_server_that_does_not_answer_is_reported_in_time(photo_folder: Path, extractor: Extractor, cache: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    assert cluster_module.CONNECTION_SECONDS == 30
    monkeypatch.setattr(cluster_module, "CONNECTION_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        start = time.monotonic()
        with pytest.raises(ExtractorError, match="cannot be reached: it does not answer within 1 s."):
            extract(photo_folder, extractor, cache, f"ray://127.0.0.1:{server.getsockname()[1]}")
        assert time.monotonic() - start < 10


def test_without_a_running_cluster_auto_is_reported(photo_folder: Path, extractor: Extractor, cache: Path,
                                                    monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray._private.utils.get_ray_temp_dir", lambda: str(tmp_path), raising=False)
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", lambda: set(), raising=False)
    with pytest.raises(ExtractorError, match="No Ray cluster was found on this machine: ") as error:
        extract(photo_folder, extractor, cache, "auto")
    assert "docs/scale.md" in error.value.remedy


def test_known_values_are_those_of_the_cache() -> None:
    pytest.importorskip("pyarrow")
    from tfpoets.extractors.cluster_worker import KnownValues
    digests = [f"{number:030x}00" for number in range(50)]  # ends in a zero byte, which NumPy's strings drop
    known = KnownValues(CachedValues({0: set(digests[:30]), "sharpness": set(digests[20:40])}))
    for number, digest in enumerate(digests):
        expected = {value for value, is_missing in ((0, number >= 30), ("sharpness", not 20 <= number < 40))
                    if is_missing}
        assert known.missing(digest) == expected
    assert known.missing("f" * 32) == KnownValues(CachedValues({0: set(), "sharpness": set()})).missing("0" * 32) == {
        0, "sharpness"}


def test_a_task_processes_equal_files_once_and_another_task_again(photo_folder: Path, extractor: Extractor,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    from tfpoets.extractors.cluster_worker import ClusterSetup, KnownValues, PhotoActor, photo_table, read_results
    monkeypatch.setattr("ray.get", lambda reference: reference)
    uris = [*(str(photo_folder / "red" / f"{number:03d}.png") for number in range(17)), str(photo_folder / "none.png")]
    os.rename(uris[3], photo_folder / "red" / "\udcff.png")  # a name that is not valid Unicode
    uris[3] = str(photo_folder / "red" / "\udcff.png")
    uris.append(uris[0])
    job, engine = ExtractionJob(extractor, extractor.digest), LiteRTEngine(extractor.tflite_path)
    known = KnownValues(CachedValues({0: set()}))
    actor = PhotoActor(ClusterSetup(job, engine.with_contents(), [LocalFiles()], known))
    task = photo_table([(number, uri, 0) for number, uri in enumerate(uris)])
    for _ in range(2):
        tables = list(actor(task))
        results = dict(result for table in tables for result in read_results(table))
        assert [len(table) for table in tables] == [16, 3] and sorted(results) == list(range(19))
        assert "no such file" in results[17].reason and not results[17].digest
        assert results[18].digest == results[0].digest and not results[18].vectors
        run = engine.open_for_pixels()
        expected = run(load_pixels(Path(uris[3]).read_bytes(), 32, 32)[None])[0]
        assert np.array_equal(results[3].vectors[0], expected) and results[3].hash_
