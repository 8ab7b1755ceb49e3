"""Bottlenecks are computed only once, even if folders, files or the cache change."""
from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from tests.conftest import write_photos
from tfpoets.data import LocalFiles, Measure, load_pixels, network_input, read_dataset
from tfpoets.errors import PhotoError, TfpoetsError
from tfpoets.extractors import (CACHE_NAME, INPUT_NODE, OUTPUT_NODE, Bottlenecks, ExecutionOptions, Extractor,
                                LiteRTModel, TensorFlowEngine, extract_bottlenecks, open_extractor)


def extract(photos: Path, extractor: Extractor, cache: Path, **options) -> Bottlenecks:
    return extract_bottlenecks(read_dataset(photos), extractor, cache, **options)


def test_features_are_the_extractors_outputs_in_the_order_of_the_photos(
        photo_folder: Path, extractor: Extractor, cache: Path) -> None:
    bottlenecks = extract(photo_folder, extractor, cache)
    run = LiteRTModel(extractor.tflite_path).run
    assert bottlenecks.computed == 60 and bottlenecks.features.dtype == np.float32
    for photo, row in zip(bottlenecks.dataset.photos, bottlenecks.features):
        assert np.array_equal(row, run(network_input(load_pixels(photo.uri, 32, 32)[None]))[0])


def test_a_second_run_computes_nothing(photo_folder: Path, extractor: Extractor, cache: Path) -> None:
    first, second = (extract(photo_folder, extractor, cache) for _ in range(2))
    assert second.computed == 0 and np.array_equal(first.features, second.features)
    assert first.dataset.photos == second.dataset.photos and first.dataset.labels == second.dataset.labels
    assert np.array_equal(first.dataset.hashes, second.dataset.hashes)


def test_moving_and_renaming_folders_computes_nothing(photo_folder: Path, extractor: Extractor, cache: Path) -> None:
    extract(photo_folder, extractor, cache)
    (photo_folder / "red").rename(photo_folder / "crimson")
    moved = photo_folder.rename(photo_folder.with_name("elsewhere"))
    bottlenecks = extract(moved, extractor, cache)
    assert bottlenecks.computed == 0 and bottlenecks.dataset.labels == ("blue", "crimson", "green")


def test_only_the_bottleneck_of_an_edited_photo_is_computed_again(
        photo_folder: Path, extractor: Extractor, cache: Path) -> None:
    before = extract(photo_folder, extractor, cache)
    edited = photo_folder / "red" / "003.png"
    shutil.copy(photo_folder / "blue" / "000.png", edited)
    write_photos(photo_folder / "new", 1, 0, seed=5)
    (photo_folder / "new" / "000.png").replace(edited)
    shutil.rmtree(photo_folder / "new")
    after = extract(photo_folder, extractor, cache)
    assert after.computed == 1
    changed = (before.features != after.features).any(1)
    assert [photo.uri for photo, is_changed in zip(after.dataset.photos, changed) if is_changed] == [str(edited)]


def test_an_edit_right_after_a_run_is_noticed_even_if_size_and_time_are_unchanged(
        photo_folder: Path, extractor: Extractor, cache: Path) -> None:
    write_photos(photo_folder / "red", 2, 0, seed=3, suffix=".bmp")  # all these files have the same length
    one, other = (photo_folder / "red" / f"00{number}.bmp" for number in (0, 1))
    extract(photo_folder, extractor, cache)
    status = one.stat()
    one.write_bytes(other.read_bytes())
    os.utime(one, ns=(status.st_atime_ns, status.st_mtime_ns))
    digests = {Path(photo.uri): photo.digest for photo in extract(photo_folder, extractor, cache).dataset.photos}
    assert digests[one] == digests[other]


def test_the_bottleneck_of_files_with_the_same_bytes_is_computed_once(
        photo_folder: Path, extractor: Extractor, cache: Path) -> None:
    for number in range(10):
        shutil.copy(photo_folder / "red" / "000.png", photo_folder / "blue" / f"copy{number}.png")
    bottlenecks = extract(photo_folder, extractor, cache)
    assert bottlenecks.computed == 60 and len(bottlenecks.features) == 70


def test_extractors_share_a_cache_but_no_bottlenecks(photo_folder: Path, extractor: Extractor, cache: Path,
                                                     tmp_path: Path, model_dir: Path) -> None:
    from tests.conftest import save_module
    other = open_extractor(str(save_module(tmp_path / "other", depth=7, seed=2)), model_dir=model_dir)
    first = extract(photo_folder, extractor, cache)
    second = extract(photo_folder, other, cache)
    assert second.computed == 60 and second.features.shape == (60, 7)
    assert np.array_equal(first.dataset.hashes, second.dataset.hashes)
    assert extract(photo_folder, extractor, cache).computed == 0


