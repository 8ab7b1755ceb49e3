"""Find pretrained networks, and compute bottlenecks of photos with them."""
from .cache import CACHE_NAME, BottleneckCache
from .devices import core_count, gpu_names, has_gpu, has_nvidia_driver
from .engines import (TENSORFLOW_BATCH, Engine, EngineRunner, LiteRTEngine, LiteRTModel, NotAnImageNetworkError,
                      TensorFlowEngine, is_litert_installed)
from .execution import MAX_PHOTOS_PER_CORE_WITHOUT_GPU, ExecutionOptions
from .extraction import Bottlenecks, extract_augmented, extract_bottlenecks
from .extractor import OUTPUT_NODE, Extractor, load_network, open_extractor, prepare_extractor
from .keras_applications import build_application
from .network import Network, PretrainedNetwork
from .options import VIEW_COUNTS, ExtractorOptions
from .providers import EXTRACTOR_PROVIDERS
from .throughput import Throughput, measure_throughput
from .tflite_conversion import INPUT_NODE, convert_to_tflite
from .views import average_views

__all__ = ["CACHE_NAME", "EXTRACTOR_PROVIDERS", "INPUT_NODE", "MAX_PHOTOS_PER_CORE_WITHOUT_GPU", "OUTPUT_NODE",
           "TENSORFLOW_BATCH", "VIEW_COUNTS", "BottleneckCache", "Bottlenecks", "Engine", "EngineRunner",
           "ExecutionOptions", "Extractor", "ExtractorOptions", "LiteRTEngine", "LiteRTModel", "Network",
           "NotAnImageNetworkError", "PretrainedNetwork", "TensorFlowEngine", "Throughput", "average_views",
           "build_application", "convert_to_tflite", "core_count", "extract_augmented", "extract_bottlenecks",
           "gpu_names", "has_gpu", "has_nvidia_driver", "is_litert_installed", "load_network", "measure_throughput",
           "open_extractor", "prepare_extractor"]
