"""The command `tfpoets compare`: compare pretrained networks, or earlier runs, on the same photos."""
from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfpoets.comparison import (CompareOptions, CompareRunsOptions, Comparison, choose, compare_networks,
                                compare_runs)
from tfpoets.data import SplitOptions
from tfpoets.errors import OptionError
from tfpoets.extractors import VIEW_COUNTS, ExtractorOptions
from tfpoets.files import check_output_file
from tfpoets.report import ComparisonPoint, comparison_picture

from .compare_text import comparison_lines
from .invocation import command_line
from .messages import print_json, print_lines
from .parser import Flag, Group, is_photo_folder, location, option_values, parse_flags, path
from .paths import TF_FILES
from .percentages import percentage
from .run_command import UsageError, run_command
from .shared_flags import DATASET_FLAGS, EXTRACTOR_FLAGS, IMAGE_DIR_HELP, RAY_FLAG, STORAGE_FLAGS, dataset_options

DEFAULT_PICTURE = TF_FILES / "comparison.png"
TRUST = "trust_model"
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
SPLIT = SplitOptions()
DESCRIPTION = ("Compare pretrained networks by cross-validation on the same folds of your photos: accuracy, speed and "
               "the size of the exported file. Or compare earlier runs of retrain on the test photos that all of "
               "them have in common: compare RUN_A.json RUN_B.json")


def handles(text: str) -> tuple[str, ...]:
    """Split a comma-separated list of networks, unless a file or folder has the whole text as its name."""
    if os.path.exists(os.path.expanduser(text)):
        return (text,)
    found = tuple(dict.fromkeys(handle.strip() for handle in text.split(",") if handle.strip()))
    if not found:
        raise argparse.ArgumentTypeError("it names no network.")
    return found


