"""Measure extraction on Ray clusters whose nodes are all on this machine.

    python -m tests.benchmarks.scale_cluster [--photos=PHOTOS] [--steps=scaling,real,node,writer]

scaling: one and two nodes with one core each. Each photo takes a fixed time without using a core, so that the nodes do
    not compete for the cores of this machine. The rate is that at which the workers open photos, from the 100th to the
    last one.
real: the same with real photos and the default network.
node: a node is killed when half of the photos have been processed.
writer: the most photos per second that this process receives from workers that do almost nothing, and stores, and its
    memory (RssAnon) meanwhile.
"""
from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tfpoets.data import Dataset, Photo, read_dataset
from tfpoets.extractors import ExecutionOptions, Extractor, extract_bottlenecks, open_extractor
from tfpoets.extractors.cluster import ENVIRONMENT
from tfpoets.progress import Progress, listen_to_progress

from .coordinator import ConstantEngine

DEPTH = 1280
NODE = {"num_cpus": 1, "object_store_memory": 200 * 2 ** 20}
STEPS = ("scaling", "real", "node", "writer")


class MadePhotos:
    """A source of photos of 2 x 2 pixels, all of them different, which take a fixed time to open.

    Args:
        seconds: The time to open one.
        log: A file to which the time is appended whenever one is opened, or None.
    """

    def __init__(self, seconds: float = 0, log: Path | None = None):
        self._seconds, self._log = seconds, log

    def open(self, uri: str) -> BinaryIO:
        """Return the bytes of a photo (netpbm), which contain its number."""
        if self._seconds:
            time.sleep(self._seconds)
        if self._log:
            with self._log.open("ab") as file:
                file.write(np.float64(time.time()).tobytes())
        return io.BytesIO(b"P6 2 2 255\n" + int(uri.rsplit("/", 1)[1]).to_bytes(12, "little"))

    def stamps(self, uris: Iterable[str]) -> dict[str, str]:
        """Return a stamp that never changes."""
        return dict.fromkeys(uris, "made")

    def dataset(self, count: int) -> Dataset:
        """Return a dataset of `count` photos in two classes."""
        photos = [Photo(f"made://{number}", f"class{number % 2}", source=self) for number in range(count)]
        return Dataset("made", ("class0", "class1"), tuple(photos))


class Rate:
    """Listens to progress, and measures the photos per second from the first results on.

    Args:
        start: The number of photos after which the time starts.
        on_photo: Called with the number of photos.
    """

    def __init__(self, start: int, on_photo: Callable[[int], object] = lambda done: None):
        self._start, self._on_photo = start, on_photo
        self._times: dict[int, tuple[float, float]] = {}

    def __call__(self, progress: Progress) -> None:
        """Record the time."""
        if progress.done == self._start or progress.done == progress.total:
            self._times[progress.done] = time.perf_counter(), time.process_time()
        self._on_photo(progress.done)

    def value(self, clock: int = 0) -> float:
        """Return the photos per second of wall-clock time (0), or of the processor time of this process (1)."""
        (first, start), (last, end) = self._times.items()
        return (last - first) / (end[clock] - start[clock])


