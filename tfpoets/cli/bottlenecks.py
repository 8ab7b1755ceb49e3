"""The command `tfpoets bottlenecks`: show, check, clean up or export the cache of computed features."""
from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfpoets.errors import OptionError
from tfpoets.extractors import (CACHE_NAME, TABLES, CacheStatistics, ExtractorOptions, PruningPlan, export_bottlenecks,
                                find_network_keys, has_unused_pages, open_cache_file, plan_network_removal,
                                plan_pruning, prune, read_statistics, remove_network, rewrite, size_on_disk,
                                verify_contents)
from tfpoets.files import check_output_file

from .exit_codes import FAILED, SUCCEEDED
from .messages import print_json, print_lines
from .parser import Flag, Group, option_values, parse_flags, path
from .paths import TF_FILES
from .run_command import UsageError, run_command
from .shared_flags import STORAGE_FLAGS, extractor_options

DESCRIPTION = ("Show what the cache of computed features (bottlenecks) contains, check it, remove what is no longer "
               "needed, or export it.")
FLAGS = (
    Group("what to do (one of them)", (
        Flag("stats", "show the number of photos, the networks and the size (default)", "stats", const=True),
        Flag("verify", "check the structure of the file and the checksum of every value", "verify", const=True),
        Flag("prune", "remove files that no longer exist, and the values that belong to no other file; with "
             "--extractor, all bottlenecks of one network", "prune", const=True),
        Flag("export", "write the bottlenecks to a Parquet file with the columns uri, digest, extractor, view and "
             "bottleneck", "export", path, "FILE"))),
    Group("options", (
        Flag("extractor", "network whose bottlenecks to remove or export: its key or name in the output of --stats, "
             "or the beginning of one", "network_key", metavar="KEY"),
        Flag("missing_folders", "--prune also removes files whose whole folder is missing or empty; do not use it "
             "while the drive with the photos is not mounted", "missing_folders", const=True),
        Flag("dry_run", "only show what --prune would remove", "dry_run", const=True),
        Flag("overwrite", "replace the file of --export if it exists", "overwrite", const=True),
        *STORAGE_FLAGS,
        Flag("format", "text (default), or json to print one object", "format", choices=("text", "json")))))
TASKS = ("stats", "verify", "prune", "export")
# The tasks to which an option applies.
TASKS_OF = {"extractor": ("prune", "export"), "missing_folders": ("prune",), "dry_run": ("prune",),
            "overwrite": ("export",)}
