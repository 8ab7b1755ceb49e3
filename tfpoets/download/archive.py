"""Archives unpacked so that nothing of them can land outside their folder."""
from __future__ import annotations

import gzip
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from tfpoets.errors import DownloadError, one_line

COPY_BYTES = 1 << 20
MAX_MEMBERS = 10_000
GZIP_MAGIC = b"\x1f\x8b"


def is_gzip(path: Path) -> bool:
    """Whether a file begins as gzip does (RFC 1952, 2.3.1)."""
    with open(path, "rb") as file:
        return file.read(2) == GZIP_MAGIC


def extract_tar_gz(archive: Path, folder: Path, max_bytes: int, name: str = "") -> None:
    """Unpacks the plain files and folders of a .tar.gz; anything else in it is refused.

    Args:
        archive: the file.
        folder: where its files go; it must exist.
        max_bytes: what the archive may hold in all, unpacked, headers included.
        name: what messages call the archive; empty: its file name.

    Raises:
        DownloadError: the archive is damaged or cut short, too large, or holds what could reach outside of `folder`:
            an absolute path, a path with `..`, a link, a device.
        OSError: the files cannot be written.
    """
    name = name or archive.name
    try:
        with gzip.open(archive) as unpacked:
            stream = _Limited(unpacked, name, max_bytes)
            with tarfile.open(fileobj=stream, mode="r:") as members:  # type: ignore[call-overload]
                _extract(members, name, folder, stream)
            while stream.read(COPY_BYTES):  # to the checksum, which stands at the very end
                pass
    # Names with zero bytes, headers that contradict themselves, folders nested a thousand deep: whatever tarfile says.
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, RecursionError) as error:
        raise DownloadError(f"{name} is damaged or cut short: {one_line(error)}", "Fetch it again.") from error


class _Limited:
    """A stream that ends a reader which wants too much of it: in all, or (a header of gigabytes) at a time."""

    def __init__(self, stream: gzip.GzipFile, name: str, max_bytes: int):
        self._stream, self._name, self._max_bytes = stream, name, max_bytes
        self.tell = stream.tell

    def read(self, size: int) -> bytes:
        """As the stream's; raises DownloadError beyond a limit."""
        if not 0 <= size <= COPY_BYTES:
            raise DownloadError(f"{self._name} holds a header of {size:,} bytes.", "That is no archive to trust.")
        content = self._stream.read(size)
        self.check(self._stream.tell())
        return content

    def seek(self, position: int, whence: int = 0) -> int:
        """As the stream's; raises DownloadError beyond the limit."""
        if whence == 0:
            self.check(position)
        return self._stream.seek(position, whence)

    def check(self, position: int) -> None:
        """Raises DownloadError for a place beyond the limit."""
        if position > self._max_bytes:
            raise DownloadError(f"{self._name} unpacks to more than the {self._max_bytes / 1e6:,.0f} MB that are "
                                "taken.")


def _extract(members: tarfile.TarFile, name: str, folder: Path, stream: _Limited) -> None:
    for number, member in enumerate(members):
        if number >= MAX_MEMBERS:
            raise DownloadError(f"{name} holds more than {MAX_MEMBERS:,} files.", "That is no archive to trust.")
        target = folder / _inside(member, name)
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        stream.check(member.offset_data + member.size)
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(members, member, target)


def _inside(member: tarfile.TarInfo, name: str) -> PurePosixPath:
    """Where a member belongs below the folder; raises DownloadError for one that must not be written."""
    # Windows reads backslashes and drive letters in what is one plain name elsewhere.
    path = PurePosixPath(member.name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or any(":" in part for part in path.parts):
        raise DownloadError(f"{name} holds the path {member.name!r}, which lies outside of it. Nothing of it is "
                            "used.")
    if not (member.isfile() or member.isdir()):
        raise DownloadError(f"{name} holds {member.name!r}, which is a link or a device and no file. Nothing of "
                            "it is used.")
    return path


def _copy(members: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = members.extractfile(member)
    assert source is not None  # it is a file
    with source, open(target, "wb") as file:
        while block := source.read(COPY_BYTES):
            file.write(block)
        if file.tell() != member.size:
            raise EOFError(f"{member.name} ends early")
