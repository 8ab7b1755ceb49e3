"""Parse the bodies of predict requests, without delaying other requests.

`json.loads` holds Python's lock for as long as it runs: a second for the largest body. Bodies with many values are
therefore parsed in other processes. Parsed JSON takes many times the memory of its text, so there are only a few.
"""
from __future__ import annotations

import contextlib
import pickle
import queue
import subprocess
import threading
import weakref
from collections.abc import Iterator

from tfpoets.child_process import end_process, send, start_module

from .inference_pool import BusyError, Limits, Upload
from .protocol import RequestError, parse_predict_request

WORKER_MODULE = "tfpoets.serving.parser_worker"
N_PROCESSES = 2
# A body with at least this many values is parsed in another process.
MANY_VALUES = 100_000
# Of the other bodies, those of at least this size in bytes are parsed a few at a time, because threads that wait for
# Python's lock delay the others.
SMALL_BODY, MAX_BODIES = 2 ** 14, 2


class RequestParser:
    """Parses the bodies of predict requests.

    Args:
        size: The height and width of the classifier's input.
        limits: The limits of the server.
    """

    def __init__(self, size: tuple[int, int], limits: Limits):
        self._size, self._limits = size, limits
        self._slots = threading.Semaphore(MAX_BODIES)
        self._processes: queue.LifoQueue[_ParserProcess] = queue.LifoQueue()
        for _ in range(N_PROCESSES):
            process = _ParserProcess()
            self._processes.put(process)
            weakref.finalize(self, process.stop)

    def parse(self, body: bytes) -> tuple[list[Upload], bool]:
        """Return the photos of a request, and whether it is columnar.

        Raises:
            RequestError: The request does not follow the protocol.
            BusyError: Too many other bodies are being parsed.
        """
        arguments = body, self._size, self._limits.photos_per_request
        if body.count(b",") + body.count(b"[") >= MANY_VALUES:
            with self._process() as process:
                return process.parse(arguments, self._limits.prediction_seconds)
        if len(body) < SMALL_BODY:
            return parse_predict_request(*arguments)
        if not self._slots.acquire(timeout=self._limits.memory_seconds):
            raise BusyError("The server is busy.")
        try:
            return parse_predict_request(*arguments)
        finally:
            self._slots.release()

    @contextlib.contextmanager
    def _process(self) -> Iterator[_ParserProcess]:
        try:
            process = self._processes.get(timeout=self._limits.memory_seconds)
        except queue.Empty:
            raise BusyError("The server is busy.") from None
        try:
            yield process
        finally:
            self._processes.put(process)


class _ParserProcess:
    """A process that parses one body at a time; it is started for the first one, and again if it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def parse(self, arguments: tuple[bytes, tuple[int, int], int], seconds: float) -> tuple[list[Upload], bool]:
        """Run `parse_predict_request` in the process, for some seconds at most."""
        process = self._process = self._process or start_module(WORKER_MODULE, {})
        timer = threading.Timer(seconds, process.kill)
        timer.daemon = True
        timer.start()
        try:
            assert process.stdin and process.stdout
            send(process.stdin, arguments)
            message, result = pickle.load(process.stdout)
        except (OSError, EOFError, pickle.PickleError):
            self.stop()
            raise RequestError("The request takes too much time or memory.") from None
        finally:
            timer.cancel()
        if message:
            raise RequestError(message)
        return result

    def stop(self) -> None:
        """End the process if it is running."""
        process, self._process = self._process, None
        if process is not None:
            end_process(process)
