"""Measure how many planted wrong labels the data doctor finds, over many seeds.

python -m tests.benchmarks.wrong_labels --image_dir=PHOTOS [--tfhub_module=HANDLE] [--image_size=N]

For each seed, 5 % of the labels are replaced by other labels at random. All seeds use the same cached bottlenecks.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from tfpoets.data import read_dataset, split_photos
from tfpoets.doctor import find_label_issues, find_neighbours
from tfpoets.extractors import extract_bottlenecks, open_extractor

WRONG_FRACTION = 0.05


def main() -> None:
    """Print one row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--image_size", type=int)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first_seed", type=int, default=0)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor(flags.tfhub_module, model_dir=flags.work_dir / "models", image_size=flags.image_size)
    bottlenecks = extract_bottlenecks(read_dataset(flags.image_dir), extractor, flags.work_dir / "bottlenecks")
    groups = split_photos(bottlenecks.dataset).split.groups
    neighbours = find_neighbours(bottlenecks.features)
    figures = np.array([measure_detection(bottlenecks.features, bottlenecks.dataset.targets, groups, neighbours, seed)
                        for seed in range(flags.first_seed, flags.first_seed + flags.seeds)])
    mean, deviation = figures.mean(0), figures.std(0, ddof=1)
    cells = " | ".join(f"{a:.3f} ± {b:.3f}" for a, b in zip(mean, deviation))
    print(f"| {extractor.name} | {extractor.height} | {len(groups)} | {cells} |")


def measure_detection(X: np.ndarray, y: np.ndarray, groups: np.ndarray, neighbours, seed: int
                      ) -> tuple[float, float, float]:
    """Replace some labels, and return the precision and recall of the list and the average precision of the ranking.

    Args:
        X: The bottlenecks, float32 [n_photos, depth].
        y: The targets, int64 [n_photos].
        groups: The group of near duplicates of each photo, int64 [n_photos].
        neighbours: The nearest neighbours, from `find_neighbours`.
        seed: Determines the labels that are replaced.
    """
    rng = np.random.default_rng(seed)
    n_photos, n_classes = len(y), int(y.max()) + 1
    rows = rng.choice(n_photos, round(WRONG_FRACTION * n_photos), replace=False)
    changed_y = y.copy()
    changed_y[rows] = (y[rows] + rng.integers(1, n_classes, len(rows))) % n_classes
    is_wrong = np.zeros(n_photos, bool)
    is_wrong[rows] = True
    issues = find_label_issues(X, changed_y, groups, neighbours)
    n_found = (issues.is_issue & is_wrong).sum()
    return (n_found / max(issues.is_issue.sum(), 1), n_found / is_wrong.sum(),
            average_precision_score(is_wrong, issues.scores))


if __name__ == "__main__":
    main()
