"""A retrained graph in other forms, each proven on photos before it is kept."""
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tfpoets.data import Photo, load_pixels, network_input
from tfpoets.errors import ExportError, ModelError, PhotoError
from tfpoets.evaluation import Metrics, evaluate
from tfpoets.extractors import EngineRunner, core_count
from tfpoets.tf_runtime import import_tensorflow

from .forms import (ENDINGS, WRITERS, Graph, Runner, check_conversion, check_format_names, frozen_runner, opened, put,
                    remove)
from .parity import MOST_PHOTOS, TOLERANCE, check_predict_bytes, evenly_spread
from .reading import open_exported
from .targets.onnx import check_onnx_is_installed
from .targets.tflite import QUANTIZED

# These compute what the graph computes; the others have coarser weights, and how much that matters is told.
EXACT = ("tflite", "tfjs", "saved_model", "onnx")
# Photos that show which numbers flow where, for 8-bit weights and activations.
MOST_CALIBRATING = 100
MOST_PROVING = 500
TIMED = 20


@dataclass(frozen=True)
class Converted:
    """A converted file, and how its answers compare with the graph's.

    Attributes:
        name: one of FORMATS, or what it was made from.
        path: of the file or folder.
        size: in bytes.
        count: photos compared.
        agreeing: of them, those with the same most probable label.
        largest: largest difference of a probability; nan without photos.
        metrics: how good it is on the photos; None without photos.
        milliseconds: median for one photo on one thread, without decoding; None where it cannot be run here.
    """

    name: str
    path: Path
    size: int
    count: int
    agreeing: int
    largest: float
    metrics: Metrics | None
    milliseconds: float | None


def check_formats(formats: Sequence[str]) -> None:
    """Raises an ExportError where a form needs a package that is not installed, before any work is done."""
    check_format_names(formats)
    if "onnx" in formats:
        check_onnx_is_installed()


def open_graph(path: Path) -> Graph:
    """Opens a .pb that retrain wrote.

    Raises:
        ModelError: it is something else, or does not belong to the metadata beside it.
    """
    if not path.exists():
        raise ModelError(f"There is no classifier at {path}.",
                         "Make one with: `tfpoets retrain image_dir=FOLDER_OF_CLASS_FOLDERS`")
    content = path.read_bytes() if path.is_file() else b""
    if path.is_dir() or content[4:8] == b"TFL3":
        raise ModelError(f"{path} is already converted; conversions begin with the .pb that retrain wrote.",
                         "Give that one with `graph`.")
    opened = open_exported(path, content)
    if opened is None:
        raise ModelError(f"{path} was not written by retrain, so its labels and input are not part of it.",
                         "Poets' graphs can be run by label_image and rounded by quantize_graph.")
    return Graph(path, opened.metadata, import_tensorflow().compat.v1.GraphDef.FromString(content))


def convert(graph: Graph, formats: Sequence[str], folder: Path, proving: Sequence[Photo],
            calibrating: Sequence[Photo], on_converted: Callable[[Converted], None] = lambda converted: None
            ) -> list[Converted]:
    """Writes a graph in other forms into a folder, and proves each on photos before it is put in its place.

    Args:
        graph: from `open_graph`.
        formats: of FORMATS.
        folder: made if it is missing.
        proving: photos that it was not trained on; of more than MOST_PROVING, so many, evenly spread.
        calibrating: photos that it was trained on, for tflite_int8: of each class alike, up to MOST_CALIBRATING.
        on_converted: told of each as soon as it is done.

    Returns:
        The graph itself first, then a row for each format.

    Raises:
        ExportError: a form cannot be made, or does not answer as it must; the others that came before stay.
    """
    check_format_names(formats)
    folder.mkdir(parents=True, exist_ok=True)
    check_conversion(formats, folder, graph.path)
    rows, photos = _loaded(_spread(proving, MOST_PROVING), graph.size)
    classes = np.array([graph.metadata.labels.index(photo.label) for photo in rows], np.int64)
    reference = _Comparison(photos, classes, None)
    expected, own = reference.measure("graph (.pb)", graph.path, frozen_runner(graph))
    on_converted(own)
    comparison, found = _Comparison(photos, classes, expected), [own]
    for name in formats:
        staged = folder / f".{graph.path.stem}{ENDINGS[name]}.partial"
        remove(staged)
        try:
            WRITERS[name](graph, staged, _calibration(graph, calibrating) if name == QUANTIZED else None)
            _, row = comparison.measure(name, staged, opened(name, staged, graph))
            _check(row)
            if name == "saved_model":
                _check_bytes(graph, staged, rows, photos)
            destination = folder / f"{graph.path.stem}{ENDINGS[name]}"
            put(staged, destination)
        finally:
            remove(staged)
        found.append(replace(row, path=destination))
        on_converted(found[-1])
    return found


