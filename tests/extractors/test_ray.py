"""A Ray cluster gives the same results as this machine, whatever happens to its nodes and processes.

The cluster has a head without cores, and two nodes with one core each, all on this machine.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from tests.attack.hostile_photos import png_bomb
from tests.conftest import accept_interrupts, write_photos
from tests.extractors.test_worker_processes import (BRIGHTNESS, THREADS, KillingFiles, SlowFiles, assert_equal,
                                                    with_source)
from tfpoets.data import AugmentationOptions, LocalFiles, read_dataset
from tfpoets.errors import ExtractorError
from tfpoets.extractors import (INPUT_NODE, OUTPUT_NODE, ExecutionOptions, Extractor, TensorFlowEngine,
                                extract_augmented, extract_bottlenecks)
from tfpoets.extractors import cluster as cluster_module
from tfpoets.progress import listen_to_progress

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow
MEGABYTES = 2 ** 20
NODE = {"num_cpus": 1, "object_store_memory": 200 * MEGABYTES}
RAY = ExecutionOptions(ray_address="auto")
PROJECT = Path(__file__).parents[2]
# A script that extracts bottlenecks on the cluster, and prints when 10 photos have been processed.
SCRIPT = """
import sys
from tests.extractors.test_ray import RAY
from tests.extractors.test_worker_processes import SlowFiles, with_source
from tfpoets.data import read_dataset
from tfpoets.extractors import extract_bottlenecks, open_extractor
from tfpoets.progress import listen_to_progress
photos, module, models, cache = sys.argv[1:]
dataset, extractor = with_source(read_dataset(photos), SlowFiles()), open_extractor(module, model_dir=models)
try:
    with listen_to_progress(lambda progress: progress.done == 10 and print(10, flush=True)):
        extract_bottlenecks(dataset, extractor, cache, execution=RAY)
except KeyboardInterrupt:
    print("interrupted")
"""


class FilesOfThisProcess(LocalFiles):
    """Local files that only the process that listed them can open."""

    def __init__(self) -> None:
        self._process = os.getpid()

    def open(self, uri: str) -> BinaryIO:
        return super().open(uri if os.getpid() == self._process else f"{uri}.missing")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A running cluster, which RAY_ADDRESS names, so that "auto" is its address."""
    with pytest.MonkeyPatch.context() as patch:
        # By default, Ray's workers have a low priority, and other programs would slow down the tests.
        for name, value in {**cluster_module.ENVIRONMENT, "RAY_worker_niceness": "0"}.items():
            patch.setenv(name, value)
        paths = os.pathsep.join([str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])
        patch.setenv("PYTHONPATH", paths)
        from ray.cluster_utils import Cluster
        running = Cluster(initialize_head=True, head_node_args={
            **NODE, "num_cpus": 0, "include_dashboard": False, "ray_client_server_port": free_port()})
        try:
            for _ in range(2):
                running.add_node(**NODE)
            running.wait_for_nodes()
            patch.setenv("RAY_ADDRESS", running.address)
            yield running
        finally:
            ray.shutdown()
            running.shutdown()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def client_address(cluster: Any) -> str:
    return f"ray://127.0.0.1:{cluster.head_node._ray_params.ray_client_server_port}"


