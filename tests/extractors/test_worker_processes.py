"""Worker processes give the same results as threads, and nothing is lost if one of them, or their parent, ends."""
from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image

from tests.attack.hostile_photos import png_bomb
from tests.conftest import accept_interrupts, write_photos
from tfpoets.data import AugmentationOptions, Dataset, LocalFiles, Measure, photo_gate, read_dataset
from tfpoets.extractors import (INPUT_NODE, OUTPUT_NODE, BottleneckCache, Bottlenecks, ExecutionOptions, Extractor,
                                TensorFlowEngine, extract_augmented, extract_bottlenecks, open_extractor)
from tfpoets.progress import listen_to_progress

BRIGHTNESS = Measure("test_brightness", 64, 64, np.mean)
PROCESSES = ExecutionOptions(workers=2, processes=True)
THREADS = ExecutionOptions(workers=2, processes=False)
# A process, and the identifiers of its workers.
RunningScript = tuple[subprocess.Popen, list[int]]
# A script that extracts bottlenecks with two processes, where each photo takes 0.1 s.
SCRIPT = """
import sys
from tests.extractors.test_worker_processes import PROCESSES, SlowFiles, with_source
from tfpoets.data import read_dataset
from tfpoets.extractors import extract_bottlenecks, open_extractor
photos, module, models, cache = sys.argv[1:]
try:
    dataset, extractor = with_source(read_dataset(photos), SlowFiles()), open_extractor(module, model_dir=models)
    extract_bottlenecks(dataset, extractor, cache, execution=PROCESSES)
except KeyboardInterrupt:
    print("interrupted")
"""


class SlowFiles(LocalFiles):
    """Local files that take 0.1 s to open."""

    def open(self, uri: str) -> BinaryIO:
        time.sleep(0.1)
        return super().open(uri)


class KillingFiles(LocalFiles):
    """Local files that kill the process when red/005.png is opened.

    Args:
        marker: If this file exists, it is deleted and the process ends; None: the process always ends.
    """

    def __init__(self, marker: Path | None = None):
        self._marker = marker

    def open(self, uri: str) -> BinaryIO:
        if Path(uri).name == "005.png" and Path(uri).parent.name == "red":
            if self._marker is None or self._marker.exists():
                if self._marker:
                    self._marker.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().open(uri)


class ImpatientFiles(LocalFiles):
    """Local files whose reader shortens the time for decoding a photo in its process to 0.3 s."""

    def open(self, uri: str) -> BinaryIO:
        photo_gate.EXTRA_SECONDS = 0.3
        return super().open(uri)


class FailingFiles(LocalFiles):
    """Local files that raise an error that is not a PhotoError."""

    def open(self, uri: str) -> BinaryIO:
        raise ZeroDivisionError("not a photo error")


def sometimes_fatal(pixels: np.ndarray) -> float:
    """Return the mean, or end the process if all pixels are white."""
    if pixels.min() == 255:
        os.kill(os.getpid(), signal.SIGKILL)
    return float(pixels.mean())


