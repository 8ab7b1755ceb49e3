"""How many planted wrong labels the data doctor finds, over seeds, from one cache.

python -m tests.benchmarks.wrong_labels --image_dir=PHOTOS [--tfhub_module=HANDLE] [--image_size=N]
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from tfpoets.data import read_dataset, split_photos
from tfpoets.doctor import find_label_issues, find_neighbours
from tfpoets.extractors import extract_bottlenecks, open_extractor

FLIPPED = 0.05


def main() -> None:
    """Prints one row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--image_size", type=int)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first_seed", type=int, default=0)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor(flags.tfhub_module, model_dir=flags.work_dir / "models", image_size=flags.image_size)
    found = extract_bottlenecks(read_dataset(flags.image_dir), extractor, flags.work_dir / "bottlenecks")
    groups = split_photos(found.dataset).split.groups
    neighbours = find_neighbours(found.features)
    rows = np.array([figures(found.features, found.dataset.targets, groups, neighbours, seed)
                     for seed in range(flags.first_seed, flags.first_seed + flags.seeds)])
    mean, spread = rows.mean(0), rows.std(0, ddof=1)
    told = " | ".join(f"{a:.3f} ± {b:.3f}" for a, b in zip(mean, spread))
    print(f"| {extractor.name} | {extractor.height} | {len(groups)} | {told} |")


def figures(matrix: np.ndarray, classes: np.ndarray, groups: np.ndarray, neighbours, seed: int
            ) -> tuple[float, float, float]:
    """Precision and recall of the list, and average precision of the ranking, with 5 % of the labels flipped."""
    random = np.random.default_rng(seed)
    count, width = len(classes), int(classes.max()) + 1
    picked = random.choice(count, round(FLIPPED * count), replace=False)
    labels = classes.copy()
    labels[picked] = (classes[picked] + random.integers(1, width, len(picked))) % width
    wrong = np.zeros(count, bool)
    wrong[picked] = True
    issues = find_label_issues(matrix, labels, groups, neighbours)
    hits = (issues.is_issue & wrong).sum()
    return (hits / max(issues.is_issue.sum(), 1), hits / wrong.sum(),
            average_precision_score(wrong, issues.scores))


if __name__ == "__main__":
    main()
