"""What the temperature does to test figures, over many splits from one cache.

python -m tests.benchmarks.calibration_over_seeds --image_dir=PHOTOS [--tfhub_module=HANDLE] [--image_size=N]
"""
from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfpoets.data import TEST, TRAINING, VALIDATION, SplitOptions, read_dataset, split_photos
from tfpoets.evaluation import evaluate
from tfpoets.extractors import extract_bottlenecks, open_extractor
from tfpoets.training import fit_head


def main() -> None:
    """Prints the rows of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--image_size", type=int)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--work_dir", type=Path, default=Path("tf_files"))
    flags = parser.parse_args()
    extractor = open_extractor(flags.tfhub_module, model_dir=flags.work_dir / "models", image_size=flags.image_size)
    found = extract_bottlenecks(read_dataset(flags.image_dir), extractor, flags.work_dir / "bottlenecks")
    rows: dict[str, list[tuple[float, float]]] = {"fitted": [], "none (T = 1)": []}
    temperatures = []
    for seed in range(flags.seeds):
        dataset = split_photos(found.dataset, SplitOptions(seed=seed))
        train, validation, test = (dataset.part(part) for part in (TRAINING, VALIDATION, TEST))
        head = fit_head(train, validation).head
        temperatures.append(head.temperature)
        for name, each in (("fitted", head), ("none (T = 1)", replace(head, temperature=1.0))):
            metrics = evaluate(each.probabilities(test.X), test.y)
            rows[name].append((metrics.cross_entropy, metrics.expected_calibration_error))
    print(f"temperature {np.mean(temperatures):.2f} ± {np.std(temperatures):.2f} (spread), "
          f"{np.min(temperatures):.2f} to {np.max(temperatures):.2f}")
    for name, figures in rows.items():
        loss, error = np.array(figures).T
        print(f"| {extractor.name} | {extractor.height} | {len(found.dataset.photos)} | {name} | {_mean(loss)} | "
              f"{_mean(error)} |")
    gain = np.array(rows["none (T = 1)"]) - np.array(rows["fitted"])
    print(f"paired gain by the temperature: cross entropy {_mean(gain[:, 0])}, calibration error {_mean(gain[:, 1])}")


def _mean(values: np.ndarray) -> str:
    return f"{values.mean():.4f} ± {values.std(ddof=1) / np.sqrt(len(values)):.4f}"


if __name__ == "__main__":
    main()
