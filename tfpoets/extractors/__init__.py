"""Pretrained networks, and photos to bottlenecks through them."""
from .cache import CACHE_NAME, BottleneckCache
from .engines import (TENSORFLOW_BATCH, Engine, EngineRunner, LiteRTEngine, LiteRTModel, NotForPhotosError,
                      TensorFlowEngine, core_count, has_gpu, load_frozen_graph, side_by_side)
from .extraction import Bottlenecks, extract_augmented, extract_bottlenecks
from .extractor import (INPUT_NODE, OUTPUT_NODE, Extractor, ExtractorOptions, convert_to_tflite, load_network,
                        open_extractor, prepare_extractor)
from .keras_applications import build_application
from .network import NetworkFunction
from .views import VIEW_COUNTS, averaged

__all__ = ["CACHE_NAME", "INPUT_NODE", "OUTPUT_NODE", "TENSORFLOW_BATCH", "VIEW_COUNTS", "BottleneckCache",
           "Bottlenecks", "Engine", "EngineRunner", "Extractor", "ExtractorOptions", "LiteRTEngine", "LiteRTModel",
           "NetworkFunction", "NotForPhotosError", "TensorFlowEngine", "averaged", "build_application",
           "convert_to_tflite", "core_count", "extract_augmented", "extract_bottlenecks", "has_gpu",
           "load_frozen_graph", "load_network", "open_extractor", "prepare_extractor", "side_by_side"]
