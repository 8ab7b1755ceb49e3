"""Expand and read the sources of photos to label: files, folders, patterns, URLs, or a list of these."""
from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

from tfpoets.errors import DataError, PhotoError, TfpoetsError

from .file_tree import is_junk
from .formats import has_photo_suffix
from .photo_files import MAX_BYTES, open_file, read_photo_bytes


def expand_sources(sources: Iterable[str], standard_input: TextIO | None = None) -> Iterator[str]:
    """Yield the paths and URLs of photos, in the order of the sources, without opening any.

    Args:
        sources: Files, folders (all files below them with the suffix of a photo), glob patterns, and http or https
            URLs; `-` stands for a list on standard input, one path or URL per line.
        standard_input: The file from which `-` reads; None for the standard input of the process.

    Raises:
        DataError: A folder contains no photos, or no file matches a pattern.
    """
    for source in sources:
        if source == "-":
            lines = (line.rstrip("\r\n") for line in (standard_input or sys.stdin))
            yield from (line for line in lines if line)
        elif is_url(source):
            yield source
        else:
            yield from _expand_path(os.path.expanduser(source))


def _expand_path(path: str) -> list[str]:
    """Return the files that a path or pattern stands for."""
    if os.path.isdir(path):
        photos = _photos_below(path)
        if not photos:
            raise DataError(f"There are no photos in {path}.")
        return photos
    if any(character in path for character in "*?[") and not os.path.exists(path):
        files = sorted(file for file in glob.glob(path, recursive=True) if not os.path.isdir(file))
        if not files:
            raise DataError(f"No file matches {path}.")
        return files
    return [path]  # a missing file is reported later, with the predictions for the other photos


def _photos_below(folder: str) -> list[str]:
    photos = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_junk(name))
        photos += [os.path.join(parent, name) for name in sorted(files)
                   if has_photo_suffix(name) and not is_junk(name)]
    return photos


def is_url(source: str) -> bool:
    """Return whether a source is an http or https URL."""
    return source.lower().startswith(("http://", "https://"))


def read_source(source: str) -> bytes:
    """Return the bytes of the file at a path or URL.

    Raises:
        PhotoError: The file cannot be read; the message is the reason.
    """
    if not is_url(source):
        with open_file(source) as file:
            return read_photo_bytes(file)
    from tfpoets.download import fetch_bytes  # imported here because files need no network code
    try:
        return fetch_bytes(source, max_bytes=MAX_BYTES)
    except TfpoetsError as error:
        raise PhotoError(error.problem.rstrip(".")) from error
