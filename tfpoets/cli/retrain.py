"""The command `tfpoets retrain`: train an image classifier on one folder of photos per class."""
from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfpoets.data import SplitOptions
from tfpoets.errors import ExtractorError, check_range, closest_match
from tfpoets.events import FilesWritten
from tfpoets.exporting import ExportOptions, format_names
from tfpoets.extractors import ExtractorOptions
from tfpoets.graphs import architecture_names, find_architecture
from tfpoets.networks import ARCHITECTURES, CONVNETS, RESNET, is_own_network
from tfpoets.pipeline import retrain
from tfpoets.retrain_options import RetrainOptions
from tfpoets.retrain_result import RetrainResult
from tfpoets.training import (FineTuningOptions, HeadOptions, LBFGSTrainer, NetworkOptions, SGDOptions, SGDTrainer,
                              TrainingOptions, trainer_named)

from .flags_file import FLAGS_FROM
from .invocation import command_line
from .messages import print_json, print_lines
from .min_accuracy import MIN_ACCURACY, accuracy_exit_code, check_min_accuracy
from .out_of_memory import note_written
from .parser import option_values, parse_command_line
from .paths import DEFAULT_TFLITE
from .retrain_flags import FLAGS, SCRATCH
from .retrain_text import EventPrinter
from .run_command import UsageError, run_command
from .shared_flags import augmentation_options, dataset_options, extractor_options
from .text import advice_lines, learning_curve_lines
from .time_estimates import TimeEstimates

log = logging.getLogger(__name__)

DESCRIPTION = ("Train an image classifier on your own photos, with one folder per class. Write a graph, its labels "
               "and a .tflite file, verify that they give the same predictions, and measure the accuracy of the "
               "classifier.")

# Flags that apply to one kind of training only.
NETWORK_ONLY = ("train_epochs", "batch_size", "optimizer", "schedule", "warmup", "dropout", "patience", "monitor",
                "batch_norm")
SGD_ONLY = ("solver", "how_many_training_steps", "train_batch_size", "validation_batch_size", "test_batch_size",
            "eval_step_interval", "intermediate_store_frequency", "intermediate_output_graphs_dir")
# Flags that select --solver=sgd.
SGD_SELECTORS = ("how_many_training_steps", "learning_rate", "train_batch_size")


def main(argv: list[str] | None = None) -> int:
    """Run the command with the given arguments (default: `sys.argv[1:]`) and return its exit code."""
    return run_command(_run, argv)


