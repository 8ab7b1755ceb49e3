"""Run a loaded classifier on one gray photo."""
from __future__ import annotations

import numpy as np

from tfpoets.extractors import Engine


def run_gray_photo(engine: Engine, height: int, width: int) -> None:
    """Open an engine, and run it on a gray photo of `height` x `width` pixels, to see whether it works."""
    engine.open()(np.full((1, height, width, 3), 0.5, np.float32))
