"""Photos that show the same picture: re-encoded, resized or barely changed copies, found by a perceptual hash."""
from __future__ import annotations

import numpy as np

# The hash compares the brightness of a grid of 16 rows and 17 columns of cells, each 8 x 8 pixels: the average over a
# cell hides what JPEG and resizing do.
HASH_ROWS, HASH_COLUMNS, CELL = 16, 17, 8
HASH_HEIGHT, HASH_WIDTH = HASH_ROWS * CELL, HASH_COLUMNS * CELL
HASH_BYTES = HASH_ROWS * (HASH_COLUMNS - 1) // 8
# A neighbour counts as brighter from this many gray levels on, so that a plain sky gives zeros and not noise.
BRIGHTER_BY = 2
# On 600 flower photos, copies re-encoded at quality 30 to 75 or resized by 0.3 to 4 differ in at most 14 bits, and the
# 179,699 pairs of different photos in 47 or more.
NEAR_DUPLICATE_BITS = 24
# 16 bands of 16 bits: of two hashes that differ in fewer than 32 bits, one band differs in at most one bit.
BAND_BITS = 16
# So many photos that agree in a band show how this set looks (a plain background), and say nothing about copies.
CROWDED_BAND = 500


def perceptual_hash(pixels: np.ndarray) -> bytes:
    """A perceptual hash (a difference hash over a grid of brightness averages) of one photo.

    Args:
        pixels: uint8 [HASH_HEIGHT, HASH_WIDTH, 3], the photo by the pixel contract at this size.

    Returns:
        HASH_BYTES bytes: bit (row, column) says whether the cell right of it is brighter.
    """
    # Summed over rows first: NumPy adds whole rows far faster than blocks.
    rows = pixels.reshape(HASH_ROWS, CELL, HASH_WIDTH * 3).sum(1, dtype=np.uint16)
    cells = rows.reshape(HASH_ROWS, HASH_COLUMNS, CELL, 3).sum(2, dtype=np.int64)
    cells = cells @ np.array([299, 587, 114])  # Rec. 601 luma, in thousandths of a gray level
    brighter = cells[:, 1:] - cells[:, :-1] > BRIGHTER_BY * 1000 * CELL * CELL
    return np.packbits(brighter.ravel()).tobytes()


def hamming_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """In how many bits hashes differ: uint8 [..., HASH_BYTES] twice -> int64 [...]."""
    return np.bitwise_count(one ^ other).sum(-1, dtype=np.int64)


def near_duplicate_pairs(hashes: np.ndarray, bits: int = NEAR_DUPLICATE_BITS) -> np.ndarray:
    """All pairs of photos whose hashes differ in at most `bits` bits (but for pairs seen only in crowded bands).

    Args:
        hashes: uint8 [photos, HASH_BYTES].
        bits: at most 31, so that banding misses none.

    Returns:
        int64 [pairs, 2], each pair once, the smaller index first, in sorted order.
    """
    bands = np.ascontiguousarray(hashes).view(">u2").astype(np.uint16)
    found = []
    for band in bands.T:
        order = np.argsort(band, kind="stable")
        ordered = band[order]
        for flip in [0] + [1 << bit for bit in range(BAND_BITS)]:
            first, second = _matches(band, ordered, order, np.uint16(flip))
            near = hamming_distances(hashes[first], hashes[second]) <= bits
            found.append(np.stack([first[near], second[near]], 1))
    return np.unique(np.concatenate(found), axis=0)


def _matches(band: np.ndarray, ordered: np.ndarray, order: np.ndarray, flip: np.uint16) -> tuple:
    """Pairs (i < j) of photos whose band differs in exactly the bits of `flip`: two int64 arrays."""
    start = np.searchsorted(ordered, band ^ flip, "left")
    count = np.searchsorted(ordered, band ^ flip, "right") - start
    count[count > CROWDED_BAND] = 0
    first = np.repeat(np.arange(len(band)), count)
    within = np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
    second = order[np.repeat(start, count) + within]
    kept = first < second
    return first[kept], second[kept]


def group_pairs(pairs: np.ndarray, count: int) -> np.ndarray:
    """Numbers the groups that pairs join: int64 [pairs, 2] and the number of photos -> int [count], a group each."""
    from scipy.sparse import coo_array  # here, because label_image starts without SciPy
    from scipy.sparse.csgraph import connected_components
    ones = np.ones(len(pairs), np.int8)
    links = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(links, directed=False)[1]
