"""Whole commands as fresh processes: retrain cold and warm, stage by stage; label_image on one photo and on a folder.

    python -m tests.benchmarks.commands --image_dir=PHOTOS [--runs=5] [--without=hand,cold]

Beside them, in turn: what a user would write by hand (keras.applications' predict and scikit-learn), and a bare script
that labels one photo.
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

from .timing import Times, in_turn

# A network of about the size of ours; random weights will do to time it.
BY_HAND = """
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
x, held, y, truth = train_test_split(features, [path.parent.name for path in paths], test_size=0.1, random_state=0)
print(LogisticRegression(max_iter=1000).fit(x, y).score(held, truth))
"""

BARE = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
given = interpreter.get_input_details()[0]
height, width = given["shape"][1:3]
photo = np.asarray(Image.open(sys.argv[2]).convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
interpreter.set_tensor(given["index"], photo[None].astype(np.float32) / 255)
interpreter.invoke()
print(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
"""


def main() -> None:
    """Prints Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--without", default="", help="parts to leave out: hand, cold, labels")
    parser.add_argument("--model_dir", type=Path, default=Path("tf_files/models"))
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workplace = Workplace(Path(folder), flags.image_dir.resolve(), flags.model_dir.resolve())
        workplace.retrain("warm")  # prepares the extractor and fills the cache
        works: dict[str, Callable[[], object]] = {"retrain, warm": lambda: workplace.retrain("warm")}
        if "cold" not in flags.without:
            works["retrain, cold"] = lambda: workplace.retrain("cold")
        if "hand" not in flags.without:
            works["by hand: keras.applications and scikit-learn"] = lambda: workplace.python("-c", BY_HAND,
                                                                                             flags.image_dir)
        times = in_turn(list(works.values()), flags.runs)
        print_commands(dict(zip(works, times)), workplace)
        if "labels" not in flags.without:
            print_labelling(workplace, flags.image_dir, flags.runs)


class Workplace:
    """A folder to run commands in, with what they said of their stages."""

    def __init__(self, folder: Path, photos: Path, model_dir: Path):
        self.folder, self.photos, self.model_dir = folder, photos, model_dir
        self.stages: dict[str, dict[str, list[float]]] = {"warm": {}, "cold": {}}
        self.runs = 0

    def python(self, *arguments: object) -> str:
        """Runs this interpreter; gives standard error."""
        root = Path(__file__).resolve().parents[2]
        return subprocess.run([sys.executable, *map(str, arguments)], cwd=self.folder, env=environment(root),
                              capture_output=True, text=True, check=True, errors="replace").stderr

    def retrain(self, kind: str) -> None:
        """A retrain whose bottlenecks are all there (warm) or none is (cold)."""
        self.runs += 1
        cache = "warm" if kind == "warm" else f"cold{self.runs}"
        start = time.perf_counter()
        said = self.python("-m", "tfpoets", "retrain", f"--image_dir={self.photos}", f"--bottleneck_dir={cache}",
                           f"--model_dir={self.model_dir}", "--logging_verbosity=DEBUG")
        total = time.perf_counter() - start
        stages = {name: float(seconds) for name, seconds in re.findall(r"Stage (.+?): (\d+\.\d+) s", said)}
        stages["start and end"] = total - sum(stages.values())
        for name, seconds in stages.items():
            self.stages[kind].setdefault(name, []).append(seconds)


def environment(root: Path) -> dict[str, str]:
    """This process's, with the program on the path."""
    return {**os.environ, "PYTHONPATH": str(root)}


def print_commands(times: dict[str, Times], workplace: Workplace) -> None:
    """Whole commands, then the stages; the first run of each kind of stage, which prepared things, is left out."""
    first = next(iter(times.values()))
    print("| command | seconds | over the warm retrain |\n|---|---|---|")
    for name, each in times.items():
        print(f"| {name} | {each.text(1)} | {each.over(first).text(1)} |")
    print("\n| stage | warm, s | cold, s |\n|---|---|---|")
    for name in workplace.stages["warm"]:
        warm, cold = (workplace.stages[kind].get(name, []) for kind in ("warm", "cold"))
        print(f"| {name} | {Times(tuple(warm[1:])).text()} | {Times(tuple(cold)).text() if cold else ''} |")


def print_labelling(workplace: Workplace, image_dir: Path, runs: int) -> None:
    """label_image on one photo against the bare script, and on a folder."""
    graph = workplace.folder / "tf_files" / "retrained_graph.tflite"
    photos = [Path(photo.uri).resolve() for photo in read_dataset(image_dir).photos]
    chosen = [photos[place] for place in np.linspace(0, len(photos) - 1, min(600, len(photos))).astype(int)]
    one, bare, many = in_turn([
        lambda: workplace.python("-m", "tfpoets", "label_image", f"--graph={graph}", photos[0]),
        lambda: workplace.python("-c", BARE, graph, photos[0]),
        lambda: workplace.python("-m", "tfpoets", "label_image", f"--graph={graph}", "--format=csv", *chosen)], runs)
    print("\n| label_image | seconds | |\n|---|---|---|")
    print(f"| one photo | {one.text()} | {one.over(bare).text()} times a bare script ({bare.text()} s) |")
    rate = Times(tuple(len(chosen) / (a - b) for a, b in zip(many.seconds, one.seconds)))
    print(f"| {len(chosen)} photos | {many.text()} | {rate.text(0)} photos/s after the start |")


if __name__ == "__main__":
    main()
