"""Find pretrained networks by handle."""
from __future__ import annotations

from pathlib import Path

from tfpoets.errors import ExtractorError, closest_match
from tfpoets.graphs import MOBILENET_SIZES, MOBILENET_WIDTHS

from .efficientnet_lite import EmbeddedProvider
from .hub import HubProvider
from .keras_applications import KERAS_PREFIX, KerasProvider
from .keras_file_network import KerasFileProvider
from .legacy_networks import LegacyNameProvider
from .local_networks import LocalFileProvider
from .network import ExtractorProvider, PretrainedNetwork
from .options import EMBEDDED, ExtractorOptions

# The first provider that finds a network wins. Names take precedence over paths: a folder with the name of a network
# must be written as ./NAME.
EXTRACTOR_PROVIDERS: list[ExtractorProvider] = [
    EmbeddedProvider(),
    LegacyNameProvider(),
    KerasProvider(),
    KerasFileProvider(),
    HubProvider(),
    LocalFileProvider(),
]


def find_network(handle: str, options: ExtractorOptions) -> PretrainedNetwork:
    """Return the pretrained network that a handle names.

    Args:
        handle: One of
            efficientnet_lite0, the embedded network;
            a network name from TensorFlow for Poets (inception_v3, mobilenet_0.50_224, ...) in upper or lower case;
            keras:NAME, a network of keras.applications;
            the path of a .keras file, whose penultimate features are used (`KerasFileNetwork`);
            an http(s) address of TF Hub or Kaggle, or Kaggle's owner/model/framework/variation/version;
            the path of a folder with a SavedModel (of TensorFlow 2, or a TF Hub module of TensorFlow 1), of a .tar.gz
            that contains one, or of an ImageNet graph of TensorFlow for Poets (frozen_graph.pb);
            any other handle that a member of EXTRACTOR_PROVIDERS accepts.
        options: `model_dir` is the folder for downloads, and `offline` forbids them.

    Raises:
        ExtractorError: No such network exists, its files are incomplete, or it cannot be downloaded.
    """
    handle = handle.strip()
    for provider in EXTRACTOR_PROVIDERS:
        network = provider.find(handle, options)
        if network is not None:
            return network
    raise _not_found_error(handle)


def _not_found_error(handle: str) -> ExtractorError:
    """Return an error that lists the valid handles and suggests a similar one."""
    if "/" in handle or Path(handle).name != handle:
        return ExtractorError(f"There is no file or folder {handle}.",
                              "Use the folder or .tar.gz of a SavedModel, or a frozen graph of TensorFlow for Poets, "
                              f"or {EMBEDDED}, which needs no file.")
    names = {name.lower(): name for provider in EXTRACTOR_PROVIDERS for name in provider.names()}
    suggestion = closest_match(handle.lower(), names)
    return ExtractorError(
        f"There is no extractor {handle!r}" + (f"; did you mean {names[suggestion]}?" if suggestion else "."),
        f"Valid extractors are {EMBEDDED}, inception_v3, "
        f"mobilenet_<{'|'.join(MOBILENET_WIDTHS)}>_<{'|'.join(MOBILENET_SIZES)}>[_quantized], "
        f"{KERAS_PREFIX}<network of keras.applications>, a Keras model (.keras), the folder or .tar.gz of a "
        "SavedModel, a frozen graph of TensorFlow for Poets, and the address of a module on TF Hub or Kaggle.")
