"""Worker processes that process photos: for many photos on many cores, where threads would wait for the GIL."""
from __future__ import annotations

import pickle
import queue
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np

from tfpoets.data import STOP_SIGNALS, FileReader, Photo
from tfpoets.errors import ExtractorError

from .batches import MAX_BATCHES_IN_FLIGHT, BatchThreads
from .cached_values import CachedValues, SharedClaims
from .engines import PixelEngine
from .photo_processor import ExtractionJob, PhotoResult
from .worker_setup import WorkerSetup
from .shared_arrays import SharedArray
from .worker_process import WorkerProcess
from .worker_protocol import Task, WorkersUnavailableError

# A worker gets at most this many photos at a time, and fewer near the end, so that all workers finish together.
MAX_CHUNK = 16
# The number of chunks that a worker has at a time, so that it need not wait for the next one.
CHUNKS_PER_WORKER = 2
# The size of the shared memory for pixels, in bytes. It is larger if the chunks of all workers and the batches in
# progress need more.
SLOT_BYTES = 2 ** 30
# If more workers than this end unexpectedly without any result in between, something other than the photos is wrong.
MAX_CRASHES = 20


class WorkerProcesses:
    """Processes that process photos.

    If a process ends unexpectedly, or because a photo takes too long, it is replaced, and the photos of the chunk that
    it was processing are tried again one by one. A photo that ends two processes gets a result with a reason.

    Args:
        photos: The photos to process.
        cached: The values that need not be computed.
        job: The values to compute for each photo.
        engine: The engine for the bottlenecks. If it takes batches, results contain pixels instead of bottlenecks,
            in shared memory; pass them to `release` when they are no longer needed.
        n_processes: The number of processes.
        slot_bytes: The size of the shared memory for pixels, in bytes; see SLOT_BYTES.

    Attributes:
        batch_size: The size of the engine's batches.
        max_waiting: The maximum number of decoded views that are waiting for the engine.
    """

    def __init__(self, photos: Sequence[Photo], cached: CachedValues, job: ExtractionJob, engine: PixelEngine,
                 n_processes: int, slot_bytes: int = SLOT_BYTES):
        self._photos, self._remaining = photos, len(photos)
        self._n_processes, self._n_views = n_processes, len(job.views)
        self.batch_size = engine.batch_size
        sources, indexes = number_sources(photos)
        self._new_tasks = iter([Task(number, photo.uri, index)
                                for number, (photo, index) in enumerate(zip(photos, indexes))])
        self._n_new = len(photos)
        self._repeated: deque[list[Task]] = deque()
        self._max_chunk = MAX_CHUNK if engine.batch_size == 1 else max(1, MAX_CHUNK // self._n_views)
        try:
            slots = None if engine.batch_size == 1 else SharedArray(
                (self._slot_count(job, slot_bytes), job.extractor.height, job.extractor.width, 3), np.uint8)
            claims = SharedClaims(cached, len(photos))
        except OSError as error:  # the system forbids such memory, or has too little of it
            raise WorkersUnavailableError(str(error)) from error
        self._free_slots = list(range(len(slots.array))) if slots else None
        self.max_waiting = len(slots.array) if slots else 0
        self._setup = WorkerSetup(job, engine, claims, sources, slots)
        self._messages: queue.SimpleQueue[tuple[WorkerProcess | None, Any]] = queue.SimpleQueue()
        self._workers: list[WorkerProcess] = []
        self._crashes = 0

    def _slot_count(self, job: ExtractionJob, slot_bytes: int) -> int:
        given = CHUNKS_PER_WORKER * self._max_chunk * self._n_processes * self._n_views
        needed = given + (1 + MAX_BATCHES_IN_FLIGHT) * self.batch_size
        affordable = slot_bytes // (job.extractor.height * job.extractor.width * 3)
        return max(needed, min(affordable, self._remaining * self._n_views))

    @property
    def finished(self) -> bool:
        """Whether the results of all photos have been yielded."""
        return self._remaining == 0

    def results(self) -> Generator[tuple[Photo, PhotoResult] | None, None, None]:
        """Start, and yield photos and results as they become available; see `Workers`.

        Raises:
            WorkersUnavailableError: The processes cannot be started.
            ExtractorError: The processes end unexpectedly again and again.
        """
        try:
            self._pickled_setup = _pickle_setup(self._setup)
            for _ in range(self._n_processes):
                self._add_worker()
            while self._remaining:
                try:
                    worker, message = self._messages.get(timeout=1)
                except queue.Empty:
                    worker = None
                if worker is None:
                    yield None
                    continue
                for number, result in self._handle(worker, message):
                    self._remaining -= 1
                    yield self._photos[number], result
        finally:
            for worker in self._workers:
                worker.stop()
            self._setup.close()

    def start_engine(self) -> BatchThreads:
        """Start the engine in threads of this process, which read the pixels from the shared memory.

        A separate process could not use the GPU while this one does, because TensorFlow reserves all of the GPU's
        memory.
        """
        assert self._setup.slots
        slots = self._setup.slots.array
        return BatchThreads(self._setup.engine, lambda row: slots[row])

    def release(self, result: PhotoResult) -> None:
        """Drop the pixels of a result, so that their memory can be used for other photos."""
        if self._free_slots is not None:
            self._free_slots.extend(row for row in result.pixels if isinstance(row, int))
            result.pixels = ()
            for worker in self._workers:
                self._give_work(worker)

    def wake(self) -> None:
        """Make `results` yield."""
        self._messages.put((None, None))

    def _add_worker(self) -> None:
        try:
            worker = WorkerProcess(self._pickled_setup, self._setup.descriptors(), self._messages)
        except OSError as error:
            raise WorkersUnavailableError(str(error)) from error
        self._workers.append(worker)
        self._give_work(worker)

    def _handle(self, worker: WorkerProcess, message: Any) -> Iterable[tuple[int, PhotoResult]]:
        """Return the results in a message of a worker, and give the worker more work."""
        if message is None:
            return self._replace(worker)
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, str):
            if message:
                raise WorkersUnavailableError(message)
            worker.is_ready = True
            return ()
        if isinstance(message, tuple):
            number, digest = message
            worker.digests[number] = digest
            return ()
        self._crashes = 0
        for number, result in message:
            self._free_unused_slots(worker.finish(number), result)
        self._give_work(worker)
        return message

    def _free_unused_slots(self, task: Task, result: PhotoResult) -> None:
        """Free the slots that a task did not need."""
        if self._free_slots is not None:
            self._free_slots.extend(task.slots[len(result.pixels):])

    def _give_work(self, worker: WorkerProcess) -> None:
        while len(worker.chunks) < CHUNKS_PER_WORKER and (chunk := self._next_chunk()):
            worker.give(chunk)

    def _next_chunk(self) -> list[Task]:
        """Return the next photos for a worker; none if none are left, or if there is no memory for their pixels."""
        if self._repeated:
            return self._repeated.popleft()
        size = max(1, min(self._max_chunk, self._n_new // (2 * CHUNKS_PER_WORKER * self._n_processes)))
        if self._free_slots is not None:
            size = min(size, len(self._free_slots) // self._n_views)
        chunk = list(islice(self._new_tasks, size))
        self._n_new -= len(chunk)
        if self._free_slots is not None:
            chunk = [task._replace(slots=tuple(self._free_slots.pop() for _ in range(self._n_views)))
                     for task in chunk]
        return chunk

    def _replace(self, worker: WorkerProcess) -> Iterable[tuple[int, PhotoResult]]:
        """Start a new process in place of one that ended; return results for the photos that are not tried again."""
        worker.stop()
        self._workers.remove(worker)
        if not worker.is_ready:
            raise WorkersUnavailableError("a worker process ended while it was starting")
        unfinished = [list(chunk.values()) for chunk in worker.chunks]
        end_reason = worker.end_reason()
        if end_reason in STOP_SIGNALS:
            reason = "decoding it takes too long for its number of pixels"
        else:
            reason = f"the process that read it ended unexpectedly ({end_reason})"
            self._crashes += 1
        if self._crashes > MAX_CRASHES and unfinished:
            raise ExtractorError(f"{unfinished[0][0].uri}: {reason}, as did {MAX_CRASHES} others before it.",
                                 "Check that there is enough free memory.")
        given_up: list[tuple[int, PhotoResult]] = []
        # A photo in the first chunk crashed the process; the other chunks are given out again unchanged.
        self._repeated.extendleft(unfinished[:0:-1])
        for task in unfinished[0] if unfinished else ():
            if task.repeated:
                result = PhotoResult(worker.digests.get(task.number, ""), reason)
                self._free_unused_slots(task, result)
                given_up.append((task.number, result))
            else:
                self._repeated.append([task._replace(repeated=True)])
        self._add_worker()
        return given_up


def number_sources(photos: Sequence[Photo]) -> tuple[list[FileReader], list[int]]:
    """Return the different sources of photos, and the index of each photo's source."""
    by_id = {id(photo.source): photo.source for photo in photos}
    order = {key: index for index, key in enumerate(by_id)}
    return list(by_id.values()), [order[id(photo.source)] for photo in photos]


def _pickle_setup(setup: WorkerSetup) -> bytes:
    try:
        return pickle.dumps(setup, pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # pickle raises many kinds of errors
        raise WorkersUnavailableError(str(error)) from error
