"""The command line of retrain."""
from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import check_is_apart, check_is_not_among
from ..flags import (CommandParser, batch_size, batch_size_or_all, copies, coverage, folds, path, percentage, positive,
                     positive_integer, whole_number)
from ..logging import configure_logging
from .distortions import USUAL_DISTORTIONS, Distortions, add_distortion_flags, distortions_of
from .export import EXPORT_FORMATS, formats
from .extractor import ExtractorSettings, add_extractor_flags, add_storage_flags, extractor_settings
from .network import (SCRATCH_NETWORKS, FINE_TUNING_RATE, RESNET, SCRATCH_RATE, NetworkSettings, add_network_flags,
                      network_settings)
from .places import DEFAULT_GRAPH, DEFAULT_LABELS, TF_FILES

log = logging.getLogger(__name__)

# Copies of each photo where its flags ask for varied ones and none says how many.
USUAL_VARIATIONS = 4
# What each kind of training knows.
NETWORK_FLAGS = ("train_epochs", "batch_size", "optimizer", "dropout", "patience", "monitor", "batch_norm",
                 "mixed_precision")
STEP_FLAGS = ("solver", "how_many_training_steps", "train_batch_size", "validation_batch_size", "test_batch_size",
              "eval_step_interval", "intermediate_store_frequency", "intermediate_output_graphs_dir")
HEAD_FLAGS = (*STEP_FLAGS, "class_weight")
# Any of these asks for Poets' training by steps.
ASKS_FOR_STEPS = ("how_many_training_steps", "learning_rate", "train_batch_size")
# These change no result, so the metadata leaves them out.
CHANGE_NOTHING = ("debug", "logging_verbosity", "offline", "checkpoint_path", "resume")


@dataclass(frozen=True)
class StepSettings:
    """What Poets' training by steps was asked; batch sizes of -1 mean all photos."""

    how_many_training_steps: int = 4000
    learning_rate: float = 0.01
    train_batch_size: int = 100
    validation_batch_size: int = 100
    test_batch_size: int = -1
    eval_step_interval: int = 10
    intermediate_output_graphs_dir: Path = TF_FILES / "intermediate_graphs"
    intermediate_store_frequency: int = 0


@dataclass(frozen=True)
class RetrainSettings:
    """What `retrain` was asked; the flags of the same names say what each means.

    `steps` is None but for sgd, `network` but for a training of all layers, `variations` (how photos are varied for
    the last layer alone, and how often) but where that was asked.
    """

    image_dir: Path
    test_dir: Path | None
    output_graph: Path
    output_labels: Path
    saved_model_dir: Path | None
    export: tuple[str, ...]
    final_tensor_name: str
    extractor: ExtractorSettings
    testing_percentage: float
    validation_percentage: float
    seed: int
    balanced: bool
    refit: bool
    unknown_coverage: float | None
    steps: StepSettings | None
    network: NetworkSettings | None
    variations: tuple[Distortions, int] | None
    bottleneck_dir: Path
    summaries_dir: Path
    print_misclassified_test_images: bool
    cross_validate: int | None
    doctor: bool
    flags: dict[str, Any]


def retrain_settings(arguments: list[str] | None) -> RetrainSettings:
    """Reads retrain's command line (None: the process's own); raises UserError with exit code 2 for a wrong one."""
    parser = _parser()
    flags = parser.parse(arguments)
    configure_logging(flags.logging_verbosity)
    _check_places(flags)
    network = network_settings(flags)
    _say_what_is_ignored(flags, parser, network)
    steps = None if network else _steps(flags)
    if flags.unknown_coverage and not flags.validation_percentage:
        raise UserError("--unknown_coverage needs validation photos to find its threshold by.",
                        "Give a --validation_percentage above 0.", exit_code=2)
    if network and flags.cross_validate:
        raise UserError("--cross_validate is for the last layer alone: a network that was trained on the photos knows "
                        "all folds.", "Leave it away.", exit_code=2)
    return RetrainSettings(
        image_dir=flags.image_dir, test_dir=flags.test_dir, output_graph=flags.output_graph,
        output_labels=flags.output_labels,
        saved_model_dir=flags.saved_model_dir, export=flags.export, final_tensor_name=flags.final_tensor_name,
        extractor=extractor_settings(flags, _architecture(flags)), steps=steps, network=network,
        variations=None if network else _variations(flags),
        testing_percentage=0.0 if flags.test_dir else flags.testing_percentage,
        validation_percentage=flags.validation_percentage, seed=flags.seed, balanced=flags.class_weight == "balanced",
        refit=flags.refit, unknown_coverage=flags.unknown_coverage, bottleneck_dir=flags.bottleneck_dir,
        doctor=flags.doctor, summaries_dir=flags.summaries_dir,
        print_misclassified_test_images=flags.print_misclassified_test_images,
        cross_validate=flags.cross_validate, flags=_recorded(flags))


