"""tfpoets retrain --image_dir=FOLDER: train an image classifier on a folder of photos per class."""
from __future__ import annotations

import json
import logging
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
                              DEFAULT_VIEWS, MONITORS, OPTIMIZERS, RESNET, WEIGHTS, FineTuningOptions, HeadOptions,
                              LBFGSTrainer, NetworkOptions, SGDOptions, SGDTrainer, TrainingOptions, solver_names,
                              trainer_named)

from .invocation import command_line
from .parser import Flag, Group, location, names, option_values, parse_flags, path
from .paths import DEFAULT_TFLITE
from .retrain_text import EventPrinter
from .run_command import UsageError, run_command
from .shared_flags import (AUGMENTATION_FLAGS, EXTRACTOR_FLAGS, STORAGE_FLAGS, VIEWS_FLAG, augmentation_options,
                           extractor_options)

log = logging.getLogger(__name__)

SPLIT, FILES, SGD = SplitOptions(), ExportOptions(), SGDOptions()
FINE_TUNING, SCRATCH = FineTuningOptions(), NetworkOptions(architecture=CONVNETS[0])

PHOTOS = Group("photos", (
    Flag("image_dir", "folder that holds one folder of photos per class; a folder's name is its label", "image_dir",
         location, "DIR", required=True),
    Flag("test_dir", "a second folder with the same classes, whose photos make the final test (default: a share of "
         "--image_dir)", "test_dir", location, "DIR"),
    Flag("testing_percentage", f"share of the photos kept for the final test (default {SPLIT.testing_percentage:g})",
         "split.testing_percentage", float, "P"),
    Flag("validation_percentage", "share that chooses how strongly the head is held back (default "
         f"{SPLIT.validation_percentage:g})", "split.validation_percentage", float, "P"),
    Flag("seed", f"another seed, another split (default {SPLIT.seed})", "split.seed", int, "N")))
HEAD = Group("training", (
    Flag("class_weight", "balanced: every class counts alike, however many photos it has (default none)",
         "training.head.class_weight", choices=CLASS_WEIGHTS),
    Flag("norefit", "do not train once more with the validation photos, after they have chosen", value=True),
    Flag("unknown_coverage", "answer `unknown` to photos unlike the training photos, but not to a share C of the "
         "validation photos (0.95, say)", "training.unknown_coverage", float, "C"),
    Flag("solver", "lbfgs: the head's optimum (default); sgd: gradient steps, as TensorFlow for Poets",
         choices=solver_names),
    Flag("augmented_views", "train the head on K varied copies of each photo, too: as --flip_left_right and its like "
         f"say, else mirrored and enlarged (default with one of them: {DEFAULT_VIEWS})",
         "training.augmented_views", int, "K")))
NETWORK = Group("training the network", (
    Flag("fine_tune_epochs", f"train all layers of the extractor, too, for N epochs ({FINE_TUNING.epochs} are often "
         "enough; minutes); the better of both is kept", parse=int, metavar="N", also=("fine_tuning",)),
    Flag("train_epochs", f"epochs of a network that --architecture trains from scratch: {', '.join(ARCHITECTURES)} "
         f"(default {SCRATCH.epochs})", parse=int, metavar="N", also=("epochs",)),
    Flag("batch_size", f"photos a step (default {SCRATCH.batch_size})", "loop.batch_size", int, "N"),
    Flag("optimizer", f"default {SCRATCH.optimizer}", "loop.optimizer", choices=OPTIMIZERS),
    Flag("dropout", "share of units left out (default: the network's)", parse=float, metavar="P"),
    Flag("patience", f"end after N epochs without a better one (default {SCRATCH.patience}: go on to the last)",
         "loop.patience", int, "N"),
    Flag("monitor", f"what the best epoch is best in, on the validation photos (default {SCRATCH.monitor})",
         "loop.monitor", choices=MONITORS),
    Flag("color_mode", "grayscale: a network from scratch sees the brightness alone", choices=COLOR_MODES),
    Flag("weights", f"to begin {RESNET} with (default none)", choices=WEIGHTS),
    Flag("batch_norm", "of a network that is fine-tuned: keep its statistics (default), or learn them from the photos",
         choices=BATCH_NORMS),
    Flag("mixed_precision", "train in 16 bits on a GPU", "loop.mixed_precision", value=True),
    Flag("resume", "go on where a training with the same flags was stopped, and do not begin another (without it: go "
         "on, or begin)", "loop.resume", value=True),
    Flag("checkpoint", "train no further: make the files from this checkpoint of a training with the same flags that "
         "was stopped", "loop.checkpoint", choices=CHECKPOINTS)), "All layers, not the last alone.")
