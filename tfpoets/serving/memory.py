"""A limit on the memory for the requests that are processed at the same time."""
from __future__ import annotations

import threading


class MemoryBudget:
    """A number of bytes, parts of which can be reserved by several threads.

    Args:
        total: The number of bytes.
    """

    def __init__(self, total: int):
        self._total = self._free = total
        self._changed = threading.Condition()

    def reserve(self, size: int, timeout: float) -> bool:
        """Reserve bytes, and wait for them if necessary.

        Args:
            size: The number of bytes; at most the total.
            timeout: How long to wait, in seconds.

        Returns:
            Whether the bytes were reserved.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._free >= min(size, self._total), timeout):
                return False
            self._free -= size
            return True

    def release(self, size: int) -> None:
        """Return reserved bytes."""
        with self._changed:
            self._free += size
            self._changed.notify_all()
