"""A classifier as one TensorFlow graph: every export starts from it."""
from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfpoets.data import Photo, load_pixels
from tfpoets.errors import ExportError, PhotoError
from tfpoets.extractors import INPUT_NODE, OUTPUT_NODE, Extractor, core_count
from tfpoets.graphs import MODULE_SCOPE, PROBABILITIES, UNKNOWN_SCORE
from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr

from .metadata import Metadata

if TYPE_CHECKING:
    from tfpoets.training import Head

# Photos that show which numbers flow where, for 8-bit weights and activations.
MAX_CALIBRATION_PHOTOS = 100


@dataclass(frozen=True, eq=False)
class Exportable:
    """A classifier that is about to be written.

    Attributes:
        name: of the classifier: that of its graph's file without suffix.
        metadata: of the classifier.
        graph_def: the whole classifier as a frozen GraphDef, from float32 [n, height, width, 3] in [0, 1].
        path: of the file that it was read from; None for one that is not written yet.
        training_photos: photos that it was trained on, for `calibration`.
    """

    name: str
    metadata: Metadata
    graph_def: Any
    path: Path | None = None
    training_photos: Sequence[Photo] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input, in pixels."""
        return self.metadata.input.height, self.metadata.input.width

    @property
    def nodes(self) -> dict[str, str]:
        """The names of the graph's nodes: `input`, `probabilities`, and `unknown_score` where there is one."""
        found = {"input": self.metadata.nodes.input, PROBABILITIES: self.metadata.nodes.output}
        return {**found, UNKNOWN_SCORE: UNKNOWN_SCORE} if self.metadata.unknown else found

    def add_to_graph(self, pixels: Any) -> dict[str, Any]:
        """Add the classifier to the TensorFlow graph that is being built.

        Args:
            pixels: float32 tensor [n, height, width, 3] in [0, 1].

        Returns:
            Tensors by name: `probabilities` [n, n_classes], and `unknown_score` [n] where there is one.
        """
        nodes = self.nodes
        outputs = [name for name in nodes if name != "input"]
        tensors = import_tensorflow().graph_util.import_graph_def(
            self.graph_def, {nodes["input"]: pixels}, [f"{nodes[name]}:0" for name in outputs], name="classifier")
        return dict(zip(outputs, tensors))

    def description(self) -> dict[str, Any]:
        """Return what a program that runs a file needs to know, as JSON takes it."""
        threshold = {"unknown_threshold": self.metadata.unknown.threshold} if self.metadata.unknown else {}
        return {"labels": self.metadata.labels, "height": self.size[0], "width": self.size[1], **threshold}

    def calibration(self) -> np.ndarray:
        """Return photos of all classes alike that show the range of every number: uint8 [n, height, width, 3].

        Raises:
            ExportError: there are no training photos, or none can be read.
        """
        labels = self.metadata.labels
        each = max(1, MAX_CALIBRATION_PHOTOS // len(labels))
        chosen = [photo for label in labels
                  for photo in spread([photo for photo in self.training_photos if photo.label == label], each)]
        pixels = load_readable(chosen, self.size)[1]
        if not len(pixels):
            raise ExportError("tflite_int8 needs photos it was trained on, to see how large its numbers get.",
                              "Give the folder it was trained on with `image_dir`.")
        return pixels


def assemble(extractor: Extractor, head: Head, metadata: Metadata, name: str) -> Exportable:
    """Put extractor and head together in one graph.

    Args:
        extractor: what makes the bottlenecks.
        head: what answers.
        metadata: of the classifier; its nodes name the graph's input and output.
        name: of the classifier.
    """
    tensorflow = import_tensorflow()
    definition = tensorflow.compat.v1.GraphDef.FromString(extractor.graph_path.read_bytes())
    with redirect_native_stderr(), tensorflow.Graph().as_default() as graph:
        pixels = tensorflow.compat.v1.placeholder(tensorflow.float32, [None, extractor.height, extractor.width, 3],
                                                  name=INPUT_NODE)
        bottleneck, = tensorflow.graph_util.import_graph_def(definition, {INPUT_NODE: pixels}, [f"{OUTPUT_NODE}:0"],
                                                             name=MODULE_SCOPE)
        head.add_to_graph(bottleneck, metadata.nodes.output)
        return Exportable(name, metadata, graph.as_graph_def())


def evenly_spread(count: int, most: int) -> np.ndarray:
    """Return indices of at most so many of `count` things, evenly spread, in order: int [n]."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))


def spread(photos: Sequence[Photo], most: int) -> list[Photo]:
    """Return at most so many photos, evenly spread."""
    return [photos[row] for row in evenly_spread(len(photos), most)]


def load_readable(photos: Sequence[Photo], size: tuple[int, int]) -> tuple[list[Photo], np.ndarray]:
    """Return the photos that can be read, and their pixels: uint8 [n, height, width, 3]."""
    def pixels(photo: Photo) -> np.ndarray | None:
        try:
            return load_pixels(photo.read(), *size)
        except PhotoError:
            return None
    with ThreadPoolExecutor(core_count()) as pool:
        found = list(zip(photos, pool.map(pixels, photos)))
    kept = [(photo, each) for photo, each in found if each is not None]
    return [photo for photo, _ in kept], np.array([each for _, each in kept], np.uint8).reshape(-1, *size, 3)
