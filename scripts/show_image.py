"""python -m scripts.show_image FOLDER: a picture with some photos of every class; `show_image` for notebooks."""
from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from scripts.console import run_command
from scripts.console.settings import ShowSettings, show_settings
from scripts.photos import load_photo, read_tree
from scripts.report import sample_grid


def main(arguments: list[str] | None = None) -> int:
    """The command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: show(show_settings(given)), arguments)


def show(settings: ShowSettings) -> int:
    """Writes the picture, says where it is, and returns 0."""
    picture = sample_grid(read_tree(settings.image_dir, least_classes=1), settings.photos_per_class)
    picture.save(settings.output)
    print(f"{settings.output}: {picture.width} x {picture.height} pixels")
    return 0


def show_image(path: Path | str) -> Image.Image:
    """A photo, upright, as notebooks show it; prints whom to credit where a LICENSE.txt of the set says so.

    Raises:
        PhotoError: it cannot be read.
    """
    path = Path(path)
    credit = _credit(path)
    if credit:
        print(credit)
    return Image.fromarray(load_photo(path))


def _credit(path: Path) -> str:
    """The line about a photo in the LICENSE.txt beside its class folder, as TensorFlow's flower_photos has one."""
    licence = path.resolve().parent.parent / "LICENSE.txt"
    if not licence.is_file():
        return ""
    name = f"{path.resolve().parent.name}/{path.name}"
    return next((line for line in licence.read_text("utf-8", errors="replace").splitlines() if name in line), "")


if __name__ == "__main__":
    sys.exit(main())
