"""A small attack on a server; `python -m tests.attack.requests` runs larger ones."""
from __future__ import annotations

from pathlib import Path

from tests.attack.requests import attack


def test_every_request_gets_the_right_answer_or_a_clean_error(retrained: Path) -> None:
    photos = [path.read_bytes() for path in sorted((retrained / "photos").glob("*/*.jpg"))[::5]]
    assert attack(retrained / "tf_files" / "retrained_graph.tflite", photos, count=200, seed=1) == []
