"""Prepare pretrained networks as extractors: frozen graphs on disk that turn pixels into bottlenecks."""
from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import PIXELS_VERSION
from tfpoets.errors import ExtractorError, TfpoetsError, one_line
from tfpoets.graphs import TRUST_WARNING
from tfpoets.locks import lock_destination
from tfpoets.publication import clean_up, publish_together, staging_folder
from tfpoets.tf_runtime import full_precision, import_tensorflow, redirect_native_stderr

from .engines import LiteRTModel
from .network import Network
from .options import ExtractorOptions
from .providers import find_network
from .tflite_conversion import INPUT_NODE, OUTPUT_NODE, convert_to_tflite
from .views import CROP_FRACTION, average_views

log = logging.getLogger(__name__)

# The version of the layout of a prepared folder. If it changes, every network is prepared again.
FORMAT_VERSION = 1
GRAPH_FILE, TFLITE_FILE, DESCRIPTION_FILE = "extractor.pb", "extractor.tflite", "extractor.json"
# LiteRT and TensorFlow must agree to within this fraction of the largest feature, or the network is rejected.
ENGINE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Extractor:
    """A prepared feature extractor.

    Attributes:
        handle: The name, path or address that the user chose.
        name: A short name for messages.
        digest: A hash of weights, input size and pixel version; part of the cache's key.
        height, width: The input size in pixels.
        depth: The length of a bottleneck.
        folder: The folder with its frozen graph (`input` float32 [n, height, width, 3] in [0, 1] -> `bottleneck`
            float32 [n, depth]) and the same network as a .tflite for a batch of one.
    """

    handle: str
    name: str
    digest: str
    height: int
    width: int
    depth: int
    folder: Path

    @property
    def graph_path(self) -> Path:
        """The path of the frozen GraphDef."""
        return self.folder / GRAPH_FILE

    @property
    def tflite_path(self) -> Path:
        """The path of the TensorFlow Lite file."""
        return self.folder / TFLITE_FILE


def open_extractor(handle_or_options: str | ExtractorOptions = ExtractorOptions(), **options: Any) -> Extractor:
    """Open an extractor; the first time, prepare it in a folder below `model_dir` (about ten seconds).

    Args:
        handle_or_options: The options, or just a handle; the other options then have their defaults.
        **options: Fields of ExtractorOptions, which override those in the first argument, as in
            `open_extractor("efficientnet_lite0", image_size=224)`.

    Raises:
        ExtractorError: No such network exists, its files are incomplete, it cannot be downloaded, or it does not turn
            photos into feature vectors.
        OptionError: An option has an invalid value.
    """
    if isinstance(handle_or_options, str):
        chosen = ExtractorOptions(handle_or_options, **options)
    else:
        chosen = replace(handle_or_options, **options)
    pretrained = find_network(chosen.handle, chosen)
    image_size = chosen.image_size or pretrained.default_size
    identity = pretrained.identity()
    key = _digest(f"{FORMAT_VERSION}/{identity}{_views_suffix(chosen.views)}/{image_size}/{PIXELS_VERSION}".encode())
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", pretrained.name) + (f"-{image_size}" if image_size else "")
    folder = chosen.model_dir / f"{name}-{key[:12]}"
    identity_with_views = f"{identity}{_views_suffix(chosen.views)}"
    clean_up(folder.parent, folder.name)
    description = _read_description(folder, identity_with_views)
    if description is None:
        with _lock(folder):  # another run may be preparing it
            description = _read_description(folder, identity_with_views)
            if description is None:
                reason = "again: its files are damaged" if folder.exists() else "only once; it is saved"
                if chosen.trust_model:
                    log.warning(TRUST_WARNING)
                log.info("Preparing the extractor %s (%s in %s)", pretrained.name, reason, folder)
                return prepare_extractor(pretrained.build(image_size), pretrained.name, chosen.handle, identity,
                                         folder, chosen.views)
    return Extractor(chosen.handle, pretrained.name, description["digest"], description["height"],
                     description["width"], description["depth"], folder)


