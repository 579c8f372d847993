"""One handler: a notice for htmx, an error page for people, problem+json for the API."""
from __future__ import annotations

import logging
import secrets
from urllib.parse import urlencode

from flask import Flask, Response, jsonify, make_response, render_template
from werkzeug.exceptions import HTTPException

from mcpweb.contracts import Actor
from mcpweb.errors import Failure, StepUpNeeded, of_system
from mcpweb.schemas.objects import problem_object
from mcpweb.web.identity import is_api, optional_actor
from mcpweb.web.language import _
from mcpweb.web.rendering import came_from, go, is_partial, notice
from mcpweb.web.words import N_

log = logging.getLogger(__name__)
# status: code, title and sentence, as people see them
_KNOWN = {
    400: ("bad_request", N_("The request cannot be read"), N_("The request cannot be read.")),
    404: ("not_found", N_("Not found"), N_("There is no such page.")),
    405: ("method_not_allowed", N_("Not possible here"), N_("This address does not take that method.")),
    413: ("body_too_large", N_("The body is too large"), N_("The body is too large.")),
    415: ("not_json", N_("Not JSON"), N_("The body must be application/json.")),
}


def install(app: Flask) -> None:
    app.register_error_handler(Failure, answer)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def answer(failure: Failure) -> Response:
    """Show a failure the way it was asked for."""
    if isinstance(failure, StepUpNeeded) and not is_api():
        return go(f"/step-up?{urlencode({'next': came_from()})}")
    if is_api():
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
    if failure.status == 401 and is_api():
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
    code, title, sentence = _KNOWN.get(status, ("http_error", error.name, error.name))
    failure = Failure(sentence if is_api() else _(sentence), code=code)
    failure.status, failure.title = status, title
    response = answer(failure)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    """Log type and place, never values, and name the entry."""
    if (known := of_system(error)) is not None:
        log.error("%s", known.detail)
        return answer(known)
    reference = secrets.token_hex(6)
    log.error("unexpected %s (%s)", type(error).__name__, reference, exc_info=error)
    failure = Failure("Something went wrong in mcpweb.", next_step=f"The log has it as {reference}.", code="internal")
    return answer(failure)
