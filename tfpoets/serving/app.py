"""The server's addresses: TensorFlow Serving's protocol, a form for files, the page, and what operators need."""
from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import flask
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from tfpoets.inference import Classifier, Prediction

from . import protocol
from .inference_pool import BusyError, InferencePool, Limits
from .openapi import describe_api
from .statistics import Statistics

log = logging.getLogger(__name__)

# Nothing from elsewhere, nothing inline, in no frame.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; "
                               "base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "geolocation=(), microphone=()", "Cache-Control": "no-store"}
RETRY_SECONDS = 1
DEFAULT_TOP_K = 5
# Numbers take many times their text's memory: of bodies of so many bytes, so many are parsed at a time.
LARGE_BODY, LARGE_AT_ONCE = 2 ** 20, 2


def create_app(classifier: Classifier, inference: InferencePool, name: str, limits: Limits) -> flask.Flask:
    """The WSGI application.

    Args:
        classifier: what the answers are from.
        inference: what gives them.
        name: of the model in addresses.
        limits: of a request.
    """
    app = flask.Flask(__name__, static_folder="page", static_url_path="/page")
    app.config.update(MAX_CONTENT_LENGTH=limits.request_bytes, MAX_FORM_PARTS=4 * limits.photos,
                      MAX_FORM_MEMORY_SIZE=limits.request_bytes)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    statistics = Statistics(lambda: inference.waiting)
    _add_protocol(app, classifier, inference, name, limits)
    _add_form(app, classifier, inference, limits)
    app.get("/", endpoint="page")(lambda: app.send_static_file("index.html"))
    app.get("/healthz", endpoint="health")(lambda: {"status": "ok"})
    app.get("/metrics", endpoint="metrics")(lambda: flask.Response(*statistics.text()))
    document = describe_api(name, classifier, limits)
    app.get("/openapi.json", endpoint="openapi")(lambda: document)
    _add_errors(app)

    @app.before_request
    def begin() -> None:
        flask.g.began = time.perf_counter()

    @app.after_request
    def finish(response: flask.Response) -> flask.Response:
        for header, value in SECURITY_HEADERS.items():
            response.headers.setdefault(header, value)
        rule = flask.request.url_rule
        statistics.count(rule.rule if rule else "other", response.status_code, time.perf_counter() - flask.g.began)
        return response
    return app


def _add_protocol(app: flask.Flask, classifier: Classifier, inference: InferencePool, name: str, limits: Limits
                  ) -> None:
    """TensorFlow Serving's addresses, with and without the version."""
    read_json = _json_reader()

    def check(model: str, version: int | None) -> None:
        if model != name or version not in (None, int(protocol.VERSION)):
            wanted = f"Specific({model}, {version})" if version is not None else f"Latest({model})"
            flask.abort(404, f"Servable not found for request: {wanted}")

    def status(model: str, version: int | None = None) -> dict[str, Any]:
        check(model, version)
        return protocol.status()

    def metadata(model: str, version: int | None = None) -> dict[str, Any]:
        check(model, version)
        return protocol.metadata(name, classifier)

    def predict(model: str, version: int | None = None) -> dict[str, Any]:
        check(model, version)
        photos, columns = protocol.photos_of(read_json(limits.photos), classifier, limits.photos)
        return protocol.predictions(inference.answers(photos), classifier, columns)
    for start in ("/v1/models/<model>", "/v1/models/<model>/versions/<int:version>"):
        kind = "version" if "version" in start else "model"
        app.add_url_rule(start, f"{kind}_status", status)
        app.add_url_rule(f"{start}/metadata", f"{kind}_metadata", metadata)
        app.add_url_rule(f"{start}:predict", f"{kind}_predict", predict, methods=["POST"])


def _json_reader() -> Callable[[int], Any]:
    """Gives what reads a request's body; any content type, as TensorFlow Serving takes it."""
    large = threading.Semaphore(LARGE_AT_ONCE)

    def read(photos: int) -> Any:
        body = flask.request.get_data(cache=False)
        # Objects without end would fill the memory before they could be counted: a photo has at most two.
        if body.count(b"{") > 2 * photos + 10:
            raise protocol.RequestError(f"There are more photos than the {photos} that are taken at a time.")
        try:
            if len(body) < LARGE_BODY:
                return json.loads(body, parse_constant=_refuse)
            with large:
                return json.loads(body, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise protocol.RequestError(f"The request is not valid JSON: {str(error)[:100]}.") from None
    return read


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _add_form(app: flask.Flask, classifier: Classifier, inference: InferencePool, limits: Limits) -> None:
    @app.post("/label")
    def label() -> tuple[dict[str, Any], int]:
        files = [file for _, file in flask.request.files.items(multi=True) if file.filename]
        if not files:
            raise protocol.RequestError("No photo was sent: send files as multipart/form-data.")
        if len(files) > limits.photos:
            raise protocol.RequestError(f"{len(files)} photos are more than the {limits.photos} that are taken at a "
                                        "time.")
        top_k = _top_k(flask.request.form.get("top_k") or flask.request.args.get("top_k"))
        answers = inference.answers([file.read() for file in files])
        results = [{"file": file.filename, **_result(answer, classifier, top_k)}
                   for file, answer in zip(files, answers)]
        if all("error" in result for result in results):
            return {"error": f"{results[0]['file']} cannot be used: {results[0]['error']}.", "results": results}, 400
        return {"results": results}, 200


def _top_k(text: str | None) -> int:
    if text is None:
        return DEFAULT_TOP_K
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= 1_000_000):
        raise protocol.RequestError("top_k must be a whole number from 1.")
    return int(text[:9])


def _result(answer: Prediction, classifier: Classifier, top_k: int) -> dict[str, Any]:
    if answer.probabilities is None:
        return {"error": answer.reason}
    order = (-answer.probabilities).argsort(kind="stable")[:top_k]
    labels = [{"label": classifier.labels[row], "score": float(answer.probabilities[row])} for row in order]
    if answer.unknown_score is None:
        return {"labels": labels}
    return {"labels": labels, "unknown": answer.unknown, "unknown_score": answer.unknown_score}


def _add_errors(app: flask.Flask) -> None:
    """Every error is one sentence, as JSON, without a path or a stack."""
    @app.errorhandler(protocol.RequestError)
    def refused(error: protocol.RequestError) -> tuple[dict[str, str], int]:
        return {"error": str(error)}, 400

    @app.errorhandler(BusyError)
    def busy(error: BusyError) -> tuple[dict[str, str], int, dict[str, str]]:
        return {"error": f"{error} Try again soon."}, 503, {"Retry-After": str(RETRY_SECONDS)}

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> flask.Response:
        response = flask.jsonify({"error": _sentence(error)})
        response.status_code = error.code or 500
        if error.code == 405:
            response.headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        return response

    @app.errorhandler(Exception)
    def failed(error: Exception) -> tuple[dict[str, str], int]:
        log.error("A request failed.", exc_info=error)
        return {"error": "The server made a mistake; its log says which."}, 500


def _sentence(error: HTTPException) -> str:
    if isinstance(error, RequestEntityTooLarge):
        return "The request is too large."
    if error.code == 404 and (error.description or "").startswith("Servable"):
        return str(error.description)
    return {404: "There is nothing at this address.", 405: "This address does not take that method.",
            400: "The request cannot be read."}.get(error.code or 500, error.name)
