"""Measure the size of the files, and the time to write and read them, with thousands of classes and many photos.

    python -m tests.benchmarks.scale_files [--classes=10000] [--photos=100000]

All photos, bottlenecks and predictions are fabricated. The figures of earlier versions are computed from the same
values in the earlier form.
"""
from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfpoets.data import Examples
from tfpoets.evaluation import Metrics, calibration_bins, evaluate
from tfpoets.exporting import HeadInfo, InputInfo, Metadata, NetworkInfo, NodeNames, SplitInfo
from tfpoets.exporting.training_list import separate_list
from tfpoets.report import ReportContent, write_report
from tfpoets.training import fit_unknown_score

DEPTH, TEST_FRACTION, NOISE = 1280, 10, 0.4


@contextlib.contextmanager
def timed(name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{name:<58} {time.perf_counter() - start:8.2f} s   peak {peak:.1f} GB", flush=True)


def fabricate_metrics(n_classes: int, count: int) -> Metrics:
    """Return the metrics of predictions of which about 70% are right."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, count)
    predicted = np.where(rng.random(count) < 0.7, y, rng.integers(0, n_classes, count))
    probabilities = np.full((count, n_classes), 0.1 / n_classes, np.float32)
    probabilities[np.arange(count), predicted] += 0.9
    with timed(f"evaluate {count:,} photos"):
        return evaluate(probabilities, y)


def measure_metrics(n_classes: int, n_photos: int) -> None:
    labels = [f"class {number}" for number in range(n_classes)]
    metrics = fabricate_metrics(n_classes, n_photos // TEST_FRACTION)
    with timed("metrics of each class"):
        metrics.per_class
    with timed("JSON of the metrics"):
        text = json.dumps(metrics.to_dict(labels))
    matrix = metrics.confusion.to_array()
    full = sum(len(json.dumps(row.tolist())) + 2 for row in matrix)
    cells = len(json.dumps(metrics.confusion.to_dict()))
    print(f"  confusion: {full / 1e6:.1f} MB as a full matrix, {cells / 1e6:.2f} MB as cells; JSON of all metrics: "
          f"{len(text) / 1e6:.1f} MB")
    content = ReportContent(
        "report", labels, metrics, True, [], [], calibration_bins(np.full(metrics.count, 0.9), np.arange(
            metrics.count) % 10 > 2), [], [], None, {}, {}, [], "label")
    with tempfile.TemporaryDirectory() as folder, timed("report"):
        write_report(Path(folder) / "report.html", content)
        size = (Path(folder) / "report.html").stat().st_size
    print(f"  report: {size / 1e6:.2f} MB")


def measure_training_list(n_photos: int) -> None:
    rng = np.random.default_rng(1)
    digests = sorted(f"{number:010x}" for number in rng.choice(1 << 39, n_photos, replace=False))
    whole = Metadata(["a", "b"], InputInfo(224, 224), NodeNames("input", "final_result"),
                     NetworkInfo("frozen_features", "embedded", "ab"), HeadInfo("lbfgs", 1.0),
                     split=SplitInfo(0, "cd", {"training": n_photos}, "".join(digests)))
    separated, content = separate_list(whole, "graph")
    assert content is not None
    for name, metadata in (("in the metadata", whole), ("in a file", separated)):
        text = metadata.to_json()
        start = time.perf_counter()
        for _ in range(20):
            Metadata.from_json(text, "x")
        print(f"  {n_photos:,} training photos {name}: JSON {len(text) / 1e6:.3f} MB, read in "
              f"{50 * (time.perf_counter() - start):.2f} ms")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "graph.trained_on.txt").write_bytes(content)
        with timed(f"look up 1,000 photos in a file of {len(content) / 1e6:.1f} MB"):
            mask = replace(separated, folder=Path(folder)).training_digest_mask(digests[:500] + ["f" * 10] * 500)
    assert mask == [True] * 500 + [False] * 500


def measure_unknown_score(n_classes: int, n_photos: int) -> None:
    rng = np.random.default_rng(2)
    centres = np.abs(rng.standard_normal((n_classes, DEPTH), np.float32))

    def fabricate(count: int) -> Examples:
        y = np.arange(count) % n_classes
        X = centres[y]
        for start in range(0, count, 10_000):
            X[start:start + 10_000] += NOISE * rng.standard_normal((len(X[start:start + 10_000]), DEPTH), np.float32)
        return Examples(np.maximum(X, 0, out=X), y, n_classes)
    train, validation = fabricate(n_photos), fabricate(n_classes)
    with timed(f"unknown score of {n_classes:,} classes, {n_photos:,} photos"):
        score = fit_unknown_score(train, validation, 0.95)
    arrays = (score.references, score.projection, score.shift, score.offsets, score.coupling)
    size = io.BytesIO()
    np.savez(size, *arrays)
    test = fabricate(n_classes)
    accepted = score.scores(test.X) <= score.threshold
    counts = np.bincount(test.y[accepted], minlength=n_classes)
    thirds = [f"{part.mean():.1%}" for part in np.array_split(counts, 3)]
    print(f"  {len(score.references):,} references, {size.tell() / 1e6:.0f} MB; new photos accepted at a coverage of "
          f"95%: {accepted.mean():.1%}, by thirds of the classes {', '.join(thirds)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=10_000)
    parser.add_argument("--photos", type=int, default=100_000)
    args = parser.parse_args()
    measure_metrics(args.classes, args.photos)
    measure_training_list(args.photos)
    measure_training_list(10 * args.photos)
    measure_unknown_score(3 * args.classes // 10, 3 * args.photos // 10)
    measure_unknown_score(args.classes, args.photos)


if __name__ == "__main__":
    main()
