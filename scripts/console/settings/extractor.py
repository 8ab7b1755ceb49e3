"""The flags of every command that computes bottlenecks."""
from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from ..flags import image_side, path
from .places import TF_FILES

DEFAULT_MODULE = "efficientnet_lite0"


@dataclass(frozen=True)
class ExtractorSettings:
    """Which extractor, and where it is kept; the flags of the same names say what each means."""

    tfhub_module: str
    model_dir: Path
    image_size: int | None
    offline: bool
    views: int = 1


def add_extractor_flags(group: argparse._ArgumentGroup) -> None:
    """Adds --tfhub_module, --image_size, --views and --offline."""
    group.add_argument("--tfhub_module", default="", metavar="HANDLE",
                       help=f"{DEFAULT_MODULE} (default; needs no network); an address of TF Hub or Kaggle; a "
                       "SavedModel's folder or .tar.gz; keras:NAME, a network of keras.applications; or a frozen "
                       "ImageNet graph of Poets")
    group.add_argument("--image_size", type=image_side, metavar="PIXELS",
                       help=f"side of the extractor's input, for modules that take any ({DEFAULT_MODULE}: 320; "
                       "smaller is faster)")
    group.add_argument("--views", type=int, choices=[1, 2, 4], default=1, help="look at each photo twice (closer, "
                       "too) or 4 times (mirrored, too) and average, in every file, at twice or 4 times the cost "
                       "(default 1)")
    group.add_argument("--offline", action="store_true", help="use no network: what is not here is an error")


def add_storage_flags(group: argparse._ArgumentGroup) -> None:
    """Adds --bottleneck_dir and --model_dir."""
    group.add_argument("--bottleneck_dir", type=path, default=TF_FILES / "bottlenecks", metavar="DIR",
                       help="cache of what was computed for each photo (default tf_files/bottlenecks)")
    group.add_argument("--model_dir", type=path, default=TF_FILES / "models", metavar="DIR",
                       help="downloaded modules and prepared extractors (default tf_files/models)")


def extractor_settings(flags: argparse.Namespace, handle: str = "") -> ExtractorSettings:
    """What those flags say; `handle` is another flag's word for the module, empty for none."""
    return ExtractorSettings(flags.tfhub_module or handle or DEFAULT_MODULE, flags.model_dir, flags.image_size,
                             flags.offline, flags.views)
