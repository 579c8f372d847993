"""Unsafe methods come from our own pages: fetch metadata, Origin, and a token bound to the session."""
from __future__ import annotations

import hashlib
import hmac
import secrets

from flask import current_app, g, request

from mcpweb.contracts import Actor
from mcpweb.errors import Forbidden

FIELD = "csrf_token"
HEADER = "X-CSRF-Token"
COOKIE = "mcpweb-csrf"
SAFE = ("GET", "HEAD", "OPTIONS")


def token_for(actor: Actor | None) -> str:
    """Return the token forms carry: of the session, or of this browser before signing in."""
    if actor is not None:
        return hmac.new(actor.csrf_key, b"csrf", hashlib.sha256).hexdigest()
    if "anonymous_csrf" not in g:
        g.anonymous_csrf = request.cookies.get(COOKIE) or secrets.token_hex(32)
    return str(g.anonymous_csrf)


def guard() -> None:
    """Raise Forbidden for an unsafe request that was not made by one of our pages. Bearer tokens need no proof."""
    if request.method in SAFE or request.endpoint is None:
        return
    actor: Actor | None = g.get("actor")
    if actor is not None and actor.via == "token":
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site != "same-origin":
        raise Forbidden("This request comes from another site.", code="csrf")
    origin = request.headers.get("Origin")
    if origin is not None and origin not in _own_origins():
        raise Forbidden("This request comes from another origin.", code="csrf")
    given = request.headers.get(HEADER) or request.form.get(FIELD, "")
    if not given or not hmac.compare_digest(given, token_for(actor)):
        raise Forbidden("The form is too old or not ours.", next_step="Reload the page and try again.", code="csrf")


def _own_origins() -> tuple[str, str]:
    settings = current_app.extensions["mcpweb"].settings
    return f"{request.scheme}://{request.host}", settings.public_url
