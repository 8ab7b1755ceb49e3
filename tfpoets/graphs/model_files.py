"""Read the files of models, which may be something else than a regular file of a reasonable size."""
from __future__ import annotations

import os
from pathlib import Path

from tfpoets.data import open_file
from tfpoets.errors import ModelError, PhotoError

TRUST_REMEDY = "Use a model from another source. If you trust its author completely, set `trust_model`."
TRUST_WARNING = ("`trust_model` is set, so the model is not checked. It can do whatever you can do on this machine, "
                 "such as reading and deleting your files.")
DAMAGED_REMEDY = "Copy or download it again."


def read_model_file(path: Path, max_bytes: int | None = None) -> bytes:
    """Return the content of a file.

    Args:
        path: The path of the file.
        max_bytes: The largest allowed size; None: any size.

    Raises:
        ModelError: The file cannot be read, is larger than `max_bytes`, or is a device or a named pipe, which could be
            endless.
    """
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if max_bytes is not None and size > max_bytes:
                raise ModelError(f"{path} has {size:,} bytes, but at most {max_bytes:,} are expected.")
            return file.read()
    except PhotoError as error:
        raise ModelError(f"{path} cannot be read: {error}.") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
