"""Open local files, and detect by their size and modification time whether they have changed."""
from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import BinaryIO, Protocol

from .photo_files import open_file

# The time stamp of a file that was modified less than this long ago is not trusted: the file may be modified again
# without a change of the time stamp, whose resolution is 2 s on FAT.
MIN_AGE_NS = 2_000_000_000


class FileReader(Protocol):
    """An object that opens files by their URIs. It can be pickled, and used by several threads at once.

    A URI has a scheme ("s3://bucket/a.jpg"), or is the path of a local file or of a file inside a local archive. The
    cache uses URIs as keys, and makes paths absolute.
    """

    def open(self, uri: str) -> BinaryIO:
        """Open a file for reading; the result is seekable.

        Raises:
            PhotoError: The file cannot be opened; the message is the reason.
        """

    def stamps(self, uris: Iterable[str]) -> dict[str, str]:
        """Return a stamp for each file, which changes when the file changes.

        A file with an empty stamp is always read again.
        """


class LocalFiles:
    """A reader of local files, whose URIs are paths."""

    def open(self, uri: str) -> BinaryIO:
        """Open a file for reading; raise PhotoError if that fails."""
        return open_file(uri)

    def stamps(self, uris: Iterable[str]) -> dict[str, str]:
        """Return the size in bytes and the modification time in nanoseconds of each file.

        The stamp of a file that is missing or was modified very recently is empty.
        """
        return {uri: _stamp(uri) for uri in uris}


LOCAL_FILES = LocalFiles()


def _stamp(path: str) -> str:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return ""
    is_old_enough = time.time_ns() - status.st_mtime_ns > MIN_AGE_NS
    return f"{status.st_size} {status.st_mtime_ns}" if is_old_enough else ""
