"""How well the score for unknown photos tells strangers: each class left out in turn, and photos of something else.

    python -m tests.benchmarks.unknown_score --image_dir=flowers --strangers=trash [--tfhub_module=HANDLE]

The other classes are split as retrain does (20 % test, 10 % validation); the area under the ROC curve is that of test
photos against all photos of the class left out, or all strangers. Beside the score: its two parts, the largest
probability and the energy (Liu et al. 2020) of the same head.
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
    """Prints a Markdown table: a row for each score, mean and standard deviation over seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--strangers", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--image_size", type=int)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor(flags.tfhub_module, model_dir=flags.work_dir / "models", image_size=flags.image_size)
    known, strangers = (extract_bottlenecks(read_dataset(folder, least_classes=1), extractor,
                                            flags.work_dir / "bottlenecks")
                        for folder in (flags.image_dir, flags.strangers))
    seeds = [areas_of(known, strangers.features, split_photos(known.dataset, SplitOptions(20, 10, seed)).split)
             for seed in range(flags.seeds)]
    print(f"{extractor.name} at {extractor.height}, {len(known.features)} photos, {len(strangers.features)} strangers")
    print("| score | a class left out | lowest class | strangers |")
    print("|---|---|---|---|")
    for name in seeds[0]:
        rows = np.array([seed[name] for seed in seeds])  # [seeds, classes + 1]
        left_out, other = rows[:, :-1].mean(axis=1), rows[:, -1]
        print(f"| {name} | {left_out.mean():.3f} ± {left_out.std(ddof=1):.3f} | {rows[:, :-1].mean(axis=0).min():.3f} "
              f"| {other.mean():.3f} ± {other.std(ddof=1):.3f} |")


def areas_of(known: Bottlenecks, strangers: np.ndarray, split: Split) -> dict[str, list[float]]:
    """Areas under the ROC curve of each score: of each class left out, then of the strangers."""
    classes = known.dataset.targets
    found: dict[str, list[float]] = {}
    for left_out in [*range(len(known.dataset.labels)), None]:
        kept = classes != left_out
        parts = [np.flatnonzero(kept & (split.parts == part)) for part in (TRAINING, VALIDATION, TEST)]
        others = strangers if left_out is None else known.features[~kept]
        for name, (own, other) in scores(known.features, classes, parts, others).items():
            truth = np.repeat([0, 1], [len(own), len(other)])
            found.setdefault(name, []).append(float(roc_auc_score(truth, np.concatenate([own, other]))))
    return found


def scores(matrix: np.ndarray, classes: np.ndarray, parts: list[np.ndarray], others: np.ndarray
           ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each score of the test photos and of the others, larger for what is less known."""
    train, validation, test = parts
    labels = np.unique(classes[train])
    number = {label: index for index, label in enumerate(labels)}
    y = np.array([number.get(label, -1) for label in classes])
    fitting, choosing = (Examples(matrix[rows], y[rows], len(labels)) for rows in (train, validation))
    head = fit_head(fitting, choosing).head
    unknown = fit_unknown_score(fitting, choosing, COVERAGE)
    both = (matrix[test], others)
    neighbours, relative = zip(*(unknown.raw_scores(rows) for rows in both))
    return {"both together": tuple(unknown.scores(rows) for rows in both),
            "neighbours": neighbours, "relative Mahalanobis": relative,
            "largest probability": tuple(-head.probabilities(rows).max(axis=1) for rows in both),
            "energy": tuple(-np.logaddexp.reduce(head.logits(rows), axis=1) for rows in both)}


if __name__ == "__main__":
    main()
