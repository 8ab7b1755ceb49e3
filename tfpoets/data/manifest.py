"""Read manifests: tables that name photo files with their labels, as CSV, TSV, JSON lines or Parquet."""
from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from tfpoets.errors import DataError, PhotoError

from .formats import has_photo_suffix
from .part_names import part_of_value
from .photo_files import open_file
from .text_files import NotTextError, decode_text

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
# The names of columns, ignoring case, spaces, hyphens and underscores; the first one that a table has is used. They
# are those of Keras's flow_from_dataframe (filename, class), of Ultralytics, Roboflow and Hugging Face (file_name),
# and of common datasets on Kaggle.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "filepath", "filepaths", "filename", "filenames", "file", "files", "image", "images", "imagepath",
             "imagename", "imagefile", "imgpath", "imgname", "img", "photo", "photopath", "uri", "fname", "imageid",
             "imgid", "photoid", "id"),
    "label": ("label", "labels", "labelname", "class", "classname", "classes", "category", "categoryname", "species",
              "breed", "diagnosis", "dx", "variety", "target", "classid", "labelid", "categoryid"),
    "part": ("part", "split", "subset", "partition", "set", "dataset", "phase", "usage"),
    "group": ("group", "groupid", "video", "videoid", "patient", "patientid", "subject", "subjectid", "object",
              "objectid", "scene", "sceneid", "sequence", "sequenceid", "lesionid", "individual", "individualid")}
# Columns with the names of labels, if another column contains their numbers.
LABEL_NAMES = ("labelname", "classname", "categoryname", "species", "breed", "diagnosis", "variety", "class",
               "category")
# Columns that may have nothing to do with the split.
AMBIGUOUS_COLUMNS = ("set", "dataset", "phase", "usage")
# A table that the user has not named is only read if it is at most this large.
MAX_BYTES_IF_UNASKED = 20_000_000
ONE_LABEL = "A classifier learns one label per photo."
REMEDY = ("Name the columns path and label (and, optionally, part and group), in a CSV, TSV, JSON lines or Parquet "
          "file.")
