"""What a person asked of a command: one frozen object each, built and checked here and nowhere else."""
from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UserError
from .flags import CommandParser, image_side, path, percentage, positive_integer
from .logging import configure_logging

TF_FILES = Path("tf_files")
DEFAULT_GRAPH = TF_FILES / "retrained_graph.pb"
DEFAULT_TFLITE = TF_FILES / "retrained_graph.tflite"
DEFAULT_MODULE = "efficientnet_lite0"


@dataclass(frozen=True)
class RetrainSettings:
    """What `retrain` was asked; the flags of the same names say what each means."""

    image_dir: Path
    output_graph: Path
    output_labels: Path
    saved_model_dir: Path | None
    final_tensor_name: str
    tfhub_module: str
    image_size: int | None
    testing_percentage: float
    validation_percentage: float
    seed: int
    balanced: bool
    refit: bool
    bottleneck_dir: Path
    model_dir: Path
    summaries_dir: Path
    print_misclassified_test_images: bool
    flags: dict[str, Any]


def retrain_settings(arguments: list[str] | None) -> RetrainSettings:
    """Reads retrain's command line (None: the process's own); raises UserError with exit code 2 for a wrong one."""
    parser = CommandParser(prog="scripts.retrain", description="Trains an image classifier on your own photos: one "
                           "folder per class, in one folder. Writes a graph, its labels and a .tflite, proves that "
                           "they answer alike, and says how good the classifier is.")
    photos = parser.add_argument_group("photos")
    photos.add_argument("--image_dir", type=path, required=True, help="folder that holds one folder of photos per "
                        "class; a folder's name is its label")
    photos.add_argument("--testing_percentage", type=percentage, default=10, metavar="P",
                        help="share of the photos kept for the final test (default 10)")
    photos.add_argument("--validation_percentage", type=percentage, default=10, metavar="P",
                        help="share that chooses how strongly the head is held back (default 10)")
    photos.add_argument("--seed", type=int, default=0, help="another seed, another split (default 0)")
    module = parser.add_argument_group("extractor")
    module.add_argument("--tfhub_module", default=DEFAULT_MODULE, metavar="HANDLE",
                        help=f"{DEFAULT_MODULE} (default; needs no network), or a folder with a TF2 SavedModel that "
                        "gives image feature vectors")
    module.add_argument("--image_size", type=image_side, metavar="PIXELS",
                        help=f"side of the extractor's input, for modules that take any ({DEFAULT_MODULE}: 320; "
                        "smaller is faster)")
    training = parser.add_argument_group("training")
    training.add_argument("--class_weight", choices=["none", "balanced"], default="none",
                          help="balanced: every class counts alike, however many photos it has (default none)")
    training.add_argument("--norefit", dest="refit", action="store_false", help="do not train once more with the "
                          "validation photos, after they have chosen")
    files = parser.add_argument_group("files")
    files.add_argument("--output_graph", type=path, default=DEFAULT_GRAPH, metavar="FILE",
                       help=f"the graph (default {DEFAULT_GRAPH}); .tflite and .json go beside it")
    files.add_argument("--output_labels", type=path, default=TF_FILES / "retrained_labels.txt", metavar="FILE",
                       help="the labels, one a line (default tf_files/retrained_labels.txt)")
    files.add_argument("--saved_model_dir", type=path, metavar="DIR",
                       help="also write a SavedModel to DIR/1, DIR/2, ...")
    files.add_argument("--final_tensor_name", default="final_result", metavar="NAME",
                       help="name of the graph's result (default final_result)")
    files.add_argument("--bottleneck_dir", type=path, default=TF_FILES / "bottlenecks", metavar="DIR",
                       help="cache of what was computed for each photo (default tf_files/bottlenecks)")
    files.add_argument("--model_dir", type=path, default=TF_FILES / "models", metavar="DIR",
                       help="prepared extractors (default tf_files/models)")
    files.add_argument("--summaries_dir", type=path, default=TF_FILES / "training_summaries", metavar="DIR",
                       help="curves for TensorBoard, a folder a run (default tf_files/training_summaries)")
    parser.add_argument_group("answers").add_argument(
        "--print_misclassified_test_images", action="store_true", help="list the test photos with a wrong answer")
    flags = parser.parse(arguments)
    configure_logging(flags.logging_verbosity)
    return RetrainSettings(
        image_dir=flags.image_dir, output_graph=flags.output_graph, output_labels=flags.output_labels,
        saved_model_dir=flags.saved_model_dir, final_tensor_name=flags.final_tensor_name,
        tfhub_module=flags.tfhub_module, image_size=flags.image_size, testing_percentage=flags.testing_percentage,
        validation_percentage=flags.validation_percentage, seed=flags.seed, balanced=flags.class_weight == "balanced",
        refit=flags.refit, bottleneck_dir=flags.bottleneck_dir, model_dir=flags.model_dir,
        summaries_dir=flags.summaries_dir,
        print_misclassified_test_images=flags.print_misclassified_test_images, flags=_recorded(flags))


