"""Run a Ray Data pipeline that processes photos, and read its results."""
from __future__ import annotations

import contextlib
import logging
import queue
import re
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tfpoets.child_process import SINGLE_THREADED
from tfpoets.data import FileReader
from tfpoets.errors import ExtractorError, one_line

from .cached_values import CachedValues
from .cluster import Cluster
from .engines import NoGPUError, PixelEngine
from .photo_processor import ExtractionJob

# How often Ray starts a task again after its worker or node failed, before the photos are given out anew.
MAX_TASK_RETRIES = 1
# The sizes of the blocks in which results are sent, in bytes: the bottlenecks of a task, or about 50 decoded photos.
# With smaller blocks, this process spends more time on receiving them than on storing the results.
RESULT_BLOCK_BYTES, PIXEL_BLOCK_BYTES = 2 ** 20, 2 ** 24
# Blocks that wait for the writer of the cache in this process. Beyond this, Ray Data stops giving out work.
MAX_WAITING_BLOCKS = 8
# If no result arrives for this long, in seconds, it is checked whether the cluster still has nodes.
STALL_SECONDS = 30


class Pipeline:
    """A Ray Data pipeline whose results are read by this process.

    Ray Data cannot be used over Ray Client; there, an actor on the cluster runs it (`_Stream`).

    Args:
        job: The values to compute for each photo.
        engine: The engine for the bottlenecks.
        sources: The readers that open the files.
        cached: The values that need not be computed.
        cluster: The cluster.
    """

    def __init__(self, job: ExtractionJob, engine: PixelEngine, sources: Sequence[FileReader], cached: CachedValues,
                 cluster: Cluster):
        import ray

        from .cluster_worker import ClusterSetup, KnownValues
        self._ray, self._cluster = ray, cluster
        self._batch_size = engine.batch_size
        try:
            self._setup: Any = ray.put(ClusterSetup(job, engine, sources, KnownValues(cached)))
        except Exception as error:  # pickle and Ray raise many kinds of errors
            raise ExtractorError(f"The photos cannot be processed by a Ray cluster: {one_line(error)}",
                                 "Omit `ray_address`.") from error

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self._setup = None

    def run(self, tasks: Iterable[Any]) -> Iterator[Any]:
        """Yield tables of results as they arrive, and None after each second without one.

        Args:
            tasks: Tables of photos, one for each task.

        Raises:
            ExtractorError: The cluster failed.
            NoGPUError: TensorFlow finds no GPU on a node that has one.
        """
        n_gpus = self._cluster.n_gpus
        n_network_actors = max(1, n_gpus) if self._batch_size > 1 else 0
        actors = _Actors(max(1, self._cluster.n_cpus - n_network_actors), n_network_actors, n_gpus > 0,
                         self._batch_size)
        arguments = ([self._setup], list(tasks), actors)
        if self._cluster.is_client:
            actor: Any = self._ray.remote(num_cpus=0)(_Stream)
            actor = actor.remote(*arguments)
            take, stop = (lambda: self._ray.get(actor.take.remote())), (lambda: self._ray.kill(actor))
        else:
            stream = _Stream(*arguments)
            take, stop = stream.take, stream.stop
        del arguments  # the tables are in Ray's object store
        last_result = time.monotonic()
        try:
            while (tables := take()) is not None:
                yield from tables or [None]
                if tables:
                    last_result = time.monotonic()
                elif time.monotonic() - last_result > STALL_SECONDS and not self._cluster.has_cores():
                    raise ExtractorError("The Ray cluster has lost all nodes with cores.",
                                         "Run the same command again; what was computed is in the cache.")
        except self._ray.exceptions.RayError as error:
            raise _cluster_error(error) from error
        except ConnectionError as error:
            raise _cluster_error(error) from error
        finally:
            with contextlib.suppress(Exception):
                stop()


