"""The factory of the Flask application, with its security headers and error responses."""
from __future__ import annotations

import io
import logging
import time
import traceback
import zlib
from pathlib import Path

import flask
from werkzeug.exceptions import Forbidden, HTTPException, RequestEntityTooLarge, UnsupportedMediaType

from tfpoets.inference import Classifier

from . import views
from .access import AccessRules
from .inference_pool import BusyError, InferencePool, Limits
from .memory import MemoryBudget
from .protocol import RequestError

log = logging.getLogger(__name__)

# Browsers load nothing from other sites, run no inline scripts, and do not show the page in a frame.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; "
                               "base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=()", "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin", "Vary": "Origin"}
# What the pages of other sites that are allowed to use the server may send, and for how long browsers remember it.
CORS_HEADERS = {"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Max-Age": "600",
                "Access-Control-Allow-Headers": "Content-Type, Content-Encoding",
                "Access-Control-Expose-Headers": "Retry-After"}
RETRY_SECONDS = 1
# The number of calls that are logged for an error.
MAX_FRAMES = 6
# The values of Content-Encoding that can be decoded. zlib detects which of the two formats is used.
COMPRESSED, UNCOMPRESSED = ("gzip", "x-gzip", "deflate"), ("", "identity")
GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


def create_app(classifier: Classifier, inference_pool: InferencePool, model_name: str, limits: Limits,
               access: AccessRules = AccessRules()) -> flask.Flask:
    """Create and configure the WSGI application.

    Args:
        classifier: The classifier.
        inference_pool: The workers that run it.
        model_name: The name of the model in the URLs.
        limits: The limits of the server.
        access: Which web pages may use the server, and under which names.
    """
    app = flask.Flask(__name__, static_folder="page", static_url_path="/page")
    app.config.update(MAX_CONTENT_LENGTH=limits.request_bytes, MAX_FORM_PARTS=4 * limits.photos_per_request,
                      MAX_FORM_MEMORY_SIZE=limits.request_bytes)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    memory = MemoryBudget(limits.memory_bytes)
    views.init_app(app, classifier, inference_pool, model_name, limits)
    app.before_request(_start_timer)
    app.before_request(lambda: _check_access(access))
    app.before_request(lambda: _reserve_memory(memory, limits))
    app.before_request(_decompress_body)
    app.after_request(lambda response: _add_headers(response, access))
    app.after_request(_record_request)
    app.teardown_request(lambda _: memory.release(flask.g.pop("reserved_bytes", 0)))
    # Errors are JSON with a short message, which contains no path and no traceback.
    app.register_error_handler(RequestError, _handle_request_error)
    app.register_error_handler(BusyError, _handle_busy)
    app.register_error_handler(HTTPException, _handle_http_error)
    app.register_error_handler(Exception, _handle_unexpected_error)
    return app


def _start_timer() -> None:
    flask.g.start_time = time.perf_counter()


def _check_access(access: AccessRules) -> None:
    """Abort unless the request names this server, and was sent by a page that may use it."""
    environ, headers = flask.request.environ, flask.request.headers
    host = environ.get("HTTP_HOST")
    if host is None and environ.get("SERVER_PROTOCOL") == "HTTP/1.1":
        raise RequestError("The request has no Host header.")
    if host is not None and not access.allows_host(host):
        raise Forbidden("This server does not accept the name in the Host header. To accept it, set allow_origin to "
                        "https://NAME when starting the server.")
    if not access.allows_origin(headers, flask.request.method):
        raise Forbidden("Pages of other sites may not use this server. Set allow_origin to the origin of the page "
                        "when starting the server.")


def _reserve_memory(memory: MemoryBudget, limits: Limits) -> None:
    """Reserve memory for the body of the request, and wait for it if necessary."""
    if flask.request.method != "POST":  # nothing reads the body, so this must not wait
        return
    is_compressed = _content_encoding() not in UNCOMPRESSED
    size = limits.request_bytes if is_compressed else min(flask.request.content_length or 0, limits.request_bytes)
    if not memory.reserve(size, limits.memory_seconds):
        raise BusyError("The server is busy.")
    flask.g.reserved_bytes = size


def _content_encoding() -> str:
    return flask.request.headers.get("Content-Encoding", "").strip().lower()


def _decompress_body() -> None:
    """Replace a compressed body with its content, to which the limit for uncompressed bodies applies."""
    encoding = _content_encoding()
    if encoding in UNCOMPRESSED or flask.request.method != "POST":
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


def _add_headers(response: flask.Response, access: AccessRules) -> flask.Response:
    """Add the security headers, and those that allow pages of listed origins to read the response."""
    origin = flask.request.headers.get("Origin", "")
    headers = SECURITY_HEADERS
    if access.is_listed(origin):
        headers = {**headers, **CORS_HEADERS, "Access-Control-Allow-Origin": origin}
    for header, value in headers.items():
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
    # Without the message of the error, which can quote the request.
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
              for frame in traceback.extract_tb(error.__traceback__)]
    log.error("A request failed: %s in %s", type(error).__name__, " > ".join(places[-MAX_FRAMES:]))
    return {"error": "An internal error occurred. See the log of the server for details."}, 500


def _http_error_message(error: HTTPException) -> str:
    if isinstance(error, RequestEntityTooLarge):
        return "The request is too large."
    if isinstance(error, (Forbidden, UnsupportedMediaType)):
        return str(error.description)
    if error.code == 404 and (error.description or "").startswith("Servable"):
        return str(error.description)
    return {404: "There is nothing at this address.", 405: "This address does not support the request's method.",
            400: "The request is malformed."}.get(error.code or 500, error.name)
