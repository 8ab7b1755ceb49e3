"""LiteRT with one interpreter a core against other ways to run the same network on the same photos.

    python -m tests.benchmarks.engines --image_dir=PHOTOS [--tfhub_module=HANDLE] [--image_size=N]

The photos are decoded beforehand. All ways are timed in turn and checked to give the same vectors.
"""
from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tfpoets.data import load_photos, network_input, read_dataset
from tfpoets.extractors import INPUT_NODE, OUTPUT_NODE, Extractor, LiteRTModel, core_count, open_extractor
from tfpoets.graphs import load_frozen_graph
from tfpoets.tf_runtime import redirect_native_stderr

from .timing import in_turn

BATCH = 64


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--image_size", type=int)
    parser.add_argument("--photos", type=int, default=128)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor(flags.tfhub_module, model_dir=flags.work_dir / "models", image_size=flags.image_size)
    paths = [photo.uri for photo in read_dataset(flags.image_dir, least_classes=1).photos]
    chosen = [paths[place] for place in np.linspace(0, len(paths) - 1, flags.photos).astype(int)]
    photos = network_input(load_photos(chosen, extractor.height, extractor.width, core_count()))
    ways = ways_to_run(extractor, photos)
    expected, differences = None, []
    for run in ways.values():
        vectors = run()  # also warms it up
        expected = vectors if expected is None else expected
        differences.append(float(np.abs(vectors - expected).max() / np.abs(expected).max()))
    times = in_turn(list(ways.values()), flags.runs)
    print(f"{extractor.name} at {extractor.height}, {len(photos)} photos")
    print("| way | photos/s | time over the first's | largest difference |")
    print("|---|---|---|---|")
    for name, each, difference in zip(ways, times, differences):
        print(f"| {name} | {len(photos) / each.median:.0f} | {each.over(times[0]).text()} | {difference:.1g} |")


def ways_to_run(extractor: Extractor, photos: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Functions that turn all photos into vectors, by name; the first is what extraction does."""
    models = [LiteRTModel(extractor.tflite_path) for _ in range(core_count())]

    def one_a_core() -> np.ndarray:
        parts = np.array_split(photos, len(models))
        with ThreadPoolExecutor(len(models)) as pool:
            found = pool.map(lambda model, part: [model.run(photo[None])[0] for photo in part], models, parts)
            return np.stack([vector for part in found for vector in part])
    tensorflow = load_frozen_graph(extractor.graph_path.read_bytes(), INPUT_NODE, OUTPUT_NODE)
    return {"LiteRT, one interpreter a core, one photo": one_a_core,
            f"LiteRT, one interpreter with {core_count()} threads, one photo":
                litert(extractor, photos, core_count(), 1),
            f"LiteRT, one interpreter with {core_count()} threads, batches of 8":
                litert(extractor, photos, core_count(), 8),
            f"TensorFlow, batches of {BATCH}": lambda: np.concatenate(
                [tensorflow(photos[start:start + BATCH]) for start in range(0, len(photos), BATCH)])}


def litert(extractor: Extractor, photos: np.ndarray, threads: int, batch: int) -> Callable[[], np.ndarray]:
    """One interpreter of its own making."""
    with redirect_native_stderr():
        interpreter = Interpreter(str(extractor.tflite_path), num_threads=threads)
        place = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(place, [batch, *photos.shape[1:]])
        interpreter.allocate_tensors()
    output = interpreter.get_output_details()[0]["index"]

    def run() -> np.ndarray:
        found = []
        for start in range(0, len(photos) - batch + 1, batch):
            interpreter.set_tensor(place, photos[start:start + batch])
            interpreter.invoke()
            found.append(interpreter.get_tensor(output))
        return np.concatenate(found)
    return run


if __name__ == "__main__":
    main()
