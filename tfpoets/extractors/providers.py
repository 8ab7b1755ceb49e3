"""Where extractors come from: every kind of handle, and the network that it names."""
from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from tfpoets.download import is_gzip
from tfpoets.errors import ExtractorError, nearest
from tfpoets.graphs import GRAPH_NAMES, SIZES, WIDTHS, Architecture, architecture_names, find_architecture

from . import efficientnet_lite
from .hub import fetch_module, hub_address, module_name, unpack_module
from .keras_applications import PREFIX, KerasModule
from .legacy_graph import PoetsGraphModule
from .network import Module, NetworkFunction
from .saved_model import SavedModelModule

log = logging.getLogger(__name__)

DEFAULT_IMAGE_SIZE = 320


def find_module(handle: str, model_dir: Path, offline: bool = False) -> Module:
    """The module that a handle names.

    Args:
        handle: one of
            efficientnet_lite0: the embedded network;
            an http(s) address of TF Hub or Kaggle, or Kaggle's owner/model/framework/variation/version;
            the path of a folder with a SavedModel (of TensorFlow 2, or a TF Hub module of TensorFlow 1), of a .tar.gz
            that holds one, or of Poets' ImageNet graph (frozen_graph.pb);
            keras:NAME, a network of keras.applications;
            one of Poets' names (inception_v3, mobilenet_0.50_224, ...), upper and lower case alike.
        model_dir: downloads and prepared extractors are kept there.
        offline: do not use the network.

    Raises:
        ExtractorError: there is no such module, it is half there, or it cannot be fetched.
    """
    handle = handle.strip()
    if handle.lower() == efficientnet_lite.NAME:
        return EmbeddedModule()
    architecture = find_architecture(handle)
    if architecture:  # before paths: a folder that happens to be called so is ./NAME
        return _module_of(architecture, model_dir, offline)
    if handle.lower().startswith(PREFIX):
        return KerasModule(handle, model_dir, offline)
    address = hub_address(handle)
    if address:
        return SavedModelModule(fetch_module(address, model_dir, offline), module_name(address))
    path = Path(os.path.expanduser(handle))
    if path.is_dir():
        return _module_in(path)
    if path.is_file():
        return _module_from(path, model_dir)
    raise _unknown(handle)


def _module_in(folder: Path, name: str | None = None) -> Module:
    graph = next((folder / name for name in GRAPH_NAMES if (folder / name).is_file()), None)
    if graph and not (folder / "saved_model.pb").exists():
        return PoetsGraphModule(graph, name)
    return SavedModelModule(folder, name)


def _module_from(path: Path, model_dir: Path) -> Module:
    if path.name == "saved_model.pb":
        return SavedModelModule(path.parent)
    if is_gzip(path):
        name = path.name.removesuffix(".gz").removesuffix(".tar").removesuffix(".tgz")
        return _module_in(unpack_module(path, model_dir), name)
    if path.suffix == ".pb":
        return PoetsGraphModule(path)
    raise ExtractorError(f"The module {path} is a file that is neither a .tar.gz nor a frozen graph (.pb).",
                         "A module is a folder with saved_model.pb in it, or such an archive.")


def _module_of(architecture: Architecture, model_dir: Path, offline: bool) -> Module:
    if architecture.quantized:
        log.info("%s: the float graph of the same network is taken; 8-bit weights would only blur its features.",
                 architecture.name)
    graph = model_dir / architecture.graph
    if graph.is_file():
        log.info("%s: the graph %s is taken.", architecture.name, graph)
        return PoetsGraphModule(graph)
    return SavedModelModule(fetch_module(architecture.address, model_dir, offline), module_name(architecture.address))


def _unknown(handle: str) -> ExtractorError:
    if "/" in handle or Path(handle).name != handle:
        return ExtractorError(f"There is no file or folder {handle}.", "Give a SavedModel's folder or .tar.gz, or a "
                              f"frozen graph of Poets; {efficientnet_lite.NAME} needs no file.")
    meant = nearest(handle.lower(), [efficientnet_lite.NAME, *architecture_names()])
    return ExtractorError(
        f"There is no extractor {handle!r}" + (f"; did you mean {meant}?" if meant else "."),
        f"It can be {efficientnet_lite.NAME}, inception_v3, mobilenet_<{'|'.join(WIDTHS)}>_<{'|'.join(SIZES)}>"
        f"[_quantized], {PREFIX}<network of keras.applications>, a SavedModel's folder or .tar.gz, a frozen graph of "
        "Poets, or an address of TF Hub or Kaggle.")


@dataclass(frozen=True)
class EmbeddedModule:
    """EfficientNet-Lite0, whose weights are installed with this program."""

    name: str = efficientnet_lite.NAME
    default_size: int = DEFAULT_IMAGE_SIZE

    def digest(self) -> str:
        efficientnet_lite.weights_file()
        return f"{efficientnet_lite.WEIGHTS_SHA256}/{efficientnet_lite.DEFINITION}"

    def build(self, image_size: int | None) -> tuple[NetworkFunction, int, int]:
        size = image_size or self.default_size
        network = efficientnet_lite.build_network(size, size)
        return lambda pixels, training=False: network(pixels, training=training), size, size
