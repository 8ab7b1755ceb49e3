"""The command `tfpoets sample_photos`: write sample photos to train on."""
from __future__ import annotations

from pathlib import Path

from tfpoets.data import samples

from .invocation import command_line, program_name
from .messages import print_lines
from .parser import Flag, Group, help_hint, parse_flags, path
from .paths import TF_FILES
from .run_command import UsageError, run_command

WRITERS = {"digits": samples.write_digits, "flowers": samples.write_flowers, "cifar10": samples.write_cifar10}
FOLDERS = {"digits": "digits", "flowers": "flower_photos", "cifar10": "cifar10"}
FLAGS = (Group("", (
    Flag("sample", "digits (default): 1,797 handwritten digits, no download; flowers: 3,670 photos in five classes "
         "(CC-BY), 229 MB download; cifar10: 60,000 photos of 32 x 32 pixels in ten classes, 170 MB download",
         metavar="SAMPLE", nargs="?"),
    Flag("output_dir", "folder to write the photos to (default: tf_files/digits, tf_files/flower_photos or "
         "tf_files/cifar10)", parse=path, metavar="DIR"))),)


def main(argv: list[str] | None = None) -> int:
    """Run the command with the given arguments (default: `sys.argv[1:]`) and return its exit code."""
    description = f"Write sample photos, one folder per class, as input for {program_name('retrain')}."
    return run_command(lambda argv: write_sample(**parse_flags("sample_photos", description, FLAGS, argv)), argv)


def write_sample(sample: str = "digits", output_dir: Path | None = None) -> int:
    """Write the photos, print where they are and how to train on them, and return 0.

    Args:
        sample: A key of `WRITERS`.
        output_dir: The folder to write to (default: tf_files/ and the value of `FOLDERS`).

    Raises:
        UsageError: There is no such sample.
    """
    if sample not in WRITERS:
        raise UsageError(f"Argument SAMPLE: invalid choice: {sample!r} (choose from {', '.join(WRITERS)}).",
                         help_hint(program_name("sample_photos")))
    written = WRITERS[sample](output_dir or TF_FILES / FOLDERS[sample])
    photos = f"{sum(written.counts.values()):,} photos"
    if written.already_existed:
        print_lines(f"{written.folder} is already complete: {photos}.")
    else:
        print_lines(f"Wrote {photos} in {len(written.counts)} class folders to {written.folder}.")
    print_lines("Retrain on them with:")
    print_lines(f"    {command_line('retrain', f'--image_dir={written.folder}')}")
    return 0