OUTPUT = Group("files", (
    Flag("output_graph", f"the graph (default {FILES.output_graph}); .tflite and .json go beside it",
         "files.output_graph", path, "FILE"),
    Flag("output_labels", f"the labels, one a line (default {FILES.output_labels})", "files.output_labels", path,
         "FILE"),
    Flag("saved_model_dir", "also write a SavedModel to DIR/1, DIR/2, ...", "files.saved_model_dir", path, "DIR"),
    Flag("export", lambda: f"also convert the graph, into its folder: {', '.join(format_names())}", "files.formats",
         names, "FORMAT[,FORMAT...]"),
    Flag("final_tensor_name", f"name of the graph's result (default {FILES.final_tensor_name})",
         "files.final_tensor_name", metavar="NAME"),
    *STORAGE_FLAGS,
    Flag("summaries_dir", "curves as PNG and for TensorBoard, a folder a run (default tf_files/training_summaries)",
         "summaries_dir", path, "DIR")))
ANSWERS = Group("answers", (
    Flag("cross_validate", "also answer every photo by a head that never saw it, in K folds: surer figures where "
         "photos are few", "cross_validate", int, "K"),
    Flag("nodoctor", "do not look for wrong labels, duplicates and other problems", value=True),
    Flag("print_misclassified_test_images", "list the test photos with a wrong answer", value=True),
    Flag("format", "text (default), or json: the result as one object; everything else goes to standard error",
         choices=("text", "json"))))
STEPS = Group("from TensorFlow for Poets", (
    Flag("how_many_training_steps", f"steps (default {SGD.how_many_training_steps})", "sgd.how_many_training_steps",
         int, "N"),
    Flag("learning_rate", f"how far a step goes (default {SGD.learning_rate}; all layers "
                          f"{FINE_TUNING.learning_rate:g},"
         f" from scratch {SCRATCH.learning_rate:g})", parse=float, metavar="X"),
    Flag("train_batch_size", f"photos a step, each of a class drawn at random (default {SGD.train_batch_size})",
         "sgd.train_batch_size", int, "N"),
    Flag("validation_batch_size", f"validation photos drawn a line (default {SGD.validation_batch_size}; -1: all)",
         "sgd.validation_batch_size", int, "N"),
    Flag("test_batch_size", "test photos drawn for the final test (default -1: all)", "test_batch_size", int, "N"),
    Flag("eval_step_interval", f"steps from one printed line to the next (default {SGD.eval_step_interval})",
         "sgd.eval_step_interval", int, "N"),
    Flag("intermediate_store_frequency", "write the graph every N steps (default 0: never)",
         "sgd.intermediate_store_frequency", int, "N"),
    Flag("intermediate_output_graphs_dir", "where to (default tf_files/intermediate_graphs)",
         "intermediate_output_graphs_dir", path, "DIR"),
    Flag("architecture", "another spelling of --tfhub_module: inception_v3, mobilenet_0.50_224 and their like",
         metavar="NAME"),
    Flag("checkpoint_path", "ignored: nothing is lost without", metavar="FILE"),
    *AUGMENTATION_FLAGS), "Any of the first three, or --solver=sgd, trains by steps as it did.")
FLAGS = (PHOTOS, Group("extractor", (*EXTRACTOR_FLAGS, VIEWS_FLAG)), HEAD, NETWORK, OUTPUT, ANSWERS, STEPS)

DESCRIPTION = ("Train an image classifier on your own photos: one folder per class, in one folder. Write a graph, its "
               "labels and a .tflite, prove that they answer alike, and measure how good the classifier is.")

# The flags that each kind of training knows, beyond what all of them know.
NETWORK_ONLY = ("train_epochs", "batch_size", "optimizer", "dropout", "patience", "monitor", "batch_norm",
                "mixed_precision")
STEPS_ONLY = ("solver", "how_many_training_steps", "train_batch_size", "validation_batch_size", "test_batch_size",
              "eval_step_interval", "intermediate_store_frequency", "intermediate_output_graphs_dir")
# Any of these asks for training by steps.
ASKS_FOR_STEPS = ("how_many_training_steps", "learning_rate", "train_batch_size")


def main(arguments: list[str] | None = None) -> int:
    """Run the command: arguments without the program's name (None: the process's own) to exit code."""
    return run_command(_run, arguments)


