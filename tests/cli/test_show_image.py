"""The show_image command, and its function for notebooks."""
from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import write_photos
from tfpoets.cli import show_image
from tfpoets.cli.show_image import ShowOptions, find_answers
from tfpoets.data import Photo, photo_digest
from tfpoets.inference import load_classifier
from tfpoets.report import Answer, answer_grid
from tfpoets.report.answer_grid import BADGE_SIZE, CELL_HEIGHT, CELL_WIDTH, LINE_HEIGHT
from tfpoets.report.pictures import (BACKGROUND, CORRECT_COLOUR, ERROR_COLOUR, FONT_SIZE, GAP, TILE_SIZE)


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
    (["nowhere", "--output=x.gif"], 2, "must end in .png or .jpg"),
    (["nowhere", "--seed=3"], 2, "--seed is only for a picture of the answers"),
    (["nowhere", "--graph=x.pb", "--photos_per_class=3"], 2, "Use --photos."),
    (["nowhere", "--graph=x.pb", "--photos=0"], 2, "--photos"),
    (["nowhere", "--graph=x.pb"], 1, "There is no classifier at x.pb")])
def test_errors_are_reported(arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture) -> None:
    assert show_image.main(arguments) == code
    assert words in capsys.readouterr().err


def test_many_classes_are_shown_in_several_columns(tmp_path: Path) -> None:
    for number in range(40):
        write_photos(tmp_path / "many" / f"class {number:02}", 2, number)
    assert show_image.main(["many", "--photos_per_class=2"]) == 0
    with Image.open("tf_files/photos.png") as picture:
        assert 2 / 3 < picture.width / picture.height < 3 / 2
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    framed = np.abs(pixels - BACKGROUND).sum(2) > 60
    assert framed.sum() == pytest.approx(80 * TILE_SIZE ** 2, rel=0.05)


@pytest.fixture
def new_photos(retrained: Path) -> Path:
    """The current folder, with a classifier in tf_files/ and photos that it was not trained on in new/."""
    shutil.copytree(retrained / "tf_files", "tf_files")
    for hue, label in enumerate(("red", "green", "blue")):
        write_photos(Path("new", label), 30, hue, seed=50)
    return Path("new")


