"""tfpoets sample_photos [SAMPLE]: write sample photos, one folder a class, ready for the retrain command."""
from __future__ import annotations

from pathlib import Path

from tfpoets.data import samples

from .invocation import called_as, command_line
from .parser import Flag, Group, parse_flags, path
from .paths import TF_FILES
from .run_command import UsageError, run_command

WRITERS = {"digits": samples.write_digits, "flowers": samples.write_flowers, "cifar10": samples.write_cifar10}
FOLDERS = {"digits": "digits", "flowers": "flower_photos", "cifar10": "cifar10"}
FLAGS = (Group("", (
    Flag("sample", "digits (default): 1,797 handwritten digits, needs no network; flowers: 3,670 photos of five kinds "
         "(CC-BY), downloads 229 MB; cifar10: 60,000 photos of 32 x 32 pixels in ten classes, downloads 170 MB",
         metavar="SAMPLE", nargs="?"),
    Flag("output_dir", "where to write (default: tf_files/digits, tf_files/flower_photos or tf_files/cifar10)",
         parse=path, metavar="DIR"))),)


def main(arguments: list[str] | None = None) -> int:
    """Run the command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: write(**parse_flags(
        "sample_photos", f"Write sample photos, one folder a class, ready for {called_as('retrain')}.", FLAGS, given)),
        arguments)


def write(sample: str = "digits", output_dir: Path | None = None) -> int:
    """Write the photos, print where they are, and return 0."""
    if sample not in WRITERS:
        raise UsageError(f"Argument SAMPLE: invalid choice: {sample!r} (choose from {', '.join(WRITERS)}).",
                         f"See all flags with --help ({called_as('sample_photos')} --help).")
    written = WRITERS[sample](output_dir or TF_FILES / FOLDERS[sample])
    photos = f"{sum(written.counts.values()):,} photos"
    if written.already_existed:
        print(f"{written.folder} is complete already: {photos}.")
    else:
        print(f"Wrote {photos} in {len(written.counts)} class folders to {written.folder}.")
    print("Retrain on them with:")
    print(f"    {command_line('retrain', f'--image_dir={written.image_dir}')}")
    return 0
