"""One worker process, seen from the process that started it."""
from __future__ import annotations

import contextlib
import pickle
import queue
import signal
import threading
from collections import deque
from typing import Any

from tfpoets.child_process import SINGLE_THREADED, end_process, start_module

from .worker_protocol import WORKER_MODULE, Task


class WorkerProcess:
    """A process that runs WORKER_MODULE, and the photos that it was given.

    Args:
        setup: The pickled WorkerSetup.
        descriptors: The file descriptors of the shared memory.
        messages: The queue that receives (this object, message) for each message of the worker, and (this object,
            None) when the process has ended.

    Raises:
        OSError: The process cannot be started.

    Attributes:
        chunks: The chunks of photos that it was given and that are not finished: the unfinished tasks by their number.
        is_ready: Whether it has started successfully.
        digests: The digests of the photos that it tries again, by the numbers of their tasks.
    """

    def __init__(self, setup: bytes, descriptors: list[int],
                 messages: queue.SimpleQueue[tuple[WorkerProcess | None, Any]]):
        self.chunks: deque[dict[int, Task]] = deque()
        self.is_ready = False
        self.digests: dict[int, str] = {}
        self._messages = messages
        self._process = start_module(WORKER_MODULE, SINGLE_THREADED, descriptors)
        self._reader = threading.Thread(target=self._read, daemon=True)
        try:
            self._reader.start()
        except RuntimeError as error:  # there are too many threads
            self._process.kill()
            raise OSError(str(error)) from error
        self._write(setup)

    def give(self, chunk: list[Task]) -> None:
        """Send photos to the process."""
        self.chunks.append({task.number: task for task in chunk})
        self._write(pickle.dumps(chunk, pickle.HIGHEST_PROTOCOL))

    def finish(self, number: int) -> Task:
        """Record that a photo has been processed, and return its task."""
        task = next(chunk for chunk in self.chunks if number in chunk).pop(number)
        while self.chunks and not self.chunks[0]:
            self.chunks.popleft()
        return task

    def end_reason(self) -> str:
        """Return how the process ended: "SIGSEGV", for example, or "exit code 1"."""
        code = self._process.wait()
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
        return f"exit code {code}"

    def stop(self) -> None:
        """End the process if it is still running, and wait for it."""
        end_process(self._process, self._reader.join)

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the process has ended, which `_read` notices as well
            self._process.stdin.write(data)  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]

    def _read(self) -> None:
        try:
            while True:
                self._messages.put((self, pickle.load(self._process.stdout)))  # type: ignore[arg-type]
        except Exception:  # the end of the pipe, perhaps in the middle of a message
            self._messages.put((self, None))
