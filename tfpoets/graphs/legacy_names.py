"""TensorFlow for Poets' names for networks (`architecture`), and where the same networks are today."""
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

WIDTHS = ("1.0", "0.75", "0.50", "0.25")
SIZES = ("224", "192", "160", "128")
INCEPTION = "inception_v3"
# The file in TensorFlow for Poets' download of Inception v3 (inception-2015-12-05.tgz).
INCEPTION_GRAPH = "classify_image_graph_def.pb"
# TF Hub's address of a feature vector; version 5 is the SavedModel for TensorFlow 2.
HUB_ADDRESS = "https://tfhub.dev/google/imagenet/{network}/feature_vector/5"

_MOBILENET = re.compile(r"mobilenet_(?P<width>[0-9]+(\.[0-9]+)?)_(?P<size>[0-9]+)(?P<quantized>_quantized)?")


@dataclass(frozen=True)
class Architecture:
    """A network that TensorFlow for Poets knew by name.

    Attributes:
        name: in lower case.
        address: of the same network's feature vector on TF Hub.
        graph: where TensorFlow for Poets left its ImageNet graph under `model_dir`.
        quantized: whether the 8-bit graph was asked for.
    """

    name: str
    address: str
    graph: Path
    quantized: bool


def find_architecture(name: str) -> Architecture | None:
    """Return the network that TensorFlow for Poets meant by a name (upper and lower case alike), or None."""
    name = name.lower()
    if name == INCEPTION:
        return Architecture(name, HUB_ADDRESS.format(network=INCEPTION), Path(INCEPTION_GRAPH), False)
    parts = _MOBILENET.fullmatch(name)
    # TensorFlow for Poets took 0.50 only; 0.5 can mean nothing else.
    width = next((width for width in WIDTHS if parts and float(parts["width"]) == float(width)), None)
    if parts is None or width is None or parts["size"] not in SIZES:
        return None
    network = f"mobilenet_v1_{round(100 * float(width)):03d}_{parts['size']}"
    return Architecture(name, HUB_ADDRESS.format(network=network),
                        Path(f"mobilenet_v1_{width}_{parts['size']}") / "frozen_graph.pb", bool(parts["quantized"]))


def architecture_names() -> list[str]:
    """Return all names that TensorFlow for Poets took: 33."""
    return [INCEPTION] + [f"mobilenet_{width}_{size}{suffix}" for width in WIDTHS for size in SIZES
                          for suffix in ("", "_quantized")]
