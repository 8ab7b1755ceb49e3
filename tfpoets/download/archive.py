"""Unpack archives, without writing anything outside the destination folder."""
from __future__ import annotations

import gzip
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from tfpoets.errors import DownloadError, one_line

COPY_BYTES = 1 << 20
MAX_MEMBERS = 10_000
GZIP_MAGIC = b"\x1f\x8b"

UNTRUSTED = "Do not use this archive: it may be malicious."


def is_gzip(path: Path) -> bool:
    """Return whether a file begins like a gzip file (RFC 1952, 2.3.1)."""
    with open(path, "rb") as file:
        return file.read(2) == GZIP_MAGIC


def extract_tar_gz(archive: Path, folder: Path, max_bytes: int, name: str = "") -> None:
    """Unpack a .tar.gz that contains only regular files and folders.

    Args:
        archive: The path of the archive.
        folder: The destination, which must exist.
        max_bytes: The maximum unpacked size of the archive in bytes, including headers.
        name: The name of the archive in messages; empty for its file name.

    Raises:
        DownloadError: The archive is damaged, cut short or too large, or has a member that could be outside of
            `folder`: an absolute path, a path with `..`, a link or a device.
        OSError: The files cannot be written.
    """
    name = name or archive.name
    try:
        with gzip.open(archive) as unpacked:
            stream = _LimitedStream(unpacked, name, max_bytes)
            with tarfile.open(fileobj=stream, mode="r:") as members:  # type: ignore[call-overload]
                _extract(members, name, folder, stream)
            while stream.read(COPY_BYTES):  # up to the checksum, which is at the end of the file
                pass
    # tarfile raises various errors, for instance for null bytes in names, contradictory headers, or very deep folders.
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, RecursionError) as error:
        raise DownloadError(f"{name} is damaged or cut short: {one_line(error)}", "Download it again.") from error


class _LimitedStream:
    """A stream that limits the total number of bytes read and the size of each read, such as that of a header."""

    def __init__(self, stream: gzip.GzipFile, name: str, max_bytes: int):
        self._stream, self._name, self._max_bytes = stream, name, max_bytes
        self.tell = stream.tell

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes; raise DownloadError beyond a limit."""
        if not 0 <= size <= COPY_BYTES:
            raise DownloadError(f"{self._name} contains a header of {size:,} bytes.", UNTRUSTED)
        content = self._stream.read(size)
        self.check_position(self._stream.tell())
        return content

    def seek(self, position: int, whence: int = 0) -> int:
        """Change the position; raise DownloadError beyond the limit."""
        if whence == 0:
            self.check_position(position)
        return self._stream.seek(position, whence)

    def check_position(self, position: int) -> None:
        """Raise DownloadError for a position beyond the limit."""
        if position > self._max_bytes:
            raise DownloadError(f"{self._name} unpacks to more than the {self._max_bytes / 1e6:,.0f} MB allowed.")


def _extract(members: tarfile.TarFile, name: str, folder: Path, stream: _LimitedStream) -> None:
    """Extract the members of an archive, after checking the path and size of each."""
    for number, member in enumerate(members):
        if number >= MAX_MEMBERS:
            raise DownloadError(f"{name} contains more than {MAX_MEMBERS:,} files.", UNTRUSTED)
        target = folder / _safe_path(member, name)
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        stream.check_position(member.offset_data + member.size)
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_member(members, member, target)


def _safe_path(member: tarfile.TarInfo, name: str) -> PurePosixPath:
    """Return the path of a member relative to the destination; raise DownloadError if it must not be written."""
    # On Windows, backslashes and drive letters are parts of a path; elsewhere they are ordinary characters.
    path = PurePosixPath(member.name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or any(":" in part for part in path.parts):
        raise DownloadError(f"{name} contains the path {member.name!r}, which would be outside the destination "
                            "folder.", UNTRUSTED)
    if not (member.isfile() or member.isdir()):
        raise DownloadError(f"{name} contains {member.name!r}, which is a link or a device, not a file.", UNTRUSTED)
    return path


def _write_member(members: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = members.extractfile(member)
    assert source is not None  # the member is a file
    with source, open(target, "wb") as file:
        while block := source.read(COPY_BYTES):
            file.write(block)
        if file.tell() != member.size:
            raise EOFError(f"{member.name} ends early")
