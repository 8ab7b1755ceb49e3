"""The command `tfpoets graph_pb2tb`: write a frozen graph as a TensorBoard log."""
from __future__ import annotations

from pathlib import Path

from tfpoets.files import check_output_folder
from tfpoets.graphs import write_for_tensorboard

from .count_ops import check_is_file
from .messages import print_lines
from .parser import Flag, Group, parse_flags, path
from .run_command import run_command

DESCRIPTION = "Write a frozen graph as a TensorBoard log. View it with: tensorboard --logdir OUT_DIR"
FLAGS = (Group("", (
    Flag("output_dir", "folder to write the log to", "output_dir", path, "OUT_DIR", nargs="1"),
    Flag("graph", "frozen graph (.pb)", "graph", path, "GRAPH", nargs="1"))),)


def main(argv: list[str] | None = None) -> int:
    """Run the command with the given arguments (default: `sys.argv[1:]`) and return its exit code."""
    return run_command(lambda argv: write_log(**parse_flags("graph_pb2tb", DESCRIPTION, FLAGS, argv)), argv)


def write_log(output_dir: Path, graph: Path) -> int:
    """Write the log, print how to view it, and return 0."""
    check_is_file(graph)
    check_output_folder(output_dir)
    write_for_tensorboard(graph, output_dir)
    print_lines(f"View the graph with: tensorboard --logdir {output_dir}")
    return 0
