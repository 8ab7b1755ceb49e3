"""The flags of a run: stored with its classifier, and read again by --flags_from.

A file with flags may come from another person. It can set what a run computes, but it cannot run Python code, turn off
checks, or write outside the current folder and its own.
"""
from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfpoets.errors import closest_match

from .run_command import UsageError

if TYPE_CHECKING:
    from .parser import Flag

# The name of the flag that reads such a file.
FLAGS_FROM = "flags_from"
# The metadata of a classifier with thousands of classes takes a few megabytes.
MAX_BYTES = 2 ** 26
# Flags about the command, not about the run, are not stored.
UNSTORED = (FLAGS_FROM, "format", "print_misclassified_test_images", "logging_verbosity", "verbose", "debug",
            "offline", "resume", "trust_model", "ray_address", "max_memory_gb", "model_dir")
# Flags whose files and folders a run writes.
WRITTEN = ("output_graph", "output_labels", "saved_model_dir", "bottleneck_dir", "summaries_dir",
           "intermediate_output_graphs_dir")
# Switches that contradict each other: the one on the command line replaces the one in the file.
OPPOSITES = {"doctor": "nodoctor", "nodoctor": "doctor"}

# The text of the value, as on the command line, or True for a switch; a list for a flag that was given repeatedly.
FlagValues = dict[str, Any]


def given_flags(arguments: Sequence[str], flags: Sequence[Flag]) -> FlagValues:
    """Return the flags of a run, to be stored with its classifier.

    Args:
        arguments: The checked arguments of the command line, including those from a file.
        flags: The flags of the command.
    """
    known, values = {f"--{flag.name}": flag for flag in flags}, FlagValues()
    position = 0
    while position < len(arguments):
        name, equals, value = arguments[position].partition("=")
        position += 1
        flag = known.get(name)
        if flag is None:
            continue
        if flag.const is not None:
            values[flag.name] = True
            continue
        if not equals and position < len(arguments):
            value, position = arguments[position], position + 1
        values[flag.name] = [*values.get(flag.name, ()), value] if flag.repeatable else value
    return {name: value for name, value in values.items() if name not in UNSTORED}


def with_flags_from_file(arguments: Sequence[str], typed: Sequence[str], flags: Sequence[Flag]) -> list[str]:
    """Return the arguments with the flags of the file that --flags_from names, unless they override these.

    Args:
        arguments: The checked arguments of the command line.
        typed: The arguments as they were typed, which also contain switches that were turned off (`--norefit=false`).
        flags: The flags of the command.

    Raises:
        UsageError: The file cannot be read, or sets a flag that does not exist, has an invalid value, or is dangerous.
    """
    chosen = next((flag for flag in flags if flag.name == FLAGS_FROM), None)
    path = _last_value(arguments, f"--{FLAGS_FROM}") if chosen else None
    if path is None:
        return list(arguments)
    overridden = {argument.partition("=")[0].lstrip("-") for argument in (*arguments, *typed)
                  if argument.startswith("--")}
    overridden |= {OPPOSITES[name] for name in overridden & OPPOSITES.keys()}
    file, known = Path(os.path.expanduser(path)), {flag.name: flag for flag in flags if not flag.nargs}
    added: list[str] = []
    for name, value in _read_flags(file).items():
        flag = known.get(name)
        if flag is None or name == FLAGS_FROM:
            guess = closest_match(name, known) if flag is None else None
            raise UsageError(f"{file} sets --{name}, which is not a flag of this command"
                             + (f"; did you mean --{guess}?" if guess else "."), "Remove it from the file.")
        if name not in overridden:
            added += _as_arguments(file, flag, value)
    return [*added, *arguments]


def _last_value(arguments: Sequence[str], name: str) -> str | None:
    """Return the value of a flag, or None if it was not given."""
    value = None
    for position, argument in enumerate(arguments):
        if argument.startswith(f"{name}="):
            value = argument.partition("=")[2]
        elif argument == name and position + 1 < len(arguments):
            value = arguments[position + 1]
    return value


