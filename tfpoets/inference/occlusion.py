"""Occlusion maps: how a probability changes when parts of the photo are covered (Zeiler & Fergus 2014)."""
from __future__ import annotations

import numpy as np

from .classifier import Classifier

# The gray square is moved to this many positions along each side of the photo. It is two steps wide, so neighbouring
# positions overlap by half.
POSITIONS_PER_SIDE = 5
# Gray, the middle of the range, which is evidence for few classes.
SQUARE_VALUE = 127


def occlusion_maps(classifier: Classifier, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how much the probability of a label drops when a gray square covers part of the photo.

    Args:
        classifier: The classifier.
        pixels: [n, height, width, 3], as returned by the classifier's `input.load_pixels`.
        labels: int [n], the index of one label for each photo.

    Returns:
        float32 [n, POSITIONS_PER_SIDE + 1, POSITIONS_PER_SIDE + 1]: for each cell of an even grid over the photo, rows
        from the top, the mean drop in probability over all positions of the square that covered the cell. It is
        negative if the probability rises.
    """
    n_photos, height, width = pixels.shape[:3]
    row_edges, column_edges = (np.linspace(0, side, POSITIONS_PER_SIDE + 2).round().astype(int)
                               for side in (height, width))
    n_positions = POSITIONS_PER_SIDE ** 2
    # The last copy of each photo is not covered.
    covered = np.repeat(pixels[:, None], n_positions + 1, axis=1)
    for position in range(n_positions):
        row, column = divmod(position, POSITIONS_PER_SIDE)
        covered[:, position, row_edges[row]:row_edges[row + 2],
                column_edges[column]:column_edges[column + 2]] = SQUARE_VALUE
    probabilities = classifier.probabilities(covered.reshape(-1, *pixels.shape[1:]))
    label_probabilities = probabilities.reshape(n_photos, n_positions + 1, -1)[np.arange(n_photos), :, labels]
    drops = label_probabilities[:, -1:] - label_probabilities[:, :-1]
    drops = drops.reshape(-1, POSITIONS_PER_SIDE, POSITIONS_PER_SIDE)
    total, n_drops = np.zeros((2, n_photos, POSITIONS_PER_SIDE + 1, POSITIONS_PER_SIDE + 1), np.float32)
    for row, column in np.ndindex(2, 2):
        total[:, row:row + POSITIONS_PER_SIDE, column:column + POSITIONS_PER_SIDE] += drops
        n_drops[:, row:row + POSITIONS_PER_SIDE, column:column + POSITIONS_PER_SIDE] += 1
    return total / n_drops
