"""Find pretrained networks, and compute bottlenecks of photos with them."""
from .cache import CACHE_NAME, BottleneckCache
from .engines import (TENSORFLOW_BATCH, Engine, EngineRunner, LiteRTEngine, LiteRTModel, NotAnImageNetworkError,
                      TensorFlowEngine, core_count, has_gpu, is_litert_installed)
from .extraction import Bottlenecks, extract_augmented, extract_bottlenecks
from .extractor import OUTPUT_NODE, Extractor, load_network, open_extractor, prepare_extractor
from .keras_applications import build_application
from .network import Network, PretrainedNetwork
from .options import VIEW_COUNTS, ExtractorOptions
from .providers import EXTRACTOR_PROVIDERS
from .tflite_conversion import INPUT_NODE, convert_to_tflite
from .views import average_views

__all__ = ["CACHE_NAME", "EXTRACTOR_PROVIDERS", "INPUT_NODE", "OUTPUT_NODE", "TENSORFLOW_BATCH", "VIEW_COUNTS",
           "BottleneckCache", "Bottlenecks", "Engine", "EngineRunner", "Extractor", "ExtractorOptions", "LiteRTEngine",
           "LiteRTModel", "Network", "NotAnImageNetworkError", "PretrainedNetwork", "TensorFlowEngine",
           "average_views", "build_application", "convert_to_tflite", "core_count", "extract_augmented",
           "extract_bottlenecks", "has_gpu", "is_litert_installed", "load_network", "open_extractor",
           "prepare_extractor"]
