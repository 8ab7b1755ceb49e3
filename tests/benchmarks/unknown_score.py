"""Measure how well the unknown score separates test photos of the classes from unknown photos.

    python -m tests.benchmarks.unknown_score --image_dir=flowers --unknown_dir=trash [--tfhub_module=HANDLE]

The unknown photos are those of a class that is left out of the training, for each class in turn, and those in
--unknown_dir. The other classes are split with 20 % test and 10 % validation photos. The figures are areas under the
ROC curve. The unknown score is compared with its two parts, and with the largest probability and the energy (Liu et
al. 2020) of the same head.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from tfpoets.data import TEST, TRAINING, VALIDATION, Examples, Split, SplitOptions, read_dataset, split_photos
from tfpoets.extractors import Bottlenecks, extract_bottlenecks, open_extractor
from tfpoets.training import fit_head, fit_unknown_score

COVERAGE = 0.95


def main() -> None:
    """Print a Markdown table with a row for each score: mean and standard deviation over seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--unknown_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--image_size", type=int)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor(flags.tfhub_module, model_dir=flags.work_dir / "models", image_size=flags.image_size)
    known, unknown = (extract_bottlenecks(read_dataset(folder, min_classes=1), extractor,
                                          flags.work_dir / "bottlenecks")
                      for folder in (flags.image_dir, flags.unknown_dir))
    seeds = [roc_areas(known, unknown.features, split_photos(known.dataset, SplitOptions(20, 10, seed)).split)
             for seed in range(flags.seeds)]
    print(f"{extractor.name} at {extractor.height}, {len(known.features)} photos, {len(unknown.features)} unknown")
    print("| score | class left out | worst class | unknown_dir |")
    print("|---|---|---|---|")
    for name in seeds[0]:
        areas = np.array([seed[name] for seed in seeds])  # [n_seeds, n_classes + 1]
        left_out, unknown_dir = areas[:, :-1].mean(axis=1), areas[:, -1]
        print(f"| {name} | {left_out.mean():.3f} ± {left_out.std(ddof=1):.3f} "
              f"| {areas[:, :-1].mean(axis=0).min():.3f} | {unknown_dir.mean():.3f} ± {unknown_dir.std(ddof=1):.3f} |")


def roc_areas(known: Bottlenecks, unknown_X: np.ndarray, split: Split) -> dict[str, list[float]]:
    """Return the areas under the ROC curve of each score: for each class left out, then for `unknown_X`."""
    y = known.dataset.targets
    areas: dict[str, list[float]] = {}
    for left_out in [*range(len(known.dataset.labels)), None]:
        remaining = y != left_out
        parts = [np.flatnonzero(remaining & (split.parts == part)) for part in (TRAINING, VALIDATION, TEST)]
        X_unknown = unknown_X if left_out is None else known.features[~remaining]
        for name, (test_scores, unknown_scores) in compute_scores(known.features, y, parts, X_unknown).items():
            is_unknown = np.repeat([0, 1], [len(test_scores), len(unknown_scores)])
            areas.setdefault(name, []).append(
                float(roc_auc_score(is_unknown, np.concatenate([test_scores, unknown_scores]))))
    return areas


def compute_scores(X: np.ndarray, y: np.ndarray, parts: list[np.ndarray], X_unknown: np.ndarray
                   ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return each score for the test photos and for the unknown photos; unknown photos should have larger scores.

    Args:
        X: The bottlenecks of all photos, float32 [n_photos, depth].
        y: Their targets, int64 [n_photos].
        parts: The rows of the training, validation and test photos.
        X_unknown: The bottlenecks of the unknown photos, float32 [n_unknown, depth].
    """
    training_rows, validation_rows, test_rows = parts
    # Number the classes that remain in the training photos from 0.
    new_targets = {target: number for number, target in enumerate(np.unique(y[training_rows]))}
    y = np.array([new_targets.get(target, -1) for target in y])
    train, validation = (Examples(X[rows], y[rows], len(new_targets)) for rows in (training_rows, validation_rows))
    head = fit_head(train, validation).head
    score = fit_unknown_score(train, validation, COVERAGE)
    both = (X[test_rows], X_unknown)
    neighbours, relative = zip(*(score.raw_scores(rows) for rows in both))
    return {"neighbours + relative Mahalanobis": tuple(score.scores(rows) for rows in both),
            "neighbours": neighbours, "relative Mahalanobis": relative,
            "largest probability": tuple(-head.probabilities(rows).max(axis=1) for rows in both),
            "energy": tuple(-np.logaddexp.reduce(head.logits(rows), axis=1) for rows in both)}


if __name__ == "__main__":
    main()