def _cluster_error(error: Exception) -> ExtractorError:
    if NoGPUError.__name__ in str(error):
        return NoGPUError("TensorFlow finds no GPU on a node of the Ray cluster that has one.",
                          "Install its CUDA libraries there: pip install 'tensorflow[and-cuda]'")
    # The last line of a traceback names the cause; before it, Ray describes the process, with colours.
    last_line = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    reason = one_line(RuntimeError(re.sub(r"\x1b\[[0-9;]*m", "", last_line)))
    return ExtractorError(f"The Ray cluster failed: {reason}",
                          "Run the same command again; what was computed is in the cache.")


@dataclass(frozen=True)
class _Actors:
    """The processes of a pipeline.

    Attributes:
        n_photo_actors: The number of processes that read and decode photos.
        n_network_actors: The number of processes that run the network in batches; 0: the others run it.
        uses_gpus: Whether each of them needs a GPU.
        batch_size: The size of these batches.
    """

    n_photo_actors: int
    n_network_actors: int
    uses_gpus: bool
    batch_size: int


class _Stream:
    """A running Ray Data pipeline, read by a thread.

    Args:
        setup: The reference of a ClusterSetup, in a list, so that Ray does not replace it by its value.
        tasks: Tables of photos, one for each task.
        actors: The processes that run it.
    """

    def __init__(self, setup: list[Any], tasks: Sequence[Any], actors: _Actors):
        self._results: queue.Queue[Any] = queue.Queue(MAX_WAITING_BLOCKS)
        self._stopped = threading.Event()
        dataset = _make_dataset(setup[0], tasks, actors)
        threading.Thread(target=self._read, args=(dataset,), daemon=True).start()

    def take(self) -> list[Any] | None:
        """Return the tables that have arrived; none after a second without any, and None after the last one."""
        tables: list[Any] = []
        with contextlib.suppress(queue.Empty):
            item = self._results.get(timeout=1)
            while True:
                if item is None or isinstance(item, BaseException):
                    if tables:
                        self._results.put(item)  # for the next call; the thread has ended
                        break
                    if item is None:
                        return None
                    raise item
                tables.append(item)
                item = self._results.get_nowait()
        return tables

    def stop(self) -> None:
        """Stop the pipeline."""
        self._stopped.set()

    def _read(self, dataset: Any) -> None:
        try:
            for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=2):
                if not self._put(batch):
                    return
            self._put(None)
        except BaseException as error:  # raised again by `take`
            self._put(error)

    def _put(self, item: Any) -> bool:
        """Add an item when there is room for it; return whether the pipeline has not been stopped."""
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._results.put(item, timeout=1)
                return True
        return False


def _make_dataset(setup: Any, tasks: Sequence[Any], actors: _Actors) -> Any:
    """Return the Ray Data pipeline; see `_Stream` for the arguments."""
    import ray.data

    from .cluster_worker import NetworkActor, PhotoActor
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.CRITICAL + 1)  # its messages are also in Ray's log files
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # photos without results are tried again
    context.target_max_block_size = PIXEL_BLOCK_BYTES if actors.n_network_actors else RESULT_BLOCK_BYTES
    options: dict[str, Any] = {
        "fn_constructor_args": (setup,), "batch_format": "pyarrow", "num_cpus": 1, "max_restarts": -1,
        "max_task_retries": MAX_TASK_RETRIES}
    # From Ray 2.64 on, the number of retries must be stated differently.
    with ray.data.DataContext.current(context), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = ray.data.from_arrow(list(tasks)).map_batches(
            PhotoActor, batch_size=None, compute=_pool(actors.n_photo_actors),
            runtime_env={"env_vars": SINGLE_THREADED}, **options)
        if actors.n_network_actors:
            dataset = dataset.map_batches(
                NetworkActor, batch_size=actors.batch_size, compute=_pool(actors.n_network_actors),
                num_gpus=1 if actors.uses_gpus else 0, **options)
    return dataset


def _pool(count: int) -> Any:
    """Return a pool that starts with `count` processes, becomes smaller with the cluster, and larger."""
    import ray.data
    return ray.data.ActorPoolStrategy(min_size=1, max_size=None, initial_size=count)
