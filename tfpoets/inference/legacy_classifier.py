"""Graphs of TensorFlow for Poets: what they do not state is worked out, and only what cannot be is asked for."""
from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import LEGACY_PIXELS_VERSION
from tfpoets.errors import ModelError, OptionError, check_range, one_line
from tfpoets.extractors import TENSORFLOW_BATCH, LiteRTEngine, LiteRTModel, NotAnImageNetworkError
from tfpoets.files import set_paths
from tfpoets.graphs import (LegacyGraph, LegacyNetwork, identify_legacy_network, read_legacy_graph,
                            wrap_legacy_graph)

from .classifier import Classifier, PhotoInput

log = logging.getLogger(__name__)

# Tried in turn on a graph that does not state the size of its input.
SIZES = (224, 128, 160, 192, 299)
# Far beyond what any such network takes.
MAX_IMAGE_SIZE = 2048
LABEL_FILES = ("retrained_labels.txt", "output_labels.txt", "labels.txt")


@dataclass(frozen=True)
class LegacyGraphOptions:
    """What is known of a graph that does not state its own input and labels; None: not known.

    Attributes:
        labels: a file with one label a line, in output order.
        input_height, input_width: in pixels.
        input_mean, input_std: pixels p from 0 to 255 are fed as (p - mean) / std.
        input_layer, output_layer: names of nodes.
    """

    labels: Path | None = None
    input_height: int | None = None
    input_width: int | None = None
    input_mean: float | None = None
    input_std: float | None = None
    input_layer: str | None = None
    output_layer: str | None = None

    def __post_init__(self) -> None:
        set_paths(self, "labels")
        for name in ("input_height", "input_width"):
            check_range(name, getattr(self, name), least=1, most=MAX_IMAGE_SIZE, whole=True)
        for name in ("input_mean", "input_std"):
            check_range(name, getattr(self, name))
        if self.input_std == 0:
            raise OptionError("`input_std`=0 would divide by zero.")

    def given(self) -> dict[str, Any]:
        """Return what is known, by the names of the options."""
        return {name: value for name, value in vars(self).items() if value is not None}


def load_legacy_graph(path: Path, content: bytes, stated: LegacyGraphOptions) -> Classifier:
    """Load a frozen GraphDef (.pb) of TensorFlow for Poets as a classifier.

    Args:
        path: of the file, for messages and for its label file.
        content: its bytes.
        stated: what is known of it; that counts more than what is found.

    Raises:
        ModelError: it is not such a graph, its labels are missing or too many, or how to feed it cannot be known.
    """
    graph, taken, batch, classes = open_legacy_graph(path, content, stated)
    run = wrap_legacy_graph(graph, batch)
    engine = _GraphEngine(run, 1 if batch == 1 else TENSORFLOW_BATCH)
    return Classifier(_labels(path, stated.labels, classes), taken, engine)


def open_legacy_graph(path: Path, content: bytes, stated: LegacyGraphOptions
                      ) -> tuple[LegacyGraph, PhotoInput, int | None, int]:
    """Do the same without labels: return the graph, its input, its batch (None: any) and the number of its classes."""
    graph = read_legacy_graph(content, str(path), stated.input_layer, stated.output_layer)
    mean, std = _scale(graph.network, stated, path)
    height, width, batch, classes = _fitting(graph, stated, path, (mean, std))
    return graph, PhotoInput(height, width, LEGACY_PIXELS_VERSION, mean, std), batch, classes


def load_legacy_tflite(path: Path, content: bytes, stated: LegacyGraphOptions) -> Classifier:
    """Load a .tflite (or .lite) made from such a graph, without TensorFlow; arguments and errors as for the graph."""
    size = (stated.input_height, stated.input_width) if stated.input_height and stated.input_width else None
    try:
        model = LiteRTModel(content, size)
    except NotAnImageNetworkError as error:
        raise ModelError(f"{path} cannot label photos: {one_line(error)}") from error
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{path} is damaged: {one_line(error)}", "Copy it again.") from error
    for side, own in (("input_height", model.height), ("input_width", model.width)):
        if getattr(stated, side) not in (None, own):
            raise ModelError(f"`{side}`={getattr(stated, side)} does not fit {path}, which takes {own}.",
                             "Omit it.")
    if stated.input_layer or stated.output_layer:
        log.info("Ignored: `input_layer`, `output_layer`. A .tflite has one input and one output.")
    mean, std = _scale(identify_legacy_network(content), stated, path)
    return Classifier(_labels(path, stated.labels, model.n_outputs),
                      PhotoInput(model.height, model.width, LEGACY_PIXELS_VERSION, mean, std),
                      LiteRTEngine(content, size))


