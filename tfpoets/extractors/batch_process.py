"""A process that runs an engine on batches of photos in shared memory.

TensorFlow starts faster there than in a thread, which would compete for Python's lock with the thread that collects
results. The process also frees the GPU's memory when it ends.
"""
from __future__ import annotations

import contextlib
import pickle
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from tfpoets.child_process import start_module
from tfpoets.errors import ExtractorError

from .batches import MAX_BATCHES_IN_FLIGHT, run_padded
from .engines import PixelEngine
from .photo_processor import Pixels
from .shared_arrays import SharedArray
from .worker_protocol import WORKER_MODULE, WorkersUnavailableError, send


@dataclass(frozen=True, eq=False)
class BatchSetup:
    """The work of the process.

    Attributes:
        engine: The engine.
        slots: uint8 [n_slots, height, width, 3], the shared memory with the pixels.
    """

    engine: PixelEngine
    slots: SharedArray

    def run(self, requests: BinaryIO, results: BinaryIO) -> None:
        """Run the engine on requests, each of them a number and rows of `slots`, and send numbers and outputs."""
        # TensorFlow imports Keras, and Keras imports Matplotlib and scikit-learn, which takes as long as the rest.
        # None makes the import fail, which TensorFlow permits.
        sys.modules["keras"] = None  # type: ignore[assignment]
        run, lock = self.engine.open_for_pixels(), threading.Lock()

        def process(number: int, rows: list[int]) -> None:
            outcome: np.ndarray | Exception
            try:
                outcome = run_padded(run, [self.slots.array[row] for row in rows], self.engine.batch_size)
            except Exception as error:
                outcome = error
            with lock:
                send(results, (number, outcome))
        with ThreadPoolExecutor(MAX_BATCHES_IN_FLIGHT) as pool:
            while True:
                pool.submit(process, *pickle.load(requests))


class BatchProcess:
    """A process that does the work of a BatchSetup; see `BatchRunner`.

    Args:
        setup: The work.

    Raises:
        OSError: The process cannot be started.
    """

    def __init__(self, setup: BatchSetup):
        descriptor = setup.slots.descriptor
        self._process = start_module(WORKER_MODULE, {}, [] if descriptor is None else [descriptor])
        self._futures: dict[int, Future[np.ndarray]] = {}
        self._error: Exception | None = None
        self._lock = threading.Lock()
        self._n_requests = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._send(setup)

    def submit(self, pixels: list[Pixels]) -> Future[np.ndarray]:
        """Start a batch of rows of the shared memory."""
        future: Future[np.ndarray] = Future()
        with self._lock:
            if self._error is None:
                self._futures[self._n_requests] = future
            else:
                future.set_exception(self._error)
        self._send((self._n_requests, pixels))
        self._n_requests += 1
        return future

    def check(self) -> None:
        """Raise the error of an engine that could not be started, or of a process that has ended."""
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # what was not written yet cannot be written any more
                pipe and pipe.close()

    def _send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # the process has ended, which `_read` notices as well
            assert self._process.stdin
            send(self._process.stdin, message)

    def _read(self) -> None:
        """Pass on the outputs, until the process ends or cannot go on."""
        assert self._process.stdout
        error: Exception
        try:
            while True:
                message = pickle.load(self._process.stdout)
                if isinstance(message, Exception):
                    raise message
                if isinstance(message, tuple):
                    self._resolve(*message)
                elif message:
                    raise WorkersUnavailableError(message)
        except (EOFError, OSError, pickle.UnpicklingError):
            error = ExtractorError("The process that runs the network in batches ended unexpectedly.",
                                   "Check that there is enough free memory, also on the GPU.")
        except Exception as caught:
            error = caught
        with self._lock:
            self._error, futures = error, list(self._futures.values())
        for future in futures:
            future.set_exception(error)

    def _resolve(self, number: int, outcome: np.ndarray | Exception) -> None:
        with self._lock:
            future = self._futures.pop(number)
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
