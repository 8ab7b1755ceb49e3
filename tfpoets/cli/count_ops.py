"""tfpoets count_ops GRAPH [NAME]: count the operations of a frozen graph."""
from __future__ import annotations

from pathlib import Path

from tfpoets.errors import ModelError
from tfpoets.graphs import group_nodes_by_operation

from .parser import Flag, Group, parse_flags, path
from .run_command import run_command

FLAGS = (Group("", (
    Flag("graph", "a frozen graph (.pb)", "graph", path, "GRAPH", nargs="1"),
    Flag("name", "count only the operation of this name, or those of this kind (Conv2D)", "name", metavar="NAME",
         nargs="?"))),)


def main(arguments: list[str] | None = None) -> int:
    """Run the command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: count(**parse_flags(
        "count_ops", "Count the operations of a frozen graph.", FLAGS, given)), arguments)


def count(graph: Path, name: str | None = None) -> int:
    """Print the counts and return 0."""
    check_is_file(graph)
    kinds = group_nodes_by_operation(graph.read_bytes(), str(graph))
    if name is not None:
        named = sum(found.count(name) for found in kinds.values())
        print(f"{named or len(kinds.get(name, []))} {name}")
        return 0
    print(f"{sum(map(len, kinds.values()))} operations")
    for kind, found in kinds.items():
        print(f"{len(found):>6} {kind}")
    return 0


def check_is_file(graph: Path) -> None:
    """Raise a ModelError where there is no such file."""
    if not graph.is_file():
        raise ModelError(f"There is no graph at {graph}.")
