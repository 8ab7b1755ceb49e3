"""Compare the gains that the recommendations of retrain promise with the actual gains when they are followed.

python -m tests.benchmarks.next_steps --image_dir=PHOTOS [--seeds=10] [--work_dir=tf_files]

For each seed, a quarter of the photos (at most 770) are test photos, a random half of the others is used, and the rest
is held back. Every recommendation is then followed separately: the photos that were held back are added; the features
are those of the larger size or of four views; and of labels changed at random (5 %, in training and test photos), the
suspected ones are corrected. All accuracies are those of the test photos.
"""
from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.learning_curve import fit, take
from tfpoets.advice import Evidence, Trial, compare_features, recommend
from tfpoets.data import Dataset, Examples, read_dataset, split_photos, spread_over_folds
from tfpoets.doctor import WRONG_LABEL, Finding, find_label_issues, find_neighbours
from tfpoets.evaluation import evaluate
from tfpoets.extractors import extract_bottlenecks, open_extractor
from tfpoets.training import measure_learning_curve

KINDS = ("photos", "image_size", "views", "labels, 5 % changed", "labels, unchanged")
WRONG_FRACTION = 0.05


def main() -> None:
    """Print a row of a Markdown table for each kind of recommendation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--image_size", type=int, default=448, help="the larger size")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first_seed", type=int, default=0)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    listed = read_dataset(flags.image_dir)
    columns = {}
    for name, changes in (("base", {}), ("image_size", {"image_size": flags.image_size}), ("views", {"views": 4})):
        extractor = open_extractor(model_dir=flags.work_dir / "models", **changes)
        columns[name] = extract_bottlenecks(listed, extractor, flags.work_dir / "bottlenecks")
    dataset = split_photos(columns["base"].dataset)
    features = {name: bottlenecks.features for name, bottlenecks in columns.items() if name != "base"}
    results: dict[str, list[tuple[float | None, float]]] = defaultdict(list)
    for seed in range(flags.first_seed, flags.first_seed + flags.seeds):
        for kind, promised, actual in follow(dataset, features, flags.image_size, seed):
            results[kind].append((promised, actual))
    for kind in KINDS:
        print(row(kind, results[kind]))


def row(kind: str, pairs: list[tuple[float | None, float]]) -> str:
    """Return the row of a kind: how often it was recommended, the promised and the actual gain, and that otherwise."""
    followed = 100 * np.array([pair for pair in pairs if pair[0] is not None], float).reshape(-1, 2)
    others = 100 * np.array([actual for promised, actual in pairs if promised is None])
    promised = f"{followed[:, 0].mean():+.2f}" if len(followed) else "-"
    return (f"| {kind} | {len(followed)} of {len(pairs)} | {promised} | {mean(followed[:, 1])} | {mean(others)} |")


def mean(values: np.ndarray) -> str:
    """Return a mean with its standard error."""
    if len(values) < 2:
        return f"{values[0]:+.2f}" if len(values) else "-"
    return f"{values.mean():+.2f} ± {values.std(ddof=1) / len(values) ** 0.5:.2f}"


def follow(dataset: Dataset, features: dict[str, np.ndarray], image_size: int, seed: int
           ) -> list[tuple[str, float | None, float]]:
    """Return the kind, the promised gain (None: not recommended) and the actual gain of each recommendation."""
    assert dataset.split is not None
    examples, groups = dataset.examples(), dataset.split.groups
    order = np.random.default_rng(seed).permutation(len(dataset))
    n_test = min(770, len(order) // 4)
    test_rows, rest = order[:n_test], order[n_test:]
    used = rest[:len(rest) // 2]
    test, train = take(examples, test_rows), take(examples, used)
    trained = fit(train)
    now = accuracy(trained, test)
    curve = measure_learning_curve(train, test, trained, (groups[used], None))
    gains = [("photos", promise(trained, train, test, curve=curve),
              accuracy(fit(take(examples, rest)), test) - now)]
    for name, X in features.items():
        folds = spread_over_folds(train.y, groups[used], 5)
        trial = Trial(name, image_size if name == "image_size" else 4, compare_features(train, X[used], folds),
                      len(used), 1.0)
        changed = replace(examples, X=X)
        gains.append((name, promise(trained, train, test, trials=(trial,)),
                      accuracy(fit(take(changed, used)), take(changed, test_rows)) - now))
    rows = np.concatenate([used, test_rows])
    for name, fraction in (("labels, 5 % changed", WRONG_FRACTION), ("labels, unchanged", 0.0)):
        gains.append((name, *correct_labels(take(examples, rows), groups[rows], len(used), fraction, seed)))
    return gains


def accuracy(trained: Any, test: Examples) -> float:
    """Return the accuracy of a head."""
    return float((trained.head.probabilities(test.X).argmax(axis=1) == test.y).mean())


def promise(trained: Any, train: Examples, test: Examples, **known: Any) -> float | None:
    """Return the gain that is promised if only one thing is known, or None if nothing is recommended."""
    metrics = evaluate(trained.head.probabilities(test.X), test.y)
    n_photos = len(train) + len(test)
    values: dict[str, Any] = {"curve": None, "findings": None, "trials": None, "repeated_scenes": None, **known}
    advice = recommend(Evidence(metrics=metrics, labels=[str(label) for label in range(test.n_classes)],
                                n_photos=n_photos, n_training=len(train), findings_path=Path("findings.csv"),
                                can_fine_tune=False, **values), lambda **options: "")
    return advice.recommendations[0].gain if advice.recommendations else None


def correct_labels(examples: Examples, groups: np.ndarray, n_train: int, fraction: float, seed: int
                   ) -> tuple[float | None, float]:
    """Return the promised and the actual gain of correcting those changed labels that are suspected."""
    rng = np.random.default_rng([seed, 1])
    is_changed = rng.random(len(examples)) < fraction
    shift = rng.integers(1, examples.n_classes, len(examples))
    labels = np.where(is_changed, (examples.y + shift) % examples.n_classes, examples.y)
    # Copies of one picture vote neither for nor against each other.
    suspected = find_label_issues(examples.X, labels, groups, find_neighbours(examples.X)).is_issue
    corrected = np.where(suspected, examples.y, labels)
    parts = [(replace(examples, y=y), slice(None, n_train), slice(n_train, None)) for y in (labels, corrected)]
    accuracies, promised = [], None
    for number, (changed, train_rows, test_rows) in enumerate(parts):
        train, test = (Examples(changed.X[rows], changed.y[rows], changed.n_classes) for rows in
                       (train_rows, test_rows))
        trained = fit(train)
        accuracies.append(accuracy(trained, test))
        if number == 0:
            findings = tuple(Finding(WRONG_LABEL, "", 0.0, "") for _ in range(suspected.sum()))
            promised = promise(trained, train, test, findings=findings)
    return promised, accuracies[1] - accuracies[0]


if __name__ == "__main__":
    main()
