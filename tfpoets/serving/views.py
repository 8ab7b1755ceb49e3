"""The routes of the server: the page, the form, TensorFlow Serving's REST API, health checks and metrics."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flask
from werkzeug.routing import BaseConverter

from tfpoets.inference import Classifier, Prediction

from . import protocol
from .inference_pool import InferencePool, Limits
from .openapi import describe_api
from .request_parser import RequestParser
from .statistics import Statistics

blueprint = flask.Blueprint("views", __name__)

EXTENSION = "tfpoets"
DEFAULT_TOP_K, MAX_TOP_K = 5, 1_000_000


class _PathPart(BaseConverter):
    """A variable part of a URL, such as <model>; what follows a colon is the name of a method, such as :predict."""

    regex, part_isolating = "[^/:]+", True


@dataclass(frozen=True)
class Service:
    """What the views of an application share; it is stored in `app.extensions`.

    Attributes:
        classifier: The classifier.
        inference_pool: The workers that run it.
        model_name: The name of the model in the URLs.
        limits: The limits of the server.
        statistics: The metrics of the server.
        parser: Parses the bodies of predict requests.
    """

    classifier: Classifier
    inference_pool: InferencePool
    model_name: str
    limits: Limits
    statistics: Statistics
    parser: RequestParser


def init_app(app: flask.Flask, classifier: Classifier, inference_pool: InferencePool, model_name: str, limits: Limits
             ) -> None:
    """Add the routes to an application."""
    statistics = Statistics(lambda: inference_pool.pending)
    parser = RequestParser((classifier.input.height, classifier.input.width), limits)
    app.extensions[EXTENSION] = Service(classifier, inference_pool, model_name, limits, statistics, parser)
    app.url_map.converters["default"] = _PathPart
    app.register_blueprint(blueprint)


def get_service() -> Service:
    """Return the service of the current application."""
    return flask.current_app.extensions[EXTENSION]


@blueprint.get("/")
def page() -> flask.Response:
    """Return the web page."""
    return flask.current_app.send_static_file("index.html")


@blueprint.get("/healthz")
def health() -> dict[str, str]:
    """Report that the server is running."""
    return {"status": "ok"}


@blueprint.get("/metrics")
def metrics() -> flask.Response:
    """Return the metrics for Prometheus."""
    return flask.Response(*get_service().statistics.render())


@blueprint.get("/openapi.json")
def openapi() -> dict[str, Any]:
    """Return the OpenAPI description of the server."""
    service = get_service()
    return describe_api(service.model_name, service.classifier, service.limits)


@blueprint.get("/v1/models/<model>")
@blueprint.get("/v1/models/<model>/versions/<int:version>")
def model_status(model: str, version: int | None = None) -> dict[str, Any]:
    """Return the status of the model, as TensorFlow Serving does."""
    _check_model(model, version)
    return protocol.status_response()


@blueprint.get("/v1/models/<model>/metadata")
@blueprint.get("/v1/models/<model>/versions/<int:version>/metadata")
def model_metadata(model: str, version: int | None = None) -> dict[str, Any]:
    """Return the signatures of the model, as TensorFlow Serving does."""
    _check_model(model, version)
    service = get_service()
    return protocol.metadata_response(service.model_name, service.classifier)


@blueprint.post("/v1/models/<model>:predict")
@blueprint.post("/v1/models/<model>/versions/<int:version>:predict")
def model_predict(model: str, version: int | None = None) -> dict[str, Any]:
    """Return predictions for the photos in a JSON body, as TensorFlow Serving does."""
    _check_model(model, version)
    service = get_service()
    # Whatever the content type is, as in TensorFlow Serving.
    uploads, columnar = service.parser.parse(flask.request.get_data(cache=False))
    return protocol.predict_response(service.inference_pool.predict(uploads), service.classifier, columnar)


@blueprint.post("/label")
def label() -> tuple[dict[str, Any], int]:
    """Return the labels of the photos in a form: for each photo the answer, then the most likely others."""
    service = get_service()
    files = [file for _, file in flask.request.files.items(multi=True) if file.filename]
    if not files:
        raise protocol.RequestError("The request contains no photos. Send files as multipart/form-data.")
    if len(files) > service.limits.photos_per_request:
        raise protocol.RequestError(f"The request contains {len(files)} photos; the limit is "
                                    f"{service.limits.photos_per_request}.")
    top_k = _parse_top_k(flask.request.form.get("top_k") or flask.request.args.get("top_k"))
    predictions = service.inference_pool.predict([file.read() for file in files])
    results = [{"file": file.filename, **_label_result(prediction, service.classifier, top_k)}
               for file, prediction in zip(files, predictions)]
    if all("error" in result for result in results):
        return {"error": f"{results[0]['file']} cannot be used: {results[0]['error']}.", "results": results}, 400
    return {"results": results}, 200


def _check_model(model: str, version: int | None) -> None:
    """Abort with TensorFlow Serving's error if the server does not serve this model and version."""
    if model != get_service().model_name or version not in (None, int(protocol.VERSION)):
        servable = f"Specific({model}, {version})" if version is not None else f"Latest({model})"
        flask.abort(404, f"Servable not found for request: {servable}")


def _parse_top_k(text: str | None) -> int:
    if text is None:
        return DEFAULT_TOP_K
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MAX_TOP_K):
        raise protocol.RequestError(f"top_k must be an integer from 1 to {MAX_TOP_K}.")
    return int(text[:9])


def _label_result(prediction: Prediction, classifier: Classifier, top_k: int) -> dict[str, Any]:
    if prediction.probabilities is None:
        return {"error": prediction.reason}
    labels = [{"label": name, "score": score} for name, score in classifier.top_labels(prediction, top_k)]
    result: dict[str, Any] = {"labels": labels}
    if prediction.unknown_score is not None:
        result.update(unknown=prediction.unknown, unknown_score=prediction.unknown_score)
    if prediction.unsure is not None:
        result.update(unsure=prediction.unsure)
    return result
