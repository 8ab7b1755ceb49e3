"""Pretrained networks of keras.applications: keras:MobileNetV2 and its like."""
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

from .hub import DOWNLOADS, MAX_BYTES, TIMEOUT_SECONDS, locked
from .network import Network
from .options import EMBEDDED, ExtractorOptions

PREFIX = "keras:"


class KerasProvider:
    """Finds networks of keras.applications: keras:NAME or keras:NAME:FILE."""

    def find(self, handle: str, options: ExtractorOptions) -> KerasNetwork | None:
        return KerasNetwork(handle, options.model_dir, options.offline) if handle.lower().startswith(PREFIX) else None

    def names(self) -> Sequence[str]:
        return ()  # `find_application` suggests them: listing them takes Keras, which takes seconds to import


class KerasNetwork:
    """A network of keras.applications without its last layer, its feature maps averaged.

    Args:
        handle: keras:NAME with ImageNet's weights, or keras:NAME:FILE with weights in Keras's .h5 form (those without
            the last layer, as save_weights of the same application writes them).
        model_dir: downloaded weights are kept below it.
        offline: do not use the network.
    """

    default_size: int | None = None

    def __init__(self, handle: str, model_dir: Path, offline: bool = False):
        name, _, weights = handle[len(PREFIX):].partition(":")
        self.name = f"keras_{name}"
        self._application = name
        self._weights = Path(os.path.expanduser(weights)) if weights else None
        self._model_dir, self._offline = model_dir, offline
        if not name:
            raise ExtractorError(f"{handle} names no network.", f"For example: {PREFIX}MobileNetV2")
        if self._weights and not self._weights.is_file():
            raise ExtractorError(f"There is no file {self._weights} with weights for {PREFIX}{name}.",
                                 f"{PREFIX}{name} alone takes ImageNet's.")

    def identity(self) -> str:
        # Keras names each ImageNet weight file in its code, so the name of the application stands for its weights.
        weights = hashlib.blake2b(self._weights.read_bytes()).hexdigest() if self._weights else "imagenet"
        return f"{PREFIX}{self._application.lower()}/{weights}"

    def build(self, image_size: int | None) -> Network:
        import_tensorflow()
        application, preprocess = find_application(self._application)
        with redirect_native_stderr():
            size = image_size or _own_size(application)
            network = self._load(application, size)

        def features(pixels: Any, training: bool = False) -> Any:
            # preprocess_input takes pixels from 0 to 255 and does what each network was trained with.
            return network(preprocess(pixels * 255.0), training=training)
        return Network(features, size, size)

    def _load(self, application: Any, size: int, weights: str | None = "imagenet") -> Any:
        from unittest import mock  # here, because label_image starts without it

        import keras
        files = sys.modules[keras.utils.get_file.__module__]
        try:
            # Keras's own download has no time-out and leaves half a file when it is killed; ours takes its place.
            with mock.patch.object(files, "get_file", self._get_file):
                return application(include_top=False, pooling="avg", input_shape=(size, size, 3),
                                   weights=str(self._weights) if self._weights else weights)
        except TfpoetsError:
            raise
        except Exception as error:  # h5py and Keras raise many kinds
            raise ExtractorError(f"The network {PREFIX}{self._application} cannot be made for {size} x {size} pixels"
                                 + (f" with the weights {self._weights}" if self._weights else "")
                                 + f": {one_line(error)}",
                                 "Try another `image_size`, or fetch the weights again.") from error

    def _get_file(self, fname: str, origin: str, *_: Any, file_hash: str | None = None, **__: Any) -> str:
        """Stands in for keras.utils.get_file: the path of a file that is there whole."""
        kept = self._model_dir / DOWNLOADS / fname
        keras_own = Path(os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras"))) / "models" / fname
        for path in (kept, keras_own):
            if path.is_file() and _is_file(path, file_hash):
                return str(path)
        by_hand = (f"Put that file by hand at {kept}, or omit `handle`: {EMBEDDED} works now, "
                   "without network.")
        if self._offline:
            raise ExtractorError(f"The weights of {PREFIX}{self._application} are not on this machine ({origin}), and "
                                 "`offline` forbids to fetch them.", by_hand)
        with locked(kept):
            if not (kept.is_file() and _is_file(kept, file_hash)):  # another run may have fetched it meanwhile
                self._download(origin, kept, file_hash, by_hand)
        return str(kept)

    def _download(self, origin: str, kept: Path, file_hash: str | None, by_hand: str) -> None:
        try:
            download_file(origin, kept, description="Weights", max_bytes=MAX_BYTES, timeout=TIMEOUT_SECONDS)
        except TfpoetsError as error:
            raise ExtractorError(error.problem, by_hand) from error
        if not _is_file(kept, file_hash):
            kept.unlink()
            raise ExtractorError(f"{origin} is not the file that Keras expects: its hash is another.", by_hand)


def build_application(name: str, size: int, pretrained: bool, model_dir: Path, offline: bool) -> Any:
    """Return a network of keras.applications as a Keras model to be trained, without its last layer, averaged.

    Args:
        name: of the application.
        size: side of its input, in pixels.
        pretrained: with ImageNet's weights (downloaded below `model_dir` unless `offline`), or random ones.

    Raises:
        ExtractorError: it cannot be made, or its weights cannot be had.
    """
    import_tensorflow()
    with redirect_native_stderr():
        network = KerasNetwork(PREFIX + name, model_dir, offline)
        return network._load(find_application(name)[0], size, "imagenet" if pretrained else None)


def _is_file(path: Path, file_hash: str | None) -> bool:
    """Whether a file has the hash that Keras states: MD5 or SHA-256, told by its length, or none."""
    if file_hash is None:
        return True
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5" if len(file_hash) == 32 else "sha256").hexdigest() == file_hash.lower()


def _own_size(application: Any) -> int:
    """Return the side of the input that an application was made for: that of its complete network."""
    return int(application(weights=None).input_shape[1])


def find_application(name: str) -> tuple[Any, Any]:
    """Return the function that makes a network, and the one that prepares pixels from 0 to 255 for it.

    Raises:
        ExtractorError: Keras has no application of that name; the nearest and all others are listed.
    """
    found = _applications()
    by_lower = {each.lower(): each for each in found}
    if name.lower() not in by_lower:
        guess = closest_match(name.lower(), by_lower)
        raise ExtractorError(f"Keras has no application {name!r}"
                             + (f"; did you mean {PREFIX}{by_lower[guess]}?" if guess else "."),
                             f"It has {', '.join(sorted(found))}.")
    return found[by_lower[name.lower()]]


def _applications() -> dict[str, tuple[Any, Any]]:
    """Every application by name, with the preprocessing of the module it lives in."""
    import keras.applications as applications
    families = {name: module for name, module in inspect.getmembers(applications, inspect.ismodule)
                if hasattr(module, "preprocess_input")}
    found = {}
    for name, application in inspect.getmembers(applications, callable):
        if not name[0].isupper():
            continue
        family = next((module for module in families.values() if hasattr(module, name)), None)
        if family is None:  # MobileNetV3Large and -Small: their module names neither, and `mobilenet` begins alike
            keys = [key for key in families if name.lower().startswith(key.replace("_", ""))]
            family = families[max(keys, key=len)] if keys else None
        if family is not None:
            found[name] = (application, family.preprocess_input)
    return found
