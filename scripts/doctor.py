"""python -m scripts.doctor --image_dir=FOLDER: says what is wrong with photos, and changes nothing."""
from __future__ import annotations

import sys

from scripts.checkup import examine, write_findings
from scripts.console import UserError, check_output_folder, run_command
from scripts.console.settings import DoctorSettings, doctor_settings
from scripts.features import Bottlenecks, extract_bottlenecks, open_extractor
from scripts.photos import Split, check_class_sizes, read_tree, split_photos
from scripts.report import finding_lines, photo_lines

# Of each kind; the file has all.
MOST_SHOWN = 5


def main(arguments: list[str] | None = None) -> int:
    """The command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(lambda given: doctor(doctor_settings(given)), arguments)


def doctor(settings: DoctorSettings) -> int:
    """Examines the photos, writes the findings, prints what there is of each kind, and returns 0."""
    tree = read_tree(settings.image_dir)
    check_output_folder(settings.output_dir)
    print(*photo_lines(tree), sep="\n", flush=True)
    extractor = open_extractor(settings.extractor.tfhub_module, settings.extractor.model_dir,
                               settings.extractor.image_size, settings.extractor.offline)
    bottlenecks = extract_bottlenecks(tree, extractor, settings.bottleneck_dir)
    findings = examine(bottlenecks, _usual_split(bottlenecks), extractor.height)
    path = settings.output_dir / "findings.csv"
    write_findings(path, findings)
    print(*finding_lines(findings, path, MOST_SHOWN), sep="\n")
    return 0


def _usual_split(bottlenecks: Bottlenecks) -> Split:
    """The split that retrain makes unless told otherwise, or none where a class is too small for it."""
    try:
        check_class_sizes(bottlenecks.tree, 10, 10)
    except UserError:
        return split_photos(bottlenecks.tree, bottlenecks.looks, 0, 0)
    return split_photos(bottlenecks.tree, bottlenecks.looks)


if __name__ == "__main__":
    sys.exit(main())
