"""One helper renders; this module is the only reader and writer of ``HX-*`` headers (flask-htmx, in htmx 4's dialect)."""
from __future__ import annotations

import gzip
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, g, make_response, redirect, render_template, request
from flask_htmx import HTMX

from mcpweb import __version__
from mcpweb.contracts import Actor
from mcpweb.errors import Failure
from mcpweb.services import access, health
from mcpweb.web import assets, csrf, devices, formats, headers, language, words
from mcpweb.web.hxnonce import HxNonce

THEMES = ("system", "light", "dark")
THEME_COOKIE = "mcpweb-theme"
SHORTCUTS_COOKIE = "mcpweb-shortcuts"
STEPS_COOKIE = "mcpweb-first-steps"
_PACKED_FROM = 1400  # a shorter answer needs as many packets compressed
_htmx = HTMX()


def install(app: Flask) -> None:
    """Prepare Jinja: translations, nonces, and the few functions templates and macros use."""
    _htmx.init_app(app)
    app.jinja_env.add_extension(HxNonce)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    language.install(app)
    formats.install(app)
    words.install(app)
    devices.install(app)
    assets.install(app)
    app.jinja_env.globals.update(
        nonce=headers.nonce, version=__version__, actor=_actor, may=may, theme=theme, THEMES=THEMES,
        csrf_token=lambda: csrf.field_value(_actor()), here=current_path, shortcuts=shortcuts, vault_lock=_vault_lock,
    )
    app.after_request(_packed)


def _actor() -> Actor | None:
    found: Actor | None = g.get("actor")
    return found


def _vault_lock() -> object:
    """Return what keeps the vault locked, None while it is open; a page about another fault comes without it."""
    from mcpweb.web.identity import core

    try:
        state = health.vault_state(core())
    except Failure:
        return None
    return state if state is not None and state.locked else None


def may(permission: str) -> bool:
    """Tell whether who asks may."""
    from mcpweb.web.identity import core

    actor = _actor()
    return actor is not None and access.may(core(), actor, permission)


def is_partial() -> bool:
    """Tell whether htmx asked for a fragment (not for a whole page or a history entry)."""
    kind = request.headers.get("HX-Request-Type")
    whole = _htmx.history_restore_request or kind == "full" or (_htmx.boosted and kind != "partial")
    return bool(_htmx) and not whole


def respond(
    template: str, *, http_status: int = 200, event: str = "", partial: str = "", then: str = "", **context: Any
) -> Response:
    """Render a page, or its partial when htmx asked.

    ``partial`` names another fragment than ``folder/_page.html``, ``then`` is where a plain form is sent (303),
    ``event`` is a fact told to the other fragments of the page.
    """
    if not is_partial():
        if then:
            return redirect(then, 303)  # type: ignore[return-value]
        return make_response(render_template(template, **context), http_status)
    folder, _, name = template.rpartition("/")
    response = make_response(render_template(partial or f"{folder}/_{name}", **context), http_status)
    if event:
        response.headers["HX-Trigger"] = event
    return response


def done(then: str, *, event: str = "") -> Response:
    """Answer an action: a redirect for a plain form, an event for htmx (what shows it refreshes itself)."""
    if is_partial():
        response = make_response("", 204)
        response.headers["HX-Trigger"] = event
        return response
    return redirect(then, 303)  # type: ignore[return-value]


def go(path: str) -> Response:
    """Send the browser to another page of ours, whoever asked: a form, a link or a fragment."""
    if not is_partial():
        return redirect(path, 303)  # type: ignore[return-value]
    response = make_response("", 200)
    response.headers["HX-Redirect"] = path
    return response


def notice(text: str, status: int, *, next_step: str = "") -> Response:
    """Answer htmx with a notice only; what is on the page stays as it is."""
    body = render_template("shared/_notice.html", kind="error", text=text, next_step=next_step)
    response = make_response(body, status)
    response.headers["HX-Retarget"] = "#notices"
    response.headers["HX-Reswap"] = "beforeend"
    return response


def told(text: str, *, kind: str = "done", next_step: str = "", event: str = "") -> Response:
    """Answer htmx with a notice of what was done, and tell the fragments of the page."""
    response = make_response(render_template("shared/_notice.html", kind=kind, text=text, next_step=next_step))
    response.headers.update({"HX-Retarget": "#notices", "HX-Reswap": "beforeend", "HX-Trigger": event})
    return response


def current_path() -> str:
    """Return the path of the page the person looks at, also while a fragment of it asks."""
    if is_partial() and _htmx.current_url:
        parts = urlsplit(str(_htmx.current_url))
        return parts.path + (f"?{parts.query}" if parts.query else "")
    return str(request.full_path).rstrip("?") if request.method == "GET" else "/"


def came_from() -> str:
    """Return the path of the page whose form or fragment asks."""
    if request.method in ("GET", "HEAD") or is_partial():
        return current_path()
    parts = urlsplit(request.referrer or "")
    own = parts.netloc == request.host
    return (parts.path + (f"?{parts.query}" if parts.query else "")) if own and parts.path else "/"


def theme() -> str:
    """Return the theme of this browser."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else "system"


def shortcuts() -> bool:
    """Tell whether this browser wants keyboard shortcuts; who dictates or presses keys by chance switches them off."""
    return request.cookies.get(SHORTCUTS_COOKIE) != "off"


def _packed(response: Response) -> Response:
    """Compress pages for those who take it; the token in forms is masked anew each time, so lengths tell nothing."""
    wanted = "gzip" in request.headers.get("Accept-Encoding", "")
    fits = response.mimetype in ("text/html", "application/json") and not response.is_streamed
    if wanted and fits and response.status_code != 304 and not response.content_encoding:
        body = response.get_data()
        if len(body) >= _PACKED_FROM:
            response.set_data(gzip.compress(body, 3, mtime=0))
            response.content_encoding = "gzip"
            response.vary.add("Accept-Encoding")
    return response
