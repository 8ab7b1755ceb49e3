"""Tables of what confusions cost, as lists and as matrices, and what is wrong with others."""
from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from tfpoets.data import read_costs
from tfpoets.errors import DataError

LABELS = ("cap", "death cap", "fly")


def read(folder: Path, text: str, encoding: str = "utf-8") -> list[list[float]]:
    path = folder / "costs.csv"
    path.write_text(text, encoding)
    return read_costs(path, LABELS).tolist()


@pytest.mark.parametrize("text", [
    "true,predicted,cost\ndeath cap,cap,50\ncap,fly,0.5\n",
    "Cost;True label;Predicted_Label\r\n50;death cap;cap\r\n0.5;cap;fly\r\n",
    "answer\ttruth\tcost\n\ncap\tdeath cap\t5e1\nfly\tcap\t.5\n"])
def test_confusions_that_are_not_listed_cost_1(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == [[0, 1, 0.5], [50, 0, 1], [1, 1, 0]]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_matrix_may_have_its_labels_in_any_order(tmp_path: Path, encoding: str) -> None:
    text = "true \\ predicted,fly,cap,death cap\ndeath cap,2,50,0\ncap,3,0,4\nfly,0,5,6\n"
    assert read(tmp_path, text, encoding) == [[0, 4, 3], [50, 0, 2], [5, 6, 0]]


@pytest.mark.parametrize(("text", "words"), [
    ("", "is empty"),
    ("true,predicted,cost\ndeth cap,cap,5\n", "Line 2 .* names 'deth cap', .* did you mean death cap?"),
    ("true,predicted,cost\ncap,fly,-1\n", "has the cost '-1'"),
    ("true,predicted,cost\ncap,fly,nan\n", "has the cost 'nan'"),
    ("true,predicted,cost\ncap,fly,1e99\n", "has the cost '1e99'"),
    ("true,predicted,cost\ncap,fly,2€\n", "has the cost '2€'"),
    ("true,predicted,cost\ncap,fly\n", "Line 2 .* is incomplete"),
    ("true,predicted,cost\ncap,fly,1\ncap,fly,2\n", "Lines 2 and 3 .* same confusion"),
    ("true,predicted,cost\ncap,cap,3\n", "a wrong answer for cap costs less than the right one"),
    (",cap,fly\ncap,0,1\nfly,1,0\n", "first line .* lacks death cap"),
    (",cap,death cap,fly\ncap,0,1,1\nfly,1,1,0\n", "first column .* lacks death cap"),
    (",cap,death cap,fly\ncap,0,1\ndeath cap,1,0,1\nfly,1,1,0\n", "Line 2 .* does not have 4 cells"),
    (",cap,death cap,fly,fly\ncap,0,1,1,1\ndeath cap,1,0,1,1\nfly,1,1,0,0\n", "contains a label twice"),
    (",cap,death cap,fly\ncap,0,0,0\ndeath cap,0,0,0\nfly,0,0,0\n", "no wrong answer costs anything")])
def test_other_tables_are_rejected_with_the_reason(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(tmp_path, text)


def test_files_that_are_not_tables_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "costs.xlsx").write_bytes(b"PK\x03\x04broken")
    for name in ("costs.xlsx", "missing.csv", "."):
        with pytest.raises(DataError, match="cost table"):
            read_costs(tmp_path / name, LABELS)


def test_a_table_with_decomposed_accents_names_the_same_labels(tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text(unicodedata.normalize("NFD", "true,predicted,cost\ncafé,bar,7\n"), "utf-8")
    assert read_costs(tmp_path / "costs.csv", ["bar", "café"])[1, 0] == 7


def test_costs_of_more_classes_than_the_metadata_can_hold_are_refused(tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text("true,predicted,cost\n0,1,7\n")
    with pytest.raises(DataError, match="up to 1000 classes"):
        read_costs(tmp_path / "costs.csv", [str(number) for number in range(1001)])
