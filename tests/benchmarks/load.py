"""Measure the throughput and latency of the server under load, compared with an upper bound.

    python -m tests.benchmarks.load --graph=tf_files/retrained_graph.tflite --image_dir=PHOTOS [--clients=32]

Each request contains one photo. The upper bound is: number of cores / (decoding + inference time of a photo on a
single thread), measured alternately with the server. The clients are threads of this process, and share the cores with
the server.
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
from tfpoets.inference import load_classifier
from tfpoets.parallel import core_count

PREDICT_URL = "/v1/models/classifier:predict"


def main() -> None:
    """Print one row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graph", type=Path, required=True)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--photos", type=int, default=600)
    parser.add_argument("--runs", type=int, default=5)
    flags = parser.parse_args()
    dataset = read_dataset(flags.image_dir)
    photos = [dataset.photos[row].read()
              for row in np.linspace(0, len(dataset) - 1, min(flags.photos, len(dataset))).astype(int)]
    server = subprocess.Popen([sys.executable, "-m", "tfpoets", "serve", "--port=0", f"--graph={flags.graph}"],
                              stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert server.stdout is not None
        port = next(int(match[1]) for line in server.stdout if (match := re.match(r"Page: .*:(\d+)/", line)))
        send_requests(port, photos[:64], flags.clients)  # warm up
        rows = []
        for _ in range(flags.runs):
            bound = upper_bound(flags.graph, photos[:100])
            rate, latencies = send_requests(port, photos, flags.clients)
            rows.append((rate, bound, rate / bound, *np.percentile(latencies, [50, 99])))
    finally:
        server.terminate()
        server.wait()
    low, median, high = np.percentile(np.array(rows), [0, 50, 100], axis=0)
    print("| clients | photos/s | bound | fraction of the bound | median, ms | p99, ms |\n|---|---|---|---|---|---|")
    cells = [f"{median[i]:.{digits}f} ({low[i]:.{digits}f} to {high[i]:.{digits}f})"
             for i, digits in enumerate((0, 0, 2))]
    print(f"| {flags.clients} | {' | '.join(cells)} | {1000 * median[3]:.0f} | {1000 * median[4]:.0f} |")


def upper_bound(graph: Path, photos: list[bytes]) -> float:
    """Return the photos per second that all cores would reach if each were as fast as a core that runs alone."""
    classifier = load_classifier(graph)
    classifier.predict_photo(photos[0])  # warm up
    start = time.perf_counter()
    for photo in photos:
        classifier.predict_photo(photo)
    return core_count() * len(photos) / (time.perf_counter() - start)


def send_requests(port: int, photos: list[bytes], clients: int) -> tuple[float, list[float]]:
    """Send each photo once, from several clients; return the photos per second, and the seconds of each request."""
    bodies = [json.dumps({"instances": [{"b64": base64.b64encode(photo).decode()}]}).encode() for photo in photos]

    def run_client(rows: np.ndarray) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        seconds = []
        for row in rows:
            start = time.perf_counter()
            connection.request("POST", PREDICT_URL, bodies[row])
            response = connection.getresponse()
            assert response.status == 200, response.read()
            response.read()
            seconds.append(time.perf_counter() - start)
        return seconds
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        latencies = list(pool.map(run_client, np.array_split(np.arange(len(photos)), clients)))
    return len(photos) / (time.perf_counter() - start), np.concatenate(latencies).tolist()


if __name__ == "__main__":
    main()
