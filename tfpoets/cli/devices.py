"""The command `tfpoets devices`: show the cores and GPUs that would be used, and how fast they are."""
from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

from tfpoets.extractors import (MAX_PHOTOS_PER_CORE_WITHOUT_GPU, ExtractorOptions, Throughput, gpu_names,
                                has_nvidia_driver, measure_throughput, min_photos_for_processes, open_extractor)
from tfpoets.parallel import core_count

from .messages import LINE_WIDTH, print_json, print_lines
from .parser import Flag, Group, option_values, parse_flags, path
from .run_command import run_command
from .shared_flags import EXTRACTOR_FLAGS, VIEWS_FLAG, extractor_options
from .time_estimates import format_duration

DESCRIPTION = "Show the cores and GPUs that retrain would use, and measure for two seconds how fast they are."
EXTRACTOR = ExtractorOptions()
# Enough photos for a GPU to be used, unless there are more than 200 cores.
EXAMPLE_PHOTOS = 50_000
FLAGS = (
    Group("extractor", (
        *EXTRACTOR_FLAGS, VIEWS_FLAG,
        Flag("model_dir", f"folder for downloaded and prepared networks (default: {EXTRACTOR.model_dir})",
             "extractor.model_dir", path, "DIR"))),
    Group("output", (
        Flag("format", "text (default), or json to print one object", "format", choices=("text", "json")),)))


@dataclass(frozen=True)
class DevicesOptions:
    """The options of `devices`, documented by the flags of the same names."""

    extractor: ExtractorOptions = EXTRACTOR
    format: str = "text"


def main(argv: list[str] | None = None) -> int:
    """Run the command with the given arguments (default: `sys.argv[1:]`) and return its exit code."""
    return run_command(lambda argv: devices(options_from(parse_flags("devices", DESCRIPTION, FLAGS, argv))), argv)


def options_from(args: dict[str, Any]) -> DevicesOptions:
    """Convert the values of the flags to options."""
    return DevicesOptions(**{**option_values(args, FLAGS), "extractor": extractor_options(args)})


def devices(options: DevicesOptions) -> int:
    """Print what would be used and why, and return 0."""
    extractor = open_extractor(options.extractor)
    throughput, gpus = measure_throughput(extractor), gpu_names()
    if options.format == "json":
        plan = throughput.plan
        print_json({"cores": core_count(), "gpus": gpus, "engine": plan.engine.name,
                          "batch_size": plan.engine.batch_size, "workers": plan.n_workers,
                          "worker_kind": "process" if plan.uses_processes else "thread", "extractor": extractor.name,
                          "image_size": [extractor.height, extractor.width],
                          "photos_per_second": round(throughput.photos_per_second, 1),
                          "start_seconds": round(throughput.start_seconds, 2)})
        return 0
    _print("Cores", str(core_count()))
    _print("GPU", _describe_gpus(gpus))
    _print("Engine", _describe_engine(throughput))
    _print("Workers", _describe_workers(throughput))
    _print("Speed", f"{throughput.photos_per_second:,.0f} photos/s for {extractor.name} at {extractor.height} x "
           f"{extractor.width} pixels, after a startup of {throughput.start_seconds:.1f} s")
    _print("Example", _describe_example(throughput))
    return 0


def _print(name: str, text: str) -> None:
    """Print a name and its description, in two columns."""
    print_lines(*textwrap.wrap(text, LINE_WIDTH, initial_indent=f"{name + ':':<10}", subsequent_indent=" " * 10))


def _describe_gpus(gpus: list[str]) -> str:
    if gpus:
        return ", ".join(gpus)
    if has_nvidia_driver():
        return ("not used: there is an NVIDIA driver, but TensorFlow finds no GPU "
                "(to use it: pip install 'tensorflow[and-cuda]')")
    return "none (there is no NVIDIA driver)"


def _describe_engine(throughput: Throughput) -> str:
    engine = throughput.plan.engine
    if engine.name == "litert":
        return "LiteRT, one photo at a time in each worker"
    if throughput.plan.uses_gpu:
        return (f"TensorFlow, batches of {engine.batch_size} on the GPU; LiteRT for up to "
                f"{MAX_PHOTOS_PER_CORE_WITHOUT_GPU * core_count():,} new photos, "
                "which take less time than starting TensorFlow")
    return f"TensorFlow, batches of {engine.batch_size}, because LiteRT is not installed"


def _describe_workers(throughput: Throughput) -> str:
    plan = throughput.plan
    task = "decode photos" if plan.engine.batch_size > 1 else "decode photos and compute their features"
    if not plan.uses_processes:
        return f"{_count(plan.n_workers, 'thread')} that {task}"
    processes = f"{plan.n_workers} processes that {task}"
    if plan.uses_gpu:
        return processes
    return f"{processes}; threads for fewer than {min_photos_for_processes(plan.n_workers):,} new photos"


def _describe_example(throughput: Throughput) -> str:
    seconds = throughput.start_seconds + EXAMPLE_PHOTOS / throughput.photos_per_second
    return (f"{EXAMPLE_PHOTOS:,} new photos take about {format_duration(seconds)}; photos in the cache take almost no "
            "time")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