def _run(argv: list[str] | None) -> int:
    """Parse the command line, run the retraining, and return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    args, flags = parse_command_line("retrain", DESCRIPTION, FLAGS, arguments)
    args.pop(FLAGS_FROM, None)
    if not args.get("image_dir") and not args.get("manifest"):
        raise UsageError("retrain needs a folder that contains one folder of photos per class, such as "
                         "my_photos/daisy and my_photos/rose.", f"Write {command_line('retrain', 'my_photos')}")
    as_json = args.pop("format", "text") == "json"
    stream = sys.stderr if as_json else sys.stdout
    printer = EventPrinter(stream, args.pop("print_misclassified_test_images", False))
    min_accuracy = args.pop(MIN_ACCURACY.name, None)
    options = replace(options_from(args), flags=flags)
    check_min_accuracy(min_accuracy, has_test=bool(options.split.testing_percentage or options.test_dir
                                                   or options.dataset.manifest))
    estimates = TimeEstimates(options.training.all_layers.epochs if options.training.all_layers else 0)

    def on_event(event: Any) -> None:
        if isinstance(event, FilesWritten):
            note_written(options.files.output_graph)
        estimates(event)
        printer(event)

    result = retrain(options, on_event=on_event, label_command=label_command,
                     retrain_command=retrain_command(arguments))
    print_lines(*_forecast_lines(result, options), *advice_lines(result.advice),
                f"Label a photo:  {label_command(options.files.tflite)}", stream=stream)
    if as_json:  # in ASCII, so that it is the same in every encoding
        print_json(result.to_dict(), ensure_ascii=True, allow_nan=False)
    return accuracy_exit_code(result.metrics, min_accuracy, "test accuracy")


def _forecast_lines(result: RetrainResult, options: RetrainOptions) -> list[str]:
    """Return the forecast for more photos, unless the output contains it anyway."""
    is_recommended = any(item.kind == "photos" for item in result.advice.recommendations)
    if result.learning_curve is None or options.advice or is_recommended:
        return []
    return learning_curve_lines(result.learning_curve, result.labels, False)


def label_command(classifier: Path) -> str:
    """Return the command that labels a photo with the classifier in a file."""
    graph = () if classifier == DEFAULT_TFLITE else (f"--graph={classifier}",)
    return f"{command_line('label_image', *graph)} --image=PHOTO"


def retrain_command(arguments: Sequence[str]) -> Callable[..., str]:
    """Return a function that takes flags by name and returns the command line of this run with their values.

    Args:
        arguments: The arguments of this run.
    """
    def command(**flags: Any) -> str:
        names, kept, is_value = {f"--{name}" for name in flags}, [], False
        for argument in arguments:
            is_replaced = is_value or argument.partition("=")[0] in names
            is_value = argument in names  # the value is the next argument
            if not is_replaced:
                kept.append(argument)
        return command_line("retrain", *kept, *(f"--{name}={value}" for name, value in flags.items()))
    return command


def options_from(args: dict[str, Any]) -> RetrainOptions:
    """Convert the values of the flags to options, and log which flags have no effect.

    Raises:
        UsageError: Flags contradict each other.
        OptionError: The value of an option is invalid.
    """
    values = option_values(args, FLAGS)
    loop, sgd_values = values.pop("loop", {}), values.pop("sgd", {})
    _check_values(args, loop, sgd_values)
    network = _network_options(args, loop)
    _log_ineffective_flags(args, network)
    training = values.pop("training", {})
    head: Any = HeadOptions(**training.pop("head", {}), refit=not args.get("norefit", False))
    if network is None:
        sgd = _sgd_options(args, sgd_values)
        head = _other_head_options(args) or sgd or head
    values["training"] = TrainingOptions(
        **training, head=head,
        fine_tuning=network if isinstance(network, FineTuningOptions) else None,
        network=network if isinstance(network, NetworkOptions) else None,
        augmentation=None if network else augmentation_options(args))
    values["extractor"] = _extractor_options(args)
    values["dataset"] = dataset_options(args)
    split = values.get("split", {})
    if "test_dir" in args:
        split["testing_percentage"] = 0
    values["split"] = SplitOptions(**split)
    values["files"] = ExportOptions(**values.get("files", {}))
    return RetrainOptions(**values, doctor=_doctor_option(args))


def _doctor_option(args: dict[str, Any]) -> bool | None:
    """Return whether the data doctor was requested, or None if the flags leave this open."""
    if "doctor" in args and "nodoctor" in args:
        raise UsageError("--doctor and --nodoctor contradict each other.", "Use one of them.")
    if "nodoctor" in args:
        return False
    return True if "doctor" in args else None


def _check_values(args: dict[str, Any], loop: dict[str, Any], sgd_values: dict[str, Any]) -> None:
    """Raise an error for an invalid value, even if its flag has no effect on this kind of training."""
    SGDOptions(**sgd_values)
    NetworkOptions(architecture=CONVNETS[0], epochs=args.get("train_epochs", SCRATCH.epochs),
                   dropout=args.get("dropout"), **loop)
    check_range("testing_percentage", args.get("testing_percentage"), minimum=0, below=100)
    check_range("fine_tune_epochs", args.get("fine_tune_epochs"), minimum=0, integer=True)
    if args.get("export") == ():
        raise UsageError("--export contains no format.", f"Choose from {', '.join(format_names())}.")


def _scratch_architecture(args: dict[str, Any]) -> str:
    """Return the network that --architecture trains: a name or a file; "" if it selects a pretrained network."""
    name = args.get("architecture", "")
    if is_own_network(name):
        return name
    if re.search(r"\.py(:|$)", name, re.IGNORECASE):
        raise UsageError(f"--architecture={name} does not name a function.",
                         "Write FILE.py:FUNCTION, such as my_networks.py:build.")
    if name.lower().endswith((".h5", ".hdf5")):
        raise UsageError(f"--architecture={name} is an HDF5 file.", "Open it in Keras, and save the model as .keras.")
    return name.lower() if name.lower() in ARCHITECTURES else ""


def _extractor_options(args: dict[str, Any]) -> ExtractorOptions:
    """Return the options of the extractor that --tfhub_module or --architecture selects.

    Empty values, such as those of unset shell variables, are ignored.
    """
    module, architecture = args.get("tfhub_module", ""), args.get("architecture", "")
    if _scratch_architecture(args):
        architecture = ""
    if module and architecture and module.lower() != architecture.lower():
        raise UsageError(f"--tfhub_module={module} and --architecture={architecture} name different extractors.",
                         "Use one of them.")
    _check_for_misspelt_network(module or architecture)
    return extractor_options(args, architecture)


def _check_for_misspelt_network(name: str) -> None:
    """Raise an ExtractorError if the name of an extractor looks like a misspelt network to train from scratch."""
    is_bare_name = re.fullmatch(r"[\w.]+", name) and not Path(name).exists()
    guess = closest_match(name.lower(), [ExtractorOptions().handle, *architecture_names(), *ARCHITECTURES])
    if is_bare_name and guess in ARCHITECTURES and not find_architecture(name):
        raise ExtractorError(f"There is no extractor {name!r}; did you mean --architecture={guess}?",
                             f"The networks to train from scratch are {', '.join(ARCHITECTURES)}.")


def _network_options(args: dict[str, Any], loop: dict[str, Any]) -> FineTuningOptions | NetworkOptions | None:
    """Return the options for training all layers, or None if only the last layer is trained."""
    architecture, fine_tune_epochs = _scratch_architecture(args), args.get("fine_tune_epochs", 0)
    if architecture:
        _check_scratch_flags(args, architecture)
    _check_network_flags(args, architecture)
    loop = {**loop, **_select(args, "learning_rate")}
    augmentation = augmentation_options(args)
    if augmentation:
        loop["augmentation"] = augmentation
    if architecture:
        return NetworkOptions(architecture=architecture, epochs=args.get("train_epochs", SCRATCH.epochs), **loop,
                              **_select(args, "weights", "color_mode", "dropout"))
    if fine_tune_epochs:
        return FineTuningOptions(epochs=fine_tune_epochs, **loop, **_select(args, "batch_norm"))
    return None


def _check_scratch_flags(args: dict[str, Any], architecture: str) -> None:
    """Raise a UsageError for flags that contradict training this network from scratch."""
    if args.get("tfhub_module"):
        raise UsageError(f"--architecture={architecture} trains a network from scratch, without --tfhub_module.",
                         "Use one of them.")
    if args.get("fine_tune_epochs"):
        raise UsageError(f"--architecture={architecture} trains a network from scratch, without --fine_tune_epochs.",
                         "Set the number of epochs with --train_epochs.")
    if args.get("batch_norm") == "training":
        raise UsageError("--batch_norm is only for --fine_tune_epochs. A network trained from scratch always updates "
                         "its batch normalization statistics.", "Omit it.")


def _check_network_flags(args: dict[str, Any], architecture: str) -> None:
    """Raise a UsageError for flags that the selected kind of training does not support."""
    if args.get("weights") == "imagenet" and architecture != RESNET:
        raise UsageError(f"--weights=imagenet is only for --architecture={RESNET}.",
                         "Omit it. Other extractors come with their own weights.")
    if args.get("color_mode") == "grayscale" and not (architecture in CONVNETS or is_own_network(architecture)):
        raise UsageError("--color_mode=grayscale is only for networks trained from scratch "
                         f"({', '.join(CONVNETS)}, or your own).")
    checkpoint_flags = [f"--{name}" for name in _select(args, "resume", "checkpoint")]
    if checkpoint_flags and not (architecture or args.get("fine_tune_epochs")):
        raise UsageError(f"{checkpoint_flags[0]} is only for training all layers (--fine_tune_epochs or "
                         "--architecture), which saves checkpoints.", "Omit it.")


def _select(args: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: args[name] for name in names if name in args}


def _sgd_options(args: dict[str, Any], values: dict[str, Any]) -> SGDOptions | None:
    """Return the options of --solver=sgd, or None if it is not selected, and log the flags that have no effect."""
    if "checkpoint_path" in args:
        log.info("Ignored: --checkpoint_path. Bottlenecks are cached as they are computed, and the rest of the "
                 "training takes seconds.")
    values = {**values, **_select(args, "learning_rate")}
    selectors = [f"--{name}" for name in _select(args, *SGD_SELECTORS)]
    solver = args.get("solver", SGDTrainer.name)
    if solver != SGDTrainer.name and selectors:
        raise UsageError(f"--solver={solver} cannot be combined with flags that select --solver=sgd "
                         f"({', '.join(selectors)}).", "Omit one of the two.")
    if args.get("solver") == SGDTrainer.name or selectors:
        ignored = [flag for flag, is_set in (("--class_weight=balanced", args.get("class_weight") == "balanced"),
                                             ("--norefit", "norefit" in args)) if is_set]
        if ignored:
            log.info("Ignored: %s. With --solver=sgd, the classes are sampled evenly, and the validation photos are "
                     "never trained on.", ", ".join(ignored))
        return SGDOptions(**values)
    ignored = [f"--{name}" for name in _select(args, *values, "test_batch_size", "intermediate_output_graphs_dir")]
    if ignored:
        log.info("Ignored: %s. %s only to --solver=sgd. The default solver computes the optimum of the last layer, "
                 "and all test photos are used.", ", ".join(ignored),
                 "It applies" if len(ignored) == 1 else "They apply")
    return None


def _other_head_options(args: dict[str, Any]) -> Any:
    """Return the default options of a solver other than lbfgs and sgd, or None for these two."""
    solver = args.get("solver", LBFGSTrainer.name)
    if solver in (LBFGSTrainer.name, SGDTrainer.name):
        return None
    _log_ignored(args, ("class_weight", "norefit"), "--solver=lbfgs")
    return trainer_named(solver).options()


def _log_ineffective_flags(args: dict[str, Any], network: FineTuningOptions | NetworkOptions | None) -> None:
    """Log the flags that do not apply to the selected kind of training, or to any."""
    if "mixed_precision" in args:
        log.info("Ignored: --mixed_precision. It was removed, because training in 32 bits is not slower.")
    if not (args.get("tfhub_module", "").endswith(".keras") or is_own_network(args.get("architecture", ""))):
        _log_ignored(args, ("input_range",), "your own Keras models (--architecture=FILE or "
                     "--tfhub_module=FILE.keras)")
    if network is None:
        _log_ignored(args, NETWORK_ONLY, "training all layers (such as --fine_tune_epochs or --architecture=lenet)")
    elif isinstance(network, FineTuningOptions):  # the last layer is trained to its optimum first
        _log_ignored(args, (*SGD_ONLY, "train_epochs", "dropout"), "other kinds of training")
    elif network.architecture not in CONVNETS:
        _log_ignored(args, (*SGD_ONLY, "class_weight", "dropout"), "other kinds of training")
    else:
        _log_ignored(args, (*SGD_ONLY, "class_weight"), "training the last layer")
    if "test_dir" in args:
        _log_ignored(args, ("testing_percentage",), "a test on part of --image_dir")


def _log_ignored(args: dict[str, Any], names: tuple[str, ...], purpose: str) -> None:
    """Log which of these flags were given, and what they would apply to."""
    flags = [f"--{name}" for name in _select(args, *names)]
    if flags:
        log.info("Ignored: %s. %s only to %s.", ", ".join(flags), "It applies" if len(flags) == 1 else "They apply",
                 purpose)
