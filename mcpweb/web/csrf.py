"""Unsafe methods come from our own pages: fetch metadata, Origin, and a token bound to the session."""
from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from flask import current_app, g, request

from mcpweb.contracts import Actor
from mcpweb.errors import Forbidden

FIELD = "csrf_token"
HEADER = "X-CSRF-Token"
COOKIE = "mcpweb-csrf"
SAFE = ("GET", "HEAD", "OPTIONS")
_BYTES = 32
_COOKIE_VALUE = re.compile(r"[0-9a-f]{64}")


def token_for(actor: Actor | None) -> str:
    """Return the token forms carry: of the session, or of this browser before signing in."""
    if actor is not None:
        return hmac.new(actor.csrf_key, b"csrf", hashlib.sha256).hexdigest()
    if "anonymous_csrf" not in g:
        sent = request.cookies.get(COOKIE, "")
        g.anonymous_csrf = sent if _COOKIE_VALUE.fullmatch(sent) else secrets.token_hex(_BYTES)
    return str(g.anonymous_csrf)


def field_value(actor: Actor | None) -> str:
    """Return the token masked with fresh random bytes, so that a compressed page does not betray it."""
    token = bytes.fromhex(token_for(actor))
    pad = secrets.token_bytes(len(token))
    return pad.hex() + bytes(a ^ b for a, b in zip(pad, token, strict=True)).hex()


def _unmasked(given: str) -> str:
    try:
        data = bytes.fromhex(given)
    except ValueError:
        return ""
    pad, rest = data[: len(data) // 2], data[len(data) // 2 :]
    return given if len(data) == _BYTES else bytes(a ^ b for a, b in zip(pad, rest, strict=False)).hex()


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
    if not any(hmac.compare_digest(_unmasked(given), token) for token in _accepted(actor)):
        raise Forbidden("The form is too old or not ours.", next_step="Reload the page and try again.", code="csrf")


def _accepted(actor: Actor | None) -> list[str]:
    """Return the tokens that prove one of our pages: a public form may be older or younger than the session."""
    if not g.get("public"):
        return [token_for(actor)]
    from mcpweb.web.identity import optional_actor

    return [token_for(None), token_for(optional_actor())]


def _own_origins() -> tuple[str, str]:
    settings = current_app.extensions["mcpweb"].settings
    return f"{request.scheme}://{request.host}", settings.public_url
