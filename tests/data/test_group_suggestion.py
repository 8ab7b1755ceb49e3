"""A pattern is suggested only if the file names show which photos belong to the same scene."""
from __future__ import annotations

import pytest

from tfpoets.data import suggest_group_pattern

VIDEOS = [f"video{video:02}_frame{frame:03}.jpg" for video in range(12) for frame in range(20)]
BURSTS = [f"{scene:03}_{number}.jpg" for scene in range(30) for number in range(4)]
CLIPS = [f"{kind}{clip}-img{number}.png" for kind in ("cat", "dog") for clip in range(9) for number in range(10, 14)]


def neighbours(names: list[str], size: int) -> list[tuple[str, str]]:
    return [(names[row], names[row + 1]) for row in range(0, len(names), size)]


@pytest.mark.parametrize("names, size, pattern", [
    (VIDEOS, 20, "video{group}_frame*"), (BURSTS, 4, "{group}_*"), (CLIPS, 4, "{group}-img*")])
def test_the_number_that_differs_within_a_scene_is_not_part_of_the_group(names: list[str], size: int, pattern: str
                                                                        ) -> None:
    assert suggest_group_pattern(neighbours(names, size), names) == pattern


def test_a_few_other_pairs_and_names_do_not_matter() -> None:
    pairs = [*neighbours(VIDEOS, 20), ("video01_frame003.jpg", "video07_frame011.jpg")]
    assert suggest_group_pattern(pairs, [*VIDEOS, "cover.jpg"]) == "video{group}_frame*"


@pytest.mark.parametrize("names, size", [
    ([f"IMG_{number:04}.jpg" for number in range(200)], 2),  # consecutive numbers do not show where a scene ends
    ([f"{number}.jpg" for number in range(200)], 2),
    ([f"{label}_b{scene}_{number}.jpg" for label in "xy" for scene in range(20) for number in range(5)], 5),  # two "_"
    ([f"v{scene}'$(x)_{number}.jpg" for scene in range(20) for number in range(5)], 5),
    ([f"cam1_{number}.jpg" for number in range(100)], 2),  # a single group
    (["rose.jpg", "tulip.jpg", "daisy.jpg"], 2)])
def test_nothing_is_suggested_if_the_names_do_not_show_the_scenes(names: list[str], size: int) -> None:
    assert suggest_group_pattern(neighbours(names[:len(names) // size * size], size), names) == ""


def test_a_pattern_that_would_separate_many_pairs_is_not_suggested() -> None:
    pairs = [(VIDEOS[20 * video], VIDEOS[20 * video + 25]) for video in range(10)]
    assert suggest_group_pattern([*pairs, *neighbours(VIDEOS, 20)[:3]], VIDEOS) == ""
