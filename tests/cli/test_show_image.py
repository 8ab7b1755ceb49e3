"""The show_image command, and its function for notebooks."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfpoets.cli import show_image
from tfpoets.report.pictures import FONT_SIZE, GAP, TILE_SIZE


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_class_has_a_row_of_photos(photo_folder: Path, capsys: pytest.CaptureFixture) -> None:
    (photo_folder / "green" / "000.png").write_bytes(b"no photo")
    assert show_image.main([str(photo_folder), "--photos_per_class=3"]) == 0
    assert capsys.readouterr().out.startswith("tf_files/photos.png: ")
    with Image.open("tf_files/photos.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape[1] == 3 * (TILE_SIZE + GAP) + GAP
    for row, colour in enumerate((2, 1, 0)):  # blue, green, red: the order of the labels
        top = row * (TILE_SIZE + FONT_SIZE + 3 * GAP) + FONT_SIZE + 2 * GAP
        tile = pixels[top:top + TILE_SIZE, 2 * (TILE_SIZE + GAP) + GAP:][:, :TILE_SIZE].mean((0, 1))
        assert tile.argmax() == colour


@pytest.mark.parametrize("arguments, code, words", [
    ([], 2, "FOLDER is missing"), (["nowhere"], 1, "There is no folder nowhere"),
    (["nowhere", "--output=x.gif"], 2, "must end in .png or .jpg")])
def test_errors_are_reported(arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture) -> None:
    assert show_image.main(arguments) == code
    assert words in capsys.readouterr().err


def test_the_notebook_function_prints_the_credit_of_a_photo(photo_folder: Path, capsys: pytest.CaptureFixture) -> None:
    (photo_folder / "LICENSE.txt").write_text("red/001.png CC-BY by Ada\nred/002.png CC-BY by Bob\n")
    picture = show_image.show_image(photo_folder / "red" / "002.png")
    assert picture.size == (48, 48) and capsys.readouterr().out == "red/002.png CC-BY by Bob\n"
    show_image.show_image(photo_folder / "blue" / "002.png")
    assert capsys.readouterr().out == ""


def test_the_script_still_exports_show_image() -> None:
    from scripts import show_image as script
    assert script.show_image is show_image.show_image and script.main is show_image.main
