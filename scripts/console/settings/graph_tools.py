"""The command lines of quantize_graph, count_ops and graph_pb2tb: Poets' tools for graph files."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..files import check_output_file, check_output_folder
from ..flags import CommandParser, path, positive_integer
from ..logging import configure_logging

MODES = ("weights_rounded", "tflite", "tflite_float16", "tflite_dynamic")
# Poets' other modes, whose 8-bit operations no TensorFlow of today has.
GONE = ("round", "quantize", "eightbit", "weights")
MOST_BITS = 16


@dataclass(frozen=True)
class QuantizeSettings:
    """What `quantize_graph` was asked; the flags of the same names say what each means."""

    input: Path
    output: Path
    output_node: str | None
    mode: str
    bitdepth: int


@dataclass(frozen=True)
class CountSettings:
    """What `count_ops` was asked: a graph, and a node's name or kind, or none."""

    graph: Path
    name: str | None


@dataclass(frozen=True)
class BoardSettings:
    """What `graph_pb2tb` was asked: where to, and which graph."""

    output_dir: Path
    graph: Path


def quantize_settings(arguments: list[str] | None) -> QuantizeSettings:
    """Reads quantize_graph's command line; raises UserError with exit code 2 for a wrong one."""
    parser = CommandParser(prog="scripts.quantize_graph", description="Makes a graph file smaller to send: its "
                           "weights in 256 values, so that zip packs it well; or as TensorFlow Lite.")
    parser.add_argument("--input", type=path, required=True, metavar="FILE", help="a frozen graph (.pb)")
    parser.add_argument("--output", type=path, required=True, metavar="FILE", help="what to write")
    parser.add_argument("--output_node_names", default="", metavar="NAME", help="the node with the result, where it "
                        "is not to be found")
    parser.add_argument("--mode", default="weights_rounded", metavar="MODE", help="weights_rounded (default): a graph "
                        "with rounded weights; tflite, tflite_float16 or tflite_dynamic: a .tflite of a graph that "
                        "Poets made (scripts.export converts retrain's)")
    parser.add_argument("--bitdepth", type=positive_integer, default=8, metavar="N",
                        help="round to 2 ** N values (default 8)")
    flags = parser.parse(arguments)
    configure_logging(flags.logging_verbosity)
    if flags.mode in GONE:
        raise UserError(f"--mode={flags.mode} made graphs of 8-bit operations that TensorFlow no longer has.",
                        "Use weights_rounded, or scripts.export --to=tflite_int8.", exit_code=2)
    if flags.mode not in MODES:
        raise UserError(f"There is no --mode={flags.mode}; there are {', '.join(MODES)}.", exit_code=2)
    if flags.bitdepth > MOST_BITS:
        raise UserError(f"--bitdepth={flags.bitdepth} rounds nothing.", f"Give at most {MOST_BITS}.", exit_code=2)
    names = [name.split(":")[0] for name in flags.output_node_names.split(",") if name]
    if len(names) > 1:
        raise UserError("A classifier has one result; --output_node_names gives several.", exit_code=2)
    ending = ".pb" if flags.mode == "weights_rounded" else ".tflite"
    if flags.output.suffix != ending:
        raise UserError(f"--output={flags.output} must end in {ending}.", exit_code=2)
    _check_is_file(flags.input)
    check_output_file(flags.output, "--output")
    if flags.output.resolve() == flags.input.resolve():
        raise UserError("--input and --output are the same file.", "Give --output another name.", exit_code=2)
    return QuantizeSettings(flags.input, flags.output, names[0] if names else None, flags.mode, flags.bitdepth)


def count_settings(arguments: list[str] | None) -> CountSettings:
    """Reads count_ops' command line; raises UserError with exit code 2 for a wrong one."""
    parser = CommandParser(prog="scripts.count_ops", description="Counts the operations of a frozen graph.")
    parser.add_argument("graph", type=path, metavar="GRAPH", help="a frozen graph (.pb)")
    parser.add_argument("name", nargs="?", metavar="NAME", help="count only the operation of this name, or those of "
                        "this kind (Conv2D)")
    flags = parser.parse(arguments)
    configure_logging(flags.logging_verbosity)
    _check_is_file(flags.graph)
    return CountSettings(flags.graph, flags.name)


def board_settings(arguments: list[str] | None) -> BoardSettings:
    """Reads graph_pb2tb's command line; raises UserError with exit code 2 for a wrong one."""
    parser = CommandParser(prog="scripts.graph_pb2tb", description="Writes a frozen graph so that TensorBoard draws "
                           "it (tensorboard --logdir OUT_DIR).")
    parser.add_argument("output_dir", type=path, metavar="OUT_DIR", help="folder for TensorBoard")
    parser.add_argument("graph", type=path, metavar="GRAPH", help="a frozen graph (.pb)")
    flags = parser.parse(arguments)
    configure_logging(flags.logging_verbosity)
    _check_is_file(flags.graph)
    check_output_folder(flags.output_dir)
    return BoardSettings(flags.output_dir, flags.graph)


def _check_is_file(graph: Path) -> None:
    if not graph.is_file():
        raise UserError(f"There is no graph at {graph}.")
