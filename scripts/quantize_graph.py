"""python -m scripts.quantize_graph --input=GRAPH --output=FILE: rounds a graph's weights, so that it packs well."""
from __future__ import annotations

import sys
import zlib
from pathlib import Path

from scripts.classifier import write_rounded, write_tflite
from scripts.console import run_command
from scripts.console.settings import QuantizeSettings, quantize_settings


def main(arguments: list[str] | None = None) -> int:
    """The command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: quantize(quantize_settings(given)), arguments)


def quantize(settings: QuantizeSettings) -> int:
    """Writes the file, says how much smaller it is, and returns 0."""
    if settings.mode == "weights_rounded":
        write_rounded(settings.input, settings.output, 2 ** settings.bitdepth)
    else:
        write_tflite(settings.input, settings.output, settings.mode, settings.output_node)
    for path in (settings.input, settings.output):
        print(f"{path}: {_megabytes(path)}")
    print(f"Coarser weights may cost accuracy: python -m scripts.evaluate {settings.output} says how much is left.")
    return 0


def _megabytes(path: Path) -> str:
    content = path.read_bytes()
    return f"{len(content) / 1e6:.2f} MB, {len(zlib.compress(content)) / 1e6:.2f} MB in a zip archive"


if __name__ == "__main__":
    sys.exit(main())
