"""Pretrained networks that are files on this machine: folders, archives and frozen graphs."""
from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tfpoets.download import is_gzip
from tfpoets.errors import ExtractorError
from tfpoets.graphs import LEGACY_GRAPH_NAMES

from .hub import unpack_module
from .legacy_networks import LegacyGraphNetwork
from .network import PretrainedNetwork
from .options import ExtractorOptions
from .saved_model_network import SavedModelNetwork


class LocalFileProvider:
    """Finds networks by path: the folder or .tar.gz of a SavedModel or of TensorFlow for Poets' graph, or a .pb."""

    def find(self, handle: str, options: ExtractorOptions) -> PretrainedNetwork | None:
        path = Path(os.path.expanduser(handle))
        if path.is_dir():
            return _network_in(path)
        return _network_from(path, options.model_dir) if path.is_file() else None

    def names(self) -> Sequence[str]:
        return ()


def _network_in(folder: Path, name: str | None = None) -> PretrainedNetwork:
    graph = next((folder / name for name in LEGACY_GRAPH_NAMES if (folder / name).is_file()), None)
    if graph and not (folder / "saved_model.pb").exists():
        return LegacyGraphNetwork(graph, name)
    return SavedModelNetwork(folder, name)


def _network_from(path: Path, model_dir: Path) -> PretrainedNetwork:
    if path.name == "saved_model.pb":
        return SavedModelNetwork(path.parent)
    if is_gzip(path):
        name = path.name.removesuffix(".gz").removesuffix(".tar").removesuffix(".tgz")
        return _network_in(unpack_module(path, model_dir), name)
    if path.suffix == ".pb":
        return LegacyGraphNetwork(path)
    raise ExtractorError(f"The module {path} is a file that is neither a .tar.gz nor a frozen graph (.pb).",
                         "A module is a folder with saved_model.pb in it, or such an archive.")
