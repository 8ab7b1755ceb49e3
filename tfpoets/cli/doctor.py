"""tfpoets doctor --image_dir=FOLDER: find problems in photos, and change nothing."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfpoets.data import Dataset, SplitOptions, check_class_sizes, read_dataset, split_photos
from tfpoets.doctor import examine, required_measures, write_findings
from tfpoets.errors import DataError
from tfpoets.extractors import ExtractorOptions, extract_bottlenecks, open_extractor
from tfpoets.files import check_is_not_among, check_output_folder

from .parser import Flag, Group, location, option_values, parse_flags, path
from .paths import TF_FILES
from .run_command import run_command
from .shared_flags import EXTRACTOR_FLAGS, STORAGE_FLAGS, VIEWS_FLAG, extractor_options
from .text import finding_lines, photo_lines

# Of each kind; the file has all.
MAX_SHOWN = 5
FLAGS = (
    Group("", (
        Flag("image_dir", "folder that holds one folder of photos per class", "image_dir", location, "DIR",
             required=True),
        Flag("output_dir", "where findings.csv goes (default tf_files/doctor)", "output_dir", path, "DIR"))),
    Group("extractor", (*EXTRACTOR_FLAGS, VIEWS_FLAG)),
    Group("files", STORAGE_FLAGS))


@dataclass(frozen=True)
class DoctorOptions:
    """What `doctor` examines; the flags of the same names say what each means."""

    image_dir: Path | str
    output_dir: Path = TF_FILES / "doctor"
    bottleneck_dir: Path = TF_FILES / "bottlenecks"
    extractor: ExtractorOptions = ExtractorOptions()


def main(arguments: list[str] | None = None) -> int:
    """Run the command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: doctor(options_from(parse_flags(
        "doctor", "Find problems in photos: wrong labels, duplicates, unreadable and tiny files, and others. Change "
        "nothing.", FLAGS, given))), arguments)


def options_from(given: dict[str, Any]) -> DoctorOptions:
    """Return the options that the flags ask for."""
    values = {**option_values(given, FLAGS), "extractor": extractor_options(given)}
    options = DoctorOptions(**values)
    check_is_not_among(options.output_dir, "output_dir", options.image_dir, options.output_dir)
    return options


def doctor(options: DoctorOptions) -> int:
    """Examine the photos, write the findings, print some of each kind, and return 0."""
    dataset = read_dataset(options.image_dir)
    check_output_folder(options.output_dir)
    print(*photo_lines(dataset), sep="\n", flush=True)
    extractor = open_extractor(options.extractor)
    bottlenecks = extract_bottlenecks(dataset, extractor, options.bottleneck_dir, measures=required_measures())
    findings = examine(_with_usual_split(bottlenecks.dataset), bottlenecks.unreadable, extractor.height)
    file = options.output_dir / "findings.csv"
    write_findings(file, findings)
    print(*finding_lines(findings, file, MAX_SHOWN), sep="\n")
    return 0


def _with_usual_split(dataset: Dataset) -> Dataset:
    """The photos with retrain's usual split, or all for training where a class is small."""
    options = SplitOptions()
    try:
        check_class_sizes(dataset, options)
    except DataError:
        options = SplitOptions(0, 0)
    return split_photos(dataset, options)
