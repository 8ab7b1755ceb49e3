"""Find the groups of perceptual hashes that are connected by pairs which differ in a few bits."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

# The bits of a hash are divided into 36 blocks of 7 bits; the 4 bits that differ least between the hashes are left
# out. If two hashes differ in at most 24 bits, they agree in at least 12 blocks. If the blocks are divided into 5
# groups, they therefore agree in at least 3 blocks of one group. So all pairs are found among the hashes that agree in
# a key, which is any 3 blocks of a group: there are 196 keys.
N_BLOCKS, BLOCK_BITS, KEY_BLOCKS = 36, 7, 3
# The sort key of a hash is the key, two other blocks, and its position.
OTHER_BLOCKS, POSITION_BITS = 2, 29
# Up to this many hashes are all compared with each other, which takes less than a second.
MAX_EXHAUSTIVE = 5_000
# The number of comparisons for all keys that is acceptable: it takes about ten seconds. If there are more pairs that
# agree in a key and are not known to be connected, a hash is only compared with those next to it in the order of the
# sort keys, at least MIN_WINDOW of them for each key. As the order differs between keys, hashes that differ in 24 of
# 256 independent bits still meet with a probability of over 99%, and those that differ in 14 bits almost certainly.
MAX_COMPARISONS, MIN_WINDOW = 300_000_000, 8
# Before all keys are used, every hash is compared with its next ones for some of them, so that most of the hashes of
# large groups are already known to be connected.
FIRST_KEYS, FIRST_WINDOW = 24, 4
# The number of pairs that are compared at a time, which takes about 200 MB, and of near ones after which the groups
# are updated.
CHUNK_PAIRS, MAX_NEW_PAIRS = 2_000_000, 1_000_000


def connect_hashes(words: np.ndarray, max_bits: int) -> np.ndarray:
    """Return pairs of hashes that differ in at most `max_bits` bits, and connect all hashes that such pairs connect.

    Args:
        words: uint64 [n, 4], hashes of 256 bits, all of them different, in a defined order.
        max_bits: The largest difference in bits, at most 33.

    Returns:
        int64 [pairs, 2], the positions of each pair in ascending order; fewer than n pairs, and the most similar ones
            of those that were found.
    """
    search = _Search(words, max_bits)
    if len(words) <= MAX_EXHAUSTIVE:
        search.compare_exhaustively()
    else:
        keys = list(_keys(max_bits))
        for key in keys[::max(1, len(keys) // FIRST_KEYS)]:
            search.compare_adjacent(key, FIRST_WINDOW)
        budget = MAX_COMPARISONS // len(keys)
        for key in keys:
            search.compare_all(key, budget, max(MIN_WINDOW, budget // len(words)))
    return search.spanning_pairs()


def connected_groups(pairs: np.ndarray, n_photos: int) -> np.ndarray:
    """Find the groups of photos that are connected by pairs.

    Args:
        pairs: int64 [pairs, 2], row numbers of photos.
        n_photos: The number of photos.

    Returns:
        int32 [n_photos], the number of each photo's group; a photo without a pair is a group by itself.
    """
    from scipy.sparse import coo_array  # imported here, because label_image starts without SciPy
    from scipy.sparse.csgraph import connected_components
    ones = np.ones(len(pairs), np.int8)
    links = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(n_photos, n_photos))
    return connected_components(links, directed=False)[1]


@dataclass(frozen=True)
class _Key:
    """The blocks of a key, and the blocks by which hashes with the same key are sorted."""

    blocks: tuple[int, ...]
    others: tuple[int, ...]


def _keys(max_bits: int) -> Iterator[_Key]:
    """Yield keys such that two hashes which differ in at most `max_bits` bits agree in at least one of them."""
    n_groups = (N_BLOCKS - max_bits - 1) // (KEY_BLOCKS - 1)
    groups = [range(first, N_BLOCKS, n_groups) for first in range(n_groups)]
    for group in groups:
        for index, blocks in enumerate(combinations(group, KEY_BLOCKS)):
            others = [block for block in range(N_BLOCKS) if block not in blocks]
            yield _Key(blocks, tuple(others[(index * OTHER_BLOCKS + offset) % len(others)]
                                     for offset in range(OTHER_BLOCKS)))


class _Search:
    """The hashes, and the pairs found so far."""

    def __init__(self, words: np.ndarray, max_bits: int) -> None:
        self._words, self._max_bits = words, max_bits
        self._blocks = _informative_blocks(words)
        # Hashes with adjacent ranks are in the same group if possible, so that those of a group are adjacent after
        # sorting.
        self._groups = np.arange(len(words), dtype=np.int32)
        self._order = np.arange(len(words))
        self._pairs: list[np.ndarray] = [np.empty((0, 2), np.int64)]
        self._n_new = 0

    def compare_exhaustively(self) -> None:
        """Compare all hashes with each other."""
        self._compare_shifted(self._order, len(self._order))

    def compare_adjacent(self, key: _Key, window: int) -> None:
        """Compare each hash with the next `window` ones in the order of the key and of other blocks."""
        order = self._sort(self._order, [*key.blocks, *key.others])[0]
        self._compare_shifted(order, window)
        self._connect()

    def compare_all(self, key: _Key, budget: int, window: int) -> None:
        """Compare the hashes that agree in a key and are in different groups: all of them, or at least `window`.

        Args:
            key: The key.
            budget: The number of pairs up to which all of them are compared.
            window: The number of hashes with which each hash is compared if there are more pairs and it has more
                than this many.
        """
        order, values = self._sort(self._order, key.blocks)
        ends = run_ends(values)
        groups = self._groups[order]
        first = run_ends(groups + (values.astype(np.int64) << 32))
        n_matches = ends - first
        if n_matches.sum() > budget:
            is_crowded = n_matches > window
            crowded = self._sort(order[np.isin(values, values[is_crowded])], [*key.blocks, *key.others])[0]
            self._compare_shifted(crowded, window)
            n_matches[is_crowded] = 0
        rows = np.flatnonzero(n_matches)
        n_before = np.cumsum(n_matches[rows])
        for chunk in np.split(rows, np.searchsorted(n_before, np.arange(CHUNK_PAIRS, n_before[-1] if len(rows) else 0,
                                                                        CHUNK_PAIRS))):
            counts = n_matches[chunk]
            offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            self._add(np.repeat(order[chunk], counts), order[np.repeat(first[chunk], counts) + offsets])
        if self._n_new:
            self._connect()

    def spanning_pairs(self) -> np.ndarray:
        """Return the pairs that connect all hashes of each group: int64 [pairs, 2]."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import minimum_spanning_tree
        pairs = np.concatenate(self._pairs)
        bits = np.bitwise_count(self._words[pairs[:, 0]] ^ self._words[pairs[:, 1]]).sum(-1, dtype=np.int64)
        # A pair may have been found several times: the entries of a matrix must be different.
        pairs, first = np.unique(pairs, axis=0, return_index=True)
        shape = (len(self._words), len(self._words))
        tree = minimum_spanning_tree(coo_array((bits[first].astype(float), (pairs[:, 0], pairs[:, 1])), shape=shape))
        return np.sort(np.stack(tree.nonzero(), axis=1).astype(np.int64), axis=1)

    def _sort(self, rows: np.ndarray, blocks: list[int] | tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Sort rows by the values of blocks, and rows with equal values in the given order.

        Returns:
            int64 [rows], the sorted rows.
            uint64 [rows], the values of the blocks of each.
        """
        values = np.zeros(len(rows), np.uint64)
        for block in blocks:
            values = values << np.uint64(BLOCK_BITS) | self._blocks[block][rows]
        # Sorting numbers is several times as fast as sorting their indices.
        values = np.sort(values << np.uint64(POSITION_BITS) | np.arange(len(rows), dtype=np.uint64))
        positions = (values & np.uint64((1 << POSITION_BITS) - 1)).astype(np.int64)
        return rows[positions], values >> np.uint64(POSITION_BITS)

    def _compare_shifted(self, order: np.ndarray, window: int) -> None:
        words = self._words[order]
        for shift in range(1, min(window, len(order) - 1) + 1):
            bits = np.bitwise_count(words[:-shift] ^ words[shift:]).sum(-1, dtype=np.uint16)
            near = np.flatnonzero(bits <= self._max_bits)
            self._add_near(order[near], order[near + shift])
            if self._n_new > MAX_NEW_PAIRS:
                self._connect()

    def _add(self, first: np.ndarray, second: np.ndarray) -> None:
        """Compare pairs, and add those that are near."""
        near = np.bitwise_count(self._words[first] ^ self._words[second]).sum(-1, dtype=np.uint16) <= self._max_bits
        self._add_near(first[near], second[near])

    def _add_near(self, first: np.ndarray, second: np.ndarray) -> None:
        """Add pairs that differ in few bits, one for every two groups that they connect."""
        groups = np.stack([self._groups[first], self._groups[second]], axis=1)
        connecting = np.flatnonzero(groups[:, 0] != groups[:, 1])
        if not len(connecting):
            return
        groups = np.sort(groups[connecting]).astype(np.int64)
        connecting = connecting[np.unique(groups[:, 0] << 32 | groups[:, 1], return_index=True)[1]]
        self._pairs.append(np.sort(np.stack([first[connecting], second[connecting]], axis=1)))
        self._n_new += len(connecting)

    def _connect(self) -> None:
        """Update the groups."""
        if self._n_new:
            pairs = np.concatenate(self._pairs)
            self._pairs, self._n_new = [pairs], 0
            self._groups = connected_groups(pairs, len(self._words))
            self._order = np.argsort(self._groups, kind="stable")


def run_ends(values: np.ndarray) -> np.ndarray:
    """Return the end of the run of equal values that each value is in: int64 [values]."""
    ends = np.append(np.flatnonzero(values[1:] != values[:-1]) + 1, len(values))
    return np.repeat(ends, np.diff(ends, prepend=0))


def _informative_blocks(words: np.ndarray) -> np.ndarray:
    """Return the values of the blocks of each hash: uint8 [N_BLOCKS, n].

    The bits are distributed so that those that differ most between the hashes are in different blocks.
    """
    bits = np.ascontiguousarray(words).view(np.uint8)
    counts = np.array([int((bits[:, bit // 8] >> (bit % 8) & 1).sum()) for bit in range(8 * bits.shape[1])])
    ranked = np.argsort(np.abs(2 * counts - len(words)), kind="stable")[:N_BLOCKS * BLOCK_BITS]
    blocks = np.zeros((N_BLOCKS, len(words)), np.uint8)
    for rank, bit in enumerate(ranked.tolist()):
        blocks[rank % N_BLOCKS] |= (bits[:, bit // 8] >> (bit % 8) & 1) << (rank // N_BLOCKS)
    return blocks
