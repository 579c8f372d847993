"""One handler: a notice for htmx, an error page for people, problem+json for the API."""
from __future__ import annotations

import logging
import secrets

from flask import Flask, Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from mcpweb.contracts import Actor
from mcpweb.errors import Failure
from mcpweb.schemas.objects import problem_object
from mcpweb.web.identity import optional_actor
from mcpweb.web.rendering import is_partial, notice

log = logging.getLogger(__name__)
_SENTENCES = {
    404: "There is no such page.", 405: "This address does not take that method.", 413: "The body is too large.",
    415: "The body must be application/json.", 400: "The request cannot be read.",
}
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "not_json"}


def install(app: Flask) -> None:
    app.register_error_handler(Failure, answer)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def answer(failure: Failure) -> Response:
    """Show a failure the way it was asked for."""
    if request.path.startswith("/api/"):
        response = jsonify(problem_object(failure))
        response.status_code = failure.status
        response.content_type = "application/problem+json"
    elif is_partial():
        response = notice(failure.detail, failure.status, next_step=failure.next_step)
    else:
        page = "errors/signed_out.html" if _who_looks() is None else "errors/failure.html"
        response = make_response(render_template(page, failure=failure), failure.status)
    if failure.retry_after is not None:
        response.headers["Retry-After"] = str(failure.retry_after)
    if failure.status == 401 and request.path.startswith("/api/"):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _who_looks() -> Actor | None:
    """Return who is signed in; nobody while that cannot be found out, for the page must come all the same."""
    try:
        return optional_actor()
    except Failure:
        return None


def _http(error: HTTPException) -> Response:
    if error.response is not None and error.code is None:
        return error.response  # type: ignore[return-value]
    status = error.code or 500
    failure = Failure(_SENTENCES.get(status, error.name), code=_CODES.get(status, "http_error"))
    failure.status, failure.title = status, error.name
    response = answer(failure)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    """Log type and place, never values, and name the entry."""
    reference = secrets.token_hex(6)
    log.error("unexpected %s (%s)", type(error).__name__, reference, exc_info=error)
    failure = Failure("Something went wrong in mcpweb.", next_step=f"The log has it as {reference}.", code="internal")
    return answer(failure)