def test_unreadable_files_are_listed_with_reasons_and_excluded(photo_folder: Path, extractor: Extractor,
                                                               cache: Path) -> None:
    (photo_folder / "red" / "empty.jpg").write_bytes(b"")
    (photo_folder / "red" / "also_empty.jpg").write_bytes(b"")
    (photo_folder / "green" / "notes.jpg").write_text("not a photo")
    for _ in range(2):
        bottlenecks = extract(photo_folder, extractor, cache)
        assert [(photo.name, reason) for photo, reason in bottlenecks.unreadable] == [
            ("notes.jpg", "not a photo in a supported format"),
            ("also_empty.jpg", "the file is empty"), ("empty.jpg", "the file is empty")]
        assert len(bottlenecks.features) == len(bottlenecks.dataset.photos) == 60


def test_a_copy_of_a_file_that_can_no_longer_be_opened_is_used(photo_folder: Path, extractor: Extractor,
                                                               cache: Path) -> None:
    shutil.copy(photo_folder / "red" / "000.png", photo_folder / "red" / "copy.png")
    os.utime(photo_folder / "red" / "000.png", (0, 0))
    extract(photo_folder, extractor, cache)

    class ForbiddenFile(LocalFiles):
        def open(self, uri: str) -> BinaryIO:
            if uri.endswith("000.png"):
                raise PhotoError("permission denied")
            return super().open(uri)
    dataset = read_dataset(photo_folder)
    dataset = replace(dataset, photos=tuple(replace(photo, source=ForbiddenFile()) for photo in dataset.photos
                                            if photo.label == "red"))
    measure = Measure("test_mean", 32, 32, np.mean)
    unreadable = extract_bottlenecks(dataset, extractor, cache, [measure]).unreadable
    assert [(photo.name, reason) for photo, reason in unreadable] == [("000.png", "permission denied")]


def test_the_engine_is_not_opened_if_all_bottlenecks_are_cached(photo_folder: Path, extractor: Extractor,
                                                                cache: Path) -> None:
    class UnusableEngine(TensorFlowEngine):
        def open_for_pixels(self) -> Callable[[np.ndarray], np.ndarray]:
            raise AssertionError("opened")
    extract(photo_folder, extractor, cache)
    moved = photo_folder.rename(photo_folder.with_name("moved"))
    engine = UnusableEngine(extractor.graph_path, INPUT_NODE, OUTPUT_NODE)
    assert extract(moved, extractor, cache, execution=ExecutionOptions(engine=engine)).computed == 0


def test_a_class_without_readable_photos_is_excluded(photo_folder: Path, extractor: Extractor, cache: Path) -> None:
    (photo_folder / "docs").mkdir()
    (photo_folder / "docs" / "a.txt").write_text("x")
    assert extract(photo_folder, extractor, cache).dataset.labels == ("blue", "green", "red")


def test_the_number_of_workers_does_not_change_the_features(photo_folder: Path, extractor: Extractor,
                                                            cache: Path) -> None:
    one = extract(photo_folder, extractor, cache, execution=ExecutionOptions(workers=1))
    many = extract(photo_folder, extractor, cache.with_name("other"), execution=ExecutionOptions(workers=7))
    assert one.features.tobytes() == many.features.tobytes()


def test_tensorflow_in_batches_gives_the_same_features(photo_folder: Path, extractor: Extractor, cache: Path) -> None:
    lite = extract(photo_folder, extractor, cache)
    engine = TensorFlowEngine(extractor.graph_path, INPUT_NODE, OUTPUT_NODE)
    batched = extract(photo_folder, extractor, cache.with_name("other"), execution=ExecutionOptions(engine=engine))
    assert batched.computed == 60
    assert np.abs(batched.features - lite.features).max() < 1e-4 * np.abs(lite.features).max()


def test_a_damaged_bottleneck_is_computed_again(photo_folder: Path, extractor: Extractor, cache: Path) -> None:
    before = extract(photo_folder, extractor, cache)
    with sqlite3.connect(cache / CACHE_NAME) as database:
        digest, blob = database.execute("SELECT digest, vector FROM vectors LIMIT 1").fetchone()
        database.execute("UPDATE vectors SET vector = ? WHERE digest = ?", (b"\0" * len(blob), digest))
    after = extract(photo_folder, extractor, cache)
    assert after.computed == 1 and np.array_equal(before.features, after.features)


def test_a_file_that_is_not_a_cache_is_renamed(photo_folder: Path, extractor: Extractor, cache: Path,
                                               caplog: pytest.LogCaptureFixture) -> None:
    cache.mkdir()
    (cache / CACHE_NAME).write_bytes(b"this is not a database, but it is long enough to be one" * 100)
    assert extract(photo_folder, extractor, cache).computed == 60
    assert "was damaged" in caplog.text and len(list(cache.glob("*.broken-*"))) == 1


def test_a_cache_that_cannot_be_created_raises_an_error(photo_folder: Path, extractor: Extractor,
                                                        tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TfpoetsError, match="cannot be opened.*`bottleneck_dir`"):
        extract(photo_folder, extractor, tmp_path / "file")