def _parser() -> CommandParser:
    parser = CommandParser(prog="scripts.retrain", description="Trains an image classifier on your own photos: one "
                           "folder per class, in one folder. Writes a graph, its labels and a .tflite, proves that "
                           "they answer alike, and says how good the classifier is.")
    photos = parser.add_argument_group("photos")
    photos.add_argument("--image_dir", type=path, required=True, help="folder that holds one folder of photos per "
                        "class; a folder's name is its label")
    photos.add_argument("--test_dir", type=path, metavar="DIR", help="a second folder with the same classes, whose "
                        "photos make the final test (default: a share of --image_dir)")
    photos.add_argument("--testing_percentage", type=percentage, default=10, metavar="P",
                        help="share of the photos kept for the final test (default 10)")
    photos.add_argument("--validation_percentage", type=percentage, default=10, metavar="P",
                        help="share that chooses how strongly the head is held back (default 10)")
    photos.add_argument("--seed", type=int, default=0, help="another seed, another split (default 0)")
    add_extractor_flags(parser.add_argument_group("extractor"))
    training = parser.add_argument_group("training")
    training.add_argument("--class_weight", choices=["none", "balanced"], default="none",
                          help="balanced: every class counts alike, however many photos it has (default none)")
    training.add_argument("--norefit", dest="refit", action="store_false", help="do not train once more with the "
                          "validation photos, after they have chosen")
    training.add_argument("--unknown_coverage", type=coverage, metavar="C", help="answer `unknown` to photos unlike "
                          "the training photos, but not to a share C of the validation photos (0.95, say)")
    training.add_argument("--solver", choices=["lbfgs", "sgd"],
                          help="lbfgs: the head's optimum (default); sgd: Poets' steps")
    training.add_argument("--augmented_views", type=copies, metavar="K", help="train the head on K varied "
                          "copies of each photo, too: as --flip_left_right and its like say, else mirrored and "
                          f"enlarged (default with one of them: {USUAL_VARIATIONS})")
    add_network_flags(parser.add_argument_group("training the network", "All layers, not the last alone."))
    files = parser.add_argument_group("files")
    files.add_argument("--output_graph", type=path, default=DEFAULT_GRAPH, metavar="FILE",
                       help=f"the graph (default {DEFAULT_GRAPH}); .tflite and .json go beside it")
    files.add_argument("--output_labels", type=path, default=DEFAULT_LABELS, metavar="FILE",
                       help=f"the labels, one a line (default {DEFAULT_LABELS})")
    files.add_argument("--saved_model_dir", type=path, metavar="DIR",
                       help="also write a SavedModel to DIR/1, DIR/2, ...")
    files.add_argument("--export", type=formats, default=(), metavar="FORM[,FORM...]", help="also convert the graph, "
                       f"into its folder: {', '.join(EXPORT_FORMATS)}")
    files.add_argument("--final_tensor_name", default="final_result", metavar="NAME",
                       help="name of the graph's result (default final_result)")
    add_storage_flags(files)
    files.add_argument("--summaries_dir", type=path, default=TF_FILES / "training_summaries", metavar="DIR",
                       help="curves as PNG and for TensorBoard, a folder a run (default tf_files/training_summaries)")
    answers = parser.add_argument_group("answers")
    answers.add_argument("--cross_validate", type=folds, metavar="K", help="also answer every photo by a head that "
                         "never saw it, in K folds: surer figures where photos are few")
    answers.add_argument("--nodoctor", dest="doctor", action="store_false",
                         help="do not look for wrong labels, copies and other trouble")
    answers.add_argument("--print_misclassified_test_images", action="store_true",
                         help="list the test photos with a wrong answer")
    _add_poets_flags(parser)
    return parser


def _add_poets_flags(parser: CommandParser) -> None:
    group = parser.add_argument_group("from Poets", "Any of the first three, or --solver=sgd, trains by steps as "
                                      "Poets did.")
    default = StepSettings()
    group.add_argument("--how_many_training_steps", type=positive_integer, metavar="N",
                       help=f"steps (default {default.how_many_training_steps})")
    group.add_argument("--learning_rate", type=positive, metavar="X",
                       help=f"how far a step goes (default {default.learning_rate}; all layers "
                       f"{FINE_TUNING_RATE:g}, from scratch {SCRATCH_RATE:g})")
    group.add_argument("--train_batch_size", type=batch_size, metavar="N", help="photos a step, each of a class "
                       f"drawn at random (default {default.train_batch_size})")
    group.add_argument("--validation_batch_size", type=batch_size_or_all, metavar="N",
                       help=f"validation photos drawn a line (default {default.validation_batch_size}; -1: all)")
    group.add_argument("--test_batch_size", type=batch_size_or_all, metavar="N",
                       help="test photos drawn for the final test (default -1: all)")
    group.add_argument("--eval_step_interval", type=positive_integer, metavar="N",
                       help=f"steps from one printed line to the next (default {default.eval_step_interval})")
    group.add_argument("--intermediate_store_frequency", type=whole_number, metavar="N",
                       help="write the graph every N steps (default 0: never)")
    group.add_argument("--intermediate_output_graphs_dir", type=path, metavar="DIR",
                       help=f"where to (default {default.intermediate_output_graphs_dir})")
    group.add_argument("--architecture", default="", metavar="NAME", help="Poets' spelling of --tfhub_module: "
                       "inception_v3, mobilenet_0.50_224 and their like")
    group.add_argument("--checkpoint_path", metavar="FILE", help="ignored: nothing is lost without")
    add_distortion_flags(group)


