"""Work in threads stays close to whoever uses its results, so that few of them are in memory."""
from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tfpoets.data import Photo, stored_pixels
from tfpoets.parallel import LOOKAHEAD, map_in_order
from tfpoets.progress import listen_to_progress


def test_results_are_in_the_order_of_the_items() -> None:
    def slow_square(number: int) -> int:
        time.sleep(0.01 if number % 3 == 0 else 0)
        return number ** 2
    assert list(map_in_order(slow_square, range(50), 4)) == [number ** 2 for number in range(50)]
    assert list(map_in_order(slow_square, [], 4)) == []


@pytest.mark.parametrize("more", [0, 7])
def test_items_are_not_consumed_far_in_advance(more: int) -> None:
    consumed = itertools.count()
    results = map_in_order(lambda item: item, consumed, 2, more)  # infinitely many items
    assert [next(results) for _ in range(100)] == list(range(100))
    results.close()
    assert next(consumed) <= 100 + 2 * LOOKAHEAD + more


def test_several_threads_work_at_the_same_time() -> None:
    barrier = threading.Barrier(3, timeout=10)
    assert len(list(map_in_order(lambda _: barrier.wait(), range(6), 3))) == 6


def test_an_error_is_raised_in_the_place_of_its_result_and_ends_the_work() -> None:
    started: list[int] = []

    def fail_at_three(number: int) -> int:
        started.append(number)
        if number == 3:
            raise ValueError("three")
        return number
    results = map_in_order(fail_at_three, range(1000), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert len(started) <= 3 + 1 + 2 * LOOKAHEAD


def test_photos_are_not_decoded_far_ahead_of_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    ahead: list[int] = []

    def decode(data: bytes, height: int, width: int) -> np.ndarray:
        decoded.append(height)
        return np.zeros((height, width, 3), np.uint8)

    def write_slowly(progress: object) -> None:
        time.sleep(0.002)
        ahead.append(len(decoded) - len(ahead))
    monkeypatch.setattr(stored_pixels, "load_pixels", decode)
    monkeypatch.setattr(Photo, "read", lambda self: b"")
    photos = [Photo(f"{number}.jpg", "a", digest=str(number)) for number in range(300)]
    with listen_to_progress(write_slowly):
        pixels = stored_pixels.store_pixels(photos, 4, 4, tmp_path, workers=2)
    assert pixels.shape == (300, 4, 4, 3) and len(ahead) == 300
    assert max(ahead) <= 2 * LOOKAHEAD + 1
