"""Load graphs of TensorFlow for Poets, and determine their input and labels, which the files do not contain."""
from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfpoets.data import LEGACY_PIXELS_VERSION, NotTextError, OtherEncodingError, decode_text, open_file
from tfpoets.errors import ModelError, OptionError, PhotoError, check_range, one_line
from tfpoets.extractors import TENSORFLOW_BATCH, LiteRTEngine, LiteRTModel, NotAnImageNetworkError, check_tflite_file
from tfpoets.files import convert_to_paths
from tfpoets.graphs import (FirstRun, LegacyGraph, LegacyNetwork, identify_legacy_network, read_legacy_graph,
                            wrap_legacy_graph)

from .classifier import Classifier, PhotoInput

log = logging.getLogger(__name__)

# Sizes that are tried, in this order, if a graph does not specify the size of its input.
CANDIDATE_SIZES = (224, 128, 160, 192, 299)
# No network of this kind has an input anywhere near this size.
MAX_IMAGE_SIZE = 2048
LABEL_FILE_NAMES = ("retrained_labels.txt", "output_labels.txt", "labels.txt")


@dataclass(frozen=True)
class LegacyGraphOptions:
    """Options for a graph that does not contain its labels or a full description of its input.

    Options that are None are determined from the graph and the files next to it.

    Attributes:
        labels: The path of a file with one label per line, in output order.
        input_height, input_width: The size of the input, in pixels.
        input_mean, input_std: Pixels p from 0 to 255 are scaled to (p - mean) / std.
        input_layer, output_layer: The names of the input and output nodes.
    """

    labels: Path | None = None
    input_height: int | None = None
    input_width: int | None = None
    input_mean: float | None = None
    input_std: float | None = None
    input_layer: str | None = None
    output_layer: str | None = None

    def __post_init__(self) -> None:
        convert_to_paths(self, "labels")
        for name in ("input_height", "input_width"):
            check_range(name, getattr(self, name), minimum=1, maximum=MAX_IMAGE_SIZE, integer=True)
        for name in ("input_mean", "input_std"):
            check_range(name, getattr(self, name))
        if self.input_std == 0:
            raise OptionError("`input_std`=0 is not possible, because pixels are divided by it.")

    def specified(self) -> dict[str, Any]:
        """Return the options that are not None, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


class OpenedLegacyGraph(NamedTuple):
    """A graph of TensorFlow for Poets with its input and the size of its output.

    Attributes:
        graph: The graph.
        input: The input of the graph.
        batch: The batch size of the graph; None: any.
        n_classes: The number of classes.
    """

    graph: LegacyGraph
    input: PhotoInput
    batch: int | None
    n_classes: int


def load_legacy_graph(path: Path, content: bytes, overrides: LegacyGraphOptions, trust_model: bool = False
                      ) -> Classifier:
    """Load a frozen GraphDef (.pb) of TensorFlow for Poets as a classifier.

    Args:
        path: The path of the file, for messages and to find the label file.
        content: The content of the file.
        overrides: Values that take precedence over those determined from the file.
        trust_model: Whether the graph is used without checking what it does.

    Raises:
        ModelError: The file is not such a graph, its labels are missing or do not match it, or its input cannot be
            determined.
    """
    opened = open_legacy_graph(path, content, overrides, trust_model)
    engine = _LoadedGraphEngine(wrap_legacy_graph(opened.graph, opened.batch),
                                1 if opened.batch == 1 else TENSORFLOW_BATCH)
    return Classifier(_find_labels(path, overrides.labels, opened.n_classes), opened.input, engine)


def open_legacy_graph(path: Path, content: bytes, overrides: LegacyGraphOptions, trust_model: bool = False
                      ) -> OpenedLegacyGraph:
    """Open a frozen GraphDef (.pb) of TensorFlow for Poets, without its labels.

    Args:
        path: The path of the file, for messages.
        content: The content of the file.
        overrides: Values that take precedence over those determined from the file.
        trust_model: Whether the graph is used without checking what it does.

    Raises:
        ModelError: The file is not such a graph, its input cannot be determined, or it might do something else than
            label photos.
    """
    first_run = FirstRun(path, f"legacy {overrides.specified()}")
    is_trusted = trust_model or first_run.has_happened()
    graph = read_legacy_graph(content, str(path), overrides.input_layer, overrides.output_layer, not is_trusted)
    if not is_trusted:
        first_run.run(_try_legacy_graph, path, content, overrides, library="tensorflow")
    mean, std = _find_scale(graph.network, overrides, path)
    height, width, batch, n_classes = _find_shape(graph, overrides, path, (127.5 - mean) / std)
    return OpenedLegacyGraph(graph, PhotoInput(height, width, LEGACY_PIXELS_VERSION, mean, std), batch, n_classes)


def _try_legacy_graph(path: Path, content: bytes, overrides: LegacyGraphOptions) -> None:
    """Open a graph, and run it with one size of its input after another until one fits."""
    open_legacy_graph(path, content, overrides, trust_model=True)


def load_legacy_tflite(path: Path, content: bytes, overrides: LegacyGraphOptions, trust_model: bool = False
                       ) -> Classifier:
    """Load a .tflite (or .lite) that was converted from a graph of TensorFlow for Poets, without TensorFlow.

    Args:
        path: The path of the file, for messages and to find the label file.
        content: The content of the file.
        overrides: Values that take precedence over those determined from the file.
        trust_model: Whether the file is used without checking what it does.

    Raises:
        ModelError: The file is damaged or not an image classifier, its labels are missing or do not match it, or its
            input cannot be determined.
    """
    height, width = overrides.input_height, overrides.input_width
    size = (height, width) if height and width else None
    if not trust_model:
        check_tflite_file(path, content, size)
    try:
        model = LiteRTModel(content, size)
    except NotAnImageNetworkError as error:
        raise ModelError(f"{path} cannot label photos: {one_line(error)}") from error
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{path} is damaged: {one_line(error)}", "Copy it again.") from error
    for name, actual in (("input_height", model.height), ("input_width", model.width)):
        value = getattr(overrides, name)
        if value not in (None, actual):
            raise ModelError(f"`{name}`={value} does not match {path}, which requires {actual}.", "Omit the option.")
    if overrides.input_layer or overrides.output_layer:
        log.info("Ignored: `input_layer`, `output_layer`. A .tflite has only one input and one output.")
    mean, std = _find_scale(identify_legacy_network(content), overrides, path)
    return Classifier(_find_labels(path, overrides.labels, model.n_outputs),
                      PhotoInput(model.height, model.width, LEGACY_PIXELS_VERSION, mean, std),
                      LiteRTEngine(content, size))


class _LoadedGraphEngine:
    """An engine for a graph that is already loaded and shared by all threads."""

    name = "tensorflow"

    def __init__(self, run: Callable[[np.ndarray], np.ndarray], batch_size: int):
        self._run, self.batch_size = run, batch_size

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function that runs the graph."""
        return self._run