def _run(arguments: list[str] | None) -> int:
    given = parse_flags("retrain", DESCRIPTION, FLAGS, arguments)
    as_json = given.pop("format", "text") == "json"
    stream = sys.stderr if as_json else sys.stdout
    printer = EventPrinter(stream, given.pop("print_misclassified_test_images", False))
    options = options_from(given)
    result = retrain(options, on_event=printer, label_command=label_command)
    print(f"Label a photo:  {label_command(options.files.tflite)}", file=stream)
    if as_json:  # in ASCII, so that it is the same in every encoding
        print(json.dumps(result.to_dict(), allow_nan=False))
    return 0


def label_command(classifier: Path) -> str:
    """Return the command that labels a photo with the classifier in a file."""
    graph = () if classifier == DEFAULT_TFLITE else (f"--graph={classifier}",)
    return f"{command_line('label_image', *graph)} --image=PHOTO"


def options_from(given: dict[str, Any]) -> RetrainOptions:
    """Return the options that the flags ask for, and log which flags have no effect.

    Raises:
        UsageError: flags contradict each other.
        OptionError: a value is not possible.
    """
    values = option_values(given, FLAGS)
    loop, steps = values.pop("loop", {}), values.pop("sgd", {})
    _check_values(given, loop, steps)
    network = _network_options(given, loop)
    training = values.pop("training", {})
    head = HeadOptions(**training.pop("head", {}), refit=not given.get("norefit", False))
    _log_what_is_ignored(given, network)
    steps_options = _sgd_options(given, steps) if network is None else None
    values["training"] = TrainingOptions(
        **training, head=(_other_head_options(given) if network is None else None) or steps_options or head,
        fine_tuning=network if isinstance(network, FineTuningOptions) else None,
        network=network if isinstance(network, NetworkOptions) else None,
        augmentation=None if network else augmentation_options(given))
    values["extractor"] = _extractor_options(given)
    split = values.get("split", {})
    if "test_dir" in given:
        split["testing_percentage"] = 0
    values["split"] = SplitOptions(**split)
    values["files"] = ExportOptions(**values.get("files", {}))
    return RetrainOptions(**values, doctor=not given.get("nodoctor", False))


def _check_values(given: dict[str, Any], loop: dict[str, Any], steps: dict[str, Any]) -> None:
    """Raise an error for a value that is not possible, also where its flag has no effect in this training."""
    SGDOptions(**steps)
    NetworkOptions(architecture=CONVNETS[0], epochs=given.get("train_epochs", SCRATCH.epochs),
                   dropout=given.get("dropout"), **loop)
    check_range("testing_percentage", given.get("testing_percentage"), minimum=0, below=100)
    if given.get("export") == ():
        raise UsageError(f"--export: name some of {', '.join(format_names())}.")


def _scratch_architecture(given: dict[str, Any]) -> str:
    """The network that --architecture trains from scratch; empty where it names a pretrained one, or is not given."""
    name = given.get("architecture", "").lower()
    return name if name in ARCHITECTURES else ""


def _extractor_options(given: dict[str, Any]) -> ExtractorOptions:
    """--architecture is another word for --tfhub_module; an empty one (a shell's unset variable) is not given."""
    module, architecture = given.get("tfhub_module", ""), given.get("architecture", "")
    if _scratch_architecture(given):
        architecture = ""
    if module and architecture and module.lower() != architecture.lower():
        raise UsageError(f"--tfhub_module={module} and --architecture={architecture} ask for two extractors.",
                         "Give one of them.")
    _check_is_no_misspelt_network(module or architecture)
    return extractor_options(given, architecture)


def _check_is_no_misspelt_network(name: str) -> None:
    """Raise an ExtractorError for a name that is most like one of a network from scratch, which no extractor is."""
    is_bare_name = re.fullmatch(r"[\w.]+", name) and not Path(name).exists()
    guess = closest_match(name.lower(), [ExtractorOptions().handle, *architecture_names(), *ARCHITECTURES])
    if is_bare_name and guess in ARCHITECTURES and not find_architecture(name):
        raise ExtractorError(f"There is no extractor {name!r}; did you mean --architecture={guess}?",
                             f"From scratch there are {', '.join(ARCHITECTURES)}.")


