"""Security headers of every answer; nothing inline is ever allowed."""
from __future__ import annotations

import secrets

from flask import Response, current_app, g, request

from mcpweb.web import csrf


def nonce() -> str:
    """Return the nonce of this answer; scripts and htmx elements of our templates carry it."""
    if "nonce" not in g:
        g.nonce = secrets.token_urlsafe(16)
    return str(g.nonce)


def policy() -> str:
    """Return the content security policy (htmx 4 runs under trusted types)."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce()}'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types htmx"
    )


def add(response: Response) -> Response:
    """Set the headers; anything but static files that are there is not stored anywhere."""
    headers = response.headers
    headers["Content-Security-Policy"] = policy()
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
    if current_app.extensions["mcpweb"].settings.secure_cookie:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    if request.endpoint == "static" and response.status_code == 200:
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response
    headers["Cache-Control"] = "no-store"
    response.vary.add("HX-Request")
    response.vary.add("Cookie")
    if "anonymous_csrf" in g and request.cookies.get(csrf.COOKIE) != g.anonymous_csrf:
        secure = current_app.extensions["mcpweb"].settings.secure_cookie
        response.set_cookie(csrf.COOKIE, g.anonymous_csrf, httponly=True, secure=secure, samesite="Strict")
    return response
