"""Find pretrained networks, and compute bottlenecks of photos with them."""
from typing import TYPE_CHECKING

from tfpoets.lazy_names import lazy_names

if TYPE_CHECKING:
    from .cache import CACHE_NAME, BottleneckCache
    from .cache_contents import (TABLES, CacheStatistics, Verification, find_network_keys, read_statistics,
                                 size_on_disk, verify_contents)
    from .cache_export import export_bottlenecks
    from .cache_file import open_cache_file
    from .cache_pruning import (PruningPlan, has_unused_pages, plan_network_removal, plan_pruning, prune,
                                remove_network, rewrite)
    from .cluster import check_ray_address
    from .devices import gpu_names, has_gpu, has_nvidia_driver
    from .engines import (TENSORFLOW_BATCH, Engine, EngineRunner, LiteRTEngine, LiteRTModel, NotAnImageNetworkError,
                          TensorFlowEngine, is_litert_installed)
    from .execution import MAX_PHOTOS_PER_CORE_WITHOUT_GPU, ExecutionOptions, min_photos_for_processes
    from .extraction import Bottlenecks, extract_augmented, extract_bottlenecks
    from .extractor import Extractor, load_network, open_extractor, prepare_extractor
    from .keras_applications import build_application
    from .keras_files import load_keras_file, try_keras_file
    from .keras_models import LUMA_WEIGHTS, AdaptedModel, adapt_model
    from .network import Network, PretrainedNetwork
    from .options import INPUT_RANGES, VIEW_COUNTS, ExtractorOptions
    from .providers import EXTRACTOR_PROVIDERS, find_network
    from .tflite_conversion import INPUT_NODE, OUTPUT_NODE, convert_to_tflite
    from .tflite_check import check_tflite_file
    from .throughput import Throughput, measure_throughput
    from .views import average_keras_views, average_views

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    ".cache": "CACHE_NAME BottleneckCache",
    ".cache_contents": "TABLES CacheStatistics Verification find_network_keys read_statistics size_on_disk "
                       "verify_contents",
    ".cache_export": "export_bottlenecks",
    ".cache_file": "open_cache_file",
    ".cache_pruning": "PruningPlan has_unused_pages plan_network_removal plan_pruning prune remove_network "
                      "rewrite",
    ".cluster": "check_ray_address",
    ".devices": "gpu_names has_gpu has_nvidia_driver",
    ".engines": "TENSORFLOW_BATCH Engine EngineRunner LiteRTEngine LiteRTModel NotAnImageNetworkError "
                "TensorFlowEngine is_litert_installed",
    ".execution": "MAX_PHOTOS_PER_CORE_WITHOUT_GPU ExecutionOptions min_photos_for_processes",
    ".extraction": "Bottlenecks extract_augmented extract_bottlenecks",
    ".extractor": "Extractor load_network open_extractor prepare_extractor",
    ".keras_applications": "build_application",
    ".keras_files": "load_keras_file try_keras_file",
    ".keras_models": "LUMA_WEIGHTS AdaptedModel adapt_model",
    ".network": "Network PretrainedNetwork",
    ".options": "INPUT_RANGES VIEW_COUNTS ExtractorOptions",
    ".providers": "EXTRACTOR_PROVIDERS find_network",
    ".tflite_conversion": "INPUT_NODE OUTPUT_NODE convert_to_tflite",
    ".tflite_check": "check_tflite_file",
    ".throughput": "Throughput measure_throughput",
    ".views": "average_keras_views average_views",
})
