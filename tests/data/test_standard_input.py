"""Standard input contains a photo, or a list of photos in any Unicode encoding."""
from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest
from PIL import Image

from tfpoets.data import InputSources
from tfpoets.errors import DataError, PhotoError

NAMES = ["rot/1.jpg", "größe/ü 2.png", "/x/🌻.jpg", "http://127.0.0.1/3.jpg"]


def read(content: bytes) -> list[str]:
    return list(InputSources(["-"], io.TextIOWrapper(io.BytesIO(content), "ascii")))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
@pytest.mark.parametrize("ends_with_line_break", [False, True])
def test_lists_are_decoded(encoding: str, line_break: str, ends_with_line_break: bool) -> None:
    text = line_break.join(NAMES) + (line_break if ends_with_line_break else "")
    assert read(text.encode(encoding)) == NAMES


def test_utf_16_lists_with_a_byte_order_mark_are_decoded() -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        assert read("\ufeffa.jpg\r\nb.jpg\r\n".encode(encoding)) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("name", ["größe.jpg", "роза 1.jpg", "ρόδο 1.jpg", "my photos/玫瑰.jpg"])
def test_names_in_other_alphabets_are_decoded(name: str) -> None:
    for encoding in ("utf-8", "utf-16", "utf-16-le", "utf-16-be"):
        assert read(f"{name}\nx.jpg\n".encode(encoding)) == [name, "x.jpg"]


@pytest.mark.parametrize("names", [["BMW/1.jpg", "x.jpg"], ["P1.jpg"], ["Py/a.png", "b.png"], ["GIF89a.gif"], ["a"],
                                   []])
def test_names_that_begin_like_an_image_format_are_names(names: list[str]) -> None:
    assert read("\n".join(names).encode()) == names


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO"])
def test_a_photo_is_recognized(format_: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (10, 10, 10)).save(file, format_)
    sources = InputSources(["-"], io.TextIOWrapper(io.BytesIO(file.getvalue()), "ascii"))
    assert list(sources) == ["-"]
    assert sources.read("-") == file.getvalue()


@pytest.mark.parametrize("content", [b"PK\x03\x04\0\0\0\0rest", b"\0" * 100, b"caf\xe9.jpg\n",
                                     "ü.jpg".encode("utf-16")[:-1],
                                     b"a" * 100_000, b"a.jpg\nb\0c.jpg\n", b"\xff\xfe\0\xd8\0\0"])
def test_other_content_is_an_error(content: bytes) -> None:
    with pytest.raises(DataError, match="[Ss]tandard input"):
        read(content)


def test_a_file_with_an_undecodable_name_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = b"caf\xe9.jpg"
    try:
        Path(os.fsdecode(name)).touch()
    except OSError:
        pytest.skip("this file system allows only names in UTF-8")
    assert read(name + b"\n") == [os.fsdecode(name)]


def test_a_list_is_read_line_by_line_while_it_is_being_written() -> None:
    readable, writable = os.pipe()
    names = iter(InputSources(["-"], os.fdopen(readable, encoding="ascii")))
    timer = threading.Timer(20, os.close, [writable])  # ends the test if reading waits for more
    timer.start()
    for name in ("a", "b.jpg"):
        os.write(writable, f"{name}\n".encode())
        assert next(names) == name
    assert timer.is_alive()
    timer.cancel()
    os.close(writable)
    assert list(names) == []


def test_pipes_that_the_shell_has_opened_are_read_but_other_pipes_and_devices_are_not(tmp_path: Path) -> None:
    if not os.path.exists("/dev/fd/0"):
        pytest.skip("this system has no names for open files")
    readable, writable = os.pipe()
    os.write(writable, b"content")
    os.close(writable)
    assert InputSources([]).read(f"/dev/fd/{readable}") == b"content"
    os.close(readable)
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", "/dev/null"):
        with pytest.raises(PhotoError, match="it is not a regular file"):
            InputSources([]).read(str(path))
