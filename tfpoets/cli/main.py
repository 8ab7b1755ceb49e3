"""The command `tfpoets`: one subcommand for each command line."""
from __future__ import annotations

import importlib
import sys

from .invocation import called_as

# Every command, in the order in which a person meets them. Each is a module of this package with a function `main`,
# imported when it is run: the list itself is shown without NumPy or TensorFlow.
COMMANDS = {
    "retrain": "train an image classifier on a folder of photos per class",
    "label_image": "label photos with a classifier",
    "evaluate": "measure a classifier on labelled photos",
    "export": "convert a classifier for phones, browsers and servers",
    "serve": "serve a classifier over HTTP, with a page to try it",
    "doctor": "find wrong labels, duplicates and other problems in photos",
    "show_image": "make a picture of some photos of every class",
    "sample_photos": "write sample photos to try things on",
    "quantize_graph": "round the weights of a graph, so that it compresses well",
    "count_ops": "count the operations of a graph",
    "graph_pb2tb": "write a graph so that TensorBoard draws it",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the first argument names.

    Args:
        arguments: the command line without the program's name; None: the process's own.

    Returns:
        The exit code of the command; 2 where there is no such command.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from tfpoets import __version__
        print(f"tfpoets {__version__}")
        return 0
    name = arguments[0].replace("-", "_")
    if name not in COMMANDS:
        print(_unknown(arguments[0]), file=sys.stderr)
        return 2
    return importlib.import_module(f"tfpoets.cli.{name}").main(arguments[1:])


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join([f"usage: {called_as('COMMAND')} [options]", "",
                      "Retrain an image classifier on your own photos.", "", "commands:", *lines, "",
                      f"The options of a command: {called_as('COMMAND')} --help"])


def _unknown(name: str) -> str:
    from tfpoets.errors import closest_match
    guess = closest_match(name.replace("-", "_"), COMMANDS)
    meant = f"; did you mean {guess}?" if guess else "."
    return f"Error: There is no command {name!r}{meant} See all commands with: {called_as('--help')}"
