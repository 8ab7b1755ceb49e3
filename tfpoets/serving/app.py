"""The factory of the Flask application, with its security headers and error responses."""
from __future__ import annotations

import io
import logging
import time
import zlib

import flask
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, UnsupportedMediaType

from tfpoets.inference import Classifier

from . import views
from .inference_pool import BusyError, InferencePool, Limits
from .protocol import RequestError

log = logging.getLogger(__name__)

# Browsers load nothing from other sites, run no inline scripts, and do not show the page in a frame.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; "
                               "base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "geolocation=(), microphone=()", "Cache-Control": "no-store"}
RETRY_SECONDS = 1
# The values of Content-Encoding that can be decoded. zlib detects which of the two formats is used.
COMPRESSED, UNCOMPRESSED = ("gzip", "x-gzip", "deflate"), ("", "identity")
GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


def create_app(classifier: Classifier, inference_pool: InferencePool, model_name: str, limits: Limits) -> flask.Flask:
    """Create and configure the WSGI application.

    Args:
        classifier: The classifier.
        inference_pool: The workers that run it.
        model_name: The name of the model in the URLs.
        limits: The limits of the server.
    """
    app = flask.Flask(__name__, static_folder="page", static_url_path="/page")
    app.config.update(MAX_CONTENT_LENGTH=limits.request_bytes, MAX_FORM_PARTS=4 * limits.photos_per_request,
                      MAX_FORM_MEMORY_SIZE=limits.request_bytes)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    views.init_app(app, classifier, inference_pool, model_name, limits)
    app.before_request(_start_timer)
    app.before_request(_decompress_body)
    app.after_request(_add_security_headers)
    app.after_request(_record_request)
    # Errors are JSON with a short message, which contains no path and no traceback.
    app.register_error_handler(RequestError, _handle_request_error)
    app.register_error_handler(BusyError, _handle_busy)
    app.register_error_handler(HTTPException, _handle_http_error)
    app.register_error_handler(Exception, _handle_unexpected_error)
    return app


def _start_timer() -> None:
    flask.g.start_time = time.perf_counter()


def _decompress_body() -> None:
    """Replace a compressed body with its content, to which the limit for uncompressed bodies applies."""
    encoding = flask.request.headers.get("Content-Encoding", "").strip().lower()
    if encoding in UNCOMPRESSED:
        return
    if encoding not in COMPRESSED:
        raise UnsupportedMediaType("The Content-Encoding of the request is not supported. Use gzip or deflate.")
    limit, decompressor = views.get_service().limits.request_bytes, zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        body = decompressor.decompress(flask.request.get_data(cache=False), limit + 1)
    except zlib.error:
        raise RequestError(f"The body of the request is not valid {encoding}.") from None
    if len(body) > limit:
        raise RequestEntityTooLarge
    if not decompressor.eof or decompressor.unused_data:
        raise RequestError(f"The body of the request is not valid {encoding}.")
    flask.request.stream = io.BytesIO(body)


def _add_security_headers(response: flask.Response) -> flask.Response:
    for header, value in SECURITY_HEADERS.items():
        response.headers.setdefault(header, value)
    return response


def _record_request(response: flask.Response) -> flask.Response:
    rule = flask.request.url_rule
    views.get_service().statistics.record(rule.rule if rule else "other", response.status_code,
                                          time.perf_counter() - flask.g.start_time)
    return response


def _handle_request_error(error: RequestError) -> tuple[dict[str, str], int]:
    return {"error": str(error)}, 400


def _handle_busy(error: BusyError) -> tuple[dict[str, str], int, dict[str, str]]:
    return {"error": f"{error} Try again later."}, 503, {"Retry-After": str(RETRY_SECONDS)}


def _handle_http_error(error: HTTPException) -> flask.Response:
    response = flask.jsonify({"error": _http_error_message(error)})
    response.status_code = error.code or 500
    if error.code == 405:
        response.headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
    if error.code == 415:
        response.headers["Accept-Encoding"] = ", ".join(COMPRESSED)
    return response


def _handle_unexpected_error(error: Exception) -> tuple[dict[str, str], int]:
    log.error("A request failed.", exc_info=error)
    return {"error": "An internal error occurred. See the log of the server for details."}, 500


def _http_error_message(error: HTTPException) -> str:
    if isinstance(error, RequestEntityTooLarge):
        return "The request is too large."
    if isinstance(error, UnsupportedMediaType):
        return str(error.description)
    if error.code == 404 and (error.description or "").startswith("Servable"):
        return str(error.description)
    return {404: "There is nothing at this address.", 405: "This address does not support the request's method.",
            400: "The request is malformed."}.get(error.code or 500, error.name)
