"""Measure whether the statements of `compare` are right, with the photos that are not in a draw as the truth.

python -m tests.benchmarks.compare --image_dir=PHOTOS --tfhub_module=A,B,C [--photos=400] [--draws=25]

Each draw is compared like a small dataset. The true accuracy of a network is the mean, over all draws, of the accuracy
of a head that was trained on as many photos of a draw as in the comparison, on all photos outside the draw. Two
further "networks" are about equally accurate: they are random halves of the features of the first network.
"""
from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np

from tfpoets.data import Examples, read_dataset
from tfpoets.evaluation import accuracy_after_choice, evaluate, holm_adjusted, paired_difference
from tfpoets.extractors import extract_bottlenecks, open_extractor
from tfpoets.training import fit_head, out_of_fold_probabilities

N_FOLDS = 5


def main() -> None:
    """Print the rows of two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0", help="separated by commas; HANDLE@SIZE")
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--draws", type=int, default=25)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    names, matrices, y = extract(flags.image_dir, flags.tfhub_module.split(","), flags.work_dir)
    draws = [compare_draw(matrices, y, flags.photos, seed) for seed in range(flags.draws)]
    correct, true_accuracies = [rows for rows, _ in draws], np.mean([accuracies for _, accuracies in draws], axis=0)
    errors = np.std([accuracies for _, accuracies in draws], axis=0, ddof=1) / len(draws) ** 0.5
    for name, accuracy, error in zip(names, true_accuracies, errors):
        print(f"| {name} | {100 * accuracy:.1f} ± {100 * error:.1f} |")
    print_statements(correct, true_accuracies, flags.photos)


def extract(image_dir: Path, handles: list[str], work_dir: Path) -> tuple[list[str], list[np.ndarray], np.ndarray]:
    """Return the names of the networks, float32 [n, depth] for each of them, and the classes, int64 [n]."""
    names, matrices = [], []
    for handle in handles:
        handle, _, size = handle.partition("@")
        extractor = open_extractor(handle, model_dir=work_dir / "models", image_size=int(size) if size else None)
        bottlenecks = extract_bottlenecks(read_dataset(image_dir), extractor, work_dir / "bottlenecks")
        names.append(f"{extractor.name} {extractor.height}")
        matrices.append(bottlenecks.features)
    columns = np.random.default_rng(0).permutation(matrices[0].shape[1])
    halves = [matrices[0][:, half] for half in np.array_split(columns, 2)]
    return [*names, "first half", "second half"], [*matrices, *halves], bottlenecks.dataset.targets


def compare_draw(matrices: list[np.ndarray], y: np.ndarray, n_photos: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Compare the networks on a draw.

    Returns:
        Which out-of-fold predictions are correct: bool [networks, n_photos].
        The accuracy of a head of each network on the photos outside the draw: float64 [networks].
    """
    order, n_classes = np.random.default_rng(seed).permutation(len(y)), int(y.max()) + 1
    drawn, others = order[:n_photos], order[n_photos:]
    folds, correct, accuracies = np.arange(n_photos) % N_FOLDS, [], []
    for X in matrices:
        examples, heads = Examples(X[drawn], y[drawn], n_classes), []

        def fit(train: Examples, validation: Examples):
            heads.append(fit_head(train, validation))
            return heads[-1]
        correct.append(out_of_fold_probabilities(examples, folds, fit).argmax(axis=1) == y[drawn])
        accuracies.append(evaluate(heads[0].head.probabilities(X[others]), y[others]).accuracy)
    return np.array(correct), np.array(accuracies)


def print_statements(draws: list[np.ndarray], true_accuracies: np.ndarray, n_photos: int) -> None:
    """Print how often the intervals and the statements about pairs are right, and the bias of the best accuracy."""
    pairs = list(combinations(range(len(true_accuracies)), 2))
    equal = len(true_accuracies) - 2, len(true_accuracies) - 1
    covered, real_but_equal, reversed_, real, best_bias, corrected_bias = [], [], [], [], [], []
    for correct in draws:
        differences = [paired_difference(correct[first], correct[second]) for first, second in pairs]
        adjusted = holm_adjusted([difference.p_value for difference in differences])
        for pair, difference, p_value in zip(pairs, differences, adjusted):
            true = true_accuracies[pair[0]] - true_accuracies[pair[1]]
            covered.append(abs(difference.difference - true) <= 1.96 * difference.standard_error)
            if pair == equal:
                real_but_equal.append(p_value < 0.05)
            else:
                real.append(p_value < 0.05)
                reversed_.append(p_value < 0.05 and difference.difference * true < 0)
        best = int(correct.mean(axis=1).argmax())
        best_bias.append(correct[best].mean() - true_accuracies[best])
        corrected_bias.append(accuracy_after_choice(correct) - true_accuracies[best])
    n = len(draws)
    print(f"| {n_photos} | {n} | {100 * np.mean(covered):.1f} % of {len(covered)} | {sum(real_but_equal)} of {n} | "
          f"{sum(real)} of {len(real)} | {sum(reversed_)} | {_points(best_bias)} | {_points(corrected_bias)} |")


def _points(values: list[float]) -> str:
    return f"{100 * np.mean(values):+.1f} ± {100 * np.std(values, ddof=1) / len(values) ** 0.5:.1f}"


if __name__ == "__main__":
    main()
