"""python -m scripts.graph_pb2tb OUT_DIR GRAPH: writes a frozen graph so that TensorBoard draws it."""
from __future__ import annotations

import sys

from scripts.classifier import write_for_tensorboard
from scripts.console import run_command
from scripts.console.settings import BoardSettings, board_settings


def main(arguments: list[str] | None = None) -> int:
    """The command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: write(board_settings(given)), arguments)


def write(settings: BoardSettings) -> int:
    """Writes the file, says how to look at it, and returns 0."""
    write_for_tensorboard(settings.graph, settings.output_dir)
    print(f"Written. Look at it with: tensorboard --logdir {settings.output_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