def _read_flags(file: Path) -> FlagValues:
    """Return the flags in a file: a JSON object of flags, or the metadata of a classifier, which contains one."""
    from tfpoets.graphs import read_model_file  # imported here, because few command lines need it
    try:
        values = json.loads(read_model_file(file, MAX_BYTES))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not a JSON file.", "Use the .json file that retrain has written next to the "
                         "graph.") from error
    if isinstance(values, dict) and "format" in values and "labels" in values:
        values = values.get("flags")
        if not values:
            raise UsageError(f"{file} contains no flags, because an earlier version or a program wrote it.",
                             "Its section \"options\" lists the options.")
    if not isinstance(values, dict):
        raise UsageError(f"{file} contains no flags.", 'Write them as in {"image_dir": "photos", "seed": 3}.')
    return values


def _as_arguments(file: Path, flag: Flag, value: Any) -> list[str]:
    """Return the arguments for a flag in a file, after checking its value."""
    if flag.const is not None:
        if not isinstance(value, bool):
            raise UsageError(f"{file} sets --{flag.name} to a value, but it is a switch.", "Write true or false.")
        _check_danger(file, flag, "")
        return [f"--{flag.name}"] if value else []
    texts = value if isinstance(value, list) and flag.repeatable else [value]
    for text in texts:
        if isinstance(text, bool) or not isinstance(text, str | int | float) or "\0" in str(text):
            raise UsageError(f"{file} sets --{flag.name} to something that is neither text nor a number.",
                             "Write the value as on the command line.")
        _check_value(file, flag, str(text))
        _check_danger(file, flag, str(text))
    return [f"--{flag.name}={text}" for text in texts]


def _check_value(file: Path, flag: Flag, text: str) -> None:
    """Raise a UsageError that names the file if a value is not one of the flag."""
    choices = flag.choices() if callable(flag.choices) else flag.choices
    try:
        parsed = flag.parse(text)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise UsageError(f"{file} sets --{flag.name} to {text!r}, which is not a valid value.",
                         "Correct it, or set the flag on the command line.") from error
    if choices and parsed not in choices:
        raise UsageError(f"{file} sets --{flag.name} to {text!r}.", f"Choose from {', '.join(map(str, choices))}.")


def _check_danger(file: Path, flag: Flag, text: str) -> None:
    """Raise a UsageError for a value that must not come from a file, which another person may have written."""
    from tfpoets.extractors import ExtractorOptions  # imported here, because few command lines need it
    problem = ""
    if flag.name == "trust_model":
        problem = "turns off the checks of models"
    elif flag.name == "architecture" and re.search(r"\.py(:|$)", text, re.IGNORECASE):
        problem = "runs a Python file"
    elif flag.name == "ray_address" and "://" in text:
        problem = "sends photos to other machines and runs what they return"
    elif flag.name == "model_dir" and text != str(ExtractorOptions().model_dir):
        problem = "uses prepared networks, which are not checked"
    elif flag.name in WRITTEN and any(part.startswith(".") and part.strip(".") for part in Path(text).parts):
        problem = "writes to a hidden file or folder"
    elif flag.name == "output_labels" and Path(text).suffix != ".txt":
        problem = "writes to a file that is not a .txt file"
    elif flag.name in WRITTEN and not _is_inside(text, file):
        problem = "writes outside the current folder and that of the file"
    if problem:
        value = f"={text}" if text else ""
        raise UsageError(f"{file} sets --{flag.name}{value}, which {problem}.",
                         "If this is what you want, add the flag to the command line.")


def _is_inside(text: str, file: Path) -> bool:
    """Return whether a path is below the current folder or the folder of the file."""
    path = Path(os.path.expanduser(text)).resolve()
    return any(path.is_relative_to(folder) for folder in (Path.cwd().resolve(), file.resolve().parent))
