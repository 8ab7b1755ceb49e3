"""A classifier as one TensorFlow graph, from which all formats are written."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfpoets.data import Photo, load_pixels
from tfpoets.errors import ExportError, PhotoError
from tfpoets.extractors import INPUT_NODE, OUTPUT_NODE
from tfpoets.files import write_file
from tfpoets.graphs import MODULE_SCOPE, PROBABILITIES, UNKNOWN_SCORE, make_portable
from tfpoets.parallel import core_count, map_in_order
from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr

from .decision_sections import describe_decisions
from .metadata import Metadata
from .training_list import separate_list

if TYPE_CHECKING:
    from tfpoets.extractors import Extractor
    from tfpoets.training import Head

# The 8-bit conversion measures the range of each activation on these photos.
MAX_CALIBRATION_PHOTOS = 100
# Of each class at least one photo is used for calibration, but of no more classes than this.
MAX_CALIBRATION_CLASSES = 1000


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """An extractor and a head, which together are a classifier.

    Attributes:
        extractor: The extractor of the bottlenecks.
        head: The trained head.
        output_node: The name of the output node of the graph.
    """

    extractor: Extractor
    head: Head
    output_node: str

    @cached_property
    def graph_def(self) -> Any:
        """The whole classifier as a frozen GraphDef, built on first use."""
        tensorflow = import_tensorflow()
        extractor = self.extractor
        extractor_graph_def = tensorflow.compat.v1.GraphDef.FromString(extractor.graph_path.read_bytes())
        with redirect_native_stderr(), tensorflow.Graph().as_default() as graph:
            pixels = tensorflow.compat.v1.placeholder(
                tensorflow.float32, [None, extractor.height, extractor.width, 3], name=INPUT_NODE)
            bottleneck, = tensorflow.graph_util.import_graph_def(
                extractor_graph_def, {INPUT_NODE: pixels}, [f"{OUTPUT_NODE}:0"], name=MODULE_SCOPE)
            outputs = self.head.add_to_graph(bottleneck, self.output_node)
            # The extractor may have been prepared by an earlier version, which did not make its graph portable.
            return make_portable(graph.as_graph_def(), [tensor.op.name for tensor in outputs.values()])


@dataclass(frozen=True, eq=False)
class Exportable:
    """A classifier to export.

    Attributes:
        name: The name of the classifier, which is the file name of its graph without suffix.
        metadata: The metadata of the classifier.
        network: The whole classifier as a frozen GraphDef, or the parts to build it from.
        path: The path of the file that the graph was read from; None if the graph was just built.
        training_photos: Photos that the classifier was trained on, used for calibration.
        keras_model: A function that builds the classifier as a Keras model; None if only its graph is known.
        training_list: The content of the file with the list of the training photos; None if the metadata contains it.
    """

    name: str
    metadata: Metadata
    network: Any
    path: Path | None = None
    training_photos: Sequence[Photo] = ()
    keras_model: Callable[[], Any] | None = None
    training_list: bytes | None = field(default=None, repr=False)

    def with_training_list(self) -> Exportable:
        """Return the classifier with the list of the training photos outside its metadata, if there are many.

        Raises:
            ModelError: The list is in a file, which is missing or damaged.
        """
        metadata, content = separate_list(self.metadata, self.name)
        return replace(self, metadata=metadata, training_list=content)

    def write_training_list(self, folder: Path) -> list[Path]:
        """Write the file with the list of the training photos to a folder, if there is one; return its path."""
        if self.training_list is None:
            return []
        assert self.metadata.split and self.metadata.split.trained_on_file
        path = folder / self.metadata.split.trained_on_file.name
        write_file(path, self.training_list)
        return [path]

    @property
    def graph_def(self) -> Any:
        """The whole classifier as a frozen GraphDef. Its input is float32 [n, height, width, 3] in [0, 1]."""
        return self.network.graph_def if isinstance(self.network, TrainedNetwork) else self.network

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input, in pixels."""
        return self.metadata.input.height, self.metadata.input.width

    @property
    def nodes(self) -> dict[str, str]:
        """The names of the nodes `input`, `probabilities`, and `unknown_score` if there is one."""
        nodes = {"input": self.metadata.nodes.input, PROBABILITIES: self.metadata.nodes.output}
        return {**nodes, UNKNOWN_SCORE: UNKNOWN_SCORE} if self.metadata.unknown else nodes

    def add_to_graph(self, pixels: Any) -> dict[str, Any]:
        """Add the classifier to the TensorFlow graph that is being built.

        Args:
            pixels: float32 tensor [n, height, width, 3] in [0, 1].

        Returns:
            Float32 tensors by name: `probabilities` [n, n_classes], and `unknown_score` [n] if there is one.
        """
        nodes = self.nodes
        outputs = [name for name in nodes if name != "input"]
        tensors = import_tensorflow().graph_util.import_graph_def(
            self.graph_def, {nodes["input"]: pixels}, [f"{nodes[name]}:0" for name in outputs], name="classifier")
        return dict(zip(outputs, tensors))

    def build_keras_model(self) -> Any:
        """Return the classifier as a Keras model, from the same input to the probabilities.

        Raises:
            ExportError: The network is not a Keras model, or cannot be restored from the graph.
        """
        if self.keras_model is not None:
            return self.keras_model()
        from .keras_classifier import rebuild_keras_classifier  # imported here because label_image does not need it
        return rebuild_keras_classifier(self.metadata, self.graph_def, self.name)

    def description(self) -> dict[str, Any]:
        """Return labels, input size, thresholds and costs as JSON values, for programs that run an exported file."""
        threshold = {"unknown_threshold": self.metadata.unknown.threshold} if self.metadata.unknown else {}
        return {"labels": self.metadata.labels, "height": self.size[0], "width": self.size[1], **threshold,
                **describe_decisions(self.metadata)}

    def load_calibration_pixels(self) -> np.ndarray:
        """Load training photos for calibration, about the same number of each class.

        Returns:
            uint8 [n, height, width, 3].

        Raises:
            ExportError: There are no training photos, or none of them can be read.
        """
        of_class: dict[str, list[Photo]] = {label: [] for label in self.metadata.labels}
        for photo in self.training_photos:
            if photo.label in of_class:
                of_class[photo.label].append(photo)
        n_per_class = max(1, MAX_CALIBRATION_PHOTOS // len(of_class))
        photos = [photo for photos_of_class in of_class.values()
                  for photo in sample_evenly(photos_of_class, n_per_class)]
        pixels = load_readable_photos(sample_evenly(photos, MAX_CALIBRATION_CLASSES), self.size)[1]
        if not len(pixels):
            raise ExportError("tflite_int8 requires training photos for calibration.",
                              "Set `image_dir` to the folder of the training photos.")
        return pixels


def evenly_spaced_indices(count: int, max_count: int) -> np.ndarray:
    """Return at most `max_count` of the indices below `count`, evenly spaced and sorted: int [n]."""
    return np.unique(np.linspace(0, count - 1, min(max_count, count)).astype(int))


def sample_evenly(photos: Sequence[Photo], max_count: int) -> list[Photo]:
    """Return at most `max_count` photos, evenly spaced."""
    return [photos[index] for index in evenly_spaced_indices(len(photos), max_count)]


def load_readable_photos(photos: Sequence[Photo], size: tuple[int, int]) -> tuple[list[Photo], np.ndarray]:
    """Load the photos that can be read.

    Args:
        photos: The photos.
        size: Height and width, in pixels.

    Returns:
        The readable photos, and their pixels: uint8 [n, height, width, 3].
    """
    loaded = list(map_in_order(lambda photo: _load_or_none(photo, size), photos, core_count()))
    readable = [(photo, pixels) for photo, pixels in zip(photos, loaded) if pixels is not None]
    return ([photo for photo, _ in readable],
            np.array([pixels for _, pixels in readable], np.uint8).reshape(-1, *size, 3))


def _load_or_none(photo: Photo, size: tuple[int, int]) -> np.ndarray | None:
    try:
        return load_pixels(photo.read(), *size)
    except PhotoError:
        return None