def _recorded(flags: argparse.Namespace) -> dict[str, Any]:
    """The flags as the metadata keeps them: paths as text, without those that change no result."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in sorted(vars(flags).items())
            if name not in ("debug", "logging_verbosity")}


@dataclass(frozen=True)
class LabelSettings:
    """What `label_image` was asked; the flags of the same names say what each means."""

    sources: tuple[str, ...]
    graph: Path
    top_k: int
    min_score: float
    format: str
    sort_into: Path | None
    labels: Path | None
    contradicting: dict[str, Any]


def label_settings(arguments: list[str] | None) -> LabelSettings:
    """Reads label_image's command line (None: the process's); raises UserError with exit code 2 for a wrong one."""
    parser = CommandParser(prog="scripts.label_image", description="Says what photos show, by a classifier that "
                           "retrain made.")
    photos = parser.add_argument_group("photos")
    photos.add_argument("sources", nargs="*", metavar="PHOTO",
                        help="files, folders, patterns (*.jpg), http(s) addresses; - reads a list, one a line")
    photos.add_argument("--image", action="append", default=[], metavar="PHOTO", help="the same, Poets' spelling")
    model = parser.add_argument_group("classifier")
    model.add_argument("--graph", type=path, default=DEFAULT_TFLITE, metavar="FILE",
                       help=f".tflite, .pb or SavedModel folder of a retrain (default {DEFAULT_TFLITE})")
    answers = parser.add_argument_group("answers")
    answers.add_argument("--top_k", type=positive_integer, default=5, metavar="K",
                         help="how many labels to show, the likeliest first (default 5)")
    answers.add_argument("--min_score", type=_share, default=0.0, metavar="S",
                         help="show only labels with at least this score, 0 to 1")
    answers.add_argument("--format", choices=["text", "csv", "jsonl"], default="text",
                         help="text (default), csv, or jsonl: one JSON object a photo")
    answers.add_argument("--sort_into", type=path, metavar="DIR",
                         help="copy each photo into DIR/<its likeliest label>; nothing is overwritten")
    poets = parser.add_argument_group("from Poets, for graphs that do not know their own input",
                                      "A classifier made by retrain does, so these are ignored for it.")
    poets.add_argument("--labels", type=path, metavar="FILE", help="label file")
    for name in ("input_height", "input_width"):
        poets.add_argument(f"--{name}", type=int, metavar="PIXELS", help="size of the input")
    for name in ("input_mean", "input_std"):
        poets.add_argument(f"--{name}", type=float, metavar="X", help="pixels are fed as (x - mean) / std")
    for name in ("input_layer", "output_layer"):
        poets.add_argument(f"--{name}", metavar="NAME", help="name of a node")
    flags = parser.parse(arguments)
    configure_logging(flags.logging_verbosity)
    sources = (*flags.image, *flags.sources)
    if not sources:
        raise UserError("No photo was given.", "For example: python -m scripts.label_image --image=photo.jpg",
                        exit_code=2)
    return LabelSettings(
        sources=sources, graph=flags.graph, top_k=flags.top_k, min_score=flags.min_score, format=flags.format,
        sort_into=flags.sort_into, labels=flags.labels,
        contradicting={name: getattr(flags, name) for name in ("input_height", "input_width", "input_mean",
                                                               "input_std", "input_layer", "output_layer")
                       if getattr(flags, name) is not None})


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a score from 0 to 1.")
    return value
