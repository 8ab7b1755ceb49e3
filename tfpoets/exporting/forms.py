"""The forms that a graph is written in: what writes each, what opens it as its users do, and where it goes."""
from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.errors import ExportError, OptionError, nearest
from tfpoets.extractors import LiteRTModel
from tfpoets.graphs import UNKNOWN_SCORE, load_frozen_graph, load_signature

from .classifier_graph import Answers, frozen_answers
from .metadata import Metadata
from .reading import RUN_AGAIN
from .targets.onnx import onnx_model, open_onnx
from .targets.saved_model import METADATA_PATH, save_answers, write_metadata
from .targets.tfjs import MODEL, SHARDS, is_own_tfjs, read_tfjs, write_tfjs
from .targets.tflite import convert_answers, packed

FORMATS = ("tflite", "tflite_float16", "tflite_dynamic", "tflite_int8", "tfjs", "saved_model", "onnx")
# What each is called behind the graph's stem.
ENDINGS = {"tflite": "_float32.tflite", "tflite_float16": "_float16.tflite", "tflite_dynamic": "_dynamic.tflite",
           "tflite_int8": "_int8.tflite", "tfjs": "_tfjs", "saved_model": "_saved_model", "onnx": ".onnx"}
PAGE = "index.html"
# From float32 [1, height, width, 3] in [0, 1] to float32 [1, classes].
Runner = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Graph:
    """A .pb that retrain wrote, to be converted.

    Attributes:
        path: of the file.
        metadata: of the classifier.
        definition: GraphDef.
    """

    path: Path
    metadata: Metadata
    definition: Any

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its input, in pixels."""
        return self.metadata.input.height, self.metadata.input.width

    def answers(self, pixels: Any) -> Answers:
        """Adds the graph to the one that is being built."""
        return frozen_answers(pixels, self.definition, self.metadata.nodes.output,
                              self.metadata.unknown is not None)

    def nodes(self) -> dict[str, str]:
        """Names of its nodes: `input`, `probabilities`, and `unknown_score` where there is one."""
        found = {"input": self.metadata.nodes.input, "probabilities": self.metadata.nodes.output}
        return {**found, UNKNOWN_SCORE: UNKNOWN_SCORE} if self.metadata.unknown else found

    def description(self) -> dict[str, Any]:
        """What a program that runs a converted file needs to know."""
        threshold = {"unknown_threshold": self.metadata.unknown.threshold} if self.metadata.unknown else {}
        return {"labels": self.metadata.labels, "height": self.size[0], "width": self.size[1], **threshold}


def _write_tflite(graph: Graph, path: Path, calibration: np.ndarray | None, name: str) -> None:
    model = convert_answers(graph.answers, *graph.size, name, graph.path.stem, calibration)
    # Phones read one output: the probabilities.
    path.write_bytes(packed(model, replace(graph.metadata, unknown=None)))


def _write_tfjs(graph: Graph, folder: Path, _: np.ndarray | None) -> None:
    folder.mkdir()
    write_tfjs(folder, graph.definition, graph.nodes(), graph.size, graph.description())
    shutil.copy(Path(__file__).parent / "targets" / "tfjs_page.html", folder / PAGE)


def _write_saved_model(graph: Graph, folder: Path, _: np.ndarray | None) -> None:
    threshold = graph.metadata.unknown_threshold
    save_answers(folder, graph.answers, graph.size, graph.metadata.labels, threshold)
    write_metadata(folder, graph.metadata)


def _write_onnx(graph: Graph, path: Path, _: np.ndarray | None) -> None:
    path.write_bytes(onnx_model(graph.definition, graph.nodes(), graph.description()))


# Each takes a graph, the path to write, and for QUANTIZED photos that show how large its numbers get: uint8
# [n, height, width, 3].
WRITERS: dict[str, Callable[[Graph, Path, np.ndarray | None], None]] = {
    **{name: lambda graph, path, pixels, name=name: _write_tflite(graph, path, pixels, name)  # type: ignore[misc]
       for name in FORMATS if name.startswith("tflite")},
    "tfjs": _write_tfjs, "saved_model": _write_saved_model, "onnx": _write_onnx}


def frozen_runner(graph: Graph) -> Callable[[], Runner]:
    """What opens the graph itself, once for each thread."""
    content = graph.definition.SerializeToString()
    return lambda: load_frozen_graph(content, graph.metadata.nodes.input, graph.metadata.nodes.output)


def opened(name: str, path: Path, graph: Graph) -> Callable[[], Runner]:
    """What opens a written file as its users do, once for each thread."""
    if name.startswith("tflite"):
        model = path.read_bytes()
        return lambda: LiteRTModel(model).run
    if name == "onnx":
        return lambda: open_onnx(path, "probabilities")
    if name == "tfjs":  # as a browser puts it together, but in TensorFlow
        return frozen_runner(replace(graph, definition=read_tfjs(path)))
    if name == "saved_model":
        signature = load_signature(path, "serving_default", RUN_AGAIN)
        return lambda: lambda photos: signature(image=photos)["probabilities"]
    raise OptionError(f"`formats`: there is no form {name!r}.")


def check_format_names(names: Sequence[str]) -> None:
    """Raise the OptionError that names the nearest form where there is none of a name."""
    for name in names:
        if name not in FORMATS:
            guess = nearest(name, FORMATS)
            more = f"did you mean {guess}?" if guess else f"there are {', '.join(FORMATS)}."
            raise OptionError(f"`formats`: there is no form {name!r}; {more}")


def check_conversion(formats: Sequence[str], folder: Path, graph: Path) -> None:
    """Raises an ExportError where a form would take the place of something that no conversion wrote."""
    for name in formats:
        path = folder / f"{graph.stem}{ENDINGS[name]}"
        if path.is_file() and name in ("tfjs", "saved_model"):
            raise ExportError(f"{path} is a file, where a folder is to be written.", "Move it away.")
        if path.is_dir() and any(path.iterdir()) and not _is_own(path):
            raise ExportError(f"{path} is a folder of something else; it is left as it is.", "Move it away.")


def _is_own(folder: Path) -> bool:
    """Whether a conversion wrote a folder."""
    return (folder / METADATA_PATH).exists() or is_own_tfjs(folder)


def put(staged: Path, destination: Path) -> None:
    """Puts what was written in its place; what a person put into a page's folder stays there."""
    if destination.is_dir() and is_own_tfjs(destination):
        for old in destination.glob(SHARDS):
            old.unlink()
        for new in sorted(staged.iterdir(), key=lambda path: path.name == MODEL):  # the model last
            if new.name != PAGE or not (destination / PAGE).exists():
                os.replace(new, destination / new.name)
        return
    remove(destination)
    os.replace(staged, destination)


def remove(path: Path) -> None:
    """Removes a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
