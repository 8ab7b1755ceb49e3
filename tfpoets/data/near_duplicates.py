"""Find near duplicates (re-encoded, resized or slightly changed copies of a photo) by their perceptual hashes."""
from __future__ import annotations

import numpy as np

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
# A hash has 16 bands of 16 bits. If two hashes differ in fewer than 32 bits, at least one band differs in at most one
# bit.
BAND_BITS = 16
# If more photos than this agree in a band, that is typical of the dataset (a plain background) and not a sign
# of duplicates: the band is ignored for these photos.
MAX_BAND_MATCHES = 500


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


def near_duplicate_pairs(hashes: np.ndarray, max_bits: int = NEAR_DUPLICATE_BITS) -> np.ndarray:
    """Return all pairs of photos whose hashes differ in at most `max_bits` bits.

    Pairs are missed if the only bands in which they agree have more than MAX_BAND_MATCHES matches.

    Args:
        hashes: uint8 [n, HASH_BYTES].
        max_bits: The largest difference in bits, at most 31: above that, the bands would miss pairs.

    Returns:
        int64 [pairs, 2], the row numbers of each pair, the smaller one first, in sorted order.
    """
    bands = np.ascontiguousarray(hashes).view(">u2").astype(np.uint16)
    pairs = []
    for band in bands.T:
        order = np.argsort(band, kind="stable")
        starts = np.searchsorted(band, np.arange((1 << BAND_BITS) + 1), sorter=order)
        for flipped_bits in [0] + [1 << bit for bit in range(BAND_BITS)]:
            first, second = _band_matches(band ^ np.uint16(flipped_bits), starts, order)
            near = hamming_distances(hashes[first], hashes[second]) <= max_bits
            pairs.append(np.stack([first[near], second[near]], 1))
    return np.unique(np.concatenate(pairs), axis=0)


def _band_matches(values: np.ndarray, starts: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of photos such that the band of the second one has the value required by the first one.

    Args:
        values: uint16 [n], the value that each photo requires.
        starts: int64 [2**BAND_BITS + 1], the number of photos whose band is smaller than each value.
        order: int64 [n], the row numbers of the photos in ascending order of their bands.

    Returns:
        Two int64 [pairs], the row numbers of each pair; the first is smaller than the second.
    """
    start = starts[values]
    n_matches = np.diff(starts)[values]
    n_matches[n_matches > MAX_BAND_MATCHES] = 0
    first = np.repeat(np.arange(len(values)), n_matches)
    offset = np.arange(len(first)) - np.repeat(np.cumsum(n_matches) - n_matches, n_matches)
    second = order[np.repeat(start, n_matches) + offset]
    ascending = first < second
    return first[ascending], second[ascending]


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
