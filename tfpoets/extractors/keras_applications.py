"""Pretrained networks of keras.applications, such as keras:MobileNetV2."""
from __future__ import annotations

import hashlib
import inspect
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfpoets.download import download_file
from tfpoets.errors import ExtractorError, TfpoetsError, closest_match, one_line
from tfpoets.tf_runtime import import_tensorflow, redirect_native_stderr

from .hub import DOWNLOADS, MAX_BYTES, TIMEOUT_SECONDS, lock_download
from .network import Network
from .options import EMBEDDED, ExtractorOptions

KERAS_PREFIX = "keras:"


class KerasProvider:
    """The provider of networks of keras.applications: keras:NAME or keras:NAME:FILE."""

    def find(self, handle: str, options: ExtractorOptions) -> KerasNetwork | None:
        """Return the network if the handle begins with "keras:"."""
        is_keras = handle.lower().startswith(KERAS_PREFIX)
        return KerasNetwork(handle, options.model_dir, options.offline) if is_keras else None

    def names(self) -> Sequence[str]:
        """Return an empty tuple, since importing Keras takes seconds. `find_application` suggests names."""
        return ()


class KerasNetwork:
    """A network of keras.applications without its top, with global average pooling.

    Args:
        handle: keras:NAME for ImageNet weights, or keras:NAME:FILE for weights in a .h5 file without the top,
            as `save_weights` of the same application writes them.
        model_dir: The folder below which downloaded weights are saved.
        offline: Whether downloads are forbidden.

    Raises:
        ExtractorError: The handle contains no name, or the weights file does not exist.
    """

    default_size: int | None = None
    is_keras = True

    def __init__(self, handle: str, model_dir: Path, offline: bool = False):
        name, _, weights = handle[len(KERAS_PREFIX):].partition(":")
        self.name = f"keras_{name}"
        self._application = name
        self._weights = Path(os.path.expanduser(weights)) if weights else None
        self._model_dir, self._offline = model_dir, offline
        if not name:
            raise ExtractorError(f"{handle} does not contain the name of a network.",
                                 f"Write, for example, {KERAS_PREFIX}MobileNetV2.")
        if self._weights and not self._weights.is_file():
            raise ExtractorError(f"There is no file {self._weights} with weights for {KERAS_PREFIX}{name}.",
                                 f"Use {KERAS_PREFIX}{name} for ImageNet weights.")

    def identity(self) -> str:
        """Return the name of the application and a hash of the weights, if they come from a file."""
        # Keras names each ImageNet weight file in its code, so the application's name identifies its weights.
        weights = hashlib.blake2b(self._weights.read_bytes()).hexdigest() if self._weights else "imagenet"
        return f"{KERAS_PREFIX}{self._application.lower()}/{weights}"

    def build(self, image_size: int | None) -> Network:
        """Create the Keras model and add the preprocessing of its application."""
        import_tensorflow()
        application, preprocess_input = find_application(self._application)
        with redirect_native_stderr():
            size = image_size or _default_size(application)
            model = self.create_model(application, size)

        def features(pixels: Any, training: bool | None = False) -> Any:
            # preprocess_input takes pixels from 0 to 255 and scales them as in the training of each network.
            return model(preprocess_input(pixels * 255.0), training=training)
        return Network(features, size, size, is_keras=True)

    def create_model(self, application: Any, size: int, weights: str | None = "imagenet") -> Any:
        """Create the Keras model of an application.

        Args:
            application: The function of keras.applications that creates the model.
            size: Height and width of its input in pixels.
            weights: "imagenet", or None for random weights; ignored if the handle contains a file.

        Raises:
            ExtractorError: The model cannot be created, or its weights cannot be downloaded.
        """
        from unittest import mock  # imported here because label_image must start without it

        import keras
        file_utils = sys.modules[keras.utils.get_file.__module__]
        try:
            # Keras's download has no timeout and leaves a partial file if the process is killed, so it is replaced.
            with mock.patch.object(file_utils, "get_file", self._get_file):
                return application(include_top=False, pooling="avg", input_shape=(size, size, 3),
                                   weights=str(self._weights) if self._weights else weights)
        except TfpoetsError:
            raise
        except Exception as error:  # h5py and Keras raise errors of many types
            raise ExtractorError(f"The network {KERAS_PREFIX}{self._application} cannot be created for "
                                 f"{size} x {size} pixels"
                                 + (f" with the weights {self._weights}" if self._weights else "")
                                 + f": {one_line(error)}",
                                 "Try a different `image_size`, or download the weights again.") from error

    def _get_file(self, fname: str, origin: str, *_: Any, file_hash: str | None = None, **__: Any) -> str:
        """Return the path of a complete file, after downloading it if necessary; replaces keras.utils.get_file."""
        path = self._model_dir / DOWNLOADS / fname
        keras_path = Path(os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras"))) / "models" / fname
        for existing in (path, keras_path):
            if existing.is_file() and _hash_matches(existing, file_hash):
                return str(existing)
        remedy = f"Download it manually and save it as {path}, or omit `handle`: {EMBEDDED} needs no download."
        if self._offline:
            raise ExtractorError(f"The weights of {KERAS_PREFIX}{self._application} are not on this machine "
                                 f"({origin}), and `offline` forbids downloading them.", remedy)
        with lock_download(path):
            if not (path.is_file() and _hash_matches(path, file_hash)):  # another run may have just downloaded it
                self._download(origin, path, file_hash, remedy)
        return str(path)

    def _download(self, origin: str, path: Path, file_hash: str | None, remedy: str) -> None:
        try:
            download_file(origin, path, description="Weights", max_bytes=MAX_BYTES, timeout=TIMEOUT_SECONDS)
        except TfpoetsError as error:
            raise ExtractorError(error.problem, remedy) from error
        if not _hash_matches(path, file_hash):
            path.unlink()
            raise ExtractorError(f"{origin} is not the file that Keras expects: its hash is different.", remedy)


def build_application(name: str, size: int, pretrained: bool, model_dir: Path, offline: bool) -> Any:
    """Return a network of keras.applications as a Keras model for training.

    The model has no top (`include_top=False`); its feature maps are averaged.

    Args:
        name: The name of the application.
        size: Height and width of its input in pixels.
        pretrained: Whether to start from ImageNet weights instead of random ones.
        model_dir: The folder below which downloaded weights are saved.
        offline: Whether downloads are forbidden.

    Raises:
        ExtractorError: The network cannot be created, or its weights cannot be downloaded.
    """
    import_tensorflow()
    with redirect_native_stderr():
        network = KerasNetwork(KERAS_PREFIX + name, model_dir, offline)
        return network.create_model(find_application(name)[0], size, "imagenet" if pretrained else None)


def _hash_matches(path: Path, file_hash: str | None) -> bool:
    """Return whether a file has this MD5 (32 digits) or SHA-256 hash; None matches every file."""
    if file_hash is None:
        return True
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5" if len(file_hash) == 32 else "sha256").hexdigest() == file_hash.lower()


def _default_size(application: Any) -> int:
    """Return the height and width that an application was designed for, read from its complete network."""
    return int(application(weights=None).input_shape[1])


def find_application(name: str) -> tuple[Any, Any]:
    """Return the function that creates a network, and the one that preprocesses pixels from 0 to 255 for it.

    Args:
        name: The name of the application, in upper or lower case.

    Raises:
        ExtractorError: Keras has no application of that name. The message suggests the closest one and lists all.
    """
    applications = _list_applications()
    spellings = {known.lower(): known for known in applications}
    if name.lower() not in spellings:
        suggestion = closest_match(name.lower(), spellings)
        raise ExtractorError(f"Keras has no application {name!r}"
                             + (f"; did you mean {KERAS_PREFIX}{spellings[suggestion]}?" if suggestion else "."),
                             f"Choose one of {', '.join(sorted(applications))}.")
    return applications[spellings[name.lower()]]


def _list_applications() -> dict[str, tuple[Any, Any]]:
    """Return all applications by name, each with the `preprocess_input` of its module."""
    import keras.applications
    families = {name: module for name, module in inspect.getmembers(keras.applications, inspect.ismodule)
                if hasattr(module, "preprocess_input")}
    applications = {}
    for name, application in inspect.getmembers(keras.applications, callable):
        if not name[0].isupper():
            continue
        family = next((module for module in families.values() if hasattr(module, name)), None)
        if family is None:
            # The module mobilenet_v3 does not export MobileNetV3Large and MobileNetV3Small, so choose the module whose
            # name is the longest prefix of the network's name (`mobilenet` is a shorter one).
            prefixes = [prefix for prefix in families if name.lower().startswith(prefix.replace("_", ""))]
            family = families[max(prefixes, key=len)] if prefixes else None
        if family is not None:
            applications[name] = (application, family.preprocess_input)
    return applications
