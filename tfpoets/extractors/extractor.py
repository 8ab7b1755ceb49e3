"""The frozen network between pixels and bottlenecks, prepared once and kept in a folder of its own."""
from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import PIXELS_VERSION
from tfpoets.errors import ExtractorError, one_line
from tfpoets.tf_runtime import full_precision, import_tensorflow, redirect_native_stderr

from .engines import LiteRTModel
from .network import Network
from .options import ExtractorOptions
from .providers import find_network
from .tflite_conversion import INPUT_NODE, convert_to_tflite
from .views import CLOSER, average_views

log = logging.getLogger(__name__)

# The layout of a prepared folder; another number makes every module be prepared anew.
FORMAT = 1
GRAPH, TFLITE, DESCRIPTION = "extractor.pb", "extractor.tflite", "extractor.json"
OUTPUT_NODE = "bottleneck"
# LiteRT and TensorFlow must agree to this share of the largest feature, or the module is refused.
ENGINE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Extractor:
    """A prepared feature extractor.

    Attributes:
        handle: the name, path or address it was asked for by.
        name: short, for messages.
        digest: identifies weights, input size and pixel version; the cache's key.
        height, width: of its input, in pixels.
        depth: length of a bottleneck.
        folder: holds its frozen graph (`input` float32 [n, height, width, 3] in [0, 1] -> `bottleneck` float32
            [n, depth]) and the same as .tflite for a batch of one.
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
        """The frozen GraphDef."""
        return self.folder / GRAPH

    @property
    def tflite_path(self) -> Path:
        """The TensorFlow Lite file."""
        return self.folder / TFLITE


def open_extractor(handle_or_options: str | ExtractorOptions = ExtractorOptions(), **options: Any) -> Extractor:
    """Open the extractor that the options ask for; the first time, prepare it under `model_dir` (some ten seconds).

    Args:
        handle_or_options: the options; or the handle alone, whose other options are the usual ones.
        options: fields of ExtractorOptions that take the place of these: `open_extractor("keras:MobileNetV2")`,
            `open_extractor("efficientnet_lite0", image_size=224)`.

    Raises:
        ExtractorError: there is no such network, its files are not complete, it cannot be fetched, or it does not turn
            photos into feature vectors.
        OptionError: an option has a value that it cannot have.
    """
    if isinstance(handle_or_options, str):
        asked = ExtractorOptions(handle_or_options, **options)
    else:
        asked = replace(handle_or_options, **options)
    pretrained = find_network(asked.handle, asked)
    image_size = asked.image_size or pretrained.default_size
    identity = pretrained.identity()
    request = _digest(f"{FORMAT}/{identity}{_views_mark(asked.views)}/{image_size}/{PIXELS_VERSION}".encode())
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", pretrained.name) + (f"-{image_size}" if image_size else "")
    folder = asked.model_dir / f"{name}-{request[:12]}"
    description = _read_description(folder)
    if description is None:
        log.info("Preparing the extractor %s (once; it is kept in %s)", pretrained.name, folder)
        return prepare_extractor(pretrained.build(image_size), pretrained.name, asked.handle, identity, folder,
                                 asked.views)
    return Extractor(asked.handle, pretrained.name, description["digest"], description["height"],
                     description["width"], description["depth"], folder)


def load_network(options: ExtractorOptions) -> Network:
    """Load the network that the options ask for with its variables, to be trained on; errors as `open_extractor`."""
    pretrained = find_network(options.handle, options)
    return pretrained.build(options.image_size or pretrained.default_size)


def _views_mark(views: int) -> str:
    """Return what an extractor's identity says of its views; nothing for one, as before there were any."""
    return "" if views == 1 else f"/{views} views of {CLOSER}"


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _read_description(folder: Path) -> dict[str, Any] | None:
    """Return the description of a prepared folder, or None unless each file has the bytes it was written with."""
    try:
        description = json.loads((folder / DESCRIPTION).read_text("utf-8"))
        whole = all(_digest((folder / name).read_bytes()) == digest for name, digest in description["files"].items())
        return description if whole and description["format"] == FORMAT else None
    except (OSError, ValueError, KeyError):
        return None


