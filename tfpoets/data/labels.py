"""Check the labels that folders, file names and tables give photos."""
from __future__ import annotations

import unicodedata
from pathlib import PurePath

from tfpoets.errors import DataError
from tfpoets.escaping import has_unsafe_characters

# The characters at which str.splitlines breaks a line.
LINE_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


def label_of_folder(name: str, folder: PurePath) -> str:
    """Return the label of a class folder: its name in Unicode NFC (macOS may return NFD), otherwise unchanged.

    Args:
        name: The name of the folder.
        folder: Its path, for messages.

    Raises:
        DataError: The name cannot be a label.
    """
    return _check_label(unicodedata.normalize("NFC", name), f"The name of the folder {str(folder)!r}",
                        "Rename the folder.")


def label_of_text(text: str, place: str) -> str:
    """Return a label from a file name or a table, in Unicode NFC.

    Args:
        text: The label.
        place: Where it was found, for messages.

    Raises:
        DataError: The text cannot be a label.
    """
    return _check_label(unicodedata.normalize("NFC", text), f"The label {text!r} of {place}", "Change the label.")


def _check_label(label: str, subject: str, remedy: str) -> str:
    if any(character in label for character in LINE_BREAKS):
        raise DataError(f"{subject} contains a line break, but the label file has one label per line.", remedy)
    if has_unsafe_characters(label):
        raise DataError(f"{subject} contains a control character or an invisible character.", remedy)
    try:
        label.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{subject} is not valid text.", remedy) from None
    return label
