"""The features room: pretrained networks, and photos to bottlenecks through them."""
from .cache import CACHE_NAME, BottleneckCache
from .engines import (TENSORFLOW_BATCH, Engine, LiteRTEngine, LiteRTModel, NotForPhotosError, TensorFlowEngine,
                      core_count, has_gpu, load_frozen_graph, side_by_side)
from .extraction import Bottlenecks, extract_bottlenecks, extract_distorted
from .extractor import (INPUT_NODE, OUTPUT_NODE, Extractor, convert_to_tflite, load_network, open_extractor,
                        prepare_extractor)
from .keras_applications import build_application
from .module import NetworkFunction
from .modules import DEFAULT_IMAGE_SIZE
from .poets_graphs import (OWN_MARK, PoetsGraph, PoetsNetwork, imported, network_of, parse_graph, read_poets_graph,
                           run_poets_graph)
from .views import VIEW_COUNTS, averaged

__all__ = ["BottleneckCache", "Bottlenecks", "CACHE_NAME", "DEFAULT_IMAGE_SIZE", "Engine", "Extractor", "INPUT_NODE",
           "LiteRTEngine", "LiteRTModel", "NetworkFunction", "NotForPhotosError", "OUTPUT_NODE", "OWN_MARK",
           "PoetsGraph", "PoetsNetwork", "TENSORFLOW_BATCH", "TensorFlowEngine", "VIEW_COUNTS", "averaged",
           "build_application", "convert_to_tflite", "core_count", "extract_bottlenecks", "extract_distorted",
           "has_gpu", "imported", "load_frozen_graph", "load_network", "network_of", "open_extractor", "parse_graph",
           "prepare_extractor", "read_poets_graph", "run_poets_graph", "side_by_side"]
