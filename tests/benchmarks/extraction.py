"""Extraction against its bound: cores / (single-thread decoding + single-thread inference a photo), in one run.

Beside it the same with the perceptual hash and the digest counted as work, which the split and the cache need; and how
fast a core infers while all of them do, beside one that has the machine for itself (1 would be perfect).

    python -m tests.benchmarks.extraction --image_dir=PHOTOS [--tfhub_module=HANDLE] [--image_size=N] [--megapixels=12]

With --megapixels the photos are first enlarged to so many million pixels and stored as JPEG again.
"""
from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from tfpoets.data import (HASH_HEIGHT, HASH_WIDTH, load_pixels, load_pixels_at_sizes, network_input, perceptual_hash,
                          photo_digest, read_dataset)
from tfpoets.extractors import Extractor, LiteRTModel, core_count, extract_bottlenecks, open_extractor
from tfpoets.tf_runtime import import_tensorflow

from .timing import in_turn

SAMPLE = 60
GEMM_SIDE = 1024


def main() -> None:
    """Prints one row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--image_size", type=int)
    parser.add_argument("--megapixels", type=float)
    parser.add_argument("--photos", type=int, default=600, help="at most so many")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor(flags.tfhub_module, model_dir=flags.work_dir / "models", image_size=flags.image_size)
    with tempfile.TemporaryDirectory() as folder:
        root = gather(flags.image_dir, Path(folder) / "photos", flags.photos, flags.megapixels)
        print(row(root, extractor, flags.runs, Path(folder)))


def gather(source: Path, root: Path, most: int, megapixels: float | None) -> Path:
    """Copies photos, evenly chosen, enlarged where that is wanted."""
    photos = read_dataset(source, min_classes=1).photos
    for place in np.unique(np.linspace(0, len(photos) - 1, min(most, len(photos))).astype(int)):
        photo = photos[place]
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


def row(root: Path, extractor: Extractor, runs: int, folder: Path) -> str:
    """Measures decoding, inference and extraction in turn."""
    dataset = read_dataset(root, min_classes=1)
    sample = [dataset.photos[place].uri for place in
              np.unique(np.linspace(0, len(dataset.photos) - 1, SAMPLE).astype(int))]
    model = LiteRTModel(extractor.tflite_path)
    pixels = [load_pixels(path, extractor.height, extractor.width) for path in sample]
    count = iter(range(10 ** 6))
    square = np.random.default_rng(0).random((GEMM_SIDE, GEMM_SIDE), np.float32)

    def multiply() -> None:
        with threadpool_limits(1):
            square @ square
    multiply()
    model.run(network_input(pixels[0][None]))
    models = [LiteRTModel(extractor.tflite_path) for _ in range(core_count())]

    def infer_on_all_cores() -> None:
        with ThreadPoolExecutor(len(models)) as pool:
            list(pool.map(lambda each: [each.run(network_input(photo[None])) for photo in pixels], models))
    decoding, looking, inference, together, extraction, gemm = in_turn([
        lambda: [load_pixels(Path(path).read_bytes(), extractor.height, extractor.width) for path in sample],
        lambda: [look_at(path, extractor) for path in sample],
        lambda: [model.run(network_input(each[None])) for each in pixels],
        infer_on_all_cores,
        lambda: extract_bottlenecks(dataset, extractor, folder / f"cache{next(count)}"),
        multiply], runs)
    one, whole = ([(a + b) / len(sample) for a, b in zip(each.seconds, inference.seconds)]
                  for each in (decoding, looking))
    reached = [len(dataset.photos) / seconds for seconds in extraction.seconds]
    shares, of_whole = ([rate * each / core_count() for rate, each in zip(reached, work)] for work in (one, whole))
    size = sum(Path(photo.uri).stat().st_size for photo in dataset.photos) / 1e6
    adds = multiply_adds(extractor)
    per_core = adds / (inference.median / len(sample)) / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return (f"| {extractor.name} | {extractor.height} | {len(dataset.photos)} "
            f"| {1e3 * decoding.median / len(sample):.1f} | {1e3 * inference.median / len(sample):.1f} "
            f"| {core_count() / np.median(one):.0f} "
            f"| {np.median(reached):.0f} | **{np.median(shares):.2f}** ({min(shares):.2f} to {max(shares):.2f}) "
            f"| {np.median(of_whole):.2f} ({min(of_whole):.2f} to {max(of_whole):.2f}) "
            f"| {inference.over(together).text()} "
            f"| {size / extraction.median:.1f} | {peak:.2f} "
            f"| {per_core:.1f} of {GEMM_SIDE ** 3 / gemm.median / 1e9:.0f} |")


def look_at(path: Path, extractor: Extractor) -> None:
    """Everything that extraction does with a photo but the inference."""
    data = Path(path).read_bytes()
    photo_digest(data)
    perceptual_hash(load_pixels_at_sizes(data, ((extractor.height, extractor.width), (HASH_HEIGHT, HASH_WIDTH)))[1])


def multiply_adds(extractor: Extractor) -> float:
    """Of one photo, as TensorFlow's profiler counts them from the graph."""
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
