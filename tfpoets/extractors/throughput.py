"""Measure how many photos per second this machine can process."""
from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image

from tfpoets.data import Photo

from .batches import complete_results
from .cached_values import CachedValues
from .engines import NoGPUError
from .execution import ExecutionOptions, ExecutionPlan
from .extractor import Extractor
from .photo_processor import ExtractionJob
from .worker_protocol import WorkersUnavailableError

# The height and width of the photos, as in many web collections.
HEIGHT, WIDTH = 333, 500
# More photos than any machine processes during the measurement.
N_PHOTOS = 100_000
# The size of the memory that processes share, in bytes; see `WorkerProcesses`.
SLOT_BYTES = 2 ** 27


class GeneratedPhotos:
    """A reader of generated photos, whose URIs are numbers: one JPEG, followed by different bytes for each number."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        coarse = Image.fromarray(rng.integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), np.uint8))
        pixels = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(pixels + rng.integers(-12, 13, pixels.shape), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(noisy).save(file, "JPEG", quality=90)
        self._jpeg = file.getvalue()

    def open(self, uri: str) -> BinaryIO:
        """Open a photo."""
        return io.BytesIO(self._jpeg + uri.encode())

    def stamps(self, uris: Iterable[str]) -> dict[str, str]:
        """Return empty stamps."""
        return dict.fromkeys(uris, "")


@dataclass(frozen=True)
class Throughput:
    """The speed at which bottlenecks are computed.

    Attributes:
        plan: The engine and the workers.
        photos_per_second: The rate after the start.
        start_seconds: The time until the measurement started: until the first bottleneck or, if the engine takes
            batches, until the photos that were decoded while it started had been processed.
    """

    plan: ExecutionPlan
    photos_per_second: float
    start_seconds: float


def measure_throughput(extractor: Extractor, seconds: float = 2.0, execution: ExecutionOptions = ExecutionOptions()
                       ) -> Throughput:
    """Compute bottlenecks of generated JPEGs (333 x 500 pixels) as for a large dataset, and return the rate.

    Args:
        extractor: The extractor.
        seconds: The duration of the measurement, which begins after `Throughput.start_seconds`.
        execution: The options that control how bottlenecks are computed.
    """
    plan = execution.plan(extractor, N_PHOTOS)
    while True:
        try:
            return _measure(plan, extractor, seconds)
        except (NoGPUError, WorkersUnavailableError) as error:
            plan = execution.plan_after(error, plan, extractor, N_PHOTOS)


def _measure(plan: ExecutionPlan, extractor: Extractor, seconds: float) -> Throughput:
    source = GeneratedPhotos()
    photos = [Photo(str(number), "", source=source) for number in range(N_PHOTOS)]
    workers = plan.workers(photos, CachedValues({0: set()}), ExtractionJob(extractor, extractor.digest), SLOT_BYTES)
    # Photos that were decoded while the engine started are not counted.
    n_skipped = workers.max_waiting if workers.batch_size > 1 else 0
    start, first, count, now = time.perf_counter(), 0.0, -n_skipped, 0.0
    with contextlib.closing(complete_results(workers)) as results:
        for item in results:
            now = time.perf_counter()
            if item is not None:
                count += 1
                first = now if count == 1 else first
            if count > 1 and now - first > seconds:
                break
    return Throughput(plan, (count - 1) / (now - first), first - start)
