"""Bottlenecks that do not fit in memory are read from a temporary file, row by row."""
from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from tfpoets.data import StoredRows, new_rows, row_slices, take_rows
from tfpoets.errors import DataError

PARTS = [np.arange(12, dtype=np.float32).reshape(4, 3), np.arange(100, 115, dtype=np.float32).reshape(5, 3)]
ALL = np.concatenate(PARTS)
ROWS = np.array([8, 0, 3, 4, 4])


@pytest.mark.parametrize("key", [slice(None), slice(1, 4), slice(2, 7), slice(None, None, 3), slice(4, 4), 5, -1,
                                 [7, 2, 2], np.array([0, 8]), ALL[:, 0] > 5, (slice(3, 6), 1)], ids=str)
def test_stored_rows_are_indexed_like_an_array(key: object) -> None:
    np.testing.assert_array_equal(StoredRows(PARTS)[key], ALL[key])


def test_a_selection_of_a_selection_has_the_right_rows() -> None:
    selected = StoredRows(PARTS, ROWS)
    assert (selected.shape, len(selected), selected.nbytes) == ((5, 3), 5, 60)
    np.testing.assert_array_equal(selected[1:], ALL[ROWS][1:])
    np.testing.assert_array_equal(np.asarray(take_rows(selected, np.array([2, 0]))), ALL[ROWS[[2, 0]]])
    np.testing.assert_array_equal(np.asarray(StoredRows([selected, PARTS[0]])[3:7]),
                                  np.concatenate([ALL[ROWS], PARTS[0]])[3:7])


def test_the_mean_is_computed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfpoets.data.stored_rows.BLOCK_ROWS", 4)
    np.testing.assert_allclose(StoredRows(PARTS).mean(axis=0), ALL.mean(axis=0))


def test_an_array_made_of_stored_rows_is_a_copy() -> None:
    array = np.array(StoredRows(PARTS[:1]))
    array[:] = -1
    assert PARTS[0][0, 1] == 1


def test_rows_beyond_the_limit_are_in_a_file_that_is_already_deleted(tmp_path: Path) -> None:
    assert not isinstance(new_rows((10, 3), tmp_path, 120), np.memmap)
    rows = new_rows((10, 3), tmp_path, 119)
    assert isinstance(rows, np.memmap)
    rows[:9] = ALL
    selected = take_rows(rows, np.arange(10) % 2 == 0)
    assert isinstance(selected, StoredRows)
    np.testing.assert_array_equal(selected[:], np.array(rows)[::2])
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_a_killed_run_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".bottlenecks-abc.npy").write_bytes(b"left behind")
    (tmp_path / "bottlenecks.sqlite").write_bytes(b"")
    new_rows((2, 3), tmp_path, 1000)
    assert [path.name for path in tmp_path.iterdir()] == ["bottlenecks.sqlite"]


def test_a_full_disk_is_reported_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(DataError, match="No space left") as caught:
        new_rows((10, 3), tmp_path, 0)
    assert "`bottleneck_dir`" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_only_rows_on_disk_are_processed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfpoets.data.stored_rows.BLOCK_ROWS", 4)
    assert list(row_slices(ALL)) == [slice(None)]
    assert list(row_slices(StoredRows(PARTS))) == [slice(0, 4), slice(4, 8), slice(8, 9)]


def test_rows_of_a_large_array_in_memory_are_selected_without_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.arange(30, dtype=np.float32).reshape(10, 3)
    assert isinstance(take_rows(X, np.array([4, 1])), np.ndarray)
    monkeypatch.setattr("tfpoets.data.stored_rows.MAX_COPIED_BYTES", X.nbytes - 1)
    selected = take_rows(X, np.array([4, 1]))
    np.testing.assert_array_equal(selected[:], X[[4, 1]])
    X[4] = 0
    assert not selected[0].any()
