"""Read the costs of wrong answers from a table."""
from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfpoets.errors import DataError, closest_match, join_names

from .text_files import NotTextError, decode_text

# For more classes, the costs, of up to 55 bytes each, would not fit into the metadata of a classifier.
MAX_COST_CLASSES = 1000
# Larger files are not cost tables.
MAX_BYTES = 50_000_000
# The names of the columns, ignoring case, spaces, hyphens and underscores.
COLUMNS = (("true", "truelabel", "trueclass", "truth", "actual", "label"),
           ("predicted", "predictedlabel", "predictedclass", "prediction", "answer"), ("cost", "costs", "price"))
REMEDY = ("Write a CSV file with the columns true, predicted and cost, and a line for each confusion whose cost is "
          "not 1; or a table with the true labels in the first column and the predicted labels in the first line.")
# The cost of a wrong answer that a list of confusions does not contain.
DEFAULT_COST = 1.0


def read_costs(path: Path, labels: Sequence[str]) -> np.ndarray:
    """Read a table of costs.

    The table is either a list with the columns true, predicted and cost, in which confusions that are missing cost 1
    and correct answers 0; or a matrix, with a line for each true label and a column for each predicted label.

    Args:
        path: A CSV or TSV file.
        labels: The labels of the classifier.

    Returns:
        float64 [n_classes, n_classes], the cost by true class (rows) and answer (columns).

    Raises:
        DataError: The file cannot be read, names other labels, or has a cost that is not a number of at least 0; or
            there are too many labels.
    """
    if len(labels) > MAX_COST_CLASSES:
        raise DataError(f"Costs are only possible for up to {MAX_COST_CLASSES} classes, and there are {len(labels)}.",
                        "Omit `costs`.")
    rows = _read_rows(path)
    if not rows:
        raise DataError(f"The cost table {path} is empty.", REMEDY)
    columns = _find_columns(rows[0][1])
    costs = _read_list(path, rows[1:], columns, labels) if columns else _read_matrix(path, rows, labels)
    if not (costs[~np.eye(len(labels), dtype=bool)] > 0).any():
        raise DataError(f"In the cost table {path}, no wrong answer costs anything.", REMEDY)
    for index, label in enumerate(labels):
        if costs[index].min() < costs[index, index]:
            raise DataError(f"In the cost table {path}, a wrong answer for {label} costs less than the right one.",
                            "Swap the two labels if the lines name the answer first; the true label is first.")
    return costs


def _read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the lines of the table that are not empty, with their numbers."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"The cost table {path} is too large.", REMEDY)
        text = decode_text(path.read_bytes())
    except OSError as error:
        raise DataError(f"The cost table {path} cannot be read: {error.strerror}.") from None
    except NotTextError as error:
        raise DataError(f"The cost table {path} {error.description}.", error.remedy) from None
    first_line = text.lstrip().split("\n", 1)[0]
    delimiter = max(",;\t", key=first_line.count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        return [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise DataError(f"The cost table {path} is not a table: {error}.", REMEDY) from None


def _find_columns(header: Sequence[str]) -> list[int] | None:
    """Return the indices of the columns true, predicted and cost, or None if the table is not a list."""
    names = [re.sub(r"[\s_-]+", "", name).lower() for name in header]
    found = [next((names.index(alias) for alias in aliases if alias in names), -1) for aliases in COLUMNS]
    return found if min(found) >= 0 else None


def _read_list(path: Path, rows: Sequence[tuple[int, list[str]]], columns: Sequence[int], labels: Sequence[str]
               ) -> np.ndarray:
    costs = DEFAULT_COST * (1 - np.eye(len(labels)))
    lines: dict[tuple[int, int], int] = {}
    for number, row in rows:
        if len(row) <= max(columns):
            raise DataError(f"Line {number} of the cost table {path} is incomplete.", REMEDY)
        true, predicted = (_index(path, number, row[column], labels) for column in columns[:2])
        if (true, predicted) in lines:
            raise DataError(f"Lines {lines[true, predicted]} and {number} of the cost table {path} are about the same "
                            "confusion.", "Remove one of them.")
        lines[true, predicted] = number
        costs[true, predicted] = _cost(path, number, row[columns[2]])
    return costs


def _read_matrix(path: Path, rows: Sequence[tuple[int, list[str]]], labels: Sequence[str]) -> np.ndarray:
    (first_number, header), *others = rows
    predicted = [_index(path, first_number, name, labels) for name in header[1:]]
    true = [_index(path, number, row[0], labels) for number, row in others]
    for indices, place in ((predicted, "first line"), (true, "first column")):
        missing = [label for index, label in enumerate(labels) if index not in indices]
        if missing:
            raise DataError(f"The {place} of the cost table {path} lacks {join_names(missing)}.", REMEDY)
        if len(indices) > len(labels):
            raise DataError(f"The {place} of the cost table {path} contains a label twice.", REMEDY)
    costs = np.empty((len(labels), len(labels)))
    for index, (number, row) in zip(true, others):
        if len(row) != len(header):
            raise DataError(f"Line {number} of the cost table {path} does not have {len(header)} cells.", REMEDY)
        costs[index, predicted] = [_cost(path, number, cell) for cell in row[1:]]
    return costs


def _index(path: Path, number: int, name: str, labels: Sequence[str]) -> int:
    """Return the index of a label in the table."""
    name = unicodedata.normalize("NFC", name)  # as labels are; some programs decompose accents
    if name in labels:
        return labels.index(name)
    guess = closest_match(name, labels)
    raise DataError(f"Line {number} of the cost table {path} names {name!r}, which is not a label"
                    + (f"; did you mean {guess}?" if guess else "."), f"The labels are {join_names(labels)}.")


def _cost(path: Path, number: int, text: str) -> float:
    try:
        cost = math.nan if "_" in text else float(text)
    except ValueError:
        cost = math.nan
    if not 0 <= cost < 1e9:
        raise DataError(f"Line {number} of the cost table {path} has the cost {text!r}, which is not a number from 0 "
                        "to a billion.", "Use a decimal point, and no currency sign.")
    return cost
