"""Run networks with LiteRT, one interpreter per core, or with TensorFlow, in batches on a GPU."""
from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tfpoets.data import network_input
from tfpoets.errors import ExtractorError, TfpoetsError
from tfpoets.graphs import concatenate_outputs, load_frozen_graph
from tfpoets.parallel import core_count, map_in_order
from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr

from .devices import has_gpu

# On 2 cores, larger batches are no faster and only use more memory.
TENSORFLOW_BATCH = 16
# On a GPU, a batch has about as many pixels as 64 photos of 320 x 320, but not more than MAX_GPU_BATCH photos.
GPU_BATCH_PIXELS = 64 * 320 * 320
MAX_GPU_BATCH = 128


class NotAnImageNetworkError(TfpoetsError, ValueError):
    """A .tflite file does not turn one photo into one row of numbers; the message describes its inputs or outputs."""


class LiteRTModel:
    """A .tflite file in a single-threaded LiteRT interpreter; not thread-safe.

    Args:
        model: The path of a .tflite file, or its bytes.
        size: Height and width in pixels, for a file that takes photos of any size.

    Raises:
        ValueError, RuntimeError: The file is damaged; the message is LiteRT's.
        NotAnImageNetworkError: The network does not turn one photo into one row of numbers, or it takes photos of any
            size and `size` is None.

    Attributes:
        height, width: The input size in pixels.
        n_outputs: The number of output columns.
    """

    def __init__(self, model: Path | bytes, size: tuple[int, int] | None = None):
        source = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
        interpreter_class = _import_interpreter()
        with redirect_native_stderr():
            self._interpreter = interpreter_class(num_threads=1, **source)
            self.height, self.width = self._resolve_size(size)
            self._interpreter.allocate_tensors()
        self._input, = self._interpreter.get_input_details()
        # Outputs with more dimensions come first: the probabilities, then the unknown score, which is one number.
        self._outputs = sorted(self._interpreter.get_output_details(), key=lambda details: -len(details["shape"]))
        first_shape = self._outputs[0]["shape"]
        if len(first_shape) != 2 or any(details["shape"].tolist() != [1] for details in self._outputs[1:]):
            shapes = " and ".join(str(details["shape"].tolist()) for details in self._outputs)
            raise NotAnImageNetworkError(f"it returns {shapes}, not one row of numbers.")
        self.n_outputs = int(first_shape[-1]) + len(self._outputs) - 1

    def _resolve_size(self, size: tuple[int, int] | None) -> tuple[int, int]:
        """Return the height and width of the input; resize the input if the file does not fix them."""
        inputs = self._interpreter.get_input_details()
        shape = [int(side) for side in inputs[0]["shape_signature"]]
        if len(inputs) != 1 or len(shape) != 4 or shape[3] != 3:
            shapes = " and ".join(str([int(side) for side in details["shape_signature"]]) for details in inputs)
            raise NotAnImageNetworkError(f"it takes {shapes}, not one photo, [1, height, width, 3].")
        if min(shape[1:3]) > 0:
            return shape[1], shape[2]
        if size is None:
            raise NotAnImageNetworkError("it takes any size; set one with `input_height` and `input_width`.")
        self._interpreter.resize_tensor_input(inputs[0]["index"], [1, *size, 3])
        return size

    def tensor_details(self) -> list[dict[str, Any]]:
        """Return LiteRT's details (dtype, quantization, ...) of the input and of each output."""
        return [self._input, *self._outputs]

    def run(self, photo: np.ndarray) -> np.ndarray:
        """Run the network on one photo; 8-bit inputs and outputs are converted from and to float32.

        Args:
            photo: float32 [1, height, width, 3], scaled as the network expects.

        Returns:
            float32 [1, n_outputs]
        """
        self._interpreter.set_tensor(self._input["index"], _quantize(photo, self._input))
        self._interpreter.invoke()
        return concatenate_outputs([_dequantize(self._interpreter.get_tensor(details["index"]), details)
                                    for details in self._outputs])