def _check_places(flags: argparse.Namespace) -> None:
    """What is written among the photos would be a class of its own, or photos of one, the next time."""
    folders = ["saved_model_dir", "bottleneck_dir", "model_dir", "summaries_dir", "intermediate_output_graphs_dir"]
    for photos in filter(None, (flags.image_dir, flags.test_dir)):
        for name in ("output_graph", "output_labels"):
            given = getattr(flags, name)
            check = check_is_apart if flags.export else check_is_not_among  # some forms are folders beside the graph
            check(given.parent, f"--{name}", photos, given)
        for name in folders:
            given = getattr(flags, name)
            if given is not None:
                check_is_apart(given, f"--{name}", photos, given)


def _architecture(flags: argparse.Namespace) -> str:
    """Poets' word for the extractor; an empty one counts as not given (an unset variable of a shell)."""
    module, architecture = flags.tfhub_module, flags.architecture
    if architecture.lower() in SCRATCH_NETWORKS:
        return ""
    if module and architecture and module.lower() != architecture.lower():
        raise UserError(f"--tfhub_module={module} and --architecture={architecture} ask for two extractors.",
                        "Give one of them.", exit_code=2)
    return architecture


def _say_what_is_ignored(flags: argparse.Namespace, parser: CommandParser, network: NetworkSettings | None) -> None:
    """Flags that were given but belong to another kind of training."""
    names: tuple[str, ...]
    if network is None:
        names, of = NETWORK_FLAGS, "a training of all layers (--fine_tune_epochs, or --architecture=lenet)"
    elif network.architecture:
        names, of = HEAD_FLAGS, "the training of the last layer alone"
        if network.architecture == RESNET:
            names, of = (*names, "dropout"), "another kind of training"
    else:  # the last layer is trained first, to its optimum
        names, of = (*STEP_FLAGS, "train_epochs", "dropout"), "another kind of training"
    _say_ignored([f"--{name}" for name in names if getattr(flags, name) != parser.get_default(name)], of)
    if flags.test_dir and flags.testing_percentage != parser.get_default("testing_percentage"):
        _say_ignored(["--testing_percentage"], "a test with photos of --image_dir")


def _say_ignored(names: list[str], of: str) -> None:
    if names:
        log.info("Ignored: %s. %s to %s.", ", ".join(names), "It belongs" if len(names) == 1 else "They belong", of)


def _variations(flags: argparse.Namespace) -> tuple[Distortions, int] | None:
    distortions = distortions_of(flags)
    if not (distortions or flags.augmented_views):
        return None
    return distortions or USUAL_DISTORTIONS, flags.augmented_views or USUAL_VARIATIONS


def _steps(flags: argparse.Namespace) -> StepSettings | None:
    """What training by steps was asked, or None; says what is ignored."""
    if flags.checkpoint_path is not None:
        log.info("Ignored: --checkpoint_path. Bottlenecks are kept as they are computed; the rest takes seconds.")
    given = {name: getattr(flags, name) for name in StepSettings.__dataclass_fields__
             if getattr(flags, name) is not None}
    asking = [f"--{name}" for name in ASKS_FOR_STEPS if name in given]
    if flags.solver == "lbfgs" and asking:
        raise UserError(f"--solver=lbfgs goes to the optimum and knows no {', '.join(asking)}.",
                        "Leave one of the two away.", exit_code=2)
    if flags.solver == "sgd" or asking:
        needless = [name for name, asked in (("--class_weight=balanced", flags.class_weight == "balanced"),
                                             ("--norefit", not flags.refit)) if asked]
        if needless:
            log.info("Ignored: %s. Training by steps draws the classes evenly, and is not done again.",
                     ", ".join(needless))
        return StepSettings(**given)
    if given:
        log.info("Ignored: %s. They belong to Poets' training by steps (--solver=sgd); without it the head's optimum "
                 "is computed, and all test photos are used.", ", ".join(f"--{name}" for name in given))
    return None


def _recorded(flags: argparse.Namespace) -> dict[str, Any]:
    """The flags as the metadata keeps them: paths as text, without those not given and those that change no result."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in sorted(vars(flags).items())
            if value not in (None, ()) and name not in CHANGE_NOTHING}
