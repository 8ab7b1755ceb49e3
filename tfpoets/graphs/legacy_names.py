"""Map the network names of TensorFlow for Poets (its option `architecture`) to the same networks on TF Hub."""
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MOBILENET_WIDTHS = ("1.0", "0.75", "0.50", "0.25")
MOBILENET_SIZES = ("224", "192", "160", "128")
INCEPTION = "inception_v3"
# The name of the graph in the archive of Inception v3 that TensorFlow for Poets downloaded
# (inception-2015-12-05.tgz).
INCEPTION_GRAPH = "classify_image_graph_def.pb"
# The TF Hub address of a feature vector. Version 5 is the SavedModel for TensorFlow 2.
HUB_ADDRESS = "https://tfhub.dev/google/imagenet/{network}/feature_vector/5"

_MOBILENET = re.compile(r"mobilenet_(?P<width>[0-9]+(\.[0-9]+)?)_(?P<size>[0-9]+)(?P<quantized>_quantized)?")


@dataclass(frozen=True)
class Architecture:
    """A pretrained network that TensorFlow for Poets offered by name.

    Attributes:
        name: The name, in lower case.
        address: The TF Hub address of the same network's feature vector.
        graph_file: The path, relative to `model_dir`, at which TensorFlow for Poets stored its ImageNet graph.
        quantized: Whether the name stands for the 8-bit graph.
    """

    name: str
    address: str
    graph_file: Path
    quantized: bool


def find_architecture(name: str) -> Architecture | None:
    """Return the network that a name stood for in TensorFlow for Poets, or None; case is ignored."""
    name = name.lower()
    if name == INCEPTION:
        return Architecture(name, HUB_ADDRESS.format(network=INCEPTION), Path(INCEPTION_GRAPH), False)
    match = _MOBILENET.fullmatch(name)
    # TensorFlow for Poets accepted only 0.50, but 0.5 is unambiguous.
    width = next((width for width in MOBILENET_WIDTHS if match and float(match["width"]) == float(width)), None)
    if match is None or width is None or match["size"] not in MOBILENET_SIZES:
        return None
    network = f"mobilenet_v1_{round(100 * float(width)):03d}_{match['size']}"
    return Architecture(name, HUB_ADDRESS.format(network=network),
                        Path(f"mobilenet_v1_{width}_{match['size']}") / "frozen_graph.pb", bool(match["quantized"]))


def architecture_names() -> list[str]:
    """Return all 33 names that TensorFlow for Poets accepted."""
    return [INCEPTION] + [f"mobilenet_{width}_{size}{suffix}" for width in MOBILENET_WIDTHS for size in MOBILENET_SIZES
                          for suffix in ("", "_quantized")]
