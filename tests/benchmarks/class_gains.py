"""Compare the gain that is promised for more photos of a class with the gain of adding them.

python -m tests.benchmarks.class_gains --image_dir=PHOTOS [--photos=300] [--added=60] [--seeds=10]

For each seed, the gains are measured on a random draw of photos. Then new photos of one class at a time are added, and
the accuracy on 770 other photos is compared. The promise for ten photos is extrapolated by the power law.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tests.benchmarks.learning_curve import fit, take
from tfpoets.data import read_dataset, split_photos
from tfpoets.extractors import extract_bottlenecks, open_extractor
from tfpoets.training import CurveOptions, measure_learning_curve


def main() -> None:
    """Print the mean gains, promised and actual, of the most promising class and of the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--added", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor(flags.tfhub_module, model_dir=flags.work_dir / "models")
    dataset = split_photos(extract_bottlenecks(read_dataset(flags.image_dir), extractor,
                                               flags.work_dir / "bottlenecks").dataset)
    assert dataset.split is not None
    examples = dataset.examples()
    rows = []
    for seed in range(flags.seeds):
        order = np.random.default_rng(seed).permutation(len(dataset))
        test, used, reserve = take(examples, order[:770]), order[770:770 + flags.photos], order[770 + flags.photos:]
        train = take(examples, used)
        curve = measure_learning_curve(train, test, fit(train), (dataset.split.groups[used], None), CurveOptions())
        order_of_promise = np.argsort([-gain.accuracy for gain in curve.class_gains])
        for rank, label in enumerate(order_of_promise):
            gain, exponent = curve.class_gains[label], curve.law.exponent
            growth = [1 - (1 + added / gain.photos) ** -exponent for added in (flags.added, 10)]
            added = reserve[examples.y[reserve] == label][:flags.added]
            head = fit(take(examples, np.random.default_rng(seed).permutation(np.concatenate([used, added])))).head
            accuracy = float((head.probabilities(test.X).argmax(axis=1) == test.y).mean())
            rows.append((rank == 0, curve.best_class == label, gain.accuracy * growth[0] / growth[1],
                         accuracy - curve.now))
    table = np.array(rows, float)
    for name, mask in (("most promising", table[:, 0] == 1), ("of these, larger than chance", table[:, 1] == 1),
                       ("others", table[:, 0] == 0)):
        promised, actual = 100 * table[mask, 2], 100 * table[mask, 3]
        error = actual.std(ddof=1) / len(actual) ** 0.5
        print(f"| {name} | {mask.sum()} | {promised.mean():+.2f} | {actual.mean():+.2f} ± {error:.2f} |")


if __name__ == "__main__":
    main()
