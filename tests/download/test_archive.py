"""Archives are unpacked safely, and damaged or malicious ones are refused."""
from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tfpoets.download import extract_tar_gz
from tfpoets.errors import TfpoetsError

LIMIT = 1_000_000


def make_archive(folder: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    path = folder / "module.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def special_member(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_and_folders_are_unpacked(tmp_path: Path) -> None:
    packed = make_archive(tmp_path, special_member("./", tarfile.DIRTYPE),
                          (tarfile.TarInfo("./saved_model.pb"), b"graph"),
                          (tarfile.TarInfo("variables/variables.index"), b"index"))
    (tmp_path / "out").mkdir()
    extract_tar_gz(packed, tmp_path / "out", LIMIT)
    assert files(tmp_path / "out") == {"saved_model.pb": b"graph", "variables/variables.index": b"index"}


@pytest.mark.parametrize("member, message", [
    ((tarfile.TarInfo("../escaped"), b"x"), "would be outside the destination folder"),
    ((tarfile.TarInfo("a/../../escaped"), b"x"), "would be outside the destination folder"),
    ((tarfile.TarInfo("..\\escaped"), b"x"), "would be outside the destination folder"),
    ((tarfile.TarInfo("/tmp/escaped"), b"x"), "would be outside the destination folder"),
    ((tarfile.TarInfo("C:/escaped"), b"x"), "would be outside the destination folder"),
    (special_member("link", tarfile.SYMTYPE, "/etc/passwd"), "a link or a device"),
    (special_member("link", tarfile.LNKTYPE, "saved_model.pb"), "a link or a device"),
    (special_member("pipe", tarfile.FIFOTYPE), "a link or a device"),
    (special_member("disk", tarfile.BLKTYPE), "a link or a device"),
])
def test_nothing_is_written_outside_the_folder(tmp_path: Path, member: tuple[tarfile.TarInfo, bytes],
                                               message: str) -> None:
    packed = make_archive(tmp_path, (tarfile.TarInfo("saved_model.pb"), b"graph"), member)
    (tmp_path / "out").mkdir()
    with pytest.raises(TfpoetsError, match=message):
        extract_tar_gz(packed, tmp_path / "out", LIMIT)
    assert files(tmp_path) == {"module.tar.gz": packed.read_bytes(), "out/saved_model.pb": b"graph"}


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    packed = make_archive(tmp_path, (tarfile.TarInfo("zeros"), bytes(LIMIT + 1)))
    assert packed.stat().st_size < 10_000
    (tmp_path / "out").mkdir()
    with pytest.raises(TfpoetsError, match="unpacks to more than the 1 MB"):
        extract_tar_gz(packed, tmp_path / "out", LIMIT)
    assert files(tmp_path / "out") == {}


def test_a_header_of_several_megabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    packed = make_archive(tmp_path, (tarfile.TarInfo("a" * 3_000_000), b"x"))
    (tmp_path / "out").mkdir()
    with pytest.raises(TfpoetsError, match=r"contains a header of 3,\d{3},\d{3} bytes"):
        extract_tar_gz(packed, tmp_path / "out", 100 * LIMIT)


def test_impossible_file_names_are_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("name")
    member.pax_headers = {"path": "zero\0byte"}
    for bad_member in (member, tarfile.TarInfo("/".join(["deep"] * 1800))):
        packed = make_archive(tmp_path, (bad_member, b"x"))
        (tmp_path / "out").mkdir(exist_ok=True)
        with pytest.raises((TfpoetsError, OSError)):
            extract_tar_gz(packed, tmp_path / "out", LIMIT)


@pytest.mark.parametrize("damage", [lambda content: content[:len(content) // 2], lambda content: content[:-6],
                                    lambda content: content[:-8] + b"\0\0\0\0" + content[-4:],
                                    lambda content: content[:40] + b"\xff\xff" + content[42:]],
                         ids=["half", "end cut off", "wrong checksum", "flipped bits"])
def test_a_damaged_archive_is_refused(tmp_path: Path, damage) -> None:
    packed = make_archive(tmp_path, (tarfile.TarInfo("saved_model.pb"), bytes(range(256)) * 100))
    packed.write_bytes(damage(packed.read_bytes()))
    (tmp_path / "out").mkdir()
    with pytest.raises(TfpoetsError, match="module.tar.gz is damaged or cut short"):
        extract_tar_gz(packed, tmp_path / "out", LIMIT)
