"""Record the values that need not be computed, because they are cached or a worker is already computing them."""
from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from .shared_arrays import SharedArray

# The number of bytes of a digest.
DIGEST_BYTES = 16
# Rows in the table of claims for each photo, so that a free row is found quickly.
ROWS_PER_PHOTO = 2

# The number of a view, or the name of a measure.
ValueKey = int | str


class Claims(Protocol):
    """A record of the values that need not be computed, shared by all workers."""

    def claim_missing(self, digest: str, repeated: bool = False) -> set[ValueKey]:
        """Return the values that a photo lacks, and treat them as computed from now on.

        Thus only one of several files with the same bytes is processed, or rarely two that are read at the same moment
        by different processes.

        Args:
            digest: The digest of the photo.
            repeated: Whether a worker that crashed may already have claimed them.
        """


class CachedValues:
    """The values that the cache contains for each photo; the threads of this process may share it.

    Args:
        digests: The digests of the photos that have each value.
    """

    def __init__(self, digests: Mapping[ValueKey, set[str]]):
        self._lock = threading.Lock()
        self.digests = dict(digests)

    def are_complete(self, digest: str | None) -> bool:
        """Return whether all values of a photo are cached; None stands for an unknown digest."""
        return all(digest in digests for digests in self.digests.values())

    def claim_missing(self, digest: str, repeated: bool = False) -> set[ValueKey]:
        """Return the values that a photo lacks; see `Claims`."""
        with self._lock:
            missing = {value for value, digests in self.digests.items() if digest not in digests}
            for digests in self.digests.values():
                digests.add(digest)
        return missing


class SharedClaims:
    """A copy of the cached values in memory that several processes share, and a table of the digests they claim.

    The table has no lock, so that no worker waits for one that crashed. If two workers claim the same digest at the
    same moment, both may get it, and its values are computed twice.

    Args:
        cached: The values that the cache contains.
        n_photos: The largest number of photos that will be claimed.
    """

    def __init__(self, cached: CachedValues, n_photos: int):
        self._values: Sequence[ValueKey] = list(cached.digests)
        all_digests = np.unique(_as_array(set().union(*cached.digests.values())))
        self._known = SharedArray((max(1, len(all_digests)),), f"S{DIGEST_BYTES}")
        self._known.array[:len(all_digests)] = all_digests
        self._n_known = len(all_digests)
        self._is_cached = SharedArray((max(1, len(all_digests)), len(self._values)), bool)
        for column, digests in enumerate(cached.digests.values()):
            self._is_cached.array[np.searchsorted(all_digests, _as_array(digests)), column] = True
        self._claimed = SharedArray((max(1, ROWS_PER_PHOTO * n_photos), DIGEST_BYTES), np.uint8)

    @property
    def arrays(self) -> tuple[SharedArray, ...]:
        """The shared memory."""
        return self._known, self._is_cached, self._claimed

    def claim_missing(self, digest: str, repeated: bool = False) -> set[ValueKey]:
        """Return the values that a photo lacks; see `Claims`."""
        key = bytes.fromhex(digest)
        if self._claim(key) and not repeated:
            return set()
        known = self._known.array[:self._n_known]
        row = int(np.searchsorted(known, np.array(key, known.dtype)))
        if row == self._n_known or known[row:row + 1].tobytes() != key:
            return set(self._values)
        return {value for value, is_cached in zip(self._values, self._is_cached.array[row]) if not is_cached}

    def _claim(self, key: bytes) -> bool:
        """Add a digest to the table of claims (open addressing), and return whether it was there already."""
        table, free = self._claimed.array, bytes(DIGEST_BYTES)
        row = int.from_bytes(key[:8], "little") % len(table)
        while (found := table[row].tobytes()) != free:
            if found == key:
                return True
            row = (row + 1) % len(table)
        table[row] = np.frombuffer(key, np.uint8)
        return False


def _as_array(digests: set[str]) -> np.ndarray:
    """Return digests as an array of 16-byte strings."""
    return np.frombuffer(bytes.fromhex("".join(digests)), f"S{DIGEST_BYTES}")
