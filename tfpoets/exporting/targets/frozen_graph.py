"""The frozen GraphDef (.pb) that Poets wrote: nodes `input` and `final_tensor_name`."""
from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tfpoets.errors import OptionError
from tfpoets.extractors import INPUT_NODE, Extractor
from tfpoets.graphs import HEAD_SCOPE, MODULE_SCOPE, UNKNOWN_SCOPE, UNKNOWN_SCORE
from tfpoets.tf_runtime import import_tensorflow, quiet_native_code

from ..classifier_graph import add_classifier, read_graph

if TYPE_CHECKING:
    from tfpoets.training import Head


def frozen_graph(extractor: Extractor, head: Head, output_name: str) -> bytes:
    """A serialized GraphDef from `input` (float32 [n, height, width, 3] in [0, 1]) to `output_name` ([n, classes]).

    A head with a score for unknown photos adds the node `unknown_score` ([n]).
    """
    tensorflow = import_tensorflow()
    with quiet_native_code(), tensorflow.Graph().as_default() as graph:
        pixels = tensorflow.compat.v1.placeholder(tensorflow.float32, [None, extractor.height, extractor.width, 3],
                                                  name=INPUT_NODE)
        add_classifier(pixels, read_graph(extractor), head, output_name)
        return graph.as_graph_def().SerializeToString(deterministic=True)


def check_output_name(name: str) -> None:
    """Raise the OptionError that says why a node cannot be called so."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*", name) or name.endswith("/"):
        raise OptionError(f"`final_tensor_name`={name} is no name for a TensorFlow node: it takes letters, digits and "
                          "_ . - / and begins with a letter or digit.")
    if name.split("/")[0] in (INPUT_NODE, HEAD_SCOPE, MODULE_SCOPE, UNKNOWN_SCOPE, UNKNOWN_SCORE):
        raise OptionError(f"`final_tensor_name`={name} begins like other nodes of the graph.", "Give another.")
