"""The command line of doctor."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..files import check_is_not_among
from ..flags import CommandParser, path
from ..logging import configure_logging
from .extractor import ExtractorSettings, add_extractor_flags, add_storage_flags, extractor_settings
from .places import TF_FILES


@dataclass(frozen=True)
class DoctorSettings:
    """What `doctor` was asked; the flags of the same names say what each means."""

    image_dir: Path
    output_dir: Path
    bottleneck_dir: Path
    extractor: ExtractorSettings


def doctor_settings(arguments: list[str] | None) -> DoctorSettings:
    """Reads doctor's command line (None: the process's); raises UserError with exit code 2 for a wrong one."""
    parser = CommandParser(prog="scripts.doctor", description="Looks for what is wrong with photos: wrong labels, "
                           "copies, unreadable and tiny files, and others. Changes nothing.")
    parser.add_argument("--image_dir", type=path, required=True, help="folder that holds one folder of photos per "
                        "class")
    parser.add_argument("--output_dir", type=path, default=TF_FILES / "doctor", metavar="DIR",
                        help="where findings.csv goes (default tf_files/doctor)")
    add_extractor_flags(parser.add_argument_group("extractor"))
    add_storage_flags(parser.add_argument_group("files"))
    flags = parser.parse(arguments)
    configure_logging(flags.logging_verbosity)
    check_is_not_among(flags.output_dir, "--output_dir", flags.image_dir, flags.output_dir)
    return DoctorSettings(image_dir=flags.image_dir, output_dir=flags.output_dir,
                          bottleneck_dir=flags.bottleneck_dir, extractor=extractor_settings(flags))
