"""Writes sample photos, one folder a class, ready for the retrain command.

    python -m scripts.sample_photos
    python -m scripts.sample_photos flowers
"""
from __future__ import annotations

import os
import shlex
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

from scripts.console import CommandParser, configure_logging, run_command
from scripts.console.flags import path
from scripts.photos import samples

WRITERS = {"digits": samples.write_digits, "flowers": samples.write_flowers, "cifar10": samples.write_cifar10}
FOLDERS = {"digits": "digits", "flowers": "flower_photos", "cifar10": "cifar10"}


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the process's exit code."""
    return run_command(_main, arguments)


def _main(arguments: list[str] | None) -> int:
    flags = _parse(arguments)
    configure_logging(flags.logging_verbosity)
    sample = WRITERS[flags.sample](flags.output_dir or Path("tf_files") / FOLDERS[flags.sample])
    _say(sample)
    return 0


def _parse(arguments: list[str] | None) -> Namespace:
    parser = CommandParser(prog="scripts.sample_photos",
                           description="Writes sample photos, one folder a class, ready for scripts.retrain.")
    parser.add_argument("sample", nargs="?", default="digits", choices=list(WRITERS), metavar="SAMPLE",
                        help="digits (default): 1,797 handwritten digits, needs no network; "
                             "flowers: 3,670 photos of five kinds (CC-BY), downloads 229 MB; "
                             "cifar10: 60,000 photos of 32 x 32 pixels in ten classes, downloads 170 MB")
    parser.add_argument("--output_dir", type=path, metavar="DIR",
                        help="where to write (default: tf_files/digits, tf_files/flower_photos or tf_files/cifar10)")
    return parser.parse(arguments)


def _say(sample: samples.Sample) -> None:
    photos = f"{sum(sample.counts.values()):,} photos"
    if sample.was_there:
        print(f"{sample.folder} is complete already: {photos}.")
    else:
        print(f"Wrote {photos} in {len(sample.counts)} class folders to {sample.folder}.")
    print("Retrain on them with:")
    print(f"    python -m scripts.retrain {_quoted(f'--image_dir={sample.image_dir}')}")


def _quoted(argument: str) -> str:
    """`argument` as this system's shell needs it."""
    return subprocess.list2cmdline([argument]) if os.name == "nt" else shlex.quote(argument)


if __name__ == "__main__":
    sys.exit(main())
