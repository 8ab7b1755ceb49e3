"""The command `tfpoets count_ops`: count the operations of a frozen graph."""
from __future__ import annotations

from pathlib import Path

from tfpoets.errors import ModelError
from tfpoets.graphs import group_nodes_by_operation, identify_file

from .messages import print_lines
from .parser import Flag, Group, parse_flags, path
from .run_command import run_command

DESCRIPTION = "Count the operations of a frozen graph."
FLAGS = (Group("", (
    Flag("graph", "frozen graph (.pb)", "graph", path, "GRAPH", nargs="1"),
    Flag("name", "count only the operation with this name, or all operations of this type (such as Conv2D)", "name",
         metavar="NAME", nargs="?"))),)


def main(argv: list[str] | None = None) -> int:
    """Run the command with the given arguments (default: `sys.argv[1:]`) and return its exit code."""
    return run_command(lambda argv: print_counts(**parse_flags("count_ops", DESCRIPTION, FLAGS, argv)), argv)


def print_counts(graph: Path, name: str | None = None) -> int:
    """Print the number of operations of each type and return 0.

    Args:
        graph: A frozen GraphDef.
        name: The name or the type of operations. If given, only the number of these operations is printed.
    """
    check_is_file(graph)
    names_by_type = group_nodes_by_operation(graph.read_bytes(), str(graph))
    if name is not None:
        n_named = sum(names.count(name) for names in names_by_type.values())
        print_lines(f"{n_named or len(names_by_type.get(name, []))} {name}")
        return 0
    print_lines(f"{sum(map(len, names_by_type.values()))} operations")
    for type_, names in names_by_type.items():
        print_lines(f"{len(names):>6} {type_}")
    return 0


def check_is_file(graph: Path) -> None:
    """Raise a ModelError if there is no file, or if it is of a known kind that contains no graph."""
    if not graph.is_file():
        raise ModelError(f"There is no graph at {graph}.")
    kind = identify_file(graph)
    if kind is not None:
        raise ModelError(f"{graph} is not a TensorFlow graph: it {kind.description}.", kind.classifier_remedy)
