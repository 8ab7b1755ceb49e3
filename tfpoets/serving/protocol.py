"""The predict request of TensorFlow Serving's REST API, for an image classifier.

See https://www.tensorflow.org/tfx/serving/api_rest for the format. A request has `instances` (rows) or `inputs`
(columns), and its response has `predictions` or `outputs` respectively. Binary values are {"b64": ...}.
"""
from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfpoets.inference import Classifier, Prediction

from .inference_pool import Upload

# The names of the signatures, and of the input of each.
ARRAY_SIGNATURE, BYTES_SIGNATURE = "serving_default", "predict_bytes"
INPUT_NAMES = {ARRAY_SIGNATURE: "image", BYTES_SIGNATURE: "image_bytes"}
# The only version of the model.
VERSION = "1"


class RequestError(ValueError):
    """A request is invalid; the message is the reason."""


def parse_predict_request(request: Any, classifier: Classifier, max_photos: int) -> tuple[list[Upload], bool]:
    """Return the photos of a predict request, and whether it is columnar.

    Args:
        request: The request, parsed from JSON.
        classifier: The classifier; arrays must have the shape of its input.
        max_photos: The maximum number of photos in a request.

    Raises:
        RequestError: The request does not follow the protocol.
    """
    if not isinstance(request, dict):
        raise RequestError("The request must be a JSON object.")
    columnar = "inputs" in request
    if columnar == ("instances" in request):
        raise RequestError('The request must contain either "instances" or "inputs".')
    values = _columnar_input(request["inputs"]) if columnar else request["instances"]
    if not isinstance(values, list) or not values:
        raise RequestError(f'"{"inputs" if columnar else "instances"}" must be a list with at least one photo.')
    if len(values) > max_photos:
        raise RequestError(f"The request contains {len(values)} photos; the limit is {max_photos}.")
    values = [_row_input(value) for value in values]
    default_signature = BYTES_SIGNATURE if _is_binary(values[0]) else ARRAY_SIGNATURE
    signature = request.get("signature_name") or default_signature
    if not isinstance(signature, str) or signature not in INPUT_NAMES:
        raise RequestError(f"There is no signature {signature!r}; use {ARRAY_SIGNATURE} or {BYTES_SIGNATURE}.")
    if signature == BYTES_SIGNATURE:
        return [_decode_base64(value, number) for number, value in enumerate(values)], columnar
    return [_parse_array(value, number, classifier) for number, value in enumerate(values)], columnar


def _columnar_input(inputs: Any) -> Any:
    """Return the only input of a columnar request, written as {name: values} or as the values alone."""
    if isinstance(inputs, dict) and not _is_binary(inputs):
        named = [inputs[name] for name in INPUT_NAMES.values() if name in inputs]
        if len(named) != 1 or len(inputs) != 1:
            raise RequestError(f'"inputs" must contain either "{INPUT_NAMES[ARRAY_SIGNATURE]}" or '
                               f'"{INPUT_NAMES[BYTES_SIGNATURE]}".')
        return named[0]
    return inputs


def _row_input(row: Any) -> Any:
    """Return the only input of a row, written as {name: value} or as the value alone."""
    if isinstance(row, dict) and len(row) == 1:
        name, = row
        return row[name] if name in INPUT_NAMES.values() else row
    return row


def _is_binary(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"}


def _decode_base64(value: Any, number: int) -> bytes:
    if not _is_binary(value) or not isinstance(value["b64"], str):
        raise RequestError(f'Instance {number} must be {{"b64": "<image file in base64>"}} for the signature '
                           f"{BYTES_SIGNATURE}.")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(f"Instance {number} is not valid base64.") from None


def _parse_array(value: Any, number: int, classifier: Classifier) -> np.ndarray:
    """Return the pixels of an instance; raise a RequestError unless it is an array of the right shape."""
    shape = (classifier.input.height, classifier.input.width, 3)
    if _is_binary(value):
        raise RequestError(f"Instance {number} is binary, but the signature {ARRAY_SIGNATURE} takes arrays. "
                           f'Set "signature_name" to "{BYTES_SIGNATURE}", and send only files.')
    try:
        array = np.array(value, np.float32)
    except (ValueError, TypeError, OverflowError):
        raise RequestError(f"Instance {number} is not an array of numbers of shape {list(shape)}.") from None
    if array.shape != shape:
        raise RequestError(f"Instance {number} has the shape {list(array.shape)}, not {list(shape)}.")
    if not np.isfinite(array).all():
        raise RequestError(f"Instance {number} contains numbers that are not finite.")
    return array


def predict_response(predictions: Sequence[Prediction], classifier: Classifier, columnar: bool) -> dict[str, Any]:
    """Return the response to a predict request.

    Args:
        predictions: The prediction for each photo.
        classifier: The classifier that made them.
        columnar: Whether the request was columnar.

    Raises:
        RequestError: A photo could not be used.
    """
    rows: list[dict[str, Any]] = []
    for number, prediction in enumerate(predictions):
        if prediction.probabilities is None:
            raise RequestError(f"Instance {number} cannot be used: {prediction.reason}.")
        rows.append({"probabilities": [float(probability) for probability in prediction.probabilities],
                     "label": classifier.predicted_label(prediction)})
        if prediction.unknown_score is not None:
            rows[-1]["unknown_score"] = prediction.unknown_score
    if not columnar:
        return {"predictions": rows}
    return {"outputs": {name: [row[name] for row in rows] for name in rows[0]}}


def status_response() -> dict[str, Any]:
    """Return the response to GET /v1/models/NAME."""
    return {"model_version_status": [{"version": VERSION, "state": "AVAILABLE",
                                      "status": {"error_code": "OK", "error_message": ""}}]}


def metadata_response(model_name: str, classifier: Classifier) -> dict[str, Any]:
    """Return the response to GET /v1/models/NAME/metadata."""
    size = (classifier.input.height, classifier.input.width, 3)
    inputs = {ARRAY_SIGNATURE: _tensor_info("DT_FLOAT", -1, *size), BYTES_SIGNATURE: _tensor_info("DT_STRING", -1)}
    outputs = {"probabilities": _tensor_info("DT_FLOAT", -1, len(classifier.labels)),
               "label": _tensor_info("DT_STRING", -1)}
    if classifier.unknown_threshold is not None:
        outputs["unknown_score"] = _tensor_info("DT_FLOAT", -1)
    signatures = {signature: {"inputs": {input_name: inputs[signature]}, "outputs": outputs,
                              "method_name": "tensorflow/serving/predict"}
                  for signature, input_name in INPUT_NAMES.items()}
    return {"model_spec": {"name": model_name, "signature_name": "", "version": VERSION},
            "metadata": {"signature_def": {"signature_def": signatures}}}


def _tensor_info(dtype: str, *sizes: int) -> dict[str, Any]:
    return {"dtype": dtype, "tensor_shape": {"dim": [{"size": str(size), "name": ""} for size in sizes],
                                             "unknown_rank": False}, "name": ""}
