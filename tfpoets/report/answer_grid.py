"""A picture of photos with the answers of a classifier."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from tfpoets.data import Photo

from .pictures import BACKGROUND, CORRECT_COLOUR, ERROR_COLOUR, FONT_SIZE, GAP, TEXT_COLOUR, TILE_SIZE, square_tile

# In pixels.
FRAME, BADGE_SIZE, LINE_HEIGHT = 4, 24, FONT_SIZE + 3
CELL_WIDTH, CELL_HEIGHT = TILE_SIZE + 2 * GAP, TILE_SIZE + 2 * LINE_HEIGHT + 2 * GAP
# No text of more characters fits below a photo.
MAX_LENGTH = 40
BADGE_TEXT_COLOUR = (255, 255, 255)
# The strokes of the marks, as points in a square of 24 x 24 pixels.
TICK = (((6, 12), (10, 17), (18, 7)),)
CROSS = (((7, 7), (17, 17)), ((7, 17), (17, 7)))

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Answer:
    """The answer of a classifier for a labelled photo.

    Attributes:
        photo: The photo, with its true label.
        label: The answer: a label of the classifier, or "unknown".
        score: The probability of the label, 0 to 1; None for "unknown".
        is_correct: Whether the answer is right.
    """

    photo: Photo
    label: str
    score: float | None
    is_correct: bool


def answer_grid(answers: Sequence[Answer]) -> Image.Image:
    """Return a picture of photos with the answers of a classifier below them, which is about as wide as high.

    Right answers have a green frame and a tick, wrong ones a red frame, a cross, and the true label in a second line.

    Args:
        answers: The photos and answers, from left to right and from top to bottom; at least one.

    Returns:
        An RGB image.
    """
    font = ImageFont.load_default(FONT_SIZE)
    columns = count_columns(len(answers))
    rows = math.ceil(len(answers) / columns)
    top = LINE_HEIGHT + GAP
    grid = Image.new("RGB", (columns * CELL_WIDTH, top + rows * CELL_HEIGHT), BACKGROUND)
    n_correct = sum(answer.is_correct for answer in answers)
    ImageDraw.Draw(grid).text((GAP, GAP), f"{n_correct} of {len(answers)} right", TEXT_COLOUR, font)
    for number, answer in enumerate(answers):
        row, column = divmod(number, columns)
        grid.paste(_draw_cell(answer, font), (column * CELL_WIDTH, top + row * CELL_HEIGHT))
    return grid


def count_columns(count: int) -> int:
    """Return the number of columns with which a grid of cells is about as wide as high, and has few empty cells."""
    def cost(columns: int) -> float:
        rows = math.ceil(count / columns)
        ratio = columns * CELL_WIDTH / (rows * CELL_HEIGHT)
        return abs(math.log(ratio)) + (columns * rows - count) / count
    return min(range(1, count + 1), key=cost)


def _draw_cell(answer: Answer, font: Font) -> Image.Image:
    """Return a photo with its frame, its mark and the lines below it."""
    cell = Image.new("RGB", (CELL_WIDTH, CELL_HEIGHT), BACKGROUND)
    draw, colour = ImageDraw.Draw(cell), CORRECT_COLOUR if answer.is_correct else ERROR_COLOUR
    cell.paste(square_tile(answer.photo), (GAP, GAP))
    right = GAP + TILE_SIZE - 1
    draw.rectangle((GAP, GAP, right, right), outline=colour, width=FRAME)
    left = right - BADGE_SIZE
    draw.rectangle((left, GAP, right, GAP + BADGE_SIZE), fill=colour)
    for stroke in TICK if answer.is_correct else CROSS:
        draw.line([(left + x, GAP + y) for x, y in stroke], BADGE_TEXT_COLOUR, 3)
    score = "" if answer.score is None else f" {answer.score:.0%}"
    first_line = GAP + TILE_SIZE + 2
    draw.text((GAP, first_line), _shorten_to_fit(answer.label, score, font), colour, font)
    if not answer.is_correct:
        true_label = _shorten_to_fit(f"true: {answer.photo.label}", "", font)
        draw.text((GAP, first_line + LINE_HEIGHT), true_label, TEXT_COLOUR, font)
    return cell


def _shorten_to_fit(text: str, ending: str, font: Font) -> str:
    """Return text and ending, with the end of the text replaced by an ellipsis if both are wider than a photo."""
    text = " ".join(text.split())  # names of folders may contain line breaks
    if font.getlength(text + ending) <= TILE_SIZE:
        return text + ending
    length = next((length for length in range(min(len(text) - 1, MAX_LENGTH), 0, -1)
                   if font.getlength(f"{text[:length]}…{ending}") <= TILE_SIZE), 0)
    return f"{text[:length]}…{ending}"
