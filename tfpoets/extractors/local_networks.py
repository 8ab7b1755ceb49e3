"""Find pretrained networks in files on this machine: folders, archives and frozen graphs."""
from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tfpoets.download import is_gzip
from tfpoets.errors import ExtractorError
from tfpoets.graphs import LEGACY_GRAPH_NAMES, find_placeholder, identify_file

from .hub import unpack_module
from .legacy_networks import LegacyGraphNetwork
from .network import PretrainedNetwork
from .options import ExtractorOptions
from .saved_model_network import SavedModelNetwork


class LocalFileProvider:
    """The provider of networks by path.

    A handle may be the path of a .pb file, or of a folder or .tar.gz that contains a SavedModel or a graph of
    TensorFlow for Poets.
    """

    def find(self, handle: str, options: ExtractorOptions) -> PretrainedNetwork | None:
        """Return the network in a file or folder, or None if the path does not exist."""
        path = Path(os.path.expanduser(handle))
        if path.is_dir():
            return _open_folder(path, None, options.trust_model)
        return _open_file(path, options) if path.is_file() else None

    def names(self) -> Sequence[str]:
        """Return an empty tuple, since paths cannot be listed."""
        return ()


def _open_folder(folder: Path, name: str | None, trust_model: bool) -> PretrainedNetwork:
    graph = next((folder / name for name in LEGACY_GRAPH_NAMES if (folder / name).is_file()), None)
    if graph and not (folder / "saved_model.pb").exists():
        _check_kind(graph)
        return LegacyGraphNetwork(graph, name, trust_model)
    placeholder = find_placeholder(folder)
    if placeholder:
        file, kind = placeholder
        raise ExtractorError(f"The module {folder} is incomplete: {file.relative_to(folder)} {kind.description}.",
                             kind.extractor_remedy)
    return SavedModelNetwork(folder, name, trust_model)


def _check_kind(path: Path) -> None:
    """Raise an ExtractorError if a file is of a known kind that contains no network."""
    kind = identify_file(path)
    if kind is not None:
        raise ExtractorError(f"{path} is neither a .tar.gz nor a frozen graph: it {kind.description}.",
                             kind.extractor_remedy)


def _open_file(path: Path, options: ExtractorOptions) -> PretrainedNetwork:
    """Return the network in a file of any supported kind."""
    if path.name == "saved_model.pb":
        return _open_folder(path.parent, None, options.trust_model)
    if is_gzip(path):
        name = path.name.removesuffix(".gz").removesuffix(".tar").removesuffix(".tgz")
        return _open_folder(unpack_module(path, options.model_dir), name, options.trust_model)
    _check_kind(path)
    if path.suffix == ".pb":
        return LegacyGraphNetwork(path, None, options.trust_model)
    raise ExtractorError(f"The file {path} is neither a .tar.gz nor a frozen graph (.pb).",
                         "Use a folder that contains saved_model.pb, or an archive of one.")
