"""The frozen GraphDef (.pb) that TensorFlow for Poets wrote: nodes `input` and `final_tensor_name`."""
from __future__ import annotations

import hashlib
import re
from pathlib import Path

from tfpoets.errors import ModelError, OptionError
from tfpoets.extractors import INPUT_NODE, Engine, TensorFlowEngine
from tfpoets.graphs import HEAD_SCOPE, MODULE_SCOPE, TFPOETS_MARKER, UNKNOWN_SCOPE, UNKNOWN_SCORE

from ..exportable import Exportable
from ..metadata import RUN_AGAIN, Metadata
from ..target import SERVING, ExportTarget, LoadedFile


class FrozenGraphTarget(ExportTarget):
    """The .pb: from `input`, float32 [n, height, width, 3] in [0, 1], to `final_tensor_name`, [n, n_classes].

    A classifier with a reject option has the node `unknown_score` ([n]), too.
    """

    name = "graph (.pb)"
    selectable = False

    def file_name(self, stem: str) -> str:
        return f"{stem}.pb"

    def write(self, source: Exportable, path: Path) -> None:
        path.write_bytes(source.graph_def.SerializeToString(deterministic=True))

    def open(self, path: Path, metadata: Metadata) -> dict[str, Engine]:
        outputs = [metadata.nodes.output] + ([UNKNOWN_SCORE] if metadata.unknown else [])
        return {SERVING: TensorFlowEngine(path, metadata.nodes.input, *outputs)}

    def load(self, path: Path, content: bytes) -> LoadedFile | None:
        # Other formats hold the mark as well. A GraphDef begins with field 1, its nodes (graph.proto).
        if content[:1] != b"\n" or TFPOETS_MARKER.encode() not in content:
            return None
        beside = path.with_suffix(".json")
        if not beside.exists():
            raise ModelError(f"{path} has no metadata beside it ({beside.name} is missing), so its labels and its "
                             "input are not known.", RUN_AGAIN)
        metadata = Metadata.from_json(beside.read_bytes(), str(beside))
        if metadata.files.get(path.name) != hashlib.sha256(content).hexdigest():
            raise ModelError(f"{path} is not the file that {beside.name} describes: one of the two is older, or "
                             "damaged.", RUN_AGAIN)
        return LoadedFile(metadata, self.open(path, metadata)[SERVING])


def check_output_name(name: str) -> None:
    """Raise the OptionError that says why a node cannot be called so."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*", name) or name.endswith("/"):
        raise OptionError(f"`final_tensor_name`={name} is no name for a TensorFlow node: it takes letters, digits and "
                          "_ . - / and begins with a letter or digit.")
    if name.split("/")[0] in (INPUT_NODE, HEAD_SCOPE, MODULE_SCOPE, UNKNOWN_SCOPE, UNKNOWN_SCORE):
        raise OptionError(f"`final_tensor_name`={name} begins like other nodes of the graph.", "Give another.")
