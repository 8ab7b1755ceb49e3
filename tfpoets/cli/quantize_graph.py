"""tfpoets quantize_graph --input=GRAPH --output=FILE: round a graph's weights, so that it compresses well."""
from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfpoets.errors import ModelError, TfpoetsError, check_range, one_line
from tfpoets.exporting import Metadata
from tfpoets.extractors import convert_to_tflite
from tfpoets.files import check_output_file, write_file
from tfpoets.graphs import TFPOETS_MARKER, UNKNOWN_SCOPE, import_legacy_graph, round_weights
from tfpoets.inference import LegacyGraphOptions, open_legacy_graph

from .count_ops import check_is_file
from .invocation import called_as, command_line
from .parser import Flag, Group, option_values, parse_flags, path
from .run_command import UsageError, run_command

# The kind of .tflite that a mode writes.
TFLITE_MODES = {"tflite": "float32", "tflite_float16": "float16", "tflite_dynamic": "dynamic"}
MODES = ("weights_rounded", *TFLITE_MODES)
# Modes of TensorFlow for Poets, whose 8-bit operations no TensorFlow of today has.
REMOVED_MODES = ("round", "quantize", "eightbit", "weights")
MAX_BITDEPTH = 16
FLAGS = (Group("", (
    Flag("input", "a frozen graph (.pb)", "input", path, "FILE", required=True),
    Flag("output", "what to write", "output", path, "FILE", required=True),
    Flag("output_node_names", "the node with the result, where it is not to be found", metavar="NAME",
         also=("output_layer",)),
    Flag("mode", "weights_rounded (default): a graph with rounded weights; tflite, tflite_float16 or tflite_dynamic: "
         "a .tflite of a graph of TensorFlow for Poets (`export` converts retrain's)", "mode", metavar="MODE"),
    Flag("bitdepth", "round to 2 ** N values (default 8)", "bitdepth", int, "N"))),)


@dataclass(frozen=True)
class QuantizeOptions:
    """What `quantize_graph` does; the flags of the same names say what each means."""

    input: Path
    output: Path
    output_node: str | None = None
    mode: str = "weights_rounded"
    bitdepth: int = 8

    def __post_init__(self) -> None:
        check_range("bitdepth", self.bitdepth, least=1, whole=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: quantize(options_from(parse_flags(
        "quantize_graph", "Make a graph file smaller to send: its weights in 256 values, so that zip compresses it "
        "well; or as TensorFlow Lite.", FLAGS, given))), arguments)


def options_from(given: dict[str, Any]) -> QuantizeOptions:
    """Return the options that the flags ask for."""
    nodes = [name.split(":")[0] for name in given.get("output_node_names", "").split(",") if name]
    if len(nodes) > 1:
        raise UsageError("A classifier has one result; --output_node_names gives several.")
    options = QuantizeOptions(**option_values(given, FLAGS), output_node=nodes[0] if nodes else None)
    if options.mode in REMOVED_MODES:
        raise UsageError(f"--mode={options.mode} made graphs of 8-bit operations that TensorFlow no longer has.",
                         f"Use weights_rounded, or {called_as('export')} --to=tflite_int8.")
    if options.mode not in MODES:
        raise UsageError(f"There is no --mode={options.mode}; there are {', '.join(MODES)}.")
    if options.bitdepth > MAX_BITDEPTH:
        raise UsageError(f"--bitdepth={options.bitdepth} rounds nothing.", f"Give at most {MAX_BITDEPTH}.")
    ending = ".pb" if options.mode == "weights_rounded" else ".tflite"
    if options.output.suffix != ending:
        raise UsageError(f"--output={options.output} must end in {ending}.")
    check_is_file(options.input)
    check_output_file(options.output, "output")
    if options.output.resolve() == options.input.resolve():
        raise UsageError("--input and --output are the same file.", "Give --output another name.")
    return options


def quantize(options: QuantizeOptions) -> int:
    """Write the file, print how much smaller it is, and return 0."""
    if options.mode == "weights_rounded":
        write_rounded(options.input, options.output, 2 ** options.bitdepth)
    else:
        write_tflite(options.input, options.output, options.mode, options.output_node)
    for each in (options.input, options.output):
        print(f"{each}: {_megabytes(each)}")
    print(f"Coarser weights may cost accuracy: {command_line('evaluate', options.output)} says how much is left.")
    return 0


def _megabytes(file: Path) -> str:
    content = file.read_bytes()
    return f"{len(content) / 1e6:.2f} MB, {len(zlib.compress(content)) / 1e6:.2f} MB in a zip archive"


def write_rounded(graph: Path, output: Path, levels: int = 256) -> None:
    """Round the weights of a graph file, in place of `output`.

    One that retrain wrote gets its metadata beside it, without the test's figures, which were another graph's.
    """
    content = graph.read_bytes()
    beside, new_beside = graph.with_suffix(".json"), output.with_suffix(".json")
    if TFPOETS_MARKER.encode() not in content or not beside.is_file():
        write_file(output, round_weights(content, str(graph), levels, keep=UNKNOWN_SCOPE))
        return
    if new_beside.resolve() == beside.resolve() or new_beside.exists() and not _describes(new_beside, output):
        raise ModelError(f"{new_beside} describes something else; that of {output.name} would take its place.",
                         "Give --output another name.")
    metadata = Metadata.from_json(beside.read_bytes(), str(beside))
    content = round_weights(content, str(graph), levels, keep=UNKNOWN_SCOPE)
    write_file(output, content)
    hashes = {output.name: hashlib.sha256(content).hexdigest()}
    write_file(new_beside, replace(metadata, files=hashes, test=None).to_json())


def _describes(beside: Path, graph: Path) -> bool:
    """Whether a file is the metadata of a graph alone."""
    try:
        return list(Metadata.from_json(beside.read_bytes(), "").files) == [graph.name]
    except (TfpoetsError, OSError):
        return False


def write_tflite(graph: Path, output: Path, kind: str, output_node: str | None = None) -> None:
    """Convert a graph of TensorFlow for Poets to TensorFlow Lite; its input is scaled as the graph's is.

    Args:
        graph: a frozen GraphDef of TensorFlow for Poets; for those of retrain there is `convert`.
        output: the .tflite.
        kind: tflite, tflite_float16 or tflite_dynamic.
        output_node: name of the result, where it is not to be found.

    Raises:
        ModelError: it is no such graph, or cannot be converted.
    """
    content = graph.read_bytes()
    if TFPOETS_MARKER.encode() in content:
        raise ModelError(f"{graph} was written by retrain.",
                         f"Convert it with: {command_line('export', f'--graph={graph}', f'--to={kind}')}")
    found, taken, _, _ = open_legacy_graph(graph, content, LegacyGraphOptions(output_layer=output_node))
    try:
        model = convert_to_tflite(lambda pixels: import_legacy_graph(found, pixels, found.output), taken.height,
                                  taken.width, TFLITE_MODES[kind])
    except Exception as error:  # the converter raises bare Exception
        raise ModelError(f"{graph} cannot be converted: {one_line(error)}",
                         "Graphs of 8-bit operations never can; give the float graph.") from error
    write_file(output, model)
