"""Compare ways to run a network on photos: LiteRT with one interpreter per core, and its alternatives.

    python -m tests.benchmarks.engines --image_dir=PHOTOS [--tfhub_module=HANDLE] [--image_size=N]

The photos are decoded before the measurement. All variants are timed alternately, and their vectors are compared.
"""
from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tfpoets.data import load_photos, network_input, read_dataset
from tfpoets.extractors import INPUT_NODE, OUTPUT_NODE, Extractor, LiteRTModel, open_extractor
from tfpoets.graphs import load_frozen_graph
from tfpoets.parallel import core_count
from tfpoets.tf_runtime import redirect_native_stderr

from .timing import time_alternately

TENSORFLOW_BATCH_SIZE = 64


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--image_size", type=int)
    parser.add_argument("--photos", type=int, default=128)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor(flags.tfhub_module, model_dir=flags.work_dir / "models", image_size=flags.image_size)
    paths = [photo.uri for photo in read_dataset(flags.image_dir, min_classes=1).photos]
    sample = [paths[row] for row in np.linspace(0, len(paths) - 1, flags.photos).astype(int)]
    inputs = network_input(load_photos(sample, extractor.height, extractor.width, core_count()))
    variants = make_variants(extractor, inputs)
    expected, differences = None, []
    for run in variants.values():
        vectors = run()  # also warms up the engine
        expected = vectors if expected is None else expected
        differences.append(float(np.abs(vectors - expected).max() / np.abs(expected).max()))
    times = time_alternately(list(variants.values()), flags.runs)
    print(f"{extractor.name} at {extractor.height}, {len(inputs)} photos")
    print("| variant | photos/s | time relative to the first | largest difference |")
    print("|---|---|---|---|")
    for name, variant_times, difference in zip(variants, times, differences):
        print(f"| {name} | {len(inputs) / variant_times.median:.0f} | {variant_times.ratio_to(times[0]).text()} "
              f"| {difference:.1g} |")


def make_variants(extractor: Extractor, inputs: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Return functions that compute the vectors of all photos, by name; extraction uses the first variant."""
    models = [LiteRTModel(extractor.tflite_path) for _ in range(core_count())]

    def run_one_interpreter_per_core() -> np.ndarray:
        parts = np.array_split(inputs, len(models))
        with ThreadPoolExecutor(len(models)) as pool:
            results = pool.map(lambda model, part: [model.run(photo[None])[0] for photo in part], models, parts)
            return np.stack([vector for part in results for vector in part])
    run_tensorflow = load_frozen_graph(extractor.graph_path.read_bytes(), INPUT_NODE, OUTPUT_NODE)
    return {"LiteRT, one interpreter per core, single photos": run_one_interpreter_per_core,
            f"LiteRT, one interpreter with {core_count()} threads, single photos":
                multithreaded_litert(extractor, inputs, core_count(), 1),
            f"LiteRT, one interpreter with {core_count()} threads, batches of 8":
                multithreaded_litert(extractor, inputs, core_count(), 8),
            f"TensorFlow, batches of {TENSORFLOW_BATCH_SIZE}": lambda: np.concatenate(
                [run_tensorflow(inputs[start:start + TENSORFLOW_BATCH_SIZE])
                 for start in range(0, len(inputs), TENSORFLOW_BATCH_SIZE)])}


def multithreaded_litert(extractor: Extractor, inputs: np.ndarray, threads: int, batch_size: int
                         ) -> Callable[[], np.ndarray]:
    """Return a function that runs all photos through one LiteRT interpreter with several threads."""
    with redirect_native_stderr():
        interpreter = Interpreter(str(extractor.tflite_path), num_threads=threads)
        input_index = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(input_index, [batch_size, *inputs.shape[1:]])
        interpreter.allocate_tensors()
    output_index = interpreter.get_output_details()[0]["index"]

    def run() -> np.ndarray:
        vectors = []
        for start in range(0, len(inputs) - batch_size + 1, batch_size):
            interpreter.set_tensor(input_index, inputs[start:start + batch_size])
            interpreter.invoke()
            vectors.append(interpreter.get_tensor(output_index))
        return np.concatenate(vectors)
    return run


if __name__ == "__main__":
    main()