def load_network(options: ExtractorOptions) -> Network:
    """Load a network with its variables, for training. The errors are those of `open_extractor`."""
    pretrained = find_network(options.handle, options)
    return pretrained.build(options.image_size or pretrained.default_size)


def _views_suffix(views: int) -> str:
    """Return the part of an extractor's identity that describes its views; empty for one, for compatibility."""
    return "" if views == 1 else f"/{views} views of {CROP_FRACTION}"


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _read_description(folder: Path, identity: str) -> dict[str, Any] | None:
    """Return the description of a prepared folder, or None if a file is missing, damaged or of a different version.

    Args:
        folder: The folder.
        identity: A string that identifies the network, its weights and its views.
    """
    try:
        description = json.loads((folder / DESCRIPTION_FILE).read_text("utf-8"))
        contents = {name: (folder / name).read_bytes() for name in (GRAPH_FILE, TFLITE_FILE)}
        height, width, depth = (description[name] for name in ("height", "width", "depth"))
        intact = (description["format"] == FORMAT_VERSION
                  and all(type(number) is int for number in (height, width, depth))
                  and description["files"] == {name: _digest(content) for name, content in contents.items()}
                  and description["digest"] == _extractor_digest(identity, height, width))
        if intact and "checksum" in description:
            return description if description["checksum"] == _checksum(description) else None
        # Earlier versions wrote no checksum.
        return description if intact and LiteRTModel(contents[TFLITE_FILE]).n_outputs == depth else None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, RecursionError, TfpoetsError):
        return None


def _extractor_digest(identity: str, height: int, width: int) -> str:
    return _digest(f"{identity}/{height}/{width}/pixels-{PIXELS_VERSION}".encode())


def _checksum(description: dict[str, Any]) -> str:
    """Return a hash of everything in a description except the hash itself."""
    values = {name: value for name, value in description.items() if name != "checksum"}
    return _digest(json.dumps(values, sort_keys=True).encode())


def prepare_extractor(network: Network, name: str, handle: str, identity: str, folder: Path, views: int = 1
                      ) -> Extractor:
    """Freeze a network, convert it to TensorFlow Lite, compare both files, and save them.

    Args:
        network: The network that becomes an extractor.
        name: The name for messages.
        handle: The name, path or address that the user chose.
        identity: A string that identifies the network and its weights.
        folder: The folder to create.
        views: The number of views of each photo whose features are averaged.

    Raises:
        ExtractorError: The network cannot be frozen or converted, the two files return different features, or the
            folder is not writable.
    """
    frozen, depth = _freeze(average_views(network, views), name)
    graph_def = _rename_counted_nodes(frozen.graph.as_graph_def())
    tflite = _convert(graph_def, network, name)
    _check_engines_agree(frozen, tflite, network, name)
    files = {GRAPH_FILE: graph_def.SerializeToString(deterministic=True), TFLITE_FILE: tflite}
    height, width = network.height, network.width
    identity_with_views = f"{identity}{_views_suffix(views)}"
    digest = _extractor_digest(identity_with_views, height, width)
    description: dict[str, Any] = {
        "format": FORMAT_VERSION, "handle": handle, "height": height, "width": width, "depth": depth, "digest": digest,
        "files": {file: _digest(data) for file, data in files.items()}}
    files[DESCRIPTION_FILE] = json.dumps({**description, "checksum": _checksum(description)}, indent=1).encode()
    with _lock(folder):
        if _read_description(folder, identity_with_views) is None:  # otherwise it has already been written
            _write_folder(folder, files)
    return Extractor(handle, name, digest, height, width, depth, folder)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Let one run at a time prepare an extractor; raise ExtractorError if nothing can be written there."""
    lock = lock_destination(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.__enter__()
    except OSError as error:
        raise ExtractorError(f"The extractor cannot be saved in {folder}: {one_line(error)}",
                             "Choose another folder with `model_dir`.") from error
    with ExitStack() as stack:
        stack.push(lock)
        yield


def _write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write a folder, which appears under its name when it is complete, and replaces a damaged one."""
    try:
        with staging_folder(folder.parent, folder.name) as staging:
            staged = staging / folder.name
            staged.mkdir()
            for name, data in files.items():
                (staged / name).write_bytes(data)
            publish_together(staging, [(staged, folder)], folder.name)
    except OSError as error:
        raise ExtractorError(f"The extractor cannot be saved in {folder}: {one_line(error)}",
                             "Choose another folder with `model_dir`.") from error


