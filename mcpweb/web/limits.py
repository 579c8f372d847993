"""What a request may be: its host is ours, its body has a length and is not too long."""
from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from flask import current_app, g, request

from mcpweb import clock, origin
from mcpweb.errors import BadRequest, BodyTooLarge, LengthRequired
from mcpweb.ids import new_id
from mcpweb.services.throttling import throttle
from mcpweb.settings import Settings, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

View = TypeVar("View", bound="Callable[..., object]")
BODY_BYTES = 2 << 20
LARGE_BODY_BYTES = (10 << 20) + (1 << 16)  # what imports take, and the form around it
JSON_DEPTH = 32
JOBS_PER_MINUTE = 120


def guard() -> None:
    """Note where the request comes from. Raise BadRequest, LengthRequired or BodyTooLarge."""
    origin.enter(request.remote_addr or "", new_id("req"))
    settings: Settings = current_app.extensions["mcpweb"].settings
    if not _is_ours(request.host.lower(), settings):
        raise BadRequest("This host name is not answered here.", next_step="Add it to MCPWEB_TRUSTED_HOSTS.", code="bad_host")
    if request.headers.get("Transfer-Encoding"):
        raise LengthRequired()
    length = request.content_length  # without it, and not chunked, there is no body: `curl -X POST …/start` sends neither
    most = _most()
    if length is not None and length > most:
        raise BodyTooLarge(f"A body has at most {most >> 20} MiB.")


def _most() -> int:
    """Return how long this request's body may be, and let the framework take as much."""
    view = current_app.view_functions.get(request.endpoint or "")
    if not getattr(view, "takes_large_body", False):
        return BODY_BYTES
    request.max_content_length = request.max_form_memory_size = LARGE_BODY_BYTES
    return LARGE_BODY_BYTES


def large(view: View) -> View:
    """Let a view take a body of ten MiB instead of two."""
    view.takes_large_body = True  # type: ignore[attr-defined]
    return view


def _is_ours(host: str, settings: Settings) -> bool:
    name = host.rsplit(":", 1)[0].strip("[]") if not host.endswith("]") else host.strip("[]")
    public = settings.public_url.split("://", 1)[-1].rsplit(":", 1)[0].strip("[]")
    return is_loopback(name) or name in (settings.bind_host, public, *settings.trusted_hosts)


def throttle_jobs() -> None:
    """Raise TooManyRequests when this actor creates jobs too often."""
    core = current_app.extensions["mcpweb"]
    g.asked_for_job = clock.now()
    throttle(core, f"jobs:{g.actor.name}", per_minute=JOBS_PER_MINUTE, burst=JOBS_PER_MINUTE)


def check_depth(value: object, depth: int = 0) -> None:
    """Raise BadRequest for JSON that is nested too deeply."""
    if depth > JSON_DEPTH:
        raise BadRequest(f"JSON is nested at most {JSON_DEPTH} levels deep.")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        check_depth(item, depth + 1)
