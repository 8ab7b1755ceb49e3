"""The predict request of TensorFlow Serving's REST API, for an image classifier.

See https://www.tensorflow.org/tfx/serving/api_rest for the format. A request has `instances` (rows) or `inputs`
(columns), and its response has `predictions` or `outputs` respectively. Binary values are {"b64": ...}.
"""
from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from tfpoets.inference import Classifier, Prediction

from .inference_pool import Upload

# The names of the signatures, and of the input of each.
ARRAY_SIGNATURE, BYTES_SIGNATURE = "serving_default", "predict_bytes"
INPUT_NAMES = {ARRAY_SIGNATURE: "image", BYTES_SIGNATURE: "image_bytes"}
# The only version of the model.
VERSION = "1"
# A translation of the URL-safe base64 alphabet (RFC 4648, section 5) to the standard one, and the white space that
# TensorFlow Serving ignores.
FROM_URL_SAFE, WHITE_SPACE = bytes.maketrans(b"-_", b"+/"), b" \t\n\v\f\r"
# Pixels are in [0, 1]. Resampling can overshoot a little, but values such as 255 are on a different scale.
MIN_PIXEL, MAX_PIXEL = -0.5, 1.5
MAX_QUOTED_LENGTH = 40
# As many lists as this take little memory.
MIN_LIMIT_OF_LISTS = 2 ** 20


class RequestError(ValueError):
    """A request is invalid; the message is the reason."""


def parse_predict_request(body: bytes, size: tuple[int, int], max_photos: int) -> tuple[list[Upload], bool]:
    """Return the photos of a predict request, and whether it is columnar.

    Args:
        body: The body of the request.
        size: The height and width of the classifier's input, which arrays must have.
        max_photos: The maximum number of photos in a request.

    Raises:
        RequestError: The request does not follow the protocol.
    """
    # Millions of empty objects or lists would exhaust the memory before they could be counted. Each photo in a request
    # takes at most two JSON objects, or a list for each pixel, each row and the photo itself.
    max_lists = max(max_photos * (size[0] * (size[1] + 1) + 1) + 10, MIN_LIMIT_OF_LISTS)
    if body.count(b"{") > 2 * max_photos + 10 or body.count(b"[") > max_lists:
        raise RequestError(f"The request contains too many photos; the limit is {max_photos}.")
    try:
        return _parse_values(json.loads(body), size, max_photos)
    except RequestError:
        raise
    except (ValueError, RecursionError) as error:
        raise RequestError(f"The request is not valid JSON: {str(error)[:100]}.") from None


def _parse_values(request: Any, size: tuple[int, int], max_photos: int) -> tuple[list[Upload], bool]:
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
    values = [_row_input(value, number) for number, value in enumerate(values)]
    default_signature = BYTES_SIGNATURE if _is_binary(values[0]) else ARRAY_SIGNATURE
    signature = request.get("signature_name") or default_signature
    if not isinstance(signature, str) or signature not in INPUT_NAMES:
        raise RequestError(f"There is no signature {signature!r}; use {ARRAY_SIGNATURE} or {BYTES_SIGNATURE}.")
    if signature == BYTES_SIGNATURE:
        return [_decode_base64(value, number) for number, value in enumerate(values)], columnar
    return [_parse_array(value, number, (*size, 3)) for number, value in enumerate(values)], columnar


def _columnar_input(inputs: Any) -> Any:
    """Return the only input of a columnar request, written as {name: values} or as the values alone."""
    if isinstance(inputs, dict) and not _is_binary(inputs):
        named = [inputs[name] for name in INPUT_NAMES.values() if name in inputs]
        if len(named) != 1 or len(inputs) != 1:
            raise RequestError(f'"inputs" must contain either "{INPUT_NAMES[ARRAY_SIGNATURE]}" or '
                               f'"{INPUT_NAMES[BYTES_SIGNATURE]}", and nothing else.')
        return named[0]
    return inputs


def _row_input(row: Any, number: int) -> Any:
    """Return the only input of a row, written as {name: value} or as the value alone."""
    if not isinstance(row, dict) or _is_binary(row):
        return row
    unknown = [name for name in row if name not in INPUT_NAMES.values()]
    if unknown:
        raise RequestError(f"Instance {number} has an input that the model does not have: {_quote(unknown[0])}. Send "
                           f'only "{INPUT_NAMES[BYTES_SIGNATURE]}" or "{INPUT_NAMES[ARRAY_SIGNATURE]}"; the '
                           "predictions are in the order of the instances.")
    if len(row) != 1:
        raise RequestError(f'Instance {number} must contain either "{INPUT_NAMES[ARRAY_SIGNATURE]}" or '
                           f'"{INPUT_NAMES[BYTES_SIGNATURE]}".')
    return next(iter(row.values()))


