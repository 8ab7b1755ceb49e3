"""python -m scripts.count_ops GRAPH [NAME]: counts the operations of a frozen graph."""
from __future__ import annotations

import sys

from scripts.classifier import count_operations
from scripts.console import run_command
from scripts.console.settings import CountSettings, count_settings


def main(arguments: list[str] | None = None) -> int:
    """The command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: count(count_settings(given)), arguments)


def count(settings: CountSettings) -> int:
    """Prints the counts and returns 0."""
    kinds = count_operations(settings.graph.read_bytes(), str(settings.graph))
    if settings.name is not None:
        named = sum(names.count(settings.name) for names in kinds.values())
        print(f"{named or len(kinds.get(settings.name, []))} {settings.name}")
        return 0
    print(f"{sum(map(len, kinds.values()))} operations")
    for kind, names in kinds.items():
        print(f"{len(names):>6} {kind}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
