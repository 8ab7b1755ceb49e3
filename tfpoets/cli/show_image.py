"""The command `tfpoets show_image`, which shows photos of each class, and a function of that name for notebooks."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tfpoets.data import DatasetOptions, load_full_size, read_dataset
from tfpoets.errors import check_range
from tfpoets.files import check_output_file
from tfpoets.report import sample_grid

from .parser import Flag, Group, location, option_values, parse_flags, path
from .paths import TF_FILES
from .run_command import UsageError, run_command
from .shared_flags import DATASET_FLAGS, IMAGE_DIR_HELP, dataset_options

# A row with more photos would not fit on most screens.
MAX_PHOTOS_PER_CLASS = 20
DESCRIPTION = "Show some photos of each class in one image, to check the training data."
FLAGS = (Group("", (
    Flag("image_dir", IMAGE_DIR_HELP, "image_dir", location, "FOLDER", nargs="?"),
    *DATASET_FLAGS,
    Flag("output", "picture to write, .png or .jpg (default: tf_files/photos.png)", "output", path, "FILE"),
    Flag("photos_per_class", f"number of photos per class, at most {MAX_PHOTOS_PER_CLASS} (default: 8)",
         "photos_per_class", int, "N"))),)


@dataclass(frozen=True)
class ShowOptions:
    """The options of `show_image`, documented by the flags of the same names."""

    image_dir: Path | str | None = None
    output: Path = TF_FILES / "photos.png"
    photos_per_class: int = 8
    dataset: DatasetOptions = DatasetOptions()

    def __post_init__(self) -> None:
        check_range("photos_per_class", self.photos_per_class, minimum=1, integer=True)


def main(argv: list[str] | None = None) -> int:
    """Run the command with the given arguments (default: `sys.argv[1:]`) and return its exit code."""
    return run_command(lambda argv: write_picture(options_from(parse_flags(
        "show_image", DESCRIPTION, FLAGS, argv))), argv)


def options_from(args: dict[str, Any]) -> ShowOptions:
    """Convert the values of the flags to options."""
    options = ShowOptions(**{**option_values(args, FLAGS), "dataset": dataset_options(args)})
    if options.output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UsageError(f"--output={options.output} must end in .png or .jpg.")
    check_output_file(options.output, "output", None if options.dataset.manifest else options.image_dir)
    return options


def write_picture(options: ShowOptions) -> int:
    """Write the picture, print its path and size, and return 0."""
    picture = sample_grid(read_dataset(options.image_dir, 1, options.dataset),
                          min(options.photos_per_class, MAX_PHOTOS_PER_CLASS))
    picture.save(options.output)
    print(f"{options.output}: {picture.width} x {picture.height} pixels")
    return 0


def show_image(path: Path | str) -> Image.Image:
    """Return a photo, rotated upright, for display in a notebook, and print its credit if there is one.

    Args:
        path: A photo in a class folder. The credit is its line in a LICENSE.txt next to the class folder.

    Raises:
        PhotoError: The photo cannot be read.
    """
    path = Path(path)
    credit = _find_credit(path)
    if credit:
        print(credit)
    return Image.fromarray(load_full_size(path))


def _find_credit(path: Path) -> str:
    """Return the line about a photo in the LICENSE.txt next to its class folder, as in TensorFlow's flower_photos."""
    licence = path.resolve().parent.parent / "LICENSE.txt"
    if not licence.is_file():
        return ""
    name = f"{path.resolve().parent.name}/{path.name}"
    return next((line for line in licence.read_text("utf-8", errors="replace").splitlines() if name in line), "")