class _GraphEngine:
    """A graph that is already loaded; every thread shares it."""

    name = "tensorflow"

    def __init__(self, run: Callable[[np.ndarray], np.ndarray], batch_size: int):
        self._run, self.batch_size = run, batch_size

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        return self._run


def _scale(network: LegacyNetwork | None, stated: LegacyGraphOptions, path: Path) -> tuple[float, float]:
    """Mean and standard deviation of the pixels, by the network's kind where nobody says otherwise."""
    mean, std = stated.input_mean, stated.input_std
    if network is not None:
        mean, std = network.mean if mean is None else mean, network.std if std is None else std
    if mean is None or std is None:
        raise ModelError(f"{path} is none of the networks that TensorFlow for Poets used (MobileNet v1, Inception v3, "
                         "a TF Hub module), so how its pixels are scaled is not known.",
                         "Say it with `input_mean` and `input_std`: pixels from 0 to 255 are fed as (x - mean) / std.")
    return mean, std


def _fitting(graph: LegacyGraph, stated: LegacyGraphOptions, path: Path,
             scale: tuple[float, float]) -> tuple[int, int, int | None, int]:
    """Height, width, batch (None: any) and number of classes with which the graph gives one answer a photo."""
    for height, width, guessed in _sizes(graph, stated):
        for batch in (1,) if graph.shape[:1] == (1,) else (2, 1):
            gray = np.full((batch, height, width, 3), (127.5 - scale[0]) / scale[1], np.float32)
            try:
                answers = wrap_legacy_graph(graph, batch)(gray)
            except Exception as error:  # TensorFlow's InvalidArgumentError and whatever else a wrong size provokes
                log.debug("At %d x %d pixels: %s", height, width, one_line(error))
                reason = "TensorFlow ends with an error."
                continue
            if answers.ndim == 2 and len(answers) == batch:
                if guessed:
                    log.info("%s does not state the size of its input; %d x %d pixels fit.", path, height, width)
                return height, width, 1 if batch == 1 else None, answers.shape[1]
            reason = f"the node {graph.output} gives {' x '.join(map(str, answers.shape))} numbers for {batch} photos."
    given = stated.input_height or stated.input_width
    raise ModelError(f"{path} does not give one answer a photo at {height} x {width} pixels: {reason}",
                     "Say another `output_layer`." if stated.output_layer else
                     "Omit `input_height` and `input_width`." if given else
                     "Say the size with `input_height` and `input_width`.")


def _sizes(graph: LegacyGraph, stated: LegacyGraphOptions) -> Iterator[tuple[int, int, bool]]:
    """Heights and widths to try, and whether they are guesses."""
    own = (graph.shape + (None,) * 4)[1:3]
    side = graph.network.input_size if graph.network else None
    height, width = (stated.input_height or own[0] or side, stated.input_width or own[1] or side)
    if height and width:
        yield height, width, False
        return
    # Such a pool leaves a rest of a larger photo, which then seems to fit: the smallest is right.
    for size in sorted(SIZES) if graph.pools_with_fixed_kernel else SIZES:
        yield height or size, width or size, True


def _labels(path: Path, given: Path | None, classes: int) -> list[str]:
    """The labels of a graph with so many classes: from the file given, else from the one beside it that fits."""
    if given is not None:
        labels = _read_labels(given)
        if len(labels) != classes:
            raise ModelError(f"{given} has {len(labels)} labels, but {path} answers with {classes}: they do not "
                             "belong together.", "Give the label file that was written with the graph.")
        return labels
    beside = [path.with_name(f"{path.stem.replace('graph', 'labels')}.txt"),
              *(path.with_name(name) for name in LABEL_FILES)]
    for file in dict.fromkeys(beside):
        if file.is_file() and len(labels := _read_labels(file)) == classes:
            log.info("Labels: %s", file)
            return labels
    raise ModelError(f"The labels of {path} ({classes} of them) are not beside it.", "Give them with `labels`=FILE.")


def _read_labels(path: Path) -> list[str]:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        text = path.read_text("latin-1")
    except FileNotFoundError:
        raise ModelError(f"There is no label file {path}.") from None
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    # TensorFlow for Poets wrote a blank for a folder whose name has no letter of a to z.
    return [line.strip() or line for line in lines]