def prepare_extractor(network: Network, name: str, handle: str, identity: str, folder: Path, views: int = 1
                      ) -> Extractor:
    """Freeze a network, convert it, check that both forms agree, and keep them in a folder.

    Args:
        network: what becomes an extractor.
        name, handle: as in Extractor.
        identity: tells the network and its weights from all others.
        folder: made anew.
        views: of each photo, whose features are averaged.

    Raises:
        ExtractorError: the network cannot be frozen or converted, or its two forms do not agree.
    """
    height, width = network.height, network.width
    graph, depth = _frozen(average_views(network, views), name)
    definition = graph.graph.as_graph_def()
    tflite = _converted(definition, height, width, name)
    _check_engines_agree(graph, tflite, height, width, name)
    files = {GRAPH: definition.SerializeToString(deterministic=True), TFLITE: tflite}
    digest = _digest(f"{identity}{_views_mark(views)}/{height}/{width}/pixels-{PIXELS_VERSION}".encode())
    description = {"format": FORMAT, "handle": handle, "height": height, "width": width, "depth": depth,
                   "digest": digest, "files": {each: _digest(data) for each, data in files.items()}}
    files[DESCRIPTION] = json.dumps(description, indent=1).encode()
    try:
        _write_folder(folder, files)
    except OSError as error:
        raise ExtractorError(f"The extractor cannot be kept in {folder}: {one_line(error)}",
                             "Give another folder with `model_dir`.") from error
    return Extractor(handle, name, digest, height, width, depth, folder)


def _write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write a folder beside its place and rename it, so that it is there whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".preparing-"))
    try:
        for name, data in files.items():
            (temporary / name).write_bytes(data)
        temporary.chmod(0o755)  # mkdtemp's are private; a folder that is kept need not be
        if folder.exists() and _read_description(folder) is None:
            shutil.rmtree(folder)
        if not folder.exists():  # else another process was faster, with the same content
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _frozen(network: Network, name: str) -> tuple[Any, int]:
    """Return the network as a function whose weights are constants, and the length of its vectors."""
    tensorflow = import_tensorflow()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    height, width = network.height, network.width
    spec = tensorflow.TensorSpec([None, height, width, 3], tensorflow.float32, name=INPUT_NODE)
    try:
        with redirect_native_stderr():
            function = tensorflow.function(lambda pixels: tensorflow.identity(network(pixels), name=OUTPUT_NODE))
            graph = convert_variables_to_constants_v2(function.get_concrete_function(spec))
    except (tensorflow.errors.OpError, ValueError, TypeError) as error:
        raise ExtractorError(f"The module {name} does not take photos of {height} x {width} pixels: {one_line(error)}",
                             "Try another `image_size`.") from error
    with tensorflow.Graph().as_default():  # infers shapes that functions of TensorFlow 1 do not state
        output, = tensorflow.graph_util.import_graph_def(graph.graph.as_graph_def(),
                                                         return_elements=[f"{OUTPUT_NODE}:0"])
    if output.shape.rank != 2 or output.shape[1] is None or output.dtype != tensorflow.float32:
        raise ExtractorError(f"The module {name} is not an image feature vector: it gives {output.dtype.name} "
                             f"{output.shape}, not one float32 vector of known length a photo.",
                             "Choose a module whose name ends in feature_vector.")
    return graph, int(output.shape[1])


def _converted(definition: Any, height: int, width: int, name: str) -> bytes:
    """Return the frozen network as a .tflite for a batch of one."""
    tensorflow = import_tensorflow()

    def one_photo(pixels: Any) -> Any:
        return tensorflow.graph_util.import_graph_def(definition, {INPUT_NODE: pixels}, [f"{OUTPUT_NODE}:0"])[0]
    try:
        return convert_to_tflite(one_photo, height, width)
    except Exception as error:  # the converter raises bare Exception
        raise ExtractorError(f"The module {name} cannot be converted for TensorFlow Lite: {one_line(error)}",
                             "Choose another module.") from error


def _check_engines_agree(graph: Any, tflite: bytes, height: int, width: int, name: str) -> None:
    tensorflow = import_tensorflow()
    probe = np.random.default_rng(0).random((2, height, width, 3), np.float32)
    with full_precision:
        expected = np.asarray(graph(tensorflow.constant(probe))[0])
    model = LiteRTModel(tflite)
    got = np.concatenate([model.run(photo[None]) for photo in probe])
    if not (np.isfinite(expected).all() and np.isfinite(got).all()):
        raise ExtractorError(f"{name} answers with numbers that are not finite.",
                             "If it was fetched, fetch it again; if it was trained here, try a tenth of "
                             "`learning_rate`.")
    difference = np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-6)
    if difference > ENGINE_TOLERANCE:
        raise ExtractorError(f"The module {name} gives other features in TensorFlow Lite than in TensorFlow (they "
                             f"differ by {difference:.1%} of the largest).", "Choose another module.")