def worker_processes() -> list[int]:
    """Return the processes of this user that run actors of the photo pipeline."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if b"ray::MapWorker(MapBatches(PhotoActor))" in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_a_cluster_gives_the_same_results(cluster: Any, photo_folder: Path, extractor: Extractor, cache: Path) -> None:
    (photo_folder / "red" / "empty.jpg").write_bytes(b"")
    (photo_folder / "green" / "notes.jpg").write_text("not a photo")
    (photo_folder / "green" / "bomb.png").write_bytes(png_bomb())
    for number in range(10):
        shutil.copy(photo_folder / "red" / "000.png", photo_folder / "blue" / f"copy{number}.png")
    dataset = read_dataset(photo_folder)
    here = extract_bottlenecks(dataset, extractor, cache, [BRIGHTNESS], THREADS)
    there = extract_bottlenecks(dataset, extractor, cache.with_name("other"), [BRIGHTNESS], RAY)
    assert_equal(here, there)
    assert len(there.unreadable) == 3 and there.computed == here.computed == 60


def test_values_in_the_cache_are_not_computed_again(cluster: Any, photo_folder: Path, extractor: Extractor,
                                                    cache: Path) -> None:
    extract_bottlenecks(read_dataset(photo_folder), extractor, cache, execution=THREADS)
    moved = photo_folder.rename(photo_folder.with_name("moved"))
    write_photos(moved / "red", 25, 0)
    bottlenecks = extract_bottlenecks(read_dataset(moved), extractor, cache, [BRIGHTNESS], RAY)
    assert bottlenecks.computed == 5 and len(bottlenecks.dataset.measures[BRIGHTNESS.name]) == 65


def test_ray_client_gives_the_same_augmented_views(cluster: Any, photo_folder: Path, extractor: Extractor, cache: Path
                                                   ) -> None:
    photos = extract_bottlenecks(read_dataset(photo_folder), extractor, cache, execution=THREADS).dataset.photos
    augmentation = AugmentationOptions(flip_left_right=True, random_crop=10)
    here, _ = extract_augmented(photos, extractor, cache, augmentation, 2, THREADS)
    there, computed = extract_augmented(photos, extractor, cache.with_name("other"), augmentation, 2,
                                        ExecutionOptions(ray_address=client_address(cluster)))
    assert here.tobytes() == there.tobytes() and computed == 120


def test_an_engine_for_batches_has_its_own_processes(cluster: Any, photo_folder: Path, extractor: Extractor,
                                                     cache: Path) -> None:
    engine = TensorFlowEngine(extractor.graph_path, INPUT_NODE, OUTPUT_NODE, batch_size=8)
    here = extract_bottlenecks(read_dataset(photo_folder), extractor, cache, execution=ExecutionOptions(engine=engine))
    there = extract_bottlenecks(read_dataset(photo_folder), extractor, cache.with_name("other"),
                                execution=ExecutionOptions(engine=engine, ray_address="auto"))
    assert np.allclose(here.features, there.features, atol=1e-6) and there.computed == 60


def test_a_worker_that_is_killed_costs_no_photo(cluster: Any, photo_folder: Path, extractor: Extractor, cache: Path
                                                ) -> None:
    dataset = with_source(read_dataset(photo_folder), SlowFiles())
    killed: list[int] = []

    def kill_once(progress: Any) -> None:
        if progress.done >= 10 and not killed:
            killed.extend(worker_processes()[:1])
            os.kill(killed[0], signal.SIGKILL)
    with listen_to_progress(kill_once):
        there = extract_bottlenecks(dataset, extractor, cache, execution=RAY)
    assert killed and there.computed == 60 and not there.unreadable
    assert there.features.tobytes() == extract_bottlenecks(
        dataset, extractor, cache.with_name("other"), execution=THREADS).features.tobytes()


def test_a_node_that_is_lost_costs_no_photo(cluster: Any, photo_folder: Path, extractor: Extractor, cache: Path
                                            ) -> None:
    dataset = with_source(read_dataset(photo_folder), SlowFiles())
    lost: list[Any] = []

    def remove_once(progress: Any) -> None:
        if progress.done >= 10 and not lost:
            lost.append(cluster.list_all_nodes()[-1])
            cluster.remove_node(lost[0], allow_graceful=False)
    try:
        with listen_to_progress(remove_once):
            there = extract_bottlenecks(dataset, extractor, cache, execution=RAY)
    finally:
        cluster.add_node(**NODE)
    assert lost and there.computed == 60 and not there.unreadable
    assert there.features.tobytes() == extract_bottlenecks(
        dataset, extractor, cache.with_name("other"), execution=THREADS).features.tobytes()


def test_a_photo_that_ends_workers_again_and_again_is_listed(cluster: Any, photo_folder: Path, extractor: Extractor,
                                                             cache: Path) -> None:
    dataset = with_source(read_dataset(photo_folder), KillingFiles())
    there = extract_bottlenecks(dataset, extractor, cache, execution=RAY)
    (photo, reason), = there.unreadable
    assert Path(photo.uri).name == "005.png" and "ended unexpectedly (SIGKILL)" in reason and there.computed == 59


def test_nodes_must_have_the_same_version(cluster: Any, photo_folder: Path, extractor: Extractor, cache: Path,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfpoets.__version__", "99.0")
    with pytest.raises(ExtractorError, match=r"The node \S+ has tfpoets 3\S*, but this machine has 99.0.") as error:
        extract_bottlenecks(read_dataset(photo_folder), extractor, cache, execution=RAY)
    assert "pip install tfpoets==99.0" in error.value.remedy and not ray.is_initialized()


def test_nodes_must_have_the_photos(cluster: Any, photo_folder: Path, extractor: Extractor, cache: Path) -> None:
    dataset = with_source(read_dataset(photo_folder), FilesOfThisProcess())
    with pytest.raises(ExtractorError, match=r"The node \S+ cannot read .*000.png: "):
        extract_bottlenecks(dataset, extractor, cache, execution=RAY)


def test_the_command_writes_the_same_files_and_hides_ray(cluster: Any, photo_folder: Path, tiny_module: Path,
                                                         model_dir: Path, tmp_path: Path) -> None:
    graphs = []
    for number, flags in enumerate([["--ray_address=auto"], []]):
        folder = tmp_path / str(number)
        command = [sys.executable, "-m", "scripts.retrain", f"--image_dir={photo_folder}", "--format=json",
                   f"--tfhub_module={tiny_module}", f"--model_dir={model_dir}", f"--bottleneck_dir={folder}/cache",
                   f"--output_graph={folder}/graph.pb", f"--output_labels={folder}/labels.txt", *flags]
        result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["files"]
        assert not re.search(r"raylet|ray\.data|Starting execution|logging\.cc", result.stderr, re.IGNORECASE)
        graphs.append((folder / "graph.pb").read_bytes())  # the other files also contain dates and paths
    assert graphs[0] == graphs[1]


def test_ctrl_c_stops_and_keeps_what_was_computed(cluster: Any, photo_folder: Path, tiny_module: Path,
                                                  model_dir: Path, extractor: Extractor, cache: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, photo_folder, tiny_module, model_dir, cache],
                               cwd=PROJECT, stdout=subprocess.PIPE, preexec_fn=accept_interrupts)
    assert process.stdout and process.stdout.readline() == b"10\n"
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert output == b"interrupted\n" and process.returncode == 0
    rest = extract_bottlenecks(read_dataset(photo_folder), extractor, cache, execution=THREADS)
    assert 0 < rest.computed <= 51