def integers(text: str) -> tuple[int, ...]:
    """Split a comma-separated list of whole numbers."""
    try:
        return tuple(dict.fromkeys(int(number) for number in text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers, such as 224,320.") from None


PHOTO_FLAGS = (
    Flag("testing_percentage", "percentage of the photos that retrain holds out for its final test; they are not "
         f"used, so that they do not influence the choice of the network (default: "
         f"{SPLIT.testing_percentage:g}, as in retrain)", "split.testing_percentage", percentage, "P"),
    Flag("cross_validate", "number of folds (default: 5)", "cross_validate", int, "K"),
    Flag("seed", f"random seed of the folds and of the photos that are held out (default: {SPLIT.seed})", "split.seed",
         int, "N"))
# The flags of the same names in other commands, but with lists of values.
NETWORK_FLAGS = (
    Flag("tfhub_module", "networks to compare, separated by commas; the flag can be repeated; see retrain --help "
         f"(default: {ExtractorOptions().handle})", parse=handles, metavar="HANDLE[,HANDLE...]",
         repeatable=True, aliases=("handle", "handles")),
    Flag("image_size", "input sizes to compare each network with, such as 224,320 (default: that of the network)",
         "image_sizes", integers, "PIXELS[,PIXELS...]", aliases=("image_size",)),
    Flag("views", f"numbers of views to compare each network with, such as 1,4; each is one of "
         f"{', '.join(map(str, VIEW_COUNTS))} (default: 1)", "views", integers, "N[,N...]"),
    *(flag for flag in EXTRACTOR_FLAGS if flag.name in ("input_range", "offline", TRUST)))
FLAGS = (
    Group("", (
        Flag("runs", "metadata files (.json) that earlier runs of retrain wrote next to their graphs; their photos "
             "must still be there", parse=path, metavar="RUN", nargs="*"),
        Flag("image_dir", f"{IMAGE_DIR_HELP}; with RUNs, where their photos are now (default: where they were)",
             "image_dir", location, "DIR", bare=is_photo_folder),
        *DATASET_FLAGS, *PHOTO_FLAGS)),
    Group("networks", NETWORK_FLAGS),
    Group("output", (
        Flag("output", f"picture of the accuracy against the time, .png or .jpg (default: {DEFAULT_PICTURE})",
             parse=path, metavar="FILE"),
        Flag("format", "text (default), or json to print one object", choices=("text", "json")),
        *STORAGE_FLAGS, RAY_FLAG)))


def main(argv: list[str] | None = None) -> int:
    """Run the command with the given arguments (default: `sys.argv[1:]`) and return its exit code."""
    return run_command(lambda argv: compare(parse_flags("compare", DESCRIPTION, FLAGS, argv)), argv)


def options_from(args: dict[str, Any]) -> CompareOptions | CompareRunsOptions:
    """Convert the values of the flags to options.

    Raises:
        UsageError: A flag does not apply to the requested kind of comparison.
        OptionError: The value of an option is invalid.
    """
    dataset = dataset_options(args)
    if "runs" in args:
        ignored = [f"--{flag.name}" for flag in (*PHOTO_FLAGS, *NETWORK_FLAGS, *STORAGE_FLAGS, RAY_FLAG)
                   if flag.name in args and flag.name != TRUST]
        if ignored:
            raise UsageError(f"{ignored[0]} is only for a comparison of networks, not of earlier runs.", "Omit it.")
        if dataset != type(dataset)() and not ("image_dir" in args or dataset.manifest):
            raise UsageError("--label_pattern and --group_pattern need --image_dir.",
                             "Add it, or omit them to use those of the runs.")
        return CompareRunsOptions(runs=tuple(args["runs"]), image_dir=args.get("image_dir"), dataset=dataset,
                                  trust_model=TRUST in args)
    if "image_dir" not in args and not dataset.manifest:
        raise UsageError("Neither photos nor earlier runs were given.", "Set --image_dir to the photo folder, or give "
                         "the metadata files (.json) of two runs.")
    values = option_values(args, FLAGS)
    values["split"] = SplitOptions(**values.get("split", {}))
    values["extractor"] = ExtractorOptions(**values.get("extractor", {}))
    for size in values.get("image_sizes", ()):  # each value is checked before any work is done
        replace(values["extractor"], image_size=size)
    for views in values.get("views", ()):
        replace(values["extractor"], views=views)
    if "tfhub_module" in args:
        values["handles"] = tuple(dict.fromkeys(handle for group in args["tfhub_module"] for handle in group))
    return CompareOptions(**{**values, "dataset": dataset})


def compare(args: dict[str, Any]) -> int:
    """Compare, print the result, write the picture, and return 0."""
    options, picture = options_from(args), args.get("output", DEFAULT_PICTURE)
    if picture.suffix.lower() not in PICTURE_SUFFIXES:
        raise OptionError(f"`output`={picture} must end in .png or .jpg.")
    check_output_file(picture, "output", None if options.dataset.manifest else options.image_dir)
    if isinstance(options, CompareRunsOptions):
        comparison = compare_runs(options)
    else:
        comparison = compare_networks(options)
    choice = choose(comparison)
    has_picture = write_picture(comparison, picture)
    if args.get("format") == "json":  # in ASCII, so that it is the same in every encoding
        print_json({**comparison.to_dict(), "choice": choice.to_dict(),
                    "picture": str(picture) if has_picture else None}, ensure_ascii=True, allow_nan=False)
        return 0
    print_lines(*comparison_lines(comparison, choice))
    if isinstance(options, CompareOptions):
        print_lines(f"Train the most accurate one:  {retrain_command(comparison, options)}")
    if has_picture:
        print_lines(f"Picture:  {picture}")
    return 0


def write_picture(comparison: Comparison, path: Path) -> bool:
    """Write the picture, and return whether there is one: it needs the times of at least two classifiers."""
    points = [ComparisonPoint(classifier.name, time, classifier.metrics.accuracy, classifier.metrics.interval, front)
              for classifier, front in zip(comparison.classifiers, comparison.front)
              if (time := classifier.median_milliseconds) is not None]
    if len(points) < 2:
        return False
    comparison_picture(points).save(path)
    return True


def retrain_command(comparison: Comparison, options: CompareOptions) -> str:
    """Return the command that trains the most accurate network on the same photos."""
    extractor = comparison.classifiers[0].extractor
    assert extractor is not None
    default, dataset = ExtractorOptions(), options.dataset
    flags = {"image_dir": options.image_dir, "manifest": ",".join(map(str, dataset.manifest)),
             "label_pattern": dataset.label_pattern, "group_pattern": dataset.group_pattern,
             "tfhub_module": "" if extractor.handle == default.handle else extractor.handle,
             "image_size": extractor.image_size, "views": "" if extractor.views == 1 else extractor.views,
             "input_range": extractor.input_range,
             **{name: value for name, value, usual in (
                 ("model_dir", extractor.model_dir, default.model_dir),
                 ("bottleneck_dir", options.bottleneck_dir, CompareOptions.bottleneck_dir)) if value != usual},
             "seed": options.split.seed or "",
             "testing_percentage": "" if options.split.testing_percentage == SPLIT.testing_percentage
             else f"{options.split.testing_percentage:g}%"}
    switches = [f"--{name}" for name in ("offline", "trust_model") if getattr(extractor, name)]
    return command_line("retrain", *(f"--{name}={value}" for name, value in flags.items() if value), *switches)