def _quantize(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """Convert float32 values to a tensor's dtype (tensorflow.org/lite/performance/quantization_spec)."""
    if tensor["dtype"] == np.float32:
        return values
    scale, zero_point = tensor["quantization"]
    limits = np.iinfo(tensor["dtype"])
    # A scale of 0 means that the tensor is not quantized: its integers are the values.
    return np.clip(np.round(values / (scale or 1) + zero_point), limits.min, limits.max).astype(tensor["dtype"])


def _dequantize(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    if tensor["dtype"] == np.float32:
        return values
    scale, zero_point = tensor["quantization"]
    return ((values.astype(np.float32) - zero_point) * (scale or 1)).astype(np.float32)


def _import_interpreter() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
        return Interpreter
    except ImportError:  # there is no LiteRT package for Intel Macs
        return import_tensorflow().lite.Interpreter


def is_litert_installed() -> bool:
    """Return whether .tflite files can run without TensorFlow."""
    try:
        import ai_edge_litert.interpreter  # noqa: F401 - only to see whether it can be imported
        return True
    except ImportError:
        return False


class Engine(Protocol):
    """A way to run a network.

    Attributes:
        name: The name that the cache stores with each bottleneck.
        batch_size: The largest number of photos per call. If it is 1, each worker opens the engine for itself.
            Otherwise it is opened once, and two threads may run it at the same time.
    """

    name: str
    batch_size: int

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return a function from float32 [n, height, width, 3] to float32 [n, columns], all outputs side by side."""


class EngineRunner:
    """A wrapper that runs an engine from any number of threads; each thread opens it once."""

    def __init__(self, engine: Engine):
        self.batch_size = engine.batch_size
        self._engine = engine
        self._per_thread = threading.local()

    def run(self, photos: np.ndarray) -> np.ndarray:
        """Run the network on one batch.

        Args:
            photos: float32 [n, height, width, 3], scaled as the network expects, n up to `batch_size`.

        Returns:
            float32 [n, n_outputs]
        """
        if not hasattr(self._per_thread, "run"):
            self._per_thread.run = self._engine.open()
        return self._per_thread.run(photos)

    def run_all(self, pixels: np.ndarray, preprocess: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Run the network on any number of photos, at least one, on all cores.

        Args:
            pixels: [n, height, width, 3]
            preprocess: A function that scales pixels as the network expects.

        Returns:
            float32 [n, n_outputs]
        """
        size = self.batch_size
        batches = [pixels[start:start + size] for start in range(0, len(pixels), size)]
        if size > 1 or len(batches) == 1:
            return np.concatenate([self.run(preprocess(batch)) for batch in batches])
        n_threads = min(core_count(), len(batches))  # such an engine uses one core per thread
        return np.concatenate(list(map_in_order(lambda batch: self.run(preprocess(batch)), batches, n_threads)))


class PixelEngine(Engine, Protocol):
    """An engine that can also scale pixels from [0, 255] to [0, 1], as extractors expect them."""

    def open_for_pixels(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return a function from uint8 [n, height, width, 3] to float32 [n, columns], all outputs side by side.

        Raises:
            NoGPUError: The engine needs a GPU, and TensorFlow finds none.
        """


class NoGPUError(ExtractorError):
    """TensorFlow finds no GPU, although there are signs of an NVIDIA driver."""


class LiteRTEngine:
    """A .tflite file, run by LiteRT with one single-threaded interpreter for each thread that opens it."""

    name = "litert"
    batch_size = 1

    def __init__(self, tflite: Path | bytes, size: tuple[int, int] | None = None):
        self._tflite, self._size = tflite, size

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        """Load the file into a new interpreter; see `Engine`."""
        return LiteRTModel(self._tflite, self._size).run

    def open_for_pixels(self) -> Callable[[np.ndarray], np.ndarray]:
        """Load the file into a new interpreter; see `PixelEngine`."""
        run = self.open()
        return lambda pixels: run(network_input(pixels))

    def with_contents(self) -> LiteRTEngine:
        """Return the same engine with the contents of the file in place of its path, for other machines."""
        return LiteRTEngine(self._tflite if isinstance(self._tflite, bytes) else self._tflite.read_bytes(), self._size)


class TensorFlowEngine:
    """A frozen graph, run by TensorFlow in batches and in full float32.

    Args:
        graph: The frozen GraphDef, as the path of a file or as bytes.
        input_node: The name of the node that takes photos.
        *output_nodes: The names of the output nodes.
        batch_size: The largest number of photos per call.
        requires_gpu: Whether `open_for_pixels` fails if TensorFlow finds no GPU.
    """

    name = "tensorflow"

    def __init__(self, graph: Path | bytes, input_node: str, *output_nodes: str, batch_size: int = TENSORFLOW_BATCH,
                 requires_gpu: bool = False):
        self._graph, self._nodes = graph, (input_node, *output_nodes)
        self.batch_size, self.requires_gpu = batch_size, requires_gpu

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        """Load the graph; see `Engine`."""
        return load_frozen_graph(self._read(), *self._nodes)

    def open_for_pixels(self) -> Callable[[np.ndarray], np.ndarray]:
        """Load the graph; see `PixelEngine`. The pixels are scaled on the device."""
        if self.requires_gpu and not has_gpu():
            raise NoGPUError("TensorFlow finds no GPU.",
                             "Install its CUDA libraries: pip install 'tensorflow[and-cuda]'")
        return load_frozen_graph(self._read(), *self._nodes, takes_pixels=True)

    def with_contents(self) -> TensorFlowEngine:
        """Return the same engine with the contents of the file in place of its path, for other machines."""
        return TensorFlowEngine(self._read(), *self._nodes, batch_size=self.batch_size,
                                requires_gpu=self.requires_gpu)

    def _read(self) -> bytes:
        return self._graph if isinstance(self._graph, bytes) else self._graph.read_bytes()


def gpu_batch_size(height: int, width: int) -> int:
    """Return the number of photos of `height` x `width` pixels per batch on a GPU."""
    return min(MAX_GPU_BATCH, max(1, GPU_BATCH_PIXELS // (height * width)))