@pytest.fixture(autouse=True)
def processes_are_used(caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail if threads are used because worker processes cannot be started."""
    caplog.set_level(logging.DEBUG, "tfpoets.extractors")
    yield
    assert "cannot be pickled" in request.node.name.replace("_", " ") or "Threads are used instead" not in caplog.text


def with_source(dataset: Dataset, source: LocalFiles) -> Dataset:
    return replace(dataset, photos=tuple(replace(photo, source=source) for photo in dataset.photos))


def assert_equal(first: Bottlenecks, second: Bottlenecks) -> None:
    assert first.features.tobytes() == second.features.tobytes()
    assert first.dataset.photos == second.dataset.photos and first.unreadable == second.unreadable
    assert np.array_equal(first.dataset.hashes, second.dataset.hashes)
    assert {name: values.tolist() for name, values in first.dataset.measures.items()} == {
        name: values.tolist() for name, values in second.dataset.measures.items()}


@pytest.mark.parametrize("workers", [1, 3])
def test_processes_give_the_same_results_as_threads(workers: int, photo_folder: Path, extractor: Extractor,
                                                    cache: Path) -> None:
    (photo_folder / "red" / "empty.jpg").write_bytes(b"")
    (photo_folder / "green" / "notes.jpg").write_text("not a photo")
    for number in range(10):
        shutil.copy(photo_folder / "red" / "000.png", photo_folder / "blue" / f"copy{number}.png")
    threads, processes = (
        extract_bottlenecks(read_dataset(photo_folder), extractor, cache.with_name(f"cache{number}"), [BRIGHTNESS],
                            execution)
        for number, execution in enumerate([THREADS, ExecutionOptions(workers, processes=True)]))
    assert_equal(threads, processes)
    assert len(processes.unreadable) == 2 and processes.computed == 60


def test_values_in_the_cache_are_not_computed_by_processes(photo_folder: Path, extractor: Extractor,
                                                           cache: Path) -> None:
    extract_bottlenecks(read_dataset(photo_folder), extractor, cache, execution=PROCESSES)
    moved = photo_folder.rename(photo_folder.with_name("moved"))
    write_photos(moved / "red", 25, 0)
    bottlenecks = extract_bottlenecks(read_dataset(moved), extractor, cache, [BRIGHTNESS], PROCESSES)
    assert bottlenecks.computed == 5 and len(bottlenecks.dataset.measures[BRIGHTNESS.name]) == 65


def test_pixels_for_batches_travel_in_shared_memory(photo_folder: Path, extractor: Extractor, cache: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    # With 2 * 2 * 2 + 3 * 7 slots of shared memory for 60 photos, slots are used more than once.
    monkeypatch.setattr("tfpoets.extractors.worker_processes.MAX_CHUNK", 2)
    monkeypatch.setattr("tfpoets.extractors.execution.SLOT_BYTES", 0)
    (photo_folder / "red" / "empty.jpg").write_bytes(b"")
    engine = TensorFlowEngine(extractor.graph_path, INPUT_NODE, OUTPUT_NODE, batch_size=7)
    threads = extract_bottlenecks(read_dataset(photo_folder), extractor, cache, execution=THREADS)
    processes = extract_bottlenecks(read_dataset(photo_folder), extractor, cache.with_name("other"),
                                    execution=ExecutionOptions(workers=2, processes=True, engine=engine))
    assert processes.computed == 60 and processes.dataset.photos == threads.dataset.photos
    assert np.abs(processes.features - threads.features).max() < 1e-4 * np.abs(threads.features).max()


def test_augmented_views_are_the_same_from_processes(photo_folder: Path, extractor: Extractor, cache: Path) -> None:
    augmentation = AugmentationOptions(flip_left_right=True, random_brightness=20)
    results = []
    for name, execution in (("threads", THREADS), ("processes", PROCESSES)):
        folder = cache.with_name(name)
        photos = extract_bottlenecks(read_dataset(photo_folder), extractor, folder).dataset.photos
        results.append(extract_augmented(photos, extractor, folder, augmentation, 3, execution))
    (threads, _), (processes, n_computed) = results
    assert n_computed == 180 and threads.tobytes() == processes.tobytes()


def test_a_photo_that_crashes_its_process_is_listed_and_skipped(photo_folder: Path, extractor: Extractor,
                                                                cache: Path) -> None:
    dataset = with_source(read_dataset(photo_folder), KillingFiles())
    bottlenecks = extract_bottlenecks(dataset, extractor, cache, execution=PROCESSES)
    (photo, reason), = bottlenecks.unreadable
    assert photo.uri == str(photo_folder / "red" / "005.png") and "SIGKILL" in reason
    assert bottlenecks.computed == 59


@pytest.mark.parametrize("execution", [THREADS, PROCESSES], ids=["threads", "processes"])
def test_a_photo_that_takes_too_long_to_decode_is_listed_and_the_run_goes_on(
        execution: ExecutionOptions, photo_folder: Path, extractor: Extractor, cache: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_gate, "EXTRA_SECONDS", 0.3)  # restored after the test
    (photo_folder / "red" / "bomb.png").write_bytes(png_bomb(1500))
    dataset = with_source(read_dataset(photo_folder), ImpatientFiles())
    bottlenecks = extract_bottlenecks(dataset, extractor, cache, execution=execution)
    (photo, reason), = bottlenecks.unreadable
    assert photo.name == "bomb.png" and reason.startswith("decoding it takes ") and bottlenecks.computed == 60


def test_more_photos_that_take_too_long_than_processes_may_crash_do_not_end_the_run(
        photo_folder: Path, extractor: Extractor, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfpoets.extractors.worker_processes.MAX_CRASHES", 0)
    for number in range(2):
        (photo_folder / "red" / f"bomb{number}.png").write_bytes(png_bomb(1500) + bytes(number))
    dataset = with_source(read_dataset(photo_folder), ImpatientFiles())
    bottlenecks = extract_bottlenecks(dataset, extractor, cache, execution=PROCESSES)
    assert len(bottlenecks.unreadable) == 2 and bottlenecks.computed == 60


def test_copies_of_a_photo_that_crashes_its_process_are_skipped_as_well(photo_folder: Path, extractor: Extractor,
                                                                        cache: Path) -> None:
    for number in range(6):
        Image.new("RGB", (48, 48), "white").save(photo_folder / "red" / f"white{number}.png")
    measure = Measure("test_sometimes_fatal", 32, 32, sometimes_fatal)
    bottlenecks = extract_bottlenecks(read_dataset(photo_folder), extractor, cache, [measure], PROCESSES)
    assert [photo.name for photo, _ in bottlenecks.unreadable] == [f"white{number}.png" for number in range(6)]
    assert bottlenecks.computed == 60


def test_no_photo_is_lost_if_a_process_ends_once(photo_folder: Path, extractor: Extractor, cache: Path,
                                                 tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    marker.touch()
    dataset = with_source(read_dataset(photo_folder), KillingFiles(marker))
    bottlenecks = extract_bottlenecks(dataset, extractor, cache, execution=PROCESSES)
    assert not marker.exists() and bottlenecks.computed == 60 and not bottlenecks.unreadable


def test_an_error_in_a_process_is_raised_in_the_caller(photo_folder: Path, extractor: Extractor, cache: Path) -> None:
    with pytest.raises(ZeroDivisionError, match="not a photo error"):
        extract_bottlenecks(with_source(read_dataset(photo_folder), FailingFiles()), extractor, cache,
                            execution=PROCESSES)


def test_a_source_that_cannot_be_pickled_is_read_by_threads(photo_folder: Path, extractor: Extractor,
                                                            cache: Path) -> None:
    class LocalClass(LocalFiles):
        pass
    dataset = with_source(read_dataset(photo_folder), LocalClass())
    assert extract_bottlenecks(dataset, extractor, cache, execution=PROCESSES).computed == 60


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_shared_memory_is_freed(photo_folder: Path, extractor: Extractor, cache: Path) -> None:
    gc.collect()
    gc.disable()
    try:
        engine = TensorFlowEngine(extractor.graph_path, INPUT_NODE, OUTPUT_NODE)
        for number, execution in enumerate([PROCESSES, replace(PROCESSES, engine=engine)]):
            extract_bottlenecks(read_dataset(photo_folder), extractor, cache.with_name(str(number)),
                                execution=execution)
        assert "memfd:tfpoets" not in Path("/proc/self/maps").read_text()
    finally:
        gc.enable()


def children(pid: int) -> list[int]:
    """Return the running child processes of a process."""
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()]


@pytest.fixture
def running_script(tmp_path: Path, photo_folder: Path, tiny_module: Path, model_dir: Path, cache: Path,
                   extractor: Extractor) -> Iterator[RunningScript]:
    """The process that runs SCRIPT, and its workers, after some photos were processed."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, str(script), str(photo_folder), str(tiny_module), str(model_dir),
                                str(cache)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, start_new_session=True,
                               preexec_fn=accept_interrupts)
    wait_until(lambda: len(children(process.pid)) == 2)
    with BottleneckCache(cache) as stored:
        wait_until(lambda: bool(stored.digests_with_vector(extractor.digest)))
    yield process, children(process.pid)
    process.kill()
    process.communicate()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_when_their_parent_is_killed(running_script: RunningScript, photo_folder: Path,
                                                 extractor: Extractor, cache: Path) -> None:
    process, workers = running_script
    process.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert 0 < extract_bottlenecks(read_dataset(photo_folder), extractor, cache).computed < 60


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_quietly_on_ctrl_c(running_script: RunningScript, photo_folder: Path, extractor: Extractor,
                                       cache: Path) -> None:
    process, workers = running_script
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=10)
    assert output == "interrupted\n" and "Traceback" not in errors
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert 0 < extract_bottlenecks(read_dataset(photo_folder), extractor, cache).computed < 60


