"""Expand and read the sources of photos to label: files, folders, patterns, addresses, or a list of these."""
from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

from tfpoets.errors import DataError, PhotoError, TfpoetsError

from .cloud_address import CloudPath, bucket_of, is_cloud_address, parse_address
from .cloud_files import CloudFiles
from .file_tree import is_junk
from .formats import has_photo_suffix
from .photo_files import MAX_BYTES, open_file, read_photo_bytes, too_large_reason
from .standard_input import read_photo_or_list


# The source of a photo that is piped to standard input.
STANDARD_INPUT = "-"


class InputSources:
    """The paths and URLs of photos, in the order of the sources.

    Iterating opens no files, except for standard input, which can be read only once.

    Args:
        sources: Files, folders (all files below them with the suffix of a photo), glob patterns, http or https URLs,
            and files or folders in cloud storage; `-` stands for a photo on standard input, or a list, one path or
            URL per line.
        standard_input: The stream from which `-` reads; None for the standard input of the process.
    """

    def __init__(self, sources: Iterable[str], standard_input: TextIO | None = None):
        self._sources = tuple(sources)
        self._standard_input = standard_input
        self._piped: bytes | None = None
        self._cloud: dict[str, CloudFiles] = {}  # the reader of the files in each bucket

    def __iter__(self) -> Iterator[str]:
        """Yield the paths and URLs, and STANDARD_INPUT for a photo that is piped to it.

        Raises:
            DataError: A folder contains no photos, no file matches a pattern, standard input contains neither a photo
                nor a list, or cloud storage cannot be listed.
            OptionError: An address in cloud storage contains a password or a key.
        """
        for source in self._sources:
            if source == STANDARD_INPUT:
                yield from self._expand_standard_input()
            elif is_url(source):
                yield source
            elif is_cloud_address(source):
                yield from self._expand_address(parse_address(source))
            else:
                yield from _expand_path(os.path.expanduser(source))

    def _expand_address(self, address: CloudPath) -> list[str]:
        """Return the photos at an address, and begin to read them."""
        files = self._cloud_files(str(address))
        if has_photo_suffix(address.name):
            photos = [str(address)]
        else:
            photos = sorted(str(path) for path in files.list_tree(address).photo_paths())
            if not photos:
                raise DataError(f"There are no photos in {address}.")
        files.prefetch(photos)
        return photos

    def _cloud_files(self, address: str) -> CloudFiles:
        bucket = bucket_of(address)
        return self._cloud.setdefault(bucket, CloudFiles(CloudPath(bucket)))

    def _expand_standard_input(self) -> Iterator[str]:
        stream = self._standard_input or sys.stdin
        if not hasattr(stream, "buffer"):  # a program replaced it with a text stream
            yield from (name for line in stream if (name := line.rstrip("\r\n")))
            return
        content = read_photo_or_list(stream.buffer)
        if isinstance(content, bytes):
            self._piped = content
            yield STANDARD_INPUT
        else:
            yield from content

    def read(self, source: str) -> bytes:
        """Return the bytes of the photo at a path or URL, or on standard input.

        Raises:
            PhotoError: The photo cannot be read; the message is the reason.
        """
        if source == STANDARD_INPUT and self._piped is not None:
            if len(self._piped) > MAX_BYTES:
                raise PhotoError(too_large_reason())
            return self._piped
        return self._cloud_files(source).open(source).read() if is_cloud_address(source) else read_source(source)


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
        with open_file(source, allow_pipe=True) as file:
            return read_photo_bytes(file)
    from tfpoets.download import fetch_bytes  # imported here because files need no network code
    try:
        return fetch_bytes(source, max_bytes=MAX_BYTES)
    except TfpoetsError as error:
        raise PhotoError(error.problem.rstrip(".")) from error
