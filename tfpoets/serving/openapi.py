"""The description of the addresses that programs read (OpenAPI 3.0)."""
from __future__ import annotations

from typing import Any

from tfpoets import __version__
from tfpoets.inference import Classifier

from .inference_pool import Limits
from .protocol import BYTES, FLOATS, INPUTS


def describe_api(name: str, classifier: Classifier, limits: Limits) -> dict[str, Any]:
    """The document at /openapi.json."""
    model = f"/v1/models/{name}"
    paths: dict[str, Any] = {
        "/label": {"post": _label(limits)},
        "/healthz": {"get": _operation("Whether the server answers", {"status": {"type": "string"}})}}
    for start in (model, f"{model}/versions/1"):
        paths[start] = {"get": _operation("Whether the model is there", {
            "model_version_status": {"type": "array", "items": {"type": "object"}}})}
        paths[f"{start}/metadata"] = {"get": _operation("Signatures of the model", {
            "model_spec": {"type": "object"}, "metadata": {"type": "object"}})}
        paths[f"{start}:predict"] = {"post": _predict(classifier, limits)}
    return {"openapi": "3.0.3",
            "info": {"title": f"Image classifier {name}", "version": __version__,
                     "description": f"Labels: {', '.join(classifier.labels[:100])}"},
            "paths": paths}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _object(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), **more}


ERROR = _object({"error": {"type": "string"}})
ERRORS = {"400": {"description": "The request cannot be followed.", "content": _json(ERROR)},
          "413": {"description": "The request is too large.", "content": _json(ERROR)},
          "503": {"description": "Too much to do; try again soon.", "content": _json(ERROR),
                  "headers": {"Retry-After": {"schema": {"type": "string"}}}}}


def _operation(summary: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary,
            "responses": {"200": {"description": "Yes.", "content": _json(_object(properties))}}}


def _predict(classifier: Classifier, limits: Limits) -> dict[str, Any]:
    binary = _object({"b64": {"type": "string", "format": "byte", "description": "A photo's file in base64."}},
                     additionalProperties=False)
    size = f"[{classifier.input.height}, {classifier.input.width}, 3]"
    array = {"type": "array", "items": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
             "description": f"Pixels {size} in [0, 1]."}
    value = {"oneOf": [binary, array, _object({INPUTS[BYTES]: binary}, additionalProperties=False),
                       _object({INPUTS[FLOATS]: array}, additionalProperties=False)]}
    instances = {"type": "array", "items": value, "minItems": 1, "maxItems": limits.photos}
    request = {"type": "object", "properties": {
        "instances": instances, "inputs": {"description": "The same by columns."},
        "signature_name": {"type": "string", "enum": [FLOATS, BYTES],
                           "description": f"{FLOATS} takes arrays, {BYTES} files; by default as the first photo is."}}}
    row = _object({"probabilities": {"type": "array", "items": {"type": "number"}}, "label": {"type": "string"}})
    answer = {"type": "object", "properties": {"predictions": {"type": "array", "items": row},
                                               "outputs": {"type": "object"}}}
    return {"summary": "Probabilities and label of photos, as TensorFlow Serving gives them",
            "requestBody": {"required": True, "content": _json(request)},
            "responses": {"200": {"description": "An answer for each photo.", "content": _json(answer)}, **ERRORS}}


def _label(limits: Limits) -> dict[str, Any]:
    form = {"type": "object", "properties": {
        "file": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1,
                 "maxItems": limits.photos, "description": "Photos, under any name."},
        "top_k": {"type": "integer", "minimum": 1, "maximum": 1_000_000, "description": "How many labels (5)."}},
        "required": ["file"]}
    labels = {"type": "array", "items": _object({"label": {"type": "string"}, "score": {"type": "number"}})}
    result = {"type": "object", "required": ["file"], "properties": {
        "file": {"type": "string"}, "labels": labels, "error": {"type": "string"}, "unknown": {"type": "boolean"},
        "unknown_score": {"type": "number"}}}
    return {"summary": "Labels of one or many photos",
            "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
            "responses": {"200": {"description": "A result for each photo; one that cannot be used has an error.",
                                  "content": _json(_object({"results": {"type": "array", "items": result}}))},
                          **ERRORS}}