def _is_binary(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"}


def _decode_base64(value: Any, number: int) -> bytes:
    """Return the bytes of a binary instance.

    As in TensorFlow Serving (absl::Base64Unescape), white space is ignored and padding may be missing. The URL-safe
    alphabet is accepted as well.
    """
    if not _is_binary(value) or not isinstance(value["b64"], str):
        raise RequestError(f'Instance {number} must be {{"b64": "<image file in base64>"}} for the signature '
                           f"{BYTES_SIGNATURE}.")
    try:
        digits = value["b64"].encode("ascii").translate(FROM_URL_SAFE, WHITE_SPACE)
        if not digits.endswith(b"="):
            digits += b"=" * (-len(digits) % 4)
        return base64.b64decode(digits, validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise RequestError(f"Instance {number} is not valid base64.") from None


def _parse_array(value: Any, number: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the pixels of an instance; raise a RequestError unless it is an array of numbers of the given shape."""
    if _is_binary(value):
        raise RequestError(f"Instance {number} is binary, but the signature {ARRAY_SIGNATURE} takes arrays. "
                           f'Set "signature_name" to "{BYTES_SIGNATURE}", and send only files.')
    problem = f"Instance {number} is not an array of numbers of shape {list(shape)}"
    if not isinstance(value, list):
        file_hint = ' Send files as {"b64": "<image file in base64>"}.' if isinstance(value, str) else ""
        raise RequestError(f"{problem}: it is {_quote(value)}.{file_hint}")
    actual_shape: list[int] = []
    values: list[Any] = [value]
    while values and len(values) <= math.prod(shape) and all(isinstance(item, list) for item in values):
        lengths = {len(item) for item in values}
        if len(lengths) > 1:
            raise RequestError(f"{problem}: its rows have different lengths.")
        actual_shape += lengths
        values = list(chain.from_iterable(values))
    # If there are too many values, they may still be lists; their shape, which is wrong, is reported below.
    if len(values) <= math.prod(shape):
        _check_types(values, actual_shape, problem)
    actual_shape += _shape(values[0]) if values else []
    if tuple(actual_shape) != shape:
        raise RequestError(f"Instance {number} has the shape {actual_shape}, not {list(shape)}.")
    wrong = _first_outside_range(values)
    if wrong is not None:
        raise RequestError(f"Instance {number} contains {_quote(values[wrong])}{_position(wrong, shape)}, but pixels "
                           "must be in [0, 1].")
    return np.array(values, np.float32).reshape(shape)


def _check_types(values: Sequence[Any], shape: Sequence[int], problem: str) -> None:
    """Raise a RequestError unless the values of an array are numbers. In Python, `True` is an int, but not in JSON."""
    if set(map(type, values)) <= {int, float}:
        return
    if any(isinstance(value, list) for value in values):
        raise RequestError(f"{problem}: its rows have different lengths.")
    index = next(index for index, value in enumerate(values) if type(value) not in (int, float))
    raise RequestError(f"{problem}: it contains {_quote(values[index])}{_position(index, shape)}.")


def _first_outside_range(values: Sequence[float]) -> int | None:
    """Return the index of the first value that no pixel can have, which includes NaN, or None."""
    try:
        numbers = np.array(values, np.float64)
    except OverflowError:  # an integer with more than 308 digits
        return next(index for index, value in enumerate(values) if abs(value) > MAX_PIXEL)
    wrong = np.flatnonzero(~((numbers >= MIN_PIXEL) & (numbers <= MAX_PIXEL)))
    return int(wrong[0]) if len(wrong) else None


def _shape(value: Any) -> list[int]:
    """Return the lengths of a nested list, judging by its first elements."""
    lengths = []
    while isinstance(value, list):
        lengths.append(len(value))
        value = value[0] if value else None
    return lengths


def _position(index: int, shape: Sequence[int]) -> str:
    """Return where the value with this index is in an array, as part of a sentence."""
    return f" at {[int(axis) for axis in np.unravel_index(index, shape)]}"


def _quote(value: Any) -> str:
    """Return a value as JSON, shortened."""
    if isinstance(value, dict):
        return "an object"
    text = json.dumps(value[:MAX_QUOTED_LENGTH] if isinstance(value, str) else value, ensure_ascii=False)
    return text if len(text) <= MAX_QUOTED_LENGTH else f"{text[:MAX_QUOTED_LENGTH - 3]}..."


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
