"""How bottlenecks are computed: with which engine, and in how many threads or processes."""
from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tfpoets.data import Photo
from tfpoets.memory import free_memory
from tfpoets.parallel import core_count

from .batches import Workers
from .cached_values import CachedValues
from .cluster import Cluster, check_ray_address
from .cluster_workers import ClusterWorkers, cluster_engine
from .devices import has_nvidia_driver
from .engines import LiteRTEngine, PixelEngine, TensorFlowEngine, gpu_batch_size, is_litert_installed
from .extractor import Extractor
from .photo_processor import ExtractionJob
from .tflite_conversion import INPUT_NODE, OUTPUT_NODE
from .worker_processes import SLOT_BYTES, WorkerProcesses
from .worker_protocol import WorkersUnavailableError
from .worker_threads import WorkerThreads

log = logging.getLogger(__name__)

# TensorFlow takes about ten seconds to start on a GPU. With up to this many photos per core, the CPU finishes sooner.
MAX_PHOTOS_PER_CORE_WITHOUT_GPU = 250
# With fewer cores, threads spend little time waiting for the GIL.
MIN_PROCESSES = 4
# Starting a process takes as long as processing about this many photos.
MIN_PHOTOS_PER_PROCESS = 60


def min_photos_for_processes(n_workers: int) -> int:
    """Return the smallest number of photos for which `n_workers` processes are used instead of threads."""
    return MIN_PHOTOS_PER_PROCESS * n_workers


@dataclass(frozen=True)
class ExecutionPlan:
    """The engine and the workers that compute bottlenecks.

    Attributes:
        engine: The engine.
        n_workers: The number of threads or processes that decode photos and, with LiteRT, compute bottlenecks.
        uses_processes: Whether they are processes.
        cluster: The cluster whose processes do this instead; None: this machine does.
    """

    engine: PixelEngine
    n_workers: int
    uses_processes: bool
    cluster: Cluster | None = None

    @property
    def uses_gpu(self) -> bool:
        """Whether the engine needs a GPU."""
        return isinstance(self.engine, TensorFlowEngine) and self.engine.requires_gpu

    def workers(self, photos: Sequence[Photo], cached: CachedValues, job: ExtractionJob,
                slot_bytes: int | None = None) -> Workers:
        """Return the workers for these photos; `slot_bytes` is the size of the memory that processes share."""
        if self.cluster:
            own_engine = _choose_engine(job.extractor, uses_gpu=False) if self.uses_gpu else self.engine
            return ClusterWorkers(photos, cached, job, cluster_engine(self.engine), self.cluster, own_engine)
        n_workers = min(self.n_workers, len(photos))
        if self.uses_processes:
            return WorkerProcesses(photos, cached, job, self.engine, n_workers,
                                   SLOT_BYTES if slot_bytes is None else slot_bytes)
        return WorkerThreads(photos, cached, job, self.engine, n_workers)


@dataclass(frozen=True)
class ExecutionOptions:
    """Options that control how bottlenecks are computed.

    The number and kind of workers do not change the bottlenecks; those of different engines differ by rounding errors.

    Attributes:
        workers: The number of threads or processes; None: one per core.
        processes: Whether to use processes instead of threads; None: processes are used if a GPU computes the
            bottlenecks, or if there are at least MIN_PROCESSES workers and MIN_PHOTOS_PER_PROCESS photos for each of
            them.
        engine: The engine; None: TensorFlow if it finds a GPU and there are more than
            MAX_PHOTOS_PER_CORE_WITHOUT_GPU photos per core, or if LiteRT is not installed; otherwise LiteRT.
        max_memory_gb: Bottlenecks that take more memory than this are kept in a temporary file, in units of 10^9
            bytes; None: half of the memory that is free.
        ray_address: The Ray cluster whose nodes compute them: "auto" for the cluster of this machine, "local" for a
            new one on this machine, or ray://HOST:PORT. "": this machine computes them. `workers` and `processes` do
            not apply to clusters.
    """

    workers: int | None = None
    processes: bool | None = None
    engine: PixelEngine | None = None
    max_memory_gb: float | None = None
    ray_address: str = ""

    def __post_init__(self) -> None:
        check_ray_address("ray_address", self.ray_address)

    @property
    def max_bytes(self) -> int:
        """The largest size of bottlenecks in memory."""
        return free_memory() // 2 if self.max_memory_gb is None else int(self.max_memory_gb * 1e9)

    def plan(self, extractor: Extractor, n_photos: int, may_use_gpu: bool = True) -> ExecutionPlan:
        """Return how to compute the bottlenecks of `n_photos` photos, on this machine or on the cluster.

        Args:
            extractor: The extractor.
            n_photos: The number of photos.
            may_use_gpu: Whether TensorFlow may find a GPU, which is not checked here: that takes several seconds.

        Raises:
            ExtractorError: The cluster cannot be used.
        """
        if self.ray_address and n_photos:
            return self._plan_on_cluster(extractor, n_photos, may_use_gpu)
        uses_gpu = (self.engine is None and may_use_gpu and has_nvidia_driver()
                    and n_photos > MAX_PHOTOS_PER_CORE_WITHOUT_GPU * core_count())
        n_workers = self.workers or core_count()
        uses_processes = self.processes
        if uses_processes is None:
            uses_processes = uses_gpu or (n_workers >= MIN_PROCESSES
                                          and n_photos >= min_photos_for_processes(n_workers))
        return ExecutionPlan(self.engine or _choose_engine(extractor, uses_gpu), n_workers, uses_processes)

    def plan_after(self, error: Exception, plan: ExecutionPlan, extractor: Extractor, n_photos: int) -> ExecutionPlan:
        """Return how to compute bottlenecks after a plan failed; raise the error if there is no other way.

        Args:
            error: A NoGPUError or WorkersUnavailableError.
            plan: The plan that failed.
            extractor: The extractor.
            n_photos: The number of photos.
        """
        if isinstance(error, WorkersUnavailableError) and plan.cluster:
            return replace(self, ray_address="").plan_after(error, replace(plan, cluster=None), extractor, n_photos)
        if isinstance(error, WorkersUnavailableError):
            log.debug("Worker processes cannot be used (%s). Threads are used instead.", error)
            return replace(plan, uses_processes=False)
        if self.engine is not None:
            raise error
        return self.plan(extractor, n_photos, may_use_gpu=False)

    def _plan_on_cluster(self, extractor: Extractor, n_photos: int, may_use_gpu: bool) -> ExecutionPlan:
        cluster = Cluster(self.ray_address)
        uses_gpu = (self.engine is None and may_use_gpu and cluster.n_gpus > 0
                    and n_photos > MAX_PHOTOS_PER_CORE_WITHOUT_GPU * cluster.n_cpus)
        return ExecutionPlan(self.engine or _choose_engine(extractor, uses_gpu), cluster.n_cpus, False, cluster)


def _choose_engine(extractor: Extractor, uses_gpu: bool) -> PixelEngine:
    if uses_gpu:
        return TensorFlowEngine(extractor.graph_path, INPUT_NODE, OUTPUT_NODE, requires_gpu=True,
                                batch_size=gpu_batch_size(extractor.height, extractor.width))
    if is_litert_installed():
        return LiteRTEngine(extractor.tflite_path)
    return TensorFlowEngine(extractor.graph_path, INPUT_NODE, OUTPUT_NODE)
