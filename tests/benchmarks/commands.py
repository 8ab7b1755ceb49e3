"""Measure the running time of whole commands, each in a new process.

    python -m tests.benchmarks.commands --image_dir=PHOTOS [--runs=5] [--without=keras,cold]

The commands are retrain with an empty and with a full cache, stage by stage, and label_image on one photo and on many.
They alternate with scripts that a user might write instead: one with keras.applications and scikit-learn, and a
minimal one that labels one photo with LiteRT.
"""
from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tfpoets.data import read_dataset

from .timing import Measurements, time_alternately

# MobileNetV2 is about as large as the default network. Random weights are sufficient for timing.
KERAS_SCRIPT = """
import sys
from pathlib import Path
import keras, numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
root = Path(sys.argv[1])
paths = sorted(root.glob("*/*.jpg"))
photos = np.stack([np.asarray(Image.open(path).convert("RGB").resize((224, 224)), np.float32) for path in paths])
network = keras.applications.MobileNetV2(weights=None, include_top=False, pooling="avg")
features = network.predict(keras.applications.mobilenet_v2.preprocess_input(photos), verbose=0)
X, X_test, y, y_test = train_test_split(features, [path.parent.name for path in paths], test_size=0.1,
                                       random_state=0)
print(LogisticRegression(max_iter=1000).fit(X, y).score(X_test, y_test))
"""

LITERT_SCRIPT = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
details = interpreter.get_input_details()[0]
height, width = details["shape"][1:3]
photo = np.asarray(Image.open(sys.argv[2]).convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
interpreter.set_tensor(details["index"], photo[None].astype(np.float32) / 255)
interpreter.invoke()
print(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
"""


def main() -> None:
    """Print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--without", default="", help="parts to omit: keras, cold, labels")
    parser.add_argument("--model_dir", type=Path, default=Path("tf_files/models"))
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder), flags.image_dir.resolve(), flags.model_dir.resolve())
        workspace.retrain("warm")  # prepares the extractor and fills the cache
        commands: dict[str, Callable[[], object]] = {"retrain, warm": lambda: workspace.retrain("warm")}
        if "cold" not in flags.without:
            commands["retrain, cold"] = lambda: workspace.retrain("cold")
        if "keras" not in flags.without:
            commands["keras.applications and scikit-learn"] = lambda: workspace.run_python(
                "-c", KERAS_SCRIPT, workspace.photos)
        times = time_alternately(list(commands.values()), flags.runs)
        print_commands(dict(zip(commands, times)), workspace)
        if "labels" not in flags.without:
            print_labelling(workspace, flags.runs)


class Workspace:
    """A folder in which commands run, with the durations of the stages that they logged.

    Attributes:
        folder: The working folder of the commands.
        photos: The photo folder.
        model_dir: The folder of prepared extractors.
        stages: For "warm" and "cold" runs, the seconds of each stage in each run.
    """

    def __init__(self, folder: Path, photos: Path, model_dir: Path):
        self.folder, self.photos, self.model_dir = folder, photos, model_dir
        self.stages: dict[str, dict[str, list[float]]] = {"warm": {}, "cold": {}}
        self._runs = 0

    def run_python(self, *arguments: object) -> str:
        """Run the Python interpreter with the working tree on its path, and return its standard error."""
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled as well
        return subprocess.run([sys.executable, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True,
                              env=environment, check=True, errors="replace").stderr

    def retrain(self, kind: str) -> None:
        """Retrain with all bottlenecks in the cache ("warm") or with an empty cache ("cold")."""
        self._runs += 1
        cache = "warm" if kind == "warm" else f"cold{self._runs}"
        start = time.perf_counter()
        log = self.run_python("-m", "tfpoets", "retrain", f"--image_dir={self.photos}", f"--bottleneck_dir={cache}",
                              f"--model_dir={self.model_dir}", "--logging_verbosity=DEBUG")
        total = time.perf_counter() - start
        stages = {name: float(seconds) for name, seconds in re.findall(r"Stage (.+?): (\d+\.\d+) s", log)}
        stages["start and end"] = total - sum(stages.values())
        for name, seconds in stages.items():
            self.stages[kind].setdefault(name, []).append(seconds)


def print_commands(times: dict[str, Measurements], workspace: Workspace) -> None:
    """Print the times of the commands and of their stages.

    The stages exclude the first warm run, which fills the cache.
    """
    first = next(iter(times.values()))
    print("| command | seconds | relative to the warm retrain |\n|---|---|---|")
    for name, command_times in times.items():
        print(f"| {name} | {command_times.text(1)} | {command_times.ratio_to(first).text(1)} |")
    print("\n| stage | warm, s | cold, s |\n|---|---|---|")
    for name in workspace.stages["warm"]:
        warm, cold = (workspace.stages[kind].get(name, []) for kind in ("warm", "cold"))
        cold_text = Measurements(tuple(cold)).text() if cold else ""
        print(f"| {name} | {Measurements(tuple(warm[1:])).text()} | {cold_text} |")


def print_labelling(workspace: Workspace, runs: int) -> None:
    """Print the times of label_image on one photo, compared with the minimal script, and on at most 600 photos."""
    graph = workspace.folder / "tf_files" / "retrained_graph.tflite"
    photos = [Path(photo.uri) for photo in read_dataset(workspace.photos).photos]
    sample = [photos[row] for row in np.linspace(0, len(photos) - 1, min(600, len(photos))).astype(int)]
    label_image = ("-m", "tfpoets", "label_image", f"--graph={graph}")
    one, minimal, many = time_alternately([
        lambda: workspace.run_python(*label_image, photos[0]),
        lambda: workspace.run_python("-c", LITERT_SCRIPT, graph, photos[0]),
        lambda: workspace.run_python(*label_image, "--format=csv", *sample)], runs)
    print("\n| label_image | seconds | |\n|---|---|---|")
    print(f"| one photo | {one.text()} | {one.ratio_to(minimal).text()} times a minimal script ({minimal.text()} s) |")
    rate = Measurements(tuple(len(sample) / (a - b) for a, b in zip(many.values, one.values)))
    print(f"| {len(sample)} photos | {many.text()} | {rate.text(0)} photos/s, not counting startup |")


if __name__ == "__main__":
    main()
