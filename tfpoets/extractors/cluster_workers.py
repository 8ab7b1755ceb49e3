"""Process photos on all nodes of a Ray cluster, with Ray Data."""
from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import islice

from tfpoets.data import Photo

from .batches import BatchThreads, complete_results
from .cached_values import CachedValues
from .cluster import Cluster
from .cluster_pipeline import Pipeline
from .engines import LiteRTEngine, PixelEngine, TensorFlowEngine
from .photo_processor import ExtractionJob, PhotoResult
from .worker_processes import WorkerProcesses, number_sources

log = logging.getLogger(__name__)

# A task processes at most this many photos, and fewer if there would be less than TASKS_PER_CORE tasks for each core,
# so that all cores finish together. What a worker or node was processing when it failed is computed again.
MAX_PHOTOS_PER_TASK = 128
TASKS_PER_CORE = 8
# Photos of tasks that failed are tried again in small tasks, because one of them may have ended the worker. What fails
# again is processed on this machine, where a photo that ends a process is found and listed.
PHOTOS_PER_REPEATED_TASK = 8


class ClusterWorkers:
    """The processes of a Ray cluster that process photos; see `Workers`.

    Args:
        photos: The photos to process.
        cached: The values that need not be computed.
        job: The values to compute for each photo.
        engine: The engine for the bottlenecks, with the network itself instead of its path (`cluster_engine`).
        cluster: The cluster, which is closed when all results have been yielded.
        own_engine: The engine for photos that fail on the cluster, on this machine.

    Attributes:
        batch_size: 1, because the cluster computes the bottlenecks itself.
        max_waiting: 0.
    """

    batch_size, max_waiting = 1, 0

    def __init__(self, photos: Sequence[Photo], cached: CachedValues, job: ExtractionJob, engine: PixelEngine,
                 cluster: Cluster, own_engine: PixelEngine):
        self._photos, self._cached, self._job = photos, cached, job
        self._engine, self._cluster, self._own_engine = engine, cluster, own_engine
        self._is_finished, self._n_missing = bytearray(len(photos)), len(photos)

    @property
    def finished(self) -> bool:
        """Whether the results of all photos have been yielded."""
        return not self._n_missing

    def results(self) -> Generator[tuple[Photo, PhotoResult] | None, None, None]:
        """Start, and yield photos and results as they become available; see `Workers`.

        Raises:
            ExtractorError: The nodes lack photos or packages, or the cluster failed.
            NoGPUError: TensorFlow finds no GPU on a node that has one.
        """
        try:
            sources, indexes = number_sources(self._photos)
            self._cluster.check_nodes([(sources[indexes[row]], _absolute(self._photos[row].uri)) for row in (0, -1)])
            with Pipeline(self._job, self._engine, sources, self._cached, self._cluster) as pipeline:
                n_tasks = TASKS_PER_CORE * self._cluster.n_cpus
                size = min(MAX_PHOTOS_PER_TASK, -(-self._n_missing // n_tasks))
                yield from self._run(pipeline, size, indexes)
                if self._n_missing:
                    yield from self._run(pipeline, PHOTOS_PER_REPEATED_TASK, indexes)
        finally:
            self._cluster.close()
        if self._n_missing:
            yield from self._run_here()

    def start_engine(self) -> BatchThreads:
        """Raise NotImplementedError: the cluster runs the engine."""
        raise NotImplementedError

    def release(self, result: PhotoResult) -> None:
        """Do nothing: results contain no pixels."""

    def wake(self) -> None:
        """Do nothing: there are no other threads that wait for `results`."""

    def _run(self, pipeline: Pipeline, size: int, sources: Sequence[int]
             ) -> Iterator[tuple[Photo, PhotoResult] | None]:
        """Yield the results of the photos that have none yet, in tasks of `size` photos."""
        from .cluster_worker import photo_table, read_results
        missing = self._missing_numbers()
        rows = ((number, _absolute(self._photos[number].uri), sources[number]) for number in missing)
        for table in pipeline.run(photo_table(list(islice(rows, size))) for _ in range(0, len(missing), size)):
            if table is None:
                yield None
                continue
            for number, result in read_results(table):
                if not self._is_finished[number]:  # tasks that were started again repeat some results
                    self._finish(number)
                    yield self._photos[number], self._without_repeated(result)

    def _run_here(self) -> Iterator[tuple[Photo, PhotoResult] | None]:
        """Yield the results of the photos that failed on the cluster, computed by a process of this machine."""
        log.debug("Photos that were not processed by the cluster: %d.", self._n_missing)
        photos = [self._photos[number] for number in self._missing_numbers()]
        numbers = {id(photo): number for photo, number in zip(photos, self._missing_numbers())}
        workers = WorkerProcesses(photos, self._cached, self._job, self._own_engine, 1)
        with closing(complete_results(workers)) as results:
            for item in results:
                if item is not None:
                    self._finish(numbers[id(item[0])])
                yield item

    def _missing_numbers(self) -> list[int]:
        """Return the numbers of the photos that have no result yet."""
        return [number for number, is_finished in enumerate(self._is_finished) if not is_finished]

    def _finish(self, number: int) -> None:
        self._is_finished[number] = True
        self._n_missing -= 1

    def _without_repeated(self, result: PhotoResult) -> PhotoResult:
        """Return a result without the values that another file with the same bytes has already given."""
        if not result.digest or result.reason:
            return result
        missing = self._cached.claim_missing(result.digest)
        views = list(zip(result.views, result.vectors))
        result.views = [view for view, _ in views if view in missing]
        result.vectors = [vector for view, vector in views if view in missing]
        return result


def cluster_engine(engine: PixelEngine) -> PixelEngine:
    """Return an engine that contains its network, because the nodes do not have its file."""
    return engine.with_contents() if isinstance(engine, LiteRTEngine | TensorFlowEngine) else engine


def _absolute(uri: str) -> str:
    """Return a URI that means the same in the working folder of another process."""
    return uri if "://" in uri or os.path.isabs(uri) else os.path.abspath(uri)
