"""A pool of workers that classify the photos of all requests, with a bounded queue."""
from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np

from tfpoets.data import DECODERS, read_photo_header
from tfpoets.errors import ModelError
from tfpoets.inference import Classifier, Prediction

STOPPING = "The server is stopping."
# How often a request that waits for predictions checks whether the pool was stopped.
POLL_SECONDS = 0.2

# A photo in a request: the bytes of its file, or its pixels in [0, 1] as float32 [height, width, 3].
Upload = bytes | np.ndarray


@dataclass(frozen=True)
class Limits:
    """The limits of a server.

    Attributes:
        request_bytes: The size of the body of a request.
        photos_per_request: The number of photos in a request.
        pixels_per_photo: The number of pixels of a photo; decoding a larger one could exhaust the memory.
        queued_photos: The number of photos that may wait for a worker; when the queue is full, requests are rejected.
        prediction_seconds: The time that a request may wait for its predictions.
        idle_seconds: The time that a client may take to send a request, or stay connected without sending one.
        connections: The number of simultaneous connections.
        memory_bytes: The size of the bodies of all requests that are processed at the same time, after decompression.
        memory_seconds: The time that a request may wait for memory.
    """

    request_bytes: int = 32 * 2 ** 20
    photos_per_request: int = 64
    pixels_per_photo: int = 50_000_000
    queued_photos: int = 64
    prediction_seconds: float = 30.0
    idle_seconds: int = 20
    connections: int = 200
    memory_bytes: int = 256 * 2 ** 20
    memory_seconds: float = 5.0


class BusyError(Exception):
    """The server has no room for a request, or a prediction has taken too long."""


class InferencePool:
    """Worker threads that classify the photos of all requests.

    Photos are decoded in other processes, so that none can exceed its limits on memory and time, or crash the server,
    except for small ones whose header shows that they remain within these limits.

    Args:
        classifier: The classifier; it has an interpreter for each thread.
        workers: The number of threads.
        limits: The limits of the server.
    """

    def __init__(self, classifier: Classifier, workers: int, limits: Limits):
        self._classifier, self._limits = classifier, limits
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="inference")
        self._capacity = workers + limits.queued_photos
        self._pending = 0
        self._is_stopping = False
        self._lock = threading.Lock()
        DECODERS.start()

    @property
    def pending(self) -> int:
        """The number of photos that are being classified or waiting for a worker."""
        return self._pending

    def predict(self, uploads: Sequence[Upload]) -> list[Prediction]:
        """Return a prediction for each photo, in order; if a photo cannot be used, its prediction states the reason.

        Raises:
            BusyError: The queue has no room for the photos, the predictions took too long, or the pool was stopped.
        """
        with self._lock:
            if self._is_stopping:
                raise BusyError(STOPPING)
            if self._pending + len(uploads) > self._capacity:
                raise BusyError("The server is busy.")
            self._pending += len(uploads)
        futures = [self._pool.submit(self._predict_one, upload) for upload in uploads]
        for future in futures:
            future.add_done_callback(self._count_done)
        deadline = time.monotonic() + self._limits.prediction_seconds
        try:
            self._wait(futures, deadline)
        except BusyError:
            for future in futures:
                future.cancel()
            raise
        return [future.result() for future in futures]

    def stop(self) -> None:
        """Accept no more photos, and end the requests that are waiting for predictions with a BusyError."""
        with self._lock:
            self._is_stopping = True

    def close(self, timeout: float = 0.0) -> bool:
        """Cancel the photos that are waiting, and return whether the workers finish the others within some seconds."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        DECODERS.close()
        deadline = time.monotonic() + timeout
        while self._pending and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS / 10)
        return not self._pending

    def _wait(self, futures: Sequence[Future], deadline: float) -> None:
        """Wait until all futures are done; raise a BusyError at the deadline, or when the pool is stopped."""
        waiting: set[Future] = set(futures)
        while waiting:
            waiting = wait(waiting, min(POLL_SECONDS, max(0.0, deadline - time.monotonic()))).not_done
            if waiting and self._is_stopping:
                raise BusyError(STOPPING)
            if waiting and time.monotonic() >= deadline:
                raise BusyError(f"The predictions took longer than {self._limits.prediction_seconds:g} seconds.")

    def _count_done(self, _: Future) -> None:
        with self._lock:
            self._pending -= 1

    def _predict_one(self, upload: Upload) -> Prediction:
        """Return the prediction for a photo, or one without probabilities if the classifier gives none."""
        try:
            return self._predict(upload)
        except ModelError:
            return Prediction(None, "the classifier gives no finite probabilities for it")

    def _predict(self, upload: Upload) -> Prediction:
        if isinstance(upload, np.ndarray):
            return self._classifier.predict_array(upload)
        header, limit = read_photo_header(upload), self._limits.pixels_per_photo
        if header is not None and header.height * header.width > limit:
            return Prediction(None, f"it has {header.height * header.width / 1e6:.0f} million pixels, and the limit "
                              f"is {limit / 1e6:.0f} million")
        return self._classifier.predict_photo(upload, isolated=True)
