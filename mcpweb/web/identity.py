"""Who asks: found before anything else of a request is read."""
from __future__ import annotations

from urllib.parse import urlencode

from flask import Response, current_app, g, request

from mcpweb import origin
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.errors import Forbidden, NotFound, Unauthenticated
from mcpweb.services import access
from mcpweb.web import rendering
from mcpweb.web.permissions import PUBLIC, permission_of


def core() -> Core:
    """Return the application's core."""
    found: Core = current_app.extensions["mcpweb"]
    return found


def is_api() -> bool:
    """Tell whether a program asks: it gets problems as JSON, and 401 instead of the way to the sign-in page."""
    return request.path.startswith("/api/") or request.path == "/metrics"


def guard() -> Response | None:
    """Let a request through only if its route is tagged and its actor may; signed out goes to the sign-in page."""
    g.actor = None
    if request.endpoint is None or request.endpoint == "static":
        return None
    tag = permission_of(current_app.view_functions[request.endpoint])
    if tag is None:
        raise NotFound("This route has no permission tag and is not served.")
    if tag == PUBLIC:
        g.public = True
        return None
    g.actor = core().plugins.first("mcpweb_authenticate", request=request, core=core())
    if g.actor is None:
        if is_api():
            raise Unauthenticated()
        return rendering.go("/sign-in?" + urlencode({"next": rendering.current_path()}))
    origin.named(g.actor.name)
    if not access.may(core(), g.actor, tag):
        access.require(core(), g.actor, tag)
        raise Forbidden()
    return None


def actor() -> Actor:
    """Return who asks; only in views that are not public."""
    found: Actor = g.actor
    return found


def optional_actor() -> Actor | None:
    """Return who asks on a public page, None for nobody."""
    if g.get("actor") is None:
        try:
            g.actor = core().plugins.first("mcpweb_authenticate", request=request, core=core())
        except Unauthenticated:
            return None
    found: Actor | None = g.actor
    return found
