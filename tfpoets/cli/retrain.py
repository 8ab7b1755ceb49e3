"""The command `tfpoets retrain`: train an image classifier on one folder of photos per class."""
from __future__ import annotations

import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

from tfpoets.data import SplitOptions
from tfpoets.errors import ExtractorError, check_range, closest_match
from tfpoets.exporting import ExportOptions, format_names
from tfpoets.extractors import ExtractorOptions
from tfpoets.graphs import architecture_names, find_architecture
from tfpoets.pipeline import retrain
from tfpoets.retrain_options import RetrainOptions
from tfpoets.training import (ARCHITECTURES, BATCH_NORMS, CHECKPOINTS, CLASS_WEIGHTS, COLOR_MODES, CONVNETS,
                              DEFAULT_AUGMENTED_VIEWS, MONITORS, OPTIMIZERS, RESNET, WEIGHTS, FineTuningOptions,
                              HeadOptions, LBFGSTrainer, NetworkOptions, SGDOptions, SGDTrainer, TrainingOptions,
                              solver_names, trainer_named)

from .accuracy_limit import MIN_ACCURACY, accuracy_exit_code, check_min_accuracy
from .invocation import command_line
from .parser import Flag, Group, location, names, option_values, parse_flags, path
from .paths import DEFAULT_TFLITE
from .percentages import fraction, percentage
from .retrain_text import EventPrinter
from .run_command import UsageError, run_command
from .shared_flags import (AUGMENTATION_FLAGS, EXTRACTOR_FLAGS, IMAGE_DIR_HELP, STORAGE_FLAGS, VIEWS_FLAG,
                           augmentation_options, extractor_options)

log = logging.getLogger(__name__)

SPLIT, FILES, SGD = SplitOptions(), ExportOptions(), SGDOptions()
FINE_TUNING, SCRATCH = FineTuningOptions(), NetworkOptions(architecture=CONVNETS[0])

PHOTOS = Group("photos", (
    Flag("image_dir", f"{IMAGE_DIR_HELP}; the name of a subfolder is the label of its photos", "image_dir", location,
         "DIR", required=True, bare=os.path.isdir),
    Flag("test_dir", "second folder with the same classes, to use for the final test (default: hold out part of "
         "--image_dir)", "test_dir", location, "DIR"),
    Flag("testing_percentage", "percentage of the photos held out for the final test, such as 20 or 20%; less than 1 "
         f"percent needs the sign: 0.2% (default: {SPLIT.testing_percentage:g})", "split.testing_percentage",
         percentage, "P"),
    Flag("validation_percentage", "percentage of the photos used to choose the L2 strength or the best epoch "
         f"(default: {SPLIT.validation_percentage:g})", "split.validation_percentage", percentage, "P"),
    Flag("seed", f"random seed of the split and the training (default: {SPLIT.seed})", "split.seed", int, "N")))
HEAD = Group("training", (
    Flag("class_weight", "balanced: give all classes the same total weight, however many photos they have (default: "
         "none)", "training.head.class_weight", choices=CLASS_WEIGHTS),
    Flag("norefit", "do not train again with the validation photos after the L2 strength has been chosen",
         const=True),
    Flag("unknown_coverage", "label photos that are unlike the training photos as `unknown`; C is the fraction of "
         "validation photos that keep their label, such as 0.95 or 95% (default: off)", "training.unknown_coverage",
         fraction, "C"),
    Flag("solver", "lbfgs: compute the optimum of the last layer (default); sgd: train it by gradient descent, "
         "as TensorFlow for Poets does", choices=solver_names),
    Flag("augmented_views", "also train the last layer on K augmented views of each photo, mirrored and enlarged at "
         f"random unless augmentation flags are given (default: {DEFAULT_AUGMENTED_VIEWS} with such flags, "
         "none without)",
         "training.augmented_views", int, "K")))
