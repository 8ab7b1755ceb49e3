"""Arrays in memory that worker processes share with the process that started them."""
from __future__ import annotations

import math
import mmap
import os
import sys
import tempfile
import uuid
from typing import Any

import numpy as np


class SharedArray:
    """An array whose memory belongs to several processes.

    On POSIX, a worker inherits the file descriptor of the memory (`descriptor`) and receives the pickled array, which
    refers to it. On Windows, the memory has a name. In both cases the operating system frees the memory when the last
    process that uses it has ended, even if it was killed. (Python's SharedMemory may leave it behind, or free it when
    the first worker ends: python/cpython#82300.)

    Args:
        shape: The shape, with at least one element.
        dtype: The dtype of the elements, which are all 0 at first.

    Attributes:
        array: The array.
        descriptor: The file descriptor, or None on Windows.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any):
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        self.descriptor = None if sys.platform == "win32" else _create_memory_file(n_bytes)
        self._attach(f"tfpoets-{uuid.uuid4()}" if self.descriptor is None else self.descriptor, shape, dtype)

    def _attach(self, key: int | str, shape: tuple[int, ...], dtype: Any) -> None:
        self._state = key, shape, dtype
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        if sys.platform == "win32":
            memory = mmap.mmap(-1, n_bytes, tagname=str(key))
        else:
            memory = mmap.mmap(int(key), n_bytes)
        self.array = np.frombuffer(memory, dtype).reshape(shape)

    def __getstate__(self) -> tuple[int | str, tuple[int, ...], Any]:
        return self._state

    def __setstate__(self, state: tuple[int | str, tuple[int, ...], Any]) -> None:
        self.descriptor = None
        self._attach(*state)

    def close(self) -> None:
        """Close the file descriptor; the array remains usable, and so do those of workers that are already running."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def _create_memory_file(n_bytes: int) -> int:
    """Return the descriptor of a new file of zeros without a name: in memory on Linux, in a temporary folder on macOS.

    Unlike /dev/shm, which has 64 MB in a container by default, such a file may be as large as the memory.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("tfpoets")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, n_bytes)
    return descriptor
