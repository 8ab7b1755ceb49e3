"""Flags that several commands share."""
from __future__ import annotations

from typing import Any

from tfpoets.data import AugmentationOptions, DatasetOptions
from tfpoets.extractors import INPUT_RANGES, VIEW_COUNTS, ExtractorOptions
from tfpoets.inference import LegacyGraphOptions

from .parser import Flag, Group, option_values, path
from .paths import DEFAULT_TFLITE
from .percentages import percentage_or_int

EXTRACTOR = ExtractorOptions()

IMAGE_DIR_HELP = "folder (or s3://, gs:// or az:// address) with one subfolder of photos per class"
CLASSIFIER_HELP = (f".tflite, .pb or SavedModel folder written by retrain (default: {DEFAULT_TFLITE}), or a graph of "
                   "TensorFlow for Poets")

TRUST_HELP = ("use a model of another person without checking that it only computes; it may then read and write "
              "your files")
TRUST_FLAG = Flag("trust_model", TRUST_HELP, "trust_model", const=True)

DATASET_FLAGS = (
    Flag("manifest", "table of the photos with columns path and label and, optionally, part (training, validation or "
         "test) and group: CSV, TSV, JSON lines or Parquet; separate several with commas. --image_dir is then the "
         "folder of the photos (default: that of the table)", "dataset.manifest", metavar="FILE"),
    Flag("label_pattern", "find the labels in the file names instead of the folder names: a name such as "
         "{index}_{label}.png, or a regular expression with a group named label", "dataset.label_pattern",
         metavar="PATTERN"),
    Flag("group_pattern", "use the file names to find photos of the same scene (video, object, patient), and keep "
         "them in one part: a name such as video{group}_frame*, or a regular expression with a group named group",
         "dataset.group_pattern", metavar="PATTERN"))

EXTRACTOR_FLAGS = (
    Flag("tfhub_module", f"pretrained network to use: {EXTRACTOR.handle} (default, needs no download); a TF Hub or "
         "Kaggle URL; a SavedModel folder or .tar.gz; keras:NAME for a network of keras.applications; a Keras "
         "model (.keras), without its last layer; or a frozen ImageNet graph of TensorFlow for Poets",
         "extractor.handle", metavar="HANDLE"),
    Flag("image_size", "input size of the network, if it accepts any size (default: 320 for "
         f"{EXTRACTOR.handle}; smaller is faster)", "extractor.image_size", int, "PIXELS"),
    Flag("input_range", "range of the pixels that your own Keras model takes (default: read from its first Rescaling "
         "or Normalization layer)", "extractor.input_range", choices=tuple(INPUT_RANGES)),
    Flag("trust_model", TRUST_HELP, "extractor.trust_model", const=True),
    Flag("offline", "do not access the internet; fail if a download is needed", "extractor.offline", const=True))

VIEWS_FLAG = Flag("views", "average the features of 2 views of each photo (the whole photo and a closer crop) or of 4 "
                  "(both and their mirror images); exported files do the same, at 2 or 4 times the cost (default: 1)",
                  "extractor.views", int, choices=VIEW_COUNTS)

STORAGE_FLAGS = (
    Flag("bottleneck_dir", "folder for the cache of computed features (default: tf_files/bottlenecks)",
         "bottleneck_dir", path, "DIR"),
    Flag("model_dir", f"folder for downloaded and prepared networks (default: {EXTRACTOR.model_dir})",
         "extractor.model_dir", path, "DIR"))

RAY_FLAG = Flag("ray_address", "compute the features that the cache lacks on a Ray cluster (docs/scale.md): auto for "
                "the cluster that this machine belongs to, ray://HOST:PORT for another one, or local for a new one on "
                "this machine (default: do not use Ray)", "ray_address", metavar="ADDRESS")

GRAPH_FLAGS = Group("graphs of TensorFlow for Poets", (
    Flag("labels", "label file, one label per line (default: the label file next to the graph); for classifiers made "
         "by retrain, other names for the same classes", "legacy.labels", path, "FILE"),
    *(Flag(f"input_{side}", f"{side} of the input", f"legacy.input_{side}", int, "PIXELS")
      for side in ("height", "width")),
    Flag("input_mean", "mean of the input scaling, (pixel - mean) / std", "legacy.input_mean", float, "X"),
    Flag("input_std", "std of the input scaling, (pixel - mean) / std", "legacy.input_std", float, "X"),
    *(Flag(f"{end}_layer", f"name of the {end} node", f"legacy.{end}_layer", metavar="NAME")
      for end in ("input", "output"))),
    "Most of these are detected automatically. All but --labels are ignored for classifiers made by retrain.")

AUGMENTATION_FLAGS = (
    Flag("flip_left_right", "augmentation: mirror half of the training photos", const=True),
    *(Flag(name, f"augmentation: {text}", parse=percentage_or_int, metavar="P") for name, text in (
        ("random_crop", "crop a random margin of P percent"),
        ("random_scale", "enlarge by up to P percent"),
        ("random_brightness", "lighten or darken by up to P percent"))))


def extractor_options(args: dict[str, Any], handle: str = "") -> ExtractorOptions:
    """Convert the values of the extractor's flags to options.

    Args:
        args: The values of the flags, from `parse_flags`.
        handle: The handle of the network to use if --tfhub_module is missing; empty for the default network.
    """
    values = option_values(args, (Group("", (*EXTRACTOR_FLAGS, VIEWS_FLAG, *STORAGE_FLAGS)),)).get("extractor", {})
    return ExtractorOptions(values.pop("handle", "") or handle or EXTRACTOR.handle, **values)


def dataset_options(args: dict[str, Any]) -> DatasetOptions:
    """Convert the values of DATASET_FLAGS to options."""
    return DatasetOptions(**option_values(args, (Group("", DATASET_FLAGS),)).get("dataset", {}))


def legacy_options(args: dict[str, Any]) -> LegacyGraphOptions:
    """Convert the values of GRAPH_FLAGS to options."""
    return LegacyGraphOptions(**option_values(args, (GRAPH_FLAGS,)).get("legacy", {}))


def augmentation_options(args: dict[str, Any]) -> AugmentationOptions | None:
    """Convert the values of AUGMENTATION_FLAGS to options, or return None if they request no augmentation."""
    values = {flag.name: args[flag.name] for flag in AUGMENTATION_FLAGS if flag.name in args}
    return AugmentationOptions(**values) or None