NETWORK = Group("training of all layers", (
    Flag("fine_tune_epochs", f"fine-tune all layers of the extractor for N epochs ({FINE_TUNING.epochs} are often "
         "enough and take minutes; a larger N than before continues the training); keep the result if it is better on "
         "the validation photos", parse=int, metavar="N",
         aliases=("fine_tuning",)),
    Flag("train_epochs", "number of epochs for training from scratch; --architecture is one of "
         f"{', '.join(ARCHITECTURES)} (default: {SCRATCH.epochs})", parse=int, metavar="N", aliases=("epochs",)),
    Flag("batch_size", f"photos per step (default: {SCRATCH.batch_size})", "loop.batch_size", int, "N"),
    Flag("optimizer", f"optimizer (default: {SCRATCH.optimizer})", "loop.optimizer", choices=OPTIMIZERS),
    Flag("dropout", "dropout rate of a network trained from scratch (default: that of the network)", parse=fraction,
         metavar="P"),
    Flag("patience", f"stop after N epochs without improvement (default: {SCRATCH.patience}, never stop early)",
         "loop.patience", int, "N"),
    Flag("monitor", f"validation metric that determines the best epoch (default: {SCRATCH.monitor})", "loop.monitor",
         choices=MONITORS),
    Flag("color_mode", "grayscale: train a network from scratch on brightness only (default: rgb)",
         choices=COLOR_MODES),
    Flag("weights", f"initial weights of {RESNET} (default: none, random initialization)", choices=WEIGHTS),
    Flag("batch_norm", "when fine-tuning, freeze the batch normalization statistics (default) or update them from the "
         "photos", choices=BATCH_NORMS),
    Flag("mixed_precision", "ignored, because training in 32 bits is not slower", const=True),
    Flag("resume", "continue the interrupted training run with the same flags, or a shorter one, or fail if there is "
         "none (default: continue it, or start a new one)", "loop.resume", const=True),
    Flag("checkpoint", "do not train further, but write the files from the best or last checkpoint of an interrupted "
         "training run with the same flags", "loop.checkpoint", choices=CHECKPOINTS)),
    "Train all layers of a network instead of only the last one.")
OUTPUT = Group("files", (
    Flag("output_graph", f"graph to write (default: {FILES.output_graph}); the .tflite and .json files are written "
         "next to it", "files.output_graph", path, "FILE"),
    Flag("output_labels", f"label file to write, one label per line (default: {FILES.output_labels})",
         "files.output_labels", path, "FILE"),
    Flag("saved_model_dir", "also write a SavedModel, to DIR/1, DIR/2, ...", "files.saved_model_dir", path, "DIR"),
    Flag("export", lambda: "also convert the graph to these formats, in the same folder: "
         f"{', '.join(format_names())}", "files.formats", names, "FORMAT[,FORMAT...]"),
    Flag("final_tensor_name", f"name of the output node of the graph (default: {FILES.final_tensor_name})",
         "files.final_tensor_name", metavar="NAME"),
    *STORAGE_FLAGS,
    Flag("summaries_dir", "folder for training curves (PNG and TensorBoard logs), with a subfolder for each run "
         "(default: tf_files/training_summaries)", "summaries_dir", path, "DIR")))
EVALUATION = Group("evaluation", (
    Flag("cross_validate", "also measure the accuracy by K-fold cross-validation, which is more precise if there are "
         "few photos", "cross_validate", int, "K"),
    MIN_ACCURACY,
    Flag("nodoctor", "do not search the photos for wrong labels, duplicates and other problems", const=True),
    Flag("print_misclassified_test_images", "list the misclassified test photos", const=True),
    Flag("format", "text (default), or json to print the result as one object and everything else to standard error",
         choices=("text", "json"))))
SGD_FLAGS = Group("TensorFlow for Poets", (
    Flag("how_many_training_steps", f"number of training steps (default: {SGD.how_many_training_steps})",
         "sgd.how_many_training_steps", int, "N"),
    Flag("learning_rate", f"learning rate (default: {SGD.learning_rate}; {SCRATCH.learning_rate:g} "
         "from scratch; for fine-tuning, it depends on the size of the network)", parse=float, metavar="X"),
    Flag("train_batch_size", "photos per step, each from a randomly chosen class (default: "
         f"{SGD.train_batch_size})", "sgd.train_batch_size", int, "N"),
    Flag("validation_batch_size", "validation photos sampled for each printed line (default: "
         f"{SGD.validation_batch_size}; -1: all)", "sgd.validation_batch_size", int, "N"),
    Flag("test_batch_size", "also report the accuracy on N test photos, sampled evenly from the classes (default: -1, "
         "off)", "test_batch_size", int, "N"),
    Flag("eval_step_interval", f"number of steps between printed lines (default: {SGD.eval_step_interval})",
         "sgd.eval_step_interval", int, "N"),
    Flag("intermediate_store_frequency", "write the graph every N steps (default: 0, never)",
         "sgd.intermediate_store_frequency", int, "N"),
    Flag("intermediate_output_graphs_dir", "folder for intermediate graphs (default: tf_files/intermediate_graphs)",
         "intermediate_output_graphs_dir", path, "DIR"),
    Flag("architecture", "name of a pretrained network in TensorFlow for Poets, such as inception_v3 or "
         "mobilenet_0.50_224; or of a network to train from scratch (see --train_epochs)", metavar="NAME"),
    Flag("checkpoint_path", "ignored, because cached bottlenecks make it unnecessary", metavar="FILE"),
    *AUGMENTATION_FLAGS),
    "Each of the first three flags selects --solver=sgd.")