def main() -> None:
    """Print the measurements, one per line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--seconds", type=float, default=0.05, help="time of an emulated photo")
    parser.add_argument("--count", type=int, default=50_000, help="photos of the step writer")
    flags = parser.parse_args()
    # Ray gives its workers a low priority. Then other programs on this machine would slow down the nodes.
    os.environ.update(ENVIRONMENT, RAY_worker_niceness="0")
    os.environ["PYTHONPATH"] = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory(prefix="tfpoets-scale-") as folder:
        for step in flags.steps.split(","):
            globals()[f"measure_{step}"](Path(folder), flags)


def measure_scaling(folder: Path, flags: argparse.Namespace) -> None:
    """Print the scaling efficiency with emulated photos."""
    rates = []
    for n_nodes in (1, 2):
        rates.append(_emulated_rate(folder / f"scaling{n_nodes}", n_nodes, flags.seconds))
        print(f"emulated, {n_nodes} nodes: {rates[-1]:.2f} photos/s", flush=True)
    print(f"emulated: scaling efficiency {rates[1] / rates[0] / 2:.3f} at {1 / flags.seconds:.1f} photos/s per core",
          flush=True)


def _emulated_rate(cache: Path, n_nodes: int, seconds: float) -> float:
    log, count = cache.with_suffix(".log"), 1000 * n_nodes
    with running_cluster(n_nodes):
        bottlenecks = extract(MadePhotos(seconds, log).dataset(count), cache)
    assert bottlenecks.computed == count
    times = np.sort(np.fromfile(log))
    return (len(times) - 100) / (times[-1] - times[99])


def measure_real(folder: Path, flags: argparse.Namespace) -> None:
    """Print the scaling efficiency with real photos."""
    dataset, rates = read_dataset(flags.photos), []
    extractor = open_extractor(model_dir=folder / "models")
    for n_nodes in (1, 2):
        rate = Rate(100)
        with running_cluster(n_nodes), listen_to_progress(rate):
            extract_bottlenecks(dataset, extractor, folder / f"real{n_nodes}",
                                execution=ExecutionOptions(ray_address="auto"))
        rates.append(rate.value())
        print(f"real, {n_nodes} nodes: {rates[-1]:.1f} photos/s", flush=True)
    rate = Rate(100)
    with listen_to_progress(rate):
        extract_bottlenecks(dataset, extractor, folder / "real")
    print(f"real: scaling efficiency {rates[1] / rates[0] / 2:.3f}; without Ray, on all cores: {rate.value():.1f} "
          "photos/s", flush=True)


def measure_node(folder: Path, flags: argparse.Namespace) -> None:
    """Print how many photos are opened again after a node was killed half-way."""
    count, opened = 600, folder / "opened"
    with running_cluster(2) as cluster:
        def kill_half_way(done: int) -> None:
            if done == count // 2:
                cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
        rate = Rate(100, kill_half_way)
        with listen_to_progress(rate):
            bottlenecks = extract(MadePhotos(flags.seconds, opened).dataset(count), folder / "node")
    n_opened = len(np.fromfile(opened))
    print(f"node killed after {count // 2} of {count}: {bottlenecks.computed} computed, "
          f"{len(bottlenecks.unreadable)} unreadable, {n_opened - count} opened again", flush=True)


def _anonymous_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return round(int(status.split("RssAnon:")[1].split()[0]) / 1024, 1)


def measure_writer(folder: Path, flags: argparse.Namespace) -> None:
    """Print the most photos per second that this process can receive and store, and its memory meanwhile."""
    memory: dict[int, float] = {}

    def record(done: int) -> None:
        if done % 5000 == 0:
            memory[done] = _anonymous_megabytes()
    rate = Rate(1000, record)
    with running_cluster(2), listen_to_progress(rate):
        extract(MadePhotos().dataset(flags.count), folder / "writer")
    print(f"writer: {rate.value():.0f} photos/s, while the workers use the same cores; "
          f"{rate.value(1):.0f} photos per second of processor time of this process", flush=True)
    print(f"memory of this process in MB, by photos: {memory}", flush=True)


def extract(dataset: Dataset, cache: Path) -> Any:
    """Extract constant bottlenecks on the cluster."""
    extractor = Extractor("constant", "constant", "constant", 8, 8, DEPTH, cache)
    return extract_bottlenecks(dataset, extractor, cache,
                               execution=ExecutionOptions(ray_address="auto", engine=ConstantEngine(DEPTH)))


@contextmanager
def running_cluster(n_nodes: int) -> Iterator[Any]:
    """Run a cluster of a head without cores and nodes with one core each; "auto" is its address."""
    import ray
    from ray.cluster_utils import Cluster
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(n_nodes):
            cluster.add_node(**NODE)
        cluster.wait_for_nodes()
        os.environ["RAY_ADDRESS"] = cluster.address
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    # Imported, because workers cannot find a class that is defined in the main module.
    from tests.benchmarks import scale_cluster
    scale_cluster.main()