def _find_scale(network: LegacyNetwork | None, overrides: LegacyGraphOptions, path: Path) -> tuple[float, float]:
    """Return the mean and std for the scaling of pixels, by default those of the network's family."""
    mean, std = overrides.input_mean, overrides.input_std
    if network is not None:
        mean, std = network.mean if mean is None else mean, network.std if std is None else std
    if mean is None or std is None:
        raise ModelError(f"The input scaling of {path} is not known, because it is not one of the networks that "
                         "TensorFlow for Poets used (MobileNet v1, Inception v3, a TF Hub module).",
                         "Set `input_mean` and `input_std`: pixels p from 0 to 255 are scaled to (p - mean) / std.")
    return mean, std


def _find_shape(graph: LegacyGraph, overrides: LegacyGraphOptions, path: Path, gray: float
                ) -> tuple[int, int, int | None, int]:
    """Run the graph with different input sizes until it returns one row per photo.

    Args:
        graph: The graph.
        overrides: Values that take precedence over those determined from the file.
        path: The path of the file, for messages.
        gray: The scaled value of the pixels of the gray images that the graph is run on.

    Returns:
        Height, width, batch size (None: any), and the number of classes.
    """
    for height, width, is_guess in _candidate_sizes(graph, overrides):
        for batch in (1,) if graph.shape[:1] == (1,) else (2, 1):
            photos = np.full((batch, height, width, 3), gray, np.float32)
            try:
                outputs = wrap_legacy_graph(graph, batch)(photos)
            except Exception as error:  # TensorFlow raises InvalidArgumentError and others for a wrong size
                log.debug("At %d x %d pixels: %s", height, width, one_line(error))
                reason = "TensorFlow raises an error."
                continue
            if outputs.ndim == 2 and len(outputs) == batch:
                if is_guess:
                    log.info("%s does not specify the size of its input. It works with %d x %d pixels.", path, height,
                             width)
                return height, width, 1 if batch == 1 else None, outputs.shape[1]
            shape = " x ".join(map(str, outputs.shape))
            reason = f"the output of {graph.output} is {shape} numbers for a batch of {batch}."
    remedy = "Set `input_height` and `input_width`."
    if overrides.output_layer:
        remedy = "Choose another `output_layer`."
    elif overrides.input_height or overrides.input_width:
        remedy = "Omit `input_height` and `input_width`."
    raise ModelError(f"{path} does not return one row of numbers per photo at {height} x {width} pixels: {reason}",
                     remedy)


