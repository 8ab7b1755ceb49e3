"""Read arbitrary labels, metadata, tables and command lines: each must give a result or an error of this library.

    python -m tests.attack.readers --count=2000 --seed=0

hypothesis generates the inputs, and reduces an input that fails to a small one.
"""
from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import strategies as st

from tfpoets.cli.main import COMMANDS
from tfpoets.cli.parser import parse_flags
from tfpoets.data import DatasetOptions, read_dataset
from tfpoets.errors import TfpoetsError
from tfpoets.escaping import has_unsafe_characters
from tfpoets.exporting import Metadata
from tfpoets.inference.legacy_classifier import read_labels

HOSTILE_TEXTS = ("", " ", "\0", "\x1b[31m", "\u202e", "\ufeff", "=1+1", "a,b", '"', "'", "a\nb", "\r", "\u2028", "ü",
                 "\udc9b", "train", "test", "label", "file", "../..", "/", "C:\\x", "http://[", "-1", "1e999", "nan",
                 "true")
TEXTS = st.one_of(st.sampled_from(HOSTILE_TEXTS), st.text(max_size=20))
SAFE_TEXTS = TEXTS.map(lambda text: text.encode("utf-8", "replace").decode())
ENCODINGS = st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "latin-1"))
VALUES = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), SAFE_TEXTS),
                      lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SAFE_TEXTS, inner, max_size=4),
                      max_leaves=8)
METADATA: dict[str, Any] = {
    "format": "tfpoets-classifier", "schema_version": 2, "labels": ["a", "b"],
    "input": {"height": 32, "width": 32, "pixels": 1}, "nodes": {"input": "input", "output": "final_result"},
    "network": {"kind": "frozen_features", "handle": "n", "digest": "0" * 32}, "files": {"graph": "0" * 64},
    "head": {"solver": "lbfgs", "temperature": 1.0, "l2": 0.1, "refitted": True}, "options": {"split": {"seed": 1}},
    "split": {"seed": 0, "digest": "0" * 32, "counts": {"training": 6, "validation": 2, "test": 2},
              "trained_on": "00"}, "unknown": None, "test": None, "cross_validation": None,
    "made_with": {"tfpoets": "3"}}
# A section with one field of another type, or another section.
CHANGED_METADATA = st.one_of(
    st.dictionaries(st.sampled_from(sorted(METADATA)), VALUES, max_size=2),
    st.sampled_from(("input", "nodes", "network", "head", "split")).flatmap(lambda section: st.tuples(
        st.sampled_from(sorted(METADATA[section])), VALUES).map(
            lambda drawn: {section: {**METADATA[section], drawn[0]: drawn[1]}})))


@hypothesis.given(st.binary(max_size=300) | st.tuples(st.lists(SAFE_TEXTS, max_size=6), ENCODINGS).map(
    lambda drawn: "\n".join(drawn[0]).encode(drawn[1], "replace")))