def read_frames(path: str, count: int) -> list[tuple[int, int, int]]:
    """Return the colours of the frames in a picture of answers, from left to right and from top to bottom."""
    with Image.open(path) as picture:
        columns = picture.width // CELL_WIDTH
        return [picture.getpixel(((number % columns) * CELL_WIDTH + GAP + TILE_SIZE // 2,
                                  LINE_HEIGHT + GAP + (number // columns) * CELL_HEIGHT + GAP + 1))
                for number in range(count)]


def test_answers_are_marked_as_right_or_wrong(new_photos: Path, capsys: pytest.CaptureFixture) -> None:
    for path in sorted((new_photos / "red").iterdir()):  # these are answered with red, but their folder says blue
        shutil.copy(path, new_photos / "blue" / f"really_red_{path.name}")
    shutil.rmtree(new_photos / "red")
    assert show_image.main(["new", "--graph=tf_files/retrained_graph.tflite", "--photos=60"]) == 0
    output = capsys.readouterr().out
    classifier = load_classifier(Path("tf_files/retrained_graph.tflite"))
    frames = read_frames("tf_files/answers.png", 60)
    assert set(frames) == {CORRECT_COLOUR, ERROR_COLOUR}
    assert f", {frames.count(CORRECT_COLOUR)} of 60 right" in output
    right = {label: [classifier.label(str(path)) == label for path in Path("new", label).iterdir()]
             for label in ("blue", "green")}
    assert frames[30:].count(CORRECT_COLOUR) == sum(right["green"])  # all green photos, after 30 of 60 blue ones
    assert 0 < frames[:30].count(ERROR_COLOUR) < 30 and sum(right["blue"]) < 60


def test_marks_differ_in_more_than_colour() -> None:
    photo = Photo("missing.png", "cat")
    pictures = [np.asarray(answer_grid([Answer(photo, "cat", 0.9, is_correct)]).convert("L")).astype(int)
                for is_correct in (True, False)]
    top, right = LINE_HEIGHT + 2 * GAP, GAP + TILE_SIZE
    tick, cross = (picture[top:top + BADGE_SIZE, right - BADGE_SIZE:right] > 200 for picture in pictures)
    assert tick.sum() > 20 and cross.sum() > 20 and (tick != cross).sum() > 40


@pytest.mark.parametrize("count", [1, 2, 25, 37, 100, 400])
def test_the_picture_of_answers_is_about_square(count: int) -> None:
    photo = Photo("missing.png", "a very long label that is wider than the photo\nand has two lines")
    picture = answer_grid([Answer(photo, photo.label, 0.5, False)] * count)
    assert count < 5 or 0.7 < picture.width / picture.height < 1.4
    assert picture.width * picture.height < 1.35 * count * CELL_WIDTH * CELL_HEIGHT


def test_photos_are_drawn_evenly_from_the_classes_and_another_seed_draws_others(
        new_photos: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["new", "--graph=tf_files/retrained_graph.tflite", "--photos=9"]
    pictures = []
    for seed in ("--seed=1", "--seed=1", "--seed=2"):
        assert show_image.main([*command, seed, "--output=answers.png"]) == 0
        pictures.append(Path("answers.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]
    options = ShowOptions(image_dir="new", output=Path("x.png"), photos=9)
    answers = find_answers(Path("tf_files/retrained_graph.tflite"), options)
    assert [answer.photo.label for answer in answers] == ["blue"] * 3 + ["green"] * 3 + ["red"] * 3
    assert all(0.3 < answer.score <= 1 for answer in answers)


def test_training_photos_are_left_out(retrained: Path, new_photos: Path, capsys: pytest.CaptureFixture) -> None:
    graph = Path("tf_files/retrained_graph.tflite")
    metadata = load_classifier(graph).metadata
    options = ShowOptions(image_dir=retrained / "photos", output=Path("x.png"), photos=400)
    shown = [answer.photo for answer in find_answers(graph, options)]
    assert len(shown) == metadata.test.count
    assert not any(metadata.training_digest_mask([photo_digest(photo.read()) for photo in shown]))
    shutil.copytree(retrained / "photos", "trained")
    for photo in shown:
        Path("trained", *Path(photo.uri).parts[-2:]).unlink()
    assert show_image.main(["trained", f"--graph={graph}"]) == 0
    captured = capsys.readouterr()
    assert "was trained on all of these photos" in captured.err and "of 25 right" in captured.out


def test_unknown_photos_are_right_if_they_are_rejected(retrained: Path, new_photos: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), np.uint8)
    Path("new/unknown").mkdir()
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(f"new/unknown/{number}.png")
    options = ShowOptions(image_dir="new", output=Path("x.png"), photos=400)
    answers = find_answers(retrained / "unknown" / "g.tflite", options)
    rejected = [answer for answer in answers if answer.label == "unknown"]
    assert len(answers) == 93 and {answer.photo.label for answer in rejected} >= {"unknown"}
    for answer in rejected:
        assert answer.score is None and answer.is_correct == (answer.photo.label == "unknown")


def test_graphs_of_tensorflow_for_poets_can_be_shown(shared_data: Path, flowers: Path,
                                                     capsys: pytest.CaptureFixture) -> None:
    graph = shared_data / "poets_graphs" / "glasses_mobilenet_0.25_224" / "retrained_graph.pb"
    for folder, label in (("With-Glasses", "daisy"), ("without glasses", "roses")):
        Path("people", folder).mkdir(parents=True)
        for photo in sorted((flowers / label).iterdir())[:3]:
            shutil.copy(photo, Path("people", folder))
    assert show_image.main(["people", f"--graph={graph}"]) == 0
    captured = capsys.readouterr()
    assert "of 6 right" in captured.out and "does not state which photos it was trained on" in captured.err


def test_the_notebook_function_prints_the_credit_of_a_photo(photo_folder: Path, capsys: pytest.CaptureFixture) -> None:
    (photo_folder / "LICENSE.txt").write_text("red/001.png CC-BY by Ada\nred/002.png CC-BY by Bob\n")
    picture = show_image.show_image(photo_folder / "red" / "002.png")
    assert picture.size == (48, 48) and capsys.readouterr().out == "red/002.png CC-BY by Bob\n"
    show_image.show_image(photo_folder / "blue" / "002.png")
    assert capsys.readouterr().out == ""


def test_the_script_still_exports_show_image() -> None:
    from scripts import show_image as script
    assert script.show_image is show_image.show_image and script.main is show_image.main
