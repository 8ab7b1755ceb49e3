"""The command line of show_image."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..files import check_output_file
from ..flags import CommandParser, path, positive_integer
from ..logging import configure_logging
from .places import TF_FILES

# Across: more would be wider than any screen.
MOST_PHOTOS = 20


@dataclass(frozen=True)
class ShowSettings:
    """What `show_image` was asked; the flags of the same names say what each means."""

    image_dir: Path
    output: Path
    photos_per_class: int


def show_settings(arguments: list[str] | None) -> ShowSettings:
    """Reads show_image's command line (None: the process's); raises UserError with exit code 2 for a wrong one."""
    parser = CommandParser(prog="scripts.show_image", description="Writes a picture with some photos of every class: "
                           "a look at what will be learnt.")
    parser.add_argument("image_dir", type=path, metavar="FOLDER", help="holds one folder of photos per class")
    parser.add_argument("--output", type=path, default=TF_FILES / "photos.png", metavar="FILE",
                        help="the picture, .png or .jpg (default tf_files/photos.png)")
    parser.add_argument("--photos_per_class", type=positive_integer, default=8, metavar="N",
                        help="how many of each class, at most 20 (default 8)")
    flags = parser.parse(arguments)
    configure_logging(flags.logging_verbosity)
    if flags.output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"--output={flags.output} must end in .png or .jpg.", exit_code=2)
    check_output_file(flags.output, "--output", flags.image_dir)
    return ShowSettings(flags.image_dir, flags.output, min(flags.photos_per_class, MOST_PHOTOS))