UNITS = ("bytes", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class BottlenecksOptions:
    """The options of `bottlenecks`, documented by the flags of the same names.

    Attributes:
        task: One of TASKS.
        network_key: The value of --extractor.
    """

    task: str = "stats"
    export: Path | None = None
    network_key: str = ""
    missing_folders: bool = False
    dry_run: bool = False
    overwrite: bool = False
    bottleneck_dir: Path = TF_FILES / "bottlenecks"
    model_dir: Path = ExtractorOptions().model_dir
    format: str = "text"


def main(argv: list[str] | None = None) -> int:
    """Run the command with the given arguments (default: `sys.argv[1:]`) and return its exit code."""
    return run_command(lambda argv: bottlenecks(options_from(parse_flags("bottlenecks", DESCRIPTION, FLAGS, argv))),
                       argv)


def options_from(args: dict[str, Any]) -> BottlenecksOptions:
    """Convert the values of the flags to options; raise UsageError if they contradict each other."""
    tasks = [task for task in TASKS if task in args]
    if len(tasks) > 1:
        raise UsageError(f"--{tasks[0]} and --{tasks[1]} cannot be combined.", "Run the command once for each.")
    task = tasks[0] if tasks else "stats"
    for name, possible in TASKS_OF.items():
        if args.get(name) and task not in possible:
            raise UsageError(f"--{name} needs {' or '.join(f'--{other}' for other in possible)}.")
    if "extractor" in args and "missing_folders" in args:
        raise UsageError("--extractor and --missing_folders cannot be combined.",
                         "The bottlenecks of a network are removed whether or not their files exist.")
    values = {name: value for name, value in option_values(args, FLAGS).items()
              if name not in ("stats", "verify", "prune", "extractor")}
    return BottlenecksOptions(task, model_dir=extractor_options(args).model_dir, **values)


def bottlenecks(options: BottlenecksOptions) -> int:
    """Perform the task, print the result, and return the exit code."""
    tasks = {"stats": show_statistics, "verify": verify, "prune": clean_up, "export": export}
    return tasks[options.task](options)


def show_statistics(options: BottlenecksOptions) -> int:
    """Print what the cache contains, and return 0."""
    with open_cache_file(options.bottleneck_dir) as database:
        statistics = read_statistics(database, options.bottleneck_dir, options.model_dir)
    if options.format == "json":
        print_json(statistics.to_dict())
    else:
        print_lines(*_statistics_lines(statistics))
    return SUCCEEDED


def _statistics_lines(statistics: CacheStatistics) -> list[str]:
    lines = [f"{statistics.path}: {_size(statistics.bytes)}, {_count(statistics.photos, 'photo')}"]
    for network in statistics.networks:
        engines = ", ".join(f"{name} {fraction:.1%}" for name, fraction in network.engines.items())
        digest, _, augmentation = network.key.partition("/")
        lines += [f"  {network.name or 'network that is not in --model_dir'}",
                  f"    key         {digest}",
                  *([f"    augmented   {augmentation} (at most {_count(network.views, 'view')} of a photo)"]
                    if augmentation else []),
                  f"    photos      {network.photos:,}",
                  f"    bottlenecks {network.bottlenecks:,} of {network.depth:,} numbers, {_size(network.bytes)}",
                  f"    engines     {engines}"]
    measures = "".join(f", {name} {count:,}" for name, count in sorted(statistics.measures.items()))
    lines += [f"Values of photos: perceptual hashes {statistics.hashes:,}{measures}",
              f"Known files: {statistics.files:,}, of which {statistics.missing_files:,} no longer exist"]
    if statistics.missing_files:
        lines.append("  To remove them and their values: --prune")
    if statistics.set_aside:
        lines.append(f"Damaged caches that were set aside, which you may delete: {', '.join(statistics.set_aside)}")
    return lines


def verify(options: BottlenecksOptions) -> int:
    """Check the cache, print what is damaged, and return 0 if nothing is."""
    with open_cache_file(options.bottleneck_dir) as database:
        result = verify_contents(database)
    if options.format == "json":
        print_json({"rows": result.rows, "damaged": result.damaged, "intact": result.is_intact,
                    "structural_errors": list(result.structural_errors)})
    elif result.is_intact:
        print_lines(f"The cache is intact: {_count(result.rows, 'value')} checked.")
    else:
        damaged = [f"{count:,} {TABLES[table]}" for table, count in result.damaged.items() if count]
        if damaged:
            print_lines(f"Damaged, of {_count(result.rows, 'value')}: {', '.join(damaged)}.")
        if result.structural_errors:
            print_lines("The structure of the file is damaged:", *result.structural_errors,
                        f"Delete the files in {options.bottleneck_dir} whose names begin with bottlenecks.sqlite; the "
                        "next run computes all bottlenecks again.")
        else:
            print_lines("The next run computes damaged values again. If it happens repeatedly, check the disk.")
    return SUCCEEDED if result.is_intact else FAILED


def clean_up(options: BottlenecksOptions) -> int:
    """Remove values, print how many, and return 0."""
    folder, before = options.bottleneck_dir, 0
    with open_cache_file(folder, alone=True) as database:
        before = size_on_disk(folder)
        keys = find_network_keys(database, options.network_key, options.model_dir) if options.network_key else []
        plan = (plan_network_removal(database, keys) if keys else plan_pruning(database, options.missing_folders))
        if options.format == "text":
            print_lines(*_plan_lines(plan, options.dry_run))
        if not options.dry_run:
            _remove(database, plan, keys, folder)
    freed = max(0, before - size_on_disk(folder))
    if options.format == "json":
        print_json({"removed": plan.rows, "kept_files": plan.kept_files, "dry_run": options.dry_run,
                    "freed_bytes": freed})
    elif not options.dry_run:
        print_lines(f"Freed {_size(freed)} of {_size(before)}.")
    return SUCCEEDED


def _remove(database: sqlite3.Connection, plan: PruningPlan, keys: list[str], folder: Path) -> None:
    if keys:
        remove_network(database, keys)
    elif not plan.is_empty:
        prune(database)
    if has_unused_pages(database):
        rewrite(database, folder)


def _plan_lines(plan: PruningPlan, is_dry_run: bool) -> list[str]:
    rows = [f"  {plan.rows[table]:>9,} {name}" for table, name in TABLES.items() if plan.rows.get(table)]
    verb = "Would be removed:" if is_dry_run else "Removing:"
    lines = [verb, *rows] if rows else ["There is nothing to remove."]
    if plan.kept_files:
        lines.append(f"Kept: {_count(plan.kept_files, 'missing file')} in folders that are missing or empty, such as "
                     f"{plan.kept_folder}, because their drive may not be mounted; --missing_folders removes them.")
    return lines


def export(options: BottlenecksOptions) -> int:
    """Write the bottlenecks to a file, print how many, and return 0."""
    file = options.export
    assert file is not None
    check_output_file(file, "export")
    if file.resolve().parent == options.bottleneck_dir.resolve() and file.name.startswith(CACHE_NAME):
        raise OptionError(f"`export`={file} is the cache itself.", "Choose another name.")
    if os.path.lexists(file) and not options.overwrite:
        raise OptionError(f"`export`={file} exists already.", "Choose another name, or add `overwrite`.")
    with open_cache_file(options.bottleneck_dir) as database:
        keys = find_network_keys(database, options.network_key, options.model_dir) if options.network_key else None
        rows = export_bottlenecks(database, file, keys)
    if options.format == "json":
        print_json({"path": str(file), "rows": rows, "bytes": file.stat().st_size})
    else:
        print_lines(f"{file}: {_count(rows, 'row')}, {_size(file.stat().st_size)}")
    return SUCCEEDED


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _size(number: float) -> str:
    """Return a number of bytes with a unit."""
    unit = 0
    while number >= 1000 and unit < len(UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:,.0f} {UNITS[unit]}" if unit == 0 or number >= 100 else f"{number:,.1f} {UNITS[unit]}"
