"""Decode photos in other processes, which are stopped if a photo takes too much time or memory."""
from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from tfpoets.child_process import SINGLE_THREADED, end_process, send, start_module
from tfpoets.errors import PhotoError

from .decoding_limits import STOP_SIGNALS, clock_seconds
from .photo_gate import DecodingLimits

if sys.platform != "win32":
    import fcntl

Result = TypeVar("Result")

WORKER_MODULE = "tfpoets.data.decoder_worker"
# Most photos fit into the pipe, so that writing one need not wait for the process to read it.
PIPE_BYTES = 2 ** 20


class DecodersUnavailableError(Exception):
    """Decoder processes cannot be started."""


class _Decoder:
    """A process that decodes one photo at a time.

    Raises:
        DecodersUnavailableError: The process cannot be started.
    """

    def __init__(self) -> None:
        try:
            self._process = start_module(WORKER_MODULE, SINGLE_THREADED)
        except OSError as error:
            raise DecodersUnavailableError(str(error)) from error
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(AttributeError, OSError):  # not Linux, or too many large pipes
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)  # type: ignore[arg-type]

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    @property
    def process_id(self) -> int:
        """The identifier of the process."""
        return self._process.pid

    def decode(self, function: Callable[[bytes], Any], data: bytes, limits: DecodingLimits) -> tuple[bool, Any]:
        """Return whether `function` returned in the process, and its result or a reason.

        Raises:
            PhotoError: The process has ended.
        """
        process = self._process
        assert process.stdin and process.stdout
        try:
            # On other systems, the process stops itself.
            with _stop_later(self.stop, clock_seconds(limits.seconds) if sys.platform == "win32" else None):
                send(process.stdin, (function, data))
                return pickle.load(process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError, ValueError):
            process.kill()
            raise PhotoError(_reason(process.wait(), limits)) from None

    def stop(self) -> None:
        """End the process."""
        end_process(self._process)

    def abandon(self) -> None:
        """Close the pipes of a process that is not a child of this one."""
        self._process.returncode = 0  # it is not waited for
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]


@contextlib.contextmanager
def _stop_later(stop: Callable[[], None], seconds: float | None) -> Any:
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, stop)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _reason(exit_code: int, limits: DecodingLimits) -> str:
    name = f"exit code {exit_code}"
    with contextlib.suppress(ValueError):
        name = signal.Signals(-exit_code).name
    if name in STOP_SIGNALS:
        return limits.time_reason
    return f"the process that decoded it ended unexpectedly ({name})"


class DecoderPool:
    """Decoder processes, which are started when they are needed: as many as there are photos at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Decoder] = []
        self._busy: set[_Decoder] = set()

    def decode(self, function: Callable[[bytes], Result], data: bytes, limits: DecodingLimits) -> Result:
        """Return what a function returns for a photo in another process.

        Args:
            function: The function; it can be pickled, and raises PhotoError if the photo cannot be used.
            data: The bytes of the file.
            limits: The limits within which the function decodes the photo.

        Raises:
            PhotoError: The photo cannot be used, or exceeds its limits.
            DecodersUnavailableError: The process cannot be started.
        """
        decoder = self._take()
        try:
            returned, result = decoder.decode(function, data, limits)
        except BaseException:
            self._remove(decoder)
            raise
        with self._lock:
            self._busy.discard(decoder)
            self._idle.append(decoder)
        if not returned:
            raise PhotoError(result)
        return result

    def start(self) -> None:
        """Start a process, so that the first photo need not wait for it; nothing happens if that is impossible."""
        with contextlib.suppress(DecodersUnavailableError):
            decoder = _Decoder()
            with self._lock:
                self._idle.append(decoder)

    def process_ids(self) -> list[int]:
        """Return the identifiers of the processes that are running."""
        with self._lock:
            return [decoder.process_id for decoder in [*self._idle, *self._busy] if decoder.is_running]

    def close(self) -> None:
        """End all processes, also those that are decoding a photo; later photos are decoded in new ones."""
        with self._lock:
            decoders = [*self._idle, *self._busy]
            self._idle.clear()
        for decoder in decoders:
            decoder.stop()

    def _take(self) -> _Decoder:
        with self._lock:
            while self._idle:
                decoder = self._idle.pop()
                if decoder.is_running:
                    self._busy.add(decoder)
                    return decoder
                decoder.stop()
        decoder = _Decoder()
        with self._lock:
            self._busy.add(decoder)
        return decoder

    def _remove(self, decoder: _Decoder) -> None:
        with self._lock:
            self._busy.discard(decoder)
        decoder.stop()

    def _forget(self) -> None:
        """Forget the processes of the process that this one was forked from."""
        for decoder in [*self._idle, *self._busy]:
            decoder.abandon()
        self.__init__()  # type: ignore[misc]


DECODERS = DecoderPool()
atexit.register(DECODERS.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=DECODERS._forget)