FLAGS = (PHOTOS, Group("extractor", (*EXTRACTOR_FLAGS, VIEWS_FLAG)), HEAD, NETWORK, OUTPUT, EVALUATION, SGD_FLAGS)

DESCRIPTION = ("Train an image classifier on your own photos, with one folder per class. Write a graph, its labels "
               "and a .tflite file, verify that they give the same predictions, and measure the accuracy of the "
               "classifier.")

# Flags that apply to one kind of training only.
NETWORK_ONLY = ("train_epochs", "batch_size", "optimizer", "dropout", "patience", "monitor", "batch_norm")
SGD_ONLY = ("solver", "how_many_training_steps", "train_batch_size", "validation_batch_size", "test_batch_size",
            "eval_step_interval", "intermediate_store_frequency", "intermediate_output_graphs_dir")
# Flags that select --solver=sgd.
SGD_SELECTORS = ("how_many_training_steps", "learning_rate", "train_batch_size")


def main(argv: list[str] | None = None) -> int:
    """Run the command with the given arguments (default: `sys.argv[1:]`) and return its exit code."""
    return run_command(_run, argv)


def _run(argv: list[str] | None) -> int:
    """Parse the command line, run the retraining, and return the exit code."""
    args = parse_flags("retrain", DESCRIPTION, FLAGS, argv)
    as_json = args.pop("format", "text") == "json"
    stream = sys.stderr if as_json else sys.stdout
    printer = EventPrinter(stream, args.pop("print_misclassified_test_images", False))
    min_accuracy = args.pop(MIN_ACCURACY.name, None)
    options = options_from(args)
    check_min_accuracy(min_accuracy, has_test=bool(options.split.testing_percentage or options.test_dir))
    result = retrain(options, on_event=printer, label_command=label_command)
    print(f"Label a photo:  {label_command(options.files.tflite)}", file=stream)
    if as_json:  # in ASCII, so that it is the same in every encoding
        print(json.dumps(result.to_dict(), allow_nan=False))
    return accuracy_exit_code(result.metrics, min_accuracy, "test accuracy")


def label_command(classifier: Path) -> str:
    """Return the command that labels a photo with the classifier in a file."""
    graph = () if classifier == DEFAULT_TFLITE else (f"--graph={classifier}",)
    return f"{command_line('label_image', *graph)} --image=PHOTO"


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
    split = values.get("split", {})
    if "test_dir" in args:
        split["testing_percentage"] = 0
    values["split"] = SplitOptions(**split)
    values["files"] = ExportOptions(**values.get("files", {}))
    return RetrainOptions(**values, doctor=not args.get("nodoctor", False))


def _check_values(args: dict[str, Any], loop: dict[str, Any], sgd_values: dict[str, Any]) -> None:
    """Raise an error for an invalid value, even if its flag has no effect in this training."""
    SGDOptions(**sgd_values)
    NetworkOptions(architecture=CONVNETS[0], epochs=args.get("train_epochs", SCRATCH.epochs),
                   dropout=args.get("dropout"), **loop)
    check_range("testing_percentage", args.get("testing_percentage"), minimum=0, below=100)
    check_range("fine_tune_epochs", args.get("fine_tune_epochs"), minimum=0, integer=True)
    if args.get("export") == ():
        raise UsageError("--export contains no format.", f"Choose from {', '.join(format_names())}.")


def _scratch_architecture(args: dict[str, Any]) -> str:
    """Return the name of the network that --architecture trains from scratch, or "" if it names no such network."""
    name = args.get("architecture", "").lower()
    return name if name in ARCHITECTURES else ""


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
    if args.get("color_mode") == "grayscale" and architecture not in CONVNETS:
        raise UsageError(f"--color_mode=grayscale is only for networks trained from scratch ({', '.join(CONVNETS)}).")
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
    if network is None:
        _log_ignored(args, NETWORK_ONLY, "training all layers (such as --fine_tune_epochs or --architecture=lenet)")
    elif isinstance(network, FineTuningOptions):  # the last layer is trained to its optimum first
        _log_ignored(args, (*SGD_ONLY, "train_epochs", "dropout"), "other kinds of training")
    elif network.architecture == RESNET:
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
