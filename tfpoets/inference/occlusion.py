"""Where a classifier looks: what happens to an answer when parts of the photo are covered (Zeiler & Fergus 2014)."""
from __future__ import annotations

import numpy as np

from .classifier import Classifier

# Places a side where the cover lies; it is two steps wide, so that neighbouring places overlap by half.
PLACES = 5
# The middle of the range, a colour that says little.
COVER = 127


def occlusion_maps(classifier: Classifier, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """By how much the probability of a label falls when a gray square covers a place of a photo.

    Args:
        classifier: any.
        pixels: [photos, height, width, 3] as the classifier's `input.pixels` gives them.
        labels: int [photos], the label in question for each.

    Returns:
        float32 [photos, PLACES + 1, PLACES + 1], equal cells of the photo, rows from the top: the mean over the covers
        that lay on a cell; below 0 where they help.
    """
    height, width = pixels.shape[1:3]
    rows, columns = (np.linspace(0, side, PLACES + 2).round().astype(int) for side in (height, width))
    covered = np.repeat(pixels[:, None], PLACES * PLACES + 1, axis=1)
    for place in range(PLACES * PLACES):
        row, column = divmod(place, PLACES)
        covered[:, place, rows[row]:rows[row + 2], columns[column]:columns[column + 2]] = COVER
    probabilities = classifier.probabilities(covered.reshape(-1, *pixels.shape[1:]))
    own = probabilities.reshape(len(pixels), PLACES * PLACES + 1, -1)[np.arange(len(pixels)), :, labels]
    drops = (own[:, -1:] - own[:, :-1]).reshape(-1, PLACES, PLACES)
    total, covers = np.zeros((2, len(pixels), PLACES + 1, PLACES + 1), np.float32)
    for row, column in np.ndindex(2, 2):
        total[:, row:row + PLACES, column:column + PLACES] += drops
        covers[:, row:row + PLACES, column:column + PLACES] += 1
    return total / covers
