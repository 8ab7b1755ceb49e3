"""The command `tfpoets quantize_graph`: reduce the size of a graph file."""
from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfpoets.errors import ModelError, TfpoetsError, check_range, one_line
from tfpoets.exporting import Metadata, publish_graph
from tfpoets.extractors import convert_to_tflite
from tfpoets.files import check_output_file, write_file
from tfpoets.graphs import TFPOETS_MARKER, TRUST_WARNING, UNKNOWN_SCOPE, import_legacy_graph, round_weights
from tfpoets.inference import LegacyGraphOptions, open_legacy_graph

from .count_ops import check_is_file
from .invocation import command_line, program_name
from .messages import print_lines
from .parser import Flag, Group, option_values, parse_flags, path
from .run_command import UsageError, run_command
from .shared_flags import TRUST_FLAG

log = logging.getLogger(__name__)

# The precision of the .tflite that each of these modes writes.
TFLITE_MODES = {"tflite": "float32", "tflite_float16": "float16", "tflite_dynamic": "dynamic"}
MODES = ("weights_rounded", *TFLITE_MODES)
# Modes of TensorFlow for Poets that are not supported; they wrote graphs with 8-bit operations.
REMOVED_MODES = ("round", "quantize", "eightbit", "weights")
MAX_BITDEPTH = 16
DESCRIPTION = ("Reduce the size of a graph file: round its weights, so that it compresses well, or convert it to "
               "TensorFlow Lite.")
FLAGS = (Group("", (
    Flag("input", "frozen graph to read (.pb)", "input", path, "FILE", required=True),
    TRUST_FLAG,
    Flag("output", "file to write (.pb or .tflite)", "output", path, "FILE", required=True),
    Flag("output_node_names", "name of the output node, if it is not detected automatically", metavar="NAME",
         aliases=("output_layer",)),
    Flag("mode", "weights_rounded (default): round the weights of a graph; tflite, tflite_float16 or tflite_dynamic: "
         "convert a graph of TensorFlow for Poets (for graphs written by retrain, use the export command)", "mode",
         metavar="MODE"),
    Flag("bitdepth", f"round the weights to 2 ** N values, with N at most {MAX_BITDEPTH} (default: 8)", "bitdepth",
         int, "N"))),)


@dataclass(frozen=True)
class QuantizeOptions:
    """The options of `quantize_graph`, documented by the flags of the same names."""

    input: Path
    output: Path
    output_node: str | None = None
    mode: str = "weights_rounded"
    bitdepth: int = 8
    trust_model: bool = False

    def __post_init__(self) -> None:
        check_range("bitdepth", self.bitdepth, minimum=1, integer=True)


def main(argv: list[str] | None = None) -> int:
    """Run the command with the given arguments (default: `sys.argv[1:]`) and return its exit code."""
    return run_command(lambda argv: quantize(options_from(parse_flags(
        "quantize_graph", DESCRIPTION, FLAGS, argv))), argv)


def options_from(args: dict[str, Any]) -> QuantizeOptions:
    """Convert the values of the flags to options, and check that the files exist or can be written."""
    nodes = [name.split(":")[0] for name in args.get("output_node_names", "").split(",") if name]
    if len(nodes) > 1:
        raise UsageError("--output_node_names contains several names, but a classifier has one output node.")
    options = QuantizeOptions(**option_values(args, FLAGS), output_node=nodes[0] if nodes else None)
    _check_mode(options)
    check_is_file(options.input)
    check_output_file(options.output, "output")
    if options.output.resolve() == options.input.resolve():
        raise UsageError("--input and --output are the same file.", "Choose another name for --output.")
    return options


def _check_mode(options: QuantizeOptions) -> None:
    """Raise a UsageError for an invalid mode, or a value that does not fit the mode."""
    if options.mode in REMOVED_MODES:
        raise UsageError(f"--mode={options.mode} of TensorFlow for Poets is not supported.",
                         f"Use weights_rounded, or {program_name('export')} --to=tflite_int8.")
    if options.mode not in MODES:
        raise UsageError(f"There is no --mode={options.mode}.", f"Choose from {', '.join(MODES)}.")
    if options.bitdepth > MAX_BITDEPTH:
        raise UsageError(f"--bitdepth={options.bitdepth} is too large.",
                         f"Use at most {MAX_BITDEPTH}.")
    ending = ".pb" if options.mode == "weights_rounded" else ".tflite"
    if options.output.suffix != ending:
        raise UsageError(f"--output={options.output} must end in {ending}.")


