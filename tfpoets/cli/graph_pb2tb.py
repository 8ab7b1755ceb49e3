"""tfpoets graph_pb2tb OUT_DIR GRAPH: write a frozen graph so that TensorBoard draws it."""
from __future__ import annotations

from pathlib import Path

from tfpoets.files import check_output_folder
from tfpoets.graphs import write_for_tensorboard

from .count_ops import check_is_file
from .parser import Flag, Group, parse_flags, path
from .run_command import run_command

FLAGS = (Group("", (
    Flag("output_dir", "folder for TensorBoard", "output_dir", path, "OUT_DIR", nargs="1"),
    Flag("graph", "a frozen graph (.pb)", "graph", path, "GRAPH", nargs="1"))),)


def main(arguments: list[str] | None = None) -> int:
    """Run the command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: write(**parse_flags(
        "graph_pb2tb", "Write a frozen graph so that TensorBoard draws it (tensorboard --logdir OUT_DIR).", FLAGS,
        given)), arguments)


def write(output_dir: Path, graph: Path) -> int:
    """Write the file, print how to look at it, and return 0."""
    check_is_file(graph)
    check_output_folder(output_dir)
    write_for_tensorboard(graph, output_dir)
    print(f"Written. OcclusionMap at it with: tensorboard --logdir {output_dir}")
    return 0
