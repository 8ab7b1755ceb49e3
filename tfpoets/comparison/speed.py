"""Measure speeds in turns, so that their ratios are right even if other programs slow the machine down."""
from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfpoets.extractors import Extractor, LiteRTModel, measure_throughput

N_ROUNDS = 15
N_THROUGHPUT_ROUNDS, THROUGHPUT_SECONDS = 2, 1.0


def measure_milliseconds(paths: Sequence[Path]) -> list[np.ndarray]:
    """Return how long each file takes for one photo, on one thread and without decoding.

    The files take turns, so all of them are measured under the same load. In each turn, the first photo is not timed,
    because it brings the weights back into the processor's cache.

    Args:
        paths: The .tflite files of classifiers, which take float32 [1, height, width, 3].

    Returns:
        float64 [N_ROUNDS] for each file, in milliseconds.
    """
    rng = np.random.default_rng(0)
    models = [LiteRTModel(path) for path in paths]
    photos = [rng.random((1, model.height, model.width, 3), np.float32) for model in models]
    times = np.empty((len(models), N_ROUNDS))
    for turn in range(N_ROUNDS):
        for row, (model, photo) in enumerate(zip(models, photos)):
            model.run(photo)
            start = time.perf_counter()
            model.run(photo)
            times[row, turn] = 1000 * (time.perf_counter() - start)
    return list(times)


def measure_photos_per_second(extractors: Sequence[Extractor]) -> list[float]:
    """Return how many photos per second each extractor processes, with decoding, on the whole machine.

    The extractors take turns, for the same reason as the files in `measure_milliseconds`.
    """
    rates = [[measure_throughput(extractor, THROUGHPUT_SECONDS).photos_per_second for extractor in extractors]
             for _ in range(N_THROUGHPUT_ROUNDS)]
    return np.mean(rates, axis=0).tolist()
