"""A Ray cluster gives the same results as this machine, whatever happens to its nodes and processes.

The cluster has a head without cores, and two nodes with one core each, all on this machine.
"""
from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from tests.attack.hostile_photos import png_bomb
from tests.conftest import accept_interrupts, write_photos
from tests.extractors.test_worker_processes import BRIGHTNESS, THREADS, KillingFiles, assert_equal, with_source
from tfpoets.data import AugmentationOptions, LocalFiles, read_dataset
from tfpoets.errors import ExtractorError
from tfpoets.extractors import (INPUT_NODE, OUTPUT_NODE, BottleneckCache, ExecutionOptions, Extractor,
                                TensorFlowEngine, extract_augmented, extract_bottlenecks)
from tfpoets.extractors import cluster as cluster_module
from tfpoets.progress import listen_to_progress

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray")
MEGABYTES = 2 ** 20
NODE = {"num_cpus": 1, "object_store_memory": 200 * MEGABYTES}
RAY = ExecutionOptions(ray_address="auto")
PROJECT = Path(__file__).parents[2]


class SlowFiles(LocalFiles):
    """Local files that take 0.1 s to open."""

    def open(self, uri: str) -> BinaryIO:
        time.sleep(0.1)
        return super().open(uri)


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
        for name, value in cluster_module.ENVIRONMENT.items():
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


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, *sys.argv[1:]]))
