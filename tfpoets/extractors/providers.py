"""Where pretrained networks come from: the list of all kinds of handles."""
from __future__ import annotations

from pathlib import Path

from tfpoets.errors import ExtractorError, closest_match
from tfpoets.graphs import SIZES, WIDTHS

from .efficientnet_lite import EmbeddedProvider
from .hub import HubProvider
from .keras_applications import PREFIX, KerasProvider
from .legacy_networks import LegacyNameProvider
from .local_networks import LocalFileProvider
from .network import ExtractorProvider, PretrainedNetwork
from .options import EMBEDDED, ExtractorOptions

# The first that finds a network wins. Names come before paths: a folder that happens to be called so is ./NAME.
EXTRACTOR_PROVIDERS: list[ExtractorProvider] = [
    EmbeddedProvider(),
    LegacyNameProvider(),
    KerasProvider(),
    HubProvider(),
    LocalFileProvider(),
]


def find_network(handle: str, options: ExtractorOptions) -> PretrainedNetwork:
    """Return the pretrained network that a handle names.

    Args:
        handle: one of
            efficientnet_lite0: the embedded network;
            a name of TensorFlow for Poets (inception_v3, mobilenet_0.50_224, ...), upper and lower case alike;
            keras:NAME, a network of keras.applications;
            an http(s) address of TF Hub or Kaggle, or Kaggle's owner/model/framework/variation/version;
            the path of a folder with a SavedModel (of TensorFlow 2, or a TF Hub module of TensorFlow 1), of a .tar.gz
            that holds one, or of an ImageNet graph of TensorFlow for Poets (frozen_graph.pb);
            or whatever another member of EXTRACTOR_PROVIDERS knows.
        options: `model_dir` and `offline` say where downloads are kept and whether they are allowed.

    Raises:
        ExtractorError: there is no such network, its files are not complete, or it cannot be fetched.
    """
    handle = handle.strip()
    for provider in EXTRACTOR_PROVIDERS:
        network = provider.find(handle, options)
        if network is not None:
            return network
    raise _not_found(handle)


def _not_found(handle: str) -> ExtractorError:
    if "/" in handle or Path(handle).name != handle:
        return ExtractorError(f"There is no file or folder {handle}.", "Give a SavedModel's folder or .tar.gz, or a "
                              f"frozen graph of TensorFlow for Poets; {EMBEDDED} needs no file.")
    names = {name.lower(): name for provider in EXTRACTOR_PROVIDERS for name in provider.names()}
    meant = closest_match(handle.lower(), names)
    return ExtractorError(
        f"There is no extractor {handle!r}" + (f"; did you mean {names[meant]}?" if meant else "."),
        f"It can be {EMBEDDED}, inception_v3, mobilenet_<{'|'.join(WIDTHS)}>_<{'|'.join(SIZES)}>[_quantized], "
        f"{PREFIX}<network of keras.applications>, a SavedModel's folder or .tar.gz, "
        "a frozen graph of TensorFlow for Poets, or an address of TF Hub or Kaggle.")
