"""What runs an extractor: LiteRT with one interpreter a core, or TensorFlow in batches on a GPU.

The rule, never a timing: TensorFlow where it finds a GPU (and where LiteRT has no package), LiteRT everywhere else.
"""
from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tfpoets.errors import TfpoetsError
from tfpoets.graphs import concatenate_outputs, load_frozen_graph
from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr

# On 2 cores larger batches are no faster and only take memory.
TENSORFLOW_BATCH = 16


def core_count() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class NotAnImageNetworkError(TfpoetsError, ValueError):
    """A .tflite that does not turn one photo into one row of numbers; the text says what it does."""


class LiteRTModel:
    """A .tflite in one single-threaded LiteRT interpreter; for one thread at a time.

    Args:
        model: the path of a .tflite file, or its bytes.
        size: height and width in pixels, for a file that takes photos of any size.

    Raises:
        ValueError, RuntimeError: the file is damaged (whatever LiteRT says of it).
        NotAnImageNetworkError: it takes or gives something else, or it takes any size and none was given.

    Attributes:
        height, width: of its input, in pixels.
        outputs: how many numbers it answers with.
    """

    def __init__(self, model: Path | bytes, size: tuple[int, int] | None = None):
        source = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
        interpreter = _interpreter_class()
        with redirect_native_stderr():
            self._interpreter = interpreter(num_threads=1, **source)
            self.height, self.width = self._sized(size)
            self._interpreter.allocate_tensors()
        self._input, = self._interpreter.get_input_details()
        # Rows first: a classifier's score for unknown photos, one number, stands behind its probabilities.
        self._outputs = sorted(self._interpreter.get_output_details(), key=lambda each: -len(each["shape"]))
        first = self._outputs[0]["shape"]
        if len(first) != 2 or any(each["shape"].tolist() != [1] for each in self._outputs[1:]):
            given = " and ".join(str(each["shape"].tolist()) for each in self._outputs)
            raise NotAnImageNetworkError(f"it gives {given}, not one row of numbers.")
        self.outputs = int(first[-1]) + len(self._outputs) - 1

    def _sized(self, size: tuple[int, int] | None) -> tuple[int, int]:
        """Height and width of the input, which is resized where the file leaves them open."""
        inputs = self._interpreter.get_input_details()
        signature = [int(side) for side in inputs[0]["shape_signature"]]
        if len(inputs) != 1 or len(signature) != 4 or signature[3] != 3:
            taken = " and ".join(str([int(side) for side in each["shape_signature"]]) for each in inputs)
            raise NotAnImageNetworkError(f"it takes {taken}, not one photo, [1, height, width, 3].")
        if min(signature[1:3]) > 0:
            return signature[1], signature[2]
        if size is None:
            raise NotAnImageNetworkError("it takes any size; say one with `input_height` and `input_width`.")
        self._interpreter.resize_tensor_input(inputs[0]["index"], [1, *size, 3])
        return size

    def tensors(self) -> list[dict[str, Any]]:
        """Type and quantization of the input and of each output, as LiteRT describes them."""
        return [self._input, *self._outputs]

    def run(self, photo: np.ndarray) -> np.ndarray:
        """float32 [1, height, width, 3] as the network takes it -> float32 [1, outputs]; 8-bit files are converted."""
        self._interpreter.set_tensor(self._input["index"], _quantized(photo, self._input))
        self._interpreter.invoke()
        return concatenate_outputs([_dequantized(self._interpreter.get_tensor(each["index"]), each)
                             for each in self._outputs])


def _quantized(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """Float32 values in a tensor's type (tensorflow.org/lite/performance/quantization_spec)."""
    if tensor["dtype"] == np.float32:
        return values
    scale, zero_point = tensor["quantization"]
    limits = np.iinfo(tensor["dtype"])
    # A scale of 0 says that there is none: the numbers themselves are meant.
    return np.clip(np.round(values / (scale or 1) + zero_point), limits.min, limits.max).astype(tensor["dtype"])


def _dequantized(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    if tensor["dtype"] == np.float32:
        return values
    scale, zero_point = tensor["quantization"]
    return ((values.astype(np.float32) - zero_point) * (scale or 1)).astype(np.float32)


def _interpreter_class() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
        return Interpreter
    except ImportError:  # Intel Macs
        return import_tensorflow().lite.Interpreter


def litert_is_installed() -> bool:
    """Whether .tflite files run without TensorFlow here."""
    try:
        import ai_edge_litert.interpreter  # noqa: F401
        return True
    except ImportError:
        return False


class Engine(Protocol):
    """Runs a network: `open()` gives a function from float32 [n, height, width, 3] to float32 [n, outputs].

    Where a network has several outputs, their columns stand side by side.

    With a batch_size of 1 every worker thread opens its own; otherwise one thread hands in batches.
    """

    name: str
    batch_size: int

    def open(self) -> Callable[[np.ndarray], np.ndarray]: ...


class EngineRunner:
    """An engine for any number of threads, each of which opens it once."""

    def __init__(self, engine: Engine):
        self.batch_size = engine.batch_size
        self._engine = engine
        self._opened = threading.local()

    def run(self, photos: np.ndarray) -> np.ndarray:
        """float32 [n, height, width, 3] as the network takes it, n up to `batch_size`, to float32 [n, outputs]."""
        if not hasattr(self._opened, "run"):
            self._opened.run = self._engine.open()
        return self._opened.run(photos)

    def run_all(self, pixels: np.ndarray, scaled: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Any number of photos, at least one, on all cores.

        Args:
            pixels: [n, height, width, 3].
            scaled: turns pixels into what the network takes.

        Returns:
            float32 [n, outputs].
        """
        size = self.batch_size
        parts = [pixels[start:start + size] for start in range(0, len(pixels), size)]
        if size > 1 or len(parts) == 1:
            return np.concatenate([self.run(scaled(part)) for part in parts])
        with ThreadPoolExecutor(min(core_count(), len(parts))) as pool:  # an engine for one photo runs one a core
            return np.concatenate(list(pool.map(lambda part: self.run(scaled(part)), parts)))


class LiteRTEngine:
    """One interpreter for each thread that opens it, each on one core."""

    name = "litert"
    batch_size = 1

    def __init__(self, tflite: Path | bytes, size: tuple[int, int] | None = None):
        self._tflite, self._size = tflite, size

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        return LiteRTModel(self._tflite, self._size).run


class TensorFlowEngine:
    """A frozen graph in TensorFlow, in batches, in full float32."""

    name = "tensorflow"
    batch_size = TENSORFLOW_BATCH

    def __init__(self, graph: Path | bytes, input_node: str, *output_nodes: str):
        self._graph, self._nodes = graph, (input_node, *output_nodes)

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        content = self._graph if isinstance(self._graph, bytes) else self._graph.read_bytes()
        return load_frozen_graph(content, *self._nodes)


def choose_engine(tflite: Path, graph: Path, input_node: str, output_node: str) -> Engine:
    """The engine for this machine, by the rule at the head of this file."""
    if not litert_is_installed() or has_gpu():
        return TensorFlowEngine(graph, input_node, output_node)
    return LiteRTEngine(tflite)


def has_gpu() -> bool:
    """Whether TensorFlow finds a GPU; TensorFlow is asked only where an NVIDIA driver shows itself."""
    if not (shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists()):
        return False
    return bool(import_tensorflow().config.list_physical_devices("GPU"))
