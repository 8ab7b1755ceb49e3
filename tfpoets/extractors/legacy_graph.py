"""Extractors that are frozen ImageNet graphs, as TensorFlow for Poets downloaded them."""
from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.errors import ExtractorError
from tfpoets.graphs import GRAPH_NAMES, OWN_MARK, PoetsGraph, imported, nodes_behind, read_poets_graph
from tfpoets.tf_runtime import import_tensorflow

from .network import NetworkFunction


class PoetsGraphModule:
    """The ImageNet graph that a Poets download holds, as an extractor.

    Its bottleneck is what the network pools before its last layer: 256 to 1,024 numbers of MobileNet v1, 2,048 of
    Inception v3. (Poets took the 1,001 class probabilities of MobileNet, which know less.)
    """

    default_size: int | None = None

    def __init__(self, path: Path, name: str | None = None):
        self.path = path
        of_poets = path.name in GRAPH_NAMES  # then the folder says more
        self.name = name or (f"{path.resolve().parent.name}_{path.stem}" if of_poets else path.stem)

    def digest(self) -> str:
        return "poets-graph/" + hashlib.blake2b(self.path.read_bytes(), digest_size=16).hexdigest()

    def build(self, image_size: int | None) -> tuple[NetworkFunction, int, int]:
        tensorflow = import_tensorflow()
        content = self.path.read_bytes()
        if OWN_MARK.encode() in content:
            raise ExtractorError(f"{self.path} is a classifier that this program made, not an extractor.",
                                 "Give the module that it was made with.")
        graph = read_poets_graph(content, str(self.path))
        nodes = {node.name: node for node in graph.definition.node}
        if any(node.op in ("Dequantize", "QuantizedConv2D") for node in nodes.values()):
            raise ExtractorError(f"{self.path} is an 8-bit graph, whose features are coarser than they need be.",
                                 "Give the float graph, frozen_graph.pb.")
        if graph.network is None:
            raise ExtractorError(f"{self.path} is neither a MobileNet v1 nor an Inception v3, so how to feed it is "
                                 "not known.", "Give a SavedModel.")
        pooled = next((name for name in nodes_behind(nodes, graph.output) if nodes[name].op in ("AvgPool", "Mean")),
                      None)
        if pooled is None:
            raise ExtractorError(f"{self.path} has no pooled layer before its last one.", "Give an ImageNet graph.")
        side = self._side(graph, image_size)
        mean, std = graph.network.mean, graph.network.std

        def features(pixels: Any, training: bool = False) -> Any:  # constants: never trained
            maps = imported(graph, (pixels * 255.0 - mean) / std, pooled)
            return tensorflow.reshape(maps, [-1, int(np.prod(maps.shape[1:]))])
        return features, side, side

    def _side(self, graph: PoetsGraph, image_size: int | None) -> int:
        own = (graph.shape + (None,) * 4)[1] or (graph.network and graph.network.side)
        if own is None and image_size is None:
            raise ExtractorError(f"{self.path} does not state the size of its input.", "Say it with `image_size`.")
        if own and image_size and own != image_size:
            raise ExtractorError(f"The graph {self.path} takes photos of {own} x {own} pixels only, not of "
                                 f"{image_size} x {image_size}.", "Omit `image_size`.")
        return int(own or image_size or 0)
