"""TensorFlow Serving's REST protocol for an image classifier: requests to photos, answers to responses.

The shapes are those of tensorflow.org/tfx/serving/api_rest: `instances` (rows) or `inputs` (columns), binary values as
{"b64": ...}, `predictions` or `outputs`.
"""
from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfpoets.exporting import UNKNOWN_LABEL
from tfpoets.inference import Classifier, Prediction

from .inference_pool import Photo

FLOATS, BYTES = "serving_default", "predict_bytes"
INPUTS = {FLOATS: "image", BYTES: "image_bytes"}
VERSION = "1"


class RequestError(ValueError):
    """A request that cannot be followed; the text says why."""


def photos_of(request: Any, classifier: Classifier, most: int) -> tuple[list[Photo], bool]:
    """The photos of a predict request, and whether it asks for columns.

    Args:
        request: what its JSON says.
        classifier: whose input float arrays must fit.
        most: photos of a request.

    Raises:
        RequestError: it is not as the protocol wants it.
    """
    if not isinstance(request, dict):
        raise RequestError("The request must be a JSON object.")
    columns = "inputs" in request
    if columns == ("instances" in request):
        raise RequestError('The request must have either "instances" or "inputs".')
    values = _column(request["inputs"]) if columns else request["instances"]
    if not isinstance(values, list) or not values:
        raise RequestError(f'"{"inputs" if columns else "instances"}" must be a list with at least one photo.')
    if len(values) > most:
        raise RequestError(f"{len(values)} photos are more than the {most} that are taken at a time.")
    values = [_unnamed(value) for value in values]
    signature = request.get("signature_name") or (BYTES if _is_binary(values[0]) else FLOATS)
    if not isinstance(signature, str) or signature not in INPUTS:
        raise RequestError(f"There is no signature {signature!r}; there are {FLOATS} and {BYTES}.")
    read = _bytes if signature == BYTES else _array
    return [read(value, number, classifier) for number, value in enumerate(values)], columns


def _column(inputs: Any) -> Any:
    """The one input of the columnar format, by its name or alone."""
    if isinstance(inputs, dict) and not _is_binary(inputs):
        named = [inputs[name] for name in INPUTS.values() if name in inputs]
        if len(named) != 1 or len(inputs) != 1:
            raise RequestError(f'"inputs" must hold either "{INPUTS[FLOATS]}" or "{INPUTS[BYTES]}".')
        return named[0]
    return inputs


def _unnamed(value: Any) -> Any:
    """A row's one input, by its name or alone."""
    if isinstance(value, dict) and len(value) == 1:
        name, = value
        return value[name] if name in INPUTS.values() else value
    return value


def _is_binary(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"}


def _bytes(value: Any, number: int, _: Classifier) -> bytes:
    if not _is_binary(value) or not isinstance(value["b64"], str):
        raise RequestError(f'Instance {number} must be {{"b64": a photo\'s file in base64}} for {BYTES}.')
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(f"Instance {number} is not valid base64.") from None


def _array(value: Any, number: int, classifier: Classifier) -> np.ndarray:
    shape = (classifier.input.height, classifier.input.width, 3)
    if _is_binary(value):
        raise RequestError(f'Instance {number} is binary; {FLOATS} takes arrays. Add "signature_name": "{BYTES}".')
    try:
        array = np.array(value, np.float32)
    except (ValueError, TypeError, OverflowError):
        raise RequestError(f"Instance {number} is not an array of numbers, {list(shape)}.") from None
    if array.shape != shape:
        raise RequestError(f"Instance {number} has the shape {list(array.shape)}, not {list(shape)}.")
    if not np.isfinite(array).all():
        raise RequestError(f"Instance {number} holds numbers that are not finite.")
    return array


def predictions(answers: Sequence[Prediction], classifier: Classifier, columns: bool) -> dict[str, Any]:
    """The response to a predict request; raises RequestError where a photo could not be used."""
    rows: list[dict[str, Any]] = []
    for number, answer in enumerate(answers):
        if answer.probabilities is None:
            raise RequestError(f"Instance {number} cannot be used: {answer.reason}.")
        rows.append({"probabilities": [float(each) for each in answer.probabilities],
                     "label": label_of(answer, classifier)})
        if answer.unknown_score is not None:
            rows[-1]["unknown_score"] = answer.unknown_score
    if not columns:
        return {"predictions": rows}
    return {"outputs": {name: [row[name] for row in rows] for name in rows[0]}}


def label_of(answer: Prediction, classifier: Classifier) -> str:
    """The likeliest label, or unknown."""
    assert answer.probabilities is not None
    return UNKNOWN_LABEL if answer.unknown else classifier.labels[int(answer.probabilities.argmax())]


def status() -> dict[str, Any]:
    """What GET /v1/models/NAME answers."""
    return {"model_version_status": [{"version": VERSION, "state": "AVAILABLE",
                                      "status": {"error_code": "OK", "error_message": ""}}]}


def metadata(name: str, classifier: Classifier) -> dict[str, Any]:
    """What GET /v1/models/NAME/metadata answers."""
    size = (classifier.input.height, classifier.input.width, 3)
    outputs = {"probabilities": _tensor("DT_FLOAT", -1, len(classifier.labels)), "label": _tensor("DT_STRING", -1)}
    if classifier.unknown_threshold is not None:
        outputs["unknown_score"] = _tensor("DT_FLOAT", -1)
    given = {FLOATS: _tensor("DT_FLOAT", -1, *size), BYTES: _tensor("DT_STRING", -1)}
    signatures = {signature: {"inputs": {INPUTS[signature]: given[signature]}, "outputs": outputs,
                              "method_name": "tensorflow/serving/predict"} for signature in INPUTS}
    return {"model_spec": {"name": name, "signature_name": "", "version": VERSION},
            "metadata": {"signature_def": {"signature_def": signatures}}}


def _tensor(dtype: str, *sizes: int) -> dict[str, Any]:
    return {"dtype": dtype, "tensor_shape": {"dim": [{"size": str(size), "name": ""} for size in sizes],
                                             "unknown_rank": False}, "name": ""}
