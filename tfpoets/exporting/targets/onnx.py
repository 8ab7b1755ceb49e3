"""ONNX, by tf2onnx; both it and onnxruntime come with the extra `onnx`."""
from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.errors import ExportError, one_line
from tfpoets.extractors import Engine
from tfpoets.graphs import PROBABILITIES, UNKNOWN_SCORE, concatenate_outputs
from tfpoets.tf_runtime import redirect_native_stderr

from ..exportable import Exportable
from ..metadata import Metadata
from ..target import SERVING, ExportTarget

# Runs in onnxruntime since 1.10 (2021).
OPSET = 15
NEEDS_EXTRA = "Run: pip install tf2onnx onnxruntime"


class ONNXTarget(ExportTarget):
    """An ONNX model, proven in onnxruntime."""

    name = "onnx"

    def file_name(self, stem: str) -> str:
        return f"{stem}.onnx"

    def unavailable(self) -> str:
        missing = [name for name in ("tf2onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
        return f"ONNX needs {' and '.join(missing)}, which is not installed. {NEEDS_EXTRA}" if missing else ""

    def write(self, source: Exportable, path: Path) -> None:
        path.write_bytes(onnx_model(source.graph_def, source.nodes, source.description()))

    def open(self, path: Path, metadata: Metadata) -> dict[str, Engine]:
        return {SERVING: ONNXEngine(path)}


def onnx_model(definition: Any, nodes: dict[str, str], description: dict[str, Any]) -> bytes:
    """Converts a frozen graph.

    Args:
        definition: GraphDef without variables.
        nodes: name of its node for each input (`input`) and output; the model's are called by the keys.
        description: kept as `tfpoets` among the model's properties, as JSON.

    Raises:
        ExportError: tf2onnx cannot convert the graph.
    """
    import tf2onnx
    # It logs the traceback of every optimizer that it then does without.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    try:
        with redirect_native_stderr():
            model, _ = tf2onnx.convert.from_graph_def(
                definition, input_names=[f"{nodes['input']}:0"],
                output_names=[f"{node}:0" for name, node in nodes.items() if name != "input"], opset=OPSET)
    except Exception as error:  # tf2onnx raises many kinds
        raise ExportError(f"The graph cannot be converted to ONNX: {one_line(error)}") from error
    _rename(model.graph, {f"{node}:0": name for name, node in nodes.items()})
    entry = model.metadata_props.add()
    entry.key, entry.value = "tfpoets", json.dumps(description)
    return model.SerializeToString(deterministic=True)


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Gives the model's inputs and outputs plain names."""
    for each in (*graph.input, *graph.output):
        each.name = names.get(each.name, each.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


class ONNXEngine:
    """A model in onnxruntime, on one thread for each that opens it."""

    name = "onnxruntime"
    batch_size = 1

    def __init__(self, path: Path):
        self._path = path

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        """Load the model; see `Engine`."""
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            session = onnxruntime.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own kinds, which share no base
            raise ExportError(f"The network cannot be expressed in ONNX: {one_line(error)}", "Omit onnx.") from error
        names = [each.name for each in session.get_outputs()]
        outputs = [name for name in (PROBABILITIES, UNKNOWN_SCORE) if name in names]
        return lambda photos: concatenate_outputs(session.run(outputs, {"input": photos}))
