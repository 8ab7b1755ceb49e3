"""ONNX, converted by tf2onnx and run by ONNX Runtime; the extra `onnx` installs both."""
from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfpoets.errors import ExportError, one_line
from tfpoets.extractors import Engine
from tfpoets.graphs import PROBABILITIES, UNKNOWN_SCORE, concatenate_outputs
from tfpoets.tf_runtime import redirect_native_stderr

from ..metadata import Metadata
from ..target import SERVING, ExportTarget, Requirement

if TYPE_CHECKING:
    from ..exportable import Exportable

OPSET = 15
# The metadata property that contains the description, and the beginning of its entry in a serialized model.
PROPERTY = "tfpoets"
_SERIALIZED_PROPERTY = b"\n" + bytes([len(PROPERTY)]) + PROPERTY.encode() + b"\x12"
# The first version of ONNX Runtime with each operator set (onnxruntime.ai/docs/reference/compatibility.html).
FIRST_RUNTIMES = {13: "1.6", 14: "1.8", 15: "1.9"}
INSTALL_REMEDY = "Run: pip install tf2onnx onnxruntime"


class ONNXTarget(ExportTarget):
    """The target for ONNX models, which are verified in ONNX Runtime.

    The input is `input`, float32 [n, height, width, 3] in [0, 1]; the outputs are `probabilities`, float32
    [n, n_classes], and, with a reject option, `unknown_score`, float32 [n]:

        session = onnxruntime.InferenceSession("retrained_graph.onnx")
        probabilities, = session.run(["probabilities"], {"input": pixels})
    """

    name = "onnx"

    def file_name(self, stem: str) -> str:
        """Return the name of the .onnx file."""
        return f"{stem}.onnx"

    def stale_paths(self, path: Path) -> list[Path]:
        """Return the file if it contains the description that tfpoets writes."""
        return [path] if path.is_file() and _SERIALIZED_PROPERTY in path.read_bytes() else []

    def unavailable_reason(self) -> str:
        """Return which packages are missing; "" if all are installed."""
        missing = [name for name in ("tf2onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
        return f"ONNX requires packages that are missing: {', '.join(missing)}. {INSTALL_REMEDY}" if missing else ""

    def write(self, source: Exportable, path: Path) -> None:
        """Write the graph as an ONNX model."""
        path.write_bytes(convert_to_onnx(source.graph_def, source.nodes, source.description()))

    def open(self, path: Path, metadata: Metadata) -> dict[str, Engine]:
        """Return an ONNX Runtime engine for the model."""
        return {SERVING: ONNXEngine(path)}

    def requirement(self, path: Path) -> Requirement:
        """Return the first version of ONNX Runtime with the file's operator set."""
        import onnx
        model = onnx.load(str(path), load_external_data=False)
        opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        return Requirement(f"ORT {FIRST_RUNTIMES[opset]}" if opset in FIRST_RUNTIMES else "")


def convert_to_onnx(graph_def: Any, nodes: dict[str, str], description: dict[str, Any]) -> bytes:
    """Convert a frozen graph to ONNX.

    Args:
        graph_def: A GraphDef without variables.
        nodes: The names of the input node (`input`) and the output nodes. The keys become the names in the model.
        description: JSON values, which are stored as JSON in the model's metadata property `tfpoets`.

    Returns:
        The serialized model.

    Raises:
        ExportError: tf2onnx cannot convert the graph.
    """
    import tf2onnx
    # tf2onnx logs the traceback of every optimizer that fails, and continues without it.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    try:
        with redirect_native_stderr():
            model, _ = tf2onnx.convert.from_graph_def(
                graph_def, input_names=[f"{nodes['input']}:0"],
                output_names=[f"{node}:0" for name, node in nodes.items() if name != "input"], opset=OPSET)
    except Exception as error:  # tf2onnx raises errors of many classes
        raise ExportError(f"The graph cannot be converted to ONNX: {one_line(error)}") from error
    _rename_tensors(model.graph, {f"{node}:0": name for name, node in nodes.items()})
    entry = model.metadata_props.add()
    entry.key, entry.value = PROPERTY, json.dumps(description)
    return model.SerializeToString(deterministic=True)


def _rename_tensors(graph: Any, names: dict[str, str]) -> None:
    """Rename tensors of a graph, including its inputs and outputs."""
    for tensor in (*graph.input, *graph.output):
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


class ONNXEngine:
    """An engine that runs a model in ONNX Runtime, with one session and one core for each thread that opens it."""

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
        except Exception as error:  # the errors of onnxruntime have no common base class
            raise ExportError(f"ONNX Runtime cannot run the network: {one_line(error)}", "Omit onnx.") from error
        names = [output.name for output in session.get_outputs()]
        outputs = [name for name in (PROBABILITIES, UNKNOWN_SCORE) if name in names]
        return lambda photos: concatenate_outputs(session.run(outputs, {"input": photos}))
