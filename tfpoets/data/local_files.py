"""Files on this machine: opened for reading, and their stamps, which tell whether one has changed."""
from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import BinaryIO, Protocol

from .decode import open_file

# A file written less than this before it was looked at could be written again with the same time stamp (2 s on FAT).
SETTLED_NS = 2_000_000_000


class FileReader(Protocol):
    """Reads files by their URIs; it can be pickled, and any number of threads may use it.

    A URI has a scheme ("s3://bucket/a.jpg") or is a path, to a local file or into one: the cache remembers files by
    URI, and makes paths absolute.
    """

    def open(self, uri: str) -> BinaryIO:
        """Open a file for reading. It can be sought in.

        Raises:
            PhotoError: it cannot be opened, with the reason.
        """

    def stamps(self, uris: Iterable[str]) -> dict[str, str]:
        """Return a stamp for each file, which is another one after the file has changed.

        An empty stamp is never trusted: the file is read again.
        """


class LocalFiles:
    """Reads local files; a URI is a path."""

    def open(self, uri: str) -> BinaryIO:
        """Open a file for reading; raise PhotoError where that is not possible."""
        return open_file(uri)

    def stamps(self, uris: Iterable[str]) -> dict[str, str]:
        """Return size in bytes and modification time in nanoseconds of each file."""
        return {uri: _stamp(uri) for uri in uris}


LOCAL_FILES = LocalFiles()


def _stamp(path: str) -> str:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return ""
    settled = time.time_ns() - status.st_mtime_ns > SETTLED_NS
    return f"{status.st_size} {status.st_mtime_ns}" if settled else ""