def check_labels(content: bytes) -> None:
    """Check the reader of label files: it returns lines of text, or raises an error of this library."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.txt"
        path.write_bytes(content)
        labels = accept_library_errors(lambda: read_labels(path))
    assert labels is None or all(isinstance(label, str) and "\n" not in label for label in labels)


@hypothesis.given(st.binary(max_size=300) | CHANGED_METADATA.map(
    lambda changed: json.dumps({**METADATA, **changed}).encode()))
def check_metadata(content: bytes) -> None:
    """Check the reader of metadata: what it returns can be written and read again."""
    metadata = accept_library_errors(lambda: Metadata.from_json(content, "graph.json"))
    if metadata is not None:
        assert Metadata.from_json(metadata.to_json(), "graph.json").labels == metadata.labels


CELLS = st.one_of(SAFE_TEXTS, st.sampled_from(("a.jpg", "b.jpg", "c.jpg", "missing.jpg", "x", "y")))
TABLES = st.tuples(
    st.sampled_from((",", ";", "\t", "|")), st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=5),
    st.sampled_from((["file", "label"], ["filename", "class", "split"], ["path", "label", "group"], ["a", "b"])),
    ENCODINGS)


@hypothesis.given(st.binary(max_size=300) | TABLES.map(lambda drawn: "\n".join(
    drawn[0].join(row) for row in (drawn[2], *drawn[1])).encode(drawn[3], "replace")),
    st.sampled_from((".csv", ".tsv", ".jsonl", ".json", ".txt")))
def check_manifest(content: bytes, suffix: str) -> None:
    """Check the reader of tables: every label that it returns can be printed."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            (Path(folder) / name).write_bytes(b"\xff\xd8\xff\xe0")
        manifest = Path(folder) / f"labels{suffix}"
        manifest.write_bytes(content)
        dataset = accept_library_errors(lambda: read_dataset(None, options=DatasetOptions(manifest=(manifest,))))
    assert dataset is None or not any(map(has_unsafe_characters, dataset.labels))


def arguments_of(command: str) -> st.SearchStrategy[list[str]]:
    """Return a strategy for command lines of a command."""
    module = importlib.import_module(f"tfpoets.cli.{command}")
    names = ["debug", "logging_verbosity",
             *(flag.name for group in module.FLAGS for flag in group.flags if not flag.nargs)]
    values = TEXTS | st.integers().map(str) | st.floats().map(str) | st.sampled_from(("0.2", "50%", "lenet", "json"))
    flags = st.tuples(st.sampled_from(names), values).map(lambda drawn: f"--{drawn[0]}={drawn[1]}")
    bare = st.sampled_from([f"--{name}" for name in names]) | TEXTS
    # No system passes null characters to programs.
    return st.lists((flags | bare).map(lambda text: text.replace("\0", "")), max_size=5)


# The flags of sample_photos depend on its first argument.
@hypothesis.given(st.sampled_from(sorted(set(COMMANDS) - {"sample_photos"})).flatmap(
    lambda command: st.tuples(st.just(command), arguments_of(command))))
def check_flags(drawn: tuple[str, list[str]]) -> None:
    """Check the parsing of a command line: it gives options, --help, or an error of this library."""
    command, argv = drawn
    module = importlib.import_module(f"tfpoets.cli.{command}")

    def parse() -> None:
        args = parse_flags(command, module.DESCRIPTION, module.FLAGS, argv)
        if command == "retrain":  # these belong to the command, not to the options
            for name in ("format", "print_misclassified_test_images", "min_accuracy"):
                args.pop(name, None)
        if hasattr(module, "options_from"):
            module.options_from(args)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            accept_library_errors(parse)
        except SystemExit as stop:  # --help
            assert not stop.code


PROPERTIES: tuple[Callable[[], None], ...] = (check_labels, check_metadata, check_manifest, check_flags)


def accept_library_errors(function: Callable[[], Any]) -> Any:
    """Return the result of a function, or None if it raises an error of this library with a short message."""
    try:
        return function()
    except TfpoetsError as error:
        assert error.problem and len(str(error)) < 3000, str(error)
        return None


def run(check: Callable[[], None], count: int, seed: int) -> None:
    """Check a property with generated inputs."""
    settings = hypothesis.settings(max_examples=count, deadline=None, database=None,
                                   suppress_health_check=list(hypothesis.HealthCheck))
    hypothesis.seed(seed)(settings(check))()


def main() -> None:
    """Print how many inputs were tried, and the failures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    started, failures = time.monotonic(), []
    for check in PROPERTIES:
        try:
            run(check, flags.count, flags.seed)
        except Exception:
            failures.append(f"{check.__name__}:\n{traceback.format_exc()}")
    print(f"{flags.count * len(PROPERTIES)} tried, {len(failures)} failed, {time.monotonic() - started:.0f} s")
    print("\n".join(failures))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
