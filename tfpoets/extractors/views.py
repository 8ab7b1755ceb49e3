"""Several views of a photo through one network, and the mean of what it sees."""
from __future__ import annotations

from typing import Any

from tfpoets.tf_runtime import import_tensorflow

from .network import Network

# Share of height and width that the closer views show.
CLOSER = 7 / 8


def average_views(network: Network, views: int) -> Network:
    """Return a network that looks at each photo several times, and gives the mean of its answers.

    The views are made inside the graph, from the pixels that it is given, so that every file and program that runs it
    makes the same ones.

    Args:
        network: what looks at each view.
        views: how many, one of VIEW_COUNTS.
    """
    if views == 1:
        return network
    tensorflow = import_tensorflow()

    def features(pixels: Any, training: bool = False) -> Any:
        seen = [pixels, _closer(tensorflow, pixels, network.height, network.width)]
        if views == 4:
            seen += [tensorflow.reverse(each, [2]) for each in seen]
        answers = tensorflow.split(network(tensorflow.concat(seen, 0), training), views)
        return tensorflow.add_n(answers) / views
    return Network(features, network.height, network.width)


def _closer(tensorflow: Any, pixels: Any, height: int, width: int) -> Any:
    """The middle of each photo, enlarged to its size."""
    top, left = (round(side * (1 - CLOSER) / 2) for side in (height, width))
    middle = pixels[:, top:height - top, left:width - left, :]
    return tensorflow.image.resize(middle, [height, width])