def _freeze(network: Network, name: str) -> tuple[Any, int]:
    """Return the network as a concrete function whose weights are constants, and the length of its vectors."""
    tensorflow = import_tensorflow()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    height, width = network.height, network.width
    spec = tensorflow.TensorSpec([None, height, width, 3], tensorflow.float32, name=INPUT_NODE)
    try:
        with redirect_native_stderr():
            function = tensorflow.function(lambda pixels: tensorflow.identity(network(pixels), name=OUTPUT_NODE))
            frozen = convert_variables_to_constants_v2(function.get_concrete_function(spec))
    except (tensorflow.errors.OpError, ValueError, TypeError) as error:
        raise ExtractorError(f"The module {name} does not take photos of {height} x {width} pixels: {one_line(error)}",
                             "Try a different `image_size`.") from error
    with tensorflow.Graph().as_default():  # importing infers shapes that TensorFlow 1 functions do not state
        output, = tensorflow.graph_util.import_graph_def(frozen.graph.as_graph_def(),
                                                         return_elements=[f"{OUTPUT_NODE}:0"])
    if output.shape.rank != 2 or output.shape[1] is None or output.dtype != tensorflow.float32:
        raise ExtractorError(f"The module {name} is not an image feature vector: it returns {output.dtype.name} "
                             f"{output.shape}, not one float32 vector of fixed length per photo.",
                             "Choose a module whose name ends in feature_vector.")
    return frozen, int(output.shape[1])


def _rename_counted_nodes(graph_def: Any) -> Any:
    """Rename nodes that are named after a counter of the process, so that the graph is always the same."""
    counted = [node.name for node in graph_def.node if node.name.isdecimal()]
    names = {name: f"captured_{index}" for index, name in enumerate(counted)}
    for node in graph_def.node:
        node.name = names.get(node.name, node.name)
        node.input[:] = [names.get(name, name) for name in node.input]
    return graph_def


def _convert(graph_def: Any, network: Network, name: str) -> bytes:
    """Return the frozen network as a .tflite for a batch of one."""
    tensorflow = import_tensorflow()

    def run_on_one_photo(pixels: Any) -> Any:
        return tensorflow.graph_util.import_graph_def(graph_def, {INPUT_NODE: pixels}, [f"{OUTPUT_NODE}:0"])[0]
    try:
        return convert_to_tflite(run_on_one_photo, network.height, network.width)
    except Exception as error:  # the converter raises bare Exception
        raise ExtractorError(f"The module {name} cannot be converted to TensorFlow Lite: {one_line(error)}",
                             "Choose another module.") from error


def _check_engines_agree(frozen: Any, tflite: bytes, network: Network, name: str) -> None:
    """Raise an ExtractorError if LiteRT and TensorFlow compute different features."""
    tensorflow = import_tensorflow()
    photos = np.random.default_rng(0).random((2, network.height, network.width, 3), np.float32)
    with full_precision:
        expected = np.asarray(frozen(tensorflow.constant(photos))[0])
    model = LiteRTModel(tflite)
    features = np.concatenate([model.run(photo[None]) for photo in photos])
    if not (np.isfinite(expected).all() and np.isfinite(features).all()):
        raise ExtractorError(f"{name} returns numbers that are not finite.",
                             "If it was downloaded, download it again. If it was trained here, divide "
                             "`learning_rate` by 10.")
    difference = np.abs(features - expected).max() / max(np.abs(expected).max(), 1e-6)
    if difference > ENGINE_TOLERANCE:
        raise ExtractorError(f"The features of the module {name} differ between TensorFlow Lite and TensorFlow by "
                             f"{difference:.1%} of the largest feature.", "Choose another module.")
