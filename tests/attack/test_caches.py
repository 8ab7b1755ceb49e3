"""The attack on the files that runs keep, with a few cases."""
from __future__ import annotations

from pathlib import Path

import pytest

from .caches import attack_all
from .small_runs import working_folder


def test_damaged_files_do_not_change_what_is_written(tmp_path: Path) -> None:
    with working_folder(tmp_path):
        assert attack_all(4, 0) == {}


@pytest.mark.slow
def test_many_damaged_files_do_not_change_what_is_written(tmp_path: Path) -> None:
    with working_folder(tmp_path):
        assert attack_all(25, 100) == {}