def _network_options(given: dict[str, Any], loop: dict[str, Any]) -> FineTuningOptions | NetworkOptions | None:
    """How all layers are trained, or None where the extractor stays as it is."""
    architecture, epochs = _scratch_architecture(given), given.get("fine_tune_epochs", 0)
    if architecture and given.get("tfhub_module"):
        raise UsageError(f"--architecture={architecture} is trained from scratch and needs no --tfhub_module.",
                         "Give one of them.")
    if architecture and epochs:
        raise UsageError(f"--architecture={architecture} is trained from scratch; its epochs are --train_epochs.")
    if given.get("weights") == "imagenet" and architecture != RESNET:
        raise UsageError(f"--weights=imagenet is for --architecture={RESNET}; other extractors have theirs.")
    if given.get("color_mode") == "grayscale" and architecture not in CONVNETS:
        raise UsageError(f"--color_mode=grayscale is for networks from scratch ({', '.join(CONVNETS)}).")
    if epochs < 0:
        raise UsageError(f"--fine_tune_epochs={epochs} is not a whole number of at least 0.")
    if not (architecture or epochs):
        for flag in ("resume", "checkpoint"):
            if flag in given:
                raise UsageError(f"--{flag} is for a training of all layers (--fine_tune_epochs or --architecture); "
                                 "without one there are no checkpoints.")
        return None
    if architecture and given.get("batch_norm") == "training":
        raise UsageError("--batch_norm is for --fine_tune_epochs; a network from scratch always learns its own.")
    asked = {**loop, **({"learning_rate": given["learning_rate"]} if "learning_rate" in given else {})}
    augmentation = augmentation_options(given)
    if augmentation:
        asked["augmentation"] = augmentation
    if not architecture:
        return FineTuningOptions(epochs=epochs, **asked, **_chosen(given, "batch_norm"))
    return NetworkOptions(architecture=architecture, epochs=given.get("train_epochs", SCRATCH.epochs), **asked,
                          **_chosen(given, "weights", "color_mode", "dropout"))


def _chosen(given: dict[str, Any], *flags: str) -> dict[str, Any]:
    return {flag: given[flag] for flag in flags if flag in given}


def _sgd_options(given: dict[str, Any], values: dict[str, Any]) -> SGDOptions | None:
    """What training by steps was asked for, or None; logs what is ignored."""
    if "checkpoint_path" in given:
        log.info("Ignored: --checkpoint_path. Bottlenecks are kept as they are computed; the rest takes seconds.")
    values = {**values, **_chosen(given, "learning_rate")}
    asking = [f"--{name}" for name in ASKS_FOR_STEPS if name in given]
    solver = given.get("solver", SGDTrainer.name)
    if solver != SGDTrainer.name and asking:
        raise UsageError(f"--solver={solver} knows no {', '.join(asking)}; these are for training by steps.",
                         "Omit one of the two.")
    if given.get("solver") == "sgd" or asking:
        needless = [name for name, asked in (("--class_weight=balanced", given.get("class_weight") == "balanced"),
                                             ("--norefit", "norefit" in given)) if asked]
        if needless:
            log.info("Ignored: %s. Training by steps draws the classes evenly, and is not done again.",
                     ", ".join(needless))
        return SGDOptions(**values)
    idle = [f"--{name}" for name in (*values, "test_batch_size", "intermediate_output_graphs_dir") if name in given]
    if idle:
        log.info("Ignored: %s. They belong to training by steps (--solver=sgd); without it the head's optimum is "
                 "computed, and all test photos are used.", ", ".join(idle))
    return None


def _other_head_options(given: dict[str, Any]) -> Any:
    """The options of a solver that is neither lbfgs nor sgd, which have flags of their own; None for these two."""
    solver = given.get("solver", LBFGSTrainer.name)
    if solver in (LBFGSTrainer.name, SGDTrainer.name):
        return None
    _log_ignored([f"--{name}" for name in ("class_weight", "norefit") if name in given], "--solver=lbfgs")
    return trainer_named(solver).options()


def _log_what_is_ignored(given: dict[str, Any], network: FineTuningOptions | NetworkOptions | None) -> None:
    """Log flags that were given but belong to another kind of training."""
    flags: tuple[str, ...]
    if network is None:
        flags, of = NETWORK_ONLY, "a training of all layers (--fine_tune_epochs, or --architecture=lenet)"
    elif isinstance(network, FineTuningOptions):  # the last layer is trained first, to its optimum
        flags, of = (*STEPS_ONLY, "train_epochs", "dropout"), "another kind of training"
    elif network.architecture == RESNET:
        flags, of = (*STEPS_ONLY, "class_weight", "dropout"), "another kind of training"
    else:
        flags, of = (*STEPS_ONLY, "class_weight"), "the training of the last layer alone"
    _log_ignored([f"--{flag}" for flag in flags if flag in given], of)
    if "test_dir" in given and "testing_percentage" in given:
        _log_ignored(["--testing_percentage"], "a test with photos of --image_dir")


def _log_ignored(flags: list[str], of: str) -> None:
    if flags:
        log.info("Ignored: %s. %s to %s.", ", ".join(flags), "It belongs" if len(flags) == 1 else "They belong", of)
