"""Pretrained networks of TensorFlow for Poets: their names and the frozen ImageNet graphs that it downloaded."""
from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.errors import ExtractorError
from tfpoets.graphs import (LEGACY_GRAPH_NAMES, TFPOETS_MARKER, FirstRun, LegacyGraph, architecture_names,
                            find_architecture, import_legacy_graph, read_legacy_graph)
from tfpoets.tf_runtime import import_tensorflow

from .hub import fetch_network
from .network import Network, PretrainedNetwork, run_network
from .options import ExtractorOptions

log = logging.getLogger(__name__)


class LegacyNameProvider:
    """The provider of networks by their names in TensorFlow for Poets.

    A network's ImageNet graph is used if it exists below `model_dir`; otherwise the feature vector of the same network
    is downloaded.
    """

    def find(self, handle: str, options: ExtractorOptions) -> PretrainedNetwork | None:
        """Return the network of that name, or None if TensorFlow for Poets had no such network."""
        architecture = find_architecture(handle)
        if architecture is None:
            return None
        if architecture.quantized:
            log.info("%s: the float graph of the same network is used, since 8-bit weights make the features less "
                     "precise.", architecture.name)
        graph = options.model_dir / architecture.graph_file
        if graph.is_file():
            log.info("%s: the graph %s is used.", architecture.name, graph)
            return LegacyGraphNetwork(graph, None, options.trust_model)
        return fetch_network(architecture.address, options)

    def names(self) -> Sequence[str]:
        """Return all network names of TensorFlow for Poets."""
        return architecture_names()


class LegacyGraphNetwork:
    """An ImageNet graph that TensorFlow for Poets downloaded.

    Its bottleneck is the output of the last pooling layer: 256 to 1,024 numbers for MobileNet v1, 2,048 for Inception
    v3. (TensorFlow for Poets used MobileNet's 1,001 class logits, which contain less information.)

    Args:
        path: The path of the frozen graph.
        name: The name in messages and folder names; None: derived from the path.
        trust_model: Whether the graph is used without checking what it does.
    """

    default_size: int | None = None
    is_frozen = True

    def __init__(self, path: Path, name: str | None = None, trust_model: bool = False):
        self.path, self._trust_model = path, trust_model
        # Graphs of different networks have the same file name, so the folder's name is added to it.
        is_standard_name = path.name in LEGACY_GRAPH_NAMES
        self.name = name or (f"{path.resolve().parent.name}_{path.stem}" if is_standard_name else path.stem)

    def identity(self) -> str:
        """Return a hash of the file."""
        return "poets-graph/" + hashlib.blake2b(self.path.read_bytes(), digest_size=16).hexdigest()

    def build(self, image_size: int | None) -> Network:
        """Build a function that imports the graph up to its last pooling layer."""
        tensorflow = import_tensorflow()
        first_run = FirstRun(self.path, "network")
        is_trusted = self._trust_model or first_run.has_happened()
        graph = self._read_graph(is_checked=not is_trusted)
        if not is_trusted:
            first_run.run(run_network, LegacyGraphNetwork(self.path, self.name, True), image_size,
                          library="tensorflow")
        if graph.network is None:
            raise ExtractorError(f"{self.path} is neither a MobileNet v1 nor an Inception v3, so its input scaling is "
                                 "unknown.", "Use a SavedModel.")
        pooling_node = graph.pooling_node()
        if pooling_node is None:
            raise ExtractorError(f"{self.path} has no pooling layer before its last layer.", "Use an ImageNet graph.")
        size = self._input_size(graph, image_size)
        mean, std = graph.network.mean, graph.network.std

        def features(pixels: Any, training: bool = False) -> Any:  # `training` is ignored: all weights are constants
            maps = import_legacy_graph(graph, (pixels * 255.0 - mean) / std, pooling_node)
            return tensorflow.reshape(maps, [-1, int(np.prod(maps.shape[1:]))])
        return Network(features, size, size)

    def _read_graph(self, is_checked: bool) -> LegacyGraph:
        """Read the graph, and check it if requested; raise an ExtractorError if it cannot be used as an extractor."""
        content = self.path.read_bytes()
        if TFPOETS_MARKER.encode() in content:
            raise ExtractorError(f"{self.path} is a classifier that this program wrote, not an extractor.",
                                 "Use the module that it was trained with.")
        graph = read_legacy_graph(content, str(self.path), is_checked=is_checked)
        if graph.is_quantized:
            raise ExtractorError(f"{self.path} is an 8-bit graph, whose features are needlessly imprecise.",
                                 "Use the float graph, frozen_graph.pb.")
        return graph

    def _input_size(self, graph: LegacyGraph, image_size: int | None) -> int:
        fixed_size = (graph.shape + (None,) * 4)[1] or (graph.network and graph.network.input_size)
        if fixed_size is None and image_size is None:
            raise ExtractorError(f"{self.path} does not state the size of its input.", "Set it with `image_size`.")
        if fixed_size and image_size and fixed_size != image_size:
            raise ExtractorError(f"The graph {self.path} takes only photos of {fixed_size} x {fixed_size} pixels, not "
                                 f"of {image_size} x {image_size}.", "Omit `image_size`.")
        return int(fixed_size or image_size or 0)