def quantize(options: QuantizeOptions) -> int:
    """Write the file, print the sizes of both files, and return 0."""
    if options.trust_model:
        log.warning(TRUST_WARNING)
    if options.mode == "weights_rounded":
        write_rounded(options.input, options.output, 2 ** options.bitdepth, options.trust_model)
    else:
        write_tflite(options.input, options.output, options.mode, options.output_node, options.trust_model)
    for file in (options.input, options.output):
        print_lines(f"{file}: {_format_sizes(file)}")
    print_lines("Reduced precision can lower the accuracy. To measure it, run: "
                f"{command_line('evaluate', options.output)}")
    return 0


def _format_sizes(file: Path) -> str:
    content = file.read_bytes()
    return f"{len(content) / 1e6:.2f} MB, {len(zlib.compress(content)) / 1e6:.2f} MB in a zip archive"


def write_rounded(graph: Path, output: Path, levels: int = 256, trust_model: bool = False) -> None:
    """Round the weights of a graph file.

    If retrain wrote the graph, its metadata is also written next to `output`, without the test metrics, which do not
    apply to the rounded graph.

    Args:
        graph: A frozen GraphDef.
        output: The .pb to write.
        levels: The number of different values that each tensor of weights is rounded to.
        trust_model: Whether the graph may contain operations that are not known to be harmless.

    Raises:
        ModelError: The file is not a graph, contains operations that are not known to be harmless, or the metadata
            would overwrite that of another file.
    """
    content = graph.read_bytes()
    metadata_path, new_metadata_path = graph.with_suffix(".json"), output.with_suffix(".json")
    if TFPOETS_MARKER.encode() not in content or not metadata_path.is_file():
        write_file(output, round_weights(content, str(graph), levels, UNKNOWN_SCOPE, not trust_model))
        return
    if new_metadata_path.resolve() == metadata_path.resolve() or (
            new_metadata_path.exists() and not _is_metadata_for(new_metadata_path, output)):
        raise ModelError(f"The metadata of {output.name} would overwrite {new_metadata_path}, which describes "
                         "other files.", "Choose another name for --output.")
    metadata = Metadata.from_file(metadata_path)
    content = round_weights(content, str(graph), levels, UNKNOWN_SCOPE, not trust_model)
    publish_graph(output, content, replace(metadata, test=None))


def _is_metadata_for(path: Path, graph: Path) -> bool:
    """Return whether a file is the metadata of this graph and of no other file."""
    try:
        return list(Metadata.from_file(path).files) == [graph.name]
    except (TfpoetsError, OSError):
        return False


def write_tflite(graph: Path, output: Path, mode: str, output_node: str | None = None, trust_model: bool = False
                 ) -> None:
    """Convert a graph of TensorFlow for Poets to TensorFlow Lite, with the same input scaling.

    Args:
        graph: A frozen GraphDef of TensorFlow for Poets; `tfpoets.export` converts graphs written by retrain.
        output: The .tflite to write.
        mode: A key of `TFLITE_MODES`.
        output_node: The name of the output node, if it cannot be detected.
        trust_model: Whether the graph is used without checking what it does.

    Raises:
        ModelError: The file is not such a graph, or cannot be converted.
    """
    content = graph.read_bytes()
    if TFPOETS_MARKER.encode() in content:
        raise ModelError(f"{graph} was written by retrain.",
                         f"Convert it with: {command_line('export', f'--graph={graph}', f'--to={mode}')}")
    legacy_graph, photo_input, _, _ = open_legacy_graph(graph, content, LegacyGraphOptions(output_layer=output_node),
                                                        trust_model)
    try:
        model = convert_to_tflite(lambda pixels: import_legacy_graph(legacy_graph, pixels, legacy_graph.output),
                                  photo_input.height, photo_input.width, TFLITE_MODES[mode])
    except Exception as error:  # the converter raises bare Exception
        raise ModelError(f"{graph} cannot be converted: {one_line(error)}",
                         "Graphs with 8-bit operations cannot be converted; use the float graph.") from error
    write_file(output, model)
