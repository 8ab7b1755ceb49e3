"""The free memory takes the limits of containers and services into account."""
from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tfpoets import memory


def write_group(folder: Path, limit: str, usage: int, inactive: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{usage}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\n")


@pytest.mark.parametrize("limit, expected", [("1000", 700), ("max", None)])
def test_a_control_group_limits_the_free_memory(limit: str, expected: int | None, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    write_group(tmp_path, limit, 500, 200)
    if expected is None:
        assert memory.free_memory() > psutil.virtual_memory().total / 1000
    else:
        assert memory.free_memory() == expected
