"""TensorFlow for Poets' names for networks, and the frozen ImageNet graphs that it downloaded."""
from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.errors import ExtractorError
from tfpoets.graphs import (LEGACY_GRAPH_NAMES, TFPOETS_MARKER, LegacyGraph, architecture_names, find_architecture, imported,
                            read_legacy_graph)
from tfpoets.tf_runtime import import_tensorflow

from .hub import network_at
from .network import Network, PretrainedNetwork
from .options import ExtractorOptions

log = logging.getLogger(__name__)


class LegacyNameProvider:
    """Finds networks by the names that TensorFlow for Poets had for them.

    Its ImageNet graph is taken where it is under `model_dir`, else the same network's feature vector is fetched.
    """

    def find(self, handle: str, options: ExtractorOptions) -> PretrainedNetwork | None:
        architecture = find_architecture(handle)
        if architecture is None:
            return None
        if architecture.quantized:
            log.info("%s: the float graph of the same network is taken; 8-bit weights would only blur its features.",
                     architecture.name)
        graph = options.model_dir / architecture.graph
        if graph.is_file():
            log.info("%s: the graph %s is taken.", architecture.name, graph)
            return LegacyGraphNetwork(graph)
        return network_at(architecture.address, options)

    def names(self) -> Sequence[str]:
        return architecture_names()


class LegacyGraphNetwork:
    """The ImageNet graph in a download of TensorFlow for Poets, as an extractor.

    Its bottleneck is what the network pools before its last layer: 256 to 1,024 numbers of MobileNet v1, 2,048 of
    Inception v3. (TensorFlow for Poets took the 1,001 class probabilities of MobileNet, which know less.)
    """

    default_size: int | None = None

    def __init__(self, path: Path, name: str | None = None):
        self.path = path
        usual = path.name in LEGACY_GRAPH_NAMES  # then the folder says more
        self.name = name or (f"{path.resolve().parent.name}_{path.stem}" if usual else path.stem)

    def identity(self) -> str:
        return "poets-graph/" + hashlib.blake2b(self.path.read_bytes(), digest_size=16).hexdigest()

    def build(self, image_size: int | None) -> Network:
        tensorflow = import_tensorflow()
        content = self.path.read_bytes()
        if TFPOETS_MARKER.encode() in content:
            raise ExtractorError(f"{self.path} is a classifier that this program made, not an extractor.",
                                 "Give the module that it was made with.")
        graph = read_legacy_graph(content, str(self.path))
        if graph.is_quantized:
            raise ExtractorError(f"{self.path} is an 8-bit graph, whose features are coarser than they need be.",
                                 "Give the float graph, frozen_graph.pb.")
        if graph.network is None:
            raise ExtractorError(f"{self.path} is neither a MobileNet v1 nor an Inception v3, so how to feed it is "
                                 "not known.", "Give a SavedModel.")
        pooled = graph.pooling_node()
        if pooled is None:
            raise ExtractorError(f"{self.path} has no pooled layer before its last one.", "Give an ImageNet graph.")
        side = self._side(graph, image_size)
        mean, std = graph.network.mean, graph.network.std

        def features(pixels: Any, training: bool = False) -> Any:  # constants: never trained
            maps = imported(graph, (pixels * 255.0 - mean) / std, pooled)
            return tensorflow.reshape(maps, [-1, int(np.prod(maps.shape[1:]))])
        return Network(features, side, side)

    def _side(self, graph: LegacyGraph, image_size: int | None) -> int:
        own = (graph.shape + (None,) * 4)[1] or (graph.network and graph.network.side)
        if own is None and image_size is None:
            raise ExtractorError(f"{self.path} does not state the size of its input.", "Say it with `image_size`.")
        if own and image_size and own != image_size:
            raise ExtractorError(f"The graph {self.path} takes photos of {own} x {own} pixels only, not of "
                                 f"{image_size} x {image_size}.", "Omit `image_size`.")
        return int(own or image_size or 0)