def test_a_script_without_a_main_guard_runs_only_once(tmp_path: Path, photo_folder: Path, tiny_module: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("""
print("started")
import tfpoets.extractors.execution as execution
execution.MIN_PROCESSES = execution.MIN_PHOTOS_PER_PROCESS = 2
execution.core_count = lambda: 2
import tfpoets
result = tfpoets.retrain("photos", handle="module", testing_percentage=20)
print(result.n_computed_bottlenecks, result.metrics.count)
""")
    shutil.copytree(tiny_module, tmp_path / "module")
    output = subprocess.run([sys.executable, "-W", "error::RuntimeWarning", str(script)], text=True, check=True,
                            stdout=subprocess.PIPE, cwd=tmp_path,
                            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}).stdout
    started, result = output.splitlines()
    assert started == "started" and result.startswith("60 ")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_uses_less_than_250_mb(flowers: Path, model_dir: Path, cache: Path) -> None:
    extractor = open_extractor("efficientnet_lite0", model_dir=model_dir)
    peaks: dict[int, int] = {}

    def read_peaks(_: object) -> None:
        for pid in children(os.getpid()):
            fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            if "VmHWM" in fields:
                peaks[pid] = int(fields["VmHWM"].split()[0]) // 1024
    dataset = read_dataset(flowers)
    with listen_to_progress(read_peaks):
        extract_bottlenecks(dataset.select(np.arange(len(dataset.photos)) % 15 == 0), extractor, cache,
                            execution=PROCESSES)
    assert len(peaks) >= 2 and max(peaks.values()) < 250, peaks