def _candidate_sizes(graph: LegacyGraph, overrides: LegacyGraphOptions) -> Iterator[tuple[int, int, bool]]:
    """Yield the heights and widths to try, and whether they are a guess."""
    graph_height, graph_width = (graph.shape + (None,) * 4)[1:3]
    side = graph.network.input_size if graph.network else None
    height, width = (overrides.input_height or graph_height or side, overrides.input_width or graph_width or side)
    if height and width:
        yield height, width, False
        return
    # A pool with a fixed kernel ignores the remainder of a larger photo, so sizes that are too large seem to work. The
    # smallest size that works is the right one.
    for size in sorted(CANDIDATE_SIZES) if graph.pools_with_fixed_kernel else CANDIDATE_SIZES:
        yield height or size, width or size, True


def _find_labels(path: Path, label_file: Path | None, n_classes: int) -> list[str]:
    """Return the labels from `label_file`, or from the first file next to the graph with the right number of them."""
    if label_file is not None:
        labels = read_labels(label_file)
        if len(labels) != n_classes:
            raise ModelError(f"{label_file} has {len(labels)} labels, but {path} has {n_classes} classes.",
                             "Use the label file that was written with the graph.")
        return labels
    candidates = [path.with_name(f"{path.stem.replace('graph', 'labels')}.txt"),
                  *(path.with_name(name) for name in LABEL_FILE_NAMES)]
    for candidate in dict.fromkeys(candidates):
        if candidate.is_file() and len(labels := read_labels(candidate)) == n_classes:
            log.info("Labels: %s", candidate)
            return labels
    raise ModelError(f"No file with the {n_classes} labels of {path} was found next to it.",
                     "Set `labels` to the path of the label file.")


def read_labels(path: Path) -> list[str]:
    """Read a label file with one label per line, in UTF-8, UTF-16, UTF-32 or Latin-1.

    Raises:
        ModelError: The file cannot be read, or is not a text file.
    """
    if not os.path.lexists(path):
        raise ModelError(f"There is no label file {path}.")
    try:
        with open_file(path, allow_pipe=True) as file:
            content = file.read()
        text = decode_text(content)
    except (PhotoError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"The label file {path} cannot be read: {reason}.") from None
    except OtherEncodingError:
        text = content.decode("latin-1")
    except NotTextError as error:
        raise ModelError(f"The label file {path} {error.description}.", "Use a text file with one label per line."
                         ) from None
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    # TensorFlow for Poets wrote a single space as the label of a folder whose name has no letters from a to z and no
    # digits.
    return [line.strip() or line for line in lines]
