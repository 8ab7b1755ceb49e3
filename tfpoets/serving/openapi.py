"""The OpenAPI 3.0 description of the server."""
from __future__ import annotations

from typing import Any

from tfpoets import __version__
from tfpoets.inference import Classifier

from .inference_pool import Limits
from .protocol import ARRAY_SIGNATURE, BYTES_SIGNATURE, INPUT_NAMES

MAX_LABELS_IN_DESCRIPTION = 100


def describe_api(model_name: str, classifier: Classifier, limits: Limits) -> dict[str, Any]:
    """Return the document at /openapi.json."""
    model = f"/v1/models/{model_name}"
    paths: dict[str, Any] = {
        "/label": {"post": _label(limits)},
        "/healthz": {"get": _operation("Check whether the server is running", {"status": {"type": "string"}})}}
    for path in (model, f"{model}/versions/1"):
        paths[path] = {"get": _operation("Get the status of the model", {
            "model_version_status": {"type": "array", "items": {"type": "object"}}})}
        paths[f"{path}/metadata"] = {"get": _operation("Get the signatures of the model", {
            "model_spec": {"type": "object"}, "metadata": {"type": "object"}})}
        paths[f"{path}:predict"] = {"post": _predict(classifier, limits)}
    return {"openapi": "3.0.3",
            "info": {"title": f"Image classifier {model_name}", "version": __version__,
                     "description": f"Labels: {', '.join(classifier.labels[:MAX_LABELS_IN_DESCRIPTION])}"},
            "paths": paths}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _object(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), **more}


ERROR = _object({"error": {"type": "string"}})
CONTENT_ENCODING = {"name": "Content-Encoding", "in": "header", "description": "How the body is compressed, if it is.",
                    "schema": {"type": "string", "enum": ["gzip", "deflate", "identity"]}}
ERRORS = {"400": {"description": "The request is invalid.", "content": _json(ERROR)},
          "403": {"description": "The request names another host, or was sent by a page of another site.",
                  "content": _json(ERROR)},
          "413": {"description": "The body of the request is too large, before or after decompression.",
                  "content": _json(ERROR)},
          "415": {"description": "The Content-Encoding is not supported.", "content": _json(ERROR),
                  "headers": {"Accept-Encoding": {"schema": {"type": "string"}}}},
          "503": {"description": "The server is busy. Try again later.", "content": _json(ERROR),
                  "headers": {"Retry-After": {"schema": {"type": "string"}}}}}


def _operation(summary: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary,
            "responses": {"200": {"description": "OK.", "content": _json(_object(properties))}}}


def _predict(classifier: Classifier, limits: Limits) -> dict[str, Any]:
    """Describe POST /v1/models/NAME:predict."""
    binary = _object({"b64": {"type": "string", "format": "byte",
                              "description": "An image file in base64. White space is ignored."}},
                     additionalProperties=False)
    size = f"[{classifier.input.height}, {classifier.input.width}, 3]"
    pixel = {"type": "number", "minimum": 0, "maximum": 1}
    array = {"type": "array", "items": {"type": "array", "items": {"type": "array", "items": pixel}},
             "description": f"The pixels of a photo in [0, 1]: {size}."}
    instance = {"oneOf": [binary, array, _object({INPUT_NAMES[BYTES_SIGNATURE]: binary}, additionalProperties=False),
                          _object({INPUT_NAMES[ARRAY_SIGNATURE]: array}, additionalProperties=False)]}
    instances = {"type": "array", "items": instance, "minItems": 1, "maxItems": limits.photos_per_request}
    request = {"type": "object", "properties": {
        "instances": instances,
        "inputs": {"description": "The photos in columnar format, instead of `instances`."},
        "signature_name": {"type": "string", "enum": [ARRAY_SIGNATURE, BYTES_SIGNATURE],
                           "description": f"{ARRAY_SIGNATURE} takes arrays, {BYTES_SIGNATURE} takes files. "
                                          "The default depends on the first photo."}}}
    row = _object({"probabilities": {"type": "array", "items": {"type": "number"}}, "label": {"type": "string"}})
    response = {"type": "object", "properties": {"predictions": {"type": "array", "items": row},
                                                 "outputs": {"type": "object"}}}
    return {"summary": "Predict the probabilities and labels of photos (TensorFlow Serving's REST API)",
            "parameters": [CONTENT_ENCODING],
            "requestBody": {"required": True, "content": _json(request)},
            "responses": {"200": {"description": "A prediction for each photo.", "content": _json(response)},
                          **ERRORS}}


def _label(limits: Limits) -> dict[str, Any]:
    """Describe POST /label."""
    form = {"type": "object", "properties": {
        "file": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1,
                 "maxItems": limits.photos_per_request,
                 "description": "The image files. The fields may have any name."},
        "top_k": {"type": "integer", "minimum": 1, "maximum": 1_000_000,
                  "description": "The number of labels for each photo (default 5)."}},
            "required": ["file"]}
    labels = {"type": "array", "items": _object({"label": {"type": "string"}, "score": {"type": "number"}})}
    result = {"type": "object", "required": ["file"], "properties": {
        "file": {"type": "string"}, "labels": labels, "error": {"type": "string"}, "unknown": {"type": "boolean"},
        "unknown_score": {"type": "number"},
        "unsure": {"type": "boolean", "description": "Whether the first label is too uncertain to be used."}}}
    return {"summary": "Label one or more photos", "parameters": [CONTENT_ENCODING],
            "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
            "responses": {"200": {"description": "A result for each photo. If a photo cannot be used, its result has "
                                                 "an `error` instead of `labels`.",
                                  "content": _json(_object({"results": {"type": "array", "items": result}}))},
                          **ERRORS}}
