"""A server under load: photos a second, one a request, against the bound of extraction on the same cores.

    python -m tests.benchmarks.load --graph=tf_files/retrained_graph.tflite --image_dir=PHOTOS [--clients=32]

The bound: cores / (decoding + inference of a photo on a single thread), measured in turn with the server. Clients
are threads of a process of their own, on the same cores.
"""
from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tfpoets.data import read_dataset
from tfpoets.extractors import core_count
from tfpoets.inference import load_classifier

PREDICT = "/v1/models/classifier:predict"


def main() -> None:
    """Prints one row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graph", type=Path, required=True)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--photos", type=int, default=600)
    parser.add_argument("--runs", type=int, default=5)
    flags = parser.parse_args()
    dataset = read_dataset(flags.image_dir)
    photos = [dataset.photos[row].read()
              for row in np.linspace(0, len(dataset.photos) - 1, min(flags.photos, len(dataset.photos))).astype(int)]
    process = subprocess.Popen([sys.executable, "-m", "tfpoets", "serve", "--port=0", f"--graph={flags.graph}"],
                               stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert process.stdout is not None
        port = next(int(found[1]) for line in process.stdout if (found := re.match(r"Page: .*:(\d+)/", line)))
        loaded(port, photos[:64], flags.clients)
        rows = []
        for _ in range(flags.runs):
            alone = bound(flags.graph, photos[:100])
            rate, latencies = loaded(port, photos, flags.clients)
            rows.append((rate, alone, rate / alone, *np.percentile(latencies, [50, 99])))
    finally:
        process.terminate()
        process.wait()
    low, middle, high = np.percentile(np.array(rows), [0, 50, 100], axis=0)
    print("| clients | photos/s | bound | of the bound | median, ms | p99, ms |\n|---|---|---|---|---|---|")
    shown = [f"{middle[i]:.{digits}f} ({low[i]:.{digits}f} to {high[i]:.{digits}f})"
             for i, digits in enumerate((0, 0, 2))]
    print(f"| {flags.clients} | {' | '.join(shown)} | {1000 * middle[3]:.0f} | {1000 * middle[4]:.0f} |")


def bound(graph: Path, photos: list[bytes]) -> float:
    """Photos a second of all cores, were each as fast as one is alone."""
    classifier = load_classifier(graph)
    classifier.predict_photo(photos[0])
    start = time.perf_counter()
    for photo in photos:
        classifier.predict_photo(photo)
    return core_count() * len(photos) / (time.perf_counter() - start)


def loaded(port: int, photos: list[bytes], clients: int) -> tuple[float, list[float]]:
    """Photos a second, and the seconds of each request."""
    bodies = [json.dumps({"instances": [{"b64": base64.b64encode(photo).decode()}]}).encode() for photo in photos]

    def client(rows: np.ndarray) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        seconds = []
        for row in rows:
            start = time.perf_counter()
            connection.request("POST", PREDICT, bodies[row])
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
            seconds.append(time.perf_counter() - start)
        return seconds
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(client, np.array_split(np.arange(len(photos)), clients)))
    return len(photos) / (time.perf_counter() - start), [each for seconds in found for each in seconds]


if __name__ == "__main__":
    main()
