"""What a person points at when asking for labels: files, folders, patterns, addresses, or a list of them."""
from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

from tfpoets.download import fetch_bytes
from tfpoets.errors import DataError, PhotoError, TfpoetsError

from .decode import MAX_BYTES, open_file, read_photo
from .folder_source import is_junk
from .formats import has_photo_suffix


def expand_sources(given: Iterable[str], standard_input: TextIO | None = None) -> Iterator[str]:
    """Paths and addresses, one by one, in the order given; nothing is opened yet.

    Args:
        given: files, folders (all photos below them, by suffix), patterns, http(s) addresses; `-` stands for a list
            on standard input, one a line.
        standard_input: where `-` reads; None: the process's own.

    Raises:
        DataError: a folder or pattern holds no photo.
    """
    for source in given:
        if source == "-":
            lines = (line.rstrip("\r\n") for line in (standard_input or sys.stdin))
            yield from (line for line in lines if line)
        elif is_address(source):
            yield source
        else:
            yield from _on_disk(os.path.expanduser(source))


def _on_disk(source: str) -> Iterator[str]:
    if os.path.isdir(source):
        found = _photos_below(source)
    elif any(character in source for character in "*?[") and not os.path.exists(source):
        found = sorted(path for path in glob.glob(source, recursive=True) if not os.path.isdir(path))
    else:
        found = [source]  # missing files are told with the photos' answers, so that the others get theirs
    if not found:
        raise DataError(f"There are no photos in {source}." if os.path.isdir(source) else
                        f"No file matches {source}.")
    yield from found


def _photos_below(folder: str) -> list[str]:
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_junk(name))
        found += [os.path.join(parent, name) for name in sorted(files)
                  if has_photo_suffix(name) and not is_junk(name)]
    return found


def is_address(source: str) -> bool:
    """Whether a source is an http or https address."""
    return source.lower().startswith(("http://", "https://"))


def read_source(source: str) -> bytes:
    """The bytes of a file or of an address.

    Raises:
        PhotoError: it cannot be had, with the reason.
    """
    if not is_address(source):
        with open_file(source) as file:
            return read_photo(file)
    try:
        return fetch_bytes(source, max_bytes=MAX_BYTES)
    except TfpoetsError as error:
        raise PhotoError(error.problem.rstrip(".")) from error
