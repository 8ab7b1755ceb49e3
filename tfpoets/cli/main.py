"""The command `tfpoets`, with one subcommand per task."""
from __future__ import annotations

import importlib
import os
import sys

from .exit_codes import FAILED
from .interrupts import run_process, set_command

# All commands, the most used first. Each one is a module of this package with a function `main`. A module is imported
# only when its command runs, so that `tfpoets --help` does not import NumPy or TensorFlow.
COMMANDS = {
    "retrain": "train an image classifier on one folder of photos per class",
    "label_image": "label photos with a classifier",
    "compare": "compare pretrained networks, or earlier runs, on the same photos",
    "evaluate": "measure the accuracy of a classifier on labelled photos",
    "export": "convert a classifier for phones, browsers and servers",
    "serve": "serve a classifier over HTTP, with a web page to try it",
    "doctor": "find wrong labels, duplicates and other problems in photos",
    "bottlenecks": "show, check, clean up or export the cache of computed features",
    "show_image": "show some photos of each class in one image",
    "devices": "show the cores and GPUs that are used, and how fast they are",
    "sample_photos": "write sample photos to try the commands on",
    "quantize_graph": "reduce the size of a graph file",
    "count_ops": "count the operations of a graph",
    "graph_pb2tb": "write a graph as a TensorBoard log",
}


def main(argv: list[str] | None = None) -> int:
    """Run the command named by the first argument.

    Args:
        argv: The command line without the name of the program (default: `sys.argv[1:]`).

    Returns:
        The exit code of the command, or 2 if there is no such command.
    """
    if argv is None and "_ARGCOMPLETE" in os.environ:
        from .completion import print_completions  # imported here, because argcomplete is slow
        print_completions(COMMANDS)
    if argv is None:
        return run_process(lambda: _run(sys.argv[1:]))
    return _run(argv)


def run_script(name: str) -> int:
    """Run a command with the arguments in `sys.argv` as the only task of this process, and return its exit code."""
    return run_process(lambda: _run([name, *sys.argv[1:]]))


def _print(text: str) -> None:
    """Print text, unless the program that would read it has ended (`tfpoets | head -1`)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at the end


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        _print(_format_help())
        return 0 if argv else 2
    if argv[-1] == "--version" and len(argv) <= 2:
        from tfpoets import __version__
        _print(f"tfpoets {__version__}")
        return 0
    name = argv[0].replace("-", "_")
    if name not in COMMANDS:
        print(_format_unknown_command(argv[0]), file=sys.stderr)
        return 2
    set_command(name)
    try:
        module = importlib.import_module(f"tfpoets.cli.{name}")
    except Exception as error:
        from tfpoets.memory_errors import is_memory_error
        if is_memory_error(error):
            print("Error: There is not enough memory to start this command.", file=sys.stderr)
        elif isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("tfpoets"):
            print(_format_missing_package(error.name), file=sys.stderr)
        else:
            raise
        return FAILED
    return module.main(argv[1:])


def _format_help() -> str:
    from .exit_codes import exit_code_lines
    from .invocation import program_name  # imported here, so that Ctrl-C is handled as early as possible
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join([f"usage: {program_name('COMMAND')} [options]", "",
                      "Retrain an image classifier on your own photos.", "", "commands:", *lines, "",
                      "exit codes:", *exit_code_lines(), "",
                      f"Run {program_name('COMMAND')} --help to see the options of a command."])


def _format_missing_package(name: str | None) -> str:
    """Return a sentence for a Python without the packages, in which people land who have not activated `.venv`."""
    activation = "source .venv/bin/activate" if os.name == "posix" else r".venv\Scripts\activate"
    solution = (f"Activate the environment that has it, and try again:\n    {activation}" if os.path.isdir(".venv")
                else f"Install it and the others:\n    {sys.executable} -m pip install -e .")
    return f"Error: This Python does not have the package {name}, which tfpoets needs. {solution}"


def _format_unknown_command(name: str) -> str:
    from tfpoets.errors import closest_match
    from tfpoets.escaping import escape_for_terminal

    from .invocation import program_name
    if name.startswith("-") and len(name) > 1:
        name = escape_for_terminal(name)
        return (f"Error: The name of a command comes before its flags (as in {program_name('retrain')} {name}). "
                f"Run {program_name('--help')} to see all commands.")
    guess = closest_match(name.replace("-", "_"), COMMANDS)
    suggestion = f"; did you mean {guess}?" if guess else "."
    return f"Error: There is no command {name!r}{suggestion} Run {program_name('--help')} to see all commands."