# A first line that states the separator of the columns. Excel reads it, and other programs write it for Excel.
_SEPARATOR_LINE = re.compile(r'\s*"?sep=(?P<separator>[^\r\n"])"?[^\S\r\n]*(\r\n?|\n|\Z)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """A row of a manifest.

    Attributes:
        path: The path or name of the photo, as the table gives it.
        label: The label; empty if the row has none.
        part: One of PARTS, or empty.
        group: The name of the group; empty if the row has none.
    """

    path: str
    label: str
    part: str = ""
    group: str = ""


@dataclass(frozen=True)
class Manifest:
    """A manifest.

    Attributes:
        columns: The names of the columns that are used, as text.
        rows: The rows with a path.
    """

    columns: str
    rows: list[ManifestRow]


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    A table without a header is accepted if its columns are a file name and a label. Instead of a column with labels,
    there may be one column per class that contains 0 or 1, as in Roboflow's exports.

    Raises:
        DataError: The file cannot be read, or has no column with file names or labels.
    """
    header, rows = _read_table(path)
    if not header:
        raise DataError(f"The manifest {path} is empty.", REMEDY)
    columns = _find_columns(header, rows)
    if "path" not in columns and has_photo_suffix(header[0]) and len(header) == 2 and path.suffix not in JSON_SUFFIXES:
        header, columns, rows = ["", ""], {"path": 0, "label": 1}, [header, *rows]
    if "path" not in columns:
        raise DataError(f"The manifest {path} has no column with file names; its columns are {_join(header)}.", REMEDY)
    columns, labels = _labels(path, header, columns, rows)
    parts = _parts(path, header, columns, rows)
    used = ", ".join(header[columns[name]].strip() for name in COLUMNS if name in columns and any(header))
    return Manifest(used, [ManifestRow(_cell(row, columns["path"]), label, part, _cell(row, columns.get("group")))
                           for row, label, part in zip(rows, labels, parts) if _cell(row, columns["path"])])


def _find_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return the index of each column that a table has, by its key in COLUMNS.

    If the labels are numbers, a column with their names is preferred.
    """
    index = {_normalize(name): number for number, name in reversed(list(enumerate(header)))}
    found = {column: next((index[name] for name in names if name in index), None) for column, names in COLUMNS.items()}
    label = found["label"]
    if label is not None and all(_is_number(_cell(row, label)) for row in rows):
        found["label"] = next((index[name] for name in LABEL_NAMES if name in index), label)
    return {column: number for column, number in found.items() if number is not None}


def _normalize(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def _is_number(text: str) -> bool:
    return not text or text.replace(".", "", 1).isdigit()


def lists_photos(path: Path, names: Set[str]) -> bool:
    """Return whether a file can be read as a manifest with labels of some of the named photos.

    Args:
        path: The file. Only a file with the suffix of a table, and of at most MAX_BYTES_IF_UNASKED, is read.
        names: The file names of the photos, with and without suffixes.
    """
    try:
        if path.suffix.lower() not in TABLE_SUFFIXES or not path.is_file() \
                or path.stat().st_size > MAX_BYTES_IF_UNASKED:
            return False
        return any(row.label and not names.isdisjoint((PurePath(row.path).name, row.path))
                   for row in read_manifest(path).rows)
    except (DataError, OSError):
        return False


def _labels(path: Path, header: Sequence[str], columns: Mapping[str, int], rows: Sequence[Sequence[str]]
            ) -> tuple[dict[str, int], list[str]]:
    """Return the columns, and the label of each row.

    Without a column of labels, the columns that contain only 0 and 1 are the classes, whatever their names.
    """
    if "label" in columns:
        labels = [_cell(row, columns["label"]) for row in rows]
        if any(label.startswith(("[", "{")) and label.endswith(("]", "}")) for label in labels):
            raise DataError(f"The manifest {path} contains lists of labels. {ONE_LABEL}",
                            "Leave one label in each row.")
        return dict(columns), labels
    for others in ({"path": columns["path"]}, columns):
        # pandas writes the row numbers in a column without a name.
        class_columns = [number for number, name in enumerate(header)
                         if number not in others.values() and name and not name.startswith("Unnamed:")]
        values = [[_cell(row, number) for number in class_columns] for row in rows]
        if len(class_columns) > 1 and all(value in ("0", "1", "0.0", "1.0") for row in values for value in row):
            break
    else:
        raise DataError(f"The manifest {path} has no column with labels; its columns are {_join(header)}.", REMEDY)
    several = [row for row in values if sum(value.startswith("1") for value in row) > 1]
    if several:
        raise DataError(f"Rows of the manifest {path} that have several labels: {len(several)}. {ONE_LABEL}",
                        "Remove these rows, or leave one label in each.")
    return dict(others), [next((header[number].strip() for number, value in zip(class_columns, row)
                                if value.startswith("1")), "") for row in values]


def _parts(path: Path, header: Sequence[str], columns: Mapping[str, int], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the part of each row. A column that may have another meaning is ignored if it never names a part."""
    number = columns.get("part")
    values = [_cell(row, number) for row in rows]
    part_of = {value: part_of_value(value) for value in values if value}
    unknown = [value for value, part in part_of.items() if not part]
    if number is not None and unknown and (len(unknown) < len(part_of)
                                           or _normalize(header[number]) not in AMBIGUOUS_COLUMNS):
        raise DataError(f"The column {header[number]} of the manifest {path} contains {_join(unknown)}, which does "
                        "not name a part.", "Use training, validation or test, or leave the cell empty; or rename the "
                        "column if it means something else.")
    return [part_of.get(value, "") for value in values]


def _cell(row: Sequence[str], number: int | None) -> str:
    return row[number].strip() if number is not None and number < len(row) else ""


def _join(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (" and others" if len(names) > 10 else "")


def _read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the header of a table and its rows."""
    try:
        if path.suffix.lower() == ".parquet":
            return _read_parquet(path)
        with open_file(path, allow_pipe=True) as file:
            text = decode_text(file.read())
    except PhotoError as error:
        raise DataError(f"The manifest {path} cannot be read: {error}.") from None
    except OSError as error:
        raise DataError(f"The manifest {path} cannot be read: {error.strerror}.") from None
    except NotTextError as error:
        raise DataError(f"The manifest {path} {error.description}.", error.remedy) from None
    if path.suffix.lower() in JSON_SUFFIXES or text.lstrip().startswith("{"):
        return _read_json_lines(path, text)
    return _read_csv(path, text)


def _read_csv(path: Path, text: str) -> tuple[list[str], list[list[str]]]:
    separator_line = _SEPARATOR_LINE.match(text)
    if separator_line:
        text, delimiter = text[separator_line.end():], separator_line["separator"]
    else:
        first_line = text.lstrip().split("\n", 1)[0]
        delimiter = max("\t;,", key=first_line.count)
        if not first_line.count(delimiter):
            delimiter = " "
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
                if any(row)]
    except csv.Error as error:
        raise DataError(f"The manifest {path} is not a table: {error}.", REMEDY) from None
    return (rows[0], rows[1:]) if rows else ([], [])


def _read_json_lines(path: Path, text: str) -> tuple[list[str], list[list[str]]]:
    objects = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataError(f"Line {number} of the manifest {path} is not a JSON object.", REMEDY)
        objects.append(row)
    header = list(dict.fromkeys(name for row in objects for name in row))
    return header, [[_to_text(row.get(name)) for name in header] for row in objects]


def _read_parquet(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError("Reading Parquet files needs the package pyarrow.", "Run: pip install pyarrow") from None
    try:
        with open_file(path) as file:
            table = pyarrow.parquet.read_table(file)
    except pyarrow.lib.ArrowException:
        raise DataError(f"The manifest {path} is not a Parquet file.", REMEDY) from None
    columns = [[_to_text(value) for value in column.to_pylist()] for column in table.columns]
    return list(table.column_names), [list(row) for row in zip(*columns)]


def _to_text(value: Any) -> str:
    """Return a value of a table as text.

    A whole number is written without the decimal point that pandas adds if a column has empty cells.
    """
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, default=str)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None or value != value else str(value)
