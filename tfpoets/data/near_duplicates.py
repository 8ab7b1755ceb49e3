"""Find near duplicates (re-encoded, resized or slightly changed copies of a photo) by their perceptual hashes."""
from __future__ import annotations

import numpy as np

from .hash_groups import connect_hashes, connected_groups, run_ends

# The hash compares the brightness of adjacent cells in a grid of 16 rows and 17 columns. Averaging over a cell of
# 8 x 8 pixels hides the effects of JPEG compression and resizing.
HASH_ROWS, HASH_COLUMNS, CELL = 16, 17, 8
HASH_HEIGHT, HASH_WIDTH = HASH_ROWS * CELL, HASH_COLUMNS * CELL
HASH_BYTES = HASH_ROWS * (HASH_COLUMNS - 1) // 8
# The number of gray levels by which a cell must be brighter than its neighbour, so that a plain sky gives zeros
# instead of noise.
MIN_BRIGHTNESS_DIFFERENCE = 2
# In a test with 600 flower photos, copies that were re-encoded at quality 30 to 75 or resized by factors of 0.3 to 4
# differed in at most 14 bits, and the 179,699 pairs of different photos in 47 or more.
NEAR_DUPLICATE_BITS = 24
# All pairs are returned in groups of at most so many photos that this many pairs are compared. Larger groups are only
# connected.
MAX_LISTED_PAIRS = 1_000_000


def perceptual_hash(pixels: np.ndarray) -> bytes:
    """Return the perceptual hash of a photo: a difference hash over a grid of mean brightnesses.

    Args:
        pixels: uint8 [HASH_HEIGHT, HASH_WIDTH, 3], the photo as `load_pixels` returns it at this size.

    Returns:
        HASH_BYTES bytes. The bit of (row, column) is 1 if the cell to its right is brighter by more than
        MIN_BRIGHTNESS_DIFFERENCE.
    """
    # Sum over rows first: NumPy sums whole rows much faster than blocks.
    rows = pixels.reshape(HASH_ROWS, CELL, HASH_WIDTH * 3).sum(1, dtype=np.uint16)
    cells = rows.reshape(HASH_ROWS, HASH_COLUMNS, CELL, 3).sum(2, dtype=np.int64)
    cells = cells @ np.array([299, 587, 114])  # Rec. 601 luma, in thousandths of a gray level
    brighter = cells[:, 1:] - cells[:, :-1] > MIN_BRIGHTNESS_DIFFERENCE * 1000 * CELL * CELL
    return np.packbits(brighter.ravel()).tobytes()


def hamming_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the number of bits in which hashes differ: two uint8 [..., HASH_BYTES] -> int64 [...]."""
    return np.bitwise_count(first ^ second).sum(-1, dtype=np.int64)


def near_duplicate_pairs(hashes: np.ndarray, max_bits: int = NEAR_DUPLICATE_BITS) -> tuple[np.ndarray, bool]:
    """Return pairs of photos whose hashes differ in at most `max_bits` bits.

    The returned pairs connect all photos that any such pairs connect. Photos with equal hashes are always connected.
    Only if there are more than 5,000 different hashes, and many of them are alike by nature (photos on a plain
    background), a few connections may be missed; see `connect_hashes`.

    Args:
        hashes: uint8 [n, HASH_BYTES].
        max_bits: The largest difference in bits, at most 33.

    Returns:
        int64 [pairs, 2], the row numbers of each pair, the smaller one first, in sorted order.
        Whether no pair was left out. Pairs are left out in large groups, if there are more than MAX_LISTED_PAIRS.
    """
    if not len(hashes):
        return np.empty((0, 2), np.int64), True
    words = np.ascontiguousarray(hashes).view(np.uint64)
    order = np.lexsort(words.T)
    is_new = np.append(True, (words[order[1:]] != words[order[:-1]]).any(axis=1))
    first_rows = order[is_new]  # the first of the rows with each hash, since the sort is stable
    equal = np.stack([first_rows[np.cumsum(is_new) - 1], order], axis=1)[~is_new]
    different = first_rows[connect_hashes(words[first_rows], max_bits)]
    connecting = np.sort(np.concatenate([equal, different]))
    listed, is_listed = _list_pairs(words, connecting, max_bits)
    left_out = ~is_listed[connecting[:, 0]]
    return np.unique(np.concatenate([listed, connecting[left_out]]), axis=0), not left_out.any()


def _list_pairs(words: np.ndarray, connecting: np.ndarray, max_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """List all pairs in the groups that are small enough.

    Args:
        words: uint64 [n, HASH_BYTES / 8].
        connecting: int64 [pairs, 2], pairs that connect the photos of each group.
        max_bits: The largest difference in bits.

    Returns:
        int64 [listed pairs, 2].
        bool [n], whether the group of each photo is small enough.
    """
    groups = connected_groups(connecting, len(words))
    sizes = np.bincount(groups)
    n_groups = np.bincount(sizes)  # the number of groups of each size
    n_pairs = np.cumsum(n_groups * np.arange(len(n_groups)) * (np.arange(len(n_groups)) - 1) // 2)
    max_size = int(np.searchsorted(n_pairs, MAX_LISTED_PAIRS, side="right")) - 1
    is_listed = sizes[groups] <= max_size
    order = np.argsort(groups, kind="stable")
    order = order[is_listed[order]]
    n_after = run_ends(groups[order]) - np.arange(len(order)) - 1
    first = np.repeat(np.arange(len(order)), n_after)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(n_after) - n_after, n_after)
    first, second = order[first], order[second]
    near = np.bitwise_count(words[first] ^ words[second]).sum(-1, dtype=np.int64) <= max_bits
    return np.stack([first[near], second[near]], axis=1), is_listed