class _Comparison:
    """Photos that every form answers."""

    def __init__(self, pixels: np.ndarray, classes: np.ndarray, expected: np.ndarray | None):
        self._pixels, self._classes, self._expected = pixels, classes, expected

    def measure(self, name: str, path: Path, open_runner: Callable[[], Runner]) -> tuple[np.ndarray, Converted]:
        """All answers, float32 [photos, classes], and how they compare."""
        answers = self._answers(open_runner)
        expected = answers if self._expected is None else self._expected
        count = len(answers)
        row = Converted(
            name, path, _size(path), count, int((answers.argmax(1) == expected.argmax(1)).sum()) if count else 0,
            float(np.abs(answers - expected).max()) if count else float("nan"),
            evaluate(answers, self._classes) if count and np.isfinite(answers).all() else None,
            None if name == "tfjs" or not count else self._milliseconds(open_runner()))
        return answers, row

    def _answers(self, open_runner: Callable[[], Runner]) -> np.ndarray:
        """On all cores, each with a runner of its own."""
        if not len(self._pixels):
            return np.empty((0, 0), np.float32)
        parts = np.array_split(np.arange(len(self._pixels)), min(core_count(), len(self._pixels)))

        def work(rows: np.ndarray) -> np.ndarray:
            run = open_runner()
            return np.concatenate([run(network_input(self._pixels[row:row + 1])) for row in rows])
        with ThreadPoolExecutor(len(parts)) as pool:
            return np.concatenate(list(pool.map(work, parts)))

    def _milliseconds(self, run: Runner) -> float:
        seconds = []
        for row in range(min(TIMED, len(self._pixels))):
            photo = network_input(self._pixels[row:row + 1])
            start = time.perf_counter()
            run(photo)
            seconds.append(time.perf_counter() - start)
        return 1000 * float(np.median(seconds))


def _check(row: Converted) -> None:
    if row.count and row.metrics is None:
        raise ExportError(f"The converted {row.name} gives answers that are not finite. It is not kept.",
                          "Please report this, with the module you used.")
    if row.name in EXACT and row.largest > TOLERANCE:
        raise ExportError(f"The converted {row.name} does not give the answers of the graph: they differ by up to "
                          f"{row.largest:.1g}, and {TOLERANCE:g} is allowed. It is not kept.",
                          "Please report this, with the module you used.")


def _check_bytes(graph: Graph, folder: Path, photos: Sequence[Photo], pixels: np.ndarray) -> None:
    """The same for the signature of a SavedModel that takes photos as files, on some of the photos."""
    rows = evenly_spread(len(photos), MOST_PHOTOS)
    if len(rows):
        opened = open_exported(graph.path)
        assert opened is not None  # `open_graph` has opened it
        expected = EngineRunner(opened.engine).run_all(pixels[rows], network_input)
        check_predict_bytes(folder, [photos[row].read() for row in rows], expected,
                            graph.metadata.unknown_threshold)


def _spread(photos: Sequence[Photo], most: int) -> list[Photo]:
    """At most so many, evenly spread."""
    return [photos[row] for row in evenly_spread(len(photos), most)]


def _loaded(photos: Sequence[Photo], size: tuple[int, int]) -> tuple[list[Photo], np.ndarray]:
    """The photos that can be read, and their pixels: uint8 [photos, height, width, 3]."""
    def pixels(photo: Photo) -> np.ndarray | None:
        try:
            return load_pixels(photo.read(), *size)
        except PhotoError:
            return None
    with ThreadPoolExecutor(core_count()) as pool:
        found = list(zip(photos, pool.map(pixels, photos)))
    kept = [(photo, each) for photo, each in found if each is not None]
    return [photo for photo, _ in kept], np.array([each for _, each in kept], np.uint8).reshape(-1, *size, 3)


def _calibration(graph: Graph, photos: Sequence[Photo]) -> np.ndarray:
    """Uint8 [n, height, width, 3]: photos of all classes alike."""
    by_class = [[photo for photo in photos if photo.label == label] for label in graph.metadata.labels]
    each = max(1, MOST_CALIBRATING // len(by_class))
    pixels = _loaded([photo for members in by_class for photo in _spread(members, each)], graph.size)[1]
    if not len(pixels):
        raise ExportError("tflite_int8 needs photos it was trained on, to see how large its numbers get.",
                          "Give the folder it was trained on with `image_dir`.")
    return pixels


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
