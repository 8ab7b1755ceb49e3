"""Measure the throughput of extraction in photos per second, compared with an upper bound.

    python -m tests.benchmarks.extraction --image_dir=PHOTOS [--tfhub_module=HANDLE] [--image_size=N] [--megapixels=12]

The upper bound is: number of cores / (decoding + inference time of a photo on a single thread), measured in the same
run. A second bound also includes the perceptual hash and the digest, which the split and the cache need. Another
column is the speed of inference on a core while all cores are busy, relative to that on an otherwise idle machine (1
would be perfect).

With --megapixels, the photos are first scaled to that many million pixels and stored as JPEG again.
"""
from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from tfpoets.data import (HASH_HEIGHT, HASH_WIDTH, load_pixels, load_pixels_at_sizes, network_input, perceptual_hash,
                          photo_digest, read_dataset)
from tfpoets.exporting import sample_evenly
from tfpoets.extractors import Extractor, LiteRTModel, extract_bottlenecks, open_extractor
from tfpoets.parallel import core_count
from tfpoets.tf_runtime import import_tensorflow

from .timing import Measurements, time_alternately

# The number of photos that are decoded and run through the network on a single thread.
SAMPLE_SIZE = 60
# Rows of the square matrices whose product shows how fast a core can multiply.
MATRIX_SIZE = 1024


def main() -> None:
    """Print one row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--image_size", type=int)
    parser.add_argument("--megapixels", type=float)
    parser.add_argument("--photos", type=int, default=600, help="maximum number of photos")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor(flags.tfhub_module, model_dir=flags.work_dir / "models", image_size=flags.image_size)
    with tempfile.TemporaryDirectory() as folder:
        root = copy_photos(flags.image_dir, Path(folder) / "photos", flags.photos, flags.megapixels)
        print(measure(root, extractor, flags.runs, Path(folder)))


def copy_photos(source: Path, root: Path, max_photos: int, megapixels: float | None) -> Path:
    """Copy at most `max_photos` evenly spread photos from `source` to `root`, and scale them if requested."""
    for photo in sample_evenly(read_dataset(source, min_classes=1).photos, max_photos):
        target = root / photo.label / photo.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if megapixels is None:
            shutil.copy(photo.uri, target)
            continue
        with Image.open(photo.uri) as image:
            factor = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
            image.convert("RGB").resize((round(image.width * factor), round(image.height * factor))).save(
                target.with_suffix(".jpg"), quality=90)
    return root


def measure(root: Path, extractor: Extractor, runs: int, folder: Path) -> str:
    """Time decoding, inference and extraction alternately, and return the row of the table."""
    dataset = read_dataset(root, min_classes=1)
    sample = [Path(photo.uri) for photo in sample_evenly(dataset.photos, SAMPLE_SIZE)]
    decoding, preparation, inference, inference_all_cores, extraction, multiplication = time_alternately([
        lambda: [load_pixels(path.read_bytes(), extractor.height, extractor.width) for path in sample],
        lambda: [prepare(path, extractor) for path in sample],
        *inference_functions(sample, extractor),
        extraction_function(root, extractor, folder),
        multiplication_function()], runs)
    n_photos, n_cores, n_sample = len(dataset.photos), core_count(), len(sample)
    rates = [n_photos / seconds for seconds in extraction.values]
    # Seconds of work for each photo on one thread, in each run.
    work, full_work = ([(a + b) / n_sample for a, b in zip(times.values, inference.values)]
                       for times in (decoding, preparation))
    fractions, full_fractions = (
        Measurements(tuple(rate * seconds / n_cores for rate, seconds in zip(rates, work_per_photo)))
        for work_per_photo in (work, full_work))
    megabytes = sum(Path(photo.uri).stat().st_size for photo in dataset.photos) / 1e6
    multiply_adds_per_second = count_multiply_adds(extractor) / (inference.median / n_sample)
    peak_gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return (f"| {extractor.name} | {extractor.height} | {n_photos} "
            f"| {1e3 * decoding.median / n_sample:.1f} | {1e3 * inference.median / n_sample:.1f} "
            f"| {n_cores / np.median(work):.0f} | {np.median(rates):.0f} "
            f"| **{fractions.median:.2f}** ({min(fractions.values):.2f} to {max(fractions.values):.2f}) "
            f"| {full_fractions.text()} | {inference.ratio_to(inference_all_cores).text()} "
            f"| {megabytes / extraction.median:.1f} | {peak_gigabytes:.2f} "
            f"| {multiply_adds_per_second / 1e9:.1f} of {MATRIX_SIZE ** 3 / multiplication.median / 1e9:.0f} |")


def prepare(path: Path, extractor: Extractor) -> None:
    """Do everything that extraction does with a photo except inference."""
    data = path.read_bytes()
    photo_digest(data)
    perceptual_hash(load_pixels_at_sizes(data, ((extractor.height, extractor.width), (HASH_HEIGHT, HASH_WIDTH)))[1])


def inference_functions(sample: Sequence[Path], extractor: Extractor) -> list[Callable[[], object]]:
    """Return functions that run the network on all photos: on one thread, and the same on every core at once."""
    pixels = [load_pixels(path, extractor.height, extractor.width) for path in sample]
    model = LiteRTModel(extractor.tflite_path)
    model.run(network_input(pixels[0][None]))  # warm up
    models = [LiteRTModel(extractor.tflite_path) for _ in range(core_count())]

    def run_on_all_cores() -> None:
        with ThreadPoolExecutor(len(models)) as pool:
            list(pool.map(lambda model: [model.run(network_input(photo[None])) for photo in pixels], models))
    return [lambda: [model.run(network_input(photo[None])) for photo in pixels], run_on_all_cores]


def extraction_function(root: Path, extractor: Extractor, folder: Path) -> Callable[[], object]:
    """Return a function that extracts the bottlenecks of all photos, with a new cache on every call."""
    dataset, numbers = read_dataset(root, min_classes=1), iter(range(10 ** 6))
    return lambda: extract_bottlenecks(dataset, extractor, folder / f"cache{next(numbers)}")


def multiplication_function() -> Callable[[], None]:
    """Return a function that multiplies two matrices on one thread."""
    square = np.random.default_rng(0).random((MATRIX_SIZE, MATRIX_SIZE), np.float32)

    def multiply() -> None:
        with threadpool_limits(1):
            square @ square
    multiply()  # warm up
    return multiply


def count_multiply_adds(extractor: Extractor) -> float:
    """Return the number of multiply-adds for one photo, as counted in the graph by TensorFlow's profiler."""
    tensorflow = import_tensorflow()
    definition = tensorflow.compat.v1.GraphDef.FromString(extractor.graph_path.read_bytes())
    with tensorflow.Graph().as_default() as graph:
        pixels = tensorflow.compat.v1.placeholder(tensorflow.float32, [1, extractor.height, extractor.width, 3])
        tensorflow.graph_util.import_graph_def(definition, {"input": pixels})
        options: Any = tensorflow.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        return tensorflow.compat.v1.profiler.profile(graph, options=options).total_float_ops / 2


if __name__ == "__main__":
    main()
