"""Archives unpacked so that nothing of them can land outside their folder."""
from __future__ import annotations

import gzip
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from scripts.console import UserError, one_line

COPY_BYTES = 1 << 20
MOST_MEMBERS = 10_000
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
        max_bytes: what they may take in all, unpacked.
        name: what messages call the archive; empty: its file name.

    Raises:
        UserError: the archive is damaged or cut short, too large, or holds what could reach outside of `folder`: an
            absolute path, a path with `..`, a link, a device.
        OSError: the files cannot be written.
    """
    name = name or archive.name
    try:
        with gzip.open(archive) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as members:
                _extract(members, name, folder, max_bytes)
            while stream.read(COPY_BYTES):  # to the checksum, which stands at the very end
                _check_size(stream.tell(), name, max_bytes)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{name} is damaged or cut short: {one_line(error)}", "Fetch it again.") from error


def _extract(members: tarfile.TarFile, name: str, folder: Path, max_bytes: int) -> None:
    total = 0
    for number, member in enumerate(members):
        if number >= MOST_MEMBERS:
            raise UserError(f"{name} holds more than {MOST_MEMBERS:,} files.", "That is no archive to trust.")
        target = folder / _inside(member, name)
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        total += member.size
        _check_size(total, name, max_bytes)
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(members, member, target)


def _check_size(size: int, name: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise UserError(f"{name} unpacks to more than the {max_bytes / 1e6:,.0f} MB that are taken.")


def _inside(member: tarfile.TarInfo, name: str) -> PurePosixPath:
    """Where a member belongs below the folder; raises UserError for one that must not be written."""
    # Windows reads backslashes and drive letters in what is one plain name elsewhere.
    path = PurePosixPath(member.name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or any(":" in part for part in path.parts):
        raise UserError(f"{name} holds the path {member.name!r}, which lies outside of it. Nothing of it is "
                        "used.")
    if not (member.isfile() or member.isdir()):
        raise UserError(f"{name} holds {member.name!r}, which is a link or a device and no file. Nothing of "
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
