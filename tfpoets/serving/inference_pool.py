"""Photos of many requests through one classifier: a worker a core, and a queue that says when it is full."""
from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass

import numpy as np

from tfpoets.data import read_photo_header
from tfpoets.inference import Classifier, Prediction

# A photo as its file's bytes, or its pixels in [0, 1]: float32 [height, width, 3].
Photo = bytes | np.ndarray


@dataclass(frozen=True)
class Limits:
    """What one server bears.

    Attributes:
        request_bytes: of a request's body.
        photos: of a request.
        pixels: of a photo; a larger one would fill the memory when it is decoded.
        waiting: photos that may wait for a worker; beyond, requests are turned away.
        seconds: that a request may wait for its answers.
        idle_seconds: that a client may take to send a request.
        connections: at the same time.
    """

    request_bytes: int = 32 * 2 ** 20
    photos: int = 64
    pixels: int = 50_000_000
    waiting: int = 64
    seconds: float = 30.0
    idle_seconds: int = 20
    connections: int = 200


class BusyError(Exception):
    """There is no room for more photos now."""


class InferencePool:
    """Workers, one a core, each with an interpreter of its own.

    Args:
        classifier: what answers.
        workers: threads.
        limits: of the server.
    """

    def __init__(self, classifier: Classifier, workers: int, limits: Limits):
        self._classifier, self._limits = classifier, limits
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="inference")
        self._room = workers + limits.waiting
        self._taken = 0
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Photos that are being answered or wait for it."""
        return self._taken

    def answers(self, photos: Sequence[Photo]) -> list[Prediction]:
        """An answer for each photo, in order; a photo that cannot be used has a reason instead of probabilities.

        Raises:
            BusyError: there is no room, or it took too long.
        """
        with self._lock:
            if self._taken + len(photos) > self._room:
                raise BusyError("The server has too much to do.")
            self._taken += len(photos)
        futures = [self._pool.submit(self._answer, photo) for photo in photos]
        for future in futures:
            future.add_done_callback(self._release)
        deadline = time.monotonic() + self._limits.seconds
        try:
            return [future.result(max(0.0, deadline - time.monotonic())) for future in futures]
        except FutureTimeoutError:
            _cancel(futures)
            raise BusyError(f"The answer took more than {self._limits.seconds:g} seconds.") from None

    def close(self) -> None:
        """Ends the workers after what they are doing."""
        self._pool.shutdown(cancel_futures=True)

    def _release(self, _: Future) -> None:
        with self._lock:
            self._taken -= 1

    def _answer(self, photo: Photo) -> Prediction:
        if isinstance(photo, np.ndarray):
            return self._classifier.predict_array(photo)
        header = read_photo_header(photo)
        if header is not None and header.height * header.width > self._limits.pixels:
            return Prediction(None, f"it has {header.height * header.width / 1e6:.0f} million pixels, more than the "
                          f"{self._limits.pixels / 1e6:.0f} million that are taken here")
        return self._classifier.predict_photo(photo)


def _cancel(futures: Sequence[Future]) -> None:
    for future in futures:
        future.cancel()
