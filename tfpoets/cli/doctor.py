"""The command `tfpoets doctor`: find problems in a folder of photos."""
from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfpoets.data import Dataset, DatasetOptions, SplitOptions, check_class_sizes, read_dataset, split_photos
from tfpoets.doctor import examine, required_measures, write_findings
from tfpoets.errors import DataError
from tfpoets.extractors import ExecutionOptions, ExtractorOptions, extract_bottlenecks, open_extractor
from tfpoets.files import check_not_below_image_dir, check_output_folder

from .exit_codes import FAILED
from .messages import print_lines
from .parser import Flag, Group, is_photo_folder, location, option_values, parse_flags, path
from .paths import TF_FILES
from .run_command import run_command
from .shared_flags import (DATASET_FLAGS, EXTRACTOR_FLAGS, IMAGE_DIR_HELP, RAY_FLAG, STORAGE_FLAGS, VIEWS_FLAG,
                           dataset_options, extractor_options)
from .text import finding_lines, photo_lines

# The number of findings of each kind that are printed. The CSV file contains all of them.
MAX_FINDINGS_PER_KIND = 5
DESCRIPTION = ("Find problems in a folder of photos, such as wrong labels, duplicates, and unreadable or tiny files. "
               "The photos are not changed.")
FLAGS = (
    Group("", (
        Flag("image_dir", IMAGE_DIR_HELP, "image_dir", location, "DIR", bare=is_photo_folder),
        *DATASET_FLAGS,
        Flag("output_dir", "folder to write findings.csv to (default: tf_files/doctor)", "output_dir", path, "DIR"))),
    Group("extractor", (*EXTRACTOR_FLAGS, VIEWS_FLAG)),
    Group("files", (*STORAGE_FLAGS, RAY_FLAG)))


@dataclass(frozen=True)
class DoctorOptions:
    """The options of `doctor`, documented by the flags of the same names."""

    image_dir: Path | str | None = None
    dataset: DatasetOptions = DatasetOptions()
    output_dir: Path = TF_FILES / "doctor"
    bottleneck_dir: Path = TF_FILES / "bottlenecks"
    extractor: ExtractorOptions = ExtractorOptions()
    ray_address: str = ""


def main(argv: list[str] | None = None) -> int:
    """Run the command with the given arguments (default: `sys.argv[1:]`) and return its exit code."""
    return run_command(lambda argv: doctor(options_from(parse_flags("doctor", DESCRIPTION, FLAGS, argv))), argv)


def options_from(args: dict[str, Any]) -> DoctorOptions:
    """Convert the values of the flags to options."""
    values = {**option_values(args, FLAGS), "extractor": extractor_options(args), "dataset": dataset_options(args)}
    options = DoctorOptions(**values)
    if options.image_dir is not None and not options.dataset.manifest:
        check_not_below_image_dir(options.output_dir, "output_dir", options.image_dir, options.output_dir)
    return options


def doctor(options: DoctorOptions) -> int:
    """Examine the photos, write all findings, and print the first few of each kind.

    Returns:
        The exit code: 0, or 1 if a check failed.
    """
    dataset = read_dataset(options.image_dir, options=options.dataset)
    check_output_folder(options.output_dir)
    print_lines(*photo_lines(dataset))
    extractor = open_extractor(options.extractor)
    bottlenecks = extract_bottlenecks(dataset, extractor, options.bottleneck_dir, required_measures(),
                                      ExecutionOptions(ray_address=options.ray_address))
    examination = examine(_split_like_retrain(bottlenecks.dataset), bottlenecks.unreadable, extractor.height)
    file = options.output_dir / "findings.csv"
    write_findings(file, examination.findings)
    print_lines(*finding_lines(examination, file, MAX_FINDINGS_PER_KIND))
    return FAILED if examination.failed_checks else 0


def _split_like_retrain(dataset: Dataset) -> Dataset:
    """Split the photos as `retrain` does by default, or use them all for training if a class is too small."""
    options = SplitOptions()
    try:
        check_class_sizes(dataset, options)
    except DataError:
        options = SplitOptions(0, 0)
        dataset = replace(dataset, photos=tuple(replace(photo, part="") for photo in dataset.photos))
    return split_photos(dataset, options)
