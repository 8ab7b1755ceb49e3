"""tfpoets show_image FOLDER: make a picture of some photos of every class; `show_image` for notebooks."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tfpoets.data import load_photo, read_dataset
from tfpoets.errors import check_range
from tfpoets.files import check_output_file
from tfpoets.report import sample_grid

from .parser import Flag, Group, location, option_values, parse_flags, path
from .paths import TF_FILES
from .run_command import UsageError, run_command

# Across: more would be wider than any screen.
MAX_PHOTOS = 20
FLAGS = (Group("", (
    Flag("image_dir", "holds one folder of photos per class", "image_dir", location, "FOLDER", nargs="1"),
    Flag("output", "the picture, .png or .jpg (default tf_files/photos.png)", "output", path, "FILE"),
    Flag("photos_per_class", "how many of each class, at most 20 (default 8)", "photos_per_class", int, "N"))),)


@dataclass(frozen=True)
class ShowOptions:
    """What `show_image` does; the flags of the same names say what each means."""

    image_dir: Path | str
    output: Path = TF_FILES / "photos.png"
    photos_per_class: int = 8

    def __post_init__(self) -> None:
        check_range("photos_per_class", self.photos_per_class, minimum=1, integer=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: show(options_from(parse_flags(
        "show_image", "Make a picture of some photos of every class, to see what will be learnt.", FLAGS, given))),
        arguments)


def options_from(given: dict[str, Any]) -> ShowOptions:
    """Return the options that the flags ask for."""
    options = ShowOptions(**option_values(given, FLAGS))
    if options.output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UsageError(f"--output={options.output} must end in .png or .jpg.")
    check_output_file(options.output, "output", options.image_dir)
    return options


def show(options: ShowOptions) -> int:
    """Write the picture, print where it is, and return 0."""
    picture = sample_grid(read_dataset(options.image_dir, least_classes=1), min(options.photos_per_class, MAX_PHOTOS))
    picture.save(options.output)
    print(f"{options.output}: {picture.width} x {picture.height} pixels")
    return 0


def show_image(path: Path | str) -> Image.Image:
    """Return a photo, upright, as notebooks show it; print whom to credit where a LICENSE.txt of the set says so.

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
