"""Flags that several commands have."""
from __future__ import annotations

from typing import Any

from tfpoets.data import AugmentationOptions
from tfpoets.extractors import VIEW_COUNTS, ExtractorOptions
from tfpoets.inference import LegacyGraphOptions

from .parser import Flag, Group, option_values, path

EXTRACTOR = ExtractorOptions()

EXTRACTOR_FLAGS = (
    Flag("tfhub_module", f"{EXTRACTOR.handle} (default; needs no network); an address of TF Hub or Kaggle; a "
         "SavedModel's folder or .tar.gz; keras:NAME, a network of keras.applications; or a frozen ImageNet graph of "
         "TensorFlow for Poets", "extractor.handle", metavar="HANDLE"),
    Flag("image_size", f"side of the extractor's input, for modules that take any ({EXTRACTOR.handle}: 320; smaller "
         "is faster)", "extractor.image_size", int, "PIXELS"),
    Flag("offline", "use no network: what is not here is an error", "extractor.offline", value=True))

VIEWS_FLAG = Flag("views", "average 2 views of each photo (a closer one, too) or 4 (mirrored, too), in every file, at "
                  "2 or 4 times the cost (default 1)", "extractor.views", int, choices=VIEW_COUNTS)

STORAGE_FLAGS = (
    Flag("bottleneck_dir", "cache of what was computed for each photo (default tf_files/bottlenecks)",
         "bottleneck_dir", path, "DIR"),
    Flag("model_dir", f"downloaded modules and prepared extractors (default {EXTRACTOR.model_dir})",
         "extractor.model_dir", path, "DIR"))

GRAPH_FLAGS = Group("for graphs of TensorFlow for Poets", (
    Flag("labels", "labels, one a line (default: the label file beside the graph)", "legacy.labels", path, "FILE"),
    *(Flag(name, "size of the input", f"legacy.{name}", int, "PIXELS") for name in ("input_height", "input_width")),
    *(Flag(name, "pixels are fed as (x - mean) / std", f"legacy.{name}", float, "X")
      for name in ("input_mean", "input_std")),
    *(Flag(name, "name of a node", f"legacy.{name}", metavar="NAME") for name in ("input_layer", "output_layer"))),
    "Most are found out without these; a classifier made by retrain knows its own, and they are ignored for it.")

AUGMENTATION_FLAGS = (
    Flag("flip_left_right", "vary training photos: mirror every other one", value=True),
    *(Flag(name, f"the same: {what}", parse=int, metavar="P") for name, what in (
        ("random_crop", "cut out at random, P percent smaller than the photo"),
        ("random_scale", "enlarge at random, by up to P percent"),
        ("random_brightness", "lighten or darken at random, by up to P percent"))))


def extractor_options(given: dict[str, Any], handle: str = "") -> ExtractorOptions:
    """Return what the extractor's flags ask for; `handle` is another flag's word for the module, empty for none."""
    values = option_values(given, (Group("", (*EXTRACTOR_FLAGS, VIEWS_FLAG, *STORAGE_FLAGS)),)).get("extractor", {})
    asked = values.pop("handle", "") or handle or EXTRACTOR.handle
    return ExtractorOptions(asked, **values)


def legacy_options(given: dict[str, Any]) -> LegacyGraphOptions:
    """Return what the flags of GRAPH_FLAGS state."""
    return LegacyGraphOptions(**option_values(given, (GRAPH_FLAGS,)).get("legacy", {}))


def augmentation_options(given: dict[str, Any]) -> AugmentationOptions | None:
    """Return what AUGMENTATION_FLAGS ask for, or None where they ask for nothing."""
    values = {flag.name: given[flag.name] for flag in AUGMENTATION_FLAGS if flag.name in given}
    return AugmentationOptions(**values) or None
