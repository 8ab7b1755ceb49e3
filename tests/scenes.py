"""Photos of scenes that repeat: frames of simulated videos, and bursts, cut out of larger photos."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

FRAME_SIZE = (320, 240)
# The window of a frame as fractions of the photo: (smallest size, largest size, greatest distance it moves).
SLOW_CAMERA, FAST_CAMERA = (0.62, 0.68, 0.2), (0.4, 0.85, 0.6)


def write_video(photo: Image.Image, paths: Sequence[Path], rng: np.random.Generator,
                camera: tuple[float, float, float] = SLOW_CAMERA) -> None:
    """Write the frames of a video of one scene: a window that moves over a photo, with noise and changing brightness.

    Args:
        photo: The scene.
        paths: The file of each frame, in order.
        rng: Draws the movement, the noise and the compression.
        camera: SLOW_CAMERA, or FAST_CAMERA, which also zooms.
    """
    photo = photo.convert("RGB")
    smallest, largest, distance = camera
    sizes = np.linspace(*rng.uniform(smallest, largest, 2), len(paths))
    start = rng.uniform(0, 1, 2)
    end = np.clip(start + distance * rng.choice([-1, 1], 2) * rng.uniform(0.5, 1, 2), 0, 1)
    brightness = np.linspace(*rng.uniform(0.85, 1.15, 2), len(paths))
    for path, size, position, light in zip(paths, sizes, np.linspace(start, end, len(paths)), brightness):
        width, height = size * photo.width, size * photo.height
        left, top = (position + rng.normal(0, 0.01, 2)).clip(0, 1) * (photo.width - width, photo.height - height)
        frame = photo.resize(FRAME_SIZE, Image.Resampling.BICUBIC, (left, top, left + width, top + height))
        pixels = np.asarray(frame, np.float32) * light + rng.normal(0, 5, (*FRAME_SIZE[::-1], 3))
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=int(rng.integers(70, 91)))


def write_burst(photo: Image.Image, paths: Sequence[Path], rng: np.random.Generator, shift: int = 6) -> None:
    """Write photos of one scene that differ by a shift of a few pixels and by their compression."""
    photo = photo.convert("RGB")
    for path in paths:
        left, top = rng.integers(0, 2 * shift + 1, 2)
        box = (int(left), int(top), int(left) + photo.width - 2 * shift, int(top) + photo.height - 2 * shift)
        path.parent.mkdir(parents=True, exist_ok=True)
        photo.crop(box).save(path, quality=int(rng.integers(70, 91)))
